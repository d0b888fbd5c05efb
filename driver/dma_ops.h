/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The dma_map_ops of a passthrough device.
 */
#ifndef APPLE_DMA_DMA_OPS_H
#define APPLE_DMA_DMA_OPS_H

#include <linux/dma-map-ops.h>

extern const struct dma_map_ops apple_dma_ops;

bool apple_dma_is_ours(const struct dma_map_ops *ops);

#endif /* APPLE_DMA_DMA_OPS_H */
