// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/runs.c: a list gets one window for each run of granules, whatever the
 * order of its entries.
 */

#include "fixture.h"
#include "suites.h"

/* So few that windows have exact granules: a larger one would waste too much. */
#define FEW	(7 * MIB)

/* Entry @i of a list of @n, which has the @i-th of @n pieces in some order. */
enum order { FORWARD, BACKWARD, MIXED, ORDERS };

static unsigned int in_order(enum order order, unsigned int i, unsigned int n)
{
	switch (order) {
	case BACKWARD:
		return n - 1 - i;
	case MIXED:
		/* 37 has no factor in common with the lengths used here. */
		return i * 37 % n;
	default:
		return i;
	}
}

/* A list of @n pages, in @gaps + 1 runs of equal length, 64 KiB apart. */
static struct scatterlist *pages(struct fixture *f, u64 from, unsigned int n,
				 unsigned int gaps, enum order order)
{
	struct scatterlist *sgl = fixture_memory(f, n * sizeof(*sgl)), *sg;
	unsigned int each = n / (gaps + 1);
	int i;

	sg_init_table(sgl, n);
	for_each_sg(sgl, sg, n, i) {
		unsigned int k = in_order(order, i, n);
		u64 phys = FAKE_RAM + from + k * PAGE + k / each * 64 * KIB;

		sg_set_page(sg, pfn_to_page(PHYS_PFN(phys)), PAGE, 0);
	}
	return sgl;
}

static void check_right(struct fixture *f, struct scatterlist *sgl, int n)
{
	struct scatterlist *sg;
	int i;

	for_each_sg(sgl, sg, n, i)
		EXPECT(f->test, fixture_right(f, sg_dma_address(sg), sg_phys(sg),
					      sg->length));
}

/* Map a list: so many windows and doorbells, and @bytes in all. */
static void costs(struct fixture *f, struct scatterlist *sgl, int n,
		  u64 doorbells, u64 windows, u64 bytes)
{
	u64 asked = fixture_counts(f).map_entries;

	fixture_doorbells(f);
	CHECK_EQ(f->test, apple_dma_map_list(f->e, sgl, n, ANY, ANY), 0);
	CHECK_EQ(f->test, fixture_doorbells(f), doorbells);
	CHECK_EQ(f->test, fixture_counts(f).map_entries - asked, windows);
	CHECK_EQ(f->test, fixture_stats(f)->mapped_bytes, bytes);
	check_right(f, sgl, n);
	CHECK_EQ(f->test, apple_dma_unmap_list(f->e, sgl, n), 0);
	CHECK_EQ(f->test, fixture_stats(f)->bad_unmaps, 0);
}

/* 300 pages in one, three and 75 runs: a window each, 32 to a doorbell. */
static void a_run_is_one_window(struct kunit *test)
{
	static const unsigned int gaps[] = { 0, 2, 74 };
	enum order order;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(gaps); i++) {
		for (order = 0; order < ORDERS; order++) {
			struct fixture *f = fixture_open(test, .limits.bytes = FEW);

			costs(f, pages(f, 0, 300, gaps[i], order), 300,
			      1 + gaps[i] / 32, gaps[i] + 1, 300 * PAGE);
			fixture_close(test);
		}
	}
}

/* A run is cut where a block of 4 MiB ends, so that windows can be told apart. */
static void a_run_ends_with_its_block(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = FEW);

	costs(f, pages(f, 4 * MIB - 64 * KIB, 32, 0, BACKWARD), 32, 1, 2,
	      128 * KIB);
}

/* Where there is room, a window is larger, and a batch covers all that it has. */
static void runs_share_large_windows(struct kunit *test)
{
	enum order order;

	for (order = 0; order < ORDERS; order++) {
		struct fixture *f = fixture_open(test);

		costs(f, pages(f, 0, 4096, 255, order), 4096, 1, 8, 32 * MIB);
		fixture_close(test);
	}
}

/* What has a window already is not asked for again. */
static void what_is_there_is_no_run(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = FEW);
	dma_addr_t addr = fixture_map(f, 128 * KIB, 64 * KIB);

	CHECK(test, addr != DMA_MAPPING_ERROR);
	costs(f, pages(f, 0, 256, 0, MIXED), 256, 1, 2, MIB);
}

/*
 * A page, and a block of 64 KiB behind it: two windows, so that each starts where
 * it is aligned. The page behind the block is in the block's window.
 */
static void a_block_starts_its_run(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = FEW);
	static const u64 from[] = { 128 * KIB, 48 * KIB, 64 * KIB };
	static const u64 size[] = { PAGE, GRANULE, 64 * KIB };
	struct scatterlist *sgl = fixture_memory(f, 3 * sizeof(*sgl));
	unsigned int i;

	sg_init_table(sgl, 3);
	for (i = 0; i < 3; i++)
		sg_set_page(&sgl[i], pfn_to_page(PHYS_PFN(FAKE_RAM + from[i])),
			    size[i], 0);
	costs(f, sgl, 3, 1, 2, 96 * KIB);
	CHECK(test, fake_host_has(f->host, FAKE_RAM + 64 * KIB));
}

