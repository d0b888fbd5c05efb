/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Every difference between the kernels the module supports. What a kernel has
 * is found out by compiling (compat-probe.sh), never by its version number,
 * and is known here as APPLE_DMA_HAVE_*.
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

/**
 * apple_dma_compat_behind_iommu() - does the kernel bypass a device's ops?
 * @dev: the device
 *
 * On kernels that call dma-iommu directly, a device behind an IOMMU of the
 * guest never reaches its dma_map_ops. On the others dma-iommu shows as ops
 * that are set already.
 *
 * Return: true if ops installed on @dev would be ignored.
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
