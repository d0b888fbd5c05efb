/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How large windows are, and where they start.
 */
#ifndef APPLE_DMA_SHAPE_H
#define APPLE_DMA_SHAPE_H

#include "window.h"

/* Shapes are the granule times powers of this, up to APPLE_DMA_WINDOW_MAX. */
#define APPLE_DMA_SHAPE_STEP	4

u64 apple_dma_shape(struct apple_dma_engine *e);
u64 apple_dma_shape_roomy(struct apple_dma_engine *e);
bool apple_dma_shape_exact_start(struct apple_dma_engine *e, u64 phys, u64 *start);
struct apple_dma_window *
apple_dma_shape_plan_exact(struct apple_dma_engine *e,
			   const struct apple_dma_range *range,
			   enum apple_dma_fail *cause);
struct apple_dma_window *apple_dma_shape_plan(struct apple_dma_engine *e,
					      const struct apple_dma_range *run,
					      const struct apple_dma_range *range,
					      u64 shape,
					      enum apple_dma_fail *cause);

#endif /* APPLE_DMA_SHAPE_H */
