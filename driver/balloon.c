// SPDX-License-Identifier: GPL-2.0-only
/*
 * Does the guest give memory back to the host?
 *
 * A page given to a balloon, or given back by free-page reporting or
 * virtio-mem, is other memory of the host when it returns. A window that was
 * registered before still leads to the old one. A live mapping keeps its pages
 * in the guest. So with any such device only live windows of exact granules are
 * safe, and the engine is told so.
 */

#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/virtio.h>
#include <linux/virtio_ids.h>

#include "balloon.h"
#include "companion.h"

#define VIRTIO_PCI_VENDOR	0x1af4
#define VIRTIO_PCI_BALLOON_OLD	0x1002
/* PCI device ID of virtio 1: this plus the virtio ID. */
#define VIRTIO_PCI_ID_BASE	0x1040

static bool balloon_takes_memory(u32 virtio_id)
{
	return virtio_id == VIRTIO_ID_BALLOON || virtio_id == VIRTIO_ID_MEM;
}

static bool balloon_pci_takes_memory(struct pci_dev *pdev)
{
	return pdev->vendor == VIRTIO_PCI_VENDOR &&
	       (pdev->device == VIRTIO_PCI_BALLOON_OLD ||
		balloon_takes_memory(pdev->device - VIRTIO_PCI_ID_BASE));
}

/* virtio-mmio has no device ID of its own; its virtio device has. */
static int balloon_child_takes_memory(struct device *dev, void *data)
{
	return dev->bus && !strcmp(dev->bus->name, "virtio") &&
	       balloon_takes_memory(dev_to_virtio(dev)->id.device);
}

static int balloon_platform_takes_memory(struct device *dev, void *data)
{
	return device_for_each_child(dev, NULL, balloon_child_takes_memory);
}

static void balloon_found(struct apple_dma *ad, const char *name)
{
	dev_notice(&ad->pdev->dev,
		   "%s takes memory from the guest: mappings are kept strict, whatever mode says. For cached mappings start QEMU without it\n",
		   name);
	apple_dma_engine_set_unsafe(&ad->engine);
	if (ad->premap.wanted && apple_dma_managed_close(ad))
		dev_alert(&ad->pdev->dev,
			  "%s takes memory that is premapped: nothing more is mapped. Unbind the device's driver, and start QEMU without it\n",
			  name);
}

static int balloon_pci_added(struct notifier_block *nb, unsigned long action,
			     void *data)
{
	struct apple_dma *ad = container_of(nb, struct apple_dma, balloon.pci);
	struct device *dev = data;

	if (action == BUS_NOTIFY_ADD_DEVICE &&
	    balloon_pci_takes_memory(to_pci_dev(dev)))
		balloon_found(ad, dev_name(dev));
	return NOTIFY_DONE;
}

/* The virtio device of a platform device exists once its driver is bound. */
static int balloon_mmio_bound(struct notifier_block *nb, unsigned long action,
			      void *data)
{
	struct apple_dma *ad = container_of(nb, struct apple_dma,
					    balloon.platform);
	struct device *dev = data;

	if (action == BUS_NOTIFY_BOUND_DRIVER &&
	    balloon_platform_takes_memory(dev, NULL))
		balloon_found(ad, dev_name(dev));
	return NOTIFY_DONE;
}

/**
 * apple_dma_balloon_start() - find devices that take memory, now and later
 * @ad: the companion, with an initialised engine
 *
 * Context: may sleep.
 * Return: 0 or an error.
 */
int apple_dma_balloon_start(struct apple_dma *ad)
{
	struct pci_dev *pdev = NULL;
	int err;

	ad->balloon.pci.notifier_call = balloon_pci_added;
	err = bus_register_notifier(&pci_bus_type, &ad->balloon.pci);
	if (err)
		return err;
	ad->balloon.platform.notifier_call = balloon_mmio_bound;
	err = bus_register_notifier(&platform_bus_type, &ad->balloon.platform);
	if (err) {
		bus_unregister_notifier(&pci_bus_type, &ad->balloon.pci);
		return err;
	}

	while ((pdev = pci_get_device(VIRTIO_PCI_VENDOR, PCI_ANY_ID, pdev))) {
		if (!balloon_pci_takes_memory(pdev))
			continue;
		balloon_found(ad, pci_name(pdev));
		pci_dev_put(pdev);
		return 0;
	}
	if (bus_for_each_dev(&platform_bus_type, NULL, NULL,
			     balloon_platform_takes_memory))
		balloon_found(ad, "a virtio-mmio device");
	return 0;
}

/* Undo apple_dma_balloon_start(); may sleep. */
void apple_dma_balloon_stop(struct apple_dma *ad)
{
	bus_unregister_notifier(&platform_bus_type, &ad->balloon.platform);
	bus_unregister_notifier(&pci_bus_type, &ad->balloon.pci);
}
