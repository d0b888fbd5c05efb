// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a GPU's driver does to a mapping engine, as a trace that a seed
 * repeats: buffers of single pages in clusters, and large ones that do not
 * live long. As in sparse.c the memory is RAM that is not allocated, at places
 * of the trace's choice: that a guest's memory is fragmented is the point.
 *
 * Of ten maps nine are of a single page. A cluster is 4 to 64 pages, naturally
 * aligned, as the buddy allocator splits blocks; it ends as a whole. Large
 * buffers have 64 KiB to 16 MiB; when they come to more than "large" bytes the
 * oldest end.
 *
 * With lists=1 the buffers are the same, and each is one scatter list with an
 * entry for each of its pages.
 */

#include <linux/bitmap.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "bench.h"

#define BENCH_GRANULE		16384
#define BENCH_LARGE_SHIFT	16
#define BENCH_TRIES		200000

/* A buffer: one mapping, one for each of its pages, or one list. */
struct bench_buffer {
	struct list_head list;
	u64 pfn;
	u64 bytes;
	unsigned int pages;		/* of a cluster; 0: a large buffer */
	struct sg_table table;		/* empty: @mappings single mappings */
	unsigned int mappings;
	dma_addr_t addr[];
};

struct bench_mix {
	struct bench_random random;
	unsigned long *used;		/* a bit for each granule */
	u64 granules;
	struct list_head singles, large;	/* the oldest first */
	u64 single_pages, large_bytes, mappings, bytes;
	bool lists;
	u64 buffers, maps, unmaps, failures, live_at_first_failure;
	u64 bytes_at_first_failure, peak_mappings, peak_bytes;
	u64 debt;			/* single pages, for each 9 a large buffer is due */
};

/* The list of a buffer: an entry for each page. */
static int bench_make_list(struct bench_buffer *buffer)
{
	struct scatterlist *sg;
	unsigned int i;
	int err;

	err = sg_alloc_table(&buffer->table, PHYS_PFN(buffer->bytes),
			     GFP_KERNEL);
	if (err)
		return err;
	for_each_sgtable_sg(&buffer->table, sg, i)
		sg_set_page(sg, pfn_to_page(buffer->pfn + i), PAGE_SIZE, 0);
	return 0;
}

/* A place for a buffer of @pages single pages, or if 0 for a large one. */
static struct bench_buffer *bench_place(struct bench_mix *mix, u64 bytes,
					u64 align, unsigned int pages)
{
	unsigned int mappings = mix->lists || !pages ? 1 : pages, tries;
	u64 count = DIV_ROUND_UP(bytes, BENCH_GRANULE), at;
	struct bench_buffer *buffer;

	for (tries = 0; tries < BENCH_TRIES; tries++) {
		at = bench_below(&mix->random, mix->granules);
		at = ALIGN_DOWN(at, align / BENCH_GRANULE);
		if (at + count <= mix->granules &&
		    find_next_bit(mix->used, at + count, at) >= at + count)
			break;
	}
	if (tries == BENCH_TRIES)
		return NULL;
	buffer = kvzalloc(struct_size(buffer, addr, mappings), GFP_KERNEL);
	if (!buffer)
		return NULL;
	buffer->pfn = at * (BENCH_GRANULE / PAGE_SIZE);
	buffer->bytes = bytes;
	buffer->pages = pages;
	buffer->mappings = mappings;
	if (mix->lists && bench_make_list(buffer)) {
		kvfree(buffer);
		return NULL;
	}
	mix->buffers++;
	bitmap_set(mix->used, at, count);
	return buffer;
}

/* Make mapping @i of a buffer; its address, or DMA_MAPPING_ERROR. */
static dma_addr_t bench_map_one(struct bench *bench,
				struct bench_buffer *buffer, unsigned int i)
{
	u64 size = buffer->bytes / buffer->mappings;

	if (!bench->mix->lists)
		return dma_map_page_attrs(bench->dev,
					  pfn_to_page(buffer->pfn +
						      i * PHYS_PFN(size)),
					  0, size, BENCH_DIR, BENCH_FOREIGN);
	if (dma_map_sgtable(bench->dev, &buffer->table, BENCH_DIR,
			    BENCH_FOREIGN))
		return DMA_MAPPING_ERROR;
	return sg_dma_address(buffer->table.sgl);
}

static void bench_unmap_one(struct bench *bench, struct bench_buffer *buffer,
			    unsigned int i)
{
	if (bench->mix->lists)
		dma_unmap_sgtable(bench->dev, &buffer->table, BENCH_DIR,
				  BENCH_FOREIGN);
	else
		dma_unmap_page_attrs(bench->dev, buffer->addr[i],
				     buffer->bytes / buffer->mappings,
				     BENCH_DIR, BENCH_FOREIGN);
}

static void bench_map_buffer(struct bench *bench, struct bench_buffer *buffer)
{
	u64 size = buffer->bytes / buffer->mappings;
	struct bench_mix *mix = bench->mix;
	unsigned int i;

	for (i = 0; i < buffer->mappings; i++) {
		buffer->addr[i] = bench_map_one(bench, buffer, i);
		mix->maps++;
		if (!dma_mapping_error(bench->dev, buffer->addr[i])) {
			mix->mappings++;
			mix->bytes += size;
			continue;
		}
		if (!mix->failures++) {
			mix->live_at_first_failure = mix->mappings;
			mix->bytes_at_first_failure = mix->bytes;
		}
	}
	mix->peak_mappings = max(mix->peak_mappings, mix->mappings);
	mix->peak_bytes = max(mix->peak_bytes, mix->bytes);
}

