/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory that the device may still reach.
 */
#ifndef APPLE_DMA_QUARANTINE_H
#define APPLE_DMA_QUARANTINE_H

#include <linux/scatterlist.h>
#include <linux/types.h>

struct apple_dma;

dma_addr_t apple_dma_quarantine_try(struct apple_dma *ad, phys_addr_t phys,
				    size_t size, u64 mask, bool *reachable);
dma_addr_t apple_dma_quarantine_map(struct apple_dma *ad, phys_addr_t phys,
				    size_t size, u64 mask);
void apple_dma_quarantine_unmap(struct apple_dma *ad, dma_addr_t addr,
				size_t size);
int apple_dma_quarantine_map_sg(struct apple_dma *ad, struct scatterlist *sgl,
				int nents, u64 mask, u64 boundary);
void apple_dma_quarantine_unmap_sg(struct apple_dma *ad,
				   struct scatterlist *sgl, int nents);
void apple_dma_quarantine_free_block(struct apple_dma *ad, struct page *block,
				     unsigned int order, bool reachable);
void apple_dma_quarantine_left(struct apple_dma *ad);

#endif /* APPLE_DMA_QUARANTINE_H */
