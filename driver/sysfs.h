/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counters and settings in sysfs.
 */
#ifndef APPLE_DMA_SYSFS_H
#define APPLE_DMA_SYSFS_H

#include <linux/device.h>
#include <linux/sysfs.h>

struct apple_dma;

extern const struct attribute_group apple_dma_sysfs_group;

int apple_dma_sysfs_mode(const char *name);
void apple_dma_sysfs_link(struct apple_dma *ad, struct device *dev);
void apple_dma_sysfs_unlink(struct apple_dma *ad);

#endif /* APPLE_DMA_SYSFS_H */
