// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lets a function of the kernel be refused, once: the next call of it by who
 * asks for this, or by a child, returns at once, with an error. For
 * scripts/tests/test_vm_faults.py, in its guests.
 *
 *	echo "pcim_iomap 0" >/sys/module/apple_dma_faults/parameters/refuse
 *	echo >/sys/module/apple_dma_faults/parameters/refuse
 *
 * arms it and takes the probe away. The parameter reads as what is armed; as
 * nothing, when that has been used. The kernel's own fault injection does the
 * same (fail_function), but asks for a random number first, under locks that
 * must not be taken where a breakpoint may hit: lockdep says so.
 */

#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <asm/text-patching.h>

static char symbol[64];
static long value;
static pid_t who;
static atomic_t left;
static bool probed;

static int refuse(struct kprobe *probe, struct pt_regs *regs)
{
	/* A parent does not go away while interrupts are off. */
	if (current->tgid != who &&
	    rcu_dereference_raw(current->real_parent)->tgid != who)
		return 0;
	if (atomic_dec_if_positive(&left) < 0)
		return 0;
	regs_set_return_value(regs, value);
	int3_emulate_ret(regs);
	return 1;
}

NOKPROBE_SYMBOL(refuse);

/* With one the probe stays a breakpoint: from a jump there is no way to return. */
static void after(struct kprobe *probe, struct pt_regs *regs,
		  unsigned long flags)
{
}

static struct kprobe probe;

static void disarm(void)
{
	if (probed)
		unregister_kprobe(&probe);
	probed = false;
	atomic_set(&left, 0);
}

/* Serialised by the lock of the module's parameters. */
static int refuse_set(const char *text, const struct kernel_param *kp)
{
	int err;

	disarm();
	if (!*skip_spaces(text))
		return 0;
	if (sscanf(text, "%63s %ld", symbol, &value) != 2)
		return -EINVAL;
	probe = (struct kprobe) {
		.symbol_name = symbol,
		.pre_handler = refuse,
		.post_handler = after,
	};
	err = register_kprobe(&probe);
	if (err)
		return err;
	probed = true;
	who = current->tgid;
	atomic_set(&left, 1);
	return 0;
}

static int refuse_get(char *text, const struct kernel_param *kp)
{
	return atomic_read(&left) ? sysfs_emit(text, "%s %ld\n", symbol, value) :
				    sysfs_emit(text, "\n");
}

static const struct kernel_param_ops refuse_ops = {
	.set = refuse_set,
	.get = refuse_get,
};
module_param_cb(refuse, &refuse_ops, NULL, 0600);
MODULE_PARM_DESC(refuse, "a function, and what it is to return when it is called next");

static int __init apple_dma_faults_init(void)
{
	return 0;
}
module_init(apple_dma_faults_init);

static void __exit apple_dma_faults_exit(void)
{
	disarm();
}
module_exit(apple_dma_faults_exit);

MODULE_DESCRIPTION("Refuses what apple_dma asks the kernel for");
MODULE_AUTHOR("The apple-dma authors");
MODULE_LICENSE("GPL");
