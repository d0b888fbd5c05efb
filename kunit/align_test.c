// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/align.c: naturally aligned blocks get aligned addresses, on each kind
 * of host where that is possible, and at a bounded cost.
 */

#include "fixture.h"
#include "suites.h"

#define BLOCKS	100

/* Most calls of the host for one map: its window, and three to align it. */
#define MOST_CALLS	4

/**
 * struct crowd - mappings beside the blocks
 * @addr: some pages and odd pieces; the oldest is unmapped first
 * @size: bytes of each
 * @n: how many were mapped
 */
struct crowd {
	dma_addr_t addr[16];
	u64 size[16];
	unsigned int n;
};

/*
 * One more piece of 3 to 11 granules, in place of the oldest. It crosses an end
 * of shared windows, so that its own window is odd, too.
 */
static void crowd_one_more(struct fixture *f, struct crowd *c)
{
	unsigned int i = c->n % ARRAY_SIZE(c->addr);
	u64 from = 512 * MIB + (u64)c->n * 7 % 97 * 4 * MIB - (1 + c->n % 2) * GRANULE;

	if (c->n >= ARRAY_SIZE(c->addr) && c->addr[i] != DMA_MAPPING_ERROR)
		CHECK_EQ(f->test, fixture_unmap(f, c->addr[i], c->size[i]), 0);
	c->size[i] = (3 + c->n * 5 % 9) * GRANULE;
	c->addr[i] = fixture_map(f, from, c->size[i]);
	c->n++;
}

/* How many of BLOCKS blocks of @size bytes get an address as aligned. */
static unsigned int aligned_blocks(struct fixture *f, u64 size)
{
	struct crowd crowd = {};
	unsigned int i, aligned = 0;

	for (i = 0; i < BLOCKS; i++) {
		u64 from = i * 37 % BLOCKS * 4 * MIB;
		dma_addr_t addr;

		crowd_one_more(f, &crowd);
		fixture_doorbells(f);
		addr = fixture_map(f, from, size);
		CHECK(f->test, addr != DMA_MAPPING_ERROR);
		EXPECT(f->test, fixture_doorbells(f) <= MOST_CALLS);
		EXPECT(f->test, fixture_right(f, addr, FAKE_RAM + from, size));
		aligned += IS_ALIGNED(addr, size);
	}
	return aligned;
}

/* @ram: MiB; 1024 fit in the budget, so that all windows are large. */
static void check_aligned(struct kunit *test, enum fake_host_policy policy,
			  enum apple_dma_mode mode, u64 ram, u64 size,
			  unsigned int least)
{
	struct fixture *f = fixture_open(test, .policy = policy, .mode = mode,
					 .ram = { ram * MIB });
	unsigned int aligned = aligned_blocks(f, size);

	kunit_info(test, "%llu KiB, host %d, mode %d, %llu MiB: %u of %u aligned, %llu tries\n",
		   size / KIB, policy, mode, ram, aligned, BLOCKS,
		   fixture_stats(f)->align_tries);
	EXPECT(test, aligned >= least);
	fixture_close(test);
}

/* Where the host can be predicted, in all modes and with windows of any size. */
static void check_predicted(struct kunit *test, enum fake_host_policy policy,
			    u64 size)
{
	check_aligned(test, policy, APPLE_DMA_MODE_CACHED, 1024, size, 95);
	check_aligned(test, policy, APPLE_DMA_MODE_CACHED, 6000, size, 95);
}

static void large_blocks_are_aligned(struct kunit *test)
{
	check_predicted(test, FAKE_HOST_ALIGNED, 2 * MIB);
	check_predicted(test, FAKE_HOST_FIRST_FIT, 2 * MIB);
	check_predicted(test, FAKE_HOST_DENSE, 2 * MIB);
	check_predicted(test, FAKE_HOST_GUARD, 2 * MIB);
	/* Luck, more or less: for the figures. */
	check_aligned(test, FAKE_HOST_GAPS, APPLE_DMA_MODE_CACHED, 1024,
		      2 * MIB, 0);
	check_aligned(test, FAKE_HOST_RANDOM, APPLE_DMA_MODE_CACHED, 1024,
		      2 * MIB, 0);
	check_aligned(test, FAKE_HOST_ALIGNED, APPLE_DMA_MODE_STRICT, 1024,
		      2 * MIB, 95);
	check_aligned(test, FAKE_HOST_DENSE, APPLE_DMA_MODE_STRICT, 1024,
		      2 * MIB, 95);
}

