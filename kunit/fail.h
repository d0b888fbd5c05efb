/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Let one allocation fail, by the means of /proc/self/fail-nth: the nth one of
 * this thread from now on, of all that the kernel's fault injection sees and
 * of those in seam.h.
 */
#ifndef APPLE_DMA_FAIL_H
#define APPLE_DMA_FAIL_H

#include <linux/sched.h>
#include <linux/slab.h>

#include "check.h"

/* More than any path here has: the end of a loop that has none. */
#define FAIL_MOST	2000U

#if defined(CONFIG_FAILSLAB) && defined(CONFIG_FAIL_PAGE_ALLOC)

/* From now on until fail_disarm(), the @nth allocation fails, from 1. */
static inline void fail_arm(unsigned int nth)
{
	WRITE_ONCE(current->fail_nth, nth);
}

/* Returns whether one has failed. */
static inline bool fail_disarm(void)
{
	bool failed = !READ_ONCE(current->fail_nth);

	WRITE_ONCE(current->fail_nth, 0);
	return failed;
}

/* End the case where this cannot work; what sleeps has to fail as well. */
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
