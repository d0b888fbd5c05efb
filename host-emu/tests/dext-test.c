// SPDX-License-Identifier: GPL-2.0
/* The extension: every check of every selector, in order, with its IOReturn. */
#include "test.h"

#include <time.h>

#include "dext/dext.h"

#define VA	UINT64_C(0x7f0000000000)

struct fixture {
	struct dart *dart;
	struct dext *dext;
	struct dext_client *client;
};

static struct fixture *make(const struct dart_config *config)
{
	struct fixture *f = calloc(1, sizeof(*f));

	assert_non_null(f);
	f->dart = dart_create(config);
	assert_non_null(f->dart);
	f->dext = dext_create(f->dart);
	f->client = dext_open(f->dext);
	assert_non_null(f->client);
	return f;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	dext_close(f->client);
	dext_destroy(f->dext);
	dart_destroy(f->dart);
	free(f);
	return 0;
}

static int setup(void **state)
{
	const struct dart_config config = {
		.max_bytes = 1024 * GIB, .max_entries = 1 << 20, .iova_bits = 47,
	};

	*state = make(&config);
	return 0;
}

static IOReturn simple(struct dext_client *client, uint32_t selector)
{
	return dext_call(client, selector, NULL, 0, NULL, NULL);
}

static IOReturn reg(struct dext_client *client, uint64_t handle, uint64_t va, uint64_t size,
		    uint64_t out[3])
{
	const uint64_t in[3] = { handle, va, size };
	uint64_t room[3];
	uint32_t count = 3;
	IOReturn ret;

	ret = dext_call(client, SELECTOR_REGISTER_DMA_REGION, in, 3, out ? out : room, &count);
	assert_int_equal(count, ret == kIOReturnSuccess ? 3 : 0);
	return ret;
}

static IOReturn unreg(struct dext_client *client, uint64_t handle)
{
	return dext_call(client, SELECTOR_UNREGISTER_DMA_REGION, &handle, 1, NULL, NULL);
}

static IOReturn probe(struct dext_client *client, uint64_t handle, uint64_t offset, uint64_t *word)
{
	const uint64_t in[2] = { handle, offset };
	uint32_t count = 1;

	return dext_call(client, SELECTOR_PROBE_DMA_REGION, in, 2, word, &count);
}

static void expect(struct fixture *f, uint64_t regions, uint64_t bytes, uint64_t entries)
{
	struct dext_usage usage;
	struct dart_usage dart;

	dext_get_usage(f->client, &usage);
	assert_int_equal(usage.regions, regions);
	assert_int_equal(usage.bytes, bytes);
	dart_get_usage(f->dart, &dart);
	assert_int_equal(dart.entries, entries);
}

static void unknown_selectors_are_unsupported(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(simple(f->client, 18), kIOReturnUnsupported);
	assert_int_equal(simple(f->client, UINT32_MAX), kIOReturnUnsupported);
}

static void counts_are_minimum_counts(void **state)
{
	struct fixture *f = *state;
	const uint64_t in[4] = { 1, VA, 4096, 99 };
	uint64_t out[4] = { 0, 0, 0, 99 };
	uint32_t count = 3;

	assert_int_equal(simple(f->client, SELECTOR_CLAIM), kIOReturnSuccess);
	assert_int_equal(dext_call(f->client, SELECTOR_REGISTER_DMA_REGION, in, 2, out, &count),
			 kIOReturnBadArgument);
	assert_int_equal(dext_call(f->client, SELECTOR_REGISTER_DMA_REGION, NULL, 3, out, &count),
			 kIOReturnBadArgument);
	assert_int_equal(dext_call(f->client, SELECTOR_REGISTER_DMA_REGION, in, 3, NULL, &count),
			 kIOReturnBadArgument);
	assert_int_equal(dext_call(f->client, SELECTOR_REGISTER_DMA_REGION, in, 3, out, NULL),
			 kIOReturnBadArgument);
	count = 2;
	assert_int_equal(dext_call(f->client, SELECTOR_REGISTER_DMA_REGION, in, 3, out, &count),
			 kIOReturnBadArgument);
	assert_int_equal(dext_call(f->client, SELECTOR_UNREGISTER_DMA_REGION, in, 0, NULL, NULL),
			 kIOReturnBadArgument);
	assert_int_equal(dext_call(f->client, SELECTOR_PROBE_DMA_REGION, in, 1, out, &count),
			 kIOReturnBadArgument);
	expect(f, 0, 0, 0);
	count = 4;
	assert_int_equal(dext_call(f->client, SELECTOR_REGISTER_DMA_REGION, in, 4, out, &count),
			 kIOReturnSuccess);
	assert_int_equal(count, 3);
	assert_int_equal(out[3], 99);
	count = 4;
	assert_int_equal(dext_call(f->client, SELECTOR_UNREGISTER_DMA_REGION, in, 1, out, &count),
			 kIOReturnSuccess);
	assert_int_equal(count, 0);
}

