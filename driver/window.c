// SPDX-License-Identifier: GPL-2.0-only
/*
 * The life of a window, from its plan to its end; window.h has the picture.
 * cover.c and idle.c decide which windows there are.
 *
 * The list of idle windows: engine->idle and, for large windows,
 * engine->idle_large have every window that may be idle, coldest first. A hit
 * takes no lock and does not touch the list: a window on it may be in use. A
 * search for idle windows takes such a window off the list. When it goes idle
 * again, it is pushed on a lock-free stack, engine->freed, which is emptied
 * into the list, some at a time. So an idle window is always LISTED: on the stack,
 * in what was taken from it, or on a list.
 *
 * A window is closed by changing its count from 0 to CLOSED in one step. Only
 * windows that are LISTED are closed, so that no freed window is pushed.
 *
 * Unless a function says otherwise, the engine's lock is held.
 */

#include <linux/slab.h>

#include "index.h"
#include "trace.h"
#include "window.h"
#include "work.h"

/* Windows in reserve for maps when an allocation fails. */
#define WINDOW_RESERVE		64

/* Freed windows that are kept for the next maps. */
#define WINDOW_SPARES		APPLE_DMA_BATCH_MAX

/* Windows that are listed with interrupts off. */
#define WINDOW_DRAIN_MAX	256

/* Larger windows are not kept idle if there is no room for large ones. */
#define WINDOW_LARGE		(64ULL << 10)

/* If the host refuses a filler, none is asked for during this time. */
#define FILLER_REFUSED		(10 * HZ)

static struct kmem_cache *window_cache;

/* ---- what the host answers ---- */

/*
 * The host broke the protocol. @handle: the one concerned, or the first of a
 * batch.
 * @reason: for the log; a string constant.
 */
void apple_dma_window_break(struct apple_dma_engine *e, u64 handle,
			    const char *reason)
{
	if (e->broken)
		return;
	e->broken = true;
	WRITE_ONCE(e->fast, false);
	e->reason = reason;
	apple_dma_work_queue(&e->alert);
	trace_host_error(e->dev, handle, reason);
}

/* After a call of the host that returned an error. */
static void window_host_failed(struct apple_dma_engine *e, u64 handle)
{
	apple_dma_window_break(e, handle, e->host_ops->reason(e->host));
}

/**
 * apple_dma_window_unmap() - one doorbell for handles to release
 * @e: the engine, not broken; its lock is held
 * @n: how many of @e->unmap_scratch, at most limits.batch
 *
 * Return: 0, or -EPROTO when that broke the engine.
 */
int apple_dma_window_unmap(struct apple_dma_engine *e, unsigned int n)
{
	int err = e->host_ops->unmap(e->host, e->unmap_scratch, n);

	if (err)
		window_host_failed(e, e->unmap_scratch->handle);
	return err;
}

/* Put the handles of windows into @e->unmap_scratch. Returns how many. */
static unsigned int window_handles(struct apple_dma_engine *e,
				   struct list_head *windows)
{
	struct apple_dma_unmap_entry *entry = e->unmap_scratch;
	struct apple_dma_window *w;

	list_for_each_entry(w, windows, list) {
		entry->handle = w->phys;
		entry->len = w->size;
		entry++;
	}
	return entry - e->unmap_scratch;
}

/*
 * Memory for a window, or NULL. In strict mode each map needs a window and each unmap
 * frees it, so some are kept.
 */
static struct apple_dma_window *window_alloc(struct apple_dma_engine *e)
{
	struct llist_node *spare = e->spare;

	if (!spare)
		return mempool_alloc(e->pool, GFP_ATOMIC | __GFP_NOWARN);
	e->spare = spare->next;
	e->spares--;
	return llist_entry(spare, struct apple_dma_window, freed);
}

/* Free a window that no hit can see. The reserve is filled up first. */
static void window_free(struct apple_dma_engine *e, struct apple_dma_window *w)
{
	if (e->spares == WINDOW_SPARES ||
	    READ_ONCE(e->pool->curr_nr) < e->pool->min_nr) {
		mempool_free(w, e->pool);
		return;
	}
	w->freed.next = e->spare;
	e->spare = &w->freed;
	e->spares++;
}

/* Free what is kept for the next maps. */
void apple_dma_window_free_spares(struct apple_dma_engine *e)
{
	while (e->spares)
		mempool_free(window_alloc(e), e->pool);
}

