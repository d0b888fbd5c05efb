/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device whose maps the kernel translates by a table; see arena.h.
 */
#ifndef APPLE_DMA_PREMAP_H
#define APPLE_DMA_PREMAP_H

#include <linux/device.h>
#include <linux/notifier.h>

#include "arena.h"

struct apple_dma_engine;
struct io_tlb_mem;

/* Why a device may map nothing; Documentation/premap.md has the messages. */
enum apple_dma_premap_refusal {
	APPLE_DMA_PREMAP_ALLOWED,	/* it may, or was never bound to a driver */
	APPLE_DMA_PREMAP_LAYOUT,	/* the guest's memory has no layout that fits */
	APPLE_DMA_PREMAP_BALLOON,	/* the guest gives memory back to the host */
	APPLE_DMA_PREMAP_STRICT,	/* mode=strict */
	APPLE_DMA_PREMAP_OPS,		/* it still has DMA operations */
	APPLE_DMA_PREMAP_FIRMWARE,	/* it has a table of the firmware */
	APPLE_DMA_PREMAP_BOUNCE,	/* it must bounce everything */
	APPLE_DMA_PREMAP_TABLE,		/* an older table is needed, and does not fit */
	APPLE_DMA_PREMAP_PIECES,	/* the host takes no piece that is left */
	APPLE_DMA_PREMAP_ENDS,		/* no end of a piece can be kept */
	APPLE_DMA_PREMAP_ROOM,		/* others have the bytes or the entries */
	APPLE_DMA_PREMAP_BROKEN,	/* the companion is broken */
	APPLE_DMA_PREMAP_MEMORY,	/* an allocation failed */
	APPLE_DMA_PREMAP_REFUSALS
};

/**
 * struct apple_dma_premap - the premapped memory of one companion
 * @wanted: the device gets a table, and no DMA operations; constant
 * @arena: what is registered
 * @stale: it has other addresses now: release it when the driver is gone
 * @refusal: why the last driver may map nothing; read without the lock
 * @table: what the table of the device says, also when the core has freed it
 * @n: how many entries
 * @attached: the device has a driver, or is about to, and its node and its bounce
 *	pool may be others than before
 * @limit: its own limit, without the arena's; 0 if it has none
 * @node: its node before
 * @bounce: its bounce pool before
 * @nb: memory hotplug
 *
 * The lock of the managed device protects all of it, except @arena for @nb: there the
 * hotplug lock of the kernel is held, and what is missed was not registered yet.
 */
struct apple_dma_premap {
	bool wanted;
	struct apple_dma_arena arena;
	bool stale;
	enum apple_dma_premap_refusal refusal;
	struct apple_dma_arena_entry table[APPLE_DMA_ARENA_MAX];
	unsigned int n;
	bool attached;
	u64 limit;
	int node;
	struct io_tlb_mem *bounce;
	struct notifier_block nb;
};

int apple_dma_premap_mode(const char *ops);
int apple_dma_premap_init(struct apple_dma_premap *p, bool wanted);
void apple_dma_premap_exit(struct apple_dma_premap *p);
void apple_dma_premap_attach(struct apple_dma_premap *p,
			     struct apple_dma_engine *e, struct device *dev);
void apple_dma_premap_detach(struct apple_dma_premap *p,
			     struct apple_dma_engine *e, struct device *dev);
void apple_dma_premap_forget(struct device *dev);
bool apple_dma_premap_close(struct apple_dma_premap *p, struct device *dev,
			    enum apple_dma_premap_refusal refusal);
const char *apple_dma_premap_refusal(const struct apple_dma_premap *p);
void apple_dma_premap_release(struct apple_dma_premap *p,
			      struct apple_dma_engine *e);

#endif /* APPLE_DMA_PREMAP_H */
