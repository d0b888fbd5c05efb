// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory allocated through the DMA API, and memory that outlives its driver.
 *
 * Every allocation is on record, by its first page. A driver may free memory
 * long after it was unbound: nvme of Linux 6.1 keeps its shadow doorbells for
 * as long as the block device is open. By then the window is gone from the
 * host, and the device address may mean something else. So what is left at
 * unbind becomes an *orphan*, and freeing an orphan only frees memory.
 *
 * While a companion has orphans its ops stay on the device, because without
 * them the kernel would take the device address for a physical one. The
 * companion's memory and the module stay, too.
 */

#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "coherent.h"
#include "companion.h"
#include "map.h"
#include "quarantine.h"
#include "recover.h"
#include "work.h"

/* Blocks whose address is in the middle of a page, before an allocation fails. */
#define MISSES	32

/**
 * struct apple_dma_allocation - one allocation
 * @dev: the device it was mapped for; only compared
 * @page: the first page that the driver has
 * @block: the first page that was allocated: @page, or before it
 * @order: of @block
 * @addr: device address of @block
 * @orphan: it is not mapped any more
 * @freed: the driver has freed it while its window was being released
 * @reachable: the device may still reach it
 */
struct apple_dma_allocation {
	struct device *dev;
	struct page *page;
	struct page *block;
	unsigned int order;
	dma_addr_t addr;
	bool orphan;
	bool freed;
	bool reachable;
};

/*
 * All companions, including removed ones that have orphans. The lock is taken
 * with interrupts off, and outside of the lock of a companion's records.
 * Neither is held while waiting for the host, or for an engine that may be
 * asking the host.
 */
static DEFINE_SPINLOCK(coherent_lock);
static LIST_HEAD(coherent_companions);

/* Prepare a companion for allocations. */
void apple_dma_coherent_init(struct apple_dma *ad)
{
	unsigned long flags;

	xa_init_flags(&ad->coherent.records, XA_FLAGS_LOCK_IRQ);
	spin_lock_irqsave(&coherent_lock, flags);
	list_add(&ad->coherent.list, &coherent_companions);
	spin_unlock_irqrestore(&coherent_lock, flags);
}

/* Undo apple_dma_coherent_init(). No allocation is left. */
void apple_dma_coherent_exit(struct apple_dma *ad)
{
	unsigned long flags;

	spin_lock_irqsave(&coherent_lock, flags);
	list_del(&ad->coherent.list);
	spin_unlock_irqrestore(&coherent_lock, flags);
}

static int coherent_record(struct apple_dma *ad,
			   struct apple_dma_allocation *mem)
{
	struct xarray *records = &ad->coherent.records;
	unsigned long flags;
	int err;

	xa_lock_irqsave(records, flags);
	err = xa_err(__xa_store(records, page_to_pfn(mem->page), mem,
				GFP_ATOMIC | __GFP_NOWARN));
	xa_unlock_irqrestore(records, flags);
	return err;
}

/* Remove a record; the caller then owns the allocation. */
static void __coherent_erase(struct apple_dma *ad,
			     struct apple_dma_allocation *mem)
{
	struct apple_dma_coherent *c = &ad->coherent;

	lockdep_assert_held(&c->records.xa_lock);
	__xa_erase(&c->records, page_to_pfn(mem->page));
	if (mem->orphan && !--c->orphans)
		apple_dma_work_queue(&c->reap);
}

/* The end of an allocation: its memory is freed, or kept for good. */
static void coherent_give_back(struct apple_dma *ad,
			       struct apple_dma_allocation *mem)
{
	/* TTM leaves a pointer there, which only a first page may have. */
	if (mem->page)
		set_page_private(mem->page, 0);
	apple_dma_quarantine_free_block(ad, mem->block, mem->order,
					mem->reachable);
	kfree(mem);
}

