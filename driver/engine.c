// SPDX-License-Identifier: GPL-2.0-only
/*
 * The engine of one companion: its life, its modes and its counters. It uses no
 * PCI; it reaches the host through struct apple_dma_host_ops.
 */

#include <linux/mempool.h>
#include <linux/percpu.h>
#include <linux/slab.h>

#include "idle.h"
#include "index.h"
#include "recover.h"
#include "shape.h"

/* Windows that are abandoned with interrupts off. */
#define ENGINE_HOLD	256

/* ---- counters ---- */

/* Copy the counters. Context: any. */
void apple_dma_engine_snapshot(struct apple_dma_engine *e,
			       struct apple_dma_stats *stats)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	*stats = e->stats;
	stats->window_bytes = apple_dma_shape(e);
	stats->learned_bytes = e->learned.bytes == U64_MAX ?
			       0 : e->learned.bytes;
	stats->learned_entries = e->learned.entries == U32_MAX ?
				 0 : e->learned.entries;
	apple_dma_counters_live(e, stats);
	apple_dma_counters_idle(e, &stats->idle_entries, &stats->idle_bytes);
	stats->hits -= min(stats->misses, stats->hits);
	stats->guest_bytes = apple_dma_budget_used(e);
	spin_unlock_irqrestore(&e->lock, flags);
}

/* ---- settings ---- */

/* Set whether hits need no lock. */
static void __engine_set_fast(struct apple_dma_engine *e)
{
	lockdep_assert_held(&e->lock);
	WRITE_ONCE(e->fast, apple_dma_engine_lazy(e) && !e->broken &&
		   !e->stopped && !e->closed);
}

/* Map nothing more; hits, and siblings that need room, may still be under way. */
static void engine_close(struct apple_dma_engine *e)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	e->closed = true;
	apple_dma_budget_leave(e);
	__engine_set_fast(e);
	spin_unlock_irqrestore(&e->lock, flags);
}

/* Change the mode, or become unsafe. Give back windows that do not fit it. */
static void engine_change_mode(struct apple_dma_engine *e,
			       enum apple_dma_mode mode, bool unsafe)
{
	unsigned long flags;

	mutex_lock(&e->knobs);
	spin_lock_irqsave(&e->lock, flags);
	if (unsafe)
		e->unsafe = true;
	else
		e->mode = mode;
	__engine_set_fast(e);
	spin_unlock_irqrestore(&e->lock, flags);
	/* No hit of the old mode is under way after this. */
	synchronize_rcu();
	if (!apple_dma_engine_lazy(e))
		apple_dma_idle_retire(e, 0, U64_MAX, "mode");
	mutex_unlock(&e->knobs);
}

/**
 * apple_dma_engine_set_mode() - keep idle windows, or do not
 * @e: the engine
 * @mode: the new mode
 *
 * After a change to strict, windows in use take no new mapping, and are given
 * back with their last one.
 *
 * Context: may sleep.
 */
void apple_dma_engine_set_mode(struct apple_dma_engine *e,
			       enum apple_dma_mode mode)
{
	engine_change_mode(e, mode, false);
}

/**
 * apple_dma_engine_set_unsafe() - the guest gives memory back to the host
 * @e: the engine
 *
 * An idle window may then lead to memory that the host has replaced. From now
 * on the engine is strict, whatever the mode. This cannot be undone.
 *
 * Context: may sleep.
 */
void apple_dma_engine_set_unsafe(struct apple_dma_engine *e)
{
	engine_change_mode(e, APPLE_DMA_MODE_STRICT, true);
}

/**
 * apple_dma_engine_set_idle_ms() - set how long idle windows are kept
 * @e: the engine
 * @idle_ms: milliseconds, 0 for as long as there is room
 *
 * Context: may sleep.
 */
void apple_dma_engine_set_idle_ms(struct apple_dma_engine *e,
				  unsigned int idle_ms)
{
	WRITE_ONCE(e->idle_ms, idle_ms);
	/* The timer may be set far ahead, by the old value. */
	apple_dma_idle_stop(e);
	if (!READ_ONCE(e->stopped))
		apple_dma_idle_arm(e);
}

