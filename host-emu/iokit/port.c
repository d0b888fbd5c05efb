// SPDX-License-Identifier: GPL-2.0
/* Notification ports: where completions are called back. */
#include <stdlib.h>

#include "internal.h"

struct IONotificationPort {
	struct object object;
	mach_port_t name;
	pthread_mutex_t lock;		/* of the two below */
	dispatch_queue_t queue;
	bool destroyed;
};

struct delivery {
	struct IONotificationPort *port;
	IOAsyncCallback function;
	void *refcon;
	IOReturn result;
};

static void destroy(struct object *object)
{
	struct IONotificationPort *port = (struct IONotificationPort *)object;

	pthread_mutex_destroy(&port->lock);
	free(port);
}

IONotificationPortRef IONotificationPortCreate(mach_port_t mainPort)
{
	struct IONotificationPort *port = calloc(1, sizeof(*port));

	(void)mainPort;
	if (!port)
		return NULL;
	pthread_mutex_init(&port->lock, NULL);
	port->name = object_add(&port->object, OBJECT_PORT, destroy);
	if (port->name == IO_OBJECT_NULL) {
		destroy(&port->object);
		return NULL;
	}
	return port;
}

void IONotificationPortSetDispatchQueue(IONotificationPortRef port, dispatch_queue_t queue)
{
	dispatch_queue_t old;

	if (queue)
		dispatch_retain(queue);
	pthread_mutex_lock(&port->lock);
	old = port->queue;
	port->queue = queue;
	pthread_mutex_unlock(&port->lock);
	if (old)
		dispatch_release(old);
}

mach_port_t IONotificationPortGetMachPort(IONotificationPortRef port)
{
	return port->name;
}

bool port_is_destroyed(struct IONotificationPort *port)
{
	bool destroyed;

	pthread_mutex_lock(&port->lock);
	destroyed = port->destroyed;
	pthread_mutex_unlock(&port->lock);
	return destroyed;
}

static void deliver(void *arg)
{
	struct delivery *delivery = arg;

	if (!port_is_destroyed(delivery->port))
		delivery->function(delivery->refcon, delivery->result, NULL, 0);
	object_put(&delivery->port->object);
	free(delivery);
}

void port_deliver(struct IONotificationPort *port, IOAsyncCallback function, void *refcon,
		  IOReturn result)
{
	struct delivery *delivery = malloc(sizeof(*delivery));

	if (!delivery)
		abort();
	*delivery = (struct delivery){ port, function, refcon, result };
	pthread_mutex_lock(&port->lock);
	if (port->destroyed || !port->queue) {
		free(delivery);
	} else {
		object_hold(&port->object);
		dispatch_async_f(port->queue, delivery, deliver);
	}
	pthread_mutex_unlock(&port->lock);
}

void IONotificationPortDestroy(IONotificationPortRef port)
{
	dispatch_queue_t queue;

	object_forget(port->name, OBJECT_PORT);
	pthread_mutex_lock(&port->lock);
	port->destroyed = true;
	queue = port->queue;
	port->queue = NULL;
	pthread_mutex_unlock(&port->lock);
	if (queue)
		dispatch_release(queue);
	object_put(&port->object);
}
