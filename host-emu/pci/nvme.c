// SPDX-License-Identifier: GPL-2.0
/* The NVMe controller: its registers, its queues, and the turn that serves them. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "nvme.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nvme-controller.h"

#define TURN	8	/* most commands of a queue before the next queue is served */

static uint64_t capabilities(void)
{
	return (uint64_t)(NVME_MAX_PAGE_SHIFT - 12) << 52 |	/* MPSMAX */
	       UINT64_C(1) << 37 |				/* NVM commands */
	       UINT64_C(20) << 24 |				/* ready in 10 s */
	       UINT64_C(1) << 16 |				/* contiguous queues */
	       (NVME_MAX_ENTRIES - 1);
}

static void fail(struct nvme *nvme)
{
	nvme->csts |= NVME_CSTS_CFS;
}

/* Reset what does not survive CC.EN = 0. */
static void disable(struct nvme *nvme)
{
	memset(nvme->sqs, 0, sizeof(nvme->sqs));
	memset(nvme->cqs, 0, sizeof(nvme->cqs));
	memset(nvme->features, 0, sizeof(nvme->features));
	nvme->features[NVME_FEATURE_TEMPERATURE] = 0x157;
	nvme->features[NVME_FEATURE_WRITE_CACHE] = 1;
	nvme->features[NVME_FEATURE_QUEUES] =
		(nvme->max_queues - 1) << 16 | (nvme->max_queues - 1);
	nvme->events = 0;
	nvme->csts = 0;
	nvme_hmb_reset(nvme);
}

static void nvme_reset(struct physical *dev)
{
	struct nvme *nvme = (struct nvme *)dev;

	disable(nvme);
	nvme->cc = 0;
	nvme->aqa = 0;
	nvme->asq = 0;
	nvme->acq = 0;
}

static void enable(struct nvme *nvme)
{
	const uint32_t sq_size = (nvme->aqa & 0xfff) + 1, cq_size = (nvme->aqa >> 16 & 0xfff) + 1;
	const uint64_t offset = nvme_page(nvme) - 1;

	if (NVME_CC_CSS(nvme->cc) || NVME_CC_AMS(nvme->cc) ||
	    NVME_CC_MPS(nvme->cc) > NVME_MAX_PAGE_SHIFT - 12 || sq_size < 2 || cq_size < 2 ||
	    nvme->asq & offset || nvme->acq & offset) {
		fail(nvme);
		return;
	}
	nvme->sqs[0] = (struct nvme_sq){ .base = nvme->asq, .size = sq_size };
	nvme->cqs[0] = (struct nvme_cq){
		.base = nvme->acq, .size = cq_size, .phase = 1, .interrupts = true, .users = 1,
	};
	nvme->csts |= NVME_CSTS_RDY;
}

static void set_cc(struct nvme *nvme, uint32_t value)
{
	const bool was = nvme->cc & NVME_CC_EN, is = value & NVME_CC_EN;

	nvme->cc = value;
	if (was && !is)
		disable(nvme);
	else if (!was && is)
		enable(nvme);
	if (NVME_CC_SHN(value)) {
		fdatasync(nvme->fd);
		nvme_hmb_reset(nvme);
		nvme->csts |= NVME_CSTS_SHUT_DOWN;
	} else {
		nvme->csts &= ~(uint32_t)NVME_CSTS_SHUT_DOWN;
	}
}

/* A write that is no doorbell, or has no valid value, changes nothing. */
static void ring(struct nvme *nvme, uint64_t offset, uint32_t value)
{
	const uint64_t id = (offset - NVME_DOORBELLS) / 8;

	if (id >= NVME_QUEUES || !(nvme->csts & NVME_CSTS_RDY))
		return;
	if (!(offset & 4) && value < nvme->sqs[id].size)
		nvme->sqs[id].tail = value;
	else if (offset & 4 && value < nvme->cqs[id].size)
		nvme->cqs[id].head = value;
}

static void set_half(uint64_t *to, bool high, uint32_t value)
{
	*to = high ? (uint32_t)*to | (uint64_t)value << 32 : (*to >> 32 << 32) | value;
}

static void write_register(struct nvme *nvme, uint64_t offset, uint32_t value)
{
	if (offset >= NVME_DOORBELLS && offset < NVME_MSIX_TABLE) {
		ring(nvme, offset, value);
		return;
	}
	switch (offset) {
	case NVME_CC:
		set_cc(nvme, value);
		break;
	case NVME_AQA:
		nvme->aqa = value;
		break;
	case NVME_ASQ:
	case NVME_ASQ + 4:
		set_half(&nvme->asq, offset != NVME_ASQ, value);
		break;
	case NVME_ACQ:
	case NVME_ACQ + 4:
		set_half(&nvme->acq, offset != NVME_ACQ, value);
		break;
	default:
		break;
	}
}

