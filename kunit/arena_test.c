// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/arena.c: which memory is registered at once, in which pieces, and what an
 * older table still says.
 */

#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/sizes.h>
#include <linux/string.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "fixture.h"
#include "suites.h"

/* ---- the layout ---- */

/* As a machine whose memory begins at 1 GiB. */
static const struct apple_dma_range two[] = {
	{ GIB, GIB }, { 2 * GIB + 512 * MIB, 256 * MIB },
};

static enum apple_dma_layout choose(const struct apple_dma_arena_facts *facts,
				    struct apple_dma_arena_plan *plan)
{
	memset(plan, 0xff, sizeof(*plan));
	apple_dma_arena_plan(facts, plan);
	return plan->layout;
}

static struct apple_dma_arena_facts facts_of(const struct apple_dma_range *ram,
					     unsigned int n, u64 room)
{
	return (struct apple_dma_arena_facts){
		.ram = ram, .n = n, .room = room, .movable = U64_MAX,
	};
}

/* To the granule. */
static void all_memory_has_to_fit(struct kunit *test)
{
	struct apple_dma_arena_facts facts = facts_of(two, 2, 1280 * MIB);
	struct apple_dma_arena_plan plan;

	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_ALL);
	CHECK_EQ(test, plan.n, 2);
	CHECK_EQ(test, plan.bytes, 1280 * MIB);
	CHECK(test, !plan.pool);
	CHECK(test, !memcmp(plan.piece, two, sizeof(two)));
	facts.room -= GRANULE;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_NONE);
	facts.n = 0;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_NONE);
}

/* Granules are registered whole; what shares one is one piece. */
static void pieces_are_whole_granules(struct kunit *test)
{
	static const struct apple_dma_range odd[] = {
		{ PAGE, 9 * PAGE }, { 11 * PAGE, PAGE }, { MIB, 3 * PAGE },
	};
	struct apple_dma_arena_facts facts = facts_of(odd, 3, GIB);
	struct apple_dma_arena_plan plan;

	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_ALL);
	CHECK_EQ(test, plan.n, 2);
	CHECK_EQ(test, plan.piece[0].phys, 0);
	CHECK_EQ(test, plan.piece[0].size, 3 * GRANULE);
	CHECK_EQ(test, plan.piece[1].phys, MIB);
	CHECK_EQ(test, plan.piece[1].size, GRANULE);
	CHECK_EQ(test, plan.bytes, 4 * GRANULE);
}

/* At most six, and the smallest holes are filled. */
static void small_holes_are_filled(struct kunit *test)
{
	struct apple_dma_range ram[9];
	struct apple_dma_arena_facts facts = facts_of(ram, 9, GIB);
	struct apple_dma_arena_plan plan;
	unsigned int i;
	u64 end = 0;

	/* Holes of 9, 8, ... 1 MiB in front of each. */
	for (i = 0; i < 9; i++) {
		ram[i] = (struct apple_dma_range){ end + (9 - i) * MIB, MIB };
		end = ram[i].phys + ram[i].size;
	}
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_ALL);
	CHECK_EQ(test, plan.n, 6);
	for (i = 0; i < 5; i++)
		CHECK_EQ(test, plan.piece[i].size, MIB);
	CHECK_EQ(test, plan.piece[5].phys, ram[5].phys);
	CHECK_EQ(test, plan.piece[5].phys + plan.piece[5].size, end);
	/* The holes of 3, 2 and 1 MiB count. */
	CHECK_EQ(test, plan.bytes, 15 * MIB);
	facts.room = plan.bytes - GRANULE;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_NONE);
}

static void kernelcore_is_enough_below_4_gib(struct kunit *test)
{
	struct apple_dma_arena_facts facts = facts_of(two, 2, GIB);
	struct apple_dma_arena_plan plan;
	struct apple_dma_range high = { 3 * GIB, GIB };

	facts.movable = GIB + 700 * MIB;
	facts.never_bounces = true;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_LOW);
	CHECK_EQ(test, plan.n, 1);
	CHECK_EQ(test, plan.piece[0].phys, GIB);
	CHECK_EQ(test, plan.piece[0].size, 700 * MIB);

	/* Too much for the kernel; no movable memory; memory above 4 GiB. */
	facts.room = 700 * MIB - GRANULE;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_NONE);
	facts.room = GIB;
	facts.movable = U64_MAX;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_NONE);
	facts = facts_of(&high, 1, 512 * MIB);
	facts.movable = 3 * GIB + 256 * MIB;
	facts.never_bounces = true;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_LOW);
	high.size += PAGE;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_NONE);
}

