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

#include "window.h"

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

/* How long a limit of the host is believed in, and exact granules are not asked for. */
#define LEARNED_FOR	(10 * HZ)
#define REFUSED_FOR	HZ

/* ---- the budget; the lock is held ---- */

static u64 limit_bytes(struct apple_dma_engine *e)
{
	return min(e->limits.bytes, e->learned.bytes);
}

static u64 limit_entries(struct apple_dma_engine *e)
{
	return min(e->limits.entries, e->learned.entries);
}

/* Would @size more bytes in one more entry keep to the budget? */
static bool within_budget(struct apple_dma_engine *e, u64 size,
			  enum apple_dma_fail *cause)
{
	if (e->stats.mapped_entries >= e->limits.entries) {
		*cause = APPLE_DMA_FAIL_ENTRIES;
		return false;
	}
	if (size > e->limits.bytes - e->stats.mapped_bytes ||
	    size > APPLE_DMA_DEFAULT_MAX_BYTES) {
		*cause = APPLE_DMA_FAIL_BYTES;
		return false;
	}
	return true;
}

/* The same for what the host seems to allow. */
static bool within_learned(struct apple_dma_engine *e, u64 bytes, u64 entries)
{
	return e->stats.mapped_bytes + bytes <= limit_bytes(e) &&
	       e->stats.mapped_entries + entries <= limit_entries(e);
}

/* ---- what the host teaches; the lock is held ---- */

/**
 * apple_dma_learn_forget() - nothing is known of the host, or not any more
 * @e: the engine; its lock is held, or nobody else knows of it yet
 */
void apple_dma_learn_forget(struct apple_dma_engine *e)
{
	e->learned.bytes = U64_MAX;
	e->learned.entries = U32_MAX;
	e->learned.shape = U64_MAX;
	e->learned.refused = 0;
}

static bool learned_anything(struct apple_dma_engine *e)
{
	return e->learned.bytes != U64_MAX || e->learned.entries != U32_MAX ||
	       e->learned.shape != U64_MAX || e->learned.refused;
}

static void learn_expire(struct apple_dma_engine *e)
{
	if (learned_anything(e) && time_after(jiffies, e->learned.until))
		apple_dma_learn_forget(e);
}

/*
 * The host refused @size bytes more than the @bytes and @entries it had, and
 * has room after some were given back: a limit. The bytes are the likely one,
 * unless it has been seen to have more of them.
 */
static void learn_limit(struct apple_dma_engine *e, u64 bytes, u64 entries,
			u64 size)
{
	if (bytes + size > limit_bytes(e) || e->learned.bytes == U64_MAX)
		e->learned.bytes = bytes;
	else
		e->learned.entries = min_t(u64, entries, U32_MAX);
	e->learned.until = jiffies + LEARNED_FOR;
}

/* The host refused this size although there is room. */
static void learn_shape(struct apple_dma_engine *e, u64 size)
{
	if (size <= APPLE_DMA_GRANULE_SIZE)
		return;
	e->learned.shape = max_t(u64, size / SHAPE_STEP,
				 APPLE_DMA_GRANULE_SIZE);
	e->learned.until = jiffies + LEARNED_FOR;
}

/*
 * The host refused @size bytes of exact granules, and what is idle does not
 * help. It may still have room for less; a granule is the least there is.
 */
static void learn_refusal(struct apple_dma_engine *e, u64 size)
{
	if (size <= APPLE_DMA_GRANULE_SIZE) {
		e->learned.bytes = e->stats.mapped_bytes;
		e->learned.entries = min_t(u64, e->stats.mapped_entries,
					   U32_MAX);
	}
	e->learned.until = jiffies + LEARNED_FOR;
	e->learned.refused = size;
	e->learned.refused_bytes = e->stats.mapped_bytes;
	e->learned.refused_entries = e->stats.mapped_entries;
	e->learned.refused_until = jiffies + REFUSED_FOR;
}

/* The host has taken what there is now. */
static void learn_success(struct apple_dma_engine *e)
{
	if (e->learned.bytes < e->stats.mapped_bytes)
		e->learned.bytes = e->stats.mapped_bytes;
	if (e->learned.entries < e->stats.mapped_entries)
		e->learned.entries = e->stats.mapped_entries;
	/* It says nothing of ranges that were too long for the host. */
	if (e->learned.refused <= APPLE_DMA_GRANULE_SIZE &&
	    e->stats.mapped_bytes > e->learned.refused_bytes)
		e->learned.refused = 0;
}

/*
 * Is it worth asking for exact granules? Not where as much was refused a moment
 * ago, and nothing has been given back since.
 */
static bool worth_asking(struct apple_dma_engine *e, u64 size)
{
	return !e->learned.refused || size < e->learned.refused ||
	       e->stats.mapped_bytes < e->learned.refused_bytes ||
	       e->stats.mapped_entries < e->learned.refused_entries ||
	       time_after(jiffies, e->learned.refused_until);
}

/**
 * apple_dma_learned_in_vain() - does it help no more to give idle windows back?
 * @e: the engine; its lock is held
 *
 * Return: true if the host refused exact granules a moment ago although nothing
 * was idle, and no less is in use now.
 */
