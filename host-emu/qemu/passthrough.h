/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The QEMU device vfio-apple-pci: a physical device that a driver extension
 * owns, given to the guest. Everything with the big lock held.
 */
#ifndef APPLE_DMA_PASSTHROUGH_H
#define APPLE_DMA_PASSTHROUGH_H

#include "client/selectors.h"
#include "companion.h"
#include "compat.h"
#include "extension.h"

#define TYPE_VFIO_APPLE "vfio-apple-pci"
OBJECT_DECLARE_SIMPLE_TYPE(VfioApple, VFIO_APPLE)

/**
 * struct passthrough_bar - a memory BAR
 * @mr: what is registered as the BAR; size 0 for none
 * @part: what fills it: trapped, or mapped
 * @index: of the extension, for MMIO
 * @mapped: where it is in this process; 0 when it is trapped
 */
struct passthrough_bar {
	VfioApple *owner;
	MemoryRegion mr;
	MemoryRegion part;
	uint64_t size;
	uint8_t index;
	mach_vm_address_t mapped;
};

/**
 * enum passthrough_filter - which writes to configuration space reach the device
 *
 * Those to COMMAND always do, byte by byte; those to STATUS and the BARs never do.
 */
enum passthrough_filter {
	PASSTHROUGH_FILTER_OWN,		/* none to what QEMU emulates; FLR is ResetDevice */
	PASSTHROUGH_FILTER_RFC,		/* all others */
	PASSTHROUGH_FILTER_TODAY	/* others but those to MSI, DEVCTL and DEVCTL2 */
};

/**
 * struct passthrough_capabilities - offsets of those that matter here; 0 for none
 * @msix: MSI-X
 * @msi_size: of the MSI capability, in bytes
 * @express: PCI Express
 */
struct passthrough_capabilities {
	uint8_t msix;
	uint8_t msi_size;
	uint8_t express;
};

/**
 * struct passthrough_counts - for statistics
 * @taken: vectors that the extension said are pending
 * @delivered: of these, those given to the guest
 * @unwanted: of these, those that the guest no longer uses
 * @resets: of the device
 * @held: configuration writes of which nothing went to the device
 * @failures: calls for interrupts that failed, and were made again
 * @reset_failures: of @resets, those that failed
 */
struct passthrough_counts {
	uint64_t taken;
	uint64_t delivered;
	uint64_t unwanted;
	uint64_t resets;
	uint64_t held;
	uint64_t failures;
	uint64_t reset_failures;
};

struct VfioApple {
	PCIDevice parent_obj;
	AppleDma companion;
	bool has_companion;

	/* Properties. */
	char *host;
	char *host_root;
	bool dma_companion;
	bool map_bars;
	enum passthrough_filter filter;

	/* From realize on. */
	struct extension *extension;
	struct passthrough_capabilities at;
	uint8_t emulated[PCIE_CONFIG_SPACE_SIZE];	/* bits that QEMU answers */
	struct passthrough_bar bars[PCI_ROM_SLOT];

	uint32_t vectors;
	uint64_t used[EXTENSION_WORDS];	/* by the guest */
	bool pin_used;				/* INTx is vector 0 */
	bool mask_unset;			/* the extension has not taken both */
	EventNotifier event;
	QEMUTimer *retry;
	AppleDextInterruptNotify *notify;

	struct passthrough_counts counts;
};

/* Configuration space. */

/**
 * passthrough_config_init() - copy it from the device
 *
 * The BARs must be there. Undone by passthrough_config_exit().
 */
bool passthrough_config_init(VfioApple *dev, Error **errp);
void passthrough_config_exit(VfioApple *dev);

/** passthrough_config_read() - for PCIDeviceClass */
uint32_t passthrough_config_read(PCIDevice *pdev, uint32_t address, int len);

/** passthrough_config_write() - for PCIDeviceClass; by the filter of dext.md */
void passthrough_config_write(PCIDevice *pdev, uint32_t address, uint32_t value, int len);

/** passthrough_reset() - by selector 17; registered memory stays registered */
void passthrough_reset(VfioApple *dev);

/* BARs. */

/** passthrough_bars_init() - map them, or trap them; undone by passthrough_bars_exit() */
bool passthrough_bars_init(VfioApple *dev, Error **errp);
void passthrough_bars_exit(VfioApple *dev);

/* Interrupts. */

/**
 * passthrough_interrupts_init() - set them up and wait for them
 *
 * Configuration space must be there. Undone by passthrough_interrupts_exit().
 */
bool passthrough_interrupts_init(VfioApple *dev, Error **errp);
void passthrough_interrupts_exit(VfioApple *dev);

/** passthrough_interrupts_update() - the guest may have switched MSI, MSI-X or the device */
void passthrough_interrupts_update(VfioApple *dev);

/** passthrough_interrupts_clear() - nothing is pending or in use any more */
void passthrough_interrupts_clear(VfioApple *dev);

/** passthrough_interrupts_accessed() - the guest uses a BAR: the end of an INTx */
void passthrough_interrupts_accessed(VfioApple *dev);

#endif
