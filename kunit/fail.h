/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Make one allocation fail, as /proc/self/fail-nth does: the nth one of this
 * thread from now on. Those that the kernel's fault injection sees count, and
 * those in seam.h.
 */
#ifndef APPLE_DMA_FAIL_H
#define APPLE_DMA_FAIL_H

#include <linux/sched.h>
#include <linux/slab.h>

#include "check.h"

/* More than any path has: the limit of a loop over allocations. */
#define FAIL_MOST	2000U

#if defined(CONFIG_FAILSLAB) && defined(CONFIG_FAIL_PAGE_ALLOC)

/* The @nth allocation fails, from 1; until fail_disarm(). */
static inline void fail_arm(unsigned int nth)
{
	WRITE_ONCE(current->fail_nth, nth);
}

/* Returns whether an allocation failed. */
static inline bool fail_disarm(void)
{
	bool failed = !READ_ONCE(current->fail_nth);

	WRITE_ONCE(current->fail_nth, 0);
	return failed;
}

/* End the case if injection does not work for allocations that may sleep. */
static inline void fail_needed(struct kunit *test)
{
	void *p;

	fail_arm(1);
	p = kmalloc(16, GFP_KERNEL);
	fail_disarm();
	kfree(p);
	if (p)
		kunit_info(test, "write N to debugfs' failslab/ignore-gfp-wait, fail_page_alloc/ignore-gfp-wait\n");
	CHECK(test, !p);
}

#else

static inline void fail_arm(unsigned int nth)
{
}

static inline bool fail_disarm(void)
{
	return false;
}

static inline void fail_needed(struct kunit *test)
{
	kunit_skip(test, "this kernel has no failslab or fail_page_alloc");
}

#endif

#endif /* APPLE_DMA_FAIL_H */
