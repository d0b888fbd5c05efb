// SPDX-License-Identifier: GPL-2.0
/* Encoding and decoding of the wire format. */
#include "wire.h"

#include <endian.h>
#include <string.h>

static const char *const layout_names[WIRE_LAYOUTS] = {
	[WIRE_RFC] = "rfc",
	[WIRE_WIDE] = "wide",
};

const struct names wire_layouts = NAMES(layout_names);

size_t wire_request_size(enum wire_layout layout, uint32_t type)
{
	if (type == APPLE_DMA_CMD_UNMAP)
		return sizeof(struct apple_dma_unmap_req);
	return layout == WIRE_WIDE ? sizeof(struct apple_dma_map_req_wide) :
				     sizeof(struct apple_dma_map_req);
}

size_t wire_response_size(enum wire_layout layout, uint32_t type)
{
	if (type == APPLE_DMA_CMD_UNMAP)
		return sizeof(struct apple_dma_unmap_resp);
	return layout == WIRE_WIDE ? sizeof(struct apple_dma_map_resp_wide) :
				     sizeof(struct apple_dma_map_resp);
}

size_t wire_status_offset(enum wire_layout layout, uint32_t type)
{
	if (type == APPLE_DMA_CMD_UNMAP)
		return offsetof(struct apple_dma_unmap_resp, status);
	return layout == WIRE_WIDE ? offsetof(struct apple_dma_map_resp_wide, status) :
				     offsetof(struct apple_dma_map_resp, status);
}

void wire_get_command(const void *page, struct wire_command *command)
{
	struct apple_dma_cmd wire;

	memcpy(&wire, page, sizeof(wire));
	command->type = le32toh(wire.type);
	command->count = le32toh(wire.count);
	command->req_gpa = le64toh(wire.req_gpa);
	command->resp_gpa = le64toh(wire.resp_gpa);
}

void wire_get_map(enum wire_layout layout, const void *entry, struct wire_map *map)
{
	if (layout == WIRE_WIDE) {
		struct apple_dma_map_req_wide wire;

		memcpy(&wire, entry, sizeof(wire));
		map->gpa = le64toh(wire.gpa);
		map->len = le64toh(wire.len);
	} else {
		struct apple_dma_map_req wire;

		memcpy(&wire, entry, sizeof(wire));
		map->gpa = le64toh(wire.gpa);
		map->len = le32toh(wire.len);
	}
}

void wire_put_map(enum wire_layout layout, void *entry, const struct wire_map *map)
{
	if (layout == WIRE_WIDE) {
		const struct apple_dma_map_resp_wide wire = {
			.id = htole64(map->id),
			.dma_addr = htole64(map->dma_addr),
			.dma_len = htole64(map->dma_len),
			.status = htole32(map->status),
		};

		memcpy(entry, &wire, sizeof(wire));
	} else {
		const struct apple_dma_map_resp wire = {
			.id = htole64(map->id),
			.dma_addr = htole64(map->dma_addr),
			.dma_len = htole32((uint32_t)map->dma_len),
			.status = htole32(map->status),
		};

		memcpy(entry, &wire, sizeof(wire));
	}
}

void wire_get_unmap(const void *entry, struct wire_unmap *unmap)
{
	struct apple_dma_unmap_req wire;

	memcpy(&wire, entry, sizeof(wire));
	unmap->id = le64toh(wire.id);
}

size_t wire_put_unmap(void *entry, const struct wire_unmap *unmap)
{
	const struct apple_dma_unmap_resp wire = {
		.id = htole64(unmap->id),
		.status = htole32(unmap->status),
	};

	memcpy(entry, &wire, offsetof(struct apple_dma_unmap_resp, reserved));
	return offsetof(struct apple_dma_unmap_resp, reserved);
}

void wire_put_status(void *word, uint32_t status)
{
	const uint32_t wire = htole32(status);

	memcpy(word, &wire, sizeof(wire));
}
