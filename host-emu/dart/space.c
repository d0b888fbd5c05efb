// SPDX-License-Identifier: GPL-2.0
/* Free IOVA space and the placement policies. */
#include "space.h"

#include <stdlib.h>
#include <string.h>

#define HIGH_SHIFT	39	/* DART_HIGH starts above this address */
#define MIN_HOLES	4096
#define MAX_HOLES	(1U << 20)
#define HOLE_EVERY	12	/* pages; slightly more than a hole and its gap */

/* xorshift64*; the state is never zero. */
static uint64_t next_random(struct space *space)
{
	space->random ^= space->random >> 12;
	space->random ^= space->random << 25;
	space->random ^= space->random >> 27;
	return space->random * 0x2545f4914f6cdd1dULL;
}

static bool add_extent(struct space *space, uint64_t page, uint64_t count)
{
	struct tree_node *extent;

	if (!count)
		return true;
	extent = calloc(1, sizeof(*extent));
	if (!extent)
		return false;
	extent->key = page;
	extent->size = count;
	if (tree_insert(&space->extents, extent))
		return true;
	free(extent);
	return false;
}

static void drop_extent(struct space *space, struct tree_node *extent)
{
	tree_remove(&space->extents, extent);
	free(extent);
}

/*
 * Holes with used pages between them: a small one for each possible mapping, as
 * far as the space has room, and a few large ones. Next-fit placement of small
 * mappings uses up the large ones.
 */
static bool make_holes(struct space *space, uint32_t max_entries)
{
	const uint64_t largest = DART_LARGEST_HOLE >> DART_PAGE_SHIFT;
	const uint64_t room = (space->end - space->first) / HOLE_EVERY;
	uint64_t page = space->first, size, holes;

	holes = 2 * (uint64_t)max_entries;
	holes = holes < MIN_HOLES ? MIN_HOLES : holes > MAX_HOLES ? MAX_HOLES : holes;
	holes = holes < room ? holes : room;
	for (uint64_t i = 0; i < holes; i++) {
		if (i % (holes / 4) == holes / 8)
			size = largest;
		else if (i % 1024 == 512)
			size = 64;
		else if (i % 128 == 64)
			size = 16;
		else
			size = 1 + next_random(space) % 4;
		page += 1 + next_random(space) % 16;
		if (page >= space->end || space->end - page < size)
			break;
		if (!add_extent(space, page, size))
			return false;
		page += size;
	}
	return true;
}

bool space_init(struct space *space, const struct dart_config *config)
{
	const unsigned int bits = config->iova_bits;
	unsigned int low;

	memset(space, 0, sizeof(*space));
	space->policy = config->policy;
	space->random = config->seed * 0x9e3779b97f4a7c15ULL + 0xd1b54a32d192ed03ULL;
	if (!space->random)
		space->random = 1;
	next_random(space);

	low = bits > HIGH_SHIFT + 1 ? HIGH_SHIFT : bits - 1;
	space->first = config->policy == DART_RANDOM ? 1 : UINT64_C(1) << (low - DART_PAGE_SHIFT);
	/* Page 0 and the last page are never used: 0 and ~0 are not valid addresses. */
	space->end = (UINT64_C(1) << (bits - DART_PAGE_SHIFT)) - 1;
	space->cursor = space->first + next_random(space) % ((space->end - space->first) / 2);
	if (config->policy == DART_FRAGMENTED)
		return make_holes(space, config->max_entries);
	return add_extent(space, space->first, space->end - space->first);
}

void space_fini(struct space *space)
{
	while (space->extents.root)
		drop_extent(space, space->extents.root);
}

/* Find @count free pages at or after @from, or else anywhere. */
static bool find(struct space *space, uint64_t from, uint64_t count, uint64_t *page)
{
	struct tree_node *extent = tree_floor(&space->extents, from);

	if (extent && from - extent->key < extent->size &&
	    extent->size - (from - extent->key) >= count) {
		*page = from;
		return true;
	}
	extent = tree_fit(&space->extents, from, count);
	if (!extent)
		extent = tree_fit(&space->extents, 0, count);
	if (!extent)
		return false;
	*page = extent->key;
	return true;
}

/* The lowest place for @count pages, a power of two, that is aligned to it. */
static bool find_aligned(struct space *space, uint64_t count, const uint64_t avoid[2],
			 uint64_t *page)
{
	struct tree_node *extent = tree_fit(&space->extents, 0, count);

	for (; extent; extent = tree_fit(&space->extents, extent->key + 1, count))
		for (*page = (extent->key + count - 1) & ~(count - 1);
		     *page + count <= extent->key + extent->size; *page += count)
			if (*page != avoid[0] && *page != avoid[1])
				return true;
	return false;
}

