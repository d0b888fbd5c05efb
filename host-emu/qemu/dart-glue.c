// SPDX-License-Identifier: GPL-2.0
/*
 * Between QEMU's DMA and the DART. Each function on the bus has an address space
 * with three layers: an IOMMU region over all of it, the MSI doorbells above
 * that, and, while the DART does not enforce, guest memory above both.
 */
#include "dart-glue.h"

#include "hw/boards.h"

#include "host-memory.h"

#define TYPE_APPLE_DART_REGION "apple-dart-iommu-memory-region"

/* One function behind the DART. */
struct apple_dart_space {
	struct dart_glue *glue;
	uint8_t devfn;
	MemoryRegion root;
	IOMMUMemoryRegion iommu;
	MemoryRegion pass;		/* all of guest memory, while not enforced */
	AddressSpace as;
	GMutex lock;			/* the members below */
	bool fault_open;		/* the last access was a fault... */
	bool fault_write;
	uint64_t fault_iova;		/* ...at this address */
};

const struct apple_window *dart_glue_windows(void)
{
	/* GICv2m frame; GIC ITS, whose second half holds the doorbell. */
	static const struct apple_window arm_virt[] = {
		{ 0x08020000, 0x1000 }, { 0x08080000, 0x20000 }, { 0, 0 },
	};
	static const struct apple_window x86[] = { { 0xfee00000, 0x100000 }, { 0, 0 } };
	static const struct apple_window none[] = { { 0, 0 } };
	Object *machine = qdev_get_machine();

	if (object_dynamic_cast(machine, "x86-machine"))
		return x86;
	if (object_dynamic_cast(machine, MACHINE_TYPE_NAME("virt")))
		return arm_virt;
	return none;
}

/*
 * QEMU splits an access that is not translated into steps of at most 8 bytes
 * and asks for each: the steps of one access are one fault.
 */
static bool continues(struct apple_dart_space *space, uint64_t iova, bool write)
{
	bool same;

	g_mutex_lock(&space->lock);
	same = space->fault_open && space->fault_write == write && iova > space->fault_iova &&
	       iova - space->fault_iova <= 8;
	qatomic_set(&space->fault_open, true);
	space->fault_write = write;
	space->fault_iova = iova;
	g_mutex_unlock(&space->lock);
	return same;
}

/* An access was translated. This is the path of every transfer: avoid the lock. */
static void end_fault(struct apple_dart_space *space)
{
	if (!qatomic_read(&space->fault_open))
		return;
	g_mutex_lock(&space->lock);
	qatomic_set(&space->fault_open, false);
	g_mutex_unlock(&space->lock);
}

static void fault(struct apple_dart_space *space, uint64_t iova, bool write)
{
	const struct fault fault = {
		.iova = iova,
		.bus = pci_bus_num(space->glue->bus),
		.devfn = space->devfn,
		.write = write,
	};

	if (continues(space, iova, write))
		return;
	dart_fault(space->glue->dart, write);
	fault_log_add(space->glue->faults, &fault);
}

static IOMMUTLBEntry translate(IOMMUMemoryRegion *iommu, hwaddr addr, IOMMUAccessFlags flag,
			       int iommu_idx)
{
	struct apple_dart_space *space = container_of(iommu, struct apple_dart_space, iommu);
	IOMMUTLBEntry entry = {
		.target_as = host_memory_space(),
		.iova = addr & DART_PAGE_MASK,
		.addr_mask = ~DART_PAGE_MASK,
		.perm = IOMMU_NONE,
	};
	uint64_t va;

	if (dart_lookup(space->glue->dart, addr, &va)) {
		entry.translated_addr = va & DART_PAGE_MASK;
		entry.perm = IOMMU_RW;
		end_fault(space);
	} else if (flag != IOMMU_NONE) {
		fault(space, addr, flag & IOMMU_WO);
	}
	return entry;
}

/* Refuse vhost and vfio: they would cache translations. */
static int notify_flag_changed(IOMMUMemoryRegion *iommu, IOMMUNotifierFlag old_flags,
			       IOMMUNotifierFlag new_flags, Error **errp)
{
	if (new_flags == IOMMU_NOTIFIER_NONE)
		return 0;
	error_setg(errp, "apple-dart serves device models only: no vhost and no vfio behind it");
	return -EINVAL;
}

static AddressSpace *get_space(PCIBus *bus, void *opaque, int devfn)
{
	struct dart_glue *glue = opaque;
	struct apple_dart_space *space = glue->spaces[devfn];
	Object *owner = glue->owner;

	if (space)
		return &space->as;
	space = g_new0(struct apple_dart_space, 1);
	space->glue = glue;
	space->devfn = devfn;
	g_mutex_init(&space->lock);
	memory_region_init(&space->root, owner, "apple-dart", UINT64_MAX);
	memory_region_init_iommu(&space->iommu, sizeof(space->iommu), TYPE_APPLE_DART_REGION, owner,
				 "apple-dart-iommu", UINT64_MAX);
	memory_region_add_subregion(&space->root, 0, MEMORY_REGION(&space->iommu));
	for (const struct apple_window *w = dart_glue_windows(); w->size; w++) {
		MemoryRegion *window = g_new0(MemoryRegion, 1);

		memory_region_init_alias(window, owner, "apple-dart-msi", get_system_memory(),
					 w->base, w->size);
		memory_region_add_subregion_overlap(&space->root, w->base, window, 1);
	}
	memory_region_init_alias(&space->pass, owner, "apple-dart-pass", get_system_memory(), 0,
				 UINT64_MAX);
	memory_region_set_enabled(&space->pass, !glue->enforced);
	memory_region_add_subregion_overlap(&space->root, 0, &space->pass, 2);
	address_space_init(&space->as, &space->root, "apple-dart");
	glue->spaces[devfn] = space;
	return &space->as;
}

void dart_glue_attach(struct dart_glue *glue)
{
	host_memory_space();
	apple_setup_iommu(glue->bus, get_space, glue);
}

void dart_glue_enforce(struct dart_glue *glue, bool enforced)
{
	glue->enforced = enforced;
	memory_region_transaction_begin();
	for (int devfn = 0; devfn < PCI_DEVFN_MAX; devfn++) {
		if (glue->spaces[devfn])
			memory_region_set_enabled(&glue->spaces[devfn]->pass, !enforced);
	}
	memory_region_transaction_commit();
}

static void region_class_init(ObjectClass *klass, APPLE_CLASS_DATA *data)
{
	IOMMUMemoryRegionClass *class = IOMMU_MEMORY_REGION_CLASS(klass);

	class->translate = translate;
	class->notify_flag_changed = notify_flag_changed;
}

static const TypeInfo region_type = {
	.name = TYPE_APPLE_DART_REGION,
	.parent = TYPE_IOMMU_MEMORY_REGION,
	.class_init = region_class_init,
};

APPLE_REGISTER_TYPE(region_type)
