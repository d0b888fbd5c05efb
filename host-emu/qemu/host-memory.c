// SPDX-License-Identifier: GPL-2.0
/*
 * The extension and the DART use addresses of the client process. Each region
 * of RAM has one alias at its host address, in an address space made for this:
 * a translated access reaches the same region as one by the CPU, with dirty
 * tracking.
 */
#include "host-memory.h"

#include "companion/guest-memory.h"

static MemoryRegion root;
static AddressSpace space;
static GHashTable *aliases;	/* MemoryRegion -> its alias; never removed */

AddressSpace *host_memory_space(void)
{
	if (!aliases) {
		aliases = g_hash_table_new(NULL, NULL);
		memory_region_init(&root, NULL, "apple-host-memory", UINT64_MAX);
		address_space_init(&space, &root, "apple-host-memory");
	}
	return &space;
}

static void add_alias(MemoryRegion *mr, uint64_t address)
{
	MemoryRegion *alias;

	host_memory_space();
	if (g_hash_table_contains(aliases, mr))
		return;
	alias = g_new0(MemoryRegion, 1);
	memory_region_ref(mr);
	memory_region_init_alias(alias, NULL, "apple-host-memory-ram", mr, 0,
				 memory_region_size(mr));
	memory_region_add_subregion(&root, address, alias);
	g_hash_table_insert(aliases, mr, alias);
}

/*
 * The region that holds the whole range, with a reference, and the offset in it.
 * A BAR that is mapped into this process is no RAM: hosts map what QEMU may access
 * directly for a device, which a BAR is not.
 */
static MemoryRegion *find_region(hwaddr gpa, uint64_t len, hwaddr *offset)
{
	MemoryRegionSection section;

	if (!len || gpa + (len - 1) < gpa)
		return NULL;
	section = memory_region_find(get_system_memory(), gpa, len);
	if (!section.mr)
		return NULL;
	if (memory_region_is_ram(section.mr) && !memory_region_is_ram_device(section.mr) &&
	    section.offset_within_address_space == gpa &&
	    int128_ge(section.size, int128_make64(len))) {
		*offset = section.offset_within_region;
		return section.mr;
	}
	memory_region_unref(section.mr);
	return NULL;
}

uint64_t guest_memory_find(uint64_t gpa, uint64_t len)
{
	MemoryRegion *mr;
	hwaddr offset;
	uint64_t base;

	mr = find_region(gpa, len, &offset);
	if (!mr)
		return 0;
	base = (uintptr_t)memory_region_get_ram_ptr(mr);
	add_alias(mr, base);
	memory_region_unref(mr);
	return base + offset;
}

bool guest_memory_is_ram(uint64_t gpa, uint64_t len, bool writable)
{
	MemoryRegion *mr;
	hwaddr offset;
	bool good;

	mr = find_region(gpa, len, &offset);
	if (!mr)
		return false;
	good = !writable || !mr->readonly;
	memory_region_unref(mr);
	return good;
}

/* Only RAM: writing registers has effects, and those of the companion would recurse. */
static const MemTxAttrs memory_only = { .memory = 1 };

bool guest_memory_read(uint64_t gpa, void *buffer, size_t size)
{
	return address_space_rw(&address_space_memory, gpa, memory_only, buffer, size, false) ==
	       MEMTX_OK;
}

void guest_memory_write(uint64_t gpa, const void *buffer, size_t size)
{
	address_space_rw(&address_space_memory, gpa, memory_only, (void *)buffer, size, true);
}
