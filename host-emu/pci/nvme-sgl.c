// SPDX-License-Identifier: GPL-2.0
/* NVMe: SGLs, the other way to say where the data of a command is. */
#include <string.h>

#include "nvme-controller.h"

#define INVALID(code)	((uint16_t)((code) | NVME_DNR))

/* Add data blocks up to the first descriptor of another type; returns its index. */
static unsigned int add_blocks(struct nvme_pieces *pieces, const struct nvme_sgl *entries,
			       unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n && entries[i].type == NVME_SGL_DATA; i++) {
		if (!entries[i].len)
			continue;
		pieces->address[pieces->count] = entries[i].address;
		pieces->len[pieces->count++] = entries[i].len;
	}
	return i;
}

/*
 * The descriptor in the command is the first segment. A segment ends with a link to the
 * next one; the last segment has none. The number of descriptors is limited, so that the
 * chain ends.
 */
uint16_t nvme_sgl_walk(struct nvme *nvme, const struct nvme_command *command, uint32_t len,
		       struct nvme_pieces *pieces)
{
	struct nvme_sgl entries[NVME_MAX_PIECES], link = { .type = NVME_SGL_SEGMENT };
	unsigned int n = 1, seen = 0, i;
	uint64_t sum = 0;

	memcpy(entries, &command->prp1, sizeof(entries[0]));
	while ((i = add_blocks(pieces, entries, n)) < n) {
		if (entries[i].type != NVME_SGL_SEGMENT && entries[i].type != NVME_SGL_LAST_SEGMENT)
			return INVALID(NVME_INVALID_SGL_TYPE);
		if (i + 1 < n || link.type == NVME_SGL_LAST_SEGMENT)
			return INVALID(NVME_INVALID_SGL_SEGMENT);
		link = entries[i];
		n = link.len / sizeof(entries[0]);
		if (!n || link.len % sizeof(entries[0]))
			return INVALID(NVME_INVALID_SGL_SEGMENT);
		if (n > NVME_MAX_PIECES - seen)
			return INVALID(NVME_INVALID_SGL_COUNT);
		seen += n;
		if (!physical_dma_read(&nvme->dev, link.address, entries, link.len))
			return NVME_TRANSFER_ERROR;
	}
	if (seen && link.type != NVME_SGL_LAST_SEGMENT)
		return INVALID(NVME_INVALID_SGL_SEGMENT);
	for (i = 0; i < pieces->count; i++)
		sum += pieces->len[i];
	return sum == len ? NVME_OK : INVALID(NVME_INVALID_SGL_LENGTH);
}
