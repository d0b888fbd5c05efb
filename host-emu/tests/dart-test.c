// SPDX-License-Identifier: GPL-2.0
/* The DART model: placement, limits, translation, faults. */
#include "test.h"

#define VA	UINT64_C(0x7f0000000000)
#define PAGE	DART_PAGE_SIZE

static enum dart_status map(struct dart *dart, uint64_t va, uint64_t size, uint64_t *iova)
{
	struct dart_segment segments[DART_MAX_SEGMENTS];
	enum dart_status status;
	unsigned int count = 99;

	status = dart_map(dart, va, size, 0, segments, &count);
	if (status == DART_OK) {
		assert_int_equal(count, 1);
		assert_int_equal(segments[0].len, size);
		*iova = segments[0].iova;
	}
	return status;
}

static uint64_t must_map(struct dart *dart, uint64_t va, uint64_t size)
{
	uint64_t iova = 0;

	assert_int_equal(map(dart, va, size, &iova), DART_OK);
	return iova;
}

static void expect_usage(struct dart *dart, uint64_t entries, uint64_t bytes)
{
	struct dart_usage usage;

	dart_get_usage(dart, &usage);
	assert_int_equal(usage.entries, entries);
	assert_int_equal(usage.bytes, bytes);
}

static void names_and_policies_agree(void **state)
{
	enum dart_policy policy = DART_POLICIES;

	(void)state;
	for (int i = 0; i < DART_POLICIES; i++) {
		assert_true(names_parse(&dart_policies, dart_policies.name[i], &policy));
		assert_int_equal(policy, i);
		assert_non_null(strstr(names_list(&dart_policies), dart_policies.name[i]));
	}
	assert_false(names_parse(&dart_policies, "identity", &policy));
	assert_false(names_parse(&dart_policies, "", &policy));
}

static void width_of_the_space_has_bounds(void **state)
{
	struct dart_config config = { .max_bytes = GIB, .max_entries = 16 };
	struct dart *dart;

	(void)state;
	for (config.iova_bits = 31; config.iova_bits <= 65; config.iova_bits++) {
		dart = dart_create(&config);
		if (config.iova_bits < 32 || config.iova_bits > 64)
			assert_null(dart);
		else
			assert_non_null(dart);
		dart_destroy(dart);
	}
}

static void every_byte_translates_and_keeps_its_offset(void **state)
{
	(void)state;
	for (int policy = 0; policy < DART_POLICIES; policy++) {
		struct dart *dart = test_dart(policy, 1);
		const uint64_t va = VA + 0x1234, size = 2 * PAGE;	/* touches 3 pages */
		uint64_t iova = must_map(dart, va, size), got;

		assert_int_equal(iova % PAGE, va % PAGE);
		for (uint64_t i = 0; i < size; i++) {
			assert_true(dart_translate(dart, iova + i, i & 1, &got));
			assert_int_equal(got, va + i);
		}
		expect_usage(dart, 1, 3 * PAGE);
		dart_destroy(dart);
	}
}

static void whole_pages_are_exposed_and_no_more(void **state)
{
	(void)state;
	for (int policy = 0; policy < DART_POLICIES; policy++) {
		struct dart *dart = test_dart(policy, 2);
		uint64_t iova = must_map(dart, VA + 100, 1) - 100, got;

		assert_true(dart_translate(dart, iova, false, &got));
		assert_int_equal(got, VA);
		assert_true(dart_translate(dart, iova + PAGE - 1, true, &got));
		assert_int_equal(got, VA + PAGE - 1);
		assert_false(dart_translate(dart, iova - 1, false, &got));
		assert_false(dart_translate(dart, iova + PAGE, true, &got));
		dart_destroy(dart);
	}
}

static void faults_are_counted_by_direction(void **state)
{
	struct dart *dart = test_dart(DART_HIGH, 0);
	struct dart_usage usage;
	uint64_t va;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_false(dart_translate(dart, VA + i, false, &va));
	assert_false(dart_translate(dart, UINT64_MAX, true, &va));
	assert_false(dart_lookup(dart, VA, &va));
	dart_get_usage(dart, &usage);
	assert_int_equal(usage.read_faults, 3);
	assert_int_equal(usage.write_faults, 1);
	dart_destroy(dart);
}

