// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lookups: which window has a guest-physical range, which has a device address.
 *
 * Two trees hold the truth, under the engine's lock. Two xarrays, one slot for
 * each granule, are what a hit reads under RCU: a slot leads to the window that
 * reaches furthest. They are only ever a help: a slot may be missing, because
 * its memory was not to be had, or lead to a window that is being given back;
 * then the trees are asked.
 */

#include <linux/interval_tree_generic.h>

#include "index.h"

static u64 index_start(const struct apple_dma_window *w)
{
	return w->phys;
}

static u64 index_last(const struct apple_dma_window *w)
{
	return apple_dma_window_end(w) - 1;
}

INTERVAL_TREE_DEFINE(struct apple_dma_window, phys_node, u64, phys_last,
		     index_start, index_last, static, phys_tree)

#define for_each_overlap(w, e, start, last)				\
	for ((w) = phys_tree_iter_first(&(e)->phys, start, last); (w);	\
	     (w) = phys_tree_iter_next(w, start, last))

/* ---- the trees ---- */

/**
 * apple_dma_index_find() - a window for a range
 * @e: the engine; its lock is held
 * @phys: guest-physical address
 * @size: bytes
 *
 * Return: a window that apple_dma_window_fits(), or NULL.
 */
struct apple_dma_window *apple_dma_index_find(struct apple_dma_engine *e,
					      u64 phys, u64 size)
{
	struct apple_dma_window *w;

	lockdep_assert_held(&e->lock);
	for_each_overlap(w, e, phys, phys)
		if (apple_dma_window_fits(e, w, phys, size))
			return w;
	return NULL;
}

/**
 * apple_dma_index_busy() - is a range in a window that stays, whatever goes?
 * @e: the engine; its lock is held
 * @phys: guest-physical address
 * @size: bytes
 *
 * Return: true if it is in a window that is in use.
 */
bool apple_dma_index_busy(struct apple_dma_engine *e, u64 phys, u64 size)
{
	struct apple_dma_window *w;

	lockdep_assert_held(&e->lock);
	for_each_overlap(w, e, phys, phys)
		if (w->state <= APPLE_DMA_WINDOW_ACTIVE &&
		    apple_dma_window_live(w) > 0 &&
		    apple_dma_window_covers(w, phys, size))
			return true;
	return false;
}

/**
 * apple_dma_index_next() - walk over windows
 * @e: the engine; its lock is held
 * @phys: guest-physical address
 *
 * Windows that overlap are not all seen by who goes on behind the end of one;
 * go on behind its start.
 *
 * Return: the window with the lowest start that is not below @phys, or NULL.
 */
struct apple_dma_window *apple_dma_index_next(struct apple_dma_engine *e,
					      u64 phys)
{
	struct apple_dma_window *w;

	lockdep_assert_held(&e->lock);
	for_each_overlap(w, e, phys, U64_MAX)
		if (w->phys >= phys)
			return w;
	return NULL;
}

/**
 * apple_dma_index_handle_taken() - is a window registered as @handle?
 * @e: the engine; its lock is held
 * @handle: guest-physical start address
 *
 * Return: true if the host would call a window that starts there a duplicate.
 */
bool apple_dma_index_handle_taken(struct apple_dma_engine *e, u64 handle)
{
	struct apple_dma_window *w;

	lockdep_assert_held(&e->lock);
	for_each_overlap(w, e, handle, handle)
		if (w->phys == handle)
			return true;
	return false;
}

/**
 * apple_dma_index_find_iova() - the window that a device address is in
 * @e: the engine; its lock is held
 * @iova: device address
 *
 * Return: the window, or NULL.
 */
struct apple_dma_window *
apple_dma_index_find_iova(struct apple_dma_engine *e, u64 iova)
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

/**
 * apple_dma_index_confirm() - enter the device address of a window
 * @e: the engine; its lock is held
 * @w: a PLANNED window; @w->iova is set
 *
 * Return: false if another window has some of the device addresses.
 */
bool apple_dma_index_confirm(struct apple_dma_engine *e,
			     struct apple_dma_window *w)
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

/* ---- the xarrays ---- */

/*
 * The window other than @w that reaches furthest from @phys, or NULL. One without
 * slots stays without: it would not look for them when it goes.
 */
