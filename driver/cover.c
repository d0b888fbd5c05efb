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

#include "cover.h"
#include "idle.h"
#include "index.h"
#include "recover.h"
#include "shape.h"

/* Granules that apple_dma_cannot_fit() can tell apart: those of 8 GiB. */
#define NAMED_BITS	BIT(19)

/* Entries of a list that are looked up with interrupts off. */
#define LOOKUPS_MAX	256

/* Is the range valid? Context: any. */
bool apple_dma_valid_range(u64 phys, u64 size)
{
	return size && phys + size - 1 >= phys &&
	       phys + size - 1 <= U64_MAX - APPLE_DMA_WINDOW_MAX;
}

/* Go on to the next range that has no window. Returns false if there is none. */
static bool cover_next_miss(struct apple_dma_engine *e,
			    struct apple_dma_request *req)
{
	for (; req->left; apple_dma_request_next(req)) {
		const struct apple_dma_range *r = &req->range;

		if (*apple_dma_request_addr(req) != DMA_MAPPING_ERROR)
			continue;
		if (!apple_dma_valid_range(r->phys, r->size))
			return false;
		if (!apple_dma_index_find(e, r->phys, r->size))
			return true;
	}
	return false;
}

/* Bytes that a batch of exact granules, its first, and shared windows need. */
struct cover_estimate {
	u64 exact;
	u64 first;
	u64 shared;
	u64 entries;
};

static void cover_estimate(struct apple_dma_engine *e,
			   struct apple_dma_request req, u64 shape,
			   struct cover_estimate *est)
{
	u64 start, behind = 0;

	memset(est, 0, sizeof(*est));
	for (; est->entries < e->limits.batch && cover_next_miss(e, &req);
	     apple_dma_request_next(&req)) {
		u64 phys = req.range.phys, end = phys + req.range.size;
		u64 need;

		/* In the window of a neighbour; they may be in any order. */
		if (end <= behind && phys >= behind - shape)
			continue;
		if (!apple_dma_shape_exact_start(e, phys, req.range.size,
						 &start))
			start = round_down(phys, APPLE_DMA_GRANULE_SIZE);
		need = round_up(end, APPLE_DMA_GRANULE_SIZE) - start;
		est->first = est->first ?: need;
		est->exact += need;
		est->shared += max(need, shape);
		est->entries++;
		behind = round_down(phys, shape) + shape;
	}
}

static u64 cover_shape(struct apple_dma_engine *e,
		       const struct apple_dma_request *req)
{
	return req->exact ? APPLE_DMA_GRANULE_SIZE : apple_dma_shape(e);
}

