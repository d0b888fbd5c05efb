/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The driver extension of one physical device, as the QEMU devices that use it
 * share it: the passthrough device and its companion. With the big lock held.
 */
#ifndef APPLE_DMA_EXTENSION_H
#define APPLE_DMA_EXTENSION_H

#include "client/apple-dext-client.h"
#include "companion/backend.h"
#include "compat.h"

/**
 * struct extension_address - which device of the host
 * @root: where several have one address: the name of the PCI device at the root of
 *	its buses; else NULL
 */
struct extension_address {
	uint8_t bus;
	uint8_t device;
	uint8_t function;
	const char *root;
};

/**
 * struct extension - a claimed device
 * @connection: its user client
 * @name: of the device on the host, such as 01:00.0
 * @gone: a call found no extension or device; the device must look pulled out
 */
struct extension {
	io_connect_t connection;
	char *name;
	bool gone;

	/* The rest belongs to extension.c. */
	char *root;			/* of its buses on the host */
	bool refused;			/* to register something; it was said */
	unsigned int users;
	GHashTable *regions;		/* handle -> struct region */
	uint64_t bytes;
};

/** extension_parse() - bus, device and function from [DDDD:]BB:DD.F in hexadecimal */
bool extension_parse(const char *host, struct extension_address *address, Error **errp);

/**
 * extension_open() - connect to the extension of a device, and claim it
 * @share: for a companion: as one more user of the passthrough device's connection,
 *	or else by one of its own, which nobody shares. Without it, for a passthrough
 *	device: there can be one
 *
 * Return: with one user more, or NULL with an error that says what to do.
 */
struct extension *extension_open(const struct extension_address *address, bool share,
				 Error **errp);

/** extension_put() - one user less; the last one closes it, with all its regions */
void extension_put(struct extension *extension);

/**
 * extension_failed() - has a call failed?
 * @ret: what it returned
 * @what: the call, for the one warning of a device that has gone
 */
bool extension_failed(struct extension *extension, kern_return_t ret, const char *what);

/**
 * struct extension_sum - bytes registered through all extensions of this machine
 * @bytes: now
 * @peak: the most
 */
struct extension_sum {
	uint64_t bytes;
	uint64_t peak;
};

/** extension_sum() - the sum up to now */
struct extension_sum extension_sum(void);

/**
 * extension_backend() - for a companion, as one more user
 * @managed_bdf: of the passthrough device in the guest
 */
struct backend *extension_backend(struct extension *extension, uint32_t managed_bdf);

#endif
