// SPDX-License-Identifier: GPL-2.0-only
/*
 * A test driver for QEMU's edu device, whose DMA engine copies between its
 * buffer and any device address. Behind the emulated DART it shows whether
 * mappings are right: each case maps memory with one of the DMA operations,
 * lets the device read or write it, and compares.
 *
 * The probe runs the cases named in the parameter "run" and logs one line of
 * TAP for each; scripts/tests/test_vm_ops.py reads them.
 */

#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/random.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/umh.h>

#define EDU_VENDOR	0x1234
#define EDU_DEVICE	0x11e8

#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define EDU_CMD_RUN	0x1
#define EDU_CMD_TO_RAM	0x2
#define EDU_BUFFER	0x40000
/* Its buffer has 4096 bytes, but it refuses a transfer up to the last byte. */
#define EDU_CHUNK	2048

#define GRANULE		16384UL

static char *run = "coherent";
module_param(run, charp, 0444);
MODULE_PARM_DESC(run, "Comma-separated names of the cases to run");

static unsigned int count = 32;
module_param(count, uint, 0444);
MODULE_PARM_DESC(count, "How many pages, entries, rounds or MiB a case uses");

static unsigned int mask = 64;
module_param(mask, uint, 0444);
MODULE_PARM_DESC(mask, "Bits of the DMA mask to set; 0 sets none, as drivers that map too early");

struct edu {
	struct pci_dev *pdev;
	struct device *dev;
	void __iomem *bar;
};

#define CHECK(cond) do {						\
	if (!(cond)) {							\
		pr_err("apple_dma_edu: # line %d: %s\n", __LINE__, #cond); \
		return -EINVAL;						\
	}								\
} while (0)

/* ---- the device ---- */

static int edu_copy(struct edu *edu, u64 src, u64 dst, u64 size, u32 direction)
{
	int i;

	writeq(src, edu->bar + EDU_DMA_SRC);
	writeq(dst, edu->bar + EDU_DMA_DST);
	writeq(size, edu->bar + EDU_DMA_COUNT);
	writeq(EDU_CMD_RUN | direction, edu->bar + EDU_DMA_CMD);
	for (i = 0; i < 500; i++) {
		if (!(readl(edu->bar + EDU_DMA_CMD) & EDU_CMD_RUN))
			return 0;
		msleep(20);
	}
	pr_err("apple_dma_edu: # the device does not finish a transfer\n");
	return -ETIMEDOUT;
}

static int edu_read(struct edu *edu, dma_addr_t addr, u64 size)
{
	return edu_copy(edu, addr, EDU_BUFFER, size, 0);
}

static int edu_write(struct edu *edu, dma_addr_t addr, u64 size)
{
	return edu_copy(edu, EDU_BUFFER, addr, size, EDU_CMD_TO_RAM);
}

/* The device reads @from and writes it to @to. */
static int edu_move(struct edu *edu, dma_addr_t from, dma_addr_t to, u64 size)
{
	u64 done, part;
	int err = 0;

	for (done = 0; !err && done < size; done += part) {
		part = min_t(u64, size - done, EDU_CHUNK);
		err = edu_read(edu, from + done, part) ?:
		      edu_write(edu, to + done, part);
	}
	return err;
}

static bool aligned_as_promised(dma_addr_t addr, size_t size)
{
	return IS_ALIGNED(addr, roundup_pow_of_two(PAGE_ALIGN(size)));
}

static bool all_zero(const void *p, size_t size)
{
	return !memchr_inv(p, 0, size);
}

/* ---- allocation ---- */

