// SPDX-License-Identifier: GPL-2.0-only
/*
 * The real parts of a guest in the testbed: see board.h.
 */

#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "board.h"
#include "rooms.h"
#include "queue.h"

#define EDU_VENDOR	0x1234
#define EDU_DEVICE	0x11e8

struct board board;

/* ---- driver/main.c ---- */

static struct pci_driver *main_driver;

/**
 * seam_keep_driver() - in place of pci_register_driver() in driver/main.c
 * @driver: the driver, or NULL when it is unregistered
 *
 * Return: 0.
 */
int seam_keep_driver(struct pci_driver *driver)
{
	main_driver = driver;
	return 0;
}

int queue_start(void)
{
	return seam_main_init();
}

void queue_stop(void)
{
	seam_main_exit();
}

/* ---- the driver of the devices ---- */

/**
 * struct board_map - what the plain driver has mapped
 * @page: a page
 * @addr: its device address
 */
struct board_map {
	struct page *page;
	dma_addr_t addr;
};

static int map_page(struct device *dev)
{
	struct board_map *m = kzalloc(sizeof(*m), GFP_KERNEL);

	if (!m)
		return -ENOMEM;
	m->page = alloc_page(GFP_KERNEL);
	if (!m->page)
		goto free;
	m->addr = dma_map_page(dev, m->page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);
	if (dma_mapping_error(dev, m->addr))
		goto free_page;
	dev_set_drvdata(dev, m);
	return 0;

free_page:
	__free_page(m->page);
free:
	kfree(m);
	return -ENOMEM;
}

static void unmap_page(struct device *dev)
{
	struct board_map *m = dev_get_drvdata(dev);

	if (!m)
		return;
	dma_unmap_page(dev, m->addr, PAGE_SIZE, DMA_BIDIRECTIONAL);
	__free_page(m->page);
	kfree(m);
}

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct device *dev = &pdev->dev;
	dma_addr_t addr;

	board.probes++;
	board.ops = get_dma_ops(dev);
	/* Without them the device could only do harm. */
	if (!apple_dma_is_ours(board.ops))
		return 0;
	board.failed |= dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));
	switch (board.probe) {
	case BOARD_PLAIN:
		if (!map_page(dev))
			return 0;
		board.failed = true;
		return -ENOMEM;
	/* Not through the DMA API, which would report a misuse. */
	case BOARD_LEAVE:
		addr = apple_dma_map(&container_of(board.ops, struct apple_dma,
						   ops)->engine,
				     page_to_phys(board.page), PAGE_SIZE,
				     DMA_BIT_MASK(64));
		board.failed |= addr == DMA_MAPPING_ERROR;
		return 0;
	case BOARD_KEEP:
		board.kept = board.ops->alloc(dev, BOARD_KEPT,
					      &board.kept_addr, GFP_KERNEL, 0);
		board.failed |= !board.kept;
		return 0;
	case BOARD_FAIL:
		board.failed |= !dmam_alloc_coherent(dev, BOARD_KEPT, &addr,
						     GFP_KERNEL);
		return -EIO;
	}
	return 0;
}

static void edu_remove(struct pci_dev *pdev)
{
	board.removes++;
	board.was_offline = pci_channel_offline(pdev);
	unmap_page(&pdev->dev);
}

static const struct pci_device_id edu_ids[] = {
	{ PCI_DEVICE(EDU_VENDOR, EDU_DEVICE) },
	{ }
};

static struct pci_driver edu_driver = {
	.name = "apple_dma_board",
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
};

/* ---- what cases use ---- */

/**
 * board_ad() - a companion's data
 * @i: which
 *
 * Return: NULL if it has no driver.
 */
struct apple_dma *board_ad(unsigned int i)
{
	return pci_get_drvdata(board.companion[i]);
}

/**
 * board_wait() - wait for work in the background
 * @condition: what to wait for
 *
 * Return: the last value of @condition.
 */
bool board_wait(bool (*condition)(void))
{
	unsigned int i;

	for (i = 0; i < 1000 && !condition(); i++)
		msleep(20);
	return condition();
}

/**
 * board_free() - free what BOARD_KEEP allocated
 * @i: for which device
 */
void board_free(unsigned int i)
{
	struct device *dev = &board.device[i]->dev;

	get_dma_ops(dev)->free(dev, BOARD_KEPT, board.kept, board.kept_addr, 0);
}

/**
 * board_attach() - bind a driver to a device that has none
 * @pdev: the device
 *
 * Return: true if it has one now.
 */
bool board_attach(struct pci_dev *pdev)
{
	return device_attach(&pdev->dev) == 1;
}

/**
 * board_unplug() - a device goes away
 * @test: the case
 * @i: whose device
 */
void board_unplug(struct kunit *test, unsigned int i)
{
	pci_stop_and_remove_bus_device_locked(board.device[i]);
	pci_dev_put(board.device[i]);
	board.device[i] = NULL;
}