/**
 * apple_dma_window_plan() - a window that the host is to be asked for
 * @e: the engine; its lock is held
 * @phys: guest-physical start; no window has it as its handle
 * @size: bytes
 * @first: where the range starts that it is for
 * @cause: set to why there is none, if there is none
 *
 * It is counted from now on. Only whole granules can be registered: the slots
 * of a granule lead to one window, for all of it.
 *
 * Return: the window, PLANNED, or NULL.
 */
struct apple_dma_window *apple_dma_window_plan(struct apple_dma_engine *e,
					       u64 phys, u64 size, u64 first,
					       enum apple_dma_fail *cause)
{
	struct apple_dma_window *w;

	lockdep_assert_held(&e->lock);
	if (WARN_ON_ONCE(!size || ((phys | size) & APPLE_DMA_GRANULE_MASK))) {
		*cause = APPLE_DMA_FAIL_BUG;
		return NULL;
	}
	/* Another engine may have taken the room. */
	if (!apple_dma_budget_take(e, size)) {
		*cause = APPLE_DMA_FAIL_BYTES;
		return NULL;
	}
	w = window_alloc(e);
	if (!w) {
		apple_dma_budget_give(e, size);
		*cause = APPLE_DMA_FAIL_MEMORY;
		return NULL;
	}
	memset(w, 0, sizeof(*w));
	w->phys = phys;
	w->size = size;
	w->first = first;
	w->engine = e;
	w->state = APPLE_DMA_WINDOW_PLANNED;
	atomic64_set(&w->live, APPLE_DMA_WINDOW_CLOSED);
	INIT_LIST_HEAD(&w->list);
	apple_dma_index_add(e, w);
	e->stats.mapped_bytes += size;
	e->stats.mapped_entries++;
	return w;
}

/* A guarded window can be mapped in from now on. */
static void window_activate(struct apple_dma_engine *e,
			    struct apple_dma_window *w)
{
	w->fresh = true;
	w->state = APPLE_DMA_WINDOW_ACTIVE;
}

static void window_free_rcu(struct rcu_head *rcu)
{
	struct apple_dma_window *w = container_of(rcu, struct apple_dma_window,
						  rcu);

	mempool_free(w, w->engine->pool);
}

/* Clear the slots of windows that are gone, in short holds of the lock. */
static void apple_dma_window_clear(struct work_struct *work)
{
	struct apple_dma_engine *e = container_of(work, struct apple_dma_engine,
						  clear);
	struct apple_dma_window *w;
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	while ((w = list_first_entry_or_null(&e->stale, struct apple_dma_window,
					     list))) {
		if (!apple_dma_index_withdraw(e, w)) {
			list_del(&w->list);
			call_rcu(&w->rcu, window_free_rcu);
		}
		spin_unlock_irqrestore(&e->lock, flags);
		cond_resched();
		spin_lock_irqsave(&e->lock, flags);
	}
	spin_unlock_irqrestore(&e->lock, flags);
}

/*
 * Forget a window that the host does not have, or not any more. The caller drops the
 * list that it is on.
 */
static void window_forget(struct apple_dma_engine *e, struct apple_dma_window *w)
{
	apple_dma_index_remove(e, w);
	if (w->state == APPLE_DMA_WINDOW_DEAD) {
		if (w->filler)
			e->filler_bytes -= w->size;
		apple_dma_place_released(e, w);
	}
	e->stats.mapped_bytes -= w->size;
	apple_dma_budget_give(e, w->size);
	e->stats.mapped_entries--;
	if (!w->slots) {
		window_free(e, w);
		return;
	}
	/* Hits may still look at it. */
	if (list_empty(&e->stale))
		apple_dma_work_queue_reclaim(&e->clear);
	list_add_tail(&w->list, &e->stale);
}

/*
 * The host has mapped a planned window: it is guarded, and ACTIVE unless it is a
 * filler. Or the engine is broken.
 */
static void window_confirm(struct apple_dma_engine *e,
			   struct apple_dma_window *w, u64 iova)
{
	w->iova = iova;
	apple_dma_place_learn(e, w);
	if (!apple_dma_index_confirm(e, w)) {
		apple_dma_window_break(e, w->phys,
				       "it gave the same device address twice");
		return;
	}
	w->guarded = true;
	atomic64_set(&w->live, 1);
	w->state = APPLE_DMA_WINDOW_RETIRED;
	if (w->filler)
		e->filler_bytes += w->size;
	else
		window_activate(e, w);
	trace_window_create(e->dev, w->phys, iova, w->size);
}

