// SPDX-License-Identifier: GPL-2.0-only
/*
 * A device whose maps the kernel translates by a table of it, dma_range_map, for
 * kernels where it cannot have DMA operations. Documentation/premap.md has the whole
 * of it.
 *
 * The driver core frees the table when the driver goes, or its probe fails, before
 * UNBOUND_DRIVER. So each bind gets a table of its own, and the device gets another
 * one afterwards, for what the driver frees late. A device without a driver keeps
 * that one, and a limit that refuses every map.
 */

#include <linux/cpumask.h>
#include <linux/memory.h>
#include <linux/mmzone.h>
#include <linux/nodemask.h>
#include <linux/pci.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/topology.h>

#include "compat.h"
#include "engine.h"
#include "premap.h"

/* No map ends at this address or below: bus_dma_limit of a device that may not map. */
#define PREMAP_CLOSED	1ULL

/*
 * Where the last entry of a table of this module begins, which has size 0 and ends it.
 * The kernel does not look at that, and the firmware's tables have 0.
 */
#define PREMAP_MARK	0x6170706c65646d61ULL

#ifdef CONFIG_SWIOTLB
/* A pool without slots: what would bounce fails. For GPUs. */
static struct io_tlb_mem premap_no_bounce = {
#ifdef CONFIG_SWIOTLB_DYNAMIC
	.lock = __SPIN_LOCK_UNLOCKED(premap_no_bounce.lock),
	.pools = LIST_HEAD_INIT(premap_no_bounce.pools),
#endif
};

#define PREMAP_NO_BOUNCE	(&premap_no_bounce)
#else
#define PREMAP_NO_BOUNCE	NULL
#endif

/**
 * apple_dma_premap_mode() - what the parameter ops says
 * @ops: its value
 *
 * Return: 1 for premapped memory, 0 for DMA operations, -EINVAL for an unknown value,
 * -EOPNOTSUPP if this kernel has no DMA operations per device.
 */
int apple_dma_premap_mode(const char *ops)
{
	if (!strcmp(ops, "auto"))
		return !APPLE_DMA_KERNEL_HAS_OPS;
	if (!strcmp(ops, "premap"))
		return 1;
	if (strcmp(ops, "dma_ops"))
		return -EINVAL;
	return APPLE_DMA_KERNEL_HAS_OPS ? 0 : -EOPNOTSUPP;
}

/* A GPU must not bounce: what it maps is used by both sides at once. */
static bool premap_is_gpu(struct device *dev)
{
	return to_pci_dev(dev)->class >> 16 == PCI_BASE_CLASS_DISPLAY;
}

/* Let the device map up to this address; see PREMAP_CLOSED. */
static void premap_limit(struct device *dev, u64 last)
{
	WRITE_ONCE(dev->bus_dma_limit, last);
}

static bool premap_is_closed(struct device *dev)
{
	return dev->bus_dma_limit == PREMAP_CLOSED;
}

/* ---- what the guest has ---- */

/* Where movable memory begins, which the kernel does not use itself. Of one node. */
static u64 premap_movable(void)
{
	const struct zone *z =
		&NODE_DATA(first_online_node)->node_zones[ZONE_MOVABLE];

	return z->spanned_pages ? PFN_PHYS((u64)z->zone_start_pfn) : U64_MAX;
}

/* The node with the lowest memory; NUMA_NO_NODE if there is only one node. */
static int premap_lowest_node(void)
{
	int nid, lowest = NUMA_NO_NODE;

	if (num_online_nodes() < 2)
		return NUMA_NO_NODE;
	for_each_online_node(nid)
		if (node_spanned_pages(nid) &&
		    (lowest == NUMA_NO_NODE ||
		     node_start_pfn(nid) < node_start_pfn(lowest)))
			lowest = nid;
	return lowest;
}

