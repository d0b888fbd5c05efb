// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cases that count doorbells. Unless a case says otherwise there is 1 GiB of
 * RAM, less than the budget, so that a shared window has 4 MiB.
 */

#include <linux/delay.h>
#include <linux/mm.h>

#include "stress.h"

/* Map and unmap a list; how many doorbells each, and how many entries. */
static int list_costs(struct fixture *f, struct scatterlist *sgl,
		      unsigned int n, u64 map, u64 unmap, u64 entries)
{
	struct fake_host_counts before = fixture_counts(f), after;
	struct scatterlist *sg;
	int i;

	CHECK(sgl);
	fixture_doorbells(f);
	CHECK_EQ(apple_dma_pin_sg(f->e, sgl, n, ANY), 0);
	CHECK_EQ(fixture_doorbells(f), map);
	for_each_sg(sgl, sg, n, i)
		CHECK(fixture_right(f, sg_dma_address(sg), sg_phys(sg),
				    sg->length));
	CHECK_EQ(apple_dma_unpin_sg(f->e, sgl, n), 0);
	CHECK_EQ(fixture_doorbells(f), unmap);
	after = fixture_counts(f);
	CHECK_EQ(after.map_entries - before.map_entries, entries);
	CHECK_EQ(after.unmap_entries - before.unmap_entries,
		 unmap ? entries : 0);
	kvfree(sgl);
	return 0;
}

/* 32 pages, 512 KiB apart: 16 MiB in 4 windows, one batch; kept. */
static int list_that_misses_rings_once(struct fixture *f)
{
	return list_costs(f, fixture_list(0, 32, 512 * KIB, PAGE), 32, 1, 0, 4);
}

/* Strict: a window of a granule for each page, one batch each way. */
static int strict_list_rings_twice(struct fixture *f)
{
	return list_costs(f, fixture_list(0, 32, 512 * KIB, PAGE), 32, 1, 1, 32);
}

/* 200 windows in batches of 64: 64 + 64 + 64 + 8. */
static int long_list_is_split(struct fixture *f)
{
	return list_costs(f, fixture_list(0, 200, 4 * MIB, PAGE), 200, 4, 0,
			  200);
}

static int long_strict_list_is_split(struct fixture *f)
{
	return list_costs(f, fixture_list(0, 200, 4 * MIB, PAGE), 200, 4, 4,
			  200);
}

/* 256 neighbours are 64 granules: one batch, whatever the list's length. */
static int strict_neighbours_share_granules(struct fixture *f)
{
	return list_costs(f, fixture_list(0, 256, PAGE, PAGE), 256, 1, 1, 64);
}

/* 32 entries in batches of 10: 10 + 10 + 10 + 2. */
static int batch_can_be_changed(struct fixture *f)
{
	apple_dma_engine_set_batch(f->e, 10);
	return list_costs(f, fixture_list(0, 32, MIB, PAGE), 32, 4, 4, 32);
}

/* mode=fixed is the baseline: an entry a doorbell, nothing kept. */
static int fixed_rings_once_a_window(struct fixture *f)
{
	return list_costs(f, fixture_list(0, 3, 256 * KIB, PAGE), 3, 3, 3, 3);
}

/* The same list again costs nothing, not even the lock. */
static int hits_ring_nothing(struct fixture *f)
{
	struct scatterlist *sgl = fixture_list(0, 200, 4 * MIB, PAGE);
	u64 slow;

	CHECK(!list_costs(f, sgl, 200, 4, 0, 200));
	slow = fixture_stats(f).slow_paths;
	sgl = fixture_list(64 * KIB, 200, 4 * MIB, 3 * PAGE);
	CHECK(!list_costs(f, sgl, 200, 0, 0, 0));
	CHECK_EQ(fixture_stats(f).slow_paths, slow);
	return 0;
}

/*
 * 100 idle windows fill the budget of 100. A sixteenth, 6, makes room: one
 * doorbell, and one for the map. The next 5 misses find room: one each. Then
 * it starts again.
 */
static int eviction_is_one_doorbell(struct fixture *f)
{
	unsigned int i;

	for (i = 0; i < 100; i++)
		CHECK(!fixture_touch(f, i * 4 * MIB));
	CHECK_EQ(fixture_doorbells(f), 100);
	for (i = 100; i < 113; i++) {
		CHECK(!fixture_touch(f, i * 4 * MIB));
		CHECK_EQ(fixture_doorbells(f), (i - 100) % 6 ? 1 : 2);
	}
	/* At 100, 106 and 112. */
	CHECK_EQ(fixture_stats(f).evictions, 3 * 6);
	return 0;
}

