/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a list needs, found before the host is asked: runs of granules.
 */
#ifndef APPLE_DMA_RUNS_H
#define APPLE_DMA_RUNS_H

#include <linux/dma-mapping.h>
#include <linux/scatterlist.h>

#include "window.h"

/**
 * struct apple_dma_request - what is to be mapped: a list, or one range
 * @sg: the entry at hand; entries with the address DMA_MAPPING_ERROR are not mapped
 *	yet. NULL for one range
 * @left: ranges from the one at hand on
 * @range: the one at hand
 * @addr: device address of the one range, or DMA_MAPPING_ERROR
 * @mask: highest device address that the device reaches
 * @boundary: device addresses of one range should differ only in these bits
 * @strictly: a range that crosses the boundary is not mapped
 * @runs: what is to be registered next, found with the lock dropped; or NULL
 * @exact: in windows of exact granules
 * @tries: idle windows that may still be given back for the range at hand; -1
 *	if not known
 * @sibling_tries: the same for idle windows of siblings
 * @searches: how often a better window was looked for, for the range at hand
 * @yields: how often the lock was dropped after room was made for the range at hand
 * @search: the number of the search for it that engine->runs is of, until they are
 *	used; or 0
 */
struct apple_dma_request {
	struct scatterlist *sg;
	int left;
	struct apple_dma_range range;
	dma_addr_t addr;
	u64 mask;
	u64 boundary;
	bool strictly;
	struct apple_dma_runs *runs;
	bool exact;
	s64 tries;
	s64 sibling_tries;
	u8 searches;
	u8 yields;
	u64 search;
};

static inline void apple_dma_request_here(struct apple_dma_request *req)
{
	req->tries = -1;
	req->sibling_tries = -1;
	req->searches = 0;
	req->yields = 0;
	req->search = 0;
	if (req->sg) {
		req->range.phys = sg_phys(req->sg);
		req->range.size = req->sg->length;
	}
}

/* A request for @nents entries of a list. */
static inline struct apple_dma_request
apple_dma_request_list(struct scatterlist *sgl, int nents, u64 mask,
		       u64 boundary)
{
	struct apple_dma_request req = {
		.sg = sgl,
		.left = nents,
		.mask = mask,
		.boundary = min_t(u64, boundary, U32_MAX),
		.strictly = boundary <= U32_MAX,
	};

	apple_dma_request_here(&req);
	return req;
}

/* A request for one range. */
static inline struct apple_dma_request apple_dma_request_one(u64 phys, u64 size,
							     u64 mask)
{
	return (struct apple_dma_request){
		.left = 1,
		.range = { .phys = phys, .size = size },
		.addr = DMA_MAPPING_ERROR,
		.mask = mask,
		.boundary = U32_MAX,
		.tries = -1,
		.sibling_tries = -1,
	};
}

/* Go on to the next range; req->left is 0 if there is none. */
static inline void apple_dma_request_next(struct apple_dma_request *req)
{
	if (--req->left) {
		req->sg = sg_next(req->sg);
		apple_dma_request_here(req);
	}
}

/* Where the device address of the range at hand is, or will be. */
static inline dma_addr_t *apple_dma_request_addr(struct apple_dma_request *req)
{
	return req->sg ? &sg_dma_address(req->sg) : &req->addr;
}

bool apple_dma_valid_range(u64 phys, u64 size);
bool apple_dma_runs_begin(struct apple_dma_engine *e,
			  struct apple_dma_request *req, bool all);
void apple_dma_runs_end(struct apple_dma_request *req, struct scatterlist *sgl,
			int nents);

struct apple_dma_runs *apple_dma_runs_find(struct apple_dma_engine *e,
					   struct apple_dma_request *req,
					   u64 shape, unsigned long *flags);
void apple_dma_runs_done(struct apple_dma_request *req,
			 struct list_head *windows);

#endif /* APPLE_DMA_RUNS_H */
