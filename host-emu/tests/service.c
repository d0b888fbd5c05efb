// SPDX-License-Identifier: GPL-2.0
/* An extension with a device, for tests. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "service.h"

#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <IOKit/IOKitLib.h>

void waiter_hit(struct waiter *waiter, IOReturn ret)
{
	pthread_mutex_lock(&waiter->lock);
	waiter->count++;
	waiter->ret = ret;
	pthread_cond_broadcast(&waiter->changed);
	pthread_mutex_unlock(&waiter->lock);
}

unsigned int waiter_get(struct waiter *waiter, unsigned int least)
{
	struct timespec until;
	unsigned int count;
	int error = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 30;
	pthread_mutex_lock(&waiter->lock);
	while (waiter->count < least && error != ETIMEDOUT)
		error = pthread_cond_timedwait(&waiter->changed, &waiter->lock, &until);
	count = waiter->count;
	pthread_mutex_unlock(&waiter->lock);
	assert_true(count >= least);
	return count;
}

static void *in_process_open(struct service *service)
{
	return dext_open(service->unit.dext);
}

static void in_process_close(void *client)
{
	dext_close(client);
}

static IOReturn in_process_call(void *client, uint32_t selector, const uint64_t *in,
				uint32_t in_count, uint64_t *out, uint32_t *out_count)
{
	return dext_call(client, selector, in, in_count, out, out_count);
}

static void in_process_done(void *arg, uint64_t token, IOReturn ret)
{
	(void)token;
	waiter_hit(arg, ret);
}

static IOReturn in_process_wait(void *client, struct waiter *waiter)
{
	const struct dext_completion completion = { in_process_done, waiter, 1 };

	return dext_call_async(client, SELECTOR_WAIT_INTERRUPT, NULL, 0, NULL, NULL, &completion);
}

static IOReturn in_process_map(void *client, uint32_t type, void **at, uint64_t *size)
{
	IOReturn ret;
	int fd;

	ret = dext_get_memory(client, type, 0, &fd, size);
	if (ret == kIOReturnSuccess) {
		*at = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		assert_ptr_not_equal(*at, MAP_FAILED);
	}
	return ret;
}

const struct side side_in_process = {
	in_process_open, in_process_close, in_process_call, in_process_wait, in_process_map,
};

/* A client of IOKit's. */
struct iokit_client {
	io_connect_t connect;
	IONotificationPortRef port;
	dispatch_queue_t queue;
};

static void *iokit_open(struct service *service)
{
	struct iokit_client *client = calloc(1, sizeof(*client));
	io_iterator_t iterator;
	io_service_t object;

	(void)service;
	assert_int_equal(IOServiceGetMatchingServices(kIOMainPortDefault,
						      IOServiceMatching("IOUserService"),
						      &iterator), KERN_SUCCESS);
	object = IOIteratorNext(iterator);
	assert_int_not_equal(object, IO_OBJECT_NULL);
	assert_int_equal(IOServiceOpen(object, mach_task_self(), 0, &client->connect),
			 KERN_SUCCESS);
	IOObjectRelease(object);
	IOObjectRelease(iterator);
	client->port = IONotificationPortCreate(kIOMainPortDefault);
	client->queue = dispatch_queue_create("test", DISPATCH_QUEUE_SERIAL);
	IONotificationPortSetDispatchQueue(client->port, client->queue);
	return client;
}

static void nothing(void *context)
{
	(void)context;
}

static void iokit_close(void *arg)
{
	struct iokit_client *client = arg;

	IOServiceClose(client->connect);
	IONotificationPortDestroy(client->port);
	dispatch_sync_f(client->queue, NULL, nothing);
	dispatch_release(client->queue);
	free(client);
}

static IOReturn iokit_call(void *arg, uint32_t selector, const uint64_t *in, uint32_t in_count,
			   uint64_t *out, uint32_t *out_count)
{
	const struct iokit_client *client = arg;

	return IOConnectCallMethod(client->connect, selector, in, in_count, NULL, 0,
					     out, out_count, NULL, NULL);
}

static void iokit_done(void *refcon, IOReturn result, void **args, uint32_t count)
{
	(void)args;
	(void)count;
	waiter_hit(refcon, result);
}

static IOReturn iokit_wait(void *arg, struct waiter *waiter)
{
	const struct iokit_client *client = arg;
	uint64_t reference[kIOAsyncCalloutCount] = {
		0, (uintptr_t)iokit_done, (uintptr_t)waiter,
	};

	return IOConnectCallAsyncMethod(client->connect, SELECTOR_WAIT_INTERRUPT,
						  IONotificationPortGetMachPort(client->port),
						  reference, kIOAsyncCalloutCount, NULL, 0, NULL,
						  0, NULL, NULL, NULL, NULL);
}

static IOReturn iokit_map(void *arg, uint32_t type, void **at, uint64_t *size)
{
	const struct iokit_client *client = arg;
	mach_vm_address_t address = 0;
	kern_return_t ret;

	ret = IOConnectMapMemory64(client->connect, type, mach_task_self(), &address, size,
				   kIOMapAnywhere);
	*at = (void *)(uintptr_t)address;
	return ret;
}

const struct side side_iokit = {
	iokit_open, iokit_close, iokit_call, iokit_wait, iokit_map,
};

static void *run(void *arg)
{
	struct service *service = arg;

	assert_true(server_run(service->server));
	return NULL;
}

static void build(struct service *service, const char *device)
{
	static unsigned int number;
	char why[256];

	if (!unit_create(&service->unit, device, why, sizeof(why)))
		fail_msg("%s: %s", device, why);
	snprintf(service->path, sizeof(service->path), "/tmp/dext-test.%d.%u", getpid(),
		 number++);
}

struct service *service_start(const struct side *side, const char *device)
{
	struct service *service = calloc(1, sizeof(*service));
	char why[256];

	assert_non_null(service);
	service->side = side;
	build(service, device);
	if (side == &side_iokit) {
		service->server = server_create(service->path, why, sizeof(why));
		if (!service->server)
			fail_msg("%s", why);
		assert_true(server_add(service->server, service->unit.dext, service->unit.dev,
				       service->unit.options.root));
		setenv("APPLE_DEXT_SOCKET", service->path, 1);
		assert_int_equal(pthread_create(&service->thread, NULL, run, service), 0);
	}
	service->client = side->open(service);
	assert_non_null(service->client);
	return service;
}

void service_halt(struct service *service)
{
	if (!service->server)
		return;
	server_stop(service->server);
	pthread_join(service->thread, NULL);
	server_destroy(service->server);
	service->server = NULL;
}

void service_stop(struct service *service)
{
	if (service->client)
		service->side->close(service->client);
	service_halt(service);
	unit_destroy(&service->unit);
	free(service);
}

/* The server lets the device work before it takes the next call. */
void service_settle(struct service *service)
{
	if (service->side == &side_in_process) {
		while (physical_work(service->unit.dev))
			;
		return;
	}
	for (int i = 0; i < 64; i++)
		service->side->call(service->client, SELECTOR_TERMINATE, NULL, 0, NULL, NULL);
}

uint8_t *service_memory(uint64_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(at, MAP_FAILED);
	return at;
}