static void register_reports_one_segment(void **state)
{
	struct fixture *f = *state;
	uint64_t out[3], va;

	simple(f->client, SELECTOR_CLAIM);
	assert_int_equal(reg(f->client, 7, VA + 5, 4096, out), kIOReturnSuccess);
	assert_int_equal(out[0], 1);
	assert_int_equal(out[2], 4096);
	assert_true(dart_lookup(f->dart, out[1], &va));
	assert_int_equal(va, VA + 5);
	expect(f, 1, 4096, 1);
	assert_int_equal(unreg(f->client, 7), kIOReturnSuccess);
	assert_false(dart_lookup(f->dart, out[1], &va));
	expect(f, 0, 0, 0);
}

/* Each call would also fail all later checks. */
static void register_checks_in_this_order(void **state)
{
	const struct dart_config config = { .max_bytes = 16384, .max_entries = 2, .iova_bits = 47 };
	struct fixture *f = make(&config);
	const uint64_t too_long = DEXT_MAX_CHUNKS * DEXT_CHUNK_SIZE + 1;

	(void)state;
	assert_int_equal(reg(f->client, 1, 0, 0, NULL), kIOReturnNotOpen);
	simple(f->client, SELECTOR_CLAIM);
	assert_int_equal(reg(f->client, 1, VA, 16384, NULL), kIOReturnSuccess);
	assert_int_equal(reg(f->client, 1, 0, too_long, NULL), kIOReturnBadArgument);
	assert_int_equal(reg(f->client, 1, VA, 0, NULL), kIOReturnBadArgument);
	assert_int_equal(reg(f->client, 1, VA, too_long, NULL), kIOReturnStillOpen);
	assert_int_equal(reg(f->client, 2, VA, too_long, NULL), kIOReturnNoSpace);
	assert_int_equal(reg(f->client, 2, VA, 16384, NULL), kIOReturnNoSpace);
	assert_int_equal(reg(f->client, 2, UINT64_MAX, 16384, NULL), kIOReturnBadArgument);
	teardown((void **)&f);
}

static void overlap_is_fine_and_a_handle_is_free_again_after_unregister(void **state)
{
	struct fixture *f = *state;

	simple(f->client, SELECTOR_CLAIM);
	assert_int_equal(reg(f->client, 1, VA, 4096, NULL), kIOReturnSuccess);
	assert_int_equal(reg(f->client, 2, VA, 4096, NULL), kIOReturnSuccess);
	assert_int_equal(reg(f->client, 1, VA + 65536, 1, NULL), kIOReturnStillOpen);
	assert_int_equal(unreg(f->client, 1), kIOReturnSuccess);
	assert_int_equal(unreg(f->client, 1), kIOReturnNotFound);
	assert_int_equal(reg(f->client, 1, VA + 65536, 1, NULL), kIOReturnSuccess);
	expect(f, 2, 4097, 2);
}

static void slots_end_at_exactly_65536(void **state)
{
	struct fixture *f = *state;

	simple(f->client, SELECTOR_CLAIM);
	for (uint64_t i = 0; i < DEXT_MAX_REGIONS; i++)
		assert_int_equal(reg(f->client, i, VA + i * 16384, 1, NULL), kIOReturnSuccess);
	assert_int_equal(reg(f->client, DEXT_MAX_REGIONS, VA, 1, NULL), kIOReturnNoSpace);
	assert_int_equal(reg(f->client, 5, VA, 1, NULL), kIOReturnStillOpen);
	assert_int_equal(unreg(f->client, 5), kIOReturnSuccess);
	assert_int_equal(reg(f->client, DEXT_MAX_REGIONS, VA, 1, NULL), kIOReturnSuccess);
	assert_int_equal(reg(f->client, 5, VA, 1, NULL), kIOReturnNoSpace);
	expect(f, DEXT_MAX_REGIONS, DEXT_MAX_REGIONS, DEXT_MAX_REGIONS);
}

