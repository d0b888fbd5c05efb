/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The real parts of a guest in the testbed: companions, the edu devices that
 * they manage, and a driver for these that a case controls.
 */
#ifndef APPLE_DMA_BOARD_H
#define APPLE_DMA_BOARD_H

#include <linux/pci.h>

#include "check.h"

struct apple_dma;

/* ---- driver/main.c, through main-seam.h ---- */

int seam_main_init(void);
void seam_main_exit(void);
int seam_keep_driver(struct pci_driver *driver);

/* ---- the board ---- */

#define BOARD_DEVICES	2U

/* What the driver allocates, bytes. */
#define BOARD_KEPT	8192

/* What the driver of the devices does. */
enum board_probe {
	BOARD_PLAIN,	/* maps a page; unmaps it when it is removed */
	BOARD_FAIL,	/* allocates with devres, and fails */
	BOARD_LEAVE,	/* maps a page, and leaves it mapped */
	BOARD_KEEP,	/* allocates, and frees when the case says so */
};

/**
 * struct board - the devices, and what their driver has seen
 * @companion: the companions, with a reference
 * @device: the device that each of them manages, with a reference
 * @probe: what the driver does
 * @probes: how often it was probed
 * @removes: how often it was removed
 * @ops: the last device's in its probe
 * @was_offline: the last device was said to be gone when it was removed
 * @failed: what the driver wanted of the DMA API failed
 * @page: what it maps and leaves
 * @kept: what it allocated
 * @kept_addr: its device address
 */
struct board {
	struct pci_dev *companion[BOARD_DEVICES];
	struct pci_dev *device[BOARD_DEVICES];
	enum board_probe probe;
	unsigned int probes;
	unsigned int removes;
	const struct dma_map_ops *ops;
	bool was_offline;
	bool failed;
	struct page *page;
	void *kept;
	dma_addr_t kept_addr;
};

extern struct board board;

int board_start(struct kunit_suite *suite);
void board_stop(struct kunit_suite *suite);
int board_init(struct kunit *test);
void board_exit(struct kunit *test);
struct apple_dma *board_ad(unsigned int i);
bool board_wait(bool (*condition)(void));
void board_free(unsigned int i);
bool board_bound(unsigned int i);
bool board_attach(struct pci_dev *pdev);
void board_unplug(struct kunit *test, unsigned int i);
void board_plug(struct kunit *test, unsigned int i);

#endif /* APPLE_DMA_BOARD_H */
