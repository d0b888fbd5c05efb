// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/shape.c: the size and place of windows, the budget, handles, and
 * learned limits.
 */

#include "fixture.h"
#include "suites.h"

/* 7 of 7, not 8; after one went, 7 again: evict, map. Refusing rings nothing. */
static void entry_budget_is_exact(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.entries = 7);
	dma_addr_t addr[7];
	phys_addr_t phys;
	unsigned int i;

	for (i = 0; i < 7; i++) {
		addr[i] = apple_dma_map(f->e, FAKE_RAM + i * 4 * MIB, PAGE, ANY);
		CHECK(test, fixture_right(f, addr[i], FAKE_RAM + i * 4 * MIB, PAGE));
	}
	CHECK_EQ(test, fixture_doorbells(f), 7);
	CHECK(test, apple_dma_map(f->e, FAKE_RAM + 28 * MIB, PAGE, ANY) ==
	      DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 0);
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_ENTRIES], 1);
	CHECK_EQ(test, apple_dma_unmap(f->e, addr[3], PAGE, &phys), 0);
	fixture_touch(f, 28 * MIB);
	CHECK_EQ(test, fixture_doorbells(f), 2);
	CHECK_EQ(test, fixture_stats(f)->peak_entries, 7);
}

/* The same in bytes: 8 granules, where shapes are granules. */
static void byte_budget_is_exact(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = 8 * GRANULE);
	unsigned int i;

	for (i = 0; i < 8; i++)
		CHECK(test, apple_dma_map(f->e, FAKE_RAM + i * MIB, PAGE, ANY) !=
		      DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 8);
	CHECK(test, apple_dma_map(f->e, FAKE_RAM + 8 * MIB, PAGE, ANY) ==
	      DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 0);
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_BYTES], 1);
	CHECK_EQ(test, fixture_stats(f)->peak_bytes, 8 * GRANULE);
}

static void let_learned_expire(struct fixture *f)
{
	unsigned long flags;
	unsigned int i;

	spin_lock_irqsave(&f->e->lock, flags);
	f->e->learned.belief.until = jiffies - 1;
	for (i = 0; i < APPLE_DMA_OWN_MAX; i++)
		f->e->learned.own_belief[i].until = jiffies - 1;
	spin_unlock_irqrestore(&f->e->lock, flags);
}

/* 512 MiB and 100 MiB are 128 and 25 windows of 4 MiB; then all are hits. */
static void all_of_ram_ends_registered(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .ram = { 512 * MIB, 100 * MIB });
	unsigned int i, round, piece;

	for (round = 0; round < 2; round++)
		for (piece = 0; piece < 2; piece++)
			for (i = 0; i < f->ram[piece].size / (4 * MIB); i++)
				fixture_touch(f, f->ram[piece].phys -
						     FAKE_RAM + i * 4 * MIB +
						     round * MIB);
	CHECK_EQ(test, fixture_doorbells(f), 128 + 25);
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, 612 * MIB);
}

/*
 * Behind 4 MiB come 84 KiB less a page: nothing fits there but one window of 64
 * KiB and one granule. The host watches that nothing crosses the end.
 */
static void shapes_end_with_ram(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .ram = { 4 * MIB + 80 * KIB });
	u64 at;

	for (at = 0; at < f->ram[0].size; at += PAGE)
		fixture_touch(f, at);
	CHECK_EQ(test, fixture_doorbells(f), 3);
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, f->ram[0].size);
}

/* Maps pages, @stride apart, until one fails. Returns how many were mapped. */
static u64 map_until_refused(struct fixture *f, u64 stride, dma_addr_t *addr,
			     bool *grows)
{
	u64 shape = U64_MAX, now, n, most = f->ram[0].size / stride;

	*grows = false;
	for (n = 0; n < most; n++) {
		addr[n] = fixture_map(f, n * stride, PAGE);
		if (addr[n] == DMA_MAPPING_ERROR)
			break;
		if (n % 512)
			continue;
		cond_resched();
		now = fixture_stats(f)->window_bytes;
		*grows |= now > shape;
		shape = now;
	}
	return n;
}

