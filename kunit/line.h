/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A line: driver/transport.c with a fake companion.
 */
#ifndef APPLE_DMA_LINE_H
#define APPLE_DMA_LINE_H

#include "check.h"
#include "fake-companion.h"
#include "rooms.h"

/**
 * struct line - the state of a case
 * @test: the case
 * @c: the host
 * @t: the transport
 * @up: whether apple_dma_transport_init() was called
 * @lost: the driver's allocations before the case
 * @map: entries of a batch of maps
 * @unmap: entries of a batch of unmaps
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

/* Two cases, one for each layout: @check gets a line that has it. */
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
