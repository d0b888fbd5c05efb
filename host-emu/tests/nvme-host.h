/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A small NVMe driver on the client library, for tests. Its memory is
 * registered in pieces of 16 KiB, so that no two pages of a transfer need be
 * neighbours for the device.
 */
#ifndef APPLE_DMA_TEST_NVME_HOST_H
#define APPLE_DMA_TEST_NVME_HOST_H

#include "client/apple-dext-client.h"
#include "pci/nvme-spec.h"
#include "service.h"

#define HOST_PAGE	UINT64_C(4096)
#define HOST_PIECE	UINT64_C(16384)
#define HOST_MEMORY	(UINT64_C(6) << 20)
#define HOST_ENTRIES	32		/* of a queue */
#define HOST_QUEUES	5		/* with the admin queue */

struct host_queue {
	uint8_t *sq;
	uint8_t *cq;
	uint32_t entries;		/* of the completion queue */
	uint32_t tail;
	uint32_t head;
	uint32_t phase;
	uint64_t interrupts;		/* that were waited for */
};

struct nvme_host {
	struct service *service;
	io_connect_t c;
	uint8_t *memory;
	uint64_t used;			/* of the memory, by host_pages() */
	uint64_t bus[HOST_MEMORY / HOST_PIECE];
	struct host_queue queues[HOST_QUEUES];
	uint16_t cid;
	AppleDextInterruptNotify *notify;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t bits[HOST_QUEUES];	/* interrupts seen */
	uint64_t random;
};

/** host_start() - connect, claim, register, set up interrupts, enable */
struct nvme_host *host_start(const char *device);

/** host_stop() - the end of it */
void host_stop(struct nvme_host *h);

/** host_enable() - the controller and its admin queue, from any state */
void host_enable(struct nvme_host *h);

/** host_create_queues() - all I/O queues, queue n with vector n */
void host_create_queues(struct nvme_host *h);

/** host_pages() - so many pages of registered memory */
uint8_t *host_pages(struct nvme_host *h, unsigned int pages);

/** host_bus() - the device's address of registered memory */
uint64_t host_bus(const struct nvme_host *h, const void *at);

/** host_random() - below @below */
uint64_t host_random(struct nvme_host *h, uint64_t below);

/** host_get() - a register of 32 bits */
uint32_t host_get(struct nvme_host *h, uint64_t offset);

/** host_set() - a register of @width bytes */
void host_set(struct nvme_host *h, uint64_t offset, unsigned int width, uint64_t value);

/** host_io() - a command of an I/O queue, without the place of its data */
struct nvme_command host_io(uint8_t opcode, uint64_t lba, uint32_t blocks);

/** host_submit() - put a command in a queue, ringing if @ring; returns its cid */
uint16_t host_submit(struct nvme_host *h, unsigned int queue, struct nvme_command *command,
		     bool ring);

/** host_take() - the next completion, if it is there; rings for the head */
bool host_take(struct nvme_host *h, unsigned int queue, struct nvme_completion *entry);

/**
 * host_do() - one command, waiting for its interrupt
 * Return: its status, without the phase.
 */
uint16_t host_do(struct nvme_host *h, unsigned int queue, struct nvme_command *command,
		 uint32_t *result);

#endif
