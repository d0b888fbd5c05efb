// SPDX-License-Identifier: GPL-2.0
/* The QEMU device apple-dma-pci: its BAR, properties and backend. */
#include "companion.h"

#include "dart-device.h"
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

/* The companion of a passthrough device has its backend already. */
static bool find_backend(AppleDma *dma, Error **errp)
{
	AppleDart *dart;

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

static char *get_bdf(Object *obj, Error **errp)
{
	AppleDma *dma = APPLE_DMA(obj);

	return dma->regs.bdf_fixed ? g_strdup_printf("0x%04x", dma->regs.bdf) : g_strdup("auto");
}

static void set_bdf(Object *obj, const char *value, Error **errp)
{
	AppleDma *dma = APPLE_DMA(obj);
	char *end;
	guint64 bdf;

	if (!strcmp(value, "auto")) {
		dma->regs.bdf_fixed = false;
		return;
	}
	bdf = g_ascii_strtoull(value, &end, 16);
	if (!g_ascii_isxdigit(value[0]) || *end || bdf > UINT32_MAX) {
		error_setg(errp, "managed-bdf=%s: allowed are auto and a hexadecimal number "
			   "such as 0x0100 (bus << 8 | device << 3 | function)", value);
		return;
	}
	dma->regs.bdf = bdf;
	dma->regs.bdf_fixed = true;
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
	dc->desc = "Companion through which a guest maps memory in an apple-dart";
	dc->vmsd = &vmstate;
	apple_class_set_reset(dc, reset);
	set_bit(DEVICE_CATEGORY_MISC, dc->categories);
	device_class_set_props(dc, properties);
	object_class_property_add_str(klass, "managed-bdf", get_bdf, set_bdf);
	object_class_property_set_description(klass, "managed-bdf",
		"auto (default: the device behind the DART's port), or hexadecimal");
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