static void lowest_node_without_cpus_is_enough(struct kunit *test)
{
	static const struct apple_dma_range ram = { GIB, 8 * GIB };
	struct apple_dma_arena_facts facts = facts_of(&ram, 1, GIB);
	struct apple_dma_arena_plan plan;

	facts.node = (struct apple_dma_range){ GIB, GIB };
	facts.never_bounces = true;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_NODE);
	CHECK_EQ(test, plan.n, 1);
	CHECK(test, !memcmp(&plan.piece[0], &facts.node, sizeof(facts.node)));

	facts.node_has_cpus = true;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_NONE);
	facts.node_has_cpus = false;
	facts.node.phys += GIB;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_NONE);
	facts.node = (struct apple_dma_range){ GIB, GIB + GRANULE };
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_NONE);
}

/* Inside, beside, or not at all. Beside, the entry ends where the pool does. */
static void bounce_pool_is_registered(struct kunit *test)
{
	static const struct apple_dma_range ram = { GIB, 2 * GIB };
	struct apple_dma_arena_facts facts = facts_of(&ram, 1, GIB);
	struct apple_dma_arena_plan plan;

	facts.movable = GIB + 512 * MIB;
	facts.bounce = (struct apple_dma_range){ GIB + 448 * MIB, 64 * MIB };
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_LOW);
	CHECK_EQ(test, plan.n, 1);

	facts.bounce.phys = 2 * GIB + PAGE;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_LOW);
	CHECK_EQ(test, plan.n, 2);
	CHECK(test, plan.pool);
	CHECK(test, !memcmp(&plan.piece[1], &facts.bounce, sizeof(facts.bounce)));
	CHECK_EQ(test, plan.bytes, 576 * MIB + GRANULE);
	facts.room = plan.bytes - GRANULE;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_NONE);

	facts.room = GIB;
	facts.bounce.phys = GIB + 448 * MIB + GRANULE;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_NONE);

	/* No pool at all. All memory needs none. */
	facts.bounce.size = 0;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_NONE);
	facts.never_bounces = true;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_LOW);
	facts.never_bounces = false;
	facts.room = 2 * GIB;
	CHECK_EQ(test, choose(&facts, &plan), APPLE_DMA_LAYOUT_ALL);
}

/* ---- registering ---- */

static struct apple_dma_arena arena;

/* Some memory of the first piece. */
static int set_up(struct fixture *f, u64 size)
{
	struct apple_dma_arena_plan plan = {
		.layout = APPLE_DMA_LAYOUT_ALL,
		.piece = { { FAKE_RAM, size } },
		.n = 1,
		.bytes = size,
	};

	return apple_dma_arena_register(f->e, &plan, &arena);
}

/* The entries cover it without a gap, and lead to it. */
static void check_arena(struct fixture *f, u64 size)
{
	u64 phys = FAKE_RAM;
	unsigned int i;

	for (i = 0; i < arena.n; i++) {
		const struct apple_dma_arena_entry *entry = &arena.entry[i];

		CHECK_EQ(f->test, entry->phys, phys);
		CHECK(f->test, fixture_right(f, entry->iova, phys, GRANULE));
		phys += entry->size;
		CHECK(f->test, fixture_right(f, entry->iova + entry->size - GRANULE,
					     phys - GRANULE, GRANULE));
	}
	CHECK_EQ(f->test, phys, FAKE_RAM + size);
}

/* Nothing is left on the host, nor of what was taken. */
static void check_gone(struct fixture *f)
{
	u64 entries;

	fake_host_read(f->host, NULL, NULL, &entries);
	CHECK_EQ(f->test, entries, 0);
	CHECK_EQ(f->test, fixture_stats(f)->mapped_bytes, 0);
	CHECK_EQ(f->test, atomic_read(&seam_taken), 0);
	CHECK_EQ(f->test, arena.n, 0);
	CHECK_EQ(f->test, arena.layout, APPLE_DMA_LAYOUT_NONE);
}

static void take_down(struct fixture *f)
{
	apple_dma_arena_release(f->e, &arena);
	check_gone(f);
}

