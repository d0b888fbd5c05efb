// SPDX-License-Identifier: GPL-2.0
/* The client of the driver extension: finding it, and its synchronous calls. */
#include "apple-dext-client.h"

#include <CoreFoundation/CoreFoundation.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "selectors.h"

#define FIRST_BAR_MEMORY	1	/* memory type of BAR0 */
#define BARS			6
#define BAR_PREFETCHABLE	0x08

/*
 * One call. @out has room for exactly @out_count values, and success means
 * that all of them are there.
 */
static kern_return_t call(io_connect_t connection, uint32_t selector, const uint64_t *in,
			  uint32_t in_count, uint64_t *out, uint32_t out_count)
{
	uint32_t got = out_count;
	kern_return_t ret;

	if (connection == IO_OBJECT_NULL)
		return kIOReturnBadArgument;
	ret = IOConnectCallMethod(connection, selector, in, in_count, NULL, 0, out,
				  out ? &got : NULL, NULL, NULL);
	if (ret != kIOReturnSuccess)
		return ret;
	return out && got < out_count ? kIOReturnUnderrun : kIOReturnSuccess;
}

static bool is_extension(io_service_t service)
{
	CFTypeRef class = IORegistryEntryCreateCFProperty(service, CFSTR("IOUserClass"),
							  kCFAllocatorDefault, 0);
	bool is;

	if (!class)
		return false;
	is = CFGetTypeID(class) == CFStringGetTypeID() &&
	     CFStringCompare((CFStringRef)class, CFSTR(EXTENSION_CLASS), 0) == kCFCompareEqualTo;
	CFRelease(class);
	return is;
}

static bool has_device(io_connect_t connection, uint8_t bus, uint8_t device, uint8_t function)
{
	uint64_t identity[6];

	return call(connection, SELECTOR_GET_IDENTITY, NULL, 0, identity, 6) == kIOReturnSuccess &&
	       identity[0] == bus && identity[1] == device && identity[2] == function;
}

/* The name of the topmost PCI device above a service in the registry. */
static void get_root(io_service_t service, io_name_t root)
{
	io_registry_entry_t entry = service, above;

	root[0] = '\0';
	while (IORegistryEntryGetParentEntry(entry, kIOServicePlane, &above) == KERN_SUCCESS) {
		if (entry != service)
			IOObjectRelease(entry);
		entry = above;
		if (IOObjectConformsTo(entry, "IOPCIDevice") &&
		    IORegistryEntryGetName(entry, root) != KERN_SUCCESS)
			root[0] = '\0';
	}
	if (entry != service)
		IOObjectRelease(entry);
}

/* A connection to a service, if that is the extension of the device. */
static io_connect_t open_for(io_service_t service, uint8_t bus, uint8_t device, uint8_t function)
{
	io_connect_t connection;

	if (!is_extension(service) ||
	    IOServiceOpen(service, mach_task_self(), 0, &connection) != KERN_SUCCESS)
		return IO_OBJECT_NULL;
	if (has_device(connection, bus, device, function))
		return connection;
	IOServiceClose(connection);
	return IO_OBJECT_NULL;
}

static void append(char *list, size_t size, const char *name)
{
	const size_t used = strlen(list);

	snprintf(list + used, size - used, "%s%s", used ? ", " : "", name);
}

io_connect_t apple_dext_connect_below(uint8_t bus, uint8_t device, uint8_t function,
				      const char *root, char *found, size_t size)
{
	CFMutableDictionaryRef matching = IOServiceMatching("IOUserService");
	const bool any = !root || !*root;
	io_connect_t chosen = IO_OBJECT_NULL;
	unsigned int candidates = 0;
	io_iterator_t services;
	io_service_t service;

	found[0] = '\0';
	if (!matching)
		return IO_OBJECT_NULL;
	/* The call consumes the dictionary, also when it fails. */
	if (IOServiceGetMatchingServices(kIOMainPortDefault, matching, &services))
		return IO_OBJECT_NULL;
	while ((service = IOIteratorNext(services)) != IO_OBJECT_NULL) {
		const io_connect_t connection = open_for(service, bus, device, function);
		io_name_t name;

		if (connection != IO_OBJECT_NULL) {
			get_root(service, name);
			append(found, size, name);
			candidates++;
			if (chosen == IO_OBJECT_NULL && (any || !strcmp(name, root)))
				chosen = connection;
			else
				IOServiceClose(connection);
		}
		IOObjectRelease(service);
	}
	IOObjectRelease(services);
	if (any && candidates > 1) {
		IOServiceClose(chosen);
		chosen = IO_OBJECT_NULL;
	}
	return chosen;
}

