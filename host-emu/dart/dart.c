// SPDX-License-Identifier: GPL-2.0
/* The DART: mappings, limits, translation, fault counters. */
#include "dart.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "space.h"

struct mapping {
	struct tree_node node;		/* IOVA pages; first */
	struct space_range taken;	/* of the space, for its end */
	uint64_t va_page;
	void *owner;			/* of the addresses; not used here */
	bool *stale;			/* of each page, or NULL */
};

struct dart {
	pthread_mutex_t lock;		/* everything below */
	struct dart_config config;
	struct tree mappings;
	struct space space;
	struct dart_usage usage;
};

static const char *const policy_names[DART_POLICIES] = {
	[DART_HIGH] = "high",
	[DART_RANDOM] = "random",
	[DART_FRAGMENTED] = "fragmented",
	[DART_REUSE] = "reuse",
	[DART_ALIGNED] = "aligned",
	[DART_FIRST_FIT] = "first-fit",
	[DART_SEQUENTIAL] = "sequential",
};

const struct names dart_policies = NAMES(policy_names);

struct dart *dart_create(const struct dart_config *config)
{
	struct dart *dart;

	if (config->iova_bits < DART_MIN_IOVA_BITS || config->iova_bits > DART_MAX_IOVA_BITS)
		return NULL;
	dart = calloc(1, sizeof(*dart));
	if (!dart)
		return NULL;
	dart->config = *config;
	pthread_mutex_init(&dart->lock, NULL);
	if (!space_init(&dart->space, config)) {
		dart_destroy(dart);
		return NULL;
	}
	return dart;
}

static bool pool_take(struct dart_pool *pool, uint64_t pages)
{
	bool fits;

	if (!pool)
		return true;
	pthread_mutex_lock(&pool->lock);
	fits = pages <= (pool->max_bytes - pool->bytes) >> DART_PAGE_SHIFT;
	if (fits)
		pool->bytes += pages << DART_PAGE_SHIFT;
	if (pool->peak < pool->bytes)
		pool->peak = pool->bytes;
	pthread_mutex_unlock(&pool->lock);
	return fits;
}

static void pool_give(struct dart_pool *pool, uint64_t pages)
{
	if (!pool)
		return;
	pthread_mutex_lock(&pool->lock);
	pool->bytes -= pages << DART_PAGE_SHIFT;
	pthread_mutex_unlock(&pool->lock);
}

static void drop_mapping(struct dart *dart, struct mapping *mapping)
{
	pool_give(dart->config.pool, mapping->node.size);
	tree_remove(&dart->mappings, &mapping->node);
	dart->usage.bytes -= mapping->node.size << DART_PAGE_SHIFT;
	dart->usage.entries--;
	dart->usage.ended++;
	space_give(&dart->space, mapping->taken);
	free(mapping->stale);
	free(mapping);
}

void dart_destroy(struct dart *dart)
{
	if (!dart)
		return;
	while (dart->mappings.root)
		drop_mapping(dart, (struct mapping *)dart->mappings.root);
	space_fini(&dart->space);
	pthread_mutex_destroy(&dart->lock);
	free(dart);
}

/* Whole pages that [start, start + size) touches; false when it is no range. */
static bool pages_of(uint64_t start, uint64_t size, uint64_t *page, uint64_t *count)
{
	if (!size || start + (size - 1) < start)
		return false;
	*page = start >> DART_PAGE_SHIFT;
	*count = ((start + (size - 1)) >> DART_PAGE_SHIFT) - *page + 1;
	return true;
}

enum dart_status dart_reserve(struct dart *dart, uint64_t iova, uint64_t size)
{
	enum dart_status status;
	uint64_t page, count;

	if (!pages_of(iova, size, &page, &count))
		return DART_BAD_RANGE;
	pthread_mutex_lock(&dart->lock);
	status = space_cut(&dart->space, page, count);
	pthread_mutex_unlock(&dart->lock);
	return status;
}

