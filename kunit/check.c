// SPDX-License-Identifier: GPL-2.0-only
/*
 * The checks of check.h, with KUnit or with plain.h.
 */

#include "check.h"

/**
 * check_true() - CHECK(): end the case unless a condition holds
 * @test: the case
 * @ok: whether it holds
 * @text: its text
 * @func: the function it is in
 * @line: the line it is in
 *
 * Context: the thread of the case, may sleep.
 */
void check_true(struct kunit *test, bool ok, const char *text,
		const char *func, int line)
{
	KUNIT_ASSERT_TRUE_MSG(test, ok, "%s, line %d: %s", func, line, text);
}

/* CHECK_EQ(): the same for two numbers; @text is that of @found. */
void check_eq(struct kunit *test, u64 found, u64 wanted, const char *text,
	      const char *func, int line)
{
	KUNIT_ASSERT_TRUE_MSG(test, found == wanted,
			      "%s, line %d: %s is %llu, not %llu", func, line,
			      text, found, wanted);
}

/* EXPECT(): like check_true(), but the case goes on. */
void expect_true(struct kunit *test, bool ok, const char *text,
		 const char *func, int line)
{
	KUNIT_EXPECT_TRUE_MSG(test, ok, "%s, line %d: %s", func, line, text);
}

/* EXPECT_EQ(): like check_eq(), but the case goes on. */
void expect_eq(struct kunit *test, u64 found, u64 wanted, const char *text,
	       const char *func, int line)
{
	KUNIT_EXPECT_TRUE_MSG(test, found == wanted,
			      "%s, line %d: %s is %llu, not %llu", func, line,
			      text, found, wanted);
}
