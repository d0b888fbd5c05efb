// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/index.c, and the lookup of hit.h: windows by guest-physical range and
 * by device address. No host is asked here: windows are entered by hand.
 */

#include "fixture.h"
#include "hit.h"
#include "suites.h"

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"

#define WINDOWS		8

/**
 * struct windows - windows entered by hand
 * @f: the fixture
 * @w: the windows
 * @n: how many
 */
struct windows {
	struct fixture *f;
	struct apple_dma_window *w[WINDOWS];
	unsigned int n;
};

static unsigned long lock(struct fixture *f)
	__acquires(&f->e->lock)
{
	unsigned long flags;

	spin_lock_irqsave(&f->e->lock, flags);
	return flags;
}

static void unlock(struct fixture *f, unsigned long flags)
	__releases(&f->e->lock)
{
	spin_unlock_irqrestore(&f->e->lock, flags);
}

/* A window from granule @from on, made for its range from @first on. */
static struct apple_dma_window *plan(struct windows *ws, u64 from, u64 n,
				     u64 first)
{
	struct fixture *f = ws->f;
	enum apple_dma_fail cause;
	struct apple_dma_window *w;
	unsigned long flags;

	CHECK(f->test, ws->n < WINDOWS);
	flags = lock(f);
	w = apple_dma_window_plan(f->e, FAKE_RAM + from * GRANULE, n * GRANULE,
				  FAKE_RAM + first * GRANULE, &cause);
	unlock(f, flags);
	CHECK(f->test, w);
	ws->w[ws->n++] = w;
	return w;
}

/* The host has put it at granule @iova. */
static bool confirm(struct windows *ws, struct apple_dma_window *w, u64 iova)
{
	unsigned long flags = lock(ws->f);
	bool fits;

	w->iova = iova * GRANULE;
	atomic64_set(&w->live, 1);
	fits = apple_dma_index_confirm(ws->f->e, w);
	if (fits) {
		w->state = APPLE_DMA_WINDOW_ACTIVE;
		while (apple_dma_index_publish(ws->f->e, w))
			;
	}
	unlock(ws->f, flags);
	return fits;
}

static struct apple_dma_window *enter(struct windows *ws, u64 from, u64 n,
				      u64 iova)
{
	struct apple_dma_window *w = plan(ws, from, n, from);

	CHECK(ws->f->test, confirm(ws, w, iova));
	return w;
}

/* It is gone from the host and the trees. */
static void remove(struct windows *ws, struct apple_dma_window *w)
{
	unsigned long flags = lock(ws->f);
	unsigned int i;

	for (i = 0; i < ws->n; i++)
		if (ws->w[i] == w)
			ws->w[i] = ws->w[--ws->n];
	w->state = APPLE_DMA_WINDOW_DEAD;
	atomic64_set(&w->live, APPLE_DMA_WINDOW_CLOSED);
	apple_dma_index_remove(ws->f->e, w);
	ws->f->e->stats.mapped_bytes -= w->size;
	ws->f->e->stats.mapped_entries--;
	unlock(ws->f, flags);
}

/* No slot leads to it any more. Returns in how many pieces they were cleared. */
static unsigned int withdraw(struct windows *ws, struct apple_dma_window *w)
{
	unsigned int pieces = 1;
	bool more;

	do {
		unsigned long flags = lock(ws->f);

		more = apple_dma_index_withdraw(ws->f->e, w);
		unlock(ws->f, flags);
		pieces += more;
	} while (more);
	seam_gone(w);
	mempool_free(w, ws->f->e->pool);
	return pieces;
}

static void forget(struct windows *ws, struct apple_dma_window *w)
{
	remove(ws, w);
	withdraw(ws, w);
}

static void forget_all(struct windows *ws)
{
	while (ws->n)
		forget(ws, ws->w[0]);
	CHECK(ws->f->test, xa_empty(&ws->f->e->by_phys));
	CHECK(ws->f->test, xa_empty(&ws->f->e->by_iova));
	CHECK(ws->f->test, !rb_first(&ws->f->e->iova));
}

static struct apple_dma_window *find(struct windows *ws, u64 offset, u64 size)
{
	unsigned long flags = lock(ws->f);
	struct apple_dma_window *w = apple_dma_index_find(ws->f->e,
							  FAKE_RAM + offset,
							  size);

	unlock(ws->f, flags);
	return w;
}

