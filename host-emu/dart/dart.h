/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A model of the DART, the IOMMU of a Mac, as PCIDriverKit shows it: 16 KiB
 * pages, addresses (IOVA) chosen by the platform, a limit of bytes and of
 * mappings, and a fault for every access that no mapping covers. It is the
 * only truth about what a device may reach.
 *
 * Every function may be called from any thread.
 */
#ifndef APPLE_DMA_DART_H
#define APPLE_DMA_DART_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/names.h"

#define DART_PAGE_SHIFT		14
#define DART_PAGE_SIZE		(UINT64_C(1) << DART_PAGE_SHIFT)
#define DART_PAGE_MASK		(~(DART_PAGE_SIZE - 1))

#define DART_MAX_SEGMENTS	32	/* of one mapping request */
#define DART_MIN_IOVA_BITS	32
#define DART_MAX_IOVA_BITS	64
#define DART_LARGEST_HOLE	(UINT64_C(16) << 20)	/* of DART_FRAGMENTED */
/*
 * Ranges that were freed last: given out again only if nothing else fits, or
 * before anything else by DART_REUSE.
 */
#define DART_QUARANTINE		4096

/**
 * enum dart_policy - where an IOVA comes from
 * @DART_HIGH: one after the other, far above any guest's memory (above 2^39
 *	where there are 41 bits or more), with a page between neighbours
 * @DART_RANDOM: any page of the whole space, with a page between neighbours
 * @DART_FRAGMENTED: the free space is holes of at most DART_LARGEST_HOLE, most
 *	of them four pages or less: large mappings fail long before small ones
 * @DART_REUSE: the range that was freed last and is large enough, at once; what
 *	was never used comes only after that, with no page between neighbours.
 *	A late use of an address reaches another's memory, and does not fault
 * @DART_ALIGNED: the size is rounded up to a power of two, and the address is
 *	aligned to it, as by the older mappers of macOS; the lowest such place
 * @DART_FIRST_FIT: the lowest free range that is large enough
 * @DART_SEQUENTIAL: behind the last one, around at the end of the space
 *
 * The last three leave no page between neighbours, and free at once.
 */
enum dart_policy {
	DART_HIGH,
	DART_RANDOM,
	DART_FRAGMENTED,
	DART_REUSE,
	DART_ALIGNED,
	DART_FIRST_FIT,
	DART_SEQUENTIAL,
	DART_POLICIES
};

/**
 * enum dart_status - how a call ended
 * @DART_OK: done
 * @DART_NO_SPACE: no free range of IOVAs is large enough
 * @DART_LIMIT_BYTES: more bytes, in whole pages, than max_bytes
 * @DART_LIMIT_ENTRIES: more mappings than max_entries
 * @DART_TOO_MANY_SEGMENTS: it would come back in over DART_MAX_SEGMENTS
 * @DART_BAD_RANGE: empty, or it ends past 2^64
 * @DART_NOT_FOUND: no such mapping
 * @DART_NO_MEMORY: this process has no memory left
 */
enum dart_status {
	DART_OK,
	DART_NO_SPACE,
	DART_LIMIT_BYTES,
	DART_LIMIT_ENTRIES,
	DART_TOO_MANY_SEGMENTS,
	DART_BAD_RANGE,
	DART_NOT_FOUND,
	DART_NO_MEMORY
};

/**
 * struct dart_pool - a limit of bytes that several DARTs share
 * @lock: for what is below
 * @max_bytes: most bytes mapped at a time by all of them, in whole pages
 * @bytes: mapped now
 * @peak: most of that so far
 */
struct dart_pool {
	pthread_mutex_t lock;
	uint64_t max_bytes;
	uint64_t bytes;
	uint64_t peak;
};

#define DART_POOL_INIT	{ .lock = PTHREAD_MUTEX_INITIALIZER }

/**
 * struct dart_config - what a DART is made of
 * @policy: placement of IOVAs
 * @seed: placement is the same for the same seed and the same calls
 * @max_bytes: most bytes mapped at a time, counted in whole pages
 * @pool: shared with other DARTs, and outlives them; or NULL
 * @max_entries: most mappings at a time
 * @max_segment: longest segment that a mapping comes back as, in bytes,
 *	rounded down to pages but at least one; 0 for no limit
 * @iova_bits: width of the IOVA space, DART_MIN_IOVA_BITS..DART_MAX_IOVA_BITS
 */
