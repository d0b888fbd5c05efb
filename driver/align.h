/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Aligned device addresses for naturally aligned blocks.
 */
#ifndef APPLE_DMA_ALIGN_H
#define APPLE_DMA_ALIGN_H

#include "place.h"
#include "runs.h"

/* Would the range at hand cross the boundary in a window? */
static inline bool apple_dma_align_across(const struct apple_dma_window *w,
					  const struct apple_dma_request *req)
{
	const struct apple_dma_range *r = &req->range;

	return apple_dma_crosses(w->iova + (r->phys - w->phys), r->size,
				 req->boundary);
}

/* Must the range at hand not be mapped in a window, because of the boundary? */
static inline bool apple_dma_align_forbids(const struct apple_dma_window *w,
					   const struct apple_dma_request *req)
{
	return req->strictly && apple_dma_align_across(w, req);
}

/* Does a window suit the range at hand, or is no better one to be had? */
static inline bool apple_dma_align_suits(const struct apple_dma_window *w,
					 const struct apple_dma_request *req)
{
	return apple_dma_window_suits(w, req->range.phys, req->range.size) &&
	       !apple_dma_align_across(w, req);
}

struct apple_dma_window *apple_dma_align_filler(struct apple_dma_engine *e,
						const struct apple_dma_window *w,
						const struct apple_dma_range *run,
						bool block, u64 boundary,
						struct apple_dma_guess *guess);
void apple_dma_align_count(struct apple_dma_engine *e,
			   const struct apple_dma_request *req,
			   const struct apple_dma_window *w);
bool apple_dma_align(struct apple_dma_engine *e, struct apple_dma_request *req,
		     struct apple_dma_window *w, struct list_head *fresh,
		     struct apple_dma_emptied *emptied, unsigned long *flags);

#endif /* APPLE_DMA_ALIGN_H */