static int coherent_one(struct edu *edu, size_t size, gfp_t gfp, bool atomic)
{
	unsigned long flags = 0;
	size_t part = min_t(size_t, size, 64);
	dma_addr_t a, b;
	void *va, *vb;

	if (atomic)
		local_irq_save(flags);
	va = dma_alloc_coherent(edu->dev, size, &a, gfp);
	vb = dma_alloc_coherent(edu->dev, size, &b, gfp);
	if (atomic)
		local_irq_restore(flags);

	CHECK(va && vb);
	CHECK(all_zero(va, size) && all_zero(vb, size));
	CHECK(aligned_as_promised(a, size) && aligned_as_promised(b, size));

	/* Use the last bytes, as all of it must be mapped. */
	get_random_bytes(va + size - part, part);
	CHECK(!edu_move(edu, a + size - part, b + size - part, part));
	CHECK(!memcmp(va + size - part, vb + size - part, part));
	CHECK(size == part || all_zero(vb, size - part));

	dma_free_coherent(edu->dev, size, va, a);
	dma_free_coherent(edu->dev, size, vb, b);
	return 0;
}

static int test_coherent(struct edu *edu)
{
	static const size_t sizes[] = {
		8, 4096, 12288, 16384, 40000, 64 << 10, 1 << 20, 2 << 20
	};
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < ARRAY_SIZE(sizes); i++)
		err = coherent_one(edu, sizes[i], GFP_KERNEL, false);
	return err;
}

/* "count" MiB, which may be more than the largest block of the kernel. */
static int test_coherent_large(struct edu *edu)
{
	size_t size = (size_t)count << 20;
	dma_addr_t addr;
	u8 *p = dma_alloc_coherent(edu->dev, size, &addr, GFP_KERNEL);

	pr_info("apple_dma_edu: # %u MiB %s\n", count, p ? "mapped" : "refused");
	if (!p)
		return 0;
	CHECK(all_zero(p, size) && aligned_as_promised(addr, size));
	get_random_bytes(p + size - 64, 64);
	CHECK(!edu_move(edu, addr + size - 64, addr, 64));
	CHECK(!memcmp(p, p + size - 64, 64));
	dma_free_coherent(edu->dev, size, p, addr);
	return 0;
}

static int test_coherent_atomic(struct edu *edu)
{
	return coherent_one(edu, 8192, GFP_ATOMIC, true);
}

static int test_alloc_pages(struct edu *edu)
{
	struct page *page;
	dma_addr_t addr;
	u8 *p;

	page = dma_alloc_pages(edu->dev, 8192, &addr, DMA_BIDIRECTIONAL,
			       GFP_KERNEL);
	CHECK(page);
	p = page_address(page);
	CHECK(all_zero(p, 8192));
	get_random_bytes(p, 4096);
	CHECK(!edu_move(edu, addr, addr + 4096, 4096));
	CHECK(!memcmp(p, p + 4096, 4096));
	dma_free_pages(edu->dev, 8192, page, addr, DMA_BIDIRECTIONAL);
	return 0;
}

static int test_sgtable(struct edu *edu)
{
	size_t size = 3 * PAGE_SIZE;
	struct sg_table sgt;
	dma_addr_t addr;
	void *p;

	p = dma_alloc_coherent(edu->dev, size, &addr, GFP_KERNEL);
	CHECK(p);
	CHECK(!dma_get_sgtable(edu->dev, &sgt, p, addr, size));
	CHECK(sgt.orig_nents == 1);
	CHECK(sg_virt(sgt.sgl) == p && sgt.sgl->length == size);
	sg_free_table(&sgt);
	dma_free_coherent(edu->dev, size, p, addr);
	return 0;
}

/* ---- streaming ---- */

