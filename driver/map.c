// SPDX-License-Identifier: GPL-2.0-only
/*
 * Mappings of drivers inside windows.
 *
 * A hit finds its window under RCU and is counted there. A miss, and every call
 * outside mode=cached, takes the engine's lock, with interrupts off. The lock
 * is held across a doorbell and dropped between two, except when the host
 * refuses, or when others have taken the room that was made. A doorbell has at most
 * apple_dma_engine_batch() entries.
 */

#include <linux/scatterlist.h>

#include "align.h"
#include "cover.h"
#include "hit.h"
#include "idle.h"
#include "index.h"
#include "map.h"
#include "recover.h"

/* Entries of a list that are mapped, or unmapped, with preemption off. */
#define HIT_STEPS	32

/* Entries of a list that are handled with interrupts off, */
#define HOLD_STEPS	128
/* and how many of them may be followed by a miss in the same hold. */
#define MISS_STEPS	32

/* For the log; map_log_failure() says more about some causes. */
static const char *const map_fail_texts[APPLE_DMA_FAIL_COUNT] = {
	[APPLE_DMA_FAIL_BYTES] = "the byte budget is used up (module parameter max_bytes)",
	[APPLE_DMA_FAIL_ENTRIES] = "the entry budget is used up (module parameter max_entries)",
	[APPLE_DMA_FAIL_HOST] = "the host refused it (parameters max_bytes, max_entries)",
	[APPLE_DMA_FAIL_ALIGN] = "no device address is aligned to its size",
	[APPLE_DMA_FAIL_BOUNDARY] = "every device address crosses the driver's segment boundary",
	[APPLE_DMA_FAIL_HANDLE] = "no unique handle is left for the range",
	[APPLE_DMA_FAIL_NOT_RAM] = "it is not ordinary guest memory",
	[APPLE_DMA_FAIL_BROKEN] = "the companion is broken or stopped, or the device has no driver",
	[APPLE_DMA_FAIL_BUG] = "a bug of apple_dma; please report it with the log",
};

/**
 * struct map_failure - why something could not be mapped
 * @cause: why
 * @size: bytes
 * @addr: with APPLE_DMA_FAIL_MASK: the address that the host chose
 * @mask: and the highest that the device reaches
 */
struct map_failure {
	enum apple_dma_fail cause;
	u64 size;
	u64 addr;
	u64 mask;
};

/* ---- what is not a hit; the lock is held ---- */

/* One doorbell for emptied windows, at most a batch. */
static void map_settle(struct apple_dma_engine *e,
		       struct apple_dma_emptied *emptied)
{
	apple_dma_window_give_back(e, emptied, "unmap");
}

/*
 * A step of a list is done. One doorbell if a whole batch is emptied. Then, or
 * after HOLD_STEPS, the lock is dropped, to let interrupts in.
 */
static __always_inline void map_step(struct apple_dma_engine *e,
				     struct apple_dma_emptied *emptied,
				     unsigned long *flags)
	__must_hold(&e->lock)
{
	if (emptied->n && emptied->n >= apple_dma_engine_batch(e))
		map_settle(e, emptied);
	else if (++emptied->steps < HOLD_STEPS)
		return;
	emptied->steps = 0;
	apple_dma_engine_relock(e, flags);
}

/*
 * End one mapping. If the engine was stopped it may have been ended already;
 * then -ESHUTDOWN if its window is gone from the host, too.
 */
static int map_end(struct apple_dma_engine *e, u64 addr, u64 size, u64 *phys,
		   struct apple_dma_emptied *emptied)
{
	struct apple_dma_window *w = apple_dma_index_find_iova(e, addr);

	if (!w && e->stopped)
		return -ESHUTDOWN;
	if (w)
		*phys = w->phys + (addr - w->iova);
	if (w && apple_dma_window_end_use(e, w, addr, emptied)) {
		preempt_disable();
		apple_dma_count_unmaps(e, 1, size);
		preempt_enable();
		trace_unmap(e->dev, addr, size);
	} else if (!w || !e->stopped) {
		e->stats.bad_unmaps++;
		return -ENOENT;
	}
	return e->broken ? -EIO : 0;
}