/* The host refused @w. */
static void window_refused(struct apple_dma_refusal *r,
			   const struct apple_dma_window *w)
{
	const struct apple_dma_range range = { .phys = w->phys, .size = w->size };

	r->n++;
	r->bytes += w->size;
	r->largest = max(r->largest, w->size);
	if (w->shared) {
		if (w->size > r->shared.size)
			r->shared = range;
		return;
	}
	r->disjoint |= r->exact.size && !apple_dma_touch(&r->exact, &range);
	if (!r->exact.size || w->size < r->exact.size)
		r->exact = range;
}

/*
 * One doorbell for the planned windows on @list, at most a batch. What the
 * host confirms moves to @fresh, what it refuses stays on @list.
 */
static void window_map_planned(struct apple_dma_engine *e,
			       struct list_head *list, struct list_head *fresh,
			       struct apple_dma_refusal *refusal)
{
	struct apple_dma_map_entry *entry = e->map_scratch;
	struct apple_dma_window *w, *next;
	const struct apple_dma_window *least = NULL;
	unsigned int n = 0;
	LIST_HEAD(left);

	list_for_each_entry(w, list, list) {
		entry[n].gpa = w->phys;
		entry[n].len = w->size;
		n++;
	}
	if (!n || e->broken)
		return;
	if (e->host_ops->map(e->host, entry, n)) {
		window_host_failed(e, entry->gpa);
		return;
	}
	list_for_each_entry_safe(w, next, list, list) {
		if (entry->err) {
			e->stats.refusals++;
			if (!w->filler && (!least || w->size < least->size))
				least = w;
			trace_host_error(e->dev, w->phys, "it refused a window");
		} else if (!e->broken) {
			window_confirm(e, w, entry->iova);
			if (least && w->size >= least->size) {
				refusal->own.phys = least->phys;
				refusal->own.size = least->size;
			}
		}
		if (entry->err || e->broken)
			list_move_tail(&w->list, &left);
		entry++;
	}
	list_splice_tail_init(list, fresh);
	list_splice(&left, list);
}

/*
 * The windows on @list were refused. If an earlier kernel left a registration
 * with the same handle, the host refuses a second one: release it. Where there
 * was none, the refusal is real and the window goes to @real. What stays on
 * @list is worth another try.
 */
static void window_release_leftovers(struct apple_dma_engine *e,
				     struct list_head *list,
				     struct list_head *real,
				     struct apple_dma_refusal *refusal)
{
	struct apple_dma_unmap_entry *entry = e->unmap_scratch;
	struct apple_dma_window *w, *next;
	unsigned int n, found = 0;

	if (e->clean) {
		list_splice_tail_init(list, real);
		return;
	}
	n = window_handles(e, list);
	if (!n || e->broken || apple_dma_window_unmap(e, n))
		return;
	list_for_each_entry_safe(w, next, list, list) {
		if (entry->err)
			list_move_tail(&w->list, real);
		else
			found++;
		entry++;
	}
	e->stats.recovered += found;
	refusal->leftovers += found;
}

/**
 * apple_dma_window_submit() - register planned windows with the host
 * @e: the engine; its lock is held
 * @planned: at most a batch of windows; empty afterwards
 * @fresh: where the registered ones go, each of them guarded
 * @refusal: set to what was refused; those windows are freed
 *
 * One doorbell, and up to two more if some are refused.
 */
void apple_dma_window_submit(struct apple_dma_engine *e,
			     struct list_head *planned,
			     struct list_head *fresh,
			     struct apple_dma_refusal *refusal)
{
	struct apple_dma_window *w, *next;
	LIST_HEAD(real);

