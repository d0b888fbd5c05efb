// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/managed.c, with real companions and devices: when a device has the ops
 * and when not, and what becomes of its mappings.
 */

#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/slab.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "board.h"
#include "rooms.h"
#include "suites.h"

static u64 doorbells(unsigned int i)
{
	return READ_ONCE(board_ad(i)->transport.doorbells);
}

static void check_counters(struct kunit *test, unsigned int i, u64 live,
			   u64 entries)
{
	struct apple_dma_stats stats;

	apple_dma_engine_snapshot(&board_ad(i)->engine, &stats);
	CHECK_EQ(test, stats.live_mappings, live);
	CHECK_EQ(test, stats.mapped_entries, entries);
	CHECK_EQ(test, stats.bad_unmaps, 0);
	CHECK(test, !board_ad(i)->engine.broken);
}

static bool has_ops(unsigned int i)
{
	return get_dma_ops(&board.device[i]->dev) == &board_ad(i)->ops;
}

static bool has_no_ops(void)
{
	return !apple_dma_is_ours(get_dma_ops(&board.device[0]->dev));
}

static bool first_is_bound(void)
{
	return board_bound(0);
}

static bool is_unpinned(void)
{
	/* The other device, and insmod. */
	return module_refcount(THIS_MODULE) <= 2;
}

/* A driver that was bound before the companion's: it is probed again. */
static void device_bound_before_is_probed_again(struct kunit *test)
{
	unsigned int removes;

	/* A new device has no link to the companion yet. */
	board_unplug(test, 0);
	device_release_driver(&board.companion[0]->dev);
	board_plug(test, 0);
	CHECK(test, board_wait(first_is_bound));
	CHECK_EQ(test, board.probes, 1);
	CHECK(test, !apple_dma_is_ours(board.ops));
	removes = board.removes;

	CHECK(test, board_attach(board.companion[0]));
	CHECK(test, board_wait(first_is_bound));
	CHECK_EQ(test, board.removes, removes + 1);
	CHECK_EQ(test, board.probes, 2);
	CHECK(test, board.ops == &board_ad(0)->ops);
	check_counters(test, 0, 1, 1);
}

/* The ops are there in the probe, and not any more after the unbind. */
static void ops_are_there_while_bound(struct kunit *test)
{
	CHECK(test, has_ops(0) && has_ops(1));
	CHECK(test, board.ops == &board_ad(1)->ops);
	check_counters(test, 0, 1, 1);

	device_release_driver(&board.device[0]->dev);
	CHECK_EQ(test, board.removes, 1);
	CHECK(test, has_no_ops());
	check_counters(test, 0, 0, 0);
	/* The other one does not notice. */
	CHECK(test, has_ops(1));
	check_counters(test, 1, 1, 1);
}

/* A window for the page that is mapped, and it goes at the unbind: 2 each. */
static void rebinding_is_two_doorbells(struct kunit *test)
{
	u64 before = doorbells(0);
	unsigned int i;

	for (i = 0; i < 5; i++) {
		device_release_driver(&board.device[0]->dev);
		check_counters(test, 0, 0, 0);
		CHECK(test, board_attach(board.device[0]));
		CHECK(test, has_ops(0));
		check_counters(test, 0, 1, 1);
	}
	CHECK_EQ(test, board.probes, 5);
	CHECK_EQ(test, doorbells(0) - before, 2 * 5);
}

/* Devres of the probe is freed through the ops, which go after that. */
static void failed_probe_leaves_nothing(struct kunit *test)
{
	u64 before;

	device_release_driver(&board.device[0]->dev);
	before = doorbells(0);
	board.probe = BOARD_FAIL;
	CHECK(test, !board_attach(board.device[0]));
	CHECK_EQ(test, board.probes, 1);
	CHECK(test, board.ops == &board_ad(0)->ops);
	CHECK(test, board_wait(has_no_ops));
	CHECK(test, board_wait(is_unpinned));
	check_counters(test, 0, 0, 0);
	/* Its window, for two pages that are aligned in a granule; given back. */
	CHECK_EQ(test, doorbells(0) - before, 2);
	CHECK_EQ(test, atomic64_read(&board_ad(0)->leaked_bytes), 0);
}

