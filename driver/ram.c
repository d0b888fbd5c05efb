// SPDX-License-Identifier: GPL-2.0-only
/*
 * Where the guest has memory.
 *
 * The host maps what lies in one piece of guest RAM, and a window may be larger
 * than what was asked for. So this table has the pieces, and is updated by
 * memory hotplug. A window in memory that goes offline takes no more mappings:
 * memory that is added there later is other memory of the host.
 */

#include <linux/ioport.h>
#include <linux/memory.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/sort.h>

#include "engine.h"

/* More pieces than any machine has; memory beyond them gets exact granules. */
#define RANGES_MAX	256

/**
 * apple_dma_ram_has() - is all of a range memory, in one piece?
 * @e: the engine; its lock is held
 * @phys: guest-physical address
 * @size: bytes
 */
bool apple_dma_ram_has(struct apple_dma_engine *e, u64 phys, u64 size)
{
	unsigned int low = 0, high = e->ram.n;

	lockdep_assert_held(&e->lock);
	while (low < high) {
		unsigned int middle = (low + high) / 2;
		const struct apple_dma_range *r = &e->ram.ranges[middle];

		if (phys < r->phys)
			high = middle;
		else if (phys - r->phys >= r->size)
			low = middle + 1;
		else
			return size <= r->size - (phys - r->phys);
	}
	return false;
}

/**
 * apple_dma_ram_mappable() - may a driver's memory be mapped?
 * @e: the engine; its lock is held
 * @phys: guest-physical address
 * @size: bytes
 *
 * Return: false if it is certainly not guest RAM, such as a BAR. The host may
 * still refuse it.
 */
bool apple_dma_ram_mappable(struct apple_dma_engine *e, u64 phys, u64 size)
{
	unsigned long first = PHYS_PFN(phys);
	unsigned long last = PHYS_PFN(phys + size - 1);

	return apple_dma_ram_has(e, phys, size) ||
	       (pfn_valid(first) && pfn_valid(last) &&
		!is_zone_device_page(pfn_to_page(first)));
}

/* ---- the table ---- */

static int ram_compare(const void *a, const void *b)
{
	const struct apple_dma_range *x = a, *y = b;

	return x->phys < y->phys ? -1 : x->phys > y->phys;
}

/* Sort, and join what touches. Returns how many are left. */
static unsigned int ram_tidy(struct apple_dma_range *r, unsigned int n)
{
	unsigned int i, out = 0;

	sort(r, n, sizeof(*r), ram_compare, NULL);
	for (i = 0; i < n; i++) {
		u64 end = r[i].phys + r[i].size;

		if (!r[i].size)
			continue;
		if (out && r[i].phys <= r[out - 1].phys + r[out - 1].size)
			r[out - 1].size = max(end - r[out - 1].phys,
					      r[out - 1].size);
		else
			r[out++] = r[i];
	}
	return out;
}

/* Put a new table in place; @r is the engine's from now on. */
static void ram_replace(struct apple_dma_engine *e, struct apple_dma_range *r,
			unsigned int n)
{
	struct apple_dma_range *old;
	unsigned long flags;
	unsigned int i;
	u64 bytes = 0;

	n = ram_tidy(r, n);
	for (i = 0; i < n; i++)
		bytes += r[i].size;
	spin_lock_irqsave(&e->lock, flags);
	old = e->ram.ranges;
	e->ram.ranges = r;
	e->ram.n = n;
	e->ram.bytes = bytes;
	spin_unlock_irqrestore(&e->lock, flags);
	kfree(old);
}

/**
 * apple_dma_ram_set() - set where there is memory
 * @e: the engine
 * @ranges: the pieces, in any order
 * @n: how many
 *
 * Replaces the guest's own memory, which apple_dma_ram_init() finds.
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int apple_dma_ram_set(struct apple_dma_engine *e,
		      const struct apple_dma_range *ranges, unsigned int n)
{
	struct apple_dma_range *r = kmalloc_array(n, sizeof(*r), GFP_KERNEL);

	if (!r)
		return -ENOMEM;
	memcpy(r, ranges, n * sizeof(*r));
	ram_replace(e, r, n);
	return 0;
}

/* A copy of the table with room for one range more, or NULL. */
static struct apple_dma_range *ram_copy(struct apple_dma_engine *e)
{
	struct apple_dma_range *r = kmalloc_array(e->ram.n + 1, sizeof(*r),
						  GFP_KERNEL);

