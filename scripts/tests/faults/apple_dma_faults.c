// SPDX-License-Identifier: GPL-2.0-only
/*
 * What apple_dma asks the kernel for and may be refused: this module does
 * nothing but allow fault injection (debugfs fail_function) to refuse it.
 * scripts/tests/test_vm_faults.py does that, one after the other.
 */

#include <linux/debugfs.h>
#include <linux/device.h>
#include <linux/error-injection.h>
#include <linux/ioport.h>
#include <linux/memory.h>
#include <linux/mempool.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/percpu.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/suspend.h>
#include <linux/sysfs.h>
#include <linux/workqueue.h>

/* By insmod. */
ALLOW_ERROR_INJECTION(kmem_cache_create, NULL);
ALLOW_ERROR_INJECTION(alloc_workqueue, NULL);
ALLOW_ERROR_INJECTION(register_pm_notifier, ERRNO);
ALLOW_ERROR_INJECTION(__pci_register_driver, ERRNO);

/* By both. */
ALLOW_ERROR_INJECTION(debugfs_create_dir, ERRNO);

/* By the probe of a companion. */
ALLOW_ERROR_INJECTION(pci_enable_device_mem, ERRNO);
ALLOW_ERROR_INJECTION(pci_request_region, ERRNO);
ALLOW_ERROR_INJECTION(pci_iomap, NULL);
ALLOW_ERROR_INJECTION(get_zeroed_page, NULL);
ALLOW_ERROR_INJECTION(__alloc_percpu, NULL);
ALLOW_ERROR_INJECTION(mempool_create, NULL);
ALLOW_ERROR_INJECTION(walk_iomem_res_desc, ERRNO);
ALLOW_ERROR_INJECTION(register_memory_notifier, ERRNO);
ALLOW_ERROR_INJECTION(register_shrinker, ERRNO);
ALLOW_ERROR_INJECTION(bus_register_notifier, ERRNO);
ALLOW_ERROR_INJECTION(sysfs_create_group, ERRNO);
ALLOW_ERROR_INJECTION(debugfs_create_file, ERRNO);

/* By that, and as its device comes. */
ALLOW_ERROR_INJECTION(device_link_add, NULL);
ALLOW_ERROR_INJECTION(sysfs_add_link_to_group, ERRNO);

MODULE_DESCRIPTION("What apple_dma may be refused");
MODULE_AUTHOR("The apple-dma authors");
MODULE_LICENSE("GPL");
