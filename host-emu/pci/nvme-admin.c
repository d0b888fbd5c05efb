// SPDX-License-Identifier: GPL-2.0
/* NVMe: the commands of the admin queue. */
#include <stdio.h>
#include <string.h>

#include "nvme-controller.h"
#include "nvme.h"

#define INVALID(code)	((uint16_t)((code) | NVME_DNR))
#define DATA		4096	/* of identify */

static void put(uint8_t *data, unsigned int offset, unsigned int width, uint64_t value)
{
	for (unsigned int i = 0; i < width; i++)
		data[offset + i] = (uint8_t)(value >> (8 * i));
}

/* Strings of identify are padded with blanks. */
static void put_text(uint8_t *data, unsigned int offset, unsigned int width, const char *text)
{
	const size_t len = strlen(text);

	memset(data + offset, ' ', width);
	memcpy(data + offset, text, len < width ? len : width);
}

static void identify_controller(const struct nvme *nvme, uint8_t *data)
{
	char text[32];

	put(data, 0, 2, NVME_VENDOR);
	put(data, 2, 2, NVME_VENDOR);
	snprintf(text, sizeof(text), "dext-%04x", nvme->dev.bdf);
	put_text(data, 4, 20, text);
	put_text(data, 24, 40, "Apple DMA emulated NVMe");
	put_text(data, 64, 8, "1.0");
	put(data, 77, 1, NVME_MDTS);
	put(data, 80, 4, NVME_VERSION);
	put(data, 111, 1, 1);			/* an I/O controller */
	put(data, 258, 1, 3);			/* aborts */
	put(data, 259, 1, NVME_EVENTS - 1);
	put(data, 260, 1, 3);			/* one firmware slot, read only */
	put(data, 261, 1, 4);			/* log pages have an offset */
	put(data, 266, 2, 0x157);		/* temperatures, in K */
	put(data, 268, 2, 0x175);
	put(data, 272, 4, nvme->hmb.preferred);
	put(data, 276, 4, nvme->hmb.least);
	put(data, 336, 2, nvme->hmb.preferred ? NVME_CHUNKS : 0);
	put(data, 512, 1, 0x66);
	put(data, 513, 1, 0x44);
	put(data, 516, 4, 1);			/* namespaces */
	put(data, 520, 2, 8);			/* write zeroes */
	put(data, 525, 1, 1);			/* a volatile write cache */
	put(data, 536, 4, nvme->sgl);		/* SGLs, of any alignment */
	snprintf((char *)data + 768, 256,
		 "nqn.2014-08.org.nvmexpress:uuid:00000000-0000-4000-8000-00000000%04x",
		 nvme->dev.bdf);
	put(data, 2048, 2, 2500);		/* power state 0 */
}

/* Drivers want it unique among the controllers of a machine. */
static void put_eui64(const struct nvme *nvme, uint8_t *at)
{
	const uint8_t eui64[8] = {
		0x52, 0x54, 0x00, 0xad, 0x3a, 0x00, nvme->dev.bdf >> 8, nvme->dev.bdf & 0xff,
	};

	memcpy(at, eui64, sizeof(eui64));
}

static void identify_namespace(const struct nvme *nvme, uint8_t *data)
{
	put(data, 0, 8, nvme->blocks);
	put(data, 8, 8, nvme->blocks);
	put(data, 16, 8, nvme->blocks);
	put_eui64(nvme, data + 120);
	put(data, 130, 1, nvme->lba_shift);
}

static uint16_t identify(struct nvme *nvme, const struct nvme_command *command)
{
	uint8_t data[DATA] = { 0 };

	switch (command->cdw10 & 0xff) {
	case 0:
		if (command->nsid != 1 && command->nsid != UINT32_MAX)
			return INVALID(NVME_INVALID_NAMESPACE);
		identify_namespace(nvme, data);
		break;
	case 1:
		identify_controller(nvme, data);
		break;
	case 2:		/* namespaces with a higher number */
		if (command->nsid >= UINT32_MAX - 1)
			return INVALID(NVME_INVALID_NAMESPACE);
		put(data, 0, 4, command->nsid < 1 ? 1 : 0);
		break;
	case 3:		/* descriptors of a namespace */
		if (command->nsid != 1)
			return INVALID(NVME_INVALID_NAMESPACE);
		put(data, 0, 1, 1);
		put(data, 1, 1, 8);
		put_eui64(nvme, data + 4);
		break;
	default:
		return INVALID(NVME_INVALID_FIELD);
	}
	return nvme_transfer(nvme, command, data, sizeof(data), true);
}

