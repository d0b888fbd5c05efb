// SPDX-License-Identifier: GPL-2.0
/* The BARs of vfio-apple-pci: mapped where the extension allows it, else trapped. */
#include "passthrough.h"

#define LARGEST_BAR	(UINT64_C(1) << 46)

static uint64_t bar_read(void *opaque, hwaddr offset, unsigned int size)
{
	struct passthrough_bar *bar = opaque;
	struct extension *extension = bar->owner->extension;
	uint64_t value = UINT64_MAX;
	kern_return_t ret;

	passthrough_interrupts_accessed(bar->owner);
	ret = apple_dext_mmio_read(extension->connection, bar->index, offset, size, &value);
	return extension_failed(extension, ret, "MMIORead") ? UINT64_MAX : value;
}

static void bar_write(void *opaque, hwaddr offset, uint64_t value, unsigned int size)
{
	struct passthrough_bar *bar = opaque;
	struct extension *extension = bar->owner->extension;
	kern_return_t ret;

	passthrough_interrupts_accessed(bar->owner);
	ret = apple_dext_mmio_write(extension->connection, bar->index, offset, size, value);
	extension_failed(extension, ret, "MMIOWrite");
}

static const MemoryRegionOps bar_ops = {
	.read = bar_read,
	.write = bar_write,
	.endianness = DEVICE_LITTLE_ENDIAN,
	.valid = { .min_access_size = 1, .max_access_size = 8 },
	.impl = { .min_access_size = 1, .max_access_size = 8 },
};

/* Map the whole BAR into this process; false when it is not whole pages. */
static bool map_bar(VfioApple *dev, unsigned int number)
{
	struct passthrough_bar *bar = &dev->bars[number];
	mach_vm_address_t address;
	mach_vm_size_t size;

	if (!dev->map_bars || bar->size % qemu_real_host_page_size())
		return false;
	if (apple_dext_map_bar(dev->extension->connection, number, &address, &size, NULL) !=
	    kIOReturnSuccess)
		return false;
	if (size < bar->size) {
		apple_dext_unmap_bar(dev->extension->connection, number, address);
		return false;
	}
	bar->mapped = address;
	return true;
}

static void add_bar(VfioApple *dev, unsigned int number, uint8_t type)
{
	struct passthrough_bar *bar = &dev->bars[number];
	g_autofree char *name = g_strdup_printf("vfio-apple-bar%u", number);

	bar->owner = dev;
	memory_region_init(&bar->mr, OBJECT(dev), name, bar->size);
	if (map_bar(dev, number))
		memory_region_init_ram_device_ptr(&bar->part, OBJECT(dev), name, bar->size,
						  (void *)(uintptr_t)bar->mapped);
	else
		memory_region_init_io(&bar->part, OBJECT(dev), &bar_ops, bar, name, bar->size);
	/* The MSI-X table overlaps it with a higher priority. */
	memory_region_add_subregion_overlap(&bar->mr, 0, &bar->part, -1);
	pci_register_bar(PCI_DEVICE(dev), (int)number, type, &bar->mr);
}

bool passthrough_bars_init(VfioApple *dev, Error **errp)
{
	for (unsigned int i = 0; i < PCI_ROM_SLOT; i++) {
		struct passthrough_bar *bar = &dev->bars[i];
		uint8_t type;

		/* Upper halves of BARs and empty BARs have no information. */
		if (apple_dext_get_bar_info(dev->extension->connection, i, &bar->index,
					    &bar->size, &type) != kIOReturnSuccess ||
		    type & PCI_BASE_ADDRESS_SPACE_IO) {
			bar->size = 0;
			continue;
		}
		if (bar->size < 16 || bar->size > LARGEST_BAR || !is_power_of_2(bar->size)) {
			error_setg(errp, "host=%s: BAR %u has a size of 0x%" PRIx64 " bytes, which "
				   "no BAR can have", dev->extension->name, i, bar->size);
			bar->size = 0;
			passthrough_bars_exit(dev);
			return false;
		}
		add_bar(dev, i, type);
	}
	return true;
}

void passthrough_bars_exit(VfioApple *dev)
{
	for (unsigned int i = 0; i < PCI_ROM_SLOT; i++) {
		struct passthrough_bar *bar = &dev->bars[i];

		if (!bar->size)
			continue;
		memory_region_del_subregion(&bar->mr, &bar->part);
		object_unparent(OBJECT(&bar->part));
		if (bar->mapped)
			apple_dext_unmap_bar(dev->extension->connection, i, bar->mapped);
		bar->mapped = 0;
	}
}
