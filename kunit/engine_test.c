// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/engine.c: modes, a driver that is gone, a host that is broken.
 */

#include "fixture.h"
#include "suites.h"

/* Two mappings of one granule share its window, which goes with the last. */
static void strict_leaves_nothing(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t a = fixture_pin(f, 0, PAGE), b = fixture_pin(f, 2 * PAGE, PAGE);

	CHECK_EQ(test, b - a, 2 * PAGE);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, GRANULE);
	CHECK_EQ(test, fixture_unpin(f, a, PAGE), 0);
	CHECK_EQ(test, fixture_doorbells(f), 0);
	CHECK(test, fixture_right(f, b, FAKE_RAM + 2 * PAGE, PAGE));
	CHECK_EQ(test, fixture_unpin(f, b, PAGE), 0);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK(test, !fake_host_translate(f->host, b, NULL));
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
}

/* A window that is larger than the range is not good enough. */
static void strict_does_not_share_more(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t big = fixture_pin(f, MIB, 64 * KIB), page = fixture_pin(f, MIB + 20 * KIB, PAGE);

	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 2);
	CHECK_EQ(test, fixture_unpin(f, big, 64 * KIB), 0);
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, GRANULE);
	CHECK(test, fixture_right(f, page, FAKE_RAM + MIB + 20 * KIB, PAGE));
}

/* What strict mode made is as good as any: a hit, and then kept. */
static void strict_windows_become_cached(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t a = fixture_pin(f, 0, PAGE), b;

	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_CACHED);
	b = fixture_pin(f, PAGE, PAGE);
	CHECK_EQ(test, b - a, PAGE);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_unpin(f, a, PAGE), 0);
	CHECK_EQ(test, fixture_unpin(f, b, PAGE), 0);
	CHECK_EQ(test, fixture_stats(f)->idle_entries, 1);
	CHECK_EQ(test, fixture_doorbells(f), 0);
}

/* 256 KiB around the page, and gone with the last mapping. */
static void fixed_is_fixed(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_FIXED);
	dma_addr_t a = fixture_pin(f, 300 * KIB, PAGE), b = fixture_pin(f, 400 * KIB, PAGE);

	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, 256 * KIB);
	CHECK(test, fake_host_has(f->host, FAKE_RAM + 256 * KIB));
	CHECK_EQ(test, fixture_unpin(f, a, PAGE), 0);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_unpin(f, b, PAGE), 0);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
}

/* A guest that gives memory back is strict, whatever it is told. */
static void unsafe_is_strict_for_ever(struct kunit *test)
{
	struct fixture *f = fixture_open(test);

	fixture_touch(f, 0);
	apple_dma_engine_set_unsafe(f->e);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_CACHED);
	fixture_touch(f, 0);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
}

/* A driver that is gone maps nothing; the next one does. */
static void closed_maps_nothing(struct kunit *test)
{
	struct fixture *f = fixture_open(test);

	fixture_touch(f, 0);
	apple_dma_engine_close(f->e);
	CHECK(test, fixture_pin(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_BROKEN], 1);
	apple_dma_engine_open(f->e);
	fixture_touch(f, 0);
	CHECK_EQ(test, fixture_doorbells(f), 1);
}

/* 10 mappings of a driver that is gone, in 10 windows: one doorbell. */
static void abandoned_go_in_one_doorbell(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	unsigned int i;

	for (i = 0; i < 10; i++)
		CHECK(test, apple_dma_pin(f->e, FAKE_RAM + i * 4 * MIB, PAGE, ANY) !=
		      DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 10);
	apple_dma_engine_close(f->e);
	CHECK(test, apple_dma_pin(f->e, FAKE_RAM, PAGE, ANY) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, apple_dma_engine_abandon(f->e), 10);
	CHECK_EQ(test, fixture_doorbells(f), 0);
	CHECK(test, apple_dma_engine_release(f->e));
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
	CHECK_EQ(test, fixture_stats(f)->live_mappings, 0);
}

/* Nothing is asked any more, and unmaps say that the device may still reach. */
static void broken_host_is_left_alone(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	dma_addr_t addr = apple_dma_pin(f->e, FAKE_RAM, PAGE, ANY);
	phys_addr_t phys = 0;

	f->host->breaks = 1;
	CHECK(test, apple_dma_pin(f->e, FAKE_RAM + 8 * MIB, PAGE, ANY) ==
	      DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 2);
	CHECK(test, apple_dma_pin(f->e, FAKE_RAM, PAGE, ANY) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, apple_dma_unpin(f->e, addr, PAGE, &phys), -EIO);
	CHECK_EQ(test, phys, FAKE_RAM);
	apple_dma_engine_flush(f->e);
	CHECK(test, !apple_dma_engine_release(f->e));
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_BROKEN], 2);
	CHECK_EQ(test, fixture_doorbells(f), 0);
}

/*
 * A driver that unmaps after the shutdown. What a broken host kept it may still
 * reach, and what is said of it is true; what it gave back, it does not.
 */
static void unmap_after_stop(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t kept = apple_dma_pin(f->e, FAKE_RAM + 8 * MIB, PAGE, ANY);
	phys_addr_t phys = 0x77;

	f->host->breaks = 1;
	apple_dma_engine_stop(f->e);
	CHECK(test, f->e->broken);
	CHECK_EQ(test, apple_dma_unpin(f->e, kept, PAGE, &phys), -EIO);
	CHECK_EQ(test, phys, FAKE_RAM + 8 * MIB);
	phys = 0x77;
	CHECK_EQ(test, apple_dma_unpin(f->e, kept + GIB, PAGE, &phys), 0);
	CHECK_EQ(test, phys, 0x77);
	CHECK_EQ(test, fixture_stats(f)->bad_unmaps, 0);
}

static void unmap_after_orderly_stop(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	dma_addr_t addr = fixture_pin(f, 0, PAGE);

	apple_dma_engine_stop(f->e);
	CHECK_EQ(test, fixture_unpin(f, addr, PAGE), 0);
	CHECK_EQ(test, fixture_stats(f)->bad_unmaps, 0);
}

static struct kunit_case engine_cases[] = {
	KUNIT_CASE(strict_leaves_nothing),
	KUNIT_CASE(strict_does_not_share_more),
	KUNIT_CASE(strict_windows_become_cached),
	KUNIT_CASE(fixed_is_fixed),
	KUNIT_CASE(unsafe_is_strict_for_ever),
	KUNIT_CASE(closed_maps_nothing),
	KUNIT_CASE(abandoned_go_in_one_doorbell),
	KUNIT_CASE(broken_host_is_left_alone),
	KUNIT_CASE(unmap_after_stop),
	KUNIT_CASE(unmap_after_orderly_stop),
	{ }
};

struct kunit_suite engine_suite = {
	.name = "engine",
	.exit = fixture_close,
	.test_cases = engine_cases,
};
