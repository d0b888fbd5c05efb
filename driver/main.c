// SPDX-License-Identifier: GPL-2.0-only
/*
 * apple_dma: DMA for PCI passthrough on Apple Silicon Macs.
 *
 * The PCI driver of the companion, apple-dma-pci: it ties together the
 * transport to the host, the engine of windows, and the passthrough device.
 */

#include <linux/module.h>
#include <linux/pci.h>

#include "companion.h"
#include "debugfs.h"
#include "pm.h"
#include "sysfs.h"
#include "window.h"
#include "work.h"

static unsigned long long max_bytes = APPLE_DMA_DEFAULT_MAX_BYTES;
module_param(max_bytes, ullong, 0444);
MODULE_PARM_DESC(max_bytes,
		 "Most bytes registered with the host for all devices together (default 1428 MiB)");

static bool budget_per_device;
module_param(budget_per_device, bool, 0444);
MODULE_PARM_DESC(budget_per_device,
		 "Each device may have max_bytes; only for hosts known to have so much for each (default N)");

static unsigned int max_entries = APPLE_DMA_DEFAULT_MAX_MAPPINGS;
module_param(max_entries, uint, 0444);
MODULE_PARM_DESC(max_entries,
		 "Most registrations with the host for each device (default 65536)");

static char *mode = "cached";
module_param(mode, charp, 0444);
MODULE_PARM_DESC(mode,
		 "cached: registrations are kept for reuse (default); strict: gone before an unmap returns");

static unsigned int idle_ms = 60000;
module_param(idle_ms, uint, 0444);
MODULE_PARM_DESC(idle_ms,
		 "Idle registrations are given back after so many ms, 0: when the room is needed (default 60000)");

static unsigned int batch_max = APPLE_DMA_BATCH_MAX;
module_param(batch_max, uint, 0444);
MODULE_PARM_DESC(batch_max,
		 "Most registrations asked for at once, while interrupts are off (1 to 64, default 64)");

static unsigned int doorbell_us = 1000;
module_param(doorbell_us, uint, 0444);
MODULE_PARM_DESC(doorbell_us,
		 "How long the host should work on one batch, 0: any time (default 1000 us)");

static char *ops = "auto";
module_param(ops, charp, 0444);
MODULE_PARM_DESC(ops,
		 "dma_ops: DMA operations of the device; premap: memory is registered once; auto: dma_ops if the kernel has them (default)");

/* The bytes of all companions of the guest. */
static struct apple_dma_budget apple_dma_guest_budget =
	APPLE_DMA_BUDGET_INIT(apple_dma_guest_budget);

static void apple_dma_limits(struct apple_dma *ad,
			     struct apple_dma_limits *limits)
{
	limits->budget = budget_per_device ? NULL : &apple_dma_guest_budget;
	limits->bytes = round_down((u64)max_bytes, APPLE_DMA_GRANULE_SIZE);
	limits->entries = max_entries;
	limits->batch = min(ad->transport.host_max, batch_max);

	if (max_bytes > APPLE_DMA_DEFAULT_MAX_BYTES ||
	    max_entries > APPLE_DMA_DEFAULT_MAX_MAPPINGS)
		dev_warn(&ad->pdev->dev,
			 "the limits are above what Macs are known to allow (%llu bytes, %u entries); more has been seen to take down the host\n",
			 APPLE_DMA_DEFAULT_MAX_BYTES,
			 APPLE_DMA_DEFAULT_MAX_MAPPINGS);
}

static int apple_dma_map_bar(struct pci_dev *pdev, void __iomem **bar)
{
	int err;

	if (!(pci_resource_flags(pdev, APPLE_DMA_BAR) & IORESOURCE_MEM) ||
	    pci_resource_len(pdev, APPLE_DMA_BAR) < APPLE_DMA_BAR_SIZE) {
		dev_err(&pdev->dev, "BAR %d is not %#x bytes of memory\n",
			APPLE_DMA_BAR, APPLE_DMA_BAR_SIZE);
		return -ENODEV;
	}
	err = pcim_enable_device(pdev);
	if (err)
		return err;
	if (!devm_request_mem_region(&pdev->dev,
				     pci_resource_start(pdev, APPLE_DMA_BAR),
				     APPLE_DMA_BAR_SIZE, KBUILD_MODNAME))
		return -EBUSY;
	*bar = pcim_iomap(pdev, APPLE_DMA_BAR, APPLE_DMA_BAR_SIZE);
	return *bar ? 0 : -ENOMEM;
}

static int apple_dma_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct apple_dma_limits limits;
	struct apple_dma *ad;
	void __iomem *bar;
	int err;

	ad = apple_dma_companion_new(pdev);
	if (!ad)
		return -ENOMEM;
	pci_set_drvdata(pdev, ad);
	err = apple_dma_map_bar(pdev, &bar);
	if (err)
		goto put;
	err = apple_dma_transport_init(&ad->transport, &pdev->dev, bar);
	if (err)
		goto put;
	apple_dma_transport_set_doorbell_us(&ad->transport, doorbell_us);
	apple_dma_limits(ad, &limits);
	err = apple_dma_engine_create(&ad->engine, &pdev->dev, &limits,
				      &apple_dma_transport_ops, &ad->transport);
	if (err)
		goto free_transport;
	ad->engine.broke = apple_dma_managed_offline;
	ad->engine.idle_ms = idle_ms;
	ad->engine.mode = apple_dma_sysfs_mode(mode);
	err = apple_dma_premap_init(&ad->premap, apple_dma_premap_mode(ops));
	if (err)
		goto destroy_engine;
	err = apple_dma_balloon_start(ad);
	if (err)
		goto exit_premap;
	err = apple_dma_managed_init(ad, readl(bar + APPLE_DMA_REG_MANAGED_BDF));
	if (err)
		goto stop_balloon;
	err = apple_dma_transport_start(&ad->transport);
	if (err)
		goto exit_managed;
	err = sysfs_create_group(&pdev->dev.kobj, &apple_dma_sysfs_group);
	if (err)
		goto stop_engine;
	err = apple_dma_managed_start(ad);
	if (err)
		goto remove_group;
	apple_dma_debugfs_add(ad);

	dev_info(&pdev->dev,
		 "ready: %s layout, up to %llu MiB in %u mappings, %u in a batch; the bytes are for %s\n",
		 ad->transport.wide ? "wide" : "RFC", limits.bytes >> 20,
		 limits.entries, limits.batch,
		 limits.budget ? "all devices together" : "this device");
	return 0;

