/* SPDX-License-Identifier: GPL-2.0 */
/* Inside the Linux IOKit: objects by name, connections, notification ports. */
#ifndef APPLE_DMA_IOKIT_INTERNAL_H
#define APPLE_DMA_IOKIT_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>

#include <IOKit/IOKitLib.h>

#include "proto/protocol.h"

enum object_type { OBJECT_NONE, OBJECT_ITERATOR, OBJECT_SERVICE, OBJECT_CONNECTION, OBJECT_PORT };

/**
 * struct object - first member of what has a name
 * @references: its name is one, while it has one
 * @destroy: called without a lock when the last reference is gone
 */
struct object {
	enum object_type type;
	unsigned int references;
	void (*destroy)(struct object *object);
};

/** object_add() - a name for a new object; IO_OBJECT_NULL when there are none left */
io_object_t object_add(struct object *object, enum object_type type,
		       void (*destroy)(struct object *object));

/** object_get() - the object of this name and type with a reference, or NULL */
struct object *object_get(io_object_t name, enum object_type type);

/** object_hold() - one more reference; the caller has one already */
void object_hold(struct object *object);

/** object_put() - give a reference back */
void object_put(struct object *object);

/** object_forget() - drop the name; returns its reference to the caller, or NULL */
struct object *object_forget(io_object_t name, enum object_type type);

/* A service of dextd, or a PCI device @above it in the registry. */
struct service {
	struct object object;
	uint32_t index;			/* of dextd's list */
	unsigned int above;		/* 0 for the service itself */
	char class[PROTOCOL_NAME];
	char root[PROTOCOL_NAME];
};

/** service_open() - a connection to a service, as a user client of @type, with a name */
kern_return_t service_open(const struct service *service, uint32_t type, io_connect_t *connect);

/** socket_connect() - to dextd; negative after a message on stderr */
int socket_connect(void);

/**
 * port_deliver() - call back on the port's queue, unless it is destroyed before
 * Any thread; does not wait.
 */
void port_deliver(struct IONotificationPort *port, IOAsyncCallback function, void *refcon,
		  IOReturn result);

/** port_is_destroyed() - has the port ended, so that nothing is called back? */
bool port_is_destroyed(struct IONotificationPort *port);

/** matching_is() - does a matching dictionary ask for this class? */
bool matching_is(CFDictionaryRef matching, const char *class);

#endif