static void small_blocks_are_aligned(struct kunit *test)
{
	enum fake_host_policy policy;

	for (policy = 0; policy < FAKE_HOST_FRAGMENTED; policy++)
		check_predicted(test, policy, 64 * KIB);
	check_aligned(test, FAKE_HOST_ALIGNED, APPLE_DMA_MODE_STRICT, 1024,
		      64 * KIB, 95);
	check_aligned(test, FAKE_HOST_DENSE, APPLE_DMA_MODE_STRICT, 1024,
		      64 * KIB, 95);
}

/* Alignment is luck here. The search stops after 4 failures, then after one. */
static void search_gives_up(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_UNALIGNED);
	unsigned int aligned = aligned_blocks(f, 4 * MIB);

	kunit_info(test, "%u of %u aligned, %llu tries\n", aligned, BLOCKS,
		   fixture_stats(f)->align_tries);
	/* A call for each window, and one for each search. */
	EXPECT(test, fixture_counts(f).doorbells < 250);
	EXPECT_EQ(test, fixture_stats(f)->aligned, aligned);
	EXPECT_EQ(test, fixture_stats(f)->unaligned, BLOCKS - aligned);
}

/* Pages need no alignment: a doorbell for a window, and none for a hit. */
static void pages_cost_nothing(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_UNALIGNED);
	unsigned int i;

	for (i = 0; i < 100; i++) {
		CHECK(test, fixture_map(f, i * 4 * MIB, PAGE) != DMA_MAPPING_ERROR);
		CHECK(test, fixture_map(f, i * 4 * MIB + 64 * KIB, 60 * KIB) !=
		      DMA_MAPPING_ERROR);
	}
	CHECK_EQ(test, fixture_doorbells(f), 100);
	CHECK_EQ(test, fixture_stats(f)->align_tries, 0);
}

/*
 * Nor do neighbouring pages of a list that make a run of an aligned size, even where
 * the host's next address is known and would not be aligned.
 */
static void pages_of_a_list_cost_nothing(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_DENSE,
					 .ram = { 6000 * MIB });
	struct scatterlist *sgl, *sg;
	unsigned int i, j;

	for (i = 0; i < 3; i++)
		CHECK(test, fixture_map(f, (100 + i) * 4 * MIB - GRANULE,
					2 * GRANULE) != DMA_MAPPING_ERROR);
	sgl = fixture_list(f, 800 * MIB, 128, 0, PAGE);
	for_each_sg(sgl, sg, 128, j)
		sg->offset += j / 32 * 8 * MIB + j % 32 * PAGE;
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 128, ANY, ANY), 0);
	CHECK_EQ(test, fixture_doorbells(f), 4);
	CHECK_EQ(test, fixture_stats(f)->align_tries, 0);
}

/* The filler's address is guessed: the block costs one call, and is aligned. */
static void filler_costs_no_call(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_DENSE);
	u64 bytes, calls = 0;
	unsigned int i;

	/* Two windows at the end of another one show the host's habit. */
	for (i = 0; i < 3; i++)
		CHECK(test, fixture_map(f, i * 4 * MIB, 64 * KIB) !=
		      DMA_MAPPING_ERROR);
	for (i = 0; i < 20; i++) {
		u64 from = (20 + i) * 4 * MIB;
		dma_addr_t addr;

		CHECK(test, fixture_map(f, (100 + i) * 4 * MIB - GRANULE,
					2 * GRANULE) != DMA_MAPPING_ERROR);
		bytes = fixture_stats(f)->mapped_bytes;
		fixture_doorbells(f);
		addr = fixture_map(f, from, 2 * MIB);
		CHECK(test, IS_ALIGNED(addr, 2 * MIB));
		calls += fixture_doorbells(f);
		CHECK(test, fixture_stats(f)->mapped_bytes <= bytes + 8 * MIB);
	}
	CHECK_EQ(test, fixture_stats(f)->unaligned, 0);
	/* Now and then one more, to give fillers back. */
	CHECK(test, calls <= 20 + 20 / 5);
	/* In the end only the windows are left. */
	apple_dma_engine_flush(f->e);
	CHECK_EQ(test, f->e->filler_bytes, 0);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 3 + 20 + 20);
}

