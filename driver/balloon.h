/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What may take memory from the guest.
 */
#ifndef APPLE_DMA_BALLOON_H
#define APPLE_DMA_BALLOON_H

#include <linux/notifier.h>

struct apple_dma;

/**
 * struct apple_dma_balloon - what may take memory from the guest
 * @pci: on the PCI bus
 * @platform: on the platform bus, for virtio-mmio
 */
struct apple_dma_balloon {
	struct notifier_block pci;
	struct notifier_block platform;
};

int apple_dma_balloon_start(struct apple_dma *ad);
void apple_dma_balloon_stop(struct apple_dma *ad);

#endif /* APPLE_DMA_BALLOON_H */
