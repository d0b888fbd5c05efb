// SPDX-License-Identifier: GPL-2.0-only
/*
 * Windows: what is registered with the host.
 *
 * A window is one registration: a guest-physical range and the device address
 * that the host chose for it. Mappings inside a window share it; it goes back
 * to the host with the last of them, before the call that ended the last one
 * returns. New windows are aligned pieces larger than what was asked for,
 * so that neighbours find them; what does not fit that, and what comes when
 * the budget is short, gets its exact granules.
 */

#include <linux/interval_tree_generic.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "window.h"

/* Windows kept back for mappings made when no memory is to be had. */
#define WINDOW_RESERVE		64

/* Shapes of shared windows, as the budget fills; the last is the granule. */
#define SHAPE_LARGE		APPLE_DMA_WINDOW_MAX
#define SHAPE_MEDIUM		(64ULL << 10)

/* How many granules before a range are tried for a handle of its own. */
#define HANDLE_TRIES		16

static u64 window_start(const struct apple_dma_window *w)
{
	return w->phys;
}

static u64 window_last(const struct apple_dma_window *w)
{
	return w->phys + w->size - 1;
}

INTERVAL_TREE_DEFINE(struct apple_dma_window, phys_node, u64, phys_last,
		     window_start, window_last, static, phys_tree)

static struct kmem_cache *window_cache;

/* ---- lookups; the lock is held ---- */

/**
 * apple_dma_window_find_phys() - the window that covers a range
 * @e: the engine; its lock is held
 * @phys: guest-physical address
 * @size: bytes
 *
 * Return: a window with the whole range inside, or NULL.
 */
struct apple_dma_window *
apple_dma_window_find_phys(struct apple_dma_engine *e, u64 phys, u64 size)
{
	struct apple_dma_window *w;

	lockdep_assert_held(&e->lock);
	for (w = phys_tree_iter_first(&e->phys, phys, phys); w;
	     w = phys_tree_iter_next(w, phys, phys))
		if (window_last(w) >= phys + size - 1)
			return w;
	return NULL;
}

/**
 * apple_dma_window_handle_taken() - is a live window registered as @handle?
 * @e: the engine; its lock is held
 * @handle: guest-physical start address
 *
 * Return: true if the host would call a window that starts there a duplicate.
 */
bool apple_dma_window_handle_taken(struct apple_dma_engine *e, u64 handle)
{
	struct apple_dma_window *w;

	for (w = phys_tree_iter_first(&e->phys, handle, handle); w;
	     w = phys_tree_iter_next(w, handle, handle))
		if (w->phys == handle)
			return true;
	return false;
}

/**
 * apple_dma_window_find_iova() - the window that a device address is in
 * @e: the engine; its lock is held
 * @iova: device address
 *
 * Return: the window, or NULL.
 */
struct apple_dma_window *
apple_dma_window_find_iova(struct apple_dma_engine *e, u64 iova)
{
	struct rb_node *node = e->iova.rb_node;

	lockdep_assert_held(&e->lock);
	while (node) {
		struct apple_dma_window *w =
			rb_entry(node, struct apple_dma_window, iova_node);

		if (iova < w->iova)
			node = node->rb_left;
		else if (iova - w->iova >= w->size)
			node = node->rb_right;
		else
			return w;
	}
	return NULL;
}

/* Returns false if the range overlaps one that is there. */
static bool insert_iova(struct apple_dma_engine *e, struct apple_dma_window *w)
{
	struct rb_node **link = &e->iova.rb_node;
	struct rb_node *parent = NULL;

	while (*link) {
		struct apple_dma_window *other;

		parent = *link;
		other = rb_entry(parent, struct apple_dma_window, iova_node);
		if (w->iova + w->size <= other->iova)
			link = &parent->rb_left;
		else if (other->iova + other->size <= w->iova)
			link = &parent->rb_right;
		else
			return false;
	}
	rb_link_node(&w->iova_node, parent, link);
	rb_insert_color(&w->iova_node, &e->iova);
	return true;
}

/* ---- the budget, and windows coming and going; the lock is held ---- */

static void break_engine(struct apple_dma_engine *e, const char *reason)
{
	if (e->broken)
		return;
	e->broken = true;
	e->reason = reason;
	apple_dma_queue(&e->alert);
}