static int test_single(struct edu *edu)
{
	static const struct { unsigned int offset, size; } cases[] = {
		{ 0, 4096 }, { 100, 1 }, { 4000, 200 }, { 16000, 1000 },
		{ 65530, 4096 },
	};
	u8 *p = (u8 *)__get_free_pages(GFP_KERNEL | __GFP_ZERO, 6);
	u8 *q = kmalloc(PAGE_SIZE, GFP_KERNEL);
	static DEFINE_SPINLOCK(lock);
	unsigned long flags;
	unsigned int i;

	CHECK(p && q);
	get_random_bytes(p, PAGE_SIZE << 6);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned int size = cases[i].size;
		dma_addr_t from, to;

		memset(q, 0, PAGE_SIZE);
		spin_lock_irqsave(&lock, flags);
		from = dma_map_single(edu->dev, p + cases[i].offset, size,
				      DMA_TO_DEVICE);
		to = dma_map_single(edu->dev, q, size, DMA_FROM_DEVICE);
		spin_unlock_irqrestore(&lock, flags);
		CHECK(!dma_mapping_error(edu->dev, from));
		CHECK(!dma_mapping_error(edu->dev, to));
		/* The offset in the 16 KiB page is kept. */
		CHECK(!((from ^ virt_to_phys(p + cases[i].offset)) &
			(GRANULE - 1)));
		CHECK(!edu_move(edu, from, to, size));
		spin_lock_irqsave(&lock, flags);
		dma_unmap_single(edu->dev, from, size, DMA_TO_DEVICE);
		dma_unmap_single(edu->dev, to, size, DMA_FROM_DEVICE);
		spin_unlock_irqrestore(&lock, flags);
		CHECK(!memcmp(p + cases[i].offset, q, size));
	}
	free_pages((unsigned long)p, 6);
	kfree(q);
	return 0;
}

/* A list of single pages that are not adjacent. */
static int make_list(struct sg_table *sgt, struct page **pages, unsigned int n)
{
	struct scatterlist *sg;
	int i;

	if (sg_alloc_table(sgt, n, GFP_KERNEL))
		return -ENOMEM;
	for_each_sg(sgt->sgl, sg, n, i) {
		pages[i] = alloc_pages(GFP_KERNEL, 7);
		if (!pages[i])
			return -ENOMEM;
		sg_set_page(sg, pages[i], PAGE_SIZE, 0);
	}
	return 0;
}

static void free_list(struct sg_table *sgt, struct page **pages, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++)
		__free_pages(pages[i], 7);
	sg_free_table(sgt);
}

static int test_sg(struct edu *edu)
{
	struct page **pages = kcalloc(count, sizeof(*pages), GFP_KERNEL);
	static DEFINE_SPINLOCK(lock);
	unsigned long flags;
	struct sg_table sgt;
	struct scatterlist *sg;
	int i, mapped;

	CHECK(pages && !make_list(&sgt, pages, count));
	spin_lock_irqsave(&lock, flags);
	mapped = dma_map_sg(edu->dev, sgt.sgl, count, DMA_BIDIRECTIONAL);
	spin_unlock_irqrestore(&lock, flags);
	CHECK(mapped == count);

	/* Only a few: the device takes 100 ms for each transfer. */
	for_each_sg(sgt.sgl, sg, mapped, i) {
		CHECK(sg_dma_len(sg) == PAGE_SIZE);
		if (i % 8 || sg_is_last(sg))
			continue;
		get_random_bytes(sg_virt(sg), PAGE_SIZE);
		CHECK(!edu_move(edu, sg_dma_address(sg),
				sg_dma_address(sg_next(sg)), 4096));
		CHECK(!memcmp(sg_virt(sg), sg_virt(sg_next(sg)), 4096));
	}
	spin_lock_irqsave(&lock, flags);
	dma_unmap_sg(edu->dev, sgt.sgl, count, DMA_BIDIRECTIONAL);
	spin_unlock_irqrestore(&lock, flags);
	free_list(&sgt, pages, count);
	kfree(pages);
	return 0;
}

/* As test_sg, without transfers: for counting doorbells. */
static int test_sg_count(struct edu *edu)
{
	struct page **pages = kcalloc(count, sizeof(*pages), GFP_KERNEL);
	struct sg_table sgt;
	int mapped;

	CHECK(pages && !make_list(&sgt, pages, count));
	mapped = dma_map_sg(edu->dev, sgt.sgl, count, DMA_BIDIRECTIONAL);
	CHECK(mapped == count);
	dma_unmap_sg(edu->dev, sgt.sgl, count, DMA_BIDIRECTIONAL);
	free_list(&sgt, pages, count);
	kfree(pages);
	return 0;
}

