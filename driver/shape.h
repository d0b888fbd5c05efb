/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How large windows are, and where.
 */
#ifndef APPLE_DMA_SHAPE_H
#define APPLE_DMA_SHAPE_H

#include <linux/scatterlist.h>

#include "window.h"

/**
 * struct apple_dma_todo - what is to be mapped
 * @sg: a scatterlist, of which entries with the address DMA_MAPPING_ERROR are
 *	not mapped yet; or NULL for
 * @one: one range
 * @left: entries of @sg; 1 for @one
 * @exact: in windows of exact granules
 *
 * The first entry is not mapped yet, and has no window.
 */
struct apple_dma_todo {
	struct scatterlist *sg;
	struct apple_dma_range one;
	int left;
	bool exact;
};

u64 apple_dma_shape(struct apple_dma_engine *e);
bool apple_dma_valid_range(u64 phys, u64 size);
bool apple_dma_make_room(struct apple_dma_engine *e,
			 struct apple_dma_todo todo, unsigned long *flags);
void apple_dma_cover(struct apple_dma_engine *e, struct apple_dma_todo todo,
		     struct list_head *fresh, enum apple_dma_fail *cause);
bool apple_dma_cannot_fit(struct apple_dma_engine *e, struct scatterlist *sgl,
			  int nents, bool all);

#endif /* APPLE_DMA_SHAPE_H */