/* Only an address that the device reaches is better. */
static void candidates_are_reached(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_UNALIGNED);
	u64 low = f->host->iova_base, mask = low + 64 * MIB;
	dma_addr_t addr;

	f->host->force = low + 16 * MIB + GRANULE;
	addr = apple_dma_map(f->e, FAKE_RAM + 64 * MIB, 64 * KIB, mask);
	CHECK(test, addr != DMA_MAPPING_ERROR);
	CHECK(test, addr + 64 * KIB - 1 <= mask);
	CHECK(test, fixture_right(f, addr, FAKE_RAM + 64 * MIB, 64 * KIB));
}

/* What would cross 4 GiB of device addresses gets another window, hits too. */
static void nothing_crosses_4_gib(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_DENSE);
	dma_addr_t addr;

	f->host->force = round_up(f->host->iova_base, 4 * GIB) + 4 * GIB - MIB;
	CHECK(test, fixture_map(f, 64 * MIB, PAGE) != DMA_MAPPING_ERROR);
	fixture_doorbells(f);
	/* The part of it on either side is used. */
	CHECK(test, fixture_map(f, 66 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_doorbells(f), 0);
	addr = fixture_map(f, 65 * MIB - 8 * KIB, 16 * KIB);
	CHECK(test, fixture_right(f, addr, FAKE_RAM + 65 * MIB - 8 * KIB,
				  16 * KIB));
	CHECK(test, !apple_dma_crosses(addr, 16 * KIB, U32_MAX));
	CHECK(test, fixture_doorbells(f) > 0);
}

/* Where no other address can be had, a list fails; one range is mapped all the same. */
static void crossing_4_gib_is_the_last_resort(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_DENSE,
					 .ram = { 64 * KIB });
	struct scatterlist *sgl = fixture_list(f, 0, 1, 0, 64 * KIB);

	f->host->force = round_up(f->host->iova_base, 4 * GIB) + 4 * GIB -
			 GRANULE;
	CHECK(test, fixture_map(f, 0, 64 * KIB) != DMA_MAPPING_ERROR);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 1, ANY, U32_MAX), -EIO);
	CHECK_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_BOUNDARY], 1);
}

/*
 * A driver with a boundary of 64 KiB: 48 KiB at an odd address are mapped where
 * they do not cross it. Where that cannot be had the map fails.
 */
static void boundary_is_kept_to(struct kunit *test)
{
	enum fake_host_policy policy;
	unsigned int i;

	for (policy = 0; policy < FAKE_HOST_POLICIES; policy++) {
		struct fixture *f = fixture_open(test, .policy = policy);
		struct scatterlist *sgl = fixture_list(f, 0, 1, 0, 3 * GRANULE);
		unsigned int failed = 0;

		for (i = 0; i < 50; i++) {
			u64 phys = FAKE_RAM + i * 8 * MIB + GRANULE;
			int err;

			sg_set_page(sgl, pfn_to_page(PHYS_PFN(phys)),
				    3 * GRANULE, 0);
			err = apple_dma_map_list(f->e, sgl, 1, ANY, 64 * KIB - 1);

			failed += !!err;
			if (err)
				continue;
			EXPECT(test, !apple_dma_crosses(sg_dma_address(sgl),
							sgl->length,
							64 * KIB - 1));
			EXPECT(test, fixture_right(f, sg_dma_address(sgl),
						   sg_phys(sgl), sgl->length));
			CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 1), 0);
		}
		EXPECT(test, failed <= (policy == FAKE_HOST_FRAGMENTED ? 50 : 1));
		EXPECT_EQ(test, fixture_stats(f)->failures[APPLE_DMA_FAIL_BOUNDARY],
			  failed);
		fixture_close(test);
	}
}

/* A hit in a window that was made by a driver that has no boundary. */
static void boundary_is_kept_to_by_hits(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_UNALIGNED);
	struct scatterlist *sgl = fixture_list(f, 64 * MIB + GRANULE, 1, 0,
					       3 * GRANULE);

	CHECK(test, fixture_map(f, 64 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 1, ANY, ANY), 0);
	CHECK(test, apple_dma_crosses(sg_dma_address(sgl), 3 * GRANULE,
				      64 * KIB - 1));
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 1), 0);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 1, ANY, 64 * KIB - 1), 0);
	CHECK(test, !apple_dma_crosses(sg_dma_address(sgl), 3 * GRANULE,
				       64 * KIB - 1));
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 1), 0);
	CHECK_EQ(test, fixture_stats(f)->live_mappings, 1);
}

