// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/main.c: probe and remove of a companion, each allocation of which
 * fails in turn, those of the driver core included.
 */

#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/rcupdate.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "board.h"
#include "fail.h"
#include "rooms.h"
#include "suites.h"

static bool first_is_bound(void)
{
	return board_bound(0);
}

/* The companion and its device have no driver, and nothing of the module's. */
static long let_go(struct kunit *test)
{
	device_release_driver(&board.companion[0]->dev);
	CHECK(test, !first_is_bound());
	CHECK(test, !apple_dma_is_ours(get_dma_ops(&board.device[0]->dev)));
	CHECK(test, !board_ad(0));
	rcu_barrier();
	return seam_balance();
}

/* In two halves, because KUnit allows a case five minutes. */
static void fail_probe(struct kunit *test, unsigned int first)
{
	unsigned int nth, tried = 0, bound = 0;
	long balance = let_go(test);
	bool failed = true;

	fail_needed(test);
	for (nth = first; nth < FAIL_MOST; nth += 2) {
		bool attached;

		fail_arm(nth);
		attached = board_attach(board.companion[0]);
		failed = fail_disarm();
		/* Some can be done without, such as a link in sysfs. */
		bound += attached && failed;
		CHECK_EQ(test, attached, !!board_ad(0));
		if (!failed) {
			CHECK(test, attached);
			break;
		}
		tried++;
		CHECK_EQ(test, let_go(test), balance);
	}
	CHECK(test, !failed);
	CHECK(test, tried > 10);
	kunit_info(test, "%u allocations failed: %u probes refused, %u made all the same\n",
		   tried, tried - bound, bound);
	/* The device gets its driver by a work item. */
	CHECK(test, board_wait(first_is_bound));
}

static void probe_and_remove_odd(struct kunit *test)
{
	fail_probe(test, 1);
}

static void probe_and_remove_even(struct kunit *test)
{
	fail_probe(test, 2);
}

/* The device's own probe: ops on, a page mapped; and off. */
static void bind_and_unbind(struct kunit *test)
{
	unsigned int nth, bound = 0;
	bool failed;

	fail_needed(test);
	device_release_driver(&board.device[0]->dev);
	for (nth = 1; nth < FAIL_MOST; nth++) {
		struct apple_dma_stats stats;
		bool attached;

		fail_arm(nth);
		attached = board_attach(board.device[0]);
		if (attached)
			device_release_driver(&board.device[0]->dev);
		failed = fail_disarm();
		/* The page of the test's driver may not have been mapped. */
		board.failed = false;
		bound += attached && failed;
		apple_dma_engine_snapshot(&board_ad(0)->engine, &stats);
		CHECK_EQ(test, stats.live_mappings, 0);
		CHECK_EQ(test, stats.mapped_entries, 0);
		CHECK_EQ(test, stats.bad_unmaps, 0);
		CHECK(test, attached || failed);
		if (!failed)
			break;
	}
	CHECK(test, !failed);
	CHECK(test, nth > 1);
	kunit_info(test, "%u allocations failed: %u probes refused, %u made all the same\n",
		   nth - 1, nth - 1 - bound, bound);
}

/* Remove is the mirror image of probe; 10 rounds leave nothing behind. */
static void probe_leaves_nothing(struct kunit *test)
{
	long balance = let_go(test);
	unsigned int i;

	for (i = 0; i < 10; i++) {
		CHECK(test, board_attach(board.companion[0]));
		CHECK(test, board_wait(first_is_bound));
		CHECK_EQ(test, let_go(test), balance);
	}
}

/* A BAR that is no memory, or too small, is refused. */
static void wrong_bars_are_refused(struct kunit *test)
{
	struct pci_dev *pdev = board.companion[0];
	struct resource *bar = &pdev->resource[APPLE_DMA_BAR];
	long balance = let_go(test);

	bar->end--;
	EXPECT(test, !board_attach(pdev));
	bar->end++;
	bar->flags ^= IORESOURCE_MEM | IORESOURCE_IO;
	EXPECT(test, !board_attach(pdev));
	bar->flags ^= IORESOURCE_MEM | IORESOURCE_IO;
	EXPECT_EQ(test, seam_balance(), balance);
	CHECK(test, board_attach(pdev));
	CHECK(test, board_wait(first_is_bound));
}

