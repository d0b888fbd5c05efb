// SPDX-License-Identifier: GPL-2.0-only
/*
 * How large windows are, and the budget.
 *
 * A miss is worth a window larger than what was asked for, because its
 * neighbours are likely to follow. But every byte of it counts against the
 * budget, and a window with a single live page in it cannot be given back. So
 * shapes follow the room that is left, and the bytes that large windows waste.
 * What matters in the end are the exact granules: a map fails only when the
 * host has no room for those.
 *
 * The host may have less room than the limits say. What it refuses teaches us
 * (struct apple_dma_learned), and is forgotten after a while.
 */

#include <linux/mm.h>
#include <linux/scatterlist.h>

#include "idle.h"
#include "index.h"
#include "recover.h"
#include "shape.h"

/* Shapes are the granule times powers of this, up to APPLE_DMA_WINDOW_MAX. */
#define SHAPE_STEP	4

/* Large windows may waste one part in so many of the byte budget, */
#define WASTE_SHARE	4
/* each of them one part in so many of what is left of that, */
#define WASTE_EACH	32
/* and take one part in so many of the room that is left. */
#define ROOM_EACH	8

/* How many granules before a range are tried for a handle of its own. */
#define HANDLE_TRIES	64

/* Addresses of windows that have moved that the host may give in a row. */
#define MOVED_TRIES	8

/* Granules that apple_dma_cannot_fit() can tell apart: those of 8 GiB. */
#define NAMED_BITS	BIT(19)

/* Entries of a list that are looked up with interrupts off. */
#define LOOKUPS_MAX	256

/* ---- shapes; the lock is held ---- */

/* What the room, and the waste, allow in cached mode. */
static u64 shape_roomy(struct apple_dma_engine *e)
{
	u64 limit = apple_dma_budget_bytes(e), shape = APPLE_DMA_WINDOW_MAX,
	    most;
	u64 idle_bytes, idle_entries, busy, waste, room;
	struct apple_dma_stats live;

	if (e->ram.bytes <= limit)
		return shape;
	apple_dma_counters_idle(e, &idle_entries, &idle_bytes);
	apple_dma_counters_live(e, &live);
	busy = e->stats.mapped_bytes - min(idle_bytes, e->stats.mapped_bytes);
	waste = busy - min(live.live_bytes, busy);
	room = limit - min(busy, limit);
	most = limit / WASTE_SHARE - min(waste, limit / WASTE_SHARE);
	most = min(most / WASTE_EACH, room / ROOM_EACH);
	while (shape > APPLE_DMA_GRANULE_SIZE && shape > most)
		shape /= SHAPE_STEP;
	return shape;
}

/**
 * apple_dma_shape() - the size that a shared window has now
 * @e: the engine; its lock is held
 *
 * Return: bytes, a power of two.
 */
u64 apple_dma_shape(struct apple_dma_engine *e)
{
	apple_dma_budget_expire(e);
	if (e->mode == APPLE_DMA_MODE_FIXED)
		return APPLE_DMA_WINDOW_FIXED;
	if (!apple_dma_engine_lazy(e))
		return APPLE_DMA_GRANULE_SIZE;
	return min(shape_roomy(e), e->learned.shape);
}

/* An aligned window of @len bytes around the range, or NULL. */
static struct apple_dma_window *shape_plan_shared(struct apple_dma_engine *e,
						  u64 phys, u64 size, u64 len)
{
	u64 start = round_down(phys, len);
	struct apple_dma_window *w;
	enum apple_dma_fail cause;

	if (phys + size > start + len || !apple_dma_ram_has(e, start, len) ||
	    apple_dma_index_handle_taken(e, start) ||
	    !apple_dma_budget_allows(e, len, &cause) ||
	    !apple_dma_budget_has_room(e, len, 1) ||
	    apple_dma_budget_refused_lately(e, start, len))
		return NULL;
	w = apple_dma_window_plan(e, start, len, start, &cause);
	if (w)
		w->shared = start < round_down(phys, APPLE_DMA_GRANULE_SIZE) ||
			    start + len > round_up(phys + size,
						   APPLE_DMA_GRANULE_SIZE);
	return w;
}