/*
 * The first window ends at an odd address. So the block's window is one call, a
 * window that starts earlier is the second, and the third gives the first
 * window back. A hit in it costs nothing.
 */
static void aligned_window_is_three_calls(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_DENSE);
	u64 bytes, from = 100 * MIB;
	dma_addr_t addr;

	CHECK(test, fixture_map(f, 4 * MIB - GRANULE, 3 * GRANULE) !=
	      DMA_MAPPING_ERROR);
	bytes = fixture_stats(f)->mapped_bytes;
	fixture_doorbells(f);
	addr = fixture_map(f, from, 2 * MIB);
	CHECK_EQ(test, fixture_doorbells(f), 3);
	CHECK(test, IS_ALIGNED(addr, 2 * MIB));
	CHECK(test, fixture_right(f, addr, FAKE_RAM + from, 2 * MIB));
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 2);
	CHECK(test, fixture_stats(f)->mapped_bytes - bytes < 4 * MIB + 2 * MIB);
	CHECK_EQ(test, fixture_stats(f)->aligned, 1);

	CHECK_EQ(test, fixture_unmap(f, addr, 2 * MIB), 0);
	CHECK(test, fixture_map(f, from, 2 * MIB) == addr);
	/* Behind it, the next one is aligned. */
	addr = fixture_map(f, from + 50 * MIB, 2 * MIB);
	CHECK(test, IS_ALIGNED(addr, 2 * MIB));
	CHECK_EQ(test, fixture_doorbells(f), 1);
}

/* A window in use, made for a page: the block gets a window of its own. */
static void block_in_a_window_in_use(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_DENSE);
	dma_addr_t odd = fixture_map(f, 4 * MIB - GRANULE, 3 * GRANULE);
	dma_addr_t page = fixture_map(f, 100 * MIB + 8 * KIB, PAGE), addr;

	CHECK(test, odd != DMA_MAPPING_ERROR && page != DMA_MAPPING_ERROR);
	addr = fixture_map(f, 102 * MIB, 2 * MIB);
	CHECK(test, IS_ALIGNED(addr, 2 * MIB));
	CHECK(test, fixture_right(f, addr, FAKE_RAM + 102 * MIB, 2 * MIB));
	CHECK(test, fixture_right(f, page, FAKE_RAM + 100 * MIB + 8 * KIB, PAGE));
	CHECK_EQ(test, fixture_unmap(f, page, PAGE), 0);
	CHECK_EQ(test, fixture_unmap(f, addr, 2 * MIB), 0);
}

/*
 * Such a window stays registered for the page. All of them together do not waste
 * more than large windows may: then blocks are mapped where the page is.
 */
static void windows_in_use_are_left_with_room_only(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_RANDOM,
					 .ram = { 6000 * MIB });
	u64 busy, waste;
	unsigned int i;

	for (i = 0; i < 200; i++)
		CHECK(test, fixture_map(f, i * 4 * MIB, PAGE) != DMA_MAPPING_ERROR);
	for (i = 0; i < 200; i++)
		CHECK(test, fixture_map(f, i * 4 * MIB + 64 * KIB, 64 * KIB) !=
		      DMA_MAPPING_ERROR);
	apple_dma_budget_busy(f->e, &busy, &waste);
	CHECK_EQ(test, fixture_stats(f)->live_bytes, 200 * (PAGE + 64 * KIB));
	EXPECT(test, waste <= f->e->limits.bytes / 12 + 200 * GRANULE);
}

/* In a list, each entry that is a block. */
static void check_list(struct kunit *test, enum apple_dma_mode mode)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_DENSE,
					 .mode = mode);
	struct scatterlist *sgl = fixture_list(f, 100 * MIB, 20, 6 * MIB, 2 * MIB);
	struct scatterlist *sg;
	int i;

	CHECK(test, fixture_map(f, 4 * MIB - GRANULE, 3 * GRANULE) !=
	      DMA_MAPPING_ERROR);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 20, ANY, ANY), 0);
	for_each_sg(sgl, sg, 20, i) {
		EXPECT(test, IS_ALIGNED(sg_dma_address(sg), 2 * MIB));
		EXPECT(test, fixture_right(f, sg_dma_address(sg), sg_phys(sg),
					   2 * MIB));
	}
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 20), 0);
}

