/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A test driver for the dma-engine of host-emu/pci. Documentation/dext.md has
 * its registers.
 */
#ifndef APPLE_DMA_TEST_ENGINE_H
#define APPLE_DMA_TEST_ENGINE_H

#include <linux/atomic.h>
#include <linux/completion.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#define ENGINE_CHANNELS		8
#define ENGINE_VECTORS		16
#define ENGINE_BUFFER		(4U << 20)

#define CHANNEL_START		1
#define CHANNEL_TO_BUS		2
#define CHANNEL_INTERRUPT	4

enum channel_state { CHANNEL_IDLE, CHANNEL_RUNNING, CHANNEL_ENDED, CHANNEL_FAILED };

#define CHANNEL_DMA_FAULT	2

/* Vectors are masked for a while; they are, and are moved to other CPUs too. */
enum meddle { MEDDLE_NOT, MEDDLE_MASK, MEDDLE_MASK_AND_MOVE };

#define tell(fmt, ...) pr_info("apple_dma_engine: " fmt "\n", ##__VA_ARGS__)
#define complain(fmt, ...) \
	pr_err("apple_dma_engine: # %s:%d: " fmt "\n", __func__, __LINE__, ##__VA_ARGS__)

#define CHECK(cond) do {			\
	if (!(cond)) {				\
		complain("%s", #cond);		\
		return -EINVAL;			\
	}					\
} while (0)

/**
 * struct engine_vector - an interrupt of the device
 * @irq: of Linux
 * @number: of the device
 * @requested: it has a handler
 * @count: how often that ran
 * @fired: completed by it
 */
struct engine_vector {
	int irq;
	unsigned int number;
	bool requested;
	atomic_t count;
	struct completion fired;
};

/**
 * struct engine_range - a part of the device's buffer that a channel works in
 * @start: offset
 * @length: bytes; 0 for none
 */
struct engine_range {
	u32 start;
	u32 length;
};

struct engine_held;
struct engine_import;

/**
 * struct engine - the device
 * @pdev: the same for PCI
 * @dev: and for DMA
 * @lock: held by a case, and by what must not happen meanwhile
 * @registers: BAR0
 * @buffer: BAR2
 * @msix: the BAR with the table of MSI-X
 * @pending: its pending bits
 * @shadow: what @buffer must contain
 * @vectors: by number
 * @ended: transfers that each channel has ended, as its COUNT must say
 * @busy: vectors that a channel waits for
 * @extra: handlers may run more often than the device interrupts: a PC's Linux
 *	that moves a vector makes it fire when another one with the same number
 *	is pending, to be sure (msi_set_affinity())
 * @range_lock: of @ranges
 * @ranges: of each channel
 * @held: memory that a case has left mapped, or NULL
 * @import: a buffer of another device, or NULL
 */
struct engine {
	struct pci_dev *pdev;
	struct device *dev;
	struct mutex lock;	/* a case, or a reset */
	void __iomem *registers;
	void __iomem *buffer;
	void __iomem *msix;
	void __iomem *pending;
	u8 *shadow;
	struct engine_vector vectors[ENGINE_VECTORS];
	u32 ended[ENGINE_CHANNELS];
	unsigned long busy;
	bool extra;
	spinlock_t range_lock;	/* ranges */
	struct engine_range ranges[ENGINE_CHANNELS];
	struct engine_held *held;
	struct engine_import *import;
};

/**
 * struct engine_transfer - one command
 * @channel: that does it
 * @vector: raised at its end
 * @bus: address
 * @offset: in the buffer
 * @length: bytes
 * @to_bus: from the buffer to memory, else the other way
 */
struct engine_transfer {
	unsigned int channel;
	unsigned int vector;
	dma_addr_t bus;
	u32 offset;
	u32 length;
	bool to_bus;
};

/** engine_start() - start a transfer; its channel must be idle */
void engine_start(struct engine *engine, const struct engine_transfer *t);

/** engine_state() - what a channel does, an enum channel_state */
u32 engine_state(struct engine *engine, unsigned int channel);

/** engine_error() - why its last transfer failed */
u32 engine_error(struct engine *engine, unsigned int channel);

/** engine_fault() - the address at which it did */
u64 engine_fault(struct engine *engine, unsigned int channel);

/** engine_raise() - let the device raise a vector, in use or not */
void engine_raise(struct engine *engine, unsigned int vector);

/** engine_is_pending() - does the vector's bit in the pending bits of MSI-X say so? */
bool engine_is_pending(struct engine *engine, unsigned int vector);

/** engine_wait() - for a vector; -ETIMEDOUT when nothing came in a long time */
int engine_wait(struct engine *engine, unsigned int vector);

/**
 * engine_transfer() - do one, with an interrupt, and check that it went right
 *
 * The caller alone uses the channel and the vector. Sleeps.
 *
 * Return: 0; -ETIMEDOUT without an interrupt; -EIO when the device, or the
 * number of interrupts, says something else than a success. With @extra, it may
 * be over before its interrupt comes.
 */
int engine_transfer(struct engine *engine, const struct engine_transfer *t);

/** engine_run() - run a case of cases.c by its name; the device is locked */
int engine_run(struct engine *engine, const char *name, unsigned int a, unsigned int b);

/**
 * engine_transfers() - random transfers on all channels at once, against the shadow
 * @count: how many
 * @seed: what to make them of
 * @meddle: what happens to the vectors meanwhile
 */
int engine_transfers(struct engine *engine, unsigned int count, unsigned int seed,
		     enum meddle meddle);

#endif
