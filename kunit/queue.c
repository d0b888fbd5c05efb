// SPDX-License-Identifier: GPL-2.0-only
/*
 * In place of driver/main.c, in modules that do not have it.
 */

#include "rooms.h"
#include "queue.h"
#include "work.h"

/**
 * queue_start() - the init of the driver's parts
 *
 * Return: 0 or -ENOMEM.
 */
int queue_start(void)
{
	int err = apple_dma_window_init();

	if (err)
		return err;
	err = apple_dma_work_init();
	if (err)
		apple_dma_window_exit();
	return err;
}

/**
 * queue_stop() - undo queue_start()
 */
void queue_stop(void)
{
	apple_dma_work_exit();
	apple_dma_window_exit();
}
