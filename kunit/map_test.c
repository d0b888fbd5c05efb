// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/map.c: mappings one by one and as lists. Unless a case says otherwise
 * there is 1 GiB of RAM, less than the budget, so that a shared window has 4 MiB.
 */

#include "fixture.h"
#include "suites.h"

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"

/* Map and unmap a list; how many doorbells each, and how many entries. */
static void list_costs(struct fixture *f, struct scatterlist *sgl,
		       unsigned int n, u64 map, u64 unmap, u64 entries)
{
	struct fake_host_counts before = fixture_counts(f), after;
	struct kunit *test = f->test;
	struct scatterlist *sg;
	int i;

	fixture_doorbells(f);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, n, ANY, ANY), 0);
	CHECK_EQ(test, fixture_doorbells(f), map);
	for_each_sg(sgl, sg, n, i)
		CHECK(test, fixture_right(f, sg_dma_address(sg), sg_phys(sg),
					  sg->length));
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, n), 0);
	CHECK_EQ(test, fixture_doorbells(f), unmap);
	after = fixture_counts(f);
	CHECK_EQ(test, after.map_entries - before.map_entries, entries);
	CHECK_EQ(test, after.unmap_entries - before.unmap_entries,
		 unmap ? entries : 0);
}

/* 8 in each of 4 windows: the first one misses. Then all are hits. */
static void first_in_a_window_is_a_miss(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	struct scatterlist *sgl = fixture_list(f, 0, 32, 512 * KIB, PAGE);

	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 32, ANY, ANY), 0);
	CHECK_EQ(test, fixture_stats(f)->misses, 4);
	CHECK_EQ(test, fixture_stats(f)->hits, 28);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 32), 0);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 32, ANY, ANY), 0);
	CHECK_EQ(test, fixture_stats(f)->misses, 4);
	CHECK_EQ(test, fixture_stats(f)->hits, 60);
	CHECK(test, fixture_map(f, 16 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->misses, 5);
	CHECK_EQ(test, fixture_stats(f)->hits, 60);
}

/* 32 pages, 512 KiB apart: 16 MiB in 4 windows, one batch; kept. */
static void list_that_misses_rings_once(struct kunit *test)
{
	struct fixture *f = fixture_open(test);

	list_costs(f, fixture_list(f, 0, 32, 512 * KIB, PAGE), 32, 1, 0, 4);
}

/* Strict: a window of a granule for each page, one batch each way. */
static void strict_list_rings_twice(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);

	list_costs(f, fixture_list(f, 0, 32, 512 * KIB, PAGE), 32, 1, 1, 32);
}

/* 200 windows: 32 are planned for a doorbell, so 6 of these and one of 8. */
static void long_list_is_split(struct kunit *test)
{
	struct fixture *f = fixture_open(test);

	list_costs(f, fixture_list(f, 0, 200, 4 * MIB, PAGE), 200, 7, 0,
		   200);
}

/* They are given back in batches of 64: 64 + 64 + 64 + 8. */
static void long_strict_list_is_split(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);

	list_costs(f, fixture_list(f, 0, 200, 4 * MIB, PAGE), 200, 7, 4,
		   200);
}

/* 256 neighbours are 64 granules: 32 + 32, and one batch back. */
static void strict_neighbours_share_granules(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);

	list_costs(f, fixture_list(f, 0, 256, PAGE, PAGE), 256, 2, 1, 64);
}

/* 32 entries in batches of 10: 10 + 10 + 10 + 2. */
static void batch_can_be_changed(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);

	apple_dma_engine_set_batch(f->e, 10);
	list_costs(f, fixture_list(f, 0, 32, MIB, PAGE), 32, 4, 4, 32);
}

/* If only 7 fit, 32 entries are 7 + 7 + 7 + 7 + 4, there and back. */
static void batch_is_what_fits(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);

	f->host->fit = 7;
	list_costs(f, fixture_list(f, 0, 32, MIB, PAGE), 32, 5, 5, 32);
	CHECK_EQ(test, fixture_counts(f).longest, 7);
	/* batch_max counts all the same. */
	apple_dma_engine_set_batch(f->e, 5);
	list_costs(f, fixture_list(f, 0, 32, MIB, PAGE), 32, 7, 7, 32);
}

