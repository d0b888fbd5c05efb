// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pairs of map and unmap, or of allocation and free, timed. With icount the
 * guest's clock counts instructions; what a round took is then exact, as
 * interrupts are off, but for coherent memory.
 */

#include <linux/completion.h>
#include <linux/cpumask.h>
#include <linux/kthread.h>
#include <linux/mm.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include "bench.h"

#define BENCH_ROUNDS_MAX	32

/* What one round of @n operations works on. */
struct bench_work {
	struct device *dev;
	struct page **pages;
	unsigned int count;		/* of pages or lists */
	unsigned long attrs;
	struct sg_table *lists;
	unsigned int entries;		/* of each list; 1: single pages */
	bool coherent;			/* allocate a page instead */
};

static unsigned int bench_one_page(const struct bench_work *work,
				   unsigned int i)
{
	dma_addr_t addr = dma_map_page_attrs(work->dev, work->pages[i], 0,
					     PAGE_SIZE, BENCH_DIR, work->attrs);

	if (dma_mapping_error(work->dev, addr))
		return 1;
	dma_unmap_page_attrs(work->dev, addr, PAGE_SIZE, BENCH_DIR,
			     work->attrs);
	return 0;
}

static unsigned int bench_one_list(const struct bench_work *work,
				   unsigned int i)
{
	struct scatterlist *sgl = work->lists[i].sgl;

	if (!dma_map_sg_attrs(work->dev, sgl, work->entries, BENCH_DIR,
			      work->attrs))
		return 1;
	dma_unmap_sg_attrs(work->dev, sgl, work->entries, BENCH_DIR,
			   work->attrs);
	return 0;
}

static unsigned int bench_one_block(const struct bench_work *work,
				    unsigned int i)
{
	dma_addr_t addr;
	void *virt = dma_alloc_coherent(work->dev, PAGE_SIZE, &addr, GFP_ATOMIC);

	if (!virt)
		return 1;
	dma_free_coherent(work->dev, PAGE_SIZE, virt, addr);
	return 0;
}

static unsigned int bench_nothing(const struct bench_work *work,
				  unsigned int i)
{
	barrier();
	return 0;
}

typedef unsigned int (*bench_one)(const struct bench_work *work,
				  unsigned int i);
typedef unsigned int (*bench_loop)(const struct bench_work *work,
				   unsigned int n);

/* The loop around each: the same instructions, whatever is in it. */
static __always_inline unsigned int bench_repeat(const struct bench_work *work,
						 unsigned int n, bench_one one)
{
	unsigned int failed = 0, i = 0;

	while (n--) {
		failed += one(work, i);
		if (++i == work->count)
			i = 0;
	}
	return failed;
}

static noinline unsigned int bench_loop_pages(const struct bench_work *work,
					      unsigned int n)
{
	return bench_repeat(work, n, bench_one_page);
}

static noinline unsigned int bench_loop_lists(const struct bench_work *work,
					      unsigned int n)
{
	return bench_repeat(work, n, bench_one_list);
}

static noinline unsigned int bench_loop_blocks(const struct bench_work *work,
					       unsigned int n)
{
	return bench_repeat(work, n, bench_one_block);
}

static noinline unsigned int bench_loop_nothing(const struct bench_work *work,
						unsigned int n)
{
	return bench_repeat(work, n, bench_nothing);
}

static u64 bench_round(bench_loop loop, const struct bench_work *work,
		       unsigned int n, unsigned int *failed)
{
	unsigned long flags = 0;
	u64 begin, end;

	/* Coherent memory must not be freed with interrupts off. */
	if (!work->coherent)
		local_irq_save(flags);
	begin = ktime_get_ns();
	*failed += loop(work, n);
	end = ktime_get_ns();
	if (!work->coherent)
		local_irq_restore(flags);
	return end - begin;
}

static int bench_measure(struct bench *bench, const struct bench_work *work)
{
	bench_loop loop = work->coherent ? bench_loop_blocks :
			  work->lists ? bench_loop_lists : bench_loop_pages;
	unsigned int n = bench_number(bench, "n", 1000);
	unsigned int rounds = bench_number(bench, "rounds", 5);
	unsigned int warm = bench_number(bench, "warm", n);
	unsigned int failed = 0, i;

	if (!n || rounds > BENCH_ROUNDS_MAX)
		return -EINVAL;
	loop(work, warm);
	bench_round(bench_loop_nothing, work, n, &failed);
	bench_say(bench, "n %u\nempty %llu\nrounds", n,
		  bench_round(bench_loop_nothing, work, n, &failed));
	for (i = 0; i < rounds; i++) {
		bench_say(bench, " %llu",
			  bench_round(loop, work, n, &failed));
		cond_resched();
	}
	bench_say(bench, "\nfailed %u\n", failed);
	return 0;
}

/* Time pairs of single pages, each of @pages in turn. */
int bench_time_pages(struct bench *bench, struct page **pages,
		     unsigned int count, unsigned long attrs)
{
	struct bench_work work = {
		.dev = bench->dev,
		.pages = pages,
		.count = count,
		.attrs = attrs,
		.entries = 1,
	};

	return bench_measure(bench, &work);
}