static struct apple_dma_window *find_iova(struct windows *ws, u64 iova)
{
	unsigned long flags = lock(ws->f);
	struct apple_dma_window *w = apple_dma_index_find_iova(ws->f->e, iova);

	unlock(ws->f, flags);
	return w;
}

static bool taken(struct windows *ws, u64 granule)
{
	unsigned long flags = lock(ws->f);
	bool is = apple_dma_index_handle_taken(ws->f->e,
					       FAKE_RAM + granule * GRANULE);

	unlock(ws->f, flags);
	return is;
}

/* What a hit finds. */
static struct apple_dma_window *slot(struct xarray *xa, u64 granule)
{
	struct apple_dma_window *w;

	rcu_read_lock_sched();
	w = apple_dma_lookup(xa, granule);
	rcu_read_unlock_sched();
	return w;
}

static struct apple_dma_window *phys_slot(struct windows *ws, u64 granule)
{
	return slot(&ws->f->e->by_phys,
		    (FAKE_RAM >> APPLE_DMA_GRANULE_SHIFT) + granule);
}

/* To the byte, from both ends; a window of 4 granules from the 8th on. */
static void range_is_found_inside(struct kunit *test)
{
	struct windows ws = { .f = fixture_open(test) };
	struct apple_dma_window *w = enter(&ws, 8, 4, 100);

	CHECK(test, find(&ws, 8 * GRANULE, 4 * GRANULE) == w);
	CHECK(test, find(&ws, 8 * GRANULE, 1) == w);
	CHECK(test, find(&ws, 12 * GRANULE - 1, 1) == w);
	CHECK(test, !find(&ws, 8 * GRANULE - 1, 1));
	CHECK(test, !find(&ws, 8 * GRANULE - 1, 2));
	CHECK(test, !find(&ws, 12 * GRANULE - 1, 2));
	CHECK(test, !find(&ws, 12 * GRANULE, 1));
	CHECK(test, !find(&ws, 8 * GRANULE, 4 * GRANULE + 1));
	CHECK(test, !find(&ws, 9 * GRANULE, 0));
	forget_all(&ws);
}

static void address_is_found_inside(struct kunit *test)
{
	struct windows ws = { .f = fixture_open(test) };
	struct apple_dma_window *w = enter(&ws, 8, 4, 100);

	CHECK(test, find_iova(&ws, 100 * GRANULE) == w);
	CHECK(test, find_iova(&ws, 104 * GRANULE - 1) == w);
	CHECK(test, !find_iova(&ws, 100 * GRANULE - 1));
	CHECK(test, !find_iova(&ws, 104 * GRANULE));
	CHECK(test, !find_iova(&ws, 0));
	CHECK(test, !find_iova(&ws, U64_MAX));
	forget_all(&ws);
}

/* One that overlaps may be too short; the one behind it is found. */
static void overlaps_are_all_looked_at(struct kunit *test)
{
	struct windows ws = { .f = fixture_open(test) };
	struct apple_dma_window *a = enter(&ws, 0, 4, 100);
	struct apple_dma_window *b = enter(&ws, 2, 8, 200);

	CHECK(test, find(&ws, 0, 4 * GRANULE) == a);
	CHECK(test, find(&ws, 3 * GRANULE, 5 * GRANULE) == b);
	CHECK(test, !find(&ws, GRANULE, 5 * GRANULE));
	forget_all(&ws);
}

static void handle_is_a_start(struct kunit *test)
{
	struct windows ws = { .f = fixture_open(test) };

	/* A planned window is enough: the host is about to be asked for it. */
	plan(&ws, 8, 4, 8);
	CHECK(test, taken(&ws, 8));
	CHECK(test, !taken(&ws, 7));
	CHECK(test, !taken(&ws, 9));
	CHECK(test, !taken(&ws, 11));
	CHECK(test, !taken(&ws, 12));
	forget_all(&ws);
	CHECK(test, !taken(&ws, 8));
}

