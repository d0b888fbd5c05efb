// SPDX-License-Identifier: GPL-2.0
/*
 * The QEMU device apple-slot: what is in a pcie-root-port can be pulled out.
 *
 * QEMU's own device_del asks the guest first, by the slot's attention button.
 * A slot without that button tells the guest only afterwards, as a Thunderbolt
 * port does. QEMU's device_add puts a device in again.
 */
#include "compat.h"

#include "block/block.h"

#include "property.h"

#define TYPE_APPLE_SLOT "apple-slot"
OBJECT_DECLARE_SIMPLE_TYPE(AppleSlot, APPLE_SLOT)

struct AppleSlot {
	DeviceState parent_obj;

	char *port_id;
	PCIDevice *port;
};

static void realize(DeviceState *dev, Error **errp)
{
	AppleSlot *slot = APPLE_SLOT(dev);
	Object *object = property_object(slot->port_id, TYPE_PCI_BRIDGE);

	if (!object || !PCI_DEVICE(object)->exp.exp_cap) {
		error_setg(errp, "port=%s names no PCI Express port; create it first: "
			   "-device pcie-root-port,id=%s", slot->port_id ? slot->port_id : "",
			   slot->port_id ? slot->port_id : "rp0");
		return;
	}
	slot->port = PCI_DEVICE(object);
	pci_long_test_and_clear_mask(slot->port->config + slot->port->exp.exp_cap + PCI_EXP_SLTCAP,
				     PCI_EXP_SLTCAP_ABP);
}

static PCIDevice *inside(AppleSlot *slot)
{
	PCIBus *bus = pci_bridge_get_sec_bus(PCI_BRIDGE(slot->port));
	int devfn;

	for (devfn = 0; devfn < PCI_DEVFN_MAX; devfn++) {
		if (bus->devices[devfn])
			return bus->devices[devfn];
	}
	return NULL;
}

static bool get_empty(Object *obj, Error **errp)
{
	return !inside(APPLE_SLOT(obj));
}

/*
 * QEMU removes a device at once from a slot without power. The nvme of QEMU 7.2
 * can crash with requests in flight, so drain them first.
 */
static void set_empty(Object *obj, bool value, Error **errp)
{
	AppleSlot *slot = APPLE_SLOT(obj);
	uint8_t *control = slot->port->config + slot->port->exp.exp_cap + PCI_EXP_SLTCTL;
	const uint16_t before = pci_get_word(control);
	PCIDevice *dev = inside(slot);

	if (!value || !dev) {
		error_setg(errp, value ? "the slot is empty" : "device_add puts a device in");
		return;
	}
	bdrv_drain_all();
	pci_set_word(control, before | PCI_EXP_SLTCTL_PIC | PCI_EXP_SLTCTL_PCC);
	qdev_unplug(DEVICE(dev), errp);
	pci_set_word(control, before);
}

static APPLE_PROPERTY properties[] = {
	DEFINE_PROP_STRING("port", AppleSlot, port_id),
	APPLE_PROPERTY_END
};

static const VMStateDescription vmstate = {
	.name = TYPE_APPLE_SLOT,
	.unmigratable = 1,
};

static void class_init(ObjectClass *klass, APPLE_CLASS_DATA *data)
{
	DeviceClass *dc = DEVICE_CLASS(klass);

	dc->desc = "What is in a pcie-root-port can be pulled out";
	dc->realize = realize;
	dc->vmsd = &vmstate;
	dc->hotpluggable = false;
	set_bit(DEVICE_CATEGORY_MISC, dc->categories);
	device_class_set_props(dc, properties);
	object_class_property_add_bool(klass, "empty", get_empty, set_empty);
	object_class_property_set_description(klass, "empty", "set: pull out what is in it");
}

static const TypeInfo type = {
	.name = TYPE_APPLE_SLOT,
	.parent = TYPE_DEVICE,
	.instance_size = sizeof(AppleSlot),
	.class_init = class_init,
};

APPLE_REGISTER_TYPE(type)
