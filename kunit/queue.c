// SPDX-License-Identifier: GPL-2.0-only
/*
 * What driver/main.c is to the rest of the driver, where that is not built in.
 */

#include <linux/workqueue.h>

#include "internal.h"
#include "queue.h"

static struct workqueue_struct *queue;

/**
 * apple_dma_queue() - as in driver/main.c
 * @work: the work
 *
 * Context: any.
 */
void apple_dma_queue(struct work_struct *work)
{
	queue_work(queue, work);
}

/**
 * apple_dma_queue_after() - as in driver/main.c
 * @work: the work
 * @delay: jiffies
 *
 * Context: any.
 */
void apple_dma_queue_after(struct delayed_work *work, unsigned long delay)
{
	queue_delayed_work(queue, work, delay);
}

/**
 * queue_start() - what the module does when it is loaded
 *
 * Return: 0 or -ENOMEM.
 */
int queue_start(void)
{
	int err = apple_dma_window_init();

	if (err)
		return err;
	queue = alloc_workqueue(KBUILD_MODNAME, WQ_UNBOUND, 0);
	if (!queue) {
		apple_dma_window_exit();
		return -ENOMEM;
	}
	return 0;
}

/**
 * queue_stop() - undo queue_start()
 */
void queue_stop(void)
{
	destroy_workqueue(queue);
	apple_dma_window_exit();
}
