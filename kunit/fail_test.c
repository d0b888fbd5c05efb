// SPDX-License-Identifier: GPL-2.0-only
/*
 * Maps, unmaps, starts and ends are repeated, and each time another one of
 * their allocations fails, until a run has none left to fail. Whatever happens
 * then, the next map works, nothing stays on the host, all counters are back at
 * 0 and all memory is back.
 */

#include <linux/rcupdate.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "fail.h"
#include "fixture.h"
#include "suites.h"

/* ---- the engine at work ---- */

/* Give everything back. Is nothing left? */
static void check_nothing_left(struct fixture *f, long balance)
{
	struct kunit *test = f->test;
	const struct apple_dma_stats *stats;
	u64 entries;

	apple_dma_engine_flush(f->e);
	apple_dma_window_wait(f->e);
	rcu_barrier();
	CHECK_EQ(test, f->e->pool->curr_nr, f->e->pool->min_nr);
	fixture_free_memory(f);
	stats = fixture_stats(f);
	fake_host_read(f->host, NULL, NULL, &entries);
	CHECK_EQ(test, entries, 0);
	CHECK_EQ(test, stats->mapped_entries, 0);
	CHECK_EQ(test, stats->mapped_bytes, 0);
	CHECK_EQ(test, stats->live_mappings, 0);
	CHECK_EQ(test, stats->live_bytes, 0);
	CHECK_EQ(test, stats->idle_entries, 0);
	CHECK_EQ(test, stats->idle_bytes, 0);
	CHECK(test, xa_empty(&f->e->by_phys) && xa_empty(&f->e->by_iova));
	CHECK_EQ(test, seam_balance(), balance);
	CHECK(test, !f->e->broken);
}

/**
 * struct outcome - the result of a run
 * @fine: everything was mapped
 * @right: what was mapped is where it should be, and was unmapped
 */
struct outcome {
	bool fine;
	bool right;
};

/* Fail each allocation of @run in turn. */
static void fail_each(struct fixture *f, struct outcome (*run)(struct fixture *f))
{
	u64 memory, refused = 0, unharmed = 0;
	struct kunit *test = f->test;
	long balance = seam_balance();
	unsigned int nth;
	bool failed;

	fail_needed(test);
	for (nth = 1; nth < FAIL_MOST; nth++) {
		struct outcome o;

		fail_arm(nth);
		o = run(f);
		failed = fail_disarm();
		CHECK(test, o.right);
		check_nothing_left(f, balance);
		if (!failed)
			break;
		refused += !o.fine;
		unharmed += o.fine;
	}
	/* The last one had nothing that failed. */
	CHECK(test, !failed);
	CHECK(test, nth > 1);
	memory = fixture_stats(f)->failures[APPLE_DMA_FAIL_MEMORY];
	/* A refused list counts as one refusal, whatever else was tried. */
	CHECK(test, refused <= memory);
	CHECK_EQ(test, !refused, !memory);
	kunit_info(test, "%u allocations failed: %llu maps refused, %llu made all the same\n",
		   nth - 1, refused, unharmed);
}

static struct outcome run_map(struct fixture *f)
{
	dma_addr_t addr = fixture_map(f, 5 * MIB, 3 * PAGE);
	struct outcome o = { .right = true };

	o.fine = addr != DMA_MAPPING_ERROR;
	if (o.fine)
		o.right = fixture_right(f, addr, FAKE_RAM + 5 * MIB, 3 * PAGE) &&
			  !fixture_unmap(f, addr, 3 * PAGE);
	return o;
}

static void cached_map(struct kunit *test)
{
	fail_each(fixture_open(test), run_map);
}

static void strict_map(struct kunit *test)
{
	fail_each(fixture_open(test, .mode = APPLE_DMA_MODE_STRICT), run_map);
}

/* Of a list. */
#define ENTRIES	6

/* The list is made once, and is the first memory of the fixture. */
static struct outcome run_list(struct fixture *f)
{
	struct scatterlist *sgl = f->memory[0], *sg;
	struct outcome o = { .right = true };
	int i;

	o.fine = !apple_dma_map_list(f->e, sgl, ENTRIES, ANY, ANY);
	if (!o.fine) {
		for_each_sg(sgl, sg, ENTRIES, i)
			o.right &= sg_dma_address(sg) == DMA_MAPPING_ERROR;
		return o;
	}
	for_each_sg(sgl, sg, ENTRIES, i)
		o.right &= fixture_right(f, sg_dma_address(sg), sg_phys(sg),
					 sg->length);
	o.right &= !apple_dma_unmap_list(f->e, sgl, ENTRIES);
	return o;
}

