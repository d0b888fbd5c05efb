// SPDX-License-Identifier: GPL-2.0
/* The time that calls of the extension take. */
#include "cost.h"

#include <errno.h>
#include <time.h>

static const char *const cost_names[DEXT_COSTS] = {
	[DEXT_COST_NONE] = "none",
	[DEXT_COST_MAC] = "mac",
};

const struct names dext_costs = NAMES(cost_names);

uint64_t cost_of(uint64_t slots)
{
	return COST_CALL_NS + COST_CONFIG_READS * COST_CONFIG_READ_NS + COST_SLOT_NS * slots;
}

void cost_take(uint64_t ns)
{
	struct timespec left = {
		.tv_sec = (time_t)(ns / 1000000000),
		.tv_nsec = (long)(ns % 1000000000),
	};

	while (ns && nanosleep(&left, &left) && errno == EINTR)
		;
}