/* Set how many entries go in one doorbell: 1 to APPLE_DMA_BATCH_MAX. Context: any. */
void apple_dma_engine_set_batch(struct apple_dma_engine *e, u32 batch)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	e->limits.batch = batch;
	spin_unlock_irqrestore(&e->lock, flags);
}

/* Give all idle windows back. May sleep. */
void apple_dma_engine_flush(struct apple_dma_engine *e)
{
	apple_dma_idle_flush(e, UINT_MAX, "flush");
}

/* ---- while the guest sleeps ---- */

/* No sibling takes idle windows after this. May sleep. */
static void engine_leave(struct apple_dma_engine *e)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	apple_dma_budget_leave(e);
	spin_unlock_irqrestore(&e->lock, flags);
	synchronize_rcu();
}

/* Undo engine_leave(), if a driver may map. Context: any. */
static void engine_join(struct apple_dma_engine *e)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	if (!e->closed)
		apple_dma_budget_join(e);
	spin_unlock_irqrestore(&e->lock, flags);
}

/**
 * apple_dma_engine_suspend() - do not call the host until apple_dma_engine_resume()
 * @e: the engine; the device and its driver sleep
 *
 * The companion's registers may be gone when the guest wakes. After this,
 * neither the ager nor the search for leftovers nor a sibling that needs room
 * calls the host. What is mapped stays.
 *
 * Context: may sleep.
 */
void apple_dma_engine_suspend(struct apple_dma_engine *e)
{
	engine_leave(e);
	apple_dma_recover_stop(e);
	apple_dma_idle_flush(e, UINT_MAX, "suspend");
}

/*
 * Ask again for a batch of windows, from *phys on. The host refuses those that
 * it still has, because their handle is taken. Returns whether there are more;
 * *moved is set if one has another address now.
 */
static bool engine_ask_again(struct apple_dma_engine *e, u64 *phys, bool *moved)
{
	struct apple_dma_map_entry *entry = e->map_scratch;
	struct apple_dma_window *w;
	unsigned int i, n = 0;
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	while (n < apple_dma_engine_batch(e)) {
		w = apple_dma_index_next(e, *phys);
		if (!w)
			break;
		*phys = w->phys + 1;
		entry[n].gpa = w->phys;
		entry[n].len = w->size;
		n++;
	}
	if (e->broken || e->stopped) {
		n = 0;
	} else if (n && e->host_ops->map(e->host, entry, n)) {
		apple_dma_window_break(e, entry->gpa,
				       e->host_ops->reason(e->host));
		n = 0;
	}
	for (i = 0; i < n; i++)
		*moved |= !entry[i].err && entry[i].iova !=
			  apple_dma_index_next(e, entry[i].gpa)->iova;
	spin_unlock_irqrestore(&e->lock, flags);
	return n;
}

/**
 * apple_dma_engine_resume() - undo apple_dma_engine_suspend()
 * @e: the engine; the companion's registers are programmed, and the device and
 *	its driver are still asleep
 *
 * The known hosts keep what is registered. If this one did not, it is registered
 * anew. If a window gets another device address, the driver's addresses lead
 * nowhere, or to other memory of its own. Then nothing more is mapped until
 * apple_dma_engine_open().
 *
 * Context: may sleep.
 * Return: false if the driver has to be probed again. Until then the caller keeps
 * the device from doing DMA.
 */
bool apple_dma_engine_resume(struct apple_dma_engine *e)
{
	bool moved = false;
	u64 phys = 0;

	while (engine_ask_again(e, &phys, &moved))
		;
	if (moved)
		engine_close(e);
	apple_dma_engine_thaw(e);
	return !moved;
}

/**
 * apple_dma_engine_freeze() - a hibernation image is about to be made or loaded
 * @e: the engine; the device and its driver sleep
 *
 * Stops the search for leftovers, and keeps siblings away: in an image they
 * would call the host before the companion's registers are programmed.
 * apple_dma_engine_thaw() undoes this in the same kernel. An image that was loaded
 * calls apple_dma_recover_again() and apple_dma_engine_resume().
 *
 * Context: may sleep.
 */