/* The largest shape of which a batch fits in the room there is. */
static u64 cover_fitting(struct apple_dma_engine *e,
			 const struct apple_dma_request *req)
{
	u64 shape = cover_shape(e, req);
	struct cover_estimate est;

	for (; shape > APPLE_DMA_GRANULE_SIZE; shape /= APPLE_DMA_SHAPE_STEP) {
		cover_estimate(e, *req, shape, &est);
		if (apple_dma_budget_has_room(e, est.shared, est.entries))
			break;
	}
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
 * Give idle windows back to make room. Those of a sibling that has more of them
 * go first. One doorbell for shared windows to fit,
 * and more until the exact granules fit. The lock is dropped between two of
 * them. One more if there is room for granules only and large windows are idle.
 * None if the first range cannot fit even without any idle window. Returns true
 * if the lock was dropped.
 */
static bool cover_make_room(struct apple_dma_engine *e,
			    struct apple_dma_request *req,
			    unsigned long *flags)
	__must_hold(&e->lock)
{
	struct cover_estimate est;
	bool dropped = false;
	u64 bytes, entries;
	unsigned int left;

	apple_dma_budget_expire(e);
	if (apple_dma_engine_lazy(e) &&
	    apple_dma_shape_roomy(e) == APPLE_DMA_GRANULE_SIZE)
		apple_dma_idle_evict_large(e);
	cover_estimate(e, *req, cover_shape(e, req), &est);
	if (apple_dma_budget_has_room(e, est.shared, est.entries) ||
	    apple_dma_budget_never_fits(e, est.first))
		return false;

	bytes = apple_dma_budget_used(e) + est.shared;
	bytes -= min(bytes, apple_dma_budget_bytes(e));
	if (bytes && req->sibling_tries && apple_dma_budget_sibling_idler(e)) {
		cover_from_sibling(e, req, bytes, flags);
		return true;
	}

	/* Windows that go idle meanwhile are not counted, so the loop ends. */
	apple_dma_window_drain(e);
	for (left = e->listed; ; left -= min(left, e->limits.batch)) {
		bytes = apple_dma_budget_used(e) + est.shared;
		bytes -= min(bytes, apple_dma_budget_bytes(e));
		entries = e->stats.mapped_entries + est.entries;
		entries -= min(entries, apple_dma_budget_entries(e));
		apple_dma_idle_evict(e, bytes, entries);
		if (apple_dma_budget_has_room(e, est.exact, est.entries) ||
		    e->broken || !left ||
		    (!e->listed && llist_empty(&e->freed)))
			return dropped;
		apple_dma_engine_relock(e, flags);
		dropped = true;
	}
}

/*
 * Plan windows of up to @shape for ranges that have none, a batch at most. Returns
 * why the first range has none, if @planned is empty.
 */
static enum apple_dma_fail cover_plan(struct apple_dma_engine *e,
				      struct apple_dma_request req, u64 shape,
				      struct list_head *planned)
{
	enum apple_dma_fail why = APPLE_DMA_FAIL_HOST;
	struct apple_dma_window *w;
	unsigned int n;

	for (n = 0; n < e->limits.batch && cover_next_miss(e, &req);
	     n++) {
		w = apple_dma_shape_plan(e, req.range.phys, req.range.size,
					 shape, &why);
		if (!w)
			break;
		list_add_tail(&w->list, planned);
		apple_dma_request_next(&req);
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

/* The largest shape that is smaller than a window that was refused. */
static u64 cover_shape_below(u64 size)
{
	u64 shape = APPLE_DMA_WINDOW_MAX;

	while (shape > APPLE_DMA_GRANULE_SIZE && shape >= size)
		shape /= APPLE_DMA_SHAPE_STEP;
	return shape;
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
		apple_dma_budget_learn_shape(e, cover_shape_below(shared->size));
}

/*
 * Register windows for ranges that have none: one doorbell where the host
 * refuses nothing, for as many ranges as a batch of windows can cover. What the
 * host refuses is asked for again after an idle window was given back, and then
 * as exact granules. Returns why the range at hand has none.
 */
static enum apple_dma_fail cover_register(struct apple_dma_engine *e,
					  const struct apple_dma_request *req,
					  struct list_head *fresh)
{
	enum apple_dma_fail cause = APPLE_DMA_FAIL_HOST;
	struct apple_dma_range went = {}, shared = {};
	u64 bytes = 0, entries = 0, refused_size = 0;
	u64 shape = cover_fitting(e, req);
	struct apple_dma_refusal r = {};
	bool retried = false;

	for (;;) {
		enum apple_dma_fail why;
		LIST_HEAD(planned);

		why = cover_plan(e, *req, shape, &planned);
		if (list_empty(&planned)) {
			cause = why;
			/* Nothing was asked for: nothing is learned. */
			memset(&r, 0, sizeof(r));
			shared.size = 0;
			break;
		}
		cover_submit(e, &planned, fresh, &r);
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
		if (!r.shared.size || shape == APPLE_DMA_GRANULE_SIZE)
			break;
		shape = APPLE_DMA_GRANULE_SIZE;
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
			    enum apple_dma_fail cause, unsigned long *flags)
	__must_hold(&e->lock)
{
	u64 bytes = req->range.size, entries, idle, went;
	struct cover_estimate est;

	if (cause == APPLE_DMA_FAIL_BYTES) {
		cover_estimate(e, *req, APPLE_DMA_GRANULE_SIZE, &est);
		if (apple_dma_budget_never_fits(e, est.first))
			return false;
		bytes = apple_dma_budget_used(e) + est.exact;
		bytes -= min(bytes, apple_dma_budget_bytes(e));
	} else if (apple_dma_budget_retry_is_pointless(e, req->range.phys,
						       bytes)) {
		return false;
	}
	if (req->tries < 0) {
		apple_dma_counters_idle(e, &entries, &idle);
		req->tries = entries;
	}
	went = req->tries ? apple_dma_idle_evict(e, bytes, 1) : 0;
	req->tries -= min_t(s64, went, req->tries);
	if (!went)
		return cover_from_sibling(e, req, bytes, flags);
	apple_dma_engine_relock(e, flags);
	return true;
}

/**
 * apple_dma_cover() - make a window for the range at hand, which has none
 * @e: the engine; its lock is held
 * @req: what is to be mapped; ranges behind the one at hand get windows with
 *	the same doorbell
 * @fresh: where the new windows go, guarded, in the order of the ranges
 * @cause: set to why there is no window
 * @flags: of spin_lock_irqsave()
 *
 * Return: true if the caller has to look again: there is a window now, or the
 * lock was dropped. False if it cannot have one.
 */
bool apple_dma_cover(struct apple_dma_engine *e, struct apple_dma_request *req,
		     struct list_head *fresh, enum apple_dma_fail *cause,
		     unsigned long *flags)
	__must_hold(&e->lock)
{
	lockdep_assert_held(&e->lock);
	if (req->rang) {
		/* Let interrupts in between two doorbells. */
		req->rang = false;
		apple_dma_engine_relock(e, flags);
		return true;
	}
	if (cover_make_room(e, req, flags))
		return true;
	*cause = cover_register(e, req, fresh);
	apple_dma_idle_arm(e);
	req->rang = *cause == APPLE_DMA_FAIL_NONE;
	if (req->rang || ((*cause == APPLE_DMA_FAIL_HOST ||
			   *cause == APPLE_DMA_FAIL_BYTES) &&
			  cover_with_less(e, req, *cause, flags)))
		return true;
	if (e->broken)
		*cause = APPLE_DMA_FAIL_BROKEN;
	return false;
}

/* ---- lists that cannot fit; the lock is not held ---- */

/* Granules that the entries of a list have named; for one list at a time. */
static DECLARE_BITMAP(cover_named, NAMED_BITS);
static unsigned long cover_named_busy;

/* How many granules of a range are new to @named, in bytes; at most @most. */
static u64 cover_name_granules(u64 phys, u64 size, u64 most)
{
	u64 granule = phys >> APPLE_DMA_GRANULE_SHIFT;
	u64 last = (phys + size - 1) >> APPLE_DMA_GRANULE_SHIFT;
	u64 new = 0;

	for (; granule <= last && new <= most; granule++)
		if (!__test_and_set_bit(granule % NAMED_BITS, cover_named))
			new += APPLE_DMA_GRANULE_SIZE;
	return new;
}

static bool cover_needs_room(struct apple_dma_engine *e, struct scatterlist *sg,
			     bool all)
{
	u64 phys = sg_phys(sg);

	if (!apple_dma_valid_range(phys, sg->length))
		return false;
	if (all)
		return !apple_dma_index_busy(e, phys, sg->length);
	return sg_dma_address(sg) == DMA_MAPPING_ERROR &&
	       !apple_dma_index_find(e, phys, sg->length);
}

/*
 * A lower bound of the bytes to register for a list, at most @most. Looks up
 * some entries with interrupts off, and counts with the lock dropped.
 */
static u64 cover_list_needs(struct apple_dma_engine *e, struct scatterlist *sgl,
			    int nents, bool all, u64 most)
{
	DECLARE_BITMAP(wanted, LOOKUPS_MAX);
	struct scatterlist *sg;
	unsigned long flags;
	int i, n, group;
	u64 need = 0;

	bitmap_zero(cover_named, NAMED_BITS);
	for (i = 0; i < nents && need <= most; i += group) {
		group = min_t(int, nents - i, LOOKUPS_MAX);
		bitmap_zero(wanted, LOOKUPS_MAX);
		spin_lock_irqsave(&e->lock, flags);
		for (n = 0, sg = sgl; n < group; n++, sg = sg_next(sg))
			if (cover_needs_room(e, sg, all))
				__set_bit(n, wanted);
		spin_unlock_irqrestore(&e->lock, flags);
		for (n = 0; n < group; n++, sgl = sg_next(sgl))
			if (test_bit(n, wanted) && need <= most)
				need += cover_name_granules(sg_phys(sgl),
							    sgl->length,
							    most - need);
	}
	return need;
}

/**
 * apple_dma_cannot_fit() - is a list certain to fail for lack of bytes?
 * @e: the engine; its lock is not held
 * @sgl: the list; entries with the address DMA_MAPPING_ERROR are not mapped
 * @nents: its entries
 * @all: as if none were mapped
 *
 * A list that does not fit is refused before anything is given back for it.
 * Each granule without a window is counted once. Two granules that have the
 * same bit are counted as one, and one list is counted at a time: then the
 * answer may be false although the list cannot fit.
 *
 * Context: any.
 * Return: true if the exact granules of all entries do not fit even without any
 * idle window.
 */
bool apple_dma_cannot_fit(struct apple_dma_engine *e, struct scatterlist *sgl,
			  int nents, bool all)
{
	u64 room, need, most = 0;
	struct scatterlist *sg;
	int i;

	if (apple_dma_budget_has_all_ram(e))
		return false;
	for_each_sg(sgl, sg, nents, i)
		if (all || sg_dma_address(sg) == DMA_MAPPING_ERROR)
			most += round_up(sg_phys(sg) + sg->length,
					 APPLE_DMA_GRANULE_SIZE) -
				round_down(sg_phys(sg), APPLE_DMA_GRANULE_SIZE);
	room = apple_dma_budget_left(e);
	if (most <= room || test_and_set_bit_lock(0, &cover_named_busy))
		return false;
	need = cover_list_needs(e, sgl, nents, all, room);
	clear_bit_unlock(0, &cover_named_busy);
	/* Others may have unmapped, or registered some of it, meanwhile. */
	return need > max(room, apple_dma_budget_left(e));
}