/* Count and log a failure, if there is one. The lock is not held. */
static void map_log_failure(struct apple_dma_engine *e,
			    const struct map_failure *f)
{
	unsigned long flags;

	if (likely(!f->cause))
		return;
	spin_lock_irqsave(&e->lock, flags);
	e->stats.failures[f->cause]++;
	spin_unlock_irqrestore(&e->lock, flags);
	if (!__ratelimit(&e->limit_log[f->cause]))
		return;
	switch (f->cause) {
	case APPLE_DMA_FAIL_MASK:
		dev_warn(e->dev,
			 "cannot map %llu bytes: the host's address %#llx is beyond the device's DMA mask %#llx; nobody can ask the host for another one\n",
			 f->size, f->addr, f->mask);
		break;
	case APPLE_DMA_FAIL_MEMORY:
		dev_warn(e->dev,
			 "cannot map %llu bytes: the guest has no memory for it, or none in one piece; a piece has at most %lu bytes\n",
			 f->size, MAX_ORDER_NR_PAGES * PAGE_SIZE);
		break;
	default:
		dev_warn(e->dev,
			 "cannot map %llu bytes: %s; now %llu of %llu bytes and %llu of %u entries\n",
			 f->size, map_fail_texts[f->cause],
			 apple_dma_budget_used(e), e->limits.bytes,
			 e->stats.mapped_entries, e->limits.entries);
	}
}

static void map_log_bad_unmap(struct apple_dma_engine *e, u64 addr)
{
	dev_err_ratelimited(e->dev,
			    "the driver unmaps device address %#llx, which is not mapped; the driver is at fault\n",
			    addr);
}

/* May the range be mapped at all? */
static enum apple_dma_fail map_check(struct apple_dma_engine *e,
				     const struct apple_dma_range *r)
{
	if (e->broken || e->stopped || e->closed)
		return APPLE_DMA_FAIL_BROKEN;
	if (!apple_dma_valid_range(r->phys, r->size))
		return APPLE_DMA_FAIL_NOT_RAM;
	return APPLE_DMA_FAIL_NONE;
}

/*
 * A window for the range at hand, or NULL. New windows come in the order of the
 * ranges: *at is the one that was used last, or the head of @fresh.
 */
static struct apple_dma_window *map_window(struct apple_dma_engine *e,
					   const struct apple_dma_request *req,
					   struct list_head *fresh,
					   struct list_head **at,
					   struct apple_dma_emptied *emptied)
{
	const struct apple_dma_range *r = &req->range;
	struct apple_dma_window *w;

	if (!list_is_last(*at, fresh)) {
		w = list_entry((*at)->next, struct apple_dma_window, list);
		if (apple_dma_window_fits(e, w, r->phys, r->size) &&
		    apple_dma_align_suits(w, req)) {
			*at = &w->list;
			return w;
		}
	}
	w = apple_dma_index_best(e, r->phys, r->size, req->mask, req->boundary);
	/* There may have been no memory for its slots the last time. */
	if (w && !w->guarded && w->filled < w->size && apple_dma_engine_lazy(e)) {
		apple_dma_index_publish(e, w);
		emptied->steps += HOLD_STEPS;
	}
	return w;
}

/* Map in a window; if the device cannot, @f has the cause. */
static dma_addr_t map_take(struct apple_dma_engine *e,
			   struct apple_dma_window *w,
			   const struct apple_dma_request *req,
			   struct map_failure *f)
{
	const struct apple_dma_range *r = &req->range;
	bool fresh = w->fresh;
	dma_addr_t addr;

	if (apple_dma_align_forbids(w, req)) {
		f->cause = APPLE_DMA_FAIL_BOUNDARY;
		return DMA_MAPPING_ERROR;
	}
	preempt_disable();
	addr = apple_dma_take(e, w, r->phys, r->size, req->mask);
	preempt_enable();
	if (addr != DMA_MAPPING_ERROR)
		apple_dma_align_count(e, req, w);
	w->fresh = false;
	if (addr == DMA_MAPPING_ERROR) {
		f->cause = APPLE_DMA_FAIL_MASK;
		f->addr = w->iova + (r->phys - w->phys);
		f->mask = req->mask;
	} else {
		e->stats.misses += fresh;
		trace_map(e->dev, r->phys, addr, r->size, !fresh);
	}
	return addr;
}

/*
 * Find a window for the range at hand, or make one. If there is none, @f has the
 * cause.
 */
