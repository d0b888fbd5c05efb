/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Counters of one engine.
 */
#ifndef APPLE_DMA_COUNTERS_H
#define APPLE_DMA_COUNTERS_H

#include <linux/types.h>

#include <asm/local64.h>

#include "budget.h"

struct apple_dma_engine;

/**
 * struct apple_dma_stats - a snapshot of an engine's counters
 * @mapped_bytes: bytes registered with the host now
 * @mapped_entries: registrations now
 * @guest_bytes: bytes of the budget in use now, of all engines that share it
 * @live_bytes: bytes drivers hold mapped now
 * @live_mappings: mappings drivers hold now
 * @idle_bytes: bytes of @mapped_bytes in windows without a mapping
 * @idle_entries: the windows of @idle_bytes
 * @peak_bytes: most @mapped_bytes so far
 * @peak_entries: most @mapped_entries so far
 * @hits: mappings made in windows that were there
 * @misses: mappings that had to wait for a new window; the first one in it
 * @slow_paths: maps and unmaps, each list one, that took the engine's lock
 * @evictions: windows given back although mode=cached would have kept them
 * @align_tries: registrations made only to get an aligned device address
 * @aligned: new windows whose device address is aligned to the block that is mapped
 *	in them first
 * @unaligned: those that are not
 * @refusals: windows that the host refused
 * @failures: mappings refused, by cause
 * @recovered: registrations of an earlier kernel that were released
 * @bad_unmaps: unmaps of addresses that were not mapped
 * @learned_bytes: what the host seems to allow, if less than the limit; or 0
 * @learned_entries: the same for registrations
 * @window_bytes: size of the next shared window
 */
struct apple_dma_stats {
	u64 mapped_bytes;
	u64 mapped_entries;
	u64 guest_bytes;
	u64 live_bytes;
	u64 live_mappings;
	u64 idle_bytes;
	u64 idle_entries;
	u64 peak_bytes;
	u64 peak_entries;
	u64 hits;
	u64 misses;
	u64 slow_paths;
	u64 evictions;
	u64 align_tries;
	u64 aligned;
	u64 unaligned;
	u64 refusals;
	u64 failures[APPLE_DMA_FAIL_COUNT];
	u64 recovered;
	u64 bad_unmaps;
	u64 learned_bytes;
	u64 learned_entries;
	u64 window_bytes;
};

/**
 * struct apple_dma_percpu - counters that a hit changes
 * @maps: mappings made
 * @unmaps: mappings ended
 * @map_bytes: bytes of @maps
 * @unmap_bytes: bytes of @unmaps
 * @idle_entries: windows gone idle less windows taken into use
 * @idle_bytes: the same in bytes
 *
 * Only the sums over all CPUs mean something. A CPU changes its own, with preemption
 * off. Interrupts may come in between: local64_add() is one step for them. On arm64
 * it costs less than this_cpu_add(), which turns preemption off each time.
 */
struct apple_dma_percpu {
	local64_t maps;
	local64_t unmaps;
	local64_t map_bytes;
	local64_t unmap_bytes;
	local64_t idle_entries;
	local64_t idle_bytes;
};

void apple_dma_counters_live(struct apple_dma_engine *e,
			     struct apple_dma_stats *stats);
void apple_dma_counters_idle(struct apple_dma_engine *e, u64 *entries,
			     u64 *bytes);

#endif /* APPLE_DMA_COUNTERS_H */