/* One doorbell each; at the end of memory nothing is taken. */
static void piece_is_one_doorbell(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_ALIGNED);

	CHECK_EQ(test, set_up(f, GIB), 0);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, arena.n, 1);
	CHECK_EQ(test, arena.unaligned, 0);
	CHECK_EQ(test, arena.layout, APPLE_DMA_LAYOUT_ALL);
	CHECK_EQ(test, atomic_read(&seam_taken), 0);
	CHECK(test, apple_dma_arena_limit(&arena) >= arena.entry[0].iova + GIB - 1);
	CHECK(test, apple_dma_arena_limit(&arena) / 2 < arena.entry[0].iova + GIB - 1);
	CHECK(test, is_power_of_2(apple_dma_arena_limit(&arena) + 1));
	check_arena(f, GIB);
	take_down(f);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, apple_dma_arena_limit(&arena), 1);
}

static bool first_half_is_in_use(unsigned long pfn)
{
	return pfn >= PHYS_PFN(FAKE_RAM + 500 * MIB) &&
	       pfn < PHYS_PFN(FAKE_RAM + 512 * MIB);
}

static bool all_is_in_use(unsigned long pfn)
{
	return true;
}

/* Where memory goes on, the end is a granule that nobody else has. */
static void end_is_kept_where_memory_goes_on(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_ALIGNED);

	CHECK_EQ(test, set_up(f, 512 * MIB), 0);
	CHECK_EQ(test, arena.guards, 1);
	CHECK_EQ(test, arena.guard[0], FAKE_RAM + 512 * MIB - GRANULE);
	check_arena(f, 512 * MIB);
	take_down(f);

	/* It moves down to a free one. */
	seam_in_use = first_half_is_in_use;
	CHECK_EQ(test, set_up(f, 512 * MIB), 0);
	CHECK_EQ(test, arena.guard[0], FAKE_RAM + 500 * MIB - GRANULE);
	check_arena(f, 500 * MIB);
	take_down(f);

	seam_in_use = all_is_in_use;
	CHECK_EQ(test, set_up(f, 512 * MIB), -EBUSY);
	check_gone(f);
}

/* 4 pieces of 256 MiB: 1 and 2 refused, 4 taken. Each cut is kept. */
static void refused_piece_is_halved(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_GUARD);
	unsigned int i;

	f->host->limits.segment = 256 * MIB;
	CHECK_EQ(test, set_up(f, GIB), 0);
	CHECK_EQ(test, arena.n, 4);
	CHECK_EQ(test, arena.guards, 3);
	CHECK_EQ(test, atomic_read(&seam_taken), 3 * GRANULE / PAGE_SIZE);
	for (i = 0; i < 3; i++)
		CHECK_EQ(test, arena.entry[i].size, 256 * MIB);
	check_arena(f, GIB);
	take_down(f);

	/* The first cut moves down, and the second half takes what that leaves. */
	seam_in_use = first_half_is_in_use;
	f->host->limits.segment = 600 * MIB;
	CHECK_EQ(test, set_up(f, GIB), 0);
	CHECK_EQ(test, arena.n, 2);
	CHECK_EQ(test, arena.entry[0].size, 500 * MIB);
	check_arena(f, GIB);
	take_down(f);

	seam_in_use = all_is_in_use;
	CHECK_EQ(test, set_up(f, GIB), -EBUSY);
	check_gone(f);
}

/* What comes one behind the other is one entry. */
static void neighbours_are_one_entry(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_DENSE);

	f->host->limits.segment = 512 * MIB;
	CHECK_EQ(test, set_up(f, GIB), 0);
	CHECK_EQ(test, arena.n, 1);
	check_arena(f, GIB);
	take_down(f);
}

/* The table has 8 entries. 128 MiB fit, 127 MiB do not. */
static void no_more_pieces_than_entries(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_GUARD);

	f->host->limits.segment = 128 * MIB;
	CHECK_EQ(test, set_up(f, GIB), 0);
	CHECK_EQ(test, arena.n, APPLE_DMA_ARENA_MAX);
	check_arena(f, GIB);
	take_down(f);

	f->host->limits.segment = 127 * MIB;
	CHECK_EQ(test, set_up(f, GIB), -EIO);
	check_gone(f);
}

