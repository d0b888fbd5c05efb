// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzing a companion's registers and its command page. The input is a program
 * of what a guest does: it writes memory and registers, and rings. What must
 * hold is worked out here once more, from the protocol's words: which batches
 * are refused, what may be written and where, what is registered afterwards.
 */
#include <stdio.h>
#include <string.h>

#include "companion/guest-memory.h"
#include "fuzz.h"
#include "tests/guest.h"

#define PAGE		UINT64_C(0x1000)	/* command page, if nothing else is said */
#define REQUESTS	UINT64_C(0x2000)
#define RESPONSES	UINT64_C(0x8000)
#define MOST_WRITES	(128 + 2)		/* for one doorbell */

#define CHECK(condition) do {							\
	if (!(condition)) {							\
		fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);	\
		abort();							\
	}									\
} while (0)

struct write {
	uint64_t gpa;
	size_t size;
	uint8_t bytes[WIRE_MAX_ENTRY];
	struct guest_answer last;	/* of the extension, when it was written */
};

struct rig {
	struct guest guest;
	struct write writes[MOST_WRITES];
	unsigned int written;
	uint64_t entries;		/* of all batches that were not refused */
};

/* What a doorbell has to do. */
struct batch {
	bool readable;			/* its command page */
	bool good;
	uint32_t type;
	uint32_t count;
	uint64_t req;
	uint64_t resp;
	uint64_t req_size;
	uint64_t resp_size;
	uint64_t status_at;
};

static void wrote(void *arg, uint64_t gpa, const void *from, size_t size)
{
	struct rig *rig = arg;
	struct write *write = &rig->writes[rig->written++];

	CHECK(rig->written <= MOST_WRITES && size <= sizeof(write->bytes));
	write->gpa = gpa;
	write->size = size;
	write->last = rig->guest.last;
	memcpy(write->bytes, from, size);
}

static struct batch next_batch(const struct rig *rig)
{
	const struct registers *regs = &rig->guest.regs;
	const bool wide = regs->layout == WIRE_WIDE;
	struct batch batch = { 0 };
	struct apple_dma_cmd page;

	batch.readable = regs->cmd_gpa && guest_memory_read(regs->cmd_gpa, &page, sizeof(page));
	if (!batch.readable)
		return batch;
	/* Fuzzers run on machines with the guest's byte order. */
	batch.type = page.type;
	batch.count = page.count;
	batch.req = page.req_gpa;
	batch.resp = page.resp_gpa;
	batch.req_size = page.type == APPLE_DMA_CMD_MAP && wide ? 20 : 16;
	batch.resp_size = page.type == APPLE_DMA_CMD_UNMAP ? 16 : wide ? 28 : 24;
	batch.status_at = page.type == APPLE_DMA_CMD_UNMAP ? 8 : wide ? 24 : 20;
	batch.good = (page.type == 1 || page.type == 2) && page.count &&
		     page.count <= regs->batch_entries && page.req_gpa && page.resp_gpa &&
		     guest_memory_is_ram(page.req_gpa, page.count * batch.req_size, false) &&
		     guest_memory_is_ram(page.resp_gpa, page.count * batch.resp_size, true);
	return batch;
}

/* An honest answer to a map that was done, in either layout. */
static void check_answer(const struct rig *rig, const struct batch *batch,
			 const struct write *write)
{
	const struct guest_answer *last = &write->last;
	const uint64_t most = DEXT_CHUNK_SIZE;
	uint64_t id, addr, len = 0, va;
	uint32_t status;

	memcpy(&id, write->bytes, sizeof(id));
	memcpy(&addr, write->bytes + 8, sizeof(addr));
	memcpy(&len, write->bytes + 16, batch->resp_size == 28 ? 8 : 4);
	memcpy(&status, write->bytes + batch->status_at, sizeof(status));
	CHECK(status == APPLE_DMA_STATUS_OK && id == last->handle);
	CHECK(addr == last->addr && len == (last->size < most ? last->size : most));
	CHECK(last->va == guest_memory_find(last->handle, last->size));
	CHECK(dart_lookup(rig->guest.dart, addr, &va) && va == last->va);
	CHECK(dart_lookup(rig->guest.dart, addr + (len - 1), &va) && va == last->va + (len - 1));
}

