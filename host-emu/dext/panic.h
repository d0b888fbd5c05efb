/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Maps that would take a Mac down. Past its room the platform's mapper does not
 * refuse: it has met an assertion of the kernel in PrepareForDMA. Here such a map
 * ends as the DART says, and is noted for the verdict of a test.
 */
#ifndef APPLE_DMA_PANIC_H
#define APPLE_DMA_PANIC_H

#include <stddef.h>
#include <stdint.h>

/**
 * struct panic_limits - what a Mac takes; 0 is no limit
 * @bytes: mapped by a DART, or by all DARTs of its pool together, in whole pages
 * @entries: regions of one user client
 */
struct panic_limits {
	uint64_t bytes;
	uint32_t entries;
};

/**
 * struct panic_map - a map, and what there would be with it
 * @handle: the guest-physical address
 * @size: as asked for
 * @bytes: as in struct panic_limits
 * @entries: the same
 */
struct panic_map {
	uint64_t handle;
	uint64_t size;
	uint64_t bytes;
	uint64_t entries;
};

/**
 * struct panic_note - the maps past a limit
 * @count: how many were asked for
 * @first: of them
 */
struct panic_note {
	uint64_t count;
	struct panic_map first;
};

/* Room for panic_json(). */
#define PANIC_TEXT	192

/** panic_check() - note a map that is past a limit; before it is done or refused */
void panic_check(const struct panic_limits *limits, struct panic_note *note,
		 const struct panic_map *map);

/** panic_json() - "panics" and "panic" of an object, without a comma around them */
void panic_json(const struct panic_note *note, char text[PANIC_TEXT]);

#endif