static int test_resource(struct edu *edu)
{
	dma_addr_t addr = dma_map_resource(edu->dev,
					   pci_resource_start(edu->pdev, 0),
					   4096, DMA_BIDIRECTIONAL, 0);

	CHECK(dma_mapping_error(edu->dev, addr));
	return 0;
}

static int test_masks(struct edu *edu)
{
	CHECK(dma_set_mask(edu->dev, DMA_BIT_MASK(24)));
	CHECK(!dma_set_mask(edu->dev, DMA_BIT_MASK(32)));
	CHECK(!dma_set_mask(edu->dev, DMA_BIT_MASK(64)));
	CHECK(dma_get_required_mask(edu->dev) > DMA_BIT_MASK(32));
	CHECK(dma_max_mapping_size(edu->dev) >= GRANULE);
	CHECK(dma_opt_mapping_size(edu->dev) >= GRANULE);
	CHECK(!dma_get_merge_boundary(edu->dev));
	return 0;
}

/* For a host that chooses addresses above 4 GiB. */
static int test_out_of_reach(struct edu *edu)
{
	void *p = kmalloc(4096, GFP_KERNEL);
	dma_addr_t addr;

	CHECK(p);
	CHECK(!dma_set_mask_and_coherent(edu->dev, DMA_BIT_MASK(32)));
	addr = dma_map_single(edu->dev, p, 4096, DMA_TO_DEVICE);
	CHECK(dma_mapping_error(edu->dev, addr));
	CHECK(!dma_alloc_coherent(edu->dev, 4096, &addr, GFP_KERNEL));
	CHECK(!dma_set_mask_and_coherent(edu->dev, DMA_BIT_MASK(64)));
	addr = dma_map_single(edu->dev, p, 4096, DMA_TO_DEVICE);
	CHECK(!dma_mapping_error(edu->dev, addr));
	dma_unmap_single(edu->dev, addr, 4096, DMA_TO_DEVICE);
	kfree(p);
	return 0;
}

/* The addresses that a driver gets with the mask "mask". */
static int test_reach(struct edu *edu)
{
	struct page *pages[2];
	struct sg_table sgt;
	dma_addr_t single, coherent;
	bool has_single, has_list;
	void *p;

	CHECK(!make_list(&sgt, pages, ARRAY_SIZE(pages)));
	single = dma_map_page(edu->dev, pages[0], 0, PAGE_SIZE, DMA_TO_DEVICE);
	has_single = !dma_mapping_error(edu->dev, single);
	has_list = dma_map_sg(edu->dev, sgt.sgl, sgt.orig_nents, DMA_TO_DEVICE);
	p = dma_alloc_coherent(edu->dev, GRANULE, &coherent, GFP_KERNEL);
	pr_info("apple_dma_edu: # mapped: page %u, list %u, coherent %u\n",
		has_single, has_list, !!p);
	if (has_single) {
		CHECK(!edu_read(edu, single, EDU_CHUNK));
		dma_unmap_page(edu->dev, single, PAGE_SIZE, DMA_TO_DEVICE);
	}
	if (has_list) {
		CHECK(!edu_read(edu, sg_dma_address(sg_next(sgt.sgl)),
				EDU_CHUNK));
		dma_unmap_sg(edu->dev, sgt.sgl, sgt.orig_nents, DMA_TO_DEVICE);
	}
	if (p) {
		CHECK(!edu_read(edu, coherent, EDU_CHUNK));
		dma_free_coherent(edu->dev, GRANULE, p, coherent);
	}
	free_list(&sgt, pages, ARRAY_SIZE(pages));
	return 0;
}

