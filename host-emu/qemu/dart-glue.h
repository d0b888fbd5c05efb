/* SPDX-License-Identifier: GPL-2.0 */
/* The DMA address spaces of the devices behind one apple-dart. */
#ifndef APPLE_DMA_DART_GLUE_H
#define APPLE_DMA_DART_GLUE_H

#include "compat.h"
#include "dart/dart.h"
#include "fault-log.h"

/** struct apple_window - guest-physical addresses that pass around the DART */
struct apple_window {
	uint64_t base;
	uint64_t size;
};

struct apple_dart_space;

/**
 * struct dart_glue - what is between one DART and the devices on its bus
 * @owner: of the memory regions
 * @bus: behind the port
 * @enforced: is an access that no mapping covers a fault?
 */
struct dart_glue {
	Object *owner;
	PCIBus *bus;
	struct dart *dart;
	struct fault_log *faults;
	bool enforced;
	struct apple_dart_space *spaces[PCI_DEVFN_MAX];
};

/** dart_glue_windows() - the MSI doorbells of this machine; ends with size 0 */
const struct apple_window *dart_glue_windows(void);

/** dart_glue_attach() - put every device on the bus behind the DART; all but the spaces is set */
void dart_glue_attach(struct dart_glue *glue);

/** dart_glue_enforce() - set @enforced; before dart_glue_attach(), too; with the big lock held */
void dart_glue_enforce(struct dart_glue *glue, bool enforced);

#endif
