// SPDX-License-Identifier: GPL-2.0
/* The lie modes, on decoded entries. */
#include "lie.h"

#include <string.h>

static const char *const names[LIE_MODES] = {
	[LIE_NONE] = "none",
	[LIE_WRONG_ID] = "wrong-id",
	[LIE_SHORT] = "short",
	[LIE_LONG] = "long",
	[LIE_MISALIGNED] = "misaligned",
	[LIE_ZERO] = "zero",
	[LIE_WRAP] = "wrap",
	[LIE_OVERLAP] = "overlap",
	[LIE_UNWRITTEN] = "unwritten",
	[LIE_BATCH_OK] = "batch-ok",
	[LIE_BATCH_FAIL] = "batch-fail",
	[LIE_BAD_STATUS] = "bad-status",
	[LIE_BAD_BATCH_STATUS] = "bad-batch-status",
	[LIE_NO_COMMAND_STATUS] = "no-command-status",
	[LIE_UNMAP_FAIL] = "unmap-fail",
	[LIE_REFUSE_ALL] = "refuse-all",
	[LIE_NO_ANSWER] = "no-answer",
	[LIE_LATE] = "late",
	[LIE_GONE] = "gone",
	[LIE_REWRITE] = "rewrite",
	[LIE_FICKLE] = "fickle",
	[LIE_HALF] = "half",
	[LIE_INVALID_BATCH] = "invalid-batch",
	[LIE_SHORT_STAYS] = "short-stays",
	[LIE_NO_ENTRIES] = "no-entries",
};

const struct names lie_modes = NAMES(names);

bool lie_set(struct lie *lie, const char *name)
{
	if (!names_parse(&lie_modes, name, &lie->mode))
		return false;
	lie->seen = 0;
	memset(lie->reads, 0, sizeof(lie->reads));
	return true;
}

/* Does a mode concern this command? */
static bool concerns(enum lie_mode mode, uint32_t type)
{
	switch (mode) {
	case LIE_NONE:
	case LIE_NO_ANSWER:
	case LIE_LATE:
	case LIE_GONE:
	case LIE_REWRITE:
	case LIE_FICKLE:
	case LIE_NO_ENTRIES:
	case LIE_MODES:
		return false;
	case LIE_SHORT:
	case LIE_LONG:
	case LIE_MISALIGNED:
	case LIE_ZERO:
	case LIE_WRAP:
	case LIE_OVERLAP:
	case LIE_REFUSE_ALL:
	case LIE_HALF:
		return type == APPLE_DMA_CMD_MAP;
	case LIE_UNMAP_FAIL:
		return type == APPLE_DMA_CMD_UNMAP;
	default:
		return true;
	}
}

bool lie_due(struct lie *lie, uint32_t type)
{
	return lie->seen++ >= lie->after && concerns(lie->mode, type);
}

bool lie_is(const struct lie *lie, enum lie_mode mode)
{
	return lie->mode == mode && lie->seen >= lie->after;
}

bool lie_unanswered(const struct lie *lie)
{
	return lie_is(lie, LIE_NO_ANSWER) || lie_is(lie, LIE_LATE) || lie_is(lie, LIE_GONE);
}

uint32_t lie_register(struct lie *lie, unsigned int number, uint32_t value)
{
	uint32_t before = lie->reads[number]++;

	if (lie_is(lie, LIE_GONE))
		return UINT32_MAX;
	if (lie_is(lie, LIE_NO_ENTRIES) && number == APPLE_DMA_REG_MAX_ENTRIES / 4)
		return 0;
	return lie_is(lie, LIE_FICKLE) ? value + before : value;
}

bool lie_skips(enum lie_mode mode, uint32_t type)
{
	if (mode == LIE_SHORT_STAYS)
		return type == APPLE_DMA_CMD_UNMAP;
	return mode == LIE_BATCH_OK || mode == LIE_UNMAP_FAIL || mode == LIE_REFUSE_ALL;
}

void lie_map(enum lie_mode mode, struct wire_map *map, uint64_t other)
{
	const uint64_t in_granule = APPLE_DMA_GRANULE_SIZE - 1;

	switch (mode) {
	case LIE_WRONG_ID:
		map->id += APPLE_DMA_GRANULE_SIZE;
		break;
	case LIE_SHORT:
	case LIE_SHORT_STAYS:
		map->dma_len--;
		break;
	case LIE_LONG:
		map->dma_len++;
		break;
	case LIE_MISALIGNED:
		map->dma_addr += 0x1000;
		break;
	case LIE_ZERO:
		map->dma_addr = 0;
		break;
	case LIE_WRAP:
		map->dma_addr |= ~in_granule;
		break;
	case LIE_OVERLAP:
		if (other)
			map->dma_addr = (other & ~in_granule) | (map->dma_addr & in_granule);
		break;
	case LIE_BAD_STATUS:
		map->status = LIE_STATUS;
		break;
	default:
		break;
	}
}

void lie_unmap(enum lie_mode mode, struct wire_unmap *unmap)
{
	if (mode == LIE_WRONG_ID)
		unmap->id += APPLE_DMA_GRANULE_SIZE;
	else if (mode == LIE_BAD_STATUS)
		unmap->status = LIE_STATUS;
}

uint32_t lie_batch(enum lie_mode mode, uint32_t status)
{
	switch (mode) {
	case LIE_UNWRITTEN:
	case LIE_BATCH_OK:
		return APPLE_DMA_STATUS_OK;
	case LIE_BATCH_FAIL:
	case LIE_BAD_STATUS:
		return APPLE_DMA_STATUS_IOERR;
	case LIE_BAD_BATCH_STATUS:
		return LIE_STATUS;
	case LIE_INVALID_BATCH:
		return APPLE_DMA_STATUS_INVAL;
	default:
		return status;
	}
}