/* Map single pages, each in a window of its own, until one fails. */
static int test_until_full(struct edu *edu)
{
	unsigned int limit = count + 1, n, i;
	struct page **pages = kvcalloc(limit, sizeof(*pages), GFP_KERNEL);
	dma_addr_t *addr = kvcalloc(limit, sizeof(*addr), GFP_KERNEL);
	int round;

	CHECK(pages && addr);
	for (i = 0; i < limit; i++) {
		pages[i] = alloc_pages(GFP_KERNEL, 6);
		CHECK(pages[i]);
	}
	for (round = 0; round < 2; round++) {
		for (n = 0; n < limit; n++) {
			addr[n] = dma_map_page(edu->dev, pages[n], 0, PAGE_SIZE,
					       DMA_BIDIRECTIONAL);
			if (dma_mapping_error(edu->dev, addr[n]))
				break;
		}
		pr_info("apple_dma_edu: # %u of %u mapped\n", n, limit);
		for (i = 0; i < n; i++)
			dma_unmap_page(edu->dev, addr[i], PAGE_SIZE,
				       DMA_BIDIRECTIONAL);
		CHECK(n == count);
	}
	for (i = 0; i < limit; i++)
		__free_pages(pages[i], 6);
	kvfree(pages);
	kvfree(addr);
	return 0;
}

/* ---- contexts ---- */

static void map_and_unmap(void *data)
{
	struct edu *edu = data;
	unsigned int i;

	for (i = 0; i < 20; i++) {
		void *p = kmalloc(3000, GFP_ATOMIC);
		dma_addr_t addr;

		if (!p)
			return;
		addr = dma_map_single(edu->dev, p, 3000, DMA_TO_DEVICE);
		if (dma_mapping_error(edu->dev, addr))
			pr_err("apple_dma_edu: # a map failed\n");
		else
			dma_unmap_single(edu->dev, addr, 3000, DMA_TO_DEVICE);
		kfree(p);
	}
}

/* In an interrupt of another CPU. */
static int test_hardirq(struct edu *edu)
{
	return smp_call_function_single(num_online_cpus() - 1, map_and_unmap,
					edu, 1);
}

struct softirq_case {
	struct tasklet_struct tasklet;
	struct edu *edu;
	struct completion done;
};

static void map_in_softirq(struct tasklet_struct *tasklet)
{
	struct softirq_case *c = container_of(tasklet, struct softirq_case,
					      tasklet);

	map_and_unmap(c->edu);
	complete(&c->done);
}

static int test_softirq(struct edu *edu)
{
	struct softirq_case c = { .edu = edu };

	init_completion(&c.done);
	tasklet_setup(&c.tasklet, map_in_softirq);
	tasklet_schedule(&c.tasklet);
	wait_for_completion(&c.done);
	tasklet_kill(&c.tasklet);
	return 0;
}

struct worker {
	struct edu *edu;
	struct completion done;
	int err;
};

static int work(void *data)
{
	struct worker *w = data;
	struct edu *edu = w->edu;
	unsigned int i, j;

	for (i = 0; i < count && !w->err; i++) {
		void *p[8];
		dma_addr_t addr[8];
		bool mapped[8];
		size_t size = 1 + get_random_u32() % 60000;
		/* Data that the device writes shares no cache line. */
		size_t room = roundup_pow_of_two(max_t(size_t, size,
						       L1_CACHE_BYTES));

		for (j = 0; j < ARRAY_SIZE(p); j++) {
			mapped[j] = false;
			p[j] = kmalloc(room, GFP_KERNEL);
			if (p[j]) {
				addr[j] = dma_map_single(edu->dev, p[j], size,
							 DMA_BIDIRECTIONAL);
				mapped[j] = !dma_mapping_error(edu->dev,
							       addr[j]);
			}
			if (!mapped[j])
				w->err = -ENOMEM;
		}
		if (!(i % 16))
			smp_call_function_single(i % num_online_cpus(),
						 map_and_unmap, edu, 1);
		for (j = 0; j < ARRAY_SIZE(p); j++) {
			if (mapped[j])
				dma_unmap_single(edu->dev, addr[j], size,
						 DMA_BIDIRECTIONAL);
			kfree(p[j]);
		}
	}
	complete(&w->done);
	return 0;
}

