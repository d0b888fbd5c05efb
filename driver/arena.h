/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The arena: memory that is registered once, in a few pieces.
 */
#ifndef APPLE_DMA_ARENA_H
#define APPLE_DMA_ARENA_H

#include "ram.h"

struct apple_dma_engine;

/* The kernel looks at the entries of a device's table one after the other. */
#define APPLE_DMA_ARENA_MAX	8U

/* Which memory is in the arena; Documentation/premap.md has the conditions. */
enum apple_dma_layout {
	APPLE_DMA_LAYOUT_NONE,	/* none fits */
	APPLE_DMA_LAYOUT_ALL,	/* L1: all memory */
	APPLE_DMA_LAYOUT_LOW,	/* L2: what is below movable memory */
	APPLE_DMA_LAYOUT_NODE,	/* L3: the lowest node */
};

/**
 * struct apple_dma_arena_facts - what decides the layout
 * @ram: where the guest has memory, in ascending order
 * @n: how many of @ram
 * @room: bytes that may be registered
 * @movable: where movable memory begins; U64_MAX if there is none
 * @node: the lowest NUMA node; of size 0 if there is only one
 * @node_has_cpus: it has CPUs
 * @bounce: where maps bounce; of size 0 if nowhere
 * @never_bounces: maps outside the arena are to fail
 */
struct apple_dma_arena_facts {
	const struct apple_dma_range *ram;
	unsigned int n;
	u64 room;
	u64 movable;
	struct apple_dma_range node;
	bool node_has_cpus;
	struct apple_dma_range bounce;
	bool never_bounces;
};

/**
 * struct apple_dma_arena_plan - what is to be registered
 * @layout: which memory
 * @piece: in ascending order but for the bounce pool, which comes last
 * @n: how many
 * @bytes: their sum, in whole granules
 * @pool: the last piece is the bounce pool, with its exact bounds
 */
struct apple_dma_arena_plan {
	enum apple_dma_layout layout;
	struct apple_dma_range piece[APPLE_DMA_ARENA_MAX];
	unsigned int n;
	u64 bytes;
	bool pool;
};

/**
 * struct apple_dma_arena_entry - one entry of a device's table
 * @phys: guest-physical start
 * @size: bytes
 * @iova: device address of @phys
 */
struct apple_dma_arena_entry {
	u64 phys;
	u64 size;
	u64 iova;
};

/**
 * struct apple_dma_arena - what is registered
 * @layout: which memory; APPLE_DMA_LAYOUT_NONE: nothing is registered
 * @entry: what the device's table gets
 * @n: how many
 * @guard: granules that are kept at the ends of entries: their starts
 * @guards: how many
 * @unaligned: of @entry, those whose device address is not aligned like memory
 */
struct apple_dma_arena {
	enum apple_dma_layout layout;
	struct apple_dma_arena_entry entry[APPLE_DMA_ARENA_MAX];
	unsigned int n;
	u64 guard[APPLE_DMA_ARENA_MAX];
	unsigned int guards;
	unsigned int unaligned;
};

void apple_dma_arena_plan(const struct apple_dma_arena_facts *facts,
			  struct apple_dma_arena_plan *plan);
int apple_dma_arena_register(struct apple_dma_engine *e,
			     const struct apple_dma_arena_plan *plan,
			     struct apple_dma_arena *arena);
void apple_dma_arena_release(struct apple_dma_engine *e,
			     struct apple_dma_arena *arena);
u64 apple_dma_arena_limit(const struct apple_dma_arena *arena);
bool apple_dma_arena_vetoes(const struct apple_dma_arena *arena, u64 phys,
			    u64 size, bool added);
int apple_dma_arena_keep(struct apple_dma_arena_entry *table, unsigned int n,
			 const struct apple_dma_arena_entry *old,
			 unsigned int old_n);

#endif /* APPLE_DMA_ARENA_H */