/* The same list again costs nothing, not even the lock. */
static void hits_ring_nothing(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	struct scatterlist *sgl = fixture_list(f, 0, 200, 4 * MIB, PAGE);
	u64 slow;

	list_costs(f, sgl, 200, 7, 0, 200);
	slow = fixture_stats(f)->slow_paths;
	sgl = fixture_list(f, 64 * KIB, 200, 4 * MIB, 3 * PAGE);
	list_costs(f, sgl, 200, 0, 0, 0);
	CHECK_EQ(test, fixture_stats(f)->slow_paths, slow);
}

/*
 * A list with one entry too many: 3 windows in one doorbell, none for the
 * fourth; then nothing is mapped, and what was made is idle.
 */
static void list_fails_as_a_whole(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.entries = 3);
	struct scatterlist *sgl = fixture_list(f, 0, 4, 4 * MIB, PAGE);
	struct apple_dma_stats stats;

	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 4, ANY, ANY), -ENOMEM);
	stats = *fixture_stats(f);
	CHECK_EQ(test, stats.live_mappings, 0);
	CHECK_EQ(test, stats.live_bytes, 0);
	CHECK_EQ(test, stats.idle_entries, stats.mapped_entries);
	CHECK_EQ(test, stats.failures[APPLE_DMA_FAIL_ENTRIES], 1);
	list_costs(f, sgl, 3, 0, 0, 0);
}

/*
 * 15 MiB of 16 are in use. 64 pages need 64 granules, the last MiB; larger
 * windows would not leave room for all.
 */
static void list_fits_in_exact_granules(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = 16 * MIB);
	struct scatterlist *sgl = fixture_list(f, 100 * MIB, 64, MIB, PAGE);
	unsigned int i;

	for (i = 0; i < 15; i++)
		CHECK(test, apple_dma_map(f->e, FAKE_RAM + i * MIB, MIB, ANY) !=
		      DMA_MAPPING_ERROR);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 64, ANY, ANY), 0);
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, 16 * MIB);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 64), 0);
}

/*
 * Pages that miss, or in strict mode are unmapped: each batch has the engine's
 * lock, and interrupts off, for itself.
 */
static void interrupts_are_let_in_between_batches(struct kunit *test)
{
	static const enum apple_dma_mode modes[] = {
		APPLE_DMA_MODE_CACHED, APPLE_DMA_MODE_STRICT,
	};
	struct fixture *f = fixture_open(test);
	struct scatterlist *sgl = fixture_list(f, 0, 240, 4 * MIB, PAGE);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		apple_dma_engine_set_mode(f->e, modes[i]);
		fixture_doorbells(f);
		CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 240, ANY, ANY), 0);
		CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 240), 0);
		CHECK_EQ(test, fixture_doorbells(f), i ? 8 + 4 : 8);
		CHECK_EQ(test, fixture_counts(f).in_a_row, 1);
	}
}

/* 2,048 pages in two windows: one doorbell, and the lock is dropped 8 times or more. */
static void interrupts_are_let_in_between_entries(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	struct scatterlist *sgl = fixture_list(f, 0, 2048, PAGE, PAGE);
	int unlocks = atomic_read(&seam_unlocks);

	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 2048, ANY, ANY), 0);
	CHECK(test, atomic_read(&seam_unlocks) - unlocks >= 8);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 2048), 0);
}

/* 8,192 hits, and behind them one that cannot be mapped: the hits are undone. */
static void hits_of_a_long_list_are_steps(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = 40 * MIB);
	const unsigned int n = 8192;
	struct scatterlist *sgl = fixture_list(f, 0, n + 1, PAGE, PAGE);

	CHECK(test, fixture_map(f, 0, 32 * MIB) != DMA_MAPPING_ERROR);
	sg_set_page(&sgl[n], pfn_to_page(PHYS_PFN(FAKE_RAM - MIB)), PAGE, 0);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, n + 1, ANY, ANY), -EREMOTEIO);
	CHECK_EQ(test, fixture_stats(f)->live_mappings, 1);
	fixture_holds(f);
}

/* 8,192 windows of a granule. */
static void long_strict_list_has_short_holds(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct scatterlist *sgl = fixture_list(f, 0, 8192, 5 * GRANULE, PAGE);

	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 8192, ANY, ANY), 0);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 8192), 0);
	fixture_holds(f);
}

