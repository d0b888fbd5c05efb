// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/idle.c: which windows are given back, when, and with how many
 * doorbells.
 */

#include <linux/delay.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "fixture.h"
#include "suites.h"

/*
 * 100 idle windows fill the budget of 100. A sixteenth, 6, makes room: one
 * doorbell, and one for the map. The next 5 misses find room: one each. Then
 * it starts again.
 */
static void eviction_is_one_doorbell(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.entries = 100);
	unsigned int i;

	for (i = 0; i < 100; i++)
		fixture_touch(f, i * 4 * MIB);
	CHECK_EQ(test, fixture_doorbells(f), 100);
	for (i = 100; i < 113; i++) {
		fixture_touch(f, i * 4 * MIB);
		CHECK_EQ(test, fixture_doorbells(f), (i - 100) % 6 ? 1 : 2);
	}
	/* At 100, 106 and 112. */
	CHECK_EQ(test, fixture_stats(f)->evictions, 3 * 6);
}

/* Four windows, the first one used again later: the second is the coldest. */
static void coldest_goes_first(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.entries = 4);
	unsigned int i;

	for (i = 0; i < 4; i++)
		fixture_touch(f, i * 4 * MIB);
	msleep(50);
	fixture_touch(f, 0);
	CHECK_EQ(test, fixture_doorbells(f), 4);
	/* A sixteenth of 4 is 0: only as many go as necessary. */
	fixture_touch(f, 16 * MIB);
	CHECK_EQ(test, fixture_doorbells(f), 2);
	CHECK(test, fake_host_has(f->host, FAKE_RAM));
	CHECK(test, !fake_host_has(f->host, FAKE_RAM + 4 * MIB));
	CHECK(test, fake_host_has(f->host, FAKE_RAM + 8 * MIB));
	CHECK(test, fake_host_has(f->host, FAKE_RAM + 12 * MIB));
}

/* 100 idle windows in batches of 64: 64 + 36. What is in use stays. */
static void flush_goes_in_batches(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	dma_addr_t addr = apple_dma_map(f->e, FAKE_RAM, PAGE, ANY);
	unsigned int i;

	for (i = 1; i <= 100; i++)
		fixture_touch(f, i * 4 * MIB);
	fixture_doorbells(f);
	apple_dma_engine_flush(f->e);
	CHECK_EQ(test, fixture_doorbells(f), 2);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 1);
	CHECK(test, fixture_right(f, addr, FAKE_RAM, PAGE));
}

/* If only 7 fit, 100 idle windows are 14 doorbells with 7, and one with 2. */
static void flush_rings_for_what_fits(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	unsigned int i;

	f->host->fit = 7;
	for (i = 0; i < 100; i++)
		fixture_touch(f, i * 4 * MIB);
	fixture_doorbells(f);
	apple_dma_engine_flush(f->e);
	CHECK_EQ(test, fixture_doorbells(f), 15);
	CHECK_EQ(test, fixture_counts(f).longest, 7);
}

/*
 * Idle windows of a full budget that are used again are still on the list.
 * Neither a flush nor a lack of room takes them; when they are idle they may
 * go.
 */
static void used_again_is_in_use(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.entries = 2);
	dma_addr_t addr[2];
	unsigned int i;

	for (i = 0; i < 2; i++)
		fixture_touch(f, i * 4 * MIB);
	CHECK_EQ(test, fixture_stats(f)->idle_entries, 2);
	for (i = 0; i < 2; i++)
		addr[i] = fixture_map(f, i * 4 * MIB, PAGE);
	CHECK_EQ(test, fixture_doorbells(f), 2);
	CHECK_EQ(test, fixture_stats(f)->idle_entries, 0);

	apple_dma_engine_flush(f->e);
	CHECK_EQ(test, apple_dma_map(f->e, FAKE_RAM + 8 * MIB, PAGE, ANY),
		 DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->evictions, 0);
	for (i = 0; i < 2; i++) {
		CHECK(test, fixture_right(f, addr[i], FAKE_RAM + i * 4 * MIB,
					  PAGE));
		CHECK_EQ(test, fixture_unmap(f, addr[i], PAGE), 0);
	}
	fixture_touch(f, 8 * MIB);
	CHECK_EQ(test, fixture_stats(f)->evictions, 1);
	apple_dma_engine_flush(f->e);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
}

