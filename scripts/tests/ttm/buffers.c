// SPDX-License-Identifier: GPL-2.0-only
/* Buffers: their memory, their addresses, their data. */

#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "ttm.h"

#define MOST_FAILURES	16
#define LAST		(PAGE_SIZE / sizeof(u64) - 1)	/* the second stamp of a page */

static u32 below(struct device_state *state, u32 limit)
{
	return prandom_u32_state(&state->random) % limit;
}

/* ---- memory and addresses ---- */

/*
 * ttm_tt_init() and ttm_sg_tt_init() read the size and the foreign pages of an
 * object, so it need not be more than that.
 */
static int init_tt(struct device_state *state, struct ttm_tt *tt, u64 size)
{
	struct ttm_buffer_object *bo = kzalloc(sizeof(*bo), GFP_KERNEL);
	int err;

	if (!bo)
		return -ENOMEM;
	bo->base.size = size;
	if (state->how == HOW_LIST)
		err = ttm_tt_init(tt, bo, 0, state->caching, 0);
	else
		err = ttm_sg_tt_init(tt, bo, 0, state->caching);
	kfree(bo);
	return err;
}

static int map_list(struct device_state *state, struct buffer *buffer)
{
	const size_t longest = min_t(size_t, UINT_MAX, dma_max_mapping_size(state->dev));
	struct ttm_tt *tt = &buffer->tt;
	int err;

	err = sg_alloc_table_from_pages_segment(&buffer->sgt, tt->pages, tt->num_pages, 0,
						(u64)tt->num_pages << PAGE_SHIFT,
						round_down(longest, PAGE_SIZE), GFP_KERNEL);
	if (err)
		return err;
	err = dma_map_sgtable(state->dev, &buffer->sgt, DMA_BIDIRECTIONAL, DMA_ATTR_SKIP_CPU_SYNC);
	if (err)
		sg_free_table(&buffer->sgt);
	return err;
}

static struct buffer *make_buffer(struct device_state *state, u64 size)
{
	struct ttm_operation_ctx ctx = { .interruptible = false, .no_wait_gpu = false };
	struct buffer *buffer = kzalloc(sizeof(*buffer), GFP_KERNEL);

	if (!buffer)
		return NULL;
	if (init_tt(state, &buffer->tt, size))
		goto free;
	if (ttm_pool_alloc(&state->bdev.pool, &buffer->tt, &ctx))
		goto fini;
	if (state->how == HOW_LIST && map_list(state, buffer))
		goto free_pages;
	buffer->serial = ++state->serial;
	state->bytes += size;
	state->count++;
	list_add(&buffer->list, &state->buffers);
	return buffer;

free_pages:
	ttm_pool_free(&state->bdev.pool, &buffer->tt);
fini:
	ttm_tt_fini(&buffer->tt);
free:
	kfree(buffer);
	return NULL;
}

static void free_buffer(struct device_state *state, struct buffer *buffer)
{
	if (state->how == HOW_LIST) {
		dma_unmap_sgtable(state->dev, &buffer->sgt, DMA_BIDIRECTIONAL,
				  DMA_ATTR_SKIP_CPU_SYNC);
		sg_free_table(&buffer->sgt);
	}
	state->bytes -= (u64)buffer->tt.num_pages << PAGE_SHIFT;
	state->count--;
	list_del(&buffer->list);
	ttm_pool_free(&state->bdev.pool, &buffer->tt);
	ttm_tt_fini(&buffer->tt);
	kfree(buffer);
}

/* ---- extents ---- */

typedef int (*extent_fn)(struct device_state *state, struct buffer *buffer,
			 const struct extent *extent, void *data);

static int each_of_list(struct device_state *state, struct buffer *buffer, extent_fn fn,
			void *data)
{
	struct extent extent = { };
	struct scatterlist *sg;
	unsigned int i;
	int err = 0;

	CHECK(buffer->sgt.nents == buffer->sgt.orig_nents);
	for_each_sgtable_dma_sg(&buffer->sgt, sg, i) {
		CHECK(sg_dma_len(sg) == sg->length);
		extent.first += extent.pages;
		extent.pages = sg->length >> PAGE_SHIFT;
		extent.phys = sg_phys(sg);
		extent.bus = sg_dma_address(sg);
		err = fn(state, buffer, &extent, data);
		if (err)
			break;
	}
	return err;
}