static void bench_free_lists(struct sg_table *lists, unsigned int count)
{
	while (count--)
		sg_free_table(&lists[count]);
	kfree(lists);
}

/* Lists of single pages, no two of them neighbours. */
static struct sg_table *bench_make_lists(struct page **pages,
					 unsigned int count,
					 unsigned int entries)
{
	struct sg_table *lists = kcalloc(count, sizeof(*lists), GFP_KERNEL);
	struct scatterlist *sg;
	unsigned int i, j;

	if (!lists)
		return NULL;
	for (i = 0; i < count; i++) {
		if (sg_alloc_table(&lists[i], entries, GFP_KERNEL)) {
			bench_free_lists(lists, i);
			return NULL;
		}
		for_each_sg(lists[i].sgl, sg, entries, j)
			sg_set_page(sg, pages[i * entries + j], PAGE_SIZE, 0);
	}
	return lists;
}

/*
 * pairs [entries=1] [pages=64] [order=9] [coherent=0] [n=1000] [rounds=5] [warm=n]
 *
 * Single pages, lists of @entries, or coherent pages (GFP_ATOMIC). Pages
 * to map are the first of @pages blocks of 2^@order, that is, far from each
 * other, and the same when the command comes again.
 */
int bench_pairs(struct bench *bench)
{
	unsigned int entries = bench_number(bench, "entries", 1);
	unsigned int count = bench_number(bench, "pages", 64);
	unsigned int order = bench_number(bench, "order", 9);
	struct bench_work work = {
		.dev = bench->dev,
		.entries = entries,
		.coherent = bench_number(bench, "coherent", 0),
	};
	int err;

	if (!entries || count < entries)
		return -EINVAL;
	err = bench_keep_pages(bench, count, order);
	if (err)
		return err;
	work.pages = bench->pages;
	work.count = count / entries;
	if (entries > 1) {
		work.lists = bench_make_lists(work.pages, work.count, entries);
		if (!work.lists)
			return -ENOMEM;
	}
	err = bench_measure(bench, &work);
	if (work.lists)
		bench_free_lists(work.lists, work.count);
	return err;
}

struct bench_thread {
	struct bench_work work;
	struct completion *start;
	struct completion done;
	u64 length;		/* ns */
	u64 pairs, took;
	unsigned int failed;
};

static int bench_thread(void *data)
{
	struct bench_thread *thread = data;
	u64 begin, now;

	wait_for_completion(thread->start);
	begin = ktime_get_ns();
	do {
		thread->failed += bench_loop_pages(&thread->work, 256);
		thread->pairs += 256;
		cond_resched();
		now = ktime_get_ns();
	} while (now - begin < thread->length);
	thread->took = now - begin;
	complete(&thread->done);
	return 0;
}

/*
 * scale [cpus=1] [ms=1000] [pages=16] [order=9]
 *
 * A thread on each of @cpus, mapping and unmapping @pages of its own for @ms.
 */
int bench_scale(struct bench *bench)
{
	unsigned int cpus = bench_number(bench, "cpus", 1);
	unsigned int count = bench_number(bench, "pages", 16);
	unsigned int order = bench_number(bench, "order", 9);
	u64 length = bench_number(bench, "ms", 1000) * NSEC_PER_MSEC;
	DECLARE_COMPLETION_ONSTACK(start);
	u64 pairs = 0, took = 0, failed = 0;
	struct bench_thread *threads;
	unsigned int i, begun = 0;
	int err;

	if (!cpus || cpus > num_online_cpus() || !count)
		return -EINVAL;
	/* As many for one CPU as for all, so that they are the same. */
	err = bench_keep_pages(bench, num_online_cpus() * count, order);
	if (err)
		return err;
	threads = kcalloc(cpus, sizeof(*threads), GFP_KERNEL);
	if (!threads)
		return -ENOMEM;
	for (i = 0; i < cpus; i++, begun++) {
		struct bench_thread *thread = &threads[i];
		struct task_struct *task;

		thread->work = (struct bench_work){
			.dev = bench->dev,
			.pages = bench->pages + i * count,
			.count = count,
			.entries = 1,
		};
		thread->start = &start;
		thread->length = length;
		init_completion(&thread->done);
		task = kthread_create(bench_thread, thread, "bench/%u", i);
		if (IS_ERR(task)) {
			err = PTR_ERR(task);
			break;
		}
		kthread_bind(task, i);
		wake_up_process(task);
	}
	complete_all(&start);
	for (i = 0; i < begun; i++) {
		wait_for_completion(&threads[i].done);
		pairs += threads[i].pairs;
		failed += threads[i].failed;
		took = max(took, threads[i].took);
	}
	bench_say(bench, "pairs %llu\nns %llu\nfailed %llu\n", pairs, took,
		  failed);
	kfree(threads);
	return err;
}