static void stale_addresses_fault(void **state)
{
	(void)state;
	for (int policy = 0; policy < DART_REUSE; policy++) {
		struct dart *dart = test_dart(policy, 3);
		uint64_t first = must_map(dart, VA, PAGE), va;

		assert_int_equal(dart_unmap(dart, first), DART_OK);
		assert_int_equal(dart_unmap(dart, first), DART_NOT_FOUND);
		for (int i = 0; i < DART_QUARANTINE - 1; i++) {
			uint64_t iova = must_map(dart, VA, PAGE);

			assert_int_not_equal(iova, first);
			assert_false(dart_lookup(dart, first, &va));
			assert_int_equal(dart_unmap(dart, iova), DART_OK);
		}
		dart_destroy(dart);
	}
}

/* Whole pages of all mappings that lead there; a new mapping leads to new memory. */
static void memory_taken_away_is_not_translated(void **state)
{
	struct dart *dart = test_dart(DART_RANDOM, 1);
	uint64_t iova = must_map(dart, VA, 4 * PAGE);
	uint64_t other = must_map(dart, VA + 2 * PAGE, PAGE), va;

	(void)state;
	dart_stale(dart, NULL, VA + PAGE + 1, 2 * PAGE - 2);
	for (int i = 0; i < 4; i++)
		assert_true(dart_lookup(dart, iova + i * PAGE, &va));
	dart_stale(dart, NULL, VA + PAGE, 2 * PAGE);
	assert_true(dart_lookup(dart, iova, &va));
	assert_false(dart_lookup(dart, iova + PAGE, &va));
	assert_false(dart_lookup(dart, iova + 3 * PAGE - 1, &va));
	assert_true(dart_lookup(dart, iova + 3 * PAGE, &va));
	assert_false(dart_lookup(dart, other, &va));
	assert_int_equal(dart_unmap(dart, other), DART_OK);
	assert_true(dart_lookup(dart, must_map(dart, VA + 2 * PAGE, PAGE), &va));
	/* The same address of another owner is other memory. */
	dart_stale(dart, &other, VA, 4 * PAGE);
	assert_true(dart_lookup(dart, iova, &va));
	dart_destroy(dart);
}

/* Also where there is little to choose from and the choice is random. */
static void the_last_freed_address_comes_last(void **state)
{
	const struct dart_config config = {
		.policy = DART_RANDOM, .max_bytes = GIB, .max_entries = 64, .iova_bits = 32,
	};
	struct dart *dart = dart_create(&config);
	uint64_t freed = 0;

	(void)state;
	assert_int_equal(dart_reserve(dart, 0, 4 * GIB - 9 * PAGE), DART_OK);
	for (int i = 0; i < 1000; i++) {
		uint64_t iova = must_map(dart, VA, PAGE);

		assert_int_not_equal(iova, freed);
		freed = iova;
		assert_int_equal(dart_unmap(dart, iova), DART_OK);
	}
	dart_destroy(dart);
}

static void reuse_gives_what_was_freed_last_at_once(void **state)
{
	struct dart *dart = test_dart(DART_REUSE, 3);
	const uint64_t one = must_map(dart, VA, PAGE), three = must_map(dart, VA, 3 * PAGE);
	const uint64_t two = must_map(dart, VA, 2 * PAGE), last = must_map(dart, VA, PAGE);
	uint64_t va;

	(void)state;
	for (int i = 0; i < 100; i++) {
		assert_int_equal(dart_unmap(dart, last), DART_OK);
		assert_false(dart_lookup(dart, last, &va));
		assert_int_equal(must_map(dart, VA + i * PAGE, PAGE), last);
		assert_true(dart_lookup(dart, last, &va));
		assert_int_equal(va, VA + i * PAGE);
	}
	/* In turn, the last one first. */
	assert_int_equal(dart_unmap(dart, one), DART_OK);
	assert_int_equal(dart_unmap(dart, three), DART_OK);
	assert_int_equal(dart_unmap(dart, last), DART_OK);
	assert_int_equal(must_map(dart, VA, PAGE), last);
	/* A range that is too small is skipped; the rest of a larger one is kept. */
	assert_int_equal(dart_unmap(dart, last), DART_OK);
	assert_int_equal(must_map(dart, VA, 2 * PAGE), three);
	assert_int_equal(must_map(dart, VA, PAGE), last);
	assert_int_equal(must_map(dart, VA, PAGE), three + 2 * PAGE);
	assert_int_equal(must_map(dart, VA, PAGE), one);
	assert_int_equal(must_map(dart, VA, PAGE), last + PAGE);
	assert_int_equal(must_map(dart, VA, PAGE), last + 2 * PAGE);
	assert_true(dart_lookup(dart, two, &va));
	dart_destroy(dart);
}

