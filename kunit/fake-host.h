/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A fake host: struct apple_dma_host_ops on a table in memory. It behaves like
 * the real ones (unique handles, limits that it does not announce, device
 * addresses of its own choice), counts what it is asked, and checks that the
 * engine keeps the protocol.
 *
 * Everything here may be called in any context, but for init, free and move.
 */
#ifndef APPLE_DMA_FAKE_HOST_H
#define APPLE_DMA_FAKE_HOST_H

#include <linux/atomic.h>
#include <linux/rbtree.h>
#include <linux/spinlock.h>

#include "rooms.h"

/* Where the host puts what it maps. */
enum fake_host_policy {
	FAKE_HOST_REUSE,	/* where the last released one was; or dense */
	FAKE_HOST_DENSE,	/* one behind the other */
	FAKE_HOST_RANDOM,	/* anywhere, aligned to the granule */
	FAKE_HOST_UNALIGNED,	/* anywhere, never aligned to more than that */
	FAKE_HOST_ALIGNED,	/* sizes rounded up to a power of two, and aligned to it */
	FAKE_HOST_FIRST_FIT,	/* in the lowest gap */
	FAKE_HOST_GUARD,	/* one behind the other, a granule apart */
	FAKE_HOST_GAPS,		/* one behind the other, with gaps of 1 to 7 granules */
	FAKE_HOST_FRAGMENTED,	/* in gaps of 64 KiB to 512 KiB */
	FAKE_HOST_POLICIES
};

/* What always fits in a gap of FAKE_HOST_FRAGMENTED. */
#define FAKE_HOST_GAP_MIN	(64ULL << 10)

/* For FAKE_HOST_REUSE: how many addresses of released ones are known. */
#define FAKE_HOST_WENT	64U

/**
 * struct fake_host_limits - what the host has, and does not announce
 * @bytes: most bytes
 * @entries: most registrations
 * @segment: longest registration, bytes
 */
struct fake_host_limits {
	u64 bytes;
	u64 entries;
	u64 segment;
};

/**
 * struct fake_host_counts - what the host was asked
 * @doorbells: calls
 * @map_entries: ranges to map
 * @unmap_entries: handles to release
 * @refusals: of @map_entries, those refused
 * @unknown: of @unmap_entries, those that were not registered
 * @longest: most entries in one call
 * @in_a_row: most calls while the engine's lock was not dropped in between
 */
struct fake_host_counts {
	u64 doorbells;
	u64 map_entries;
	u64 unmap_entries;
	u64 refusals;
	u64 unknown;
	u64 longest;
	u64 in_a_row;
};

/**
 * struct fake_host_slot - one registration
 * @by_gpa: in fake_host.by_gpa
 * @by_iova: in fake_host.by_iova
 * @gpa: guest-physical start, the handle
 * @len: bytes
 * @iova: device address of @gpa
 * @mark: for a walk: fake_host_mark()
 * @next: the next free slot
 */
struct fake_host_slot {
	struct rb_node by_gpa;
	struct rb_node by_iova;
	u64 gpa;
	u64 len;
	u64 iova;
	u64 mark;
	struct fake_host_slot *next;
};

/**
 * struct fake_host - the host
 * @limits: its limits; may be changed at any time with fake_host_limit(); the
 *	bytes are those of @dart
 * @policy: where it puts what it maps
 * @iova_base: lowest device address; not 0
 * @iova_size: bytes of device addresses
 * @engine: whose limits are watched; or NULL
 * @dart: the host whose bytes are those of this one, too: two extensions that share
 *	what the platform has. Itself, if it shares with none
 * @dart_bytes: registered now with all hosts that share with this one
 * @dart_peak: most of that so far
 * @ram: what may be mapped; nothing is watched if NULL
 * @ram_ranges: how many of @ram
 * @refuse: refuse so many map entries, whatever they are
 * @one_in: refuse one in so many map entries at random, and in one of so many
 *	calls all that are longer than some length; nothing if 0
 * @hole: maps nothing that overlaps this
 * @force: give this device address next, whatever is there; or 0
 * @keeps: release nothing, and say so
 * @fit: entries that fit in a call; any number if 0
 * @breaks: the call that breaks the protocol, 1 for the next; 0 for none. Its
 *	answers say that all was done, at the same address; unmaps were not
 * @asleep: the guest sleeps: no call is allowed
 * @held: locks that the last caller of unmap held, as lockdep counts them
 * @lock: protects all below; taken inside the engine's
 * @counts: what it was asked
 * @bytes: registered now
 * @entries: registered now
 * @longest: in this call, what is longer is refused
 * @unlocks: locks that had been dropped at the last call
 * @in_a_row: calls since one was dropped
 * @wrong: what the engine did wrong first; empty if nothing
 * @by_gpa: registrations by handle
 * @by_iova: registrations by device address
 * @slots: memory of the registrations
 * @used: how many of @slots have been in use
 * @free: those of them that are not any more
 * @next: device address to try next
 * @went: device addresses of the last released ones, a ring
 * @goes: how many were released
 * @seed: state of the random numbers
 */
struct fake_host {
	struct fake_host_limits limits;
	enum fake_host_policy policy;
	u64 iova_base;
	u64 iova_size;
	struct apple_dma_engine *engine;
	struct fake_host *dart;
	atomic64_t dart_bytes;
	atomic64_t dart_peak;
	const struct apple_dma_range *ram;
	unsigned int ram_ranges;
	u64 refuse;
	u64 one_in;
	struct apple_dma_range hole;
	u64 force;
	bool keeps;
	unsigned int fit;
	u64 breaks;
	bool asleep;
	int held;
	spinlock_t lock; /* all below */
	struct fake_host_counts counts;
	u64 bytes;
	u64 entries;
	u64 longest;
	int unlocks;
	u64 in_a_row;
	char wrong[160];
	struct rb_root by_gpa;
	struct rb_root by_iova;
	struct fake_host_slot *slots;
	unsigned int used;
	struct fake_host_slot *free;
	u64 next;
	u64 went[FAKE_HOST_WENT];
	u64 goes;
	u64 seed;
};

/**
 * struct fake_host_found - what a device address leads to
 * @gpa: guest-physical address of it
 * @start: guest-physical start of the registration
 * @len: its bytes
 */
struct fake_host_found {
	u64 gpa;
	u64 start;
	u64 len;
};

extern const struct apple_dma_host_ops fake_host_ops;

int fake_host_init(struct fake_host *h, enum fake_host_policy policy, u64 seed);
void fake_host_free(struct fake_host *h);
void fake_host_limit(struct fake_host *h, const struct fake_host_limits *limits);
void fake_host_read(struct fake_host *h, struct fake_host_counts *counts,
		    u64 *bytes, u64 *entries);
bool fake_host_translate(struct fake_host *h, u64 iova,
			 struct fake_host_found *found);
bool fake_host_has(struct fake_host *h, u64 handle);
bool fake_host_mark(struct fake_host *h, u64 iova, u64 mark);
u64 fake_host_marked(struct fake_host *h, u64 mark, u64 *bytes);
bool fake_host_plant(struct fake_host *h, u64 gpa, u64 len);
bool fake_host_forget(struct fake_host *h, u64 handle);

#endif /* APPLE_DMA_FAKE_HOST_H */