/* What was idle goes at once, what is in use with its last mapping. */
static void retired_take_nothing_new(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	dma_addr_t old = fixture_map(f, 0, PAGE), new;

	fixture_touch(f, 4 * MIB);
	CHECK_EQ(test, fixture_doorbells(f), 2);
	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_STRICT);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 1);

	new = fixture_map(f, MIB, PAGE);
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, 4 * MIB + GRANULE);
	CHECK_EQ(test, fixture_unmap(f, old, PAGE), 0);
	CHECK(test, !fake_host_has(f->host, FAKE_RAM));
	CHECK(test, fixture_right(f, new, FAKE_RAM + MIB, PAGE));
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, GRANULE);
}

/* They stay retired if the mode is cached again before they are gone. */
static void retired_stay_retired(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	dma_addr_t old = fixture_map(f, 8 * MIB, PAGE), new;

	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_STRICT);
	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_CACHED);
	new = fixture_map(f, 8 * MIB, PAGE);
	CHECK(test, fixture_right(f, new, FAKE_RAM + 8 * MIB, PAGE));
	CHECK(test, new != old);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 2);
	CHECK_EQ(test, fixture_unmap(f, old, PAGE), 0);
	CHECK_EQ(test, fixture_unmap(f, new, PAGE), 0);
	CHECK_EQ(test, fixture_stats(f)->idle_entries,
		 fixture_stats(f)->mapped_entries);
}

/* The first step of a mode change, before it waits and gives windows back. */
static void begin_strict(struct fixture *f)
{
	unsigned long flags;

	spin_lock_irqsave(&f->e->lock, flags);
	f->e->mode = APPLE_DMA_MODE_STRICT;
	f->e->fast = false;
	spin_unlock_irqrestore(&f->e->lock, flags);
}

/*
 * 100 windows are idle when the mode changes. An unmap meanwhile gives back
 * only the window that it empties, one doorbell with one entry. The mode change
 * gives back the 100.
 */
static void unmap_gives_back_its_own_window(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	struct scatterlist *sgl = fixture_list(f, 900 * MIB, 4, 4 * MIB, PAGE);
	dma_addr_t addr = fixture_map(f, 800 * MIB, PAGE);
	unsigned int i;

	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 4, ANY, ANY), 0);
	for (i = 0; i < 100; i++)
		fixture_touch(f, i * 4 * MIB);
	begin_strict(f);
	fixture_doorbells(f);
	CHECK_EQ(test, fixture_unmap(f, addr, PAGE), 0);
	CHECK(test, !fake_host_has(f->host, FAKE_RAM + 800 * MIB));
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 4), 0);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_counts(f).unmap_entries, 5);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 100);
	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_STRICT);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
}

/* Some hundred windows are looked at with interrupts off; the others later. */
static void all_of_many_are_retired(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	const unsigned int n = 2049;
	dma_addr_t *old = fixture_memory(f, n * sizeof(*old)), new;
	unsigned int i;

	for (i = 0; i < n; i++)
		old[i] = fixture_map(f, (2 * i + 1) * GRANULE, PAGE);
	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_STRICT);
	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_CACHED);
	for (i = 0; i < n; i += 1024) {
		new = fixture_map(f, (2 * i + 1) * GRANULE, PAGE);
		CHECK(test, new != DMA_MAPPING_ERROR && new != old[i]);
	}
	fixture_holds(f);
}

/* @n windows of a granule go idle, and none of them is on the list yet. */
static void many_go_idle(struct fixture *f, unsigned int n)
{
	struct scatterlist *sgl = fixture_list(f, 0, n, 2 * GRANULE, PAGE);
	struct kunit *test = f->test;

	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, n, ANY, ANY), 0);
	WRITE_ONCE(f->e->mode, APPLE_DMA_MODE_CACHED);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, n), 0);
	CHECK_EQ(test, fixture_stats(f)->idle_entries, n);
}

/* A flush finds all of them, the coldest first. */
static void many_go_in_short_holds(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);

	many_go_idle(f, 5000);
	CHECK_EQ(test, apple_dma_idle_flush(f->e, 64, "flush"), 64);
	CHECK(test, !fake_host_has(f->host, FAKE_RAM));
	CHECK(test, !fake_host_has(f->host, FAKE_RAM + 63 * 2 * GRANULE));
	CHECK(test, fake_host_has(f->host, FAKE_RAM + 64 * 2 * GRANULE));
	apple_dma_engine_flush(f->e);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
	fixture_holds(f);
}

/*
 * 64 windows of 4 MiB with one doorbell, and one of 256 MiB: neither their slots are
 * filled nor cleared in one hold.
 */