static void aligned_is_aligned_to_a_power_of_two(void **state)
{
	struct dart *dart = test_dart(DART_ALIGNED, 6);
	uint64_t small = must_map(dart, VA, PAGE), odd = must_map(dart, VA, 3 * PAGE);
	uint64_t large = must_map(dart, VA, 128 * PAGE);

	(void)state;
	assert_int_equal(odd % (4 * PAGE), 0);
	assert_int_equal(large % (128 * PAGE), 0);
	/* The lowest place, and the fourth page of @odd is not one. */
	assert_int_equal(must_map(dart, VA, PAGE), small + PAGE);
	assert_int_equal(must_map(dart, VA, PAGE), small + 2 * PAGE);
	assert_int_equal(must_map(dart, VA, PAGE), small + 3 * PAGE);
	assert_int_equal(odd, small + 4 * PAGE);
	assert_int_equal(must_map(dart, VA, PAGE), small + 8 * PAGE);
	assert_int_equal(dart_unmap(dart, odd), DART_OK);
	assert_int_equal(must_map(dart, VA, 4 * PAGE), odd);
	dart_destroy(dart);
}

static void first_fit_takes_the_lowest_hole(void **state)
{
	struct dart *dart = test_dart(DART_FIRST_FIT, 7);
	const uint64_t one = must_map(dart, VA, PAGE), three = must_map(dart, VA, 3 * PAGE);
	const uint64_t last = must_map(dart, VA, PAGE);

	(void)state;
	assert_int_equal(three, one + PAGE);
	assert_int_equal(last, three + 3 * PAGE);
	assert_int_equal(dart_unmap(dart, three), DART_OK);
	assert_int_equal(dart_unmap(dart, one), DART_OK);
	assert_int_equal(must_map(dart, VA, 5 * PAGE), last + PAGE);
	assert_int_equal(must_map(dart, VA, 2 * PAGE), one);
	assert_int_equal(must_map(dart, VA, 2 * PAGE), one + 2 * PAGE);
	dart_destroy(dart);
}

static void sequential_goes_on_and_around(void **state)
{
	const struct dart_config config = {
		.policy = DART_SEQUENTIAL, .max_bytes = GIB, .max_entries = 64, .iova_bits = 32,
	};
	struct dart *dart = dart_create(&config);
	const uint64_t base = 4 * GIB - 9 * PAGE, end = base + 8 * PAGE;
	uint64_t last;

	(void)state;
	assert_int_equal(dart_reserve(dart, 0, base), DART_OK);
	last = must_map(dart, VA, PAGE);
	for (int i = 0; i < 100; i++) {
		uint64_t iova;

		assert_int_equal(dart_unmap(dart, last), DART_OK);
		iova = must_map(dart, VA, PAGE);
		assert_int_equal(iova, last + PAGE == end ? base : last + PAGE);
		last = iova;
	}
	dart_destroy(dart);
}

static void reuse_leaves_no_page_between_neighbours(void **state)
{
	struct dart *dart = test_dart(DART_REUSE, 4);
	uint64_t next = must_map(dart, VA, PAGE) + PAGE, va;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		const uint64_t pages = 1 + i % 5;

		assert_int_equal(must_map(dart, VA, pages * PAGE), next);
		assert_true(dart_lookup(dart, next - 1, &va));
		next += pages * PAGE;
	}
	assert_false(dart_lookup(dart, next, &va));
	dart_destroy(dart);
}

/* Even when that range was freed last; the next one is taken instead. */
static void reuse_passes_over_the_memorys_own_address(void **state)
{
	struct dart *dart = test_dart(DART_REUSE, 5);
	const uint64_t first = must_map(dart, VA, PAGE), second = must_map(dart, VA, PAGE);
	struct dart_segment segments[DART_MAX_SEGMENTS];
	unsigned int count;

	(void)state;
	assert_int_equal(dart_unmap(dart, first), DART_OK);
	assert_int_equal(dart_unmap(dart, second), DART_OK);
	assert_int_equal(must_map(dart, second, PAGE), first);
	assert_int_equal(dart_unmap(dart, first), DART_OK);
	assert_int_equal(dart_map(dart, VA, PAGE, first, segments, &count), DART_OK);
	assert_int_equal(segments[0].iova, second);
	dart_destroy(dart);
}