	lockdep_assert_held(&e->lock);
	memset(refusal, 0, sizeof(*refusal));
	window_map_planned(e, planned, fresh, refusal);
	if (!list_empty(planned)) {
		window_release_leftovers(e, planned, &real, refusal);
		/* Leftovers caused some of the refusals, and are gone. */
		if (!list_empty(planned))
			refusal->own.size = 0;
		window_map_planned(e, planned, fresh, refusal);
	}
	list_splice_tail_init(planned, &real);
	list_for_each_entry_safe(w, next, &real, list) {
		/* The host may have made it: it stays in the budget. */
		if (e->broken) {
			w->state = APPLE_DMA_WINDOW_DEAD;
			INIT_LIST_HEAD(&w->list);
			continue;
		}
		if (w->filler)
			e->filler_until = jiffies + FILLER_REFUSED;
		else
			window_refused(refusal, w);
		window_forget(e, w);
	}
	/* What was refused is not counted any more. */
	e->stats.peak_bytes = max(e->stats.peak_bytes, e->stats.mapped_bytes);
	e->stats.peak_entries = max(e->stats.peak_entries,
				    e->stats.mapped_entries);
}

/* ---- idle windows: the list ---- */

static struct list_head *window_list_of(struct apple_dma_engine *e,
					const struct apple_dma_window *w)
{
	if (w->state == APPLE_DMA_WINDOW_RETIRED)
		return &e->idle_retired;
	return w->size > WINDOW_LARGE ? &e->idle_large : &e->idle;
}

static void window_count_listed(struct apple_dma_engine *e,
				const struct apple_dma_window *w, int n)
{
	e->listed += n;
	if (w->size > WINDOW_LARGE)
		e->listed_large += n * (s64)w->size;
}

static void window_enlist(struct apple_dma_engine *e,
			  struct apple_dma_window *w)
{
	list_add_tail(&w->list, window_list_of(e, w));
	window_count_listed(e, w, 1);
}

/* The latest is taken first: each goes in front of those taken before. */
static void window_take(struct apple_dma_engine *e, struct apple_dma_window *w)
{
	lockdep_assert_held(&e->lock);
	/* A driver unmapped too often; the guard is still there. */
	if (w->guarded) {
		clear_bit(APPLE_DMA_WINDOW_LISTED, &w->flags);
		return;
	}
	if (w->state == APPLE_DMA_WINDOW_RETIRED)
		list_add_tail(&w->list, &e->idle_retired);
	else
		list_add(&w->list, w->size > WINDOW_LARGE ? &e->drained_large :
							    &e->drained);
	window_count_listed(e, w, 1);
}

/* What was drained is newer than what is on the lists. */
static void window_append_drained(struct apple_dma_engine *e)
{
	list_splice_tail_init(&e->drained, &e->idle);
	list_splice_tail_init(&e->drained_large, &e->idle_large);
}

/**
 * apple_dma_window_drain() - list windows that have gone idle
 * @e: the engine; its lock is held
 *
 * A few hundred at a time. The windows of a longer stack go to the lists when all of
 * it is drained, or when no other window is there.
 *
 * Return: true if there are more. A caller that needs all of them drops the lock and
 * calls again.
 */
bool apple_dma_window_drain(struct apple_dma_engine *e)
{
	unsigned int i;

	if (!e->stack)
		e->stack = llist_del_all(&e->freed);
	for (i = 0; e->stack && i < WINDOW_DRAIN_MAX; i++) {
		struct apple_dma_window *w =
			llist_entry(e->stack, struct apple_dma_window, freed);

		e->stack = e->stack->next;
		window_take(e, w);
	}
	if (!e->stack)
		window_append_drained(e);
	return e->stack || !llist_empty(&e->freed);
}

/* List all windows that have gone idle. Returns true if the lock was dropped. */
bool apple_dma_window_drain_all(struct apple_dma_engine *e, unsigned long *flags)
	__must_hold(&e->lock)
{
	bool dropped = false;

	while (apple_dma_window_drain(e)) {
		apple_dma_engine_relock(e, flags);
		dropped = true;
	}
	return dropped;
}

/*
 * The window that has been on its list for longest, of all or of the large ones;
 * or NULL. It may be in use. Of all, those that take no new mapping come first.
 */
struct apple_dma_window *apple_dma_window_coldest(struct apple_dma_engine *e,
						  bool large)
{
	struct apple_dma_window *a, *b;

	lockdep_assert_held(&e->lock);
	if (list_empty(&e->idle) && list_empty(&e->idle_large))
		window_append_drained(e);
	a = list_first_entry_or_null(&e->idle_large, struct apple_dma_window,
				     list);
	b = list_first_entry_or_null(&e->idle, struct apple_dma_window, list);
	if (!large && !list_empty(&e->idle_retired))
		return list_first_entry(&e->idle_retired,
					struct apple_dma_window, list);
	if (large || !b)
		return a;
	return a && (s32)(a->seen - b->seen) <= 0 ? a : b;
}