/*
 * Where a window of just the granules of the range starts: some granules
 * earlier than the range where its handle is taken by a shorter window. Returns
 * false if there is no such place.
 */
static bool shape_exact_start(struct apple_dma_engine *e, u64 phys, u64 size,
			      u64 *start)
{
	unsigned int tries = 0;

	*start = round_down(phys, APPLE_DMA_GRANULE_SIZE);
	while (apple_dma_index_handle_taken(e, *start)) {
		if (++tries > HANDLE_TRIES || *start < APPLE_DMA_GRANULE_SIZE ||
		    !apple_dma_ram_mappable(e, *start - APPLE_DMA_GRANULE_SIZE,
					    size))
			return false;
		*start -= APPLE_DMA_GRANULE_SIZE;
	}
	return true;
}

static struct apple_dma_window *shape_plan_exact(struct apple_dma_engine *e,
						 u64 phys, u64 size,
						 enum apple_dma_fail *cause)
{
	u64 first = round_down(phys, APPLE_DMA_GRANULE_SIZE);
	u64 end = round_up(phys + size, APPLE_DMA_GRANULE_SIZE);
	u64 start;

	if (!shape_exact_start(e, phys, size, &start)) {
		*cause = APPLE_DMA_FAIL_HANDLE;
		return NULL;
	}
	if (apple_dma_budget_refused_lately(e, start, end - start)) {
		*cause = APPLE_DMA_FAIL_HOST;
		return NULL;
	}
	if (!apple_dma_budget_allows(e, end - start, cause))
		return NULL;
	return apple_dma_window_plan(e, start, end - start, first, cause);
}

static struct apple_dma_window *shape_plan(struct apple_dma_engine *e, u64 phys,
					   u64 size, u64 shape,
					   enum apple_dma_fail *cause)
{
	struct apple_dma_window *w = NULL;

	if (!apple_dma_ram_mappable(e, phys, size)) {
		*cause = APPLE_DMA_FAIL_NOT_RAM;
		return NULL;
	}
	for (; shape > APPLE_DMA_GRANULE_SIZE && !w; shape /= SHAPE_STEP)
		w = shape_plan_shared(e, phys, size, shape);
	return w ?: shape_plan_exact(e, phys, size, cause);
}

/* ---- misses; the lock is held ---- */

/**
 * apple_dma_valid_range() - is this a range at all?
 * @phys: guest-physical address
 * @size: bytes
 *
 * Context: any.
 */
bool apple_dma_valid_range(u64 phys, u64 size)
{
	return size && phys + size - 1 >= phys &&
	       phys + size - 1 <= U64_MAX - APPLE_DMA_WINDOW_MAX;
}

/* Take the next range that has no window. Returns false if there is none. */
static bool shape_next_miss(struct apple_dma_engine *e,
			    struct apple_dma_todo *todo, u64 *phys, u64 *size)
{
	while (todo->left) {
		bool mapped = false;

		*phys = todo->one.phys;
		*size = todo->one.size;
		if (todo->sg) {
			*phys = sg_phys(todo->sg);
			*size = todo->sg->length;
			mapped = sg_dma_address(todo->sg) != DMA_MAPPING_ERROR;
			todo->sg = sg_next(todo->sg);
		}
		todo->left--;
		if (!mapped && !apple_dma_valid_range(*phys, *size))
			return false;
		if (!mapped && !apple_dma_index_find(e, *phys, *size))
			return true;
	}
	return false;
}

/* What a batch of exact granules, its first, and shared windows would add. */
struct apple_dma_estimate {
	u64 exact;
	u64 first;
	u64 shared;
	u64 entries;
};

static void shape_estimate(struct apple_dma_engine *e,
			   struct apple_dma_todo todo, u64 shape,
			   struct apple_dma_estimate *est)
{
	u64 phys, size, start, behind = 0;