/* One live page in each 256 KiB of 16 GiB, then in each 2 MiB. */
static void sparse_pages_fit(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .ram = { 16 * GIB });
	dma_addr_t *addr = fixture_memory(f, 65536 * sizeof(*addr));
	phys_addr_t phys;
	u64 n, i;
	bool grows;

	if (IS_ENABLED(CONFIG_KASAN))
		kunit_skip(test, "takes minutes with KASAN, and is run without it");
	n = map_until_refused(f, 256 * KIB, addr, &grows);
	kunit_info(test, "%llu pages, one in 256 KiB, in %llu registrations\n",
		   n, fixture_stats(f)->mapped_entries);
	CHECK(test, n >= 60000);
	CHECK(test, !grows);
	CHECK_EQ(test, fixture_stats(f)->window_bytes, GRANULE);
	for (i = 0; i < n; i += 7)
		CHECK(test, fixture_right(f, addr[i], FAKE_RAM + i * 256 * KIB,
					  PAGE));
	for (i = 0; i < n; i++) {
		CHECK_EQ(test, apple_dma_unmap(f->e, addr[i], PAGE, &phys), 0);
		cond_resched();
	}
	apple_dma_engine_flush(f->e);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);

	CHECK_EQ(test, map_until_refused(f, 2 * MIB, addr, &grows), 8192);
}

/*
 * A host that takes 64 KiB at most. Each miss tries one shape, and then exact
 * granules: 4 MiB, 1 MiB, 256 KiB are refused, two doorbells each. From then on
 * the shape is 64 KiB, and one doorbell is enough.
 */
