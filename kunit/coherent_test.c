// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/coherent.c: the record of what was allocated, memory that outlives its
 * driver, and allocations that fail on the way.
 */

#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/rcupdate.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "device.h"
#include "fail.h"
#include "suites.h"

#define SIZE	(2 * PAGE_SIZE)

static void *get(struct kunit *test, struct device_fixture *d, dma_addr_t *addr)
{
	void *p = dma_alloc_coherent(d->dev, SIZE, addr, GFP_KERNEL);

	CHECK(test, p);
	return p;
}

static void put(struct device_fixture *d, void *p, dma_addr_t addr)
{
	dma_free_coherent(d->dev, SIZE, p, addr);
}

/*
 * The host is full of what an earlier kernel left. The first map is refused, a
 * search makes room, and an allocation that may sleep still gets memory.
 */
static void waits_for_room_that_a_search_makes(struct kunit *test)
{
	struct device_fixture *d = device_open(test, .leftovers = true,
					       .mode = APPLE_DMA_MODE_STRICT);
	const u64 phys = round_up(PFN_PHYS(node_start_pfn(first_online_node)),
				  16 * MIB);
	dma_addr_t addr;
	void *p;

	CHECK(test, fake_host_plant(d->f->host, phys, GRANULE));
	d->f->host->limits.entries = 1;
	p = get(test, d, &addr);
	EXPECT_EQ(test, fixture_stats(d->f)->recovered, 1);
	put(d, p, addr);
}

/* The driver is gone; returns how many allocations it has yet to free. */
static u64 orphan(struct device_fixture *d, u64 *left)
{
	apple_dma_engine_close(d->f->e);
	d->f->ad->managed.attached = false;
	return apple_dma_coherent_orphan(d->f->ad, left);
}

static void drain(struct device_fixture *d)
{
	apple_dma_coherent_drained(d->f->ad, !apple_dma_engine_release(d->f->e));
}

/* Freed long after its window went: the host is not asked, the memory is back. */
static void orphan_is_only_memory(struct kunit *test)
{
	struct device_fixture *d = device_open(test);
	dma_addr_t addr;
	void *p = get(test, d, &addr);
	u64 left;

	EXPECT_EQ(test, orphan(d, &left), 1);
	EXPECT_EQ(test, left, 1);
	drain(d);
	/* Map, give back. */
	EXPECT_EQ(test, fixture_doorbells(d->f), 2);
	EXPECT(test, apple_dma_coherent_ops(d->dev) == &d->f->ad->ops);
	EXPECT_EQ(test, kref_read(&d->f->ad->ref), 2);
	put(d, p, addr);
	EXPECT(test, device_reaped(d));
	EXPECT(test, !apple_dma_coherent_ops(d->dev));
	EXPECT_EQ(test, fixture_doorbells(d->f), 0);
	EXPECT_EQ(test, fixture_stats(d->f)->bad_unmaps, 0);
}

/* Only the last of them lets the companion go. */
static void last_orphan_reaps(struct kunit *test)
{
	struct device_fixture *d = device_open(test);
	dma_addr_t addr[3];
	void *p[3];
	u64 left, i;

	for (i = 0; i < 3; i++)
		p[i] = get(test, d, &addr[i]);
	put(d, p[1], addr[1]);
	EXPECT_EQ(test, orphan(d, &left), 2);
	drain(d);
	put(d, p[0], addr[0]);
	EXPECT(test, !device_reaped(d));
	EXPECT_EQ(test, d->f->ad->coherent.orphans, 1);
	put(d, p[2], addr[2]);
	EXPECT(test, device_reaped(d));
}

/* While the window is still there, freed memory is kept until it is gone. */
static void freed_while_draining_waits(struct kunit *test)
{
	struct device_fixture *d = device_open(test);
	long balance = seam_balance();
	dma_addr_t addr;
	void *p = get(test, d, &addr);
	u64 left;

	orphan(d, &left);
	put(d, p, addr);
	/* The record, its pages, and a window. */
	EXPECT_EQ(test, seam_balance(), balance + 3);
	drain(d);
	fixture_free_memory(d->f);
	EXPECT_EQ(test, seam_balance(), balance);
}

