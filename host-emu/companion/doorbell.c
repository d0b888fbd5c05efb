// SPDX-License-Identifier: GPL-2.0
/*
 * One batch: what is written on success and on each failure, what is not, and
 * in which order, as Documentation/protocol.md has it.
 */
#include "registers.h"

#include <string.h>

#include "dext/cost.h"
#include "guest-memory.h"

/* The part of a response that is written, from @offset on. */
struct answer {
	uint8_t bytes[WIRE_MAX_ENTRY];
	size_t offset;
	size_t size;
};

/* Each entry is a synchronous call on the vCPU that rang, as on a real host. */
static void take_time(const struct registers *regs)
{
	cost_take(regs->latency_us * UINT64_C(1000));
}

/* Ask the extension and fill in the answer. Every error becomes IOERR. */
static void register_range(struct registers *regs, struct wire_map *map)
{
	struct backend *backend = regs->backend;
	struct backend_usage usage;
	uint64_t va;
	IOReturn ret;

	map->status = APPLE_DMA_STATUS_IOERR;
	va = guest_memory_find(map->gpa, map->len);
	if (!va)
		return;
	take_time(regs);
	ret = backend->ops->map(backend, map->gpa, va, map->len, &map->dma_addr, &map->dma_len);
	if (ret == kIOReturnStillOpen)
		regs->stats.duplicate_handles++;
	if (ret != kIOReturnSuccess)
		return;
	map->id = map->gpa;
	map->status = APPLE_DMA_STATUS_OK;
	backend->ops->usage(backend, &usage);
	stats_peak(&regs->stats, &usage);
}

static bool unregister(struct registers *regs, uint64_t handle)
{
	take_time(regs);
	return regs->backend->ops->unmap(regs->backend, handle) == kIOReturnSuccess;
}

static uint32_t do_map(struct registers *regs, const void *request, struct answer *answer,
		       bool *lied)
{
	const size_t status_at = wire_status_offset(regs->layout, APPLE_DMA_CMD_MAP);
	struct wire_map map = { 0 };
	uint32_t status;

	wire_get_map(regs->layout, request, &map);
	if (!map.len) {
		regs->stats.probes++;
		map.status = APPLE_DMA_STATUS_IOERR;
	} else {
		regs->stats.map_entries++;
		*lied = lie_due(&regs->lie, APPLE_DMA_CMD_MAP);
		if (*lied && lie_skips(regs->lie.mode, APPLE_DMA_CMD_MAP))
			map.status = APPLE_DMA_STATUS_IOERR;
		else
			register_range(regs, &map);
		if (map.status != APPLE_DMA_STATUS_OK)
			regs->stats.failed_entries++;
	}
	status = map.status;
	if (status == APPLE_DMA_STATUS_OK && *lied) {
		uint64_t other = 0;

		regs->backend->ops->other(regs->backend, map.gpa, &other);
		lie_map(regs->lie.mode, &map, other);
	}
	wire_put_map(regs->layout, answer->bytes, &map);
	answer->offset = status_at;
	if (status == APPLE_DMA_STATUS_OK && !(*lied && regs->lie.mode == LIE_HALF))
		answer->offset = 0;
	answer->size = wire_response_size(regs->layout, APPLE_DMA_CMD_MAP) - answer->offset;
	return status;
}

static uint32_t do_unmap(struct registers *regs, const void *request, struct answer *answer,
			 bool *lied)
{
	struct wire_unmap unmap;
	uint32_t status = APPLE_DMA_STATUS_OK;

	wire_get_unmap(request, &unmap);
	regs->stats.unmap_entries++;
	*lied = lie_due(&regs->lie, APPLE_DMA_CMD_UNMAP);
	if ((*lied && lie_skips(regs->lie.mode, APPLE_DMA_CMD_UNMAP)) ||
	    !unregister(regs, unmap.id)) {
		regs->stats.failed_entries++;
		status = APPLE_DMA_STATUS_IOERR;
	}
	unmap.status = status;
	if (*lied)
		lie_unmap(regs->lie.mode, &unmap);
	answer->offset = 0;
	answer->size = wire_put_unmap(answer->bytes, &unmap);
	return status;
}