	if (r && e->ram.n)
		memcpy(r, e->ram.ranges, e->ram.n * sizeof(*r));
	return r;
}

static int ram_add(struct apple_dma_engine *e, u64 start, u64 end)
{
	struct apple_dma_range *r = ram_copy(e);

	if (!r)
		return -ENOMEM;
	r[e->ram.n].phys = start;
	r[e->ram.n].size = end - start;
	ram_replace(e, r, e->ram.n + 1);
	return 0;
}

static int ram_take_away(struct apple_dma_engine *e, u64 start, u64 end)
{
	struct apple_dma_range *r = ram_copy(e);
	unsigned int i, n = e->ram.n;

	if (!r)
		return -ENOMEM;
	for (i = 0; i < e->ram.n; i++) {
		u64 first = r[i].phys, last = first + r[i].size;

		if (end <= first || start >= last)
			continue;
		r[i].size = start > first ? start - first : 0;
		/* At most one range has a part behind the one that goes. */
		if (end < last) {
			r[n].phys = end;
			r[n++].size = last - end;
		}
	}
	ram_replace(e, r, n);
	return 0;
}

/* ---- the guest's own memory ---- */

static int apple_dma_ram_notify(struct notifier_block *nb, unsigned long action,
				void *data)
{
	struct apple_dma_engine *e = container_of(nb, struct apple_dma_engine,
						  ram.nb);
	const struct memory_notify *memory = data;
	u64 start = PFN_PHYS((u64)memory->start_pfn);
	u64 end = start + PFN_PHYS((u64)memory->nr_pages);
	int err = 0;

	switch (action) {
	case MEM_GOING_OFFLINE:
		err = ram_take_away(e, start, end);
		if (!err)
			e->ram.gone(e, start, end);
		break;
	case MEM_OFFLINE:
		/* Windows may have been made there while it went offline. */
		e->ram.gone(e, start, end);
		break;
	case MEM_ONLINE:
	case MEM_CANCEL_OFFLINE:
		/* If this fails, windows there are small; that is allowed. */
		ram_add(e, start, end);
		break;
	}
	return notifier_from_errno(err);
}

static int ram_found(struct resource *res, void *arg)
{
	struct apple_dma_ram *found = arg;

	if (found->n < RANGES_MAX) {
		found->ranges[found->n].phys = res->start;
		found->ranges[found->n].size = resource_size(res);
		found->n++;
	}
	return 0;
}

/**
 * apple_dma_ram_init() - learn where the guest has memory
 * @e: an initialised engine
 *
 * Context: may sleep.
 * Return: 0 or an error; apple_dma_ram_exit() is to be called in both cases.
 */
int apple_dma_ram_init(struct apple_dma_engine *e)
{
	struct apple_dma_ram found = {};

	found.ranges = kmalloc_array(RANGES_MAX, sizeof(*found.ranges),
				     GFP_KERNEL);
	if (!found.ranges)
		return -ENOMEM;
	walk_iomem_res_desc(IORES_DESC_NONE,
			    IORESOURCE_SYSTEM_RAM | IORESOURCE_BUSY, 0, -1,
			    &found, ram_found);
	ram_replace(e, found.ranges, found.n);
	e->ram.nb.notifier_call = apple_dma_ram_notify;
	return register_memory_notifier(&e->ram.nb);
}

/* Undo apple_dma_ram_init() and apple_dma_ram_set(). May sleep. */
void apple_dma_ram_exit(struct apple_dma_engine *e)
{
	/* It may not be registered, which is harmless. */
	unregister_memory_notifier(&e->ram.nb);
	ram_replace(e, NULL, 0);
}
