// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/budget.c: two engines, each with a host of its own, and one budget of
 * bytes for both. The hosts share what the platform has, and check that they are
 * never asked for more than the budget.
 */

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/kthread.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "fixture.h"
#include "suites.h"

#define BLOCK			(4 * MIB)
#define BUDGET			(16 * BLOCK)

/* Two engines that have 16 blocks together. */
static struct fixture *open_two(struct kunit *test, enum apple_dma_mode mode)
{
	struct fixture *f = fixture_open(test, .limits.bytes = BUDGET,
					 .mode = mode);

	fixture_open(test, .limits.bytes = BUDGET, .with = f, .mode = mode);
	return f;
}

static bool map_blocks(struct fixture *f, dma_addr_t *addr, unsigned int from,
		       unsigned int n)
{
	unsigned int i;

	for (i = from; i < from + n; i++) {
		addr[i] = fixture_map(f, i * BLOCK, BLOCK);
		if (addr[i] == DMA_MAPPING_ERROR)
			return false;
	}
	return true;
}

static void unmap_blocks(struct fixture *f, dma_addr_t *addr, unsigned int from,
			 unsigned int n)
{
	unsigned int i;

	for (i = from; i < from + n; i++)
		CHECK_EQ(f->test, fixture_unmap(f, addr[i], BLOCK), 0);
}

/* Leave so many blocks idle. */
static void idle_blocks(struct fixture *f, unsigned int n)
{
	dma_addr_t addr[16];

	CHECK(f->test, map_blocks(f, addr, 0, n));
	unmap_blocks(f, addr, 0, n);
	CHECK_EQ(f->test, fixture_stats(f)->idle_bytes, n * BLOCK);
}

static u64 refused(struct fixture *f)
{
	return fixture_stats(f)->failures[APPLE_DMA_FAIL_BYTES];
}

static u64 peak(struct fixture *f)
{
	return atomic64_read(&f->host->dart->dart_peak);
}

static void sum_stays_within_the_limit(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_STRICT);
	struct fixture *s = f->sibling;
	dma_addr_t addr[16], other[16];

	CHECK(test, map_blocks(f, addr, 0, 10));
	CHECK(test, map_blocks(s, other, 0, 6));
	CHECK_EQ(test, fixture_stats(f)->guest_bytes, BUDGET);
	CHECK_EQ(test, fixture_stats(s)->guest_bytes, BUDGET);
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, 10 * BLOCK);
	CHECK(test, fixture_map(f, 20 * BLOCK, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, fixture_map(s, 20 * BLOCK, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, refused(f), 1);
	CHECK_EQ(test, refused(s), 1);

	unmap_blocks(f, addr, 9, 1);
	CHECK(test, map_blocks(s, other, 6, 1));
	CHECK(test, !map_blocks(f, addr, 9, 1));
	CHECK_EQ(test, peak(f), BUDGET);
}

/* Two engines have seen the same room. Only one of them gets it. */
static void room_is_taken_once(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_CACHED);
	enum apple_dma_fail cause = APPLE_DMA_FAIL_NONE;
	struct apple_dma_window *w;
	unsigned long flags;

	CHECK(test, apple_dma_budget_allows(f->e, BUDGET, &cause));
	CHECK(test, apple_dma_budget_take(f->sibling->e, GRANULE));
	CHECK(test, !apple_dma_budget_take(f->e, BUDGET));
	spin_lock_irqsave(&f->e->lock, flags);
	w = apple_dma_window_plan(f->e, FAKE_RAM, BUDGET, FAKE_RAM, &cause);
	spin_unlock_irqrestore(&f->e->lock, flags);
	CHECK(test, !w);
	CHECK_EQ(test, cause, APPLE_DMA_FAIL_BYTES);
	CHECK_EQ(test, fixture_stats(f)->guest_bytes, GRANULE);
	CHECK(test, apple_dma_budget_take(f->e, BUDGET - GRANULE));
	CHECK(test, !apple_dma_budget_take(f->sibling->e, GRANULE));
	apple_dma_budget_give(f->e, BUDGET);
	CHECK_EQ(test, fixture_stats(f)->guest_bytes, 0);
}

