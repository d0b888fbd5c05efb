// SPDX-License-Identifier: GPL-2.0-only
/*
 * The passthrough device of a companion.
 *
 * It is found by MANAGED_BDF in the companion's PCI domain, now or when it
 * appears. A device link makes the driver core keep the order: the device
 * has no driver while the companion has none. The module's ops are on the
 * device from BIND_DRIVER, after the bus has set up DMA and before the probe,
 * to UNBOUND_DRIVER, after the last devres is freed; so long the module is
 * pinned.
 *
 * A failed probe says DRIVER_NOT_BOUND while devres still has memory to free
 * through the ops. So they are taken away by a work item, which waits for the
 * probe to end by taking the device's lock.
 */

#include <linux/list.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/sysfs.h>

#include "coherent.h"
#include "companion.h"
#include "dma_ops.h"
#include "quarantine.h"
#include "sysfs.h"
#include "work.h"

/* What helps where the host took the device's address too early. */
#define PLACE_HINT \
	"put the companion on bus 0, beside the device, and not behind a root port or a bridge: the host takes the address before the guest has numbered its buses"

/* Companions that manage a device; two must not manage the same one. */
static DEFINE_MUTEX(managed_claims_lock);
static LIST_HEAD(managed_claims);

static bool managed_is(const struct apple_dma *ad, struct device *dev)
{
	struct pci_dev *pdev = to_pci_dev(dev);

	return pci_domain_nr(pdev->bus) == pci_domain_nr(ad->pdev->bus) &&
	       pdev->bus->number == ad->managed.bus &&
	       pdev->devfn == ad->managed.devfn;
}

static int managed_claim(struct apple_dma *ad)
{
	struct apple_dma *other;
	int err = 0;

	mutex_lock(&managed_claims_lock);
	list_for_each_entry(other, &managed_claims, managed.claim)
		if (pci_domain_nr(other->pdev->bus) ==
		    pci_domain_nr(ad->pdev->bus) &&
		    other->managed.bus == ad->managed.bus &&
		    other->managed.devfn == ad->managed.devfn)
			err = -EBUSY;
	if (!err)
		list_add(&ad->managed.claim, &managed_claims);
	mutex_unlock(&managed_claims_lock);
	return err;
}

static void managed_unclaim(struct apple_dma *ad)
{
	mutex_lock(&managed_claims_lock);
	list_del(&ad->managed.claim);
	mutex_unlock(&managed_claims_lock);
}

/* Can this device be the one that a companion manages? */
static int managed_check_device(struct apple_dma *ad, struct pci_dev *pdev)
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

/* ---- ops on and off; the device's lock and managed.lock are held ---- */

static void managed_attach(struct apple_dma *ad, struct device *dev)
{
	const struct dma_map_ops *ops = get_dma_ops(dev);

	/* Ops of a companion that was here before serve its orphans only. */
	if (apple_dma_compat_behind_iommu(dev) ||
	    (ops && !apple_dma_is_ours(ops))) {
		dev_err(&ad->pdev->dev,
			"%s is behind an IOMMU of the guest or has DMA operations of its own; its DMA cannot work. Remove the guest's IOMMU\n",
			dev_name(dev));
		return;
	}
	if (!dev_is_dma_coherent(dev)) {
		dev_err(&ad->pdev->dev,
			"%s is not cache coherent for the guest; its DMA cannot work. The host has to describe it as coherent\n",
			dev_name(dev));
		return;
	}
	if (!ad->managed.attached) {
		if (!try_module_get(THIS_MODULE)) {
			dev_err(&ad->pdev->dev,
				"%s is bound to a driver while apple_dma is being unloaded; its DMA cannot work\n",
				dev_name(dev));
			return;
		}
		ad->managed.attached = true;
	}
	apple_dma_engine_open(&ad->engine);
	set_dma_ops(dev, &ad->ops);
}

/*
 * A device without a driver has ops only for memory that its last one has yet
 * to free, perhaps by way of a companion that was here before.
 */
static void managed_leave_ops(struct device *dev)
{
	const struct dma_map_ops *ops = get_dma_ops(dev);

	/* On some kernels the core has taken them off already. */
	if (!ops || apple_dma_is_ours(ops))
		set_dma_ops(dev, apple_dma_coherent_ops(dev));
}