static struct apple_dma_window *index_furthest(struct apple_dma_engine *e,
					       struct apple_dma_window *w,
					       u64 phys)
{
	struct apple_dma_window *other, *best = NULL;

	for_each_overlap(other, e, phys, phys)
		if (other != w && other->state == APPLE_DMA_WINDOW_ACTIVE &&
		    other->slots && (!best || apple_dma_window_end(other) >
			      apple_dma_window_end(best)))
			best = other;
	return best;
}

/*
 * Fill the slots of @size bytes from @start with @w. A window that is there
 * and reaches further keeps its slots. Returns false when memory runs out.
 */
static bool index_fill(struct xarray *xa, struct apple_dma_window *w, u64 start)
{
	unsigned long last = (start + w->size - 1) >> APPLE_DMA_GRANULE_SHIFT;
	XA_STATE(xas, xa, start >> APPLE_DMA_GRANULE_SHIFT);
	bool complete;

	do {
		struct apple_dma_window *there;

		xas_lock(&xas);
		there = xas_load(&xas);
		for (;;) {
			if (!there || apple_dma_window_end(there) <=
				      apple_dma_window_end(w))
				xas_store(&xas, w);
			if (xas_error(&xas) || xas.xa_index == last)
				break;
			there = xas_next(&xas);
		}
		xas_unlock(&xas);
		complete = !xas_error(&xas);
	} while (xas_nomem(&xas, GFP_ATOMIC | __GFP_NOWARN));
	return complete;
}

/* Empty the slots that lead to @w. */
static void index_empty(struct apple_dma_engine *e, struct xarray *xa,
			struct apple_dma_window *w, u64 start, bool overlaps)
{
	unsigned long last = (start + w->size - 1) >> APPLE_DMA_GRANULE_SHIFT;
	XA_STATE(xas, xa, start >> APPLE_DMA_GRANULE_SHIFT);
	struct apple_dma_window *there;

	/* A slot in use changes without memory being needed. */
	xas_lock(&xas);
	xas_for_each(&xas, there, last)
		if (there == w)
			xas_store(&xas,
				  overlaps ?
					  index_furthest(e, w,
							 (u64)xas.xa_index
								 << APPLE_DMA_GRANULE_SHIFT) :
					  NULL);
	xas_unlock(&xas);
}

/**
 * apple_dma_index_hide() - let no hit find a window to map in
 * @e: the engine; its lock is held
 * @w: the window
 */
void apple_dma_index_hide(struct apple_dma_engine *e, struct apple_dma_window *w)
{
	struct apple_dma_window *other;
	bool overlaps = false;

	if (!w->slots)
		return;
	for_each_overlap(other, e, w->phys, index_last(w)) {
		overlaps = other != w;
		if (overlaps)
			break;
	}
	index_empty(e, &e->by_phys, w, w->phys, overlaps);
}

/**
 * apple_dma_index_publish() - let hits find a window
 * @e: the engine; its lock is held
 * @w: an ACTIVE window
 *
 * Only in cached mode: in the others nothing is hit, and a window that came and
 * went would have filled and emptied its slots for nobody. Then, and where
 * memory is short, it may be worth another try later: @w->indexed.
 */
void apple_dma_index_publish(struct apple_dma_engine *e,
			     struct apple_dma_window *w)
{
	if (!apple_dma_engine_lazy(e))
		return;
	w->slots = true;
	w->indexed = index_fill(&e->by_iova, w, w->iova) &&
		     index_fill(&e->by_phys, w, w->phys);
}

/* ---- coming and going ---- */

/**
 * apple_dma_index_add() - enter a planned window
 * @e: the engine; its lock is held
 * @w: the window, its handle not taken
 */
void apple_dma_index_add(struct apple_dma_engine *e, struct apple_dma_window *w)
{
	RB_CLEAR_NODE(&w->iova_node);
	phys_tree_insert(w, &e->phys);
}

/**
 * apple_dma_index_remove() - the opposite of apple_dma_index_add()
 * @e: the engine; its lock is held
 * @w: the window
 *
 * Hits that found it before may still look at it until a grace period is over.
 */
void apple_dma_index_remove(struct apple_dma_engine *e,
			    struct apple_dma_window *w)
{
	if (!RB_EMPTY_NODE(&w->iova_node)) {
		apple_dma_index_hide(e, w);
		if (w->slots)
			index_empty(e, &e->by_iova, w, w->iova, false);
		rb_erase(&w->iova_node, &e->iova);
	}
	phys_tree_remove(w, &e->phys);
}
