/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An NVMe 1.4 controller with one namespace, on a file or on memory, complete
 * enough for a stock driver. I/O queues, MSI-X, PRPs; no SGLs, no metadata, no
 * namespace management. A command is done when its turn comes, in order.
 */
#ifndef APPLE_DMA_NVME_H
#define APPLE_DMA_NVME_H

#include <stddef.h>

#include "dextd/options.h"
#include "physical.h"

#define NVME_VENDOR		0x1b36
#define NVME_DEVICE		0x00f6
#define NVME_CLASS		0x010802
#define NVME_DEFAULT_SIZE	(UINT64_C(64) << 20)

/**
 * nvme_create() - a controller, ended by physical_destroy()
 * @why: set to a sentence for NULL, of @why_size bytes
 */
struct physical *nvme_create(struct dart *dart, const struct device_options *options, char *why,
			     size_t why_size);

#endif
