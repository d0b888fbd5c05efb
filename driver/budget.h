/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The limits of what is registered, and the learned limits of the host.
 *
 * The byte budget is shared: all passthrough devices of a guest use the same
 * address space of the host. Each companion has entries of its own.
 */
#ifndef APPLE_DMA_BUDGET_H
#define APPLE_DMA_BUDGET_H

#include <linux/atomic.h>
#include <linux/list.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include "ram.h"

struct apple_dma_engine;
struct apple_dma_refusal;

/* Why a mapping failed; map.c has the sentences. */
enum apple_dma_fail {
	APPLE_DMA_FAIL_NONE,	/* it did not */
	APPLE_DMA_FAIL_BYTES,	/* the byte budget is used up */
	APPLE_DMA_FAIL_ENTRIES,	/* the entry budget is used up */
	APPLE_DMA_FAIL_HOST,	/* the host refused the exact granules */
	APPLE_DMA_FAIL_MASK,	/* the device cannot reach the address */
	APPLE_DMA_FAIL_ALIGN,	/* no address as aligned as was promised */
	APPLE_DMA_FAIL_BOUNDARY,	/* every address crosses the boundary */
	APPLE_DMA_FAIL_HANDLE,	/* no unique handle for the range */
	APPLE_DMA_FAIL_MEMORY,	/* no memory for a window */
	APPLE_DMA_FAIL_NOT_RAM,	/* not ordinary guest memory */
	APPLE_DMA_FAIL_BROKEN,	/* the companion is broken or stopped */
	APPLE_DMA_FAIL_BUG,	/* the module planned an impossible window */
	APPLE_DMA_FAIL_COUNT
};

/**
 * struct apple_dma_budget - the bytes that engines register together
 * @used: bytes registered with their hosts, or about to be
 * @lock: held while @engines changes; taken inside the lock of an engine
 * @engines: whose idle windows the others may take; under RCU
 */
struct apple_dma_budget {
	atomic64_t used;
	spinlock_t lock; /* engines */
	struct hlist_head engines;
};

#define APPLE_DMA_BUDGET_INIT(name) {					\
	.lock = __SPIN_LOCK_UNLOCKED((name).lock),			\
	.engines = HLIST_HEAD_INIT,					\
}

/**
 * struct apple_dma_limits - what an engine may register with its host
 * @budget: shared with other engines, and outlives them; NULL for one of its own
 * @bytes: most bytes for all engines with that budget, a multiple of the granule
 * @entries: most registrations of this engine
 * @batch: most entries in one call of the host, 1 to APPLE_DMA_BATCH_MAX
 */
struct apple_dma_limits {
	struct apple_dma_budget *budget;
	u64 bytes;
	u32 entries;
	u32 batch;
};

/**
 * struct apple_dma_belief - how long something learned is believed
 * @wait: for this many jiffies; 0 if nothing was learned
 * @until: up to this time in jiffies
 */
struct apple_dma_belief {
	unsigned long wait;
	unsigned long until;
};

/* Ranges that the host refuses although it has room. */
#define APPLE_DMA_OWN_MAX	4U

/**
 * struct apple_dma_learned - what the host did not announce
 * @bytes: it refused to go beyond this, of all engines with the same budget;
 *	U64_MAX if it never did
 * @entries: the same for registrations; U32_MAX
 * @size: larger windows were refused for their size; a power of two, or U64_MAX
 * @refused: it refused this range last; of size 0 for none
 * @limit: it refused two ranges of this size or less, in two places: nothing as
 *	large is asked for, wherever it is; 0 for none
 * @refused_bytes: bytes of the budget in use when it refused @refused
 * @refused_entries: registrations at that time
 * @most_bytes: the limit is forgotten when this many bytes are in use, and
 *	@most_entries; U64_MAX if there is no limit
 * @most_entries: the same for registrations
 * @belief: how long all of the above is believed
 * @own: ranges that it refuses although it takes others
 * @own_belief: how long each of them is believed
 * @own_next: the one that is replaced next
 */
struct apple_dma_learned {
	u64 bytes;
	u32 entries;
	u64 size;
	struct apple_dma_range refused;
	u64 limit;
	u64 refused_bytes;
	u64 refused_entries;
	u64 most_bytes;
	u64 most_entries;
	struct apple_dma_belief belief;
	struct apple_dma_range own[APPLE_DMA_OWN_MAX];
	struct apple_dma_belief own_belief[APPLE_DMA_OWN_MAX];
	unsigned int own_next;
};

void apple_dma_budget_init(struct apple_dma_engine *e);
void apple_dma_budget_exit(struct apple_dma_engine *e);
void apple_dma_budget_join(struct apple_dma_engine *e);
void apple_dma_budget_leave(struct apple_dma_engine *e);
bool apple_dma_budget_take(struct apple_dma_engine *e, u64 size);
void apple_dma_budget_give(struct apple_dma_engine *e, u64 size);
u64 apple_dma_budget_used(struct apple_dma_engine *e);
void apple_dma_budget_busy(struct apple_dma_engine *e, u64 *busy, u64 *waste);
bool apple_dma_budget_has_all_ram(struct apple_dma_engine *e);
u64 apple_dma_budget_sibling_windows(struct apple_dma_engine *e);
struct apple_dma_engine *
apple_dma_budget_idlest_sibling(struct apple_dma_engine *e);
bool apple_dma_budget_sibling_idler(struct apple_dma_engine *e);
u64 apple_dma_budget_bytes(struct apple_dma_engine *e);
u64 apple_dma_budget_entries(struct apple_dma_engine *e);
bool apple_dma_budget_allows(struct apple_dma_engine *e, u64 size,
			     enum apple_dma_fail *cause);
bool apple_dma_budget_has_room(struct apple_dma_engine *e, u64 bytes,
			       u64 entries);
bool apple_dma_budget_never_fits(struct apple_dma_engine *e, u64 size);
u64 apple_dma_budget_left(struct apple_dma_engine *e);
void apple_dma_budget_forget(struct apple_dma_engine *e);
void apple_dma_budget_expire(struct apple_dma_engine *e);
void apple_dma_budget_learn_limit(struct apple_dma_engine *e, u64 bytes,
				  u64 entries, u64 size);
void apple_dma_budget_learn_size(struct apple_dma_engine *e, u64 size);
void apple_dma_budget_learn_own(struct apple_dma_engine *e,
				const struct apple_dma_range *range);
void apple_dma_budget_learn_refusal(struct apple_dma_engine *e,
				    const struct apple_dma_refusal *r);
void apple_dma_budget_learn_success(struct apple_dma_engine *e);
bool apple_dma_budget_refused_lately(struct apple_dma_engine *e, u64 phys,
				     u64 size);
bool apple_dma_budget_retry_is_pointless(struct apple_dma_engine *e, u64 phys,
					 u64 size);

#endif /* APPLE_DMA_BUDGET_H */