static struct apple_dma_window *map_find(struct apple_dma_engine *e,
					 struct apple_dma_request *req,
					 struct map_failure *f,
					 struct list_head *fresh,
					 struct list_head **at,
					 struct apple_dma_emptied *emptied,
					 unsigned long *flags)
	__must_hold(&e->lock)
{
	struct apple_dma_window *w;
	bool again;

	do {
		f->cause = map_check(e, &req->range);
		if (f->cause)
			return NULL;
		w = map_window(e, req, fresh, at, emptied);
		if (!w && emptied->steps > MISS_STEPS) {
			emptied->steps = 0;
			apple_dma_engine_relock(e, flags);
			again = true;
		} else if (w) {
			again = !apple_dma_align_suits(w, req) &&
				apple_dma_align(e, req, w, fresh, emptied, flags);
		} else {
			again = apple_dma_cover(e, req, fresh, emptied,
						&f->cause, flags);
		}
	} while (again);
	return w;
}

/*
 * Map the ranges of a request that are not mapped. The hits of a list are
 * mapped first, so that no window that the list uses goes to make room. If a
 * range cannot be mapped, @f has the cause; the ranges before it are mapped.
 */
static void map_request(struct apple_dma_engine *e,
			struct apple_dma_request *req, struct map_failure *f,
			struct apple_dma_emptied *emptied,
			unsigned long *flags)
	__must_hold(&e->lock)
{
	struct apple_dma_window *w;
	LIST_HEAD(fresh);
	struct list_head *at = &fresh;

	f->cause = APPLE_DMA_FAIL_NONE;
	for (; req->left && !f->cause; apple_dma_request_next(req)) {
		dma_addr_t *addr = apple_dma_request_addr(req);

		/* The mapped ones are steps as well: there may be many in a row. */
		map_step(e, emptied, flags);
		if (*addr != DMA_MAPPING_ERROR)
			continue;
		f->size = req->range.size;
		w = map_find(e, req, f, &fresh, &at, emptied, flags);
		if (w)
			*addr = map_take(e, w, req, f);
	}
	while (!list_empty(&fresh)) {
		apple_dma_window_unguard(e, list_first_entry(&fresh,
							     struct apple_dma_window,
							     list), emptied);
		map_step(e, emptied, flags);
	}
}

/* The end of a map that took the lock; the caller drops it. */
static void map_finish(struct apple_dma_engine *e, const struct map_failure *f,
		       struct apple_dma_emptied *emptied, unsigned long *flags)
	__must_hold(&e->lock)
{
	if (f->cause == APPLE_DMA_FAIL_HOST)
		apple_dma_recover_start(e);
	/* Fillers of strict mode; let interrupts in between two doorbells. */
	if (emptied->n)
		apple_dma_engine_relock(e, flags);
	map_settle(e, emptied);
	if (unlikely(apple_dma_idle_many_fillers(e))) {
		apple_dma_engine_relock(e, flags);
		apple_dma_idle_evict_fillers(e);
	}
}

/* ---- one range ---- */

static noinline dma_addr_t map_slow(struct apple_dma_engine *e, u64 phys,
				    u64 size, u64 mask)
{
	struct apple_dma_request req = apple_dma_request_one(phys, size, mask);
	struct apple_dma_emptied emptied = APPLE_DMA_EMPTIED_INIT(emptied);
	struct map_failure f;
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	e->stats.slow_paths++;
	map_request(e, &req, &f, &emptied, &flags);
	map_finish(e, &f, &emptied, &flags);
	spin_unlock_irqrestore(&e->lock, flags);
	map_log_failure(e, &f);
	return req.addr;
}

/**
 * apple_dma_map() - map one range
 * @e: the engine
 * @phys: guest-physical address
 * @size: bytes
 * @mask: highest device address the device reaches
 *
 * Context: any.
 * Return: the device address of @phys, valid for @size bytes until
 * apple_dma_unmap(), or DMA_MAPPING_ERROR after the cause was counted and
 * logged.
 */
dma_addr_t apple_dma_map(struct apple_dma_engine *e, phys_addr_t phys,
			 size_t size, u64 mask)
{
	dma_addr_t addr = apple_dma_map_fast(e, phys, size, mask);

	if (likely(addr != DMA_MAPPING_ERROR))
		return apple_dma_traced_map(e, phys, size, addr);
	return map_slow(e, phys, size, mask);
}

/**
 * apple_dma_refuse() - count and log a mapping that cannot be made
 * @e: the engine
 * @cause: why not
 * @size: bytes that were to be mapped
 *
 * Context: any.
 * Return: DMA_MAPPING_ERROR.
 */