/* One doorbell of the sibling for the room, and one for the map. */
static void miss_takes_idle_windows_of_a_sibling(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_CACHED);
	struct fixture *s = f->sibling;
	dma_addr_t addr[16];

	idle_blocks(s, 16);
	fixture_doorbells(s);
	CHECK(test, map_blocks(f, addr, 0, 1));
	CHECK(test, fixture_right(f, addr[0], FAKE_RAM, BLOCK));
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_doorbells(s), 1);
	CHECK_EQ(test, fixture_stats(s)->evictions, 1);
	CHECK_EQ(test, refused(f), 0);
	/* All of them, if it needs them. */
	CHECK(test, map_blocks(f, addr, 1, 15));
	CHECK_EQ(test, fixture_stats(s)->mapped_entries, 0);
	CHECK_EQ(test, peak(f), BUDGET);
}

/* A row of taken handles, and a range behind it: what the sibling has idle is room. */
static void far_handle_takes_idle_windows_of_a_sibling(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_STRICT);
	struct fixture *s = f->sibling;

	apple_dma_engine_set_mode(s->e, APPLE_DMA_MODE_CACHED);
	fixture_row(f, MIB, 80);
	idle_blocks(s, 15);
	CHECK(test, fixture_map(f, MIB + 79 * GRANULE, 2 * GRANULE) !=
		    DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_HANDLE], 0);
}

/* A doorbell for the room of all 16, one for the list; none for what is in use. */
static void list_takes_what_it_needs_at_once(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_CACHED);
	struct fixture *s = f->sibling;
	struct scatterlist *sgl = fixture_list(f, 0, 16, BLOCK, BLOCK);

	idle_blocks(s, 16);
	fixture_doorbells(s);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 16, ANY, ANY), 0);
	CHECK_EQ(test, fixture_doorbells(s), 1);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 16), 0);
}

/* Nobody gives the last of a small cache while the other keeps a large one. */
static void who_keeps_most_idle_gives(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_CACHED);
	struct fixture *s = f->sibling;
	dma_addr_t addr[16];

	idle_blocks(s, 6);
	idle_blocks(f, 10);
	fixture_doorbells(s);
	/* 10 against 6 idle blocks, then 9, 8, 7, and 6: these are its own. */
	CHECK(test, map_blocks(f, addr, 10, 5));
	CHECK_EQ(test, fixture_doorbells(s), 0);
	CHECK_EQ(test, fixture_stats(f)->evictions, 5);
	/* 5 against 6. */
	CHECK(test, map_blocks(f, addr, 15, 1));
	CHECK_EQ(test, fixture_doorbells(s), 1);
	CHECK_EQ(test, fixture_stats(f)->evictions, 5);
}

/* A list that fits beside no window in use: nothing is given back for it. */
static void nothing_goes_for_a_list_that_cannot_fit(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_CACHED);
	struct fixture *s = f->sibling;
	struct scatterlist *sgl = fixture_list(f, 0, 9, BLOCK, BLOCK);
	dma_addr_t addr[16];

	idle_blocks(s, 16);
	CHECK(test, map_blocks(s, addr, 0, 8));
	fixture_doorbells(s);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 9, ANY, ANY), -ENOMEM);
	CHECK_EQ(test, refused(f), 1);
	CHECK_EQ(test, fixture_doorbells(s), 0);
	CHECK_EQ(test, fixture_doorbells(f), 0);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 8, ANY, ANY), 0);
	CHECK_EQ(test, fixture_stats(s)->idle_entries, 0);
}

/* The platform has half of what the budget says. */
static void host_with_less_room_takes_from_a_sibling(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_CACHED);
	struct fixture *s = f->sibling;
	dma_addr_t addr[16];

	f->host->limits.bytes = BUDGET / 2;
	idle_blocks(s, 8);
	CHECK(test, map_blocks(f, addr, 0, 1));
	CHECK(test, fixture_stats(s)->idle_entries < 8);
	CHECK(test, map_blocks(f, addr, 1, 7));
	CHECK_EQ(test, peak(f), BUDGET / 2);
}

static void entries_are_each_engine_s_own(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.entries = 4);
	struct fixture *s = fixture_open(test, .limits.entries = 4, .with = f);
	dma_addr_t addr[16];

	idle_blocks(s, 4);
	fixture_doorbells(s);
	CHECK(test, map_blocks(f, addr, 0, 4));
	CHECK(test, !map_blocks(f, addr, 4, 1));
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_ENTRIES], 1);
	CHECK_EQ(test, fixture_doorbells(s), 0);
}