/**
 * board_plug() - a device that went away is back
 * @test: the case; ended if it does not come
 * @i: whose device
 */
void board_plug(struct kunit *test, unsigned int i)
{
	struct pci_dev *pdev = NULL, *other = board.device[!i];

	pci_lock_rescan_remove();
	pci_rescan_bus(pci_find_bus(pci_domain_nr(board.companion[i]->bus), 0));
	pci_unlock_rescan_remove();
	while ((pdev = pci_get_device(EDU_VENDOR, EDU_DEVICE, pdev)))
		if (pdev != other)
			break;
	board.device[i] = pdev;
	CHECK(test, pdev);
}

static void put_devices(void)
{
	unsigned int i;

	for (i = 0; i < BOARD_DEVICES; i++) {
		pci_dev_put(board.companion[i]);
		pci_dev_put(board.device[i]);
	}
	if (board.page)
		__free_page(board.page);
	memset(&board, 0, sizeof(board));
}

/* The device that the host names, as driver/claim.c finds it. */
static struct pci_dev *managed_by(struct pci_dev *companion)
{
	void __iomem *bar;
	u32 bdf;

	if (pci_enable_device_mem(companion))
		return NULL;
	bar = pci_iomap(companion, APPLE_DMA_BAR, APPLE_DMA_BAR_SIZE);
	if (!bar)
		return NULL;
	bdf = readl(bar + APPLE_DMA_REG_MANAGED_BDF);
	pci_iounmap(companion, bar);
	pci_disable_device(companion);
	return pci_get_domain_bus_and_slot(pci_domain_nr(companion->bus),
					   bdf >> 8, bdf & 0xff);
}

/**
 * board_start() - a suite's .suite_init: find the devices, register drivers
 * @suite: the suite
 *
 * The driver of the devices is registered first, as in many guests.
 *
 * Return: 0 or an error.
 */
int board_start(struct kunit_suite *suite)
{
	struct pci_dev *pdev = NULL;
	unsigned int i;
	int err;

	memset(&board, 0, sizeof(board));
	for (i = 0; i < BOARD_DEVICES; i++) {
		pdev = pci_get_device(APPLE_DMA_PCI_VENDOR_ID,
				      APPLE_DMA_PCI_DEVICE_ID, pdev);
		board.companion[i] = pci_dev_get(pdev);
		if (pdev)
			board.device[i] = managed_by(pdev);
		if (!pdev || !board.device[i]) {
			pr_err("%s: the guest needs two edu devices with a companion each\n",
			       KBUILD_MODNAME);
			put_devices();
			pci_dev_put(pdev);
			return -ENODEV;
		}
	}
	pci_dev_put(pdev);
	board.page = alloc_page(GFP_KERNEL);
	if (!board.page) {
		put_devices();
		return -ENOMEM;
	}
	err = pci_register_driver(&edu_driver);
	if (!err) {
		err = pci_register_driver(main_driver);
		if (err)
			pci_unregister_driver(&edu_driver);
	}
	if (err)
		put_devices();
	return err;
}

/**
 * board_stop() - undo board_start(): a suite's .suite_exit
 * @suite: the suite
 */
void board_stop(struct kunit_suite *suite)
{
	if (!board.page)
		return;
	pci_unregister_driver(&edu_driver);
	pci_unregister_driver(main_driver);
	put_devices();
}

/**
 * board_bound() - has a device a driver, whose probe has ended?
 * @i: which
 */
bool board_bound(unsigned int i)
{
	struct pci_dev *pdev = board.device[i];
	bool bound;

	if (!pdev)
		return false;
	device_lock(&pdev->dev);
	bound = pdev->dev.driver;
	device_unlock(&pdev->dev);
	return bound;
}

static bool all_bound(void)
{
	return board_bound(0) && board_bound(1);
}

/**
 * board_init() - a suite's .init: both devices are bound, to the plain driver
 * @test: the case
 *
 * Return: 0 or an error.
 */
int board_init(struct kunit *test)
{
	unsigned int i;

	board.probe = BOARD_PLAIN;
	for (i = 0; i < BOARD_DEVICES; i++) {
		if (!board.companion[i]->dev.driver)
			board_attach(board.companion[i]);
		if (!board.device[i])
			board_plug(test, i);
		/* If only the companion was unbound, a work item does it. */
		if (!board_bound(i))
			board_attach(board.device[i]);
	}
	if (!board_wait(all_bound))
		return -ENODEV;
	/* Nothing is left of what was before. */
	for (i = 0; i < BOARD_DEVICES; i++) {
		device_release_driver(&board.device[i]->dev);
		if (!board_attach(board.device[i]))
			return -ENODEV;
	}
	board.probes = 0;
	board.removes = 0;
	board.failed = false;
	return 0;
}

/**
 * board_exit() - a suite's .exit
 * @test: the case
 */
void board_exit(struct kunit *test)
{
	EXPECT(test, !board.failed);
	board.probe = BOARD_PLAIN;
}