static void refused_shape_is_retried_smaller(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	unsigned int i;

	f->host->limits.segment = 64 * KIB;
	for (i = 0; i < 100; i++)
		CHECK(test, fixture_map(f, i * 4 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 3 * 2 + 97);
	CHECK_EQ(test, fixture_stats(f)->refusals, 3);
	CHECK_EQ(test, fixture_stats(f)->window_bytes, 64 * KIB);

	/* Later the host may take more. */
	f->host->limits.segment = GIB;
	let_learned_expire(f);
	CHECK(test, fixture_map(f, 500 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_stats(f)->window_bytes, 4 * MIB);
}

/*
 * A host that has 64 MiB: 16 windows. The next miss asks for a window and for a
 * granule. The cause may be the range, so only this range is not asked for
 * again. The miss after it asks for the same; then it is a limit, and nothing
 * more is asked for.
 */
static void limit_of_host_is_learned(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	dma_addr_t addr[16];
	phys_addr_t phys;
	unsigned int i;

	f->host->limits.bytes = 64 * MIB;
	for (i = 0; i < 16; i++)
		addr[i] = fixture_map(f, i * 4 * MIB, PAGE);
	CHECK_EQ(test, fixture_doorbells(f), 16);
	for (i = 0; i < 10; i++)
		CHECK(test, fixture_map(f, 64 * MIB, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 2);
	CHECK_EQ(test, fixture_stats(f)->learned_bytes, 0);
	CHECK(test, fixture_map(f, 68 * MIB, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 2);
	CHECK_EQ(test, fixture_stats(f)->learned_bytes, 64 * MIB);
	CHECK_EQ(test, fixture_stats(f)->learned_entries, 16);
	for (i = 0; i < 100; i++)
		CHECK(test, fixture_map(f, (72 + i) * MIB, PAGE) ==
		      DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 0);
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_HOST], 111);

	/* One goes idle and is given back: evict, map. */
	CHECK_EQ(test, apple_dma_unmap(f->e, addr[0], PAGE, &phys), 0);
	CHECK(test, fixture_map(f, 64 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 2);

	/* There is room again, and it is found after a while. */
	f->host->limits.bytes = GIB;
	let_learned_expire(f);
	CHECK(test, fixture_map(f, 128 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_stats(f)->learned_bytes, 0);
	CHECK_EQ(test, fixture_stats(f)->learned_entries, 0);
}

/* Is what was learned believed for up to so many seconds, and not for half? */
static bool believed_for(const struct apple_dma_belief *b, unsigned int seconds)
{
	unsigned long left = b->until - jiffies;

	return left <= seconds * HZ && left > seconds * HZ / 2;
}

/*
 * A host with room for nothing. What it refused is asked for again after 10
 * seconds, 20, and so on up to 10 minutes, one doorbell each, and not before.
 */
static void refused_again_is_left_alone_longer(struct kunit *test)
{
	static const unsigned int seconds[] = {
		10, 20, 40, 80, 160, 320, 600, 600
	};
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t addr = fixture_map(f, MIB, PAGE);
	unsigned int i, j;

	f->host->limits.bytes = 0;
	fixture_doorbells(f);
	for (i = 0; i < ARRAY_SIZE(seconds); i++) {
		for (j = 0; j < 5; j++)
			CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
		CHECK_EQ(test, fixture_doorbells(f), 1);
		CHECK(test, believed_for(&f->e->learned.belief, seconds[i]));
		let_learned_expire(f);
	}
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 1);

	/* Something is given back: that may have been in the way. */
	CHECK_EQ(test, fixture_unmap(f, addr, PAGE), 0);
	f->host->limits.bytes = GRANULE;
	CHECK_EQ(test, fixture_doorbells(f), 1);
	addr = fixture_map(f, 0, PAGE);
	CHECK(test, fixture_right(f, addr, FAKE_RAM, PAGE));
	CHECK_EQ(test, fixture_doorbells(f), 1);

	/* The host has room again: a later refusal begins anew. */
	let_learned_expire(f);
	f->host->limits.bytes = 2 * GRANULE;
	CHECK(test, fixture_map(f, MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK(test, fixture_map(f, 2 * MIB, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, believed_for(&f->e->learned.belief, 10));
}

/*
 * A page that the host never maps, with 10 windows idle: asked for in a window
 * of 4 MiB; one idle window goes; asked for again; the host takes that window
 * again, so it has room; asked for alone. From then on only this page is not
 * asked for. Nothing is learned, and the cache is as it was.
 */
static void refused_range_is_no_limit(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	unsigned int i;

	f->host->hole.phys = FAKE_RAM + 100 * MIB + 64 * KIB;
	f->host->hole.size = PAGE;
	for (i = 0; i < 10; i++)
		fixture_touch(f, i * 4 * MIB);
	fixture_doorbells(f);
	CHECK(test, fixture_map(f, 100 * MIB + 64 * KIB, PAGE) ==
	      DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 5);
	CHECK_EQ(test, fixture_stats(f)->idle_entries, 10);
	CHECK_EQ(test, fixture_stats(f)->learned_bytes, 0);
	CHECK_EQ(test, fixture_stats(f)->window_bytes, 4 * MIB);
	for (i = 0; i < 10; i++) {
		CHECK(test, fixture_map(f, 100 * MIB + 64 * KIB, PAGE) ==
		      DMA_MAPPING_ERROR);
		fixture_touch(f, i * 4 * MIB);
	}
	CHECK_EQ(test, fixture_doorbells(f), 0);
	/* Next to it, in a smaller window that it is not in; and far from it. */
	fixture_touch(f, 102 * MIB);
	fixture_touch(f, 200 * MIB);
	CHECK_EQ(test, fixture_doorbells(f), 2);
	CHECK_EQ(test, fixture_stats(f)->idle_bytes, 45 * MIB);
}

/* The same with nothing idle; another page is asked for, and mapped, at once. */
static void refused_range_is_no_limit_when_all_is_busy(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	unsigned int i;

	f->host->hole.phys = FAKE_RAM + 100 * MIB;
	f->host->hole.size = PAGE;
	for (i = 0; i < 10; i++) {
		CHECK(test, fixture_map(f, 100 * MIB, PAGE) == DMA_MAPPING_ERROR);
		CHECK(test, fixture_map(f, i * MIB, PAGE) != DMA_MAPPING_ERROR);
	}
	CHECK_EQ(test, fixture_doorbells(f), 1 + 10);
	CHECK_EQ(test, fixture_stats(f)->refusals, 1);
	CHECK_EQ(test, fixture_stats(f)->learned_bytes, 0);
}

/* A refusal long ago does not count as one of the two that make a limit. */
static void old_refusal_makes_no_limit(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);

	f->host->refuse = 1;
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	let_learned_expire(f);
	f->host->refuse = 1;
	CHECK(test, fixture_map(f, MIB, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->learned_bytes, 0);
	CHECK(test, believed_for(&f->e->learned.belief, 20));
	CHECK(test, fixture_map(f, 2 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK(test, fixture_map(f, 0, PAGE) != DMA_MAPPING_ERROR);
}

/*
 * A hole of two pages in two granules is one hole, also when both are asked for
 * at once; one that was refused when more was registered is no limit either.
 */
static void neighbours_make_no_limit(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct scatterlist *sgl = fixture_list(f, 0, 2, GRANULE, PAGE);
	dma_addr_t addr = fixture_map(f, 8 * MIB, 64 * KIB);

	f->host->hole.phys = FAKE_RAM;
	f->host->hole.size = 2 * GRANULE;
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, fixture_map(f, GRANULE, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 2, ANY, ANY), -EIO);
	CHECK_EQ(test, fixture_stats(f)->learned_bytes, 0);
	CHECK_EQ(test, fixture_unmap(f, addr, 64 * KIB), 0);
	f->host->refuse = 1;
	CHECK(test, fixture_map(f, 2 * MIB, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->learned_bytes, 0);
	fixture_touch(f, MIB);
}

/* A refused page does not make a range refused that does not contain it. */
static void larger_range_beside_a_hole_is_mapped(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	dma_addr_t addr;

	f->host->hole.phys = FAKE_RAM + 64 * MIB;
	f->host->hole.size = PAGE;
	fixture_touch(f, 0);
	fixture_touch(f, 64 * MIB + MIB);
	addr = fixture_map(f, 66 * MIB, 8 * MIB);
	CHECK(test, fixture_right(f, addr, FAKE_RAM + 66 * MIB, 8 * MIB));
}

/*
 * Holes at turns, each in 4 MiB of its own: each is asked for once, with one
 * window idle, 5 doorbells.
 */
static void holes_are_all_remembered(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	unsigned int i;

	fixture_touch(f, 0);
	fixture_doorbells(f);
	for (i = 0; i < 10; i++) {
		f->host->hole.phys = FAKE_RAM + (1 + i % 2) * 64 * MIB;
		f->host->hole.size = PAGE;
		CHECK(test, apple_dma_map(f->e, f->host->hole.phys, PAGE, ANY) ==
		      DMA_MAPPING_ERROR);
	}
	CHECK_EQ(test, fixture_doorbells(f), 2 * 5);
	CHECK_EQ(test, fixture_stats(f)->idle_entries, 1);
	CHECK_EQ(test, fixture_stats(f)->window_bytes, 4 * MIB);
}

/* The hole is closed, and is found closed when 10 seconds are over. */
static void hole_is_asked_for_again_later(struct kunit *test)
{
	struct fixture *f = fixture_open(test);

	f->host->hole.phys = FAKE_RAM + 64 * MIB;
	f->host->hole.size = PAGE;
	fixture_touch(f, 0);
	CHECK(test, fixture_map(f, 64 * MIB, PAGE) == DMA_MAPPING_ERROR);
	f->host->hole.size = 0;
	fixture_doorbells(f);
	CHECK(test, fixture_map(f, 64 * MIB, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 0);
	CHECK(test, believed_for(&f->e->learned.own_belief[0], 10));
	let_learned_expire(f);
	fixture_touch(f, 64 * MIB);
	CHECK_EQ(test, fixture_doorbells(f), 1);
}

/*
 * Granules only, as the budget is small, and a host that has 20 of them less
 * than the budget. The first miss that it refuses shows the limit; then room
 * is made before it is asked, and it is never asked for more.
 */
static void limit_is_learned_in_granules(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = 100 * GRANULE);
	unsigned int i;

	f->host->limits.bytes = 80 * GRANULE;
	for (i = 0; i < 400; i++)
		fixture_touch(f, i * MIB);
	CHECK_EQ(test, fixture_stats(f)->refusals, 1);
	CHECK_EQ(test, fixture_stats(f)->learned_bytes, 80 * GRANULE);
	CHECK_EQ(test, fixture_stats(f)->peak_bytes, 80 * GRANULE);
}

/*
 * The same where what is idle has 4 granules each: the first to go makes more
 * room than was asked for. The limit is where the host refused, not there.
 */
static void limit_is_where_the_host_refused(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = 100 * GRANULE);
	unsigned int i;

	f->host->limits.bytes = 80 * GRANULE;
	for (i = 0; i < 20; i++)
		CHECK_EQ(test, fixture_unmap(f, fixture_map(f, i * MIB,
							    4 * GRANULE),
					     4 * GRANULE), 0);
	for (i = 20; i < 200; i++)
		fixture_touch(f, i * MIB);
	CHECK_EQ(test, fixture_stats(f)->refusals, 1);
	CHECK_EQ(test, fixture_stats(f)->learned_bytes, 80 * GRANULE);
}

/* A window in place of another, with no more registered, is no more room. */
static void limit_outlives_what_fits_below_it(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = 100 * GRANULE);
	dma_addr_t addr[4];
	unsigned int i;

	f->host->limits.bytes = 4 * GRANULE;
	for (i = 0; i < 4; i++)
		addr[i] = fixture_map(f, i * MIB, PAGE);
	CHECK(test, fixture_map(f, 8 * MIB, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, fixture_map(f, 9 * MIB, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->learned_bytes, 4 * GRANULE);
	CHECK_EQ(test, fixture_unmap(f, addr[0], PAGE), 0);
	CHECK(test, fixture_map(f, 9 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->learned_bytes, 4 * GRANULE);
}

/*
 * A host that is full, with one idle window, and a hole in what the next window
 * would be: the page beside the hole is mapped in the room of the idle one.
 */
static void page_beside_a_hole_is_mapped_when_full(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	dma_addr_t addr;

	f->host->limits.bytes = 8 * MIB;
	CHECK(test, fixture_map(f, 0, PAGE) != DMA_MAPPING_ERROR);
	fixture_touch(f, 8 * MIB);
	f->host->hole.phys = FAKE_RAM + 100 * MIB + MIB;
	f->host->hole.size = PAGE;
	addr = fixture_map(f, 100 * MIB, PAGE);
	CHECK(test, fixture_right(f, addr, FAKE_RAM + 100 * MIB, PAGE));
}

/* Of a list, a page was refused; 128 KiB were not, and are asked for. */
static void refused_size_is_that_of_what_was_refused(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct scatterlist *sgl = fixture_list(f, 0, 2, MIB, 128 * KIB);

	f->host->hole.phys = FAKE_RAM;
	f->host->hole.size = PAGE;
	sgl->length = PAGE;
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 2, ANY, ANY), -EIO);
	fixture_doorbells(f);
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 0);
	CHECK(test, fixture_map(f, MIB, 128 * KIB) != DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 1);
}

/*
 * A batch of the exact 96 KiB of a range that crosses 4 MiB, and of a window of
 * 64 KiB, as the larger ones that begin there have no handle. The host refuses
 * the second, and nothing is idle. Shapes stay powers of the step: the next
 * window is of a granule, and what is behind a window is not in it.
 */
static void refused_mixture_keeps_shapes(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct scatterlist *sgl = fixture_list(f, 4 * MIB - 48 * KIB, 2,
					       112 * KIB - 4 * MIB, 96 * KIB);
	dma_addr_t addr = fixture_map(f, 0, PAGE);
	unsigned int i;

	CHECK(test, addr != DMA_MAPPING_ERROR);
	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_CACHED);
	sg_next(sgl)->length = PAGE;
	f->host->hole.phys = FAKE_RAM + 64 * KIB + GRANULE;
	f->host->hole.size = PAGE;
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 2, ANY, ANY), 0);
	CHECK_EQ(test, fixture_stats(f)->refusals, 1);
	CHECK_EQ(test, fixture_stats(f)->window_bytes, GRANULE);
	for (i = 0; i < 8; i++)
		fixture_touch(f, 512 * MIB + i * PAGE);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 2), 0);
	CHECK_EQ(test, fixture_unmap(f, addr, PAGE), 0);
}

#define SEARCH_SLOTS	24U

/* A mapping of the search: a list of up to 4 entries, or nothing. */
struct search_slot {
	struct scatterlist sgl[4];
	unsigned int n;
};

static u64 search_random(u64 *seed, u64 below)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (*seed >> 33) % below;
}

