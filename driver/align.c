// SPDX-License-Identifier: GPL-2.0-only
/*
 * Aligned device addresses for naturally aligned blocks.
 *
 * GPUs map blocks of 64 KiB and 2 MiB with page table entries of that size, so a
 * naturally aligned block needs a device address that is aligned as well. The
 * host cannot be asked for one. But what it does next can be guessed:
 *
 * - If the next window would not be aligned, a filler is asked for in front of it,
 *   in the same doorbell. A filler is a part of the window's own memory, and is
 *   given back first of all; in strict mode before the map returns.
 * - A window that is not aligned to a block all the same is replaced in cached mode:
 *   several are asked for that start earlier, each by other bytes, and one that is
 *   aligned is kept. In strict mode it is given back and asked for again. Both
 *   happen twice at most for a range.
 *
 * A window that stays unaligned is used as it is. Where most searches fail, fewer
 * windows are tried. The engine's lock is held in all of this file.
 */

#include "align.h"
#include "index.h"
#include "recover.h"
#include "shape.h"
#include "trace.h"

/* Candidates to replace a window: with 4 places, one of 16 fits in 99 %. */
#define CANDIDATES	16U
/* They may have 1/32 of the byte budget while they are looked at. */
#define CANDIDATES_SHARE	32

/* Only where so many fit. */
#define ROOM_EACH	8

/* Times that a window is looked for, for one range. */
#define SEARCHES	2

/* After so many failures, windows are skipped: */
#define FAILURES	4
/* A success takes off so many of them. */
#define SUCCESS		2
/* 1, 2, 4 and so on for each further failure, up to this many. */
#define SKIP_MAX	256U

/* A window that only keeps a place, if there is room and memory for it; or NULL. */
static struct apple_dma_window *align_plan(struct apple_dma_engine *e, u64 phys,
					   u64 size, u64 first)
{
	enum apple_dma_fail cause;
	struct apple_dma_window *w;

	/* The reserve is for windows that a map cannot do without. */
	if (READ_ONCE(e->pool->curr_nr) < e->pool->min_nr ||
	    time_before(jiffies, e->filler_until) ||
	    !apple_dma_ram_has(e, phys, size) ||
	    apple_dma_index_handle_taken(e, phys) ||
	    !apple_dma_budget_allows(e, size, &cause) ||
	    !apple_dma_budget_has_room(e, ROOM_EACH * size, 1) ||
	    apple_dma_budget_refused_lately(e, phys, size))
		return NULL;
	w = apple_dma_window_plan(e, phys, size, first, &cause);
	if (w) {
		w->filler = true;
		e->stats.align_tries++;
	}
	return w;
}

/* How many bytes are to be in front of a window, so that it suits a range. */
static u64 align_missing(const struct apple_dma_window *w,
			 const struct apple_dma_range *run, bool block,
			 u64 boundary, const struct apple_dma_guess *guess)
{
	u64 align = apple_dma_natural(w->phys, w->size), size;
	u64 addr = guess->addr + (run->phys - w->phys);

	if (!block || apple_dma_natural(run->phys, run->size) < APPLE_DMA_BLOCK)
		align = APPLE_DMA_GRANULE_SIZE;
	if (!((w->phys - guess->addr) & (align - 1)) &&
	    !apple_dma_crosses(addr, run->size, boundary))
		return 0;
	size = (w->phys - guess->addr - guess->gap) & (align - 1) ?: align;
	addr += guess->gap;
	while (apple_dma_crosses(addr + size, run->size, boundary)) {
		size += align;
		if (size >= min(w->size, APPLE_DMA_WINDOW_MAX))
			return 0;
	}
	return size;
}

/**
 * apple_dma_align_filler() - what goes in front of a window, so that it is aligned
 * @e: the engine; its lock is held
 * @w: a PLANNED window
 * @run: what it is for
 * @block: an aligned block is in it
 * @boundary: that the range should not cross
 * @guess: where the host puts what is asked for next; moved on
 *
 * Return: a PLANNED window to be asked for before @w in the same doorbell, or NULL.
 */
