/* SPDX-License-Identifier: GPL-2.0 */
/* What the fuzzing targets share: an input that is eaten, and a device. */
#ifndef APPLE_DMA_FUZZ_H
#define APPLE_DMA_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "dext/dext.h"
#include "dextd/options.h"
#include "pci/dma-engine.h"
#include "pci/nvme.h"
#include "pci/physical.h"

/** struct fuzz_input - what is left of it */
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

struct fuzz_device {
	struct dart *dart;
	struct physical *dev;
	struct dext *dext;
};

/** fuzz_device_create() - as for dextd's --device */
static inline void fuzz_device_create(struct fuzz_device *f, const char *device)
{
	struct device_options options;
	char why[256];

	if (!options_parse(device, &options, why, sizeof(why)))
		abort();
	f->dart = dart_create(&options.dart);
	f->dev = options.model == MODEL_NVME ? nvme_create(f->dart, &options, why, sizeof(why)) :
					       engine_create(f->dart, &options);
	f->dext = dext_create(f->dart);
	if (!f->dart || !f->dev || !f->dext)
		abort();
	dext_attach(f->dext, f->dev);
}

static inline void fuzz_device_destroy(struct fuzz_device *f)
{
	dext_destroy(f->dext);
	physical_destroy(f->dev);
	dart_destroy(f->dart);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
