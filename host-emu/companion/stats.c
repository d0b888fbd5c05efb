// SPDX-License-Identifier: GPL-2.0
/* The statistics of a companion, as JSON. */
#define _GNU_SOURCE
#include "stats.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

void stats_peak(struct companion_stats *stats, const struct backend_usage *now)
{
	if (now->regions > stats->peak)
		stats->peak = now->regions;
	if (now->bytes > stats->peak_bytes)
		stats->peak_bytes = now->bytes;
}

/* An unknown count is null, never 0. */
static void dart_json(char *text, size_t size, const struct backend_usage *now)
{
	if (now->dart_unknown)
		snprintf(text, size, "\"dart_entries\": null, \"dart_bytes\": null, \"faults\": null"
			 ", \"read_faults\": null, \"write_faults\": null"
			 ", \"modelled_us\": null");
	else
		snprintf(text, size, "\"dart_entries\": %" PRIu64 ", \"dart_bytes\": %" PRIu64
			 ", \"faults\": %" PRIu64 ", \"read_faults\": %" PRIu64
			 ", \"write_faults\": %" PRIu64 ", \"modelled_us\": %" PRIu64,
			 now->dart_entries, now->dart_bytes, now->read_faults + now->write_faults,
			 now->read_faults, now->write_faults, now->modelled_us);
}

/* QEMU allows letters, digits, '-', '.' and '_' in an id: nothing to escape. */
char *stats_json(const struct companion_stats *stats, const char *name,
		 const struct backend_usage *now)
{
	char *json, dart[256];
	int len;

	dart_json(dart, sizeof(dart), now);
	len = asprintf(&json,
		"{\"name\": \"%s\""
		", \"doorbells\": %" PRIu64 ", \"bad_commands\": %" PRIu64
		", \"map_entries\": %" PRIu64 ", \"unmap_entries\": %" PRIu64
		", \"probes\": %" PRIu64 ", \"failed_entries\": %" PRIu64
		", \"duplicate_handles\": %" PRIu64 ", \"lies\": %" PRIu64
		", \"live\": %" PRIu64 ", \"live_bytes\": %" PRIu64
		", \"peak\": %" PRIu64 ", \"peak_bytes\": %" PRIu64
		", \"largest_batch\": %" PRIu64
		", %s, \"enforced\": %s}",
		name, stats->doorbells, stats->bad_commands, stats->map_entries,
		stats->unmap_entries, stats->probes, stats->failed_entries,
		stats->duplicate_handles, stats->lies, now->regions, now->bytes, stats->peak,
		stats->peak_bytes, stats->largest_batch, dart, now->enforced ? "true" : "false");
	if (len < 0)
		abort();
	return json;
}