/*
 * Pages of @order, mapped as a whole. The device address does not depend on the
 * guest address, so zones do not matter. The page allocator warns of a block
 * larger than its largest; here that is a failure like others. @cause is what a
 * lack of memory counts as.
 */
static struct apple_dma_allocation *
coherent_map_block(struct apple_dma *ad, struct device *dev, unsigned int order,
		   gfp_t gfp, u64 mask, enum apple_dma_fail cause)
{
	struct apple_dma_allocation *mem;
	phys_addr_t phys;
	u64 recovered;

	gfp &= ~(__GFP_DMA | __GFP_DMA32 | __GFP_HIGHMEM | __GFP_COMP);
	mem = kzalloc(sizeof(*mem), gfp | __GFP_NOWARN);
	if (!mem)
		goto no_memory;
	mem->dev = dev;
	mem->order = order;
	mem->block = alloc_pages_node(dev_to_node(dev), gfp | __GFP_ZERO |
				      __GFP_NOWARN, order);
	if (!mem->block)
		goto no_memory;
	recovered = READ_ONCE(ad->engine.stats.recovered);
	phys = page_to_phys(mem->block);
	mem->addr = apple_dma_quarantine_try(ad, phys, PAGE_SIZE << order, mask,
					     &mem->reachable);
	/*
	 * What an earlier kernel left may fill the host. A driver that begins
	 * with an allocation does not retry: wait for room.
	 */
	if (mem->addr == DMA_MAPPING_ERROR && gfpflags_allow_blocking(gfp) &&
	    apple_dma_recover_wait(&ad->engine) != recovered)
		mem->addr = apple_dma_quarantine_try(ad, phys,
						     PAGE_SIZE << order, mask,
						     &mem->reachable);
	if (mem->addr == DMA_MAPPING_ERROR) {
		coherent_give_back(ad, mem);
		return NULL;
	}
	return mem;

no_memory:
	kfree(mem);
	apple_dma_refuse(&ad->engine, cause, PAGE_SIZE << order);
	return NULL;
}

/* Undo coherent_map_block(), before the allocation is recorded. */
static void coherent_unmap_block(struct apple_dma *ad,
				 struct apple_dma_allocation *mem)
{
	phys_addr_t phys;

	/* If the driver unmapped it itself, it may still be reachable. */
	mem->reachable = apple_dma_unmap(&ad->engine, mem->addr,
					 PAGE_SIZE << mem->order, &phys) != 0;
	coherent_give_back(ad, mem);
}

/*
 * Pages of @order whose aligned half begins with a page: always, if a page is not
 * larger than what the host keeps. Else another block is tried, while those that will
 * not do are still taken.
 */
static struct apple_dma_allocation *
coherent_map_twice(struct apple_dma *ad, struct device *dev, unsigned int order,
		   gfp_t gfp, u64 mask)
{
	struct apple_dma_allocation *miss[MISSES], *mem;
	unsigned int n = 0;

	while ((mem = coherent_map_block(ad, dev, order, gfp, mask,
					 APPLE_DMA_FAIL_ALIGN)) &&
	       !PAGE_ALIGNED(mem->addr)) {
		miss[n++] = mem;
		if (n == MISSES) {
			mem = NULL;
			apple_dma_refuse(&ad->engine, APPLE_DMA_FAIL_ALIGN,
					 PAGE_SIZE << order);
			break;
		}
	}
	while (n)
		coherent_unmap_block(ad, miss[--n]);
	return mem;
}

/**
 * apple_dma_coherent_alloc() - allocate memory and map it
 * @ad: the companion
 * @dev: the device, for its NUMA node
 * @size: bytes
 * @addr: where to put the device address
 * @gfp: as the driver gave it; decides whether this may sleep
 * @mask: highest device address the device reaches
 *
 * The device address is aligned to the order of @size. The host keeps only the
 * offset in a granule; if that is not enough, twice the memory is mapped, and
 * its aligned half is returned.
 *
 * Return: zeroed pages, contiguous, or NULL.
 */
