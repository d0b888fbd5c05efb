/* SPDX-License-Identifier: GPL-2.0 */
/* The QEMU device apple-dma-pci: its state. */
#ifndef APPLE_DMA_COMPANION_H
#define APPLE_DMA_COMPANION_H

#include "compat.h"
#include "dart-device.h"
#include "lie.h"
#include "stats.h"
#include "wire.h"

#define TYPE_APPLE_DMA "apple-dma-pci"
OBJECT_DECLARE_SIMPLE_TYPE(AppleDma, APPLE_DMA)

struct AppleDma {
	PCIDevice parent_obj;
	MemoryRegion bar;

	/* Properties. */
	char *dart_id;
	bool bdf_fixed;
	uint32_t bdf;			/* when fixed */
	enum wire_layout layout;
	uint32_t batch_entries;
	uint32_t version;
	uint32_t latency_us;
	struct lie lie;
	char *stats_file;

	/* From realize on. */
	AppleDart *dart;
	struct dext_client *client;

	/* What the guest sees. Nothing here is cleared by a reset. */
	uint64_t cmd_gpa;
	uint32_t status;

	struct companion_stats stats;
	Notifier exit;
};

/** companion_doorbell() - process one batch; with the big lock held */
void companion_doorbell(AppleDma *dma);

#endif