static uint16_t create_cq(struct nvme *nvme, const struct nvme_command *command)
{
	const uint16_t id = command->cdw10 & 0xffff, vector = command->cdw11 >> 16;
	const uint32_t size = (command->cdw10 >> 16) + 1;

	if (!id || id > nvme->max_queues || nvme->cqs[id].size)
		return INVALID(NVME_INVALID_QID);
	if (size < 2 || size > NVME_MAX_ENTRIES)
		return INVALID(NVME_INVALID_QUEUE_SIZE);
	if (!(command->cdw11 & 1) || NVME_CC_IOCQES(nvme->cc) != 4)
		return INVALID(NVME_INVALID_FIELD);
	if (command->prp1 & (nvme_page(nvme) - 1))
		return INVALID(NVME_INVALID_PRP_OFFSET);
	if (vector >= nvme->dev.vectors)
		return INVALID(NVME_INVALID_VECTOR);
	nvme->cqs[id] = (struct nvme_cq){
		.base = command->prp1, .size = size, .phase = 1, .vector = vector,
		.interrupts = command->cdw11 & 2,
	};
	return NVME_OK;
}

static uint16_t create_sq(struct nvme *nvme, const struct nvme_command *command)
{
	const uint16_t id = command->cdw10 & 0xffff, cqid = command->cdw11 >> 16;
	const uint32_t size = (command->cdw10 >> 16) + 1;

	if (!id || id > nvme->max_queues || nvme->sqs[id].size)
		return INVALID(NVME_INVALID_QID);
	if (!cqid || cqid > nvme->max_queues || !nvme->cqs[cqid].size)
		return INVALID(NVME_INVALID_CQ);
	if (size < 2 || size > NVME_MAX_ENTRIES)
		return INVALID(NVME_INVALID_QUEUE_SIZE);
	if (!(command->cdw11 & 1) || NVME_CC_IOSQES(nvme->cc) != 6)
		return INVALID(NVME_INVALID_FIELD);
	if (command->prp1 & (nvme_page(nvme) - 1))
		return INVALID(NVME_INVALID_PRP_OFFSET);
	nvme->sqs[id] = (struct nvme_sq){ .base = command->prp1, .size = size, .cqid = cqid };
	nvme->cqs[cqid].users++;
	return NVME_OK;
}

static uint16_t delete_sq(struct nvme *nvme, const struct nvme_command *command)
{
	const uint16_t id = command->cdw10 & 0xffff;

	if (!id || id > nvme->max_queues || !nvme->sqs[id].size)
		return INVALID(NVME_INVALID_QID);
	nvme->cqs[nvme->sqs[id].cqid].users--;
	nvme->sqs[id].size = 0;
	return NVME_OK;
}

static uint16_t delete_cq(struct nvme *nvme, const struct nvme_command *command)
{
	const uint16_t id = command->cdw10 & 0xffff;

	if (!id || id > nvme->max_queues || !nvme->cqs[id].size)
		return INVALID(NVME_INVALID_QID);
	if (nvme->cqs[id].users)
		return INVALID(NVME_INVALID_QUEUE_DELETION);
	nvme->cqs[id].size = 0;
	return NVME_OK;
}