/* 8 entries of the first piece leave none for the second. */
static void pieces_share_the_entries(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_GUARD,
					 .ram = { 512 * MIB, 512 * MIB });
	struct apple_dma_arena_plan plan = {
		.layout = APPLE_DMA_LAYOUT_ALL,
		.piece = { { FAKE_RAM, 512 * MIB },
			   { FAKE_RAM + 512 * MIB + GIB, 64 * MIB } },
		.n = 2,
		.bytes = GIB,
	};

	f->host->limits.segment = 64 * MIB;
	CHECK_EQ(test, apple_dma_arena_register(f->e, &plan, &arena), -EIO);
	check_gone(f);
	plan.piece[1].size = 512 * MIB;
	f->host->limits.segment = 128 * MIB;
	CHECK_EQ(test, apple_dma_arena_register(f->e, &plan, &arena), 0);
	CHECK_EQ(test, arena.n, APPLE_DMA_ARENA_MAX);
	take_down(f);
}

/* The budget is kept, and a piece that is all of it has no filler. */
static void budget_is_kept(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_UNALIGNED,
					 .limits.bytes = GIB);

	CHECK_EQ(test, set_up(f, GIB), 0);
	CHECK_EQ(test, arena.unaligned, 1);
	check_arena(f, GIB);
	take_down(f);
	f->e->limits.bytes -= GRANULE;
	fixture_doorbells(f);
	CHECK_EQ(test, set_up(f, GIB), -ENOSPC);
	CHECK_EQ(test, fixture_doorbells(f), 0);
	check_gone(f);
	f->e->limits.bytes += GRANULE;
	f->e->limits.entries = 0;
	CHECK_EQ(test, set_up(f, GIB), -ENOSPC);
	CHECK_EQ(test, fixture_doorbells(f), 0);
}

/* Hosts with a habit: 4 MiB are aligned after a few tries. */
static void pieces_come_aligned(struct kunit *test)
{
	static const enum fake_host_policy policies[] = {
		FAKE_HOST_DENSE, FAKE_HOST_GUARD, FAKE_HOST_FIRST_FIT,
		FAKE_HOST_ALIGNED,
	};
	struct fixture *f = fixture_open(test, .limits.batch = 1);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(policies); i++) {
		/* Another host, whose habit is not known yet. */
		memset(&f->e->place, 0, sizeof(f->e->place));
		f->host->policy = policies[i];
		f->host->next += 5 * GRANULE;
		f->host->iova_base += 3 * GRANULE;
		CHECK_EQ(test, set_up(f, GIB), 0);
		kunit_info(test, "policy %u: %llu doorbells\n", policies[i],
			   fixture_doorbells(f));
		CHECK_EQ(test, arena.unaligned, 0);
		check_arena(f, GIB);
		CHECK_EQ(test, fixture_stats(f)->mapped_entries, 1);
		take_down(f);
	}
	CHECK_EQ(test, fixture_counts(f).longest, 1);
}

/*
 * The lowest hole is where the last try was, and is there only when that is gone. The end of the
 * last try is somewhere else, modulo 4 MiB.
 */
static void piece_of_an_odd_size_comes_aligned(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_FIRST_FIT);
	struct apple_dma_arena_plan plan = {
		.layout = APPLE_DMA_LAYOUT_ALL,
		.piece = { { FAKE_RAM, 5 * GRANULE },
			   { FAKE_RAM + 7 * GRANULE, 509 * MIB + 3 * GRANULE } },
		.n = 2,
		.bytes = 509 * MIB + 8 * GRANULE,
	};

	CHECK_EQ(test, apple_dma_arena_register(f->e, &plan, &arena), 0);
	CHECK_EQ(test, arena.n, 2);
	CHECK_EQ(test, arena.unaligned, 0);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 2);
	take_down(f);
}

/* 4 times asked, 3 of them behind a filler; 4 times something is given back. */
static void piece_that_stays_unaligned_is_used(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_UNALIGNED);

	CHECK_EQ(test, set_up(f, GIB), 0);
	CHECK_EQ(test, arena.unaligned, 1);
	CHECK(test, fixture_doorbells(f) <= 4 + 3 + 4);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 1);
	check_arena(f, GIB);
	take_down(f);
}