dma_addr_t apple_dma_refuse(struct apple_dma_engine *e,
			    enum apple_dma_fail cause, size_t size)
{
	const struct map_failure f = { .cause = cause, .size = size };

	map_log_failure(e, &f);
	return DMA_MAPPING_ERROR;
}

static noinline int map_unmap_slow(struct apple_dma_engine *e, u64 addr,
				   u64 size, u64 *phys)
{
	struct apple_dma_emptied emptied = APPLE_DMA_EMPTIED_INIT(emptied);
	unsigned long flags;
	int err;

	spin_lock_irqsave(&e->lock, flags);
	e->stats.slow_paths++;
	err = map_end(e, addr, size, phys, &emptied);
	map_settle(e, &emptied);
	if (!err && e->broken)
		err = -EIO;
	spin_unlock_irqrestore(&e->lock, flags);

	if (err == -ENOENT)
		map_log_bad_unmap(e, addr);
	return err == -ESHUTDOWN ? 0 : err;
}

/**
 * apple_dma_unmap() - end one mapping
 * @e: the engine
 * @addr: what apple_dma_map() returned
 * @size: bytes, as they were mapped
 * @phys: where to put the guest-physical address of @addr; set if -EIO is
 *	returned, or if it was mapped
 *
 * Outside mode=cached, if it was the last mapping in its window, the window is
 * gone from the host when this returns.
 *
 * Context: any.
 * Return: 0; -EIO if the companion is broken, so that the device may still
 * reach the memory; -ENOENT if @addr is not mapped.
 */
int apple_dma_unmap(struct apple_dma_engine *e, dma_addr_t addr, size_t size,
		    phys_addr_t *phys)
{
	if (unlikely(!apple_dma_unmap_fast(e, addr, size, phys)))
		return map_unmap_slow(e, addr, size, phys);
	apple_dma_traced_unmap(e, addr, size);
	return 0;
}

/* ---- scatterlists ---- */

/*
 * Map entries from *@at on that are hits in one window, up to HIT_STEPS. Returns how
 * many, and moves *@at behind them; 0 if the first is no hit. Preemption is off.
 */
static int map_hit_run(struct apple_dma_engine *e, struct scatterlist **at,
		       int nents, u64 mask)
{
	const int most = min(nents, HIT_STEPS);
	struct scatterlist *sg = *at;
	struct apple_dma_window *w;
	u64 use = 0, bytes = 0;
	int n;

	if (unlikely(!READ_ONCE(e->fast)))
		return 0;
	w = apple_dma_lookup(&e->by_phys, sg_phys(sg) >> APPLE_DMA_GRANULE_SHIFT);
	if (unlikely(!w || READ_ONCE(w->state) != APPLE_DMA_WINDOW_ACTIVE))
		return 0;
	for (n = 0; n < most; n++, sg = sg_next(sg)) {
		u64 phys = sg_phys(sg), size = sg->length;
		u64 addr = w->iova + (phys - w->phys);

		if (!apple_dma_is_hit(w, phys, size) || addr + size - 1 > mask)
			break;
		sg_dma_address(sg) = addr;
		sg_dma_len(sg) = size;
		use += apple_dma_window_use(addr);
		bytes += size;
	}
	if (unlikely(!n || !apple_dma_window_get(e, w, use)))
		return 0;
	apple_dma_count_maps(e, n, bytes);
	*at = sg;
	return n;
}

/* The fast part: hits. Returns how many entries are left to map. */
static int map_hit_list(struct apple_dma_engine *e, struct scatterlist *sgl,
			int nents, u64 mask)
{
	struct scatterlist *sg = sgl, *first;
	int i, n, left = 0;

	for (i = 0; i < nents; i += n) {
		first = sg;
		rcu_read_lock_sched();
		n = map_hit_run(e, &sg, nents - i, mask);
		rcu_read_unlock_sched();
		if (unlikely(!n)) {
			sg_dma_address(sg) = DMA_MAPPING_ERROR;
			sg_dma_len(sg) = sg->length;
			sg = sg_next(sg);
			left++;
			n = 1;
		} else if (trace_map_enabled()) {
			for (; first != sg; first = sg_next(first))
				trace_map(e->dev, sg_phys(first),
					  sg_dma_address(first), first->length,
					  true);
		}
	}
	return left;
}