static enum dart_status map_pages(struct dart *dart, void *owner, uint64_t va_page,
				  uint64_t count, const uint64_t avoid[2], uint64_t *iova_page)
{
	struct mapping *mapping;
	enum dart_status status;

	mapping = calloc(1, sizeof(*mapping));
	if (!mapping)
		return DART_NO_MEMORY;
	if (!pool_take(dart->config.pool, count)) {
		free(mapping);
		return DART_LIMIT_BYTES;
	}
	status = space_take(&dart->space, count, avoid, &mapping->taken);
	if (status != DART_OK) {
		pool_give(dart->config.pool, count);
		free(mapping);
		return status;
	}
	*iova_page = mapping->taken.page;
	mapping->node.key = *iova_page;
	mapping->node.size = count;
	mapping->va_page = va_page;
	mapping->owner = owner;
	tree_insert(&dart->mappings, &mapping->node);
	dart->usage.bytes += count << DART_PAGE_SHIFT;
	dart->usage.entries++;
	return DART_OK;
}

static enum dart_status unmap_page(struct dart *dart, uint64_t iova_page)
{
	struct tree_node *node = tree_find(&dart->mappings, iova_page);

	if (!node)
		return DART_NOT_FOUND;
	drop_mapping(dart, (struct mapping *)node);
	return DART_OK;
}

static enum dart_status map_locked(struct dart *dart, void *owner, uint64_t va, uint64_t size,
				   uint64_t avoid, struct dart_segment *segments,
				   unsigned int *count)
{
	const struct dart_config *config = &dart->config;
	uint64_t page, pages, most, pieces, left = size;
	uint64_t offset = va & ~DART_PAGE_MASK;
	unsigned int done = 0;

	if (!pages_of(va, size, &page, &pages))
		return DART_BAD_RANGE;
	most = config->max_segment ? config->max_segment >> DART_PAGE_SHIFT : pages;
	most = most ? most : 1;
	pieces = (pages - 1) / most + 1;
	if (pieces > DART_MAX_SEGMENTS)
		return DART_TOO_MANY_SEGMENTS;
	if (pages > (config->max_bytes - dart->usage.bytes) >> DART_PAGE_SHIFT)
		return DART_LIMIT_BYTES;
	if (pieces > config->max_entries - dart->usage.entries)
		return DART_LIMIT_ENTRIES;

	for (uint64_t at = 0; at < pages; at += most) {
		uint64_t n = pages - at < most ? pages - at : most;
		/* At these pages the IOVA would equal @va or @avoid. */
		uint64_t same[2] = { page + at, (avoid >> DART_PAGE_SHIFT) + at };
		enum dart_status status;
		uint64_t iova_page, len;

		status = map_pages(dart, owner, page + at, n, same, &iova_page);
		if (status != DART_OK) {
			while (done)
				unmap_page(dart, segments[--done].iova >> DART_PAGE_SHIFT);
			return status;
		}
		len = (n << DART_PAGE_SHIFT) - offset;
		len = len < left ? len : left;
		segments[done].iova = (iova_page << DART_PAGE_SHIFT) + offset;
		segments[done].len = len;
		done++;
		left -= len;
		offset = 0;
	}
	*count = done;
	return DART_OK;
}

enum dart_status dart_map(struct dart *dart, uint64_t va, uint64_t size, uint64_t avoid,
			  struct dart_segment *segments, unsigned int *count)
{
	return dart_map_owned(dart, NULL, va, size, avoid, segments, count);
}

enum dart_status dart_map_owned(struct dart *dart, void *owner, uint64_t va, uint64_t size,
				uint64_t avoid, struct dart_segment *segments,
				unsigned int *count)
{
	enum dart_status status;

	pthread_mutex_lock(&dart->lock);
	status = map_locked(dart, owner, va, size, avoid, segments, count);
	pthread_mutex_unlock(&dart->lock);
	return status;
}

