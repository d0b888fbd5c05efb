/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counters and settings in sysfs.
 */
#ifndef APPLE_DMA_SYSFS_H
#define APPLE_DMA_SYSFS_H

#include <linux/sysfs.h>

#define APPLE_DMA_SYSFS_GROUP	"apple_dma"

extern const struct attribute_group apple_dma_sysfs_group;

int apple_dma_sysfs_mode(const char *name);

#endif /* APPLE_DMA_SYSFS_H */
