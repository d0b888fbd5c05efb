// SPDX-License-Identifier: GPL-2.0
/* Which pages of a Mac have gone when a guest gives back parts of them. */
#include "test.h"

#include "lib/discards.h"

#define PAGE	DISCARDS_PAGE
#define PART	DISCARDS_PART
#define BASE	(UINT64_C(0x7f0000000000))

/* What discards_add() told, and the one part that was used again. */
struct seen {
	struct discards discards;
	uint64_t used;
	unsigned int calls;
	uint64_t start;
	uint64_t size;
};

static bool came_again(void *arg, uint64_t part)
{
	struct seen *seen = arg;

	return part == seen->used;
}

static void gone(void *arg, uint64_t start, uint64_t size)
{
	struct seen *seen = arg;

	seen->calls++;
	seen->start = start;
	seen->size = size;
}

static const struct discards_ops ops = { came_again, gone };

/* Give back memory; the pages that go by this are exactly these. */
static void add(struct seen *seen, uint64_t start, uint64_t size, uint64_t gone_start,
		uint64_t gone_size)
{
	seen->calls = 0;
	discards_add(&seen->discards, start, size, &ops, seen);
	assert_int_equal(seen->calls, gone_size ? 1 : 0);
	if (!gone_size)
		return;
	assert_true(seen->start == gone_start);
	assert_true(seen->size == gone_size);
}

static void whole_pages_go_at_once(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	add(&seen, BASE, 0, 0, 0);
	add(&seen, BASE, PAGE, BASE, PAGE);
	add(&seen, BASE + PAGE + PART, 4 * PAGE, BASE + 2 * PAGE, 3 * PAGE);
	discards_fini(&seen.discards);
	assert_null(seen.discards.pages.root);
}

/* The rest of the page was never used: the guest still has it. */
static void a_part_is_not_the_page(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	for (unsigned int i = 0; i < 100; i++)
		add(&seen, BASE + i * PAGE + i % 4 * PART, PART, 0, 0);
	add(&seen, BASE + 100 * PAGE, 3 * PART, 0, 0);
	discards_fini(&seen.discards);
}

static void the_last_part_takes_the_page_with_it(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	add(&seen, BASE + 2 * PART, PART, 0, 0);
	add(&seen, BASE, PART, 0, 0);
	add(&seen, BASE + 2 * PART, PART, 0, 0);
	add(&seen, BASE + 3 * PART, PART, 0, 0);
	add(&seen, BASE + PART, 1, BASE, PAGE);
	discards_fini(&seen.discards);
}

static void a_part_that_came_again_keeps_the_page(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	add(&seen, BASE, 3 * PART, 0, 0);
	seen.used = BASE + PART;
	add(&seen, BASE + 3 * PART, PART, 0, 0);
	/* It is in use until it is given back once more. */
	seen.used = 0;
	add(&seen, BASE + 3 * PART, PART, 0, 0);
	add(&seen, BASE + PART, PART, BASE, PAGE);
	/* A page that went goes again when what came again is given back. */
	add(&seen, BASE + 3 * PART, PART, BASE, PAGE);
	discards_fini(&seen.discards);
}

static void pages_that_go_are_told_in_runs(void **state)
{
	struct seen seen = { 0 };

	(void)state;
	add(&seen, BASE + 10 * PAGE, 2 * PART, 0, 0);
	add(&seen, BASE + 10 * PAGE + 2 * PART, 20 * PAGE, BASE + 10 * PAGE, 20 * PAGE);
	discards_fini(&seen.discards);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_pages_go_at_once),
		cmocka_unit_test(a_part_is_not_the_page),
		cmocka_unit_test(the_last_part_takes_the_page_with_it),
		cmocka_unit_test(a_part_that_came_again_keeps_the_page),
		cmocka_unit_test(pages_that_go_are_told_in_runs),
	};

	return cmocka_run_group_tests_name("discards", tests, NULL, NULL);
}