enum dart_status dart_unmap(struct dart *dart, uint64_t iova)
{
	enum dart_status status;

	pthread_mutex_lock(&dart->lock);
	status = unmap_page(dart, iova >> DART_PAGE_SHIFT);
	pthread_mutex_unlock(&dart->lock);
	return status;
}

bool dart_lookup(struct dart *dart, uint64_t iova, uint64_t *va)
{
	void *owner;

	return dart_find(dart, iova, va, &owner);
}

bool dart_find(struct dart *dart, uint64_t iova, uint64_t *va, void **owner)
{
	const uint64_t page = iova >> DART_PAGE_SHIFT;
	const struct mapping *mapping;
	bool found;

	pthread_mutex_lock(&dart->lock);
	mapping = (const struct mapping *)tree_floor(&dart->mappings, page);
	found = mapping && page - mapping->node.key < mapping->node.size &&
		!(mapping->stale && mapping->stale[page - mapping->node.key]);
	if (found) {
		*va = ((mapping->va_page + (page - mapping->node.key)) << DART_PAGE_SHIFT) |
		      (iova & ~DART_PAGE_MASK);
		*owner = mapping->owner;
	}
	pthread_mutex_unlock(&dart->lock);
	return found;
}

/* The part of a mapping whose memory is in the pages [@first, @last). */
static void mark_stale(struct mapping *mapping, uint64_t first, uint64_t last)
{
	const uint64_t end = mapping->va_page + mapping->node.size;

	if (first >= end || last <= mapping->va_page)
		return;
	if (!mapping->stale)
		mapping->stale = calloc(mapping->node.size, sizeof(*mapping->stale));
	if (!mapping->stale)
		return;
	first = first < mapping->va_page ? mapping->va_page : first;
	for (; first < last && first < end; first++)
		mapping->stale[first - mapping->va_page] = true;
}

void dart_stale(struct dart *dart, void *owner, uint64_t va, uint64_t size)
{
	const uint64_t first = (va + DART_PAGE_SIZE - 1) >> DART_PAGE_SHIFT;
	const uint64_t last = (va + size) >> DART_PAGE_SHIFT;

	pthread_mutex_lock(&dart->lock);
	for (struct tree_node *node = tree_first(&dart->mappings); node;
	     node = tree_fit(&dart->mappings, node->key + 1, 1))
		if (((struct mapping *)node)->owner == owner)
			mark_stale((struct mapping *)node, first, last);
	pthread_mutex_unlock(&dart->lock);
}

void dart_fault(struct dart *dart, bool write)
{
	pthread_mutex_lock(&dart->lock);
	if (write)
		dart->usage.write_faults++;
	else
		dart->usage.read_faults++;
	pthread_mutex_unlock(&dart->lock);
}

bool dart_translate(struct dart *dart, uint64_t iova, bool write, uint64_t *va)
{
	if (dart_lookup(dart, iova, va))
		return true;
	dart_fault(dart, write);
	return false;
}

uint64_t dart_bytes_with(struct dart *dart, uint64_t va, uint64_t size)
{
	struct dart_pool *pool = dart->config.pool;
	uint64_t page, count = 0, bytes;

	if (!pages_of(va, size, &page, &count))
		count = 0;
	if (pool) {
		pthread_mutex_lock(&pool->lock);
		bytes = pool->bytes;
		pthread_mutex_unlock(&pool->lock);
	} else {
		pthread_mutex_lock(&dart->lock);
		bytes = dart->usage.bytes;
		pthread_mutex_unlock(&dart->lock);
	}
	return bytes + (count << DART_PAGE_SHIFT);
}

void dart_get_usage(struct dart *dart, struct dart_usage *usage)
{
	pthread_mutex_lock(&dart->lock);
	*usage = dart->usage;
	pthread_mutex_unlock(&dart->lock);
}