static bool goes_on(const struct ttm_tt *tt, const struct extent *extent)
{
	const unsigned int next = extent->first + extent->pages;
	const u64 length = (u64)extent->pages << PAGE_SHIFT;

	return next < tt->num_pages && page_to_phys(tt->pages[next]) == extent->phys + length &&
	       tt->dma_address[next] == extent->bus + length;
}

static int each_of_pages(struct device_state *state, struct buffer *buffer, extent_fn fn,
			 void *data)
{
	const struct ttm_tt *tt = &buffer->tt;
	struct extent extent = { };
	int err = 0;

	while (!err && extent.first < tt->num_pages) {
		extent.phys = page_to_phys(tt->pages[extent.first]);
		extent.bus = tt->dma_address[extent.first];
		extent.pages = 1;
		while (goes_on(tt, &extent))
			extent.pages++;
		err = fn(state, buffer, &extent, data);
		extent.first += extent.pages;
	}
	return err;
}

static int each_extent(struct device_state *state, extent_fn fn, void *data)
{
	struct buffer *buffer;
	int err = 0;

	list_for_each_entry(buffer, &state->buffers, list) {
		if (state->how == HOW_LIST)
			err = each_of_list(state, buffer, fn, data);
		else
			err = each_of_pages(state, buffer, fn, data);
		if (err)
			break;
		cond_resched();
	}
	return err;
}

/* ---- how they are mapped ---- */

struct tally {
	unsigned long *granules;
	u64 extents;
	u64 exact;		/* granules with a live page */
	u64 blocks[2];		/* naturally aligned ones in memory */
	u64 aligned[2];		/* of these, for the device, too */
};

/* How many granules there are up to the last one with a page. */
static int find_last(struct device_state *state, struct buffer *buffer,
		     const struct extent *extent, void *data)
{
	const u64 end = extent->phys + ((u64)extent->pages << PAGE_SHIFT);
	u64 *granules = data;

	*granules = max(*granules, ((end - 1) >> GRANULE_SHIFT) + 1);
	return 0;
}

static int count_extent(struct device_state *state, struct buffer *buffer,
			const struct extent *extent, void *data)
{
	static const u64 sizes[] = { SZ_64K, SZ_2M };
	const phys_addr_t end = extent->phys + ((u64)extent->pages << PAGE_SHIFT);
	struct tally *tally = data;
	unsigned int i;
	u64 at;

	tally->extents++;
	for (at = extent->phys >> GRANULE_SHIFT; at <= (end - 1) >> GRANULE_SHIFT; at++)
		tally->exact += !__test_and_set_bit(at, tally->granules);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		const u64 from = round_up(extent->phys, sizes[i]), to = round_down(end, sizes[i]);
		const u64 blocks = to > from ? (to - from) / sizes[i] : 0;

		tally->blocks[i] += blocks;
		if (IS_ALIGNED(extent->bus - extent->phys, sizes[i]))
			tally->aligned[i] += blocks;
	}
	return 0;
}

int buffers_tell(struct device_state *state)
{
	struct tally tally = { };
	u64 granules = 1;
	int err;

	err = each_extent(state, find_last, &granules);
	if (err)
		return err;
	tally.granules = vzalloc(BITS_TO_LONGS(granules) * sizeof(long));
	if (!tally.granules)
		return -ENOMEM;
	err = each_extent(state, count_extent, &tally);
	tell("buffers=%u", state->count);
	tell("made=%u", state->serial);
	tell("bytes=%llu", state->bytes);
	tell("exact_bytes=%llu", tally.exact << GRANULE_SHIFT);
	tell("segments=%llu", tally.extents);
	tell("blocks_64k=%llu", tally.blocks[0]);
	tell("aligned_64k=%llu", tally.aligned[0]);
	tell("blocks_2m=%llu", tally.blocks[1]);
	tell("aligned_2m=%llu", tally.aligned[1]);
	vfree(tally.granules);
	return err;
}

/* ---- data ---- */

static u64 stamp(const struct buffer *buffer, unsigned int page)
{
	return (u64)buffer->serial << 32 | page;
}

static void put_stamps(const struct buffer *buffer, unsigned int first, unsigned int pages)
{
	unsigned int i;

	for (i = first; i < first + pages; i++) {
		u64 *p = page_address(buffer->tt.pages[i]);

		p[0] = stamp(buffer, i);
		p[LAST] = ~stamp(buffer, i);
	}
}

