/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which memory a guest has given back to the host. A Mac's pages have 16 KiB, a
 * Linux host's 4 KiB, and QEMU gives each of these back alone. So a page of a
 * Mac has gone when all of its parts were given back and none came again since.
 * A part that was never used has not been given back.
 */
#ifndef APPLE_DMA_DISCARDS_H
#define APPLE_DMA_DISCARDS_H

#include "tree.h"

#define DISCARDS_PAGE	UINT64_C(16384)
#define DISCARDS_PART	UINT64_C(4096)

/** struct discards - all zero is empty */
struct discards {
	struct tree pages;		/* those with a part that was given back */
};

/**
 * struct discards_ops - what discards_add() asks and tells
 * @came_again: has a part that was given back been used since?
 * @gone: these whole pages have gone, by this call
 */
struct discards_ops {
	bool (*came_again)(void *arg, uint64_t part);
	void (*gone)(void *arg, uint64_t start, uint64_t size);
};

/**
 * discards_add() - memory was given back
 * @start: of it; the parts that it touches count as a whole
 * @size: bytes
 *
 * Neighbouring pages are told in one call. Without memory a page stays.
 */
void discards_add(struct discards *discards, uint64_t start, uint64_t size,
		  const struct discards_ops *ops, void *arg);

/** discards_fini() - empty it */
void discards_fini(struct discards *discards);

#endif
