// SPDX-License-Identifier: GPL-2.0-only
/*
 * What happens at a miss: windows for ranges that have none. A request is planned
 * as a whole, a batch of windows to a doorbell; one range is a list of one.
 *
 * If the budget is short, idle windows are given back first. If the host has
 * less room than the budget, its refusals are recorded (budget.c).
 *
 * Unless a function says otherwise, the engine's lock is held.
 */

#include <linux/mm.h>

#include "align.h"
#include "cover.h"
#include "idle.h"
#include "index.h"
#include "recover.h"
#include "shape.h"

/* Times that interrupts are let in after room was made, before it is used. */
#define COVER_YIELDS	2

/* Sizes of shared windows, the largest first, and exact granules. */
#define COVER_SHAPES	5

/* Bytes that the runs need, their first, and windows of the shape and below. */
struct cover_estimate {
	u64 exact;
	u64 first;
	u64 entries;
	u64 shared[COVER_SHAPES];
};

/* Of a size: which of cover_estimate.shared has its bytes. */
static unsigned int cover_level(u64 shape)
{
	unsigned int level = 0;

	for (; shape < APPLE_DMA_WINDOW_MAX; shape *= APPLE_DMA_SHAPE_STEP)
		level++;
	return level;
}

static void cover_estimate(struct apple_dma_engine *e,
			   const struct apple_dma_runs *runs, u64 shape,
			   struct cover_estimate *est)
{
	u64 behind[COVER_SHAPES] = {};
	unsigned int i, k;

	memset(est, 0, sizeof(*est));
	for (i = 0; i < runs->n; i++) {
		u64 phys = runs->run[i].phys, size = runs->run[i].size;
		u64 end = phys + size, each = shape;
		u64 need, start;

		/* Those of the engine were looked up in this hold, or the one before. */
		if (runs != &e->runs && apple_dma_index_find(e, phys, size))
			continue;
		if (!apple_dma_shape_exact_start(e, phys, &start))
			start = round_down(phys, APPLE_DMA_GRANULE_SIZE);
		need = round_up(end, APPLE_DMA_GRANULE_SIZE) - start;
		est->first = est->first ?: need;
		est->exact += need;
		est->entries++;
		for (k = cover_level(shape); k < COVER_SHAPES; k++) {
			/* In the window of a neighbour; they may be in any order. */
			if (end > behind[k] || phys < behind[k] - each) {
				est->shared[k] += max(need, each);
				behind[k] = round_down(phys, each) + each;
			}
			each /= APPLE_DMA_SHAPE_STEP;
		}
	}
}

/*
 * Is there nothing to plan? In strict mode a range gets its granules, and where the
 * host puts a range below a block does not matter. Returns their bytes, or 0.
 */
static u64 cover_plain(struct apple_dma_engine *e,
		       const struct apple_dma_request *req)
{
	const struct apple_dma_range *r = &req->range;
	u64 start = round_down(r->phys, APPLE_DMA_GRANULE_SIZE);

	if (req->sg || apple_dma_engine_lazy(e) || req->searches ||
	    r->size >= APPLE_DMA_BLOCK || apple_dma_index_handle_taken(e, start))
		return 0;
	return round_up(r->phys + r->size, APPLE_DMA_GRANULE_SIZE) - start;
}

static u64 cover_shape(struct apple_dma_engine *e,
		       const struct apple_dma_request *req)
{
	return req->exact ? APPLE_DMA_GRANULE_SIZE : apple_dma_shape(e);
}

/* The largest shape of which a batch fits in the room there is. */
static u64 cover_fitting(struct apple_dma_engine *e, u64 shape,
			 const struct cover_estimate *est)
{
	for (; shape > APPLE_DMA_GRANULE_SIZE; shape /= APPLE_DMA_SHAPE_STEP)
		if (apple_dma_budget_has_room(e, est->shared[cover_level(shape)],
					      est->entries))
			break;
	return shape;
}

/*
 * Have a sibling give idle windows back, for @bytes of room: one doorbell. At most
 * as many windows as were idle at the first time. Returns false if there is none.
 * The lock is dropped, unless there was none before.
 */
