// SPDX-License-Identifier: GPL-2.0
/* Objects by name, services and their iterator. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define OBJECTS		1024

/* A name is a place and how often it was used: an old name finds nothing. */
static struct {
	struct object *object;
	uint32_t uses;
} places[OBJECTS];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

io_object_t object_add(struct object *object, enum object_type type,
		       void (*destroy)(struct object *object))
{
	static unsigned int hint;
	io_object_t name = IO_OBJECT_NULL;

	object->type = type;
	object->references = 1;
	object->destroy = destroy;
	pthread_mutex_lock(&lock);
	for (unsigned int i = 0; i < OBJECTS && !name; i++) {
		const unsigned int at = (hint + i) % OBJECTS;

		if (places[at].object)
			continue;
		places[at].object = object;
		places[at].uses = (places[at].uses + 1) % (UINT32_MAX / OBJECTS - 1);
		name = (places[at].uses + 1) * OBJECTS + at;
		hint = at + 1;
	}
	pthread_mutex_unlock(&lock);
	return name;
}

/* The place of a name of this type, with the lock. */
static struct object **find(io_object_t name, enum object_type type)
{
	const unsigned int at = name % OBJECTS;

	if (!places[at].object || places[at].object->type != type ||
	    name / OBJECTS != places[at].uses + 1)
		return NULL;
	return &places[at].object;
}

struct object *object_get(io_object_t name, enum object_type type)
{
	struct object **place, *object = NULL;

	pthread_mutex_lock(&lock);
	place = find(name, type);
	if (place) {
		object = *place;
		object->references++;
	}
	pthread_mutex_unlock(&lock);
	return object;
}

void object_hold(struct object *object)
{
	pthread_mutex_lock(&lock);
	object->references++;
	pthread_mutex_unlock(&lock);
}

void object_put(struct object *object)
{
	bool last;

	pthread_mutex_lock(&lock);
	last = !--object->references;
	pthread_mutex_unlock(&lock);
	if (last)
		object->destroy(object);
}

struct object *object_forget(io_object_t name, enum object_type type)
{
	struct object **place, *object = NULL;

	pthread_mutex_lock(&lock);
	place = find(name, type);
	if (place) {
		object = *place;
		*place = NULL;
	}
	pthread_mutex_unlock(&lock);
	return object;
}

struct iterator {
	struct object object;
	uint32_t next;
	struct protocol_services services;
};

static void free_object(struct object *object)
{
	free(object);
}

/* Nothing to match is an iterator without objects, not an error. */
static bool list(struct protocol_services *services)
{
	struct protocol_message message;
	const char *why;
	int fd, file;
	bool ok;

	fd = socket_connect();
	if (fd < 0)
		return false;
	ok = !protocol_send(fd, PROTOCOL_LIST, 0, NULL, 0, -1, 0) &&
	     protocol_receive(fd, &message, &file, &why) == 1 &&
	     message.header.type == (PROTOCOL_LIST | PROTOCOL_REPLY) &&
	     message.header.length == sizeof(*services) &&
	     message.services.count <= PROTOCOL_MAX_SERVICES;
	if (ok)
		*services = message.services;
	else
		fprintf(stderr, "iokit: dextd does not list its services\n");
	close(fd);
	return ok;
}

kern_return_t IOServiceGetMatchingServices(mach_port_t mainPort, CFDictionaryRef matching,
					   io_iterator_t *existing)
{
	struct iterator *iterator;

	(void)mainPort;
	if (!matching || !existing)
		return kIOReturnBadArgument;
	iterator = calloc(1, sizeof(*iterator));
	if (iterator && matching_is(matching, "IOUserService") && !list(&iterator->services))
		iterator->services.count = 0;
	CFRelease(matching);
	if (!iterator)
		return kIOReturnNoMemory;
	*existing = object_add(&iterator->object, OBJECT_ITERATOR, free_object);
	if (*existing == IO_OBJECT_NULL) {
		free(iterator);
		return kIOReturnNoResources;
	}
	return KERN_SUCCESS;
}

io_object_t IOIteratorNext(io_iterator_t name)
{
	struct iterator *iterator = (struct iterator *)object_get(name, OBJECT_ITERATOR);
	struct service *service = NULL;
	io_object_t result = IO_OBJECT_NULL;

	if (!iterator)
		return IO_OBJECT_NULL;
	if (iterator->next < iterator->services.count)
		service = calloc(1, sizeof(*service));
	if (service) {
		service->index = iterator->next++;
		memcpy(service->class, iterator->services.class[service->index],
		       sizeof(service->class) - 1);
		result = object_add(&service->object, OBJECT_SERVICE, free_object);
		if (result == IO_OBJECT_NULL)
			free(service);
	}
	object_put(&iterator->object);
	return result;
}

kern_return_t IOObjectRelease(io_object_t name)
{
	struct object *object = object_forget(name, OBJECT_ITERATOR);

	if (!object)
		object = object_forget(name, OBJECT_SERVICE);
	if (!object)
		return kIOReturnBadArgument;
	object_put(object);
	return KERN_SUCCESS;
}

CFTypeRef IORegistryEntryCreateCFProperty(io_registry_entry_t entry, CFStringRef key,
					  CFAllocatorRef allocator, IOOptionBits options)
{
	struct service *service = (struct service *)object_get(entry, OBJECT_SERVICE);
	CFTypeRef value = NULL;

	(void)options;
	if (!service)
		return NULL;
	if (CFStringCompare(key, CFSTR("IOUserClass"), 0) == kCFCompareEqualTo)
		value = CFStringCreateWithCString(allocator, service->class,
						  kCFStringEncodingUTF8);
	object_put(&service->object);
	return value;
}

kern_return_t IOServiceOpen(io_service_t name, task_port_t owningTask, uint32_t type,
			    io_connect_t *connect)
{
	struct service *service = (struct service *)object_get(name, OBJECT_SERVICE);
	kern_return_t ret;

	(void)type;
	if (!service || owningTask != mach_task_self() || !connect) {
		if (service)
			object_put(&service->object);
		return kIOReturnBadArgument;
	}
	ret = service_open(service, connect);
	object_put(&service->object);
	return ret;
}