/* When the old driver's memory is freed, the next one's is no orphan. */
static void orphans_do_not_mix(struct kunit *test)
{
	struct device_fixture *d = device_open(test);
	dma_addr_t old_addr, addr;
	void *old = get(test, d, &old_addr), *p;
	u64 left;

	orphan(d, &left);
	drain(d);
	apple_dma_engine_open(d->f->e);
	d->f->ad->managed.attached = true;
	p = get(test, d, &addr);
	put(d, old, old_addr);
	flush_work(&d->f->ad->coherent.reap);
	/* The next driver needs the ops, and so does the rest of the case. */
	EXPECT(test, get_dma_ops(d->dev) == &d->f->ad->ops);
	set_dma_ops(d->dev, &d->f->ad->ops);
	EXPECT_EQ(test, fixture_stats(d->f)->live_mappings, 1);
	EXPECT_EQ(test, device_leads(d, addr), virt_to_phys(p));
	put(d, p, addr);
	EXPECT_EQ(test, fixture_stats(d->f)->live_mappings, 0);
}

/*
 * The device has another companion by then, whose ops are called. The first one
 * exists as long as its orphan, and is found.
 */
static void orphan_of_an_earlier_companion_is_freed(struct kunit *test)
{
	struct device_fixture *d = device_open(test);
	struct apple_dma *later = fixture_memory(d->f, sizeof(*later));
	dma_addr_t addr;
	void *p = get(test, d, &addr);
	u64 left;

	later->ops = apple_dma_ops;
	apple_dma_coherent_init(later);
	EXPECT_EQ(test, orphan(d, &left), 1);
	drain(d);
	set_dma_ops(d->dev, &later->ops);
	put(d, p, addr);
	EXPECT(test, device_reaped(d));
	EXPECT(test, get_dma_ops(d->dev) == &later->ops);
	EXPECT_EQ(test, fixture_stats(d->f)->bad_unmaps, 0);
	apple_dma_coherent_exit(later);
}

/* The host broke the protocol before the window was gone. */
static void reachable_orphan_is_kept(struct kunit *test)
{
	struct device_fixture *d = device_open(test);
	dma_addr_t addr;
	void *p = get(test, d, &addr);
	u64 left;

	orphan(d, &left);
	d->f->host->breaks = 1;
	drain(d);
	put(d, p, addr);
	EXPECT_EQ(test, atomic64_read(&d->f->ad->leaked_bytes), SIZE);
	free_pages((unsigned long)p, get_order(SIZE));
	d->f->lost++;
}

/*
 * While the host is asked to release memory, no lock is held that other devices
 * need. As many locks as in an unmap, and RCU.
 */
static void free_holds_no_lock_of_others(struct kunit *test)
{
	struct device_fixture *d = device_open(test,
					       .mode = APPLE_DMA_MODE_STRICT);
	struct page *page = alloc_page(GFP_KERNEL);
	dma_addr_t addr;
	int held;
	void *p;

	CHECK(test, page);
	addr = dma_map_page(d->dev, page, 0, PAGE_SIZE, DMA_TO_DEVICE);
	EXPECT(test, !dma_mapping_error(d->dev, addr));
	dma_unmap_page(d->dev, addr, PAGE_SIZE, DMA_TO_DEVICE);
	__free_page(page);
	held = d->f->host->held;
	if (!IS_ENABLED(CONFIG_LOCKDEP))
		kunit_skip(test, "needs CONFIG_LOCKDEP");
	EXPECT(test, held > 0);
	p = get(test, d, &addr);
	put(d, p, addr);
	EXPECT_EQ(test, d->f->host->held, held + 1);
}

/*
 * TTM keeps a pointer in the first page. If it is not the first of the block, the page
 * allocator would report it. The host breaks, so that the block is kept here.
 */
static void private_of_the_first_page_is_cleared(struct kunit *test)
{
	struct device_fixture *d = device_open(test, .mode = APPLE_DMA_MODE_STRICT,
					       .policy = FAKE_HOST_UNALIGNED);
	const unsigned int order = get_order(2 * GRANULE);
	struct page *page, *block;
	dma_addr_t addr;
	void *p;

	p = dma_alloc_coherent(d->dev, 2 * GRANULE, &addr, GFP_KERNEL);
	CHECK(test, p);
	page = virt_to_page(p);
	block = pfn_to_page(round_down(page_to_pfn(page), 2UL << order));
	CHECK(test, block != page);
	set_page_private(page, (unsigned long)p);
	d->f->host->breaks = 1;
	dma_free_coherent(d->dev, 2 * GRANULE, p, addr);
	EXPECT_EQ(test, page_private(page), 0);
	set_page_private(page, 0);
	__free_pages(block, order + 1);
	d->f->lost++;
}