bool apple_dma_learned_in_vain(struct apple_dma_engine *e)
{
	u64 entries, bytes;

	apple_dma_idle_sum(e, &entries, &bytes);
	return e->learned.refused &&
	       e->stats.mapped_bytes >= e->learned.refused_bytes + bytes &&
	       e->stats.mapped_entries >= e->learned.refused_entries + entries &&
	       !time_after(jiffies, e->learned.refused_until);
}

/* ---- shapes; the lock is held ---- */

/* What the room, and the waste, allow in cached mode. */
static u64 roomy_shape(struct apple_dma_engine *e)
{
	u64 limit = limit_bytes(e), shape = APPLE_DMA_WINDOW_MAX, most;
	u64 idle_bytes, idle_entries, busy, waste, room;
	struct apple_dma_stats live;

	if (e->ram.bytes <= limit)
		return shape;
	apple_dma_idle_sum(e, &idle_entries, &idle_bytes);
	apple_dma_engine_live(e, &live);
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
	if (e->mode == APPLE_DMA_MODE_FIXED)
		return APPLE_DMA_WINDOW_FIXED;
	if (!apple_dma_engine_lazy(e))
		return APPLE_DMA_GRANULE_SIZE;
	return min(roomy_shape(e), e->learned.shape);
}

/* An aligned window of @len bytes around the range, or NULL. */
static struct apple_dma_window *plan_shared(struct apple_dma_engine *e,
					    u64 phys, u64 size, u64 len)
{
	u64 start = round_down(phys, len);
	enum apple_dma_fail cause;

	if (phys + size > start + len || !apple_dma_ram_has(e, start, len) ||
	    apple_dma_index_handle_taken(e, start) ||
	    !within_budget(e, len, &cause) || !within_learned(e, len, 1))
		return NULL;
	return apple_dma_window_plan(e, start, len, start);
}

/*
 * Where a window of just the granules of the range starts: some granules
 * earlier than the range where its handle is taken by a shorter window. Returns
 * false if there is no such place.
 */
