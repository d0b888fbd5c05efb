/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory as drivers of GPUs use it: many chunks of the page allocator, which stay
 * mapped while the device works.
 */
#ifndef APPLE_DMA_TEST_MEMORY_H
#define APPLE_DMA_TEST_MEMORY_H

#include <linux/scatterlist.h>
#include <linux/types.h>

struct device;
struct engine;

/**
 * struct memory - chunks of one size
 * @chunk: bytes of each, a power of two
 * @count: how many
 * @blocks: the first page of each
 */
struct memory {
	size_t chunk;
	unsigned int count;
	struct page **blocks;
};

/**
 * struct extent - a part of the memory that is contiguous for the device
 * @bus: device address
 * @length: bytes
 * @at: offset in the memory
 */
struct extent {
	dma_addr_t bus;
	u32 length;
	u64 at;
};

/**
 * struct extents - where the device finds the memory
 * @list: in the order of the memory
 * @count: of @list
 * @limit: room in @list
 * @bytes: their sum
 * @chunk: bytes of a chunk of the memory
 * @start: device address of the last chunk
 * @whole: chunks that are contiguous for the device
 * @aligned: those of them whose device address is aligned to their size
 */
struct extents {
	struct extent *list;
	unsigned int count;
	unsigned int limit;
	u64 bytes;
	size_t chunk;
	dma_addr_t start;
	unsigned int whole;
	unsigned int aligned;
};

/** memory_bytes() - all of them */
static inline u64 memory_bytes(const struct memory *m)
{
	return (u64)m->chunk * m->count;
}

/** memory_alloc() - @bytes in chunks of @chunk bytes, near @dev; 0 or -ENOMEM */
int memory_alloc(struct device *dev, struct memory *m, size_t chunk, u64 bytes);

/** memory_free() - it must not be mapped any more; nothing happens to what is all 0 */
void memory_free(struct memory *m);

/**
 * memory_fill() - write a pattern
 * @m: the memory
 * @seed: makes the pattern
 *
 * Of very much memory only some is filled, and then checked and transferred.
 */
void memory_fill(const struct memory *m, u64 seed);

/** memory_check() - is the pattern there? 0 or -EINVAL */
int memory_check(const struct memory *m, u64 seed);

/** memory_list() - one entry for each page; 0 or -ENOMEM */
int memory_list(const struct memory *m, struct sg_table *sgt);

/** memory_table() - one entry for all pages that are adjacent; 0 or -ENOMEM */
int memory_table(const struct memory *m, struct sg_table *sgt);

/** extents_init() - for memory in chunks of @chunk bytes; 0 or -ENOMEM */
int extents_init(struct extents *x, size_t chunk, u64 bytes);

/** extents_free() - undo extents_init() */
void extents_free(struct extents *x);

/** extents_add() - the device finds the next @length bytes of the memory at @bus */
void extents_add(struct extents *x, dma_addr_t bus, u64 length);

/** extents_add_table() - add all mapped entries of @sgt; looks at no page */
void extents_add_table(struct extents *x, const struct sg_table *sgt);

/** extents_tell() - log the numbers of chunks and extents */
void extents_tell(const struct extents *x);

/** engine_read_extents() - the device reads the memory; it must read the pattern of @seed */
int engine_read_extents(struct engine *engine, const struct extents *x, u64 seed);

/** engine_write_extents() - the device writes the pattern of @seed to the memory */
int engine_write_extents(struct engine *engine, const struct extents *x, u64 seed);

/*
 * Cases. The memory that the first three map stays mapped until engine_drop(), which a
 * case and the driver's remove call.
 */
int engine_chunks(struct engine *engine, unsigned int kib, unsigned int mib);
int engine_pages(struct engine *engine, unsigned int kib, unsigned int mib);
int engine_table(struct engine *engine, unsigned int kib, unsigned int mib);
int engine_refused(struct engine *engine, unsigned int kib, unsigned int mib);
int engine_again(struct engine *engine, unsigned int rounds, unsigned int unused);
int engine_reach(struct engine *engine, unsigned int bits, unsigned int mib);
int engine_peer(struct engine *engine, unsigned int times, unsigned int unused);
int engine_drop(struct engine *engine, unsigned int unused, unsigned int unused_too);

/*
 * The same for a dma-buf: one device's driver exports it, others import it. The pattern
 * of seed 1 is in it at first.
 */
int engine_export(struct engine *engine, unsigned int kib, unsigned int mib);
int engine_verify(struct engine *engine, unsigned int seed, unsigned int unused);
int engine_unexport(struct engine *engine, unsigned int unused, unsigned int unused_too);
int engine_import(struct engine *engine, unsigned int expected, unsigned int written);
int engine_detach(struct engine *engine, unsigned int unused, unsigned int unused_too);

#endif
