// SPDX-License-Identifier: GPL-2.0-only
/*
 * Cases about the size and place of windows, and about what the host teaches.
 * Handles and exact granules are here, too.
 */

#include <linux/jiffies.h>
#include <linux/vmalloc.h>

#include "stress.h"

static dma_addr_t pin(struct fixture *f, u64 from, u64 size)
{
	return apple_dma_pin(f->e, STRESS_RAM + from, size, ANY);
}

static void let_learned_expire(struct fixture *f)
{
	unsigned long flags;

	spin_lock_irqsave(&f->e->lock, flags);
	f->e->learned.until = jiffies - 1;
	spin_unlock_irqrestore(&f->e->lock, flags);
}

/* 512 MiB and 100 MiB are 128 and 25 windows of 4 MiB, and then all is there. */
static int all_of_ram_ends_registered(struct fixture *f)
{
	unsigned int i, round, piece;

	for (round = 0; round < 2; round++)
		for (piece = 0; piece < 2; piece++)
			for (i = 0; i < f->ram[piece].size / (4 * MIB); i++)
				CHECK(!fixture_touch(f, f->ram[piece].phys -
						     STRESS_RAM + i * 4 * MIB +
						     round * MIB));
	CHECK_EQ(fixture_doorbells(f), 128 + 25);
	CHECK_EQ(fixture_stats(f).mapped_bytes, 612 * MIB);
	return 0;
}

/*
 * Behind 4 MiB come 84 KiB less a page: nothing fits there but one window of 64
 * KiB and one granule. The host watches that nothing crosses the end.
 */
static int shapes_end_with_ram(struct fixture *f)
{
	u64 at;

	for (at = 0; at < f->ram[0].size; at += PAGE)
		CHECK(!fixture_touch(f, at));
	CHECK_EQ(fixture_doorbells(f), 3);
	CHECK_EQ(fixture_stats(f).mapped_bytes, f->ram[0].size);
	return 0;
}

/* Pins pages, @stride apart, until one fails; how many that were. */
static u64 pin_until_refused(struct fixture *f, u64 stride, dma_addr_t *addr,
			     bool *grows)
{
	u64 shape = U64_MAX, now, n, most = f->ram[0].size / stride;

	*grows = false;
	for (n = 0; n < most; n++) {
		addr[n] = pin(f, n * stride, PAGE);
		if (addr[n] == DMA_MAPPING_ERROR)
			break;
		if (n % 512)
			continue;
		cond_resched();
		now = fixture_stats(f).window_bytes;
		*grows |= now > shape;
		shape = now;
	}
	return n;
}

/* One live page in each 256 KiB of 16 GiB, then in each 2 MiB. */
static int sparse_pages_fit(struct fixture *f)
{
	dma_addr_t *addr = vmalloc(65536 * sizeof(*addr));
	phys_addr_t phys;
	u64 n, i;
	bool grows;

	CHECK(addr);
	n = pin_until_refused(f, 256 * KIB, addr, &grows);
	pr_info("apple_dma_stress: # %llu pages, one in 256 KiB, in %llu registrations\n",
		n, fixture_stats(f).mapped_entries);
	CHECK(n >= 60000);
	CHECK(!grows);
	CHECK_EQ(fixture_stats(f).window_bytes, GRANULE);
	for (i = 0; i < n; i += 7)
		CHECK(fixture_right(f, addr[i], STRESS_RAM + i * 256 * KIB,
				    PAGE));
	for (i = 0; i < n; i++)
		CHECK_EQ(apple_dma_unpin(f->e, addr[i], PAGE, &phys), 0);
	apple_dma_engine_flush(f->e);
	CHECK_EQ(fixture_stats(f).mapped_entries, 0);

	CHECK_EQ(pin_until_refused(f, 2 * MIB, addr, &grows), 8192);
	vfree(addr);
	return 0;
}

