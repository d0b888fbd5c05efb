// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the drivers of GPUs ask of the DMA API for memory of the system: chunks, each
 * mapped by itself; a list of all pages; a list of what is adjacent. The device then
 * reads and writes all of it through its addresses.
 */

#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "engine.h"
#include "memory.h"

/* ---- what stays mapped ---- */

/**
 * struct engine_held - memory that is mapped
 * @memory: itself
 * @bus: the device address of each chunk, or NULL for a list
 * @sgt: the list
 * @extents: for the device
 * @seed: of the pattern that is in the memory
 */
struct engine_held {
	struct memory memory;
	dma_addr_t *bus;
	struct sg_table sgt;
	struct extents extents;
	u64 seed;
};

static void unmap_chunks(struct engine *engine, struct engine_held *held, unsigned int count)
{
	while (count--)
		dma_unmap_page(engine->dev, held->bus[count], held->memory.chunk,
			       DMA_BIDIRECTIONAL);
	kvfree(held->bus);
	held->bus = NULL;
}

static int map_chunks(struct engine *engine, struct engine_held *held)
{
	const struct memory *m = &held->memory;
	unsigned int i;

	held->bus = kvcalloc(m->count, sizeof(*held->bus), GFP_KERNEL);
	if (!held->bus)
		return -ENOMEM;
	for (i = 0; i < m->count; i++) {
		held->bus[i] = dma_map_page(engine->dev, m->blocks[i], 0, m->chunk,
					    DMA_BIDIRECTIONAL);
		if (dma_mapping_error(engine->dev, held->bus[i])) {
			complain("chunk %u of %u is not mapped", i, m->count);
			unmap_chunks(engine, held, i);
			return -ENOMEM;
		}
		extents_add(&held->extents, held->bus[i], m->chunk);
	}
	tell("segments=%u", m->count);
	return 0;
}

static int map_list(struct engine *engine, struct engine_held *held)
{
	int err = dma_map_sgtable(engine->dev, &held->sgt, DMA_BIDIRECTIONAL, 0);

	tell("entries=%u", held->sgt.orig_nents);
	if (err) {
		complain("a list of %u entries: %d", held->sgt.orig_nents, err);
		sg_free_table(&held->sgt);
		return err;
	}
	tell("segments=%u", held->sgt.nents);
	extents_add_table(&held->extents, &held->sgt);
	return 0;
}

static void unmap_held(struct engine *engine, struct engine_held *held)
{
	if (held->bus) {
		unmap_chunks(engine, held, held->memory.count);
		return;
	}
	dma_unmap_sgtable(engine->dev, &held->sgt, DMA_BIDIRECTIONAL, 0);
	sg_free_table(&held->sgt);
}

static void free_held(struct engine_held *held)
{
	extents_free(&held->extents);
	memory_free(&held->memory);
	kfree(held);
}

static int alloc_held(struct engine *engine, struct engine_held **found, size_t chunk, u64 bytes)
{
	struct engine_held *held = kzalloc(sizeof(*held), GFP_KERNEL);
	int err;

	if (!held)
		return -ENOMEM;
	err = memory_alloc(engine->dev, &held->memory, chunk, bytes) ?:
	      extents_init(&held->extents, chunk, bytes);
	if (err) {
		free_held(held);
		return err;
	}
	*found = held;
	return 0;
}

/* The device reads all that is there, and writes something else. */
static int use(struct engine *engine, struct engine_held *held)
{
	int err = engine_read_extents(engine, &held->extents, held->seed) ?:
		  engine_write_extents(engine, &held->extents, held->seed + 1);

	/* Memory is not freed while the device may still write to it. */
	if (err == -ETIMEDOUT)
		engine->held = NULL;
	held->seed++;
	return err ?: memory_check(&held->memory, held->seed);
}

typedef int (*make_list_fn)(const struct memory *m, struct sg_table *sgt);

static int hold(struct engine *engine, unsigned int kib, unsigned int mib, make_list_fn make_list)
{
	struct engine_held *held;
	int err;

	CHECK(!engine->held && kib && mib && is_power_of_2(kib));
	err = alloc_held(engine, &held, (size_t)kib << 10, (u64)mib << 20);
	if (err)
		return err;
	held->seed = kib;
	memory_fill(&held->memory, held->seed);
	if (make_list)
		err = make_list(&held->memory, &held->sgt) ?: map_list(engine, held);
	else
		err = map_chunks(engine, held);
	if (err) {
		free_held(held);
		return err;
	}
	extents_tell(&held->extents);
	engine->held = held;
	return use(engine, held);
}