/* Choose the layout. Returns why there is none, after a message. May sleep. */
static enum apple_dma_premap_refusal
premap_plan(struct apple_dma_engine *e, struct device *dev,
	    struct apple_dma_arena_plan *plan)
{
	enum apple_dma_premap_refusal refusal = APPLE_DMA_PREMAP_ALLOWED;
	struct apple_dma_arena_facts facts = { .movable = U64_MAX };
	int nid = premap_lowest_node();
	unsigned long flags;
	u64 room, left, ram;

	facts.never_bounces = premap_is_gpu(dev);
	apple_dma_compat_bounce(dev, &facts.bounce.phys, &facts.bounce.size);
	if (nid == NUMA_NO_NODE) {
		facts.movable = premap_movable();
	} else {
		/* The kernel has memory of its own in each of them. */
		facts.node.phys = PFN_PHYS((u64)node_start_pfn(nid));
		facts.node.size = PFN_PHYS((u64)node_spanned_pages(nid));
		facts.node_has_cpus = !cpumask_empty(cpumask_of_node(nid));
		/* A pool grows in another node. */
		if (!facts.never_bounces && !apple_dma_compat_bounce_stays(dev))
			facts.bounce.size = 0;
	}
	spin_lock_irqsave(&e->lock, flags);
	room = apple_dma_budget_bytes(e);
	left = room - min(room, apple_dma_budget_used(e));
	ram = e->ram.bytes;
	facts.ram = e->ram.ranges;
	facts.n = e->ram.n;
	facts.room = left;
	apple_dma_arena_plan(&facts, plan);
	if (plan->layout == APPLE_DMA_LAYOUT_NONE) {
		/* Would one fit without what other devices have? */
		facts.room = room;
		apple_dma_arena_plan(&facts, plan);
		refusal = plan->layout == APPLE_DMA_LAYOUT_NONE ?
			  APPLE_DMA_PREMAP_LAYOUT : APPLE_DMA_PREMAP_ROOM;
	}
	spin_unlock_irqrestore(&e->lock, flags);
	if (refusal)
		dev_err(e->dev,
			"%llu MiB of memory, room for %llu MiB: premapped DMA needs all memory within that, or nothing above 4 GiB and kernelcore= within that, or a lowest NUMA node without CPUs within that; the last two also a bounce pool (swiotlb)\n",
			ram >> 20, left >> 20);
	return refusal;
}

/* ---- the table of the device ---- */

static unsigned int premap_count(const struct bus_dma_region *map)
{
	unsigned int n = 0;

	while (map && map[n].size)
		n++;
	return n;
}

/* Has this module made the table, perhaps before it was loaded again? */
static bool premap_is_ours(const struct bus_dma_region *map)
{
	return map && map[premap_count(map)].cpu_start == PREMAP_MARK;
}

/* A table for the kernel, which frees it; or NULL. */
static struct bus_dma_region *
premap_table(const struct apple_dma_arena_entry *entry, unsigned int n)
{
	struct bus_dma_region *map = kcalloc(n + 1, sizeof(*map), GFP_KERNEL);
	unsigned int i;

	if (!map)
		return NULL;
	for (i = 0; i < n; i++)
		apple_dma_compat_region(&map[i], entry[i].phys, entry[i].iova,
					entry[i].size);
	map[n].cpu_start = PREMAP_MARK;
	return map;
}

/* What a companion that is gone has left for late frees. */
static void premap_recall(struct apple_dma_premap *p, struct device *dev)
{
	const struct bus_dma_region *map = dev->dma_range_map;

	if (p->n || !premap_is_ours(map))
		return;
	for (; map->size && p->n < APPLE_DMA_ARENA_MAX; map++)
		p->table[p->n++] = (struct apple_dma_arena_entry){
			.phys = map->cpu_start,
			.size = map->size,
			.iova = map->dma_start,
		};
}

static int premap_larger_first(const void *a, const void *b)
{
	const struct apple_dma_arena_entry *x = a, *y = b;

	return x->size < y->size ? 1 : -(x->size > y->size);
}

/*
 * The arena comes first, and of it the entry that most maps need. What is left of an
 * older one is kept behind it, for late frees. Returns false if it cannot be.
 */