/* What a driver forgets is released; its window goes with one doorbell. */
static void forgotten_mappings_are_released(struct kunit *test)
{
	u64 before;

	device_release_driver(&board.device[0]->dev);
	board.probe = BOARD_LEAVE;
	CHECK(test, board_attach(board.device[0]));
	check_counters(test, 0, 1, 1);
	before = doorbells(0);
	device_release_driver(&board.device[0]->dev);
	CHECK_EQ(test, doorbells(0) - before, 1);
	check_counters(test, 0, 0, 0);
	CHECK(test, has_no_ops());
}

/* Memory that outlives its driver keeps the ops, and needs no host to go. */
static void late_free_is_safe(struct kunit *test)
{
	int refs;
	u64 before;

	device_release_driver(&board.device[0]->dev);
	board.probe = BOARD_KEEP;
	CHECK(test, board_attach(board.device[0]));
	check_counters(test, 0, 1, 1);
	before = doorbells(0);
	device_release_driver(&board.device[0]->dev);
	check_counters(test, 0, 0, 0);
	CHECK_EQ(test, doorbells(0) - before, 1);
	CHECK(test, has_ops(0));
	CHECK_EQ(test, board_ad(0)->coherent.orphans, 1);
	refs = module_refcount(THIS_MODULE);

	board_free(0);
	CHECK(test, board_wait(has_no_ops));
	CHECK(test, board_wait(is_unpinned));
	CHECK_EQ(test, module_refcount(THIS_MODULE), refs - 1);
	CHECK_EQ(test, doorbells(0) - before, 1);
	CHECK_EQ(test, board_ad(0)->coherent.orphans, 0);
}

/* After a new bind the driver still owns its old memory. */
static void late_free_after_rebind(struct kunit *test)
{
	device_release_driver(&board.device[0]->dev);
	board.probe = BOARD_KEEP;
	CHECK(test, board_attach(board.device[0]));
	device_release_driver(&board.device[0]->dev);
	board.probe = BOARD_PLAIN;
	CHECK(test, board_attach(board.device[0]));
	board_free(0);
	CHECK(test, has_ops(0));
	check_counters(test, 0, 1, 1);
	CHECK_EQ(test, board_ad(0)->coherent.orphans, 0);
}

/* The link: without the companion's driver the device has none. */
static void companion_goes_after_its_device(struct kunit *test)
{
	device_release_driver(&board.companion[0]->dev);
	CHECK_EQ(test, board.removes, 1);
	CHECK(test, !board.device[0]->dev.driver);
	CHECK(test, has_no_ops());
	CHECK(test, board_wait(is_unpinned));

	/* It gets none until the companion is back. */
	CHECK(test, !board_attach(board.device[0]));
	CHECK_EQ(test, board.probes, 0);
	CHECK(test, board.device[1]->dev.driver && has_ops(1));

	CHECK(test, board_attach(board.companion[0]));
	CHECK(test, board_wait(first_is_bound));
	CHECK_EQ(test, board.probes, 1);
	CHECK(test, has_ops(0));
	check_counters(test, 0, 1, 1);
}

/* A device that goes, and one that comes when the companion waits for it. */
static void device_comes_late(struct kunit *test)
{
	board_unplug(test, 0);
	CHECK_EQ(test, board.removes, 1);
	CHECK(test, !board_ad(0)->managed.dev);
	CHECK(test, !board_ad(0)->managed.attached);
	check_counters(test, 0, 0, 0);
	CHECK(test, board_wait(is_unpinned));

	board_plug(test, 0);
	CHECK(test, board_wait(first_is_bound));
	CHECK(test, board_ad(0)->managed.dev == &board.device[0]->dev);
	CHECK(test, has_ops(0));
	check_counters(test, 0, 1, 1);
}

/*
 * The host forgot in the sleep: the device does no DMA and is said to be gone, and
 * its driver is probed again when all are awake.
 */
static void lost_device_is_cut_off(struct kunit *test)
{
	struct apple_dma *ad = board_ad(0);
	struct pci_dev *pdev = board.device[0];
	int probes = board.probes, removes = board.removes;
	u16 command;

	pci_set_master(pdev);
	apple_dma_managed_lose(ad);
	apple_dma_managed_cut_off(ad);
	CHECK(test, pci_channel_offline(pdev));
	pdev->error_state = pci_channel_io_normal;
	pci_read_config_word(pdev, PCI_COMMAND, &command);
	CHECK(test, !(command & PCI_COMMAND_MASTER));
	pdev->error_state = pci_channel_io_perm_failure;
	apple_dma_managed_probe_again(ad);
	flush_work(&ad->managed.work);
	CHECK(test, board_wait(first_is_bound));
	CHECK_EQ(test, board.removes, removes + 1);
	CHECK_EQ(test, board.probes, probes + 1);
	CHECK(test, !pci_channel_offline(pdev));
}

