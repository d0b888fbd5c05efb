// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/engine.c: modes, a driver that is gone, a host that is broken.
 */

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "fixture.h"
#include "suites.h"

/* Two mappings of one granule share its window, given back with the last. */
static void strict_leaves_nothing(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t a = fixture_map(f, 0, PAGE), b = fixture_map(f, 2 * PAGE, PAGE);

	CHECK_EQ(test, b - a, 2 * PAGE);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, GRANULE);
	CHECK_EQ(test, fixture_unmap(f, a, PAGE), 0);
	CHECK_EQ(test, fixture_doorbells(f), 0);
	CHECK(test, fixture_right(f, b, FAKE_RAM + 2 * PAGE, PAGE));
	CHECK_EQ(test, fixture_unmap(f, b, PAGE), 0);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK(test, !fake_host_translate(f->host, b, NULL));
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
}

/* A window that is larger than the range is not used. */
static void strict_does_not_share_more(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t big = fixture_map(f, MIB, 64 * KIB), page = fixture_map(f, MIB + 20 * KIB, PAGE);

	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 2);
	CHECK_EQ(test, fixture_unmap(f, big, 64 * KIB), 0);
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, GRANULE);
	CHECK(test, fixture_right(f, page, FAKE_RAM + MIB + 20 * KIB, PAGE));
}

/* A window made in strict mode is used like any other: a hit, then kept. */
static void strict_windows_become_cached(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t a = fixture_map(f, 0, PAGE), b;

	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_CACHED);
	b = fixture_map(f, PAGE, PAGE);
	CHECK_EQ(test, b - a, PAGE);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_unmap(f, a, PAGE), 0);
	CHECK_EQ(test, fixture_unmap(f, b, PAGE), 0);
	CHECK_EQ(test, fixture_stats(f)->idle_entries, 1);
	CHECK_EQ(test, fixture_doorbells(f), 0);
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
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_BROKEN], 1);
	apple_dma_engine_open(f->e);
	fixture_touch(f, 0);
	CHECK_EQ(test, fixture_doorbells(f), 1);
}

static struct fixture *waiting_fixture;
static unsigned int waits, late_hits;

/* From now on no hit may begin. */
static void grace_begins(void)
{
	waits++;
	late_hits += READ_ONCE(waiting_fixture->e->fast);
}

/*
 * Hits that are under way end before a driver is taken as gone, and before a
 * mode has changed: the engine waits once, when no more can begin.
 */
static void hits_are_waited_for(struct kunit *test)
{
	struct fixture *f = fixture_open(test);

	fixture_touch(f, 0);
	waiting_fixture = f;
	waits = 0;
	late_hits = 0;
	seam_grace = grace_begins;
	apple_dma_engine_close(f->e);
	CHECK_EQ(test, waits, 1);
	apple_dma_engine_open(f->e);
	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_STRICT);
	CHECK_EQ(test, waits, 2);
	CHECK_EQ(test, late_hits, 0);
}

/* 10 mappings of a driver that is gone, in 10 windows: one doorbell. */
static void abandoned_go_in_one_doorbell(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	unsigned int i;

	for (i = 0; i < 10; i++)
		CHECK(test, apple_dma_map(f->e, FAKE_RAM + i * 4 * MIB, PAGE, ANY) !=
		      DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 10);
	apple_dma_engine_close(f->e);
	CHECK(test, apple_dma_map(f->e, FAKE_RAM, PAGE, ANY) == DMA_MAPPING_ERROR);
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
	dma_addr_t addr = apple_dma_map(f->e, FAKE_RAM, PAGE, ANY);
	phys_addr_t phys = 0;

	f->host->breaks = 1;
	CHECK(test, apple_dma_map(f->e, FAKE_RAM + 8 * MIB, PAGE, ANY) ==
	      DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 2);
	CHECK(test, apple_dma_map(f->e, FAKE_RAM, PAGE, ANY) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, apple_dma_unmap(f->e, addr, PAGE, &phys), -EIO);
	CHECK_EQ(test, phys, FAKE_RAM);
	apple_dma_engine_flush(f->e);
	CHECK(test, !apple_dma_engine_release(f->e));
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_BROKEN], 2);
	CHECK_EQ(test, fixture_doorbells(f), 0);
}