/*
 * A driver that was told that its device is gone has not stopped it. The next
 * driver finds it as if it had been.
 */
static void managed_bring_back(struct apple_dma *ad, struct device *dev)
{
	struct pci_dev *pdev = to_pci_dev(dev);

	if (!ad->managed.offline)
		return;
	ad->managed.offline = false;
	WRITE_ONCE(pdev->error_state, pci_channel_io_normal);
	pci_clear_master(pdev);
}

/* The driver is gone: nothing that it mapped stays on the host. */
static void managed_detach(struct apple_dma *ad, struct device *dev)
{
	u64 left, fresh;
	bool released;

	if (!ad->managed.attached)
		return;
	managed_bring_back(ad, dev);
	apple_dma_engine_close(&ad->engine);
	fresh = apple_dma_coherent_orphan(ad, &left);
	released = apple_dma_engine_release(&ad->engine);
	apple_dma_coherent_drained(ad, !released);
	if (left > fresh) {
		if (!released)
			apple_dma_quarantine_left(ad);
		dev_warn(&ad->pdev->dev,
			 "the driver of %s left %llu DMA mappings behind; they are %s\n",
			 dev_name(dev), left - fresh,
			 released ? "released" : "kept");
	}
	if (fresh)
		dev_info(&ad->pdev->dev,
			 "the driver of %s has yet to free %llu DMA allocations; they are %s\n",
			 dev_name(dev), fresh, released ? "unmapped" : "kept");
	managed_leave_ops(dev);
	ad->managed.attached = false;
	module_put(THIS_MODULE);
}

/**
 * apple_dma_managed_reap() - the last orphan is gone
 * @work: the companion's
 *
 * So can be the ops, if nobody else needs them, and the companion.
 *
 * Context: may sleep.
 */
void apple_dma_managed_reap(struct work_struct *work)
{
	struct apple_dma *ad = container_of(work, struct apple_dma,
					    coherent.reap);
	struct apple_dma_managed *m = &ad->managed;
	struct device *dev;

	if (!apple_dma_coherent_reap(ad))
		return;
	mutex_lock(&m->lock);
	dev = m->dev ? get_device(m->dev) : NULL;
	mutex_unlock(&m->lock);
	if (dev) {
		device_lock(dev);
		mutex_lock(&m->lock);
		if (!m->attached && get_dma_ops(dev) == &ad->ops)
			managed_leave_ops(dev);
		mutex_unlock(&m->lock);
		device_unlock(dev);
		put_device(dev);
	}
	apple_dma_companion_put(ad);
	module_put(THIS_MODULE);
}

/* ---- the device comes and goes; managed.lock is held ---- */

static void managed_show_link(struct apple_dma *ad)
{
	struct apple_dma_managed *m = &ad->managed;

	if (m->visible && m->dev &&
	    sysfs_add_link_to_group(&ad->pdev->dev.kobj, APPLE_DMA_SYSFS_GROUP,
				    &m->dev->kobj, "managed"))
		dev_warn(&ad->pdev->dev, "cannot make the sysfs link to %s\n",
			 dev_name(m->dev));
}

static void managed_hide_link(struct apple_dma *ad)
{
	struct apple_dma_managed *m = &ad->managed;

	if (m->visible && m->dev)
		sysfs_remove_link_from_group(&ad->pdev->dev.kobj,
					     APPLE_DMA_SYSFS_GROUP, "managed");
}

/*
 * The device is there. If it is being @bound to a driver there is no later
 * chance: without ops it would use addresses that are no device addresses. So
 * it has to do without the link, should there be no memory for one again;
 * apple_dma_managed_stop() takes the driver off then, which else the core does.
 */
static int managed_found(struct apple_dma *ad, struct device *dev, bool bound)
{
	struct apple_dma_managed *m = &ad->managed;

	if (m->dev)
		return 0;
	if (managed_check_device(ad, to_pci_dev(dev)))
		return -EINVAL;
	/*
	 * No flag for its removal: without the companion's driver the device
	 * cannot do DMA, so the core is to keep its driver off until then.
	 */
	if (!device_link_add(dev, &ad->pdev->dev, 0)) {
		dev_err(&ad->pdev->dev, "cannot link %s to the companion\n",
			dev_name(dev));
		if (!bound)
			return -EINVAL;
	}
	m->dev = get_device(dev);
	managed_show_link(ad);
	dev_info(&ad->pdev->dev, "manages the DMA of %s\n", dev_name(dev));
	return 0;
}