/* Each of 0-4, 1-2, 2-10, 20-21 is found by a walk from start to start. */
static void walk_sees_all(struct kunit *test)
{
	static const u64 from[] = { 20, 2, 0, 1 }, n[] = { 1, 8, 4, 1 };
	static const u64 order[] = { 0, 1, 2, 20 };
	struct windows ws = { .f = fixture_open(test) };
	unsigned int i, wrong = 0;
	unsigned long flags;
	u64 phys = 0;

	for (i = 0; i < 4; i++)
		enter(&ws, from[i], n[i], 100 * (i + 1));
	flags = lock(ws.f);
	for (i = 0; i < 4; i++) {
		struct apple_dma_window *w = apple_dma_index_next(ws.f->e, phys);

		wrong += !w || w->phys != FAKE_RAM + order[i] * GRANULE;
		phys = w ? w->phys + 1 : U64_MAX;
	}
	wrong += !!apple_dma_index_next(ws.f->e, phys);
	unlock(ws.f, flags);
	CHECK_EQ(test, wrong, 0);
	forget_all(&ws);
}

/* A device address may be given once; next to each other is fine. */
static void addresses_do_not_overlap(struct kunit *test)
{
	struct windows ws = { .f = fixture_open(test) };
	struct apple_dma_window *w;

	enter(&ws, 0, 4, 100);
	w = plan(&ws, 10, 4, 10);
	CHECK(test, !confirm(&ws, w, 100));
	CHECK(test, !confirm(&ws, w, 97));
	CHECK(test, !confirm(&ws, w, 103));
	CHECK(test, w->state == APPLE_DMA_WINDOW_PLANNED);
	CHECK(test, RB_EMPTY_NODE(&w->iova_node));
	CHECK(test, confirm(&ws, w, 96));
	w = plan(&ws, 20, 4, 20);
	CHECK(test, confirm(&ws, w, 104));
	CHECK(test, w->state == APPLE_DMA_WINDOW_ACTIVE);
	forget_all(&ws);
}

/* In strict mode, only a window of exactly these granules. */
static void strict_wants_its_own(struct kunit *test)
{
	struct windows ws = { .f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT) };
	struct apple_dma_window *shared = enter(&ws, 0, 4, 100), *w;

	CHECK(test, !find(&ws, 0, GRANULE));
	CHECK(test, !find(&ws, 3 * GRANULE, GRANULE));
	CHECK(test, !find(&ws, 0, 3 * GRANULE));
	CHECK(test, find(&ws, 0, 4 * GRANULE) == shared);
	CHECK(test, find(&ws, 5, 4 * GRANULE - 10) == shared);

	/* Its handle was taken: it starts two granules before its range. */
	w = plan(&ws, 6, 3, 8);
	CHECK(test, confirm(&ws, w, 200));
	CHECK(test, find(&ws, 8 * GRANULE, 1) == w);
	CHECK(test, !find(&ws, 6 * GRANULE, 1));
	CHECK(test, !find(&ws, 6 * GRANULE, 3 * GRANULE));
	forget_all(&ws);
}

static void dead_are_not_found(struct kunit *test)
{
	struct windows ws = { .f = fixture_open(test) };
	struct apple_dma_window *w = enter(&ws, 0, 4, 100);

	w->state = APPLE_DMA_WINDOW_DEAD;
	CHECK(test, !find(&ws, 0, 1));
	/* An unmap of an address in it has to find it. */
	CHECK(test, find_iova(&ws, 100 * GRANULE) == w);
	forget_all(&ws);
}

/* ---- what hits read ---- */

static void slots_lead_to_the_window(struct kunit *test)
{
	struct windows ws = { .f = fixture_open(test) };
	struct apple_dma_window *w = enter(&ws, 60, 8, 4090);
	u64 i;

	CHECK_EQ(test, w->filled, w->size);
	for (i = 50; i < 80; i++)
		CHECK(test, phys_slot(&ws, i) == (i / 4 == 15 || i / 4 == 16 ?
						  w : NULL));
	for (i = 4080; i < 4110; i++)
		CHECK(test, slot(&ws.f->e->by_iova, i) ==
		      (i >= 4090 && i < 4098 ? w : NULL));
	forget_all(&ws);
}

/* Where two overlap, the slot is of the one that reaches further; then back. */
static void slots_are_of_the_furthest(struct kunit *test)
{
	struct windows ws = { .f = fixture_open(test) };
	struct apple_dma_window *a = enter(&ws, 0, 4, 100);
	struct apple_dma_window *b = enter(&ws, 2, 4, 200);
	struct apple_dma_window *c = enter(&ws, 1, 2, 300);
	u64 i;

	for (i = 0; i < 6; i++)
		CHECK(test, phys_slot(&ws, i) == (i < 2 ? a : b));
	forget(&ws, b);
	for (i = 0; i < 6; i++)
		CHECK(test, phys_slot(&ws, i) == (i < 4 ? a : NULL));
	forget(&ws, a);
	for (i = 0; i < 6; i++)
		CHECK(test, phys_slot(&ws, i) == (i == 1 || i == 2 ? c : NULL));
	forget_all(&ws);
}