static void large_ones_go_in_short_holds(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	struct scatterlist *sgl = fixture_list(f, 0, 64, 4 * MIB, PAGE);
	const struct apple_dma_stats *stats;
	dma_addr_t addr;

	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 64, ANY, ANY), 0);
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, 256 * MIB);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 64), 0);
	addr = fixture_map(f, 512 * MIB, 256 * MIB);
	CHECK_EQ(test, fixture_unmap(f, addr, 256 * MIB), 0);
	fixture_touch(f, 768 * MIB - PAGE);
	stats = fixture_stats(f);
	CHECK_EQ(test, stats->mapped_entries, 65);
	CHECK_EQ(test, stats->slow_paths, 2);
	fixture_doorbells(f);
	apple_dma_engine_flush(f->e);
	CHECK_EQ(test, fixture_doorbells(f), 2);
	apple_dma_window_wait(f->e);
	CHECK(test, xa_empty(&f->e->by_phys) && xa_empty(&f->e->by_iova));
	fixture_holds(f);
}

/* A driver that goes leaves 5,000 windows mapped. */
static void many_are_left_in_short_holds(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct scatterlist *sgl = fixture_list(f, 0, 5000, 2 * GRANULE, PAGE);

	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 5000, ANY, ANY), 0);
	apple_dma_engine_close(f->e);
	CHECK_EQ(test, apple_dma_engine_abandon(f->e), 5000);
	CHECK(test, apple_dma_engine_release(f->e));
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
	fixture_holds(f);
}

/*
 * 5,000 idle windows fill the budget. The first 2,000 on the list are in use
 * again when one more is needed: the search goes on behind them.
 */
static void room_is_found_behind_windows_in_use(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT,
					 .limits.entries = 5000);
	dma_addr_t *addr = fixture_memory(f, 2000 * sizeof(*addr));
	unsigned int i;

	many_go_idle(f, 5000);
	for (i = 0; i < 2000; i++)
		addr[i] = fixture_map(f, i * 2 * GRANULE, PAGE);
	fixture_touch(f, GIB - 4 * MIB);
	for (i = 0; i < 2000; i++)
		CHECK_EQ(test, fixture_unmap(f, addr[i], PAGE), 0);
	fixture_holds(f);
}

static struct fixture *busy_fixture;
static struct task_struct *busy_task;
static unsigned int busy_turns;

/* At each cond_resched() one more window goes idle. A work item has some as well. */
static void keep_busy(void)
{
	if (current == busy_task && busy_turns++ < 1000)
		fixture_touch(busy_fixture, 500 * MIB + busy_turns * 4 * MIB);
}

/* 100 idle windows are two batches, whatever goes idle in between. */
static void flush_ends_under_load(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .ram = { 8 * GIB },
					 .limits.bytes = 8 * GIB);
	unsigned int i;

	for (i = 0; i < 100; i++)
		fixture_touch(f, i * 4 * MIB);
	busy_fixture = f;
	busy_task = current;
	busy_turns = 0;
	seam_resched = keep_busy;
	apple_dma_engine_flush(f->e);
	seam_resched = NULL;
	CHECK_EQ(test, fixture_stats(f)->evictions, 100);
	CHECK_EQ(test, busy_turns, 2);
	CHECK_EQ(test, fixture_stats(f)->idle_entries, 2);
}

/* Idle for this long, also since it was listed. */
static void make_old(struct fixture *f, u64 from, unsigned int seconds)
{
	struct apple_dma_window *w;
	unsigned long flags;

	spin_lock_irqsave(&f->e->lock, flags);
	w = apple_dma_index_find(f->e, FAKE_RAM + from, PAGE);
	if (w) {
		w->stamp = (u32)jiffies - seconds * HZ;
		w->seen = w->stamp;
	}
	spin_unlock_irqrestore(&f->e->lock, flags);
	CHECK(f->test, w);
}

/* Of four windows, two have been idle for an hour or more. */
static void only_old_ones_age(struct kunit *test)
{
	static const unsigned int seconds[] = { 7200, 3600, 1800, 0 };
	struct fixture *f = fixture_open(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(seconds); i++)
		fixture_touch(f, i * 4 * MIB);
	for (i = 0; i < ARRAY_SIZE(seconds); i++)
		make_old(f, i * 4 * MIB, seconds[i]);
	apple_dma_engine_set_idle_ms(f->e, 3600 * 1000);
	fixture_doorbells(f);
	f->e->ager.work.func(&f->e->ager.work);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	for (i = 0; i < ARRAY_SIZE(seconds); i++)
		CHECK_EQ(test, fake_host_has(f->host, FAKE_RAM + i * 4 * MIB),
			 seconds[i] < 3600);
}