static bool premap_merge(struct apple_dma_premap *p)
{
	struct apple_dma_arena_entry entry[APPLE_DMA_ARENA_MAX];
	int n;

	memcpy(entry, p->arena.entry, sizeof(entry));
	sort(entry, p->arena.n, sizeof(*entry), premap_larger_first, NULL);
	n = apple_dma_arena_keep(entry, p->arena.n, p->table, p->n);
	if (n < 0)
		return false;
	memcpy(p->table, entry, sizeof(entry));
	p->n = n;
	return true;
}

/* Give the device a table. Returns 0 or -ENOMEM. */
static int premap_install(struct apple_dma_premap *p, struct device *dev)
{
	const struct bus_dma_region *before = dev->dma_range_map;
	struct bus_dma_region *map = premap_table(p->table, p->n);

	if (!map)
		return -ENOMEM;
	WRITE_ONCE(dev->dma_range_map, map);
	/* Late frees look at it without a lock; those that do not sleep have ended. */
	synchronize_rcu();
	kfree(before);
	return 0;
}

/* ---- refusals ---- */

static const struct {
	const char *name;
	const char *text;
} premap_refusals[APPLE_DMA_PREMAP_REFUSALS] = {
	[APPLE_DMA_PREMAP_ALLOWED] = { "none", "" },
	[APPLE_DMA_PREMAP_LAYOUT] = { "layout", "its memory is not premapped" },
	[APPLE_DMA_PREMAP_BALLOON] = { "balloon",
		"a balloon, free-page reporting or virtio-mem gives its memory back" },
	[APPLE_DMA_PREMAP_STRICT] = { "strict",
		"mode=strict cannot be kept with premapped memory" },
	[APPLE_DMA_PREMAP_OPS] = { "ops",
		"its last driver has memory to free; remove the device and rescan" },
	[APPLE_DMA_PREMAP_FIRMWARE] = { "firmware",
		"the firmware has given it a table of DMA ranges" },
	[APPLE_DMA_PREMAP_BOUNCE] = { "bounce",
		"it has to bounce all DMA (swiotlb=force, or a restricted pool)" },
	[APPLE_DMA_PREMAP_TABLE] = { "table",
		"old memory may still be freed; remove the device and rescan" },
	[APPLE_DMA_PREMAP_PIECES] = { "pieces",
		"the host does not take the memory in 8 pieces or less" },
	[APPLE_DMA_PREMAP_ENDS] = { "ends",
		"there is no free memory at the end of a piece; load the module earlier" },
	[APPLE_DMA_PREMAP_ROOM] = { "room",
		"other devices have registered the memory, too, or max_entries is used up" },
	[APPLE_DMA_PREMAP_BROKEN] = { "broken", "the companion is broken" },
	[APPLE_DMA_PREMAP_MEMORY] = { "memory", "there is no memory" },
};

/**
 * apple_dma_premap_refusal() - why the device may map nothing
 * @p: the premapped memory
 *
 * Context: any.
 * Return: the word that sysfs shows; "none" if it may, or was never asked.
 */
const char *apple_dma_premap_refusal(const struct apple_dma_premap *p)
{
	return premap_refusals[READ_ONCE(p->refusal)].name;
}

static enum apple_dma_premap_refusal
premap_obstacle(struct apple_dma_engine *e, struct device *dev)
{
	if (READ_ONCE(e->broken))
		return APPLE_DMA_PREMAP_BROKEN;
	if (READ_ONCE(e->unsafe))
		return APPLE_DMA_PREMAP_BALLOON;
	if (e->mode == APPLE_DMA_MODE_STRICT)
		return APPLE_DMA_PREMAP_STRICT;
	if (get_dma_ops(dev))
		return APPLE_DMA_PREMAP_OPS;
	if (dev->dma_range_map && !premap_is_ours(dev->dma_range_map))
		return APPLE_DMA_PREMAP_FIRMWARE;
	if (apple_dma_compat_must_bounce(dev))
		return APPLE_DMA_PREMAP_BOUNCE;
	return APPLE_DMA_PREMAP_ALLOWED;
}

