/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The module's workqueues.
 */
#ifndef APPLE_DMA_WORK_H
#define APPLE_DMA_WORK_H

#include <linux/workqueue.h>

int apple_dma_work_init(void);
void apple_dma_work_exit(void);
void apple_dma_work_queue(struct work_struct *work);
void apple_dma_work_queue_reclaim(struct work_struct *work);
void apple_dma_work_queue_after(struct delayed_work *work, unsigned long delay);

#endif /* APPLE_DMA_WORK_H */