static void another_client_has_slots_and_handles_of_its_own(void **state)
{
	struct fixture *f = *state;
	struct dext_client *other = dext_open(f->dext);

	simple(f->client, SELECTOR_CLAIM);
	assert_int_equal(reg(f->client, 1, VA, 4096, NULL), kIOReturnSuccess);
	assert_int_equal(reg(other, 1, VA, 4096, NULL), kIOReturnSuccess);
	assert_int_equal(unreg(other, 1), kIOReturnSuccess);
	assert_int_equal(unreg(other, 1), kIOReturnNotFound);
	assert_int_equal(unreg(f->client, 1), kIOReturnSuccess);
	dext_close(other);
}

static void only_the_first_chunk_is_reported(void **state)
{
	static const struct {
		uint64_t size, len, chunks;
	} cases[] = {
		{ DEXT_CHUNK_SIZE - 1, DEXT_CHUNK_SIZE - 1, 1 },
		{ DEXT_CHUNK_SIZE, DEXT_CHUNK_SIZE, 1 },
		{ DEXT_CHUNK_SIZE + 1, DEXT_CHUNK_SIZE, 2 },
		{ 3 * DEXT_CHUNK_SIZE, DEXT_CHUNK_SIZE, 3 },
		{ DEXT_MAX_CHUNKS * DEXT_CHUNK_SIZE, DEXT_CHUNK_SIZE, DEXT_MAX_CHUNKS },
	};
	struct fixture *f = *state;
	uint64_t out[3], va;

	simple(f->client, SELECTOR_CLAIM);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(reg(f->client, 9, VA, cases[i].size, out), kIOReturnSuccess);
		assert_int_equal(out[0], 1);
		assert_int_equal(out[2], cases[i].len);
		assert_true(dart_lookup(f->dart, out[1] + out[2] - 1, &va));
		assert_int_equal(va, VA + out[2] - 1);
		expect(f, 1, cases[i].size, cases[i].chunks);
		assert_int_equal(unreg(f->client, 9), kIOReturnSuccess);
		expect(f, 0, 0, 0);
	}
	assert_int_equal(reg(f->client, 9, VA, DEXT_MAX_CHUNKS * DEXT_CHUNK_SIZE + 1, NULL),
			 kIOReturnNoSpace);
	assert_int_equal(reg(f->client, 9, 1, UINT64_MAX, NULL), kIOReturnNoSpace);
}

static void failing_chunk_rolls_back(void **state)
{
	const struct dart_config config = {
		.max_bytes = 2 * DEXT_CHUNK_SIZE, .max_entries = 64, .iova_bits = 47,
	};
	struct fixture *f = make(&config);

	(void)state;
	simple(f->client, SELECTOR_CLAIM);
	assert_int_equal(reg(f->client, 1, VA, 2 * DEXT_CHUNK_SIZE + 1, NULL), kIOReturnNoSpace);
	expect(f, 0, 0, 0);
	assert_int_equal(reg(f->client, 1, VA, 2 * DEXT_CHUNK_SIZE, NULL), kIOReturnSuccess);
	expect(f, 1, 2 * DEXT_CHUNK_SIZE, 2);
	teardown((void **)&f);
}

static void more_than_one_segment_is_not_aligned_and_rolls_back(void **state)
{
	const struct dart_config config = {
		.max_bytes = GIB, .max_entries = 64, .max_segment = 65536, .iova_bits = 47,
	};
	struct fixture *f = make(&config);

	(void)state;
	simple(f->client, SELECTOR_CLAIM);
	assert_int_equal(reg(f->client, 1, VA, 65536, NULL), kIOReturnSuccess);
	assert_int_equal(reg(f->client, 2, VA, 65537, NULL), kIOReturnNotAligned);
	assert_int_equal(reg(f->client, 2, VA + 1, 65536, NULL), kIOReturnNotAligned);
	assert_int_equal(reg(f->client, 2, VA, 65536ULL * DART_MAX_SEGMENTS, NULL),
			 kIOReturnNotAligned);
	assert_int_equal(reg(f->client, 2, VA, 65536 * DART_MAX_SEGMENTS + 1, NULL),
			 kIOReturnNoSpace);
	expect(f, 1, 65536, 1);
	teardown((void **)&f);
}

