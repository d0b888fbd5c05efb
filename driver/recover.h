/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What an earlier kernel left registered on the host.
 */
#ifndef APPLE_DMA_RECOVER_H
#define APPLE_DMA_RECOVER_H

#include "engine.h"

u64 apple_dma_recover_wait(struct apple_dma_engine *e);
void apple_dma_recover_init(struct apple_dma_engine *e);
void apple_dma_recover_start(struct apple_dma_engine *e);
void apple_dma_recover_stop(struct apple_dma_engine *e);
void apple_dma_recover_resume(struct apple_dma_engine *e);
void apple_dma_recover_again(struct apple_dma_engine *e);
void apple_dma_oldmem_init(struct apple_dma_engine *e);

#endif /* APPLE_DMA_RECOVER_H */