/* 7 of 7, not 8; after one went, 7 again: evict, map. Refusing rings nothing. */
static int entry_budget_is_exact(struct fixture *f)
{
	dma_addr_t addr[7];
	phys_addr_t phys;
	unsigned int i;

	for (i = 0; i < 7; i++) {
		addr[i] = apple_dma_pin(f->e, STRESS_RAM + i * 4 * MIB, PAGE, ANY);
		CHECK(fixture_right(f, addr[i], STRESS_RAM + i * 4 * MIB, PAGE));
	}
	CHECK_EQ(fixture_doorbells(f), 7);
	CHECK(apple_dma_pin(f->e, STRESS_RAM + 28 * MIB, PAGE, ANY) ==
	      DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_doorbells(f), 0);
	CHECK_EQ(fixture_stats(f).failures[APPLE_DMA_FAIL_ENTRIES], 1);
	CHECK_EQ(apple_dma_unpin(f->e, addr[3], PAGE, &phys), 0);
	CHECK(!fixture_touch(f, 28 * MIB));
	CHECK_EQ(fixture_doorbells(f), 2);
	CHECK_EQ(fixture_stats(f).peak_entries, 7);
	return 0;
}

/* The same in bytes: 8 granules, where shapes are granules. */
static int byte_budget_is_exact(struct fixture *f)
{
	unsigned int i;

	for (i = 0; i < 8; i++)
		CHECK(apple_dma_pin(f->e, STRESS_RAM + i * MIB, PAGE, ANY) !=
		      DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_doorbells(f), 8);
	CHECK(apple_dma_pin(f->e, STRESS_RAM + 8 * MIB, PAGE, ANY) ==
	      DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_doorbells(f), 0);
	CHECK_EQ(fixture_stats(f).failures[APPLE_DMA_FAIL_BYTES], 1);
	CHECK_EQ(fixture_stats(f).peak_bytes, 8 * GRANULE);
	return 0;
}

/*
 * A list with one entry too many: 3 windows in one doorbell, none for the
 * fourth; then nothing is mapped, and what was made is idle.
 */
static int list_fails_as_a_whole(struct fixture *f)
{
	struct scatterlist *sgl = fixture_list(0, 4, 4 * MIB, PAGE);
	struct apple_dma_stats stats;

	CHECK(sgl);
	CHECK_EQ(apple_dma_pin_sg(f->e, sgl, 4, ANY), -ENOMEM);
	stats = fixture_stats(f);
	CHECK_EQ(stats.live_mappings, 0);
	CHECK_EQ(stats.live_bytes, 0);
	CHECK_EQ(stats.idle_entries, stats.mapped_entries);
	CHECK_EQ(stats.failures[APPLE_DMA_FAIL_ENTRIES], 1);
	CHECK(!list_costs(f, sgl, 3, 0, 0, 0));
	return 0;
}

/*
 * 15 MiB of 16 are in use. 64 pages need 64 granules, the last MiB; windows of
 * more than a granule would not leave room for all.
 */
static int list_fits_in_exact_granules(struct fixture *f)
{
	struct scatterlist *sgl = fixture_list(100 * MIB, 64, MIB, PAGE);
	unsigned int i;

	CHECK(sgl);
	for (i = 0; i < 15; i++)
		CHECK(apple_dma_pin(f->e, STRESS_RAM + i * MIB, MIB, ANY) !=
		      DMA_MAPPING_ERROR);
	CHECK_EQ(apple_dma_pin_sg(f->e, sgl, 64, ANY), 0);
	CHECK_EQ(fixture_stats(f).mapped_bytes, 16 * MIB);
	CHECK_EQ(apple_dma_unpin_sg(f->e, sgl, 64), 0);
	kvfree(sgl);
	return 0;
}

/*
 * The same with 320 pages in several batches, of which the first leave too
 * little for the last, whatever the shapes: all is given back, and made anew.
 */
