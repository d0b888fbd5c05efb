/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A physical PCI Express function behind the DART. What is common to all of
 * them is here: configuration space, BARs, MSI-X or MSI, reset, DMA. A model embeds
 * struct physical as its first member and gives the operations.
 *
 * Nothing here has a thread: a model begins work in a register write and goes
 * on with it in its work operation, which the owner calls in turn.
 */
#ifndef APPLE_DMA_PHYSICAL_H
#define APPLE_DMA_PHYSICAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "dart/dart.h"
#include "lib/names.h"

#define PHYSICAL_BARS		6
#define PHYSICAL_CONFIG_SIZE	4096
#define PHYSICAL_MAX_VECTORS	256

/* Configuration space, as far as others look into it. */
#define PCI_VENDOR		0x00
#define PCI_DEVICE		0x02
#define PCI_COMMAND		0x04
#define PCI_STATUS		0x06
#define PCI_CLASS_REVISION	0x08
#define PCI_BAR0		0x10
#define PCI_BAR5_END		0x28
#define PCI_CAPABILITIES	0x34
#define PCI_PIN			0x3d

#define PCI_COMMAND_MEMORY	0x0002
#define PCI_COMMAND_MASTER	0x0004
#define PCI_COMMAND_NO_PIN	0x0400

/** enum physical_bar_type - as in GetBARInfo, and in the low bits of a BAR */
enum physical_bar_type {
	BAR_M32 = 0,
	BAR_IO = 1,
	BAR_M64 = 4,
	BAR_M32PF = 8,
	BAR_M64PF = 0xc
};

/** enum physical_interrupts - how a device interrupts */
enum physical_interrupts {
	INTERRUPTS_MSIX,
	INTERRUPTS_MSI,
	INTERRUPTS_INTX,	/* by its pin alone: one vector */
	INTERRUPTS_NONE
};

/** enum physical_resets - which resets a device has */
enum physical_resets {
	RESETS_FLR,		/* and the hot reset of its bus */
	RESETS_HOT,		/* that of its bus alone */
	RESETS_NONE
};

/* Of the two above. */
extern const struct names physical_interrupts_names, physical_resets_names;

struct physical;

/**
 * struct physical_ops - one kind of device
 * @bar_read: of registers; aligned, in the BAR, @width 1, 2, 4 or 8
 * @bar_write: the same; must not take long, see @work
 * @reset: to the state after power on; configuration space is done already
 * @work: do a step of the work that is left; false when there is none
 * @stats: write its own counters, each as `, "NAME": NUMBER`; may be NULL
 * @destroy: free it
 */
struct physical_ops {
	uint64_t (*bar_read)(struct physical *dev, unsigned int bar, uint64_t offset,
			     unsigned int width);
	void (*bar_write)(struct physical *dev, unsigned int bar, uint64_t offset,
			  unsigned int width, uint64_t value);
	void (*reset)(struct physical *dev);
	bool (*work)(struct physical *dev);
	void (*stats)(struct physical *dev, FILE *to);
	void (*destroy)(struct physical *dev);
};

/**
 * struct physical_bar - a BAR
 * @size: 0 for none
 * @here: plain memory without side effects, which a client may map; NULL for
 *	registers
 * @fd: the file of that memory
 */
struct physical_bar {
	enum physical_bar_type type;
	uint64_t size;
	void *here;
	int fd;
};

/**
 * struct physical - a device
 * @bdf: bus << 8 | device << 3 | function
 * @vectors: of its MSI-X table; without one, of its MSI capability; 1 with a pin alone
 * @resets: which it has; set by physical_set_resets()
 * @function_resets: how often it had one
 * @hot_resets: the same, also by a reset of a device beside it
 * @beside: the next one on the same bus, in a ring
 * @lost: it was pulled out: reads are all ones, writes and DMA do nothing
 * @raise: called for each interrupt, with @raise_arg; may be NULL
 * @raised: interrupts of each vector that left the device
 */
