// SPDX-License-Identifier: GPL-2.0-only
/*
 * A shadow: one thread that maps and unmaps at random, knows everything it has
 * mapped, and asks the host whether it is so.
 *
 * Nothing here sleeps or allocates while it runs: a step may be taken in an
 * interrupt.
 */

#include <linux/pfn.h>
#include <linux/slab.h>

#include "stress.h"

/* How far around a cluster's start most mappings are. */
#define CLUSTER			(2 * MIB)

/* What everybody wants when it is hot. */
#define HOT			(64 * KIB)

/* One step in so many looks at one more mapping, or at all. */
#define LOOK_AT_ONE		16
#define LOOK_AT_ALL		4096

static u64 below(struct shadow *sh, u64 n)
{
	return stress_random(&sh->seed, n);
}

/* ---- what to map ---- */

static const struct apple_dma_range *piece_of(struct storm *s, u64 phys)
{
	unsigned int i;

	for (i = 0; i < s->ram_ranges; i++)
		if (phys >= s->ram[i].phys &&
		    phys - s->ram[i].phys < s->ram[i].size)
			return &s->ram[i];
	return &s->ram[0];
}

/*
 * Four of five are a page in a cluster. The rest starts and ends anywhere, in
 * one piece of RAM.
 */
static struct apple_dma_range choose(struct shadow *sh, u64 largest)
{
	struct storm *s = sh->storm;
	const struct apple_dma_range *piece;
	u64 kind = below(sh, 100), cluster = below(sh, STORM_CLUSTERS);
	struct apple_dma_range r;

	r.phys = s->clusters[cluster] +
		 below(sh, (cluster % 2 ? CLUSTER / 4 : CLUSTER) / PAGE) * PAGE;
	r.size = PAGE;
	if (s->hot) {
		r.phys = s->clusters[0] + below(sh, HOT / PAGE) * PAGE;
		return r;
	}
	if (kind >= 80 && kind < 90) {
		r.phys += below(sh, PAGE);
		r.size = 1 + below(sh, PAGE);
	} else if (kind >= 90 && kind < 97) {
		r.phys += below(sh, PAGE);
		r.size = 16 * KIB + below(sh, MIB - 16 * KIB);
	} else if (kind >= 97 && kind < 99) {
		piece = &s->ram[below(sh, s->ram_ranges)];
		r.phys = piece->phys + below(sh, piece->size / PAGE) * PAGE;
	} else if (kind == 99) {
		r.size = 1 + below(sh, 6 * MIB);
	}
	r.size = min(r.size, largest);

	piece = piece_of(s, r.phys);
	if (r.phys - piece->phys > piece->size - r.size)
		r.phys = piece->phys + piece->size - r.size;
	return r;
}

/* ---- is it so? ---- */

static void verify_at(struct shadow *sh, u64 phys, u64 addr, u64 size,
		      u64 offset)
{
	struct fake_host_found found;

	if (!fake_host_translate(sh->storm->host, addr + offset, &found))
		storm_wrong(sh->storm, sh,
			    "%#llx + %#llx of %#llx bytes at %#llx: the host does not have it",
			    addr, offset, size, phys);
	else if (found.gpa != phys + offset)
		storm_wrong(sh->storm, sh,
			    "%#llx + %#llx of %#llx bytes at %#llx: leads to %#llx",
			    addr, offset, size, phys, found.gpa);
}

static void verify(struct shadow *sh, u64 phys, u64 addr, u64 size)
{
	if ((addr ^ phys) & APPLE_DMA_GRANULE_MASK)
		storm_wrong(sh->storm, sh, "%#llx for %#llx: another offset",
			    addr, phys);
	verify_at(sh, phys, addr, size, 0);
	verify_at(sh, phys, addr, size, size - 1);
	verify_at(sh, phys, addr, size, below(sh, size));
}

static void verify_list(struct shadow *sh, struct shadow_list *list)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(list->sgl, sg, list->n, i) {
		if (sg_dma_len(sg) != sg->length)
			storm_wrong(sh->storm, sh, "entry %d has %#x bytes", i,
				    sg_dma_len(sg));
		verify(sh, sg_phys(sg), sg_dma_address(sg), sg->length);
	}
}

/**
 * shadow_verify() - is everything that a thread has mapped on the host?
 * @sh: the thread
 */
void shadow_verify(struct shadow *sh)
{
	unsigned int i;

	for (i = 0; i < sh->n; i++)
		verify(sh, sh->maps[i].phys, sh->maps[i].addr,
		       sh->maps[i].size);
	for (i = 0; i < SHADOW_LISTS; i++)
		verify_list(sh, &sh->lists[i]);
}

