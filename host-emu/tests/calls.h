/* SPDX-License-Identifier: GPL-2.0 */
/* Calls of a service's client, for tests. */
#ifndef APPLE_DMA_TEST_CALLS_H
#define APPLE_DMA_TEST_CALLS_H

#include "service.h"

static inline IOReturn call(struct service *s, uint32_t selector, const uint64_t *in,
			    uint32_t in_count, uint64_t *out, uint32_t out_count)
{
	uint32_t count = out_count;
	IOReturn ret;

	ret = s->side->call(s->client, selector, in, in_count, out, out ? &count : NULL);
	if (out)
		assert_int_equal(count, ret == kIOReturnSuccess ? out_count : 0);
	return ret;
}

#define IN(...)		(const uint64_t[]){ __VA_ARGS__ }, \
			sizeof((const uint64_t[]){ __VA_ARGS__ }) / sizeof(uint64_t)
#define NO_IN		NULL, 0
#define NO_OUT		NULL, 0

static inline IOReturn simple(struct service *s, uint32_t selector)
{
	return call(s, selector, NO_IN, NO_OUT);
}

static inline void claim(struct service *s)
{
	assert_int_equal(simple(s, SELECTOR_CLAIM), kIOReturnSuccess);
}

static inline uint64_t mmio_read(struct service *s, uint64_t index, uint64_t offset, uint64_t width)
{
	uint64_t value;

	assert_int_equal(call(s, SELECTOR_MMIO_READ, IN(index, offset, width), &value, 1),
			 kIOReturnSuccess);
	return value;
}

static inline void mmio_write(struct service *s, uint64_t index, uint64_t offset, uint64_t width,
		       uint64_t value)
{
	assert_int_equal(call(s, SELECTOR_MMIO_WRITE, IN(index, offset, width, value), NO_OUT),
			 kIOReturnSuccess);
}

static inline uint64_t config_read(struct service *s, uint64_t offset, uint64_t width)
{
	uint64_t value;

	assert_int_equal(call(s, SELECTOR_CONFIG_READ, IN(offset, width), &value, 1),
			 kIOReturnSuccess);
	return value;
}

static inline void entries_are(struct service *s, uint64_t entries)
{
	struct dart_usage usage;

	dart_get_usage(s->unit.dart, &usage);
	assert_int_equal(usage.entries, entries);
}

#endif
