// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory that the device may still reach is kept from reuse.
 *
 * This applies once the host has broken the protocol. What was mapped then
 * stays reachable. If the host broke the protocol during a map, this map fails,
 * but the host may have made it. A map that is refused because the companion is
 * broken already was never asked for.
 */

#include <linux/mm.h>
#include <linux/scatterlist.h>

#include "companion.h"
#include "map.h"
#include "quarantine.h"

/*
 * Keep a driver's pages: a reference that is never dropped keeps the page
 * allocator from reusing them. Slab memory, and the later pages of a block that
 * is not compound, cannot be kept in this way.
 */
static void quarantine_pages(struct apple_dma *ad, phys_addr_t phys,
			     size_t size)
{
	unsigned long pfn = PHYS_PFN(phys);
	unsigned long last = PHYS_PFN(phys + size - 1);

	for (; pfn <= last; pfn++)
		if (pfn_valid(pfn) &&
		    folio_try_get(page_folio(pfn_to_page(pfn))))
			atomic64_add(PAGE_SIZE, &ad->leaked_bytes);
}

static void quarantine_list(struct apple_dma *ad, struct scatterlist *sgl,
			    int nents)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, nents, i)
		quarantine_pages(ad, sg_phys(sg), sg->length);
}

/*
 * As apple_dma_map(). Sets *reachable if the map failed but the host may have
 * made it; otherwise does not change it.
 */
dma_addr_t apple_dma_quarantine_try(struct apple_dma *ad, phys_addr_t phys,
				    size_t size, u64 mask, bool *reachable)
{
	bool broken = READ_ONCE(ad->engine.broken);
	dma_addr_t addr = apple_dma_map(&ad->engine, phys, size, mask);

	if (addr == DMA_MAPPING_ERROR && !broken)
		*reachable |= READ_ONCE(ad->engine.broken);
	return addr;
}

/*
 * A driver's memory: as apple_dma_map(), apple_dma_unmap() and the same for
 * lists. Pages that the device may still reach are kept.
 */
dma_addr_t apple_dma_quarantine_map(struct apple_dma *ad, phys_addr_t phys,
				    size_t size, u64 mask)
{
	bool reachable = false;
	dma_addr_t addr = apple_dma_quarantine_try(ad, phys, size, mask,
						   &reachable);

	if (reachable)
		quarantine_pages(ad, phys, size);
	return addr;
}

void apple_dma_quarantine_unmap(struct apple_dma *ad, dma_addr_t addr,
				size_t size)
{
	phys_addr_t phys;

	if (apple_dma_unmap(&ad->engine, addr, size, &phys) == -EIO)
		quarantine_pages(ad, phys, size);
}

int apple_dma_quarantine_map_sg(struct apple_dma *ad, struct scatterlist *sgl,
				int nents, u64 mask, u64 boundary)
{
	bool broken = READ_ONCE(ad->engine.broken);
	int err = apple_dma_map_list(&ad->engine, sgl, nents, mask, boundary);

	if (err && !broken && READ_ONCE(ad->engine.broken))
		quarantine_list(ad, sgl, nents);
	return err;
}

void apple_dma_quarantine_unmap_sg(struct apple_dma *ad,
				   struct scatterlist *sgl, int nents)
{
	if (apple_dma_unmap_list(&ad->engine, sgl, nents) == -EIO)
		quarantine_list(ad, sgl, nents);
}

/**
 * apple_dma_quarantine_left() - keep the pages that a driver left mapped
 * @ad: the companion, broken; its device has no driver
 *
 * The driver may free them unnoticed, and the host still has them.
 *
 * Context: any.
 */
void apple_dma_quarantine_left(struct apple_dma *ad)
{
	struct apple_dma_range range;
	u64 phys = 0;

	while (apple_dma_engine_left(&ad->engine, &phys, &range))
		if (range.size)
			quarantine_pages(ad, range.phys, range.size);
}

/* Free a block of the module's own, or keep it for good if it is @reachable. */
void apple_dma_quarantine_free_block(struct apple_dma *ad, struct page *block,
				     unsigned int order, bool reachable)
{
	if (reachable)
		atomic64_add(PAGE_SIZE << order, &ad->leaked_bytes);
	else
		__free_pages(block, order);
}
