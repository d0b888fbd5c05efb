// SPDX-License-Identifier: GPL-2.0-only
/*
 * One live page in every so many bytes of RAM. The pages are not allocated:
 * what a device could reach is registered, but no transfer takes place and the
 * CPU's side is left alone (BENCH_FOREIGN), so that whoever owns them is not
 * disturbed.
 */

#include <linux/mm.h>
#include <linux/slab.h>

#include "bench.h"

/*
 * sparse [step=256K] [max=all] [order=up|random] [seed=1]
 *
 * Map the first page of each @step that is RAM, until one fails or @max are
 * live. They stay until "release".
 */
int bench_sparse(struct bench *bench)
{
	u64 step = PHYS_PFN(bench_number(bench, "step", 256 << 10));
	u64 max = bench_number(bench, "max", U64_MAX);
	struct bench_random random = { bench_number(bench, "seed", 1) };
	u64 slots, pfn, i, j, n = 0;
	struct bench_held *held;
	int failed = 0;

	if (bench->held_count || !step)
		return -EBUSY;
	slots = div64_u64(bench_end_pfn(), step);
	held = kvcalloc(slots, sizeof(*held), GFP_KERNEL);
	if (!held)
		return -ENOMEM;
	for (i = 0; i < slots; i++) {
		pfn = i * step;
		if (pfn && bench_is_ram(pfn, 1))
			held[n++].page = pfn_to_page(pfn);
	}
	if (bench_word(bench, "order", "random"))
		for (i = n; i > 1; i--) {
			j = bench_below(&random, i);
			swap(held[i - 1].page, held[j].page);
		}
	bench_say(bench, "slots %llu\n", n);
	n = min(n, max);
	for (i = 0; i < n; i++) {
		held[i].addr = dma_map_page_attrs(bench->dev, held[i].page, 0,
						  PAGE_SIZE, BENCH_DIR,
						  BENCH_FOREIGN);
		if (dma_mapping_error(bench->dev, held[i].addr)) {
			failed = 1;
			break;
		}
		if (!(i % 256))
			cond_resched();
	}
	bench->held = held;
	bench->held_count = i;
	bench_say(bench, "live %llu\nfailed %d\n", i, failed);
	return 0;
}

/*
 * hits [n=1000] [rounds=5] [pick=512] [seed=1]
 *
 * Time pairs of pages that "sparse" left mapped, @pick of them at random.
 */
int bench_hits(struct bench *bench)
{
	unsigned int count = bench_number(bench, "pick", 512), i;
	struct bench_random random = { bench_number(bench, "seed", 1) };
	struct page **pages;
	int err;

	if (!bench->held_count || !count)
		return -ENODATA;
	pages = kvcalloc(count, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		pages[i] = bench->held[bench_below(&random,
						   bench->held_count)].page;
	err = bench_time_pages(bench, pages, count, BENCH_FOREIGN);
	kvfree(pages);
	return err;
}

/* release: end what "sparse" mapped. */
int bench_release(struct bench *bench)
{
	unsigned int i;

	for (i = 0; i < bench->held_count; i++) {
		dma_unmap_page_attrs(bench->dev, bench->held[i].addr, PAGE_SIZE,
				     BENCH_DIR, BENCH_FOREIGN);
		if (!(i % 256))
			cond_resched();
	}
	kvfree(bench->held);
	bench->held = NULL;
	bench->held_count = 0;
	return 0;
}
