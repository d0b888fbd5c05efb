// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory allocated through the DMA API, and memory that outlives its driver.
 *
 * Every allocation is on record, by its first page. A driver may free memory
 * long after it was unbound: nvme of Linux 6.1 keeps its shadow doorbells for
 * as long as somebody has the block device open. By then the window is gone
 * from the host, and the device address may mean something else; so what is
 * left at unbind becomes an *orphan*, and freeing an orphan only frees memory.
 *
 * While a companion has orphans its ops stay on the device, for without them
 * the kernel would take the device address for a physical one, and the
 * companion's memory and the module stay too.
 */

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/xarray.h>

#include "companion.h"
#include "memory.h"
#include "pin.h"
#include "quarantine.h"
#include "recover.h"
#include "work.h"

/**
 * struct apple_dma_memory - one allocation
 * @ad: the companion that mapped it
 * @dev: the device it was mapped for; only compared
 * @page: the first page that the driver has
 * @block: the first page that was allocated: @page, or before it
 * @order: of @block
 * @addr: device address of @block
 * @list: in @ad->memory
 * @orphan: it is not mapped any more
 * @freed: the driver has freed it while its window was being released
 * @reachable: the device may still reach it
 */
struct apple_dma_memory {
	struct apple_dma *ad;
	struct device *dev;
	struct page *page;
	struct page *block;
	unsigned int order;
	dma_addr_t addr;
	struct list_head list;
	bool orphan;
	bool freed;
	bool reachable;
};

/*
 * struct apple_dma_memory of all companions, by page frame. Its lock, taken
 * with interrupts off, also protects ad->memory, ad->orphans and what belongs
 * to it, and the list of orphanages. It is never held where the host, or an
 * engine that may be asking the host, is waited for: other devices need it.
 */
static DEFINE_XARRAY_FLAGS(memory_records, XA_FLAGS_LOCK_IRQ);
static LIST_HEAD(memory_orphanages);

static size_t memory_block_size(const struct apple_dma_memory *mem)
{
	return PAGE_SIZE << mem->order;
}

static int memory_record(struct apple_dma_memory *mem)
{
	unsigned long flags;
	int err;

	xa_lock_irqsave(&memory_records, flags);
	err = xa_err(__xa_store(&memory_records, page_to_pfn(mem->page), mem,
				GFP_ATOMIC | __GFP_NOWARN));
	if (!err)
		list_add(&mem->list, &mem->ad->memory);
	xa_unlock_irqrestore(&memory_records, flags);
	return err;
}

/* Take a record away; its memory is the caller's. The lock is held. */
static void memory_erase(struct apple_dma_memory *mem)
{
	__xa_erase(&memory_records, page_to_pfn(mem->page));
	list_del(&mem->list);
	if (mem->orphan && !--mem->ad->orphans)
		apple_dma_work_queue(&mem->ad->reap);
}

/* The end of a record: its memory goes back, or is kept for good. */
static void memory_give_back(struct apple_dma *ad, struct apple_dma_memory *mem)
{
	apple_dma_quarantine_free_block(ad, mem->block, mem->order,
					mem->reachable);
	kfree(mem);
}

/*
 * Pages of @order, mapped as a whole. Where guest memory lies says nothing
 * about the device address, so zones do not matter. The page allocator warns
 * of a block that is larger than any; here that is a failure like others. The
 * caller counts it if this is tried @again.
 */
