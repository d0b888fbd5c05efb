// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lookups: which window has a guest-physical range, which has a device address.
 *
 * Two trees hold every window, under the engine's lock. A hit reads two xarrays
 * under RCU, with a slot for each granule: a slot leads to the window that
 * reaches furthest. A slot may be missing, because there was no memory for it,
 * or lead to a window that is being given back; then the trees are searched.
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

/* A window that fits a range, or NULL: apple_dma_window_fits(). */
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

/*
 * The ACTIVE window that suits a range best, or NULL: one that the device reaches,
 * that keeps to the boundary, and in which a block is aligned.
 */
struct apple_dma_window *apple_dma_index_best(struct apple_dma_engine *e,
					      u64 phys, u64 size, u64 mask,
					      u64 boundary)
{
	struct apple_dma_window *w, *best = NULL;

	lockdep_assert_held(&e->lock);
	for_each_overlap(w, e, phys, phys) {
		u64 addr = w->iova + (phys - w->phys);

		if (w->state != APPLE_DMA_WINDOW_ACTIVE ||
		    !apple_dma_window_fits(e, w, phys, size))
			continue;
		if (addr + size - 1 <= mask &&
		    !apple_dma_crosses(addr, size, boundary) &&
		    apple_dma_window_suits(w, phys, size))
			return w;
		best = best ?: w;
	}
	return best;
}

/* Is a range inside a window in use, which is not given back? */
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

/*
 * The window with the lowest start that is not below @phys, or NULL. Windows
 * overlap: to walk over all of them, continue behind the start of one, not its
 * end.
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

/* Does a window start at @handle, so that the host refuses another there? */
bool apple_dma_index_handle_taken(struct apple_dma_engine *e, u64 handle)
{
	struct apple_dma_window *w;

	lockdep_assert_held(&e->lock);
	for_each_overlap(w, e, handle, handle)
		if (w->phys == handle)
			return true;
	return false;
}

/* The window that a device address is in, or NULL. */
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

/*
 * Enter the device address of a PLANNED window; @w->iova is set. Returns false if
 * another window has some of the device addresses.
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
 * The window other than @w that reaches furthest from @phys, or NULL. A window
 * without slots gets none: it would not clear them at its end.
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

	/* Changing a slot in use needs no memory. */
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

/* Let no hit find a window to map in. Unmaps still find it. */
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

/*
 * Let hits find an ACTIVE window. Only in cached mode: otherwise no lookup
 * would use the slots. If memory is short, some are missing: @w->indexed is
 * false, and a later call may fill them.
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

/* ---- add and remove ---- */

/* Enter a PLANNED window. Its handle is not taken. */
void apple_dma_index_add(struct apple_dma_engine *e, struct apple_dma_window *w)
{
	RB_CLEAR_NODE(&w->iova_node);
	phys_tree_insert(w, &e->phys);
}

/* Undo apple_dma_index_add(). Hits may see the window until a grace period ends. */
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