static void managed_gone(struct apple_dma *ad)
{
	struct apple_dma_managed *m = &ad->managed;

	managed_hide_link(ad);
	put_device(m->dev);
	m->dev = NULL;
}

static int apple_dma_managed_notify(struct notifier_block *nb,
				    unsigned long action, void *data)
{
	struct apple_dma *ad = container_of(nb, struct apple_dma, managed.nb);
	struct apple_dma_managed *m = &ad->managed;
	struct device *dev = data;

	if (!managed_is(ad, dev))
		return NOTIFY_DONE;

	mutex_lock(&m->lock);
	switch (action) {
	case BUS_NOTIFY_ADD_DEVICE:
		managed_found(ad, dev, false);
		break;
	case BUS_NOTIFY_BIND_DRIVER:
		managed_found(ad, dev, true);
		if (m->dev == dev)
			managed_attach(ad, dev);
		break;
	case BUS_NOTIFY_UNBOUND_DRIVER:
		if (m->dev == dev)
			managed_detach(ad, dev);
		break;
	case BUS_NOTIFY_DRIVER_NOT_BOUND:
		if (m->dev == dev)
			apple_dma_work_queue(&m->work);
		break;
	case BUS_NOTIFY_REMOVED_DEVICE:
		if (m->dev == dev) {
			managed_detach(ad, dev);
			managed_gone(ad);
		}
		break;
	}
	mutex_unlock(&m->lock);
	return NOTIFY_OK;
}

/*
 * Where the companion's own probe has not ended, the core puts this off until
 * it has.
 */
static void managed_bind_again(struct apple_dma *ad, struct device *dev)
{
	int err = device_attach(dev);

	if (err < 0 && err != -EPROBE_DEFER)
		dev_warn(&ad->pdev->dev, "cannot bind a driver to %s: %d\n",
			 dev_name(dev), err);
}

static void apple_dma_managed_work(struct work_struct *work)
{
	struct apple_dma *ad = container_of(work, struct apple_dma,
					    managed.work);
	struct apple_dma_managed *m = &ad->managed;
	struct device *dev;
	bool reattach, lost;

	mutex_lock(&m->lock);
	dev = m->dev ? get_device(m->dev) : NULL;
	lost = m->lost;
	m->lost = false;
	reattach = m->reattach || lost;
	m->reattach = false;
	mutex_unlock(&m->lock);
	if (!dev)
		return;
	if (lost)
		device_release_driver(dev);

	device_lock(dev);
	mutex_lock(&m->lock);
	if (!dev->driver && m->dev == dev)
		managed_detach(ad, dev);
	mutex_unlock(&m->lock);
	device_unlock(dev);

	if (reattach)
		managed_bind_again(ad, dev);
	put_device(dev);
}

static struct pci_dev *managed_get_device(struct apple_dma *ad)
{
	return pci_get_domain_bus_and_slot(pci_domain_nr(ad->pdev->bus),
					   ad->managed.bus, ad->managed.devfn);
}

/*
 * A driver that was bound without the ops has device addresses that mean
 * nothing to the host. Nothing but a new probe helps.
 */
static void managed_release_unmapped(struct apple_dma *ad, struct pci_dev *pdev)
{
	struct device_driver *driver;
	bool bound;

	/* Without the device's lock its driver, and the name, may go. */
	device_lock(&pdev->dev);
	driver = pdev->dev.driver;
	bound = driver && !apple_dma_is_ours(get_dma_ops(&pdev->dev));
	if (bound)
		dev_notice(&ad->pdev->dev,
			   "%s was bound to %s before apple_dma was there; it is probed again\n",
			   pci_name(pdev), driver->name);
	device_unlock(&pdev->dev);
	if (!bound)
		return;
	device_release_driver(&pdev->dev);
	ad->managed.released = true;
}

