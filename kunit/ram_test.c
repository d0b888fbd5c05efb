// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/ram.c: where there is memory, and memory that is added or removed.
 */

#include <linux/memory.h>
#include <linux/mm.h>
#include <linux/nodemask.h>

#include "fixture.h"
#include "suites.h"

static bool has(struct fixture *f, u64 from, u64 size)
{
	unsigned long flags;
	bool is;

	spin_lock_irqsave(&f->e->lock, flags);
	is = apple_dma_ram_has(f->e, FAKE_RAM + from, size);
	spin_unlock_irqrestore(&f->e->lock, flags);
	return is;
}

/* In any order, touching, overlapping, empty: one table. */
static void pieces_are_joined(struct kunit *test)
{
	static const struct apple_dma_range pieces[] = {
		{ FAKE_RAM + 8 * MIB, MIB }, { FAKE_RAM, MIB },
		{ FAKE_RAM + MIB, MIB }, { FAKE_RAM + 20 * MIB, 0 },
		{ FAKE_RAM + 8 * MIB + 4096, 4096 },
		{ FAKE_RAM + 9 * MIB - 4096, 8192 },
	};
	struct fixture *f = fixture_open(test);
	const struct apple_dma_ram *ram = &f->e->ram;

	CHECK_EQ(test, apple_dma_ram_set(f->e, pieces, ARRAY_SIZE(pieces)), 0);
	CHECK_EQ(test, ram->n, 2);
	CHECK_EQ(test, ram->ranges[0].phys, FAKE_RAM);
	CHECK_EQ(test, ram->ranges[0].size, 2 * MIB);
	CHECK_EQ(test, ram->ranges[1].phys, FAKE_RAM + 8 * MIB);
	CHECK_EQ(test, ram->ranges[1].size, MIB + 4096);
	CHECK_EQ(test, ram->bytes, 3 * MIB + 4096);
}

/* To the byte, and in one piece. */
static void range_is_in_one_piece(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .ram = { MIB, MIB, MIB });
	u64 i;

	for (i = 0; i < 3; i++) {
		u64 at = i * (MIB + GIB);

		CHECK(test, has(f, at, MIB));
		CHECK(test, has(f, at + MIB - 1, 1));
		CHECK(test, !has(f, at, MIB + 1));
		CHECK(test, !has(f, at - 1, 1));
		CHECK(test, !has(f, at - 1, 2));
		CHECK(test, !has(f, at + MIB, 1));
	}
	CHECK(test, !has(f, 0, 2 * MIB + GIB));
}

/* Memory hotplug says so to the engine. */
static int notify_of(struct fixture *f, unsigned long action,
		     struct memory_notify *memory)
{
	return notifier_to_errno(f->e->ram.nb.notifier_call(&f->e->ram.nb, action,
							    memory));
}

static int notify(struct fixture *f, unsigned long action, u64 from, u64 size)
{
	struct memory_notify memory = {
		.start_pfn = PHYS_PFN(FAKE_RAM + from),
		.nr_pages = PHYS_PFN(size),
	};

	return notify_of(f, action, &memory);
}

/*
 * The guest's own memory, and then some that is made up. (User-mode Linux does
 * not list its own.)
 */
static struct fixture *open_hotplug(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .real = true);

	CHECK_EQ(test, notify(f, MEM_ONLINE, 0, 64 * MIB), 0);
	return f;
}

static void memory_comes(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .real = true);
	u64 bytes = f->e->ram.bytes;
	unsigned int n = f->e->ram.n;

	CHECK(test, !has(f, 0, 1));
	CHECK_EQ(test, notify(f, MEM_ONLINE, 0, 64 * MIB), 0);
	CHECK(test, has(f, 0, 64 * MIB));
	CHECK_EQ(test, f->e->ram.bytes, bytes + 64 * MIB);
	CHECK_EQ(test, f->e->ram.n, n + 1);
	/* What is next to it joins. */
	CHECK_EQ(test, notify(f, MEM_ONLINE, 64 * MIB, 64 * MIB), 0);
	CHECK(test, has(f, 0, 128 * MIB));
	CHECK_EQ(test, f->e->ram.n, n + 1);
}

