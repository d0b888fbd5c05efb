// SPDX-License-Identifier: GPL-2.0
/* The QEMU device apple-dma-pci: its BAR, properties and backend. */
#include "companion.h"

#include "dart-device.h"
#include "qapi/visitor.h"
#include "property.h"

static const char *const forget_names[] = {
	[COMPANION_FORGET_NOTHING] = "nothing",
	[COMPANION_FORGET_REGISTERS] = "registers",
	[COMPANION_FORGET_ALL] = "all",
};

static const struct names forget_modes = NAMES(forget_names);

static uint64_t bar_read(void *opaque, hwaddr addr, unsigned int size)
{
	AppleDma *dma = opaque;

	return registers_read(&dma->regs, addr);
}

static void bar_write(void *opaque, hwaddr addr, uint64_t value, unsigned int size)
{
	AppleDma *dma = opaque;

	registers_write(&dma->regs, addr, value);
	if (dma->regs.later)
		timer_mod(dma->later, qemu_clock_get_ms(QEMU_CLOCK_VIRTUAL) + LIE_LATER_MS);
}

static void later(void *opaque)
{
	AppleDma *dma = opaque;

	registers_later(&dma->regs);
}

/* Narrower and wider accesses behave as on the known hosts. */
static const MemoryRegionOps bar_ops = {
	.read = bar_read,
	.write = bar_write,
	.endianness = DEVICE_LITTLE_ENDIAN,
	.impl = { .min_access_size = 4, .max_access_size = 4 },
};

static char *stats_now(AppleDma *dma)
{
	const char *id = DEVICE(dma)->id;
	struct backend_usage usage = { 0 };
	char *json, *copy;

	if (!id)
		id = dma->name ? dma->name : TYPE_APPLE_DMA;
	if (dma->regs.backend)
		dma->regs.backend->ops->usage(dma->regs.backend, &usage);
	json = stats_json(&dma->regs.stats, id, &usage);
	copy = g_strdup(json);
	free(json);
	return copy;
}

static void write_stats(Notifier *notifier, void *data)
{
	AppleDma *dma = container_of(notifier, AppleDma, exit);
	g_autofree char *json = stats_now(dma);

	property_write_stats(dma->stats_file, json);
}

void companion_set_backend(AppleDma *dma, struct backend *backend, const char *name)
{
	dma->regs.backend = backend;
	g_free(dma->name);
	dma->name = g_strdup(name);
}

AppleDma *companion_find(PCIBus *bus, uint32_t managed_bdf,
			 const struct extension_address *address)
{
	for (unsigned int devfn = 0; devfn < PCI_DEVFN_MAX; devfn++) {
		Object *obj = OBJECT(bus->devices[devfn]);
		AppleDma *dma = obj ? (AppleDma *)object_dynamic_cast(obj, TYPE_APPLE_DMA) : NULL;

		if (dma && dma->regs.bdf_fixed && dma->regs.bdf == managed_bdf &&
		    dma->host_bus == address->bus && dma->host_device == address->device &&
		    dma->host_function == address->function)
			return dma;
	}
	return NULL;
}

static bool names_extension(const AppleDma *dma)
{
	return dma->host_bus != HOST_UNSET || dma->host_device != HOST_UNSET ||
	       dma->host_function != HOST_UNSET || dma->host_root;
}

/* As with the RFC's device, MANAGED_BDF is 0 if nothing is said. */
static bool open_extension(AppleDma *dma, Error **errp)
{
	const struct extension_address address = {
		dma->host_bus, dma->host_device, dma->host_function, dma->host_root,
	};
	struct extension *extension;

	if (dma->dart_id) {
		error_setg(errp, "dart=%s and x-apple-host-...: one of them", dma->dart_id);
		return false;
	}
	if (dma->host_bus > 0xff || dma->host_device > 31 || dma->host_function > 7) {
		error_setg(errp, "apple-dma-pci needs x-apple-host-bus (0 to 255), "
			   "x-apple-host-device (0 to 31) and x-apple-host-function (0 to 7)");
		return false;
	}
	extension = extension_open(&address, true, errp);
	if (!extension)
		return false;
	dma->name = g_strdup(extension->name);
	dma->regs.bdf_fixed = true;
	dma->regs.backend = extension_backend(extension, dma->regs.bdf);
	extension_put(extension);
	return true;
}

/* The companion of a passthrough device has its backend already. */
static bool find_backend(AppleDma *dma, Error **errp)
{
	AppleDart *dart;

	if (!dma->regs.backend && names_extension(dma))
		return open_extension(dma, errp);
	if (dma->regs.backend) {
		if (dma->dart_id)
			error_setg(errp, "dart=%s: it registers memory with its passthrough device",
				   dma->dart_id);
		return !dma->dart_id;
	}
	dart = apple_dart_find(dma->dart_id, errp);
	if (!dart)
		return false;
	dma->regs.backend = apple_dart_backend(dart);
	if (!dma->regs.backend)
		error_setg(errp, "no memory for a user client");
	return dma->regs.backend;
}

