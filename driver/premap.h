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

/**
 * struct apple_dma_premap - the premapped memory of one companion
 * @wanted: the device gets a table, and no DMA operations; constant
 * @arena: what is registered
 * @stale: it has other addresses now: release it when the driver is gone
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
bool apple_dma_premap_close(struct apple_dma_premap *p, struct device *dev);
void apple_dma_premap_release(struct apple_dma_premap *p,
			      struct apple_dma_engine *e);

#endif /* APPLE_DMA_PREMAP_H */