static uint16_t get_log_page(struct nvme *nvme, const struct nvme_command *command)
{
	const uint32_t dwords = command->cdw10 >> 16 | (command->cdw11 & 0xffff) << 16;
	const uint64_t offset = command->cdw12 | (uint64_t)command->cdw13 << 32;
	const uint64_t len = ((uint64_t)dwords + 1) * 4;
	uint8_t page[512] = { 0 };

	switch (command->cdw10 & 0xff) {
	case 1:		/* errors: none */
		break;
	case 2:		/* health */
		put(page, 1, 2, 300);
		put(page, 3, 1, 100);
		put(page, 4, 1, 10);
		put(page, 32, 8, nvme->bytes[0] / 512000);
		put(page, 48, 8, nvme->bytes[1] / 512000);
		put(page, 64, 8, nvme->counts[0]);
		put(page, 80, 8, nvme->counts[1]);
		break;
	case 3:		/* firmware */
		put(page, 0, 1, 1);
		put_text(page, 8, 8, "1.0");
		break;
	default:
		return INVALID(NVME_INVALID_LOG_PAGE);
	}
	if (offset >= sizeof(page) || offset & 3 || len > NVME_MAX_TRANSFER)
		return INVALID(NVME_INVALID_FIELD);
	memset(nvme->buffer, 0, len);
	memcpy(nvme->buffer, page + offset,
	       len < sizeof(page) - offset ? len : sizeof(page) - offset);
	return nvme_transfer(nvme, command, nvme->buffer, (uint32_t)len, true);
}

static uint16_t set_features(struct nvme *nvme, const struct nvme_command *command,
			     uint32_t *result)
{
	const uint32_t id = command->cdw10 & 0xff, value = command->cdw11;

	if (command->cdw10 >> 31)
		return INVALID(NVME_NOT_SAVEABLE);
	if (id == NVME_FEATURE_HOST_MEMORY)
		return nvme_hmb_set(nvme, command);
	if (!id || id == 3 || id >= NVME_FEATURES)
		return INVALID(NVME_INVALID_FIELD);
	if (id == NVME_FEATURE_QUEUES) {
		/* Grant all queues, whatever was asked for. */
		if ((value & 0xffff) == 0xffff || value >> 16 == 0xffff)
			return INVALID(NVME_INVALID_FIELD);
		*result = nvme->features[id];
		return NVME_OK;
	}
	nvme->features[id] = value;
	return NVME_OK;
}

static uint16_t get_features(struct nvme *nvme, const struct nvme_command *command,
			     uint32_t *result)
{
	const uint32_t id = command->cdw10 & 0xff;
	uint8_t data[DATA];

	if (id == NVME_FEATURE_HOST_MEMORY && nvme->hmb.preferred) {
		*result = nvme->hmb.units ? NVME_HOST_MEMORY_ENABLE : 0;
		nvme_hmb_describe(nvme, data);
		return nvme_transfer(nvme, command, data, sizeof(data), true);
	}
	if (!id || id == 3 || id >= NVME_FEATURES)
		return INVALID(NVME_INVALID_FIELD);
	*result = nvme->features[id];
	return NVME_OK;
}

uint16_t nvme_admin(struct nvme *nvme, const struct nvme_command *command, uint32_t *result)
{
	switch (command->opcode) {
	case NVME_DELETE_SQ:
		return delete_sq(nvme, command);
	case NVME_CREATE_SQ:
		return create_sq(nvme, command);
	case NVME_GET_LOG_PAGE:
		return get_log_page(nvme, command);
	case NVME_DELETE_CQ:
		return delete_cq(nvme, command);
	case NVME_CREATE_CQ:
		return create_cq(nvme, command);
	case NVME_IDENTIFY:
		return identify(nvme, command);
	case NVME_ABORT:
		*result = 1;		/* the command is complete already, so it is not aborted */
		return NVME_OK;
	case NVME_SET_FEATURES:
		return set_features(nvme, command, result);
	case NVME_GET_FEATURES:
		return get_features(nvme, command, result);
	case NVME_ASYNC_EVENT:
		/* There are no events: the request stays open until the controller ends. */
		if (nvme->events == NVME_EVENTS)
			return INVALID(NVME_TOO_MANY_EVENTS);
		nvme->events++;
		return NVME_NO_ANSWER;
	default:
		return INVALID(NVME_INVALID_OPCODE);
	}
}
