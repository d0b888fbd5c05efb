// SPDX-License-Identifier: GPL-2.0
/* Wrong answers. */
#include "traps.h"

#include <string.h>

#include "dext.h"

#define NO_IORETURN	0x12345678

static const char *const names[DEXT_LIES] = {
	[DEXT_LIE_NONE] = "none",
	[DEXT_LIE_NO_OUTPUT] = "no-output",
	[DEXT_LIE_SHORT_OUTPUT] = "short-output",
	[DEXT_LIE_SHORT_LENGTH] = "short-length",
	[DEXT_LIE_LONG_LENGTH] = "long-length",
	[DEXT_LIE_ZERO_ADDRESS] = "zero-address",
	[DEXT_LIE_WRONG_ADDRESS] = "wrong-address",
	[DEXT_LIE_ALL_ONES] = "all-ones",
	[DEXT_LIE_BAD_STATUS] = "bad-status",
};

const struct names dext_lies = NAMES(names);

IOReturn dext_lie(enum dext_lie lie, uint32_t selector, uint64_t *out, uint32_t *out_count)
{
	const bool region = selector == SELECTOR_REGISTER_DMA_REGION;
	const uint32_t count = out_count ? *out_count : 0;

	switch (lie) {
	case DEXT_LIE_NO_OUTPUT:
		if (count)
			*out_count = 0;
		break;
	case DEXT_LIE_SHORT_OUTPUT:
		if (count)
			*out_count = count - 1;
		break;
	case DEXT_LIE_SHORT_LENGTH:
		if (region)
			out[2]--;
		break;
	case DEXT_LIE_LONG_LENGTH:
		if (region)
			out[2]++;
		break;
	case DEXT_LIE_ZERO_ADDRESS:
		if (region)
			out[1] = 0;
		break;
	case DEXT_LIE_WRONG_ADDRESS:
		if (region)
			out[1] ^= UINT64_C(1) << 46;
		break;
	case DEXT_LIE_ALL_ONES:
		if (count)
			memset(out, 0xff, count * sizeof(out[0]));
		break;
	case DEXT_LIE_BAD_STATUS:
		return NO_IORETURN;
	case DEXT_LIE_NONE:
	case DEXT_LIES:
		break;
	}
	return kIOReturnSuccess;
}