/* Take a window in use off its list. */
void apple_dma_window_delist(struct apple_dma_engine *e,
			     struct apple_dma_window *w)
{
	list_del_init(&w->list);
	window_count_listed(e, w, -1);
	clear_bit(APPLE_DMA_WINDOW_LISTED, &w->flags);
	/* Pairs with the cmpxchg in apple_dma_window_unuse(). */
	smp_mb__after_atomic();
	if (!apple_dma_window_live(w) &&
	    !test_and_set_bit(APPLE_DMA_WINDOW_LISTED, &w->flags)) {
		w->seen = READ_ONCE(w->stamp);
		window_enlist(e, w);
	}
}

/* Move a window on its list to the hot end. */
void apple_dma_window_spare(struct apple_dma_engine *e,
			    struct apple_dma_window *w)
{
	w->seen = READ_ONCE(w->stamp);
	list_move_tail(&w->list, window_list_of(e, w));
}

/* ---- the end ---- */

/* Close a window that is LISTED. Returns false if it is in use again. */
static bool window_close(struct apple_dma_engine *e, struct apple_dma_window *w)
{
	struct apple_dma_percpu *p;

	if (atomic64_cmpxchg(&w->live, 0, APPLE_DMA_WINDOW_CLOSED))
		return false;
	WRITE_ONCE(w->state, APPLE_DMA_WINDOW_DEAD);
	p = get_cpu_ptr(e->percpu);
	local64_dec(&p->idle_entries);
	local64_sub(w->size, &p->idle_bytes);
	put_cpu_ptr(e->percpu);
	return true;
}

/*
 * Close an idle window on its list, and move it to @closed. Returns false if it is
 * in use again; then it stays where it is.
 */
bool apple_dma_window_close(struct apple_dma_engine *e,
			    struct apple_dma_window *w,
			    struct apple_dma_emptied *closed)
{
	if (!window_close(e, w))
		return false;
	window_count_listed(e, w, -1);
	list_move_tail(&w->list, &closed->windows);
	closed->n++;
	return true;
}

/*
 * A window has gone idle. If the mode keeps nothing idle, the caller gives it
 * back, unless it is LISTED: then it is given back with the list.
 */
static void window_went_idle(struct apple_dma_engine *e,
			     struct apple_dma_window *w,
			     struct apple_dma_emptied *emptied)
{
	if (test_and_set_bit(APPLE_DMA_WINDOW_LISTED, &w->flags))
		return;
	if (!apple_dma_engine_lazy(e) && !e->broken && window_close(e, w)) {
		list_add_tail(&w->list, &emptied->windows);
		emptied->n++;
		return;
	}
	w->seen = READ_ONCE(w->stamp);
	llist_add(&w->freed, &e->freed);
}

/**
 * apple_dma_window_end_use() - a mapping ends, with the lock held
 * @e: the engine; its lock is held
 * @w: the window
 * @addr: the device address that was mapped
 * @emptied: where the window goes if this closes it
 *
 * Return: false if nothing was mapped there.
 */
bool apple_dma_window_end_use(struct apple_dma_engine *e,
			      struct apple_dma_window *w, u64 addr,
			      struct apple_dma_emptied *emptied)
{
	int live;

	/* The last use is the guard of whoever made the window. */
	if (w->guarded && apple_dma_window_live(w) <= 1)
		return false;
	preempt_disable();
	live = apple_dma_window_unuse(e, w, apple_dma_window_use(addr));
	preempt_enable();
	if (!live)
		window_went_idle(e, w, emptied);
	return live >= 0;
}

/**
 * apple_dma_window_unguard() - the mappings alone keep the window from now on
 * @e: the engine; its lock is held
 * @w: a guarded window; it is taken off the list of new ones
 * @emptied: where it goes if this closes it
 *
 * Hits find the window from now on. Where that takes many steps, some are taken and
 * the window stays where it is: call this again while it is on the list. The lock may
 * be dropped before.
 */