/* A block larger than the page allocator has: refused, counted, no warning. */
static void too_large_is_a_failure_like_others(struct kunit *test)
{
	struct device_fixture *d = device_open(test);
	dma_addr_t addr;
	void *p;

	p = dma_alloc_coherent(d->dev, 2 * MAX_ORDER_NR_PAGES * PAGE_SIZE,
			       &addr, GFP_KERNEL);
	EXPECT(test, !p);
	EXPECT_EQ(test, fixture_stats(d->f)->failures[APPLE_DMA_FAIL_MEMORY], 1);
	EXPECT_EQ(test, fixture_doorbells(d->f), 0);
}

/* Freed twice, or never allocated: reported, and not freed. */
static void bad_free_is_refused(struct kunit *test)
{
	struct device_fixture *d = device_open(test);
	struct page *page = alloc_page(GFP_KERNEL);
	dma_addr_t addr;
	void *p = get(test, d, &addr);

	CHECK(test, page);
	/* Not through the DMA API, which would find it, too. */
	rcu_read_lock();
	apple_dma_coherent_free(d->f->ad, PAGE_SIZE, page, addr);
	rcu_read_unlock();
	EXPECT_EQ(test, page_count(page), 1);
	EXPECT_EQ(test, fixture_stats(d->f)->live_mappings, 1);
	put(d, p, addr);
	rcu_read_lock();
	apple_dma_coherent_free(d->f->ad, SIZE, virt_to_page(p), addr);
	rcu_read_unlock();
	EXPECT_EQ(test, fixture_stats(d->f)->bad_unmaps, 0);
	__free_page(page);
}

/* Each allocation on the way fails in turn: see fail_test.c. */
static void fail_each_of(struct kunit *test, struct device_fixture *d)
{
	long balance = seam_balance();
	unsigned int nth, done = 0;
	bool failed;

	fail_needed(test);
	for (nth = 1; nth < FAIL_MOST; nth++) {
		dma_addr_t addr;
		void *p;

		fail_arm(nth);
		p = dma_alloc_coherent(d->dev, 2 * GRANULE, &addr, GFP_KERNEL);
		failed = fail_disarm();
		done += p && failed;
		CHECK(test, p || failed);
		if (p)
			dma_free_coherent(d->dev, 2 * GRANULE, p, addr);
		apple_dma_engine_flush(d->f->e);
		fixture_free_memory(d->f);
		CHECK_EQ(test, fixture_stats(d->f)->live_mappings, 0);
		CHECK_EQ(test, fixture_stats(d->f)->mapped_entries, 0);
		CHECK_EQ(test, seam_balance(), balance);
		CHECK(test, xa_empty(&d->f->ad->coherent.records));
		if (!failed)
			break;
	}
	CHECK(test, !failed);
	/* The record, the memory, the window, and its slots. */
	CHECK(test, nth - 1 >= 3);
	kunit_info(test, "%u allocations failed: %u refused, %u made all the same\n",
		   nth - 1, nth - 1 - done, done);
}

static void allocation_fails(struct kunit *test)
{
	fail_each_of(test, device_open(test));
}

static void aligned_allocation_fails(struct kunit *test)
{
	fail_each_of(test, device_open(test, .mode = APPLE_DMA_MODE_STRICT,
				       .policy = FAKE_HOST_UNALIGNED));
}

static void coherent_exit(struct kunit *test)
{
	fail_disarm();
	device_close(test);
}

static struct kunit_case coherent_cases[] = {
	KUNIT_CASE(waits_for_room_that_a_search_makes),
	KUNIT_CASE(orphan_is_only_memory),
	KUNIT_CASE(last_orphan_reaps),
	KUNIT_CASE(freed_while_draining_waits),
	KUNIT_CASE(orphans_do_not_mix),
	KUNIT_CASE(orphan_of_an_earlier_companion_is_freed),
	KUNIT_CASE(reachable_orphan_is_kept),
	KUNIT_CASE(free_holds_no_lock_of_others),
	KUNIT_CASE(too_large_is_a_failure_like_others),
	KUNIT_CASE(bad_free_is_refused),
	KUNIT_CASE(allocation_fails),
	KUNIT_CASE(aligned_allocation_fails),
	KUNIT_CASE(private_of_the_first_page_is_cleared),
	{ }
};

struct kunit_suite coherent_suite = {
	.name = "apple_dma_coherent",
	.exit = coherent_exit,
	.test_cases = coherent_cases,
};