static void claim_is_of_the_driver_not_of_the_client(void **state)
{
	struct fixture *f = *state;
	struct dext_client *second = dext_open(f->dext), *third = dext_open(f->dext);

	assert_int_equal(reg(second, 1, VA, 64, NULL), kIOReturnNotOpen);
	assert_int_equal(simple(third, SELECTOR_CLAIM), kIOReturnSuccess);
	assert_int_equal(simple(f->client, SELECTOR_CLAIM), kIOReturnSuccess);
	/* The second never claimed. */
	assert_int_equal(reg(second, 1, VA, 64, NULL), kIOReturnSuccess);
	/* The third client opened the device: closing that client closes it for all. */
	dext_close(third);
	assert_int_equal(reg(f->client, 1, VA, 64, NULL), kIOReturnNotOpen);
	assert_int_equal(reg(second, 2, VA, 64, NULL), kIOReturnNotOpen);
	/* Neither needs a claim. */
	assert_int_equal(unreg(second, 1), kIOReturnSuccess);
	assert_int_equal(simple(second, SELECTOR_TERMINATE), kIOReturnSuccess);
	assert_int_equal(simple(second, SELECTOR_CLAIM), kIOReturnSuccess);
	assert_int_equal(reg(f->client, 1, VA, 64, NULL), kIOReturnSuccess);
	dext_close(second);
}

static void a_dying_client_frees_everything(void **state)
{
	struct fixture *f = *state;
	struct dext_client *client = dext_open(f->dext);
	struct dart_usage usage;

	simple(f->client, SELECTOR_CLAIM);
	for (uint64_t i = 0; i < 1000; i++)
		assert_int_equal(reg(client, i, VA + i, DEXT_CHUNK_SIZE / 10, NULL),
				 kIOReturnSuccess);
	assert_int_equal(reg(client, 1000, VA, 3 * DEXT_CHUNK_SIZE, NULL), kIOReturnSuccess);
	dart_get_usage(f->dart, &usage);
	assert_int_equal(usage.entries, 1003);
	dext_close(client);
	dart_get_usage(f->dart, &usage);
	assert_int_equal(usage.entries, 0);
	assert_int_equal(usage.bytes, 0);
}

static void probe_reads_a_word_of_the_region(void **state)
{
	struct fixture *f = *state;
	uint64_t memory[4] = { 1, 0x1122334455667788, 3, 4 }, word = 0;

	simple(f->client, SELECTOR_CLAIM);
	assert_int_equal(reg(f->client, 3, (uintptr_t)memory, 24, NULL), kIOReturnSuccess);
	assert_int_equal(reg(f->client, 4, (uintptr_t)memory, 7, NULL), kIOReturnSuccess);
	assert_int_equal(probe(f->client, 5, 0, &word), kIOReturnNotFound);
	assert_int_equal(probe(f->client, 3, 8, &word), kIOReturnSuccess);
	assert_int_equal(word, memory[1]);
	assert_int_equal(probe(f->client, 3, 16, &word), kIOReturnSuccess);
	assert_int_equal(word, memory[2]);
	assert_int_equal(probe(f->client, 3, 17, &word), kIOReturnOverrun);
	assert_int_equal(probe(f->client, 3, UINT64_MAX - 7, &word), kIOReturnOverrun);
	assert_int_equal(probe(f->client, 3, UINT64_MAX, &word), kIOReturnOverrun);
	assert_int_equal(probe(f->client, 4, 0, &word), kIOReturnOverrun);
}

static void the_address_is_never_the_handle(void **state)
{
	struct fixture *f = *state;
	const struct dart_config config = {
		.max_bytes = 1024 * GIB, .max_entries = 1 << 20, .iova_bits = 47,
	};
	struct fixture *same = make(&config);
	uint64_t first[3], out[3];

	simple(f->client, SELECTOR_CLAIM);
	simple(same->client, SELECTOR_CLAIM);
	assert_int_equal(reg(same->client, 1, VA, 4096, first), kIOReturnSuccess);
	assert_int_equal(reg(f->client, first[1], VA, 4096, out), kIOReturnSuccess);
	assert_int_not_equal(out[1], first[1]);
	teardown((void **)&same);
}

