// SPDX-License-Identifier: GPL-2.0-only
/*
 * What most cases start with, and checks that they leave nothing behind.
 */

#include <linux/pfn.h>
#include <linux/slab.h>

#include "fixture.h"
#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"

static void free_fixture(struct fixture *f)
{
	unsigned int i;

	for (i = 0; i < FIXTURE_MEMORY; i++)
		kvfree(f->memory[i]);
	kfree(f->ad);
	kfree(f->host);
	kfree(f);
}

static void choose_ram(struct fixture *f, const struct fixture_plan *plan)
{
	u64 phys = FAKE_RAM;

	do {
		f->ram[f->ram_ranges].phys = phys;
		f->ram[f->ram_ranges].size = plan->ram[f->ram_ranges] ?: GIB;
		phys += f->ram[f->ram_ranges++].size + GIB;
	} while (f->ram_ranges < ARRAY_SIZE(f->ram) &&
		 plan->ram[f->ram_ranges]);
}

static int start(struct fixture *f, const struct fixture_plan *plan)
{
	struct apple_dma_limits limits = plan->limits;
	int err;

	limits.bytes = limits.bytes ?: APPLE_DMA_DEFAULT_MAX_BYTES;
	limits.entries = limits.entries ?: APPLE_DMA_DEFAULT_MAX_MAPPINGS;
	limits.batch = limits.batch ?: APPLE_DMA_BATCH_MAX;
	if (plan->with && !plan->apart)
		limits.budget = plan->with->e->budget;
	choose_ram(f, plan);
	f->ad = kzalloc(sizeof(*f->ad), GFP_KERNEL);
	f->host = kzalloc(sizeof(*f->host), GFP_KERNEL);
	if (!f->ad || !f->host)
		return -ENOMEM;
	f->e = &f->ad->engine;
	err = fake_host_init(f->host, plan->policy, 1);
	if (err)
		return err;
	f->host->engine = f->e;
	if (plan->with && !plan->apart)
		f->host->dart = plan->with->host;
	f->host->ram = plan->real ? NULL : f->ram;
	f->host->ram_ranges = plan->real ? 0 : f->ram_ranges;
	err = apple_dma_engine_init(f->e, fixture_device, &limits,
				    &fake_host_ops, f->host);
	if (err)
		goto free_host;
	err = plan->real ? apple_dma_ram_init(f->e) :
			   apple_dma_ram_set(f->e, f->ram, f->ram_ranges);
	if (err)
		goto destroy;
	/* As after a search for what an earlier kernel left. */
	f->e->swept = !plan->leftovers;
	f->e->clean = !plan->leftovers;
	f->e->mode = plan->mode;
	apple_dma_engine_open(f->e);
	return 0;

destroy:
	apple_dma_engine_destroy(f->e);
free_host:
	fake_host_free(f->host);
	return err;
}

/**
 * fixture_new() - an engine on a fake host
 * @test: the case; ended if there is no memory
 * @plan: what the case needs
 *
 * Undone by fixture_close(). A second one of a case, @plan->with the first, may also
 * be undone by fixture_end().
 *
 * Return: the fixture; the first one also in @test->priv.
 */
struct fixture *fixture_new(struct kunit *test, const struct fixture_plan *plan)
{
	struct fixture *f = kzalloc(sizeof(*f), GFP_KERNEL);
	long lost = seam_balance();
	int err = -ENOMEM;

	if (f)
		err = start(f, plan);
	if (f && err)
		free_fixture(f);
	CHECK_EQ(test, err, 0);
	f->test = test;
	f->lost = lost;
	seam_longest_hold = 0;
	if (plan->with)
		plan->with->sibling = f;
	else
		test->priv = f;
	return f;
}

/* Nothing may be left, unless the host cannot be asked any more. */
static void check_end(struct fixture *f)
{
	const struct apple_dma_stats *stats = fixture_stats(f);
	u64 entries;

	fake_host_read(f->host, NULL, NULL, &entries);
	EXPECT_EQ(f->test, entries, 0);
	EXPECT_EQ(f->test, stats->mapped_entries, 0);
	EXPECT_EQ(f->test, stats->mapped_bytes, 0);
	EXPECT_EQ(f->test, stats->idle_entries, 0);
	EXPECT_EQ(f->test, stats->idle_bytes, 0);
	EXPECT_EQ(f->test, stats->live_mappings, 0);
	EXPECT_EQ(f->test, stats->live_bytes, 0);
	EXPECT(f->test, xa_empty(&f->e->by_phys));
	EXPECT(f->test, xa_empty(&f->e->by_iova));
}

/* What engine and host have is freed. What was left is reported. */
static void end(struct fixture *f)
{
	bool broken = f->e->broken;

	apple_dma_engine_stop(f->e);
	if (!broken)
		check_end(f);
	if (f->host->wrong[0])
		kunit_info(f->test, "the host: %s\n", f->host->wrong);
	EXPECT(f->test, !f->host->wrong[0]);
	apple_dma_engine_destroy(f->e);
	fake_host_free(f->host);
}

/**
 * fixture_end() - a second fixture ends before its case does
 * @f: the fixture
 *
 * What its host still has, because it is broken, is gone with it.
 */
void fixture_end(struct fixture *f)
{
	struct fixture *first = f->test->priv;

	end(f);
	if (f->host->dart != f->host)
		atomic64_sub(f->host->bytes, &f->host->dart->dart_bytes);
	first->sibling = NULL;
	free_fixture(f);
}