	memset(est, 0, sizeof(*est));
	while (est->entries < apple_dma_engine_batch(e) &&
	       shape_next_miss(e, &todo, &phys, &size)) {
		u64 end = phys + size;
		u64 need;

		/* Neighbours in one window; not all of them come in order. */
		if (end <= behind && phys >= behind - shape)
			continue;
		if (!shape_exact_start(e, phys, size, &start))
			start = round_down(phys, APPLE_DMA_GRANULE_SIZE);
		need = round_up(end, APPLE_DMA_GRANULE_SIZE) - start;
		est->first = est->first ?: need;
		est->exact += need;
		est->shared += max(need, shape);
		est->entries++;
		behind = round_down(phys, shape) + shape;
	}
}

static u64 shape_of_todo(struct apple_dma_engine *e,
			 const struct apple_dma_todo *todo)
{
	return todo->exact ? APPLE_DMA_GRANULE_SIZE : apple_dma_shape(e);
}

/* The largest shape of which a batch fits in the room there is. */
static u64 shape_fitting(struct apple_dma_engine *e, struct apple_dma_todo todo)
{
	u64 shape = shape_of_todo(e, &todo);
	struct apple_dma_estimate est;

	if (e->mode == APPLE_DMA_MODE_FIXED)
		return shape;
	for (; shape > APPLE_DMA_GRANULE_SIZE; shape /= SHAPE_STEP) {
		shape_estimate(e, todo, shape, &est);
		if (apple_dma_budget_has_room(e, est.shared, est.entries))
			break;
	}
	return shape;
}

/* Granules that the entries of a list have named; for one list at a time. */
static DECLARE_BITMAP(shape_named, NAMED_BITS);
static unsigned long shape_named_busy;

/* How many granules of a range are new to @named, in bytes; at most @most. */
static u64 shape_name_granules(u64 phys, u64 size, u64 most)
{
	u64 granule = phys >> APPLE_DMA_GRANULE_SHIFT;
	u64 last = (phys + size - 1) >> APPLE_DMA_GRANULE_SHIFT;
	u64 new = 0;

	for (; granule <= last && new <= most; granule++)
		if (!__test_and_set_bit(granule % NAMED_BITS, shape_named))
			new += APPLE_DMA_GRANULE_SIZE;
	return new;
}

