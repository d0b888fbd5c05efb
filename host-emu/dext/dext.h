/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The driver extension, VFIOUserPCIDriver, in process: one struct dext for each
 * physical PCI device, user clients on top of it, and one entry for all calls.
 * Its platform is a DART. It knows nothing of virtual machines.
 *
 * Without a physical device the selectors that need one answer NotAttached.
 *
 * Calls on one extension, and its device's work, must not overlap in time.
 */
#ifndef APPLE_DMA_DEXT_H
#define APPLE_DMA_DEXT_H

#include <stdbool.h>
#include <stdint.h>

#include <IOKit/IOReturn.h>

#include "client/selectors.h"
#include "cost.h"
#include "dart/dart.h"
#include "panic.h"
#include "traps.h"

#define DEXT_MAX_REGIONS	65536			/* of one client */
#define DEXT_CHUNK_SIZE		(UINT64_C(1536) << 20)
#define DEXT_MAX_CHUNKS		128			/* of one region */
#define DEXT_MAX_ARGUMENTS	16			/* scalars, of any selector */

/** enum dext_memory_type - what dext_get_memory() gives */
enum dext_memory_type {
	DEXT_MEMORY_BUFFER = 0,
	DEXT_MEMORY_BAR0 = 1,		/* .. 6 for BAR5 */
	DEXT_MEMORY_INTERRUPTS = 7
};

/**
 * struct dext_interrupt_page - memory type DEXT_MEMORY_INTERRUPTS
 * @pending: vectors that fired since they were taken out
 * @enabled: vectors that may become pending
 *
 * Both sides change its words atomically.
 */
struct dext_interrupt_page {
	uint64_t pending[EXTENSION_WORDS];
	uint64_t enabled[EXTENSION_WORDS];
};

struct dext;
struct dext_client;
struct memory;
struct physical;

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
 * struct dext_interrupts - what became of the interrupts of one client
 * @pended: they set a pending bit
 * @merged: the bit was set already
 * @dropped: the vector was masked
 * @completed: waits that were completed
 */
struct dext_interrupts {
	uint64_t pended;
	uint64_t merged;
	uint64_t dropped;
	uint64_t completed;
};

/**
 * struct dext_completion - how an asynchronous call ends, later
 * @complete: called at most once, from a call on the extension or its device
 * @arg: for @complete
 * @token: for @complete
 */
struct dext_completion {
	void (*complete)(void *arg, uint64_t token, IOReturn ret);
	void *arg;
	uint64_t token;
};

/**
 * dext_create() - the extension of one device
 * @dart: the device's; must outlive the extension
 * Return: NULL without memory. Ended by dext_destroy(), after its clients.
 */
struct dext *dext_create(struct dart *dart);

/** dext_destroy() - end an extension that has no client; NULL is allowed */
void dext_destroy(struct dext *dext);

/**
 * dext_attach() - connect the physical device, before any client is opened
 * @dev: behind the same DART; must outlive the extension
 */
void dext_attach(struct dext *dext, struct physical *dev);

/** dext_set_traps() - set them and begin to count calls */
void dext_set_traps(struct dext *dext, const struct dext_traps *traps);

/** dext_set_cost() - must calls take the modelled time from now on? */
void dext_set_cost(struct dext *dext, enum dext_cost cost);

/** dext_set_panic() - which maps would take the host down, from now on */
void dext_set_panic(struct dext *dext, const struct panic_limits *limits);

/** dext_open() - a new user client, ended by dext_close(); NULL without memory */
struct dext_client *dext_open(struct dext *dext);

/**
 * dext_open_for() - a user client whose addresses are those of @memory
 * @memory: must outlive the client
 */
struct dext_client *dext_open_for(struct dext *dext, struct memory *memory);

/**
 * dext_close() - end a client with its regions, and its claim if it was the first
 *
 * If it opened the device, the other clients get NotOpen until one of them claims
 * again. NULL is allowed.
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
IOReturn dext_call(struct dext_client *client, uint32_t selector, const uint64_t *in,
		   uint32_t in_count, uint64_t *out, uint32_t *out_count);

/**
 * dext_call_async() - dext_call() with a completion
 * @completion: copied; used by WaitInterrupt alone
 *
 * It may be called before this returns.
 */
IOReturn dext_call_async(struct dext_client *client, uint32_t selector, const uint64_t *in,
			 uint32_t in_count, uint64_t *out, uint32_t *out_count,
			 const struct dext_completion *completion);

/**
 * dext_get_memory() - what IOConnectMapMemory64 maps
 * @options: of the call; only EXTENSION_WRITE_COMBINED is looked at, and counted
 * @fd: set to the file; it stays the extension's
 * @size: set to its size
 * Return: an IOReturn: Unsupported for a type that there is not and for
 * registers, NotReady for what the client has not made yet.
 */
IOReturn dext_get_memory(struct dext_client *client, uint32_t type, uint32_t options, int *fd,
			 uint64_t *size);

/** dext_discard() - the client lost memory, see dart_stale() */
void dext_discard(struct dext_client *client, uint64_t va, uint64_t size);

/** dext_get_interrupts() - what became of the client's interrupts */
void dext_get_interrupts(const struct dext_client *client, struct dext_interrupts *counts);

/**
 * struct dext_totals - what an extension has done
 * @calls: external methods, since the traps were set
 * @modelled_ns: what all calls would take on a Mac, by cost.h
 * @panic: maps that would have taken the host down
 * @clients: user clients that are open
 * @interrupts: of all clients, including those that are closed
 * @mapped: memory that was given to clients
 * @write_combined: of that, for a mapping that is write-combined
 */
struct dext_totals {
	uint64_t calls;
	uint64_t modelled_ns;
	struct panic_note panic;
	unsigned int clients;
	struct dext_interrupts interrupts;
	uint64_t mapped;
	uint64_t write_combined;
};

/** dext_get_totals() - for statistics */
void dext_get_totals(const struct dext *dext, struct dext_totals *totals);

/** dext_get_usage() - what the client has registered now */
void dext_get_usage(const struct dext_client *client, struct dext_usage *usage);

/**
 * dext_other_region() - the address of some live region with another handle
 * Return: false when there is none.
 */
bool dext_other_region(const struct dext_client *client, uint64_t handle, uint64_t *iova);

#endif