static bool find_allowed(struct space *space, uint64_t count, const uint64_t avoid[2],
			 uint64_t *page)
{
	uint64_t from = space->cursor;

	if (space->policy == DART_ALIGNED)
		return find_aligned(space, count, avoid, page);
	if (space->policy == DART_FIRST_FIT)
		from = space->first;
	if (space->policy == DART_RANDOM)
		from = space->first + next_random(space) % (space->end - space->first);
	for (int tries = 0; tries < 3; tries++) {
		if (!find(space, from, count, page))
			return false;
		if (*page != avoid[0] && *page != avoid[1])
			return true;
		from = *page + 1;
	}
	return false;
}

enum dart_status space_cut(struct space *space, uint64_t page, uint64_t count)
{
	const uint64_t end = page + count;
	struct tree_node *extent;

	for (;;) {
		uint64_t key, extent_end;

		extent = tree_floor(&space->extents, end - 1);
		if (!extent || extent->key + extent->size <= page)
			return DART_OK;
		key = extent->key;
		extent_end = key + extent->size;
		drop_extent(space, extent);
		if (extent_end > end && !add_extent(space, end, extent_end - end))
			return DART_NO_MEMORY;
		if (key < page && !add_extent(space, key, page - key))
			return DART_NO_MEMORY;
	}
}

/* Return a range to the free extents and join it with its neighbours. */
static void release(struct space *space, struct space_range range)
{
	struct tree_node *extent;

	extent = tree_floor(&space->extents, range.page);
	if (extent && extent->key + extent->size == range.page) {
		range.page = extent->key;
		range.count += extent->size;
		drop_extent(space, extent);
	}
	extent = tree_find(&space->extents, range.page + range.count);
	if (extent) {
		range.count += extent->size;
		drop_extent(space, extent);
	}
	/* Without memory the pages are never used again, which is safe. */
	add_extent(space, range.page, range.count);
}

static bool release_oldest(struct space *space)
{
	if (!space->freed_count)
		return false;
	release(space, space->freed[space->freed_head]);
	space->freed_head = (space->freed_head + 1) % DART_QUARANTINE;
	space->freed_count--;
	return true;
}

static struct space_range *freed_at(struct space *space, unsigned int number)
{
	return &space->freed[(space->freed_head + number) % DART_QUARANTINE];
}

/* DART_REUSE: take from the newest freed range with @count pages; keep the rest of it. */
static bool take_freed(struct space *space, uint64_t count, const uint64_t avoid[2],
		       struct space_range *taken)
{
	unsigned int i = space->freed_count;

	while (i--) {
		struct space_range *range = freed_at(space, i);

		if (range->count < count || range->page == avoid[0] || range->page == avoid[1])
			continue;
		*taken = (struct space_range){ range->page, count };
		range->page += count;
		range->count -= count;
		if (range->count)
			return true;
		for (; i + 1 < space->freed_count; i++)
			*freed_at(space, i) = *freed_at(space, i + 1);
		space->freed_count--;
		return true;
	}
	return false;
}

enum dart_status space_take(struct space *space, uint64_t count, const uint64_t avoid[2],
			    struct space_range *taken)
{
	const bool tight = space->policy >= DART_FRAGMENTED;
	/* Leave a page free after each mapping, so that an access past its end faults. */
	const uint64_t guard = tight ? 0 : 1;
	enum dart_status status;

	if (space->policy == DART_ALIGNED)
		while (count & (count - 1))
			count += count & -count;
	if (space->policy == DART_REUSE && take_freed(space, count, avoid, taken))
		return DART_OK;
	for (;;) {
		taken->count = count + guard;
		if (find_allowed(space, taken->count, avoid, &taken->page))
			break;
		taken->count = count;
		if (find_allowed(space, taken->count, avoid, &taken->page))
			break;
		if (!release_oldest(space))
			return DART_NO_SPACE;
	}
	status = space_cut(space, taken->page, taken->count);
	if (status == DART_OK)
		space->cursor = taken->page + taken->count;
	return status;
}

void space_give(struct space *space, struct space_range taken)
{
	if (space->policy >= DART_ALIGNED) {
		release(space, taken);
		return;
	}
	if (space->freed_count == DART_QUARANTINE)
		release_oldest(space);
	*freed_at(space, space->freed_count) = taken;
	space->freed_count++;
}
