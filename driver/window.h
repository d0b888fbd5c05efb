/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A window is one registration with the host. Unless stated otherwise, the
 * engine's lock is held, taken with interrupts off.
 */
#ifndef APPLE_DMA_WINDOW_H
#define APPLE_DMA_WINDOW_H

#include <linux/jiffies.h>
#include <linux/log2.h>
#include <linux/percpu.h>

#include "engine.h"

/*
 * The life of a window. Only window.c changes @state, @guarded and the LISTED bit;
 * @live changes there and in the three inline functions below. map.c clears @fresh.
 *
 *            the host                     closed:               the host
 *            confirms         retire      @live 0 -> CLOSED     releases it
 *   PLANNED ---------> ACTIVE ------> RETIRED ------------> DEAD ---------> freed
 *      |                  |                                  ^ |
 *      | refused          +----------------------------------+ | broken host
 *      v                              closed                   v
 *    freed                                        stays DEAD until the engine goes
 *
 * A window that the host has released is freed when its slots are cleared and a
 * grace period has passed.
 *
 * Whoever registers a window guards it: the guard is one use of it, and the window
 * is not closed before the guard is dropped.
 */
enum apple_dma_window_state {
	APPLE_DMA_WINDOW_PLANNED,	/* counted; the host has not answered */
	APPLE_DMA_WINDOW_ACTIVE,	/* can be mapped in */
	APPLE_DMA_WINDOW_RETIRED,	/* takes no new mapping */
	APPLE_DMA_WINDOW_DEAD,		/* closed; to be released by the host */
};

/* In struct apple_dma_window.live of a closed window. */
#define APPLE_DMA_WINDOW_CLOSED	(-1)

/**
 * struct apple_dma_window - one registration with the host
 * @phys: guest-physical start, the handle too; constant
 * @size: bytes; constant
 * @iova: device address of @phys; constant once ACTIVE
 * @live: mappings inside, and guards, and the sum of the mappings' pages:
 *	apple_dma_window_use(); or CLOSED
 * @stamp: jiffies when @live last became 0
 * @flags: APPLE_DMA_WINDOW_LISTED and _LEFT
 * @first: where the range starts that it was made for; @phys or higher
 * @engine: its engine
 * @state: enum apple_dma_window_state
 * @guarded: one of @live is a guard; @list is a list of new windows
 * @fresh: @guarded, and nothing was mapped in it yet by its maker
 * @shared: larger than the granules of the range that it was made for; constant
 * @filler: it keeps a place, or is a candidate to replace another one: it is
 *	RETIRED as soon as the host has confirmed it
 * @settled: no better window is looked for, for blocks with these alignments
 * @slots: some slot of engine->by_phys or engine->by_iova led to it
 * @filled: those of its first bytes, so many, do
 * @seen: @stamp when it got its place in engine->freed or engine->idle
 * @phys_node: in engine->phys, always
 * @phys_last: last guest-physical address in the subtree of @phys_node
 * @iova_node: in engine->iova, once the host has confirmed it
 * @list: engine->idle, a list of new windows, struct apple_dma_emptied, or
 *	engine->stale
 * @freed: engine->freed, or engine->spare
 * @rcu: to free it
 *
 * Under RCU without the lock: @phys, @size, @iova, @live, @stamp, @flags, @state,
 * @settled, @freed.
 */
struct apple_dma_window {
	u64 phys;
	u64 size;
	u64 iova;
	atomic64_t live;
	u32 stamp;
	unsigned long flags;
	u64 first;
	struct apple_dma_engine *engine;
	u8 state;
	bool guarded;
	bool fresh;
	bool shared;
	bool filler;
	bool slots;
	u32 seen;
	u32 settled;
	u64 filled;
	struct rb_node phys_node;
	u64 phys_last;
	struct rb_node iova_node;
	struct list_head list;
	struct llist_node freed;
	struct rcu_head rcu;
};

/* The documented limit of the memory that a window costs. */
static_assert(sizeof(struct apple_dma_window) <= 256);

/* Bit of @flags: on engine->freed or engine->idle, or about to be. */
#define APPLE_DMA_WINDOW_LISTED	0
/* Bit of @flags: the driver went and left something mapped in it. */
#define APPLE_DMA_WINDOW_LEFT	1

/* The largest shared window, bytes: the largest piece the buddy allocator has. */
#define APPLE_DMA_WINDOW_MAX	(4ULL << 20)

/**
 * apple_dma_natural() - the natural alignment of a block
 * @phys: its address
 * @size: its bytes, not 0
 *
 * Return: the largest power of two, up to APPLE_DMA_WINDOW_MAX, that is not
 * above @size and that @phys is a multiple of.
 */
static inline u64 apple_dma_natural(u64 phys, u64 size)
{
	u64 align = phys | APPLE_DMA_WINDOW_MAX;

	return min(align & -align, rounddown_pow_of_two(size));
}

