// SPDX-License-Identifier: GPL-2.0-only
/* The memory that is mapped. None of it is read or written. */

#include <linux/bitmap.h>
#include <linux/ioport.h>
#include <linux/memory_hotplug.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "bench.h"

/*
 * Make bench->pages @count blocks of 2^@order pages each; the first page of each
 * is what counts. Nothing is done if they are so already.
 */
int bench_keep_pages(struct bench *bench, unsigned int count,
		     unsigned int order)
{
	if (bench->page_count == count && bench->page_order == order)
		return 0;
	bench_drop_pages(bench);
	bench->pages = kvcalloc(count, sizeof(*bench->pages), GFP_KERNEL);
	if (!bench->pages)
		return -ENOMEM;
	bench->page_order = order;
	for (; bench->page_count < count; bench->page_count++) {
		struct page *page = alloc_pages(GFP_KERNEL | __GFP_NOWARN,
						order);

		if (!page) {
			bench_drop_pages(bench);
			return -ENOMEM;
		}
		bench->pages[bench->page_count] = page;
	}
	return 0;
}

void bench_drop_pages(struct bench *bench)
{
	while (bench->page_count)
		__free_pages(bench->pages[--bench->page_count],
			     bench->page_order);
	kvfree(bench->pages);
	bench->pages = NULL;
}

/* Whether all of the range is online memory of the kernel's. */
bool bench_is_ram(u64 pfn, u64 count)
{
	u64 end = pfn + count;

	/* Holes are no smaller than 16 pages on any machine here. */
	for (; pfn < end; pfn += 16)
		if (!page_is_ram(pfn) || !pfn_to_online_page(pfn))
			return false;
	return page_is_ram(end - 1) && pfn_to_online_page(end - 1);
}

static bool bench_resource_is_ram(const struct resource *r)
{
	return (r->flags & IORESOURCE_SYSTEM_RAM) == IORESOURCE_SYSTEM_RAM;
}

/* The page after the last one of RAM. */
u64 bench_end_pfn(void)
{
	const struct resource *r;
	u64 end = 0;

	for (r = iomem_resource.child; r; r = r->sibling)
		if (bench_resource_is_ram(r))
			end = max_t(u64, end, PHYS_PFN(r->end + 1));
	return end;
}

/* A bitmap of @units units of @unit bytes; set where not all of it is RAM. */
unsigned long *bench_ram_map(u64 units, u64 unit)
{
	unsigned long *map = bitmap_alloc(units, GFP_KERNEL);
	const struct resource *r;
	u64 first, end;

	if (!map)
		return NULL;
	bitmap_fill(map, units);
	for (r = iomem_resource.child; r; r = r->sibling) {
		if (!bench_resource_is_ram(r))
			continue;
		first = div64_u64(r->start + unit - 1, unit);
		end = min(div64_u64(r->end + 1, unit), units);
		if (first < end)
			bitmap_clear(map, first, end - first);
	}
	return map;
}