/* More ranges than are remembered, freed in an order that joins none at once. */
static void reuse_loses_nothing(void **state)
{
	enum { PAGES = 3 * DART_QUARANTINE };
	const struct dart_config config = {
		.policy = DART_REUSE, .max_bytes = GIB, .max_entries = PAGES, .iova_bits = 32,
	};
	struct dart *dart = dart_create(&config);
	const uint64_t base = 4 * GIB - (PAGES + 1) * PAGE;
	uint64_t iova;

	(void)state;
	assert_int_equal(dart_reserve(dart, 0, base), DART_OK);
	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < PAGES; i++)
			must_map(dart, VA, PAGE);
		assert_int_equal(map(dart, VA, PAGE, &iova), DART_LIMIT_ENTRIES);
		for (int i = 0; i < PAGES; i++)
			assert_int_equal(dart_unmap(dart, base + i * 7 % PAGES * PAGE), DART_OK);
		iova = must_map(dart, VA, PAGES * PAGE);
		assert_int_equal(iova, base);
		assert_int_equal(dart_unmap(dart, iova), DART_OK);
	}
	dart_destroy(dart);
}

static void unmap_wants_the_start(void **state)
{
	struct dart *dart = test_dart(DART_HIGH, 0);
	uint64_t iova = must_map(dart, VA, 4 * PAGE);

	(void)state;
	assert_int_equal(dart_unmap(dart, iova + PAGE), DART_NOT_FOUND);
	assert_int_equal(dart_unmap(dart, iova - PAGE), DART_NOT_FOUND);
	assert_int_equal(dart_unmap(dart, iova), DART_OK);
	expect_usage(dart, 0, 0);
	dart_destroy(dart);
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int by_address(const void *a, const void *b)
{
	const struct dart_segment *x = a, *y = b;

	return (x->iova > y->iova) - (x->iova < y->iova);
}

/* 65,536 mappings at once: none overlaps another, all translate. */
static void full_table_has_no_overlap(void **state)
{
	const size_t count = 65536;
	uint64_t *iovas = calloc(count, sizeof(*iovas));

	(void)state;
	assert_non_null(iovas);
	for (int policy = 0; policy < DART_POLICIES; policy++) {
		struct dart *dart = test_dart(policy, 4);
		uint64_t va;

		for (size_t i = 0; i < count; i++)
			iovas[i] = must_map(dart, VA + 2 * i * PAGE, 1 + i % (2 * PAGE));
		for (size_t i = 0; i < count; i++) {
			uint64_t last = i % (2 * PAGE);

			assert_true(dart_lookup(dart, iovas[i] + last, &va));
			assert_int_equal(va, VA + 2 * i * PAGE + last);
			iovas[i] |= last / PAGE;	/* pages - 1, in the offset */
		}
		qsort(iovas, count, sizeof(*iovas), by_value);
		for (size_t i = 1; i < count; i++)
			assert_true(iovas[i] / PAGE - iovas[i - 1] / PAGE > (iovas[i - 1] & 1));
		dart_destroy(dart);
	}
	free(iovas);
}

/*
 * Until the space is full, or the table: every byte of every mapping is inside
 * the space, page 0 and the last page are in none, and no two overlap.
 */
static void fill_space(enum dart_policy policy, unsigned int bits)
{
	enum { MOST = 16384 };	/* fills the narrowest */
	static const uint64_t pages[] = { 1, 1, 2, 3, 1, 5, 1, 128 };
	static struct dart_segment got[MOST];
	const struct dart_config config = {
		.policy = policy, .seed = 12, .max_bytes = UINT64_MAX, .max_entries = 65536,
		.iova_bits = bits,
	};
	const uint64_t last = UINT64_MAX >> (64 - bits);
	struct dart *dart = dart_create(&config);
	size_t count = 0, full = 0;

	/* A size that no longer fits is passed over, until nothing fits. */
	for (size_t i = 0; count < MOST && full < 8; i++) {
		struct dart_segment *s = &got[count];
		enum dart_status status;

		s->len = pages[i % 8] * PAGE - i % PAGE;
		status = map(dart, VA + i % PAGE, s->len, &s->iova);
		full = status == DART_OK ? 0 : full + 1;
		if (status != DART_OK) {
			assert_int_equal(status, DART_NO_SPACE);
			continue;
		}
		count++;
		if (s->iova < PAGE || s->iova > last - PAGE || s->len > last - PAGE - s->iova + 1)
			fail_msg("%s, %u bits: mapping %zu is at %#jx, and has %#jx bytes",
				 dart_policies.name[policy], bits, count, (uintmax_t)s->iova,
				 (uintmax_t)s->len);
	}
	assert_true(count > 4096);
	qsort(got, count, sizeof(got[0]), by_address);
	for (size_t i = 1; i < count; i++)
		assert_true(got[i].iova / PAGE > (got[i - 1].iova + got[i - 1].len - 1) / PAGE);
	dart_destroy(dart);
}

static void no_mapping_leaves_a_space_of_any_width(void **state)
{
	static const unsigned int widths[] = {
		DART_MIN_IOVA_BITS, 33, 40, 41, DART_MAX_IOVA_BITS,
	};

	(void)state;
	for (int policy = 0; policy < DART_POLICIES; policy++)
		for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++)
			fill_space(policy, widths[i]);
}