/* It lies in one entry: the whole of it, or the status word of a failed map. */
static uint64_t check_entry(const struct rig *rig, const struct batch *batch,
			    const struct write *write)
{
	const uint64_t index = (write->gpa - batch->resp) / batch->resp_size;
	const uint64_t at = (write->gpa - batch->resp) % batch->resp_size;

	CHECK(write->gpa >= batch->resp && index < batch->count);
	CHECK(guest_memory_is_ram(write->gpa, write->size, true));
	if (batch->type == APPLE_DMA_CMD_UNMAP)
		CHECK(!at && write->size == 12);
	else
		CHECK(at + write->size == batch->resp_size && (!at || at == batch->status_at));
	if (batch->type == APPLE_DMA_CMD_MAP && !at && rig->guest.regs.lie.mode == LIE_NONE)
		check_answer(rig, batch, write);
	return index;
}

static void check_writes(const struct rig *rig, const struct batch *batch, uint64_t lies)
{
	const struct registers *regs = &rig->guest.regs;
	const bool told = batch->readable && !(lies && regs->lie.mode == LIE_NO_COMMAND_STATUS);
	const uint64_t skipped = regs->lie.mode == LIE_UNWRITTEN ? lies : 0;
	const uint64_t answers = batch->good ? batch->count - skipped : 0;
	const struct write *last;
	uint64_t next = 0, index;

	CHECK(rig->written == answers + told);
	for (uint64_t i = 0; i < answers; i++) {
		index = check_entry(rig, batch, &rig->writes[i]);
		CHECK(skipped ? index >= next : index == i);
		next = index + 1;
	}
	if (!told)
		return;
	last = &rig->writes[answers];
	CHECK(last->gpa == regs->cmd_gpa + 8 && last->size == 4);
	CHECK(!memcmp(last->bytes, &regs->status, 4));
}

/* The counts of the companion, the extension and the DART agree. */
static void check_counts(const struct rig *rig)
{
	const struct guest *guest = &rig->guest;
	const struct companion_stats *stats = &guest->regs.stats;
	uint64_t bytes = 0, chunks = 0;
	struct backend_usage usage;

	for (unsigned int i = 0; i < guest->live_count; i++) {
		bytes += guest->live[i].size;
		chunks += (guest->live[i].size - 1) / DEXT_CHUNK_SIZE + 1;
	}
	guest->backend.ops->usage(guest->regs.backend, &usage);
	CHECK(usage.regions == guest->live_count && usage.bytes == bytes);
	CHECK(usage.dart_entries == chunks);
	CHECK(guest->live_count == guest->maps - guest->unmaps && stats->peak == guest->peak);
	CHECK(stats->map_entries + stats->unmap_entries - stats->failed_entries ==
	      guest->maps + guest->unmaps);
	CHECK(stats->map_entries + stats->unmap_entries + stats->probes == rig->entries);
}

static void ring(struct rig *rig, uint32_t value)
{
	struct registers *regs = &rig->guest.regs;
	const struct batch batch = next_batch(rig);
	const struct companion_stats before = regs->stats;
	const uint64_t calls = rig->guest.calls, cmd_gpa = regs->cmd_gpa;

	rig->written = 0;
	registers_write(regs, APPLE_DMA_REG_DOORBELL, value);
	CHECK(regs->cmd_gpa == cmd_gpa && regs->stats.doorbells == before.doorbells + 1);
	CHECK(regs->stats.bad_commands == before.bad_commands + !batch.good);
	CHECK((regs->status == APPLE_DMA_STATUS_INVAL) == !batch.good);
	if (batch.good)
		rig->entries += batch.count;
	else
		CHECK(rig->guest.calls == calls);
	check_writes(rig, &batch, regs->stats.lies - before.lies);
	check_counts(rig);
}