static void look_around(struct shadow *sh)
{
	struct shadow_map *map;

	if (!(sh->ops % LOOK_AT_ALL)) {
		shadow_verify(sh);
	} else if (!(sh->ops % LOOK_AT_ONE)) {
		if (sh->n) {
			map = &sh->maps[below(sh, sh->n)];
			verify(sh, map->phys, map->addr, map->size);
		}
		verify_list(sh, &sh->lists[below(sh, SHADOW_LISTS)]);
	}
}

/* Nothing is kept that nobody uses, whatever was unmapped a moment ago. */
static void look_for_idle(struct shadow *sh)
{
	struct storm *s = sh->storm;
	struct apple_dma_stats stats;
	u64 entries;

	if (!s->alone || s->mode == APPLE_DMA_MODE_CACHED)
		return;
	apple_dma_engine_snapshot(s->e, &stats);
	fake_host_read(s->host, NULL, NULL, &entries);
	if (stats.idle_entries || entries != stats.mapped_entries)
		storm_wrong(s, sh, "%llu windows idle, %llu of %llu on the host",
			    stats.idle_entries, entries, stats.mapped_entries);
}

/* ---- steps ---- */

/* A device with a short arm now and then. */
static u64 choose_mask(struct shadow *sh)
{
	return below(sh, 64) ? ANY : DMA_BIT_MASK(32 + below(sh, 12));
}

static void refused(struct shadow *sh, const struct apple_dma_range *r,
		    unsigned int n, u64 mask)
{
	sh->failed++;
	if (mask == ANY)
		truth_check_refusal(sh, r, n);
}

static void pin(struct shadow *sh)
{
	struct apple_dma_range r = choose(sh, sh->storm->largest);
	u64 mask = choose_mask(sh);
	dma_addr_t addr = apple_dma_map(sh->storm->e, r.phys, r.size, mask);
	struct shadow_map *map = &sh->maps[sh->n];

	if (addr == DMA_MAPPING_ERROR) {
		refused(sh, &r, 1, mask);
		return;
	}
	if (addr + r.size - 1 > mask)
		storm_wrong(sh->storm, sh, "%#llx is beyond the mask %#llx",
			    addr, mask);
	map->phys = r.phys;
	map->size = r.size;
	map->addr = addr;
	sh->n++;
	sh->mappings++;
	sh->done++;
	sh->bytes += r.size;
	verify(sh, r.phys, addr, r.size);
}

static void unpin(struct shadow *sh, unsigned int i)
{
	struct shadow_map map = sh->maps[i];
	phys_addr_t phys = 0;
	int err;

	verify(sh, map.phys, map.addr, map.size);
	err = apple_dma_unmap(sh->storm->e, map.addr, map.size, &phys);
	if (err || phys != map.phys)
		storm_wrong(sh->storm, sh, "unmap of %#llx: %d, %#llx, not %#llx",
			    map.addr, err, (u64)phys, map.phys);
	sh->maps[i] = sh->maps[--sh->n];
	sh->mappings--;
	sh->bytes -= map.size;
}

static u64 bytes_of(struct shadow_list *list)
{
	struct scatterlist *sg;
	u64 bytes = 0;
	int i;

	for_each_sg(list->sgl, sg, list->n, i)
		bytes += sg->length;
	return bytes;
}

static void pin_list(struct shadow *sh, struct shadow_list *list)
{
	/* In a short list, what is refused is more often the largest. */
	unsigned int most = below(sh, 2) ? SHADOW_LIST_MAX : 4;
	unsigned int n = 1 + below(sh, most), i;
	struct apple_dma_range *r = sh->scratch;
	u64 mask = choose_mask(sh);
	struct scatterlist *sg;

	sg_init_table(list->sgl, n);
	for_each_sg(list->sgl, sg, n, i) {
		r[i] = choose(sh, min(sh->storm->largest, 64 * KIB));
		sg_set_page(sg, pfn_to_page(PHYS_PFN(r[i].phys)), r[i].size,
			    offset_in_page(r[i].phys));
	}
	if (apple_dma_map_list(sh->storm->e, list->sgl, n, mask, U64_MAX)) {
		refused(sh, r, n, mask);
		return;
	}
	list->n = n;
	sh->mappings += n;
	sh->done += n;
	sh->bytes += bytes_of(list);
	for_each_sg(list->sgl, sg, n, i)
		if (sg_dma_address(sg) + sg->length - 1 > mask)
			storm_wrong(sh->storm, sh, "entry %u is beyond the mask",
				    i);
	verify_list(sh, list);
}

static void unpin_list(struct shadow *sh, struct shadow_list *list)
{
	int err;

	verify_list(sh, list);
	err = apple_dma_unmap_list(sh->storm->e, list->sgl, list->n);
	if (err)
		storm_wrong(sh->storm, sh, "unmap of a list: %d", err);
	sh->mappings -= list->n;
	sh->bytes -= bytes_of(list);
	list->n = 0;
}