/* As with budget_per_device=1. */
static void budgets_may_be_apart(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = BUDGET);
	struct fixture *s = fixture_open(test, .limits.bytes = BUDGET, .with = f,
					 .apart = true);
	dma_addr_t addr[16];

	idle_blocks(s, 16);
	fixture_doorbells(s);
	CHECK(test, map_blocks(f, addr, 0, 16));
	CHECK_EQ(test, fixture_doorbells(s), 0);
	CHECK_EQ(test, fixture_stats(f)->guest_bytes, BUDGET);
	CHECK_EQ(test, fixture_stats(s)->guest_bytes, BUDGET);
	CHECK(test, fixture_map(f, 20 * BLOCK, PAGE) == DMA_MAPPING_ERROR);
}

/*
 * All memory of the guest fits the budget: windows of 4 MiB. What a sibling has
 * leaves no room for that: smaller ones.
 */
static void shapes_follow_the_room_of_all(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = BUDGET,
					 .ram = { 12 * BLOCK });
	struct fixture *s = fixture_open(test, .limits.bytes = BUDGET,
					 .ram = { 12 * BLOCK }, .with = f);
	dma_addr_t addr[16];

	CHECK(test, map_blocks(s, addr, 0, 4));
	CHECK_EQ(test, fixture_stats(f)->window_bytes, BLOCK);
	CHECK(test, map_blocks(s, addr, 4, 1));
	CHECK(test, fixture_stats(f)->window_bytes < BLOCK);
	/* Idle windows of the sibling are room. */
	CHECK_EQ(test, fixture_stats(f)->window_bytes, 64 * KIB);
	CHECK(test, map_blocks(s, addr, 5, 6));
	CHECK_EQ(test, fixture_stats(f)->window_bytes, 64 * KIB);
}

/* ---- siblings that cannot be asked ---- */

/* The budget is full of idle windows of the sibling, which stay. */
static void check_left_alone(struct fixture *f)
{
	struct fixture *s = f->sibling;
	u64 before = refused(f);

	fixture_doorbells(s);
	CHECK(f->test, fixture_map(f, 0, BLOCK) == DMA_MAPPING_ERROR);
	CHECK_EQ(f->test, refused(f), before + 1);
	CHECK_EQ(f->test, fixture_doorbells(s), 0);
	CHECK_EQ(f->test, fixture_stats(f)->guest_bytes, BUDGET);
}

/* It still counts: the platform may have what it had. */
static void broken_sibling_is_left_alone(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_CACHED);
	dma_addr_t addr[16];

	idle_blocks(f->sibling, 16);
	f->sibling->host->breaks = 1;
	apple_dma_engine_flush(f->sibling->e);
	CHECK(test, f->sibling->e->broken);
	check_left_alone(f);
	/* Its companion is gone, and the platform has released all. */
	fixture_end(f->sibling);
	CHECK_EQ(test, fixture_stats(f)->guest_bytes, 0);
	CHECK(test, map_blocks(f, addr, 0, 16));
}

static void check_while_away(struct kunit *test,
			     void (*go)(struct apple_dma_engine *e),
			     void (*come)(struct apple_dma_engine *e))
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_CACHED);
	struct fixture *s = f->sibling;
	dma_addr_t addr[16];

	CHECK(test, map_blocks(s, addr, 0, 16));
	go(s->e);
	WRITE_ONCE(s->host->asleep, true);
	unmap_blocks(s, addr, 0, 16);
	check_left_alone(f);
	WRITE_ONCE(s->host->asleep, false);
	come(s->e);
	CHECK(test, map_blocks(f, addr, 0, 1));
}

static void resume(struct apple_dma_engine *e)
{
	apple_dma_engine_resume(e);
}

static void sleeping_sibling_is_left_alone(struct kunit *test)
{
	check_while_away(test, apple_dma_engine_suspend, resume);
}

static void frozen_sibling_is_left_alone(struct kunit *test)
{
	check_while_away(test, apple_dma_engine_freeze, apple_dma_engine_thaw);
}

static struct fixture *needs_room;

static void look_for_room(void)
{
	seam_grace = NULL;
	check_left_alone(needs_room);
}

/* No other engine is at it any more when the wait for that has begun. */
static void sibling_that_stops_is_left_alone(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_CACHED);
	dma_addr_t addr[16];

	idle_blocks(f->sibling, 16);
	needs_room = f;
	seam_grace = look_for_room;
	apple_dma_engine_stop(f->sibling->e);
	CHECK(test, !seam_grace);
	CHECK(test, map_blocks(f, addr, 0, 8));
	fixture_end(f->sibling);
	CHECK(test, map_blocks(f, addr, 8, 8));
}