/* Pages far apart: a window for each, with slots in nodes of their own. */
static void cached_list(struct kunit *test)
{
	struct fixture *f = fixture_open(test);

	fixture_list(f, 0, ENTRIES, 8 * MIB, PAGE);
	fail_each(f, run_list);
}

static void strict_list(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);

	fixture_list(f, 0, ENTRIES, 8 * MIB, PAGE);
	fail_each(f, run_list);
}

/* The host refuses the first shape; exact granules follow. */
static struct outcome run_refused(struct fixture *f)
{
	f->host->refuse = 1;
	return run_map(f);
}

static void refused_map(struct kunit *test)
{
	fail_each(fixture_open(test), run_refused);
}

/* Room is made first: the second map evicts what the first one left. */
static struct outcome run_evict(struct fixture *f)
{
	dma_addr_t addr = fixture_map(f, 100 * MIB, PAGE);
	struct outcome o;

	if (addr != DMA_MAPPING_ERROR)
		fixture_unmap(f, addr, PAGE);
	o = run_map(f);
	o.fine &= addr != DMA_MAPPING_ERROR;
	return o;
}

/*
 * A window without slots, because there was no memory for them, is found with
 * the lock held; each map that finds it fills a piece of them.
 */
static void window_without_slots_is_used(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	struct apple_dma_window *w;
	dma_addr_t a, b;
	unsigned int i;

	seam_no_slots = true;
	a = fixture_map(f, 0, PAGE);
	b = fixture_map(f, PAGE, PAGE);
	w = rb_entry_safe(rb_first(&f->e->iova), struct apple_dma_window,
			  iova_node);
	CHECK(test, w && !w->filled);
	CHECK(test, xa_empty(&f->e->by_phys) && xa_empty(&f->e->by_iova));
	CHECK(test, fixture_right(f, a, FAKE_RAM, PAGE));
	CHECK_EQ(test, b, a + PAGE);
	CHECK_EQ(test, fixture_unmap(f, a, PAGE), 0);
	/* None of the three was a hit. */
	CHECK_EQ(test, fixture_stats(f)->slow_paths, 3);

	seam_no_slots = false;
	a = fixture_map(f, 0, PAGE);
	CHECK_EQ(test, fixture_stats(f)->slow_paths, 4);
	CHECK_EQ(test, w->filled, MIB);
	fixture_touch(f, MIB - PAGE);
	CHECK_EQ(test, fixture_stats(f)->slow_paths, 4);
	for (i = 0; i < 4; i++)
		fixture_touch(f, i * MIB);
	CHECK_EQ(test, w->filled, w->size);
	CHECK_EQ(test, fixture_unmap(f, a, PAGE), 0);
	CHECK_EQ(test, fixture_unmap(f, b, PAGE), 0);
	CHECK_EQ(test, fixture_stats(f)->slow_paths, 7);
	CHECK_EQ(test, fixture_doorbells(f), 1);
}

static void eviction(struct kunit *test)
{
	fail_each(fixture_open(test, .limits.entries = 1), run_evict);
}

/* An earlier kernel left something in the way. */
static struct outcome run_leftover(struct fixture *f)
{
	bool planted = fake_host_plant(f->host, FAKE_RAM + 5 * MIB, GRANULE);
	struct outcome o = run_map(f);

	o.right &= planted;
	/* What was refused before the host was asked has released nothing. */
	if (fake_host_forget(f->host, FAKE_RAM + 5 * MIB))
		o.right &= !o.fine;
	return o;
}

static void map_over_a_leftover(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .leftovers = true,
					 .mode = APPLE_DMA_MODE_STRICT);

	/* A leftover that is not in the way is not looked for. */
	f->e->swept = true;
	fail_each(f, run_leftover);
	CHECK(test, fixture_stats(f)->recovered > 0);
}

/* The guest sleeps, with idle windows and one in use. */
static struct outcome run_sleep(struct fixture *f)
{
	dma_addr_t addr = fixture_map(f, 8 * MIB, 3 * PAGE);
	dma_addr_t idle = fixture_map(f, 100 * MIB, PAGE);
	struct outcome o = { .right = true };

	o.fine = addr != DMA_MAPPING_ERROR && idle != DMA_MAPPING_ERROR;
	if (idle != DMA_MAPPING_ERROR)
		o.right = !fixture_unmap(f, idle, PAGE);
	fixture_sleep(f);
	o.right &= fixture_wake(f);
	if (addr != DMA_MAPPING_ERROR)
		o.right &= fixture_right(f, addr, FAKE_RAM + 8 * MIB,
					 3 * PAGE) &&
			   !fixture_unmap(f, addr, 3 * PAGE);
	return o;
}