/*
 * 8,192 pages in a mixed order, in 2,048 granules: most of those that are looked up
 * for a doorbell have a window already.
 */
static void mixed_strict_list_has_short_holds(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct scatterlist *sgl = fixture_list(f, 0, 8192, PAGE, PAGE);
	unsigned int i;

	for (i = 0; i < 8192; i++)
		sg_set_page(&sgl[i], pfn_to_page(PHYS_PFN(FAKE_RAM) +
						 i * 2731 % 8192), PAGE, 0);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 8192, ANY, ANY), 0);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 2048);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 8192), 0);
	fixture_holds(f);
}

/*
 * The budget is full of idle windows. Interrupts are let in between the doorbell that
 * makes room and the one that uses it.
 */
static void interrupts_are_let_in_when_room_is_made(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.entries = 8);
	unsigned int i;

	for (i = 0; i < 8; i++)
		fixture_touch(f, i * 4 * MIB);
	fixture_doorbells(f);
	fixture_touch(f, 32 * MIB);
	CHECK_EQ(test, fixture_doorbells(f), 2);
	CHECK_EQ(test, fixture_counts(f).in_a_row, 1);
}

/*
 * As list_fits_in_exact_granules, with 320 pages. With any shapes the first ones
 * leave too little for the last: all is given back, and made anew.
 */
static void long_list_fits_in_exact_granules(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = 64 * MIB);
	struct scatterlist *sgl = fixture_list(f, 100 * MIB, 320, MIB, PAGE);
	unsigned int i;

	for (i = 0; i < 59; i++)
		CHECK(test, apple_dma_map(f->e, FAKE_RAM + i * MIB, MIB, ANY) !=
		      DMA_MAPPING_ERROR);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 320, ANY, ANY), 0);
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, 64 * MIB);
	CHECK_EQ(test, fixture_counts(f).in_a_row, 1);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 320), 0);
}

/* Neither an address that never was, nor one that was unmapped already. */
static void bad_unmap_is_refused(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	dma_addr_t addr = apple_dma_map(f->e, FAKE_RAM, PAGE, ANY);
	phys_addr_t phys;

	CHECK_EQ(test, apple_dma_unmap(f->e, addr, PAGE, &phys), 0);
	CHECK_EQ(test, apple_dma_unmap(f->e, addr, PAGE, &phys), -ENOENT);
	CHECK_EQ(test, apple_dma_unmap(f->e, 0x1234000, PAGE, &phys), -ENOENT);
	CHECK_EQ(test, fixture_stats(f)->bad_unmaps, 2);
	CHECK_EQ(test, fixture_stats(f)->live_mappings, 0);
	CHECK_EQ(test, fixture_doorbells(f), 1);
}

/* The window of two buffers stays until the second is unmapped. */
static void unmapping_twice_ends_no_neighbour(struct kunit *test)
{
	static const enum apple_dma_mode modes[] = {
		APPLE_DMA_MODE_CACHED, APPLE_DMA_MODE_STRICT,
	};
	struct fixture *f = fixture_open(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(modes); i++) {
		dma_addr_t first, second;
		phys_addr_t phys;

		apple_dma_engine_set_mode(f->e, modes[i]);
		first = apple_dma_map(f->e, FAKE_RAM, PAGE, ANY);
		second = apple_dma_map(f->e, FAKE_RAM + PAGE, PAGE, ANY);
		CHECK(test, second == first + PAGE);
		CHECK_EQ(test, apple_dma_unmap(f->e, first, PAGE, &phys), 0);
		CHECK_EQ(test, apple_dma_unmap(f->e, first, PAGE, &phys),
			 -ENOENT);
		CHECK_EQ(test, fixture_stats(f)->bad_unmaps, i + 1);
		apple_dma_engine_flush(f->e);
		CHECK(test, fixture_right(f, second, FAKE_RAM + PAGE, PAGE));
		CHECK_EQ(test, fixture_stats(f)->live_mappings, 1);
		CHECK_EQ(test, apple_dma_unmap(f->e, second, PAGE, &phys), 0);
		CHECK_EQ(test, fixture_stats(f)->live_mappings, 0);
		apple_dma_engine_flush(f->e);
		CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
	}
}