static bool exact_start(struct apple_dma_engine *e, u64 phys, u64 size,
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

static struct apple_dma_window *plan_exact(struct apple_dma_engine *e,
					   u64 phys, u64 size,
					   enum apple_dma_fail *cause)
{
	u64 first = round_down(phys, APPLE_DMA_GRANULE_SIZE);
	u64 end = round_up(phys + size, APPLE_DMA_GRANULE_SIZE);
	struct apple_dma_window *w;
	u64 start;

	if (!exact_start(e, phys, size, &start)) {
		*cause = APPLE_DMA_FAIL_HANDLE;
		return NULL;
	}
	if (!worth_asking(e, end - start)) {
		*cause = APPLE_DMA_FAIL_HOST;
		return NULL;
	}
	if (!within_budget(e, end - start, cause))
		return NULL;
	w = apple_dma_window_plan(e, start, end - start, first);
	if (!w)
		*cause = APPLE_DMA_FAIL_MEMORY;
	return w;
}

static struct apple_dma_window *plan(struct apple_dma_engine *e, u64 phys,
				     u64 size, u64 shape,
				     enum apple_dma_fail *cause)
{
	struct apple_dma_window *w = NULL;

	if (!apple_dma_ram_mappable(e, phys, size)) {
		*cause = APPLE_DMA_FAIL_NOT_RAM;
		return NULL;
	}
	for (; shape > APPLE_DMA_GRANULE_SIZE && !w; shape /= SHAPE_STEP)
		w = plan_shared(e, phys, size, shape);
	return w ?: plan_exact(e, phys, size, cause);
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
static bool next_miss(struct apple_dma_engine *e, struct apple_dma_todo *todo,
		      u64 *phys, u64 *size)
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

/* What a batch of exact granules, and of shared windows, would add. */
struct apple_dma_estimate {
	u64 exact;
	u64 shared;
	u64 entries;
};

static void estimate(struct apple_dma_engine *e, struct apple_dma_todo todo,
		     u64 shape, struct apple_dma_estimate *est)
{
	u64 phys, size, start, behind = 0;

	memset(est, 0, sizeof(*est));
	while (est->entries < apple_dma_engine_batch(e) &&
	       next_miss(e, &todo, &phys, &size)) {
		u64 end = phys + size;
		u64 need;

		/* Neighbours in one window; not all of them come in order. */
		if (end <= behind && phys >= behind - shape)
			continue;
		if (!exact_start(e, phys, size, &start))
			start = round_down(phys, APPLE_DMA_GRANULE_SIZE);
		need = round_up(end, APPLE_DMA_GRANULE_SIZE) - start;
		est->exact += need;
		est->shared += max(need, shape);
		est->entries++;
		behind = round_down(phys, shape) + shape;
	}
}

static u64 todo_shape(struct apple_dma_engine *e,
		      const struct apple_dma_todo *todo)
{
	return todo->exact ? APPLE_DMA_GRANULE_SIZE : apple_dma_shape(e);
}

/* The largest shape of which a batch fits in the room there is. */
static u64 fitting_shape(struct apple_dma_engine *e, struct apple_dma_todo todo)
{
	u64 shape = todo_shape(e, &todo);
	struct apple_dma_estimate est;

	if (e->mode == APPLE_DMA_MODE_FIXED)
		return shape;
	for (; shape > APPLE_DMA_GRANULE_SIZE; shape /= SHAPE_STEP) {
		estimate(e, todo, shape, &est);
		if (within_learned(e, est.shared, est.entries))
			break;
	}
	return shape;
}

/**
 * apple_dma_make_room() - give idle windows back for what is to come
 * @e: the engine; its lock is held
 * @todo: what is to come
 * @flags: of spin_lock_irqsave()
 *
 * One doorbell for shared windows to fit, and more for as long as not even the
 * exact granules fit. The lock is dropped between two of them. Another one where
 * there is room for nothing but granules, and large windows are idle.
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

	learn_expire(e);
	if (apple_dma_engine_lazy(e) &&
	    roomy_shape(e) == APPLE_DMA_GRANULE_SIZE)
		apple_dma_idle_evict_large(e);
	estimate(e, todo, todo_shape(e, &todo), &est);
	if (within_learned(e, est.shared, est.entries))
		return false;

	for (;;) {
		bytes = e->stats.mapped_bytes + est.shared;
		bytes -= min(bytes, limit_bytes(e));
		entries = e->stats.mapped_entries + est.entries;
		entries -= min(entries, limit_entries(e));
		apple_dma_idle_evict(e, bytes, entries);
		if (within_learned(e, est.exact, est.entries) || e->broken ||
		    (!e->listed && llist_empty(&e->freed)))
			return dropped;
		spin_unlock_irqrestore(&e->lock, *flags);
		dropped = true;
		spin_lock_irqsave(&e->lock, *flags);
	}
}

/* A batch of windows under way to the host. */
struct apple_dma_plan {
	struct list_head windows;
	unsigned int n;
	u64 largest;
	bool shared;
};

/* Exact ones end with the range, and were made for its start. */
static bool is_shared(const struct apple_dma_window *w, u64 phys, u64 size)
{
	return w->first < round_down(phys, APPLE_DMA_GRANULE_SIZE) ||
	       apple_dma_window_end(w) > round_up(phys + size,
						  APPLE_DMA_GRANULE_SIZE);
}

/*
 * Plan windows of up to @shape for ranges that have none, a batch at most.
 * *cause is why the first range has none, if it has none.
 */
static void plan_batch(struct apple_dma_engine *e, struct apple_dma_todo todo,
		       u64 shape, struct apple_dma_plan *p,
		       enum apple_dma_fail *cause)
{
	bool first = true;
	u64 phys, size;

	INIT_LIST_HEAD(&p->windows);
	p->n = 0;
	p->largest = 0;
	p->shared = false;
	while (p->n < apple_dma_engine_batch(e) &&
	       next_miss(e, &todo, &phys, &size)) {
		enum apple_dma_fail why = APPLE_DMA_FAIL_HOST;
		struct apple_dma_window *w = plan(e, phys, size, shape, &why);

		if (first)
			*cause = why;
		first = false;
		if (!w)
			break;
		list_add_tail(&w->list, &p->windows);
		p->largest = max(p->largest, w->size);
		p->shared |= is_shared(w, phys, size);
		p->n++;
	}
}

/**
 * apple_dma_cover() - see to it that windows cover ranges
 * @e: the engine; its lock is held
 * @todo: the ranges
 * @fresh: where the new windows go, guarded as if by apple_dma_window_get()
 * @cause: set to why the first range is not covered, if it is not
 *
 * One doorbell where the host refuses nothing, for as many ranges as a batch of
 * windows can cover. What the host refuses is asked for again after idle
 * windows went, and then as exact granules.
 * Ranges that apple_dma_index_find() finds afterwards are covered.
 */
void apple_dma_cover(struct apple_dma_engine *e, struct apple_dma_todo todo,
		     struct list_head *fresh, enum apple_dma_fail *cause)
{
	u64 bytes = 0, entries = 0, refused_size = 0;
	u64 shape = fitting_shape(e, todo);
	bool retried = false;

	*cause = APPLE_DMA_FAIL_HOST;
	for (;;) {
		struct apple_dma_plan p;
		unsigned int refused;

		plan_batch(e, todo, shape, &p, cause);
		if (!p.n)
			break;
		refused = apple_dma_window_submit(e, &p.windows, fresh);
		if (!refused) {
			if (retried && shape > APPLE_DMA_GRANULE_SIZE)
				learn_limit(e, bytes, entries, refused_size);
			learn_success(e);
			break;
		}
		if (e->broken)
			break;
		if (!retried) {
			retried = true;
			bytes = e->stats.mapped_bytes;
			entries = e->stats.mapped_entries;
			refused_size = p.largest;
			if (apple_dma_idle_evict(e, p.largest, 1))
				continue;
		}
		if (!p.shared) {
			learn_refusal(e, p.largest);
			break;
		}
		learn_shape(e, min(shape, p.largest));
		shape = APPLE_DMA_GRANULE_SIZE;
	}
	apple_dma_idle_arm(e);
}
