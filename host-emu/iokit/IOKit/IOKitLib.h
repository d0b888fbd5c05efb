/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The calls of IOKit that a client of a driver extension makes, for Linux: the
 * services are those of the dextd whose socket APPLE_DEXT_SOCKET names.
 *
 * They mean what they mean on macOS. When dextd goes, calls that wait and
 * later ones end with kIOReturnIPCError, and asynchronous ones complete with
 * kIOReturnAborted.
 */
#ifndef _IOKIT_IOKITLIB_H
#define _IOKIT_IOKITLIB_H

#include <stddef.h>
#include <stdint.h>

#include <CoreFoundation/CoreFoundation.h>
#include <dispatch/dispatch.h>
#include <IOKit/IOReturn.h>
#include <mach/mach.h>

typedef mach_port_t io_object_t;
typedef io_object_t io_connect_t;
typedef io_object_t io_iterator_t;
typedef io_object_t io_registry_entry_t;
typedef io_object_t io_service_t;
typedef uint32_t IOOptionBits;
typedef struct IONotificationPort *IONotificationPortRef;
typedef void (*IOAsyncCallback)(void *refcon, IOReturn result, void **args, uint32_t numArgs);

typedef char io_name_t[128];

#define IO_OBJECT_NULL		((io_object_t)0)
#define kIOMainPortDefault	MACH_PORT_NULL
#define kIOServicePlane		"IOService"

enum { kIOMapAnywhere = 0x00000001, kIOMapWriteCombineCache = 0x00000400 };

enum {
	kIOAsyncReservedIndex,
	kIOAsyncCalloutFuncIndex,
	kIOAsyncCalloutRefconIndex,
	kIOAsyncCalloutCount
};

CFMutableDictionaryRef IOServiceMatching(const char *name);

/* Takes a reference to @matching. */
kern_return_t IOServiceGetMatchingServices(mach_port_t mainPort, CFDictionaryRef matching,
					   io_iterator_t *existing);
io_object_t IOIteratorNext(io_iterator_t iterator);
kern_return_t IOObjectRelease(io_object_t object);
CFTypeRef IORegistryEntryCreateCFProperty(io_registry_entry_t entry, CFStringRef key,
					  CFAllocatorRef allocator, IOOptionBits options);

/*
 * The registry above a service: the device that it drives, and the PCI device at
 * the root of that one's buses. Both are an IOPCIDevice.
 */
kern_return_t IORegistryEntryGetParentEntry(io_registry_entry_t entry, const char *plane,
					    io_registry_entry_t *parent);
kern_return_t IORegistryEntryGetName(io_registry_entry_t entry, io_name_t name);
int IOObjectConformsTo(io_object_t object, const char *class);

kern_return_t IOServiceOpen(io_service_t service, task_port_t owningTask, uint32_t type,
			    io_connect_t *connect);

/* What the connection has mapped is unmapped. */
kern_return_t IOServiceClose(io_connect_t connect);

kern_return_t IOConnectCallMethod(mach_port_t connection, uint32_t selector,
				  const uint64_t *input, uint32_t inputCnt,
				  const void *inputStruct, size_t inputStructCnt,
				  uint64_t *output, uint32_t *outputCnt,
				  void *outputStruct, size_t *outputStructCnt);
kern_return_t IOConnectCallAsyncMethod(mach_port_t connection, uint32_t selector,
				       mach_port_t wakePort, uint64_t *reference,
				       uint32_t referenceCnt,
				       const uint64_t *input, uint32_t inputCnt,
				       const void *inputStruct, size_t inputStructCnt,
				       uint64_t *output, uint32_t *outputCnt,
				       void *outputStruct, size_t *outputStructCnt);
kern_return_t IOConnectMapMemory64(io_connect_t connect, uint32_t memoryType,
				   task_port_t intoTask, mach_vm_address_t *atAddress,
				   mach_vm_size_t *ofSize, IOOptionBits options);
kern_return_t IOConnectUnmapMemory64(io_connect_t connect, uint32_t memoryType,
				     task_port_t fromTask, mach_vm_address_t atAddress);

IONotificationPortRef IONotificationPortCreate(mach_port_t mainPort);
void IONotificationPortSetDispatchQueue(IONotificationPortRef notify, dispatch_queue_t queue);
mach_port_t IONotificationPortGetMachPort(IONotificationPortRef notify);

/* What was not called back yet never is; one call may be running still. */
void IONotificationPortDestroy(IONotificationPortRef notify);

#endif
