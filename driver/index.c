// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lookups: which window has a guest-physical range, which has a device address.
 *
 * Two trees hold every window, under the engine's lock. A hit reads two xarrays
 * under RCU, with a slot for each granule: a slot leads to the window that
 * reaches furthest. A slot may be missing, because there was no memory for it,
 * or lead to a window that takes no new mapping; then the trees are searched.
 *
 * To fill or clear a slot takes a hundred instructions or more, and a window may
 * have any number of them. So this is done a piece of the window at a time, and the
 * lock can be dropped in between. The slots of a window that is gone from the trees
 * are cleared later; a new window takes over what it needs of them.
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

/* What is filled or cleared at a time: 64 slots of each xarray. */
#define INDEX_PIECE	(64 * APPLE_DMA_GRANULE_SIZE)

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
	struct rb_node *node = e->phys.rb_root.rb_node;
	struct apple_dma_window *w, *next = NULL;

	lockdep_assert_held(&e->lock);
	while (node) {
		w = rb_entry(node, struct apple_dma_window, phys_node);
		if (w->phys < phys) {
			node = node->rb_right;
		} else {
			next = w;
			node = node->rb_left;
		}
	}
	return next;
}

/* Does a window start at @handle, so that the host refuses another there? */
bool apple_dma_index_handle_taken(struct apple_dma_engine *e, u64 handle)
{
	struct apple_dma_window *w = apple_dma_index_next(e, handle);

	return w && w->phys == handle;
}

/*
 * The last handle that no window has, up to @handle and among the @tries before it;
 * or U64_MAX. The tree is in the order of handles.
 */
u64 apple_dma_index_free_handle(struct apple_dma_engine *e, u64 handle,
				unsigned int tries)
{
	struct apple_dma_window *w = apple_dma_index_next(e, handle);

	while (w && w->phys == handle) {
		if (!tries-- || !handle)
			return U64_MAX;
		handle -= APPLE_DMA_GRANULE_SIZE;
		w = rb_entry_safe(rb_prev(&w->phys_node),
				  struct apple_dma_window, phys_node);
	}
	return handle;
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
 * whose slots are not filled there gets none: it would not clear it at its end.
 */
static struct apple_dma_window *index_furthest(struct apple_dma_engine *e,
					       struct apple_dma_window *w,
					       u64 phys)
{
	struct apple_dma_window *other, *best = NULL;

	for_each_overlap(other, e, phys, phys)
		if (other != w && other->state == APPLE_DMA_WINDOW_ACTIVE &&
		    phys - other->phys < other->filled &&
		    (!best || apple_dma_window_end(other) >
			      apple_dma_window_end(best)))
			best = other;
	return best;
}

/*
 * What a slot of by_phys is to lead to, when @w is filled in and @there is in it: the
 * window that reaches furthest. One that takes no new mapping has to go; it may have
 * been in the place of others.
 */
static struct apple_dma_window *index_choose(struct apple_dma_engine *e,
					     struct apple_dma_window *w,
					     struct apple_dma_window *there,
					     unsigned long granule)
{
	if (there && there->state != APPLE_DMA_WINDOW_ACTIVE)
		there = index_furthest(e, w,
				       (u64)granule << APPLE_DMA_GRANULE_SHIFT);
	return there && apple_dma_window_end(there) > apple_dma_window_end(w) ?
	       there : w;
}

/*
 * Fill the slots of @size bytes from @start with @w. Of device addresses only a
 * window that is gone may be there. Returns false when memory runs out.
 */
static bool index_fill(struct apple_dma_engine *e, struct xarray *xa,
		       struct apple_dma_window *w, u64 start, u64 size)
{
	unsigned long last = (start + size - 1) >> APPLE_DMA_GRANULE_SHIFT;
	XA_STATE(xas, xa, start >> APPLE_DMA_GRANULE_SHIFT);
	bool complete;

	do {
		struct apple_dma_window *there, *next = w;

		xas_lock(&xas);
		there = xas_load(&xas);
		for (;;) {
			if (xa == &e->by_phys)
				next = index_choose(e, w, there, xas.xa_index);
			if (next != there)
				xas_store(&xas, next);
			if (xas_error(&xas) || xas.xa_index == last)
				break;
			there = xas_next(&xas);
		}
		xas_unlock(&xas);
		complete = !xas_error(&xas);
	} while (xas_nomem(&xas, GFP_ATOMIC | __GFP_NOWARN));
	return complete;
}

/* Clear the slots of @size bytes from @start that lead to @w. */
static void index_clear(struct apple_dma_engine *e, struct xarray *xa,
			struct apple_dma_window *w, u64 start, u64 size,
			bool overlaps)
{
	unsigned long last = (start + size - 1) >> APPLE_DMA_GRANULE_SHIFT;
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

/* Clear the slots of @size bytes of a window, from its byte @from on. */
static void index_clear_piece(struct apple_dma_engine *e,
			      struct apple_dma_window *w, u64 from, u64 size)
{
	u64 phys = w->phys + from;
	bool overlaps = phys_tree_iter_first(&e->phys, phys, phys + size - 1);

	index_clear(e, &e->by_iova, w, w->iova + from, size, false);
	index_clear(e, &e->by_phys, w, phys, size, overlaps);
}

/**
 * apple_dma_index_publish() - let hits find an ACTIVE window: a piece of it
 * @e: the engine; its lock is held
 * @w: the window
 *
 * Only in cached mode: otherwise no lookup would use the slots. If memory is short,
 * the rest of the slots stays empty, and a later call may fill them.
 *
 * Return: true if there is another piece to fill; the lock may be dropped before.
 */
bool apple_dma_index_publish(struct apple_dma_engine *e,
			     struct apple_dma_window *w)
{
	u64 from = w->filled, size = min(w->size - from, INDEX_PIECE);

	if (!size || !apple_dma_engine_lazy(e))
		return false;
	w->slots = true;
	if (!index_fill(e, &e->by_iova, w, w->iova + from, size) ||
	    !index_fill(e, &e->by_phys, w, w->phys + from, size)) {
		index_clear_piece(e, w, from, size);
		return false;
	}
	w->filled += size;
	return w->filled < w->size;
}

/**
 * apple_dma_index_withdraw() - let no hit find a window: a piece of it
 * @e: the engine; its lock is held
 * @w: the window; apple_dma_index_remove() was called for it
 *
 * Return: true if there is another piece to clear; the lock may be dropped before.
 * Otherwise no slot leads to @w, and it can be freed after a grace period.
 */
bool apple_dma_index_withdraw(struct apple_dma_engine *e,
			      struct apple_dma_window *w)
{
	u64 size = min(w->filled, INDEX_PIECE);

	if (!size)
		return false;
	w->filled -= size;
	index_clear_piece(e, w, w->filled, size);
	return w->filled;
}

/* ---- add and remove ---- */

/* Enter a PLANNED window. Its handle is not taken. */
void apple_dma_index_add(struct apple_dma_engine *e, struct apple_dma_window *w)
{
	RB_CLEAR_NODE(&w->iova_node);
	phys_tree_insert(w, &e->phys);
}

/* Undo apple_dma_index_add(). Its slots stay: apple_dma_index_withdraw(). */
void apple_dma_index_remove(struct apple_dma_engine *e,
			    struct apple_dma_window *w)
{
	if (!RB_EMPTY_NODE(&w->iova_node))
		rb_erase(&w->iova_node, &e->iova);
	phys_tree_remove(w, &e->phys);
}
