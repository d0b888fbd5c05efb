/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The way to the host: the companion's registers and command page.
 */
#ifndef APPLE_DMA_TRANSPORT_H
#define APPLE_DMA_TRANSPORT_H

#include <linux/device.h>

#include "host.h"

/**
 * struct apple_dma_transport - the command page of one companion
 * @dev: names the companion in the log
 * @bar: its registers
 * @page: command page, then the two arrays; shared with the host
 * @page_gpa: guest-physical address of @page
 * @host_max: MAX_ENTRIES as read once
 * @wide: the host uses the wide map entries
 * @doorbells: doorbells rung, the layout probe included
 * @requests: entries in all of them
 * @batches: doorbells with more than one entry
 * @ns_sum: how long the writes took that trap
 * @ns_min: the shortest of them
 * @ns_max: the longest of them
 * @doorbell_us: how long a doorbell should take at most; 0: any time
 * @entry_ns: what an entry takes of a map, and of an unmap; 0 if not known
 * @proven: most entries of a doorbell that took no longer than @doorbell_us
 * @fit: entries of a doorbell that should take @doorbell_us at most
 * @reason: after -EPROTO: what the host did wrong; a string constant
 * @undo: mappings of a batch that are too short, and are to be released
 *
 * Calls that ring the doorbell must not run at the same time; the engine's lock
 * prevents it.
 */
struct apple_dma_transport {
	struct device *dev;
	void __iomem *bar;
	void *page;
	phys_addr_t page_gpa;
	u32 host_max;
	bool wide;
	u64 doorbells;
	u64 requests;
	u64 batches;
	u64 ns_sum;
	u64 ns_min;
	u64 ns_max;
	u32 doorbell_us;
	u64 entry_ns[2];
	u32 proven;
	u32 fit;
	const char *reason;
	struct apple_dma_unmap_entry undo[APPLE_DMA_BATCH_MAX];
};

extern const struct apple_dma_host_ops apple_dma_transport_ops;

int apple_dma_transport_init(struct apple_dma_transport *t,
			     struct device *dev, void __iomem *bar);
int apple_dma_transport_start(struct apple_dma_transport *t);
void apple_dma_transport_set_doorbell_us(struct apple_dma_transport *t,
					 u32 doorbell_us);
void apple_dma_transport_program(struct apple_dma_transport *t);
void apple_dma_transport_clear(struct apple_dma_transport *t);
void apple_dma_transport_free(struct apple_dma_transport *t, bool leak);

#endif /* APPLE_DMA_TRANSPORT_H */