static enum apple_dma_premap_refusal premap_failure(int err)
{
	switch (err) {
	case -EIO:
		return APPLE_DMA_PREMAP_PIECES;
	case -EBUSY:
		return APPLE_DMA_PREMAP_ENDS;
	case -ENOSPC:
		return APPLE_DMA_PREMAP_ROOM;
	case -EPROTO:
		return APPLE_DMA_PREMAP_BROKEN;
	default:
		return APPLE_DMA_PREMAP_MEMORY;
	}
}

/* Register the arena, if it is not. */
static enum apple_dma_premap_refusal
premap_register(struct apple_dma_premap *p, struct apple_dma_engine *e,
		struct device *dev)
{
	struct apple_dma_arena *a = &p->arena;
	enum apple_dma_premap_refusal refusal;
	struct apple_dma_arena_plan plan;
	int err;

	if (a->layout != APPLE_DMA_LAYOUT_NONE)
		return APPLE_DMA_PREMAP_ALLOWED;
	refusal = premap_plan(e, dev, &plan);
	if (refusal)
		return refusal;
	err = apple_dma_arena_register(e, &plan, a);
	if (err)
		return premap_failure(err);
	dev_info(e->dev,
		 "premapped %llu MiB in %u pieces, layout L%u; DMA rings no doorbell from now on\n",
		 plan.bytes >> 20, a->n, a->layout);
	if (a->unaligned)
		dev_notice(e->dev,
			   "%u pieces have device addresses that are not aligned like memory: 2 MiB pages of GPUs will not work\n",
			   a->unaligned);
	return APPLE_DMA_PREMAP_ALLOWED;
}

/* ---- on and off ---- */

/* What the device gets back when its driver is gone. */
static void premap_remember(struct apple_dma_premap *p, struct device *dev)
{
	if (!premap_is_closed(dev))
		p->limit = dev->bus_dma_limit;
	p->node = dev_to_node(dev);
	if (premap_is_gpu(dev))
		p->bounce = apple_dma_compat_set_bounce(dev, PREMAP_NO_BOUNCE);
}

/**
 * apple_dma_premap_attach() - a driver is about to be bound: let the device map
 * @p: the premapped memory
 * @e: the engine of the companion, closed
 * @dev: the device, without DMA operations
 *
 * If it cannot be, after a message, the device gets a limit that refuses every map.
 *
 * Context: may sleep, in BIND_DRIVER; the lock of the managed device is held.
 */
void apple_dma_premap_attach(struct apple_dma_premap *p,
			     struct apple_dma_engine *e, struct device *dev)
{
	enum apple_dma_premap_refusal refusal = premap_obstacle(e, dev);

	premap_recall(p, dev);
	/* After a failed probe it may be attached still. */
	if (!p->attached)
		premap_remember(p, dev);
	p->attached = true;
	premap_limit(dev, PREMAP_CLOSED);
	if (p->stale)
		apple_dma_premap_release(p, e);
	if (!refusal)
		refusal = premap_register(p, e, dev);
	if (!refusal && !premap_merge(p))
		refusal = APPLE_DMA_PREMAP_TABLE;
	if (!refusal && premap_install(p, dev))
		refusal = APPLE_DMA_PREMAP_MEMORY;
	WRITE_ONCE(p->refusal, refusal);
	if (refusal) {
		dev_err(e->dev, "DMA of %s cannot work: %s\n", dev_name(dev),
			premap_refusals[refusal].text);
		return;
	}
	if (p->arena.layout == APPLE_DMA_LAYOUT_NODE)
		set_dev_node(dev, premap_lowest_node());
	premap_limit(dev, min_not_zero(apple_dma_arena_limit(&p->arena),
				       p->limit));
}