static bool cover_from_sibling(struct apple_dma_engine *e,
			       struct apple_dma_request *req, u64 bytes,
			       unsigned long *flags)
	__must_hold(&e->lock)
{
	s64 went;

	if (req->sibling_tries < 0)
		req->sibling_tries = apple_dma_budget_sibling_windows(e);
	if (!req->sibling_tries)
		return false;
	spin_unlock_irqrestore(&e->lock, *flags);
	went = apple_dma_idle_evict_sibling(e, bytes);
	spin_lock_irqsave(&e->lock, *flags);
	req->sibling_tries -= went ? min(went, req->sibling_tries) :
				     req->sibling_tries;
	return went;
}

/*
 * Windows were given back: let interrupts in, but not for ever: others may take the
 * room. Returns true if the lock was dropped.
 */
static bool cover_yield(struct apple_dma_engine *e,
			struct apple_dma_request *req, unsigned long *flags)
	__must_hold(&e->lock)
{
	if (req->yields == COVER_YIELDS)
		return false;
	req->yields++;
	apple_dma_engine_relock(e, flags);
	return true;
}

/*
 * Give idle windows back to make room. Those of a sibling that has more of them
 * go first. One doorbell for shared windows to fit,
 * and more until the exact granules fit. The lock is dropped between two of
 * them, and behind the last. One more if there is room for granules only and large
 * windows are idle. None if the first range cannot fit even without any idle window.
 * Returns true if the lock was dropped.
 */
static bool cover_make_room(struct apple_dma_engine *e,
			    struct apple_dma_request *req,
			    const struct cover_estimate *est, u64 shared,
			    unsigned long *flags)
	__must_hold(&e->lock)
{
	u64 bytes, entries, went;
	unsigned int left;
	bool dropped;

	if (apple_dma_engine_lazy(e) &&
	    apple_dma_shape_roomy(e) == APPLE_DMA_GRANULE_SIZE &&
	    apple_dma_idle_evict_large(e) && cover_yield(e, req, flags))
		return true;
	if (apple_dma_budget_has_room(e, shared, est->entries) ||
	    apple_dma_budget_never_fits(e, est->first))
		return false;

	/* Something was given back for this: enough is enough. */
	if ((req->sibling_tries >= 0 || req->yields) &&
	    apple_dma_budget_has_room(e, est->exact, est->entries))
		return false;
	bytes = apple_dma_budget_used(e) + shared;
	bytes -= min(bytes, apple_dma_budget_bytes(e));
	if (bytes && req->sibling_tries && apple_dma_budget_sibling_idler(e)) {
		cover_from_sibling(e, req, bytes, flags);
		return true;
	}

	/* Windows that go idle meanwhile are not counted, so the loop ends. */
	dropped = apple_dma_window_drain_all(e, flags);
	for (left = e->listed; ; left -= min(left, apple_dma_engine_batch(e))) {
		bytes = apple_dma_budget_used(e) + shared;
		bytes -= min(bytes, apple_dma_budget_bytes(e));
		entries = e->stats.mapped_entries + est->entries;
		entries -= min(entries, apple_dma_budget_entries(e));
		went = apple_dma_idle_evict(e, bytes, entries);
		if (apple_dma_budget_has_room(e, est->exact, est->entries) ||
		    e->broken || !left || !apple_dma_window_any_listed(e))
			break;
		apple_dma_engine_relock(e, flags);
		dropped = true;
	}
	return (went && cover_yield(e, req, flags)) || dropped;
}

/* Does it matter where the host puts what is asked for? */
static bool cover_wants_place(const struct apple_dma_request *req,
			      const struct apple_dma_runs *runs)
{
	return !bitmap_empty(runs->blocks, runs->n) ||
	       req->boundary < U32_MAX || req->searches;
}

/*
 * Plan windows of up to @shape for runs that have none. No fillers if @again. Returns
 * why the range at hand has none, if @planned is empty.
 */
