/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The engine of one companion: its state, which the rooms below work on, and
 * its life. Unless stated otherwise, the lock is held, taken with interrupts
 * off.
 */
#ifndef APPLE_DMA_ENGINE_H
#define APPLE_DMA_ENGINE_H

#include <linux/completion.h>
#include <linux/device.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mempool.h>
#include <linux/mutex.h>
#include <linux/ratelimit.h>
#include <linux/rbtree.h>
#include <linux/rculist.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include "budget.h"
#include "counters.h"
#include "host.h"
#include "place.h"
#include "ram.h"

/* When windows go back to the host, and how large they are. */
enum apple_dma_mode {
	APPLE_DMA_MODE_CACHED,	/* kept while idle; shapes follow the room left */
	APPLE_DMA_MODE_STRICT,	/* exact granules, gone before unmap returns */
	APPLE_DMA_MODE_COUNT
};

/* Naturally aligned blocks of this size and more want an aligned address. */
#define APPLE_DMA_BLOCK		(64ULL << 10)
/*
 * Windows that are planned, asked for and entered in one hold of the lock. Each takes
 * some 2,000 instructions.
 */
#define APPLE_DMA_PLAN_MAX	32U

/* 64 KiB to 4 MiB, in powers of two; and what crosses a boundary. */
#define APPLE_DMA_BLOCK_CLASSES	8

/**
 * struct apple_dma_aligning - how often a search for an aligned window has failed
 * @failures: for blocks of one size, less those that successes have taken off
 * @skip: so many more are not searched for
 */
struct apple_dma_aligning {
	u8 failures;
	u16 skip;
};

/**
 * struct apple_dma_runs - ranges to register next
 * @run: each gets a window of its own, unless one of its neighbours is large enough
 * @blocks: in which of them an aligned block begins that is to be mapped
 * @n: how many
 * @left: ranges that a request had left when they were found
 * @search: the number of the search that found them, of the engine's own
 */
struct apple_dma_runs {
	struct apple_dma_range run[APPLE_DMA_PLAN_MAX];
	DECLARE_BITMAP(blocks, APPLE_DMA_PLAN_MAX);
	unsigned int n;
	int left;
	u64 search;
};

/**
 * struct apple_dma_engine - the windows registered with one host
 * @fast: hits need no lock: a driver may map, mode=cached, not broken
 * @by_phys: windows by guest-physical granule, for hits; under RCU
 * @by_iova: windows by device-address granule, for hits; under RCU
 * @percpu: counters that a hit changes
 * @dev: names the engine in the log
 * @host_ops: the way to the host
 * @host: handed to @host_ops
 * @limits: its limits; constant but for @limits.batch
 * @budget: the bytes in use, of all engines that share them
 * @own_budget: if it shares with none
 * @sibling: in @budget.engines while a driver may map and the guest is awake
 * @pool: struct apple_dma_window, with a reserve for atomic context
 * @freed: windows that went idle and are not on @idle yet; lock-free
 * @lock: protects all below it; taken with interrupts off
 * @mode: what the administrator asked for
 * @unsafe: the guest gives memory back to the host: strict whatever @mode
 * @idle_ms: idle windows are given back after so many ms; 0 for never
 * @phys: windows by guest-physical range; ranges may overlap, starts may not
 * @iova: windows by device address; ranges never overlap
 * @idle: windows that may be idle, coldest first; see window.c
 * @idle_large: the same for large ones
 * @idle_retired: the same for those that take no new mapping
 * @drained: windows to be appended to @idle when @stack is empty
 * @drained_large: to be appended to @idle_large
 * @stack: what was taken from @freed and is on no list yet
 * @listed: how many are on the five lists
 * @listed_large: bytes of the large ones
 * @stale: windows that are gone from the host and the trees, but not from the slots
 * @clear: clears those
 * @spare: windows that were freed, for the next maps; by @freed of each
 * @spares: how many
 * @stats: counters
 * @abandoned: mappings in @percpu that ended with their driver
 * @abandoned_bytes: their bytes
 * @learned: limits of the host that it did not announce
 * @ram: where the guest has memory
 * @broken: the host broke the protocol; it is not asked again
 * @stopped: shut down; it is not asked again
 * @closed: there is no driver that may map
 * @reason: why @broken, for the log; a string constant
 * @alert: logs that, but later, because a console may be on a device that maps
 *	through this engine
 * @broke: called then, in process context; may be NULL
 * @ager: gives back what has been idle for @idle_ms
 * @swept: @sweep was started, since the engine began or was restored
 * @clean: @sweep has ended: nothing of an earlier kernel is left
 * @paused: the guest sleeps: @sweep ends early, and begins again later
 * @sweep: releases what an earlier kernel left on the host
 * @searched: @sweep has ended, or will not run
 * @old: where a kernel that crashed had memory, for @sweep; or NULL
 * @old_n: how many ranges
 * @limit_log: one rate limit for each cause of failure
 * @runs: what a request that has no runs of its own needs
 * @place: where the host puts windows
 * @aligning: how the search for aligned windows goes, for each size of blocks
 * @filler_bytes: registered only to keep a place, or as candidates
 * @filler_until: the host refused one: none is asked for before this time in jiffies
 * @map_scratch: entries of the batch under construction
 * @unmap_scratch: the same for releases
 * @knobs: held while @mode or @unsafe changes
 */