/*
 * Unmap entries from *@at on that are in one window: as map_hit_run() maps them. In
 * strict mode, and where an entry is not mapped, it returns 0.
 */
static int map_unmap_run(struct apple_dma_engine *e, struct scatterlist **at,
			 int nents)
{
	const int most = min(nents, HIT_STEPS);
	struct scatterlist *sg = *at;
	struct apple_dma_window *w;
	u64 use = 0, bytes = 0;
	int n;

	if (unlikely(!READ_ONCE(e->fast)))
		return 0;
	w = apple_dma_lookup(&e->by_iova,
			     sg_dma_address(sg) >> APPLE_DMA_GRANULE_SHIFT);
	if (unlikely(!w))
		return 0;
	for (n = 0; n < most; n++, sg = sg_next(sg)) {
		u64 addr = sg_dma_address(sg);

		if (addr - w->iova >= w->size)
			break;
		use += apple_dma_window_use(addr);
		bytes += sg_dma_len(sg);
	}
	if (unlikely(!n || !apple_dma_window_put(e, w, use)))
		return 0;
	apple_dma_count_unmaps(e, n, bytes);
	*at = sg;
	return n;
}

/*
 * End the hits that cross a boundary: they are mapped anew. Returns how many. No
 * hit crosses 4 GiB, so that this is for boundaries below.
 */
static int map_uncross_list(struct apple_dma_engine *e, struct scatterlist *sgl,
			    int nents, u64 boundary)
{
	struct scatterlist *sg;
	phys_addr_t phys;
	int i, left = 0;

	for_each_sg(sgl, sg, nents, i) {
		dma_addr_t addr = sg_dma_address(sg);

		if (addr == DMA_MAPPING_ERROR ||
		    !apple_dma_crosses(addr, sg->length, boundary))
			continue;
		apple_dma_unmap(e, addr, sg->length, &phys);
		sg_dma_address(sg) = DMA_MAPPING_ERROR;
		left++;
	}
	return left;
}

/* Unmap the mapped entries of a list. */
static void map_end_list(struct apple_dma_engine *e, struct scatterlist *sgl,
			 int nents, struct apple_dma_emptied *emptied,
			 unsigned long *flags)
	__must_hold(&e->lock)
{
	struct scatterlist *sg;
	u64 phys;
	int i;

	for_each_sg(sgl, sg, nents, i) {
		map_step(e, emptied, flags);
		if (sg_dma_address(sg) == DMA_MAPPING_ERROR)
			continue;
		map_end(e, sg_dma_address(sg), sg_dma_len(sg), &phys, emptied);
		sg_dma_address(sg) = DMA_MAPPING_ERROR;
	}
}

/*
 * Look what a list needs. If it cannot fit, @f has the cause. @all: as if nothing
 * of it were mapped. The lock is not held.
 */
static void map_list_begin(struct apple_dma_engine *e,
			   struct apple_dma_request *req, bool all,
			   struct map_failure *f)
{
	struct scatterlist *sg;
	int i;

	f->cause = APPLE_DMA_FAIL_NONE;
	/* If nothing can be mapped, map_check() has the cause. */
	if (READ_ONCE(e->broken) || READ_ONCE(e->stopped) ||
	    READ_ONCE(e->closed) || apple_dma_runs_begin(e, req, all))
		return;
	f->cause = APPLE_DMA_FAIL_BYTES;
	f->size = 0;
	for_each_sg(req->sg, sg, req->left, i)
		f->size += sg->length;
}

/* Map a list again, in exact granules, if it may fit. It is not mapped now. */
static void map_list_exactly(struct apple_dma_engine *e,
			     struct apple_dma_request *req,
			     struct scatterlist *sgl, int nents,
			     struct map_failure *f,
			     struct apple_dma_emptied *emptied,
			     unsigned long *flags)
	__must_hold(&e->lock)
{
	spin_unlock_irqrestore(&e->lock, *flags);
	apple_dma_runs_end(req, sgl, nents);
	req->sg = sgl;
	req->left = nents;
	req->exact = true;
	apple_dma_request_here(req);
	map_list_begin(e, req, true, f);
	spin_lock_irqsave(&e->lock, *flags);
	if (f->cause)
		return;
	apple_dma_idle_release(e, flags, "room");
	map_request(e, req, f, emptied, flags);
	if (f->cause)
		map_end_list(e, sgl, nents, emptied, flags);
}