struct page *apple_dma_coherent_alloc(struct apple_dma *ad, struct device *dev,
				      size_t size, dma_addr_t *addr, gfp_t gfp,
				      u64 mask)
{
	unsigned int order = get_order(size);
	u64 align = (u64)PAGE_SIZE << order;
	struct apple_dma_allocation *mem;
	u64 skip;

	mem = coherent_map_block(ad, dev, order, gfp, mask,
				 APPLE_DMA_FAIL_MEMORY);
	if (mem && !IS_ALIGNED(mem->addr, align)) {
		coherent_unmap_block(ad, mem);
		mem = coherent_map_twice(ad, dev, order + 1, gfp, mask);
	}
	if (!mem)
		return NULL;

	/* It cannot be freed before it is recorded. */
	skip = ALIGN(mem->addr, align) - mem->addr;
	mem->page = mem->block + (skip >> PAGE_SHIFT);
	*addr = mem->addr + skip;
	if (coherent_record(ad, mem)) {
		coherent_unmap_block(ad, mem);
		apple_dma_refuse(&ad->engine, APPLE_DMA_FAIL_MEMORY, size);
		return NULL;
	}
	return mem->page;
}

/*
 * Take the allocation that begins with @page, if it is of @ad, for the caller
 * to free; *@taken is NULL if apple_dma_coherent_drained() frees it.
 */
static bool coherent_take(struct apple_dma *ad, struct page *page,
			  struct apple_dma_allocation **taken)
{
	struct apple_dma_coherent *c = &ad->coherent;
	struct apple_dma_allocation *mem;
	unsigned long flags;
	bool found;

	*taken = NULL;
	xa_lock_irqsave(&c->records, flags);
	mem = xa_load(&c->records, page_to_pfn(page));
	found = mem && !mem->freed;
	if (found && mem->orphan && c->draining) {
		mem->freed = true;
	} else if (found) {
		__coherent_erase(ad, mem);
		*taken = mem;
	}
	xa_unlock_irqrestore(&c->records, flags);
	return found;
}

/*
 * The same among all companions: an earlier one may have it, or another CPU has
 * just removed the ops of the device. Returns its companion, or NULL.
 */
static struct apple_dma *coherent_take_any(struct page *page,
					   struct apple_dma_allocation **taken)
{
	struct apple_dma *ad, *found = NULL;
	unsigned long flags;

	spin_lock_irqsave(&coherent_lock, flags);
	list_for_each_entry(ad, &coherent_companions, coherent.list) {
		if (!coherent_take(ad, page, taken))
			continue;
		found = ad;
		break;
	}
	spin_unlock_irqrestore(&coherent_lock, flags);
	return found;
}

/**
 * apple_dma_coherent_free() - undo apple_dma_coherent_alloc()
 * @ad: the companion whose ops the device has, or NULL; the memory may be of an
 *	earlier one
 * @size: bytes, as they were allocated
 * @page: the first page
 * @addr: its device address
 *
 * Memory that the device may still reach, and memory that was not allocated
 * here, is kept.
 *
 * Context: any, under RCU: a companion and the module may go with the last
 * orphan, and an unbind waits for allocations that are being freed.
 */
void apple_dma_coherent_free(struct apple_dma *ad, size_t size,
			     struct page *page, dma_addr_t addr)
{
	struct apple_dma_allocation *mem;

	RCU_LOCKDEP_WARN(!rcu_read_lock_held(), "a companion may go");
	if (!ad || !coherent_take(ad, page, &mem))
		ad = coherent_take_any(page, &mem);
	if (!ad)
		pr_err_ratelimited("apple_dma: a driver frees %zu bytes at device address %pad that it does not have; the driver is at fault\n",
				   size, &addr);
	else if (mem && mem->orphan)
		coherent_give_back(ad, mem);
	else if (mem)
		coherent_unmap_block(ad, mem);
}

