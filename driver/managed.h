/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The passthrough device of a companion.
 */
#ifndef APPLE_DMA_MANAGED_H
#define APPLE_DMA_MANAGED_H

#include <linux/device.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/workqueue.h>

struct apple_dma;
struct apple_dma_engine;

/**
 * struct apple_dma_managed - the passthrough device of one companion
 * @lock: protects @dev, @attached, @reattach, @offline, @lost
 * @nb: on the PCI bus: the device is added, bound, unbound, removed
 * @work: what cannot be done in a notifier
 * @dev: the device, with a reference; NULL while it is not there
 * @attached: the module's ops are on @dev, and the module is pinned
 * @reattach: @work is to bind @dev to its driver again
 * @released: the device lost its driver in the probe, and is not managed yet
 * @offline: @dev is marked as gone, until its driver is unbound
 * @lost: the driver's device addresses lead nowhere; @work is to unbind it first
 */
struct apple_dma_managed {
	struct mutex lock; /* dev, attached, reattach, offline, lost */
	struct notifier_block nb;
	struct work_struct work;
	struct device *dev;
	bool attached;
	bool reattach;
	bool released;
	bool offline;
	bool lost;
};

int apple_dma_managed_init(struct apple_dma *ad, u32 bdf);
void apple_dma_managed_exit(struct apple_dma *ad);
int apple_dma_managed_start(struct apple_dma *ad);
void apple_dma_managed_stop(struct apple_dma *ad);
void apple_dma_managed_reap(struct work_struct *work);
void apple_dma_managed_quiesce(struct apple_dma *ad);
void apple_dma_managed_offline(struct apple_dma_engine *e);
bool apple_dma_managed_close(struct apple_dma *ad);
void apple_dma_managed_freeze(struct apple_dma *ad);
void apple_dma_managed_lose(struct apple_dma *ad);
void apple_dma_managed_cut_off(struct apple_dma *ad);
void apple_dma_managed_probe_again(struct apple_dma *ad);

#endif /* APPLE_DMA_MANAGED_H */
