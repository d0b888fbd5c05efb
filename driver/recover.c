// SPDX-License-Identifier: GPL-2.0-only
/*
 * What an earlier kernel left registered on the host.
 *
 * The host keeps registrations when a guest is reset. One that is in the way of
 * a window is released when the host refuses the window (window.c). The others
 * still count against the host's limits, and the host cannot list them. So when one
 * was in the way, or when the host refuses something that the budget has room for,
 * every handle that an earlier kernel can have used is released once. Handles are
 * multiples of the granule in guest RAM; in a crash kernel also in the RAM of the
 * kernel that crashed. Coarse handles come first, because most windows are large.
 */

#include <linux/delay.h>
#include <linux/mm.h>
#include <linux/nodemask.h>
#include <linux/sched.h>

#include "index.h"
#include "recover.h"
#include "work.h"

/* Alignment of the handles of each pass, without those of the pass before. */
static const u64 recover_strides[] = { 4 << 20, 1 << 20, 256 << 10, 64 << 10,
				       APPLE_DMA_GRANULE_SIZE };

/* Handles looked at with interrupts off; most may be holes. */
#define SWEEP_STEPS	256

/* How long a batch waits if drivers used the host since the one before, in us. */
#define SWEEP_PAUSE	1000

/* How long an allocation waits for the search. */
#define WAIT_MS		60000

/* May the search go on? */
static bool recover_may(const struct apple_dma_engine *e)
{
	return !e->broken && !e->stopped && !e->paused;
}

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
	if (!recover_may(e))
		*phys = end;
	for (; *phys < end && n < apple_dma_engine_batch(e) && steps < SWEEP_STEPS;
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
	if (n && !apple_dma_window_unmap(e, n))
		for (i = 0; i < n; i++)
			*found += !entry[i].err;
	spin_unlock_irqrestore(&e->lock, flags);
	return *phys < end;
}

/*
 * One pass over a range; @old is memory of a kernel that crashed. I/O goes
 * first: while there is some that takes the lock, each batch is followed by a
 * pause.
 */
static u64 recover_sweep(struct apple_dma_engine *e, u64 phys, u64 end,
			 unsigned int pass, bool old)
{
	u64 seen = READ_ONCE(e->stats.slow_paths), found = 0;

	phys = round_down(phys, recover_strides[pass]);
	while (recover_sweep_batch(e, &phys, end, pass, old, &found)) {
		u64 now;

		cond_resched();
		now = READ_ONCE(e->stats.slow_paths);
		if (now != seen)
			usleep_range(SWEEP_PAUSE, 2 * SWEEP_PAUSE);
		seen = now;
	}
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
	e->clean = recover_may(e);
	/* What was refused may fit now. */
	if (found)
		apple_dma_budget_forget(e);
	spin_unlock_irqrestore(&e->lock, flags);
	complete_all(&e->searched);
	dev_notice(e->dev, "released %llu registrations of an earlier kernel\n",
		   found);
}

/* Prepare the search for leftovers. */
void apple_dma_recover_init(struct apple_dma_engine *e)
{
	INIT_WORK(&e->sweep, apple_dma_recover_work);
	init_completion(&e->searched);
}

static void recover_begin(struct apple_dma_engine *e)
{
	e->swept = true;
	reinit_completion(&e->searched);
	apple_dma_work_queue(&e->sweep);
}

/**
 * apple_dma_recover_start() - look for leftovers, once in an engine's life
 * @e: the engine; its lock is held
 *
 * Called when a registration was in the way, or when the host refused exact
 * granules that the budget has room for. That map fails; later ones find the room
 * that this makes.
 *
 * Context: any.
 */
void apple_dma_recover_start(struct apple_dma_engine *e)
{
	lockdep_assert_held(&e->lock);
	if (e->swept || !recover_may(e))
		return;
	recover_begin(e);
}

/**
 * apple_dma_recover_wait() - wait for a search that has begun
 * @e: the engine
 *
 * Context: may sleep.
 * Return: how many registrations of an earlier kernel were released so far.
 */
u64 apple_dma_recover_wait(struct apple_dma_engine *e)
{
	if (READ_ONCE(e->swept) && !READ_ONCE(e->clean))
		wait_for_completion_timeout(&e->searched,
					    msecs_to_jiffies(WAIT_MS));
	return READ_ONCE(e->stats.recovered);
}

/* Start a search again that apple_dma_recover_stop() stopped. Context: any. */
void apple_dma_recover_resume(struct apple_dma_engine *e)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	e->paused = false;
	if (e->swept && !e->clean && recover_may(e))
		recover_begin(e);
	spin_unlock_irqrestore(&e->lock, flags);
}

/* Another kernel has run: search again when there is a reason. The engine sleeps. */
void apple_dma_recover_again(struct apple_dma_engine *e)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	e->swept = false;
	e->clean = false;
	spin_unlock_irqrestore(&e->lock, flags);
}

/*
 * Stop the search and start none: the engine is stopped or asleep. Waits for a batch
 * at most, as a search takes seconds. May sleep.
 */
void apple_dma_recover_stop(struct apple_dma_engine *e)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	e->paused = true;
	spin_unlock_irqrestore(&e->lock, flags);
	cancel_work_sync(&e->sweep);
	complete_all(&e->searched);
}
