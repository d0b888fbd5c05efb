/* SPDX-License-Identifier: GPL-2.0 */
/* What --device of dextd says. */
#ifndef APPLE_DMA_OPTIONS_H
#define APPLE_DMA_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dart/dart.h"
#include "dext/cost.h"
#include "dext/panic.h"
#include "dext/traps.h"
#include "pci/nvme.h"
#include "pci/physical.h"
#include "proto/protocol.h"

enum device_model { MODEL_ENGINE, MODEL_NVME };

/* Of enum device_model. */
extern const struct names device_models;

/**
 * struct device_options - one device
 * @root: name of the PCI device at the root of its buses
 * @interrupts: how it interrupts
 * @resets: which it has
 * @hold: see dma_engine_create()
 */
struct device_options {
	enum device_model model;
	uint16_t bdf;
	char root[PROTOCOL_NAME];
	struct dart_config dart;
	struct dext_traps traps;
	enum dext_cost cost;
	struct panic_limits panic;
	bool hold;
	enum physical_interrupts interrupts;
	enum physical_resets resets;
	struct nvme_options nvme;
};

/**
 * options_parse() - MODEL[,KEY=VALUE]...
 * @why: set to a sentence for false, of @why_size bytes
 */
bool options_parse(const char *text, struct device_options *options, char *why, size_t why_size);

/** options_help() - what --help says of the keys */
const char *options_help(void);

#endif