static void without_a_device_what_needs_one_is_not_attached(void **state)
{
	static const uint32_t selectors[] = {
		SELECTOR_GET_IDENTITY, SELECTOR_CONFIG_READ, SELECTOR_CONFIG_WRITE,
		SELECTOR_GET_BAR_INFO, SELECTOR_MMIO_READ, SELECTOR_MMIO_WRITE,
		SELECTOR_SETUP_INTERRUPTS, SELECTOR_RESET_DEVICE,
	};
	const uint64_t in[4] = { 0, 4 };
	struct fixture *f = *state;
	uint64_t out[6], size;
	int fd;

	simple(f->client, SELECTOR_CLAIM);
	for (size_t i = 0; i < sizeof(selectors) / sizeof(selectors[0]); i++) {
		uint32_t count = 6;

		assert_int_equal(dext_call(f->client, selectors[i], in, 4, out, &count),
				 kIOReturnNotAttached);
		assert_int_equal(count, 0);
	}
	assert_int_equal(dext_get_memory(f->client, DEXT_MEMORY_BAR0, 0, &fd, &size),
			 kIOReturnNotAttached);
}

static void other_region_is_another_one(void **state)
{
	struct fixture *f = *state;
	uint64_t out[3], iova, va;

	simple(f->client, SELECTOR_CLAIM);
	assert_false(dext_other_region(f->client, 1, &iova));
	assert_int_equal(reg(f->client, 1, VA, 64, out), kIOReturnSuccess);
	assert_false(dext_other_region(f->client, 1, &iova));
	for (uint64_t i = 2; i < 20; i++) {
		assert_int_equal(reg(f->client, i, VA, 64, out), kIOReturnSuccess);
		assert_true(dext_other_region(f->client, i, &iova));
		assert_int_not_equal(iova, out[1]);
		assert_true(dart_lookup(f->dart, iova, &va));
	}
}

static uint64_t modelled(struct fixture *f)
{
	struct dext_totals totals;

	dext_get_totals(f->dext, &totals);
	return totals.modelled_ns;
}

static uint64_t modelled_unreg(struct fixture *f, uint64_t handle, IOReturn ret)
{
	const uint64_t before = modelled(f);

	assert_int_equal(unreg(f->client, handle), ret);
	return modelled(f) - before;
}

/* The slots that a call looks at: all of them for a handle that is not there. */
static void a_call_costs_by_the_slot_of_its_handle(void **state)
{
	const uint64_t least = COST_CALL_NS + 3 * COST_CONFIG_READ_NS;
	const uint64_t all = least + COST_SLOT_NS * 65536;
	struct fixture *f = *state;
	uint64_t word, before;

	assert_int_equal(modelled(f), 0);
	assert_int_equal(reg(f->client, 1, VA, 4096, NULL), kIOReturnNotOpen);
	assert_int_equal(modelled(f), least);
	assert_int_equal(simple(f->client, SELECTOR_CLAIM), kIOReturnSuccess);
	assert_int_equal(reg(f->client, 1, VA, 0, NULL), kIOReturnBadArgument);
	assert_int_equal(modelled(f), 3 * least);
	for (uint64_t i = 0; i < 10; i++) {
		before = modelled(f);
		assert_int_equal(reg(f->client, i, VA, 4096, NULL), kIOReturnSuccess);
		assert_int_equal(modelled(f) - before, all);
	}
	/* A duplicate is found where it is. */
	before = modelled(f);
	assert_int_equal(reg(f->client, 2, VA, 4096, NULL), kIOReturnStillOpen);
	assert_int_equal(modelled(f) - before, least + 3 * COST_SLOT_NS);
	before = modelled(f);
	assert_int_equal(probe(f->client, 4, 4096, &word), kIOReturnOverrun);
	assert_int_equal(modelled(f) - before, least + 5 * COST_SLOT_NS);
	assert_int_equal(modelled_unreg(f, 9, kIOReturnSuccess), least + 10 * COST_SLOT_NS);
	assert_int_equal(modelled_unreg(f, 9, kIOReturnNotFound), all);
	/* What is free first is taken first. */
	assert_int_equal(modelled_unreg(f, 7, kIOReturnSuccess), least + 8 * COST_SLOT_NS);
	assert_int_equal(modelled_unreg(f, 3, kIOReturnSuccess), least + 4 * COST_SLOT_NS);
	for (uint64_t i = 20; i < 23; i++)
		assert_int_equal(reg(f->client, i, VA, 4096, NULL), kIOReturnSuccess);
	assert_int_equal(modelled_unreg(f, 20, kIOReturnSuccess), least + 4 * COST_SLOT_NS);
	assert_int_equal(modelled_unreg(f, 21, kIOReturnSuccess), least + 8 * COST_SLOT_NS);
	assert_int_equal(modelled_unreg(f, 22, kIOReturnSuccess), least + 10 * COST_SLOT_NS);
}

