// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/balloon.c: what takes memory from the guest makes the engine strict,
 * whether it is there before or comes later.
 */

#include <linux/device.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/slab.h>
#include <linux/virtio.h>
#include <linux/virtio_ids.h>

#include "fixture.h"
#include "suites.h"

#define NAME		"apple_dma_fake_mmio"

#define VIRTIO		0x1af4
#define OLD_BALLOON	0x1002
#define NEW(id)		(0x1040 + (id))

/* ---- a virtio-mmio device, as far as it can be seen ---- */

/* Never registered, which a device need not know. */
static struct bus_type virtio_like = { .name = "virtio" };

static u32 mmio_id;
static struct platform_device *mmio;

static void release_child(struct device *dev)
{
	kfree(dev_to_virtio(dev));
}

static void drop_child(void *child)
{
	struct virtio_device *virtio = child;

	virtio->dev.bus = NULL;
	device_unregister(&virtio->dev);
}

static int mmio_probe(struct platform_device *pdev)
{
	struct virtio_device *virtio = kzalloc(sizeof(*virtio), GFP_KERNEL);
	int err;

	if (!virtio)
		return -ENOMEM;
	virtio->id.device = mmio_id;
	virtio->dev.parent = &pdev->dev;
	virtio->dev.release = release_child;
	dev_set_name(&virtio->dev, NAME ".child");
	err = device_register(&virtio->dev);
	if (err) {
		put_device(&virtio->dev);
		return err;
	}
	virtio->dev.bus = &virtio_like;
	return devm_add_action_or_reset(&pdev->dev, drop_child, virtio);
}

static struct platform_driver mmio_driver = {
	.driver.name = NAME,
	.probe = mmio_probe,
};

/* It is there, and has its driver. */
static void plug_mmio(struct kunit *test, u32 id)
{
	mmio_id = id;
	mmio = platform_device_register_simple(NAME, PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(mmio))
		mmio = NULL;
	CHECK(test, mmio && mmio->dev.driver);
}

static void unplug_mmio(void)
{
	platform_device_unregister(mmio);
	mmio = NULL;
}

/* ---- the companion ---- */

static struct apple_dma *watched;

static void stop(void)
{
	if (watched)
		apple_dma_balloon_stop(watched);
	watched = NULL;
}

static void start(struct fixture *f)
{
	CHECK_EQ(f->test, apple_dma_balloon_start(f->ad), 0);
	watched = f->ad;
}

/* An engine with an idle window, and a name for the log. */
static struct fixture *open_fixture(struct kunit *test)
{
	struct fixture *f = fixture_open(test);

	f->ad->pdev = fixture_memory(f, sizeof(*f->ad->pdev));
	f->ad->pdev->dev.init_name = "companion";
	fixture_touch(f, 0);
	return f;
}

/* Has the engine become strict? Make it cached again. */
static bool was_found(struct fixture *f)
{
	bool found = f->e->unsafe;

	CHECK_EQ(f->test, fixture_stats(f)->mapped_entries, !found);
	f->e->unsafe = false;
	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_CACHED);
	fixture_touch(f, 0);
	return found;
}

/* Something happens to a device on the PCI bus. */
static bool seen_on_pci(struct fixture *f, u16 vendor, u16 device,
			unsigned long action)
{
	struct notifier_block *nb = &f->ad->balloon.pci;
	static struct pci_dev pdev;

	pdev.vendor = vendor;
	pdev.device = device;
	pdev.dev.init_name = "device";
	nb->notifier_call(nb, action, &pdev.dev);
	return was_found(f);
}

/* ---- cases ---- */

static void pci_balloons_are_found(struct kunit *test)
{
	static const u16 ids[] = {
		OLD_BALLOON, NEW(VIRTIO_ID_BALLOON), NEW(VIRTIO_ID_MEM),
	};
	struct fixture *f = open_fixture(test);
	unsigned int i;

	start(f);
	CHECK(test, !was_found(f));
	for (i = 0; i < ARRAY_SIZE(ids); i++)
		CHECK(test, seen_on_pci(f, VIRTIO, ids[i],
					BUS_NOTIFY_ADD_DEVICE));
}

static void other_pci_devices_are_none(struct kunit *test)
{
	struct fixture *f = open_fixture(test);

	start(f);
	CHECK(test, !seen_on_pci(f, VIRTIO, NEW(VIRTIO_ID_NET),
				 BUS_NOTIFY_ADD_DEVICE));
	CHECK(test, !seen_on_pci(f, VIRTIO, NEW(VIRTIO_ID_BLOCK),
				 BUS_NOTIFY_ADD_DEVICE));
	CHECK(test, !seen_on_pci(f, VIRTIO, OLD_BALLOON - 1,
				 BUS_NOTIFY_ADD_DEVICE));
	CHECK(test, !seen_on_pci(f, VIRTIO + 1, OLD_BALLOON,
				 BUS_NOTIFY_ADD_DEVICE));
	CHECK(test, !seen_on_pci(f, VIRTIO + 1, NEW(VIRTIO_ID_BALLOON),
				 BUS_NOTIFY_ADD_DEVICE));
	/* A balloon that is removed takes nothing any more. */
	CHECK(test, !seen_on_pci(f, VIRTIO, OLD_BALLOON,
				 BUS_NOTIFY_DEL_DEVICE));
}

/* Its driver makes the virtio device, after the platform device has come. */
static void mmio_balloon_that_comes_is_found(struct kunit *test)
{
	struct fixture *f = open_fixture(test);

	start(f);
	plug_mmio(test, VIRTIO_ID_NET);
	CHECK(test, !was_found(f));
	unplug_mmio();
	CHECK(test, !was_found(f));
	plug_mmio(test, VIRTIO_ID_BALLOON);
	CHECK(test, was_found(f));
	unplug_mmio();
	plug_mmio(test, VIRTIO_ID_MEM);
	CHECK(test, was_found(f));
}

static void mmio_balloon_that_is_there_is_found(struct kunit *test)
{
	struct fixture *f = open_fixture(test);

	plug_mmio(test, VIRTIO_ID_BALLOON);
	start(f);
	CHECK(test, was_found(f));
	stop();
	unplug_mmio();
	plug_mmio(test, VIRTIO_ID_NET);
	start(f);
	CHECK(test, !was_found(f));
}

static void nothing_is_found_after_the_end(struct kunit *test)
{
	struct fixture *f = open_fixture(test);

	start(f);
	stop();
	plug_mmio(test, VIRTIO_ID_BALLOON);
	CHECK(test, !was_found(f));
}

static void balloon_close(struct kunit *test)
{
	unplug_mmio();
	stop();
	fixture_close(test);
}

static int balloon_start(struct kunit_suite *suite)
{
	return platform_driver_register(&mmio_driver);
}

static void balloon_stop(struct kunit_suite *suite)
{
	platform_driver_unregister(&mmio_driver);
}

static struct kunit_case balloon_cases[] = {
	KUNIT_CASE(pci_balloons_are_found),
	KUNIT_CASE(other_pci_devices_are_none),
	KUNIT_CASE(mmio_balloon_that_comes_is_found),
	KUNIT_CASE(mmio_balloon_that_is_there_is_found),
	KUNIT_CASE(nothing_is_found_after_the_end),
	{ }
};

struct kunit_suite balloon_suite = {
	.name = "apple_dma_balloon",
	.suite_init = balloon_start,
	.suite_exit = balloon_stop,
	.exit = balloon_close,
	.test_cases = balloon_cases,
};
