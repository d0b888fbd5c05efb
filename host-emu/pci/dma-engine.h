/* SPDX-License-Identifier: GPL-2.0 */
/*
 * dma-engine: a device that copies between a buffer of its own and bus
 * addresses, on several channels, each with an interrupt when it is done.
 * Documentation/dext.md has the register map.
 */
#ifndef APPLE_DMA_ENGINE_H
#define APPLE_DMA_ENGINE_H

#include "physical.h"

#define ENGINE_VENDOR		0x1b36
#define ENGINE_DEVICE		0x00f5
#define ENGINE_CLASS		0x088000	/* system peripheral, other */

#define ENGINE_CHANNELS		8
#define ENGINE_VECTORS		16
#define ENGINE_REGISTERS	UINT64_C(16384)		/* BAR0 */
#define ENGINE_BUFFER		(UINT64_C(4) << 20)	/* BAR2, prefetchable memory */
#define ENGINE_STEP		UINT32_C(65536)		/* bytes that a channel moves in its turn */

/* Registers: 32 bits; those with _LO have their upper half behind them. */
#define ENGINE_ID		0x000	/* R: ENGINE_ID_VALUE */
#define ENGINE_VERSION		0x004	/* R: 1 */
#define ENGINE_INFO		0x008	/* R: vectors << 16 | channels */
#define ENGINE_BUFFER_SIZE	0x00c	/* R: bytes */
#define ENGINE_CONTROL		0x010	/* W: ENGINE_CONTROL_RESET */
#define ENGINE_BUSY		0x014	/* R: a bit for each busy channel */
#define ENGINE_SCRATCH		0x018	/* RW */
#define ENGINE_RAISE		0x01c	/* W: raise that vector */
#define ENGINE_CHANNEL(n)	(0x100 + 0x40 * (n))

#define ENGINE_ID_VALUE		0x454d4441	/* "ADME" */
#define ENGINE_CONTROL_RESET	1

/* Of one channel. */
#define CHANNEL_COMMAND		0x00	/* W: CHANNEL_START and more */
#define CHANNEL_STATE		0x04	/* R: enum channel_state */
#define CHANNEL_BUS_LO		0x08	/* RW: bus address */
#define CHANNEL_BUS_HI		0x0c
#define CHANNEL_OFFSET		0x10	/* RW: in the buffer */
#define CHANNEL_LENGTH		0x14	/* RW: bytes */
#define CHANNEL_VECTOR		0x18	/* RW */
#define CHANNEL_ERROR		0x1c	/* R: enum channel_error */
#define CHANNEL_DONE		0x20	/* R: bytes moved */
#define CHANNEL_COUNT		0x24	/* R: transfers that ended, with errors too */
#define CHANNEL_FAULT_LO	0x28	/* R: bus address of the piece that failed */
#define CHANNEL_FAULT_HI	0x2c

#define CHANNEL_START		1
#define CHANNEL_TO_BUS		2	/* else from the bus to the buffer */
#define CHANNEL_INTERRUPT	4	/* when it ends, whatever the end */
#define CHANNEL_ABORT		8

enum channel_state { CHANNEL_IDLE, CHANNEL_RUNNING, CHANNEL_ENDED, CHANNEL_FAILED };

enum channel_error {
	CHANNEL_OK,
	CHANNEL_BAD_RANGE,	/* the length is 0, or it ends after the buffer */
	CHANNEL_DMA_FAULT,
	CHANNEL_ABORTED,
	CHANNEL_BAD_VECTOR
};

/**
 * dma_engine_create() - a dma-engine, ended by physical_destroy(); NULL without memory
 * @interrupts: how it interrupts
 * @hold: a transfer does not end before a mapping of @dart has ended since it began: its
 *	last piece of ENGINE_STEP or less waits for that, or for an abort or a reset
 */
struct physical *dma_engine_create(struct dart *dart, uint16_t bdf,
				   enum physical_interrupts interrupts, bool hold);

#endif