/* The same, and it is unplugged before it could be cut off. */
static void lost_device_may_be_pulled(struct kunit *test)
{
	struct apple_dma *ad = board_ad(0);

	apple_dma_managed_lose(ad);
	board_unplug(test, 0);
	apple_dma_managed_cut_off(ad);
	apple_dma_managed_probe_again(ad);
	flush_work(&ad->managed.work);
	CHECK(test, !ad->managed.dev);
	board_plug(test, 0);
	CHECK(test, board_wait(first_is_bound));
	CHECK(test, !pci_channel_offline(board.device[0]));
}

/* The device comes, and @n times there is no memory for its link. */
static void plug_without_links(struct kunit *test, unsigned int n)
{
	board_unplug(test, 0);
	board.removes = 0;
	seam_no_links = n;
	board_plug(test, 0);
	CHECK_EQ(test, seam_no_links, 0);
	CHECK(test, board_wait(first_is_bound));
	CHECK(test, has_ops(0));
	check_counters(test, 0, 1, 1);
}

/* No memory for its link then: it is made when the device is bound. */
static void device_is_linked_when_it_is_bound(struct kunit *test)
{
	plug_without_links(test, 1);

	/* There is a link: it unbinds the driver, and keeps it unbound. */
	device_release_driver(&board.companion[0]->dev);
	CHECK_EQ(test, board.removes, 1);
	CHECK(test, !board_attach(board.device[0]));
	CHECK(test, board_attach(board.companion[0]));
	CHECK(test, board_wait(first_is_bound));
	CHECK(test, has_ops(0));
}

/* No memory then, either: it has ops, and loses its driver before they go. */
static void device_without_a_link_has_ops(struct kunit *test)
{
	plug_without_links(test, 2);

	device_release_driver(&board.companion[0]->dev);
	CHECK_EQ(test, board.removes, 1);
	CHECK(test, !board.device[0]->dev.driver);
	CHECK(test, has_no_ops());
	CHECK(test, board_wait(is_unpinned));
	CHECK(test, board_attach(board.companion[0]));
	CHECK(test, board_wait(first_is_bound));
	CHECK(test, has_ops(0));
}

/* The device is missing at the companion's probe, and comes later. */
static void companion_waits_for_its_device(struct kunit *test)
{
	board_unplug(test, 0);
	device_release_driver(&board.companion[0]->dev);
	CHECK(test, board_attach(board.companion[0]));
	CHECK(test, !board_ad(0)->managed.dev);
	check_counters(test, 0, 0, 0);
	board_plug(test, 0);
	CHECK(test, board_wait(first_is_bound));
	CHECK_EQ(test, board.probes, 1);
	CHECK(test, has_ops(0));
}

/* What MANAGED_BDF must not say; there is nothing to undo after. */
static void wrong_devices_are_refused(struct kunit *test)
{
	struct apple_dma *ad = kzalloc(sizeof(*ad), GFP_KERNEL);
	struct pci_dev *c = board.companion[0], *d = board.device[0];
	struct pci_dev *bridge = d->bus->self;
	struct pci_dev *host = pci_get_class(PCI_CLASS_BRIDGE_HOST << 8, NULL);

	CHECK(test, ad);
	test->priv = ad;
	ad->pdev = c;
	EXPECT(test, apple_dma_managed_init(ad, BIT(16)) == -EINVAL);
	EXPECT(test, apple_dma_managed_init(ad, U32_MAX) == -EINVAL);
	EXPECT(test, apple_dma_managed_init(ad, pci_dev_id(c)) == -EINVAL);
	EXPECT(test, apple_dma_managed_init(ad, pci_dev_id(board.companion[1])) ==
	       -EINVAL);
	EXPECT(test, bridge);
	if (bridge)
		EXPECT(test, apple_dma_managed_init(ad, pci_dev_id(bridge)) ==
		       -EINVAL);
	/* A host that built the companion before buses were numbered says 0. */
	EXPECT(test, host);
	if (host)
		EXPECT(test, apple_dma_managed_init(ad, pci_dev_id(host)) ==
		       -EINVAL);
	pci_dev_put(host);
	/* Or it says bus 0, of a companion that is behind a root port. */
	ad->pdev = d;
	EXPECT(test, d->bus->number);
	EXPECT(test, apple_dma_managed_init(ad, PCI_DEVID(0, PCI_DEVFN(30, 0))) ==
	       -EINVAL);
	/* The first companion manages it already. */
	ad->pdev = board.companion[1];
	EXPECT(test, apple_dma_managed_init(ad, pci_dev_id(d)) == -EBUSY);
	kfree(ad);
	CHECK(test, has_ops(0) && has_ops(1));
}

