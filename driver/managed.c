// SPDX-License-Identifier: GPL-2.0-only
/*
 * The passthrough device of a companion.
 *
 * It is there when the companion is probed, or appears later. A device link
 * makes the driver core keep the order: the device has no driver while the
 * companion has none. The module's ops are on the device, and the module is
 * pinned, from BIND_DRIVER, after the bus has set up DMA and before the probe,
 * to UNBOUND_DRIVER, after the last devres is freed.
 *
 * DRIVER_NOT_BOUND of a failed probe arrives while devres still has memory to
 * free through the ops. So a work item removes them. It takes the device's
 * lock, and so waits for the probe to end.
 */

#include <linux/module.h>
#include <linux/pci.h>

#include "claim.h"
#include "coherent.h"
#include "companion.h"
#include "compat.h"
#include "dma_ops.h"
#include "quarantine.h"
#include "sysfs.h"
#include "work.h"

/* A reference to the device, or NULL while it is not there. */
static struct device *managed_get(struct apple_dma *ad)
{
	struct device *dev;

	mutex_lock(&ad->managed.lock);
	dev = get_device(ad->managed.dev);
	mutex_unlock(&ad->managed.lock);
	return dev;
}

/* ---- ops on and off; the driver of the device does not change ---- */

static void __managed_attach(struct apple_dma *ad, struct device *dev)
{
	const struct dma_map_ops *ops = get_dma_ops(dev);

	lockdep_assert_held(&ad->managed.lock);
	/* Ops of an earlier companion serve its orphans only. */
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
	if (!ad->managed.attached && !try_module_get(THIS_MODULE)) {
		dev_err(&ad->pdev->dev,
			"%s is bound to a driver while apple_dma is being unloaded; its DMA cannot work\n",
			dev_name(dev));
		return;
	}
	ad->managed.attached = true;
	if (ad->premap.wanted) {
		apple_dma_premap_attach(&ad->premap, &ad->engine, dev);
		return;
	}
	apple_dma_premap_forget(dev);
	apple_dma_engine_open(&ad->engine);
	set_dma_ops(dev, &ad->ops);
}

/*
 * A device without a driver has ops only while memory of its last driver is not
 * freed; they may be those of an earlier companion.
 */
static void managed_leave_ops(struct device *dev)
{
	const struct dma_map_ops *ops = get_dma_ops(dev);

	/* On some kernels the core has removed them already. */
	if (!ops || apple_dma_is_ours(ops))
		set_dma_ops(dev, apple_dma_coherent_ops(dev));
}

/* Tell the driver that its device is gone. */
static void __managed_offline(struct apple_dma_managed *m)
{
	lockdep_assert_held(&m->lock);
	if (!m->dev || !m->attached || m->offline)
		return;
	m->offline = true;
	WRITE_ONCE(to_pci_dev(m->dev)->error_state,
		   pci_channel_io_perm_failure);
}

/*
 * A driver that was told that its device is gone did not stop it. Stop it for
 * the next driver.
 */
static void __managed_bring_back(struct apple_dma *ad, struct device *dev)
{
	struct pci_dev *pdev = to_pci_dev(dev);

	lockdep_assert_held(&ad->managed.lock);
	if (!ad->managed.offline)
		return;
	ad->managed.offline = false;
	WRITE_ONCE(pdev->error_state, pci_channel_io_normal);
	pci_clear_master(pdev);
}

/* The driver is gone: nothing that it mapped stays on the host. */
static void __managed_detach(struct apple_dma *ad, struct device *dev)
{
	u64 left, fresh;
	bool released;

	lockdep_assert_held(&ad->managed.lock);
	ad->managed.lost = false;
	if (!ad->managed.attached)
		return;
	__managed_bring_back(ad, dev);
	if (ad->premap.wanted) {
		apple_dma_premap_detach(&ad->premap, &ad->engine, dev);
		goto detached;
	}
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
detached:
	ad->managed.attached = false;
	module_put(THIS_MODULE);
}

/**
 * apple_dma_managed_reap() - the last orphan is gone
 * @work: the companion's
 *
 * Removes the ops if nothing else needs them, and drops the references of
 * orphans.
 *
 * Context: may sleep.
 */