/* A page or some, within 512 KiB around a start of large windows. */
static void search_fill(struct search_slot *slot, u64 *seed)
{
	struct scatterlist *sg;
	int i;

	slot->n = 1 + search_random(seed, 4);
	sg_init_table(slot->sgl, slot->n);
	for_each_sg(slot->sgl, sg, slot->n, i) {
		u64 from = 4 * MIB - 128 * KIB + search_random(seed, 128) * PAGE;
		u64 size = search_random(seed, 2) ?
			   PAGE : PAGE * (1 + search_random(seed, 24));

		sg_set_page(sg, pfn_to_page(PHYS_PFN(FAKE_RAM + from)), size, 0);
	}
}

static void search_step(struct fixture *f, struct search_slot *slot, u64 *seed)
{
	struct kunit *test = f->test;
	struct scatterlist *sg;
	int i;

	if (slot->n) {
		CHECK_EQ(test, apple_dma_unmap_list(f->e, slot->sgl, slot->n), 0);
		slot->n = 0;
		return;
	}
	search_fill(slot, seed);
	if (apple_dma_map_list(f->e, slot->sgl, slot->n, ANY, ANY)) {
		slot->n = 0;
		return;
	}
	for_each_sg(slot->sgl, sg, slot->n, i)
		CHECK(test, fixture_right(f, sg_dma_address(sg), sg_phys(sg),
					  sg->length));
}