remove_group:
	sysfs_remove_group(&pdev->dev.kobj, &apple_dma_sysfs_group);
stop_engine:
	apple_dma_premap_release(&ad->premap, &ad->engine);
	apple_dma_engine_stop(&ad->engine);
	apple_dma_transport_clear(&ad->transport);
exit_managed:
	apple_dma_managed_exit(ad);
stop_balloon:
	apple_dma_balloon_stop(ad);
exit_premap:
	apple_dma_premap_exit(&ad->premap);
destroy_engine:
	apple_dma_engine_destroy(&ad->engine);
free_transport:
	apple_dma_transport_free(&ad->transport, ad->engine.broken);
put:
	apple_dma_companion_put(ad);
	return err;
}

static void apple_dma_remove(struct pci_dev *pdev)
{
	struct apple_dma *ad = pci_get_drvdata(pdev);

	apple_dma_debugfs_remove(ad);
	apple_dma_managed_stop(ad);
	sysfs_remove_group(&pdev->dev.kobj, &apple_dma_sysfs_group);
	apple_dma_premap_release(&ad->premap, &ad->engine);
	apple_dma_engine_stop(&ad->engine);
	apple_dma_transport_clear(&ad->transport);
	apple_dma_managed_exit(ad);
	apple_dma_balloon_stop(ad);
	apple_dma_premap_exit(&ad->premap);
	apple_dma_engine_destroy(&ad->engine);
	apple_dma_transport_free(&ad->transport, ad->engine.broken);
	apple_dma_companion_put(ad);
}

/*
 * Before a reboot or a kexec. The host forgets nothing by itself, so leave it
 * clean: nothing is registered, and no command page is known.
 */
static void apple_dma_shutdown(struct pci_dev *pdev)
{
	struct apple_dma *ad = pci_get_drvdata(pdev);

	apple_dma_managed_quiesce(ad);
	apple_dma_engine_stop(&ad->engine);
	apple_dma_transport_clear(&ad->transport);
}

static const struct pci_device_id apple_dma_ids[] = {
	{ PCI_DEVICE(APPLE_DMA_PCI_VENDOR_ID, APPLE_DMA_PCI_DEVICE_ID) },
	{ }
};
MODULE_DEVICE_TABLE(pci, apple_dma_ids);

static struct pci_driver apple_dma_driver = {
	.name = KBUILD_MODNAME,
	.id_table = apple_dma_ids,
	.probe = apple_dma_probe,
	.remove = apple_dma_remove,
	.shutdown = apple_dma_shutdown,
	.driver.pm = &apple_dma_pm_ops,
};

static int __init apple_dma_init(void)
{
	int err;

	if (max_bytes < APPLE_DMA_GRANULE_SIZE || !max_entries) {
		pr_err("apple_dma: max_bytes must be at least %u and max_entries at least 1\n",
		       APPLE_DMA_GRANULE_SIZE);
		return -EINVAL;
	}
	if (!batch_max || batch_max > APPLE_DMA_BATCH_MAX) {
		pr_err("apple_dma: batch_max must be 1 to %u\n",
		       APPLE_DMA_BATCH_MAX);
		return -EINVAL;
	}
	if (apple_dma_sysfs_mode(mode) < 0) {
		pr_err("apple_dma: mode=%s is not known; it must be cached or strict\n",
		       mode);
		return -EINVAL;
	}
	err = apple_dma_premap_mode(ops);
	if (err < 0) {
		pr_err("apple_dma: ops=%s is not possible; it must be auto, premap or, if the kernel has DMA operations per device, dma_ops\n",
		       ops);
		return err;
	}
	err = apple_dma_window_init();
	if (err)
		return err;
	err = apple_dma_work_init();
	if (err)
		goto exit_window;
	err = apple_dma_pm_init();
	if (err)
		goto exit_work;
	apple_dma_debugfs_init();
	err = pci_register_driver(&apple_dma_driver);
	if (err)
		goto exit_debugfs;
	return 0;

exit_debugfs:
	apple_dma_debugfs_exit();
	apple_dma_pm_exit();
exit_work:
	apple_dma_work_exit();
exit_window:
	apple_dma_window_exit();
	return err;
}
module_init(apple_dma_init);

static void __exit apple_dma_exit(void)
{
	pci_unregister_driver(&apple_dma_driver);
	apple_dma_debugfs_exit();
	apple_dma_pm_exit();
	apple_dma_work_exit();
	apple_dma_window_exit();
}
module_exit(apple_dma_exit);

MODULE_DESCRIPTION("DMA mapping for PCI passthrough on Apple Silicon Macs");
MODULE_AUTHOR("The apple-dma authors");
MODULE_LICENSE("GPL");
MODULE_VERSION(APPLE_DMA_MODULE_VERSION);
