/* SPDX-License-Identifier: GPL-2.0 */
/* Properties that several of the QEMU devices have. */
#ifndef APPLE_DMA_PROPERTY_H
#define APPLE_DMA_PROPERTY_H

#include "compat.h"
#include "lib/names.h"

/** property_object() - the object of -device TYPE,id=@id, or NULL; @id may be NULL */
Object *property_object(const char *id, const char *type);

/** property_set_name() - a value by its name, or an error that lists the names */
bool property_set_name(const struct names *names, const char *property, const char *name,
		       unsigned int *value, Error **errp);

/** property_set_stats() - the file for stats of @obj, before it is realized; freed by g_free() */
void property_set_stats(Object *obj, char **file, const char *value, Error **errp);

/** property_write_stats() - one line into that file */
void property_write_stats(const char *file, const char *json);

#endif
