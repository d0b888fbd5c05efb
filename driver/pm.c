// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sleep and hibernation of a companion.
 */

#include <linux/suspend.h>

#include "companion.h"
#include "pm.h"
#include "recover.h"

/* The device link orders these: last to go to sleep, and first to wake. */
static int apple_dma_pm_suspend_noirq(struct device *dev)
{
	struct apple_dma *ad = dev_get_drvdata(dev);

	apple_dma_engine_suspend(&ad->engine);
	return 0;
}

/* The known hosts keep what is registered; the registers may be gone. */
static int apple_dma_pm_resume_noirq(struct device *dev)
{
	struct apple_dma *ad = dev_get_drvdata(dev);

	apple_dma_transport_program(&ad->transport);
	if (!apple_dma_engine_resume(&ad->engine))
		apple_dma_managed_lose(ad);
	return 0;
}

/* The device has its configuration back, and its driver is not awake yet. */
static int apple_dma_pm_resume_early(struct device *dev)
{
	struct apple_dma *ad = dev_get_drvdata(dev);

	apple_dma_managed_cut_off(ad);
	return 0;
}

/* The device is awake, too. */
static void apple_dma_pm_complete(struct device *dev)
{
	struct apple_dma *ad = dev_get_drvdata(dev);

	apple_dma_managed_probe_again(ad);
}

/* This kernel is about to be replaced by an image. */
static bool pm_restoring;

static int apple_dma_pm_notify(struct notifier_block *nb, unsigned long action,
			       void *data)
{
	if (action == PM_RESTORE_PREPARE)
		WRITE_ONCE(pm_restoring, true);
	else if (action == PM_POST_RESTORE)
		WRITE_ONCE(pm_restoring, false);
	return NOTIFY_DONE;
}

static struct notifier_block apple_dma_pm_nb = {
	.notifier_call = apple_dma_pm_notify,
};

/*
 * An image that is resumed in another run of the host would use device
 * addresses that are gone. The restoring kernel is not the image: the image
 * finds the mappings of that kernel like those of any earlier one.
 */
static int apple_dma_pm_freeze(struct device *dev)
{
	struct apple_dma *ad = dev_get_drvdata(dev);
	struct apple_dma_stats stats;

	apple_dma_managed_freeze(ad);
	apple_dma_engine_flush(&ad->engine);
	apple_dma_engine_snapshot(&ad->engine, &stats);
	if (stats.mapped_entries && !READ_ONCE(pm_restoring)) {
		dev_err(dev, "cannot hibernate while %llu ranges are mapped for DMA; unbind the passthrough device's driver first\n",
			stats.mapped_entries);
		return -EBUSY;
	}
	/* A search in the image would use registers not programmed yet. */
	apple_dma_engine_freeze(&ad->engine);
	return 0;
}

static int apple_dma_pm_thaw(struct device *dev)
{
	struct apple_dma *ad = dev_get_drvdata(dev);

	apple_dma_engine_thaw(&ad->engine);
	return 0;
}

/* The kernel that loaded the image has left what its drivers had mapped. */
static int apple_dma_pm_restore_noirq(struct device *dev)
{
	struct apple_dma *ad = dev_get_drvdata(dev);

	apple_dma_recover_again(&ad->engine);
	return apple_dma_pm_resume_noirq(dev);
}

const struct dev_pm_ops apple_dma_pm_ops = {
	.suspend_noirq = apple_dma_pm_suspend_noirq,
	.resume_noirq = apple_dma_pm_resume_noirq,
	.resume_early = apple_dma_pm_resume_early,
	.freeze = apple_dma_pm_freeze,
	.thaw = apple_dma_pm_thaw,
	.restore_noirq = apple_dma_pm_restore_noirq,
	.restore = apple_dma_pm_resume_early,
	.complete = apple_dma_pm_complete,
};

/**
 * apple_dma_pm_init() - watch for the restore of an image, once for the module
 *
 * Return: 0 or an error.
 */
int apple_dma_pm_init(void)
{
	return register_pm_notifier(&apple_dma_pm_nb);
}

/**
 * apple_dma_pm_exit() - undo apple_dma_pm_init()
 */
void apple_dma_pm_exit(void)
{
	unregister_pm_notifier(&apple_dma_pm_nb);
}