static int long_list_fits_in_exact_granules(struct fixture *f)
{
	struct scatterlist *sgl = fixture_list(100 * MIB, 320, MIB, PAGE);
	unsigned int i;

	CHECK(sgl);
	for (i = 0; i < 59; i++)
		CHECK(apple_dma_pin(f->e, STRESS_RAM + i * MIB, MIB, ANY) !=
		      DMA_MAPPING_ERROR);
	CHECK_EQ(apple_dma_pin_sg(f->e, sgl, 320, ANY), 0);
	CHECK_EQ(fixture_stats(f).mapped_bytes, 64 * MIB);
	CHECK_EQ(apple_dma_unpin_sg(f->e, sgl, 320), 0);
	kvfree(sgl);
	return 0;
}

/* Four windows, the first one used again later: the second is the coldest. */
static int coldest_goes_first(struct fixture *f)
{
	unsigned int i;

	for (i = 0; i < 4; i++)
		CHECK(!fixture_touch(f, i * 4 * MIB));
	msleep(50);
	CHECK(!fixture_touch(f, 0));
	CHECK_EQ(fixture_doorbells(f), 4);
	/* A sixteenth of 4 is nothing: only as many go as have to. */
	CHECK(!fixture_touch(f, 16 * MIB));
	CHECK_EQ(fixture_doorbells(f), 2);
	CHECK(fake_host_has(f->host, STRESS_RAM));
	CHECK(!fake_host_has(f->host, STRESS_RAM + 4 * MIB));
	CHECK(fake_host_has(f->host, STRESS_RAM + 8 * MIB));
	CHECK(fake_host_has(f->host, STRESS_RAM + 12 * MIB));
	return 0;
}

/* 100 idle windows in batches of 64: 64 + 36. What is in use stays. */
static int flush_goes_in_batches(struct fixture *f)
{
	dma_addr_t addr = apple_dma_pin(f->e, STRESS_RAM, PAGE, ANY);
	unsigned int i;

	for (i = 1; i <= 100; i++)
		CHECK(!fixture_touch(f, i * 4 * MIB));
	fixture_doorbells(f);
	apple_dma_engine_flush(f->e);
	CHECK_EQ(fixture_doorbells(f), 2);
	CHECK_EQ(fixture_stats(f).mapped_entries, 1);
	CHECK(fixture_right(f, addr, STRESS_RAM, PAGE));
	return 0;
}

/* 10 mappings of a driver that is gone, in 10 windows: one doorbell. */
static int abandoned_go_in_one_doorbell(struct fixture *f)
{
	unsigned int i;

	for (i = 0; i < 10; i++)
		CHECK(apple_dma_pin(f->e, STRESS_RAM + i * 4 * MIB, PAGE, ANY) !=
		      DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_doorbells(f), 10);
	apple_dma_engine_close(f->e);
	CHECK(apple_dma_pin(f->e, STRESS_RAM, PAGE, ANY) == DMA_MAPPING_ERROR);
	CHECK_EQ(apple_dma_engine_abandon(f->e), 10);
	CHECK_EQ(fixture_doorbells(f), 0);
	CHECK(apple_dma_engine_release(f->e));
	CHECK_EQ(fixture_doorbells(f), 1);
	CHECK_EQ(fixture_stats(f).mapped_entries, 0);
	CHECK_EQ(fixture_stats(f).live_mappings, 0);
	return 0;
}

/* Refused as a duplicate, released, mapped: three doorbells. */
static int leftover_is_released(struct fixture *f)
{
	f->e->clean = false;
	CHECK(fake_host_plant(f->host, STRESS_RAM, 8 * MIB));
	CHECK(!fixture_touch(f, MIB));
	CHECK_EQ(fixture_doorbells(f), 3);
	CHECK_EQ(fixture_stats(f).recovered, 1);
	return 0;
}

/* Neither an address that never was, nor one that was unmapped already. */
static int bad_unmap_is_refused(struct fixture *f)
{
	dma_addr_t addr = apple_dma_pin(f->e, STRESS_RAM, PAGE, ANY);
	phys_addr_t phys;

	CHECK_EQ(apple_dma_unpin(f->e, addr, PAGE, &phys), 0);
	CHECK_EQ(apple_dma_unpin(f->e, addr, PAGE, &phys), -ENOENT);
	CHECK_EQ(apple_dma_unpin(f->e, 0x1234000, PAGE, &phys), -ENOENT);
	CHECK_EQ(fixture_stats(f).bad_unmaps, 2);
	CHECK_EQ(fixture_stats(f).live_mappings, 0);
	CHECK_EQ(fixture_doorbells(f), 1);
	return 0;
}

