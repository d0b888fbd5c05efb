// SPDX-License-Identifier: GPL-2.0
/*
 * The QEMU device vfio-apple-pci: properties, life, and its companion. There is
 * no IOMMU container: nothing is pinned and nothing is mapped but what the
 * guest registers through the companion.
 */
#include "passthrough.h"

#include "property.h"

static const char *const filter_names[] = {
	[PASSTHROUGH_FILTER_OWN] = "own",
	[PASSTHROUGH_FILTER_RFC] = "rfc",
	[PASSTHROUGH_FILTER_TODAY] = "today",
};

static const struct names filters = NAMES(filter_names);

/* The companion's own options are those of this device; it has "stats" of its own. */
static const char *const companion_options[] = {
	"layout", "batch-entries", "version", "latency-us", "lie", "lie-after", "managed-bdf",
};

static void free_companion(VfioApple *dev)
{
	if (dev->has_companion && DEVICE(&dev->companion)->realized)
		qdev_unrealize(DEVICE(&dev->companion));
}

/* No companion at all: QEMU allows no device that is not realized. */
static void drop_companion(VfioApple *dev)
{
	for (size_t i = 0; i < ARRAY_SIZE(companion_options); i++)
		object_property_del(OBJECT(dev), companion_options[i]);
	object_property_del(OBJECT(dev), "companion-stats");
	object_unparent(OBJECT(&dev->companion));
	dev->has_companion = false;
}

/* The next free slot after the device; lower slots are left to the user. */
static int companion_slot(VfioApple *dev)
{
	PCIDevice *pdev = PCI_DEVICE(dev);
	PCIBus *bus = pci_get_bus(pdev);

	for (int slot = PCI_SLOT(pdev->devfn) + 1; slot < PCI_SLOT_MAX; slot++)
		if (!bus->devices[PCI_DEVFN(slot, 0)] && !(bus->slot_reserved_mask >> slot & 1))
			return PCI_DEVFN(slot, 0);
	return -1;
}

static bool make_companion(VfioApple *dev, const struct extension_address *address, Error **errp)
{
	PCIDevice *pdev = PCI_DEVICE(dev);
	PCIBus *bus = pci_get_bus(pdev);
	const uint32_t bdf = pci_bus_num(bus) << 8 | pdev->devfn;
	const char *id = DEVICE(dev)->id;
	struct backend *backend;

	if (!dev->dma_companion || companion_find(bus, bdf, address)) {
		drop_companion(dev);
		return true;
	}
	backend = extension_backend(dev->extension, bdf);
	companion_set_backend(&dev->companion, backend, id ? id : dev->extension->name);
	PCI_DEVICE(&dev->companion)->devfn = companion_slot(dev);
	if (qdev_realize(DEVICE(&dev->companion), BUS(bus), errp))
		return true;
	/* It was not realized, so it has not released its backend. */
	if (dev->companion.regs.backend)
		backend->ops->release(backend);
	companion_set_backend(&dev->companion, NULL, NULL);
	return false;
}

static void reset(DeviceState *qdev)
{
	VfioApple *dev = VFIO_APPLE(qdev);

	passthrough_reset(dev);
	passthrough_interrupts_clear(dev);
}

static bool check_bus(VfioApple *dev, Error **errp)
{
	PCIBus *bus = pci_get_bus(PCI_DEVICE(dev));

	if (pci_bus_is_root(bus))
		return true;
	error_setg(errp, "vfio-apple-pci must be on a root bus, such as bus=pcie.0: its companion "
		   "is beside it, and reports its address there, which must not change");
	return false;
}

static void realize(PCIDevice *pdev, Error **errp)
{
	VfioApple *dev = VFIO_APPLE(pdev);
	struct extension_address address = { .root = dev->host_root };

	if (!check_bus(dev, errp) || !extension_parse(dev->host, &address, errp))
		return;
	dev->extension = extension_open(&address, false, errp);
	if (!dev->extension)
		return;
	if (!passthrough_bars_init(dev, errp))
		goto close;
	if (!passthrough_config_init(dev, errp))
		goto unmap_bars;
	if (!passthrough_interrupts_init(dev, errp))
		goto leave_config;
	if (!make_companion(dev, &address, errp))
		goto end_interrupts;
	return;

end_interrupts:
	passthrough_interrupts_exit(dev);
leave_config:
	passthrough_config_exit(dev);
unmap_bars:
	passthrough_bars_exit(dev);
close:
	extension_put(dev->extension);
	dev->extension = NULL;
}

