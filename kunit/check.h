/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What suites use: KUnit, or plain.h where the kernel has no KUnit, as Debian's
 * kernels.
 *
 * The checks are functions, because each KUNIT_ASSERT_*() takes room in the
 * stack frame of its caller.
 */
#ifndef APPLE_DMA_CHECK_H
#define APPLE_DMA_CHECK_H

#include <linux/types.h>

#ifdef APPLE_DMA_PLAIN
#include "plain.h"
#else
#include <kunit/test.h>
#endif

void check_true(struct kunit *test, bool ok, const char *text,
		const char *func, int line);
void check_eq(struct kunit *test, u64 found, u64 wanted, const char *text,
	      const char *func, int line);
void expect_true(struct kunit *test, bool ok, const char *text,
		 const char *func, int line);
void expect_eq(struct kunit *test, u64 found, u64 wanted, const char *text,
	       const char *func, int line);

/* These end the case if they fail; its suite's .exit still runs. */
#define CHECK(test, cond)						\
	check_true(test, cond, #cond, __func__, __LINE__)
#define CHECK_EQ(test, found, wanted)					\
	check_eq(test, found, wanted, #found, __func__, __LINE__)

/* After these the case goes on; for .exit, and where something must be undone first. */
#define EXPECT(test, cond)						\
	expect_true(test, cond, #cond, __func__, __LINE__)
#define EXPECT_EQ(test, found, wanted)					\
	expect_eq(test, found, wanted, #found, __func__, __LINE__)

#endif /* APPLE_DMA_CHECK_H */
