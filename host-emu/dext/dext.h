/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The driver extension, VFIOUserPCIDriver, in process: one struct dext for each
 * physical PCI device, user clients on top of it, and one entry for all calls.
 * Its platform is a DART. It knows nothing of virtual machines.
 *
 * Here are the selectors that concern DMA regions. The others answer
 * Unsupported; they need a physical device to act on.
 *
 * Calls on one extension must not overlap in time.
 */
#ifndef APPLE_DMA_DEXT_H
#define APPLE_DMA_DEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "dart/dart.h"

/* IOReturn, as far as the extension uses it. */
#define DEXT_SUCCESS		UINT32_C(0)
#define DEXT_NO_MEMORY		UINT32_C(0xe00002bd)
#define DEXT_BAD_ARGUMENT	UINT32_C(0xe00002c2)
#define DEXT_EXCLUSIVE_ACCESS	UINT32_C(0xe00002c5)
#define DEXT_UNSUPPORTED	UINT32_C(0xe00002c7)
#define DEXT_NOT_OPEN		UINT32_C(0xe00002cd)
#define DEXT_NOT_ALIGNED	UINT32_C(0xe00002d0)
#define DEXT_STILL_OPEN		UINT32_C(0xe00002d2)
#define DEXT_NOT_READY		UINT32_C(0xe00002d8)
#define DEXT_NOT_ATTACHED	UINT32_C(0xe00002d9)
#define DEXT_NO_SPACE		UINT32_C(0xe00002db)
#define DEXT_OVERRUN		UINT32_C(0xe00002e8)
#define DEXT_NOT_FOUND		UINT32_C(0xe00002f0)

#define DEXT_MAX_REGIONS	65536			/* of one client */
#define DEXT_CHUNK_SIZE		(UINT64_C(1536) << 20)
#define DEXT_MAX_CHUNKS		128			/* of one region */

/** enum dext_selector - the calls; those not named here are not emulated yet */
enum dext_selector {
	DEXT_CLAIM = 1,			/* - */
	DEXT_TERMINATE = 2,		/* - */
	DEXT_REGISTER_DMA_REGION = 5,	/* handle, va, size : segments, address, length */
	DEXT_UNREGISTER_DMA_REGION = 6,	/* handle */
	DEXT_PROBE_DMA_REGION = 7,	/* handle, offset : word */
	DEXT_SELECTORS = 18
};

struct dext;
struct dext_client;

/**
 * struct dext_usage - what one client has registered
 * @regions: regions now
 * @bytes: their sizes, as asked for
 */
struct dext_usage {
	uint64_t regions;
	uint64_t bytes;
};

/**
 * dext_create() - the extension of one device
 * @dart: the device's; must outlive the extension
 * Return: NULL without memory. Ended by dext_destroy(), after its clients.
 */
struct dext *dext_create(struct dart *dart);

/** dext_destroy() - end an extension that has no client; NULL is allowed */
void dext_destroy(struct dext *dext);

/** dext_open() - a new user client, ended by dext_close(); NULL without memory */
struct dext_client *dext_open(struct dext *dext);

/**
 * dext_close() - the client dies: its regions go, and its claim if it was first
 *
 * When it was the one that opened the device, every other client gets NotOpen
 * until one of them claims again. NULL is allowed.
 */
void dext_close(struct dext_client *client);

/**
 * dext_call() - the external method of a user client
 * @in: scalar inputs, at least as many as the selector takes
 * @in_count: how many there are
 * @out: room for the scalar outputs
 * @out_count: how many there is room for; set to how many were written. NULL
 *	is allowed for a selector without outputs
 *
 * Return: an IOReturn.
 */
uint32_t dext_call(struct dext_client *client, uint32_t selector, const uint64_t *in,
		   uint32_t in_count, uint64_t *out, uint32_t *out_count);

/** dext_get_usage() - what the client has registered now */
void dext_get_usage(const struct dext_client *client, struct dext_usage *usage);

/**
 * dext_other_region() - the address of some live region with another handle
 * Return: false when there is none.
 */
bool dext_other_region(const struct dext_client *client, uint64_t handle, uint64_t *iova);

#endif
