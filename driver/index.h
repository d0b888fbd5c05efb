/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lookups: which window has a guest-physical range, which has a device address.
 */
#ifndef APPLE_DMA_INDEX_H
#define APPLE_DMA_INDEX_H

#include "window.h"

struct apple_dma_window *
apple_dma_index_find(struct apple_dma_engine *e, u64 phys, u64 size);
struct apple_dma_window *
apple_dma_index_best(struct apple_dma_engine *e, u64 phys, u64 size, u64 mask,
		     u64 boundary);
bool apple_dma_index_busy(struct apple_dma_engine *e, u64 phys, u64 size);
struct apple_dma_window *
apple_dma_index_find_iova(struct apple_dma_engine *e, u64 iova);
struct apple_dma_window *
apple_dma_index_next(struct apple_dma_engine *e, u64 phys);
bool apple_dma_index_handle_taken(struct apple_dma_engine *e, u64 handle);
u64 apple_dma_index_free_handle(struct apple_dma_engine *e, u64 handle,
				unsigned int tries);
void apple_dma_index_add(struct apple_dma_engine *e,
			 struct apple_dma_window *w);
bool apple_dma_index_confirm(struct apple_dma_engine *e,
			     struct apple_dma_window *w);
bool apple_dma_index_publish(struct apple_dma_engine *e,
			     struct apple_dma_window *w);
bool apple_dma_index_withdraw(struct apple_dma_engine *e,
			      struct apple_dma_window *w);
void apple_dma_index_remove(struct apple_dma_engine *e,
			    struct apple_dma_window *w);

#endif /* APPLE_DMA_INDEX_H */
