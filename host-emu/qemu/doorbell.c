// SPDX-License-Identifier: GPL-2.0
/*
 * One batch: what is written on success and on each failure, what is not, and
 * in which order, as Documentation/protocol.md has it.
 */
#include "companion.h"

#include "host-memory.h"

/* The part of a response that is written, from @offset on. */
struct answer {
	uint8_t bytes[WIRE_MAX_ENTRY];
	size_t offset;
	size_t size;
};

static bool guest_read(uint64_t gpa, void *buffer, size_t size)
{
	return address_space_rw(&address_space_memory, gpa, MEMTXATTRS_UNSPECIFIED, buffer, size,
				false) == MEMTX_OK;
}

static void guest_write(uint64_t gpa, const void *buffer, size_t size)
{
	address_space_rw(&address_space_memory, gpa, MEMTXATTRS_UNSPECIFIED, (void *)buffer, size,
			 true);
}

/* Each entry is a synchronous call, on the vCPU that rang, as on a real host. */
static uint32_t call(AppleDma *dma, uint32_t selector, const uint64_t *in, uint32_t in_count,
		     uint64_t *out, uint32_t out_count)
{
	if (dma->latency_us)
		g_usleep(dma->latency_us);
	return dext_call(dma->client, selector, in, in_count, out, &out_count);
}

/* Ask the extension; sets all of the answer. Every error collapses to IOERR. */
static void register_range(AppleDma *dma, struct wire_map *map)
{
	uint64_t in[3] = { map->gpa, 0, map->len }, out[3];
	struct dext_usage usage;
	uint32_t ret;

	map->status = APPLE_DMA_STATUS_IOERR;
	in[1] = host_memory_find(map->gpa, map->len);
	if (!in[1])
		return;
	ret = call(dma, DEXT_REGISTER_DMA_REGION, in, 3, out, 3);
	if (ret == DEXT_STILL_OPEN)
		dma->stats.duplicate_handles++;
	if (ret != DEXT_SUCCESS)
		return;
	map->id = map->gpa;
	map->dma_addr = out[1];
	map->dma_len = out[2];
	map->status = APPLE_DMA_STATUS_OK;
	dext_get_usage(dma->client, &usage);
	stats_peak(&dma->stats, &usage);
}

static uint32_t do_map(AppleDma *dma, const void *request, struct answer *answer, bool *lied)
{
	const size_t status_at = wire_status_offset(dma->layout, APPLE_DMA_CMD_MAP);
	struct wire_map map = { 0 };
	uint32_t status;

	wire_get_map(dma->layout, request, &map);
	if (!map.len) {
		dma->stats.probes++;
		map.status = APPLE_DMA_STATUS_IOERR;
	} else {
		dma->stats.map_entries++;
		*lied = lie_due(&dma->lie, APPLE_DMA_CMD_MAP);
		if (*lied && lie_skips(dma->lie.mode))
			map.status = APPLE_DMA_STATUS_IOERR;
		else
			register_range(dma, &map);
		if (map.status != APPLE_DMA_STATUS_OK)
			dma->stats.failed_entries++;
	}
	status = map.status;
	if (status == APPLE_DMA_STATUS_OK && *lied) {
		uint64_t other = 0;

		dext_other_region(dma->client, map.gpa, &other);
		lie_map(dma->lie.mode, &map, other);
	}
	wire_put_map(dma->layout, answer->bytes, &map);
	answer->offset = status == APPLE_DMA_STATUS_OK ? 0 : status_at;
	answer->size = wire_response_size(dma->layout, APPLE_DMA_CMD_MAP) - answer->offset;
	return status;
}

static uint32_t do_unmap(AppleDma *dma, const void *request, struct answer *answer, bool *lied)
{
	struct wire_unmap unmap;
	uint32_t status = APPLE_DMA_STATUS_OK;

	wire_get_unmap(request, &unmap);
	dma->stats.unmap_entries++;
	*lied = lie_due(&dma->lie, APPLE_DMA_CMD_UNMAP);
	if ((*lied && lie_skips(dma->lie.mode)) ||
	    call(dma, DEXT_UNREGISTER_DMA_REGION, &unmap.id, 1, NULL, 0) != DEXT_SUCCESS) {
		dma->stats.failed_entries++;
		status = APPLE_DMA_STATUS_IOERR;
	}
	unmap.status = status;
	if (*lied)
		lie_unmap(dma->lie.mode, &unmap);
	answer->offset = 0;
	answer->size = wire_put_unmap(answer->bytes, &unmap);
	return status;
}

/* Every entry, in order, whatever became of the one before. */
static uint32_t run(AppleDma *dma, const struct wire_command *command, bool *write_status)
{
	const size_t req_size = wire_request_size(dma->layout, command->type);
	const size_t resp_size = wire_response_size(dma->layout, command->type);
	uint32_t status = APPLE_DMA_STATUS_OK;
	bool any_lie = false;

	for (uint32_t i = 0; i < command->count; i++) {
		uint8_t request[WIRE_MAX_ENTRY];
		struct answer answer;
		bool lied = false;
		uint32_t ret;

		guest_read(command->req_gpa + i * req_size, request, req_size);
		if (command->type == APPLE_DMA_CMD_MAP)
			ret = do_map(dma, request, &answer, &lied);
		else
			ret = do_unmap(dma, request, &answer, &lied);
		if (ret != APPLE_DMA_STATUS_OK)
			status = APPLE_DMA_STATUS_IOERR;
		dma->stats.lies += lied;
		any_lie |= lied;
		if (lied && dma->lie.mode == LIE_UNWRITTEN)
			continue;
		guest_write(command->resp_gpa + i * resp_size + answer.offset,
			    answer.bytes + answer.offset, answer.size);
	}
	if (any_lie) {
		status = lie_batch(dma->lie.mode, status);
		*write_status = dma->lie.mode != LIE_NO_COMMAND_STATUS;
	}
	return status;
}

static bool valid(const AppleDma *dma, const struct wire_command *command)
{
	if (!command->count || command->count > dma->batch_entries)
		return false;
	if (!command->req_gpa || !command->resp_gpa)
		return false;
	if (command->type != APPLE_DMA_CMD_MAP && command->type != APPLE_DMA_CMD_UNMAP)
		return false;
	return host_memory_is_ram(command->req_gpa, (uint64_t)command->count *
				  wire_request_size(dma->layout, command->type), false) &&
	       host_memory_is_ram(command->resp_gpa, (uint64_t)command->count *
				  wire_response_size(dma->layout, command->type), true);
}

void companion_doorbell(AppleDma *dma)
{
	uint8_t page[sizeof(struct apple_dma_cmd)], word[4];
	struct wire_command command;
	bool write_status = true;

	dma->stats.doorbells++;
	if (!dma->cmd_gpa || !guest_read(dma->cmd_gpa, page, sizeof(page))) {
		dma->stats.bad_commands++;
		dma->status = APPLE_DMA_STATUS_INVAL;
		return;
	}
	wire_get_command(page, &command);
	if (valid(dma, &command)) {
		dma->status = run(dma, &command, &write_status);
	} else {
		dma->stats.bad_commands++;
		dma->status = APPLE_DMA_STATUS_INVAL;
	}
	if (write_status) {
		wire_put_status(word, dma->status);
		guest_write(dma->cmd_gpa + offsetof(struct apple_dma_cmd, status), word,
			    sizeof(word));
	}
}