static uint32_t read_register(const struct nvme *nvme, uint64_t offset)
{
	switch (offset) {
	case NVME_CAP:
		return (uint32_t)capabilities();
	case NVME_CAP + 4:
		return (uint32_t)(capabilities() >> 32);
	case NVME_VS:
		return NVME_VERSION;
	case NVME_CC:
		return nvme->cc;
	case NVME_CSTS:
		return nvme->csts;
	case NVME_AQA:
		return nvme->aqa;
	case NVME_ASQ:
		return (uint32_t)nvme->asq;
	case NVME_ASQ + 4:
		return (uint32_t)(nvme->asq >> 32);
	case NVME_ACQ:
		return (uint32_t)nvme->acq;
	case NVME_ACQ + 4:
		return (uint32_t)(nvme->acq >> 32);
	default:
		return 0;
	}
}

/* Registers are all in BAR0. */
static uint64_t nvme_read(struct physical *dev, unsigned int bar, uint64_t offset,
			  unsigned int width)
{
	const struct nvme *nvme = (struct nvme *)dev;

	(void)bar;
	if (width == 8)
		return read_register(nvme, offset) |
		       (uint64_t)read_register(nvme, offset + 4) << 32;
	return read_register(nvme, offset & ~UINT64_C(3)) >> (8 * (offset & 3));
}

static void nvme_write(struct physical *dev, unsigned int bar, uint64_t offset,
		       unsigned int width, uint64_t value)
{
	struct nvme *nvme = (struct nvme *)dev;

	(void)bar;
	if (width < 4)
		return;
	write_register(nvme, offset, (uint32_t)value);
	if (width == 8)
		write_register(nvme, offset + 4, (uint32_t)(value >> 32));
}

/*
 * The byte with the phase is written last and alone: the kernel may copy to
 * another process in any order.
 */
static bool post(struct nvme *nvme, struct nvme_cq *cq, struct nvme_completion *entry)
{
	const uint64_t at = cq->base + cq->tail * sizeof(*entry);
	const uint8_t *bytes = (const uint8_t *)entry;

	entry->status = (uint16_t)(entry->status << 1) | cq->phase;
	if (!physical_dma_write(&nvme->dev, at, bytes, 14) ||
	    !physical_dma_write(&nvme->dev, at + 15, bytes + 15, 1))
		return false;
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!physical_dma_write(&nvme->dev, at + 14, bytes + 14, 1))
		return false;
	cq->tail++;
	if (cq->tail == cq->size) {
		cq->tail = 0;
		cq->phase ^= 1;
	}
	cq->raise = true;
	return true;
}

static bool is_full(const struct nvme_cq *cq)
{
	return (cq->tail + 1) % cq->size == cq->head;
}

/* No fused commands; SGLs are for I/O only. */
static bool takes_flags(const struct nvme *nvme, uint16_t sqid, uint8_t flags)
{
	return !flags || (nvme->sgl && sqid &&
			  (flags == NVME_FLAG_SGL || flags == NVME_FLAG_SGL_METADATA));
}

static bool serve(struct nvme *nvme, uint16_t sqid)
{
	struct nvme_sq *sq = &nvme->sqs[sqid];
	struct nvme_completion entry = { .sq_id = sqid };
	struct nvme_command command;

	if (!physical_dma_read(&nvme->dev, sq->base + sq->head * sizeof(command), &command,
			       sizeof(command)))
		return false;
	sq->head = (sq->head + 1) % sq->size;
	entry.cid = command.cid;
	if (!takes_flags(nvme, sqid, command.flags))
		entry.status = NVME_INVALID_FIELD | NVME_DNR;
	else if (sqid)
		entry.status = nvme_io(nvme, &command);
	else
		entry.status = nvme_admin(nvme, &command, &entry.result);
	if (entry.status == NVME_NO_ANSWER)
		return true;
	entry.sq_head = (uint16_t)sq->head;
	return post(nvme, &nvme->cqs[sq->cqid], &entry);
}

static bool has_work(const struct nvme *nvme, const struct nvme_sq *sq)
{
	return nvme->csts == NVME_CSTS_RDY && sq->size && sq->head != sq->tail &&
	       !is_full(&nvme->cqs[sq->cqid]);
}

static bool nvme_work(struct physical *dev)
{
	struct nvme *nvme = (struct nvme *)dev;
	bool more = false;

	for (unsigned int id = 0; id <= nvme->max_queues; id++) {
		for (int i = 0; i < TURN && has_work(nvme, &nvme->sqs[id]); i++)
			if (!serve(nvme, (uint16_t)id))
				fail(nvme);
		more |= has_work(nvme, &nvme->sqs[id]);
	}
	for (unsigned int id = 0; id <= nvme->max_queues; id++) {
		struct nvme_cq *cq = &nvme->cqs[id];

		if (cq->raise && cq->interrupts)
			physical_raise(dev, cq->vector);
		cq->raise = false;
	}
	return more;
}

