// SPDX-License-Identifier: GPL-2.0-only
/*
 * The dma_map_ops of a passthrough device: arguments in, engine calls out.
 *
 * Every op works in atomic context; only allocation may sleep, and only if
 * its gfp says so. There are no sync ops: managed.c refuses devices that are not
 * cache coherent.
 */

#include <linux/mm.h>
#include <linux/scatterlist.h>

#include "coherent.h"
#include "companion.h"
#include "compat.h"
#include "dma_ops.h"
#include "hit.h"
#include "map.h"
#include "quarantine.h"

/* The optimal size reported to drivers: likely inside one window. */
#define OPT_MAPPING_SIZE	(256UL << 10)

/* Each companion installs a copy of apple_dma_ops of its own. */
static struct apple_dma *dma_ops_companion(struct device *dev)
{
	return container_of(get_dma_ops(dev), struct apple_dma, ops);
}

/* The highest device address that a device reaches. */
static u64 dma_ops_reach(struct device *dev, u64 mask)
{
	return min_not_zero(mask, dev->bus_dma_limit);
}

static noinline dma_addr_t dma_ops_map_slowly(struct apple_dma *ad,
					      phys_addr_t phys, size_t size,
					      u64 mask, unsigned long attrs)
{
	if (attrs & DMA_ATTR_MMIO)
		return apple_dma_refuse(&ad->engine, APPLE_DMA_FAIL_NOT_RAM,
					size);
	return apple_dma_quarantine_map(ad, phys, size, mask);
}

/* What is not guest RAM, such as MMIO, is in no window. */
static __always_inline dma_addr_t dma_ops_map_range(struct device *dev,
						    phys_addr_t phys,
						    size_t size,
						    unsigned long attrs)
{
	struct apple_dma *ad = dma_ops_companion(dev);
	u64 mask = dma_ops_reach(dev, dma_get_mask(dev));
	dma_addr_t addr = apple_dma_map_fast(&ad->engine, phys, size, mask);

	if (likely(addr != DMA_MAPPING_ERROR))
		return apple_dma_traced_map(&ad->engine, phys, size, addr);
	return dma_ops_map_slowly(ad, phys, size, mask, attrs);
}

static __always_inline void dma_ops_unmap_range(struct device *dev,
						dma_addr_t addr, size_t size)
{
	struct apple_dma *ad = dma_ops_companion(dev);
	u64 phys;

	if (likely(apple_dma_unmap_fast(&ad->engine, addr, size, &phys)))
		apple_dma_traced_unmap(&ad->engine, addr, size);
	else
		apple_dma_quarantine_unmap(ad, addr, size);
}

#ifdef APPLE_DMA_HAVE_MAP_PHYS
static dma_addr_t apple_dma_map_phys(struct device *dev, phys_addr_t phys,
				     size_t size, enum dma_data_direction dir,
				     unsigned long attrs)
{
	return dma_ops_map_range(dev, phys, size, attrs);
}

static void apple_dma_unmap_phys(struct device *dev, dma_addr_t addr,
				 size_t size, enum dma_data_direction dir,
				 unsigned long attrs)
{
	dma_ops_unmap_range(dev, addr, size);
}
#else
static dma_addr_t apple_dma_map_page(struct device *dev, struct page *page,
				     unsigned long offset, size_t size,
				     enum dma_data_direction dir,
				     unsigned long attrs)
{
	return dma_ops_map_range(dev, page_to_phys(page) + offset, size, attrs);
}

static void apple_dma_unmap_page(struct device *dev, dma_addr_t addr,
				 size_t size, enum dma_data_direction dir,
				 unsigned long attrs)
{
	dma_ops_unmap_range(dev, addr, size);
}

/* A BAR of another device is not guest RAM: the host cannot map it. */
static dma_addr_t apple_dma_map_resource(struct device *dev, phys_addr_t phys,
					 size_t size,
					 enum dma_data_direction dir,
					 unsigned long attrs)
{
	struct apple_dma *ad = dma_ops_companion(dev);

	return apple_dma_refuse(&ad->engine, APPLE_DMA_FAIL_NOT_RAM, size);
}
#endif

static int apple_dma_map_sg(struct device *dev, struct scatterlist *sgl,
			    int nents, enum dma_data_direction dir,
			    unsigned long attrs)
{
	struct apple_dma *ad = dma_ops_companion(dev);
	u64 mask = dma_ops_reach(dev, dma_get_mask(dev));
	int err;

	if (nents < 1)
		return -EINVAL;
	if (attrs & DMA_ATTR_MMIO) {
		apple_dma_refuse(&ad->engine, APPLE_DMA_FAIL_NOT_RAM,
				 sgl->length);
		return -EREMOTEIO;
	}
	err = apple_dma_quarantine_map_sg(ad, sgl, nents, mask,
					  dma_get_seg_boundary(dev));
	return err ?: nents;
}

static void apple_dma_unmap_sg(struct device *dev, struct scatterlist *sgl,
			       int nents, enum dma_data_direction dir,
			       unsigned long attrs)
{
	apple_dma_quarantine_unmap_sg(dma_ops_companion(dev), sgl, nents);
}

