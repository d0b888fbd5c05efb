// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/recover.c: what an earlier kernel left on the host is found by handles
 * that it can have used.
 */

#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/nodemask.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "fixture.h"
#include "suites.h"

/* Where the guest's own memory begins: leftovers are looked for there. */
static u64 begin(void)
{
	return round_up(PFN_PHYS(node_start_pfn(first_online_node)), 16 * MIB);
}

static bool ended(struct fixture *f)
{
	unsigned int i;

	for (i = 0; i < 3000 && !READ_ONCE(f->e->clean); i++)
		msleep(20);
	return READ_ONCE(f->e->clean);
}

/*
 * Of all alignments, the one at the handle asked for first, too. The map that
 * finds the host full fails; when the search has ended, there is room again.
 */
static void leftovers_are_found(struct kunit *test)
{
	static const u64 at[] = { 0, 4 * MIB, 5 * MIB, 256 * KIB, 64 * KIB,
				  3 * GRANULE, 7 * GRANULE };
	struct fixture *f = fixture_open(test, .leftovers = true,
					 .mode = APPLE_DMA_MODE_STRICT);
	struct fake_host_counts counts;
	unsigned int i;
	u64 found;

	for (i = 0; i < ARRAY_SIZE(at); i++)
		CHECK(test, fake_host_plant(f->host, begin() + at[i], GRANULE));
	f->host->limits.entries = ARRAY_SIZE(at);
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, ended(f));
	found = fixture_stats(f)->recovered;
	CHECK_EQ(test, found, ARRAY_SIZE(at));
	for (i = 0; i < ARRAY_SIZE(at); i++)
		CHECK(test, !fake_host_has(f->host, begin() + at[i]));
	fixture_touch(f, 0);

	/* No handle is released twice: all others were not there. */
	counts = fixture_counts(f);
	CHECK_EQ(test, counts.unmap_entries - counts.unknown, found + 1);
	CHECK(test, counts.longest <= APPLE_DMA_BATCH_MAX);
}

/* The search asks for no more than fits, and asks for everything. */
static void search_rings_for_what_fits(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .leftovers = true,
					 .mode = APPLE_DMA_MODE_STRICT);

	CHECK(test, fake_host_plant(f->host, begin() + 7 * GRANULE, GRANULE));
	f->host->fit = 3;
	f->host->limits.entries = 1;
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, ended(f));
	CHECK_EQ(test, fixture_stats(f)->recovered, 1);
	CHECK_EQ(test, fixture_counts(f).longest, 3);
}

/* Handles in the guest's own memory. */
static u64 handles(void)
{
	u64 phys, n = 0;
	int nid;

	for_each_online_node(nid)
		for (phys = round_down(PFN_PHYS(node_start_pfn(nid)), GRANULE);
		     phys < PFN_PHYS(node_end_pfn(nid)); phys += GRANULE)
			n += pfn_valid(PHYS_PFN(phys));
	return n;
}

/* And one for the map that the host refuses: was that a leftover? */
static void each_handle_is_released_once(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .leftovers = true,
					 .mode = APPLE_DMA_MODE_STRICT);

	f->host->limits.entries = 0;
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, ended(f));
	CHECK_EQ(test, fixture_counts(f).unmap_entries, handles() + 1);
}

/* If one is in the way, all others are looked for. */
static void one_in_the_way_leads_to_the_others(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .leftovers = true, .real = true,
					 .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t addr;
	unsigned int i;

	for (i = 0; i < 5; i++)
		CHECK(test, fake_host_plant(f->host, begin() + i * MIB,
					    GRANULE));
	addr = apple_dma_map(f->e, begin() + 2 * MIB, GRANULE, ANY);
	CHECK(test, addr != DMA_MAPPING_ERROR);
	CHECK(test, ended(f));
	CHECK_EQ(test, fixture_stats(f)->recovered, 5);
	for (i = 0; i < 5; i++)
		CHECK(test, fake_host_has(f->host, begin() + i * MIB) ==
			    (i == 2));
	CHECK_EQ(test, fixture_unmap(f, addr, GRANULE), 0);
}

