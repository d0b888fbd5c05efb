// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/window.c: what is asked of the host, and what its answers lead to.
 */

#include <linux/string.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "fixture.h"
#include "suites.h"

/* ---- what an earlier kernel left ---- */

/* Refused as a duplicate, released, mapped: three doorbells. */
static void leftover_is_released(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .leftovers = true);

	f->e->swept = true;
	CHECK(test, fake_host_plant(f->host, FAKE_RAM, 8 * MIB));
	fixture_touch(f, MIB);
	CHECK_EQ(test, fixture_doorbells(f), 3);
	CHECK_EQ(test, fixture_stats(f)->recovered, 1);
	CHECK_EQ(test, fixture_stats(f)->refusals, 1);
}

/* In a list, only those: a batch of 4, one of 2 to release, one of 2 to map. */
static void leftovers_of_a_batch(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .leftovers = true);
	struct scatterlist *sgl = fixture_list(f, 0, 4, 4 * MIB, PAGE);
	struct fake_host_counts counts;

	f->e->swept = true;
	CHECK(test, fake_host_plant(f->host, FAKE_RAM + 4 * MIB, GRANULE));
	CHECK(test, fake_host_plant(f->host, FAKE_RAM + 12 * MIB, GRANULE));
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 4, ANY, ANY), 0);
	counts = fixture_counts(f);
	CHECK_EQ(test, counts.doorbells, 3);
	CHECK_EQ(test, counts.map_entries, 4 + 2);
	CHECK_EQ(test, counts.unmap_entries, 2);
	CHECK_EQ(test, counts.unknown, 0);
	CHECK_EQ(test, fixture_stats(f)->recovered, 2);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 4), 0);
}

/*
 * Strict, so one shape. A refusal that is real costs a look for a leftover: map
 * and release. Where an earlier kernel is known to have left nothing, only map.
 */
static void refusal_is_looked_into_once(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .leftovers = true,
					 .mode = APPLE_DMA_MODE_STRICT);

	f->e->swept = true;
	f->host->refuse = 2;
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 2);
	CHECK_EQ(test, fixture_counts(f).unknown, 1);
	f->e->clean = true;
	CHECK(test, fixture_map(f, MIB, 2 * GRANULE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_stats(f)->recovered, 0);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
}

/* Slots are for whole granules: other sizes are not planned. */
static void unaligned_plan_is_refused(struct kunit *test)
{
	static const struct apple_dma_range bad[] = {
		{ FAKE_RAM, 0x6000 }, { FAKE_RAM + PAGE, GRANULE },
		{ FAKE_RAM, 0 }, { FAKE_RAM + 1, GRANULE - 1 },
	};
	struct fixture *f = fixture_open(test);
	enum apple_dma_fail cause;
	unsigned long flags;
	unsigned int i;

	seam_warnings = 0;
	seam_expects_warnings = true;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		cause = APPLE_DMA_FAIL_COUNT;
		spin_lock_irqsave(&f->e->lock, flags);
		EXPECT(test, !apple_dma_window_plan(f->e, bad[i].phys,
						    bad[i].size, bad[i].phys,
						    &cause));
		spin_unlock_irqrestore(&f->e->lock, flags);
		EXPECT_EQ(test, cause, APPLE_DMA_FAIL_BUG);
	}
	seam_expects_warnings = false;
	CHECK_EQ(test, seam_warnings, ARRAY_SIZE(bad));
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
}