static int test_threads(struct edu *edu)
{
	struct worker w[4];
	unsigned int i;
	int err = 0;

	for (i = 0; i < ARRAY_SIZE(w); i++) {
		struct task_struct *task;

		w[i].edu = edu;
		w[i].err = 0;
		init_completion(&w[i].done);
		task = kthread_run(work, &w[i], "edu/%u", i);
		if (IS_ERR(task)) {
			w[i].err = PTR_ERR(task);
			complete(&w[i].done);
		}
	}
	for (i = 0; i < ARRAY_SIZE(w); i++) {
		wait_for_completion(&w[i].done);
		err = err ?: w[i].err;
	}
	CHECK(!err);
	return 0;
}

/* ---- errors of drivers ---- */

static int test_bad_unmap(struct edu *edu)
{
	dma_unmap_single(edu->dev, 0x1234000, 4096, DMA_TO_DEVICE);
	return 0;
}

/* Give idle windows back to the host. */
static int flush(void)
{
	static char *argv[] = {
		"/bin/sh", "-c",
		"echo 1 >\"$(echo /sys/bus/pci/drivers/apple_dma/0*)/apple_dma/flush\"",
		NULL
	};
	static char *envp[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", NULL };

	return call_usermodehelper(argv[0], argv, envp, UMH_WAIT_PROC);
}

/*
 * The first of two buffers in a granule is unmapped twice. The second stays
 * mapped, and the device reads it.
 */
static int test_twice(struct edu *edu)
{
	u8 *p = (u8 *)__get_free_pages(GFP_KERNEL, get_order(GRANULE));
	u8 *q = (u8 *)__get_free_page(GFP_KERNEL | __GFP_ZERO);
	dma_addr_t first, second, result;

	CHECK(p && q);
	get_random_bytes(p, GRANULE);
	first = dma_map_single(edu->dev, p, EDU_CHUNK, DMA_TO_DEVICE);
	second = dma_map_single(edu->dev, p + GRANULE / 2, EDU_CHUNK,
				DMA_TO_DEVICE);
	CHECK(!dma_mapping_error(edu->dev, first));
	CHECK(!dma_mapping_error(edu->dev, second));
	dma_unmap_single(edu->dev, first, EDU_CHUNK, DMA_TO_DEVICE);
	dma_unmap_single(edu->dev, first, EDU_CHUNK, DMA_TO_DEVICE);
	CHECK(!flush());
	result = dma_map_single(edu->dev, q, EDU_CHUNK, DMA_FROM_DEVICE);
	CHECK(!dma_mapping_error(edu->dev, result));
	CHECK(!edu_move(edu, second, result, EDU_CHUNK));
	dma_unmap_single(edu->dev, result, EDU_CHUNK, DMA_FROM_DEVICE);
	dma_unmap_single(edu->dev, second, EDU_CHUNK, DMA_TO_DEVICE);
	CHECK(!memcmp(p + GRANULE / 2, q, EDU_CHUNK));
	free_page((unsigned long)q);
	free_pages((unsigned long)p, get_order(GRANULE));
	return 0;
}

/* The device uses an address after its mapping has ended: faults. */
static int test_stale(struct edu *edu)
{
	void *p = kmalloc(4096, GFP_KERNEL);
	dma_addr_t addr;

	CHECK(p);
	memset(p, 0x5a, 4096);
	addr = dma_map_single(edu->dev, p, 4096, DMA_BIDIRECTIONAL);
	CHECK(!dma_mapping_error(edu->dev, addr));
	dma_unmap_single(edu->dev, addr, 4096, DMA_BIDIRECTIONAL);
	CHECK(!edu_write(edu, addr, EDU_CHUNK));
	CHECK(!memchr_inv(p, 0x5a, 4096));
	kfree(p);
	return 0;
}

/* Never unmapped: the module has to clean up when the driver is unbound. */
static int test_leak(struct edu *edu)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		struct page *page = alloc_pages(GFP_KERNEL, 6);
		dma_addr_t addr;

		CHECK(page);
		addr = dma_map_page(edu->dev, page, 0, PAGE_SIZE,
				    DMA_BIDIRECTIONAL);
		CHECK(!dma_mapping_error(edu->dev, addr));
	}
	return 0;
}

