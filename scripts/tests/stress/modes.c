// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cases about modes, and about when windows go.
 */

#include <linux/delay.h>

#include "stress.h"

static dma_addr_t pin(struct fixture *f, u64 from, u64 size)
{
	return apple_dma_pin(f->e, STRESS_RAM + from, size, ANY);
}

static int unpin(struct fixture *f, dma_addr_t addr, u64 size)
{
	phys_addr_t phys;

	return apple_dma_unpin(f->e, addr, size, &phys);
}

/* Two mappings of one granule share its window, which goes with the last. */
static int strict_leaves_nothing(struct fixture *f)
{
	dma_addr_t a = pin(f, 0, PAGE), b = pin(f, 2 * PAGE, PAGE);

	CHECK_EQ(b - a, 2 * PAGE);
	CHECK_EQ(fixture_doorbells(f), 1);
	CHECK_EQ(fixture_stats(f).mapped_bytes, GRANULE);
	CHECK_EQ(unpin(f, a, PAGE), 0);
	CHECK_EQ(fixture_doorbells(f), 0);
	CHECK(fixture_right(f, b, STRESS_RAM + 2 * PAGE, PAGE));
	CHECK_EQ(unpin(f, b, PAGE), 0);
	CHECK_EQ(fixture_doorbells(f), 1);
	CHECK(!fake_host_translate(f->host, b, NULL));
	CHECK_EQ(fixture_stats(f).mapped_entries, 0);
	return 0;
}

/* A window that is larger than the range is not good enough. */
static int strict_does_not_share_more(struct fixture *f)
{
	dma_addr_t big = pin(f, MIB, 64 * KIB), page = pin(f, MIB + 20 * KIB, PAGE);

	CHECK_EQ(fixture_stats(f).mapped_entries, 2);
	CHECK_EQ(unpin(f, big, 64 * KIB), 0);
	CHECK_EQ(fixture_stats(f).mapped_bytes, GRANULE);
	CHECK(fixture_right(f, page, STRESS_RAM + MIB + 20 * KIB, PAGE));
	return 0;
}

/* What was idle goes at once, what is in use with its last mapping. */
static int retired_take_nothing_new(struct fixture *f)
{
	dma_addr_t old = pin(f, 0, PAGE), new;

	CHECK(!fixture_touch(f, 4 * MIB));
	CHECK_EQ(fixture_doorbells(f), 2);
	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_STRICT);
	CHECK_EQ(fixture_doorbells(f), 1);
	CHECK_EQ(fixture_stats(f).mapped_entries, 1);

	new = pin(f, MIB, PAGE);
	CHECK_EQ(fixture_stats(f).mapped_bytes, 4 * MIB + GRANULE);
	CHECK_EQ(unpin(f, old, PAGE), 0);
	CHECK(!fake_host_has(f->host, STRESS_RAM));
	CHECK(fixture_right(f, new, STRESS_RAM + MIB, PAGE));
	CHECK_EQ(fixture_stats(f).mapped_bytes, GRANULE);
	return 0;
}

/* Nor when the mode is cached again before they are gone. */
static int retired_stay_retired(struct fixture *f)
{
	dma_addr_t old = pin(f, 8 * MIB, PAGE), new;

	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_STRICT);
	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_CACHED);
	new = pin(f, 8 * MIB, PAGE);
	CHECK(fixture_right(f, new, STRESS_RAM + 8 * MIB, PAGE));
	CHECK(new != old);
	CHECK_EQ(fixture_stats(f).mapped_entries, 2);
	CHECK_EQ(unpin(f, old, PAGE), 0);
	CHECK_EQ(unpin(f, new, PAGE), 0);
	CHECK_EQ(fixture_stats(f).idle_entries,
		 fixture_stats(f).mapped_entries);
	return 0;
}

/* What strict mode made is as good as any: a hit, and then kept. */
static int strict_windows_become_cached(struct fixture *f)
{
	dma_addr_t a = pin(f, 0, PAGE), b;

	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_CACHED);
	b = pin(f, PAGE, PAGE);
	CHECK_EQ(b - a, PAGE);
	CHECK_EQ(fixture_doorbells(f), 1);
	CHECK_EQ(unpin(f, a, PAGE), 0);
	CHECK_EQ(unpin(f, b, PAGE), 0);
	CHECK_EQ(fixture_stats(f).idle_entries, 1);
	CHECK_EQ(fixture_doorbells(f), 0);
	return 0;
}