struct physical {
	const struct physical_ops *ops;
	struct dart *dart;
	uint16_t bdf;
	uint8_t config[PHYSICAL_CONFIG_SIZE];
	uint8_t writable[PHYSICAL_CONFIG_SIZE];
	uint8_t initial[PHYSICAL_CONFIG_SIZE];
	struct physical_bar bars[PHYSICAL_BARS];
	unsigned int next_capability;
	unsigned int last_capability;
	unsigned int express;
	unsigned int vectors;
	enum physical_resets resets;
	uint64_t function_resets;
	uint64_t hot_resets;
	struct physical *beside;
	bool lost;
	void (*raise)(void *arg, unsigned int vector);
	void *raise_arg;
	uint64_t raised[PHYSICAL_MAX_VECTORS];
};

/**
 * struct physical_id - what the header says
 * @class: base class << 16 | subclass << 8 | interface
 */
struct physical_id {
	uint16_t vendor;
	uint16_t device;
	uint32_t class;
	uint8_t revision;
};

/**
 * physical_init() - for a model's constructor: no BAR, an Express capability
 * @dart: what translates its DMA; must outlive it
 */
void physical_init(struct physical *dev, const struct physical_ops *ops, struct dart *dart,
		   uint16_t bdf, const struct physical_id *id);

/**
 * physical_add_bar() - for a model's constructor
 * @size: a power of two, at least 16
 * @memory: plain memory, not registers
 *
 * Return: false without memory.
 */
bool physical_add_bar(struct physical *dev, unsigned int bar, enum physical_bar_type type,
		      uint64_t size, bool memory);

/** physical_add_msix() - for a model's constructor: table at @table, PBA at @pba */
void physical_add_msix(struct physical *dev, unsigned int bar, uint32_t table, uint32_t pba,
		       unsigned int vectors);

/**
 * physical_add_msi() - for a model's constructor: 64 bits, a mask for each vector
 * @vectors: rounded up to a power of two, at most 32
 */
void physical_add_msi(struct physical *dev, unsigned int vectors);

/** physical_add_pin() - for a model's constructor: INTA, which is vector 0 */
void physical_add_pin(struct physical *dev);

/** physical_set_resets() - after its constructor; it has all of them otherwise */
void physical_set_resets(struct physical *dev, enum physical_resets resets);

/** physical_join() - put @dev on the bus of @other */
void physical_join(struct physical *dev, struct physical *other);

/** physical_fini() - for a model's destructor */
void physical_fini(struct physical *dev);

/** physical_destroy() - end a device of any model; NULL is allowed */
void physical_destroy(struct physical *dev);

/** physical_config_read() - @width bytes; what is outside is all ones */
uint32_t physical_config_read(struct physical *dev, uint64_t offset, unsigned int width);

/** physical_config_write() - only writable bits; begins a function level reset */
void physical_config_write(struct physical *dev, uint64_t offset, unsigned int width,
			   uint32_t value);

/** physical_bar_read() - all ones when it is not there, not aligned or disabled */
uint64_t physical_bar_read(struct physical *dev, unsigned int bar, uint64_t offset,
			   unsigned int width);

/** physical_bar_write() - nothing when it is not there, not aligned or disabled */
void physical_bar_write(struct physical *dev, unsigned int bar, uint64_t offset,
			unsigned int width, uint64_t value);

/** physical_function_reset() - of this device; false if it has none */
bool physical_function_reset(struct physical *dev);

/**
 * physical_hot_reset() - of its bus; false if that has none
 *
 * The platform restores COMMAND of every device there, as after the other reset.
 */
bool physical_hot_reset(struct physical *dev);

/** physical_work() - a step of its work; false when there is none */
bool physical_work(struct physical *dev);

/** physical_dma_read() - by the device: false for a fault, or without bus mastering */
bool physical_dma_read(struct physical *dev, uint64_t iova, void *to, uint64_t len);

/** physical_dma_write() - by the device; what came before a fault is written */
bool physical_dma_write(struct physical *dev, uint64_t iova, const void *from, uint64_t len);

/** physical_raise() - an interrupt message; lost without bus mastering */
void physical_raise(struct physical *dev, unsigned int vector);

#endif
