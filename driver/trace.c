// SPDX-License-Identifier: GPL-2.0-only
/*
 * The tracepoints themselves, and calls of those on the hot path: out of line,
 * and with a result that needs no register to be kept for it, so that where
 * they are off each costs a branch that is not taken, and nothing else.
 */

#define CREATE_TRACE_POINTS
#include "trace.h"
#include "window.h"

/**
 * apple_dma_trace_map() - a mapping was made
 * @e: the engine
 * @phys: guest-physical address
 * @addr: its device address
 * @size: bytes
 * @hit: in a window that was there
 *
 * Context: any.
 * Return: @addr.
 */
dma_addr_t apple_dma_trace_map(struct apple_dma_engine *e, u64 phys,
			       dma_addr_t addr, u64 size, bool hit)
{
	trace_map(e->dev, phys, addr, size, hit);
	return addr;
}

/**
 * apple_dma_trace_unmap() - a mapping was ended
 * @e: the engine
 * @addr: its device address
 * @size: bytes
 *
 * Context: any.
 * Return: true, which is what the caller returns.
 */
bool apple_dma_trace_unmap(struct apple_dma_engine *e, u64 addr, u64 size)
{
	trace_unmap(e->dev, addr, size);
	return true;
}
