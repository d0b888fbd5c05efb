/* SPDX-License-Identifier: GPL-2.0 */
/* The names of an enum's values: one table to print, to parse and to list them. */
#ifndef APPLE_DMA_NAMES_H
#define APPLE_DMA_NAMES_H

#include <stdbool.h>

/**
 * struct names - the names of an enum that begins at 0
 * @name: by value
 * @count: how many
 */
struct names {
	const char *const *name;
	unsigned int count;
};

/* The struct names of a table. */
#define NAMES(table)	{ (table), sizeof(table) / sizeof((table)[0]) }

/** names_parse() - the value of this name; false when there is none, @value is then left alone */
bool names_parse(const struct names *names, const char *name, unsigned int *value);

/** names_list() - all of them, for messages; valid until the next call in this thread */
const char *names_list(const struct names *names);

#endif