void apple_dma_engine_freeze(struct apple_dma_engine *e)
{
	engine_leave(e);
	apple_dma_recover_stop(e);
}

/* Undo apple_dma_engine_freeze(). Context: any. */
void apple_dma_engine_thaw(struct apple_dma_engine *e)
{
	engine_join(e);
	apple_dma_recover_resume(e);
}

/* ---- life of an engine ---- */

/* A driver may map from now on. Context: any. */
void apple_dma_engine_open(struct apple_dma_engine *e)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	e->closed = false;
	apple_dma_budget_join(e);
	__engine_set_fast(e);
	spin_unlock_irqrestore(&e->lock, flags);
}

/* No driver may map until apple_dma_engine_open(); no hit is under way. May sleep. */
void apple_dma_engine_close(struct apple_dma_engine *e)
{
	engine_close(e);
	synchronize_rcu();
}

/**
 * apple_dma_engine_abandon() - end all mappings of a driver that is gone
 * @e: the engine, closed
 *
 * The windows are still registered; call apple_dma_engine_release() next.
 *
 * Context: any.
 * Return: how many mappings were left behind.
 */
u64 apple_dma_engine_abandon(struct apple_dma_engine *e)
{
	struct apple_dma_stats live;
	struct apple_dma_window *w;
	unsigned long flags;
	unsigned int n = 0;
	u64 phys = 0;

	spin_lock_irqsave(&e->lock, flags);
	while ((w = apple_dma_index_next(e, phys))) {
		phys = w->phys + 1;
		apple_dma_window_abandon(e, w);
		if (!(++n % ENGINE_HOLD))
			apple_dma_engine_relock(e, &flags);
	}
	apple_dma_counters_live(e, &live);
	e->abandoned += live.live_mappings;
	e->abandoned_bytes += live.live_bytes;
	spin_unlock_irqrestore(&e->lock, flags);
	return live.live_mappings;
}

/**
 * apple_dma_engine_release() - give back all windows without a mapping
 * @e: the engine
 *
 * Context: may sleep.
 * Return: false if the companion is broken, so that the device may still reach
 * them.
 */
bool apple_dma_engine_release(struct apple_dma_engine *e)
{
	apple_dma_idle_drop(e, UINT_MAX, "close");
	return !READ_ONCE(e->broken);
}

/**
 * apple_dma_engine_left() - windows that a driver left mapped, and the host still has
 * @e: the engine, broken
 * @phys: guest-physical address to look from; set to where to go on
 * @range: set to the whole range of the next window; size 0 if nothing was left
 *	mapped in it
 *
 * Each window is reported once.
 *
 * Context: any.
 * Return: false if there is no next window.
 */
bool apple_dma_engine_left(struct apple_dma_engine *e, u64 *phys,
			   struct apple_dma_range *range)
{
	struct apple_dma_window *w;
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	w = apple_dma_index_next(e, *phys);
	if (w) {
		*phys = w->phys + 1;
		range->phys = w->phys;
		range->size = test_and_clear_bit(APPLE_DMA_WINDOW_LEFT,
						 &w->flags) ? w->size : 0;
	}
	spin_unlock_irqrestore(&e->lock, flags);
	return w;
}

static void apple_dma_engine_alert(struct work_struct *work)
{
	struct apple_dma_engine *e = container_of(work, struct apple_dma_engine,
						  alert);

	if (e->broke)
		e->broke(e);
	dev_alert(e->dev,
		  "the host broke the protocol: %s. No more DMA is mapped; memory that the device may still reach is kept. Reboot the guest, and report it with the host's version\n",
		  e->reason);
}

/**
 * apple_dma_engine_stop() - map nothing more, release everything
 * @e: the engine; its device is stopped
 *
 * Later unmaps succeed and do nothing.
 *
 * Context: may sleep.
 */