/* A table that is full costs no more than an unknown handle. */
static void the_last_slot_costs_all_of_them(void **state)
{
	const uint64_t all = cost_of(DEXT_MAX_REGIONS);
	struct fixture *f = *state;
	uint64_t before;

	assert_int_equal(simple(f->client, SELECTOR_CLAIM), kIOReturnSuccess);
	for (uint64_t i = 0; i < DEXT_MAX_REGIONS; i++)
		assert_int_equal(reg(f->client, i, VA, 4096, NULL), kIOReturnSuccess);
	before = modelled(f);
	assert_int_equal(reg(f->client, DEXT_MAX_REGIONS, VA, 4096, NULL), kIOReturnNoSpace);
	assert_int_equal(modelled(f) - before, all);
	assert_int_equal(modelled_unreg(f, DEXT_MAX_REGIONS - 1, kIOReturnSuccess), all);
	assert_int_equal(modelled_unreg(f, 0, kIOReturnSuccess), all - 65535 * COST_SLOT_NS);
}

static uint64_t ns_asleep(enum dext_cost cost)
{
	struct timespec begin, end;
	struct fixture *f;

	setup((void **)&f);
	dext_set_cost(f->dext, cost);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (unsigned int i = 0; i < 40; i++)
		assert_int_equal(unreg(f->client, 1), kIOReturnNotFound);
	clock_gettime(CLOCK_MONOTONIC, &end);
	assert_true(modelled(f) == 40 * cost_of(DEXT_MAX_REGIONS));
	teardown((void **)&f);
	return (uint64_t)(end.tv_sec - begin.tv_sec) * 1000000000 +
	       (uint64_t)(end.tv_nsec - begin.tv_nsec);
}

/* nanosleep() never returns early: this cannot fail on a busy machine. */
static void the_modelled_time_is_taken_if_asked_for(void **state)
{
	(void)state;
	ns_asleep(DEXT_COST_NONE);
	assert_true(ns_asleep(DEXT_COST_MAC) >= 40 * cost_of(DEXT_MAX_REGIONS));
}

static void expect_panics(struct fixture *f, uint64_t count)
{
	struct dext_totals totals;

	dext_get_totals(f->dext, &totals);
	assert_int_equal(totals.panic.count, count);
}

/* At the limit and one page past it, as the DART counts; what it refuses counts, too. */
static void a_map_past_the_hosts_bytes_is_noted(void **state)
{
	const struct panic_limits limits = { .bytes = 4 * DART_PAGE_SIZE };
	const uint64_t page = DART_PAGE_SIZE;
	const struct dart_config config = {
		.max_bytes = 5 * page, .max_entries = 100, .iova_bits = 47,
	};
	struct fixture *f = make(&config);
	struct dext_totals totals;
	char text[PANIC_TEXT];

	(void)state;
	dext_set_panic(f->dext, &limits);
	simple(f->client, SELECTOR_CLAIM);
	assert_int_equal(reg(f->client, 1, VA, 3 * page, NULL), kIOReturnSuccess);
	assert_int_equal(reg(f->client, 2, VA + 1, page - 1, NULL), kIOReturnSuccess);
	expect_panics(f, 0);
	dext_get_totals(f->dext, &totals);
	panic_json(&totals.panic, text);
	assert_string_equal(text, "\"panics\": 0, \"panic\": null");
	/* A duplicate does not reach the platform. */
	assert_int_equal(reg(f->client, 2, VA, page, NULL), kIOReturnStillOpen);
	expect_panics(f, 0);
	assert_int_equal(reg(f->client, 3, VA, 1, NULL), kIOReturnSuccess);
	expect_panics(f, 1);
	assert_int_equal(reg(f->client, 4, VA, page, NULL), kIOReturnNoSpace);
	expect_panics(f, 2);
	assert_int_equal(unreg(f->client, 1), kIOReturnSuccess);
	assert_int_equal(reg(f->client, 1, VA, 2 * page, NULL), kIOReturnSuccess);
	dext_get_totals(f->dext, &totals);
	panic_json(&totals.panic, text);
	assert_string_equal(text, "\"panics\": 2, \"panic\": {\"gpa\": 3, \"size\": 1, "
			    "\"bytes\": 81920, \"entries\": 3}");
	teardown((void **)&f);
}