/* Nothing more is mapped in it, but what is can be unmapped without the lock. */
static void retired_has_an_address_only(struct kunit *test)
{
	struct windows ws = { .f = fixture_open(test) };
	struct apple_dma_window *w = enter(&ws, 0, 4, 100), *next;
	unsigned long flags = lock(ws.f);

	apple_dma_window_retire(ws.f->e, w);
	unlock(ws.f, flags);
	CHECK(test, apple_dma_map_fast(ws.f->e, FAKE_RAM, 1, ANY) ==
		    DMA_MAPPING_ERROR);
	CHECK(test, !find(&ws, 0, 1));
	CHECK(test, slot(&ws.f->e->by_iova, 100) == w);
	/* A new one takes its place, even if it does not reach as far. */
	next = enter(&ws, 1, 2, 200);
	CHECK(test, phys_slot(&ws, 0) == w);
	CHECK(test, phys_slot(&ws, 1) == next && phys_slot(&ws, 2) == next);
	forget_all(&ws);
}

/*
 * A window is gone, but not from its slots: new ones need some of its memory and of
 * its device addresses. They take over its slots, and lose none when the rest is
 * cleared. A window under it gets what was its own.
 */
static void slots_of_the_gone_are_taken_over(struct kunit *test)
{
	struct windows ws = { .f = fixture_open(test) };
	struct apple_dma_window *under = enter(&ws, 6, 3, 300);
	struct apple_dma_window *gone = enter(&ws, 0, 10, 100);
	struct apple_dma_window *phys, *next, *iova;
	u64 i;

	for (i = 0; i < 10; i++)
		CHECK(test, phys_slot(&ws, i) == gone);
	remove(&ws, gone);
	CHECK(test, !find(&ws, 0, 1) && !find_iova(&ws, 100 * GRANULE));
	CHECK(test, !taken(&ws, 0));
	CHECK(test, phys_slot(&ws, 0) == gone);
	CHECK(test, apple_dma_map_fast(ws.f->e, FAKE_RAM, 1, ANY) ==
		    DMA_MAPPING_ERROR);
	phys = enter(&ws, 0, 2, 200);
	/* Granule 5 only: the window under the one that is gone reaches further. */
	next = enter(&ws, 5, 3, 400);
	CHECK(test, phys_slot(&ws, 5) == next && phys_slot(&ws, 6) == under);
	iova = enter(&ws, 20, 2, 104);
	CHECK_EQ(test, withdraw(&ws, gone), 1);
	for (i = 0; i < 10; i++) {
		CHECK(test, phys_slot(&ws, i) == (i < 2 ? phys :
						  i == 5 ? next :
						  i >= 6 && i < 9 ? under : NULL));
		CHECK(test, slot(&ws.f->e->by_iova, 100 + i) ==
			    (i == 4 || i == 5 ? iova : NULL));
	}
	forget_all(&ws);
}

/* 256 granules and one more: 5 pieces, from the start on and back. */
static void slots_are_filled_and_cleared_in_pieces(struct kunit *test)
{
	struct windows ws = { .f = fixture_open(test) };
	struct apple_dma_window *w = plan(&ws, 3, 257, 3);
	unsigned int pieces = 0;
	u64 i, filled = 0;
	bool more;

	w->iova = 1000 * GRANULE;
	w->state = APPLE_DMA_WINDOW_ACTIVE;
	do {
		unsigned long flags = lock(ws.f);

		if (!pieces++)
			CHECK(test, apple_dma_index_confirm(ws.f->e, w));
		more = apple_dma_index_publish(ws.f->e, w);
		unlock(ws.f, flags);
		CHECK(test, w->filled > filled && w->filled <= 257 * GRANULE);
		filled = w->filled;
		for (i = 0; i < 257; i++)
			EXPECT(test, phys_slot(&ws, 3 + i) ==
			       (i * GRANULE < filled ? w : NULL));
	} while (more);
	CHECK_EQ(test, pieces, 5);
	CHECK_EQ(test, filled, w->size);
	remove(&ws, w);
	CHECK_EQ(test, withdraw(&ws, w), 5);
	forget_all(&ws);
}

