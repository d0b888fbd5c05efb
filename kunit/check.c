// SPDX-License-Identifier: GPL-2.0-only
/*
 * The checks of check.h, on KUnit; plain.c has them where there is none.
 */

#include "check.h"

/**
 * check_true() - CHECK(): end the case unless something is true
 * @test: the case
 * @ok: is it?
 * @text: how it reads
 * @func: where that is
 * @line: where that is
 *
 * Context: the thread of the case, may sleep.
 */
void check_true(struct kunit *test, bool ok, const char *text,
		const char *func, int line)
{
	KUNIT_ASSERT_TRUE_MSG(test, ok, "%s, line %d: %s", func, line, text);
}

/**
 * check_eq() - CHECK_EQ(): end the case unless two numbers are equal
 * @test: the case
 * @found: the number found
 * @wanted: the number wanted
 * @text: how @found reads
 * @func: where that is
 * @line: where that is
 *
 * Context: the thread of the case, may sleep.
 */
void check_eq(struct kunit *test, u64 found, u64 wanted, const char *text,
	      const char *func, int line)
{
	KUNIT_ASSERT_EQ_MSG(test, found, wanted, "%s, line %d: %s", func, line,
			    text);
}

/**
 * expect_true() - EXPECT(): like check_true(), and go on
 * @test: the case
 * @ok: is it?
 * @text: how it reads
 * @func: where that is
 * @line: where that is
 *
 * Context: may sleep.
 */
void expect_true(struct kunit *test, bool ok, const char *text,
		 const char *func, int line)
{
	KUNIT_EXPECT_TRUE_MSG(test, ok, "%s, line %d: %s", func, line, text);
}

/**
 * expect_eq() - EXPECT_EQ(): like check_eq(), and go on
 * @test: the case
 * @found: the number found
 * @wanted: the number wanted
 * @text: how @found reads
 * @func: where that is
 * @line: where that is
 *
 * Context: may sleep.
 */
void expect_eq(struct kunit *test, u64 found, u64 wanted, const char *text,
	       const char *func, int line)
{
	KUNIT_EXPECT_EQ_MSG(test, found, wanted, "%s, line %d: %s", func, line,
			    text);
}
