/* SPDX-License-Identifier: GPL-2.0 */
/* The QEMU device apple-dma-pci: its state. */
#ifndef APPLE_DMA_COMPANION_H
#define APPLE_DMA_COMPANION_H

#include "companion/registers.h"
#include "compat.h"
#include "extension.h"

#define TYPE_APPLE_DMA "apple-dma-pci"
OBJECT_DECLARE_SIMPLE_TYPE(AppleDma, APPLE_DMA)

/** enum companion_forget - what a reset of the machine makes a companion forget */
enum companion_forget {
	COMPANION_FORGET_NOTHING,
	COMPANION_FORGET_REGISTERS,	/* the command page */
	COMPANION_FORGET_ALL		/* and what is registered, behind an apple-dart */
};

#define HOST_UNSET	UINT32_MAX

struct AppleDma {
	PCIDevice parent_obj;
	MemoryRegion bar;

	/* Properties. */
	char *dart_id;
	char *stats_file;
	uint32_t max_entries;		/* 0 for batch-entries */
	uint32_t host_bus;		/* HOST_UNSET without an extension of its own */
	uint32_t host_device;
	uint32_t host_function;
	char *host_root;
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

/**
 * companion_find() - one on a bus that was created for a device of the host
 * @managed_bdf: the property, not what the guest reads
 * @address: of the device
 */
AppleDma *companion_find(PCIBus *bus, uint32_t managed_bdf,
			 const struct extension_address *address);

#endif
