// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the host puts the next window. It cannot be told, and does not tell. But
 * most hosts have a habit, and the answers show which: after each one the habits
 * are asked what they would have guessed.
 */

#include "place.h"
#include "window.h"

/* Right so often in a row is as sure as it gets. */
#define RIGHT_MAX	4

/* A larger distance is no gap, but another place. */
#define GAP_MAX		(64ULL << 10)

/* Where a window of @size bytes would be, by each habit; 0 if nowhere. */
static void place_guesses(struct apple_dma_engine *e, u64 size,
			  u64 guess[APPLE_DMA_HABITS])
{
	const struct apple_dma_place *p = &e->place;
	struct rb_node *last = rb_last(&e->iova);

	guess[APPLE_DMA_HABIT_NEXT] = p->next ? p->next + p->gap : 0;
	guess[APPLE_DMA_HABIT_TOP] = 0;
	if (last) {
		const struct apple_dma_window *w =
			rb_entry(last, struct apple_dma_window, iova_node);

		guess[APPLE_DMA_HABIT_TOP] = w->iova + w->size + p->gap;
	}
	guess[APPLE_DMA_HABIT_HOLE] = size <= p->hole_size ? p->hole : 0;
}

/* How many bytes from @iova on have no window. */
static u64 place_room(struct apple_dma_engine *e, u64 iova)
{
	struct rb_node *node = e->iova.rb_node;
	u64 next = U64_MAX;

	while (node) {
		const struct apple_dma_window *w =
			rb_entry(node, struct apple_dma_window, iova_node);

		if (w->iova < iova) {
			node = node->rb_right;
		} else {
			next = w->iova;
			node = node->rb_left;
		}
	}
	return next - iova;
}

/* Where does the host put the next window? */
struct apple_dma_guess apple_dma_place_guess(struct apple_dma_engine *e)
{
	const struct apple_dma_place *p = &e->place;
	enum apple_dma_habit h, best = APPLE_DMA_HABIT_NEXT;
	u64 guess[APPLE_DMA_HABITS];

	place_guesses(e, APPLE_DMA_GRANULE_SIZE, guess);
	for (h = 0; h < APPLE_DMA_HABITS; h++)
		if (guess[h] && p->right[h] > p->right[best])
			best = h;
	return (struct apple_dma_guess){
		.addr = guess[best],
		.room = place_room(e, guess[best]),
		.gap = p->gap,
		.sure = guess[best] && p->right[best],
	};
}

/* The host has made a window: @w->iova is set, and not in the index yet. */
void apple_dma_place_learn(struct apple_dma_engine *e,
			   const struct apple_dma_window *w)
{
	struct apple_dma_place *p = &e->place;
	u64 guess[APPLE_DMA_HABITS];
	enum apple_dma_habit h;
	bool known = false;

	place_guesses(e, w->size, guess);
	for (h = 0; h < APPLE_DMA_HABITS; h++)
		known |= guess[h] == w->iova;
	for (h = 0; h < APPLE_DMA_HABITS; h++) {
		if (!guess[h])
			continue;
		if (guess[h] == w->iova)
			p->right[h] = min(p->right[h] + 1, RIGHT_MAX);
		else if (known || w->size >= APPLE_DMA_BLOCK)
			/* A small one may be in a hole that nobody sees. */
			p->right[h] /= 2;
	}
	if (p->next && w->iova - p->next <= GAP_MAX)
		p->gap = w->iova - p->next;
	p->next = w->iova + w->size;
	if (w->iova == p->hole && w->size <= p->hole_size) {
		p->hole += w->size;
		p->hole_size -= w->size;
	} else if (w->iova < p->hole + p->hole_size &&
		   p->hole < w->iova + w->size) {
		p->hole_size = 0;
	}
}

/* The host has released a window. */
void apple_dma_place_released(struct apple_dma_engine *e,
			      const struct apple_dma_window *w)
{
	struct apple_dma_place *p = &e->place;

	if (p->hole_size && w->iova == p->hole + p->hole_size + p->gap) {
		p->hole_size += w->size + p->gap;
	} else if (p->hole_size && w->iova + w->size + p->gap == p->hole) {
		p->hole = w->iova;
		p->hole_size += w->size + p->gap;
	} else {
		p->hole = w->iova;
		p->hole_size = w->size;
	}
}