void apple_dma_managed_reap(struct work_struct *work)
{
	struct apple_dma *ad = container_of(work, struct apple_dma,
					    coherent.reap);
	struct device *dev;

	if (!apple_dma_coherent_reap(ad))
		return;
	dev = managed_get(ad);
	if (dev) {
		device_lock(dev);
		mutex_lock(&ad->managed.lock);
		if (!ad->managed.attached && get_dma_ops(dev) == &ad->ops)
			managed_leave_ops(dev);
		mutex_unlock(&ad->managed.lock);
		device_unlock(dev);
		put_device(dev);
	}
	apple_dma_companion_put(ad);
	module_put(THIS_MODULE);
}

/* ---- the device is added and removed ---- */

/*
 * Manage the device. If there is no memory for the link it is not managed, and
 * the next event tries again. While it is being @bound to a driver no event
 * follows, and without ops the driver would use addresses that are no device
 * addresses. So it is managed without the link then, and
 * apple_dma_managed_stop() unbinds the driver instead of the core.
 */
static int __managed_found(struct apple_dma *ad, struct device *dev, bool bound)
{
	struct apple_dma_managed *m = &ad->managed;

	lockdep_assert_held(&m->lock);
	if (m->dev)
		return 0;
	if (apple_dma_claim_check(ad, to_pci_dev(dev)))
		return -EINVAL;
	/*
	 * No flag that removes the link: while the companion has no driver the
	 * device cannot do DMA, and the core keeps it unbound.
	 */
	if (!device_link_add(dev, &ad->pdev->dev, 0)) {
		dev_err(&ad->pdev->dev, "cannot link %s to the companion\n",
			dev_name(dev));
		if (!bound)
			return -EINVAL;
	}
	m->dev = get_device(dev);
	apple_dma_sysfs_link(ad, dev);
	dev_info(&ad->pdev->dev, "manages the DMA of %s\n", dev_name(dev));
	return 0;
}

static int apple_dma_managed_notify(struct notifier_block *nb,
				    unsigned long action, void *data)
{
	struct apple_dma *ad = container_of(nb, struct apple_dma, managed.nb);
	struct apple_dma_managed *m = &ad->managed;
	struct device *dev = data;

	if (!apple_dma_claim_is(ad, to_pci_dev(dev)))
		return NOTIFY_DONE;

	mutex_lock(&m->lock);
	switch (action) {
	case BUS_NOTIFY_ADD_DEVICE:
		__managed_found(ad, dev, false);
		break;
	case BUS_NOTIFY_BIND_DRIVER:
		__managed_found(ad, dev, true);
		if (m->dev == dev)
			__managed_attach(ad, dev);
		break;
	case BUS_NOTIFY_UNBIND_DRIVER:
		/* What it cannot map it would try for ever. */
		if (m->dev == dev && ad->premap.stale)
			__managed_offline(m);
		break;
	case BUS_NOTIFY_UNBOUND_DRIVER:
		if (m->dev == dev)
			__managed_detach(ad, dev);
		break;
	case BUS_NOTIFY_DRIVER_NOT_BOUND:
		if (m->dev == dev)
			apple_dma_work_queue(&m->work);
		break;
	case BUS_NOTIFY_REMOVED_DEVICE:
		if (m->dev == dev) {
			__managed_detach(ad, dev);
			apple_dma_sysfs_unlink(ad);
			put_device(dev);
			m->dev = NULL;
			/* Another device has nothing to free. */
			ad->premap.n = 0;
		}
		break;
	}
	mutex_unlock(&m->lock);
	return NOTIFY_OK;
}

/* The core defers this while the companion's own probe has not ended. */
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
	dev = get_device(m->dev);
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
		__managed_detach(ad, dev);
	mutex_unlock(&m->lock);
	device_unlock(dev);

	if (reattach)
		managed_bind_again(ad, dev);
	put_device(dev);
}

/* Can the device's driver map? Its lock is held, or it is not bound meanwhile. */
static bool managed_serves(struct apple_dma *ad, struct device *dev)
{
	return ad->premap.wanted ? READ_ONCE(ad->managed.attached) :
				   apple_dma_is_ours(get_dma_ops(dev));
}

/*
 * A driver that was bound without the ops has device addresses that mean
 * nothing to the host; only a new probe helps. Returns true if it was released.
 */