/* A piece from the middle leaves two. */
static void memory_goes(struct kunit *test)
{
	struct fixture *f = open_hotplug(test);
	unsigned int n = f->e->ram.n;

	CHECK_EQ(test, notify(f, MEM_GOING_OFFLINE, 16 * MIB, 16 * MIB), 0);
	CHECK_EQ(test, f->e->ram.n, n + 1);
	CHECK(test, has(f, 0, 16 * MIB));
	CHECK(test, !has(f, 16 * MIB - 1, 2));
	CHECK(test, !has(f, 32 * MIB - 1, 1));
	CHECK(test, has(f, 32 * MIB, 32 * MIB));
	/* It stays, after all. */
	CHECK_EQ(test, notify(f, MEM_CANCEL_OFFLINE, 16 * MIB, 16 * MIB), 0);
	CHECK(test, has(f, 0, 64 * MIB));
	CHECK_EQ(test, f->e->ram.n, n);
}

/*
 * Of three windows one is in memory that goes, and idle: it is given back, as
 * are all idle ones. The one in use there takes no more mappings, and goes with
 * its last one; the third is not touched.
 */
static void windows_go_with_their_memory(struct kunit *test)
{
	struct fixture *f = open_hotplug(test);
	dma_addr_t there = fixture_map(f, 16 * MIB, PAGE);
	dma_addr_t elsewhere = fixture_map(f, 40 * MIB, PAGE), again;
	u64 entries;

	fixture_touch(f, 20 * MIB);
	entries = fixture_stats(f)->mapped_entries;
	CHECK_EQ(test, entries, 3);
	fixture_doorbells(f);
	CHECK_EQ(test, notify(f, MEM_GOING_OFFLINE, 16 * MIB, 16 * MIB), 0);
	CHECK_EQ(test, fixture_doorbells(f), 1);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 2);
	CHECK(test, fixture_right(f, there, FAKE_RAM + 16 * MIB, PAGE));

	/* Found neither by a hit nor by the tree; it gets a new window. */
	CHECK_EQ(test, notify(f, MEM_CANCEL_OFFLINE, 16 * MIB, 16 * MIB), 0);
	again = fixture_map(f, 16 * MIB, PAGE);
	CHECK(test, again != DMA_MAPPING_ERROR && again != there);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 3);
	CHECK_EQ(test, fixture_map(f, 41 * MIB, PAGE), elsewhere + MIB);
	CHECK_EQ(test, fixture_unmap(f, there, PAGE), 0);
	CHECK_EQ(test, fixture_unmap(f, again, PAGE), 0);
	CHECK_EQ(test, fixture_unmap(f, elsewhere, PAGE), 0);
	CHECK_EQ(test, fixture_unmap(f, elsewhere + MIB, PAGE), 0);
}

/*
 * Until memory is offline its pages may be in use, and get windows. Memory
 * added there next is other memory of the host. (If the engine does not know of
 * memory there, only an existing page can be mapped.)
 */
static void nothing_stays_where_memory_went(struct kunit *test)
{
	u64 phys = round_up(PFN_PHYS(node_start_pfn(first_online_node)),
			    16 * MIB);
	struct memory_notify memory = {
		.start_pfn = PHYS_PFN(phys),
		.nr_pages = PHYS_PFN(3 * GRANULE),
	};
	struct fixture *f = fixture_open(test, .real = true);
	dma_addr_t addr, longer;

	CHECK_EQ(test, notify_of(f, MEM_GOING_OFFLINE, &memory), 0);
	addr = apple_dma_map(f->e, phys + GRANULE, PAGE, ANY);
	CHECK(test, addr != DMA_MAPPING_ERROR);
	/* Its handle is taken. */
	longer = apple_dma_map(f->e, phys + GRANULE, GRANULE + PAGE, ANY);
	CHECK(test, longer != DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_unmap(f, longer, GRANULE + PAGE), 0);
	CHECK_EQ(test, fixture_unmap(f, addr, PAGE), 0);
	CHECK_EQ(test, fixture_stats(f)->idle_entries, 2);
	CHECK_EQ(test, notify_of(f, MEM_OFFLINE, &memory), 0);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 0);
	CHECK(test, !fake_host_has(f->host, phys + GRANULE));
}

static struct kunit_case ram_cases[] = {
	KUNIT_CASE(pieces_are_joined),
	KUNIT_CASE(range_is_in_one_piece),
	KUNIT_CASE(memory_comes),
	KUNIT_CASE(memory_goes),
	KUNIT_CASE(windows_go_with_their_memory),
	KUNIT_CASE(nothing_stays_where_memory_went),
	{ }
};

struct kunit_suite ram_suite = {
	.name = "apple_dma_ram",
	.exit = fixture_close,
	.test_cases = ram_cases,
};
