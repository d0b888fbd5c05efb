/* SPDX-License-Identifier: GPL-2.0 */
/* The QEMU device apple-dma-pci: its state. */
#ifndef APPLE_DMA_COMPANION_H
#define APPLE_DMA_COMPANION_H

#include "companion/registers.h"
#include "compat.h"

#define TYPE_APPLE_DMA "apple-dma-pci"
OBJECT_DECLARE_SIMPLE_TYPE(AppleDma, APPLE_DMA)

/** enum companion_forget - what a reset of the machine makes a companion forget */
enum companion_forget {
	COMPANION_FORGET_NOTHING,
	COMPANION_FORGET_REGISTERS,	/* the command page */
	COMPANION_FORGET_ALL		/* and what is registered, behind an apple-dart */
};

struct AppleDma {
	PCIDevice parent_obj;
	MemoryRegion bar;

	/* Properties. */
	char *dart_id;
	char *stats_file;
	enum companion_forget forget;

	struct registers regs;
	char *name;			/* in statistics, for one without an id */
	Notifier exit;
	QEMUTimer *later;		/* what a lie does after a doorbell */
};

/**
 * companion_set_backend() - before realize, for a companion without dart=
 * @backend: released when the companion is unrealized
 * @name: for statistics
 */
void companion_set_backend(AppleDma *dma, struct backend *backend, const char *name);

#endif
