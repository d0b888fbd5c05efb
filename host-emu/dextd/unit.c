// SPDX-License-Identifier: GPL-2.0
/* A device, its DART and its extension. */
#include "unit.h"

#include <stdio.h>

#include "pci/dma-engine.h"
#include "pci/nvme.h"

bool unit_create(struct unit *unit, const char *text, char *why, size_t why_size)
{
	struct device_options *options = &unit->options;

	*unit = (struct unit){ 0 };
	if (!options_parse(text, options, why, why_size))
		return false;
	snprintf(why, why_size, "no memory for the device");
	unit->dart = dart_create(&options->dart);
	if (!unit->dart)
		return false;
	if (options->model == MODEL_NVME)
		unit->dev = nvme_create(unit->dart, options->bdf, options->interrupts,
					&options->nvme, why, why_size);
	else
		unit->dev = dma_engine_create(unit->dart, options->bdf, options->interrupts,
					      options->hold);
	unit->dext = unit->dev ? dext_create(unit->dart) : NULL;
	if (!unit->dext)
		return false;
	physical_set_resets(unit->dev, options->resets);
	dext_attach(unit->dext, unit->dev);
	dext_set_traps(unit->dext, &options->traps);
	dext_set_cost(unit->dext, options->cost);
	dext_set_panic(unit->dext, &options->panic);
	return true;
}

void unit_destroy(struct unit *unit)
{
	dext_destroy(unit->dext);
	physical_destroy(unit->dev);
	dart_destroy(unit->dart);
}
