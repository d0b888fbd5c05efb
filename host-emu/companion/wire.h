/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The command page and the batch entries, to and from guest memory.
 * The format itself is <linux/apple_dma.h>; the buffers have no alignment.
 */
#ifndef APPLE_DMA_WIRE_H
#define APPLE_DMA_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/apple_dma.h>

#include "lib/names.h"

/** enum wire_layout - the layout of map entries that a host speaks */
enum wire_layout {
	WIRE_RFC,
	WIRE_WIDE,
	WIRE_LAYOUTS
};

/** struct wire_command - the command page */
struct wire_command {
	uint32_t type;
	uint32_t count;
	uint64_t req_gpa;
	uint64_t resp_gpa;
};

/** struct wire_map - a map request and its answer */
struct wire_map {
	uint64_t gpa;
	uint64_t len;
	uint64_t id;
	uint64_t dma_addr;
	uint64_t dma_len;
	uint32_t status;
};

/** struct wire_unmap - an unmap request and its answer; the size is ignored */
struct wire_unmap {
	uint64_t id;
	uint32_t status;
};

/* Room for any entry. */
#define WIRE_MAX_ENTRY	sizeof(struct apple_dma_map_resp_wide)

/* Of enum wire_layout. */
extern const struct names wire_layouts;

/**
 * wire_request_size() - bytes from one request to the next
 * @type: APPLE_DMA_CMD_MAP or APPLE_DMA_CMD_UNMAP
 */
size_t wire_request_size(enum wire_layout layout, uint32_t type);

/** wire_response_size() - bytes from one response to the next */
size_t wire_response_size(enum wire_layout layout, uint32_t type);

/** wire_status_offset() - where the status word of a response is */
size_t wire_status_offset(enum wire_layout layout, uint32_t type);

/** wire_get_command() - read a command page */
void wire_get_command(const void *page, struct wire_command *command);

/** wire_get_map() - read one map request: gpa and len */
void wire_get_map(enum wire_layout layout, const void *entry, struct wire_map *map);

/** wire_put_map() - write one whole map response: id, dma_addr, dma_len, status */
void wire_put_map(enum wire_layout layout, void *entry, const struct wire_map *map);

/** wire_get_unmap() - read one unmap request: id */
void wire_get_unmap(const void *entry, struct wire_unmap *unmap);

/**
 * wire_put_unmap() - write one unmap response: id and status
 * Return: how many bytes; the reserved word behind them is not written.
 */
size_t wire_put_unmap(void *entry, const struct wire_unmap *unmap);

/** wire_put_status() - write one status word */
void wire_put_status(void *word, uint32_t status);

#endif
