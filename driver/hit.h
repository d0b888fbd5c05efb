/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hits: a map in a window that is there, and its unmap. No lock, no allocation,
 * no doorbell. All of it is inline, because every I/O runs it.
 *
 * RCU is held by disabling preemption for some fifty instructions. This costs
 * less than the nesting counter of preemptible RCU, and grace periods wait for
 * it, too.
 */
#ifndef APPLE_DMA_HIT_H
#define APPLE_DMA_HIT_H

#include <linux/dma-mapping.h>
#include <linux/rcupdate.h>

#include "trace.h"
#include "window.h"

dma_addr_t apple_dma_trace_hit(struct apple_dma_engine *e, u64 phys, u64 size,
			       dma_addr_t addr);
void apple_dma_trace_unmap(struct apple_dma_engine *e, u64 addr, u64 size);

/* Below the head of an xarray, values up to this are not pointers. */
#define APPLE_DMA_XA_INTERNAL_MAX	4096UL

/*
 * A short xa_load(). If the array changes meanwhile, it may find nothing:
 * xa_load() would try again, here the caller takes the lock.
 *
 * A map and its unmap cost 327 instructions instead of 593 with xa_load() on
 * 6.1, and 413 instead of 692 on 7.3. The layout of the nodes was checked in
 * 6.1, 6.12, 7.2 and 7.3; the KUnit case index.lookup_is_xa_load compares the
 * two.
 */
static __always_inline struct apple_dma_window *
apple_dma_lookup(const struct xarray *xa, unsigned long granule)
{
	const void *entry = rcu_dereference_sched(xa->xa_head);
	const struct xa_node *node;
	unsigned int shift;

	if (unlikely(!xa_is_node(entry)))
		return NULL;
	node = xa_to_node(entry);
	shift = node->shift;
	if (unlikely(granule >> shift > XA_CHUNK_MASK))
		return NULL;
	for (; shift; shift -= XA_CHUNK_SHIFT) {
		entry = rcu_dereference_sched(node->slots[(granule >> shift) &
							  XA_CHUNK_MASK]);
		if (unlikely((unsigned long)entry <= APPLE_DMA_XA_INTERNAL_MAX))
			return NULL;
		node = xa_to_node(entry);
	}
	entry = rcu_dereference_sched(node->slots[granule & XA_CHUNK_MASK]);
	if (unlikely((unsigned long)entry <= APPLE_DMA_XA_INTERNAL_MAX))
		return NULL;
	return (void *)entry;
}

/**
 * apple_dma_count_unmap() - a mapping has ended
 * @e: the engine
 * @size: its bytes
 *
 * Context: any.
 */
static inline void apple_dma_count_unmap(struct apple_dma_engine *e, u64 size)
{
	this_cpu_inc(e->percpu->unmaps);
	this_cpu_add(e->percpu->unmap_bytes, size);
}

/**
 * apple_dma_take() - map in a window
 * @e: the engine
 * @w: a window with the whole range in it
 * @phys: guest-physical address
 * @size: bytes
 * @mask: highest device address the device reaches
 *
 * Context: any, under RCU or the lock.
 * Return: the device address of @phys, or DMA_MAPPING_ERROR when the window is
 * being given back, or the device does not reach it.
 */
static __always_inline dma_addr_t apple_dma_take(struct apple_dma_engine *e,
						 struct apple_dma_window *w,
						 u64 phys, u64 size, u64 mask)
{
	u64 addr = w->iova + (phys - w->phys);

	if (!apple_dma_window_get(e, w, addr))
		return DMA_MAPPING_ERROR;
	if (unlikely(addr + size - 1 > mask)) {
		apple_dma_window_put(e, w, addr);
		return DMA_MAPPING_ERROR;
	}
	this_cpu_inc(e->percpu->maps);
	this_cpu_add(e->percpu->map_bytes, size);
	return addr;
}

/**
 * apple_dma_map_fast() - map in a window that is there
 * @e: the engine
 * @phys: guest-physical address
 * @size: bytes
 * @mask: highest device address the device reaches
 *
 * Context: any.
 * Return: the device address, to be passed to apple_dma_traced_map(); or
 * DMA_MAPPING_ERROR: then call apple_dma_map(), which maps it or finds the
 * cause.
 */
static __always_inline dma_addr_t apple_dma_map_fast(struct apple_dma_engine *e,
						     u64 phys, u64 size, u64 mask)
{
	dma_addr_t addr = DMA_MAPPING_ERROR;
	struct apple_dma_window *w;

	rcu_read_lock_sched();
	if (likely(READ_ONCE(e->fast))) {
		w = apple_dma_lookup(&e->by_phys,
				     phys >> APPLE_DMA_GRANULE_SHIFT);
		if (likely(w && apple_dma_window_covers(w, phys, size) &&
			   READ_ONCE(w->state) == APPLE_DMA_WINDOW_ACTIVE &&
			   !apple_dma_crosses(w->iova + (phys - w->phys), size,
					      U32_MAX) &&
			   apple_dma_window_suits(w, phys, size)))
			addr = apple_dma_take(e, w, phys, size, mask);
	}
	rcu_read_unlock_sched();
	return addr;
}

/*
 * Trace what apple_dma_map_fast() mapped; returns @addr. The caller ends with this, so
 * that no register has to be saved: while tracing is off it costs one branch.
 */
static __always_inline dma_addr_t
apple_dma_traced_map(struct apple_dma_engine *e, u64 phys, u64 size,
		     dma_addr_t addr)
{
	return trace_map_enabled() ? apple_dma_trace_hit(e, phys, size, addr) :
				     addr;
}

/**
 * apple_dma_unmap_fast() - end a mapping, its window stays
 * @e: the engine
 * @addr: what was returned for it
 * @size: its bytes
 * @phys: set to the guest-physical address, if it was ended
 *
 * Context: any.
 * Return: true: call apple_dma_traced_unmap() next; false: call
 * apple_dma_unmap().
 */
static __always_inline bool apple_dma_unmap_fast(struct apple_dma_engine *e,
						 u64 addr, u64 size, u64 *phys)
{
	struct apple_dma_window *w;
	bool done = false;

	rcu_read_lock_sched();
	if (likely(READ_ONCE(e->fast))) {
		w = apple_dma_lookup(&e->by_iova,
				     addr >> APPLE_DMA_GRANULE_SHIFT);
		if (likely(w)) {
			*phys = w->phys + (addr - w->iova);
			done = apple_dma_window_put(e, w, addr);
		}
		if (likely(done))
			apple_dma_count_unmap(e, size);
	}
	rcu_read_unlock_sched();
	return done;
}

/* Trace what apple_dma_unmap_fast() ended. */
static __always_inline void apple_dma_traced_unmap(struct apple_dma_engine *e,
						   u64 addr, u64 size)
{
	if (trace_unmap_enabled())
		apple_dma_trace_unmap(e, addr, size);
}

#endif /* APPLE_DMA_HIT_H */
