/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where the host puts the next window, as far as can be guessed. The engine's lock
 * is held in all of this.
 */
#ifndef APPLE_DMA_PLACE_H
#define APPLE_DMA_PLACE_H

#include <linux/minmax.h>
#include <linux/types.h>

struct apple_dma_engine;
struct apple_dma_window;

/* Where a host may put a window. */
enum apple_dma_habit {
	APPLE_DMA_HABIT_NEXT,	/* behind the one that it made last */
	APPLE_DMA_HABIT_TOP,	/* behind all others */
	APPLE_DMA_HABIT_HOLE,	/* where one was released */
	APPLE_DMA_HABITS
};

/**
 * struct apple_dma_place - what is known about the host's choice
 * @next: the end of the window that it made last
 * @gap: bytes that it leaves free behind each
 * @hole: device address of what was released last, with its neighbours
 * @hole_size: its bytes
 * @right: how often in a row each habit has explained its choice
 */
struct apple_dma_place {
	u64 next;
	u64 gap;
	u64 hole;
	u64 hole_size;
	u8 right[APPLE_DMA_HABITS];
};

/**
 * struct apple_dma_guess - where the next window comes to be
 * @addr: device address
 * @room: bytes that are free from there on
 * @gap: bytes that the host leaves free behind each
 * @sure: the last guess was right
 */
struct apple_dma_guess {
	u64 addr;
	u64 room;
	u64 gap;
	bool sure;
};

struct apple_dma_guess apple_dma_place_guess(struct apple_dma_engine *e);
void apple_dma_place_learn(struct apple_dma_engine *e,
			   const struct apple_dma_window *w);
void apple_dma_place_released(struct apple_dma_engine *e,
			      const struct apple_dma_window *w);

/* Another window of @size bytes is asked for in the same doorbell. */
static inline void apple_dma_guess_on(struct apple_dma_guess *g, u64 size)
{
	size += g->gap;
	g->addr += size;
	g->room -= min(g->room, size);
}

#endif /* APPLE_DMA_PLACE_H */
