// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/premap.c, with a real companion and its device: what the device may map, and
 * which of its addresses mean something.
 */

#include <linux/dma-direct.h>
#include <linux/dma-mapping.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "board.h"
#include "rooms.h"
#include "suites.h"

static struct device *device(void)
{
	return &board.device[0]->dev;
}

static struct apple_dma *companion(void)
{
	return board_ad(0);
}

static u64 registered(void)
{
	struct apple_dma_stats stats;

	apple_dma_engine_snapshot(&companion()->engine, &stats);
	return stats.mapped_bytes;
}

/* May the device map some memory? */
static bool may_map(void)
{
	return dma_capable(device(), phys_to_dma(device(), page_to_phys(board.page)),
			   PAGE_SIZE, true);
}

static bool leads_to_page(dma_addr_t addr)
{
	return dma_to_phys(device(), addr) == page_to_phys(board.page);
}

static void rebind(struct kunit *test)
{
	device_release_driver(device());
	CHECK(test, board_attach(board.device[0]));
}

/* As if the module had been loaded so, for a new device. */
static int premap_init(struct kunit *test)
{
	int err = board_init(test);

	if (err)
		return err;
	device_release_driver(device());
	kfree(device()->dma_range_map);
	device()->dma_range_map = NULL;
	companion()->premap.n = 0;
	companion()->premap.wanted = true;
	return board_attach(board.device[0]) ? 0 : -ENODEV;
}

static void premap_exit(struct kunit *test)
{
	device_release_driver(device());
	apple_dma_premap_release(&companion()->premap, &companion()->engine);
	EXPECT_EQ(test, registered(), 0);
	companion()->premap.wanted = false;
	board_exit(test);
}

static void device_maps_while_bound(struct kunit *test)
{
	dma_addr_t addr = phys_to_dma(device(), page_to_phys(board.page));

	CHECK(test, may_map());
	CHECK(test, leads_to_page(addr));
	CHECK(test, !get_dma_ops(device()));
	CHECK(test, registered() > 0);
	device_release_driver(device());
	CHECK(test, !may_map());
	CHECK(test, leads_to_page(addr));
	CHECK(test, board_attach(board.device[0]));
	CHECK(test, may_map());
	CHECK_EQ(test, phys_to_dma(device(), page_to_phys(board.page)), addr);
}

/* ACPI sets the limit of a device before each bind. */
static void limit_of_the_firmware_is_no_table(struct kunit *test)
{
	device_release_driver(device());
	device()->bus_dma_limit = U64_MAX;
	CHECK(test, board_attach(board.device[0]));
	CHECK(test, may_map());
	CHECK(test, !dma_capable(device(), U64_MAX - PAGE_SIZE, PAGE_SIZE, true));
}

/* Its table would be lost. */
static void table_of_the_firmware_is_refused(struct kunit *test)
{
	struct bus_dma_region *map = kcalloc(2, sizeof(*map), GFP_KERNEL);

	CHECK(test, map);
	device_release_driver(device());
	kfree(device()->dma_range_map);
	map[0].size = PAGE_SIZE;
	device()->dma_range_map = map;
	CHECK(test, board_attach(board.device[0]));
	CHECK(test, !may_map());
}

/* The host has moved the arena while there was no driver. Late frees go on, for ever. */
static void older_arena_is_kept(struct kunit *test)
{
	dma_addr_t old = phys_to_dma(device(), page_to_phys(board.page)), addr;

	device_release_driver(device());
	apple_dma_managed_lose(companion());
	CHECK(test, board_attach(board.device[0]));
	addr = phys_to_dma(device(), page_to_phys(board.page));
	CHECK(test, addr != old);
	CHECK(test, may_map());
	CHECK(test, leads_to_page(old) && leads_to_page(addr));
	rebind(test);
	CHECK(test, leads_to_page(old) && leads_to_page(addr));
	device_release_driver(device());
	CHECK(test, leads_to_page(old) && leads_to_page(addr));
}

/* A probe failed, and the next one comes before the work item. */
static void stale_arena_is_not_used_again(struct kunit *test)
{
	dma_addr_t old = phys_to_dma(device(), page_to_phys(board.page));
	struct apple_dma *ad = companion();

	CHECK(test, apple_dma_premap_close(&ad->premap, device(),
					   APPLE_DMA_PREMAP_BALLOON));
	CHECK(test, !may_map());
	mutex_lock(&ad->managed.lock);
	apple_dma_premap_attach(&ad->premap, &ad->engine, device());
	mutex_unlock(&ad->managed.lock);
	CHECK(test, may_map());
	CHECK(test, phys_to_dma(device(), page_to_phys(board.page)) != old);
}

/* What it cannot map it would try for ever. */
static void closed_device_is_gone_when_it_is_unbound(struct kunit *test)
{
	CHECK(test, apple_dma_managed_close(companion()));
	CHECK(test, !may_map());
	CHECK(test, registered() > 0);
	CHECK(test, !pci_channel_offline(board.device[0]));
	board.was_offline = false;
	device_release_driver(device());
	CHECK(test, board.was_offline);
	CHECK(test, !pci_channel_offline(board.device[0]));
	CHECK_EQ(test, registered(), 0);
	CHECK(test, !apple_dma_managed_close(companion()));
}

static void broken_companion_serves_nobody(struct kunit *test)
{
	device_release_driver(device());
	companion()->engine.broken = true;
	EXPECT(test, board_attach(board.device[0]));
	EXPECT(test, !may_map());
	companion()->engine.broken = false;
	rebind(test);
	CHECK(test, may_map());
}

/* The memory is the balloon's to give back, also if nothing maps it now. */
static void balloon_ends_an_unused_arena(struct kunit *test)
{
	device_release_driver(device());
	CHECK(test, registered() > 0);
	CHECK(test, !apple_dma_managed_close(companion()));
	CHECK_EQ(test, registered(), 0);
	CHECK(test, board_attach(board.device[0]));
	CHECK(test, may_map());
}

/* The guest is small enough, but for what they have. */
static void others_leave_no_room(struct kunit *test)
{
	struct apple_dma_premap *p = &companion()->premap;
	struct apple_dma_engine *e = &companion()->engine;
	u64 rest;

	device_release_driver(device());
	apple_dma_premap_release(p, e);
	rest = apple_dma_budget_bytes(e) - apple_dma_budget_used(e);
	CHECK(test, apple_dma_budget_take(e, rest));
	EXPECT(test, board_attach(board.device[0]));
	EXPECT(test, !may_map());
	EXPECT_EQ(test, p->refusal, APPLE_DMA_PREMAP_ROOM);
	apple_dma_budget_give(e, rest);
	rebind(test);
	CHECK(test, may_map());
}

static struct kunit_case premap_cases[] = {
	KUNIT_CASE(device_maps_while_bound),
	KUNIT_CASE(limit_of_the_firmware_is_no_table),
	KUNIT_CASE(table_of_the_firmware_is_refused),
	KUNIT_CASE(older_arena_is_kept),
	KUNIT_CASE(stale_arena_is_not_used_again),
	KUNIT_CASE(closed_device_is_gone_when_it_is_unbound),
	KUNIT_CASE(broken_companion_serves_nobody),
	KUNIT_CASE(balloon_ends_an_unused_arena),
	KUNIT_CASE(others_leave_no_room),
	{ }
};

struct kunit_suite premap_suite = {
	.name = "apple_dma_premap",
	.suite_init = board_start,
	.suite_exit = board_stop,
	.init = premap_init,
	.exit = premap_exit,
	.test_cases = premap_cases,
};