/* After a call of the host that returned an error. */
static void host_failed(struct apple_dma_engine *e)
{
	break_engine(e, e->host_ops->reason(e->host));
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
		host_failed(e);
	return err;
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

/*
 * Plan a window: counted, findable by its physical range, not yet known to
 * the host. The caller has looked at the budget and the handle.
 */
static struct apple_dma_window *plan_window(struct apple_dma_engine *e,
					    u64 phys, u64 size)
{
	struct apple_dma_window *w = mempool_alloc(e->pool, GFP_ATOMIC |
						   __GFP_NOWARN);

	if (!w)
		return NULL;
	memset(w, 0, sizeof(*w));
	w->phys = phys;
	w->size = size;
	RB_CLEAR_NODE(&w->iova_node);
	INIT_LIST_HEAD(&w->list);
	phys_tree_insert(w, &e->phys);
	e->stats.mapped_bytes += size;
	e->stats.mapped_entries++;
	return w;
}

/* Forget a window that the host does not have, or not any more. */
static void forget_window(struct apple_dma_engine *e,
			  struct apple_dma_window *w)
{
	phys_tree_remove(w, &e->phys);
	if (!RB_EMPTY_NODE(&w->iova_node))
		rb_erase(&w->iova_node, &e->iova);
	list_del(&w->list);
	e->stats.mapped_bytes -= w->size;
	e->stats.mapped_entries--;
	mempool_free(w, e->pool);
}

static void confirm_window(struct apple_dma_engine *e,
			   struct apple_dma_window *w, u64 iova)
{
	w->iova = iova;
	if (!insert_iova(e, w)) {
		break_engine(e, "it gave the same device address twice");
		return;
	}
	list_move_tail(&w->list, &e->idle);
	e->stats.peak_bytes = max(e->stats.peak_bytes, e->stats.mapped_bytes);
	e->stats.peak_entries = max(e->stats.peak_entries,
				    e->stats.mapped_entries);
}

/*
 * One doorbell for the planned windows on @list, at most limits.batch. What
 * the host confirms moves to e->idle, what it refuses stays on @list.
 */
static void map_planned(struct apple_dma_engine *e, struct list_head *list)
{
	struct apple_dma_map_entry *entry = e->map_scratch;
	struct apple_dma_window *w, *next;
	unsigned int n = 0;

	list_for_each_entry(w, list, list) {
		entry[n].gpa = w->phys;
		entry[n].len = w->size;
		n++;
	}
	if (!n || e->broken)
		return;
	if (e->host_ops->map(e->host, entry, n)) {
		host_failed(e);
		return;
	}
	list_for_each_entry_safe(w, next, list, list) {
		if (!entry->err && !e->broken)
			confirm_window(e, w, entry->iova);
		entry++;
	}
}

/*
 * The windows on @list were refused. If an earlier kernel left a registration
 * with the same handle, the host refuses a second one: release it. Where there
 * was none, the refusal is real and the window is forgotten. What stays on
 * @list is worth another try.
 */
static void release_leftovers(struct apple_dma_engine *e,
			      struct list_head *list)
{
	struct apple_dma_unmap_entry *entry = e->unmap_scratch;
	struct apple_dma_window *w, *next;
	unsigned int n = 0;

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
			forget_window(e, w);
		else
			e->stats.recovered++;
		entry++;
	}
}

/*
 * Register the planned windows on @list with the host: one doorbell, and two
 * more if some are refused. Leaves @list empty: a window is confirmed or gone.
 */
static void submit_planned(struct apple_dma_engine *e, struct list_head *list)
{
	struct apple_dma_window *w, *next;

	map_planned(e, list);
	if (!list_empty(list)) {
		release_leftovers(e, list);
		map_planned(e, list);
	}
	list_for_each_entry_safe(w, next, list, list)
		forget_window(e, w);
}

/*
 * Give idle windows back to the host: one doorbell. After it a window is gone,
 * or the engine is broken and the window stays as long as the engine.
 */
static void release_idle(struct apple_dma_engine *e)
{
	struct apple_dma_unmap_entry *entry = e->unmap_scratch;
	struct apple_dma_window *w, *next;
	unsigned int i, n = 0;
	LIST_HEAD(batch);

	list_for_each_entry_safe(w, next, &e->idle, list) {
		if (n == e->limits.batch)
			break;
		entry[n].handle = w->phys;
		entry[n].len = w->size;
		list_move_tail(&w->list, &batch);
		n++;
	}
	if (!n)
		return;
	if (apple_dma_window_unmap(e, n)) {
		list_splice_tail(&batch, &e->idle);
		return;
	}
	i = 0;
	list_for_each_entry_safe(w, next, &batch, list) {
		if (entry[i++].err) {
			break_engine(e, "it does not release a mapping that it made");
			list_move_tail(&w->list, &e->idle);
		} else {
			forget_window(e, w);
		}
	}
}

/**
 * apple_dma_window_release_idle() - give idle windows back to the host
 * @e: the engine; its lock is held
 * @flags: of spin_lock_irqsave()
 *
 * Drops the lock between doorbells, so that interrupts are off for one batch
 * only. Returns with no window idle, or with the engine broken.
 */