/* Its memory is not this kernel's: up to its last granule, and not beyond. */
static void memory_of_a_crashed_kernel_is_searched(struct kunit *test)
{
	static const u64 at[] = { 0, 4 * MIB, 5 * MIB + 3 * GRANULE,
				  64 * MIB - GRANULE };
	const u64 old = FAKE_RAM + 512 * GIB;
	struct fixture *f = fixture_open(test, .leftovers = true,
					 .mode = APPLE_DMA_MODE_STRICT);
	unsigned int i;

	f->e->old = seam_got(kmalloc(sizeof(*f->e->old), GFP_KERNEL));
	CHECK(test, f->e->old);
	f->e->old->phys = old + 3 * PAGE;
	f->e->old->size = 64 * MIB - 4 * PAGE;
	f->e->old_n = 1;
	for (i = 0; i < ARRAY_SIZE(at); i++)
		CHECK(test, fake_host_plant(f->host, old + at[i], GRANULE));
	f->host->limits.entries = ARRAY_SIZE(at);
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, apple_dma_recover_wait(f->e), ARRAY_SIZE(at));
	fixture_touch(f, 0);
}

/* What is in use is no leftover, and is not released. */
static void live_windows_are_spared(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .leftovers = true, .real = true,
					 .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t addr = apple_dma_map(f->e, begin(), GRANULE, ANY);

	CHECK(test, addr != DMA_MAPPING_ERROR);
	f->host->limits.entries = 1;
	CHECK(test, apple_dma_map(f->e, begin() + MIB, GRANULE, ANY) ==
	      DMA_MAPPING_ERROR);
	CHECK(test, ended(f));
	CHECK_EQ(test, fixture_stats(f)->recovered, 0);
	CHECK(test, fixture_right(f, addr, begin(), GRANULE));
	CHECK_EQ(test, fixture_unmap(f, addr, GRANULE), 0);
}

/* Once in an engine's life. */
static void search_is_not_repeated(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .leftovers = true,
					 .mode = APPLE_DMA_MODE_STRICT);

	f->host->limits.entries = 0;
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, ended(f));
	fixture_doorbells(f);
	apple_dma_budget_forget(f->e);
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	flush_work(&f->e->sweep);
	/* The map alone. */
	CHECK_EQ(test, fixture_doorbells(f), 1);
}

/* A sleep in between does not end the wait. */
static void search_is_waited_for_after_a_sleep(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .leftovers = true,
					 .mode = APPLE_DMA_MODE_STRICT);

	fixture_sleep(f);
	CHECK(test, fixture_wake(f));
	CHECK(test, fake_host_plant(f->host, begin(), GRANULE));
	f->host->limits.entries = 1;
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(test, apple_dma_recover_wait(f->e), 1);
	fixture_touch(f, 0);
}

static struct fixture *busy_fixture;

/* A driver uses the host between two batches. In a worker, so without CHECK(). */
static void use_host(void)
{
	dma_addr_t addr = fixture_map(busy_fixture, 16 * MIB, PAGE);

	if (addr != DMA_MAPPING_ERROR)
		fixture_unmap(busy_fixture, addr, PAGE);
}

/* A pause before each batch but the first, if there is I/O; else none. */
static void search_gives_way(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .leftovers = true,
					 .mode = APPLE_DMA_MODE_STRICT);
	int pauses = atomic_read(&seam_pauses);

	f->host->refuse = 1;
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, ended(f));
	CHECK_EQ(test, atomic_read(&seam_pauses), pauses);

	apple_dma_recover_again(f->e);
	busy_fixture = f;
	seam_resched = use_host;
	f->host->refuse = 1;
	apple_dma_budget_forget(f->e);
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, ended(f));
	seam_resched = NULL;
	CHECK(test, atomic_read(&seam_pauses) > pauses);
	fixture_holds(f);
}

static struct completion search_began, guest_sleeps;
static bool search_held;

/* Once, in the search: let the guest sleep if it does not wait for the end. */
static void hold_search(void)
{
	if (search_held)
		return;
	search_held = true;
	complete(&search_began);
	wait_for_completion_timeout(&guest_sleeps, HZ / 5);
}

