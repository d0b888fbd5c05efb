/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A line: driver/transport.c at one end, a fake companion at the other.
 */
#ifndef APPLE_DMA_LINE_H
#define APPLE_DMA_LINE_H

#include "check.h"
#include "fake-companion.h"
#include "rooms.h"

/**
 * struct line - what a case works with
 * @test: the case
 * @c: the host
 * @t: the transport
 * @up: apple_dma_transport_init() was called
 * @lost: allocations that the driver's files had before the case
 * @map: room for a batch
 * @unmap: the same
 */
struct line {
	struct kunit *test;
	struct fake_companion c;
	struct apple_dma_transport t;
	bool up;
	long lost;
	struct apple_dma_map_entry map[APPLE_DMA_BATCH_MAX + 1];
	struct apple_dma_unmap_entry unmap[APPLE_DMA_BATCH_MAX + 1];
};

/* Two cases: @check gets a line with the RFC's layout in one, the wide one in the other. */
#define LINE_CASES(name, check)						\
static void name(struct kunit *test)					\
{									\
	check(line_open(test, false));					\
}									\
									\
static void name##_wide(struct kunit *test)				\
{									\
	check(line_open(test, true));					\
}

struct line *line_new(struct kunit *test);
struct line *line_open(struct kunit *test, bool wide);
void line_close(struct kunit *test);
int line_map(struct line *l, unsigned int n);
int line_unmap(struct line *l, unsigned int n);

#endif /* APPLE_DMA_LINE_H */
