/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the guest has memory.
 */
#ifndef APPLE_DMA_RAM_H
#define APPLE_DMA_RAM_H

#include <linux/notifier.h>
#include <linux/types.h>

struct apple_dma_engine;

/**
 * struct apple_dma_range - a range of guest-physical memory
 * @phys: guest-physical address
 * @size: bytes
 */
struct apple_dma_range {
	u64 phys;
	u64 size;
};

/* Do two ranges have an address in common, or touch? */
static inline bool apple_dma_touch(const struct apple_dma_range *a,
				   const struct apple_dma_range *b)
{
	return a->phys <= b->phys + b->size && b->phys <= a->phys + a->size;
}

/**
 * struct apple_dma_ram - where the guest has memory
 * @ranges: System RAM, in ascending order, no two of them touch
 * @n: how many
 * @bytes: their sum
 * @nb: memory hotplug
 * @gone: called with a range that goes offline, in process context
 *
 * Only windows larger than what was asked for are looked up here.
 */
struct apple_dma_ram {
	struct apple_dma_range *ranges;
	unsigned int n;
	u64 bytes;
	struct notifier_block nb;
	void (*gone)(struct apple_dma_engine *e, u64 start, u64 end);
};

int apple_dma_ram_init(struct apple_dma_engine *e);
int apple_dma_ram_set(struct apple_dma_engine *e,
		      const struct apple_dma_range *ranges, unsigned int n);
void apple_dma_ram_exit(struct apple_dma_engine *e);
bool apple_dma_ram_has(struct apple_dma_engine *e, u64 phys, u64 size);
bool apple_dma_ram_mappable(struct apple_dma_engine *e, u64 phys, u64 size);

#endif /* APPLE_DMA_RAM_H */