static void blocks_of_a_list_are_aligned(struct kunit *test)
{
	check_list(test, APPLE_DMA_MODE_CACHED);
	fixture_close(test);
	check_list(test, APPLE_DMA_MODE_STRICT);
}

/* In strict mode nothing but the block is registered in the end. */
static void strict_registers_the_block_only(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_DENSE,
					 .mode = APPLE_DMA_MODE_STRICT);
	dma_addr_t addr;

	CHECK(test, fixture_map(f, 0, GRANULE) != DMA_MAPPING_ERROR);
	addr = fixture_map(f, 100 * MIB, 2 * MIB);
	CHECK(test, IS_ALIGNED(addr, 2 * MIB));
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, GRANULE + 2 * MIB);
	CHECK_EQ(test, fixture_unmap(f, addr, 2 * MIB), 0);
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, GRANULE);
}

/* The host breaks the protocol at each of the calls in turn. */
static void check_breaks(struct kunit *test, enum apple_dma_mode mode)
{
	unsigned int i;
	bool broken;

	for (i = 1, broken = true; broken; i++) {
		dma_addr_t addr;
		struct fixture *f = fixture_open(test, .policy = FAKE_HOST_UNALIGNED,
						 .mode = mode);

		CHECK(test, fixture_map(f, 4 * MIB - GRANULE, 3 * GRANULE) !=
		      DMA_MAPPING_ERROR);
		f->host->breaks = i;
		addr = fixture_map(f, 100 * MIB, 2 * MIB);
		broken = f->e->broken;
		EXPECT(test, broken || addr != DMA_MAPPING_ERROR);
		f->host->breaks = 0;
		fixture_close(test);
	}
	/*
	 * The window, two searches, and the candidates go; in strict mode each
	 * search gives the window back first, and its filler goes.
	 */
	EXPECT_EQ(test, i - 2, mode == APPLE_DMA_MODE_STRICT ? 5 : 4);
}

static void each_call_may_break(struct kunit *test)
{
	check_breaks(test, APPLE_DMA_MODE_CACHED);
	check_breaks(test, APPLE_DMA_MODE_STRICT);
}

/* Where the host has room for the block only, a filler does not take it. */
static void check_full_host(struct kunit *test, enum apple_dma_mode mode,
			    u64 room)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_DENSE,
					 .mode = mode);
	struct fake_host_limits limits = f->host->limits;
	unsigned int i;

	for (i = 0; i < 3; i++)
		CHECK(test, fixture_map(f, i * 4 * MIB, 64 * KIB) !=
		      DMA_MAPPING_ERROR);
	CHECK(test, fixture_map(f, 20 * MIB - GRANULE, 3 * GRANULE) !=
	      DMA_MAPPING_ERROR);
	limits.bytes = fixture_stats(f)->mapped_bytes + room;
	fake_host_limit(f->host, &limits);
	EXPECT(test, fixture_map(f, 200 * MIB, 2 * MIB) != DMA_MAPPING_ERROR);
	fixture_close(test);
}

static void filler_takes_no_room(struct kunit *test)
{
	check_full_host(test, APPLE_DMA_MODE_CACHED, 5 * MIB);
	check_full_host(test, APPLE_DMA_MODE_STRICT, 3 * MIB);
}

/* A window that was given back to be aligned is had again, if one more fits. */
static void window_given_back_is_had_again(struct kunit *test)
{
	static const u8 policy[] = { FAKE_HOST_UNALIGNED, FAKE_HOST_DENSE };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(policy); i++) {
		struct fixture *f = fixture_open(test, .policy = policy[i],
						 .mode = APPLE_DMA_MODE_STRICT);
		struct fake_host_limits limits = f->host->limits;

		CHECK(test, fixture_map(f, 0, GRANULE) != DMA_MAPPING_ERROR);
		limits.entries = 2;
		fake_host_limit(f->host, &limits);
		EXPECT(test, fixture_map(f, 200 * MIB, 2 * MIB) !=
		       DMA_MAPPING_ERROR);
		fixture_close(test);
	}
}

