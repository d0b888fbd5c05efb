/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hits: a map in a window that is there, and its unmap. No lock, no allocation,
 * no doorbell. All of it is inline, because every I/O runs it.
 *
 * RCU is held by disabling preemption, for one mapping or a few of a list. This costs
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
 * It saves some 270 instructions of a map and its unmap. The layout of the nodes
 * was checked in 6.1, 6.12, 7.2 and 7.3; the KUnit case index.lookup_is_xa_load
 * compares the two.
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

/* Mappings were made, of @bytes bytes together. Preemption is off. */
static inline void apple_dma_count_maps(struct apple_dma_engine *e,
					unsigned int n, u64 bytes)
{
	struct apple_dma_percpu *p = this_cpu_ptr(e->percpu);

	local64_add(n, &p->maps);
	local64_add(bytes, &p->map_bytes);
}

/* Mappings have ended. Preemption is off. */
static inline void apple_dma_count_unmaps(struct apple_dma_engine *e,
					  unsigned int n, u64 bytes)
{
	struct apple_dma_percpu *p = this_cpu_ptr(e->percpu);

	local64_add(n, &p->unmaps);
	local64_add(bytes, &p->unmap_bytes);
}

/* May a hit map a range in a window? The window may be given back meanwhile. */
static __always_inline bool
apple_dma_is_hit(const struct apple_dma_window *w, u64 phys, u64 size)
{
	return apple_dma_window_covers(w, phys, size) &&
	       !apple_dma_crosses(w->iova + (phys - w->phys), size, U32_MAX) &&
	       apple_dma_window_suits(w, phys, size);
}

/**
 * apple_dma_take() - map in a window
 * @e: the engine
 * @w: a window with the whole range in it
 * @phys: guest-physical address
 * @size: bytes
 * @mask: highest device address the device reaches
 *
 * Context: preemption off; the window is kept by that or by the lock.
 * Return: the device address of @phys, or DMA_MAPPING_ERROR when the window is
 * being given back, or the device does not reach it.
 */
static __always_inline dma_addr_t apple_dma_take(struct apple_dma_engine *e,
						 struct apple_dma_window *w,
						 u64 phys, u64 size, u64 mask)
{
	u64 addr = w->iova + (phys - w->phys);

	if (unlikely(addr + size - 1 > mask) ||
	    !apple_dma_window_get(e, w, apple_dma_window_use(addr)))
		return DMA_MAPPING_ERROR;
	apple_dma_count_maps(e, 1, size);
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
		if (likely(w && READ_ONCE(w->state) == APPLE_DMA_WINDOW_ACTIVE &&
			   apple_dma_is_hit(w, phys, size)))
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
			done = apple_dma_window_put(e, w,
						    apple_dma_window_use(addr));
		}
		if (likely(done))
			apple_dma_count_unmaps(e, 1, size);
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
