// SPDX-License-Identifier: GPL-2.0
/* The QEMU device apple-dart: properties, and the life of one DART. */
#include "dart-device.h"

#include "discard.h"
#include "lib/memory.h"
#include "property.h"

#include <linux/apple_dma.h>

static const char *const enforce_names[] = {
	[APPLE_ENFORCE_AUTO] = "auto",
	[APPLE_ENFORCE_ON] = "on",
	[APPLE_ENFORCE_OFF] = "off",
};

static const struct names enforce_modes = NAMES(enforce_names);

/* What all DARTs with shared-bytes have together. */
static struct dart_pool pool = DART_POOL_INIT;

AppleDart *apple_dart_find(const char *id, Error **errp)
{
	Object *object = property_object(id, TYPE_APPLE_DART);

	if (object && DEVICE(object)->realized)
		return APPLE_DART(object);
	error_setg(errp, "dart=%s names no apple-dart; create it first: "
		   "-device apple-dart,id=%s,port=...", id ? id : "", id ? id : "dart0");
	return NULL;
}

bool apple_dart_enforced(const AppleDart *dart)
{
	return dart->enforce == APPLE_ENFORCE_ON ||
	       (dart->enforce == APPLE_ENFORCE_AUTO && dart->programmed);
}

static void set_programmed(AppleDart *dart, bool programmed)
{
	if (dart->programmed == programmed)
		return;
	dart->programmed = programmed;
	dart_glue_enforce(&dart->glue, apple_dart_enforced(dart));
}

void apple_dart_program(AppleDart *dart)
{
	set_programmed(dart, true);
}

/* Firmware may use the devices again. The mappings stay. */
static void system_reset(void *opaque)
{
	set_programmed(opaque, false);
}

uint32_t apple_dart_managed_bdf(const AppleDart *dart)
{
	int devfn = 0;

	if (!DEVICE(dart->glue.bus->parent_dev)->realized)
		return 0;
	while (devfn < PCI_DEVFN_MAX && !dart->glue.bus->devices[devfn])
		devfn++;
	if (devfn == PCI_DEVFN_MAX)
		devfn = 0;
	return pci_bus_num(dart->glue.bus) << 8 | devfn;
}

static PCIBus *bus_behind(const char *port_id, Error **errp)
{
	Object *object = property_object(port_id, TYPE_PCI_BRIDGE);
	PCIBus *bus;

	if (!object) {
		error_setg(errp, "port=%s names no PCI bridge; create it first: "
			   "-device pcie-root-port,id=%s", port_id ? port_id : "",
			   port_id ? port_id : "rp0");
		return NULL;
	}
	bus = pci_bridge_get_sec_bus(PCI_BRIDGE(object));
	if (apple_has_iommu(bus)) {
		error_setg(errp, "port=%s has an IOMMU already; one apple-dart for each port",
			   port_id);
		return NULL;
	}
	return bus;
}

static bool check(const AppleDart *dart, Error **errp)
{
	const struct dart_config *config = &dart->config;

	if (config->iova_bits < DART_MIN_IOVA_BITS || config->iova_bits > DART_MAX_IOVA_BITS) {
		error_setg(errp, "iova-bits=%u: allowed are %d to %d", config->iova_bits,
			   DART_MIN_IOVA_BITS, DART_MAX_IOVA_BITS);
		return false;
	}
	if (config->max_bytes < DART_PAGE_SIZE) {
		error_setg(errp, "max-bytes=%" PRIu64 ": allowed is one page of %" PRIu64
			   " bytes or more", config->max_bytes, (uint64_t)DART_PAGE_SIZE);
		return false;
	}
	if (dart->shared_bytes && pool.max_bytes && dart->shared_bytes != pool.max_bytes) {
		error_setg(errp, "shared-bytes=%" PRIu64 ": another apple-dart has %" PRIu64,
			   dart->shared_bytes, pool.max_bytes);
		return false;
	}
	if (!config->max_entries) {
		error_setg(errp, "max-entries=0: allowed is 1 or more");
		return false;
	}
	return true;
}