void apple_dma_window_release_idle(struct apple_dma_engine *e,
				   unsigned long *flags)
{
	while (!list_empty(&e->idle) && !e->broken) {
		release_idle(e);
		if (list_empty(&e->idle))
			break;
		spin_unlock_irqrestore(&e->lock, *flags);
		spin_lock_irqsave(&e->lock, *flags);
	}
}

/* ---- shapes; the lock is held ---- */

static bool is_ram(u64 phys, u64 size)
{
	unsigned long first = PHYS_PFN(phys);
	unsigned long last = PHYS_PFN(phys + size - 1);

	return pfn_valid(first) && pfn_valid(last) &&
	       !is_zone_device_page(pfn_to_page(first));
}

/*
 * The size of a shared window: large while there is much room, and never a
 * large part of what room there is.
 */
static u64 shape(struct apple_dma_engine *e)
{
	u64 room = e->limits.bytes - e->stats.mapped_bytes;
	u64 len = APPLE_DMA_GRANULE_SIZE;

	if (room > e->limits.bytes / 2)
		len = SHAPE_LARGE;
	else if (room > e->limits.bytes / 4)
		len = SHAPE_MEDIUM;
	return len <= room / 16 ? len : APPLE_DMA_GRANULE_SIZE;
}

/* An aligned window of the current shape around the range, or NULL. */
static struct apple_dma_window *plan_shared(struct apple_dma_engine *e,
					    u64 phys, u64 size)
{
	u64 len = shape(e);
	u64 start = round_down(phys, len);
	enum apple_dma_fail cause;

	if (phys + size > start + len || !is_ram(start, len) ||
	    apple_dma_window_handle_taken(e, start) || !within_budget(e, len, &cause))
		return NULL;
	return plan_window(e, start, len);
}

/*
 * A window of just the granules of the range. Where its handle is taken by a
 * shorter window, it starts some granules earlier.
 */
static struct apple_dma_window *plan_exact(struct apple_dma_engine *e,
					   u64 phys, u64 size,
					   enum apple_dma_fail *cause)
{
	u64 start = round_down(phys, APPLE_DMA_GRANULE_SIZE);
	u64 end = round_up(phys + size, APPLE_DMA_GRANULE_SIZE);
	struct apple_dma_window *w;
	unsigned int tries = 0;

	while (apple_dma_window_handle_taken(e, start)) {
		if (++tries > HANDLE_TRIES || start < APPLE_DMA_GRANULE_SIZE ||
		    !is_ram(start - APPLE_DMA_GRANULE_SIZE, size)) {
			*cause = APPLE_DMA_FAIL_HANDLE;
			return NULL;
		}
		start -= APPLE_DMA_GRANULE_SIZE;
	}
	if (!within_budget(e, end - start, cause))
		return NULL;
	w = plan_window(e, start, end - start);
	if (!w)
		*cause = APPLE_DMA_FAIL_MEMORY;
	return w;
}

/**
 * apple_dma_window_cover() - see to it that windows cover ranges
 * @e: the engine; its lock is held
 * @n: how many of @e->range_scratch, at most limits.batch
 *
 * Two rounds: shared windows, and exact ones for what is still not covered;
 * each is one doorbell where the host refuses nothing. Ranges that
 * apple_dma_window_find_phys() finds afterwards are covered.
 *
 * Return: why the first range is not covered, if it is not.
 */
enum apple_dma_fail apple_dma_window_cover(struct apple_dma_engine *e,
					   unsigned int n)
{
	enum apple_dma_fail cause = APPLE_DMA_FAIL_HOST;
	unsigned int round, i;

	for (round = 0; round < 2; round++) {
		LIST_HEAD(planned);

		for (i = 0; i < n; i++) {
			u64 phys = e->range_scratch[i].phys;
			u64 size = e->range_scratch[i].size;
			enum apple_dma_fail why = APPLE_DMA_FAIL_HOST;
			struct apple_dma_window *w = NULL;

			if (apple_dma_window_find_phys(e, phys, size))
				continue;
			if (!is_ram(phys, size))
				why = APPLE_DMA_FAIL_NOT_RAM;
			else if (!round)
				w = plan_shared(e, phys, size);
			if (!w && why != APPLE_DMA_FAIL_NOT_RAM)
				w = plan_exact(e, phys, size, &why);
			if (w)
				list_add_tail(&w->list, &planned);
			if (!i)
				cause = why;
		}
		if (list_empty(&planned))
			break;
		submit_planned(e, &planned);
	}
	return cause;
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
