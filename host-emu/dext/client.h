/* SPDX-License-Identifier: GPL-2.0 */
/* Inside the extension: its state, and the methods on DMA regions. */
#ifndef APPLE_DMA_DEXT_CLIENT_H
#define APPLE_DMA_DEXT_CLIENT_H

#include "dart/tree.h"
#include "dext.h"

struct dext {
	struct dart *dart;
	struct dext_client *opener;	/* the first to claim; NULL is not open */
};

struct dext_client {
	struct dext *dext;
	struct tree regions;		/* by handle */
	uint64_t bytes;
};

/* Methods: @in and @out have the size that the table of selectors says. */
uint32_t dext_register_region(struct dext_client *client, const uint64_t *in, uint64_t *out);
uint32_t dext_unregister_region(struct dext_client *client, const uint64_t *in, uint64_t *out);
uint32_t dext_probe_region(struct dext_client *client, const uint64_t *in, uint64_t *out);

/** dext_drop_regions() - end every region of a client */
void dext_drop_regions(struct dext_client *client);

#endif
