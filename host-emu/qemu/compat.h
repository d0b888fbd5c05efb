/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What differs between QEMU series, from 7.2 on. QEMU_MAJOR comes from the
 * Makefile; nowhere else is a version looked at.
 */
#ifndef APPLE_DMA_QEMU_COMPAT_H
#define APPLE_DMA_QEMU_COMPAT_H

#include "qemu/osdep.h"

/* Headers moved one by one from exec/ and sysemu/ to system/, from 10.0 on. */
#if __has_include("system/address-spaces.h")
#include "system/address-spaces.h"
#include "system/memory.h"
#else
#include "exec/address-spaces.h"
#include "exec/memory.h"
#endif
#if __has_include("system/system.h")
#include "system/reset.h"
#include "system/system.h"
#else
#include "sysemu/reset.h"
#include "sysemu/sysemu.h"
#endif

#if QEMU_MAJOR >= 8
#include "hw/pci/pci_device.h"
#endif
#include "hw/pci/pci.h"
#include "hw/pci/pci_bridge.h"
#include "hw/pci/pci_bus.h"
#include "hw/qdev-core.h"
#include "hw/qdev-properties.h"
#include "migration/vmstate.h"
#include "qapi/error.h"
#include "qemu/error-report.h"
#include "qemu/module.h"
#include "qemu/notify.h"

/* 10.0 dropped the end marker of property lists and counts them instead. */
#if QEMU_MAJOR >= 10
#define APPLE_PROPERTY const Property
#define APPLE_PROPERTY_END
#else
#define APPLE_PROPERTY Property
#define APPLE_PROPERTY_END DEFINE_PROP_END_OF_LIST(),
#endif

/* 10.1 made class data and interface lists constant. */
#if QEMU_MAJOR > 10 || (QEMU_MAJOR == 10 && QEMU_MINOR >= 1)
#define APPLE_CLASS_DATA const void
#define APPLE_INTERFACE_INFO const InterfaceInfo
#else
#define APPLE_CLASS_DATA void
#define APPLE_INTERFACE_INFO InterfaceInfo
#endif

/* apple_class_set_reset() - 9.2 renamed the member, and wants it set by a function. */
static inline void apple_class_set_reset(DeviceClass *dc, void (*reset)(DeviceState *dev))
{
#if QEMU_MAJOR > 9 || (QEMU_MAJOR == 9 && QEMU_MINOR >= 2)
	device_class_set_legacy_reset(dc, reset);
#else
	dc->reset = reset;
#endif
}

/*
 * APPLE_REGISTER_TYPE() - have QEMU know @info, once for each file
 * Not type_init(): newer series check that list of types before this runs.
 */
#define APPLE_REGISTER_TYPE(info)						\
static void register_types(void)						\
{										\
	type_register_static(&(info));						\
}										\
__attribute__((constructor))							\
static void register_module(void)						\
{										\
	register_module_init(register_types, MODULE_INIT_MIGRATION);		\
}

/*
 * apple_setup_iommu() - let @get choose the DMA address space of every device
 * on @bus. 9.0 wants a table of operations.
 */
typedef AddressSpace *apple_iommu_fn(PCIBus *bus, void *opaque, int devfn);

static inline bool apple_has_iommu(PCIBus *bus)
{
#if QEMU_MAJOR >= 9
	return bus->iommu_ops;
#else
	return bus->iommu_fn;
#endif
}

static inline void apple_setup_iommu(PCIBus *bus, apple_iommu_fn *get, void *opaque)
{
#if QEMU_MAJOR >= 9
	static PCIIOMMUOps ops;

	ops.get_address_space = get;
	pci_setup_iommu(bus, &ops, opaque);
#else
	pci_setup_iommu(bus, get, opaque);
#endif
}

#endif