static void set_mode(struct windows *ws, enum apple_dma_mode mode)
{
	unsigned long flags = lock(ws->f);

	ws->f->e->mode = mode;
	unlock(ws->f, flags);
}

static void publish(struct windows *ws, struct apple_dma_window *w)
{
	unsigned long flags = lock(ws->f);

	while (apple_dma_index_publish(ws->f->e, w))
		;
	unlock(ws->f, flags);
}

/* Hits exist in cached mode only: windows of other modes get no slots. */
static void slots_are_for_cached_mode(struct kunit *test)
{
	struct windows ws = { .f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT) };
	struct apple_dma_window *strict = enter(&ws, 0, 8, 100), *cached;
	u64 i;

	CHECK(test, !strict->filled && !strict->slots);
	CHECK(test, xa_empty(&ws.f->e->by_phys) && xa_empty(&ws.f->e->by_iova));
	CHECK(test, find(&ws, 0, 8 * GRANULE) == strict);
	CHECK(test, find_iova(&ws, 100 * GRANULE) == strict);

	/*
	 * A window with slots goes. The one under it has none, and gets none,
	 * because it would leave them behind.
	 */
	set_mode(&ws, APPLE_DMA_MODE_CACHED);
	cached = enter(&ws, 2, 2, 200);
	CHECK(test, phys_slot(&ws, 2) == cached);
	forget(&ws, cached);
	for (i = 0; i < 8; i++)
		CHECK(test, !phys_slot(&ws, i));

	/* The first map that finds it fills its slots; they go with it. */
	publish(&ws, strict);
	for (i = 0; i < 8; i++)
		CHECK(test, phys_slot(&ws, i) == strict);
	set_mode(&ws, APPLE_DMA_MODE_STRICT);
	forget_all(&ws);
}

/*
 * The lookup agrees with xa_load() at the edges of each level of the array: a
 * chunk has 64 slots. Only an array of one entry at 0 has no node to look in.
 */
static void lookup_is_xa_load(struct kunit *test)
{
	static const unsigned long edges[] = {
		0, 1, 62, 63, 64, 65, 4095, 4096, 4097, 262143, 262144,
		1UL << 26, (1UL << 50) - 1
	};
	struct windows ws = { .f = fixture_open(test) };
	struct apple_dma_window *w = plan(&ws, 0, 1, 0);
	unsigned int i, k;
	struct xarray xa;

	xa_init(&xa);
	CHECK(test, !slot(&xa, 0));
	for (i = 0; i < ARRAY_SIZE(edges); i++) {
		CHECK(test, !xa_is_err(xa_store(&xa, edges[i], w, GFP_KERNEL)));
		for (k = 0; k < ARRAY_SIZE(edges); k++)
			EXPECT(test, slot(&xa, edges[k]) ==
			       (i ? xa_load(&xa, edges[k]) : NULL));
	}
	for (i = 0; i < ARRAY_SIZE(edges); i++) {
		xa_erase(&xa, edges[i]);
		for (k = 0; k < ARRAY_SIZE(edges); k++)
			EXPECT(test, slot(&xa, edges[k]) == xa_load(&xa, edges[k]));
	}
	xa_destroy(&xa);
	forget_all(&ws);
}

static struct kunit_case index_cases[] = {
	KUNIT_CASE(range_is_found_inside),
	KUNIT_CASE(address_is_found_inside),
	KUNIT_CASE(overlaps_are_all_looked_at),
	KUNIT_CASE(handle_is_a_start),
	KUNIT_CASE(walk_sees_all),
	KUNIT_CASE(addresses_do_not_overlap),
	KUNIT_CASE(strict_wants_its_own),
	KUNIT_CASE(dead_are_not_found),
	KUNIT_CASE(slots_lead_to_the_window),
	KUNIT_CASE(slots_are_of_the_furthest),
	KUNIT_CASE(retired_has_an_address_only),
	KUNIT_CASE(slots_of_the_gone_are_taken_over),
	KUNIT_CASE(slots_are_filled_and_cleared_in_pieces),
	KUNIT_CASE(slots_are_for_cached_mode),
	KUNIT_CASE(lookup_is_xa_load),
	{ }
};

struct kunit_suite index_suite = {
	.name = "apple_dma_index",
	.exit = fixture_close,
	.test_cases = index_cases,
};
