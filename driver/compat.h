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
#include <linux/shrinker.h>

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
 * Would ops installed on a device be ignored? So they are behind an IOMMU of
 * the guest, on kernels that call dma-iommu directly. On the others, such a
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

/* A shrinker, allocated by the kernel or part of this, and whose it is. */
struct apple_dma_shrinker {
#ifdef APPLE_DMA_HAVE_SHRINKER_ALLOC
	struct shrinker *shrinker;
#else
	struct shrinker shrinker;
	void *data;
#endif
	bool registered;
};

typedef unsigned long apple_dma_shrinker_fn(struct shrinker *shrinker,
					    struct shrink_control *control);

/* @data of apple_dma_compat_shrinker_register(), for @count and @scan. */
static inline void *apple_dma_compat_shrinker_data(struct shrinker *shrinker)
{
#ifdef APPLE_DMA_HAVE_SHRINKER_ALLOC
	return shrinker->private_data;
#else
	return container_of(shrinker, struct apple_dma_shrinker,
			    shrinker)->data;
#endif
}

/**
 * apple_dma_compat_shrinker_register() - be called when memory is short
 * @s: the shrinker; zeroed
 * @data: what it is of
 * @count: how many objects could go
 * @scan: let some go
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
static inline int
apple_dma_compat_shrinker_register(struct apple_dma_shrinker *s, void *data,
				   apple_dma_shrinker_fn *count,
				   apple_dma_shrinker_fn *scan)
{
#ifdef APPLE_DMA_HAVE_SHRINKER_ALLOC
	s->shrinker = shrinker_alloc(0, "apple_dma");
	if (!s->shrinker)
		return -ENOMEM;
	s->shrinker->private_data = data;
	s->shrinker->count_objects = count;
	s->shrinker->scan_objects = scan;
	s->shrinker->seeks = DEFAULT_SEEKS;
	shrinker_register(s->shrinker);
#else
	int err;

	s->data = data;
	s->shrinker.count_objects = count;
	s->shrinker.scan_objects = scan;
	s->shrinker.seeks = DEFAULT_SEEKS;
	err = register_shrinker(&s->shrinker, "apple_dma");
	if (err)
		return err;
#endif
	s->registered = true;
	return 0;
}

/* If it was registered. @count and @scan do not run afterwards. May sleep. */
static inline void
apple_dma_compat_shrinker_unregister(struct apple_dma_shrinker *s)
{
	if (!s->registered)
		return;
#ifdef APPLE_DMA_HAVE_SHRINKER_ALLOC
	shrinker_free(s->shrinker);
#else
	unregister_shrinker(&s->shrinker);
#endif
	s->registered = false;
}

#endif /* APPLE_DMA_COMPAT_H */
