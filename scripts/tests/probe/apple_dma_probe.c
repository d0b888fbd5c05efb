// SPDX-License-Identifier: GPL-2.0-only
/*
 * A test driver for any PCI device, bound by driver_override: it maps memory in
 * its probe and then sleeps, fails, defers its probe, or works. At its removal it
 * unmaps everything, or nothing.
 */

#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/list.h>
#include <linux/module.h>
#include <linux/nodemask.h>
#include <linux/pci.h>
#include <linux/slab.h>

static unsigned int streaming;
module_param(streaming, uint, 0644);
MODULE_PARM_DESC(streaming, "Pages to map, 256 KiB apart");

static unsigned int coherent;
module_param(coherent, uint, 0644);
MODULE_PARM_DESC(coherent, "Blocks of 16 KiB to allocate");

static unsigned int managed;
module_param(managed, uint, 0644);
MODULE_PARM_DESC(managed, "The same, freed by the driver core");

static unsigned int delay_ms;
module_param(delay_ms, uint, 0644);
MODULE_PARM_DESC(delay_ms, "How long the probe sleeps when it has mapped");

static int fail;
module_param(fail, int, 0644);
MODULE_PARM_DESC(fail, "What the probe returns, so many times:");

static unsigned int times;
module_param(times, uint, 0644);
MODULE_PARM_DESC(times, "How many more probes fail");

static bool leak;
module_param(leak, bool, 0644);
MODULE_PARM_DESC(leak, "Unmap nothing, neither after a failed probe nor at unbind");

static unsigned int probes;
module_param(probes, uint, 0444);
MODULE_PARM_DESC(probes, "How many probes there were");

static unsigned int atomic;
module_param(atomic, uint, 0644);
MODULE_PARM_DESC(atomic, "Blocks of 16 KiB to allocate with interrupts off");

static unsigned int far;
module_param(far, uint, 0644);
MODULE_PARM_DESC(far, "Pages to map of memory that the kernel uses last; how many could be is logged");

static char *limits = "";
module_param(limits, charp, 0644);
MODULE_PARM_DESC(limits, "Name of a device whose DMA limit is lifted before each bind, as ACPI does it");

#define PROBE_ORDER	6
#define PROBE_SIZE	16384

/**
 * struct piece - memory that was mapped
 * @list: in @pieces
 * @dev: for which device, with a reference
 * @page: streaming; or NULL for
 * @virt: coherent
 * @addr: device address
 * @mapped: the driver has not unmapped it
 */
struct piece {
	struct list_head list;
	struct device *dev;
	struct page *page;
	void *virt;
	dma_addr_t addr;
	bool mapped;
};

static LIST_HEAD(pieces);
static DEFINE_MUTEX(pieces_lock);

static void *alloc_atomic(struct device *dev, dma_addr_t *addr)
{
	unsigned long flags;
	void *virt;

	local_irq_save(flags);
	virt = dma_alloc_coherent(dev, PROBE_SIZE, addr, GFP_ATOMIC);
	local_irq_restore(flags);
	return virt;
}

enum piece_kind { STREAMING, COHERENT, ATOMIC };

static int add_piece(struct device *dev, enum piece_kind kind)
{
	struct piece *p = kzalloc(sizeof(*p), GFP_KERNEL);

	if (!p)
		return -ENOMEM;
	if (kind != STREAMING) {
		p->virt = kind == ATOMIC ?
			  alloc_atomic(dev, &p->addr) :
			  dma_alloc_coherent(dev, PROBE_SIZE, &p->addr,
					     GFP_KERNEL);
		if (!p->virt)
			goto free;
	} else {
		p->page = alloc_pages(GFP_KERNEL, PROBE_ORDER);
		if (!p->page)
			goto free;
		p->addr = dma_map_page(dev, p->page, 0, PAGE_SIZE,
				       DMA_BIDIRECTIONAL);
		if (dma_mapping_error(dev, p->addr))
			goto free_page;
	}
	p->mapped = true;
	p->dev = get_device(dev);
	mutex_lock(&pieces_lock);
	list_add(&p->list, &pieces);
	mutex_unlock(&pieces_lock);
	return 0;

free_page:
	__free_pages(p->page, PROBE_ORDER);
free:
	kfree(p);
	return -ENOMEM;
}

/*
 * Unmap what is mapped for a device, and free it. What was leaked by a driver
 * that is gone is not mapped any more: pages are only freed, and coherent
 * memory is given to the DMA API as late as nvme of Linux 6.1 does it.
 */
