// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which device a companion manages: the one at MANAGED_BDF in the companion's
 * PCI domain; and checks of that device.
 */

#include <linux/mutex.h>
#include <linux/pci.h>

#include "claim.h"
#include "companion.h"

/* Advice if the host read the device's address too early. */
#define PLACE_HINT \
	"put the companion on bus 0, beside the device, and not behind a root port or a bridge: the host takes the address before the guest has numbered its buses"

/* Companions that manage a device; two must not manage the same one. */
static DEFINE_MUTEX(claim_lock);
static LIST_HEAD(claim_list);

static bool claim_same(const struct apple_dma *a, const struct apple_dma *b)
{
	return pci_domain_nr(a->pdev->bus) == pci_domain_nr(b->pdev->bus) &&
	       a->claim.bus == b->claim.bus && a->claim.devfn == b->claim.devfn;
}

/**
 * apple_dma_claim_init() - claim the device that the host names
 * @ad: the companion
 * @bdf: MANAGED_BDF as the host gave it
 *
 * Context: may sleep.
 * Return: 0; -EINVAL or -EBUSY after a message.
 */
int apple_dma_claim_init(struct apple_dma *ad, u32 bdf)
{
	struct apple_dma_claim *c = &ad->claim;
	struct apple_dma *other;
	int err = 0;

	if (bdf > U16_MAX) {
		dev_err(&ad->pdev->dev,
			"the host names %#x as the managed device, which is no PCI address\n",
			bdf);
		return -EINVAL;
	}
	c->bus = bdf >> 8;
	c->devfn = bdf & 0xff;
	if (!c->bus && ad->pdev->bus->number) {
		dev_err(&ad->pdev->dev,
			"the host names %02x:%02x.%x as the managed device, but the companion is on bus %02x; %s\n",
			c->bus, PCI_SLOT(c->devfn), PCI_FUNC(c->devfn),
			ad->pdev->bus->number, PLACE_HINT);
		return -EINVAL;
	}

	mutex_lock(&claim_lock);
	list_for_each_entry(other, &claim_list, claim.list)
		if (claim_same(ad, other))
			err = -EBUSY;
	if (!err)
		list_add(&c->list, &claim_list);
	mutex_unlock(&claim_lock);
	if (err)
		dev_err(&ad->pdev->dev,
			"another companion manages %02x:%02x.%x already\n",
			c->bus, PCI_SLOT(c->devfn), PCI_FUNC(c->devfn));
	return err;
}

/* Undo apple_dma_claim_init(); may sleep. */
void apple_dma_claim_exit(struct apple_dma *ad)
{
	mutex_lock(&claim_lock);
	list_del(&ad->claim.list);
	mutex_unlock(&claim_lock);
}

/* Is @pdev at the address of the device that a companion manages? */
bool apple_dma_claim_is(const struct apple_dma *ad, struct pci_dev *pdev)
{
	return pci_domain_nr(pdev->bus) == pci_domain_nr(ad->pdev->bus) &&
	       pdev->bus->number == ad->claim.bus &&
	       pdev->devfn == ad->claim.devfn;
}

/* The device, with a reference; NULL if it is not there. */
struct pci_dev *apple_dma_claim_get(struct apple_dma *ad)
{
	return pci_get_domain_bus_and_slot(pci_domain_nr(ad->pdev->bus),
					   ad->claim.bus, ad->claim.devfn);
}

/* Can it be managed? Returns 0, or -EINVAL after a message. */
int apple_dma_claim_check(struct apple_dma *ad, struct pci_dev *pdev)
{
	struct device *dev = &ad->pdev->dev;

	if (pdev == ad->pdev) {
		dev_err(dev, "the host says that the companion manages itself\n");
		return -EINVAL;
	}
	/* A host that read the address too early names the host bridge. */
	if (pci_is_bridge(pdev) ||
	    (pdev->class >> 16 == PCI_BASE_CLASS_BRIDGE &&
	     pdev->class >> 8 != PCI_CLASS_BRIDGE_OTHER)) {
		dev_err(dev, "the host says that the companion manages the bridge %s; %s\n",
			pci_name(pdev), PLACE_HINT);
		return -EINVAL;
	}
	if (pdev->vendor == APPLE_DMA_PCI_VENDOR_ID &&
	    pdev->device == APPLE_DMA_PCI_DEVICE_ID) {
		dev_err(dev, "the host says that the companion manages another companion, %s\n",
			pci_name(pdev));
		return -EINVAL;
	}
	return 0;
}