/* Near an end of a region, or anywhere. */
static uint64_t address(struct fuzz_input *input)
{
	static const uint64_t bases[] = {
		GUEST_LOW, GUEST_HOLE, GUEST_HIGH, GUEST_ROM, GUEST_ROM + GUEST_ROM_SIZE,
		GUEST_FAR, GUEST_NEXT, GUEST_NEXT + GUEST_NEXT_SIZE,
	};
	const uint8_t choice = fuzz_byte(input);

	if (choice >= 0xf0)
		return fuzz_number(input, 8);
	/* The upper bits shift the lower byte: pages, or bytes around the end. */
	if (choice & 8)
		return bases[choice & 7] - fuzz_byte(input);
	return bases[choice & 7] + ((uint64_t)fuzz_byte(input) << (choice >> 4));
}

static uint64_t length(struct fuzz_input *input)
{
	const uint8_t choice = fuzz_byte(input);

	if (choice < 0x20)
		return choice;
	if (choice < 0x80)
		return (uint64_t)(choice - 0x20) << 12;
	if (choice < 0xc0)
		return fuzz_number(input, 3);
	if (choice < 0xf0)
		return DEXT_CHUNK_SIZE * (choice & 3) + (choice >> 2 & 3);
	return fuzz_number(input, 8);
}

/* ROM, too: its contents are arbitrary. */
static void poke(uint64_t gpa, const void *from, size_t size)
{
	uint8_t *at = guest_at(gpa, size);

	if (at)
		memcpy(at, from, size);
}

static void poke_input(struct fuzz_input *input)
{
	const uint64_t gpa = address(input);
	uint8_t bytes[64];
	size_t size = fuzz_byte(input) % (sizeof(bytes) + 1);

	for (size_t i = 0; i < size; i++)
		bytes[i] = fuzz_byte(input);
	poke(gpa, bytes, size);
}

/* A command page, usually where it is expected, and the registers for it. */
static void command(struct rig *rig, struct fuzz_input *input)
{
	const uint8_t kind = fuzz_byte(input);
	const struct apple_dma_cmd page = {
		.type = kind & 3,
		.count = (uint32_t)fuzz_number(input, kind & 4 ? 4 : 1),
		.req_gpa = kind & 8 ? address(input) : REQUESTS,
		.resp_gpa = kind & 16 ? address(input) : RESPONSES,
	};
	const uint64_t gpa = kind & 32 ? address(input) : PAGE;

	poke(gpa, &page, sizeof(page));
	if (kind & 64)
		return;
	registers_write(&rig->guest.regs, APPLE_DMA_REG_CMD_GPA_LO, (uint32_t)gpa);
	registers_write(&rig->guest.regs, APPLE_DMA_REG_CMD_GPA_HI, (uint32_t)(gpa >> 32));
	CHECK(rig->guest.regs.cmd_gpa == gpa);
}

static void map_request(struct rig *rig, struct fuzz_input *input)
{
	const uint64_t index = fuzz_byte(input) % 128, gpa = address(input), len = length(input);
	const struct apple_dma_map_req rfc = { .gpa = gpa, .len = (uint32_t)len };
	const struct apple_dma_map_req_wide wide = { .gpa = gpa, .len = len };

	if (rig->guest.regs.layout == WIRE_WIDE)
		poke(REQUESTS + index * sizeof(wide), &wide, sizeof(wide));
	else
		poke(REQUESTS + index * sizeof(rfc), &rfc, sizeof(rfc));
}

static void unmap_request(struct rig *rig, struct fuzz_input *input)
{
	const uint64_t index = fuzz_byte(input) % 128;
	const uint8_t choice = fuzz_byte(input);
	struct apple_dma_unmap_req request = { 0 };

	if (choice < 0x80 && rig->guest.live_count)
		request.id = rig->guest.live[choice % rig->guest.live_count].handle;
	else
		request.id = address(input);
	poke(REQUESTS + index * sizeof(request), &request, sizeof(request));
}

static bool same(const struct registers *a, const struct registers *b)
{
	return a->cmd_gpa == b->cmd_gpa && a->status == b->status && a->lie.seen == b->lie.seen &&
	       !memcmp(&a->stats, &b->stats, sizeof(a->stats));
}