static noinline enum apple_dma_fail
cover_plan_runs(struct apple_dma_engine *e, const struct apple_dma_request *req,
		const struct apple_dma_runs *runs, u64 shape, bool again,
		struct list_head *planned)
{
	const bool fill = !again && cover_wants_place(req, runs);
	struct apple_dma_guess guess = {};
	enum apple_dma_fail why = APPLE_DMA_FAIL_HOST;
	const unsigned int batch = apple_dma_engine_plan_max(e);
	struct apple_dma_window *w, *filler;
	unsigned int i, n;

	if (fill)
		guess = apple_dma_place_guess(e);
	for (i = n = 0; i < runs->n && n < batch; i++, n++) {
		const struct apple_dma_range *run = &runs->run[i];

		if (apple_dma_index_find(e, run->phys, run->size))
			continue;
		/* A part of it may do, when its range is at hand. */
		if (i && run->size > e->learned.size)
			break;
		w = apple_dma_shape_plan(e, run, i ? run : &req->range, shape,
					 &why);
		if (!w)
			break;
		w->shared |= req->runs && i;
		guess.sure &= n + 1 < batch;
		filler = fill ? apple_dma_align_filler(e, w, i ? run : &req->range,
						       test_bit(i, runs->blocks),
						       req->boundary, &guess) :
				NULL;
		if (filler)
			list_add_tail(&filler->list, planned);
		n += !!filler;
		list_add_tail(&w->list, planned);
	}
	return why;
}

/* The same; only for the range at hand if @shape is 0. */
static enum apple_dma_fail cover_plan(struct apple_dma_engine *e,
				      const struct apple_dma_request *req,
				      const struct apple_dma_runs *runs,
				      u64 shape, bool again,
				      struct list_head *planned)
{
	enum apple_dma_fail why = APPLE_DMA_FAIL_HOST;
	struct apple_dma_window *w;

	if (shape)
		why = cover_plan_runs(e, req, runs, shape, again, planned);
	if (list_empty(planned)) {
		w = apple_dma_shape_plan_exact(e, &req->range, &why);
		if (w)
			list_add(&w->list, planned);
	}
	return why;
}

/* Register planned windows: apple_dma_window_submit(). */
static void cover_submit(struct apple_dma_engine *e, struct list_head *planned,
			 struct list_head *fresh,
			 struct apple_dma_refusal *refusal)
{
	apple_dma_window_submit(e, planned, fresh, refusal);
	/* One leftover in the way suggests more; scan for them. */
	if (refusal->leftovers)
		apple_dma_recover_start(e);
}

/*
 * Give back what is closed, such as fillers of strict mode, if it keeps room from
 * the exact granules, or if the next doorbell may close more than a batch. One
 * doorbell, or none: then false is returned.
 */
static bool cover_gives_back(struct apple_dma_engine *e,
			     const struct cover_estimate *est,
			     struct apple_dma_emptied *emptied)
{
	if (!emptied->n ||
	    (2 * emptied->n < apple_dma_engine_batch(e) &&
	     apple_dma_budget_has_room(e, est->exact, est->entries)))
		return false;
	apple_dma_window_give_back(e, emptied, "align");
	return true;
}

/* Fillers have done what they were made for, and may go when room is needed. */
static void cover_end_fillers(struct apple_dma_engine *e,
			      struct list_head *windows,
			      struct apple_dma_emptied *emptied)
{
	struct apple_dma_window *w, *next;

	list_for_each_entry_safe(w, next, windows, list) {
		if (!w->filler)
			continue;
		apple_dma_window_unguard(e, w, emptied);
	}
}

/*
 * An idle window was given back, and the host still refuses a range. Does it
 * take that window again? Then it has room, and refuses only this range. One
 * doorbell; the window is on @fresh again.
 */
static bool cover_takes_back(struct apple_dma_engine *e,
			     const struct apple_dma_range *went,
			     struct list_head *fresh)
{
	struct apple_dma_refusal refusal;
	enum apple_dma_fail cause;
	struct apple_dma_window *w;
	LIST_HEAD(planned);

