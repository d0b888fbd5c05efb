/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a real extension and its platform can do to a client, on purpose. The
 * DART's own traps (placement, limits, segments) are in struct dart_config.
 */
#ifndef APPLE_DMA_TRAPS_H
#define APPLE_DMA_TRAPS_H

#include <stdbool.h>
#include <stdint.h>

#include <IOKit/IOReturn.h>

#include "lib/names.h"

/** enum dext_lie - what is wrong in answers that say Success */
enum dext_lie {
	DEXT_LIE_NONE,
	DEXT_LIE_NO_OUTPUT,	/* no output at all */
	DEXT_LIE_SHORT_OUTPUT,	/* one output fewer */
	DEXT_LIE_SHORT_LENGTH,	/* RegisterDMARegion: the length is one less */
	DEXT_LIE_LONG_LENGTH,	/* RegisterDMARegion: the length is one more */
	DEXT_LIE_ZERO_ADDRESS,	/* RegisterDMARegion: the address is 0 */
	DEXT_LIE_WRONG_ADDRESS,	/* RegisterDMARegion: no mapping is there */
	DEXT_LIE_ALL_ONES,	/* every output is all ones */
	DEXT_LIE_BAD_STATUS,	/* the call is done, the status is not an IOReturn */
	DEXT_LIES
};

/**
 * struct dext_traps - all zero is none
 * @latency_us: every call takes that much longer, in microseconds
 * @lost_after: the device is pulled out after so many calls; 0 is never
 * @lie: wrong answers, after @lie_after calls
 * @busy: another driver has the device: Claim says ExclusiveAccess
 */
struct dext_traps {
	uint32_t latency_us;
	uint64_t lost_after;
	enum dext_lie lie;
	uint64_t lie_after;
	bool busy;
};

/* Of enum dext_lie. */
extern const struct names dext_lies;

/** dext_lie() - make an answer wrong that was Success; returns the status to give */
IOReturn dext_lie(enum dext_lie lie, uint32_t selector, uint64_t *out, uint32_t *out_count);

#endif