struct apple_dma_window *apple_dma_align_filler(struct apple_dma_engine *e,
						const struct apple_dma_window *w,
						const struct apple_dma_range *run,
						bool block, u64 boundary,
						struct apple_dma_guess *guess)
{
	u64 inside = w->phys + APPLE_DMA_GRANULE_SIZE;
	struct apple_dma_window *filler = NULL;
	u64 size = align_missing(w, run, block, boundary, guess);

	if (guess->sure && size && size < w->size &&
	    size + guess->gap + w->size <= guess->room)
		filler = align_plan(e, inside, size, inside);
	if (filler)
		apple_dma_guess_on(guess, size);
	apple_dma_guess_on(guess, w->size);
	return filler;
}

/* Plan candidates: larger than @w at its start, as the guess is and as it may be. */
static void align_candidates(struct apple_dma_engine *e,
			     const struct apple_dma_request *req,
			     const struct apple_dma_window *w, u64 align,
			     struct list_head *planned)
{
	struct apple_dma_guess guess = apple_dma_place_guess(e);
	u64 left = e->limits.bytes / CANDIDATES_SHARE;
	u64 most = 2 * max(req->range.size, APPLE_DMA_WINDOW_MAX);
	/* What is in front of the range is wasted, unless the map fails without it. */
	u64 waste = apple_dma_align_forbids(w, req) ? U64_MAX :
						      apple_dma_shape_roomy(e);
	unsigned int i;

	for (i = 0; i < min(CANDIDATES, apple_dma_engine_batch(e)); i++) {
		u64 more = (w->phys - guess.addr) & (align - 1) ?: align;
		struct apple_dma_window *c;

		if (apple_dma_index_handle_taken(e, w->phys - more))
			more = (i + 1) * APPLE_DMA_GRANULE_SIZE;
		if (w->size + more > min(left, most) || more > waste)
			break;
		c = align_plan(e, w->phys - more, w->size + more, w->first);
		if (!c)
			continue;
		list_add_tail(&c->list, planned);
		apple_dma_guess_on(&guess, c->size);
		left -= c->size;
	}
}

/* Is a candidate what is looked for? */
static bool align_is_better(const struct apple_dma_window *c,
			    const struct apple_dma_request *req)
{
	return apple_dma_align_suits(c, req) &&
	       !apple_dma_crosses(c->iova, c->size, U32_MAX) &&
	       c->iova + c->size - 1 <= req->mask;
}

/*
 * A window that is replaced while mappings use it stays registered for them, and
 * nothing else is mapped in it. Is there room for such waste?
 */
static bool align_may_leave(struct apple_dma_engine *e,
			    const struct apple_dma_window *w)
{
	return apple_dma_window_live(w) <= w->guarded ||
	       apple_dma_shape_roomy(e) >= w->size;
}

/* Look for a window in place of @w: one doorbell. */
static void align_replace(struct apple_dma_engine *e,
			  struct apple_dma_request *req,
			  struct apple_dma_window *w, u64 align,
			  struct list_head *fresh,
			  struct apple_dma_emptied *emptied)
{
	struct apple_dma_window *c, *next, *found = NULL;
	struct apple_dma_refusal refusal;
	LIST_HEAD(planned);
	LIST_HEAD(made);

	align_candidates(e, req, w, align, &planned);
	apple_dma_window_submit(e, &planned, &made, &refusal);
	if (refusal.leftovers)
		apple_dma_recover_start(e);
	/* It has no room for more, or there is no memory in front of @w. */
	if (list_empty(&made)) {
		req->searches = SEARCHES;
		/* Too large for candidates: it is asked for again. */
		if (apple_dma_align_forbids(w, req) && align_may_leave(e, w) &&
		    w->size + APPLE_DMA_WINDOW_MAX >
		    e->limits.bytes / CANDIDATES_SHARE)
			apple_dma_window_retire(e, w);
	}
	list_for_each_entry(c, &made, list)
		if (!found && align_is_better(c, req))
			found = c;
	if (found) {
		apple_dma_window_retire(e, w);
		apple_dma_window_adopt(e, found);
		list_move_tail(&found->list, fresh);
	}
	list_for_each_entry_safe(c, next, &made, list)
		apple_dma_window_unguard(e, c, emptied);
}