/* Leave so many windows of 128 KiB idle. They need no aligned address. */
static void idle_large_ones(struct fixture *f, unsigned int n)
{
	dma_addr_t addr[9];
	unsigned int i;

	for (i = 0; i < n; i++)
		addr[i] = fixture_map(f, 2 * GIB + i * MIB + GRANULE,
				      128 * KIB);
	for (i = 0; i < n; i++)
		CHECK_EQ(f->test, fixture_unmap(f, addr[i], 128 * KIB), 0);
}

/*
 * 64 MiB in all, of which so much is wasted that a miss gets a granule. Large idle
 * windows may have 1 MiB. If they have more, they are given back in one doorbell, before
 * the one of the miss; an idle granule stays.
 */
static void large_ones_go_where_room_is_short(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = 64 * MIB,
					 .ram = { 4 * GIB });
	dma_addr_t addr;
	unsigned int i;

	for (i = 0; i < 3; i++) {
		addr = fixture_map(f, i * 8 * MIB, 4 * MIB);
		CHECK(test, fixture_map(f, i * 8 * MIB, PAGE) == addr);
		CHECK_EQ(test, fixture_unmap(f, addr, 4 * MIB), 0);
	}
	fixture_touch(f, GIB);
	idle_large_ones(f, 8);
	fixture_doorbells(f);
	fixture_touch(f, 3 * GIB);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_stats(f)->idle_bytes, MIB + 2 * GRANULE);
	idle_large_ones(f, 9);
	fixture_doorbells(f);
	fixture_touch(f, 3 * GIB + MIB);
	CHECK_EQ(test, fixture_doorbells(f), 2);
	CHECK_EQ(test, fixture_stats(f)->idle_bytes, 3 * GRANULE);
	CHECK(test, fake_host_has(f->host, FAKE_RAM + GIB));
}

/* The host is not called; what is in use stays. */
static void idle_ones_age(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	dma_addr_t addr = fixture_map(f, 8 * MIB, PAGE);
	unsigned int i;

	fixture_touch(f, 0);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 2);
	msleep(60);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 2);
	apple_dma_engine_set_idle_ms(f->e, 20);
	for (i = 0; i < 100 && fixture_stats(f)->mapped_entries > 1; i++)
		msleep(20);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 1);
	CHECK(test, fixture_right(f, addr, FAKE_RAM + 8 * MIB, PAGE));

	/* It goes on while there is something, and starts again. */
	CHECK_EQ(test, fixture_unmap(f, addr, PAGE), 0);
	for (i = 0; i < 100 && fixture_stats(f)->mapped_entries; i++)
		msleep(20);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
	fixture_touch(f, 0);
	for (i = 0; i < 100 && fixture_stats(f)->mapped_entries; i++)
		msleep(20);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
	CHECK_EQ(test, fixture_stats(f)->evictions, 3);
}

/*
 * 100 idle windows go in two doorbells; what is in use is asked for again, in
 * one, and refused because the host has it.
 */
static void sleep_keeps_what_is_in_use(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	dma_addr_t addr = fixture_map(f, 0, PAGE);
	unsigned int i;

	for (i = 1; i <= 100; i++)
		fixture_touch(f, i * 4 * MIB);
	fixture_doorbells(f);
	fixture_sleep(f);
	CHECK_EQ(test, fixture_doorbells(f), 2);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 1);
	CHECK(test, fixture_wake(f));
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_counts(f).refusals, 1);
	CHECK(test, fixture_right(f, addr, FAKE_RAM, PAGE));
	fixture_touch(f, 4 * MIB);
	CHECK_EQ(test, fixture_unmap(f, addr, PAGE), 0);
}

/*
 * 100 windows in use are two batches. The host forgot the last one, and has it
 * at another address now.
 */
static void all_in_use_are_asked_for_again(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_RANDOM);
	unsigned int i;

	for (i = 0; i < 100; i++)
		CHECK(test, fixture_map(f, i * 4 * MIB, PAGE) != DMA_MAPPING_ERROR);
	fixture_sleep(f);
	CHECK(test, fake_host_forget(f->host, FAKE_RAM + 99 * 4 * MIB));
	fixture_doorbells(f);
	CHECK(test, !fixture_wake(f));
	CHECK_EQ(test, fixture_doorbells(f), 2);
	CHECK_EQ(test, fixture_counts(f).refusals, 99);
	CHECK(test, fake_host_has(f->host, FAKE_RAM + 99 * 4 * MIB));
}