/* 256 KiB around the page, and gone with the last mapping. */
static int fixed_is_fixed(struct fixture *f)
{
	dma_addr_t a = pin(f, 300 * KIB, PAGE), b = pin(f, 400 * KIB, PAGE);

	CHECK_EQ(fixture_stats(f).mapped_bytes, 256 * KIB);
	CHECK(fake_host_has(f->host, STRESS_RAM + 256 * KIB));
	CHECK_EQ(unpin(f, a, PAGE), 0);
	CHECK_EQ(fixture_doorbells(f), 1);
	CHECK_EQ(unpin(f, b, PAGE), 0);
	CHECK_EQ(fixture_doorbells(f), 1);
	CHECK_EQ(fixture_stats(f).mapped_entries, 0);
	return 0;
}

/* A guest that gives memory back is strict, whatever it is told. */
static int unsafe_is_strict_for_ever(struct fixture *f)
{
	CHECK(!fixture_touch(f, 0));
	apple_dma_engine_set_unsafe(f->e);
	CHECK_EQ(fixture_stats(f).mapped_entries, 0);
	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_CACHED);
	CHECK(!fixture_touch(f, 0));
	CHECK_EQ(fixture_stats(f).mapped_entries, 0);
	return 0;
}

/* The host is left alone; what is in use stays. */
static int idle_ones_age(struct fixture *f)
{
	dma_addr_t addr = pin(f, 8 * MIB, PAGE);
	unsigned int i;

	CHECK(!fixture_touch(f, 0));
	CHECK_EQ(fixture_stats(f).mapped_entries, 2);
	msleep(60);
	CHECK_EQ(fixture_stats(f).mapped_entries, 2);
	apple_dma_engine_set_idle_ms(f->e, 20);
	for (i = 0; i < 100 && fixture_stats(f).mapped_entries > 1; i++)
		msleep(20);
	CHECK_EQ(fixture_stats(f).mapped_entries, 1);
	CHECK(fixture_right(f, addr, STRESS_RAM + 8 * MIB, PAGE));

	/* It goes on while there is something, and starts again. */
	CHECK_EQ(unpin(f, addr, PAGE), 0);
	for (i = 0; i < 100 && fixture_stats(f).mapped_entries; i++)
		msleep(20);
	CHECK_EQ(fixture_stats(f).mapped_entries, 0);
	CHECK(!fixture_touch(f, 0));
	for (i = 0; i < 100 && fixture_stats(f).mapped_entries; i++)
		msleep(20);
	CHECK_EQ(fixture_stats(f).mapped_entries, 0);
	CHECK_EQ(fixture_stats(f).evictions, 3);
	return 0;
}

/* A driver that is gone maps nothing; the next one does. */
static int closed_maps_nothing(struct fixture *f)
{
	CHECK(!fixture_touch(f, 0));
	apple_dma_engine_close(f->e);
	CHECK(pin(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_stats(f).failures[APPLE_DMA_FAIL_BROKEN], 1);
	apple_dma_engine_open(f->e);
	CHECK(!fixture_touch(f, 0));
	CHECK_EQ(fixture_doorbells(f), 1);
	return 0;
}

const struct stress_case mode_cases[] = {
	CASE(strict_leaves_nothing, .mode = APPLE_DMA_MODE_STRICT),
	CASE(strict_does_not_share_more, .mode = APPLE_DMA_MODE_STRICT),
	CASE(retired_take_nothing_new),
	CASE(retired_stay_retired),
	CASE(strict_windows_become_cached, .mode = APPLE_DMA_MODE_STRICT),
	CASE(fixed_is_fixed, .mode = APPLE_DMA_MODE_FIXED),
	CASE(unsafe_is_strict_for_ever),
	CASE(idle_ones_age),
	CASE(closed_maps_nothing),
	{ }
};
