// SPDX-License-Identifier: GPL-2.0
/* Properties that several of the QEMU devices have. */
#include "property.h"

Object *property_object(const char *id, const char *type)
{
	g_autofree char *path = g_strdup_printf("/machine/peripheral/%s", id ? id : "");
	Object *object = id ? object_resolve_path(path, NULL) : NULL;

	return object && object_dynamic_cast(object, type) ? object : NULL;
}

bool property_set_name(const struct names *names, const char *property, const char *name,
		       unsigned int *value, Error **errp)
{
	if (names_parse(names, name, value))
		return true;
	error_setg(errp, "%s=%s: allowed are %s", property, name, names_list(names));
	return false;
}

void property_set_stats(Object *obj, char **file, const char *value, Error **errp)
{
	if (DEVICE(obj)->realized) {
		error_setg(errp, "the file for stats cannot be changed any more");
		return;
	}
	g_free(*file);
	*file = g_strdup(value);
}

void property_write_stats(const char *file, const char *json)
{
	g_autofree char *line = g_strdup_printf("%s\n", json);
	g_autoptr(GError) error = NULL;

	if (!g_file_set_contents(file, line, -1, &error))
		error_report("stats=%s: %s", file, error->message);
}