/**
 * apple_dma_managed_init() - claim the device that the host names
 * @ad: the companion; its @managed is zeroed
 * @bdf: MANAGED_BDF as the host gave it
 *
 * If the device is there already and has a driver, it loses it here, before
 * the host starts to enforce what the companion maps.
 *
 * Context: may sleep; the companion is being probed. Undone by
 * apple_dma_managed_giveup(), or by apple_dma_managed_stop() once
 * apple_dma_managed_start() was called.
 * Return: 0; -EINVAL or -EBUSY after a message.
 */
int apple_dma_managed_init(struct apple_dma *ad, u32 bdf)
{
	struct apple_dma_managed *m = &ad->managed;
	struct pci_dev *pdev;
	int err;

	if (bdf > U16_MAX) {
		dev_err(&ad->pdev->dev,
			"the host names %#x as the managed device, which is no PCI address\n",
			bdf);
		return -EINVAL;
	}
	mutex_init(&m->lock);
	INIT_WORK(&m->work, apple_dma_managed_work);
	INIT_WORK(&ad->coherent.reap, apple_dma_managed_reap);
	m->bus = bdf >> 8;
	m->devfn = bdf & 0xff;
	if (!m->bus && ad->pdev->bus->number) {
		dev_err(&ad->pdev->dev,
			"the host names %02x:%02x.%x as the managed device, but the companion is on bus %02x; %s\n",
			m->bus, PCI_SLOT(m->devfn), PCI_FUNC(m->devfn),
			ad->pdev->bus->number, PLACE_HINT);
		return -EINVAL;
	}

	err = managed_claim(ad);
	if (err) {
		dev_err(&ad->pdev->dev,
			"another companion manages %02x:%02x.%x already\n",
			m->bus, PCI_SLOT(m->devfn), PCI_FUNC(m->devfn));
		return err;
	}

	pdev = managed_get_device(ad);
	if (!pdev)
		return 0;
	err = managed_check_device(ad, pdev);
	if (err)
		managed_unclaim(ad);
	else
		managed_release_unmapped(ad, pdev);
	pci_dev_put(pdev);
	return err;
}

/**
 * apple_dma_managed_start() - begin to look after the device
 * @ad: the companion, ready to map
 *
 * From here on the ops are installed at every bind. A device that is there
 * already is bound to its driver by a work item.
 *
 * Context: may sleep; the companion is being probed.
 * Return: 0 or an error after a message; apple_dma_managed_stop() is to be
 * called in both cases.
 */
int apple_dma_managed_start(struct apple_dma *ad)
{
	struct apple_dma_managed *m = &ad->managed;
	struct pci_dev *pdev;
	int err;

	m->nb.notifier_call = apple_dma_managed_notify;
	err = bus_register_notifier(&pci_bus_type, &m->nb);
	if (err)
		return err;

	pdev = managed_get_device(ad);
	if (!pdev) {
		dev_info(&ad->pdev->dev,
			 "waits for its device %02x:%02x.%x to appear\n",
			 m->bus, PCI_SLOT(m->devfn), PCI_FUNC(m->devfn));
		return 0;
	}

	mutex_lock(&m->lock);
	err = managed_found(ad, &pdev->dev, false);
	mutex_unlock(&m->lock);
	if (!err) {
		/* It may have been bound again before it was linked. */
		managed_release_unmapped(ad, pdev);
		m->reattach = true;
		apple_dma_work_queue(&m->work);
	}
	pci_dev_put(pdev);
	return err;
}

/**
 * apple_dma_managed_show() - make the device visible in sysfs
 * @ad: the companion; its sysfs group exists
 *
 * Context: may sleep.
 */
void apple_dma_managed_show(struct apple_dma *ad)
{
	mutex_lock(&ad->managed.lock);
	ad->managed.visible = true;
	managed_show_link(ad);
	mutex_unlock(&ad->managed.lock);
}

/**
 * apple_dma_managed_hide() - undo apple_dma_managed_show()
 * @ad: the companion
 *
 * Context: may sleep.
 */
void apple_dma_managed_hide(struct apple_dma *ad)
{
	mutex_lock(&ad->managed.lock);
	managed_hide_link(ad);
	ad->managed.visible = false;
	mutex_unlock(&ad->managed.lock);
}