/* Both are inverted if @inverted. */
static int check_stamps(const struct buffer *buffer, unsigned int first, unsigned int pages,
			bool inverted)
{
	const u64 flip = inverted ? ~0ULL : 0;
	unsigned int i;

	for (i = first; i < first + pages; i++) {
		const u64 *p = page_address(buffer->tt.pages[i]);

		CHECK(p[0] == (stamp(buffer, i) ^ flip));
		CHECK(p[LAST] == (~stamp(buffer, i) ^ flip));
	}
	return 0;
}

/* What the device has read is right; it is inverted. */
static int turn_window(struct device_state *state, const struct buffer *buffer,
		       unsigned int first, unsigned int pages)
{
	unsigned int i;

	for (i = 0; i < pages; i++) {
		void __iomem *p = state->window + i * PAGE_SIZE;

		CHECK(readq(p) == stamp(buffer, first + i));
		CHECK(readq(p + LAST * sizeof(u64)) == ~stamp(buffer, first + i));
		writeq(~stamp(buffer, first + i), p);
		writeq(stamp(buffer, first + i), p + LAST * sizeof(u64));
	}
	return 0;
}

struct checking {
	u64 seen;
	u64 copied;
	u64 pages;
	u64 step;
};

static int copy_extent(struct device_state *state, struct buffer *buffer,
		       const struct extent *extent, void *data)
{
	struct checking *checking = data;
	unsigned int done, pages;
	int err = 0;

	if (checking->seen++ % checking->step)
		return 0;
	for (done = 0; !err && done < extent->pages; done += pages) {
		const dma_addr_t bus = extent->bus + ((u64)done << PAGE_SHIFT);
		const unsigned int first = extent->first + done;
		u32 length;

		pages = min_t(unsigned int, extent->pages - done, ENGINE_BUFFER >> PAGE_SHIFT);
		length = pages << PAGE_SHIFT;
		err = engine_copy(state, bus, length, false) ?:
		      turn_window(state, buffer, first, pages) ?:
		      engine_copy(state, bus, length, true) ?:
		      check_stamps(buffer, first, pages, true);
		put_stamps(buffer, first, pages);
		cond_resched();
	}
	checking->copied++;
	checking->pages += extent->pages;
	return err;
}

static int count_only(struct device_state *state, struct buffer *buffer,
		      const struct extent *extent, void *data)
{
	(*(u64 *)data)++;
	return 0;
}

int buffers_check(struct device_state *state, unsigned int most)
{
	struct checking checking = { };
	struct buffer *buffer;
	u64 extents = 0;
	int err;

	err = each_extent(state, count_only, &extents);
	if (err)
		return err;
	checking.step = max(1ULL, DIV_ROUND_UP_ULL(extents, max(most, 1U)));
	err = each_extent(state, copy_extent, &checking);
	list_for_each_entry(buffer, &state->buffers, list) {
		err = err ?: check_stamps(buffer, 0, buffer->tt.num_pages, false);
		cond_resched();
	}
	tell("copied=%llu", checking.copied);
	tell("copied_bytes=%llu", checking.pages << PAGE_SHIFT);
	return err;
}

/* ---- many of them ---- */

/* Small ones are as many as large ones, so most bytes are in large ones. */
static u64 some_size(struct device_state *state, unsigned int largest)
{
	const unsigned int orders = ilog2(largest) + 20 - PAGE_SHIFT;
	const u32 pages = 1U << below(state, orders);

	return (u64)(pages + below(state, pages + 1)) << PAGE_SHIFT;
}

int buffers_fill(struct device_state *state, unsigned int mib, unsigned int largest)
{
	const u64 wanted = (u64)mib << 20;
	unsigned int failures = 0;

	while (state->bytes < wanted && failures < MOST_FAILURES) {
		const u64 size = min(some_size(state, largest), wanted - state->bytes);
		struct buffer *buffer = make_buffer(state, size);

		if (buffer)
			put_stamps(buffer, 0, buffer->tt.num_pages);
		else
			tell("failed: %llu KiB with %llu MiB live", size >> 10, state->bytes >> 20);
		failures += !buffer;
		cond_resched();
	}
	tell("failures=%u", failures);
	return 0;
}

void buffers_free(struct device_state *state, unsigned int percent)
{
	struct buffer *buffer, *next;

	list_for_each_entry_safe(buffer, next, &state->buffers, list) {
		if (below(state, 100) < percent)
			free_buffer(state, buffer);
		cond_resched();
	}
}