/* Other unmaps follow the mistake: any may be blamed; the window stays. */
static void window_of_a_mistake_stays(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	dma_addr_t addr[3];
	phys_addr_t phys;
	unsigned int i;

	for (i = 0; i < 3; i++)
		addr[i] = apple_dma_map(f->e, FAKE_RAM + i * PAGE, PAGE, ANY);
	CHECK_EQ(test, apple_dma_unmap(f->e, addr[0], PAGE, &phys), 0);
	CHECK_EQ(test, apple_dma_unmap(f->e, addr[0], PAGE, &phys), 0);
	CHECK_EQ(test, apple_dma_unmap(f->e, addr[1], PAGE, &phys), -ENOENT);
	apple_dma_engine_flush(f->e);
	CHECK(test, fixture_right(f, addr[2], FAKE_RAM + 2 * PAGE, PAGE));
	CHECK_EQ(test, apple_dma_unmap(f->e, addr[2], PAGE, &phys), -ENOENT);
	apple_dma_engine_flush(f->e);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 1);
	CHECK_EQ(test, fixture_stats(f)->live_mappings, 1);
	apple_dma_engine_close(f->e);
	CHECK_EQ(test, apple_dma_engine_abandon(f->e), 1);
	CHECK(test, apple_dma_engine_release(f->e));
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
}

/* No range, no RAM: not asked for. */
static void what_is_not_ram_is_not_asked_for(struct kunit *test)
{
	struct fixture *f = fixture_open(test);

	CHECK(test, apple_dma_map(f->e, FAKE_RAM, 0, ANY) == DMA_MAPPING_ERROR);
	CHECK(test, apple_dma_map(f->e, FAKE_RAM - MIB, PAGE, ANY) ==
	      DMA_MAPPING_ERROR);
	CHECK(test, apple_dma_map(f->e, FAKE_RAM + GIB - PAGE, 2 * PAGE, ANY) ==
	      DMA_MAPPING_ERROR);
	CHECK(test, apple_dma_map(f->e, U64_MAX - PAGE, 2 * PAGE, ANY) ==
	      DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_NOT_RAM], 4);
	CHECK_EQ(test, fixture_doorbells(f), 0);
}

/* The window is made to find out; then a device that reaches it can use it. */
static void mask_is_kept_to(struct kunit *test)
{
	struct fixture *f = fixture_open(test);

	f->host->iova_base = 8 * GIB;
	f->host->next = f->host->iova_base;
	CHECK(test, apple_dma_map(f->e, FAKE_RAM, PAGE, DMA_BIT_MASK(32)) ==
	      DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_MASK], 1);
	CHECK_EQ(test, fixture_stats(f)->live_mappings, 0);
	fixture_touch(f, 0);
	CHECK_EQ(test, fixture_doorbells(f), 0);
	CHECK_EQ(test, fixture_stats(f)->misses, 0);
	CHECK_EQ(test, fixture_stats(f)->hits, 1);
	/* To the byte. */
	CHECK(test, apple_dma_map(f->e, FAKE_RAM, PAGE, 8 * GIB + PAGE - 2) ==
	      DMA_MAPPING_ERROR);
	CHECK(test, apple_dma_map(f->e, FAKE_RAM, PAGE, 8 * GIB + PAGE - 1) ==
	      8 * GIB);
}

/* 80 entries in turns of 7 in two windows, more than are counted at once. */
static struct scatterlist *list_in_two_windows(struct fixture *f)
{
	struct scatterlist *sgl = fixture_list(f, 0, 80, PAGE, PAGE), *sg;
	int i;

	for_each_sg(sgl, sg, 80, i)
		if (i / 7 % 2)
			sg->offset += 4 * MIB;
	return sgl;
}

static void hits_of_a_list_are_counted_together(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	struct scatterlist *sgl = list_in_two_windows(f), *sg;
	int i;

	fixture_touch(f, 0);
	fixture_touch(f, 4 * MIB);
	fixture_doorbells(f);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 80, ANY, ANY), 0);
	for_each_sg(sgl, sg, 80, i)
		CHECK(test, fixture_right(f, sg_dma_address(sg), sg_phys(sg), PAGE));
	CHECK_EQ(test, fixture_stats(f)->live_mappings, 80);
	CHECK_EQ(test, fixture_stats(f)->live_bytes, 80 * PAGE);
	CHECK_EQ(test, fixture_stats(f)->hits, 80);
	CHECK_EQ(test, fixture_stats(f)->idle_entries, 0);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 80), 0);
	CHECK_EQ(test, fixture_stats(f)->live_mappings, 0);
	CHECK_EQ(test, fixture_stats(f)->live_bytes, 0);
	CHECK_EQ(test, fixture_stats(f)->idle_entries, 2);
	CHECK_EQ(test, fixture_stats(f)->slow_paths, 2);
	CHECK_EQ(test, fixture_doorbells(f), 0);
}