struct dart_config {
	enum dart_policy policy;
	uint64_t seed;
	uint64_t max_bytes;
	struct dart_pool *pool;
	uint32_t max_entries;
	uint64_t max_segment;
	unsigned int iova_bits;
};

/** struct dart_segment - one contiguous piece of IOVA space, in bytes */
struct dart_segment {
	uint64_t iova;
	uint64_t len;
};

/**
 * struct dart_usage - counters
 * @bytes: mapped now, in whole pages
 * @entries: mappings now
 * @ended: mappings that have ended
 * @read_faults: reads by a device that were not translated
 * @write_faults: writes by a device that were not translated
 */
struct dart_usage {
	uint64_t bytes;
	uint64_t entries;
	uint64_t ended;
	uint64_t read_faults;
	uint64_t write_faults;
};

struct dart;

/* Of enum dart_policy. */
extern const struct names dart_policies;

/**
 * dart_create() - a DART without mappings
 * Return: NULL when iova_bits is out of range or there is no memory. The
 * caller ends it with dart_destroy().
 */
struct dart *dart_create(const struct dart_config *config);

/** dart_destroy() - end a DART and every mapping in it; NULL is allowed */
void dart_destroy(struct dart *dart);

/**
 * dart_reserve() - never place a mapping in a range, e.g. a doorbell window
 *
 * Only before the first dart_map(). Whole pages are reserved.
 * Return: DART_OK, DART_BAD_RANGE or DART_NO_MEMORY.
 */
enum dart_status dart_reserve(struct dart *dart, uint64_t iova, uint64_t size);

/**
 * dart_map() - make memory reachable
 * @va: its address; the offset in the page is kept
 * @size: bytes; every page that it touches becomes reachable as a whole
 * @avoid: no IOVA of the answer equals this address, nor @va
 * @segments: room for DART_MAX_SEGMENTS, in the order of the memory; each is
 *	a mapping of its own and is ended by its own dart_unmap()
 * @count: set to the number of segments
 *
 * Return: DART_OK or an error, and then nothing is mapped.
 */
enum dart_status dart_map(struct dart *dart, uint64_t va, uint64_t size, uint64_t avoid,
			  struct dart_segment *segments, unsigned int *count);

/**
 * dart_map_owned() - dart_map() of memory that is not of this process
 * @owner: identifies the owner of the addresses; dart_find() returns it
 */
enum dart_status dart_map_owned(struct dart *dart, void *owner, uint64_t va, uint64_t size,
				uint64_t avoid, struct dart_segment *segments,
				unsigned int *count);

/**
 * dart_unmap() - end one mapping
 * @iova: start of a segment, as dart_map() gave it
 *
 * The IOVA is not given out again soon, so that a late use of it faults; by
 * DART_REUSE it is the next one.
 * Return: DART_OK or DART_NOT_FOUND.
 */
enum dart_status dart_unmap(struct dart *dart, uint64_t iova);

/**
 * dart_lookup() - what an IOVA leads to, without counting a fault
 * Return: false when no mapping covers it.
 */
bool dart_lookup(struct dart *dart, uint64_t iova, uint64_t *va);

/**
 * dart_find() - dart_lookup(), and the owner; NULL when dart_map() made it
 * Return: false when no mapping covers it.
 */
bool dart_find(struct dart *dart, uint64_t iova, uint64_t *va, void **owner);

/**
 * dart_stale() - an owner lost memory, and will find other memory at its address
 * @owner: as of dart_map_owned()
 * @va: its address
 * @size: bytes; only whole pages count
 *
 * The platform holds on to what was mapped: until dart_unmap() a device would
 * reach the old memory, which the owner no longer sees. Here such an access faults.
 */
void dart_stale(struct dart *dart, void *owner, uint64_t va, uint64_t size);

/** dart_fault() - count one access that was not translated */
void dart_fault(struct dart *dart, bool write);

/**
 * dart_translate() - a device's access: dart_lookup(), or else dart_fault()
 * Return: false for a fault.
 */
bool dart_translate(struct dart *dart, uint64_t iova, bool write, uint64_t *va);

/**
 * dart_bytes_with() - what would be mapped with one more mapping, in whole pages
 *
 * By all DARTs of the pool, if it has one. An invalid range adds nothing.
 */
uint64_t dart_bytes_with(struct dart *dart, uint64_t va, uint64_t size);

/** dart_get_usage() - the counters now */
void dart_get_usage(struct dart *dart, struct dart_usage *usage);

#endif