static void step_list(struct shadow *sh)
{
	struct shadow_list *list = &sh->lists[below(sh, SHADOW_LISTS)];

	if (list->n) {
		unpin_list(sh, list);
		look_for_idle(sh);
	} else {
		pin_list(sh, list);
	}
}

/**
 * shadow_step() - map or unmap something
 * @sh: the thread
 *
 * Ebb and flow: for a while more is mapped than unmapped, then less.
 *
 * Context: any.
 */
void shadow_step(struct shadow *sh)
{
	bool flood = !(sh->ops / (sh->most * 4ULL) % 2);

	sh->ops++;
	if (!below(sh, 100))
		storm_let_time_pass(sh->storm);
	if (!below(sh, sh->storm->hot ? 1024 : sh->storm->fickle ? 6 : 32)) {
		step_list(sh);
	} else if (sh->n < (sh->storm->hot ? 1 : sh->most) &&
		   (!sh->n || below(sh, 10) < (flood ? 6 : 4))) {
		pin(sh);
	} else {
		unpin(sh, below(sh, sh->n));
		look_for_idle(sh);
	}
	look_around(sh);
}

/**
 * shadow_drop() - unmap
 * @sh: the thread
 * @leave: all but so many mappings, without lists
 */
void shadow_drop(struct shadow *sh, unsigned int leave)
{
	unsigned int i;

	while (sh->n > leave)
		unpin(sh, sh->n - 1);
	for (i = 0; !leave && i < SHADOW_LISTS; i++)
		if (sh->lists[i].n)
			unpin_list(sh, &sh->lists[i]);
}

/**
 * shadow_forget() - somebody else has ended all mappings
 * @sh: the thread
 */
void shadow_forget(struct shadow *sh)
{
	unsigned int i;

	for (i = 0; i < SHADOW_LISTS; i++)
		sh->lists[i].n = 0;
	sh->n = 0;
	sh->mappings = 0;
	sh->bytes = 0;
}

/* In strict mode the window has the granules of the range, and no more. */
static void verify_exact(struct shadow *sh, u64 phys, u64 addr, u64 size)
{
	u64 first = round_down(phys, GRANULE);
	u64 end = round_up(phys + size, GRANULE);
	struct fake_host_found found;

	if (!fake_host_translate(sh->storm->host, addr, &found))
		return;
	/* It starts earlier only where its handle was taken. */
	if (found.start + found.len != end || found.start > first ||
	    first - found.start > HANDLE_TRIES * GRANULE)
		storm_wrong(sh->storm, sh,
			    "strict: %#llx, %#llx bytes for %#llx, %#llx bytes",
			    found.start, found.len, phys, size);
}

static u64 mark(struct shadow *sh, u64 phys, u64 addr, u64 size, u64 number)
{
	if (sh->storm->clean && sh->storm->mode == APPLE_DMA_MODE_STRICT)
		verify_exact(sh, phys, addr, size);
	return fake_host_mark(sh->storm->host, addr, number);
}

/**
 * shadow_mark() - mark every registration that a thread needs
 * @sh: the thread
 * @number: the mark
 *
 * Return: how many had not been marked.
 */
u64 shadow_mark(struct shadow *sh, u64 number)
{
	struct scatterlist *sg;
	unsigned int i;
	u64 n = 0;
	int j;

	for (i = 0; i < sh->n; i++)
		n += mark(sh, sh->maps[i].phys, sh->maps[i].addr,
			  sh->maps[i].size, number);
	for (i = 0; i < SHADOW_LISTS; i++)
		for_each_sg(sh->lists[i].sgl, sg, sh->lists[i].n, j)
			n += mark(sh, sg_phys(sg), sg_dma_address(sg),
				  sg->length, number);
	return n;
}

/**
 * shadow_init() - a thread that has nothing mapped
 * @sh: the thread
 * @s: the storm
 * @id: its number
 * @seed: of its random numbers, not 0
 * @most: mappings it may have, without lists
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM; then shadow_free() is to be called, too.
 */
int shadow_init(struct shadow *sh, struct storm *s, unsigned int id, u64 seed,
		unsigned int most)
{
	memset(sh, 0, sizeof(*sh));
	sh->storm = s;
	sh->id = id;
	sh->seed = seed;
	sh->most = most;
	sh->maps = kvcalloc(most, sizeof(*sh->maps), GFP_KERNEL);
	sh->lists = kvcalloc(SHADOW_LISTS, sizeof(*sh->lists), GFP_KERNEL);
	return sh->maps && sh->lists ? 0 : -ENOMEM;
}

/**
 * shadow_free() - undo shadow_init()
 * @sh: the thread
 *
 * Context: may sleep.
 */
void shadow_free(struct shadow *sh)
{
	kvfree(sh->maps);
	kvfree(sh->lists);
}