/* Small holes for a table of any size leave room for the few large ones. */
static void a_narrow_fragmented_space_has_large_holes(void **state)
{
	const struct dart_config config = {
		.policy = DART_FRAGMENTED, .max_bytes = UINT64_MAX, .max_entries = 65536,
		.iova_bits = DART_MIN_IOVA_BITS,
	};
	struct dart *dart = dart_create(&config);

	(void)state;
	must_map(dart, VA, DART_LARGEST_HOLE);
	dart_destroy(dart);
}

static void placement_stays_where_the_policy_says(void **state)
{
	(void)state;
	for (int policy = 0; policy < DART_POLICIES; policy++) {
		struct dart *dart = test_dart(policy, 5);
		uint64_t all = 0;

		for (int i = 0; i < 1000; i++) {
			uint64_t iova = must_map(dart, VA + i * PAGE, PAGE);

			all |= iova;
			assert_true(iova >= PAGE && iova + PAGE < UINT64_C(1) << 47);
			if (policy != DART_RANDOM)
				assert_true(iova >= UINT64_C(1) << 39);
		}
		if (policy == DART_RANDOM)
			assert_int_equal(all, (UINT64_C(1) << 47) - PAGE);
		dart_destroy(dart);
	}
}

static void same_seed_same_addresses(void **state)
{
	(void)state;
	for (int policy = 0; policy < DART_POLICIES; policy++) {
		struct dart *one = test_dart(policy, 6), *same = test_dart(policy, 6);
		struct dart *other = test_dart(policy, 7);
		int equal = 0;

		for (int i = 0; i < 100; i++) {
			uint64_t iova = must_map(one, VA, PAGE * (1 + i % 3));

			assert_int_equal(must_map(same, VA, PAGE * (1 + i % 3)), iova);
			equal += must_map(other, VA, PAGE * (1 + i % 3)) == iova;
		}
		/* The lowest place is the same for all seeds. */
		assert_true(equal < 100 || policy == DART_ALIGNED ||
			    policy == DART_FIRST_FIT);
		dart_destroy(one);
		dart_destroy(same);
		dart_destroy(other);
	}
}

/* The address that would come next is passed over when it is the memory's own. */
static void never_identity(void **state)
{
	struct dart_segment segments[DART_MAX_SEGMENTS];
	unsigned int count;

	(void)state;
	for (int policy = 0; policy < DART_POLICIES; policy++) {
		const struct dart_config config = {
			.policy = policy, .max_bytes = GIB, .max_entries = 64, .iova_bits = 32,
		};
		struct dart *probe = dart_create(&config), *dart = dart_create(&config);
		uint64_t next = must_map(probe, VA, PAGE);

		/* First as the memory's address, then as the handle's. */
		assert_int_equal(dart_map(dart, next, PAGE, 0, segments, &count), DART_OK);
		assert_int_not_equal(segments[0].iova, next);
		dart_destroy(dart);
		dart = dart_create(&config);
		assert_int_equal(dart_map(dart, VA, PAGE, next, segments, &count), DART_OK);
		assert_int_not_equal(segments[0].iova, next);
		dart_destroy(dart);
		dart_destroy(probe);
	}
}

static void count_limit_is_exact(void **state)
{
	const uint32_t limits[] = { 1, 2, 1000, 65536 };

	(void)state;
	for (int policy = 0; policy < DART_POLICIES; policy++) {
		for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
			const struct dart_config config = {
				.policy = policy, .max_bytes = 1024 * GIB,
				.max_entries = limits[i], .iova_bits = 47,
			};
			struct dart *dart = dart_create(&config);
			uint64_t iova = 0, extra;

			for (uint32_t n = 0; n < limits[i]; n++)
				iova = must_map(dart, VA + n * PAGE, 1);
			assert_int_equal(map(dart, VA, 1, &extra), DART_LIMIT_ENTRIES);
			assert_int_equal(dart_unmap(dart, iova), DART_OK);
			must_map(dart, VA, 1);
			assert_int_equal(map(dart, VA, 1, &extra), DART_LIMIT_ENTRIES);
			dart_destroy(dart);
		}
	}
}

