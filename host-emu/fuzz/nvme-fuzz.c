// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzing the NVMe controller's commands: the input is a list of them, each
 * with a byte before it that says which queue it goes to and which of its
 * addresses are to lead into memory that is mapped. The memory has the input in
 * it again and again, so that lists of PRPs, SGLs and the list of the host memory
 * buffer are the fuzzer's too.
 */
#include <string.h>

#include "fuzz.h"
#include "lib/memory.h"
#include "pci/nvme-spec.h"

#define AREA		UINT64_C(0x40000)
#define ENTRIES		8
#define ADMIN_SQ	0x0000
#define ADMIN_CQ	0x1000
#define IO_SQ		0x2000
#define IO_CQ		0x3000
#define FREE		0x4000

static _Alignas(16384) uint8_t area[AREA];

struct rig {
	struct unit f;
	struct dext_client *client;
	uint64_t bus;
	uint32_t tails[2];
};

static void set(struct rig *rig, uint64_t offset, unsigned int width, uint64_t value)
{
	physical_bar_write(rig->f.dev, 0, offset, width, value);
}

static void submit(struct rig *rig, unsigned int queue, const struct nvme_command *command)
{
	memcpy(area + (queue ? IO_SQ : ADMIN_SQ) + rig->tails[queue] * sizeof(*command), command,
	       sizeof(*command));
	rig->tails[queue] = (rig->tails[queue] + 1) % ENTRIES;
	set(rig, NVME_DOORBELLS + 8 * queue, 4, rig->tails[queue]);
	while (physical_work(rig->f.dev))
		;
	/* All completions are taken: the queue is as empty as the other one. */
	set(rig, NVME_DOORBELLS + 8 * queue + 4, 4, rig->tails[queue]);
}

static void start(struct rig *rig)
{
	const uint64_t in[3] = { 1, (uintptr_t)area, AREA };
	struct nvme_command command = {
		.opcode = NVME_CREATE_CQ, .cdw10 = (ENTRIES - 1) << 16 | 1, .cdw11 = 1 << 16 | 3,
	};
	uint32_t count = 3;
	uint64_t out[3];

	fuzz_unit(&rig->f, "nvme,size=1M,queues=2,hmb=128K,sgl=on");
	rig->client = dext_open(rig->f.dext);
	dext_call(rig->client, SELECTOR_CLAIM, NULL, 0, NULL, NULL);
	if (dext_call(rig->client, SELECTOR_REGISTER_DMA_REGION, in, 3, out, &count))
		abort();
	rig->bus = out[1];
	set(rig, NVME_AQA, 4, (ENTRIES - 1) << 16 | (ENTRIES - 1));
	set(rig, NVME_ASQ, 8, rig->bus + ADMIN_SQ);
	set(rig, NVME_ACQ, 8, rig->bus + ADMIN_CQ);
	set(rig, NVME_CC, 4, 4 << 20 | 6 << 16 | NVME_CC_EN);
	command.prp1 = rig->bus + IO_CQ;
	submit(rig, 0, &command);
	command.opcode = NVME_CREATE_SQ;
	command.prp1 = rig->bus + IO_SQ;
	submit(rig, 0, &command);
	if (physical_bar_read(rig->f.dev, 0, NVME_CSTS, 4) != NVME_CSTS_RDY)
		abort();
}

/* Page numbers of the area, as addresses of the device. */
static uint64_t lead(const struct rig *rig, uint64_t value)
{
	return rig->bus + FREE + value % (AREA - FREE);
}

/* Blocks that are there. */
static void limit(struct nvme_command *command)
{
	command->cdw10 &= 0x7ff;
	command->cdw11 = 0;
	command->cdw12 &= 0x1ff;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	struct rig rig = { 0 };
	struct nvme_command command;

	start(&rig);
	for (uint64_t i = 0; i < AREA - FREE && size; i++)
		area[FREE + i] = data[i % size];
	/* Half of the pages are lists of addresses that are mapped; half of these, SGLs. */
	for (uint64_t i = 0; i < AREA / 2 && size; i += 8) {
		const uint64_t address = lead(&rig, (uint64_t)data[i / 8 % size] << 12);

		memcpy(area + AREA / 2 + i, &address, sizeof(address));
	}
	for (uint64_t i = 0; i < AREA / 4 && size; i += 16) {
		const uint8_t byte = data[i / 16 % size];
		const uint64_t second = (uint64_t)(byte & 0x30) << 56 |
					(uint64_t)(byte % 16 + 1) * 512;

		memcpy(area + AREA - AREA / 4 + i + 8, &second, sizeof(second));
	}
	for (unsigned int n = 0; n < 64 && input.left; n++) {
		const uint8_t kind = fuzz_byte(&input);
		const size_t len = input.left < sizeof(command) ? input.left : sizeof(command);

		memset(&command, 0, sizeof(command));
		memcpy(&command, input.at, len);
		input.at += len;
		input.left -= len;
		command.flags = kind & 0x10 ? command.flags : 0;
		command.nsid = kind & 0x20 ? command.nsid : 1;
		if (kind & 2)
			command.prp1 = lead(&rig, command.prp1);
		if (kind & 4)
			command.prp2 = lead(&rig, command.prp2);
		if (kind & 8)
			limit(&command);
		if (kind & 0x40) {
			command.flags = NVME_FLAG_SGL;
			command.prp2 = (uint64_t)(kind & 0x80 ? NVME_SGL_SEGMENT :
						  NVME_SGL_LAST_SEGMENT) << 56 |
				       (command.prp2 & 0xff) * 16;
		}
		if (kind == 0x80) {
			command.opcode = NVME_SET_FEATURES;
			command.cdw10 = NVME_FEATURE_HOST_MEMORY;
			command.cdw13 = (uint32_t)lead(&rig, command.cdw13 & ~15u);
			command.cdw14 = (uint32_t)(lead(&rig, 0) >> 32);
		}
		submit(&rig, kind & 1, &command);
	}
	dext_close(rig.client);
	unit_destroy(&rig.f);
	return 0;
}