static void realize(PCIDevice *pdev, Error **errp)
{
	AppleDma *dma = APPLE_DMA(pdev);

	if (dma->max_entries)
		dma->regs.batch_entries = dma->max_entries;
	dma->max_entries = dma->regs.batch_entries;
	if (!dma->regs.batch_entries) {
		error_setg(errp, "batch-entries=0: allowed is 1 or more");
		return;
	}
	if (!find_backend(dma, errp))
		return;
	dma->later = timer_new_ms(QEMU_CLOCK_VIRTUAL, later, dma);
	memory_region_init_io(&dma->bar, OBJECT(dma), &bar_ops, dma, TYPE_APPLE_DMA,
			      APPLE_DMA_BAR_SIZE);
	pci_register_bar(pdev, APPLE_DMA_BAR, PCI_BASE_ADDRESS_SPACE_MEMORY, &dma->bar);
	if (dma->stats_file) {
		dma->exit.notify = write_stats;
		qemu_add_exit_notifier(&dma->exit);
	}
}

static void release_backend(AppleDma *dma)
{
	if (dma->regs.backend)
		dma->regs.backend->ops->release(dma->regs.backend);
	dma->regs.backend = NULL;
}

/*
 * Another CPU may be in an access to the BAR, waiting for the big lock. It
 * runs after this, and finds no backend.
 */
static void leave(PCIDevice *pdev)
{
	AppleDma *dma = APPLE_DMA(pdev);

	if (dma->stats_file) {
		qemu_remove_exit_notifier(&dma->exit);
		write_stats(&dma->exit, NULL);
	}
	timer_free(dma->later);
	dma->later = NULL;
	dma->regs.later = false;
	release_backend(dma);
}

/* The known hosts forget nothing. Resume from suspend to RAM is a reset, too. */
static void reset(DeviceState *dev)
{
	AppleDma *dma = APPLE_DMA(dev);

	if (dma->forget == COMPANION_FORGET_NOTHING)
		return;
	dma->regs.cmd_gpa = 0;
	dma->regs.status = 0;
	if (dma->forget == COMPANION_FORGET_REGISTERS || !dma->dart_id)
		return;
	release_backend(dma);
	dma->regs.backend = apple_dart_backend(apple_dart_find(dma->dart_id, &error_abort));
}

static void get_bdf(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
	AppleDma *dma = APPLE_DMA(obj);
	g_autofree char *text = dma->regs.bdf_fixed ? g_strdup_printf("0x%04x", dma->regs.bdf) :
						      g_strdup("auto");

	visit_type_str(v, name, &text, errp);
}

/* A leading 0 is hexadecimal, never octal. Other numbers are decimal, as QEMU's are. */
static bool parse_bdf(const char *text, uint32_t *bdf)
{
	char *end;
	const guint64 number = g_ascii_strtoull(text, &end, text[0] == '0' ? 16 : 10);

	*bdf = number;
	return g_ascii_isdigit(text[0]) && !*end && number <= UINT32_MAX;
}

/* A number in JSON is one; on the command line everything is text. */
static void set_bdf(Object *obj, Visitor *v, const char *name, void *opaque, Error **errp)
{
	AppleDma *dma = APPLE_DMA(obj);
	g_autofree char *text = NULL;
	uint32_t bdf = 0;
	bool fixed = true;

	if (visit_type_str(v, name, &text, NULL)) {
		fixed = strcmp(text, "auto");
		if (fixed && !parse_bdf(text, &bdf)) {
			error_setg(errp, "managed-bdf=%s: allowed are auto, and a number such as "
				   "0x0100 or 256 (bus << 8 | device << 3 | function)", text);
			return;
		}
	} else if (!visit_type_uint32(v, name, &bdf, errp)) {
		return;
	}
	dma->regs.bdf = bdf;
	dma->regs.bdf_fixed = fixed;
}

static char *get_layout(Object *obj, Error **errp)
{
	return g_strdup(wire_layouts.name[APPLE_DMA(obj)->regs.layout]);
}

static void set_layout(Object *obj, const char *value, Error **errp)
{
	property_set_name(&wire_layouts, "layout", value, &APPLE_DMA(obj)->regs.layout, errp);
}

static char *get_lie(Object *obj, Error **errp)
{
	return g_strdup(lie_modes.name[APPLE_DMA(obj)->regs.lie.mode]);
}

static void set_lie(Object *obj, const char *value, Error **errp)
{
	if (!lie_set(&APPLE_DMA(obj)->regs.lie, value))
		error_setg(errp, "lie=%s: allowed are %s", value, names_list(&lie_modes));
}

