/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every difference between the kernels the module supports. compat-probe.sh
 * finds out by compiling what a kernel has, never by its version number. The
 * results are APPLE_DMA_HAVE_*.
 */
#ifndef APPLE_DMA_COMPAT_H
#define APPLE_DMA_COMPAT_H

#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>

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

#endif /* APPLE_DMA_COMPAT_H */
