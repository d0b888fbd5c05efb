// SPDX-License-Identifier: GPL-2.0-only
/* Chunks of memory, their lists, and transfers between them and the device. */

#include <linux/io.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/slab.h>

#include "engine.h"
#include "memory.h"

/*
 * No extent crosses a multiple of this in the memory. Of memory that is larger than
 * MOST, only every nth unit has data.
 */
#define UNIT		((u64)2 << 20)
#define MOST		((u64)512 << 20)

#define MULTIPLIER	0x9e3779b97f4a7c15ULL

static bool has_data(u64 at, u64 bytes)
{
	return !(at / UNIT % DIV_ROUND_UP(bytes, MOST));
}

static u64 word(u64 at, u64 seed)
{
	return (at / 8 + 1) * MULTIPLIER ^ seed << 48;
}

static void fill(u64 *p, u64 at, size_t length, u64 seed)
{
	size_t i;

	for (i = 0; i < length; i += 8)
		*p++ = word(at + i, seed);
	cond_resched();
}

static int check(const u64 *p, u64 at, size_t length, u64 seed)
{
	size_t i;

	for (i = 0; i < length; i += 8, p++) {
		if (*p == word(at + i, seed))
			continue;
		complain("at %#llx: %#llx is not %#llx", at + i, *p, word(at + i, seed));
		return -EINVAL;
	}
	cond_resched();
	return 0;
}

/* ---- chunks ---- */

static u64 *memory_at(const struct memory *m, u64 at)
{
	return page_address(m->blocks[at / m->chunk]) + at % m->chunk;
}

int memory_alloc(struct device *dev, struct memory *m, size_t chunk, u64 bytes)
{
	const unsigned int wanted = bytes / chunk;

	*m = (struct memory){ .chunk = chunk };
	m->blocks = kvcalloc(wanted, sizeof(*m->blocks), GFP_KERNEL);
	if (!m->blocks)
		return -ENOMEM;
	for (; m->count < wanted; m->count++) {
		m->blocks[m->count] = alloc_pages_node(dev_to_node(dev), GFP_KERNEL | __GFP_NOWARN,
						       get_order(chunk));
		if (!m->blocks[m->count]) {
			complain("no more than %u chunks of %zu bytes", m->count, chunk);
			memory_free(m);
			return -ENOMEM;
		}
		cond_resched();
	}
	return 0;
}

void memory_free(struct memory *m)
{
	while (m->count)
		__free_pages(m->blocks[--m->count], get_order(m->chunk));
	kvfree(m->blocks);
	*m = (struct memory){ 0 };
}

void memory_fill(const struct memory *m, u64 seed)
{
	const u64 step = min_t(u64, m->chunk, UNIT), bytes = memory_bytes(m);
	u64 at;

	for (at = 0; at < bytes; at += step)
		if (has_data(at, bytes))
			fill(memory_at(m, at), at, step, seed);
}

int memory_check(const struct memory *m, u64 seed)
{
	const u64 step = min_t(u64, m->chunk, UNIT), bytes = memory_bytes(m);
	int err = 0;
	u64 at;

	for (at = 0; !err && at < bytes; at += step)
		if (has_data(at, bytes))
			err = check(memory_at(m, at), at, step, seed);
	return err;
}

/* ---- lists ---- */

static size_t piece(const struct memory *m)
{
	return min_t(size_t, m->chunk, PAGE_SIZE);
}

static struct page *page_at(const struct memory *m, unsigned int number)
{
	const unsigned int each = m->chunk / piece(m);

	return m->blocks[number / each] + number % each;
}

static unsigned int pages(const struct memory *m)
{
	return memory_bytes(m) / piece(m);
}

int memory_list(const struct memory *m, struct sg_table *sgt)
{
	struct scatterlist *sg;
	unsigned int i;

	if (sg_alloc_table(sgt, pages(m), GFP_KERNEL))
		return -ENOMEM;
	for_each_sgtable_sg(sgt, sg, i)
		sg_set_page(sg, page_at(m, i), piece(m), 0);
	return 0;
}