/* Where the guest's own memory begins: leftovers are looked for there. */
static u64 begin(void)
{
	return round_up(PFN_PHYS(node_start_pfn(first_online_node)), 16 * MIB);
}

/* An earlier kernel had the same arena. */
static void leftover_is_no_obstacle(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_ALIGNED,
					 .leftovers = true);

	CHECK(test, fake_host_plant(f->host, FAKE_RAM, GIB));
	CHECK_EQ(test, set_up(f, GIB), 0);
	CHECK_EQ(test, arena.n, 1);
	CHECK(test, fixture_stats(f)->recovered > 0);
	check_arena(f, GIB);
	take_down(f);
}

/* What an earlier kernel left elsewhere has the room: it is looked for. */
static void leftovers_make_room(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_ALIGNED,
					 .leftovers = true);

	CHECK(test, fake_host_plant(f->host, begin(), MIB));
	f->host->limits.entries = 1;
	CHECK_EQ(test, set_up(f, GIB), 0);
	CHECK_EQ(test, fixture_stats(f)->recovered, 1);
	check_arena(f, GIB);
	take_down(f);
}

/* Nothing stays. */
static void broken_host_has_no_arena(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_ALIGNED);

	f->host->breaks = 1;
	CHECK_EQ(test, set_up(f, GIB), -EPROTO);
	CHECK(test, f->e->broken);
	CHECK_EQ(test, arena.n, 0);
	CHECK_EQ(test, set_up(f, GIB), -EPROTO);
}

/* Neither idle time nor the mode nor sleep takes it; one doorbell asks for it again. */
static void arena_stays(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_ALIGNED);

	CHECK_EQ(test, set_up(f, GIB), 0);
	apple_dma_engine_flush(f->e);
	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_STRICT);
	fixture_doorbells(f);
	fixture_sleep(f);
	CHECK(test, fixture_wake(f));
	CHECK_EQ(test, fixture_doorbells(f), 1);
	check_arena(f, GIB);

	/* A host that forgot it gives it another address. */
	fixture_sleep(f);
	CHECK(test, fake_host_forget(f->host, FAKE_RAM));
	f->host->force = arena.entry[0].iova + 64 * GIB;
	CHECK(test, !fixture_wake(f));
	take_down(f);
}

/* ---- memory comes and goes ---- */

static void memory_of_the_arena_stays(struct kunit *test)
{
	struct apple_dma_arena a = {
		.layout = APPLE_DMA_LAYOUT_ALL,
		.entry = { { GIB, GIB, 4 * GIB }, { 3 * GIB, GIB, 8 * GIB } },
		.n = 2,
	};

	CHECK(test, apple_dma_arena_vetoes(&a, GIB, 128 * MIB, false));
	CHECK(test, apple_dma_arena_vetoes(&a, 4 * GIB - PAGE, GIB, false));
	CHECK(test, !apple_dma_arena_vetoes(&a, 2 * GIB, GIB, false));
	CHECK(test, !apple_dma_arena_vetoes(&a, 4 * GIB, GIB, false));
	CHECK(test, apple_dma_arena_vetoes(&a, 8 * GIB, GIB, true));
	a.layout = APPLE_DMA_LAYOUT_LOW;
	CHECK(test, apple_dma_arena_vetoes(&a, 8 * GIB, GIB, true));
	a.layout = APPLE_DMA_LAYOUT_NODE;
	CHECK(test, !apple_dma_arena_vetoes(&a, 8 * GIB, GIB, true));
	/* A list could join its first page with the last one of an entry. */
	CHECK(test, apple_dma_arena_vetoes(&a, 4 * GIB, GIB, true));
	CHECK(test, !apple_dma_arena_vetoes(&a, 4 * GIB + PAGE, GIB, true));
	memset(&a, 0, sizeof(a));
	CHECK(test, !apple_dma_arena_vetoes(&a, GIB, GIB, false));
	CHECK(test, !apple_dma_arena_vetoes(&a, GIB, GIB, true));
}

/* ---- an older table ---- */

