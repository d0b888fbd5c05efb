// SPDX-License-Identifier: GPL-2.0
/* The services that dextd lists: iterating, and looking at one. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

#define ROOT	2	/* the last entry above a service */

struct iterator {
	struct object object;
	uint32_t next;
	struct protocol_services services;
};

static void free_object(struct object *object)
{
	free(object);
}

/* Without a match the iterator is empty; that is no error. */
static bool list(struct protocol_services *services)
{
	struct protocol_message message;
	const char *why;
	int fd, file = -1;
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
	if (file >= 0)
		close(file);
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
		memcpy(service->root, iterator->services.root[service->index],
		       sizeof(service->root) - 1);
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
	if (!service->above && CFStringCompare(key, CFSTR("IOUserClass"), 0) == kCFCompareEqualTo)
		value = CFStringCreateWithCString(allocator, service->class,
						  kCFStringEncodingUTF8);
	object_put(&service->object);
	return value;
}

kern_return_t IORegistryEntryGetParentEntry(io_registry_entry_t entry, const char *plane,
					    io_registry_entry_t *parent)
{
	struct service *service = (struct service *)object_get(entry, OBJECT_SERVICE);
	struct service *above = NULL;

	if (!service || strcmp(plane, kIOServicePlane) || !parent)
		goto put;
	above = service->above < ROOT ? calloc(1, sizeof(*above)) : NULL;
	if (!above)
		goto put;
	*above = *service;
	above->above++;
	*parent = object_add(&above->object, OBJECT_SERVICE, free_object);
	if (*parent == IO_OBJECT_NULL) {
		free(above);
		above = NULL;
	}
put:
	if (service)
		object_put(&service->object);
	return above ? KERN_SUCCESS : kIOReturnNotFound;
}

kern_return_t IORegistryEntryGetName(io_registry_entry_t entry, io_name_t name)
{
	static const char *const names[] = { "service", "device" };
	struct service *service = (struct service *)object_get(entry, OBJECT_SERVICE);

	if (!service)
		return kIOReturnBadArgument;
	snprintf(name, sizeof(io_name_t), "%s",
		 service->above == ROOT ? service->root : names[service->above]);
	object_put(&service->object);
	return KERN_SUCCESS;
}

int IOObjectConformsTo(io_object_t name, const char *class)
{
	struct service *service = (struct service *)object_get(name, OBJECT_SERVICE);
	bool is;

	if (!service)
		return 0;
	is = !strcmp(class, service->above ? "IOPCIDevice" : "IOUserService");
	object_put(&service->object);
	return is;
}

kern_return_t IOServiceOpen(io_service_t name, task_port_t owningTask, uint32_t type,
			    io_connect_t *connect)
{
	struct service *service = (struct service *)object_get(name, OBJECT_SERVICE);
	kern_return_t ret;

	if (!service || service->above || owningTask != mach_task_self() || !connect) {
		if (service)
			object_put(&service->object);
		return kIOReturnBadArgument;
	}
	ret = service_open(service, type, connect);
	object_put(&service->object);
	return ret;
}