/*
 * A host that takes 64 KiB at most. Each miss tries one shape, and then exact
 * granules: 4 MiB, 1 MiB, 256 KiB are refused, two doorbells each. From then on
 * the shape is 64 KiB, and one doorbell is enough.
 */
static int refused_shape_is_retried_smaller(struct fixture *f)
{
	unsigned int i;

	f->host->limits.segment = 64 * KIB;
	for (i = 0; i < 100; i++)
		CHECK(pin(f, i * 4 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_doorbells(f), 3 * 2 + 97);
	CHECK_EQ(fixture_stats(f).refusals, 3);
	CHECK_EQ(fixture_stats(f).window_bytes, 64 * KIB);

	/* Later it may be otherwise. */
	f->host->limits.segment = GIB;
	let_learned_expire(f);
	CHECK(pin(f, 500 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_doorbells(f), 1);
	CHECK_EQ(fixture_stats(f).window_bytes, 4 * MIB);
	return 0;
}

/*
 * A host that has 64 MiB: 16 windows. The next miss asks for a window and for
 * a granule, and learns; the ones after it ask for nothing.
 */
static int limit_of_host_is_learned(struct fixture *f)
{
	dma_addr_t addr[16];
	phys_addr_t phys;
	unsigned int i;

	f->host->limits.bytes = 64 * MIB;
	for (i = 0; i < 16; i++)
		addr[i] = pin(f, i * 4 * MIB, PAGE);
	CHECK_EQ(fixture_doorbells(f), 16);
	CHECK(pin(f, 64 * MIB, PAGE) == DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_doorbells(f), 2);
	CHECK_EQ(fixture_stats(f).learned_bytes, 64 * MIB);
	CHECK_EQ(fixture_stats(f).learned_entries, 16);
	for (i = 0; i < 100; i++)
		CHECK(pin(f, 64 * MIB, PAGE) == DMA_MAPPING_ERROR);
	/* Unless it took a second to get here. */
	CHECK(fixture_doorbells(f) <= 2);
	CHECK_EQ(fixture_stats(f).failures[APPLE_DMA_FAIL_HOST], 101);

	/* One goes idle and is given back: evict, map. */
	CHECK_EQ(apple_dma_unpin(f->e, addr[0], PAGE, &phys), 0);
	CHECK(pin(f, 64 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_doorbells(f), 2);

	/* There is room again, and it is found after a while. */
	f->host->limits.bytes = GIB;
	let_learned_expire(f);
	CHECK(pin(f, 128 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_doorbells(f), 1);
	CHECK_EQ(fixture_stats(f).learned_bytes, 0);
	CHECK_EQ(fixture_stats(f).learned_entries, 0);
	return 0;
}

/* 128 KiB do not fit, and are asked for once; a page does. */
static int much_refused_is_not_all_refused(struct fixture *f)
{
	f->host->limits.segment = 64 * KIB;
	CHECK(pin(f, 0, 128 * KIB) == DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_doorbells(f), 1);
	CHECK(pin(f, 4 * MIB, PAGE) != DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_doorbells(f), 1);
	CHECK(pin(f, 0, 128 * KIB) == DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_stats(f).learned_bytes, 0);
	return 0;
}

/*
 * 10 idle windows go before a map is refused for good: then it is known that
 * they were not in the way. The next ones stay, and the host is left alone.
 */
static int what_cannot_be_is_not_hammered(struct fixture *f)
{
	unsigned int i;

	for (i = 0; i < 10; i++)
		CHECK(!fixture_touch(f, i * 4 * MIB));
	f->host->limits.segment = 4 * MIB;
	CHECK(pin(f, 100 * MIB, 5 * MIB) == DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_stats(f).mapped_entries, 0);
	for (i = 0; i < 10; i++)
		CHECK(!fixture_touch(f, i * 4 * MIB));
	fixture_doorbells(f);
	for (i = 0; i < 50; i++)
		CHECK(pin(f, 100 * MIB, 5 * MIB) == DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_doorbells(f), 0);
	CHECK_EQ(fixture_stats(f).mapped_entries, 10);
	return 0;
}

/* The offset in the granule is all that can be relied on, and is kept. */
static int any_granule_will_do(struct fixture *f)
{
	unsigned int i;

	for (i = 0; i < 200; i++) {
		u64 from = i * 5 * MIB + i * 333;
		dma_addr_t addr = pin(f, from, 10000 + i);

		CHECK(fixture_right(f, addr, STRESS_RAM + from, 10000 + i));
		CHECK(!((addr ^ from) & APPLE_DMA_GRANULE_MASK));
	}
	return 0;
}

/*
 * Ranges with one start. The second starts a granule earlier and has 3, the
 * third two earlier and has 5.
 */
static int handles_are_unique(struct fixture *f)
{
	CHECK(fixture_right(f, pin(f, MIB, GRANULE), STRESS_RAM + MIB, GRANULE));
	CHECK(fixture_right(f, pin(f, MIB, 2 * GRANULE), STRESS_RAM + MIB,
			    2 * GRANULE));
	CHECK(fixture_right(f, pin(f, MIB, 3 * GRANULE), STRESS_RAM + MIB,
			    3 * GRANULE));
	CHECK(fake_host_has(f->host, STRESS_RAM + MIB - GRANULE));
	CHECK(fake_host_has(f->host, STRESS_RAM + MIB - 2 * GRANULE));
	CHECK_EQ(fixture_stats(f).mapped_bytes, (1 + 3 + 5) * GRANULE);

	/* Nothing is in front of the first byte of RAM. */
	CHECK(pin(f, 0, GRANULE) != DMA_MAPPING_ERROR);
	fixture_doorbells(f);
	CHECK(pin(f, 0, 2 * GRANULE) == DMA_MAPPING_ERROR);
	CHECK_EQ(fixture_doorbells(f), 0);
	CHECK_EQ(fixture_stats(f).failures[APPLE_DMA_FAIL_HANDLE], 1);
	CHECK_EQ(fixture_stats(f).refusals, 0);
	return 0;
}

/*
 * A budget of 6 granules: one in use, 5 idle. 2 granules with the start of the
 * one in use need 3: they go in one doorbell, and are there with another.
 */
static int room_is_made_for_the_handle(struct fixture *f)
{
	dma_addr_t addr = pin(f, 16 * MIB, GRANULE);
	unsigned int i;

	CHECK(addr != DMA_MAPPING_ERROR);
	for (i = 0; i < 5; i++)
		CHECK(!fixture_touch(f, i * MIB));
	CHECK_EQ(fixture_doorbells(f), 6);
	addr = pin(f, 16 * MIB, 2 * GRANULE);
	CHECK(fixture_right(f, addr, STRESS_RAM + 16 * MIB, 2 * GRANULE));
	CHECK_EQ(fixture_doorbells(f), 2);
	return 0;
}

const struct stress_case shape_cases[] = {
	CASE(all_of_ram_ends_registered, .ram = { 512 * MIB, 100 * MIB }),
	CASE(shapes_end_with_ram, .ram = { 4 * MIB + 80 * KIB }),
	CASE(sparse_pages_fit, .ram = { 16 * GIB }),
	CASE(refused_shape_is_retried_smaller),
	CASE(limit_of_host_is_learned),
	CASE(much_refused_is_not_all_refused, .mode = APPLE_DMA_MODE_STRICT),
	CASE(what_cannot_be_is_not_hammered),
	CASE(any_granule_will_do, .policy = FAKE_HOST_UNALIGNED),
	CASE(handles_are_unique, .mode = APPLE_DMA_MODE_STRICT),
	CASE(room_is_made_for_the_handle, .limits.bytes = 6 * GRANULE),
	{ }
};