static void bench_end_buffer(struct bench *bench, struct bench_buffer *buffer)
{
	u64 size = buffer->bytes / buffer->mappings;
	struct bench_mix *mix = bench->mix;
	unsigned int i;

	for (i = 0; i < buffer->mappings; i++) {
		if (dma_mapping_error(bench->dev, buffer->addr[i]))
			continue;
		bench_unmap_one(bench, buffer, i);
		mix->unmaps++;
		mix->mappings--;
		mix->bytes -= size;
	}
	bitmap_clear(mix->used, buffer->pfn / (BENCH_GRANULE / PAGE_SIZE),
		     DIV_ROUND_UP(buffer->bytes, BENCH_GRANULE));
	mix->single_pages -= buffer->pages;
	if (!buffer->pages)
		mix->large_bytes -= buffer->bytes;
	if (mix->lists)
		sg_free_table(&buffer->table);
	list_del(&buffer->list);
	kvfree(buffer);
	cond_resched();
}

static int bench_add_cluster(struct bench *bench)
{
	struct bench_mix *mix = bench->mix;
	u64 pages = 4ULL << bench_below(&mix->random, 5);
	struct bench_buffer *buffer = bench_place(mix, pages * PAGE_SIZE,
						  pages * PAGE_SIZE, pages);

	if (!buffer)
		return -ENOSPC;
	list_add_tail(&buffer->list, &mix->singles);
	mix->single_pages += pages;
	mix->debt += pages;
	bench_map_buffer(bench, buffer);
	return 0;
}

static int bench_add_large(struct bench *bench, u64 limit)
{
	struct bench_mix *mix = bench->mix;
	u64 least = 1ULL << (BENCH_LARGE_SHIFT + bench_below(&mix->random, 8));
	u64 unit = 1ULL << BENCH_LARGE_SHIFT;
	u64 bytes = least + unit * bench_below(&mix->random,
						least / unit + 1);
	struct bench_buffer *buffer;

	while (mix->large_bytes + bytes > limit && !list_empty(&mix->large))
		bench_end_buffer(bench, list_first_entry(&mix->large,
							 struct bench_buffer,
							 list));
	buffer = bench_place(mix, bytes, unit, 0);
	if (!buffer)
		return -ENOSPC;
	list_add_tail(&buffer->list, &mix->large);
	mix->large_bytes += bytes;
	bench_map_buffer(bench, buffer);
	return 0;
}

static int bench_mix_start(struct bench *bench)
{
	struct bench_mix *mix = kzalloc(sizeof(*mix), GFP_KERNEL);

	if (!mix)
		return -ENOMEM;
	mix->random.state = bench_number(bench, "seed", 1);
	mix->lists = bench_number(bench, "lists", 0);
	INIT_LIST_HEAD(&mix->singles);
	INIT_LIST_HEAD(&mix->large);
	mix->granules = bench_end_pfn() / (BENCH_GRANULE / PAGE_SIZE);
	mix->used = bench_ram_map(mix->granules, BENCH_GRANULE);
	if (!mix->used) {
		kfree(mix);
		return -ENOMEM;
	}
	bench->mix = mix;
	return 0;
}

/*
 * grow [pages=199900] [large=300M] [stop=1000] [seed=1] [lists=0]
 *
 * Map until @pages single pages are live, with large buffers beside them, or
 * until @stop maps have failed. The first one of a trace says whether the
 * buffers are @lists.
 */
int bench_grow(struct bench *bench)
{
	u64 pages = bench_number(bench, "pages", 199900);
	u64 limit = bench_number(bench, "large", 300 << 20);
	u64 stop = bench_number(bench, "stop", 1000);
	int err = bench->mix ? 0 : bench_mix_start(bench);
	struct bench_mix *mix = bench->mix;

	while (!err && mix->single_pages < pages && mix->failures < stop) {
		err = bench_add_cluster(bench);
		for (; !err && mix->debt >= 9; mix->debt -= 9)
			err = bench_add_large(bench, limit);
		cond_resched();
	}
	if (err)
		return err;
	bench_say(bench, "live %llu\nlive_bytes %llu\nmaps %llu\nunmaps %llu\n",
		  mix->mappings, mix->bytes, mix->maps, mix->unmaps);
	bench_say(bench, "buffers %llu\n", mix->buffers);
	bench_say(bench, "peak %llu\npeak_bytes %llu\nfailures %llu\n",
		  mix->peak_mappings, mix->peak_bytes, mix->failures);
	if (mix->failures)
		bench_say(bench, "first_failure %llu\nfirst_failure_bytes %llu\n",
			  mix->live_at_first_failure,
			  mix->bytes_at_first_failure);
	return 0;
}

/*
 * shrink [percent=50]
 *
 * End so many of the clusters, at random, and all large buffers. With 100 the
 * trace is over.
 */
int bench_shrink(struct bench *bench)
{
	u64 percent = bench_number(bench, "percent", 50);
	struct bench_mix *mix = bench->mix;
	struct bench_buffer *buffer, *next;

	if (!mix)
		return 0;
	list_for_each_entry_safe(buffer, next, &mix->large, list)
		bench_end_buffer(bench, buffer);
	list_for_each_entry_safe(buffer, next, &mix->singles, list)
		if (bench_below(&mix->random, 100) < percent)
			bench_end_buffer(bench, buffer);
	if (percent >= 100) {
		bitmap_free(mix->used);
		kfree(mix);
		bench->mix = NULL;
	}
	return 0;
}
