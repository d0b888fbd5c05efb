// SPDX-License-Identifier: GPL-2.0
/* Being told of interrupts: the extension's one asynchronous call. */
#include "apple-dext-client.h"

#include <dispatch/dispatch.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "selectors.h"

struct AppleDextInterruptNotify {
	AppleDextInterruptNotify *next;	/* of those that are not destroyed */
	unsigned int users;		/* calls that use it; with the lock */
	io_connect_t connection;
	void (*handler_fn)(void *opaque);
	void *opaque;
	IONotificationPortRef port;
	dispatch_queue_t queue;
};

/*
 * A notification that is not in the list is destroyed. The lock is never held
 * during a call to the extension or to a handler.
 */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static AppleDextInterruptNotify *live;

static const char queue_key;

/* The link to a live one, with the lock; NULL when it is not. */
static AppleDextInterruptNotify **find(const AppleDextInterruptNotify *notify)
{
	for (AppleDextInterruptNotify **link = &live; *link; link = &(*link)->next)
		if (*link == notify)
			return link;
	return NULL;
}

static void completed(void *refcon, IOReturn result, void **args, uint32_t count)
{
	AppleDextInterruptNotify *notify = refcon;
	bool destroyed;

	(void)result;
	(void)args;
	(void)count;
	pthread_mutex_lock(&lock);
	destroyed = !find(notify);
	pthread_mutex_unlock(&lock);
	/* Call the handler after an error, too: taking the vectors then fails. */
	if (!destroyed)
		notify->handler_fn(notify->opaque);
}

static kern_return_t arm(AppleDextInterruptNotify *notify)
{
	uint64_t reference[kIOAsyncCalloutCount] = { 0 };

	reference[kIOAsyncCalloutFuncIndex] = (uint64_t)(uintptr_t)completed;
	reference[kIOAsyncCalloutRefconIndex] = (uint64_t)(uintptr_t)notify;
	return IOConnectCallAsyncMethod(notify->connection, SELECTOR_WAIT_INTERRUPT,
					IONotificationPortGetMachPort(notify->port), reference,
					kIOAsyncCalloutCount, NULL, 0, NULL, 0, NULL, NULL, NULL,
					NULL);
}

static void nothing(void *context)
{
	(void)context;
}

static void finish(void *context)
{
	AppleDextInterruptNotify *notify = context;

	IONotificationPortDestroy(notify->port);
	dispatch_release(notify->queue);
	free(notify);
}

/* Drop users; the last one frees it and gets true. */
static bool leave(AppleDextInterruptNotify *notify, unsigned int users)
{
	bool last;

	pthread_mutex_lock(&lock);
	notify->users -= users;
	last = !notify->users;
	pthread_mutex_unlock(&lock);
	if (!last)
		return false;
	/* A queue cannot wait for itself: free it after this turn. */
	if (dispatch_get_specific(&queue_key) == notify)
		dispatch_async_f(notify->queue, notify, finish);
	else
		finish(notify);
	return true;
}

/*
 * Stop all callbacks and wait for a running one; false when that was done
 * before. The caller counts as a user, and drops that itself.
 */
static bool retire(AppleDextInterruptNotify *notify)
{
	AppleDextInterruptNotify **link;

	pthread_mutex_lock(&lock);
	link = find(notify);
	if (link)
		*link = notify->next;
	pthread_mutex_unlock(&lock);
	if (!link)
		return false;
	IONotificationPortSetDispatchQueue(notify->port, NULL);
	if (dispatch_get_specific(&queue_key) != notify)
		dispatch_sync_f(notify->queue, NULL, nothing);
	return true;
}

AppleDextInterruptNotify *apple_dext_interrupt_notify_create(io_connect_t connection,
							     void (*handler_fn)(void *opaque),
							     void *opaque)
{
	AppleDextInterruptNotify *notify;
	bool armed;

	if (connection == IO_OBJECT_NULL || !handler_fn)
		return NULL;
	notify = calloc(1, sizeof(*notify));
	if (!notify)
		return NULL;
	notify->users = 2;	/* until it is destroyed, and this call */
	notify->connection = connection;
	notify->handler_fn = handler_fn;
	notify->opaque = opaque;
	notify->port = IONotificationPortCreate(kIOMainPortDefault);
	if (!notify->port)
		goto free_notify;
	notify->queue = dispatch_queue_create("apple-dext.interrupts", DISPATCH_QUEUE_SERIAL);
	if (!notify->queue)
		goto destroy_port;
	dispatch_queue_set_specific(notify->queue, &queue_key, notify, NULL);
	IONotificationPortSetDispatchQueue(notify->port, notify->queue);

	/* The handler may run, and re-arm, before this returns. */
	pthread_mutex_lock(&lock);
	notify->next = live;
	live = notify;
	pthread_mutex_unlock(&lock);
	armed = arm(notify) == kIOReturnSuccess;
	if (leave(notify, !armed && retire(notify) ? 2 : 1))
		return NULL;
	return notify;

destroy_port:
	IONotificationPortDestroy(notify->port);
free_notify:
	free(notify);
	return NULL;
}

kern_return_t apple_dext_interrupt_notify_rearm(AppleDextInterruptNotify *notify)
{
	kern_return_t ret;

	pthread_mutex_lock(&lock);
	if (!notify || !find(notify)) {
		pthread_mutex_unlock(&lock);
		return kIOReturnBadArgument;
	}
	notify->users++;
	pthread_mutex_unlock(&lock);
	ret = arm(notify);
	leave(notify, 1);
	return ret;
}

void apple_dext_interrupt_notify_destroy(AppleDextInterruptNotify *notify)
{
	if (notify && retire(notify))
		leave(notify, 1);
}