int memory_table(const struct memory *m, struct sg_table *sgt)
{
	struct page **all = kvcalloc(pages(m), sizeof(*all), GFP_KERNEL);
	unsigned int i;
	int err;

	if (!all)
		return -ENOMEM;
	for (i = 0; i < pages(m); i++)
		all[i] = page_at(m, i);
	err = sg_alloc_table_from_pages(sgt, all, pages(m), 0, memory_bytes(m), GFP_KERNEL);
	kvfree(all);
	return err;
}

/* ---- extents ---- */

int extents_init(struct extents *x, size_t chunk, u64 bytes)
{
	*x = (struct extents){ .chunk = chunk };
	x->limit = bytes / min_t(u64, chunk, PAGE_SIZE);
	x->list = kvcalloc(x->limit, sizeof(*x->list), GFP_KERNEL);
	return x->list ? 0 : -ENOMEM;
}

void extents_free(struct extents *x)
{
	kvfree(x->list);
	*x = (struct extents){ 0 };
}

/* A piece of @length bytes, which crosses no end of a chunk. */
static void count_chunk(struct extents *x, dma_addr_t bus, u32 length)
{
	const u64 inside = x->bytes % x->chunk;

	if (!inside)
		x->start = bus;
	else if (bus != x->start + inside)
		x->start = DMA_MAPPING_ERROR;
	if (inside + length < x->chunk || x->start == DMA_MAPPING_ERROR)
		return;
	x->whole++;
	x->aligned += IS_ALIGNED(x->start, x->chunk);
}

void extents_add(struct extents *x, dma_addr_t bus, u64 length)
{
	for (; length; cond_resched()) {
		struct extent *last = x->count ? &x->list[x->count - 1] : NULL;
		u32 part = min_t(u64, length, min_t(u64, x->chunk, PAGE_SIZE));

		count_chunk(x, bus, part);
		if (last && last->bus + last->length == bus && x->bytes % UNIT) {
			last->length += part;
		} else {
			if (WARN_ON(x->count == x->limit))
				return;
			x->list[x->count++] = (struct extent){
				.bus = bus, .length = part, .at = x->bytes,
			};
		}
		x->bytes += part;
		bus += part;
		length -= part;
	}
}

void extents_add_table(struct extents *x, const struct sg_table *sgt)
{
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_dma_sg(sgt, sg, i)
		extents_add(x, sg_dma_address(sg), sg_dma_len(sg));
}

void extents_tell(const struct extents *x)
{
	tell("bytes=%llu", x->bytes);
	tell("chunks=%llu", x->bytes / x->chunk);
	tell("extents=%u", x->count);
	tell("whole_chunks=%u", x->whole);
	tell("aligned_chunks=%u", x->aligned);
}

/* ---- transfers ---- */

/* The beginning of the shadow has what the beginning of the device's buffer has. */
static int transfer(struct engine *engine, const struct extent *extent, bool to_bus)
{
	const struct engine_transfer t = {
		.bus = extent->bus, .length = extent->length, .to_bus = to_bus,
	};

	return engine_transfer(engine, &t);
}

int engine_read_extents(struct engine *engine, const struct extents *x, u64 seed)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < x->count; i++) {
		const struct extent *extent = &x->list[i];

		if (!has_data(extent->at, x->bytes))
			continue;
		err = transfer(engine, extent, false);
		if (err)
			break;
		memcpy_fromio(engine->shadow, engine->buffer, extent->length);
		err = check((u64 *)engine->shadow, extent->at, extent->length, seed);
	}
	return err;
}

int engine_write_extents(struct engine *engine, const struct extents *x, u64 seed)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < x->count; i++) {
		const struct extent *extent = &x->list[i];

		if (!has_data(extent->at, x->bytes))
			continue;
		fill((u64 *)engine->shadow, extent->at, extent->length, seed);
		memcpy_toio(engine->buffer, engine->shadow, extent->length);
		err = transfer(engine, extent, true);
	}
	return err;
}
