/* SPDX-License-Identifier: GPL-2.0 */
/* What a companion counts, independent of what the guest believes. */
#ifndef APPLE_DMA_STATS_H
#define APPLE_DMA_STATS_H

#include <stdbool.h>
#include <stdint.h>

#include "backend.h"

/**
 * struct companion_stats - counters of one companion
 * @doorbells: writes to DOORBELL
 * @bad_commands: batches that ended with INVAL
 * @map_entries: map entries processed, without probes
 * @unmap_entries: unmap entries processed
 * @probes: map entries of length 0
 * @failed_entries: entries refused, without probes
 * @duplicate_handles: map entries refused because the handle is registered
 * @lies: entries answered wrongly on purpose
 * @peak: most regions registered at a time
 * @peak_bytes: most bytes registered at a time
 * @largest_batch: most entries of a doorbell; of valid batches
 */
struct companion_stats {
	uint64_t doorbells;
	uint64_t bad_commands;
	uint64_t map_entries;
	uint64_t unmap_entries;
	uint64_t probes;
	uint64_t failed_entries;
	uint64_t duplicate_handles;
	uint64_t lies;
	uint64_t peak;
	uint64_t peak_bytes;
	uint64_t largest_batch;
};

/** stats_peak() - note what is registered now */
void stats_peak(struct companion_stats *stats, const struct backend_usage *now);

/**
 * stats_json() - the counters as one JSON object, in one line
 * @name: id of the companion
 * @now: what is registered
 * Return: a string for free().
 */
char *stats_json(const struct companion_stats *stats, const char *name,
		 const struct backend_usage *now);

#endif