/* Its driver is unbound and bound again. */
static void sibling_may_be_opened_again(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_CACHED);
	dma_addr_t addr[16];

	apple_dma_engine_close(f->sibling->e);
	CHECK(test, hlist_unhashed(&f->sibling->e->sibling));
	apple_dma_engine_close(f->sibling->e);
	apple_dma_engine_open(f->sibling->e);
	apple_dma_engine_open(f->sibling->e);
	idle_blocks(f->sibling, 16);
	CHECK(test, map_blocks(f, addr, 0, 16));
}

/* Windows of two granules each, the ends of shared ones: exact, whatever the room. */
static void map_small(struct fixture *f, dma_addr_t *addr, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		addr[i] = fixture_map(f, (i + 1) * MIB / 2 - 8 * KIB, 16 * KIB);
		CHECK(f->test, addr[i] != DMA_MAPPING_ERROR);
	}
}

static void unmap_small(struct fixture *f, dma_addr_t *addr, unsigned int n)
{
	unsigned long flags;
	unsigned int i;

	for (i = 0; i < n; i++)
		CHECK_EQ(f->test, fixture_unmap(f, addr[i], 16 * KIB), 0);
	spin_lock_irqsave(&f->e->lock, flags);
	while (apple_dma_window_drain(f->e))
		;
	spin_unlock_irqrestore(&f->e->lock, flags);
}

/* The sibling's coldest windows, more than it looks at in one go, are in use again. */
static void sibling_looks_behind_what_is_in_use(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_CACHED);
	struct fixture *s = f->sibling;
	dma_addr_t *small = fixture_memory(s, 300 * sizeof(*small)), addr[16];

	map_small(s, small, 300);
	unmap_small(s, small, 300);
	/* Colder than the blocks. */
	msleep(30);
	map_small(s, small, 300);
	CHECK(test, map_blocks(s, addr, 0, 13));
	unmap_blocks(s, addr, 0, 13);
	CHECK(test, map_blocks(f, addr, 0, 13));
	CHECK_EQ(test, refused(f), 0);
}

/* One doorbell of the sibling makes room for the exact granules: that is enough. */
static void sibling_keeps_what_is_not_needed(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_CACHED);
	struct fixture *s = f->sibling;
	dma_addr_t *small = fixture_memory(s, 1000 * sizeof(*small)), addr[16];
	struct scatterlist *sgl = fixture_list(f, 600 * MIB, 16, 8 * MIB, PAGE);

	map_small(s, small, 1000);
	unmap_small(s, small, 1000);
	CHECK(test, map_blocks(f, addr, 0, 8));
	fixture_doorbells(s);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 16, ANY, ANY), 0);
	CHECK(test, fixture_doorbells(s) <= 1);
}

/* What the host refuses for itself costs a sibling one doorbell, not its cache. */
static void refused_range_leaves_siblings_alone(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_CACHED);
	struct fixture *s = f->sibling;
	dma_addr_t *small = fixture_memory(s, 1000 * sizeof(*small));

	map_small(s, small, 1000);
	unmap_small(s, small, 1000);
	f->host->hole.phys = FAKE_RAM + 700 * MIB;
	f->host->hole.size = GRANULE;
	fixture_doorbells(s);
	CHECK(test, fixture_map(f, 700 * MIB, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, fixture_doorbells(s) <= 1);
	CHECK(test, fixture_doorbells(f) <= 6);
}

static u64 shape_now(struct fixture *f)
{
	unsigned long flags;
	u64 shape;

	spin_lock_irqsave(&f->e->lock, flags);
	shape = apple_dma_shape(f->e);
	spin_unlock_irqrestore(&f->e->lock, flags);
	return shape;
}

/* It is in use, for all that is known: windows are as large as the room allows. */
static void what_a_broken_host_may_have_is_no_waste(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_CACHED);
	dma_addr_t addr[3];
	u64 shape;

	CHECK(test, map_blocks(f->sibling, addr, 0, 3));
	shape = shape_now(f);
	f->sibling->host->breaks = 1;
	fixture_map(f->sibling, 8 * BLOCK, PAGE);
	CHECK(test, f->sibling->e->broken);
	CHECK_EQ(test, shape_now(f), shape);
}