/**
 * apple_dma_managed_stop() - leave the device alone
 * @ad: the companion
 *
 * The driver core has unbound the device by now, because of the link. If it
 * has not, that is done here: no device keeps ops that are about to go.
 *
 * Context: may sleep; the companion is being removed, or its probe failed.
 */
void apple_dma_managed_stop(struct apple_dma *ad)
{
	struct apple_dma_managed *m = &ad->managed;
	struct device *dev;

	mutex_lock(&m->lock);
	dev = m->dev ? get_device(m->dev) : NULL;
	mutex_unlock(&m->lock);
	if (dev && dev->driver && get_dma_ops(dev) == &ad->ops)
		device_release_driver(dev);
	put_device(dev);
	bus_unregister_notifier(&pci_bus_type, &m->nb);
	cancel_work_sync(&m->work);

	if (m->dev) {
		device_lock(m->dev);
		mutex_lock(&m->lock);
		managed_detach(ad, m->dev);
		mutex_unlock(&m->lock);
		device_unlock(m->dev);
	}
	managed_unclaim(ad);
}

/**
 * apple_dma_managed_giveup() - leave the device as it was found
 * @ad: the companion, whose probe failed before apple_dma_managed_start()
 *
 * A device that lost its driver gets it back, for what it is worth.
 *
 * Context: may sleep.
 */
void apple_dma_managed_giveup(struct apple_dma *ad)
{
	struct pci_dev *pdev = managed_get_device(ad);

	managed_unclaim(ad);
	if (pdev && ad->managed.released)
		managed_bind_again(ad, &pdev->dev);
	pci_dev_put(pdev);
}

/**
 * apple_dma_managed_offline() - tell the device's driver that it is gone
 * @e: the engine of the companion, broken
 *
 * Drivers take a map that is refused for a passing one, and try again: nvme for
 * ever, so that it could not be unbound any more. That a device is gone they all
 * understand. Until the driver is unbound.
 *
 * Context: may sleep.
 */
void apple_dma_managed_offline(struct apple_dma_engine *e)
{
	struct apple_dma *ad = container_of(e, struct apple_dma, engine);
	struct apple_dma_managed *m = &ad->managed;

	mutex_lock(&m->lock);
	if (m->dev && m->attached && !m->offline) {
		m->offline = true;
		WRITE_ONCE(to_pci_dev(m->dev)->error_state,
			   pci_channel_io_perm_failure);
	}
	mutex_unlock(&m->lock);
}

/**
 * apple_dma_managed_lose() - what the device's driver has mapped is gone
 * @ad: the companion
 *
 * Followed by apple_dma_managed_probe_again().
 *
 * Context: may sleep.
 */
void apple_dma_managed_lose(struct apple_dma *ad)
{
	struct apple_dma_managed *m = &ad->managed;

	mutex_lock(&m->lock);
	m->lost = m->attached;
	if (m->lost)
		dev_err(&ad->pdev->dev,
			"the host forgot, while the guest slept, what %s has mapped; its driver is probed again\n",
			dev_name(m->dev));
	mutex_unlock(&m->lock);
}

/**
 * apple_dma_managed_probe_again() - after apple_dma_managed_lose(), if it was
 * @ad: the companion
 *
 * Context: may sleep; devices are awake.
 */
void apple_dma_managed_probe_again(struct apple_dma *ad)
{
	struct apple_dma_managed *m = &ad->managed;

	mutex_lock(&m->lock);
	if (m->lost)
		apple_dma_work_queue(&m->work);
	mutex_unlock(&m->lock);
}

/**
 * apple_dma_managed_quiesce() - keep the device from doing DMA
 * @ad: the companion
 *
 * For shutdown: not every driver stops its device there, and what it maps is
 * about to be released.
 *
 * Context: may sleep.
 */
void apple_dma_managed_quiesce(struct apple_dma *ad)
{
	mutex_lock(&ad->managed.lock);
	if (ad->managed.dev) {
		/* To a device that is gone nothing would be written. */
		managed_bring_back(ad, ad->managed.dev);
		pci_clear_master(to_pci_dev(ad->managed.dev));
	}
	mutex_unlock(&ad->managed.lock);
}
