// SPDX-License-Identifier: GPL-2.0
/* NVMe: PRPs, and the commands of I/O queues. */
#include <string.h>
#include <unistd.h>

#include "nvme-controller.h"

#define INVALID(code)	((uint16_t)((code) | NVME_DNR))

/* A page, or the rest of one; the last piece of a transfer may have more than it needs. */
static void add(const struct nvme *nvme, struct nvme_pieces *pieces, uint64_t address)
{
	const uint32_t page = nvme_page(nvme);

	pieces->address[pieces->count] = address;
	pieces->len[pieces->count++] = page - (address & (page - 1));
}

/* Read entries of a PRP list; a full page continues in another one. */
static uint16_t walk_list(struct nvme *nvme, uint64_t list, uint32_t left,
			  struct nvme_pieces *pieces)
{
	const uint32_t page = nvme_page(nvme);
	uint32_t pages = (left - 1) / page + 1;
	uint64_t entries[512];

	if (list & 7)
		return INVALID(NVME_INVALID_PRP_OFFSET);
	while (pages) {
		uint64_t room = (page - (list & (page - 1))) / sizeof(entries[0]);
		unsigned int n, i;

		/* The last entry of a page links to the next page, unless it ends the transfer. */
		n = pages < room ? pages : room;
		n = n < 512 ? n : 512;
		if (!physical_dma_read(&nvme->dev, list, entries, n * sizeof(entries[0])))
			return NVME_TRANSFER_ERROR;
		for (i = 0; i < n && pages; i++) {
			if (i + 1 == room && pages > 1)
				break;
			if (entries[i] & (page - 1))
				return INVALID(NVME_INVALID_PRP_OFFSET);
			add(nvme, pieces, entries[i]);
			pages--;
		}
		if (!pages)
			break;
		if (i == n) {
			list += n * sizeof(entries[0]);
			continue;
		}
		/* The link must be aligned to a page, so that every later round reads entries. */
		if (entries[i] & (page - 1))
			return INVALID(NVME_INVALID_PRP_OFFSET);
		list = entries[i];
	}
	return NVME_OK;
}

static uint16_t walk(struct nvme *nvme, const struct nvme_command *command, uint32_t len,
		     struct nvme_pieces *pieces)
{
	const uint32_t page = nvme_page(nvme);
	const uint32_t offset = command->prp1 & (page - 1);
	uint32_t first = page - offset;

	if (offset & 3)
		return INVALID(NVME_INVALID_PRP_OFFSET);
	add(nvme, pieces, command->prp1);
	if (len <= first)
		return NVME_OK;
	len -= first;
	if (len > page)
		return walk_list(nvme, command->prp2, len, pieces);
	if (command->prp2 & (page - 1))
		return INVALID(NVME_INVALID_PRP_OFFSET);
	add(nvme, pieces, command->prp2);
	return NVME_OK;
}

uint16_t nvme_transfer(struct nvme *nvme, const struct nvme_command *command, void *buffer,
		       uint32_t len, bool to_host)
{
	struct nvme_pieces pieces;
	uint8_t *at = buffer;
	uint16_t status;

	pieces.count = 0;
	if (command->flags) {
		nvme->sgl_commands++;
		status = nvme_sgl_walk(nvme, command, len, &pieces);
	} else {
		status = walk(nvme, command, len, &pieces);
	}
	for (unsigned int i = 0; status == NVME_OK && i < pieces.count; i++) {
		const uint32_t n = len < pieces.len[i] ? len : pieces.len[i];
		bool ok;

		ok = to_host ? physical_dma_write(&nvme->dev, pieces.address[i], at, n) :
			       physical_dma_read(&nvme->dev, pieces.address[i], at, n);
		if (!ok)
			status = NVME_TRANSFER_ERROR;
		at += n;
		len -= n;
	}
	return status;
}

static bool read_disk(const struct nvme *nvme, uint64_t at, uint32_t len)
{
	for (uint32_t done = 0; done < len;) {
		ssize_t n = pread(nvme->fd, nvme->buffer + done, len - done, (off_t)(at + done));

		if (n <= 0)
			return false;
		done += (uint32_t)n;
	}
	return true;
}

static bool write_disk(const struct nvme *nvme, uint64_t at, uint32_t len)
{
	for (uint32_t done = 0; done < len;) {
		ssize_t n = pwrite(nvme->fd, nvme->buffer + done, len - done, (off_t)(at + done));

		if (n <= 0)
			return false;
		done += (uint32_t)n;
	}
	return true;
}

static uint16_t flush(const struct nvme *nvme)
{
	return fdatasync(nvme->fd) ? NVME_WRITE_FAULT : NVME_OK;
}

static uint16_t write_zeroes(struct nvme *nvme, uint64_t at, uint64_t len)
{
	memset(nvme->buffer, 0, NVME_MAX_TRANSFER);
	for (uint64_t n; len; at += n, len -= n) {
		n = len < NVME_MAX_TRANSFER ? len : NVME_MAX_TRANSFER;
		if (!write_disk(nvme, at, (uint32_t)n))
			return NVME_WRITE_FAULT;
	}
	return NVME_OK;
}

static uint16_t read_write(struct nvme *nvme, const struct nvme_command *command, uint64_t at,
			   uint32_t len)
{
	const bool write = command->opcode == NVME_WRITE;
	uint16_t status;

	nvme->counts[write]++;
	nvme->bytes[write] += len;
	status = nvme_hmb_use(nvme, at);
	if (status != NVME_OK)
		return status;
	if (!write) {
		if (!read_disk(nvme, at, len))
			return NVME_READ_ERROR;
		return nvme_transfer(nvme, command, nvme->buffer, len, true);
	}
	status = nvme_transfer(nvme, command, nvme->buffer, len, false);
	if (status != NVME_OK)
		return status;
	if (!write_disk(nvme, at, len))
		return NVME_WRITE_FAULT;
	/* Force unit access. */
	return command->cdw12 & UINT32_C(1) << 30 ? flush(nvme) : NVME_OK;
}

uint16_t nvme_io(struct nvme *nvme, const struct nvme_command *command)
{
	const uint64_t lba = command->cdw10 | (uint64_t)command->cdw11 << 32;
	const uint64_t blocks = (command->cdw12 & 0xffff) + 1;
	const uint64_t len = blocks << nvme->lba_shift;

	if (command->opcode == NVME_FLUSH)
		return command->nsid == 1 || command->nsid == UINT32_MAX ?
			flush(nvme) : INVALID(NVME_INVALID_NAMESPACE);
	if (command->opcode != NVME_READ && command->opcode != NVME_WRITE &&
	    command->opcode != NVME_WRITE_ZEROES)
		return INVALID(NVME_INVALID_OPCODE);
	if (command->nsid != 1)
		return INVALID(NVME_INVALID_NAMESPACE);
	if (lba >= nvme->blocks || blocks > nvme->blocks - lba)
		return INVALID(NVME_LBA_RANGE);
	if (command->opcode == NVME_WRITE_ZEROES)
		return write_zeroes(nvme, lba << nvme->lba_shift, len);
	if (len > NVME_MAX_TRANSFER)
		return INVALID(NVME_INVALID_FIELD);
	return read_write(nvme, command, lba << nvme->lba_shift, (uint32_t)len);
}
