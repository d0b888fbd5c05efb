/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every difference between the kernels the module supports. compat-probe.sh
 * finds out by compiling what a kernel has, never by its version number. The
 * results are APPLE_DMA_HAVE_*.
 */
#ifndef APPLE_DMA_COMPAT_H
#define APPLE_DMA_COMPAT_H

#include <linux/dma-direct.h>
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/gfp.h>

#include "compat-probed.h"

#ifdef APPLE_DMA_HAVE_USE_DMA_IOMMU
#include <linux/iommu-dma.h>
#endif

/* The name of the page allocation op in struct dma_map_ops. */
#ifdef APPLE_DMA_HAVE_ALLOC_PAGES_OP
#define APPLE_DMA_OPS_ALLOC_PAGES	alloc_pages_op
#else
#define APPLE_DMA_OPS_ALLOC_PAGES	alloc_pages
#endif

/*
 * Kernels whose streaming ops take physical addresses say with an attribute
 * that an address is MMIO; the older ones have map_resource for that.
 */
#ifndef DMA_ATTR_MMIO
#define DMA_ATTR_MMIO	0UL
#endif

/*
 * Would ops installed on a device be ignored? They are behind an IOMMU of the
 * guest, on kernels that call dma-iommu directly. On other kernels such a
 * device has ops already.
 */
static inline bool apple_dma_compat_behind_iommu(struct device *dev)
{
#ifdef APPLE_DMA_HAVE_USE_DMA_IOMMU
	return use_dma_iommu(dev);
#else
	return false;
#endif
}

/* Can a device have DMA operations of its own? */
#define APPLE_DMA_KERNEL_HAS_OPS \
	(IS_ENABLED(CONFIG_ARCH_HAS_DMA_OPS) || IS_ENABLED(CONFIG_DMA_OPS))

/* What alloc_contig_range() takes for memory of no CMA area. */
#ifdef ACR_FLAGS_NONE
#define APPLE_DMA_CONTIG_FLAGS	ACR_FLAGS_NONE
#else
#define APPLE_DMA_CONTIG_FLAGS	MIGRATE_MOVABLE
#endif

/* Take pages at an address from the page allocator. May sleep. False if in use. */
static inline bool apple_dma_compat_take(u64 phys, u64 size)
{
#if defined(CONFIG_CONTIG_ALLOC) || defined(alloc_contig_range)
	return !alloc_contig_range(PHYS_PFN(phys), PHYS_PFN(phys + size),
				   APPLE_DMA_CONTIG_FLAGS,
				   GFP_KERNEL | __GFP_NOWARN);
#else
	return false;
#endif
}

/* Undo apple_dma_compat_take(). */
static inline void apple_dma_compat_give(u64 phys, u64 size)
{
#if defined(CONFIG_CONTIG_ALLOC) || defined(alloc_contig_range)
	free_contig_range(PHYS_PFN(phys), size >> PAGE_SHIFT);
#endif
}

/* Fill an entry of a device's table of DMA ranges. */
static inline void apple_dma_compat_region(struct bus_dma_region *r, u64 phys,
					   u64 iova, u64 size)
{
	r->cpu_start = phys;
	r->dma_start = iova;
	r->size = size;
#ifdef APPLE_DMA_HAVE_REGION_OFFSET
	r->offset = phys - iova;
#endif
}

/* Where the maps of a device bounce; size 0 if nowhere. */
static inline void apple_dma_compat_bounce(struct device *dev, u64 *phys,
					   u64 *size)
{
	*phys = 0;
	*size = 0;
#ifdef CONFIG_SWIOTLB
	if (!dev->dma_io_tlb_mem || !dev->dma_io_tlb_mem->nslabs)
		return;
#ifdef APPLE_DMA_HAVE_TLB_DEFPOOL
	*phys = dev->dma_io_tlb_mem->defpool.start;
	*size = dev->dma_io_tlb_mem->defpool.end - *phys;
#else
	*phys = dev->dma_io_tlb_mem->start;
	*size = dev->dma_io_tlb_mem->end - *phys;
#endif
#endif
}

/*
 * Keep that pool from growing, so that nothing bounces elsewhere. Returns false if it
 * has grown. May sleep.
 */
static inline bool apple_dma_compat_bounce_stays(struct device *dev)
{
#ifdef CONFIG_SWIOTLB_DYNAMIC
	struct io_tlb_mem *mem = dev->dma_io_tlb_mem;

	if (mem && mem->nslabs) {
		if (mem->can_grow) {
			WRITE_ONCE(mem->can_grow, false);
			flush_work(&mem->dyn_alloc);
		}
		return list_is_singular(&mem->pools);
	}
#endif
	return true;
}

/* Do all maps of a device bounce, or its allocations? */
static inline bool apple_dma_compat_must_bounce(struct device *dev)
{
#ifdef CONFIG_SWIOTLB
	return dev->dma_io_tlb_mem && (dev->dma_io_tlb_mem->force_bounce ||
				       dev->dma_io_tlb_mem->for_alloc);
#else
	return false;
#endif
}

/*
 * Put another bounce pool on a device. Returns the one before; NULL where there are
 * no such pools.
 */
static inline struct io_tlb_mem *
apple_dma_compat_set_bounce(struct device *dev, struct io_tlb_mem *pool)
{
	struct io_tlb_mem *before = NULL;

#ifdef CONFIG_SWIOTLB
	before = dev->dma_io_tlb_mem;
	dev->dma_io_tlb_mem = pool;
#endif
	return before;
}

#endif /* APPLE_DMA_COMPAT_H */