/* The driver is unbound: what is left goes, and the next one can map. */
static void reopen(struct fixture *f)
{
	apple_dma_engine_close(f->e);
	apple_dma_engine_abandon(f->e);
	CHECK(f->test, apple_dma_engine_release(f->e));
	CHECK_EQ(f->test, fixture_stats(f)->mapped_entries, 0);
	apple_dma_engine_open(f->e);
}

/*
 * What the host forgot in between is registered again. It has another address
 * then, so nothing more is mapped before the driver is probed again.
 */
static void forgotten_windows_are_found(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_RANDOM);
	dma_addr_t kept = fixture_map(f, 0, PAGE);
	dma_addr_t lost = fixture_map(f, 8 * MIB, PAGE), fresh;

	fixture_sleep(f);
	CHECK(test, fake_host_forget(f->host, FAKE_RAM + 8 * MIB));
	CHECK(test, !fixture_wake(f));
	CHECK(test, fake_host_has(f->host, FAKE_RAM + 8 * MIB));
	CHECK(test, fixture_right(f, kept, FAKE_RAM, PAGE));
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, fixture_map(f, 8 * MIB, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_unmap(f, kept, PAGE), 0);
	CHECK_EQ(test, fixture_unmap(f, lost, PAGE), 0);
	reopen(f);
	CHECK(test, !fake_host_has(f->host, FAKE_RAM + 8 * MIB));
	fresh = fixture_map(f, 8 * MIB, PAGE);
	CHECK(test, fixture_right(f, fresh, FAKE_RAM + 8 * MIB, PAGE));
}

/*
 * The host forgot two windows, and gives each the address of the other. That is
 * no breach. Nothing is mapped with either, and what the driver still has can be
 * unmapped.
 */
static void check_swapped(struct kunit *test, enum apple_dma_mode mode)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_REUSE,
					 .mode = mode);
	dma_addr_t a = fixture_map(f, 0, PAGE);
	dma_addr_t b = fixture_map(f, 8 * MIB, PAGE);

	fixture_sleep(f);
	CHECK(test, fake_host_forget(f->host, FAKE_RAM));
	CHECK(test, fake_host_forget(f->host, FAKE_RAM + 8 * MIB));
	CHECK(test, !fixture_wake(f));
	CHECK(test, fixture_right(f, a, FAKE_RAM + 8 * MIB, PAGE));
	CHECK(test, fixture_right(f, b, FAKE_RAM, PAGE));

	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, fixture_map(f, 16 * MIB, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, !f->e->broken);
	CHECK_EQ(test, fixture_unmap(f, a, PAGE), 0);
	CHECK_EQ(test, fixture_stats(f)->live_mappings, 1);
	reopen(f);
	a = fixture_map(f, 0, PAGE);
	CHECK(test, fixture_right(f, a, FAKE_RAM, PAGE));
}

static void swapped_addresses_are_not_used(struct kunit *test)
{
	check_swapped(test, APPLE_DMA_MODE_CACHED);
}

static void swapped_addresses_are_not_used_strict(struct kunit *test)
{
	check_swapped(test, APPLE_DMA_MODE_STRICT);
}

static struct kunit_case idle_cases[] = {
	KUNIT_CASE(eviction_is_one_doorbell),
	KUNIT_CASE(coldest_goes_first),
	KUNIT_CASE(flush_goes_in_batches),
	KUNIT_CASE(flush_rings_for_what_fits),
	KUNIT_CASE(used_again_is_in_use),
	KUNIT_CASE(retired_take_nothing_new),
	KUNIT_CASE(retired_stay_retired),
	KUNIT_CASE(all_of_many_are_retired),
	KUNIT_CASE(many_go_in_short_holds),
	KUNIT_CASE(large_ones_go_in_short_holds),
	KUNIT_CASE(many_are_left_in_short_holds),
	KUNIT_CASE(room_is_found_behind_windows_in_use),
	KUNIT_CASE(unmap_gives_back_its_own_window),
	KUNIT_CASE(flush_ends_under_load),
	KUNIT_CASE(only_old_ones_age),
	KUNIT_CASE(large_ones_go_where_room_is_short),
	KUNIT_CASE(idle_ones_age),
	KUNIT_CASE(sleep_keeps_what_is_in_use),
	KUNIT_CASE(all_in_use_are_asked_for_again),
	KUNIT_CASE(forgotten_windows_are_found),
	KUNIT_CASE(swapped_addresses_are_not_used),
	KUNIT_CASE(swapped_addresses_are_not_used_strict),
	{ }
};

struct kunit_suite idle_suite = {
	.name = "apple_dma_idle",
	.exit = fixture_close,
	.test_cases = idle_cases,
};