static void search_end(struct fixture *f, struct search_slot *slots)
{
	unsigned int i;

	for (i = 0; i < SEARCH_SLOTS; i++) {
		if (slots[i].n)
			CHECK_EQ(f->test, apple_dma_unmap_list(f->e, slots[i].sgl,
							       slots[i].n), 0);
		slots[i].n = 0;
	}
}

/*
 * Lists where windows of all sizes meet, and a host that refuses at random: what
 * is mapped is what was asked for, and the host is asked for whole granules only.
 */
static void search_for_wrong_windows(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	struct search_slot *slots = fixture_memory(f, SEARCH_SLOTS *
						      sizeof(*slots));
	unsigned int steps = IS_ENABLED(CONFIG_KASAN) ? 10000 : 150000, i;
	u64 seed = 1;

	f->host->one_in = 3;
	for (i = 0; i < steps && !f->host->wrong[0]; i++) {
		search_step(f, &slots[search_random(&seed, SEARCH_SLOTS)], &seed);
		if (!search_random(&seed, 20))
			let_learned_expire(f);
		/* Otherwise one large window would contain everything. */
		if (!search_random(&seed, 50)) {
			search_end(f, slots);
			apple_dma_engine_flush(f->e);
		}
		cond_resched();
	}
	f->host->one_in = 0;
	kunit_info(test, "%llu windows refused in %u steps, seed 1\n",
		   fixture_stats(f)->refusals, i);
	search_end(f, slots);
}

