// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tracepoints, and calls of those on the hot path. The calls are out of
 * line: while a tracepoint is off it costs only a branch that is not taken.
 */

#include "hit.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

/**
 * apple_dma_trace_hit() - a mapping was made in a window that was there
 * @e: the engine
 * @phys: guest-physical address
 * @size: bytes
 * @addr: its device address
 *
 * Context: any.
 * Return: @addr, so that the caller can end with this call.
 */
dma_addr_t apple_dma_trace_hit(struct apple_dma_engine *e, u64 phys, u64 size,
			       dma_addr_t addr)
{
	trace_map(e->dev, phys, addr, size, true);
	return addr;
}

/**
 * apple_dma_trace_unmap() - a mapping was ended
 * @e: the engine
 * @addr: its device address
 * @size: bytes
 *
 * Context: any.
 */
void apple_dma_trace_unmap(struct apple_dma_engine *e, u64 addr, u64 size)
{
	trace_unmap(e->dev, addr, size);
}
