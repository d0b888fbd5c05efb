// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each case starts with, and what it has to leave behind: nothing on the
 * host, and no rule of the protocol broken on the way.
 */

#include <linux/pfn.h>
#include <linux/slab.h>

#include "stress.h"

/**
 * fixture_open() - an engine on a fake host
 * @f: the fixture
 * @plan: what the case wants
 *
 * Return: 0 or -ENOMEM.
 */
int fixture_open(struct fixture *f, const struct fixture_plan *plan)
{
	struct apple_dma_limits limits = plan->limits;
	u64 phys = STRESS_RAM;
	int err = -ENOMEM;

	memset(f, 0, sizeof(*f));
	limits.bytes = limits.bytes ?: APPLE_DMA_DEFAULT_MAX_BYTES;
	limits.entries = limits.entries ?: APPLE_DMA_DEFAULT_MAX_MAPPINGS;
	limits.batch = limits.batch ?: APPLE_DMA_BATCH_MAX;
	do {
		f->ram[f->ram_ranges].phys = phys;
		f->ram[f->ram_ranges].size = plan->ram[f->ram_ranges] ?: GIB;
		phys += f->ram[f->ram_ranges++].size + GIB;
	} while (f->ram_ranges < ARRAY_SIZE(f->ram) &&
		 plan->ram[f->ram_ranges]);

	f->e = kzalloc(sizeof(*f->e), GFP_KERNEL);
	f->host = kzalloc(sizeof(*f->host), GFP_KERNEL);
	if (!f->e || !f->host)
		goto free;
	err = fake_host_init(f->host, plan->policy, 1);
	if (err)
		goto free;
	f->host->engine = f->e;
	f->host->ram = f->ram;
	f->host->ram_ranges = f->ram_ranges;
	err = apple_dma_engine_init(f->e, stress_device, &limits,
				    &fake_host_ops, f->host);
	if (err)
		goto free_host;
	err = apple_dma_ram_set(f->e, f->ram, f->ram_ranges);
	if (err)
		goto destroy;
	/* As after a search for what an earlier kernel left. */
	f->e->swept = true;
	f->e->clean = true;
	f->e->mode = plan->mode;
	apple_dma_engine_open(f->e);
	return 0;

destroy:
	apple_dma_engine_destroy(f->e);
free_host:
	fake_host_free(f->host);
free:
	kfree(f->e);
	kfree(f->host);
	return err;
}

static int check_end(struct fixture *f)
{
	u64 entries;

	fake_host_read(f->host, NULL, NULL, &entries);
	CHECK_EQ(entries, 0);
	CHECK(xa_empty(&f->e->by_phys) && xa_empty(&f->e->by_iova));
	return 0;
}

/**
 * fixture_close() - the opposite of fixture_open()
 * @f: the fixture
 * @err: what has come of the case so far
 *
 * Return: what has come of it in the end.
 */
int fixture_close(struct fixture *f, int err)
{
	bool broken = f->e->broken;

	apple_dma_engine_stop(f->e);
	if (!err && !broken)
		err = check_end(f);
	if (f->host->wrong[0]) {
		pr_err("apple_dma_stress: # the host: %s\n", f->host->wrong);
		err = -EINVAL;
	}
	apple_dma_engine_destroy(f->e);
	fake_host_free(f->host);
	kfree(f->e);
	kfree(f->host);
	return err;
}

/**
 * fixture_doorbells() - doorbells since the last time this was asked
 * @f: the fixture
 */
u64 fixture_doorbells(struct fixture *f)
{
	struct fake_host_counts counts;
	u64 since;

	fake_host_read(f->host, &counts, NULL, NULL);
	since = counts.doorbells - f->doorbells;
	f->doorbells = counts.doorbells;
	return since;
}

/**
 * fixture_stats() - the engine's counters
 * @f: the fixture
 */
struct apple_dma_stats fixture_stats(struct fixture *f)
{
	struct apple_dma_stats stats;

	apple_dma_engine_snapshot(f->e, &stats);
	return stats;
}

/**
 * fixture_counts() - the host's counters
 * @f: the fixture
 */
struct fake_host_counts fixture_counts(struct fixture *f)
{
	struct fake_host_counts counts;

	fake_host_read(f->host, &counts, NULL, NULL);
	return counts;
}

/**
 * fixture_touch() - map a page for a moment
 * @f: the fixture
 * @from: bytes from the start of the first piece
 *
 * Return: 0 or -EINVAL.
 */
int fixture_touch(struct fixture *f, u64 from)
{
	dma_addr_t addr = apple_dma_pin(f->e, STRESS_RAM + from, PAGE, ANY);
	phys_addr_t phys;

	CHECK(fixture_right(f, addr, STRESS_RAM + from, PAGE));
	CHECK_EQ(apple_dma_unpin(f->e, addr, PAGE, &phys), 0);
	CHECK_EQ(phys, STRESS_RAM + from);
	return 0;
}

/**
 * fixture_right() - does the host have a mapping?
 * @f: the fixture
 * @addr: its device address
 * @phys: where it should lead to
 * @size: bytes
 */
bool fixture_right(struct fixture *f, u64 addr, u64 phys, u64 size)
{
	struct fake_host_found first, last;

	return addr != DMA_MAPPING_ERROR &&
	       fake_host_translate(f->host, addr, &first) &&
	       fake_host_translate(f->host, addr + size - 1, &last) &&
	       first.gpa == phys && last.gpa == phys + size - 1;
}

/**
 * fixture_list() - a scatterlist in made-up memory
 * @from: bytes from the start of the first piece
 * @n: entries
 * @stride: bytes from one to the next
 * @size: bytes of each
 *
 * Return: the list, for kvfree(), or NULL.
 */
struct scatterlist *fixture_list(u64 from, unsigned int n, u64 stride, u64 size)
{
	struct scatterlist *sgl = kvcalloc(n, sizeof(*sgl), GFP_KERNEL), *sg;
	u64 phys = STRESS_RAM + from;
	int i;

	if (!sgl)
		return NULL;
	sg_init_table(sgl, n);
	for_each_sg(sgl, sg, n, i) {
		sg_set_page(sg, pfn_to_page(PHYS_PFN(phys)), size,
			    offset_in_page(phys));
		phys += stride;
	}
	return sgl;
}
