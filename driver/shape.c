// SPDX-License-Identifier: GPL-2.0-only
/*
 * How large a window is, and where it starts.
 *
 * A miss gets a window larger than what was asked for, because its neighbours
 * are likely to follow. But every byte of it counts against the budget, and a
 * window with a single live page in it cannot be given back. So shapes follow
 * the room that is left, and the bytes that large windows waste. Exact granules
 * are the smallest shape: a map fails only when the host has no room for those.
 *
 * The engine's lock is held in all of this file.
 */

#include "index.h"
#include "shape.h"

/* All large windows together may waste 1/12 of the byte budget. */
#define WASTE_SHARE	12
/* One may waste 1/32 of what is left of that, */
#define WASTE_EACH	32
/* and take 1/8 of the room that is left. */
#define ROOM_EACH	8

/*
 * If the handle of a range is taken, so many granules before it are tried. More than a
 * few cost what others may need: they are for lists of single pages in strict mode.
 */
#define HANDLE_TRIES	512
#define HANDLE_FEW	64

/* The largest shape from @shape down that is not larger than @most. */
static u64 shape_down_to(u64 shape, u64 most)
{
	while (shape > APPLE_DMA_GRANULE_SIZE && shape > most)
		shape /= APPLE_DMA_SHAPE_STEP;
	return shape;
}

/**
 * apple_dma_shape_roomy() - the shape that room and waste allow in cached mode
 * @e: the engine; its lock is held
 *
 * Return: bytes, a power of two.
 */
u64 apple_dma_shape_roomy(struct apple_dma_engine *e)
{
	u64 limit = apple_dma_budget_bytes(e);
	u64 busy, waste, room, most;

	if (apple_dma_budget_has_all_ram(e))
		return APPLE_DMA_WINDOW_MAX;
	apple_dma_budget_busy(e, &busy, &waste);
	room = limit - min(busy, limit);
	most = limit / WASTE_SHARE - min(waste, limit / WASTE_SHARE);
	return shape_down_to(APPLE_DMA_WINDOW_MAX,
			     min(most / WASTE_EACH, room / ROOM_EACH));
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
	if (!apple_dma_engine_lazy(e))
		return APPLE_DMA_GRANULE_SIZE;
	return shape_down_to(apple_dma_shape_roomy(e), e->learned.size);
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

/* Can the granules from @start up to @first be registered, in front of a range? */
static bool shape_may_lead(struct apple_dma_engine *e, u64 start, u64 first)
{
	const u64 size = first - start;

	if (size > HANDLE_FEW * APPLE_DMA_GRANULE_SIZE &&
	    apple_dma_budget_never_fits(e, ROOM_EACH * size))
		return false;
	if (apple_dma_ram_has(e, first, 1))
		return apple_dma_ram_has(e, start, size);
	/* Memory that goes offline, or that the table has no room for. */
	while (start < first && apple_dma_ram_mappable(e, start, APPLE_DMA_GRANULE_SIZE))
		start += APPLE_DMA_GRANULE_SIZE;
	return start == first;
}

/**
 * apple_dma_shape_exact_start() - where a window of the granules of a range starts
 * @e: the engine; its lock is held
 * @phys: guest-physical address
 * @start: set to where: some granules before the range, where its handle is taken
 *	by a shorter window
 *
 * A window starts at each granule in between: the device reaches one granule more than
 * it does.
 *
 * Return: false if there is no such place.
 */
bool apple_dma_shape_exact_start(struct apple_dma_engine *e, u64 phys, u64 *start)
{
	const u64 first = round_down(phys, APPLE_DMA_GRANULE_SIZE);

	*start = apple_dma_index_free_handle(e, first, HANDLE_TRIES);
	return *start == first ||
	       (*start != U64_MAX && shape_may_lead(e, *start, first));
}

static struct apple_dma_window *shape_plan_exact(struct apple_dma_engine *e,
						 u64 phys, u64 size,
						 enum apple_dma_fail *cause)
{
	u64 first = round_down(phys, APPLE_DMA_GRANULE_SIZE);
	u64 end = round_up(phys + size, APPLE_DMA_GRANULE_SIZE);
	u64 start;

	if (!apple_dma_shape_exact_start(e, phys, &start)) {
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

/**
 * apple_dma_shape_plan_exact() - a window of the granules of a range
 * @e: the engine; its lock is held
 * @range: the range
 * @cause: set to why there is none, if there is none
 *
 * Return: a PLANNED window or NULL.
 */
struct apple_dma_window *
apple_dma_shape_plan_exact(struct apple_dma_engine *e,
			   const struct apple_dma_range *range,
			   enum apple_dma_fail *cause)
{
	if (!apple_dma_ram_mappable(e, range->phys, range->size)) {
		*cause = APPLE_DMA_FAIL_NOT_RAM;
		return NULL;
	}
	return shape_plan_exact(e, range->phys, range->size, cause);
}

/**
 * apple_dma_shape_plan() - a window around a run of granules, as large as it fits
 * @e: the engine; its lock is held
 * @run: the run
 * @range: a range in it, which needs a window in any case
 * @shape: bytes of the largest shared window that is to be tried
 * @cause: set to why there is none, if there is none
 *
 * Return: a PLANNED window, for the run or at least for the range; or NULL.
 */
struct apple_dma_window *apple_dma_shape_plan(struct apple_dma_engine *e,
					      const struct apple_dma_range *run,
					      const struct apple_dma_range *range,
					      u64 shape,
					      enum apple_dma_fail *cause)
{
	u64 granules = round_up(range->phys + range->size, APPLE_DMA_GRANULE_SIZE) -
		       round_down(range->phys, APPLE_DMA_GRANULE_SIZE);
	struct apple_dma_window *w = NULL;

	if (!apple_dma_ram_mappable(e, range->phys, range->size)) {
		*cause = APPLE_DMA_FAIL_NOT_RAM;
		return NULL;
	}
	for (; shape > APPLE_DMA_GRANULE_SIZE && shape > run->size && !w;
	     shape /= APPLE_DMA_SHAPE_STEP)
		w = shape_plan_shared(e, run->phys, run->size, shape);
	/* The host refuses windows of this size: a part of the run. */
	if (!w && run->size > e->learned.size)
		w = shape_plan_shared(e, range->phys, range->size, shape);
	else if (!w && run->size > granules &&
		 apple_dma_ram_has(e, run->phys, run->size))
		w = shape_plan_exact(e, run->phys, run->size, cause);
	if (!w)
		return shape_plan_exact(e, range->phys, range->size, cause);
	w->shared |= w->size > granules;
	return w;
}