static bool managed_release_unmapped(struct apple_dma *ad, struct pci_dev *pdev)
{
	struct device_driver *driver;
	bool bound;

	/* Without the device's lock its driver, and the name, may go. */
	device_lock(&pdev->dev);
	driver = pdev->dev.driver;
	bound = driver && !managed_serves(ad, &pdev->dev);
	if (bound)
		dev_notice(&ad->pdev->dev,
			   "%s was bound to %s before apple_dma was there; it is probed again\n",
			   pci_name(pdev), driver->name);
	device_unlock(&pdev->dev);
	if (bound)
		device_release_driver(&pdev->dev);
	return bound;
}

/**
 * apple_dma_managed_init() - claim the device that the host names
 * @ad: the companion; its @managed is zeroed
 * @bdf: MANAGED_BDF as the host gave it
 *
 * If the device is there already and has a driver, it loses it here, before
 * the host starts to enforce what the companion maps.
 *
 * Context: may sleep; the companion is being probed.
 * Return: 0; -EINVAL or -EBUSY after a message.
 */
int apple_dma_managed_init(struct apple_dma *ad, u32 bdf)
{
	struct apple_dma_managed *m = &ad->managed;
	struct pci_dev *pdev;
	int err;

	INIT_WORK(&m->work, apple_dma_managed_work);
	INIT_WORK(&ad->coherent.reap, apple_dma_managed_reap);
	err = apple_dma_claim_init(ad, bdf);
	if (err)
		return err;

	pdev = apple_dma_claim_get(ad);
	if (!pdev)
		return 0;
	err = apple_dma_claim_check(ad, pdev);
	if (err)
		apple_dma_claim_exit(ad);
	else
		m->released = managed_release_unmapped(ad, pdev);
	pci_dev_put(pdev);
	return err;
}

/**
 * apple_dma_managed_exit() - undo apple_dma_managed_init()
 * @ad: the companion
 *
 * If apple_dma_managed_start() was not called, a device that lost its driver is
 * bound to it again; its DMA will still fail.
 *
 * Context: may sleep.
 */
void apple_dma_managed_exit(struct apple_dma *ad)
{
	struct pci_dev *pdev = apple_dma_claim_get(ad);

	apple_dma_claim_exit(ad);
	if (pdev && ad->managed.released)
		managed_bind_again(ad, &pdev->dev);
	pci_dev_put(pdev);
}

/**
 * apple_dma_managed_start() - begin to manage the device
 * @ad: the companion, ready to map; its sysfs group exists
 *
 * From here on the ops are installed at every bind. A device that is there
 * already is bound to its driver by a work item.
 *
 * Context: may sleep; the companion is being probed.
 * Return: 0 or an error.
 */
int apple_dma_managed_start(struct apple_dma *ad)
{
	struct apple_dma_managed *m = &ad->managed;
	struct pci_dev *pdev;
	int err;

	m->released = false;
	m->nb.notifier_call = apple_dma_managed_notify;
	err = bus_register_notifier(&pci_bus_type, &m->nb);
	if (err)
		return err;

	pdev = apple_dma_claim_get(ad);
	if (!pdev) {
		dev_info(&ad->pdev->dev,
			 "waits for its device %02x:%02x.%x to appear\n",
			 ad->claim.bus, PCI_SLOT(ad->claim.devfn),
			 PCI_FUNC(ad->claim.devfn));
		return 0;
	}

	mutex_lock(&m->lock);
	err = __managed_found(ad, &pdev->dev, false);
	mutex_unlock(&m->lock);
	if (err) {
		apple_dma_managed_stop(ad);
	} else {
		/* It may have been bound again before it was linked. */
		managed_release_unmapped(ad, pdev);
		m->reattach = true;
		apple_dma_work_queue(&m->work);
	}
	pci_dev_put(pdev);
	return err;
}

/**
 * apple_dma_managed_stop() - undo apple_dma_managed_start()
 * @ad: the companion
 *
 * The driver core has unbound the device by now, because of the link. If it has
 * not, it is unbound here: no device keeps ops that are about to go.
 *
 * Context: may sleep; the companion is being removed, or its probe failed.
 */
void apple_dma_managed_stop(struct apple_dma *ad)
{
	struct apple_dma_managed *m = &ad->managed;
	struct device *dev = managed_get(ad);

	if (dev && dev->driver && managed_serves(ad, dev))
		device_release_driver(dev);
	put_device(dev);
	bus_unregister_notifier(&pci_bus_type, &m->nb);
	cancel_work_sync(&m->work);

	if (!m->dev)
		return;
	device_lock(m->dev);
	mutex_lock(&m->lock);
	__managed_detach(ad, m->dev);
	mutex_unlock(&m->lock);
	device_unlock(m->dev);
	apple_dma_sysfs_unlink(ad);
}