static inline u64 apple_dma_window_end(const struct apple_dma_window *w)
{
	return w->phys + w->size;
}

/**
 * apple_dma_window_covers() - is a range inside a window?
 * @w: the window
 * @phys: any address
 * @size: any number of bytes; 0 is not inside
 *
 * Context: any, under RCU or the lock.
 */
static inline bool apple_dma_window_covers(const struct apple_dma_window *w,
					   u64 phys, u64 size)
{
	u64 offset = phys - w->phys;

	/* Below the window the offset is huge; behind it, nothing is left. */
	return offset < w->size && size - 1 < w->size - offset;
}

/* Do @size bytes from @addr on cross a boundary, such as U32_MAX for 4 GiB? */
static inline bool apple_dma_crosses(u64 addr, u64 size, u64 boundary)
{
	return (addr ^ (addr + size - 1)) & ~boundary;
}

/**
 * apple_dma_window_suits() - is a range aligned in a window, if it is a block?
 * @w: an ACTIVE window with the range in it
 * @phys: guest-physical address
 * @size: bytes
 *
 * Context: any, under RCU or the lock.
 * Return: true as well if it is known that no better one can be had.
 */
static __always_inline bool
apple_dma_window_suits(const struct apple_dma_window *w, u64 phys, u64 size)
{
	u64 align;

	if (likely(size < APPLE_DMA_BLOCK))
		return true;
	align = apple_dma_natural(phys, size);
	return align < APPLE_DMA_BLOCK || (align & READ_ONCE(w->settled)) ||
	       !((w->iova - w->phys) & (align - 1));
}

/**
 * apple_dma_window_fits() - may a range be mapped in a window?
 * @e: the engine
 * @w: the window
 * @phys: guest-physical address
 * @size: bytes
 *
 * In strict mode only a window of exactly the granules of the range fits. A
 * PLANNED window fits, too.
 */
static inline bool apple_dma_window_fits(const struct apple_dma_engine *e,
					 const struct apple_dma_window *w,
					 u64 phys, u64 size)
{
	return w->state <= APPLE_DMA_WINDOW_ACTIVE &&
	       apple_dma_window_covers(w, phys, size) &&
	       (apple_dma_engine_lazy(e) ||
		(w->first == round_down(phys, APPLE_DMA_GRANULE_SIZE) &&
		 apple_dma_window_end(w) ==
		 round_up(phys + size, APPLE_DMA_GRANULE_SIZE)));
}

/*
 * What one mapping adds to struct apple_dma_window.live: 1 to the count, in the
 * low half, and the number of its page to a sum, in the high half. If the count
 * would become 0 and the sum would not, this address was not mapped, and
 * another one still is. Offsets in a page do not count, because no IOMMU
 * requires them to be exact. A guard has no address.
 */
static inline u64 apple_dma_window_use(u64 addr)
{
	return (addr >> PAGE_SHIFT << 32) + 1;
}

/* The mappings and guards in a window; less than 0 if it is CLOSED. */
static inline int apple_dma_window_live(const struct apple_dma_window *w)
{
	return (s32)atomic64_read(&w->live);
}

/**
 * apple_dma_window_get() - keep a window from being given back
 * @e: the engine
 * @w: the window
 * @use: apple_dma_window_use() of each mapping, added up
 *
 * Context: preemption off; the window is kept by that or by the lock.
 * Return: false if it is being given back already, or its count is full.
 */
static inline bool apple_dma_window_get(struct apple_dma_engine *e,
					struct apple_dma_window *w, u64 use)
{
	s64 live = atomic64_read(&w->live);

	do {
		if (unlikely((u32)live > INT_MAX - (u32)use))
			return false;
	} while (!atomic64_try_cmpxchg(&w->live, &live, live + use));
	if (!live) {
		struct apple_dma_percpu *p = this_cpu_ptr(e->percpu);

		local64_dec(&p->idle_entries);
		local64_sub(w->size, &p->idle_bytes);
	}
	return true;
}

/*
 * End uses of a window, and list nothing. Returns how many are left, or -1 if
 * there were not as many to end. After a 0 the window has to be listed or closed.
 * Preemption is off.
 */
static inline int apple_dma_window_unuse(struct apple_dma_engine *e,
					 struct apple_dma_window *w, u64 use)
{
	s64 live = atomic64_read(&w->live);
	s64 left;

	do {
		if (unlikely((s32)live < (s32)use))
			return -1;
		left = live - use;
		if (!(u32)left) {
			if (unlikely(left))
				return -1;
			/* Before it may be seen idle. */
			WRITE_ONCE(w->stamp, (u32)jiffies);
		}
	} while (!atomic64_try_cmpxchg(&w->live, &live, left));
	if (!(u32)left) {
		struct apple_dma_percpu *p = this_cpu_ptr(e->percpu);

		local64_inc(&p->idle_entries);
		local64_add(w->size, &p->idle_bytes);
	}
	return (u32)left;
}

