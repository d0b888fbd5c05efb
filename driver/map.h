/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Mappings of drivers inside windows.
 */
#ifndef APPLE_DMA_MAP_H
#define APPLE_DMA_MAP_H

#include <linux/scatterlist.h>

#include "engine.h"

dma_addr_t apple_dma_map(struct apple_dma_engine *e, phys_addr_t phys,
			 size_t size, u64 mask);
dma_addr_t apple_dma_refuse(struct apple_dma_engine *e,
			    enum apple_dma_fail cause, size_t size);
int apple_dma_unmap(struct apple_dma_engine *e, dma_addr_t addr, size_t size,
		    phys_addr_t *phys);
int apple_dma_map_list(struct apple_dma_engine *e, struct scatterlist *sgl,
		       int nents, u64 mask, u64 boundary);
int apple_dma_unmap_list(struct apple_dma_engine *e, struct scatterlist *sgl,
			 int nents);

#endif /* APPLE_DMA_MAP_H */