/**
 * apple_dma_premap_detach() - the driver is gone
 * @p: the premapped memory
 * @e: the engine of the companion
 * @dev: the device
 *
 * The core has freed the device's table. It gets another one for late frees, and
 * refuses maps.
 *
 * Context: may sleep; the lock of the managed device is held.
 */
void apple_dma_premap_detach(struct apple_dma_premap *p,
			     struct apple_dma_engine *e, struct device *dev)
{
	if (!p->attached)
		return;
	p->attached = false;
	premap_limit(dev, PREMAP_CLOSED);
	if (premap_is_gpu(dev))
		apple_dma_compat_set_bounce(dev, p->bounce);
	set_dev_node(dev, p->node);
	if (p->n && premap_install(p, dev))
		dev_warn(e->dev,
			 "no memory for a table of %s: do not free what its driver has allocated\n",
			 dev_name(dev));
	if (p->stale)
		apple_dma_premap_release(p, e);
}

/* A device with DMA operations maps again that had a table before. */
void apple_dma_premap_forget(struct device *dev)
{
	if (premap_is_closed(dev))
		premap_limit(dev, 0);
}

/**
 * apple_dma_premap_close() - let the device map nothing more
 * @p: the premapped memory
 * @dev: the device, or NULL
 * @refusal: why
 *
 * Unmaps and frees go on. When its driver is gone the arena is released.
 *
 * Context: any; the lock of the managed device is held.
 * Return: false if it has no driver, or maps otherwise.
 */
bool apple_dma_premap_close(struct apple_dma_premap *p, struct device *dev,
			    enum apple_dma_premap_refusal refusal)
{
	if (!p->wanted || !dev || !p->attached)
		return false;
	p->stale = true;
	WRITE_ONCE(p->refusal, refusal);
	premap_limit(dev, PREMAP_CLOSED);
	return true;
}

/**
 * apple_dma_premap_release() - give the arena back to the host
 * @p: the premapped memory
 * @e: the engine of the companion
 *
 * The device does no DMA, or loses what it does.
 *
 * Context: may sleep; no driver is bound meanwhile.
 */
void apple_dma_premap_release(struct apple_dma_premap *p,
			      struct apple_dma_engine *e)
{
	if (p->arena.layout != APPLE_DMA_LAYOUT_NONE)
		apple_dma_arena_release(e, &p->arena);
	p->stale = false;
}

/* ---- memory comes and goes ---- */

static int apple_dma_premap_notify(struct notifier_block *nb,
				   unsigned long action, void *data)
{
	struct apple_dma_premap *p = container_of(nb, struct apple_dma_premap,
						  nb);
	const struct memory_notify *memory = data;
	bool added = action == MEM_GOING_ONLINE;

	if (!added && action != MEM_GOING_OFFLINE)
		return NOTIFY_DONE;
	if (!apple_dma_arena_vetoes(&p->arena,
				    PFN_PHYS((u64)memory->start_pfn),
				    PFN_PHYS((u64)memory->nr_pages), added))
		return NOTIFY_DONE;
	pr_notice_ratelimited("apple_dma: memory cannot %s while it is premapped; unbind the device's companion first\n",
			      added ? "be added" : "go offline");
	return notifier_from_errno(-EBUSY);
}

/**
 * apple_dma_premap_init() - set up, nothing is registered
 * @p: zeroed
 * @wanted: the device is to get a table, and no DMA operations
 *
 * Context: may sleep.
 * Return: 0 or an error.
 */
int apple_dma_premap_init(struct apple_dma_premap *p, bool wanted)
{
	p->wanted = wanted;
	if (!wanted)
		return 0;
	p->nb.notifier_call = apple_dma_premap_notify;
	/* Before the engine forgets memory that does not go. */
	p->nb.priority = 1;
	return register_memory_notifier(&p->nb);
}

/* Undo apple_dma_premap_init(); the arena is released. May sleep. */
void apple_dma_premap_exit(struct apple_dma_premap *p)
{
	if (p->wanted)
		unregister_memory_notifier(&p->nb);
}