void apple_dma_engine_stop(struct apple_dma_engine *e)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	WRITE_ONCE(e->stopped, true);
	spin_unlock_irqrestore(&e->lock, flags);
	apple_dma_engine_close(e);
	apple_dma_recover_stop(e);
	apple_dma_engine_abandon(e);
	apple_dma_engine_release(e);
	apple_dma_idle_stop(e);
	apple_dma_window_wait(e);
	flush_work(&e->alert);
}

/* Give back windows in memory that goes offline. */
static void apple_dma_engine_ram_gone(struct apple_dma_engine *e, u64 start,
				      u64 end)
{
	apple_dma_idle_retire(e, start, end, "offline");
}

/**
 * apple_dma_engine_init() - set up an engine, closed
 * @e: the engine; zeroed
 * @dev: names it in the log
 * @limits: its limits, and the budget that it shares
 * @ops: the way to the host
 * @host: handed to @ops
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int apple_dma_engine_init(struct apple_dma_engine *e, struct device *dev,
			  const struct apple_dma_limits *limits,
			  const struct apple_dma_host_ops *ops, void *host)
{
	int i;

	spin_lock_init(&e->lock);
	mutex_init(&e->knobs);
	e->dev = dev;
	e->limits = *limits;
	e->host_ops = ops;
	e->host = host;
	e->phys = RB_ROOT_CACHED;
	e->iova = RB_ROOT;
	xa_init(&e->by_phys);
	xa_init(&e->by_iova);
	INIT_WORK(&e->alert, apple_dma_engine_alert);
	e->ram.gone = apple_dma_engine_ram_gone;
	apple_dma_idle_init(e);
	apple_dma_window_setup(e);
	e->filler_until = jiffies;
	apple_dma_budget_init(e);
	apple_dma_budget_forget(e);
	apple_dma_recover_init(e);
	e->closed = true;
	for (i = 0; i < APPLE_DMA_FAIL_COUNT; i++) {
		ratelimit_state_init(&e->limit_log[i], 30 * HZ, 1);
		ratelimit_set_flags(&e->limit_log[i],
				    RATELIMIT_MSG_ON_RELEASE);
	}

	e->percpu = alloc_percpu(struct apple_dma_percpu);
	if (!e->percpu)
		return -ENOMEM;
	e->pool = apple_dma_window_pool();
	if (!e->pool) {
		free_percpu(e->percpu);
		return -ENOMEM;
	}
	return 0;
}

/**
 * apple_dma_engine_create() - apple_dma_engine_init(), and the table of memory
 * @e: the engine; zeroed
 * @dev: names it in the log
 * @limits: its limits, and the budget that it shares
 * @ops: the way to the host
 * @host: handed to @ops
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM; then there is nothing to destroy.
 */
int apple_dma_engine_create(struct apple_dma_engine *e, struct device *dev,
			    const struct apple_dma_limits *limits,
			    const struct apple_dma_host_ops *ops, void *host)
{
	int err = apple_dma_engine_init(e, dev, limits, ops, host);

	if (err)
		return err;
	err = apple_dma_ram_init(e);
	if (err) {
		apple_dma_engine_destroy(e);
		return err;
	}
	apple_dma_oldmem_init(e);
	return 0;
}

/**
 * apple_dma_engine_destroy() - free what an engine holds
 * @e: the engine, stopped
 *
 * Windows that a broken host still has are freed without asking it.
 *
 * Context: may sleep.
 */
void apple_dma_engine_destroy(struct apple_dma_engine *e)
{
	struct apple_dma_window *w, *next;

	apple_dma_ram_exit(e);
	apple_dma_budget_exit(e);
	/* The last windows given back are freed after these two. */
	apple_dma_window_wait(e);
	rcu_barrier();
	xa_destroy(&e->by_phys);
	xa_destroy(&e->by_iova);
	rbtree_postorder_for_each_entry_safe(w, next, &e->phys.rb_root,
					     phys_node)
		mempool_free(w, e->pool);
	e->phys = RB_ROOT_CACHED;
	e->iova = RB_ROOT;
	INIT_LIST_HEAD(&e->idle);
	init_llist_head(&e->freed);
	kfree(e->old);
	apple_dma_window_free_spares(e);
	mempool_destroy(e->pool);
	free_percpu(e->percpu);
}