/* No range, no RAM: not asked for. */
static int what_is_not_ram_is_not_asked_for(struct fixture *f)
{
	CHECK(apple_dma_pin(f->e, STRESS_RAM, 0, ANY) == DMA_MAPPING_ERROR);
	CHECK(apple_dma_pin(f->e, STRESS_RAM - MIB, PAGE, ANY) ==
	      DMA_MAPPING_ERROR);
	CHECK(apple_dma_pin(f->e, STRESS_RAM + GIB - PAGE, 2 * PAGE, ANY) ==
	      DMA_MAPPING_ERROR);
	CHECK(apple_dma_pin(f->e, U64_MAX - PAGE, 2 * PAGE, ANY) ==
	      DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_stats(f).failures[APPLE_DMA_FAIL_NOT_RAM], 4);
	CHECK_EQ(fixture_doorbells(f), 0);
	return 0;
}

/* The window is made to find out; then it is there for who reaches it. */
static int mask_is_kept_to(struct fixture *f)
{
	f->host->iova_base = 8 * GIB;
	f->host->next = f->host->iova_base;
	CHECK(apple_dma_pin(f->e, STRESS_RAM, PAGE, DMA_BIT_MASK(32)) ==
	      DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_doorbells(f), 1);
	CHECK_EQ(fixture_stats(f).failures[APPLE_DMA_FAIL_MASK], 1);
	CHECK_EQ(fixture_stats(f).live_mappings, 0);
	CHECK(!fixture_touch(f, 0));
	CHECK_EQ(fixture_doorbells(f), 0);
	/* To the byte. */
	CHECK(apple_dma_pin(f->e, STRESS_RAM, PAGE, 8 * GIB + PAGE - 2) ==
	      DMA_MAPPING_ERROR);
	CHECK(apple_dma_pin(f->e, STRESS_RAM, PAGE, 8 * GIB + PAGE - 1) ==
	      8 * GIB);
	return 0;
}

/* Nothing is asked any more, and unmaps say that the device may still reach. */
static int broken_host_is_left_alone(struct fixture *f)
{
	dma_addr_t addr = apple_dma_pin(f->e, STRESS_RAM, PAGE, ANY);
	phys_addr_t phys = 0;

	f->host->breaks = 1;
	CHECK(apple_dma_pin(f->e, STRESS_RAM + 8 * MIB, PAGE, ANY) ==
	      DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_doorbells(f), 2);
	CHECK(apple_dma_pin(f->e, STRESS_RAM, PAGE, ANY) == DMA_MAPPING_ERROR);
	CHECK_EQ(apple_dma_unpin(f->e, addr, PAGE, &phys), -EIO);
	CHECK_EQ(phys, STRESS_RAM);
	apple_dma_engine_flush(f->e);
	CHECK(!apple_dma_engine_release(f->e));
	CHECK_EQ(fixture_stats(f).failures[APPLE_DMA_FAIL_BROKEN], 2);
	CHECK_EQ(fixture_doorbells(f), 0);
	return 0;
}

const struct stress_case doorbell_cases[] = {
	CASE(list_that_misses_rings_once),
	CASE(strict_list_rings_twice, .mode = APPLE_DMA_MODE_STRICT),
	CASE(long_list_is_split),
	CASE(long_strict_list_is_split, .mode = APPLE_DMA_MODE_STRICT),
	CASE(strict_neighbours_share_granules, .mode = APPLE_DMA_MODE_STRICT),
	CASE(batch_can_be_changed, .mode = APPLE_DMA_MODE_STRICT),
	CASE(fixed_rings_once_a_window, .mode = APPLE_DMA_MODE_FIXED),
	CASE(hits_ring_nothing),
	CASE(eviction_is_one_doorbell, .limits.entries = 100),
	CASE(entry_budget_is_exact, .limits.entries = 7),
	CASE(byte_budget_is_exact, .limits.bytes = 8 * GRANULE),
	CASE(list_fails_as_a_whole, .limits.entries = 3),
	CASE(list_fits_in_exact_granules, .limits.bytes = 16 * MIB),
	CASE(long_list_fits_in_exact_granules, .limits.bytes = 64 * MIB),
	CASE(coldest_goes_first, .limits.entries = 4),
	CASE(flush_goes_in_batches),
	CASE(abandoned_go_in_one_doorbell),
	CASE(leftover_is_released),
	CASE(bad_unmap_is_refused),
	CASE(what_is_not_ram_is_not_asked_for),
	CASE(mask_is_kept_to),
	CASE(broken_host_is_left_alone),
	{ }
};
