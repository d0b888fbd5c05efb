// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/dma_ops.c: each op through the DMA API, what it costs, and each of
 * its errors; and driver/quarantine.c: what is kept after the host broke the
 * protocol.
 */

#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/slab.h>

#include "device.h"
#include "suites.h"

/* A page for a case, freed by hand; of a block that has @order. */
static struct page *get_pages(struct kunit *test, unsigned int order)
{
	struct page *page = alloc_pages(GFP_KERNEL, order);

	CHECK(test, page);
	return page;
}

static dma_addr_t map(struct device_fixture *d, struct page *page,
		      unsigned long offset, size_t size)
{
	dma_addr_t addr = dma_map_page(d->dev, page, offset, size,
				       DMA_BIDIRECTIONAL);

	return dma_mapping_error(d->dev, addr) ? DMA_MAPPING_ERROR : addr;
}

static void unmap(struct device_fixture *d, dma_addr_t addr, size_t size)
{
	dma_unmap_page(d->dev, addr, size, DMA_BIDIRECTIONAL);
}

/* The host refused something a moment ago, and may be asked again. */
static void forget(struct device_fixture *d)
{
	unsigned long flags;

	spin_lock_irqsave(&d->f->e->lock, flags);
	apple_dma_budget_forget(d->f->e);
	spin_unlock_irqrestore(&d->f->e->lock, flags);
}

/* ---- streaming ---- */

/* A miss rings once, a hit not at all, an unmap not at all. */
static void map_page_leads_there(struct kunit *test)
{
	struct device_fixture *d = device_open(test);
	struct page *page = get_pages(test, 0);
	dma_addr_t addr, part;

	addr = map(d, page, 0, PAGE_SIZE);
	EXPECT_EQ(test, fixture_doorbells(d->f), 1);
	EXPECT_EQ(test, device_leads(d, addr), page_to_phys(page));
	part = map(d, page, 100, 17);
	EXPECT_EQ(test, device_leads(d, part), page_to_phys(page) + 100);
	EXPECT_EQ(test, part, addr + 100);
	EXPECT_EQ(test, fixture_stats(d->f)->live_bytes, PAGE_SIZE + 17);
	unmap(d, part, 17);
	unmap(d, addr, PAGE_SIZE);
	EXPECT_EQ(test, fixture_doorbells(d->f), 0);
	EXPECT_EQ(test, fixture_stats(d->f)->live_mappings, 0);
	__free_page(page);
}

/* Strict: one to map and one to unmap; then the address leads nowhere. */
static void strict_map_page_rings_twice(struct kunit *test)
{
	struct device_fixture *d = device_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct page *page = get_pages(test, 0);
	dma_addr_t addr = map(d, page, 0, PAGE_SIZE);

	EXPECT_EQ(test, device_leads(d, addr), page_to_phys(page));
	EXPECT_EQ(test, fixture_doorbells(d->f), 1);
	unmap(d, addr, PAGE_SIZE);
	EXPECT_EQ(test, fixture_doorbells(d->f), 1);
	EXPECT_EQ(test, device_leads(d, addr), U64_MAX);
	__free_page(page);
}

/* With interrupts off, as drivers call: an op must neither sleep nor wait. */
static void every_op_works_in_atomic_context(struct kunit *test)
{
	struct device_fixture *d = device_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct page *page = get_pages(test, 0);
	struct scatterlist sg;
	unsigned long flags;
	dma_addr_t addr, mem;
	void *p;
	int n;

	sg_init_table(&sg, 1);
	sg_set_page(&sg, page, PAGE_SIZE, 0);
	local_irq_save(flags);
	addr = map(d, page, 0, PAGE_SIZE);
	unmap(d, addr, PAGE_SIZE);
	n = dma_map_sg(d->dev, &sg, 1, DMA_TO_DEVICE);
	dma_unmap_sg(d->dev, &sg, 1, DMA_TO_DEVICE);
	p = dma_alloc_coherent(d->dev, PAGE_SIZE, &mem, GFP_ATOMIC);
	local_irq_restore(flags);
	EXPECT(test, addr != DMA_MAPPING_ERROR);
	EXPECT_EQ(test, n, 1);
	EXPECT(test, p);
	if (p)
		dma_free_coherent(d->dev, PAGE_SIZE, p, mem);
	/* Three maps, three unmaps. */
	EXPECT_EQ(test, fixture_doorbells(d->f), 6);
	__free_page(page);
}