static void sleep_and_wake(struct kunit *test)
{
	fail_each(fixture_open(test), run_sleep);
}

/* Meanwhile the host forgets the one in use. */
static struct outcome run_forgotten(struct fixture *f)
{
	dma_addr_t addr = fixture_map(f, 8 * MIB, 3 * PAGE), fresh;
	struct outcome o = { .right = true };

	o.fine = addr != DMA_MAPPING_ERROR;
	fixture_sleep(f);
	if (o.fine)
		fake_host_forget(f->host, FAKE_RAM + 8 * MIB);
	o.right = fixture_wake(f) == !o.fine;
	fresh = fixture_map(f, 8 * MIB, PAGE);
	if (o.fine)
		o.right &= fresh == DMA_MAPPING_ERROR &&
			   !fixture_unmap(f, addr, 3 * PAGE);
	else if (fresh != DMA_MAPPING_ERROR)
		o.right &= fixture_right(f, fresh, FAKE_RAM + 8 * MIB, PAGE) &&
			   !fixture_unmap(f, fresh, PAGE);
	o.right &= apple_dma_engine_release(f->e);
	apple_dma_engine_open(f->e);
	return o;
}

static void sleep_and_forget(struct kunit *test)
{
	fail_each(fixture_open(test, .policy = FAKE_HOST_RANDOM), run_forgotten);
}

/* ---- starting and ending ---- */

static void engine_start(struct kunit *test)
{
	/* For the memory alone. */
	struct fixture *f = fixture_open(test);
	struct apple_dma_engine *e = fixture_memory(f, sizeof(*e));
	const struct apple_dma_limits limits = f->e->limits;
	long balance = seam_balance();
	unsigned int nth, refused = 0;
	bool failed;

	fail_needed(test);
	for (nth = 1; nth < FAIL_MOST; nth++) {
		int err;

		memset(e, 0, sizeof(*e));
		fail_arm(nth);
		err = apple_dma_engine_create(e, fixture_device, &limits,
					      &fake_host_ops, f->host);
		if (!err)
			apple_dma_engine_open(e);
		failed = fail_disarm();
		if (!err) {
			apple_dma_engine_stop(e);
			apple_dma_engine_destroy(e);
		}
		CHECK_EQ(test, seam_balance(), balance);
		/* If no large slab is available, a small one is used. */
		CHECK(test, !err || (failed && err == -ENOMEM));
		refused += !!err;
		if (!failed)
			break;
	}
	CHECK(test, !failed);
	/* Counters, the pool, its reserve, a table of memory. */
	CHECK(test, refused >= 4);
	kunit_info(test, "%u allocations failed: %u starts refused\n", nth - 1,
		   refused);
}

/* Memory that comes and goes: the table is as it was, or right. */
static void memory_table(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	const struct apple_dma_range two[] = {
		{ .phys = FAKE_RAM, .size = MIB },
		{ .phys = FAKE_RAM + GIB, .size = MIB },
	};
	unsigned int nth, refused = 0;
	bool failed = true;

	fail_needed(test);
	for (nth = 1; failed && nth < FAIL_MOST; nth++) {
		int err;

		CHECK_EQ(test, apple_dma_ram_set(f->e, f->ram, 1), 0);
		fail_arm(nth);
		err = apple_dma_ram_set(f->e, two, 2);
		failed = fail_disarm();
		/* A debug kernel's record of an allocation may fail, too. */
		CHECK(test, !err || (failed && err == -ENOMEM));
		CHECK_EQ(test, f->e->ram.n, err ? 1 : 2);
		CHECK_EQ(test, f->e->ram.bytes, err ? GIB : 2 * MIB);
		refused += !!err;
	}
	CHECK(test, !failed);
	/* The table. */
	CHECK_EQ(test, refused, 1);
}

static void fail_close(struct kunit *test)
{
	fail_disarm();
	seam_no_slots = false;
	fixture_close(test);
}

static struct kunit_case fail_cases[] = {
	KUNIT_CASE(cached_map),
	KUNIT_CASE(strict_map),
	KUNIT_CASE(cached_list),
	KUNIT_CASE(strict_list),
	KUNIT_CASE(refused_map),
	KUNIT_CASE(eviction),
	KUNIT_CASE(map_over_a_leftover),
	KUNIT_CASE(sleep_and_wake),
	KUNIT_CASE(sleep_and_forget),
	KUNIT_CASE(window_without_slots_is_used),
	KUNIT_CASE(engine_start),
	KUNIT_CASE(memory_table),
	{ }
};

struct kunit_suite fail_suite = {
	.name = "apple_dma_fail",
	.exit = fail_close,
	.test_cases = fail_cases,
};