struct apple_dma_engine {
	bool fast;
	struct xarray by_phys;
	struct xarray by_iova;
	struct apple_dma_percpu __percpu *percpu;
	struct device *dev;
	const struct apple_dma_host_ops *host_ops;
	void *host;
	struct apple_dma_limits limits;
	struct apple_dma_budget *budget;
	struct apple_dma_budget own_budget;
	struct hlist_node sibling;
	mempool_t *pool;
	struct llist_head freed ____cacheline_aligned_in_smp;
	spinlock_t lock ____cacheline_aligned_in_smp; /* all below */
	enum apple_dma_mode mode;
	bool unsafe;
	unsigned int idle_ms;
	struct rb_root_cached phys;
	struct rb_root iova;
	struct list_head idle;
	struct list_head idle_large;
	struct list_head idle_retired;
	struct list_head drained;
	struct list_head drained_large;
	struct llist_node *stack;
	unsigned int listed;
	u64 listed_large;
	struct list_head stale;
	struct work_struct clear;
	struct llist_node *spare;
	unsigned int spares;
	struct apple_dma_stats stats;
	u64 abandoned;
	s64 abandoned_bytes;
	struct apple_dma_learned learned;
	struct apple_dma_ram ram;
	bool broken;
	bool stopped;
	bool closed;
	bool swept;
	bool paused;
	bool clean;
	const char *reason;
	struct work_struct alert;
	void (*broke)(struct apple_dma_engine *e);
	struct delayed_work ager;
	struct work_struct sweep;
	struct completion searched;
	struct apple_dma_range *old;
	unsigned int old_n;
	struct ratelimit_state limit_log[APPLE_DMA_FAIL_COUNT];
	struct apple_dma_runs runs;
	struct apple_dma_place place;
	struct apple_dma_aligning aligning[APPLE_DMA_BLOCK_CLASSES];
	u64 filler_bytes;
	unsigned long filler_until;
	struct apple_dma_map_entry map_scratch[APPLE_DMA_BATCH_MAX];
	struct apple_dma_unmap_entry unmap_scratch[APPLE_DMA_BATCH_MAX];
	struct mutex knobs; /* changes of mode, unsafe */
};

/* Are idle windows kept? Otherwise the engine is strict. */
static inline bool apple_dma_engine_lazy(const struct apple_dma_engine *e)
{
	return e->mode == APPLE_DMA_MODE_CACHED && !e->unsafe;
}

/**
 * apple_dma_engine_batch() - how many entries the next doorbell may have
 * @e: the engine; its lock is held
 *
 * It may be less after each doorbell. A list that was collected before goes as it is.
 *
 * Return: 1 to @e->limits.batch.
 */
static inline unsigned int apple_dma_engine_batch(struct apple_dma_engine *e)
{
	if (!e->host_ops->fit)
		return e->limits.batch;
	return min(e->limits.batch, e->host_ops->fit(e->host));
}

/* How many windows the next doorbell may ask for. */
static inline unsigned int apple_dma_engine_plan_max(struct apple_dma_engine *e)
{
	return min(apple_dma_engine_batch(e), APPLE_DMA_PLAN_MAX);
}

/*
 * Is it another engine of the budget, whose host can be asked? @sibling is in
 * @e->budget->engines.
 */
static inline bool
apple_dma_engine_is_sibling(const struct apple_dma_engine *e,
			    const struct apple_dma_engine *sibling)
{
	return sibling != e && !READ_ONCE(sibling->broken);
}

/* Let interrupts in, and others at the lock. @flags: of spin_lock_irqsave(). */
static inline void apple_dma_engine_relock(struct apple_dma_engine *e,
					   unsigned long *flags)
	__must_hold(&e->lock)
{
	spin_unlock_irqrestore(&e->lock, *flags);
	spin_lock_irqsave(&e->lock, *flags);
}

int apple_dma_engine_init(struct apple_dma_engine *e, struct device *dev,
			  const struct apple_dma_limits *limits,
			  const struct apple_dma_host_ops *ops, void *host);
int apple_dma_engine_create(struct apple_dma_engine *e, struct device *dev,
			    const struct apple_dma_limits *limits,
			    const struct apple_dma_host_ops *ops, void *host);
void apple_dma_engine_destroy(struct apple_dma_engine *e);
void apple_dma_engine_stop(struct apple_dma_engine *e);
void apple_dma_engine_open(struct apple_dma_engine *e);
void apple_dma_engine_close(struct apple_dma_engine *e);
u64 apple_dma_engine_abandon(struct apple_dma_engine *e);
bool apple_dma_engine_release(struct apple_dma_engine *e);
bool apple_dma_engine_left(struct apple_dma_engine *e, u64 *phys,
			   struct apple_dma_range *range);
void apple_dma_engine_set_mode(struct apple_dma_engine *e,
			       enum apple_dma_mode mode);
void apple_dma_engine_set_unsafe(struct apple_dma_engine *e);
void apple_dma_engine_set_idle_ms(struct apple_dma_engine *e,
				  unsigned int idle_ms);
void apple_dma_engine_flush(struct apple_dma_engine *e);
void apple_dma_engine_suspend(struct apple_dma_engine *e);
bool apple_dma_engine_resume(struct apple_dma_engine *e);
void apple_dma_engine_freeze(struct apple_dma_engine *e);
void apple_dma_engine_thaw(struct apple_dma_engine *e);
void apple_dma_engine_set_batch(struct apple_dma_engine *e, u32 batch);
void apple_dma_engine_snapshot(struct apple_dma_engine *e,
			       struct apple_dma_stats *stats);

#endif /* APPLE_DMA_ENGINE_H */