static void refused_map_is_an_error(struct kunit *test)
{
	struct device_fixture *d = device_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct page *page = get_pages(test, 0);

	d->f->host->refuse = U64_MAX;
	EXPECT(test, map(d, page, 0, PAGE_SIZE) == DMA_MAPPING_ERROR);
	EXPECT_EQ(test, device_failures(d, APPLE_DMA_FAIL_HOST), 1);
	EXPECT_EQ(test, fixture_doorbells(d->f), 1);
	EXPECT_EQ(test, page_count(page), 1);
	__free_page(page);
}

/* The mask, and a smaller limit of the bus; both to the byte. */
static void mask_is_kept_to(struct kunit *test)
{
	struct device_fixture *d = device_open(test);
	struct page *page = get_pages(test, 0);
	dma_addr_t addr;

	d->f->host->iova_base = 8 * GIB;
	d->f->host->next = 8 * GIB;
	CHECK_EQ(test, dma_set_mask(d->dev, DMA_BIT_MASK(32)), 0);
	EXPECT(test, map(d, page, 0, PAGE_SIZE) == DMA_MAPPING_ERROR);
	EXPECT_EQ(test, device_failures(d, APPLE_DMA_FAIL_MASK), 1);
	CHECK_EQ(test, dma_set_mask(d->dev, DMA_BIT_MASK(64)), 0);
	addr = map(d, page, 0, PAGE_SIZE);
	CHECK(test, addr != DMA_MAPPING_ERROR);
	unmap(d, addr, PAGE_SIZE);
	d->dev->bus_dma_limit = addr + PAGE_SIZE - 2;
	EXPECT(test, map(d, page, 0, PAGE_SIZE) == DMA_MAPPING_ERROR);
	d->dev->bus_dma_limit = addr + PAGE_SIZE - 1;
	EXPECT_EQ(test, map(d, page, 0, PAGE_SIZE), addr);
	unmap(d, addr, PAGE_SIZE);
	EXPECT_EQ(test, device_failures(d, APPLE_DMA_FAIL_MASK), 2);
	__free_page(page);
}

/* A BAR is no guest memory: nothing is asked. */
static void mmio_is_refused(struct kunit *test)
{
	struct device_fixture *d = device_open(test);
	dma_addr_t addr = dma_map_resource(d->dev, 0xfee00000, PAGE_SIZE,
					   DMA_BIDIRECTIONAL, 0);

	EXPECT(test, dma_mapping_error(d->dev, addr));
	EXPECT_EQ(test, device_failures(d, APPLE_DMA_FAIL_NOT_RAM), 1);
	EXPECT_EQ(test, fixture_doorbells(d->f), 0);
}

/* ---- lists ---- */

#define ENTRIES		8

/* A list of pages that do not touch; filled from @pages. */
static void make_list(struct kunit *test, struct scatterlist *sgl,
		      struct page **pages)
{
	unsigned int i;

	sg_init_table(sgl, ENTRIES);
	for (i = 0; i < ENTRIES; i++) {
		pages[i] = get_pages(test, 0);
		sg_set_page(&sgl[i], pages[i], PAGE_SIZE - i, i);
	}
}

static void free_list(struct page **pages)
{
	unsigned int i;

	for (i = 0; i < ENTRIES; i++)
		__free_page(pages[i]);
}

/* Strict: one doorbell for all of it to map, and one to unmap. */
static void list_is_mapped_at_once(struct kunit *test)
{
	struct device_fixture *d = device_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct scatterlist sgl[ENTRIES];
	struct page *pages[ENTRIES];
	unsigned int i;

	make_list(test, sgl, pages);
	EXPECT_EQ(test, dma_map_sg(d->dev, sgl, ENTRIES, DMA_TO_DEVICE),
		  ENTRIES);
	EXPECT_EQ(test, fixture_doorbells(d->f), 1);
	for (i = 0; i < ENTRIES; i++) {
		EXPECT_EQ(test, device_leads(d, sg_dma_address(&sgl[i])),
			  page_to_phys(pages[i]) + i);
		EXPECT_EQ(test, sg_dma_len(&sgl[i]), PAGE_SIZE - i);
	}
	dma_unmap_sg(d->dev, sgl, ENTRIES, DMA_TO_DEVICE);
	EXPECT_EQ(test, fixture_doorbells(d->f), 1);
	EXPECT_EQ(test, fixture_stats(d->f)->mapped_entries, 0);
	free_list(pages);
}