static void byte_limit_is_exact(void **state)
{
	const struct dart_config config = {
		.max_bytes = 8 * PAGE, .max_entries = 100, .iova_bits = 47,
	};
	struct dart *dart = dart_create(&config);
	uint64_t iova, extra;

	(void)state;
	assert_int_equal(map(dart, VA, 8 * PAGE + 1, &extra), DART_LIMIT_BYTES);
	iova = must_map(dart, VA, 8 * PAGE);
	assert_int_equal(map(dart, VA, 1, &extra), DART_LIMIT_BYTES);
	assert_int_equal(dart_unmap(dart, iova), DART_OK);
	/* The same length over one boundary more is one page more. */
	assert_int_equal(map(dart, VA + 1, 8 * PAGE, &extra), DART_LIMIT_BYTES);
	for (int i = 0; i < 4; i++)
		must_map(dart, VA + PAGE - 1, 2);
	assert_int_equal(map(dart, VA, 1, &extra), DART_LIMIT_BYTES);
	expect_usage(dart, 4, 8 * PAGE);
	dart_destroy(dart);
}

static void two_share_a_limit(void **state)
{
	struct dart_pool pool = DART_POOL_INIT;
	const struct dart_config config = {
		.max_bytes = 8 * PAGE, .max_entries = 100, .iova_bits = 47, .pool = &pool,
		.max_segment = PAGE,
	};
	struct dart *a = dart_create(&config), *b = dart_create(&config);
	uint64_t iova, extra;

	(void)state;
	pool.max_bytes = 8 * PAGE;
	iova = must_map(a, VA, PAGE);
	for (int i = 1; i < 5; i++)
		must_map(a, VA + i * PAGE, PAGE);
	for (int i = 0; i < 3; i++)
		must_map(b, VA + i * PAGE, PAGE);
	assert_int_equal(map(a, VA, 1, &extra), DART_LIMIT_BYTES);
	assert_int_equal(map(b, VA, 1, &extra), DART_LIMIT_BYTES);
	assert_int_equal(dart_unmap(a, iova), DART_OK);
	/* Two pieces: the first one is given back. */
	assert_int_equal(map(b, VA, 2 * PAGE, &extra), DART_LIMIT_BYTES);
	assert_int_equal(pool.bytes, 7 * PAGE);
	must_map(b, VA, PAGE);
	assert_int_equal(pool.peak, 8 * PAGE);
	dart_destroy(a);
	assert_int_equal(pool.bytes, 4 * PAGE);
	dart_destroy(b);
	assert_int_equal(pool.bytes, 0);
}

static void a_limit_that_is_no_whole_page_is_rounded_down(void **state)
{
	const struct dart_config config = {
		.max_bytes = 2 * PAGE - 1, .max_entries = 100, .iova_bits = 47,
	};
	struct dart *dart = dart_create(&config);
	uint64_t extra;

	(void)state;
	must_map(dart, VA, PAGE);
	assert_int_equal(map(dart, VA, 1, &extra), DART_LIMIT_BYTES);
	dart_destroy(dart);
}

static void bad_ranges_are_refused(void **state)
{
	struct dart *dart = test_dart(DART_HIGH, 0);
	uint64_t iova;

	(void)state;
	assert_int_equal(map(dart, VA, 0, &iova), DART_BAD_RANGE);
	assert_int_equal(map(dart, UINT64_MAX, 2, &iova), DART_BAD_RANGE);
	assert_int_equal(map(dart, 2, UINT64_MAX, &iova), DART_BAD_RANGE);
	assert_int_equal(dart_reserve(dart, VA, 0), DART_BAD_RANGE);
	assert_int_equal(dart_reserve(dart, 2, UINT64_MAX), DART_BAD_RANGE);
	expect_usage(dart, 0, 0);
	must_map(dart, UINT64_MAX, 1);
	/* The last range: no space is left. */
	assert_int_equal(dart_reserve(dart, 1, UINT64_MAX), DART_OK);
	assert_int_equal(map(dart, VA, 1, &iova), DART_NO_SPACE);
	dart_destroy(dart);
}