static struct apple_dma_memory *memory_map_block(struct apple_dma *ad,
						 struct device *dev,
						 unsigned int order, gfp_t gfp,
						 u64 mask, bool again)
{
	struct apple_dma_memory *mem;
	u64 recovered;

	gfp &= ~(__GFP_DMA | __GFP_DMA32 | __GFP_HIGHMEM | __GFP_COMP);
	mem = kzalloc(sizeof(*mem), gfp | __GFP_NOWARN);
	if (!mem)
		goto no_memory;
	mem->ad = ad;
	mem->dev = dev;
	mem->order = order;
	mem->block = alloc_pages_node(dev_to_node(dev), gfp | __GFP_ZERO |
				      __GFP_NOWARN, order);
	mem->page = mem->block;
	if (!mem->block)
		goto no_memory;
	recovered = READ_ONCE(ad->engine.stats.recovered);
	mem->addr = apple_dma_quarantine_map_block(ad, mem->block, order, mask,
						   &mem->reachable);
	/*
	 * What an earlier kernel left may fill the host. A driver that begins
	 * with this does not come back: wait for room.
	 */
	if (mem->addr == DMA_MAPPING_ERROR && gfpflags_allow_blocking(gfp) &&
	    apple_dma_recover_wait(&ad->engine) != recovered)
		mem->addr = apple_dma_quarantine_map_block(ad, mem->block, order,
							   mask,
							   &mem->reachable);
	if (mem->addr == DMA_MAPPING_ERROR) {
		memory_give_back(ad, mem);
		return NULL;
	}
	return mem;

no_memory:
	kfree(mem);
	if (!again)
		apple_dma_refuse(&ad->engine, APPLE_DMA_FAIL_MEMORY,
				 PAGE_SIZE << order);
	return NULL;
}

/* Undo memory_map_block(), while nobody else knows of it. */
static void memory_unmap_block(struct apple_dma *ad,
			       struct apple_dma_memory *mem)
{
	phys_addr_t phys;

	/* If the driver unmapped it itself, nobody knows if it is reached. */
	mem->reachable = apple_dma_unpin(&ad->engine, mem->addr,
					 memory_block_size(mem), &phys) != 0;
	memory_give_back(ad, mem);
}

/**
 * apple_dma_memory_alloc() - allocate memory and map it
 * @ad: the companion
 * @dev: the device, for its NUMA node
 * @size: bytes
 * @addr: where to put the device address
 * @gfp: as the driver gave it; decides whether this may sleep
 * @mask: highest device address the device reaches
 *
 * The device address is aligned to the order of @size. The host keeps no more
 * than the offset in a granule; where that is not enough, twice the memory is
 * mapped, and the aligned half of it handed out.
 *
 * Return: zeroed pages, contiguous, or NULL.
 */
struct page *apple_dma_memory_alloc(struct apple_dma *ad, struct device *dev,
				    size_t size, dma_addr_t *addr, gfp_t gfp,
				    u64 mask)
{
	unsigned int order = get_order(size);
	u64 align = (u64)PAGE_SIZE << order;
	struct apple_dma_memory *mem;
	u64 skip;

	mem = memory_map_block(ad, dev, order, gfp, mask, false);
	if (!mem)
		return NULL;
	if (!IS_ALIGNED(mem->addr, align)) {
		memory_unmap_block(ad, mem);
		mem = memory_map_block(ad, dev, order + 1, gfp, mask, true);
		if (!mem) {
			apple_dma_refuse(&ad->engine, APPLE_DMA_FAIL_ALIGN,
					 size);
			return NULL;
		}
	}

	/* Until it is recorded, nobody can free it. */
	skip = ALIGN(mem->addr, align) - mem->addr;
	mem->page = mem->block + (skip >> PAGE_SHIFT);
	*addr = mem->addr + skip;
	if (memory_record(mem)) {
		memory_unmap_block(ad, mem);
		apple_dma_refuse(&ad->engine, APPLE_DMA_FAIL_MEMORY, size);
		return NULL;
	}
	return mem->page;
}

/**
 * apple_dma_memory_free() - undo apple_dma_memory_alloc()
 * @size: bytes, as they were allocated
 * @page: the first page
 * @addr: its device address
 *
 * Asks the record, not the device's ops, which companion it is of. Memory
 * that the device may still reach, and memory that was not allocated here, is
 * kept.
 *
 * Context: any.
 */
void apple_dma_memory_free(size_t size, struct page *page, dma_addr_t addr)
{
	struct apple_dma_memory *mem;
	struct apple_dma *ad;
	unsigned long flags;

	/*
	 * The companion and the module may go with the last orphan; who lets
	 * them go waits for this to end.
	 */
	rcu_read_lock();
	xa_lock_irqsave(&memory_records, flags);
	mem = xa_load(&memory_records, page_to_pfn(page));
	if (!mem || mem->freed) {
		xa_unlock_irqrestore(&memory_records, flags);
		rcu_read_unlock();
		pr_err_ratelimited("apple_dma: a driver frees %zu bytes at device address %pad that it does not have; the driver is at fault\n",
				   size, &addr);
		return;
	}
	ad = mem->ad;
	if (mem->orphan && ad->draining) {
		/* Its window is still there: apple_dma_memory_drained(). */
		mem->freed = true;
		mem = NULL;
	} else {
		/* From here on it is ours; an unbind waits for this to end. */
		memory_erase(mem);
	}
	xa_unlock_irqrestore(&memory_records, flags);
	if (mem && !mem->orphan)
		memory_unmap_block(ad, mem);
	else if (mem)
		memory_give_back(ad, mem);
	rcu_read_unlock();
}

