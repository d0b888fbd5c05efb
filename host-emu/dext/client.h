/* SPDX-License-Identifier: GPL-2.0 */
/* Inside the extension: its state, and the methods. */
#ifndef APPLE_DMA_DEXT_CLIENT_H
#define APPLE_DMA_DEXT_CLIENT_H

#include "dext.h"
#include "lib/memory.h"
#include "lib/tree.h"
#include "pci/physical.h"

#define DEXT_INTERRUPT_PAGE	UINT64_C(16384)

struct dext {
	struct dart *dart;
	struct physical *device;	/* NULL for none */
	struct dext_client *clients;	/* all of them */
	struct dext_client *opener;	/* the first to claim; NULL is not open */
	struct dext_traps traps;
	uint64_t calls;			/* since the traps were set */
	enum dext_cost cost;
	uint64_t modelled_ns;		/* of all calls */
	struct panic_limits panic_limits;
	struct panic_note panic;
	struct dext_interrupts gone;	/* of clients that were closed */
	uint64_t mapped;		/* memory given to clients */
	uint64_t write_combined;	/* of that, mapped so */
};

/* What AllocateDMABuffer made. */
struct dext_buffer {
	void *here;			/* NULL for none */
	uint64_t size;
	int fd;
	struct dart_segment segments[DART_MAX_SEGMENTS];
	unsigned int count;
};

struct dext_client {
	struct dext *dext;
	struct dext_client *next;
	struct memory *memory;		/* whose addresses it registers */
	struct tree regions;		/* by handle */
	uint64_t bytes;
	uint64_t slots[DEXT_MAX_REGIONS / 64];	/* a bit for each that is in use */
	uint64_t scanned;		/* slots that the call looked at */
	struct dext_buffer buffer;
	struct dext_interrupt_page *page;	/* NULL before SetupInterrupts */
	int page_fd;
	struct dext_completion wait;	/* armed when it has a function */
	struct dext_interrupts counts;
};

/** dext_status() - the IOReturn for what the DART says */
IOReturn dext_status(enum dart_status status);

/* A method: @in and @out have the size that the table of selectors says. */
typedef IOReturn dext_method(struct dext_client *client, const uint64_t *in, uint64_t *out);

dext_method dext_register_region, dext_unregister_region, dext_probe_region;
dext_method dext_allocate_buffer, dext_free_buffer;
dext_method dext_get_identity, dext_config_read, dext_config_write, dext_reset_device;
dext_method dext_get_bar_info, dext_mmio_read, dext_mmio_write;
dext_method dext_setup_interrupts, dext_check_interrupt, dext_set_irq_mask;

/** dext_wait_interrupt() - the asynchronous method */
IOReturn dext_wait_interrupt(struct dext_client *client,
			     const struct dext_completion *completion);

/** dext_interrupt() - the device raised a vector; @arg is the extension */
void dext_interrupt(void *arg, unsigned int vector);

/** dext_drop_regions() - end every region of a client */
void dext_drop_regions(struct dext_client *client);

/** dext_drop_interrupts() - end the interrupts of a client, and its wait */
void dext_drop_interrupts(struct dext_client *client);

/** dext_add_interrupts() - @to += @counts */
void dext_add_interrupts(struct dext_interrupts *to, const struct dext_interrupts *counts);

/** dext_class() - the class code of the device, 24 bits; 0 without a device */
uint32_t dext_class(struct dext *dext);

/** dext_set_command() - memory space and bus mastering on or off */
void dext_set_command(struct dext *dext, bool on);

#endif
