// SPDX-License-Identifier: GPL-2.0-only
/*
 * Windows coming and going: what is registered with the host.
 *
 * A window is one registration: a guest-physical range and the device address
 * that the host chose for it. Mappings inside a window share it. Nothing here
 * decides which windows there are; shape.c and idle.c do.
 */

#include <linux/slab.h>

#include "index.h"
#include "trace.h"
#include "window.h"
#include "work.h"

/* Windows kept back for mappings made when no memory is to be had. */
#define WINDOW_RESERVE		64

static struct kmem_cache *window_cache;

/**
 * apple_dma_window_break() - the host broke the protocol
 * @e: the engine; its lock is held
 * @handle: of what, or of the first of a batch
 * @reason: what it did, for the log; a string constant
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

/**
 * apple_dma_window_plan() - a window that the host is to be asked for
 * @e: the engine; its lock is held
 * @phys: guest-physical start; no window has it as its handle
 * @size: bytes; the budget has room for them
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

	if (WARN_ON_ONCE(!size || ((phys | size) & APPLE_DMA_GRANULE_MASK))) {
		*cause = APPLE_DMA_FAIL_BUG;
		return NULL;
	}
	w = mempool_alloc(e->pool, GFP_ATOMIC | __GFP_NOWARN);
	if (!w) {
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

static void window_free(struct rcu_head *rcu)
{
	struct apple_dma_window *w = container_of(rcu, struct apple_dma_window,
						  rcu);

	mempool_free(w, w->engine->pool);
}

/**
 * apple_dma_window_forget() - a window that the host does not have, or not any more
 * @e: the engine; its lock is held
 * @w: the window, without a mapping; it is freed after a grace period
 */
void apple_dma_window_forget(struct apple_dma_engine *e,
			     struct apple_dma_window *w)
{
	apple_dma_index_remove(e, w);
	list_del(&w->list);
	e->stats.mapped_bytes -= w->size;
	e->stats.mapped_entries--;
	call_rcu(&w->rcu, window_free);
}

/*
 * The host has mapped a planned window: it is ACTIVE, guarded, and on @fresh.
 *
 * A host that forgot what was registered while the guest slept may give the
 * address of a window that has moved. The driver still holds that address, and
 * must not get it a second time: the window is RETIRED then, and stays until its
 * guard is dropped, so that the host gives the next one another address. Returns
 * false in that case.
 */
static bool window_confirm(struct apple_dma_engine *e,
			   struct apple_dma_window *w, u64 iova,
			   struct list_head *fresh)
{
	struct apple_dma_window *other;

	w->iova = iova;
	__set_bit(APPLE_DMA_WINDOW_FRESH, &w->flags);
	atomic64_set(&w->live, 1);
	other = apple_dma_index_confirm(e, w);
	if (other && !other->moved) {
		apple_dma_window_break(e, w->phys,
				       "it gave the same device address twice");
		return true;
	}
	if (other)
		w->state = APPLE_DMA_WINDOW_RETIRED;
	w->guarded = true;
	list_move_tail(&w->list, fresh);
	e->stats.peak_bytes = max(e->stats.peak_bytes, e->stats.mapped_bytes);
	e->stats.peak_entries = max(e->stats.peak_entries,
				    e->stats.mapped_entries);
	trace_window_create(e->dev, w->phys, iova, w->size);
	return !other;
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
			if (!least || w->size < least->size)
				least = w;
			trace_host_error(e->dev, w->phys, "it refused a window");
		} else if (!e->broken &&
			   !window_confirm(e, w, entry->iova, fresh)) {
			refusal->moved = true;
		} else if (least && w->size >= least->size) {
			refusal->own.phys = least->phys;
			refusal->own.size = least->size;
		}
		entry++;
	}
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
	unsigned int n = 0, found = 0;

	if (e->clean) {
		list_splice_tail_init(list, real);
		return;
	}
	list_for_each_entry(w, list, list) {
		entry[n].handle = w->phys;
		entry[n].len = w->size;
		n++;
	}
	if (!n || e->broken)
		return;
	if (apple_dma_window_unmap(e, n))
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
 * @fresh: where those go that are registered; each is guarded as if by
 *	apple_dma_window_get()
 * @refusal: set to what was refused, and is forgotten
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

	memset(refusal, 0, sizeof(*refusal));
	window_map_planned(e, planned, fresh, refusal);
	if (!list_empty(planned)) {
		window_release_leftovers(e, planned, &real, refusal);
		/* Some were refused for what is gone now: that tells nothing. */
		if (!list_empty(planned))
			refusal->own.size = 0;
		window_map_planned(e, planned, fresh, refusal);
	}
	list_splice_tail_init(planned, &real);
	list_for_each_entry_safe(w, next, &real, list) {
		window_refused(refusal, w);
		apple_dma_window_forget(e, w);
	}
}

/**
 * apple_dma_window_give_back() - unregister windows: one doorbell
 * @e: the engine; its lock is held
 * @batch: at most a batch of windows, DEAD
 * @cause: why, for the trace; see trace.h
 *
 * Return: 0, or -EPROTO when the engine is broken; then the windows stay in
 * the index, DEAD, as long as the engine. @batch is empty in any case.
 */
int apple_dma_window_give_back(struct apple_dma_engine *e,
			       struct list_head *batch, const char *cause)
{
	struct apple_dma_unmap_entry *entry = e->unmap_scratch;
	struct apple_dma_window *w, *next;
	unsigned int n = 0;

	list_for_each_entry(w, batch, list) {
		entry[n].handle = w->phys;
		entry[n].len = w->size;
		n++;
	}
	if (!n)
		return 0;
	if (!e->broken)
		apple_dma_window_unmap(e, n);
	list_for_each_entry_safe(w, next, batch, list) {
		if (!e->broken && entry->err)
			apple_dma_window_break(e, w->phys,
					       "it does not release a mapping that it made");
		entry++;
		if (e->broken) {
			list_del_init(&w->list);
			continue;
		}
		trace_window_evict(e->dev, w->phys, w->iova, w->size, cause);
		apple_dma_window_forget(e, w);
	}
	return e->broken ? -EPROTO : 0;
}

/* ---- where windows live ---- */

/**
 * apple_dma_window_pool() - memory for the windows of an engine
 *
 * Context: may sleep.
 * Return: a pool that has some in reserve for atomic context, or NULL.
 */
mempool_t *apple_dma_window_pool(void)
{
	return mempool_create_slab_pool(WINDOW_RESERVE, window_cache);
}

/**
 * apple_dma_window_init() - once for the module: make the slab cache
 *
 * Return: 0 or -ENOMEM.
 */
int apple_dma_window_init(void)
{
	window_cache = KMEM_CACHE(apple_dma_window, 0);
	return window_cache ? 0 : -ENOMEM;
}

/**
 * apple_dma_window_exit() - undo apple_dma_window_init()
 */
void apple_dma_window_exit(void)
{
	kmem_cache_destroy(window_cache);
}