/* A search that is under way has ended before the host may be asked no more. */
static void check_asleep(struct kunit *test,
			 void (*sleep)(struct apple_dma_engine *e))
{
	struct fixture *f = fixture_open(test, .leftovers = true,
					 .mode = APPLE_DMA_MODE_STRICT);

	init_completion(&search_began);
	init_completion(&guest_sleeps);
	search_held = false;
	seam_resched = hold_search;
	f->host->limits.entries = 0;
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, wait_for_completion_timeout(&search_began, 60 * HZ));
	sleep(f->e);
	WRITE_ONCE(f->host->asleep, true);
	complete(&guest_sleeps);
	flush_work(&f->e->sweep);
	WRITE_ONCE(f->host->asleep, false);
	CHECK(test, !f->host->wrong[0]);

	/* It was broken off, and is done when the guest wakes. */
	CHECK(test, !f->e->clean);
	apple_dma_engine_thaw(f->e);
	flush_work(&f->e->sweep);
	CHECK(test, f->e->clean);
}

static void search_ends_before_a_sleep(struct kunit *test)
{
	check_asleep(test, apple_dma_engine_suspend);
}

static void search_ends_before_an_image(struct kunit *test)
{
	check_asleep(test, apple_dma_engine_freeze);
}

/*
 * The kernel that loads an image uses the device. What it leaves is released
 * and looked for, also where nothing was left when the image was made.
 */
static void image_finds_what_another_kernel_left(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .leftovers = true, .real = true,
					 .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t addr;
	unsigned int i;

	CHECK(test, fake_host_plant(f->host, begin(), GRANULE));
	addr = apple_dma_map(f->e, begin(), GRANULE, ANY);
	CHECK(test, addr != DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_unmap(f, addr, GRANULE), 0);
	CHECK(test, ended(f));
	CHECK_EQ(test, fixture_stats(f)->recovered, 1);

	apple_dma_engine_freeze(f->e);
	for (i = 0; i < 3; i++)
		CHECK(test, fake_host_plant(f->host, begin() + i * MIB,
					    GRANULE));
	apple_dma_recover_again(f->e);
	CHECK(test, apple_dma_engine_resume(f->e));
	addr = apple_dma_map(f->e, begin() + MIB, GRANULE, ANY);
	CHECK(test, addr != DMA_MAPPING_ERROR);
	CHECK(test, ended(f));
	CHECK_EQ(test, fixture_stats(f)->recovered, 4);
	CHECK_EQ(test, fixture_unmap(f, addr, GRANULE), 0);
}

/* Without an image nothing is looked for twice. */
static void thaw_is_no_reason_to_search_again(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .leftovers = true,
					 .mode = APPLE_DMA_MODE_STRICT);

	f->host->limits.entries = 0;
	CHECK(test, fixture_map(f, 0, PAGE) == DMA_MAPPING_ERROR);
	CHECK(test, ended(f));
	fixture_doorbells(f);
	apple_dma_engine_freeze(f->e);
	apple_dma_engine_thaw(f->e);
	flush_work(&f->e->sweep);
	CHECK_EQ(test, fixture_doorbells(f), 0);
}

static struct kunit_case recover_cases[] = {
	KUNIT_CASE(leftovers_are_found),
	KUNIT_CASE(search_rings_for_what_fits),
	KUNIT_CASE(each_handle_is_released_once),
	KUNIT_CASE(one_in_the_way_leads_to_the_others),
	KUNIT_CASE(memory_of_a_crashed_kernel_is_searched),
	KUNIT_CASE(live_windows_are_spared),
	KUNIT_CASE(search_is_not_repeated),
	KUNIT_CASE(search_is_waited_for_after_a_sleep),
	KUNIT_CASE(search_gives_way),
	KUNIT_CASE(search_ends_before_a_sleep),
	KUNIT_CASE(search_ends_before_an_image),
	KUNIT_CASE(image_finds_what_another_kernel_left),
	KUNIT_CASE(thaw_is_no_reason_to_search_again),
	{ }
};

struct kunit_suite recover_suite = {
	.name = "apple_dma_recover",
	.exit = fixture_close,
	.test_cases = recover_cases,
};
