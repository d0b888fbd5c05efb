// SPDX-License-Identifier: GPL-2.0
/* Names of enums. */
#include "names.h"

#include <stdio.h>
#include <string.h>

bool names_parse(const struct names *names, const char *name, unsigned int *value)
{
	for (unsigned int i = 0; i < names->count; i++) {
		if (!strcmp(name, names->name[i])) {
			*value = i;
			return true;
		}
	}
	return false;
}

const char *names_list(const struct names *names)
{
	static _Thread_local char text[512];
	size_t used = 0;

	for (unsigned int i = 0; i < names->count && used < sizeof(text); i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i ? ", " : "",
					 names->name[i]);
	return text;
}