/* Fillers of a list that nearly fills the budget do not keep it from fitting. */
static void check_long_list(struct kunit *test, enum apple_dma_mode mode,
			    enum fake_host_policy policy, int n, int least)
{
	struct fixture *f = fixture_open(test, .policy = policy, .mode = mode,
					 .ram = { 6000 * MIB });
	struct scatterlist *sgl = fixture_list(f, 100 * MIB, n, 8 * MIB, 2 * MIB);
	struct scatterlist *sg;
	int i, aligned = 0;

	for (i = 0; i < 3; i++)
		CHECK(test, fixture_map(f, i * 4 * MIB, 64 * KIB) !=
		      DMA_MAPPING_ERROR);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, n, ANY, ANY), 0);
	for_each_sg(sgl, sg, n, i)
		aligned += IS_ALIGNED(sg_dma_address(sg), 2 * MIB);
	kunit_info(test, "list, mode %d, host %d: %d of %d aligned, %llu calls\n",
		   mode, policy, aligned, n, fixture_doorbells(f));
	EXPECT(test, aligned >= least);
	fixture_close(test);
}

static void long_list_fits_and_is_aligned(struct kunit *test)
{
	check_long_list(test, APPLE_DMA_MODE_STRICT, FAKE_HOST_GUARD, 640, 600);
	check_long_list(test, APPLE_DMA_MODE_STRICT, FAKE_HOST_GUARD, 700, 600);
	check_long_list(test, APPLE_DMA_MODE_STRICT, FAKE_HOST_DENSE, 640, 600);
	check_long_list(test, APPLE_DMA_MODE_CACHED, FAKE_HOST_GUARD, 640, 600);
	check_long_list(test, APPLE_DMA_MODE_STRICT, FAKE_HOST_UNALIGNED, 640, 0);
}

/* 45 MiB for 20 blocks of 2 MiB: fillers that have done their work make room. */
static void closed_fillers_make_room(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_GUARD,
					 .mode = APPLE_DMA_MODE_STRICT,
					 .limits.bytes = 45 * MIB + 192 * KIB);
	struct scatterlist *sgl = fixture_list(f, 100 * MIB, 20, 8 * MIB, 2 * MIB);
	unsigned int i;

	for (i = 0; i < 3; i++)
		CHECK(test, fixture_map(f, i * 4 * MIB, 64 * KIB) !=
		      DMA_MAPPING_ERROR);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 20, ANY, ANY), 0);
}

/* In strict mode nothing but the range is registered, wherever the host puts it. */
static void strict_window_across_4_gib(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_DENSE,
					 .mode = APPLE_DMA_MODE_STRICT);
	u64 end = round_up(f->host->iova_base, 4 * GIB) + 4 * GIB;
	dma_addr_t addr;

	f->host->force = end - GRANULE;
	addr = fixture_map(f, 64 * MIB, 2 * GRANULE);
	CHECK(test, !apple_dma_crosses(addr, 2 * GRANULE, U32_MAX));
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, 2 * GRANULE);
	f->host->force = end + 4 * GIB - GRANULE;
	CHECK(test, fixture_map(f, 0, 2 * GRANULE) != DMA_MAPPING_ERROR);
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, 4 * GRANULE);
}

/*
 * The same, where the host fills the lowest hole again and again: the one at 4 GiB
 * is the lowest.
 */
static void strict_hole_across_4_gib(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_FIRST_FIT,
					 .mode = APPLE_DMA_MODE_STRICT);
	struct scatterlist *sgl = fixture_list(f, 64 * MIB, 1, 0, 2 * GRANULE);

	f->host->iova_base = round_up(f->host->iova_base, 4 * GIB) + 4 * GIB -
			     GRANULE;
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 1, ANY, U32_MAX), 0);
	CHECK(test, !apple_dma_crosses(sg_dma_address(sgl), 2 * GRANULE, U32_MAX));
	CHECK_EQ(test, fixture_stats(f)->mapped_bytes, 2 * GRANULE);
}