/* ---- what cannot fit ---- */

/*
 * 64 MiB in all: 40 in use, 16 idle. 32 more cannot fit: nothing is given back,
 * and the host is not asked. 20 do fit.
 */
static void what_cannot_fit_empties_nothing(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = 64 * MIB,
					 .ram = { 4 * GIB });
	dma_addr_t addr = fixture_map(f, 0, 40 * MIB);
	unsigned int i;

	CHECK(test, addr != DMA_MAPPING_ERROR);
	for (i = 0; i < 16; i++)
		CHECK_EQ(test, fixture_unmap(f, fixture_map(f, GIB + i * MIB,
							    MIB), MIB), 0);
	CHECK_EQ(test, fixture_stats(f)->idle_bytes, 16 * MIB);
	fixture_doorbells(f);
	CHECK(test, fixture_map(f, 2 * GIB, 32 * MIB) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 0);
	CHECK_EQ(test, fixture_stats(f)->idle_bytes, 16 * MIB);
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_BYTES], 1);
	addr = fixture_map(f, 2 * GIB, 20 * MIB);
	CHECK(test, fixture_right(f, addr, FAKE_RAM + 2 * GIB, 20 * MIB));
}

/* The same of lists: 512 pieces of 64 KiB, or pages of 2048 granules. */
static void list_that_cannot_fit_empties_nothing(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = 64 * MIB,
					 .ram = { 4 * GIB });
	struct scatterlist *pieces = fixture_list(f, 2 * GIB, 512, 128 * KIB,
						  64 * KIB);
	struct scatterlist *pages = fixture_list(f, 3 * GIB, 2048, 64 * KIB,
						 PAGE);
	unsigned int i;

	CHECK(test, fixture_map(f, 0, 40 * MIB) != DMA_MAPPING_ERROR);
	for (i = 0; i < 16; i++)
		CHECK_EQ(test, fixture_unmap(f, fixture_map(f, GIB + i * MIB,
							    MIB), MIB), 0);
	fixture_doorbells(f);
	CHECK_EQ(test, apple_dma_map_list(f->e, pieces, 512, ANY, ANY), -ENOMEM);
	CHECK_EQ(test, apple_dma_map_list(f->e, pages, 2048, ANY, ANY), -ENOMEM);
	CHECK_EQ(test, fixture_doorbells(f), 0);
	CHECK_EQ(test, fixture_stats(f)->idle_bytes, 16 * MIB);
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_BYTES], 2);
	/* 24 MiB do. */
	CHECK_EQ(test, apple_dma_map_list(f->e, pieces, 24 * 16, ANY, ANY), 0);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, pieces, 24 * 16), 0);
}

