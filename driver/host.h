/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The seam between the engine and a host, real or faked.
 */
#ifndef APPLE_DMA_HOST_H
#define APPLE_DMA_HOST_H

#include <linux/bits.h>
#include <linux/types.h>

#include <linux/apple_dma.h>

/*
 * Most entries the module puts in one doorbell. The host works through them
 * while the caller has interrupts off, and the command page with both arrays
 * has to fit one page.
 */
#define APPLE_DMA_BATCH_MAX	64U

#define APPLE_DMA_GRANULE_MASK	((u64)APPLE_DMA_GRANULE_SIZE - 1)

/**
 * struct apple_dma_map_entry - one range the host is asked to map
 * @gpa: guest-physical start, the handle too; a multiple of the granule
 * @len: bytes, a multiple of the granule
 * @iova: answer: the device address of @gpa, valid if @err is 0
 * @err: answer: 0, or -EIO if the host refused the range
 */
struct apple_dma_map_entry {
	u64 gpa;
	u64 len;
	u64 iova;
	int err;
};

/**
 * struct apple_dma_unmap_entry - one mapping the host is asked to release
 * @handle: the @gpa it was mapped with
 * @len: its bytes
 * @err: answer: 0, or -EIO if the host refused
 */
struct apple_dma_unmap_entry {
	u64 handle;
	u64 len;
	int err;
};

/**
 * struct apple_dma_host_ops - the way to a host, real or faked
 * @map: map @n (1 to the batch limit) ranges with one doorbell
 * @unmap: release @n mappings with one doorbell
 * @reason: after -EPROTO: what the host did wrong; a string constant
 * @fit: how many entries a doorbell may have now, at least 1; NULL: any number
 *
 * Called with the engine's lock held and interrupts off; must not sleep. The
 * answers have been checked against the protocol: an entry with @err 0 was
 * confirmed by the host for its whole length.
 *
 * @map and @unmap return 0 when every entry has an answer, or -EPROTO when the host
 * broke the protocol: then no answer counts, and the caller must not trust
 * the host again.
 */
struct apple_dma_host_ops {
	int (*map)(void *host, struct apple_dma_map_entry *entries,
		   unsigned int n);
	int (*unmap)(void *host, struct apple_dma_unmap_entry *entries,
		     unsigned int n);
	const char *(*reason)(void *host);
	unsigned int (*fit)(void *host);
};

#endif /* APPLE_DMA_HOST_H */