/* The same for a device that appears while the companion waits for its own. */
static void wrong_device_that_comes_late(struct kunit *test)
{
	struct pci_dev *wrong[] = {
		board.companion[0], board.companion[1], board.device[0]->bus->self
	};
	struct apple_dma_managed *m = &board_ad(0)->managed;
	struct apple_dma_claim *claim = &board_ad(0)->claim, own = *claim;
	unsigned int i;

	CHECK(test, wrong[2]);
	board_unplug(test, 0);
	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		claim->bus = wrong[i]->bus->number;
		claim->devfn = wrong[i]->devfn;
		m->nb.notifier_call(&m->nb, BUS_NOTIFY_ADD_DEVICE, &wrong[i]->dev);
		CHECK(test, !m->dev);
	}
	claim->bus = own.bus;
	claim->devfn = own.devfn;
	board_plug(test, 0);
	CHECK(test, board_wait(first_is_bound));
	CHECK(test, has_ops(0));
}

/* The module stays while a device has a driver. */
static void bound_device_pins_the_module(struct kunit *test)
{
	int refs = module_refcount(THIS_MODULE);

	device_release_driver(&board.device[0]->dev);
	CHECK_EQ(test, module_refcount(THIS_MODULE), refs - 1);
	device_release_driver(&board.device[1]->dev);
	CHECK_EQ(test, module_refcount(THIS_MODULE), refs - 2);
	CHECK(test, board_attach(board.device[0]));
	CHECK_EQ(test, module_refcount(THIS_MODULE), refs - 1);
}

/* Foreign ops are not changed, and the device is not managed. */
static void foreign_ops_are_left_alone(struct kunit *test)
{
	static const struct dma_map_ops foreign;

	device_release_driver(&board.device[0]->dev);
	set_dma_ops(&board.device[0]->dev, &foreign);
	CHECK(test, board_attach(board.device[0]));
	EXPECT(test, board.ops == &foreign);
	EXPECT(test, !board_ad(0)->managed.attached);
	device_release_driver(&board.device[0]->dev);
	EXPECT(test, get_dma_ops(&board.device[0]->dev) == &foreign);
	set_dma_ops(&board.device[0]->dev, NULL);
}

static void managed_exit(struct kunit *test)
{
	seam_no_links = 0;
	board_exit(test);
}

static struct kunit_case managed_cases[] = {
	KUNIT_CASE(device_bound_before_is_probed_again),
	KUNIT_CASE(ops_are_there_while_bound),
	KUNIT_CASE(rebinding_is_two_doorbells),
	KUNIT_CASE(failed_probe_leaves_nothing),
	KUNIT_CASE(forgotten_mappings_are_released),
	KUNIT_CASE(late_free_is_safe),
	KUNIT_CASE(late_free_after_rebind),
	KUNIT_CASE(companion_goes_after_its_device),
	KUNIT_CASE(device_comes_late),
	KUNIT_CASE(lost_device_is_cut_off),
	KUNIT_CASE(lost_device_may_be_pulled),
	KUNIT_CASE(device_is_linked_when_it_is_bound),
	KUNIT_CASE(device_without_a_link_has_ops),
	KUNIT_CASE(companion_waits_for_its_device),
	KUNIT_CASE(wrong_devices_are_refused),
	KUNIT_CASE(wrong_device_that_comes_late),
	KUNIT_CASE(bound_device_pins_the_module),
	KUNIT_CASE(foreign_ops_are_left_alone),
	{ }
};

struct kunit_suite managed_suite = {
	.name = "apple_dma_managed",
	.suite_init = board_start,
	.suite_exit = board_stop,
	.init = board_init,
	.exit = managed_exit,
	.test_cases = managed_cases,
};