/* The DART counts for itself: a companion's counts end when it is pulled out. */
static char *stats_now(const AppleDart *dart)
{
	const char *id = DEVICE(dart)->id;
	g_autofree char *shared = NULL;
	struct dext_totals totals;
	struct dart_usage usage;
	char panic[PANIC_TEXT];

	if (dart->shared_bytes)
		shared = g_strdup_printf(", \"shared_bytes\": %" PRIu64
			", \"shared_peak_bytes\": %" PRIu64, pool.bytes, pool.peak);
	dart_get_usage(dart->glue.dart, &usage);
	dext_get_totals(dart->dext, &totals);
	panic_json(&totals.panic, panic);
	return g_strdup_printf("{\"name\": \"%s\", \"dart_entries\": %" PRIu64
		", \"dart_bytes\": %" PRIu64 ", \"faults\": %" PRIu64 ", \"read_faults\": %" PRIu64
		", \"write_faults\": %" PRIu64 ", \"modelled_us\": %" PRIu64
		", %s, \"enforced\": %s%s}", id ? id : TYPE_APPLE_DART,
		usage.entries, usage.bytes, usage.read_faults + usage.write_faults,
		usage.read_faults, usage.write_faults, totals.modelled_ns / 1000, panic,
		apple_dart_enforced(dart) ? "true" : "false", shared ? shared : "");
}

static void write_stats(Notifier *notifier, void *data)
{
	AppleDart *dart = container_of(notifier, AppleDart, exit);
	g_autofree char *json = stats_now(dart);

	property_write_stats(dart->stats_file, json);
}

static void gone(void *arg, uint64_t va, uint64_t size)
{
	AppleDart *dart = arg;

	dart_stale(dart->glue.dart, memory_own(), va, size);
}

static void unrealize(AppleDart *dart)
{
	discard_unwatch(dart);
	dext_destroy(dart->dext);
	dart_destroy(dart->glue.dart);
	fault_log_close(dart->glue.faults);
	dart->dext = NULL;
	dart->glue.dart = NULL;
	dart->glue.faults = NULL;
}

static void realize(DeviceState *dev, Error **errp)
{
	AppleDart *dart = APPLE_DART(dev);

	if (!check(dart, errp))
		return;
	dart->glue.bus = bus_behind(dart->port_id, errp);
	if (!dart->glue.bus)
		return;
	if (dart->shared_bytes) {
		pool.max_bytes = dart->shared_bytes;
		dart->config.pool = &pool;
	}
	dart->glue.dart = dart_create(&dart->config);
	dart->dext = dart->glue.dart ? dext_create(dart->glue.dart) : NULL;
	if (!dart->dext) {
		error_setg(errp, "no memory for the DART");
		goto fail;
	}
	dext_set_cost(dart->dext, dart->cost);
	dext_set_panic(dart->dext, &dart->panic);
	for (const struct apple_window *w = dart_glue_windows(); w->size; w++) {
		if (dart_reserve(dart->glue.dart, w->base, w->size) != DART_OK) {
			error_setg(errp, "no memory for the DART");
			goto fail;
		}
	}
	dart->glue.faults = fault_log_open(dev->id ? dev->id : TYPE_APPLE_DART, dart->fault_file);
	if (!dart->glue.faults) {
		error_setg_errno(errp, errno, "fault-log=%s cannot be written", dart->fault_file);
		goto fail;
	}
	/* The DART stays when a switch above its port is pulled: keep the port. */
	object_ref(OBJECT(dart->glue.bus->parent_dev));
	dart->glue.owner = OBJECT(dart);
	dart_glue_attach(&dart->glue);
	discard_watch(gone, dart);
	qemu_register_reset(system_reset, dart);
	if (dart->stats_file) {
		dart->exit.notify = write_stats;
		qemu_add_exit_notifier(&dart->exit);
	}
	return;
fail:
	unrealize(dart);
}

static char *get_iova(Object *obj, Error **errp)
{
	return g_strdup(dart_policies.name[APPLE_DART(obj)->config.policy]);
}

static void set_iova(Object *obj, const char *value, Error **errp)
{
	if (DEVICE(obj)->realized)
		error_setg(errp, "iova cannot be changed any more");
	else
		property_set_name(&dart_policies, "iova", value, &APPLE_DART(obj)->config.policy,
				  errp);
}

