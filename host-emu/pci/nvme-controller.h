/* SPDX-License-Identifier: GPL-2.0 */
/* Inside the NVMe controller. */
#ifndef APPLE_DMA_NVME_CONTROLLER_H
#define APPLE_DMA_NVME_CONTROLLER_H

#include "nvme-spec.h"
#include "physical.h"

#define NVME_QUEUES	65		/* with the admin queue */
#define NVME_EVENTS	4		/* asynchronous event requests at a time */
#define NVME_NO_ANSWER	0xffff		/* instead of a status: it is answered later */

/** struct nvme_sq - a submission queue; there when it has a size */
struct nvme_sq {
	uint64_t base;
	uint32_t size;
	uint32_t head;
	uint32_t tail;
	uint16_t cqid;
};

/** struct nvme_cq - a completion queue; there when it has a size */
struct nvme_cq {
	uint64_t base;
	uint32_t size;
	uint32_t head;
	uint32_t tail;
	uint16_t phase;
	uint16_t vector;
	bool interrupts;
	bool raise;			/* entries were added in this turn */
	unsigned int users;		/* submission queues */
};

struct nvme {
	struct physical dev;
	int fd;				/* of the disk, a file in any case */
	uint64_t blocks;
	unsigned int lba_shift;
	unsigned int max_queues;	/* for I/O */
	uint32_t cc;
	uint32_t csts;
	uint32_t aqa;
	uint64_t asq;
	uint64_t acq;
	struct nvme_sq sqs[NVME_QUEUES];
	struct nvme_cq cqs[NVME_QUEUES];
	uint32_t features[NVME_FEATURES];
	unsigned int events;		/* requests that wait for one */
	uint64_t counts[2];		/* read and write commands */
	uint64_t bytes[2];		/* that they moved */
	uint8_t *buffer;		/* of NVME_MAX_TRANSFER */
};

/**
 * nvme_transfer() - between a buffer here and the PRPs of a command
 * @buffer: of @len bytes, at most NVME_MAX_TRANSFER
 * @to_host: else from the host
 *
 * Return: an enum nvme_status. The PRPs are all checked before anything moves.
 */
uint16_t nvme_transfer(struct nvme *nvme, const struct nvme_command *command, void *buffer,
		       uint32_t len, bool to_host);

/** nvme_io() - a command of an I/O queue; returns its status */
uint16_t nvme_io(struct nvme *nvme, const struct nvme_command *command);

/** nvme_admin() - a command of the admin queue; returns its status, or NVME_NO_ANSWER */
uint16_t nvme_admin(struct nvme *nvme, const struct nvme_command *command, uint32_t *result);

/** nvme_page() - the size of the host's pages, in bytes */
static inline uint32_t nvme_page(const struct nvme *nvme)
{
	return UINT32_C(4096) << NVME_CC_MPS(nvme->cc);
}

#endif
