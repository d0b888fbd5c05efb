/* SPDX-License-Identifier: GPL-2.0 */
/* What the fuzzing targets share: reading the input, and a device. */
#ifndef APPLE_DMA_FUZZ_H
#define APPLE_DMA_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "dextd/unit.h"

/** struct fuzz_input - the rest of the input */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

/** fuzz_byte() - the next byte; 0 when there are none left */
static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
	if (!input->left)
		return 0;
	input->left--;
	return *input->at++;
}

/** fuzz_number() - of so many bytes */
static inline uint64_t fuzz_number(struct fuzz_input *input, unsigned int bytes)
{
	uint64_t number = 0;

	while (bytes--)
		number = number << 8 | fuzz_byte(input);
	return number;
}

/** fuzz_unit() - as for dextd's --device; ended by unit_destroy() */
static inline void fuzz_unit(struct unit *unit, const char *device)
{
	char why[256];

	if (!unit_create(unit, device, why, sizeof(why)))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