/*
 * Not every driver stops its device before a kexec. The device does no DMA when
 * its mappings are released, even if its driver was told that it is @gone.
 */
static void shut_down(struct kunit *test, bool gone)
{
	struct pci_dev *companion = board.companion[0];
	struct pci_dev *device = board.device[0];
	struct apple_dma *ad = board_ad(0);
	struct apple_dma_stats stats;
	u16 command = 0;

	pci_set_master(device);
	pci_read_config_word(device, PCI_COMMAND, &command);
	CHECK(test, command & PCI_COMMAND_MASTER);
	if (gone)
		apple_dma_managed_offline(&ad->engine);
	to_pci_driver(companion->dev.driver)->shutdown(companion);
	pci_read_config_word(device, PCI_COMMAND, &command);
	EXPECT(test, !(command & PCI_COMMAND_MASTER));
	apple_dma_engine_snapshot(&ad->engine, &stats);
	EXPECT_EQ(test, stats.mapped_entries, 0);
	EXPECT_EQ(test, stats.bad_unmaps, 0);

	let_go(test);
	CHECK(test, board_attach(companion));
	CHECK(test, board_wait(first_is_bound));
}

static void shutdown_stops_the_device(struct kunit *test)
{
	shut_down(test, false);
	shut_down(test, true);
}

static const struct dev_pm_ops *companion_pm(void)
{
	return board.companion[0]->dev.driver->pm;
}

/*
 * The registers may be gone when the guest wakes. They are programmed before the
 * host is asked for what is mapped: one doorbell, which it answers.
 */
static void registers_are_programmed_at_resume(struct kunit *test)
{
	struct device *dev = &board.companion[0]->dev;
	struct apple_dma *ad = board_ad(0);
	struct apple_dma_stats stats;
	u64 before;

	CHECK_EQ(test, companion_pm()->suspend_noirq(dev), 0);
	apple_dma_transport_clear(&ad->transport);
	before = ad->transport.doorbells;
	CHECK_EQ(test, companion_pm()->resume_noirq(dev), 0);
	CHECK_EQ(test, ad->transport.doorbells - before, 1);
	CHECK(test, !ad->engine.broken);
	CHECK(test, !ad->managed.lost);
	apple_dma_engine_snapshot(&ad->engine, &stats);
	CHECK_EQ(test, stats.live_mappings, 1);
}

/* In an image a mapping would lead to what another run of the host has there. */
static void mapped_memory_is_not_hibernated(struct kunit *test)
{
	struct device *dev = &board.companion[0]->dev;

	CHECK_EQ(test, companion_pm()->freeze(dev), -EBUSY);
	device_release_driver(&board.device[0]->dev);
	CHECK_EQ(test, companion_pm()->freeze(dev), 0);
	CHECK_EQ(test, companion_pm()->thaw(dev), 0);
	CHECK(test, board_attach(board.device[0]));
}

static void main_exit(struct kunit *test)
{
	fail_disarm();
	board_exit(test);
}

static struct kunit_case main_cases[] = {
	KUNIT_CASE(probe_leaves_nothing),
	KUNIT_CASE(probe_and_remove_odd),
	KUNIT_CASE(probe_and_remove_even),
	KUNIT_CASE(bind_and_unbind),
	KUNIT_CASE(wrong_bars_are_refused),
	KUNIT_CASE(shutdown_stops_the_device),
	KUNIT_CASE(registers_are_programmed_at_resume),
	KUNIT_CASE(mapped_memory_is_not_hibernated),
	{ }
};

struct kunit_suite main_suite = {
	.name = "apple_dma_main",
	.suite_init = board_start,
	.suite_exit = board_stop,
	.init = board_init,
	.exit = main_exit,
	.test_cases = main_cases,
};
