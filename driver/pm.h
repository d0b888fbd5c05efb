/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sleep and hibernation of a companion.
 */
#ifndef APPLE_DMA_PM_H
#define APPLE_DMA_PM_H

#include <linux/pm.h>

extern const struct dev_pm_ops apple_dma_pm_ops;

int apple_dma_pm_init(void);
void apple_dma_pm_exit(void);

#endif /* APPLE_DMA_PM_H */