/* A range that the budget has room for once is mapped, across 4 GiB if need be. */
static void large_range_across_4_gib(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_DENSE,
					 .ram = { 4000 * MIB });

	f->host->force = round_up(f->host->iova_base, 4 * GIB) + 4 * GIB -
			 512 * MIB;
	CHECK(test, fixture_map(f, 64 * MIB, GIB) != DMA_MAPPING_ERROR);
}

/*
 * A buffer of a list is too large for candidates, and its window crosses 4 GiB. It is
 * asked for again, also when an earlier failure has left the window idle.
 */
static void large_list_across_4_gib(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_RANDOM,
					 .ram = { 4000 * MIB });
	struct scatterlist *sgl = fixture_list(f, 256 * MIB, 1, 0, 64 * MIB);
	u64 end = round_up(f->host->iova_base, 4 * GIB) + 4 * GIB;

	f->host->force = end - 32 * MIB;
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 1, ANY, U32_MAX), 0);
	CHECK(test, !apple_dma_crosses(sg_dma_address(sgl), 64 * MIB, U32_MAX));
	CHECK_EQ(test, apple_dma_unmap_list(f->e, sgl, 1), 0);
	apple_dma_engine_flush(f->e);

	f->host->force = end - 32 * MIB;
	CHECK(test, fixture_map(f, 256 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK_EQ(test, apple_dma_map_list(f->e, sgl, 1, ANY, U32_MAX), 0);
	CHECK(test, !apple_dma_crosses(sg_dma_address(sgl), 64 * MIB, U32_MAX));
}

/* One doorbell in a hold of the lock, with candidates and fillers, too. */
static void one_doorbell_in_a_hold(struct kunit *test)
{
	enum apple_dma_mode mode;

	for (mode = 0; mode < APPLE_DMA_MODE_COUNT; mode++) {
		struct fixture *f = fixture_open(test, .policy = FAKE_HOST_DENSE,
						 .mode = mode);

		CHECK(test, fixture_map(f, 4 * MIB - GRANULE, 3 * GRANULE) !=
		      DMA_MAPPING_ERROR);
		CHECK(test, fixture_map(f, 100 * MIB, 2 * MIB) !=
		      DMA_MAPPING_ERROR);
		EXPECT_EQ(test, fixture_counts(f).in_a_row, 1);
		fixture_close(test);
	}
}

/* Of 60 ranges of 2 MiB from @from on, how many cannot keep to a boundary of 4 MiB. */
static unsigned int across_4_mib(struct fixture *f, unsigned int from)
{
	struct scatterlist *sgl = fixture_list(f, 0, 1, 0, 2 * MIB);
	unsigned int i, failed = 0;

	for (i = from; i < from + 60; i++) {
		u64 phys = FAKE_RAM + i * 8 * MIB + GRANULE;
		int err;

		sg_set_page(sgl, pfn_to_page(PHYS_PFN(phys)), 2 * MIB, 0);
		err = apple_dma_map_list(f->e, sgl, 1, ANY, 4 * MIB - 1);
		failed += !!err;
		if (!err)
			apple_dma_unmap_list(f->e, sgl, 1);
	}
	return failed;
}

/* That blocks cannot be aligned says nothing about boundaries. */
static void boundary_is_always_searched_for(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_UNALIGNED,
					 .ram = { 6000 * MIB });
	unsigned int before = across_4_mib(f, 0), i;

	for (i = 0; i < 120; i++)
		fixture_map(f, 1000 * MIB + i % 60 * 8 * MIB, 4 * MIB);
	EXPECT(test, across_4_mib(f, 200) <= before + 3);
}

/* Candidates for a large range would have too much of the budget: there are none. */
static void candidates_keep_to_their_share(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .policy = FAKE_HOST_UNALIGNED);

	CHECK(test, fixture_map(f, 200 * MIB, 152 * MIB) != DMA_MAPPING_ERROR);
	CHECK(test, fixture_stats(f)->peak_bytes <=
	      160 * MIB + f->e->limits.bytes / 32);
}

