/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A host that answers wrongly, on purpose, so that guests can be tested
 * against it. Entries of length 0, with which a guest probes the layout, are
 * always answered honestly, unless the doorbell as a whole is not.
 */
#ifndef APPLE_DMA_LIE_H
#define APPLE_DMA_LIE_H

#include <stdbool.h>
#include <stdint.h>

#include "wire.h"

#define LIE_STATUS	7	/* a status that the protocol does not have */
#define LIE_LATER_MS	100
#define LIE_GARBAGE	0x5a	/* each byte of it */
#define LIE_REGISTERS	4	/* those that can be read */

/** enum lie_mode - what is wrong; the extension itself always works honestly */
enum lie_mode {
	LIE_NONE,
	LIE_WRONG_ID,		/* the id is another one, a granule further */
	LIE_SHORT,		/* map: dma_len one less than asked for */
	LIE_LONG,		/* map: dma_len one more */
	LIE_MISALIGNED,		/* map: dma_addr 4 KiB off, in or over the granule */
	LIE_ZERO,		/* map: dma_addr 0 */
	LIE_WRAP,		/* map: dma_addr in the last granule of 64 bits */
	LIE_OVERLAP,		/* map: dma_addr of another live mapping, if any */
	LIE_UNWRITTEN,		/* the entry is not written, the batch says OK */
	LIE_BATCH_OK,		/* the entry fails, and is not done; the batch says OK */
	LIE_BATCH_FAIL,		/* every entry says OK, the batch IOERR */
	LIE_BAD_STATUS,		/* the entry's status is LIE_STATUS */
	LIE_BAD_BATCH_STATUS,	/* the batch's status is LIE_STATUS */
	LIE_NO_COMMAND_STATUS,	/* the status in the command page is not written */
	LIE_UNMAP_FAIL,		/* unmap: IOERR, and not done */
	LIE_REFUSE_ALL,		/* map: IOERR, and not done */
	LIE_NO_ANSWER,		/* a doorbell does nothing */
	LIE_LATE,		/* a doorbell does nothing, until LIE_LATER_MS after it */
	LIE_GONE,		/* the same as nothing, and registers are all ones */
	LIE_REWRITE,		/* LIE_LATER_MS after a doorbell the answers are garbage */
	LIE_FICKLE,		/* a register is another one when it is read again */
	LIE_HALF,		/* map: of the answer only the status is written */
	LIE_INVALID_BATCH,	/* the batch's status says that it was no valid one */
	LIE_SHORT_STAYS,	/* as short, and an unmap is IOERR, and not done */
	LIE_NO_ENTRIES,		/* MAX_ENTRIES is 0 */
	LIE_MODES
};

/**
 * struct lie - how one host lies
 * @mode: what is wrong
 * @after: entries that are answered honestly first
 * @seen: entries since @mode was set
 * @reads: of each register since then
 */
struct lie {
	enum lie_mode mode;
	uint32_t after;
	uint64_t seen;
	uint32_t reads[LIE_REGISTERS];
};

/* Of enum lie_mode. */
extern const struct names lie_modes;

/** lie_set() - set the mode by its name; false when there is none */
bool lie_set(struct lie *lie, const char *name);

/** lie_due() - count an entry; must its answer be wrong? */
bool lie_due(struct lie *lie, uint32_t type);

/** lie_is() - is this mode, which does not concern entries, due? */
bool lie_is(const struct lie *lie, enum lie_mode mode);

/** lie_unanswered() - must a doorbell do nothing now? */
bool lie_unanswered(const struct lie *lie);

/**
 * lie_register() - what a register reads as
 * @number: which one, from 0
 * @value: what it is
 */
uint32_t lie_register(struct lie *lie, unsigned int number, uint32_t value);

/** lie_skips() - is an entry of this mode answered with IOERR and not done? */
bool lie_skips(enum lie_mode mode, uint32_t type);

/**
 * lie_map() - make the answer of a successful map wrong
 * @other: the address of another live mapping, 0 for none
 */
void lie_map(enum lie_mode mode, struct wire_map *map, uint64_t other);

/** lie_unmap() - make the answer of an unmap wrong */
void lie_unmap(enum lie_mode mode, struct wire_unmap *unmap);

/** lie_batch() - the status of a batch with a wrong answer, honestly @status */
uint32_t lie_batch(enum lie_mode mode, uint32_t status);

#endif