/* For any arguments: only what is in a window is covered. */
static void covers_what_is_inside(struct kunit *test)
{
	const struct apple_dma_window w = { .phys = FAKE_RAM, .size = 0x6000 };

	CHECK(test, apple_dma_window_covers(&w, w.phys, 1));
	CHECK(test, apple_dma_window_covers(&w, w.phys, w.size));
	CHECK(test, apple_dma_window_covers(&w, w.phys + w.size - 1, 1));
	CHECK(test, !apple_dma_window_covers(&w, w.phys, 0));
	CHECK(test, !apple_dma_window_covers(&w, w.phys, w.size + 1));
	CHECK(test, !apple_dma_window_covers(&w, w.phys, U64_MAX));
	CHECK(test, !apple_dma_window_covers(&w, w.phys + 1, w.size));
	CHECK(test, !apple_dma_window_covers(&w, w.phys + w.size, 1));
	CHECK(test, !apple_dma_window_covers(&w, w.phys + w.size + PAGE, GIB));
	CHECK(test, !apple_dma_window_covers(&w, w.phys - 1, 1));
	CHECK(test, !apple_dma_window_covers(&w, w.phys - PAGE, 2 * PAGE));
	CHECK(test, !apple_dma_window_covers(&w, 0, U64_MAX));
	CHECK(test, !apple_dma_window_covers(&w, U64_MAX, 1));
}

/* ---- answers that break the engine ---- */

static void check_broken(struct fixture *f, const char *reason)
{
	struct kunit *test = f->test;

	CHECK(test, f->e->broken && !f->e->fast);
	CHECK(test, !strcmp(f->e->reason, reason));
	fixture_doorbells(f);
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, fixture_map(f, 500 * MIB, PAGE) == DMA_MAPPING_ERROR);
	apple_dma_engine_flush(f->e);
	CHECK(test, !apple_dma_engine_release(f->e));
	/* The host is not asked again. */
	CHECK_EQ(test, fixture_doorbells(f), 0);
}

/* The same device address twice, or one inside another: no mapping is made. */
static void address_given_twice_breaks(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	dma_addr_t addr = fixture_map(f, 0, PAGE);

	CHECK(test, addr != DMA_MAPPING_ERROR);
	f->host->force = addr;
	CHECK(test, fixture_map(f, 8 * MIB, PAGE) == DMA_MAPPING_ERROR);
	check_broken(f, "it gave the same device address twice");
}

static void address_inside_another_breaks(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	dma_addr_t addr = fixture_map(f, 0, PAGE);

	CHECK(test, addr != DMA_MAPPING_ERROR);
	f->host->force = addr + 4 * MIB - GRANULE;
	CHECK(test, fixture_map(f, 8 * MIB, PAGE) == DMA_MAPPING_ERROR);
	check_broken(f, "it gave the same device address twice");
}

/* Right behind another one is fine. */
static void address_next_to_another_is_fine(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	dma_addr_t addr = fixture_map(f, 0, PAGE), next;

	f->host->force = addr + 4 * MIB;
	next = fixture_map(f, 8 * MIB, PAGE);
	CHECK_EQ(test, next, addr + 4 * MIB);
	CHECK_EQ(test, fixture_unmap(f, next, PAGE), 0);
	CHECK_EQ(test, fixture_unmap(f, addr, PAGE), 0);
}

/* An address given before is no breach: the unmap hits its present window. */
static void address_of_a_window_that_went_is_fine(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_REUSE);
	dma_addr_t old = fixture_map(f, 8 * MIB, PAGE);
	phys_addr_t phys;

	CHECK_EQ(test, fixture_unmap(f, old, PAGE), 0);
	apple_dma_engine_flush(f->e);
	CHECK_EQ(test, fixture_map(f, 0, PAGE), old);
	CHECK(test, fixture_right(f, old, FAKE_RAM, PAGE));
	CHECK_EQ(test, apple_dma_unmap(f->e, old, PAGE, &phys), 0);
	CHECK_EQ(test, phys, FAKE_RAM);
	/* The two maps. */
	CHECK_EQ(test, fixture_stats(f)->slow_paths, 2);
}

/* The host must release what it made: the device may still reach it. */
static void unmap_refused_breaks(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t addr = fixture_map(f, 0, PAGE);

	f->host->keeps = true;
	CHECK_EQ(test, fixture_unmap(f, addr, PAGE), -EIO);
	check_broken(f, "it does not release a mapping that it made");
}