/* The host may have made what it did not confirm: others do not get the room. */
static void what_a_broken_host_may_have_is_counted(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_CACHED);
	dma_addr_t addr[16];

	f->sibling->host->breaks = 1;
	CHECK(test, !map_blocks(f->sibling, addr, 0, 1));
	CHECK(test, f->sibling->e->broken);
	CHECK_EQ(test, fixture_stats(f)->guest_bytes, BLOCK);
	CHECK(test, map_blocks(f, addr, 0, 15));
	CHECK(test, !map_blocks(f, addr, 15, 1));
}

/* ---- both at once ---- */

#define STEPS			100U

/**
 * struct racer - a thread that maps with one engine
 * @f: its engine
 * @failed: maps that were refused
 * @done: completed at its end
 */
struct racer {
	struct fixture *f;
	u64 failed;
	struct completion done;
};

/* At most 7 blocks at a time, of 16 for two threads. */
static int race(void *arg)
{
	struct racer *r = arg;
	dma_addr_t addr[7];
	u64 seed = r->f->host->seed;
	unsigned int i, n;
	phys_addr_t phys;

	for (i = 0; i < STEPS; i++) {
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		for (n = 0; n < ARRAY_SIZE(addr); n++) {
			u64 block = ((seed >> 33) + n * 11) % 200;

			addr[n] = fixture_map(r->f, block * BLOCK, BLOCK);
			r->failed += addr[n] == DMA_MAPPING_ERROR;
			if (!(n % 3))
				cond_resched();
		}
		for (n = 0; n < ARRAY_SIZE(addr); n++)
			if (addr[n] != DMA_MAPPING_ERROR)
				apple_dma_unmap(r->f->e, addr[n], BLOCK, &phys);
		cond_resched();
	}
	complete(&r->done);
	return 0;
}

/* There is room for both, if each takes what the other keeps idle. */
static void both_race_for_the_room(struct kunit *test)
{
	struct fixture *f = open_two(test, APPLE_DMA_MODE_CACHED);
	struct racer r[2] = { { .f = f }, { .f = f->sibling } };
	struct task_struct *task;
	unsigned int i;

	for (i = 0; i < 2; i++) {
		init_completion(&r[i].done);
		task = kthread_run(race, &r[i], "race/%u", i);
		EXPECT(test, !IS_ERR(task));
		if (IS_ERR(task))
			complete(&r[i].done);
	}
	for (i = 0; i < 2; i++)
		wait_for_completion(&r[i].done);
	kunit_info(test, "%llu and %llu maps refused, %llu and %llu windows taken\n",
		   r[0].failed, r[1].failed, fixture_stats(f)->evictions,
		   fixture_stats(f->sibling)->evictions);
	CHECK(test, peak(f) <= BUDGET);
	CHECK_EQ(test, fixture_stats(f)->guest_bytes,
		 atomic64_read(&f->host->dart_bytes));
}

static struct kunit_case budget_cases[] = {
	KUNIT_CASE(sum_stays_within_the_limit),
	KUNIT_CASE(room_is_taken_once),
	KUNIT_CASE(miss_takes_idle_windows_of_a_sibling),
	KUNIT_CASE(far_handle_takes_idle_windows_of_a_sibling),
	KUNIT_CASE(list_takes_what_it_needs_at_once),
	KUNIT_CASE(who_keeps_most_idle_gives),
	KUNIT_CASE(nothing_goes_for_a_list_that_cannot_fit),
	KUNIT_CASE(host_with_less_room_takes_from_a_sibling),
	KUNIT_CASE(entries_are_each_engine_s_own),
	KUNIT_CASE(budgets_may_be_apart),
	KUNIT_CASE(shapes_follow_the_room_of_all),
	KUNIT_CASE(broken_sibling_is_left_alone),
	KUNIT_CASE(sleeping_sibling_is_left_alone),
	KUNIT_CASE(frozen_sibling_is_left_alone),
	KUNIT_CASE(sibling_that_stops_is_left_alone),
	KUNIT_CASE(sibling_may_be_opened_again),
	KUNIT_CASE(sibling_looks_behind_what_is_in_use),
	KUNIT_CASE(sibling_keeps_what_is_not_needed),
	KUNIT_CASE(refused_range_leaves_siblings_alone),
	KUNIT_CASE(what_a_broken_host_may_have_is_counted),
	KUNIT_CASE(what_a_broken_host_may_have_is_no_waste),
	KUNIT_CASE(both_race_for_the_room),
	{ }
};

struct kunit_suite budget_suite = {
	.name = "apple_dma_budget",
	.exit = fixture_close,
	.test_cases = budget_cases,
};