/**
 * apple_dma_window_put() - undo apple_dma_window_get()
 * @e: the engine
 * @w: the window
 * @use: as it was
 *
 * A window that goes idle is pushed on engine->freed, unless it is listed
 * already.
 *
 * Context: preemption off.
 * Return: false if there was not as much to undo; then nothing is undone.
 */
static inline bool apple_dma_window_put(struct apple_dma_engine *e,
					struct apple_dma_window *w, u64 use)
{
	int live = apple_dma_window_unuse(e, w, use);

	/* The cmpxchg orders this after @live; pairs with window_delist(). */
	if (!live && !test_bit(APPLE_DMA_WINDOW_LISTED, &w->flags) &&
	    !test_and_set_bit(APPLE_DMA_WINDOW_LISTED, &w->flags)) {
		w->seen = READ_ONCE(w->stamp);
		llist_add(&w->freed, &e->freed);
	}
	return live >= 0;
}

/**
 * struct apple_dma_emptied - windows that a call has left without a mapping
 * @windows: DEAD; none where the mode keeps idle windows
 * @n: how many
 * @steps: of a list, since the lock was dropped last
 */
struct apple_dma_emptied {
	struct list_head windows;
	unsigned int n;
	unsigned int steps;
};

#define APPLE_DMA_EMPTIED_INIT(name)	{ LIST_HEAD_INIT((name).windows) }

/**
 * struct apple_dma_refusal - what the host refused of a batch
 * @n: how many windows
 * @bytes: their bytes
 * @largest: bytes of the largest of them
 * @shared: the largest of those that are shared; of size 0 if there is none
 * @exact: the smallest of the others; of size 0 if there is none
 * @disjoint: two of those others neither overlap nor touch
 * @own: the smallest window that was refused, if a later one as large was taken;
 *	else of size 0
 * @leftovers: registrations of an earlier kernel that were in the way, and are
 *	released
 */
struct apple_dma_refusal {
	unsigned int n;
	u64 bytes;
	u64 largest;
	struct apple_dma_range shared;
	struct apple_dma_range exact;
	bool disjoint;
	struct apple_dma_range own;
	unsigned int leftovers;
};

void apple_dma_window_setup(struct apple_dma_engine *e);
void apple_dma_window_wait(struct apple_dma_engine *e);
int apple_dma_window_init(void);
void apple_dma_window_exit(void);
mempool_t *apple_dma_window_pool(void);
void apple_dma_window_free_spares(struct apple_dma_engine *e);
struct apple_dma_window *apple_dma_window_plan(struct apple_dma_engine *e,
					       u64 phys, u64 size, u64 first,
					       enum apple_dma_fail *cause);
void apple_dma_window_submit(struct apple_dma_engine *e,
			     struct list_head *planned,
			     struct list_head *fresh,
			     struct apple_dma_refusal *refusal);
bool apple_dma_window_end_use(struct apple_dma_engine *e,
			      struct apple_dma_window *w, u64 addr,
			      struct apple_dma_emptied *emptied);
void apple_dma_window_unguard(struct apple_dma_engine *e,
			      struct apple_dma_window *w,
			      struct apple_dma_emptied *emptied);
void apple_dma_window_retire(struct apple_dma_engine *e,
			     struct apple_dma_window *w);
void apple_dma_window_adopt(struct apple_dma_engine *e,
			    struct apple_dma_window *w);
void apple_dma_window_settle(struct apple_dma_window *w, u64 align);
void apple_dma_window_abandon(struct apple_dma_engine *e,
			      struct apple_dma_window *w);

/* Is a window listed as idle, or about to be? It may be in use. */
static inline bool apple_dma_window_any_listed(const struct apple_dma_engine *e)
{
	return e->listed || e->stack || !llist_empty(&e->freed);
}

bool apple_dma_window_drain(struct apple_dma_engine *e);
bool apple_dma_window_drain_all(struct apple_dma_engine *e,
				unsigned long *flags);
struct apple_dma_window *apple_dma_window_coldest(struct apple_dma_engine *e,
						  bool large);
void apple_dma_window_delist(struct apple_dma_engine *e,
			     struct apple_dma_window *w);
void apple_dma_window_spare(struct apple_dma_engine *e,
			    struct apple_dma_window *w);
bool apple_dma_window_close(struct apple_dma_engine *e,
			    struct apple_dma_window *w,
			    struct apple_dma_emptied *closed);
int apple_dma_window_give_back(struct apple_dma_engine *e,
			       struct apple_dma_emptied *emptied,
			       const char *cause);
int apple_dma_window_unmap(struct apple_dma_engine *e, unsigned int n);
void apple_dma_window_break(struct apple_dma_engine *e, u64 handle,
			    const char *reason);

#endif /* APPLE_DMA_WINDOW_H */