static unsigned int told;

static void tell(struct apple_dma_engine *e)
{
	told++;
}

/* Once, and later than the breach, which is found with the lock held. */
static void breach_is_told(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t addr = fixture_map(f, 0, PAGE);

	told = 0;
	f->e->broke = tell;
	f->host->breaks = 1;
	CHECK(test, fixture_map(f, MIB, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_unmap(f, addr, PAGE), -EIO);
	flush_work(&f->e->alert);
	CHECK_EQ(test, told, 1);
}

/* The windows of what a driver left, once each, and no others. */
static void what_was_left_is_told(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct apple_dma_range range;
	u64 phys = 0, left = 0;
	dma_addr_t addr;
	unsigned int i;

	addr = fixture_map(f, 0, PAGE);
	for (i = 1; i < 4; i++)
		fixture_map(f, i * MIB + PAGE, 2 * GRANULE);
	/* Of four windows three are left, and go in a batch that breaks. */
	CHECK_EQ(test, fixture_unmap(f, addr, PAGE), 0);
	apple_dma_engine_close(f->e);
	CHECK_EQ(test, apple_dma_engine_abandon(f->e), 3);
	f->host->breaks = 1;
	CHECK(test, !apple_dma_engine_release(f->e));
	while (apple_dma_engine_left(f->e, &phys, &range)) {
		left++;
		CHECK_EQ(test, range.phys, FAKE_RAM + left * MIB);
		CHECK_EQ(test, range.size, 3 * GRANULE);
	}
	CHECK_EQ(test, left, 3);
	phys = 0;
	while (apple_dma_engine_left(f->e, &phys, &range))
		CHECK_EQ(test, range.size, 0);
}

/* ---- a host that breaks the protocol at any of its doorbells ---- */

/* A mapping of a page, if it was made. */
struct held {
	u64 phys;
	dma_addr_t addr;
};

/* An address that is handed out was confirmed, whatever the host did since. */
static void hold(struct fixture *f, struct held *h, u64 from)
{
	bool broken = f->e->broken;

	h->phys = FAKE_RAM + from;
	h->addr = apple_dma_map(f->e, h->phys, PAGE, ANY);
	if (h->addr == DMA_MAPPING_ERROR)
		CHECK(f->test, f->e->broken);
	else
		CHECK(f->test, !broken && fixture_right(f, h->addr, h->phys, PAGE));
}

/* An unmap reports that the device may still reach the page. */
static void let_go(struct fixture *f, struct held *h)
{
	phys_addr_t phys;
	int err;

	if (h->addr == DMA_MAPPING_ERROR)
		return;
	err = apple_dma_unmap(f->e, h->addr, PAGE, &phys);
	CHECK_EQ(f->test, phys, h->phys);
	CHECK_EQ(f->test, err, f->e->broken ? -EIO : 0);
	if (f->e->mode == APPLE_DMA_MODE_STRICT)
		CHECK(f->test, err || !fake_host_translate(f->host, h->addr, NULL));
}

/* 70 pages, 4 MiB from one to the next. */
static void list(struct fixture *f)
{
	struct scatterlist *sgl = fixture_list(f, 64 * MIB, 70, 4 * MIB, PAGE), *sg;
	int i, err = apple_dma_map_list(f->e, sgl, 70, ANY, ANY);

	CHECK(f->test, !err || f->e->broken);
	for_each_sg(sgl, sg, 70, i) {
		if (err)
			CHECK(f->test, sg_dma_address(sg) == DMA_MAPPING_ERROR);
		else
			CHECK(f->test, fixture_right(f, sg_dma_address(sg), sg_phys(sg),
						     PAGE));
	}
	if (err)
		return;
	err = apple_dma_unmap_list(f->e, sgl, 70);
	CHECK_EQ(f->test, err, f->e->broken ? -EIO : 0);
}

/*
 * Maps, unmaps, a list of two batches, a leftover, a change of the mode, and a
 * driver that leaves two mappings behind.
 */
static void live(struct fixture *f, enum apple_dma_mode other)
{
	struct held h[5];

	hold(f, &h[0], 0);
	hold(f, &h[1], 8 * MIB);
	list(f);
	let_go(f, &h[0]);
	CHECK(f->test, fake_host_plant(f->host, FAKE_RAM + 16 * MIB, GRANULE));
	hold(f, &h[2], 16 * MIB);
	let_go(f, &h[1]);
	hold(f, &h[3], 24 * MIB);
	apple_dma_engine_set_mode(f->e, other);
	hold(f, &h[4], 32 * MIB);
	let_go(f, &h[2]);
	apple_dma_engine_flush(f->e);
	apple_dma_engine_close(f->e);
	apple_dma_engine_abandon(f->e);
	CHECK(f->test, apple_dma_engine_release(f->e) == !f->e->broken);
	apple_dma_engine_stop(f->e);
}

static void break_each_doorbell(struct kunit *test, enum apple_dma_mode mode,
				enum apple_dma_mode other)
{
	bool broken = true;
	u64 nth;

	for (nth = 1; broken; nth++) {
		struct fixture *f = fixture_open(test, .mode = mode,
						 .leftovers = true);

		f->e->swept = true;
		f->host->breaks = nth;
		live(f, other);
		broken = f->e->broken;
		/* The one that broke it is the last. */
		CHECK(test, broken == (fixture_doorbells(f) == nth));
		fixture_close(test);
	}
	/* Two maps, two for the list, three for the leftover, and two more. */
	CHECK(test, nth > 9);
	kunit_info(test, "%llu doorbells broken\n", nth - 2);
}

static void each_doorbell_breaks(struct kunit *test)
{
	break_each_doorbell(test, APPLE_DMA_MODE_CACHED, APPLE_DMA_MODE_STRICT);
}

static void each_doorbell_breaks_strict(struct kunit *test)
{
	break_each_doorbell(test, APPLE_DMA_MODE_STRICT, APPLE_DMA_MODE_CACHED);
}

/*
 * A driver that unmaps after the shutdown. The device may still reach what a
 * broken host kept, and the unmap says so; it does not reach what was given
 * back.
 */
static void unmap_after_stop(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t kept = apple_dma_map(f->e, FAKE_RAM + 8 * MIB, PAGE, ANY);
	phys_addr_t phys = 0x77;

	f->host->breaks = 1;
	apple_dma_engine_stop(f->e);
	CHECK(test, f->e->broken);
	CHECK_EQ(test, apple_dma_unmap(f->e, kept, PAGE, &phys), -EIO);
	CHECK_EQ(test, phys, FAKE_RAM + 8 * MIB);
	phys = 0x77;
	CHECK_EQ(test, apple_dma_unmap(f->e, kept + GIB, PAGE, &phys), 0);
	CHECK_EQ(test, phys, 0x77);
	CHECK_EQ(test, fixture_stats(f)->bad_unmaps, 0);
}

static void unmap_after_orderly_stop(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	dma_addr_t addr = fixture_map(f, 0, PAGE);

	apple_dma_engine_stop(f->e);
	CHECK_EQ(test, fixture_unmap(f, addr, PAGE), 0);
	CHECK_EQ(test, fixture_stats(f)->bad_unmaps, 0);
}

static struct kunit_case engine_cases[] = {
	KUNIT_CASE(strict_leaves_nothing),
	KUNIT_CASE(strict_does_not_share_more),
	KUNIT_CASE(strict_windows_become_cached),
	KUNIT_CASE(unsafe_is_strict_for_ever),
	KUNIT_CASE(closed_maps_nothing),
	KUNIT_CASE(hits_are_waited_for),
	KUNIT_CASE(abandoned_go_in_one_doorbell),
	KUNIT_CASE(broken_host_is_left_alone),
	KUNIT_CASE(breach_is_told),
	KUNIT_CASE(what_was_left_is_told),
	KUNIT_CASE(each_doorbell_breaks),
	KUNIT_CASE(each_doorbell_breaks_strict),
	KUNIT_CASE(unmap_after_stop),
	KUNIT_CASE(unmap_after_orderly_stop),
	{ }
};

struct kunit_suite engine_suite = {
	.name = "apple_dma_engine",
	.exit = fixture_close,
	.test_cases = engine_cases,
};
