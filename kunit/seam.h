/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The first include of the driver's files in a test module; the driver does not
 * know of it. With it
 *  - registers can be those of fake-companion.c,
 *  - the host can change the shared page after each read of it,
 *  - a case can set the clock, refuse device links, and make up /proc/vmcore,
 *  - allocations are counted, and those that the kernel's fault injection does
 *    not see can fail as well,
 *  - warnings are counted, for cases that cause one,
 *  - a case can run a function in cond_resched() and before a grace period,
 *  - unlocks are counted, and the steps while a lock is held: entries of a list,
 *    functions that assert the lock, such as lookups, and slots that change,
 *  - pauses are counted,
 *  - a case says which pages can be taken from the page allocator.
 */
#ifndef APPLE_DMA_SEAM_H
#define APPLE_DMA_SEAM_H

#include <linux/atomic.h>
#include <linux/bug.h>
#include <linux/crash_dump.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/mempool.h>
#include <linux/mm.h>
#include <linux/percpu.h>
#include <linux/rcupdate.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/spinlock.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/xarray.h>

u32 seam_readl(const void __iomem *addr);
void seam_writel(u32 value, void __iomem *addr);
void *seam_memcpy(void *dst, const void *src, size_t size);

/* The time in ns; 0: the kernel's clock. */
extern u64 seam_clock;
u64 seam_now(void);

/* Count an allocation or a free; not if @p is NULL. */
void *seam_got(void *p);
void seam_gone(const void *p);
/* Whether this allocation has to fail. */
bool seam_fails(void);
/* Whether allocations of an xarray's slots fail. */
extern bool seam_no_slots;
/* How many of the next device links are refused. */
extern unsigned int seam_no_links;
/* Allocations of the driver's files that are not freed yet. */
long seam_balance(void);
/* A made-up /proc/vmcore: its content, or the error of opening it. */
struct seam_vmcore {
	const void *data;
	size_t size;
	int err;
};

/* The content of /proc/vmcore; NULL: no kernel crashed. */
extern const struct seam_vmcore *seam_vmcore;
struct file *seam_filp_open(const char *path, int flags, umode_t mode);
ssize_t seam_kernel_read(struct file *file, void *buf, size_t size, loff_t *pos);
int seam_filp_close(struct file *file, fl_owner_t id);
/* Warnings so far. Unexpected ones are also reported by the kernel. */
extern unsigned int seam_warnings;
extern bool seam_expects_warnings;
bool seam_warns(bool condition);
/* Called by cond_resched(), unless it is NULL. */
extern void (*seam_resched)(void);
/* Called before synchronize_rcu() waits, unless it is NULL. */
extern void (*seam_grace)(void);
/* Calls of spin_unlock_irqrestore() so far. */
extern atomic_t seam_unlocks;
/* Steps of this CPU since its last call of spin_lock_irqsave(). */
DECLARE_PER_CPU(unsigned int, seam_steps);
/* The most of them in one hold of a lock so far. */
extern unsigned int seam_longest_hold;
/* The longest hold so far in ns, without the time of the fake host. */
extern u64 seam_longest_ns;
void seam_locked(void);
void seam_unlocking(void);
/* Around what the fake host does. */
u64 seam_host_begins(void);
void seam_host_ends(u64 began);
/* Calls of usleep_range() so far. */
extern atomic_t seam_pauses;
/* Whether the pages from @pfn on are in use; none is if it is NULL. */
extern bool (*seam_in_use)(unsigned long pfn);
int seam_take(unsigned long start, unsigned long end);
void seam_give(unsigned long start, unsigned long n);
/* Pages that were taken and not given back. */
extern atomic_t seam_taken;

#ifndef APPLE_DMA_SEAM_ITSELF

static inline void *seam_kzalloc(size_t size, gfp_t gfp)
{
	return seam_got(kzalloc(size, gfp));
}

static inline void *seam_kmalloc_array(size_t n, size_t size, gfp_t gfp)
{
	return seam_got(kmalloc_array(n, size, gfp));
}

static inline void seam_kfree(const void *p)
{
	seam_gone(p);
	kfree(p);
}

/* Returns the flags. A spinlock of PREEMPT_RT has no raw one to be taken instead. */
static inline unsigned long seam_lock(spinlock_t *lock)
	__acquires(lock)
{
	unsigned long flags;

	spin_lock_irqsave(lock, flags);
	return flags;
}

static inline unsigned long seam_get_zeroed_page(gfp_t gfp)
{
	return (unsigned long)seam_got((void *)get_zeroed_page(gfp));
}

static inline void seam_free_page(unsigned long page)
{
	seam_gone((void *)page);
	free_page(page);
}

static inline struct page *seam_alloc_pages_node(int nid, gfp_t gfp,
						 unsigned int order)
{
	return seam_got(alloc_pages_node(nid, gfp, order));
}

static inline void seam_free_pages(struct page *page, unsigned int order)
{
	seam_gone(page);
	__free_pages(page, order);
}

static inline mempool_t *seam_create_slab_pool(int n, struct kmem_cache *cache)
{
	return seam_got(mempool_create_slab_pool(n, cache));
}

