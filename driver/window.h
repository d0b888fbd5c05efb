/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Windows, as the engine sees them. Everything here needs the engine's lock,
 * taken with interrupts off.
 */
#ifndef APPLE_DMA_WINDOW_H
#define APPLE_DMA_WINDOW_H

#include "internal.h"

/**
 * struct apple_dma_window - one registration with the host
 * @phys_node: in engine->phys, always
 * @phys_last: last guest-physical address in the subtree of @phys_node
 * @iova_node: in engine->iova, once the host has confirmed it
 * @list: engine->idle while @live is 0, or a list of a batch
 * @phys: guest-physical start, the handle too
 * @size: bytes
 * @iova: device address of @phys
 * @live: mappings inside
 */
struct apple_dma_window {
	struct rb_node phys_node;
	u64 phys_last;
	struct rb_node iova_node;
	struct list_head list;
	u64 phys;
	u64 size;
	u64 iova;
	u32 live;
};

/* The largest shared window, bytes. */
#define APPLE_DMA_WINDOW_MAX	(256ULL << 10)

mempool_t *apple_dma_window_pool(void);
struct apple_dma_window *
apple_dma_window_find_phys(struct apple_dma_engine *e, u64 phys, u64 size);
struct apple_dma_window *
apple_dma_window_find_iova(struct apple_dma_engine *e, u64 iova);
enum apple_dma_fail apple_dma_window_cover(struct apple_dma_engine *e,
					   unsigned int n);
bool apple_dma_window_handle_taken(struct apple_dma_engine *e, u64 handle);
int apple_dma_window_unmap(struct apple_dma_engine *e, unsigned int n);
void apple_dma_window_release_idle(struct apple_dma_engine *e,
				   unsigned long *flags);

void apple_dma_recover_init(struct apple_dma_engine *e);
void apple_dma_recover_start(struct apple_dma_engine *e);
void apple_dma_recover_stop(struct apple_dma_engine *e);

#endif /* APPLE_DMA_WINDOW_H */
