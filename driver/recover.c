// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an earlier kernel left registered on the host.
 *
 * The host forgets nothing when a guest is reset. A registration in the way of
 * a window is released when the host refuses the window (window.c). But what
 * is not in the way still counts against the host's limits, and nobody can ask
 * for a list. So when one was in the way, and when the host refuses something
 * that our budget has room for, every handle that an earlier kernel can have
 * used is released once: handles are multiples of the granule in guest RAM, in
 * a crash kernel in that of its predecessor too; the coarse ones first, because
 * most windows are large.
 */

#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/sched.h>

#include "index.h"
#include "recover.h"
#include "work.h"

/* Alignments of handles, each pass without those of the one before. */
static const u64 recover_strides[] = { 4 << 20, 1 << 20, 256 << 10, 64 << 10,
				       APPLE_DMA_GRANULE_SIZE };

/* Handles looked at with interrupts off; most may be holes. */
#define SWEEP_STEPS	4096

/* How long an allocation waits for the search: a deadline, not a measure. */
#define WAIT_MS		60000

/*
 * Release one batch of handles, from *phys up to @end. Returns false when
 * there is nothing more to do.
 */
static bool recover_sweep_batch(struct apple_dma_engine *e, u64 *phys, u64 end,
				unsigned int pass, bool old, u64 *found)
{
	struct apple_dma_unmap_entry *entry = e->unmap_scratch;
	unsigned int i, n = 0, steps = 0;
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	for (; *phys < end && n < e->limits.batch && steps < SWEEP_STEPS;
	     *phys += recover_strides[pass], steps++) {
		if (pass && IS_ALIGNED(*phys, recover_strides[pass - 1]))
			continue;
		if ((!old && !pfn_valid(PHYS_PFN(*phys))) ||
		    apple_dma_index_handle_taken(e, *phys))
			continue;
		entry[n].handle = *phys;
		entry[n].len = APPLE_DMA_GRANULE_SIZE;
		n++;
	}
	if (n && !e->broken && !e->stopped &&
	    !apple_dma_window_unmap(e, n))
		for (i = 0; i < n; i++)
			*found += !entry[i].err;
	else if (n)
		*phys = end;
	spin_unlock_irqrestore(&e->lock, flags);
	return *phys < end;
}

/* One pass over a range; @old is memory of a kernel that crashed. */
static u64 recover_sweep(struct apple_dma_engine *e, u64 phys, u64 end,
			 unsigned int pass, bool old)
{
	u64 found = 0;

	phys = round_down(phys, recover_strides[pass]);
	while (recover_sweep_batch(e, &phys, end, pass, old, &found))
		cond_resched();
	return found;
}

static void apple_dma_recover_work(struct work_struct *work)
{
	struct apple_dma_engine *e = container_of(work, struct apple_dma_engine,
						  sweep);
	u64 found = 0;
	unsigned int pass, i;
	unsigned long flags;
	int nid;

	dev_notice(e->dev,
		   "looking for registrations of an earlier kernel on the host\n");
	for (pass = 0; pass < ARRAY_SIZE(recover_strides); pass++) {
		for_each_online_node(nid)
			found += recover_sweep(e, PFN_PHYS(node_start_pfn(nid)),
					       PFN_PHYS(node_end_pfn(nid)),
					       pass, false);
		for (i = 0; i < e->old_n; i++)
			found += recover_sweep(e, e->old[i].phys,
					       e->old[i].phys + e->old[i].size,
					       pass, true);
	}
	spin_lock_irqsave(&e->lock, flags);
	e->stats.recovered += found;
	e->clean = !e->broken && !e->stopped;
	/* What was refused may fit now. */
	if (found)
		apple_dma_budget_forget(e);
	spin_unlock_irqrestore(&e->lock, flags);
	complete_all(&e->searched);
	dev_notice(e->dev, "released %llu registrations of an earlier kernel\n",
		   found);
}

/**
 * apple_dma_recover_init() - prepare for leftovers
 * @e: the engine
 */
void apple_dma_recover_init(struct apple_dma_engine *e)
{
	INIT_WORK(&e->sweep, apple_dma_recover_work);
	init_completion(&e->searched);
}

/**
 * apple_dma_recover_start() - look for leftovers, once in an engine's life
 * @e: the engine; its lock is held
 *
 * A registration was in the way, or the host refused exact granules that the
 * budget has room for: what was to be mapped has failed then; later maps find
 * the room that this makes.
 *
 * Context: any.
 */
void apple_dma_recover_start(struct apple_dma_engine *e)
{
	lockdep_assert_held(&e->lock);
	if (e->swept || e->broken || e->stopped)
		return;
	e->swept = true;
	reinit_completion(&e->searched);
	apple_dma_work_queue(&e->sweep);
}

/**
 * apple_dma_recover_wait() - let a search that has begun come to its end
 * @e: the engine
 *
 * Context: may sleep.
 * Return: how many registrations of an earlier kernel were released up to now.
 */
u64 apple_dma_recover_wait(struct apple_dma_engine *e)
{
	if (READ_ONCE(e->swept) && !READ_ONCE(e->clean))
		wait_for_completion_timeout(&e->searched,
					    msecs_to_jiffies(WAIT_MS));
	return READ_ONCE(e->stats.recovered);
}

/**
 * apple_dma_recover_resume() - begin again what apple_dma_recover_stop() took away
 * @e: the engine
 *
 * Context: any.
 */
void apple_dma_recover_resume(struct apple_dma_engine *e)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	if (e->swept && !e->clean && !e->broken && !e->stopped) {
		reinit_completion(&e->searched);
		apple_dma_work_queue(&e->sweep);
	}
	spin_unlock_irqrestore(&e->lock, flags);
}

/**
 * apple_dma_recover_again() - another kernel has run: there may be more to find
 * @e: the engine, asleep; no search is under way
 *
 * Context: any.
 */
void apple_dma_recover_again(struct apple_dma_engine *e)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	e->swept = false;
	e->clean = false;
	spin_unlock_irqrestore(&e->lock, flags);
}

/**
 * apple_dma_recover_stop() - wait for a search to end, and let none begin
 * @e: the engine, stopped or asleep
 *
 * Context: may sleep.
 */
void apple_dma_recover_stop(struct apple_dma_engine *e)
{
	cancel_work_sync(&e->sweep);
	complete_all(&e->searched);
}