static bool shape_needs_room(struct apple_dma_engine *e, struct scatterlist *sg,
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
 * At least so many bytes have to be registered for a list; at most @most. Looks
 * up some entries with interrupts off, and counts with the lock dropped.
 */
static u64 shape_list_needs(struct apple_dma_engine *e, struct scatterlist *sgl,
			    int nents, bool all, u64 most)
{
	DECLARE_BITMAP(wanted, LOOKUPS_MAX);
	struct scatterlist *sg;
	unsigned long flags;
	int i, n, group;
	u64 need = 0;

	bitmap_zero(shape_named, NAMED_BITS);
	for (i = 0; i < nents && need <= most; i += group) {
		group = min_t(int, nents - i, LOOKUPS_MAX);
		bitmap_zero(wanted, LOOKUPS_MAX);
		spin_lock_irqsave(&e->lock, flags);
		for (n = 0, sg = sgl; n < group; n++, sg = sg_next(sg))
			if (shape_needs_room(e, sg, all))
				__set_bit(n, wanted);
		spin_unlock_irqrestore(&e->lock, flags);
		for (n = 0; n < group; n++, sgl = sg_next(sgl))
			if (test_bit(n, wanted) && need <= most)
				need += shape_name_granules(sg_phys(sgl),
							    sgl->length,
							    most - need);
	}
	return need;
}

/**
 * apple_dma_cannot_fit() - is a list certain to fail for want of bytes?
 * @e: the engine; its lock is not held
 * @sgl: the list; entries with the address DMA_MAPPING_ERROR are not mapped
 * @nents: its entries
 * @all: as if none were mapped
 *
 * A list that does not fit is refused before anything is given back for it. Each
 * granule is counted once, and none that a window has. Where two granules look
 * alike, or another list is looked at, the answer may be false without need.
 *
 * Context: any.
 * Return: true if not even exact granules of all entries fit, whatever goes.
 */
bool apple_dma_cannot_fit(struct apple_dma_engine *e, struct scatterlist *sgl,
			  int nents, bool all)
{
	u64 room, need, most = 0;
	struct scatterlist *sg;
	int i;

	if (READ_ONCE(e->ram.bytes) <= e->limits.bytes)
		return false;
	for_each_sg(sgl, sg, nents, i)
		if (all || sg_dma_address(sg) == DMA_MAPPING_ERROR)
			most += round_up(sg_phys(sg) + sg->length,
					 APPLE_DMA_GRANULE_SIZE) -
				round_down(sg_phys(sg), APPLE_DMA_GRANULE_SIZE);
	room = apple_dma_budget_left(e);
	if (most <= room || test_and_set_bit_lock(0, &shape_named_busy))
		return false;
	need = shape_list_needs(e, sgl, nents, all, room);
	clear_bit_unlock(0, &shape_named_busy);
	/* Others may have unmapped, or registered some of it, meanwhile. */
	return need > max(room, apple_dma_budget_left(e));
}

/**
 * apple_dma_make_room() - give idle windows back for what is to come
 * @e: the engine; its lock is held
 * @todo: what is to come
 * @flags: of spin_lock_irqsave()
 *
 * One doorbell for shared windows to fit, and more for as long as not even the
 * exact granules fit. The lock is dropped between two of them. Another one where
 * there is room for nothing but granules, and large windows are idle. None where
 * not even the first range would fit, whatever went.
 *
 * Return: true if the lock was dropped: what was looked up has to be again.
 */
bool apple_dma_make_room(struct apple_dma_engine *e,
			 struct apple_dma_todo todo, unsigned long *flags)
	__must_hold(&e->lock)
{
	struct apple_dma_estimate est;
	bool dropped = false;
	u64 bytes, entries;

	apple_dma_budget_expire(e);
	if (apple_dma_engine_lazy(e) && shape_roomy(e) == APPLE_DMA_GRANULE_SIZE)
		apple_dma_idle_evict_large(e);
	shape_estimate(e, todo, shape_of_todo(e, &todo), &est);
	if (apple_dma_budget_has_room(e, est.shared, est.entries) ||
	    apple_dma_budget_never_fits(e, est.first))
		return false;

	for (;;) {
		bytes = e->stats.mapped_bytes + est.shared;
		bytes -= min(bytes, apple_dma_budget_bytes(e));
		entries = e->stats.mapped_entries + est.entries;
		entries -= min(entries, apple_dma_budget_entries(e));
		apple_dma_idle_evict(e, bytes, entries);
		if (apple_dma_budget_has_room(e, est.exact, est.entries) ||
		    e->broken || (!e->listed && llist_empty(&e->freed)))
			return dropped;
		spin_unlock_irqrestore(&e->lock, *flags);
		dropped = true;
		spin_lock_irqsave(&e->lock, *flags);
	}
}

/*
 * Plan windows of up to @shape for ranges that have none, a batch at most.
 * *cause is why the first range has none, if it has none.
 */
static void shape_plan_batch(struct apple_dma_engine *e,
			     struct apple_dma_todo todo, u64 shape,
			     struct list_head *planned,
			     enum apple_dma_fail *cause)
{
	unsigned int n = 0;
	u64 phys, size;

	while (n < apple_dma_engine_batch(e) &&
	       shape_next_miss(e, &todo, &phys, &size)) {
		enum apple_dma_fail why = APPLE_DMA_FAIL_HOST;
		struct apple_dma_window *w = shape_plan(e, phys, size, shape,
							&why);

		if (!n)
			*cause = why;
		if (!w)
			break;
		list_add_tail(&w->list, planned);
		n++;
	}
}

/* Register planned windows: apple_dma_window_submit(). */
static void shape_submit(struct apple_dma_engine *e, struct list_head *planned,
			 struct list_head *fresh,
			 struct apple_dma_refusal *refusal)
{
	apple_dma_window_submit(e, planned, fresh, refusal);
	/* One leftover in the way suggests more; scan for them. */
	if (refusal->leftovers)
		apple_dma_recover_start(e);
}

/*
 * A window went, and the host refuses a range all the same. Does it take the
 * window back? Then it has room, and refuses the range for what it is. One
 * doorbell; the window is on @fresh again.
 */
static bool shape_takes_back(struct apple_dma_engine *e,
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
	shape_submit(e, &planned, fresh, &refusal);
	return !refusal.n && !e->broken;
}

/* The largest shape that is smaller than a window that was refused. */
static u64 shape_below(u64 size)
{
	u64 shape = APPLE_DMA_WINDOW_MAX;

	while (shape > APPLE_DMA_GRANULE_SIZE && shape >= size)
		shape /= SHAPE_STEP;
	return shape;
}

/*
 * What the host refused teaches something. @r: exact granules were, or @r->n is 0.
 * @shared: a shared window was, and its granules were taken instead; or of size
 * 0. @went: the largest idle window that went for it.
 */
static void shape_learn_from(struct apple_dma_engine *e,
			     const struct apple_dma_refusal *r,
			     const struct apple_dma_range *shared,
			     const struct apple_dma_range *went,
			     struct list_head *fresh)
{
	const struct apple_dma_range *range = r->n ? &r->exact : shared;
	u64 largest = r->n ? r->largest : shared->size;

	if (!largest)
		return;
	/* A smaller one would not show that there was room. */
	if (went->size >= largest && shape_takes_back(e, went, fresh))
		apple_dma_budget_learn_own(e, range);
	else if (r->n)
		apple_dma_budget_learn_refusal(e, r);
	else
		apple_dma_budget_learn_shape(e, shape_below(shared->size));
}

/**
 * apple_dma_cover() - see to it that windows cover ranges
 * @e: the engine; its lock is held
 * @todo: the ranges
 * @fresh: where the new windows go, guarded as if by apple_dma_window_get()
 * @cause: set to why the first range is not covered, if it is not
 *
 * One doorbell where the host refuses nothing, for as many ranges as a batch of
 * windows can cover. What the host refuses is asked for again after an idle
 * window went, and then as exact granules.
 * Ranges that apple_dma_index_find() finds afterwards are covered.
 */
void apple_dma_cover(struct apple_dma_engine *e, struct apple_dma_todo todo,
		     struct list_head *fresh, enum apple_dma_fail *cause)
{
	struct apple_dma_range went = {}, shared = {};
	u64 bytes = 0, entries = 0, refused_size = 0;
	struct apple_dma_refusal r = {};
	u64 shape = shape_fitting(e, todo);
	unsigned int moved = 0;
	bool retried = false;

	*cause = APPLE_DMA_FAIL_HOST;
	for (;;) {
		LIST_HEAD(planned);

		shape_plan_batch(e, todo, shape, &planned, cause);
		if (list_empty(&planned)) {
			/* So it is not known whether granules would be taken. */
			memset(&r, 0, sizeof(r));
			shared.size = 0;
			break;
		}
		shape_submit(e, &planned, fresh, &r);
		if (e->broken)
			break;
		/* What it has given is taken now: it has to give another one. */
		if (r.moved && moved++ < MOVED_TRIES)
			continue;
		if (!r.n) {
			if (refused_size)
				apple_dma_budget_learn_limit(e, bytes, entries,
							     refused_size);
			apple_dma_budget_learn_success(e);
			break;
		}
		if (!retried && !r.own.size) {
			retried = true;
			bytes = e->stats.mapped_bytes;
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
	if (!e->broken && !r.own.size)
		shape_learn_from(e, &r, &shared, &went, fresh);
	apple_dma_idle_arm(e);
}