/* With fillers a boundary is kept to in strict mode, where the host has a habit. */
static void boundary_is_kept_to_in_strict_mode(struct kunit *test)
{
	static const u8 policy[] = { FAKE_HOST_DENSE, FAKE_HOST_GUARD,
				     FAKE_HOST_FIRST_FIT, FAKE_HOST_ALIGNED };
	unsigned int i, k, failed;

	for (k = 0; k < ARRAY_SIZE(policy); k++) {
		struct fixture *f = fixture_open(test, .policy = policy[k],
						 .mode = APPLE_DMA_MODE_STRICT);
		struct scatterlist *sgl = fixture_list(f, 0, 1, 0, 3 * GRANULE);

		for (i = failed = 0; i < 50; i++) {
			u64 phys = FAKE_RAM + i * 8 * MIB + GRANULE;

			fixture_map(f, i * 8 * MIB + 4 * MIB, GRANULE);
			sg_set_page(sgl, pfn_to_page(PHYS_PFN(phys)),
				    3 * GRANULE, 0);
			if (apple_dma_map_list(f->e, sgl, 1, ANY, 64 * KIB - 1))
				failed++;
			else
				apple_dma_unmap_list(f->e, sgl, 1);
		}
		kunit_info(test, "host %d: %u of 50 failed\n", policy[k], failed);
		EXPECT(test, failed <= 3);
		fixture_close(test);
	}
}

/*
 * Some granules come and go on a host that uses its first hole. What is asked for next
 * goes where the first of them was, and not behind the last.
 */
static void hole_of_granules_is_seen(struct kunit *test)
{
	unsigned int granules, i, aligned;

	for (granules = 1; granules <= 12; granules++) {
		struct fixture *f = fixture_open(test, .policy = FAKE_HOST_FIRST_FIT,
						 .mode = APPLE_DMA_MODE_STRICT);
		dma_addr_t addr[12];

		for (i = 0; i < granules; i++)
			addr[i] = fixture_map(f, i * 2 * GRANULE, GRANULE);
		for (i = 0; i < granules; i++)
			fixture_unmap(f, addr[i], GRANULE);
		for (i = aligned = 0; i < BLOCKS; i++) {
			u64 from = (4 + i) * MIB;
			dma_addr_t block = fixture_map(f, from, 64 * KIB);

			CHECK(test, block != DMA_MAPPING_ERROR);
			aligned += IS_ALIGNED(block, 64 * KIB);
		}
		kunit_info(test, "%u granules: %u of %u aligned\n", granules,
			   aligned, BLOCKS);
		EXPECT(test, aligned >= BLOCKS * 95 / 100);
		fixture_close(test);
	}
}

static struct kunit_case align_cases[] = {
	KUNIT_CASE(large_blocks_are_aligned),
	KUNIT_CASE(small_blocks_are_aligned),
	KUNIT_CASE(search_gives_up),
	KUNIT_CASE(pages_cost_nothing),
	KUNIT_CASE(pages_of_a_list_cost_nothing),
	KUNIT_CASE(filler_costs_no_call),
	KUNIT_CASE(candidates_are_reached),
	KUNIT_CASE(nothing_crosses_4_gib),
	KUNIT_CASE(crossing_4_gib_is_the_last_resort),
	KUNIT_CASE(boundary_is_kept_to),
	KUNIT_CASE(boundary_is_kept_to_by_hits),
	KUNIT_CASE(aligned_window_is_three_calls),
	KUNIT_CASE(block_in_a_window_in_use),
	KUNIT_CASE(windows_in_use_are_left_with_room_only),
	KUNIT_CASE(blocks_of_a_list_are_aligned),
	KUNIT_CASE(strict_registers_the_block_only),
	KUNIT_CASE(each_call_may_break),
	KUNIT_CASE(filler_takes_no_room),
	KUNIT_CASE(window_given_back_is_had_again),
	KUNIT_CASE(long_list_fits_and_is_aligned),
	KUNIT_CASE(closed_fillers_make_room),
	KUNIT_CASE(strict_window_across_4_gib),
	KUNIT_CASE(strict_hole_across_4_gib),
	KUNIT_CASE(large_range_across_4_gib),
	KUNIT_CASE(large_list_across_4_gib),
	KUNIT_CASE(one_doorbell_in_a_hold),
	KUNIT_CASE(boundary_is_always_searched_for),
	KUNIT_CASE(candidates_keep_to_their_share),
	KUNIT_CASE(boundary_is_kept_to_in_strict_mode),
	KUNIT_CASE(hole_of_granules_is_seen),
	{ }
};

struct kunit_suite align_suite = {
	.name = "apple_dma_align",
	.exit = fixture_close,
	.test_cases = align_cases,
};