static void nvme_stats(struct physical *dev, FILE *to)
{
	const struct nvme *nvme = (struct nvme *)dev;

	fprintf(to, ", \"sgl_commands\": %" PRIu64 ", \"hmb_bytes\": %" PRIu64
		", \"hmb_uses\": %" PRIu64 ", \"hmb_errors\": %" PRIu64,
		nvme->sgl_commands, (uint64_t)nvme->hmb.units * NVME_UNIT, nvme->hmb.uses,
		nvme->hmb.errors);
}

static void nvme_destroy(struct physical *dev)
{
	struct nvme *nvme = (struct nvme *)dev;

	if (nvme->fd >= 0)
		close(nvme->fd);
	physical_fini(dev);
	free(nvme->hmb.records);
	free(nvme->buffer);
	free(nvme);
}

static bool check_hmb(const struct nvme_options *options, char *why, size_t why_size)
{
	const bool ok = options->hmb_min <= options->hmb &&
			!((options->hmb | options->hmb_min) % NVME_UNIT);

	if (!ok)
		snprintf(why, why_size, "hmb and hmb-min are multiples of %d, hmb-min at most hmb",
			 NVME_UNIT);
	return ok;
}

static bool open_disk(struct nvme *nvme, const struct nvme_options *options, char *why,
		      size_t why_size)
{
	const char *name = *options->file ? options->file : "memory";
	uint64_t size = options->size;
	struct stat status;

	if (*options->file)
		nvme->fd = open(options->file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	else
		nvme->fd = memfd_create("apple-nvme", MFD_CLOEXEC);
	if (nvme->fd < 0 || fstat(nvme->fd, &status)) {
		snprintf(why, why_size, "%s: %s", name, strerror(errno));
		return false;
	}
	if (!size)
		size = status.st_size > 0 ? (uint64_t)status.st_size : NVME_DEFAULT_SIZE;
	if ((uint64_t)status.st_size > size) {
		snprintf(why, why_size, "%s is larger than size=, and is not cut", name);
		return false;
	}
	if ((uint64_t)status.st_size < size && ftruncate(nvme->fd, (off_t)size)) {
		snprintf(why, why_size, "%s: cannot have %llu bytes: %s", name,
			 (unsigned long long)size, strerror(errno));
		return false;
	}
	nvme->blocks = size >> nvme->lba_shift;
	if (!nvme->blocks)
		snprintf(why, why_size, "the disk has not even one block");
	return nvme->blocks;
}

struct physical *nvme_create(struct dart *dart, uint16_t bdf, enum physical_interrupts interrupts,
			     const struct nvme_options *options, char *why, size_t why_size)
{
	static const struct physical_ops ops = {
		nvme_read, nvme_write, nvme_reset, nvme_work, nvme_stats, nvme_destroy,
	};
	static const struct physical_id id = { NVME_VENDOR, NVME_DEVICE, NVME_CLASS, 1 };
	struct nvme *nvme = calloc(1, sizeof(*nvme));

	snprintf(why, why_size, "no memory for the device");
	if (!nvme)
		return NULL;
	physical_init(&nvme->dev, &ops, dart, bdf, &id);
	nvme->fd = -1;
	nvme->lba_shift = options->block == 4096 ? 12 : 9;
	nvme->max_queues = options->queues;
	nvme->sgl = options->sgl;
	nvme->buffer = malloc(NVME_MAX_TRANSFER);
	nvme->hmb.preferred = (uint32_t)(options->hmb / NVME_UNIT);
	nvme->hmb.least = (uint32_t)(options->hmb_min / NVME_UNIT);
	nvme->hmb.records = calloc(nvme->hmb.preferred + 1, sizeof(*nvme->hmb.records));
	/* BAR4 is prefetchable memory without a use, for a client to map. */
	if (!nvme->buffer || !nvme->hmb.records || !check_hmb(options, why, why_size) ||
	    !open_disk(nvme, options, why, why_size) ||
	    !physical_add_bar(&nvme->dev, 0, BAR_M64, NVME_BAR_SIZE, false) ||
	    !physical_add_bar(&nvme->dev, 4, BAR_M64PF, 65536, true)) {
		nvme_destroy(&nvme->dev);
		return NULL;
	}
	if (interrupts == INTERRUPTS_INTX)
		physical_add_pin(&nvme->dev);
	else if (interrupts == INTERRUPTS_MSI)
		physical_add_msi(&nvme->dev, nvme->max_queues + 1);
	else if (interrupts == INTERRUPTS_MSIX)
		physical_add_msix(&nvme->dev, 0, NVME_MSIX_TABLE, NVME_MSIX_PBA,
				  nvme->max_queues + 1);
	nvme_reset(&nvme->dev);
	return &nvme->dev;
}