/* One entry of a list has been unmapped already: its window stays. */
static void entry_of_a_list_unmapped_twice(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	struct scatterlist *sgl = list_in_two_windows(f);

	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 80, ANY, ANY), 0);
	CHECK_EQ(test, fixture_unmap(f, sg_dma_address(&sgl[40]), PAGE), 0);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 80), -ENOENT);
	CHECK(test, fixture_stats(f)->bad_unmaps > 0);
	CHECK_EQ(test, fixture_stats(f)->idle_entries, 1);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 2);
}

/*
 * A driver that unmaps once too often, while the window that it hits is being
 * made: this does not end the maker's guard.
 */
static void guard_is_not_ended_by_others(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct apple_dma_window *w;
	enum apple_dma_fail cause;
	struct apple_dma_refusal r;
	struct apple_dma_emptied emptied = APPLE_DMA_EMPTIED_INIT(emptied);
	unsigned long flags;
	LIST_HEAD(planned);
	LIST_HEAD(fresh);

	spin_lock_irqsave(&f->e->lock, flags);
	w = apple_dma_window_plan(f->e, FAKE_RAM, GRANULE, FAKE_RAM, &cause);
	list_add(&w->list, &planned);
	apple_dma_window_submit(f->e, &planned, &fresh, &r);
	spin_unlock_irqrestore(&f->e->lock, flags);
	EXPECT_EQ(test, fixture_unmap(f, w->iova, PAGE), -ENOENT);
	EXPECT_EQ(test, apple_dma_window_live(w), 1);
	EXPECT(test, list_is_singular(&fresh));
	spin_lock_irqsave(&f->e->lock, flags);
	apple_dma_window_unguard(f->e, w, &emptied);
	EXPECT_EQ(test, emptied.n, 1);
	EXPECT_EQ(test, apple_dma_window_give_back(f->e, &emptied, "unmap"), 0);
	spin_unlock_irqrestore(&f->e->lock, flags);
	CHECK_EQ(test, fixture_stats(f)->bad_unmaps, 1);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
}

static struct kunit_case map_cases[] = {
	KUNIT_CASE(first_in_a_window_is_a_miss),
	KUNIT_CASE(list_that_misses_rings_once),
	KUNIT_CASE(strict_list_rings_twice),
	KUNIT_CASE(long_list_is_split),
	KUNIT_CASE(long_strict_list_is_split),
	KUNIT_CASE(strict_neighbours_share_granules),
	KUNIT_CASE(batch_can_be_changed),
	KUNIT_CASE(batch_is_what_fits),
	KUNIT_CASE(hits_ring_nothing),
	KUNIT_CASE(list_fails_as_a_whole),
	KUNIT_CASE(list_fits_in_exact_granules),
	KUNIT_CASE(interrupts_are_let_in_between_batches),
	KUNIT_CASE(interrupts_are_let_in_between_entries),
	KUNIT_CASE(hits_of_a_long_list_are_steps),
	KUNIT_CASE(long_strict_list_has_short_holds),
	KUNIT_CASE(mixed_strict_list_has_short_holds),
	KUNIT_CASE(interrupts_are_let_in_when_room_is_made),
	KUNIT_CASE(long_list_fits_in_exact_granules),
	KUNIT_CASE(bad_unmap_is_refused),
	KUNIT_CASE(hits_of_a_list_are_counted_together),
	KUNIT_CASE(entry_of_a_list_unmapped_twice),
	KUNIT_CASE(guard_is_not_ended_by_others),
	KUNIT_CASE(unmapping_twice_ends_no_neighbour),
	KUNIT_CASE(window_of_a_mistake_stays),
	KUNIT_CASE(what_is_not_ram_is_not_asked_for),
	KUNIT_CASE(mask_is_kept_to),
	{ }
};

struct kunit_suite map_suite = {
	.name = "apple_dma_map",
	.exit = fixture_close,
	.test_cases = map_cases,
};
