/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Init and exit of the driver's parts, in modules without driver/main.c.
 */
#ifndef APPLE_DMA_QUEUE_H
#define APPLE_DMA_QUEUE_H

int queue_start(void);
void queue_stop(void);

#endif /* APPLE_DMA_QUEUE_H */
