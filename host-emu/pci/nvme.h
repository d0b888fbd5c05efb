/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An NVMe 1.4 controller with one namespace, on a file or on memory, complete
 * enough for a stock driver. I/O queues, MSI-X, PRPs, SGLs, a host memory buffer;
 * no metadata, no namespace management. A command is done when its turn comes, in
 * order.
 */
#ifndef APPLE_DMA_NVME_H
#define APPLE_DMA_NVME_H

#include <stddef.h>

#include "physical.h"

#define NVME_VENDOR		0x1b36
#define NVME_DEVICE		0x00f6
#define NVME_CLASS		0x010802
#define NVME_DEFAULT_SIZE	(UINT64_C(64) << 20)

/**
 * struct nvme_options - what a controller is made of
 * @file: of the disk; empty for memory
 * @size: of the disk in bytes; 0 for that of the file
 * @block: of the disk, 512 or 4096 bytes
 * @queues: most I/O queues
 * @hmb: host memory buffer that it asks for, in bytes; 0 for none
 * @hmb_min: least that it takes, in bytes
 * @sgl: it takes SGLs
 */
struct nvme_options {
	char file[512];
	uint64_t size;
	unsigned int block;
	unsigned int queues;
	uint64_t hmb;
	uint64_t hmb_min;
	bool sgl;
};

/**
 * nvme_create() - a controller, ended by physical_destroy()
 * @interrupts: how it interrupts
 * @why: set to a sentence for NULL, of @why_size bytes
 */
struct physical *nvme_create(struct dart *dart, uint16_t bdf, enum physical_interrupts interrupts,
			     const struct nvme_options *options, char *why, size_t why_size);

#endif
