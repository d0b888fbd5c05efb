/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * When idle windows, those without a mapping, are given back.
 */
#ifndef APPLE_DMA_IDLE_H
#define APPLE_DMA_IDLE_H

#include "window.h"

/* Part of the budget that fillers may have. */
#define APPLE_DMA_FILLER_SHARE	64

/* Are there so many fillers that they are to be given back? The lock is held. */
static inline bool apple_dma_idle_many_fillers(const struct apple_dma_engine *e)
{
	return e->filler_bytes > e->limits.bytes / APPLE_DMA_FILLER_SHARE;
}

void apple_dma_idle_init(struct apple_dma_engine *e);
u64 apple_dma_idle_evict(struct apple_dma_engine *e, u64 bytes, u64 entries);
struct apple_dma_range apple_dma_idle_evict_least(struct apple_dma_engine *e,
						  u64 bytes, u64 entries);
u64 apple_dma_idle_evict_sibling(struct apple_dma_engine *e, u64 bytes);
unsigned int apple_dma_idle_evict_large(struct apple_dma_engine *e);
unsigned int apple_dma_idle_evict_fillers(struct apple_dma_engine *e);
void apple_dma_idle_release(struct apple_dma_engine *e, unsigned long *flags,
			    const char *cause);
unsigned int apple_dma_idle_drop(struct apple_dma_engine *e, unsigned int count,
				 const char *cause);
unsigned int apple_dma_idle_flush(struct apple_dma_engine *e,
				  unsigned int count, const char *cause);
void apple_dma_idle_retire(struct apple_dma_engine *e, u64 start, u64 end,
			   const char *cause);
void apple_dma_idle_arm(struct apple_dma_engine *e);
void apple_dma_idle_stop(struct apple_dma_engine *e);

#endif /* APPLE_DMA_IDLE_H */