/**
 * apple_dma_memory_orphan() - the driver is gone, and so are its mappings
 * @ad: the companion, attached, so that the module is pinned
 * @left: set to how many mappings of the driver were left, these included
 *
 * Ends all mappings of the engine, which is closed; their windows are still
 * registered. To be followed by apple_dma_memory_drained() when they are not.
 *
 * Context: may sleep.
 * Return: how many allocations have become orphans now.
 */
u64 apple_dma_memory_orphan(struct apple_dma *ad, u64 *left)
{
	struct apple_dma_memory *mem;
	unsigned long flags;
	u64 fresh = 0;

	xa_lock_irqsave(&memory_records, flags);
	list_for_each_entry(mem, &ad->memory, list) {
		if (mem->orphan)
			continue;
		mem->orphan = true;
		fresh++;
	}
	if (fresh && !ad->orphaned) {
		ad->orphaned = true;
		list_add(&ad->orphanage, &memory_orphanages);
		__module_get(THIS_MODULE);
		kref_get(&ad->ref);
	}
	ad->orphans += fresh;
	ad->draining = true;
	xa_unlock_irqrestore(&memory_records, flags);
	/* What is being freed has no record any more: it is unmapped first. */
	synchronize_rcu();
	*left = apple_dma_engine_abandon(&ad->engine);
	return fresh;
}

/**
 * apple_dma_memory_drained() - the windows of orphans are gone
 * @ad: the companion
 * @reachable: they are not: the host is not to be trusted any more
 *
 * Context: may sleep.
 */
void apple_dma_memory_drained(struct apple_dma *ad, bool reachable)
{
	struct apple_dma_memory *mem, *next;
	unsigned long flags;
	LIST_HEAD(freed);

	xa_lock_irqsave(&memory_records, flags);
	ad->draining = false;
	list_for_each_entry_safe(mem, next, &ad->memory, list) {
		mem->reachable |= reachable;
		if (mem->freed) {
			memory_erase(mem);
			list_add(&mem->list, &freed);
		}
	}
	xa_unlock_irqrestore(&memory_records, flags);
	list_for_each_entry_safe(mem, next, &freed, list)
		memory_give_back(ad, mem);
}

/**
 * apple_dma_memory_ops() - the ops that a device without a driver needs
 * @dev: the device; its lock is held
 *
 * Return: those of a companion, this or an earlier one, that has orphans of
 * the device; NULL if there is none.
 */
const struct dma_map_ops *apple_dma_memory_ops(struct device *dev)
{
	const struct dma_map_ops *ops = NULL;
	struct apple_dma_memory *mem;
	struct apple_dma *ad;
	unsigned long flags;

	xa_lock_irqsave(&memory_records, flags);
	list_for_each_entry(ad, &memory_orphanages, orphanage)
		list_for_each_entry(mem, &ad->memory, list)
			if (mem->orphan && mem->dev == dev)
				ops = &ad->ops;
	xa_unlock_irqrestore(&memory_records, flags);
	return ops;
}

/**
 * apple_dma_memory_reap() - are the last orphans gone?
 * @ad: the companion
 *
 * Context: any.
 * Return: true if so, once: then the caller has to drop the reference to the
 * companion and to the module that they held.
 */
bool apple_dma_memory_reap(struct apple_dma *ad)
{
	unsigned long flags;
	bool reap;

	xa_lock_irqsave(&memory_records, flags);
	reap = ad->orphaned && !ad->orphans;
	if (reap) {
		ad->orphaned = false;
		list_del_init(&ad->orphanage);
	}
	xa_unlock_irqrestore(&memory_records, flags);
	return reap;
}
