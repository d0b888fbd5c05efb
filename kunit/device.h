/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A device with the module's ops and a fake host behind them: the DMA API
 * without PCI.
 */
#ifndef APPLE_DMA_DEVICE_H
#define APPLE_DMA_DEVICE_H

#include "fixture.h"

/**
 * struct device_fixture - what a case works with
 * @f: engine and host
 * @dev: the device; reaches 64 bits
 */
struct device_fixture {
	struct fixture *f;
	struct device *dev;
};

/* With fields of struct fixture_plan that differ. */
#define device_open(test, ...)						\
	device_new(test, &(const struct fixture_plan){			\
		.real = true, __VA_ARGS__ })

struct device_fixture *device_new(struct kunit *test,
				  const struct fixture_plan *plan);
void device_close(struct kunit *test);
u64 device_leads(struct device_fixture *d, dma_addr_t addr);
u64 device_failures(struct device_fixture *d, enum apple_dma_fail cause);
bool device_reaped(struct device_fixture *d);

#endif /* APPLE_DMA_DEVICE_H */