/* ---- the device is lost, or stopped ---- */

/**
 * apple_dma_managed_offline() - tell the device's driver that it is gone
 * @e: the engine of the companion, broken
 *
 * A driver takes a refused map for a temporary failure and retries. nvme
 * retries for ever, and could not be unbound. All drivers handle a device that
 * is gone. Ends when the driver is unbound.
 *
 * Context: may sleep.
 */
void apple_dma_managed_offline(struct apple_dma_engine *e)
{
	struct apple_dma *ad = container_of(e, struct apple_dma, engine);
	struct apple_dma_managed *m = &ad->managed;

	mutex_lock(&m->lock);
	apple_dma_premap_close(&ad->premap, m->dev, APPLE_DMA_PREMAP_BROKEN);
	__managed_offline(m);
	mutex_unlock(&m->lock);
}

/*
 * The guest gives memory back to the host from now on: nothing that is premapped can
 * be relied on. If no driver uses it, it is released. Returns whether one does. May
 * sleep.
 */
bool apple_dma_managed_close(struct apple_dma *ad)
{
	bool closed;

	mutex_lock(&ad->managed.lock);
	closed = apple_dma_premap_close(&ad->premap, ad->managed.dev,
					APPLE_DMA_PREMAP_BALLOON);
	if (!closed)
		apple_dma_premap_release(&ad->premap, &ad->engine);
	mutex_unlock(&ad->managed.lock);
	return closed;
}

/*
 * What the device's driver has mapped is gone. Call apple_dma_managed_cut_off()
 * and apple_dma_managed_probe_again() next. May sleep.
 */
void apple_dma_managed_lose(struct apple_dma *ad)
{
	struct apple_dma_managed *m = &ad->managed;

	mutex_lock(&m->lock);
	m->lost = m->attached;
	/* Also without a driver: the next one needs another arena. */
	ad->premap.stale = ad->premap.wanted;
	if (m->lost)
		dev_err(&ad->pdev->dev,
			"the host forgot, while the guest slept, what %s has mapped; its driver is probed again\n",
			dev_name(m->dev));
	mutex_unlock(&m->lock);
}

/*
 * After apple_dma_managed_lose(): the device does no DMA, and its driver is told
 * that it is gone, until it is unbound. The device's configuration is restored, and
 * its driver is still asleep. May sleep.
 */
void apple_dma_managed_cut_off(struct apple_dma *ad)
{
	struct apple_dma_managed *m = &ad->managed;

	mutex_lock(&m->lock);
	if (m->lost) {
		/* Nothing is written to a device that is said to be gone. */
		__managed_bring_back(ad, m->dev);
		pci_clear_master(to_pci_dev(m->dev));
		__managed_offline(m);
	}
	mutex_unlock(&m->lock);
}

/* After apple_dma_managed_lose(), when all devices are awake. May sleep. */
void apple_dma_managed_probe_again(struct apple_dma *ad)
{
	struct apple_dma_managed *m = &ad->managed;

	mutex_lock(&m->lock);
	if (m->lost)
		apple_dma_work_queue(&m->work);
	mutex_unlock(&m->lock);
}

/*
 * Before hibernation: a device without a driver needs nothing that is registered. May
 * sleep.
 */
void apple_dma_managed_freeze(struct apple_dma *ad)
{
	mutex_lock(&ad->managed.lock);
	if (!ad->managed.attached)
		apple_dma_premap_release(&ad->premap, &ad->engine);
	mutex_unlock(&ad->managed.lock);
}

/*
 * Keep the device from doing DMA. For shutdown: not every driver stops its
 * device there, and what is mapped is about to be released. May sleep.
 */
void apple_dma_managed_quiesce(struct apple_dma *ad)
{
	mutex_lock(&ad->managed.lock);
	if (ad->managed.dev) {
		/* Nothing is written to a device that is said to be gone. */
		__managed_bring_back(ad, ad->managed.dev);
		pci_clear_master(to_pci_dev(ad->managed.dev));
	}
	apple_dma_premap_release(&ad->premap, &ad->engine);
	mutex_unlock(&ad->managed.lock);
}