static void older_table_is_kept_for_late_frees(struct kunit *test)
{
	struct apple_dma_arena_entry table[APPLE_DMA_ARENA_MAX] = {
		{ GIB, GIB, 16 * GIB },
	};
	struct apple_dma_arena_entry old = { GIB, GIB, 16 * GIB };
	unsigned int i;

	/* The same, and a part of it: nothing is needed. */
	CHECK_EQ(test, apple_dma_arena_keep(table, 1, &old, 1), 1);
	old = (struct apple_dma_arena_entry){ GIB + MIB, MIB, 16 * GIB + MIB };
	CHECK_EQ(test, apple_dma_arena_keep(table, 1, &old, 1), 1);

	/* Other addresses of the same memory come behind it, up to 8. */
	for (i = 1; i < APPLE_DMA_ARENA_MAX; i++) {
		old = (struct apple_dma_arena_entry){ GIB, GIB, (16 + i) * GIB };
		CHECK_EQ(test, apple_dma_arena_keep(table, i, &old, 1), i + 1);
		CHECK(test, !memcmp(&table[i], &old, sizeof(old)));
		/* Once. */
		CHECK_EQ(test, apple_dma_arena_keep(table, i + 1, &old, 1), i + 1);
	}
	old.iova += GIB;
	CHECK_EQ(test, apple_dma_arena_keep(table, i, &old, 1), -EBUSY);
}

/* Memory that is not registered now, and addresses that mean something else now. */
static void older_table_that_would_mislead_is_refused(struct kunit *test)
{
	struct apple_dma_arena_entry table[APPLE_DMA_ARENA_MAX] = {
		{ GIB, GIB, 16 * GIB }, { 4 * GIB, GIB, 32 * GIB },
	};
	struct apple_dma_arena_entry old = { GIB, GIB + PAGE, 64 * GIB };

	CHECK_EQ(test, apple_dma_arena_keep(table, 2, &old, 1), -EBUSY);
	old = (struct apple_dma_arena_entry){ 2 * GIB, GIB, 64 * GIB };
	CHECK_EQ(test, apple_dma_arena_keep(table, 2, &old, 1), -EBUSY);
	old = (struct apple_dma_arena_entry){ GIB, GIB, 32 * GIB };
	CHECK_EQ(test, apple_dma_arena_keep(table, 2, &old, 1), -EBUSY);
	old = (struct apple_dma_arena_entry){ GIB, GIB, 17 * GIB - PAGE };
	CHECK_EQ(test, apple_dma_arena_keep(table, 2, &old, 1), -EBUSY);
}

static int arena_init(struct kunit *test)
{
	memset(&arena, 0, sizeof(arena));
	seam_in_use = NULL;
	atomic_set(&seam_taken, 0);
	return 0;
}

static void arena_exit(struct kunit *test)
{
	struct fixture *f = test->priv;

	/* What a failed case has left. */
	if (f && arena.n)
		apple_dma_arena_release(f->e, &arena);
	seam_in_use = NULL;
	fixture_close(test);
}

static struct kunit_case arena_cases[] = {
	KUNIT_CASE(all_memory_has_to_fit),
	KUNIT_CASE(pieces_are_whole_granules),
	KUNIT_CASE(small_holes_are_filled),
	KUNIT_CASE(kernelcore_is_enough_below_4_gib),
	KUNIT_CASE(lowest_node_without_cpus_is_enough),
	KUNIT_CASE(bounce_pool_is_registered),
	KUNIT_CASE(piece_is_one_doorbell),
	KUNIT_CASE(end_is_kept_where_memory_goes_on),
	KUNIT_CASE(refused_piece_is_halved),
	KUNIT_CASE(neighbours_are_one_entry),
	KUNIT_CASE(no_more_pieces_than_entries),
	KUNIT_CASE(pieces_share_the_entries),
	KUNIT_CASE(budget_is_kept),
	KUNIT_CASE(pieces_come_aligned),
	KUNIT_CASE(piece_of_an_odd_size_comes_aligned),
	KUNIT_CASE(piece_that_stays_unaligned_is_used),
	KUNIT_CASE(leftover_is_no_obstacle),
	KUNIT_CASE(leftovers_make_room),
	KUNIT_CASE(broken_host_has_no_arena),
	KUNIT_CASE(arena_stays),
	KUNIT_CASE(memory_of_the_arena_stays),
	KUNIT_CASE(older_table_is_kept_for_late_frees),
	KUNIT_CASE(older_table_that_would_mislead_is_refused),
	{ }
};

struct kunit_suite arena_suite = {
	.name = "apple_dma_arena",
	.init = arena_init,
	.exit = arena_exit,
	.test_cases = arena_cases,
};