static char *get_enforce(Object *obj, Error **errp)
{
	return g_strdup(enforce_names[APPLE_DART(obj)->enforce]);
}

static void set_enforce(Object *obj, const char *value, Error **errp)
{
	AppleDart *dart = APPLE_DART(obj);

	if (property_set_name(&enforce_modes, "enforce", value, &dart->enforce, errp))
		dart_glue_enforce(&dart->glue, apple_dart_enforced(dart));
}

static char *get_cost(Object *obj, Error **errp)
{
	return g_strdup(dext_costs.name[APPLE_DART(obj)->cost]);
}

static void set_cost(Object *obj, const char *value, Error **errp)
{
	AppleDart *dart = APPLE_DART(obj);

	if (property_set_name(&dext_costs, "cost", value, &dart->cost, errp) && dart->dext)
		dext_set_cost(dart->dext, dart->cost);
}

static bool get_enforced(Object *obj, Error **errp)
{
	return apple_dart_enforced(APPLE_DART(obj));
}

static char *get_stats(Object *obj, Error **errp)
{
	AppleDart *dart = APPLE_DART(obj);

	if (dart->glue.dart)
		return stats_now(dart);
	error_setg(errp, "stats: the device is not realized");
	return NULL;
}

static void set_stats(Object *obj, const char *value, Error **errp)
{
	property_set_stats(obj, &APPLE_DART(obj)->stats_file, value, errp);
}

static APPLE_PROPERTY properties[] = {
	DEFINE_PROP_STRING("port", AppleDart, port_id),
	DEFINE_PROP_UINT64("seed", AppleDart, config.seed, 0),
	DEFINE_PROP_SIZE("max-bytes", AppleDart, config.max_bytes, APPLE_DMA_CHUNK_SIZE),
	DEFINE_PROP_SIZE("shared-bytes", AppleDart, shared_bytes, 0),
	DEFINE_PROP_UINT32("max-entries", AppleDart, config.max_entries,
			   APPLE_DMA_DEFAULT_MAX_MAPPINGS),
	DEFINE_PROP_SIZE("max-segment", AppleDart, config.max_segment, 0),
	DEFINE_PROP_UINT32("iova-bits", AppleDart, config.iova_bits, 47),
	DEFINE_PROP_SIZE("panic-bytes", AppleDart, panic.bytes, 0),
	DEFINE_PROP_UINT32("panic-entries", AppleDart, panic.entries, 0),
	DEFINE_PROP_STRING("fault-log", AppleDart, fault_file),
	APPLE_PROPERTY_END
};

static const VMStateDescription vmstate = {
	.name = TYPE_APPLE_DART,
	.unmigratable = 1,
};

static void class_init(ObjectClass *klass, APPLE_CLASS_DATA *data)
{
	DeviceClass *dc = DEVICE_CLASS(klass);

	dc->desc = "Emulated Apple DART in front of the devices behind a PCIe port";
	dc->realize = realize;
	dc->vmsd = &vmstate;
	dc->hotpluggable = false;
	set_bit(DEVICE_CATEGORY_MISC, dc->categories);
	device_class_set_props(dc, properties);
	object_class_property_add_str(klass, "iova", get_iova, set_iova);
	object_class_property_set_description(klass, "iova",
		"high (default), random, fragmented, reuse, aligned, first-fit, sequential");
	object_class_property_add_str(klass, "enforce", get_enforce, set_enforce);
	object_class_property_set_description(klass, "enforce",
		"auto (default: from the first command page since a reset), on, off");
	object_class_property_add_str(klass, "cost", get_cost, set_cost);
	object_class_property_set_description(klass, "cost",
		"none (default), or mac: each call takes as long as it is modelled to take there");
	object_class_property_add_bool(klass, "enforced", get_enforced, NULL);
	object_class_property_add_str(klass, "stats", get_stats, set_stats);
	object_class_property_set_description(klass, "stats",
		"set: a file for the DART's own counts at exit; get: the counts now, as JSON");
}

static const TypeInfo type = {
	.name = TYPE_APPLE_DART,
	.parent = TYPE_DEVICE,
	.instance_size = sizeof(AppleDart),
	.class_init = class_init,
};

APPLE_REGISTER_TYPE(type)