/* 4 pages of each of 64 granules, in an order that mixes them: 64 granules. */
static void pages_of_a_granule_count_once(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = MIB);
	struct scatterlist *sgl = fixture_list(f, 0, 256, 0, PAGE), *sg;
	int i;

	for_each_sg(sgl, sg, 256, i)
		sg_set_page(sg, pfn_to_page(PHYS_PFN(FAKE_RAM +
						     i % 64 * MIB +
						     i / 64 * PAGE)), PAGE, 0);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 256, ANY, ANY), 0);
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, MIB);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 256), 0);
}

/* 128 KiB do not fit, and are asked for once; a page does. */
static void much_refused_is_not_all_refused(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);

	f->host->limits.segment = 64 * KIB;
	CHECK(test, fixture_map(f, 0, 128 * KIB) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK(test, fixture_map(f, 4 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK(test, fixture_map(f, 0, 128 * KIB) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->learned_bytes, 0);
}

/*
 * 10 idle windows go before a map is refused: they were not in the way. The
 * next ones stay, and the host is not asked.
 */
static void what_cannot_be_is_not_hammered(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	unsigned int i;

	for (i = 0; i < 10; i++)
		fixture_touch(f, i * 4 * MIB);
	f->host->limits.segment = 4 * MIB;
	CHECK(test, fixture_map(f, 100 * MIB, 5 * MIB) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
	for (i = 0; i < 10; i++)
		fixture_touch(f, i * 4 * MIB);
	fixture_doorbells(f);
	for (i = 0; i < 50; i++)
		CHECK(test, fixture_map(f, 100 * MIB, 5 * MIB) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 0);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 10);
}

/* The offset in the granule is all that can be relied on, and is kept. */
static void any_granule_will_do(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_UNALIGNED);
	unsigned int i;

	for (i = 0; i < 200; i++) {
		u64 from = i * 5 * MIB + i * 333;
		dma_addr_t addr = fixture_map(f, from, 10000 + i);

		CHECK(test, fixture_right(f, addr, FAKE_RAM + from, 10000 + i));
		CHECK(test, !((addr ^ from) & APPLE_DMA_GRANULE_MASK));
	}
}

/*
 * Ranges with one start. The second starts a granule earlier and has 3, the
 * third two earlier and has 5.
 */
static void handles_are_unique(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	u64 n;

	for (n = 1; n <= 3; n++)
		CHECK(test, fixture_right(f, fixture_map(f, MIB, n * GRANULE),
					  FAKE_RAM + MIB, n * GRANULE));
	CHECK(test, fake_host_has(f->host, FAKE_RAM + MIB - GRANULE));
	CHECK(test, fake_host_has(f->host, FAKE_RAM + MIB - 2 * GRANULE));
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, (1 + 3 + 5) * GRANULE);

	/* No memory is before the first byte of RAM. */
	CHECK(test, fixture_map(f, 0, GRANULE) != DMA_MAPPING_ERROR);
	fixture_doorbells(f);
	CHECK(test, fixture_map(f, 0, 2 * GRANULE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 0);
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_HANDLE], 1);
	CHECK_EQ(test, fixture_stats(f)->refusals, 0);
}

/*
 * A list of pages in no order: one in each granule, and two that cross the end of one.
 * The next free handle is far in front of it.
 */
