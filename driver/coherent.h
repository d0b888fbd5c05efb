/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory allocated through the DMA API.
 */
#ifndef APPLE_DMA_COHERENT_H
#define APPLE_DMA_COHERENT_H

#include <linux/dma-map-ops.h>
#include <linux/list.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

struct apple_dma;

/**
 * struct apple_dma_coherent - what drivers have allocated through a companion
 * @records: struct apple_dma_allocation by page frame; its lock, taken with
 *	interrupts off, protects them, @orphans and @draining
 * @orphans: how many of @records have outlived their driver
 * @draining: the windows of new orphans are not gone from the host yet
 * @list: in the list of all companions
 * @orphaned: orphans hold one reference to the companion and to the module
 * @reap: drops these when the last orphan is gone
 */
struct apple_dma_coherent {
	struct xarray records;
	u64 orphans;
	bool draining;
	struct list_head list;
	bool orphaned;
	struct work_struct reap;
};

void apple_dma_coherent_init(struct apple_dma *ad);
void apple_dma_coherent_exit(struct apple_dma *ad);
struct page *apple_dma_coherent_alloc(struct apple_dma *ad, struct device *dev,
				      size_t size, dma_addr_t *addr, gfp_t gfp,
				      u64 mask);
void apple_dma_coherent_free(struct apple_dma *ad, size_t size,
			     struct page *page, dma_addr_t addr);
u64 apple_dma_coherent_orphan(struct apple_dma *ad, u64 *left);
void apple_dma_coherent_drained(struct apple_dma *ad, bool reachable);
const struct dma_map_ops *apple_dma_coherent_ops(struct device *dev);
bool apple_dma_coherent_reap(struct apple_dma *ad);

#endif /* APPLE_DMA_COHERENT_H */