/* Freed at module exit, after the driver was unbound, as nvme does it. */
static struct {
	struct device *dev;
	void *p;
	dma_addr_t addr;
} late;

static int test_late_free(struct edu *edu)
{
	if (late.dev)
		return 0;
	late.p = dma_alloc_coherent(edu->dev, 8192, &late.addr, GFP_KERNEL);
	CHECK(late.p);
	late.dev = get_device(edu->dev);
	return 0;
}

static void free_late(void)
{
	if (!late.dev)
		return;
	dma_free_coherent(late.dev, 8192, late.p, late.addr);
	put_device(late.dev);
}

/* For a host that lies: maps fail, and a live mapping can still be ended. */
static int test_broken(struct edu *edu)
{
	struct page *page;
	unsigned int i, failed = 0;
	dma_addr_t addr;

	for (i = 0; i < count; i++) {
		page = alloc_pages(GFP_KERNEL, 6);
		CHECK(page);
		addr = dma_map_page(edu->dev, page, 0, PAGE_SIZE,
				    DMA_BIDIRECTIONAL);
		if (dma_mapping_error(edu->dev, addr))
			failed++;
		else
			dma_unmap_page(edu->dev, addr, PAGE_SIZE,
				       DMA_BIDIRECTIONAL);
		__free_pages(page, 6);
	}
	pr_info("apple_dma_edu: # %u of %u maps failed\n", failed, count);
	return 0;
}

/* ---- allocations that fail ---- */

/* The nth allocation of this task fails, if the kernel has fault injection. */
static void fail_arm(unsigned int nth)
{
#ifdef CONFIG_FAULT_INJECTION
	WRITE_ONCE(current->fail_nth, nth);
#endif
}

static bool fail_disarm(void)
{
	bool failed = false;

#ifdef CONFIG_FAULT_INJECTION
	failed = !READ_ONCE(current->fail_nth);
	WRITE_ONCE(current->fail_nth, 0);
#endif
	return failed;
}

/* The module cleans up after a failure; success is undone here. */
static bool map_one(struct edu *edu, struct sg_table *sgt)
{
	struct page *page = sg_page(sgt->sgl);
	dma_addr_t addr = dma_map_page(edu->dev, page, 0, PAGE_SIZE,
				       DMA_BIDIRECTIONAL);

	if (dma_mapping_error(edu->dev, addr))
		return false;
	dma_unmap_page(edu->dev, addr, PAGE_SIZE, DMA_BIDIRECTIONAL);
	return true;
}

static bool map_list(struct edu *edu, struct sg_table *sgt)
{
	if (!dma_map_sg(edu->dev, sgt->sgl, sgt->orig_nents, DMA_BIDIRECTIONAL))
		return false;
	dma_unmap_sg(edu->dev, sgt->sgl, sgt->orig_nents, DMA_BIDIRECTIONAL);
	return true;
}

static bool allocate(struct edu *edu, struct sg_table *sgt)
{
	size_t size = 3 * GRANULE;
	dma_addr_t addr;
	void *p = dma_alloc_coherent(edu->dev, size, &addr,
				     GFP_KERNEL | __GFP_NOWARN);

	if (p)
		dma_free_coherent(edu->dev, size, p, addr);
	return p;
}

static bool allocate_pages(struct edu *edu, struct sg_table *sgt)
{
	dma_addr_t addr;
	struct page *page = dma_alloc_pages(edu->dev, GRANULE, &addr,
					    DMA_BIDIRECTIONAL,
					    GFP_ATOMIC | __GFP_NOWARN);

	if (page)
		dma_free_pages(edu->dev, GRANULE, page, addr,
			       DMA_BIDIRECTIONAL);
	return page;
}