/**
 * apple_dma_map_list() - map a scatterlist
 * @e: the engine
 * @sgl: the list; its DMA addresses and lengths are set
 * @nents: entries to map, at least 1
 * @mask: highest device address the device reaches
 * @boundary: no entry may cross a multiple of this plus 1, of device addresses
 *
 * All entries of a batch that have no window yet go to the host with one
 * doorbell.
 *
 * Context: any.
 * Return: 0, or -ENOMEM when the budget or memory is used up, -EREMOTEIO for
 * memory that is not guest RAM, -EIO for the rest; then nothing is mapped and
 * the cause has been counted and logged.
 */
int apple_dma_map_list(struct apple_dma_engine *e, struct scatterlist *sgl,
		       int nents, u64 mask, u64 boundary)
{
	struct apple_dma_request req;
	struct apple_dma_emptied emptied = APPLE_DMA_EMPTIED_INIT(emptied);
	struct map_failure f;
	unsigned long flags;
	int left;

	left = map_hit_list(e, sgl, nents, mask);
	if (unlikely(boundary < U32_MAX))
		left += map_uncross_list(e, sgl, nents, boundary);
	if (likely(!left))
		return 0;

	req = apple_dma_request_list(sgl, nents, mask, boundary);
	map_list_begin(e, &req, false, &f);
	spin_lock_irqsave(&e->lock, flags);
	e->stats.slow_paths++;
	if (!f.cause)
		map_request(e, &req, &f, &emptied, &flags);
	if (f.cause)
		map_end_list(e, sgl, nents, &emptied, &flags);
	/* Large windows for some may have left no room for the rest. */
	if (f.cause == APPLE_DMA_FAIL_BYTES && apple_dma_engine_lazy(e))
		map_list_exactly(e, &req, sgl, nents, &f, &emptied,
				 &flags);
	map_finish(e, &f, &emptied, &flags);
	spin_unlock_irqrestore(&e->lock, flags);
	map_log_failure(e, &f);
	apple_dma_runs_end(&req, sgl, nents);
	switch (f.cause) {
	case APPLE_DMA_FAIL_NONE:
		return 0;
	case APPLE_DMA_FAIL_BYTES:
	case APPLE_DMA_FAIL_ENTRIES:
	case APPLE_DMA_FAIL_MEMORY:
		return -ENOMEM;
	case APPLE_DMA_FAIL_NOT_RAM:
		return -EREMOTEIO;
	default:
		return -EIO;
	}
}

/**
 * apple_dma_unmap_list() - end the mappings of a scatterlist
 * @e: the engine
 * @sgl: the list
 * @nents: entries, as they were mapped
 *
 * Outside mode=cached, windows left without a mapping are given back,
 * a batch to a doorbell, before this returns.
 *
 * Context: any.
 * Return: 0; -EIO if the companion is broken, so that the device may still
 * reach the memory; -ENOENT if an entry is not mapped.
 */
int apple_dma_unmap_list(struct apple_dma_engine *e, struct scatterlist *sgl,
			 int nents)
{
	struct apple_dma_emptied emptied = APPLE_DMA_EMPTIED_INIT(emptied);
	struct scatterlist *sg = sgl, *first;
	unsigned long flags;
	bool broken;
	u64 bad = 0, phys;
	int err = 0;
	int i, n;

	for (i = 0; i < nents; i += n) {
		first = sg;
		rcu_read_lock_sched();
		n = map_unmap_run(e, &sg, nents - i);
		rcu_read_unlock_sched();
		if (unlikely(!n))
			break;
		if (trace_unmap_enabled())
			for (; first != sg; first = sg_next(first))
				trace_unmap(e->dev, sg_dma_address(first),
					    sg_dma_len(first));
	}
	if (likely(i == nents))
		return 0;

	spin_lock_irqsave(&e->lock, flags);
	e->stats.slow_paths++;
	for (; i < nents; i++, sg = sg_next(sg)) {
		if (map_end(e, sg_dma_address(sg), sg_dma_len(sg), &phys,
			    &emptied) == -ENOENT) {
			bad = sg_dma_address(sg);
			err = -ENOENT;
		}
		map_step(e, &emptied, &flags);
	}
	map_settle(e, &emptied);
	broken = e->broken;
	spin_unlock_irqrestore(&e->lock, flags);

	if (err)
		map_log_bad_unmap(e, bad);
	return broken ? -EIO : err;
}