static void leave(PCIDevice *pdev)
{
	VfioApple *dev = VFIO_APPLE(pdev);

	free_companion(dev);
	passthrough_interrupts_exit(dev);
	passthrough_config_exit(dev);
	passthrough_bars_exit(dev);
	extension_put(dev->extension);
	dev->extension = NULL;
}

static char *get_stats(Object *obj, Error **errp)
{
	VfioApple *dev = VFIO_APPLE(obj);

	if (!dev->extension) {
		error_setg(errp, "stats: the device is not realized");
		return NULL;
	}
	return g_strdup_printf("{\"host\": \"%s\", \"gone\": %s, \"vectors\": %" PRIu32
		", \"taken\": %" PRIu64 ", \"delivered\": %" PRIu64 ", \"unwanted\": %" PRIu64
		", \"resets\": %" PRIu64 ", \"held_config_writes\": %" PRIu64
		", \"interrupt_failures\": %" PRIu64 ", \"reset_failures\": %" PRIu64
		", \"machine_bytes\": %" PRIu64 ", \"machine_peak_bytes\": %" PRIu64 "}",
		dev->extension->name, dev->extension->gone ? "true" : "false", dev->vectors,
		dev->counts.taken, dev->counts.delivered, dev->counts.unwanted, dev->counts.resets,
		dev->counts.held, dev->counts.failures, dev->counts.reset_failures,
		extension_sum().bytes, extension_sum().peak);
}

static char *get_filter(Object *obj, Error **errp)
{
	return g_strdup(filter_names[VFIO_APPLE(obj)->filter]);
}

static void set_filter(Object *obj, const char *value, Error **errp)
{
	property_set_name(&filters, "config-filter", value, &VFIO_APPLE(obj)->filter, errp);
}

static APPLE_PROPERTY properties[] = {
	DEFINE_PROP_STRING("host", VfioApple, host),
	DEFINE_PROP_STRING("host-root", VfioApple, host_root),
	DEFINE_PROP_BOOL("dma-companion", VfioApple, dma_companion, true),
	DEFINE_PROP_BOOL("map-bars", VfioApple, map_bars, true),
	APPLE_PROPERTY_END
};

static const VMStateDescription vmstate = {
	.name = TYPE_VFIO_APPLE,
	.unmigratable = 1,
};

static void instance_init(Object *obj)
{
	VfioApple *dev = VFIO_APPLE(obj);

	PCI_DEVICE(obj)->cap_present |= QEMU_PCI_CAP_EXPRESS;
	dev->has_companion = true;
	object_initialize_child(obj, "companion", &dev->companion, TYPE_APPLE_DMA);
	for (size_t i = 0; i < ARRAY_SIZE(companion_options); i++)
		object_property_add_alias(obj, companion_options[i], OBJECT(&dev->companion),
					  companion_options[i]);
	object_property_add_alias(obj, "companion-stats", OBJECT(&dev->companion), "stats");
}

static void class_init(ObjectClass *klass, APPLE_CLASS_DATA *data)
{
	DeviceClass *dc = DEVICE_CLASS(klass);
	PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

	pc->realize = realize;
	pc->exit = leave;
	pc->config_read = passthrough_config_read;
	pc->config_write = passthrough_config_write;
	apple_class_set_reset(dc, reset);
	dc->desc = "Physical PCI device of a driver extension, with its companion";
	dc->vmsd = &vmstate;
	dc->hotpluggable = false;
	set_bit(DEVICE_CATEGORY_MISC, dc->categories);
	device_class_set_props(dc, properties);
	object_class_property_add_str(klass, "stats", get_stats, NULL);
	object_class_property_set_description(klass, "stats", "what was counted, as JSON");
	object_class_property_add_str(klass, "config-filter", get_filter, set_filter);
	object_class_property_set_description(klass, "config-filter",
		"which writes to configuration space do not reach the device: own (default), rfc, "
		"today");
}

static const TypeInfo type = {
	.name = TYPE_VFIO_APPLE,
	.parent = TYPE_PCI_DEVICE,
	.instance_size = sizeof(VfioApple),
	.instance_init = instance_init,
	.class_init = class_init,
	.interfaces = (APPLE_INTERFACE_INFO[]) {
		{ INTERFACE_PCIE_DEVICE },
		{ INTERFACE_CONVENTIONAL_PCI_DEVICE },
		{ },
	},
};

APPLE_REGISTER_TYPE(type)
