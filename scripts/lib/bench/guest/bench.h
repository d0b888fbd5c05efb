/* SPDX-License-Identifier: GPL-2.0-only */
/* What the files of the benchmark's guest module share. */
#ifndef BENCH_H
#define BENCH_H

#include <linux/dma-mapping.h>
#include <linux/random.h>
#include <linux/types.h>

/**
 * struct bench - one bound device and the command it carries out
 * @dev: the device that mappings are made for
 * @arguments: "key=value ..." of the command, or an empty string
 * @result: lines "name value", at most a page
 * @length: bytes in @result
 * @pages: what bench_keep_pages() made last, kept so that a command that comes
 *	again finds the same pages
 * @page_count: blocks in @pages
 * @page_order: pages in each, as a power of two
 * @held: what bench_sparse() maps and bench_release() ends
 * @held_count: mappings in @held
 * @mix: the trace that bench_grow() began and bench_shrink() ends
 *
 * Commands are serialised by the driver's mutex and run in the context of the
 * process that wrote them.
 */
struct bench {
	struct device *dev;
	const char *arguments;
	char *result;
	size_t length;
	struct page **pages;
	unsigned int page_count, page_order;
	struct bench_held *held;
	unsigned int held_count;
	struct bench_mix *mix;
};

struct bench_held {
	struct page *page;
	dma_addr_t addr;
};

#define BENCH_DIR	DMA_FROM_DEVICE
/* For pages that are not the benchmark's: nothing may touch their content. */
#define BENCH_FOREIGN	DMA_ATTR_SKIP_CPU_SYNC

/* The value of @key, with an optional K, M or G; @otherwise if it is not given. */
u64 bench_number(const struct bench *bench, const char *key, u64 otherwise);
bool bench_word(const struct bench *bench, const char *key, const char *value);
__printf(2, 3) void bench_say(struct bench *bench, const char *format, ...);

/* A generator of its own, so that a seed gives the same trace on every kernel. */
struct bench_random {
	u64 state;
};

u64 bench_random(struct bench_random *random);
static inline u64 bench_below(struct bench_random *random, u64 limit)
{
	return bench_random(random) % limit;
}

/* pages.c: memory, allocated or only pointed at */
int bench_keep_pages(struct bench *bench, unsigned int count,
		     unsigned int order);
void bench_drop_pages(struct bench *bench);
bool bench_is_ram(u64 pfn, u64 count);
u64 bench_end_pfn(void);
unsigned long *bench_ram_map(u64 units, u64 unit);

/* pairs.c */
int bench_pairs(struct bench *bench);
int bench_scale(struct bench *bench);
int bench_time_pages(struct bench *bench, struct page **pages,
		     unsigned int count, unsigned long attrs);
/* sparse.c */
int bench_sparse(struct bench *bench);
int bench_hits(struct bench *bench);
int bench_release(struct bench *bench);
/* mix.c */
int bench_grow(struct bench *bench);
int bench_shrink(struct bench *bench);

#endif
