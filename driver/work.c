// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's workqueue. The module has its own, because unloading has to wait
 * for work that has just dropped the last reference to the module.
 */

#include <linux/module.h>

#include "work.h"

static struct workqueue_struct *apple_dma_wq;

/* Run work in process context. Context: any. */
void apple_dma_work_queue(struct work_struct *work)
{
	queue_work(apple_dma_wq, work);
}

/* The same after @delay jiffies. Nothing changes if it is queued. Context: any. */
void apple_dma_work_queue_after(struct delayed_work *work, unsigned long delay)
{
	queue_delayed_work(apple_dma_wq, work, delay);
}

/* Create the workqueue, when the module is loaded. */
int apple_dma_work_init(void)
{
	apple_dma_wq = alloc_workqueue(KBUILD_MODNAME, WQ_UNBOUND, 0);
	return apple_dma_wq ? 0 : -ENOMEM;
}

/* Wait for all work, and destroy the workqueue. */
void apple_dma_work_exit(void)
{
	destroy_workqueue(apple_dma_wq);
}
