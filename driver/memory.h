/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory allocated through the DMA API.
 */
#ifndef APPLE_DMA_MEMORY_H
#define APPLE_DMA_MEMORY_H

#include <linux/dma-map-ops.h>

struct apple_dma;

struct page *apple_dma_memory_alloc(struct apple_dma *ad, struct device *dev,
				    size_t size, dma_addr_t *addr, gfp_t gfp,
				    u64 mask);
void apple_dma_memory_free(size_t size, struct page *page, dma_addr_t addr);
u64 apple_dma_memory_orphan(struct apple_dma *ad, u64 *left);
void apple_dma_memory_drained(struct apple_dma *ad, bool reachable);
const struct dma_map_ops *apple_dma_memory_ops(struct device *dev);
bool apple_dma_memory_reap(struct apple_dma *ad);

#endif /* APPLE_DMA_MEMORY_H */
