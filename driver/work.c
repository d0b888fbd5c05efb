// SPDX-License-Identifier: GPL-2.0-only
/*
 * The module's workqueues. The module has its own, because unloading has to wait
 * for work that has just dropped the last reference to the module. Work that frees
 * what maps need has another one, with a thread in reserve: the device may be the one
 * that swaps. The first cannot have that, as its work waits for drivers.
 */

#include <linux/module.h>

#include "work.h"

static struct workqueue_struct *apple_dma_wq, *apple_dma_reclaim_wq;

/* Run work in process context. Context: any. */
void apple_dma_work_queue(struct work_struct *work)
{
	queue_work(apple_dma_wq, work);
}

/* Run work that waits for no memory, and makes some free. Context: any. */
void apple_dma_work_queue_reclaim(struct work_struct *work)
{
	queue_work(apple_dma_reclaim_wq, work);
}

/* The same as the first after @delay jiffies. Nothing changes if it is queued. Context: any. */
void apple_dma_work_queue_after(struct delayed_work *work, unsigned long delay)
{
	queue_delayed_work(apple_dma_wq, work, delay);
}

/* Create the workqueues, when the module is loaded. Returns 0 or -ENOMEM. */
int apple_dma_work_init(void)
{
	apple_dma_wq = alloc_workqueue(KBUILD_MODNAME, WQ_UNBOUND, 0);
	if (!apple_dma_wq)
		return -ENOMEM;
	apple_dma_reclaim_wq = alloc_workqueue(KBUILD_MODNAME "_reclaim",
					       WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (apple_dma_reclaim_wq)
		return 0;
	destroy_workqueue(apple_dma_wq);
	return -ENOMEM;
}

/* Wait for all work, and destroy the workqueues. */
void apple_dma_work_exit(void)
{
	destroy_workqueue(apple_dma_wq);
	destroy_workqueue(apple_dma_reclaim_wq);
}