static int map_table(struct device_fixture *d, struct scatterlist *sgl)
{
	struct sg_table table = {
		.sgl = sgl,
		.nents = ENTRIES,
		.orig_nents = ENTRIES,
	};

	return dma_map_sgtable(d->dev, &table, DMA_TO_DEVICE, 0);
}

/* Each with the errno that the DMA API knows; nothing stays mapped. */
static void list_errors(struct kunit *test)
{
	struct device_fixture *d = device_open(test, .mode = APPLE_DMA_MODE_STRICT);
	const struct dma_map_ops *ops = get_dma_ops(d->dev);
	struct scatterlist sgl[ENTRIES];
	struct page *pages[ENTRIES];

	make_list(test, sgl, pages);
	d->f->host->refuse = U64_MAX;
	EXPECT(test, map_table(d, sgl) == -EIO);
	d->f->host->refuse = 0;
	forget(d);
	d->f->e->limits.entries = 0;
	EXPECT(test, map_table(d, sgl) == -ENOMEM);
	d->f->e->limits.entries = 1000;
	d->f->e->limits.bytes = 0;
	EXPECT(test, map_table(d, sgl) == -ENOMEM);
	d->f->e->limits.bytes = GIB;
	EXPECT(test, ops->map_sg(d->dev, sgl, 0, DMA_TO_DEVICE, 0) == -EINVAL);
	/* Nothing is there; a list of one, which has nothing to undo. */
	sg_set_page(&sgl[0], pfn_to_page(PHYS_PFN(FAKE_RAM)), PAGE_SIZE, 0);
	sg_mark_end(&sgl[0]);
	EXPECT(test, apple_dma_map_list(d->f->e, sgl, 1, ANY, ANY) == -EREMOTEIO);
	EXPECT_EQ(test, fixture_stats(d->f)->live_mappings, 0);
	EXPECT_EQ(test, fixture_stats(d->f)->mapped_entries, 0);
	free_list(pages);
}

/* ---- a host that breaks the protocol ---- */

/* What the device may still reach is kept: a reference to each page. */
static void page_of_a_broken_map_is_kept(struct kunit *test)
{
	struct device_fixture *d = device_open(test);
	struct page *page = get_pages(test, 0), *other = get_pages(test, 0);
	dma_addr_t addr;

	addr = map(d, other, 0, PAGE_SIZE);
	CHECK(test, addr != DMA_MAPPING_ERROR);
	apple_dma_engine_set_mode(d->f->e, APPLE_DMA_MODE_STRICT);
	d->f->host->breaks = 1;
	EXPECT(test, map(d, page, 0, PAGE_SIZE) == DMA_MAPPING_ERROR);
	EXPECT_EQ(test, page_count(page), 2);
	EXPECT_EQ(test, atomic64_read(&d->f->ad->leaked_bytes), PAGE_SIZE);

	/* What fails later was never asked for. */
	EXPECT(test, map(d, page, 0, PAGE_SIZE) == DMA_MAPPING_ERROR);
	EXPECT_EQ(test, page_count(page), 2);

	/* What was mapped before is kept as it is unmapped. */
	unmap(d, addr, PAGE_SIZE);
	EXPECT_EQ(test, page_count(other), 2);
	EXPECT_EQ(test, atomic64_read(&d->f->ad->leaked_bytes), 2 * PAGE_SIZE);
	put_page(page);
	put_page(other);
	__free_page(page);
	__free_page(other);
}

/*
 * A driver that is gone and left a page mapped may free it any time. A granule,
 * so that no foreign pages are kept with it.
 */
static void pages_left_on_a_broken_host_are_kept(struct kunit *test)
{
	struct device_fixture *d = device_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct page *page = get_pages(test, get_order(GRANULE));
	phys_addr_t phys;
	dma_addr_t addr;
	u64 left;

	/* Not through the DMA API, which would report a misuse. */
	addr = apple_dma_map(d->f->e, page_to_phys(page), PAGE_SIZE, ANY);
	CHECK(test, addr != DMA_MAPPING_ERROR);
	apple_dma_engine_close(d->f->e);
	CHECK_EQ(test, apple_dma_coherent_orphan(d->f->ad, &left), 0);
	CHECK_EQ(test, left, 1);
	d->f->host->breaks = 1;
	CHECK(test, !apple_dma_engine_release(d->f->e));
	apple_dma_coherent_drained(d->f->ad, true);
	apple_dma_quarantine_left(d->f->ad);
	EXPECT_EQ(test, page_count(page), 2);
	/* Only the first page of such a block has a count of its own. */
	EXPECT_EQ(test, atomic64_read(&d->f->ad->leaked_bytes), PAGE_SIZE);
	apple_dma_quarantine_left(d->f->ad);
	EXPECT_EQ(test, page_count(page), 2);
	apple_dma_unmap(d->f->e, addr, PAGE_SIZE, &phys);
	put_page(page);
	__free_pages(page, get_order(GRANULE));
}

