// SPDX-License-Identifier: GPL-2.0
/* Notes of what would take a Mac down. */
#include "panic.h"

#include <inttypes.h>
#include <stdio.h>

void panic_check(const struct panic_limits *limits, struct panic_note *note,
		 const struct panic_map *map)
{
	if ((!limits->bytes || map->bytes <= limits->bytes) &&
	    (!limits->entries || map->entries <= limits->entries))
		return;
	if (!note->count++)
		note->first = *map;
}

void panic_json(const struct panic_note *note, char text[PANIC_TEXT])
{
	const struct panic_map *map = &note->first;

	if (note->count)
		snprintf(text, PANIC_TEXT, "\"panics\": %" PRIu64 ", \"panic\": {\"gpa\": %" PRIu64
			 ", \"size\": %" PRIu64 ", \"bytes\": %" PRIu64 ", \"entries\": %" PRIu64
			 "}", note->count, map->handle, map->size, map->bytes, map->entries);
	else
		snprintf(text, PANIC_TEXT, "\"panics\": 0, \"panic\": null");
}
