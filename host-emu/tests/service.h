/* SPDX-License-Identifier: GPL-2.0 */
/*
 * An extension with a device, for tests, reached in two ways that must not
 * differ: in process, and through the socket with IOKit's calls.
 */
#ifndef APPLE_DMA_TEST_SERVICE_H
#define APPLE_DMA_TEST_SERVICE_H

#include <pthread.h>

#include "dextd/server.h"
#include "dextd/unit.h"
#include "test.h"

struct service;

/** struct waiter - what an asynchronous wait came to */
struct waiter {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int count;
	IOReturn ret;
};

#define WAITER { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0 }

/** waiter_get() - completions so far, at least @least; ends the test after 30 s */
unsigned int waiter_get(struct waiter *waiter, unsigned int least);

/** waiter_hit() - one more */
void waiter_hit(struct waiter *waiter, IOReturn ret);

/** struct side - one way to the extension */
struct side {
	void *(*open)(struct service *service);
	void (*close)(void *client);
	IOReturn (*call)(void *client, uint32_t selector, const uint64_t *in, uint32_t in_count,
			 uint64_t *out, uint32_t *out_count);
	IOReturn (*wait)(void *client, struct waiter *waiter);
	IOReturn (*map)(void *client, uint32_t type, void **at, uint64_t *size);
};

extern const struct side side_in_process;
extern const struct side side_iokit;

struct service {
	const struct side *side;
	struct unit unit;
	struct server *server;		/* NULL in process */
	pthread_t thread;
	char path[64];
	void *client;			/* opened by service_start() */
};

/**
 * service_start() - a device and its extension, and one client
 * @device: as for dextd's --device
 */
struct service *service_start(const struct side *side, const char *device);

/** service_halt() - end the server's thread and all its clients, so that counters can be read */
void service_halt(struct service *service);

/** service_stop() - end it all; the client too, when it is not NULL */
void service_stop(struct service *service);

/** service_settle() - the device has done what there is to do */
void service_settle(struct service *service);

/** service_memory() - memory that may be registered, zeroed, ended by munmap() */
uint8_t *service_memory(uint64_t size);

#endif