static void reserved_ranges_are_never_given(void **state)
{
	const struct dart_config config = {
		.policy = DART_RANDOM, .max_bytes = 1024 * GIB, .max_entries = 1 << 17,
		.iova_bits = 32,
	};
	struct dart *dart = dart_create(&config);

	(void)state;
	assert_int_equal(dart_reserve(dart, 0x10001, 3 * GIB), DART_OK);
	for (int i = 0; i < 10000; i++) {
		uint64_t iova = must_map(dart, VA, PAGE);

		assert_true(iova < 0x10000 || iova >= 3 * GIB + 0x14000);
	}
	dart_destroy(dart);
}

static void fragmented_fails_by_size_not_by_total(void **state)
{
	struct dart *dart = test_dart(DART_FRAGMENTED, 9);
	uint64_t iova;
	int large = 0;

	(void)state;
	assert_int_equal(map(dart, VA, DART_LARGEST_HOLE + 1, &iova), DART_NO_SPACE);
	while (map(dart, VA, 4 * MIB, &iova) == DART_OK)
		large++;
	assert_in_range(large, 1, 64);
	for (int i = 0; i < 65536; i++)
		must_map(dart, VA, PAGE);
	dart_destroy(dart);
}

static void long_requests_come_in_segments(void **state)
{
	const struct dart_config config = {
		.max_bytes = GIB, .max_entries = 40, .max_segment = 2 * PAGE, .iova_bits = 47,
	};
	struct dart *dart = dart_create(&config);
	struct dart_segment segments[DART_MAX_SEGMENTS];
	const uint64_t va = VA + 0x100, size = 5 * PAGE - 0x200;
	unsigned int count;
	uint64_t at = va, got;

	(void)state;
	assert_int_equal(dart_map(dart, va, size, 0, segments, &count), DART_OK);
	assert_int_equal(count, 3);
	for (unsigned int i = 0; i < count; i++) {
		assert_int_equal(segments[i].iova % PAGE, at % PAGE);
		assert_true(dart_lookup(dart, segments[i].iova, &got));
		assert_int_equal(got, at);
		assert_true(dart_lookup(dart, segments[i].iova + segments[i].len - 1, &got));
		assert_int_equal(got, at + segments[i].len - 1);
		at += segments[i].len;
	}
	assert_int_equal(at, va + size);
	expect_usage(dart, 3, 5 * PAGE);

	/* 32 segments at most, each counted against the limit. */
	assert_int_equal(dart_map(dart, VA, 64 * PAGE + 1, 0, segments, &count),
			 DART_TOO_MANY_SEGMENTS);
	assert_int_equal(dart_map(dart, VA, 64 * PAGE, 0, segments, &count), DART_OK);
	assert_int_equal(count, 32);
	expect_usage(dart, 35, 69 * PAGE);
	assert_int_equal(dart_map(dart, VA, 12 * PAGE, 0, segments, &count), DART_LIMIT_ENTRIES);
	assert_int_equal(dart_map(dart, VA, 10 * PAGE, 0, segments, &count), DART_OK);
	dart_destroy(dart);
}

/* No room for the second segment: the first one is gone too. */
static void failing_segment_rolls_back(void **state)
{
	const struct dart_config config = {
		.policy = DART_FRAGMENTED, .max_bytes = 1024 * GIB, .max_entries = 1 << 17,
		.max_segment = DART_LARGEST_HOLE, .iova_bits = 47,
	};
	struct dart *dart = dart_create(&config);
	struct dart_segment segments[DART_MAX_SEGMENTS];
	enum dart_status status;
	unsigned int count;
	uint64_t done = 0;

	(void)state;
	do {
		status = dart_map(dart, VA, 3 * DART_LARGEST_HOLE, 0, segments, &count);
		done += status == DART_OK;
		assert_true(done < 100);
	} while (status == DART_OK);
	assert_int_equal(status, DART_NO_SPACE);
	expect_usage(dart, 3 * done, 3 * done * DART_LARGEST_HOLE);
	dart_destroy(dart);
}