/* A better window was looked for. @ok: it was found. */
static void align_learn(struct apple_dma_aligning *a, bool ok)
{
	if (ok) {
		/* Where it is luck there are more failures than this takes off. */
		a->failures -= min_t(u8, a->failures, SUCCESS);
		return;
	}
	if (a->failures < U8_MAX)
		a->failures++;
	if (a->failures > FAILURES)
		a->skip = min(1U << min(a->failures - FAILURES - 1, 16),
			      SKIP_MAX);
}

/* Of its blocks, the class that the range at hand is in; the last is for the others. */
static struct apple_dma_aligning *align_class(struct apple_dma_engine *e,
					      const struct apple_dma_request *req)
{
	u64 align = apple_dma_natural(req->range.phys, req->range.size);

	return align < APPLE_DMA_BLOCK ?
	       &e->aligning[APPLE_DMA_BLOCK_CLASSES - 1] :
	       &e->aligning[ilog2(align / APPLE_DMA_BLOCK)];
}

/* What the range at hand is to be aligned to. */
static u64 align_of(const struct apple_dma_request *req)
{
	u64 align = apple_dma_natural(req->range.phys, req->range.size);

	if (align >= APPLE_DMA_BLOCK)
		return align;
	return clamp(req->boundary + 1, APPLE_DMA_BLOCK, APPLE_DMA_WINDOW_MAX);
}

/**
 * apple_dma_align_count() - the range at hand is mapped in a window
 * @e: the engine; its lock is held
 * @req: what is to be mapped
 * @w: the window
 */
void apple_dma_align_count(struct apple_dma_engine *e,
			   const struct apple_dma_request *req,
			   const struct apple_dma_window *w)
{
	const u64 align = apple_dma_natural(req->range.phys, req->range.size);
	bool ok = !((w->iova - w->phys) & (align - 1));

	if (req->searches)
		align_learn(align_class(e, req), !apple_dma_align_across(w, req) &&
			    (ok || align < APPLE_DMA_BLOCK));
	if (align < APPLE_DMA_BLOCK || !(w->fresh || req->searches))
		return;
	trace_align(e->dev, req->range.phys, w->iova + (req->range.phys - w->phys),
		    req->range.size, ok);
	e->stats.aligned += ok;
	e->stats.unaligned += !ok;
}

/**
 * apple_dma_align() - a window does not suit the range at hand
 * @e: the engine; its lock is held
 * @req: what is to be mapped
 * @w: an ACTIVE window with the range in it
 * @fresh: new windows; those that this makes come last
 * @emptied: where @w goes if strict mode gives it back
 * @flags: of spin_lock_irqsave()
 *
 * Return: true if the caller has to look again; the lock was dropped. False if no
 * better window can be had.
 */
bool apple_dma_align(struct apple_dma_engine *e, struct apple_dma_request *req,
		     struct apple_dma_window *w, struct list_head *fresh,
		     struct apple_dma_emptied *emptied, unsigned long *flags)
	__must_hold(&e->lock)
{
	const u64 align = align_of(req);
	struct apple_dma_aligning *a = align_class(e, req);
	/* Then the map fails: search once at least. */
	const bool must = apple_dma_align_forbids(w, req);

	lockdep_assert_held(&e->lock);
	if (!req->searches && a->skip) {
		a->skip--;
		if (!must)
			goto settle;
		req->searches = SEARCHES - 1;
	}
	if (req->searches == SEARCHES)
		goto settle;
	if (req->exact && !must)
		return false;
	if (apple_dma_engine_lazy(e) && !must && !align_may_leave(e, w))
		goto settle;
	req->searches++;
	if (apple_dma_engine_lazy(e)) {
		align_replace(e, req, w, align, fresh, emptied);
	} else if (w->fresh && apple_dma_window_live(w) == 1 &&
		   (must || apple_dma_budget_has_room(e, ROOM_EACH * w->size, 1))) {
		/* Only its own granules will do: they are asked for again. */
		apple_dma_window_unguard(e, w, emptied);
		apple_dma_window_give_back(e, emptied, "align");
	} else {
		goto settle;
	}
	apple_dma_engine_relock(e, flags);
	return true;

settle:
	if (apple_dma_natural(req->range.phys, req->range.size) >= APPLE_DMA_BLOCK)
		apple_dma_window_settle(w, align);
	return false;
}