void apple_dma_window_unguard(struct apple_dma_engine *e,
			      struct apple_dma_window *w,
			      struct apple_dma_emptied *emptied)
{
	if (w->state == APPLE_DMA_WINDOW_ACTIVE) {
		u64 filled = w->filled;
		bool more = apple_dma_index_publish(e, w);

		emptied->steps += (w->filled - filled) / APPLE_DMA_GRANULE_SIZE;
		if (more)
			return;
	}
	list_del_init(&w->list);
	w->guarded = false;
	w->fresh = false;
	/* A driver that unmaps too often may have ended the guard. */
	if (!apple_dma_window_end_use(e, w, 0, emptied) &&
	    !apple_dma_window_live(w))
		window_went_idle(e, w, emptied);
}

/* Let nothing more be mapped in an ACTIVE window. A hit may be under way. */
void apple_dma_window_retire(struct apple_dma_engine *e,
			     struct apple_dma_window *w)
{
	lockdep_assert_held(&e->lock);
	WRITE_ONCE(w->state, APPLE_DMA_WINDOW_RETIRED);
}

/**
 * apple_dma_window_adopt() - a new window is no filler any more
 * @e: the engine; its lock is held
 * @w: a filler, guarded
 */
void apple_dma_window_adopt(struct apple_dma_engine *e,
			    struct apple_dma_window *w)
{
	w->filler = false;
	e->filler_bytes -= w->size;
	window_activate(e, w);
}

/* Look for no better window for blocks that are aligned to @align. */
void apple_dma_window_settle(struct apple_dma_window *w, u64 align)
{
	WRITE_ONCE(w->settled, w->settled | align);
}

/* The driver is gone: end all mappings in a window that the host has confirmed. */
void apple_dma_window_abandon(struct apple_dma_engine *e,
			      struct apple_dma_window *w)
{
	lockdep_assert_held(&e->lock);
	if (apple_dma_window_live(w) <= 0)
		return;
	if (apple_dma_window_live(w) > w->guarded)
		set_bit(APPLE_DMA_WINDOW_LEFT, &w->flags);
	/* A map that began before still has its guard. */
	atomic64_set(&w->live, 1 + w->guarded);
	preempt_disable();
	apple_dma_window_put(e, w, apple_dma_window_use(0));
	preempt_enable();
}

/**
 * apple_dma_window_give_back() - have the host release windows: one doorbell
 * @e: the engine; its lock is held
 * @emptied: at most a batch of windows; empty afterwards
 * @cause: why, for the trace; see trace.h
 *
 * Return: 0, or -EPROTO when the engine is broken; then the windows stay in
 * the index, DEAD, as long as the engine.
 */
int apple_dma_window_give_back(struct apple_dma_engine *e,
			       struct apple_dma_emptied *emptied,
			       const char *cause)
{
	struct apple_dma_unmap_entry *entry = e->unmap_scratch;
	struct apple_dma_window *w, *next;

	lockdep_assert_held(&e->lock);
	if (!emptied->n)
		return 0;
	if (!e->broken)
		apple_dma_window_unmap(e, window_handles(e, &emptied->windows));
	list_for_each_entry_safe(w, next, &emptied->windows, list) {
		if (!e->broken && entry->err)
			apple_dma_window_break(e, w->phys,
					       "it does not release a mapping that it made");
		entry++;
		if (e->broken) {
			INIT_LIST_HEAD(&w->list);
			continue;
		}
		trace_window_evict(e->dev, w->phys, w->iova, w->size, cause);
		window_forget(e, w);
	}
	INIT_LIST_HEAD(&emptied->windows);
	emptied->n = 0;
	return e->broken ? -EPROTO : 0;
}

/* Wait until windows that are gone have no slots. May sleep. */
void apple_dma_window_wait(struct apple_dma_engine *e)
{
	flush_work(&e->clear);
}

/* ---- the memory of windows ---- */

/* Prepare what clears the slots of windows. */
void apple_dma_window_setup(struct apple_dma_engine *e)
{
	INIT_LIST_HEAD(&e->stale);
	INIT_WORK(&e->clear, apple_dma_window_clear);
}

/* A pool for the windows of an engine, with a reserve for atomic context; or NULL. */
mempool_t *apple_dma_window_pool(void)
{
	return mempool_create_slab_pool(WINDOW_RESERVE, window_cache);
}

/* Once for the module: make the slab cache. Returns 0 or -ENOMEM. */
int apple_dma_window_init(void)
{
	window_cache = KMEM_CACHE(apple_dma_window, 0);
	return window_cache ? 0 : -ENOMEM;
}

/* Undo apple_dma_window_init(). */
void apple_dma_window_exit(void)
{
	kmem_cache_destroy(window_cache);
}
