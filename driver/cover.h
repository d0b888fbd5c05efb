/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Windows for what is to be mapped.
 */
#ifndef APPLE_DMA_COVER_H
#define APPLE_DMA_COVER_H

#include "runs.h"

bool apple_dma_cover(struct apple_dma_engine *e, struct apple_dma_request *req,
		     struct list_head *fresh, struct apple_dma_emptied *emptied,
		     enum apple_dma_fail *cause, unsigned long *flags);

#endif /* APPLE_DMA_COVER_H */