/* Each allocation of each operation fails in turn. */
static int test_no_memory(struct edu *edu)
{
	static bool (*const ops[])(struct edu *edu, struct sg_table *sgt) = {
		map_one, map_list, allocate, allocate_pages,
	};
	struct page **pages = kcalloc(count, sizeof(*pages), GFP_KERNEL);
	struct sg_table sgt;
	unsigned int i;

	CHECK(pages && !make_list(&sgt, pages, count));
	for (i = 0; i < ARRAY_SIZE(ops); i++) {
		unsigned int nth, refused = 0;
		bool failed = true;

		for (nth = 1; failed && nth < 1000; nth++) {
			bool done;

			fail_arm(nth);
			done = ops[i](edu, &sgt);
			failed = fail_disarm();
			CHECK(done || failed);
			refused += !done;
		}
		CHECK(!failed);
		pr_info("apple_dma_edu: # operation %u: %u allocations failed, %u times it was refused\n",
			i, nth - 2, refused);
	}
	free_list(&sgt, pages, count);
	kfree(pages);
	return 0;
}

/* ---- the driver ---- */

static const struct {
	const char *name;
	int (*fn)(struct edu *edu);
} cases[] = {
	{ "coherent", test_coherent },
	{ "coherent_large", test_coherent_large },
	{ "coherent_atomic", test_coherent_atomic },
	{ "alloc_pages", test_alloc_pages },
	{ "sgtable", test_sgtable },
	{ "single", test_single },
	{ "sg", test_sg },
	{ "sg_count", test_sg_count },
	{ "resource", test_resource },
	{ "masks", test_masks },
	{ "out_of_reach", test_out_of_reach },
	{ "reach", test_reach },
	{ "until_full", test_until_full },
	{ "hardirq", test_hardirq },
	{ "softirq", test_softirq },
	{ "threads", test_threads },
	{ "bad_unmap", test_bad_unmap },
	{ "twice", test_twice },
	{ "stale", test_stale },
	{ "leak", test_leak },
	{ "late_free", test_late_free },
	{ "broken", test_broken },
	{ "no_memory", test_no_memory },
};

static int edu_run(struct edu *edu, const char *name, unsigned int number)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		int err;

		if (strcmp(cases[i].name, name))
			continue;
		err = cases[i].fn(edu);
		pr_info("apple_dma_edu: %s %u - %s\n", err ? "not ok" : "ok",
			number, name);
		return err;
	}
	pr_err("apple_dma_edu: not ok %u - there is no case '%s'\n", number,
	       name);
	return -ENOENT;
}

static int edu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct edu edu = { .pdev = pdev, .dev = &pdev->dev };
	char *names = kstrdup(run, GFP_KERNEL);
	char *rest = names, *name;
	unsigned int number = 0;
	int err;

	if (!names)
		return -ENOMEM;
	err = pci_enable_device(pdev);
	if (err)
		goto free;
	edu.bar = pci_iomap(pdev, 0, 0);
	if (!edu.bar) {
		err = -ENOMEM;
		goto disable;
	}
	pci_set_master(pdev);
	if (mask)
		err = dma_set_mask_and_coherent(&pdev->dev,
						DMA_BIT_MASK(mask));
	if (err)
		goto unmap;

	while ((name = strsep(&rest, ",")))
		edu_run(&edu, name, ++number);
	pr_info("apple_dma_edu: 1..%u\n", number);
unmap:
	pci_clear_master(pdev);
	pci_iounmap(pdev, edu.bar);
disable:
	pci_disable_device(pdev);
free:
	kfree(names);
	return err;
}

static void edu_remove(struct pci_dev *pdev)
{
}

static const struct pci_device_id edu_ids[] = {
	{ PCI_DEVICE(EDU_VENDOR, EDU_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, edu_ids);

static struct pci_driver edu_driver = {
	.name = "apple_dma_edu",
	.id_table = edu_ids,
	.probe = edu_probe,
	.remove = edu_remove,
};

static int __init edu_init(void)
{
	return pci_register_driver(&edu_driver);
}
module_init(edu_init);

static void __exit edu_exit(void)
{
	pci_unregister_driver(&edu_driver);
	free_late();
}
module_exit(edu_exit);

MODULE_DESCRIPTION("DMA exerciser for QEMU's edu device");
MODULE_LICENSE("GPL");
