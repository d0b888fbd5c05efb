/* SPDX-License-Identifier: GPL-2.0 */
/* One device of dextd, with its DART and its extension. */
#ifndef APPLE_DMA_UNIT_H
#define APPLE_DMA_UNIT_H

#include "dext/dext.h"
#include "options.h"
#include "pci/physical.h"

struct unit {
	struct device_options options;
	struct dart *dart;
	struct physical *dev;
	struct dext *dext;
};

/**
 * unit_create() - a device as --device describes it
 * @text: MODEL[,KEY=VALUE]...
 * @why: set to a sentence for false, of @why_size bytes
 *
 * Return: false for bad options or without memory. unit_destroy() ends it in
 * either case.
 */
bool unit_create(struct unit *unit, const char *text, char *why, size_t why_size);

/** unit_destroy() - its clients are closed before; all zero is allowed */
void unit_destroy(struct unit *unit);

#endif