static void drop(struct device *dev, bool late)
{
	struct piece *p, *next;

	mutex_lock(&pieces_lock);
	list_for_each_entry_safe(p, next, &pieces, list) {
		if (dev && p->dev != dev)
			continue;
		if (p->virt) {
			dma_free_coherent(p->dev, PROBE_SIZE, p->virt,
					  p->addr);
		} else {
			if (!late && p->mapped)
				dma_unmap_page(p->dev, p->addr, PAGE_SIZE,
					       DMA_BIDIRECTIONAL);
			__free_pages(p->page, PROBE_ORDER);
		}
		put_device(p->dev);
		list_del(&p->list);
		kfree(p);
	}
	mutex_unlock(&pieces_lock);
}

/* What stays mapped now is never unmapped by this driver. */
static void abandon(struct device *dev)
{
	struct piece *p;

	mutex_lock(&pieces_lock);
	list_for_each_entry(p, &pieces, list)
		if (p->dev == dev)
			p->mapped = false;
	mutex_unlock(&pieces_lock);
}

static void leave(struct device *dev)
{
	if (leak)
		abandon(dev);
	else
		drop(dev, false);
}

/* Linux does not number nodes by their addresses. */
static int highest_node(void)
{
	int nid, highest = first_online_node;

	for_each_online_node(nid)
		if (node_start_pfn(nid) > node_start_pfn(highest))
			highest = nid;
	return highest;
}

/* Memory of programs is movable, and of the highest node if there are more. */
static void map_far(struct device *dev)
{
	unsigned int i, mapped = 0, direct = 0;

	for (i = 0; i < far; i++) {
		struct page *page = alloc_pages_node(highest_node(),
						     GFP_HIGHUSER_MOVABLE, 0);
		dma_addr_t addr;

		if (!page)
			break;
		addr = dma_map_page(dev, page, 0, PAGE_SIZE, DMA_TO_DEVICE);
		if (!dma_mapping_error(dev, addr)) {
			mapped++;
			direct += !dma_need_sync(dev, addr);
			dma_unmap_page(dev, addr, PAGE_SIZE, DMA_TO_DEVICE);
		}
		__free_page(page);
	}
	dev_info(dev, "apple_dma_probe: far %u of %u, %u of them direct\n",
		 mapped, far, direct);
}

static int map_all(struct device *dev)
{
	unsigned int i;
	dma_addr_t addr;
	int err = 0;

	for (i = 0; !err && i < streaming; i++)
		err = add_piece(dev, STREAMING);
	for (i = 0; !err && i < coherent; i++)
		err = add_piece(dev, COHERENT);
	for (i = 0; !err && i < atomic; i++)
		err = add_piece(dev, ATOMIC);
	if (far)
		map_far(dev);
	for (i = 0; !err && i < managed; i++)
		if (!dmam_alloc_coherent(dev, PROBE_SIZE, &addr, GFP_KERNEL))
			err = -ENOMEM;
	return err;
}

static int probe_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct device *dev = &pdev->dev;
	int err;

	probes++;
	err = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	if (!err)
		err = map_all(dev);
	if (err) {
		dev_err(dev, "apple_dma_probe: cannot map: %d\n", err);
		drop(dev, false);
		return err;
	}
	msleep(delay_ms);
	if (times) {
		times--;
		err = fail;
	}
	dev_info(dev, "apple_dma_probe: probe %u returns %d\n", probes, err);
	if (err)
		leave(dev);
	return err;
}

static void probe_remove(struct pci_dev *pdev)
{
	leave(&pdev->dev);
}

/* Matches no device: it is bound by driver_override only. */
static const struct pci_device_id probe_ids[] = {
	{ }
};

static struct pci_driver probe_driver = {
	.name = "apple_dma_probe",
	.id_table = probe_ids,
	.probe = probe_probe,
	.remove = probe_remove,
};

static int probe_notify(struct notifier_block *nb, unsigned long action,
			void *data)
{
	struct device *dev = data;

	if (action == BUS_NOTIFY_BIND_DRIVER && !strcmp(dev_name(dev), limits))
		dev->bus_dma_limit = U64_MAX;
	return NOTIFY_DONE;
}

/* Before the module, which is told after the bus has set up the device. */
static struct notifier_block probe_nb = {
	.notifier_call = probe_notify,
	.priority = 1,
};

static int __init probe_init(void)
{
	int err = bus_register_notifier(&pci_bus_type, &probe_nb);

	if (err)
		return err;
	err = pci_register_driver(&probe_driver);
	if (err)
		bus_unregister_notifier(&pci_bus_type, &probe_nb);
	return err;
}
module_init(probe_init);

static void __exit probe_exit(void)
{
	pci_unregister_driver(&probe_driver);
	bus_unregister_notifier(&pci_bus_type, &probe_nb);
	drop(NULL, true);
}
module_exit(probe_exit);

MODULE_DESCRIPTION("A PCI driver whose probe fails, sleeps or leaks");
MODULE_LICENSE("GPL");