static void list_of_a_broken_map_is_kept(struct kunit *test)
{
	struct device_fixture *d = device_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct scatterlist sgl[ENTRIES];
	struct page *pages[ENTRIES];
	unsigned int i;

	make_list(test, sgl, pages);
	d->f->host->breaks = 2;
	EXPECT_EQ(test, map_table(d, sgl), 0);
	dma_unmap_sg(d->dev, sgl, ENTRIES, DMA_TO_DEVICE);
	EXPECT_EQ(test, atomic64_read(&d->f->ad->leaked_bytes),
		  ENTRIES * PAGE_SIZE);
	for (i = 0; i < ENTRIES; i++) {
		EXPECT_EQ(test, page_count(pages[i]), 2);
		put_page(pages[i]);
	}
	free_list(pages);
}

static void memory_of_a_broken_host_is_kept(struct kunit *test)
{
	struct device_fixture *d = device_open(test, .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t addr;
	void *p = dma_alloc_coherent(d->dev, PAGE_SIZE, &addr, GFP_KERNEL);

	CHECK(test, p);
	d->f->host->breaks = 1;
	dma_free_coherent(d->dev, PAGE_SIZE, p, addr);
	EXPECT_EQ(test, atomic64_read(&d->f->ad->leaked_bytes), PAGE_SIZE);
	EXPECT_EQ(test, page_count(virt_to_page(p)), 1);
	EXPECT(test, !dma_alloc_coherent(d->dev, PAGE_SIZE, &addr, GFP_KERNEL));
	free_page((unsigned long)p);
	/* It is not the driver's any more. */
	d->f->lost++;
}

/* ---- allocation ---- */

/* Zeroed, aligned to its order, one doorbell each way. */
static void coherent_memory(struct kunit *test)
{
	static const size_t sizes[] = { 8, 4096, 4097, 16384, 40000, 1 << 20 };
	struct device_fixture *d = device_open(test, .mode = APPLE_DMA_MODE_STRICT);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		u64 align = PAGE_SIZE << get_order(sizes[i]);
		dma_addr_t addr;
		void *p;

		/* The host chooses whether this is aligned. */
		d->f->host->next = 2 * GIB;
		p = dma_alloc_coherent(d->dev, sizes[i], &addr, GFP_KERNEL);
		CHECK(test, p);
		EXPECT_EQ(test, fixture_doorbells(d->f), 1);
		EXPECT(test, !memchr_inv(p, 0, sizes[i]));
		EXPECT(test, IS_ALIGNED(addr, align));
		EXPECT_EQ(test, device_leads(d, addr), virt_to_phys(p));
		EXPECT_EQ(test, device_leads(d, addr + sizes[i] - 1),
			  virt_to_phys(p) + sizes[i] - 1);
		dma_free_coherent(d->dev, sizes[i], p, addr);
		EXPECT_EQ(test, fixture_doorbells(d->f), 1);
	}
	EXPECT_EQ(test, fixture_stats(d->f)->mapped_entries, 0);
}

/*
 * If no address is aligned: map, give back, map twice as much and hand out the
 * aligned half. That is a block of 64 KiB: it is given back and mapped again twice.
 */
static void alignment_is_bought(struct kunit *test)
{
	struct device_fixture *d = device_open(test, .mode = APPLE_DMA_MODE_STRICT,
					       .policy = FAKE_HOST_UNALIGNED);
	dma_addr_t addr;
	void *p = dma_alloc_coherent(d->dev, 2 * GRANULE, &addr, GFP_KERNEL);

	CHECK(test, p);
	EXPECT_EQ(test, fixture_doorbells(d->f), 3 + 4);
	EXPECT(test, IS_ALIGNED(addr, 2 * GRANULE));
	EXPECT_EQ(test, device_leads(d, addr), virt_to_phys(p));
	EXPECT_EQ(test, device_leads(d, addr + 2 * GRANULE - 1),
		  virt_to_phys(p) + 2 * GRANULE - 1);
	EXPECT_EQ(test, fixture_stats(d->f)->mapped_bytes, 4 * GRANULE);
	dma_free_coherent(d->dev, 2 * GRANULE, p, addr);
	EXPECT_EQ(test, fixture_doorbells(d->f), 1);

	/* Up to a granule no extra memory is needed. */
	p = dma_alloc_coherent(d->dev, GRANULE, &addr, GFP_KERNEL);
	CHECK(test, p);
	EXPECT_EQ(test, fixture_doorbells(d->f), 1);
	dma_free_coherent(d->dev, GRANULE, p, addr);
}

