// SPDX-License-Identifier: GPL-2.0
/*
 * NVMe: the host memory buffer, which a controller without memory of its own asks for.
 * A real one keeps tables there that it cannot work without. This one keeps a record in
 * each unit, and each command that moves data reads one and writes it anew.
 */
#include <string.h>

#include "nvme-controller.h"

#define INVALID(code)	((uint16_t)((code) | NVME_DNR))

/* The host's address of a unit that is in use. */
static uint64_t address_of(const struct nvme_hmb *hmb, uint64_t unit)
{
	unsigned int i = 0;

	while (unit >= hmb->chunks[i].units)
		unit -= hmb->chunks[i++].units;
	return hmb->chunks[i].address + unit * NVME_UNIT;
}

static bool write_record(struct nvme *nvme, uint32_t unit)
{
	struct nvme_hmb *hmb = &nvme->hmb;

	/* No record is like another one. */
	hmb->serial += UINT64_C(0x9e3779b97f4a7c15);
	hmb->records[unit] = hmb->serial;
	return physical_dma_write(&nvme->dev, address_of(hmb, unit), &hmb->records[unit],
				  sizeof(hmb->records[unit]));
}

/* The host's list, as chunks; returns the units in them, 0 for a list that is not valid. */
static uint64_t take_list(struct nvme *nvme, const struct nvme_host_memory *list,
			  unsigned int count)
{
	struct nvme_hmb *hmb = &nvme->hmb;
	uint64_t units = 0;

	for (unsigned int i = 0; i < count; i++) {
		if (list[i].address & (nvme_page(nvme) - 1))
			return 0;
		hmb->chunks[i].address = list[i].address;
		hmb->chunks[i].units = (uint64_t)list[i].pages << NVME_CC_MPS(nvme->cc);
		units += hmb->chunks[i].units;
	}
	hmb->count = count;
	return units;
}

static uint16_t enable(struct nvme *nvme, const struct nvme_command *command)
{
	struct nvme_hmb *hmb = &nvme->hmb;
	struct nvme_host_memory list[NVME_CHUNKS];
	const uint64_t at = command->cdw13 | (uint64_t)command->cdw14 << 32;
	const uint64_t most = (uint64_t)command->cdw12 << NVME_CC_MPS(nvme->cc);
	const uint32_t count = command->cdw15;
	uint64_t units;

	if (hmb->units)
		return INVALID(NVME_SEQUENCE_ERROR);
	if (!count || count > NVME_CHUNKS || at & 15)
		return INVALID(NVME_INVALID_FIELD);
	if (!physical_dma_read(&nvme->dev, at, list, count * sizeof(list[0])))
		return NVME_TRANSFER_ERROR;
	units = take_list(nvme, list, count);
	units = units < most ? units : most;
	if (!units || units < hmb->least)
		return INVALID(NVME_INVALID_FIELD);
	units = units < hmb->preferred ? units : hmb->preferred;
	/* Memory that comes back has its records. */
	if (!(command->cdw11 & NVME_HOST_MEMORY_RETURN) || hmb->known != units)
		for (uint32_t unit = 0; unit < units; unit++)
			if (!write_record(nvme, unit))
				return NVME_TRANSFER_ERROR;
	hmb->list = at;
	hmb->pages = command->cdw12;
	hmb->units = (uint32_t)units;
	hmb->known = (uint32_t)units;
	return NVME_OK;
}

uint16_t nvme_hmb_set(struct nvme *nvme, const struct nvme_command *command)
{
	if (!nvme->hmb.preferred)
		return INVALID(NVME_INVALID_FIELD);
	if (command->cdw11 & NVME_HOST_MEMORY_ENABLE)
		return enable(nvme, command);
	nvme->hmb.units = 0;
	return NVME_OK;
}

void nvme_hmb_describe(const struct nvme *nvme, uint8_t *data)
{
	const struct nvme_hmb *hmb = &nvme->hmb;
	const uint32_t words[4] = {
		hmb->pages, (uint32_t)hmb->list, (uint32_t)(hmb->list >> 32), hmb->count,
	};

	memset(data, 0, 4096);
	if (hmb->units)
		memcpy(data, words, sizeof(words));
}

uint16_t nvme_hmb_use(struct nvme *nvme, uint64_t at)
{
	struct nvme_hmb *hmb = &nvme->hmb;
	uint64_t found;
	uint32_t unit;

	if (!hmb->units)
		return NVME_OK;
	/* Neighbours on the disk are far apart in the buffer. */
	unit = (uint32_t)(at / NVME_UNIT) * UINT32_C(0x9e3779b1);
	unit = (uint32_t)((uint64_t)unit * hmb->units >> 32);
	hmb->uses++;
	if (!physical_dma_read(&nvme->dev, address_of(hmb, unit), &found, sizeof(found)))
		return NVME_INTERNAL_ERROR;
	if (found != hmb->records[unit]) {
		hmb->errors++;
		return NVME_INTERNAL_ERROR;
	}
	return write_record(nvme, unit) ? NVME_OK : NVME_INTERNAL_ERROR;
}

void nvme_hmb_reset(struct nvme *nvme)
{
	nvme->hmb.units = 0;
	nvme->hmb.known = 0;
}