static struct page *apple_dma_alloc_pages(struct device *dev, size_t size,
					  dma_addr_t *addr,
					  enum dma_data_direction dir,
					  gfp_t gfp)
{
	u64 mask = dma_ops_reach(dev, dev->coherent_dma_mask);

	return apple_dma_coherent_alloc(dma_ops_companion(dev), dev, size, addr,
					gfp, mask);
}

static void *apple_dma_alloc(struct device *dev, size_t size, dma_addr_t *addr,
			     gfp_t gfp, unsigned long attrs)
{
	struct page *page = apple_dma_alloc_pages(dev, size, addr,
						  DMA_BIDIRECTIONAL, gfp);

	return page ? page_address(page) : NULL;
}

/*
 * A driver may free memory while its device is unbound: the ops and the
 * companion may go at any time, but the companion's memory is freed only after
 * a grace period.
 */
static void apple_dma_free_pages(struct device *dev, size_t size,
				 struct page *page, dma_addr_t addr,
				 enum dma_data_direction dir)
{
	const struct dma_map_ops *ops;
	struct apple_dma *ad = NULL;

	rcu_read_lock();
	ops = get_dma_ops(dev);
	if (apple_dma_is_ours(ops))
		ad = container_of(ops, struct apple_dma, ops);
	apple_dma_coherent_free(ad, size, page, addr);
	rcu_read_unlock();
}

static void apple_dma_free(struct device *dev, size_t size, void *vaddr,
			   dma_addr_t addr, unsigned long attrs)
{
	apple_dma_free_pages(dev, size, virt_to_page(vaddr), addr,
			     DMA_BIDIRECTIONAL);
}

static int apple_dma_mmap(struct device *dev, struct vm_area_struct *vma,
			  void *vaddr, dma_addr_t addr, size_t size,
			  unsigned long attrs)
{
	unsigned long pages = PAGE_ALIGN(size) >> PAGE_SHIFT;
	unsigned long wanted = vma_pages(vma);

	if (vma->vm_pgoff >= pages || wanted > pages - vma->vm_pgoff)
		return -ENXIO;
	return remap_pfn_range(vma, vma->vm_start,
			       page_to_pfn(virt_to_page(vaddr)) + vma->vm_pgoff,
			       wanted << PAGE_SHIFT, vma->vm_page_prot);
}

static int apple_dma_get_sgtable(struct device *dev, struct sg_table *sgt,
				 void *vaddr, dma_addr_t addr, size_t size,
				 unsigned long attrs)
{
	int err = sg_alloc_table(sgt, 1, GFP_KERNEL);

	if (!err)
		sg_set_page(sgt->sgl, virt_to_page(vaddr), PAGE_ALIGN(size), 0);
	return err;
}

/*
 * The host cannot be asked for an address below a limit. So any mask of 32 bits
 * and more is accepted, and each address is checked against it.
 */
static int apple_dma_supported(struct device *dev, u64 mask)
{
	return mask >= DMA_BIT_MASK(32);
}

/*
 * More than 32 bits, so that drivers choose wide descriptors. Less than GPUs
 * reach (40 bits and more): a device that reaches less than this is given memory
 * below 4 GiB, which is of no use here.
 */
static u64 apple_dma_required_mask(struct device *dev)
{
	return DMA_BIT_MASK(36);
}

static size_t apple_dma_max_mapping_size(struct device *dev)
{
	const struct apple_dma_limits *limits = &dma_ops_companion(dev)
							 ->engine.limits;
	u64 pages = min_t(u64, limits->bytes, APPLE_DMA_CHUNK_SIZE) /
		    max_t(u64, APPLE_DMA_GRANULE_SIZE, PAGE_SIZE);

	/*
	 * Drivers limit a request to this. Each of its pages may lie in a
	 * granule of its own, and all must fit when nothing else is mapped.
	 */
	return min_t(u64, pages, limits->entries) << PAGE_SHIFT;
}

static size_t apple_dma_opt_mapping_size(void)
{
	return OPT_MAPPING_SIZE;
}

const struct dma_map_ops apple_dma_ops = {
	.alloc = apple_dma_alloc,
	.free = apple_dma_free,
	.APPLE_DMA_OPS_ALLOC_PAGES = apple_dma_alloc_pages,
	.free_pages = apple_dma_free_pages,
	.mmap = apple_dma_mmap,
	.get_sgtable = apple_dma_get_sgtable,
#ifdef APPLE_DMA_HAVE_MAP_PHYS
	.map_phys = apple_dma_map_phys,
	.unmap_phys = apple_dma_unmap_phys,
#else
	.map_page = apple_dma_map_page,
	.unmap_page = apple_dma_unmap_page,
	.map_resource = apple_dma_map_resource,
#endif
	.map_sg = apple_dma_map_sg,
	.unmap_sg = apple_dma_unmap_sg,
	.dma_supported = apple_dma_supported,
	.get_required_mask = apple_dma_required_mask,
	.max_mapping_size = apple_dma_max_mapping_size,
	.opt_mapping_size = apple_dma_opt_mapping_size,
};

/* Are these ops, or NULL, a companion's copy of apple_dma_ops? */
bool apple_dma_is_ours(const struct dma_map_ops *ops)
{
	return ops && ops->alloc == apple_dma_ops.alloc;
}