io_connect_t apple_dext_connect(uint8_t bus, uint8_t device, uint8_t function)
{
	char found[1];

	return apple_dext_connect_below(bus, device, function, NULL, found, sizeof(found));
}

void apple_dext_disconnect(io_connect_t connection)
{
	if (connection != IO_OBJECT_NULL)
		IOServiceClose(connection);
}

kern_return_t apple_dext_claim(io_connect_t connection)
{
	return call(connection, SELECTOR_CLAIM, NULL, 0, NULL, 0);
}

kern_return_t apple_dext_register_dma(io_connect_t connection, uint64_t iova, uint64_t client_va,
				      uint64_t size, uint64_t *out_bus_addr,
				      uint64_t *out_bus_len)
{
	const uint64_t in[] = { iova, client_va, size };
	uint64_t out[3];
	kern_return_t ret;

	ret = call(connection, SELECTOR_REGISTER_DMA_REGION, in, 3, out, 3);
	/* The region is registered but has no usable address: end it. */
	if (ret == kIOReturnUnderrun)
		apple_dext_unregister_dma(connection, iova);
	if (ret != kIOReturnSuccess)
		return ret;
	if (out_bus_addr)
		*out_bus_addr = out[1];
	if (out_bus_len)
		*out_bus_len = out[2];
	return kIOReturnSuccess;
}

kern_return_t apple_dext_unregister_dma(io_connect_t connection, uint64_t iova)
{
	return call(connection, SELECTOR_UNREGISTER_DMA_REGION, &iova, 1, NULL, 0);
}

/* A call with one output, which is unchanged when the call fails. */
static kern_return_t read_one(io_connect_t connection, uint32_t selector, const uint64_t *in,
			      uint32_t in_count, uint64_t *out_value)
{
	uint64_t value;
	kern_return_t ret;

	if (!out_value)
		return kIOReturnBadArgument;
	ret = call(connection, selector, in, in_count, &value, 1);
	if (ret == kIOReturnSuccess)
		*out_value = value;
	return ret;
}

kern_return_t apple_dext_probe_dma(io_connect_t connection, uint64_t iova, uint64_t offset,
				   uint64_t *out_word)
{
	const uint64_t in[] = { iova, offset };

	return read_one(connection, SELECTOR_PROBE_DMA_REGION, in, 2, out_word);
}

kern_return_t apple_dext_config_read(io_connect_t connection, uint64_t offset, uint64_t width,
				     uint64_t *out_value)
{
	const uint64_t in[] = { offset, width };

	return read_one(connection, SELECTOR_CONFIG_READ, in, 2, out_value);
}

kern_return_t apple_dext_config_write(io_connect_t connection, uint64_t offset, uint64_t width,
				      uint64_t value)
{
	const uint64_t in[] = { offset, width, value };

	return call(connection, SELECTOR_CONFIG_WRITE, in, 3, NULL, 0);
}

kern_return_t apple_dext_config_read_block(io_connect_t connection, uint64_t offset, void *buf,
					   size_t len)
{
	uint8_t *to = buf;

	if (connection == IO_OBJECT_NULL || !buf)
		return kIOReturnBadArgument;
	while (len) {
		const size_t width = len >= 4 ? 4 : 1;
		uint64_t value;
		kern_return_t ret;

		ret = apple_dext_config_read(connection, offset, width, &value);
		if (ret != kIOReturnSuccess)
			return ret;
		/* Configuration space is little endian on every machine. */
		for (size_t i = 0; i < width; i++)
			to[i] = (uint8_t)(value >> (8 * i));
		to += width;
		offset += width;
		len -= width;
	}
	return kIOReturnSuccess;
}

