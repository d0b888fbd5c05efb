/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The free space of a DART: extents of IOVA pages, and the policies that take
 * from them. Pages are counted in page numbers, not in bytes.
 */
#ifndef APPLE_DMA_SPACE_H
#define APPLE_DMA_SPACE_H

#include "dart.h"
#include "lib/tree.h"

/** struct space_range - @count pages from @page on */
struct space_range {
	uint64_t page;
	uint64_t count;
};

struct space {
	enum dart_policy policy;
	uint64_t first;			/* lowest page */
	uint64_t end;			/* page after the highest */
	uint64_t cursor;		/* where the last one ended */
	uint64_t random;		/* state of the generator */
	struct tree extents;
	struct space_range freed[DART_QUARANTINE];	/* a ring, oldest first */
	unsigned int freed_head;
	unsigned int freed_count;
};

/** space_init() - all free; false when there is no memory */
bool space_init(struct space *space, const struct dart_config *config);

/** space_fini() - give the memory back; also after a failed space_init() */
void space_fini(struct space *space);

/**
 * space_take() - find and take @count pages, the first not one of @avoid
 * @taken: set to the range to give back, which may have a guard page at its
 *	end; the pages asked for are the first @count of it
 * Return: DART_OK, DART_NO_SPACE or DART_NO_MEMORY.
 */
enum dart_status space_take(struct space *space, uint64_t count, const uint64_t avoid[2],
			    struct space_range *taken);

/**
 * space_cut() - take the free pages of one range
 * Return: DART_OK or DART_NO_MEMORY.
 */
enum dart_status space_cut(struct space *space, uint64_t page, uint64_t count);

/**
 * space_give() - free what space_take() took: used again late, by DART_REUSE first,
 * by DART_ALIGNED and those behind it like any free range
 */
void space_give(struct space *space, struct space_range taken);

#endif