static void handles_are_taken_in_a_row(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	const u64 across = 299 * GRANULE - 4 * KIB;

	fixture_row(f, GRANULE, 299);
	CHECK(test, fixture_right(f, fixture_map(f, across, 8 * KIB),
				  FAKE_RAM + across, 8 * KIB));
	CHECK(test, fake_host_has(f->host, FAKE_RAM));
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, (299 + 300) * GRANULE);

	/* 512 granules before it, and no more. */
	fixture_row(f, 64 * MIB, 513);
	CHECK(test, fixture_map(f, 64 * MIB + 512 * GRANULE, 2 * GRANULE) ==
		    DMA_MAPPING_ERROR);
	CHECK(test, fixture_map(f, 64 * MIB + 511 * GRANULE, 2 * GRANULE) !=
		    DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_HANDLE], 1);
}

/* What is in front of a range leaves room for others: it is an eighth at most. */
static void far_handles_need_room(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT,
					 .limits.bytes = 10 * MIB);

	fixture_row(f, MIB, 80);
	CHECK(test, fixture_map(f, MIB + 79 * GRANULE, 2 * GRANULE) ==
		    DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_HANDLE], 1);
	CHECK(test, fixture_map(f, MIB + 60 * GRANULE, 2 * GRANULE) !=
		    DMA_MAPPING_ERROR);
}

/*
 * A budget of 6 granules: one in use, 5 idle. 2 granules with the start of the
 * one in use need 3: they go in one doorbell, and are there with another.
 */
static void room_is_made_for_the_handle(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = 6 * GRANULE);
	dma_addr_t addr = fixture_map(f, 16 * MIB, GRANULE);
	unsigned int i;

	CHECK(test, addr != DMA_MAPPING_ERROR);
	for (i = 0; i < 5; i++)
		fixture_touch(f, i * MIB);
	CHECK_EQ(test, fixture_doorbells(f), 6);
	addr = fixture_map(f, 16 * MIB, 2 * GRANULE);
	CHECK(test, fixture_right(f, addr, FAKE_RAM + 16 * MIB, 2 * GRANULE));
	CHECK_EQ(test, fixture_doorbells(f), 2);
}

static struct kunit_case shape_cases[] = {
	KUNIT_CASE(entry_budget_is_exact),
	KUNIT_CASE(byte_budget_is_exact),
	KUNIT_CASE(all_of_ram_ends_registered),
	KUNIT_CASE(shapes_end_with_ram),
	KUNIT_CASE(sparse_pages_fit),
	KUNIT_CASE(refused_shape_is_retried_smaller),
	KUNIT_CASE(limit_of_host_is_learned),
	KUNIT_CASE(refused_again_is_left_alone_longer),
	KUNIT_CASE(refused_range_is_no_limit),
	KUNIT_CASE(refused_range_is_no_limit_when_all_is_busy),
	KUNIT_CASE(old_refusal_makes_no_limit),
	KUNIT_CASE(neighbours_make_no_limit),
	KUNIT_CASE(larger_range_beside_a_hole_is_mapped),
	KUNIT_CASE(holes_are_all_remembered),
	KUNIT_CASE(hole_is_asked_for_again_later),
	KUNIT_CASE(limit_is_learned_in_granules),
	KUNIT_CASE(limit_is_where_the_host_refused),
	KUNIT_CASE(limit_outlives_what_fits_below_it),
	KUNIT_CASE(page_beside_a_hole_is_mapped_when_full),
	KUNIT_CASE(refused_size_is_that_of_what_was_refused),
	KUNIT_CASE(refused_mixture_keeps_shapes),
	KUNIT_CASE(search_for_wrong_windows),
	KUNIT_CASE(what_cannot_fit_empties_nothing),
	KUNIT_CASE(list_that_cannot_fit_empties_nothing),
	KUNIT_CASE(pages_of_a_granule_count_once),
	KUNIT_CASE(much_refused_is_not_all_refused),
	KUNIT_CASE(what_cannot_be_is_not_hammered),
	KUNIT_CASE(any_granule_will_do),
	KUNIT_CASE(handles_are_unique),
	KUNIT_CASE(handles_are_taken_in_a_row),
	KUNIT_CASE(far_handles_need_room),
	KUNIT_CASE(room_is_made_for_the_handle),
	{ }
};

struct kunit_suite shape_suite = {
	.name = "apple_dma_shape",
	.exit = fixture_close,
	.test_cases = shape_cases,
};
