/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a call of the extension takes on a Mac, as a model. The work is known:
 * every call reads the device's identity first, three times from configuration
 * space; then it looks for the handle in a table of DEXT_MAX_REGIONS slots of
 * about 5 KiB, from the first one on. The times are estimates. They are chosen
 * so that a call takes from 50 us (first slot) to 1 ms (all slots), which is
 * what is known of such hosts. What the platform adds for each page is not in it.
 */
#ifndef APPLE_DMA_COST_H
#define APPLE_DMA_COST_H

#include <stdint.h>

#include "lib/names.h"

#define COST_CALL_NS		UINT64_C(20000)	/* message there and back; estimate */
#define COST_CONFIG_READS	UINT64_C(3)
#define COST_CONFIG_READ_NS	UINT64_C(10000)	/* through the kernel to the device; estimate */
#define COST_SLOT_NS		UINT64_C(14)	/* a cache miss, partly prefetched; estimate */

/**
 * enum dext_cost - does a call take the modelled time?
 * @DEXT_COST_NONE: no; it is counted only
 * @DEXT_COST_MAC: yes
 */
enum dext_cost {
	DEXT_COST_NONE,
	DEXT_COST_MAC,
	DEXT_COSTS
};

/* Of enum dext_cost. */
extern const struct names dext_costs;

/** cost_of() - of one call that looked at @slots slots, in nanoseconds */
uint64_t cost_of(uint64_t slots);

/** cost_take() - sleep so many nanoseconds */
void cost_take(uint64_t ns);

#endif