	if (!apple_dma_engine_lazy(e) ||
	    !apple_dma_ram_has(e, went->phys, went->size) ||
	    apple_dma_index_handle_taken(e, went->phys) ||
	    !apple_dma_budget_allows(e, went->size, &cause))
		return false;
	w = apple_dma_window_plan(e, went->phys, went->size, went->phys, &cause);
	if (!w)
		return false;
	list_add(&w->list, &planned);
	cover_submit(e, &planned, fresh, &refusal);
	return !refusal.n && !e->broken;
}

/*
 * Record what the host refused. @r: exact granules were, or @r->n is 0.
 * @shared: a shared window whose granules were taken instead, or of size 0.
 * @went: the largest idle window given back for it.
 */
static void cover_learn(struct apple_dma_engine *e,
			const struct apple_dma_refusal *r,
			const struct apple_dma_range *shared,
			const struct apple_dma_range *went,
			struct list_head *fresh)
{
	const struct apple_dma_range *range = r->n ? &r->exact : shared;
	u64 largest = r->n ? r->largest : shared->size;

	if (!largest)
		return;
	/* Taking back a smaller one would not prove that there is room. */
	if (went->size >= largest && cover_takes_back(e, went, fresh))
		apple_dma_budget_learn_own(e, range);
	else if (r->n)
		apple_dma_budget_learn_refusal(e, r);
	else
		apple_dma_budget_learn_size(e, shared->size);
}

/*
 * Register windows for ranges that have none: one doorbell where the host
 * refuses nothing, for as many ranges as a batch of windows can cover. What the
 * host refuses is asked for again after an idle window was given back, and then
 * as exact granules. Only for the range at hand if @shape is 0. Returns why that has
 * none.
 */
static enum apple_dma_fail cover_register(struct apple_dma_engine *e,
					  struct apple_dma_request *req,
					  const struct apple_dma_runs *runs,
					  u64 shape, struct list_head *fresh,
					  struct apple_dma_emptied *emptied)
{
	enum apple_dma_fail cause = APPLE_DMA_FAIL_HOST;
	struct apple_dma_range went = {}, shared = {};
	u64 bytes = 0, entries = 0, refused_size = 0;
	struct apple_dma_refusal r;
	bool retried = false;

	for (;;) {
		enum apple_dma_fail why;
		LIST_HEAD(planned);

		why = cover_plan(e, req, runs, shape, retried, &planned);
		if (list_empty(&planned)) {
			cause = why;
			/* Nothing was asked for: nothing is learned. */
			memset(&r, 0, sizeof(r));
			shared.size = 0;
			break;
		}
		cover_submit(e, &planned, fresh, &r);
		cover_end_fillers(e, fresh, emptied);
		if (e->broken)
			return cause;
		if (!r.n) {
			if (refused_size)
				apple_dma_budget_learn_limit(e, bytes, entries,
							     refused_size);
			apple_dma_budget_learn_success(e);
			cause = APPLE_DMA_FAIL_NONE;
			break;
		}
		if (!retried && !r.own.size) {
			retried = true;
			bytes = apple_dma_budget_used(e);
			entries = e->stats.mapped_entries;
			/* A filler may have taken the room. */
			if (emptied->n) {
				apple_dma_window_give_back(e, emptied, "align");
				refused_size = r.largest;
				continue;
			}
			went = apple_dma_idle_evict_least(e, r.bytes, r.n);
			if (went.size) {
				refused_size = r.largest;
				continue;
			}
		}
		refused_size = 0;
		shared = r.shared;
		if (r.own.size) {
			apple_dma_budget_learn_own(e, &r.own);
			shared.size = 0;
		}
		if (!r.shared.size || !shape)
			break;
		shape = shape > APPLE_DMA_GRANULE_SIZE ? APPLE_DMA_GRANULE_SIZE :
							 0;
	}
	if (!r.own.size)
		cover_learn(e, &r, &shared, &went, fresh);
	/* The refusal may be of another range of the batch. */
	if (cause != APPLE_DMA_FAIL_NONE &&
	    apple_dma_index_find(e, req->range.phys, req->range.size))
		cause = APPLE_DMA_FAIL_NONE;
	return cause;
}

/*
 * The host refused exact granules, or the budget has no room for them. Give
 * idle windows back for another try, those of a sibling if this engine has none;
 * at most as many as were idle at the first one. Returns false if that does not
 * help. The lock may be dropped.
 */