/* Process every entry in order, also after one has failed. */
static uint32_t run(struct registers *regs, const struct wire_command *command, bool *write_status)
{
	const size_t req_size = wire_request_size(regs->layout, command->type);
	const size_t resp_size = wire_response_size(regs->layout, command->type);
	uint32_t status = APPLE_DMA_STATUS_OK;
	bool any_lie = false;

	for (uint32_t i = 0; i < command->count; i++) {
		uint8_t request[WIRE_MAX_ENTRY];
		struct answer answer;
		bool lied = false;
		uint32_t ret;

		guest_memory_read(command->req_gpa + i * req_size, request, req_size);
		if (command->type == APPLE_DMA_CMD_MAP)
			ret = do_map(regs, request, &answer, &lied);
		else
			ret = do_unmap(regs, request, &answer, &lied);
		if (ret != APPLE_DMA_STATUS_OK)
			status = APPLE_DMA_STATUS_IOERR;
		regs->stats.lies += lied;
		any_lie |= lied;
		if (lied && regs->lie.mode == LIE_UNWRITTEN)
			continue;
		guest_memory_write(command->resp_gpa + i * resp_size + answer.offset,
			    answer.bytes + answer.offset, answer.size);
	}
	if (any_lie) {
		status = lie_batch(regs->lie.mode, status);
		*write_status = regs->lie.mode != LIE_NO_COMMAND_STATUS;
	}
	return status;
}

static bool valid(const struct registers *regs, const struct wire_command *command)
{
	if (!command->count || command->count > regs->batch_entries)
		return false;
	if (!command->req_gpa || !command->resp_gpa)
		return false;
	if (command->type != APPLE_DMA_CMD_MAP && command->type != APPLE_DMA_CMD_UNMAP)
		return false;
	return guest_memory_is_ram(command->req_gpa, (uint64_t)command->count *
				  wire_request_size(regs->layout, command->type), false) &&
	       guest_memory_is_ram(command->resp_gpa, (uint64_t)command->count *
				  wire_response_size(regs->layout, command->type), true);
}

static void process(struct registers *regs)
{
	uint8_t page[sizeof(struct apple_dma_cmd)], word[4];
	struct wire_command command;
	bool write_status = true;

	if (!regs->cmd_gpa || !guest_memory_read(regs->cmd_gpa, page, sizeof(page))) {
		regs->stats.bad_commands++;
		regs->status = APPLE_DMA_STATUS_INVAL;
		return;
	}
	wire_get_command(page, &command);
	if (valid(regs, &command)) {
		if (command.count > regs->stats.largest_batch)
			regs->stats.largest_batch = command.count;
		regs->status = run(regs, &command, &write_status);
	} else {
		regs->stats.bad_commands++;
		regs->status = APPLE_DMA_STATUS_INVAL;
	}
	if (write_status) {
		wire_put_status(word, regs->status);
		guest_memory_write(regs->cmd_gpa + offsetof(struct apple_dma_cmd, status), word,
			    sizeof(word));
	}
}

void registers_doorbell(struct registers *regs)
{
	regs->stats.doorbells++;
	if (lie_unanswered(&regs->lie)) {
		regs->stats.lies++;
		regs->later = regs->lie.mode == LIE_LATE;
		return;
	}
	process(regs);
	regs->later = lie_is(&regs->lie, LIE_REWRITE);
}

/* LIE_REWRITE: overwrite everything that the batch was answered with. */
static void rewrite(struct registers *regs)
{
	uint8_t page[sizeof(struct apple_dma_cmd)], garbage[WIRE_MAX_ENTRY];
	struct wire_command command;

	if (!regs->cmd_gpa || !guest_memory_read(regs->cmd_gpa, page, sizeof(page)))
		return;
	wire_get_command(page, &command);
	if (!valid(regs, &command))
		return;
	regs->stats.lies++;
	memset(garbage, LIE_GARBAGE, sizeof(garbage));
	for (uint32_t i = 0; i < command.count; i++) {
		const size_t size = wire_response_size(regs->layout, command.type);

		guest_memory_write(command.resp_gpa + i * size, garbage, size);
	}
	guest_memory_write(regs->cmd_gpa + offsetof(struct apple_dma_cmd, status), garbage, 4);
}

void registers_later(struct registers *regs)
{
	if (!regs->later)
		return;
	regs->later = false;
	if (!regs->backend)
		return;
	if (regs->lie.mode == LIE_LATE)
		process(regs);
	else
		rewrite(regs);
}
