/* SPDX-License-Identifier: GPL-2.0 */
/* Inside the NVMe controller. */
#ifndef APPLE_DMA_NVME_CONTROLLER_H
#define APPLE_DMA_NVME_CONTROLLER_H

#include "nvme-spec.h"
#include "physical.h"

#define NVME_QUEUES	65		/* with the admin queue */
#define NVME_EVENTS	4		/* asynchronous event requests at a time */
#define NVME_NO_ANSWER	0xffff		/* instead of a status: it is answered later */
#define NVME_MAX_PIECES	(NVME_MAX_TRANSFER / 4096 + 1)
#define NVME_CHUNKS	256		/* of the host memory buffer */
#define NVME_UNIT	4096		/* what the sizes of that buffer are in */

/** struct nvme_pieces - the memory of a transfer, in order; @len is in bytes */
struct nvme_pieces {
	uint64_t address[NVME_MAX_PIECES];
	uint32_t len[NVME_MAX_PIECES];
	unsigned int count;
};

/**
 * struct nvme_hmb - the host memory buffer
 * @preferred: units that the controller asks for and uses, at most; 0 for no buffer
 * @least: units without which it does not take a buffer
 * @units: in use now; 0 while it is disabled
 * @known: units that have had a record since nvme_hmb_reset(), and may be returned
 * @chunks: memory of the host, in order
 * @list: address of the host's list
 * @pages: size that the host said, in its pages
 * @records: what the first 8 bytes of each unit must be
 * @serial: the last record
 * @uses: commands that used the buffer
 * @errors: of these, those that did not find their record
 */
struct nvme_hmb {
	uint32_t preferred;
	uint32_t least;
	uint32_t units;
	uint32_t known;
	struct {
		uint64_t address;
		uint64_t units;
	} chunks[NVME_CHUNKS];
	unsigned int count;
	uint64_t list;
	uint32_t pages;
	uint64_t *records;
	uint64_t serial;
	uint64_t uses;
	uint64_t errors;
};

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
	bool sgl;			/* it takes SGLs */
	uint64_t sgl_commands;
	struct nvme_hmb hmb;
	uint8_t *buffer;		/* of NVME_MAX_TRANSFER */
};

/**
 * nvme_sgl_walk() - the pieces that a command's SGL leads to
 * @len: bytes that they must have
 *
 * Return: an enum nvme_status.
 */
uint16_t nvme_sgl_walk(struct nvme *nvme, const struct nvme_command *command, uint32_t len,
		       struct nvme_pieces *pieces);

/** nvme_hmb_set() - the command set features for the host memory buffer; returns its status */
uint16_t nvme_hmb_set(struct nvme *nvme, const struct nvme_command *command);

/** nvme_hmb_describe() - what get features sends to the host, 4096 bytes */
void nvme_hmb_describe(const struct nvme *nvme, uint8_t *data);

/**
 * nvme_hmb_use() - read and write the record in one unit, if there is a buffer
 * @at: chooses the unit
 *
 * Return: an enum nvme_status; an error if the DART has no mapping for the
 * unit, or the record is not there.
 */
uint16_t nvme_hmb_use(struct nvme *nvme, uint64_t at);

/** nvme_hmb_reset() - after a reset or a shutdown it has no buffer and knows no record */
void nvme_hmb_reset(struct nvme *nvme);

/**
 * nvme_transfer() - between a buffer here and the PRPs or the SGL of a command
 * @buffer: of @len bytes, at most NVME_MAX_TRANSFER
 * @to_host: else from the host
 *
 * Return: an enum nvme_status. PRPs or SGL are checked before anything moves.
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