static void two_devices_of_a_pool_take_the_host_down_together(void **state)
{
	struct dart_pool pool = DART_POOL_INIT;
	const struct panic_limits limits = { .bytes = 4 * DART_PAGE_SIZE };
	const struct dart_config config = {
		.max_bytes = GIB, .max_entries = 100, .iova_bits = 47, .pool = &pool,
	};
	struct fixture *f[2];

	(void)state;
	pool.max_bytes = GIB;
	for (unsigned int i = 0; i < 2; i++) {
		f[i] = make(&config);
		dext_set_panic(f[i]->dext, &limits);
		simple(f[i]->client, SELECTOR_CLAIM);
		assert_int_equal(reg(f[i]->client, 1, VA, 2 * DART_PAGE_SIZE, NULL),
				 kIOReturnSuccess);
	}
	expect_panics(f[1], 0);
	assert_int_equal(reg(f[1]->client, 2, VA, 1, NULL), kIOReturnSuccess);
	expect_panics(f[0], 0);
	expect_panics(f[1], 1);
	teardown((void **)&f[0]);
	teardown((void **)&f[1]);
}

static void entries_count_for_each_client(void **state)
{
	const struct panic_limits limits = { .entries = 2 };
	struct fixture *f = *state;
	struct dext_client *other = dext_open(f->dext);

	dext_set_panic(f->dext, &limits);
	simple(f->client, SELECTOR_CLAIM);
	for (uint64_t i = 0; i < 2; i++) {
		assert_int_equal(reg(f->client, i, VA, GIB, NULL), kIOReturnSuccess);
		assert_int_equal(reg(other, i, VA, GIB, NULL), kIOReturnSuccess);
	}
	expect_panics(f, 0);
	assert_int_equal(reg(other, 2, VA, 1, NULL), kIOReturnSuccess);
	expect_panics(f, 1);
	dext_close(other);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(unknown_selectors_are_unsupported),
		TEST(counts_are_minimum_counts),
		TEST(register_reports_one_segment),
		cmocka_unit_test(register_checks_in_this_order),
		TEST(overlap_is_fine_and_a_handle_is_free_again_after_unregister),
		TEST(slots_end_at_exactly_65536),
		TEST(another_client_has_slots_and_handles_of_its_own),
		TEST(only_the_first_chunk_is_reported),
		cmocka_unit_test(failing_chunk_rolls_back),
		cmocka_unit_test(more_than_one_segment_is_not_aligned_and_rolls_back),
		TEST(claim_is_of_the_driver_not_of_the_client),
		TEST(a_dying_client_frees_everything),
		TEST(probe_reads_a_word_of_the_region),
		TEST(the_address_is_never_the_handle),
		TEST(without_a_device_what_needs_one_is_not_attached),
		TEST(other_region_is_another_one),
		cmocka_unit_test(a_map_past_the_hosts_bytes_is_noted),
		cmocka_unit_test(two_devices_of_a_pool_take_the_host_down_together),
		TEST(entries_count_for_each_client),
		TEST(a_call_costs_by_the_slot_of_its_handle),
		TEST(the_last_slot_costs_all_of_them),
		cmocka_unit_test(the_modelled_time_is_taken_if_asked_for),
	};

	return cmocka_run_group_tests_name("dext", tests, NULL, NULL);
}
