// SPDX-License-Identifier: GPL-2.0-only
/*
 * The functions of seam.h: the clock, /proc/vmcore, and the count of allocations.
 */

#include <linux/atomic.h>
#include <linux/err.h>
#include <linux/fault-inject.h>
#include <linux/string.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"

bool seam_no_slots;
unsigned int seam_no_links;
u64 seam_clock;
unsigned int seam_warnings;
bool seam_expects_warnings;
void (*seam_resched)(void);
void (*seam_grace)(void);
atomic_t seam_unlocks = ATOMIC_INIT(0);
atomic_t seam_pauses = ATOMIC_INIT(0);
DEFINE_PER_CPU(unsigned int, seam_steps);
unsigned int seam_longest_hold;
u64 seam_longest_ns;

static atomic_long_t balance;

u64 seam_now(void)
{
	return seam_clock ?: ktime_get_mono_fast_ns();
}

const struct seam_vmcore *seam_vmcore;

struct file *seam_filp_open(const char *path, int flags, umode_t mode)
{
	static struct file vmcore;

	if (strcmp(path, "/proc/vmcore") || flags != O_RDONLY)
		return ERR_PTR(-EINVAL);
	return seam_vmcore->err ? ERR_PTR(seam_vmcore->err) : seam_got(&vmcore);
}

ssize_t seam_kernel_read(struct file *file, void *buf, size_t size, loff_t *pos)
{
	return memory_read_from_buffer(buf, size, pos, seam_vmcore->data,
				       seam_vmcore->size);
}

int seam_filp_close(struct file *file, fl_owner_t id)
{
	seam_gone(file);
	return 0;
}

bool seam_warns(bool condition)
{
	seam_warnings += condition;
	return condition;
}

/* When this CPU took the lock, plus the time of the host since. */
static DEFINE_PER_CPU(u64, locked_at);

void seam_locked(void)
{
	this_cpu_write(seam_steps, 0);
	this_cpu_write(locked_at, ktime_get_mono_fast_ns());
}

u64 seam_host_begins(void)
{
	return ktime_get_mono_fast_ns();
}

void seam_host_ends(u64 began)
{
	this_cpu_add(locked_at, ktime_get_mono_fast_ns() - began);
}

void seam_unlocking(void)
{
	seam_longest_hold = max(seam_longest_hold,
				this_cpu_read(seam_steps));
	seam_longest_ns = max(seam_longest_ns, ktime_get_mono_fast_ns() -
					       this_cpu_read(locked_at));
	atomic_inc(&seam_unlocks);
}

void *seam_got(void *p)
{
	if (p)
		atomic_long_inc(&balance);
	return p;
}

void seam_gone(const void *p)
{
	if (p)
		atomic_long_dec(&balance);
}

long seam_balance(void)
{
	return atomic_long_read(&balance);
}

bool (*seam_in_use)(unsigned long pfn);
atomic_t seam_taken;

/* As alloc_contig_range(), but nothing is there. */
int seam_take(unsigned long start, unsigned long end)
{
	unsigned long pfn;

	for (pfn = start; seam_in_use && pfn < end; pfn++)
		if (seam_in_use(pfn))
			return -EBUSY;
	atomic_add(end - start, &seam_taken);
	return 0;
}

void seam_give(unsigned long start, unsigned long n)
{
	atomic_sub(n, &seam_taken);
}

/*
 * /proc/self/fail-nth counts this allocation together with those that the
 * kernel's fault injection sees.
 */
bool seam_fails(void)
{
#ifdef CONFIG_FAULT_INJECTION
	static struct fault_attr never = {
		.ratelimit_state = RATELIMIT_STATE_INIT_DISABLED,
	};

	return should_fail(&never, 1);
#else
	return false;
#endif
}