static inline void seam_mempool_destroy(mempool_t *pool)
{
	seam_gone(pool);
	mempool_destroy(pool);
}

static inline void *seam_mempool_alloc(mempool_t *pool, gfp_t gfp)
{
	return seam_fails() ? NULL : seam_got(mempool_alloc(pool, gfp));
}

static inline void seam_mempool_free(void *p, mempool_t *pool)
{
	seam_gone(p);
	mempool_free(p, pool);
}

static inline void __percpu *seam_alloc_percpu(size_t size, size_t align)
{
	void __percpu *p = seam_fails() ? NULL : __alloc_percpu(size, align);

	seam_got((void *)(__force unsigned long)p);
	return p;
}

static inline void seam_free_percpu(void __percpu *p)
{
	seam_gone((void *)(__force unsigned long)p);
	free_percpu(p);
}

static inline bool seam_xas_nomem(struct xa_state *xas, gfp_t gfp)
{
	return !seam_no_slots && xas_nomem(xas, gfp);
}

static inline void *seam_xas_store(struct xa_state *xas, void *entry)
{
	this_cpu_inc(seam_steps);
	if (!seam_no_slots || !entry)
		return xas_store(xas, entry);
	xas_set_err(xas, -ENOMEM);
	return NULL;
}

static inline struct device_link *seam_device_link_add(struct device *consumer,
						       struct device *supplier,
						       u32 flags)
{
	if (!seam_no_links)
		return device_link_add(consumer, supplier, flags);
	seam_no_links--;
	return NULL;
}

/*
 * Names are redefined for whole files: only memcpy() runs between two reads of
 * the page, and kzalloc() and kfree() expand to other symbols in each kernel, so
 * neither ld's --wrap nor KUnit's stubs, which 6.1 lacks, can do it.
 */
#undef is_kdump_kernel
#define is_kdump_kernel()		(!!seam_vmcore)
#define filp_open			seam_filp_open
#define kernel_read			seam_kernel_read
#define filp_close			seam_filp_close
#undef WARN_ON_ONCE
#define WARN_ON_ONCE(condition)						\
	(seam_expects_warnings ? seam_warns(condition) : WARN_ON(condition))
#undef cond_resched
#define cond_resched()							\
do {									\
	might_sleep();							\
	if (seam_resched)						\
		seam_resched();						\
} while (0)
#define synchronize_rcu()						\
do {									\
	if (seam_grace)							\
		seam_grace();						\
	synchronize_rcu();						\
} while (0)
#undef spin_lock_irqsave
#define spin_lock_irqsave(lock, flags)					\
do {									\
	(flags) = seam_lock(lock);					\
	seam_locked();							\
} while (0)
#define spin_unlock_irqrestore(lock, flags)				\
do {									\
	seam_unlocking();						\
	spin_unlock_irqrestore(lock, flags);				\
} while (0)
#undef lockdep_assert_held
#define lockdep_assert_held(lock)					\
do {									\
	this_cpu_inc(seam_steps);					\
	lockdep_assert(lockdep_is_held(lock) != LOCK_STATE_NOT_HELD);	\
} while (0)
#define sg_next(sg)							\
({									\
	this_cpu_inc(seam_steps);					\
	sg_next(sg);							\
})
#define usleep_range(min, max)						\
do {									\
	atomic_inc(&seam_pauses);					\
	usleep_range(min, max);						\
} while (0)
/* Some kernels have these as functions, some as macros, some do not have them. */
#undef alloc_contig_range
#define alloc_contig_range(start, end, flags, gfp)	seam_take(start, end)
#undef free_contig_range
#define free_contig_range(start, n)			seam_give(start, n)
#undef readl
#define readl				seam_readl
#undef writel
#define writel				seam_writel
#undef memcpy
#define memcpy				seam_memcpy
#define ktime_get_mono_fast_ns		seam_now
#undef kzalloc
#define kzalloc				seam_kzalloc
#undef kmalloc_array
#define kmalloc_array			seam_kmalloc_array
#undef kfree
#define kfree				seam_kfree
#undef get_zeroed_page
#define get_zeroed_page			seam_get_zeroed_page
#undef free_page
#define free_page			seam_free_page
#undef alloc_pages_node
#define alloc_pages_node		seam_alloc_pages_node
#undef __free_pages
#define __free_pages			seam_free_pages
#undef mempool_create_slab_pool
#define mempool_create_slab_pool	seam_create_slab_pool
#undef mempool_destroy
#define mempool_destroy			seam_mempool_destroy
#undef mempool_alloc
#define mempool_alloc			seam_mempool_alloc
#undef mempool_free
#define mempool_free			seam_mempool_free
#undef alloc_percpu
#define alloc_percpu(type)						\
	((typeof(type) __percpu *)seam_alloc_percpu(sizeof(type),	\
						    __alignof__(type)))
#undef xas_nomem
#define xas_nomem			seam_xas_nomem
#undef xas_store
#define xas_store			seam_xas_store
#undef free_percpu
#define free_percpu			seam_free_percpu
#define device_link_add			seam_device_link_add

#endif /* APPLE_DMA_SEAM_ITSELF */

#endif /* APPLE_DMA_SEAM_H */