static bool cover_with_less(struct apple_dma_engine *e,
			    struct apple_dma_request *req,
			    const struct cover_estimate *est,
			    enum apple_dma_fail cause, unsigned long *flags)
	__must_hold(&e->lock)
{
	u64 bytes = req->range.size, entries, idle, went;
	bool again;

	if (cause == APPLE_DMA_FAIL_BYTES) {
		if (apple_dma_budget_never_fits(e, est->first))
			return false;
		bytes = apple_dma_budget_used(e) + est->exact;
		bytes -= min(bytes, apple_dma_budget_bytes(e));
	} else if (apple_dma_budget_retry_is_pointless(e, req->range.phys,
						       bytes)) {
		return false;
	}
	if (req->tries < 0) {
		apple_dma_counters_idle(e, &entries, &idle);
		req->tries = entries;
	}
	if (req->tries) {
		do {
			went = apple_dma_idle_evict(e, bytes, 1);
			apple_dma_engine_relock(e, flags);
			/* All that it looked at may be in use. */
		} while (!went && apple_dma_window_any_listed(e) && !e->broken);
		req->tries -= min_t(s64, went, req->tries);
		if (went)
			return true;
	}
	again = cover_from_sibling(e, req, bytes, flags);
	/* The host may refuse this range, whatever else is given back. */
	if (cause == APPLE_DMA_FAIL_HOST)
		req->sibling_tries = 0;
	return again;
}

/**
 * apple_dma_cover() - make a window for the range at hand, which has none
 * @e: the engine; its lock is held
 * @req: what is to be mapped; ranges behind the one at hand get windows with
 *	the same doorbell
 * @fresh: where the new windows go, guarded, in the order of the ranges
 * @emptied: where fillers go if strict mode gives them back
 * @cause: set to why there is no window
 * @flags: of spin_lock_irqsave()
 *
 * Return: true if the caller has to look again: there is a window now, or the
 * lock was dropped. False if it cannot have one.
 */
bool apple_dma_cover(struct apple_dma_engine *e, struct apple_dma_request *req,
		     struct list_head *fresh, struct apple_dma_emptied *emptied,
		     enum apple_dma_fail *cause, unsigned long *flags)
	__must_hold(&e->lock)
{
	struct apple_dma_runs *runs = NULL;
	struct cover_estimate est;
	LIST_HEAD(made);
	u64 shape = 0, shared;

	lockdep_assert_held(&e->lock);
	if (unlikely(apple_dma_idle_many_fillers(e)) &&
	    apple_dma_idle_evict_fillers(e)) {
		apple_dma_engine_relock(e, flags);
		return true;
	}
	apple_dma_budget_expire(e);
	shared = cover_plain(e, req);
	if (shared) {
		est.first = shared;
		est.exact = shared;
		est.entries = 1;
	} else {
		shape = cover_shape(e, req);
		runs = apple_dma_runs_find(e, req, shape, flags);
		if (!runs)
			return true;
		cover_estimate(e, runs, shape, &est);
		shared = est.shared[cover_level(shape)];
	}
	if (cover_gives_back(e, &est, emptied)) {
		apple_dma_engine_relock(e, flags);
		return true;
	}
	if (cover_make_room(e, req, &est, shared, flags))
		return true;
	*cause = cover_register(e, req, runs, cover_fitting(e, shape, &est),
				&made, emptied);
	apple_dma_runs_done(req, &made);
	list_splice_tail(&made, fresh);
	if (apple_dma_engine_lazy(e))
		apple_dma_idle_arm(e);
	if (*cause == APPLE_DMA_FAIL_NONE) {
		/* Let interrupts in after each doorbell. */
		apple_dma_engine_relock(e, flags);
		return true;
	}
	if ((*cause == APPLE_DMA_FAIL_HOST || *cause == APPLE_DMA_FAIL_BYTES) &&
	    cover_with_less(e, req, &est, *cause, flags))
		return true;
	if (e->broken)
		*cause = APPLE_DMA_FAIL_BROKEN;
	return false;
}