/* There is room for the memory, but not for twice as much of it. */
static void alignment_is_promised(struct kunit *test)
{
	struct device_fixture *d = device_open(test, .mode = APPLE_DMA_MODE_STRICT,
					       .policy = FAKE_HOST_UNALIGNED,
					       .limits.bytes = 2 * GRANULE);
	dma_addr_t addr;

	EXPECT(test, !dma_alloc_coherent(d->dev, 2 * GRANULE, &addr, GFP_KERNEL));
	/* It is one failure, of the budget. */
	EXPECT_EQ(test, device_failures(d, APPLE_DMA_FAIL_BYTES), 1);
	EXPECT_EQ(test, device_failures(d, APPLE_DMA_FAIL_ALIGN), 0);
	EXPECT_EQ(test, fixture_stats(d->f)->mapped_entries, 0);
}

static void allocation_is_refused(struct kunit *test)
{
	struct device_fixture *d = device_open(test, .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t addr;

	d->f->host->refuse = 1;
	EXPECT(test, !dma_alloc_coherent(d->dev, PAGE_SIZE, &addr, GFP_KERNEL));
	EXPECT_EQ(test, device_failures(d, APPLE_DMA_FAIL_HOST), 1);
	forget(d);
	/* The mask of allocations is a mask of its own. */
	d->f->host->next = 8 * GIB;
	CHECK_EQ(test, dma_set_coherent_mask(d->dev, DMA_BIT_MASK(32)), 0);
	EXPECT(test, !dma_alloc_coherent(d->dev, PAGE_SIZE, &addr, GFP_KERNEL));
	EXPECT_EQ(test, device_failures(d, APPLE_DMA_FAIL_MASK), 1);
	CHECK_EQ(test, dma_set_coherent_mask(d->dev, DMA_BIT_MASK(64)), 0);
	EXPECT_EQ(test, fixture_stats(d->f)->mapped_entries, 0);
}

static void pages_for_dma(struct kunit *test)
{
	struct device_fixture *d = device_open(test);
	dma_addr_t addr;
	struct page *page = dma_alloc_pages(d->dev, 3 * PAGE_SIZE, &addr,
					    DMA_BIDIRECTIONAL, GFP_KERNEL);

	CHECK(test, page);
	/* The DMA-API debugging of some kernels requires this check. */
	EXPECT(test, !dma_mapping_error(d->dev, addr));
	EXPECT_EQ(test, device_leads(d, addr), page_to_phys(page));
	EXPECT_EQ(test, device_leads(d, addr + 3 * PAGE_SIZE - 1),
		  page_to_phys(page) + 3 * PAGE_SIZE - 1);
	dma_free_pages(d->dev, 3 * PAGE_SIZE, page, addr, DMA_BIDIRECTIONAL);
	EXPECT_EQ(test, fixture_stats(d->f)->live_mappings, 0);
}

/* As one piece, with whole pages. */
static void table_of_an_allocation(struct kunit *test)
{
	struct device_fixture *d = device_open(test);
	struct sg_table table;
	dma_addr_t addr;
	void *p = dma_alloc_coherent(d->dev, 5000, &addr, GFP_KERNEL);

	CHECK(test, p);
	EXPECT_EQ(test, dma_get_sgtable(d->dev, &table, p, addr, 5000), 0);
	EXPECT_EQ(test, table.nents, 1);
	EXPECT(test, sg_page(table.sgl) == virt_to_page(p));
	EXPECT_EQ(test, table.sgl->length, 2 * PAGE_SIZE);
	sg_free_table(&table);
	dma_free_coherent(d->dev, 5000, p, addr);
}

/* More than there is, or from behind its end. Guests test that it works. */
static void mmap_stays_inside(struct kunit *test)
{
	struct device_fixture *d = device_open(test);
	struct vm_area_struct *vma = fixture_memory(d->f, sizeof(*vma));
	dma_addr_t addr;
	void *p = dma_alloc_coherent(d->dev, 5000, &addr, GFP_KERNEL);

	CHECK(test, p);
	vma->vm_end = 3 * PAGE_SIZE;
	EXPECT(test, dma_mmap_coherent(d->dev, vma, p, addr, 5000) == -ENXIO);
	vma->vm_end = 2 * PAGE_SIZE;
	vma->vm_pgoff = 1;
	EXPECT(test, dma_mmap_coherent(d->dev, vma, p, addr, 5000) == -ENXIO);
	vma->vm_end = PAGE_SIZE;
	vma->vm_pgoff = 2;
	EXPECT(test, dma_mmap_coherent(d->dev, vma, p, addr, 5000) == -ENXIO);
	vma->vm_pgoff = ULONG_MAX;
	EXPECT(test, dma_mmap_coherent(d->dev, vma, p, addr, 5000) == -ENXIO);
	dma_free_coherent(d->dev, 5000, p, addr);
}

/* ---- what drivers ask ---- */

static void masks(struct kunit *test)
{
	struct device_fixture *d = device_open(test);

	EXPECT(test, dma_set_mask(d->dev, DMA_BIT_MASK(31)) == -EIO);
	EXPECT_EQ(test, dma_set_mask(d->dev, DMA_BIT_MASK(32)), 0);
	EXPECT_EQ(test, dma_set_mask(d->dev, DMA_BIT_MASK(64)), 0);
	EXPECT_EQ(test, dma_get_required_mask(d->dev), DMA_BIT_MASK(36));
}

/* Pages that each lie in their own granule have to fit. */
static void sizes(struct kunit *test)
{
	struct device_fixture *d = device_open(test, .limits.bytes = 64 * MIB,
					       .limits.entries = 1000);

	EXPECT_EQ(test, dma_opt_mapping_size(d->dev), 256 * KIB);
	EXPECT_EQ(test, dma_max_mapping_size(d->dev), 1000 * PAGE_SIZE);
	d->f->e->limits.entries = 65536;
	EXPECT_EQ(test, dma_max_mapping_size(d->dev),
		  64 * MIB / GRANULE * PAGE_SIZE);
	/* More than a host maps at once would not help. */
	d->f->e->limits.bytes = 64 * GIB;
	d->f->e->limits.entries = U32_MAX;
	EXPECT_EQ(test, dma_max_mapping_size(d->dev),
		  APPLE_DMA_CHUNK_SIZE / GRANULE * PAGE_SIZE);
}

static void ops_know_their_own(struct kunit *test)
{
	struct device_fixture *d = device_open(test);
	static const struct dma_map_ops foreign;

	EXPECT(test, apple_dma_is_ours(&d->f->ad->ops));
	EXPECT(test, apple_dma_is_ours(&apple_dma_ops));
	EXPECT(test, !apple_dma_is_ours(&foreign));
	EXPECT(test, !apple_dma_is_ours(NULL));
}

static struct kunit_case dma_ops_cases[] = {
	KUNIT_CASE(map_page_leads_there),
	KUNIT_CASE(strict_map_page_rings_twice),
	KUNIT_CASE(every_op_works_in_atomic_context),
	KUNIT_CASE(refused_map_is_an_error),
	KUNIT_CASE(mask_is_kept_to),
	KUNIT_CASE(mmio_is_refused),
	KUNIT_CASE(list_is_mapped_at_once),
	KUNIT_CASE(list_errors),
	KUNIT_CASE(page_of_a_broken_map_is_kept),
	KUNIT_CASE(pages_left_on_a_broken_host_are_kept),
	KUNIT_CASE(list_of_a_broken_map_is_kept),
	KUNIT_CASE(memory_of_a_broken_host_is_kept),
	KUNIT_CASE(coherent_memory),
	KUNIT_CASE(alignment_is_bought),
	KUNIT_CASE(alignment_is_promised),
	KUNIT_CASE(allocation_is_refused),
	KUNIT_CASE(pages_for_dma),
	KUNIT_CASE(table_of_an_allocation),
	KUNIT_CASE(mmap_stays_inside),
	KUNIT_CASE(masks),
	KUNIT_CASE(sizes),
	KUNIT_CASE(ops_know_their_own),
	{ }
};

struct kunit_suite dma_ops_suite = {
	.name = "apple_dma_dma_ops",
	.exit = device_close,
	.test_cases = dma_ops_cases,
};