static void write_register(struct rig *rig, struct fuzz_input *input)
{
	struct registers *regs = &rig->guest.regs;
	struct registers expected = *regs;
	const uint8_t choice = fuzz_byte(input);
	const uint64_t offset = choice < 0xf0 ? choice : fuzz_number(input, 8);
	const uint32_t value = (uint32_t)fuzz_number(input, 4);
	uint64_t programs = rig->guest.programs;

	if (offset == APPLE_DMA_REG_DOORBELL) {
		ring(rig, value);
		return;
	}
	registers_write(regs, offset, value);
	if (offset == APPLE_DMA_REG_CMD_GPA_LO)
		expected.cmd_gpa = (expected.cmd_gpa >> 32 << 32) | value;
	else if (offset == APPLE_DMA_REG_CMD_GPA_HI)
		expected.cmd_gpa = (uint32_t)expected.cmd_gpa | (uint64_t)value << 32;
	if (value && (offset == APPLE_DMA_REG_CMD_GPA_LO || offset == APPLE_DMA_REG_CMD_GPA_HI))
		programs++;
	CHECK(same(regs, &expected) && rig->guest.programs == programs);
}

static void read_register(struct rig *rig, struct fuzz_input *input)
{
	struct registers *regs = &rig->guest.regs;
	const struct registers before = *regs;
	const uint8_t choice = fuzz_byte(input);
	const uint64_t offset = choice < 0xf0 ? choice : fuzz_number(input, 8);
	uint32_t expected = 0;

	if (offset == APPLE_DMA_REG_VERSION)
		expected = APPLE_DMA_VERSION;
	else if (offset == APPLE_DMA_REG_MANAGED_BDF)
		expected = rig->guest.bdf;
	else if (offset == APPLE_DMA_REG_MAX_ENTRIES)
		expected = regs->batch_entries;
	else if (offset == APPLE_DMA_REG_STATUS)
		expected = regs->status;
	CHECK(registers_read(regs, offset) == expected);
	CHECK(same(regs, &before));
}

static void set_lie(struct rig *rig, struct fuzz_input *input)
{
	/* The first ones, about entries; those about whole doorbells begin with this. */
	const enum lie_mode mode = fuzz_byte(input) % LIE_NO_ANSWER;

	rig->guest.regs.lie.after = fuzz_byte(input);
	CHECK(lie_set(&rig->guest.regs.lie, lie_modes.name[mode]));
}

static void step(struct rig *rig, struct fuzz_input *input)
{
	const uint8_t what = fuzz_byte(input);

	rig->written = 0;
	switch (what % 8) {
	case 0:
		ring(rig, what);
		return;
	case 1:
		command(rig, input);
		break;
	case 2:
		map_request(rig, input);
		break;
	case 3:
		unmap_request(rig, input);
		break;
	case 4:
		poke_input(input);
		break;
	case 5:
		write_register(rig, input);
		return;
	case 6:
		read_register(rig, input);
		break;
	case 7:
		set_lie(rig, input);
		break;
	}
	/* Guest memory is written by a doorbell alone. */
	CHECK(!rig->written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	const uint8_t dart = fuzz_byte(&input), host = fuzz_byte(&input);
	/* A fragmented space takes ten times as long to set up. */
	const struct dart_config config = {
		.policy = (dart & 15) == 15 ? DART_FRAGMENTED :
			  dart & 2 ? DART_REUSE : dart & 1 ? DART_RANDOM : DART_HIGH,
		.seed = dart, .iova_bits = dart & 0x10 ? 64 : 36,
		.max_bytes = dart & 0x20 ? UINT64_C(1) << 20 : UINT64_C(64) << 30,
		.max_entries = dart & 0x40 ? 5 : GUEST_REGIONS,
		.max_segment = dart & 0x80 ? UINT64_C(1) << 16 : 0,
	};
	static struct rig rig;

	guest_start(&rig.guest, &config);
	rig.guest.wrote = wrote;
	rig.guest.wrote_arg = &rig;
	rig.entries = 0;
	rig.guest.regs.layout = host & 1 ? WIRE_WIDE : WIRE_RFC;
	rig.guest.regs.batch_entries = 1u << (host >> 1 & 7);
	for (unsigned int n = 0; n < 256 && input.left; n++)
		step(&rig, &input);
	guest_stop(&rig.guest);
	return 0;
}