kern_return_t apple_dext_get_bar_info(io_connect_t connection, uint8_t bar, uint8_t *out_mem_idx,
				      uint64_t *out_size, uint8_t *out_type)
{
	const uint64_t in[] = { bar };
	uint64_t out[3];
	kern_return_t ret;

	ret = call(connection, SELECTOR_GET_BAR_INFO, in, 1, out, 3);
	if (ret != kIOReturnSuccess)
		return ret;
	if (out_mem_idx)
		*out_mem_idx = (uint8_t)out[0];
	if (out_size)
		*out_size = out[1];
	if (out_type)
		*out_type = (uint8_t)out[2];
	return kIOReturnSuccess;
}

kern_return_t apple_dext_map_bar(io_connect_t connection, uint8_t bar,
				 mach_vm_address_t *out_addr, mach_vm_size_t *out_size,
				 uint8_t *out_type)
{
	IOOptionBits options = kIOMapAnywhere;
	mach_vm_address_t addr = 0;
	mach_vm_size_t size = 0;
	kern_return_t ret;
	uint8_t type;

	if (!out_addr || !out_size || bar >= BARS)
		return kIOReturnBadArgument;
	ret = apple_dext_get_bar_info(connection, bar, NULL, NULL, &type);
	if (ret != kIOReturnSuccess)
		return ret;
	if (type & BAR_PREFETCHABLE)
		options |= EXTENSION_WRITE_COMBINED;
	/* The memory type counts all BARs, the MMIO index only those that exist. */
	ret = IOConnectMapMemory64(connection, FIRST_BAR_MEMORY + bar, mach_task_self(), &addr,
				   &size, options);
	if (ret != kIOReturnSuccess)
		return ret;
	*out_addr = addr;
	*out_size = size;
	if (out_type)
		*out_type = type;
	return kIOReturnSuccess;
}

kern_return_t apple_dext_unmap_bar(io_connect_t connection, uint8_t bar, mach_vm_address_t addr)
{
	if (connection == IO_OBJECT_NULL || bar >= BARS || !addr)
		return kIOReturnBadArgument;
	return IOConnectUnmapMemory64(connection, FIRST_BAR_MEMORY + bar, mach_task_self(), addr);
}

kern_return_t apple_dext_mmio_read(io_connect_t connection, uint8_t mem_idx, uint64_t offset,
				   uint64_t width, uint64_t *out_value)
{
	const uint64_t in[] = { mem_idx, offset, width };

	return read_one(connection, SELECTOR_MMIO_READ, in, 3, out_value);
}

kern_return_t apple_dext_mmio_write(io_connect_t connection, uint8_t mem_idx, uint64_t offset,
				    uint64_t width, uint64_t value)
{
	const uint64_t in[] = { mem_idx, offset, width, value };

	return call(connection, SELECTOR_MMIO_WRITE, in, 4, NULL, 0);
}

kern_return_t apple_dext_setup_interrupts(io_connect_t connection, uint32_t *out_num_vectors)
{
	uint64_t vectors;
	kern_return_t ret;

	ret = call(connection, SELECTOR_SETUP_INTERRUPTS, NULL, 0, &vectors, 1);
	if (ret == kIOReturnSuccess && out_num_vectors)
		*out_num_vectors = (uint32_t)vectors;
	return ret;
}

kern_return_t apple_dext_reset_device(io_connect_t connection)
{
	return call(connection, SELECTOR_RESET_DEVICE, NULL, 0, NULL, 0);
}

kern_return_t apple_dext_set_irq_mask(io_connect_t connection, const uint64_t mask[4])
{
	if (!mask)
		return kIOReturnBadArgument;
	return call(connection, SELECTOR_SET_IRQ_MASK, mask, 4, NULL, 0);
}

kern_return_t apple_dext_read_pending_irqs(io_connect_t connection, uint64_t pending[4])
{
	uint64_t words[4];
	kern_return_t ret;

	if (!pending)
		return kIOReturnBadArgument;
	ret = call(connection, SELECTOR_CHECK_INTERRUPT, NULL, 0, words, 4);
	if (ret == kIOReturnSuccess)
		memcpy(pending, words, sizeof(words));
	return ret;
}