/**
 * apple_dma_coherent_orphan() - the driver is gone, and so are its mappings
 * @ad: the companion, attached, so that the module is pinned
 * @left: set to how many mappings the driver left, including these
 *
 * Ends all mappings of the engine, which is closed; their windows are still
 * registered. Call apple_dma_coherent_drained() when they are not any more.
 *
 * Context: may sleep.
 * Return: how many allocations have become orphans now.
 */
u64 apple_dma_coherent_orphan(struct apple_dma *ad, u64 *left)
{
	struct apple_dma_coherent *c = &ad->coherent;
	struct apple_dma_allocation *mem;
	unsigned long flags, pfn;
	u64 fresh = 0;

	spin_lock_irqsave(&coherent_lock, flags);
	xa_lock(&c->records);
	xa_for_each(&c->records, pfn, mem) {
		fresh += !mem->orphan;
		mem->orphan = true;
	}
	if (fresh && !c->orphaned) {
		c->orphaned = true;
		__module_get(THIS_MODULE);
		kref_get(&ad->ref);
	}
	c->orphans += fresh;
	c->draining = true;
	xa_unlock(&c->records);
	spin_unlock_irqrestore(&coherent_lock, flags);
	/* Frees under way have no record any more: let them unmap first. */
	synchronize_rcu();
	*left = apple_dma_engine_abandon(&ad->engine);
	return fresh;
}

/**
 * apple_dma_coherent_drained() - the windows of orphans are gone
 * @ad: the companion
 * @reachable: they are still there: the host cannot be trusted any more
 *
 * Context: may sleep.
 */
void apple_dma_coherent_drained(struct apple_dma *ad, bool reachable)
{
	struct apple_dma_coherent *c = &ad->coherent;
	struct apple_dma_allocation *mem;
	unsigned long flags, pfn;

	xa_lock_irqsave(&c->records, flags);
	c->draining = false;
	xa_for_each(&c->records, pfn, mem) {
		mem->reachable |= reachable;
		if (mem->freed) {
			__coherent_erase(ad, mem);
			coherent_give_back(ad, mem);
		}
	}
	xa_unlock_irqrestore(&c->records, flags);
}

/**
 * apple_dma_coherent_ops() - the ops that a device without a driver needs
 * @dev: the device; its lock is held
 *
 * Return: the ops of a companion, this or an earlier one, that has orphans of
 * the device; NULL if there is none.
 */
const struct dma_map_ops *apple_dma_coherent_ops(struct device *dev)
{
	const struct dma_map_ops *ops = NULL;
	struct apple_dma_allocation *mem;
	unsigned long flags, pfn;
	struct apple_dma *ad;

	spin_lock_irqsave(&coherent_lock, flags);
	list_for_each_entry(ad, &coherent_companions, coherent.list) {
		xa_lock(&ad->coherent.records);
		xa_for_each(&ad->coherent.records, pfn, mem)
			if (mem->orphan && mem->dev == dev)
				ops = &ad->ops;
		xa_unlock(&ad->coherent.records);
	}
	spin_unlock_irqrestore(&coherent_lock, flags);
	return ops;
}

/**
 * apple_dma_coherent_reap() - are the last orphans gone?
 * @ad: the companion
 *
 * Context: any.
 * Return: true once if so: the caller then drops the references to the
 * companion and the module that they held.
 */
bool apple_dma_coherent_reap(struct apple_dma *ad)
{
	struct apple_dma_coherent *c = &ad->coherent;
	unsigned long flags;
	bool reap;

	spin_lock_irqsave(&coherent_lock, flags);
	xa_lock(&c->records);
	reap = c->orphaned && !c->orphans;
	xa_unlock(&c->records);
	if (reap)
		c->orphaned = false;
	spin_unlock_irqrestore(&coherent_lock, flags);
	return reap;
}