/* A run with a hole of the host in it: what is not in the hole is mapped. */
static void refused_run_is_mapped_in_pieces(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = FEW);
	struct scatterlist *sgl = pages(f, 0, 64, 0, MIXED);

	f->host->hole.phys = FAKE_RAM + 256 * KIB;
	f->host->hole.size = GRANULE;
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 64, ANY, ANY), 0);
	check_right(f, sgl, 64);
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 64), 0);

	sgl = pages(f, 64 * KIB, 64, 0, MIXED);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 64, ANY, ANY), -EIO);
	CHECK_EQ(test, fixture_stats(f)->live_mappings, 0);
}

/*
 * A host with small holes only: when it has refused some sizes, nothing as large is
 * asked for. Ranges that are just smaller share a doorbell.
 */
static void runs_are_no_larger_than_the_holes(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .ram = { 6 * GIB });
	struct scatterlist *sgl = pages(f, 0, 4096, 0, FORWARD);

	f->host->limits.segment = 64 * KIB;
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 4096, ANY, ANY), 0);
	check_right(f, sgl, 4096);
	EXPECT(test, fixture_doorbells(f) <= 16 * MIB / (64 * KIB) + 80);
	EXPECT(test, fixture_stats(f)->refusals <= 20);
	fixture_close(test);

	f = fixture_open(test, .policy = FAKE_HOST_ALIGNED);
	f->host->limits.segment = 2 * MIB;
	CHECK(test, fixture_map(f, 500 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->refusals, 1);
	fixture_doorbells(f);
	sgl = fixture_list(f, 0, 64, 4 * MIB, 2 * MIB);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 64, ANY, ANY), 0);
	CHECK_EQ(test, fixture_stats(f)->refusals, 1);
	CHECK_EQ(test, fixture_doorbells(f), 2);
}

/* There is one set of bits. A list that comes meanwhile is mapped without. */
static void one_list_has_the_bits(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = FEW);
	struct scatterlist *first = pages(f, 0, 64, 0, FORWARD);
	struct scatterlist *sgl = pages(f, 2 * MIB, 64, 0, BACKWARD);
	struct apple_dma_request req;
	unsigned int i;

	for (i = 0; i < 64; i++)
		sg_dma_address(&first[i]) = DMA_MAPPING_ERROR;
	req = apple_dma_request_list(first, 64, ANY, ANY);
	CHECK(test, apple_dma_runs_begin(f->e, &req, false));
	CHECK(test, req.runs);
	costs(f, sgl, 64, 1, 16, 256 * KIB);
	apple_dma_runs_end(&req, first, 64);
	apple_dma_engine_flush(f->e);
	costs(f, sgl, 64, 1, 1, 256 * KIB);
	apple_dma_engine_flush(f->e);
	/* The bits of the first list are gone, too. */
	costs(f, pages(f, 256 * KIB, 64, 0, MIXED), 64, 1, 1, 256 * KIB);
}

/* In strict mode each entry has its own window, however little room there is. */
static void strict_lists_have_no_runs(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT,
					 .limits.bytes = 11 * MIB);

	costs(f, fixture_list(f, 64 * MIB, 1024, PAGE, PAGE), 1024, 8, 256,
	      4 * MIB);
}

/* Two granules 8 GiB apart have one bit: both are mapped. */
static void granules_with_one_bit(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .limits.bytes = FEW,
					 .ram = { 10 * GIB });
	struct scatterlist *sgl = fixture_list(f, 0, 2, 8 * GIB, PAGE);

	costs(f, sgl, 2, 2, 2, 2 * GRANULE);
}

/* 65,536 pages in a mixed order, where there is room for all. */
static void longest_list(struct kunit *test)
{
	struct fixture *f = fixture_open(test);

	costs(f, pages(f, 0, 65536, 0, MIXED), 65536, 2, 64, 256 * MIB);
}

static struct kunit_case runs_cases[] = {
	KUNIT_CASE(a_run_is_one_window),
	KUNIT_CASE(a_run_ends_with_its_block),
	KUNIT_CASE(runs_share_large_windows),
	KUNIT_CASE(what_is_there_is_no_run),
	KUNIT_CASE(a_block_starts_its_run),
	KUNIT_CASE(refused_run_is_mapped_in_pieces),
	KUNIT_CASE(runs_are_no_larger_than_the_holes),
	KUNIT_CASE(one_list_has_the_bits),
	KUNIT_CASE(strict_lists_have_no_runs),
	KUNIT_CASE(granules_with_one_bit),
	KUNIT_CASE(longest_list),
	{ }
};

struct kunit_suite runs_suite = {
	.name = "apple_dma_runs",
	.exit = fixture_close,
	.test_cases = runs_cases,
};