/* A list of which a later batch breaks: none of it is mapped. */
static void breach_in_a_list(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct scatterlist *sgl = fixture_list(f, 0, 100, 4 * MIB, PAGE), *sg;
	int i;

	/* 100 granules are two batches. */
	f->host->breaks = 2;
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 100, ANY, ANY), -EIO);
	CHECK_EQ(test, fixture_doorbells(f), 2);
	for_each_sg(sgl, sg, 100, i)
		CHECK(test, sg_dma_address(sg) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->live_mappings, 0);
}

/* ---- what is counted ---- */

static void peaks_are_kept(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t a = fixture_map(f, 0, 3 * GRANULE);
	dma_addr_t b = fixture_map(f, MIB, GRANULE);

	CHECK_EQ(test, fixture_unmap(f, a, 3 * GRANULE), 0);
	CHECK_EQ(test, fixture_unmap(f, b, GRANULE), 0);
	fixture_touch(f, 0);
	CHECK_EQ(test, fixture_stats(f)->peak_bytes, 4 * GRANULE);
	CHECK_EQ(test, fixture_stats(f)->peak_entries, 2);
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, 0);
}

/* What the host refused of a batch was never registered, and is in no peak. */
static void peaks_are_what_the_host_had(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct scatterlist *sgl = fixture_list(f, 0, 2, MIB, PAGE);

	sgl[1].length = 64 * GRANULE;
	f->host->hole.phys = sg_phys(&sgl[1]);
	f->host->hole.size = GRANULE;
	CHECK(test, apple_dma_map_list(f->e, sgl, 2, ANY, ANY) < 0);
	CHECK_EQ(test, fixture_stats(f)->peak_bytes,
		 atomic64_read(&f->host->dart->dart_peak));
	CHECK_EQ(test, fixture_stats(f)->peak_entries, 1);
}

/* In strict mode. One more than a batch is freed, and no new map allocates. */
static void memory_of_a_batch_is_kept(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	const unsigned int most = APPLE_DMA_BATCH_MAX;
	struct scatterlist *sgl = fixture_list(f, 0, most + 1, MIB, PAGE);
	long balance = seam_balance();
	dma_addr_t addr;

	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, most + 1, ANY, ANY), 0);
	CHECK_EQ(test, seam_balance(), balance + most + 1);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, most + 1), 0);
	CHECK_EQ(test, seam_balance(), balance + most);
	addr = fixture_map(f, 0, PAGE);
	CHECK(test, addr != DMA_MAPPING_ERROR);
	CHECK_EQ(test, seam_balance(), balance + most);
	CHECK_EQ(test, f->e->spares, most - 1);
	CHECK_EQ(test, fixture_unmap(f, addr, PAGE), 0);
	CHECK_EQ(test, f->e->spares, most);
}

static struct kunit_case window_cases[] = {
	KUNIT_CASE(leftover_is_released),
	KUNIT_CASE(leftovers_of_a_batch),
	KUNIT_CASE(refusal_is_looked_into_once),
	KUNIT_CASE(unaligned_plan_is_refused),
	KUNIT_CASE(covers_what_is_inside),
	KUNIT_CASE(address_given_twice_breaks),
	KUNIT_CASE(address_inside_another_breaks),
	KUNIT_CASE(address_next_to_another_is_fine),
	KUNIT_CASE(address_of_a_window_that_went_is_fine),
	KUNIT_CASE(unmap_refused_breaks),
	KUNIT_CASE(breach_in_a_list),
	KUNIT_CASE(peaks_are_kept),
	KUNIT_CASE(peaks_are_what_the_host_had),
	KUNIT_CASE(memory_of_a_batch_is_kept),
	{ }
};

struct kunit_suite window_suite = {
	.name = "apple_dma_window",
	.exit = fixture_close,
	.test_cases = window_cases,
};