static char *get_forget(Object *obj, Error **errp)
{
	return g_strdup(forget_names[APPLE_DMA(obj)->forget]);
}

static void set_forget(Object *obj, const char *value, Error **errp)
{
	property_set_name(&forget_modes, "forget", value, &APPLE_DMA(obj)->forget, errp);
}

static char *get_stats(Object *obj, Error **errp)
{
	AppleDma *dma = APPLE_DMA(obj);

	if (dma->regs.backend)
		return stats_now(dma);
	error_setg(errp, "stats: the device is not realized");
	return NULL;
}

static void set_stats(Object *obj, const char *value, Error **errp)
{
	property_set_stats(obj, &APPLE_DMA(obj)->stats_file, value, errp);
}

static APPLE_PROPERTY properties[] = {
	DEFINE_PROP_STRING("dart", AppleDma, dart_id),
	DEFINE_PROP_UINT32("batch-entries", AppleDma, regs.batch_entries, APPLE_DMA_DEFAULT_MAX_ENTRIES),
	DEFINE_PROP_UINT32("max-entries", AppleDma, max_entries, 0),
	DEFINE_PROP_UINT32("x-apple-host-bus", AppleDma, host_bus, HOST_UNSET),
	DEFINE_PROP_UINT32("x-apple-host-device", AppleDma, host_device, HOST_UNSET),
	DEFINE_PROP_UINT32("x-apple-host-function", AppleDma, host_function, HOST_UNSET),
	DEFINE_PROP_STRING("x-apple-host-root", AppleDma, host_root),
	DEFINE_PROP_UINT32("version", AppleDma, regs.version, APPLE_DMA_VERSION),
	APPLE_PROPERTY_END
};

static const VMStateDescription vmstate = {
	.name = TYPE_APPLE_DMA,
	.unmigratable = 1,
};

/* Unlike the other properties these may be set at any time. */
static void instance_init(Object *obj)
{
	AppleDma *dma = APPLE_DMA(obj);

	object_property_add_uint32_ptr(obj, "latency-us", &dma->regs.latency_us,
				       OBJ_PROP_FLAG_READWRITE);
	object_property_add_uint32_ptr(obj, "lie-after", &dma->regs.lie.after, OBJ_PROP_FLAG_READWRITE);
}

static void instance_finalize(Object *obj)
{
	g_free(APPLE_DMA(obj)->stats_file);
	g_free(APPLE_DMA(obj)->name);
}

static void class_init(ObjectClass *klass, APPLE_CLASS_DATA *data)
{
	DeviceClass *dc = DEVICE_CLASS(klass);
	PCIDeviceClass *pc = PCI_DEVICE_CLASS(klass);

	pc->realize = realize;
	pc->exit = leave;
	pc->vendor_id = APPLE_DMA_PCI_VENDOR_ID;
	pc->device_id = APPLE_DMA_PCI_DEVICE_ID;
	pc->class_id = PCI_CLASS_SYSTEM_OTHER;
	dc->desc = "Companion through which a guest maps memory for DMA";
	dc->vmsd = &vmstate;
	apple_class_set_reset(dc, reset);
	set_bit(DEVICE_CATEGORY_MISC, dc->categories);
	device_class_set_props(dc, properties);
	object_class_property_add(klass, "managed-bdf", "uint32", get_bdf, set_bdf, NULL, NULL);
	object_class_property_set_description(klass, "managed-bdf",
		"auto (default: the device behind the DART's port), or a number");
	object_class_property_add_str(klass, "layout", get_layout, set_layout);
	object_class_property_set_description(klass, "layout", names_list(&wire_layouts));
	object_class_property_add_str(klass, "lie", get_lie, set_lie);
	object_class_property_set_description(klass, "lie", names_list(&lie_modes));
	object_class_property_add_str(klass, "forget", get_forget, set_forget);
	object_class_property_set_description(klass, "forget",
		"what a reset makes it forget: nothing (default), registers, all");
	object_class_property_add_str(klass, "stats", get_stats, set_stats);
	object_class_property_set_description(klass, "stats",
		"set: a file for the statistics at exit; get: the statistics now, as JSON");
}

static const TypeInfo type = {
	.name = TYPE_APPLE_DMA,
	.parent = TYPE_PCI_DEVICE,
	.instance_size = sizeof(AppleDma),
	.instance_init = instance_init,
	.instance_finalize = instance_finalize,
	.class_init = class_init,
	.interfaces = (APPLE_INTERFACE_INFO[]) {
		{ INTERFACE_CONVENTIONAL_PCI_DEVICE },
		{ },
	},
};

APPLE_REGISTER_TYPE(type)