/* Random maps and unmaps against a table kept on the side. */
static void long_run_agrees_with_a_simple_table(void **state)
{
	enum { SLOTS = 512, STEPS = 60000 };
	static struct { uint64_t va, size, iova; } slots[SLOTS];

	(void)state;
	for (int policy = 0; policy < DART_POLICIES; policy++) {
		struct dart *dart = test_dart(policy, 10);
		uint64_t entries = 0, bytes = 0;

		srand(policy);
		memset(slots, 0, sizeof(slots));
		for (int step = 0; step < STEPS; step++) {
			const int i = rand() % SLOTS;
			uint64_t last, got;

			if (!slots[i].size) {
				slots[i].va = VA + (uint64_t)rand() % GIB;
				slots[i].size = 1 + rand() % (4 * PAGE);
				slots[i].iova = must_map(dart, slots[i].va, slots[i].size);
				entries++;
				last = slots[i].va + slots[i].size - 1;
				bytes += (last / PAGE - slots[i].va / PAGE + 1) * PAGE;
			} else {
				last = slots[i].va + slots[i].size - 1;
				assert_true(dart_lookup(dart, slots[i].iova + slots[i].size - 1,
							&got));
				assert_int_equal(got, last);
				assert_int_equal(dart_unmap(dart, slots[i].iova), DART_OK);
				assert_false(dart_lookup(dart, slots[i].iova, &got));
				entries--;
				bytes -= (last / PAGE - slots[i].va / PAGE + 1) * PAGE;
				slots[i].size = 0;
			}
			expect_usage(dart, entries, bytes);
		}
		dart_destroy(dart);
	}
}

/*
 * A space of 20 free pages: every page may be a guard or a mapping, and all of
 * them are one range again after that.
 */
static void nothing_is_lost_when_all_is_used(void **state)
{
	(void)state;
	for (int policy = 0; policy < DART_POLICIES; policy++) {
		const struct dart_config config = {
			.policy = policy, .seed = 11, .max_bytes = 1024 * GIB,
			.max_entries = 1 << 17, .iova_bits = 32,
		};
		struct dart *dart;

		/* Its free space is never one range; 20 pages are rounded up to 32. */
		if (policy == DART_FRAGMENTED || policy == DART_ALIGNED)
			continue;
		dart = dart_create(&config);
		assert_int_equal(dart_reserve(dart, 0, 4 * GIB - 21 * PAGE), DART_OK);
		for (int round = 0; round < 50; round++) {
			uint64_t iovas[21], all;
			int count = 0;

			while (map(dart, VA, PAGE, &iovas[count]) == DART_OK)
				assert_true(++count <= 20);
			assert_true(count >= 10);
			while (count)
				assert_int_equal(dart_unmap(dart, iovas[--count]), DART_OK);
			all = must_map(dart, VA, 20 * PAGE);
			assert_int_equal(map(dart, VA, 1, iovas), DART_NO_SPACE);
			assert_int_equal(dart_unmap(dart, all), DART_OK);
		}
		dart_destroy(dart);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_policies_agree),
		cmocka_unit_test(width_of_the_space_has_bounds),
		cmocka_unit_test(every_byte_translates_and_keeps_its_offset),
		cmocka_unit_test(whole_pages_are_exposed_and_no_more),
		cmocka_unit_test(faults_are_counted_by_direction),
		cmocka_unit_test(stale_addresses_fault),
		cmocka_unit_test(memory_taken_away_is_not_translated),
		cmocka_unit_test(the_last_freed_address_comes_last),
		cmocka_unit_test(aligned_is_aligned_to_a_power_of_two),
		cmocka_unit_test(first_fit_takes_the_lowest_hole),
		cmocka_unit_test(sequential_goes_on_and_around),
		cmocka_unit_test(reuse_gives_what_was_freed_last_at_once),
		cmocka_unit_test(reuse_leaves_no_page_between_neighbours),
		cmocka_unit_test(reuse_passes_over_the_memorys_own_address),
		cmocka_unit_test(reuse_loses_nothing),
		cmocka_unit_test(unmap_wants_the_start),
		cmocka_unit_test(full_table_has_no_overlap),
		cmocka_unit_test(no_mapping_leaves_a_space_of_any_width),
		cmocka_unit_test(a_narrow_fragmented_space_has_large_holes),
		cmocka_unit_test(placement_stays_where_the_policy_says),
		cmocka_unit_test(same_seed_same_addresses),
		cmocka_unit_test(never_identity),
		cmocka_unit_test(count_limit_is_exact),
		cmocka_unit_test(byte_limit_is_exact),
		cmocka_unit_test(two_share_a_limit),
		cmocka_unit_test(a_limit_that_is_no_whole_page_is_rounded_down),
		cmocka_unit_test(bad_ranges_are_refused),
		cmocka_unit_test(reserved_ranges_are_never_given),
		cmocka_unit_test(fragmented_fails_by_size_not_by_total),
		cmocka_unit_test(long_requests_come_in_segments),
		cmocka_unit_test(failing_segment_rolls_back),
		cmocka_unit_test(long_run_agrees_with_a_simple_table),
		cmocka_unit_test(nothing_is_lost_when_all_is_used),
	};

	return cmocka_run_group_tests_name("dart", tests, NULL, NULL);
}
