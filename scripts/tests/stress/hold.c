// SPDX-License-Identifier: GPL-2.0-only
/*
 * How long the engine's lock is held, with interrupts off: lists of 65,536 pages
 * are mapped and unmapped, and the longest hold of each is logged in ns, without
 * the time of the fake host. Under icount these are instructions. It is measured,
 * not tested: the suites of kunit/ count steps.
 */

#include <linux/mm.h>
#include <linux/slab.h>

#include "fixture.h"
#include "stress.h"

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"

#define PAGES	65536U

static const char *const orders[] = { "forward", "reversed", "shuffled" };

/* Where the page number @i of the list is, in an order that is its index in orders. */
static unsigned int place(unsigned int order, unsigned int i)
{
	switch (order) {
	case 1:
		return PAGES - 1 - i;
	case 2:
		/* A permutation of the numbers below a power of two. */
		return (i * 40503U + 12345U) % PAGES;
	default:
		return i;
	}
}

static u64 longest(void)
{
	u64 ns = seam_longest_ns;

	seam_longest_ns = 0;
	return ns;
}

static void measure(struct kunit *test, enum apple_dma_mode mode,
		    unsigned int order)
{
	struct fixture *f = fixture_open(test, .mode = mode);
	struct scatterlist *sgl = fixture_list(f, 0, PAGES, PAGE, PAGE);
	u64 map, hit, unmap, flush;
	unsigned int i;

	for (i = 0; i < PAGES; i++)
		sg_set_page(&sgl[i], pfn_to_page(PHYS_PFN(FAKE_RAM) +
						 place(order, i)), PAGE, 0);
	longest();
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, PAGES, ANY, ANY), 0);
	map = longest();
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, PAGES), 0);
	unmap = longest();
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, PAGES, ANY, ANY), 0);
	hit = longest();
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, PAGES), 0);
	longest();
	apple_dma_engine_flush(f->e);
	apple_dma_window_wait(f->e);
	flush = longest();
	pr_info("apple_dma_stress: hold %s %s map %llu unmap %llu again %llu flush %llu\n",
		mode == APPLE_DMA_MODE_STRICT ? "strict" : "cached",
		orders[order], map, unmap, hit, flush);
}

#define HOLD(mode, order)						\
static void hold_##mode##_##order(struct kunit *test)			\
{									\
	measure(test, APPLE_DMA_MODE_##mode, order);			\
}

HOLD(CACHED, 0)
HOLD(CACHED, 1)
HOLD(CACHED, 2)
HOLD(STRICT, 0)
HOLD(STRICT, 1)
HOLD(STRICT, 2)

static struct kunit_case hold_cases[] = {
	KUNIT_CASE(hold_CACHED_0),
	KUNIT_CASE(hold_CACHED_1),
	KUNIT_CASE(hold_CACHED_2),
	KUNIT_CASE(hold_STRICT_0),
	KUNIT_CASE(hold_STRICT_1),
	KUNIT_CASE(hold_STRICT_2),
	{ }
};

struct kunit_suite hold_suite = {
	.name = "apple_dma_hold",
	.exit = fixture_close,
	.test_cases = hold_cases,
};