/**
 * fixture_close() - the opposite of fixture_new(): the .exit of a suite
 * @test: the case, which may have no fixture
 *
 * Mappings that a case left are those of a driver that is gone. Nothing may be
 * left on the host, no rule of the protocol may have been broken, and all
 * memory has to be back.
 */
void fixture_close(struct kunit *test)
{
	struct fixture *f = test->priv;

	seam_resched = NULL;
	seam_grace = NULL;
	if (!f)
		return;
	if (f->sibling)
		fixture_end(f->sibling);
	end(f);
	EXPECT_EQ(test, seam_balance(), f->lost);
	free_fixture(f);
	test->priv = NULL;
}

/**
 * fixture_memory() - memory for a case, freed by fixture_close()
 * @f: the fixture
 * @size: bytes; zeroed
 *
 * Return: the memory; the case is ended if there is none.
 */
void *fixture_memory(struct fixture *f, size_t size)
{
	unsigned int i = 0;

	while (i < FIXTURE_MEMORY && f->memory[i])
		i++;
	CHECK(f->test, i < FIXTURE_MEMORY);
	f->memory[i] = kvzalloc(size, GFP_KERNEL);
	CHECK(f->test, f->memory[i]);
	return f->memory[i];
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
 * fixture_holds() - no lock was held for long since the fixture was opened
 * @f: the fixture
 *
 * Counts the entries of a list, and the functions that assert the lock.
 */
void fixture_holds(struct fixture *f)
{
	kunit_info(f->test, "at most %u steps\n", seam_longest_hold);
	EXPECT(f->test, seam_longest_hold <= FIXTURE_STEPS_MAX);
}

/**
 * fixture_stats() - the engine's counters
 * @f: the fixture
 *
 * Return: a snapshot, until the next one.
 */
const struct apple_dma_stats *fixture_stats(struct fixture *f)
{
	apple_dma_engine_snapshot(f->e, &f->stats);
	return &f->stats;
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
 * fixture_map() - map something in the first piece
 * @f: the fixture
 * @from: bytes from its start
 * @size: bytes
 *
 * Return: as apple_dma_map() for a device that reaches everything.
 */
dma_addr_t fixture_map(struct fixture *f, u64 from, u64 size)
{
	return apple_dma_map(f->e, FAKE_RAM + from, size, ANY);
}

/**
 * fixture_unmap() - undo fixture_map()
 * @f: the fixture
 * @addr: what it returned
 * @size: bytes
 *
 * Return: as apple_dma_unmap().
 */
int fixture_unmap(struct fixture *f, dma_addr_t addr, u64 size)
{
	phys_addr_t phys;

	return apple_dma_unmap(f->e, addr, size, &phys);
}

/**
 * fixture_touch() - map a page for a moment
 * @f: the fixture
 * @from: bytes from the start of the first piece
 *
 * The case is ended if that does not work.
 */
void fixture_touch(struct fixture *f, u64 from)
{
	dma_addr_t addr = fixture_map(f, from, PAGE);
	phys_addr_t phys;

	CHECK(f->test, fixture_right(f, addr, FAKE_RAM + from, PAGE));
	CHECK_EQ(f->test, apple_dma_unmap(f->e, addr, PAGE, &phys), 0);
	CHECK_EQ(f->test, phys, FAKE_RAM + from);
}

/**
 * fixture_row() - map 4 KiB at the start of each granule of a row
 * @f: the fixture
 * @from: where in the memory the row starts
 * @n: granules
 *
 * In strict mode all their handles are taken then. The case is ended if that does not
 * work.
 */
void fixture_row(struct fixture *f, u64 from, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		CHECK(f->test, fixture_map(f, from + i * GRANULE, 4 * KIB) !=
			       DMA_MAPPING_ERROR);
}

/**
 * fixture_free_memory() - free what the engine keeps for windows
 * @f: the fixture
 *
 * The next windows are allocated again.
 *
 * Context: may sleep.
 */
void fixture_free_memory(struct fixture *f)
{
	unsigned long flags;

	apple_dma_window_wait(f->e);
	rcu_barrier();
	spin_lock_irqsave(&f->e->lock, flags);
	apple_dma_window_free_spares(f->e);
	spin_unlock_irqrestore(&f->e->lock, flags);
}

/**
 * fixture_sleep() - the guest sleeps: the host may be asked nothing
 * @f: the fixture
 */
void fixture_sleep(struct fixture *f)
{
	apple_dma_engine_suspend(f->e);
	WRITE_ONCE(f->host->asleep, true);
}

/**
 * fixture_wake() - undo fixture_sleep()
 * @f: the fixture
 *
 * Return: as apple_dma_engine_resume().
 */
bool fixture_wake(struct fixture *f)
{
	WRITE_ONCE(f->host->asleep, false);
	return apple_dma_engine_resume(f->e);
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
 * @f: the fixture
 * @from: bytes from the start of the first piece
 * @n: entries
 * @stride: bytes from one to the next
 * @size: bytes of each
 *
 * Return: the list, as fixture_memory().
 */
struct scatterlist *fixture_list(struct fixture *f, u64 from, unsigned int n,
				 u64 stride, u64 size)
{
	struct scatterlist *sgl = fixture_memory(f, n * sizeof(*sgl)), *sg;
	u64 phys = FAKE_RAM + from;
	int i;

	sg_init_table(sgl, n);
	for_each_sg(sgl, sg, n, i) {
		sg_set_page(sg, pfn_to_page(PHYS_PFN(phys)), size,
			    offset_in_page(phys));
		phys += stride;
	}
	return sgl;
}