/* ---- cases ---- */

int engine_drop(struct engine *engine, unsigned int unused, unsigned int unused_too)
{
	struct engine_held *held = engine->held;
	int err;

	if (!held)
		return 0;
	engine->held = NULL;
	unmap_held(engine, held);
	err = memory_check(&held->memory, held->seed);
	free_held(held);
	return err;
}

/* Each with dma_map_page(); a chunk may also be all that a driver wants. */
int engine_chunks(struct engine *engine, unsigned int kib, unsigned int mib)
{
	return hold(engine, kib, mib, NULL);
}

int engine_pages(struct engine *engine, unsigned int kib, unsigned int mib)
{
	return hold(engine, kib, mib, memory_list);
}

int engine_table(struct engine *engine, unsigned int kib, unsigned int mib)
{
	return hold(engine, kib, mib, memory_table);
}

/* A list of all pages that has no room: it is refused as a whole. */
int engine_refused(struct engine *engine, unsigned int kib, unsigned int mib)
{
	struct sg_table sgt;
	struct memory m;
	int err;

	CHECK(kib && mib && is_power_of_2(kib));
	err = memory_alloc(engine->dev, &m, (size_t)kib << 10, (u64)mib << 20);
	if (err)
		return err;
	err = memory_list(&m, &sgt);
	if (!err) {
		tell("entries=%u", sgt.orig_nents);
		if (dma_map_sgtable(engine->dev, &sgt, DMA_BIDIRECTIONAL, 0)) {
			tell("refused=1");
		} else {
			complain("it is mapped");
			dma_unmap_sgtable(engine->dev, &sgt, DMA_BIDIRECTIONAL, 0);
			err = -EEXIST;
		}
		sg_free_table(&sgt);
	}
	memory_free(&m);
	return err;
}

/* Use what is mapped once more. */
int engine_again(struct engine *engine, unsigned int rounds, unsigned int unused)
{
	unsigned int i;
	int err = 0;

	CHECK(engine->held);
	for (i = 0; !err && i < rounds; i++)
		err = use(engine, engine->held);
	tell("rounds=%u", i);
	return err;
}

/*
 * A GPU reaches fewer addresses than its DMA mask says. So its driver looks at each
 * address, and unmaps what is outside.
 */
int engine_reach(struct engine *engine, unsigned int bits, unsigned int mib)
{
	const size_t chunk = 64 << 10;
	unsigned int i, outside = 0;
	struct memory m;
	int err;

	CHECK(bits && bits < 64 && mib);
	err = memory_alloc(engine->dev, &m, chunk, (u64)mib << 20);
	if (err)
		return err;
	for (i = 0; !err && i < m.count; i++) {
		dma_addr_t bus = dma_map_page(engine->dev, m.blocks[i], 0, chunk,
					      DMA_BIDIRECTIONAL);

		if (dma_mapping_error(engine->dev, bus)) {
			err = -ENOMEM;
			break;
		}
		outside += bus + chunk - 1 > DMA_BIT_MASK(bits);
		dma_unmap_page(engine->dev, bus, chunk, DMA_BIDIRECTIONAL);
	}
	tell("outside=%u", outside);
	tell("inside=%u", i - outside);
	memory_free(&m);
	return err;
}

/* The registers of a peer are no memory. Without another engine it is the device itself. */
int engine_peer(struct engine *engine, unsigned int times, unsigned int unused)
{
	struct pci_dev *peer = pci_get_device(engine->pdev->vendor, engine->pdev->device, NULL);
	unsigned int i, refused = 0;

	if (peer == engine->pdev)
		peer = pci_get_device(engine->pdev->vendor, engine->pdev->device, peer);
	for (i = 0; i < times; i++) {
		dma_addr_t bus = dma_map_resource(engine->dev,
						  pci_resource_start(peer ?: engine->pdev, 2),
						  ENGINE_BUFFER, DMA_BIDIRECTIONAL, 0);

		refused += !!dma_mapping_error(engine->dev, bus);
	}
	pci_dev_put(peer);
	tell("refused=%u", refused);
	CHECK(refused == times);
	return 0;
}
