// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/sysfs.c, with a real companion: each file shows its own counter.
 */

#include <linux/device.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "board.h"
#include "rooms.h"
#include "suites.h"

/* A file of the group; there has to be one of that name. */
static struct device_attribute *file_of(const char *name)
{
	struct attribute **attr = apple_dma_sysfs_group.attrs;

	while (*attr && strcmp((*attr)->name, name))
		attr++;
	return *attr ? container_of(*attr, struct device_attribute, attr) : NULL;
}

/* What a file of the first companion shows, on a page of its own; or NULL. */
static char *shown_text(const char *name)
{
	struct device *dev = &board.companion[0]->dev;
	char *page = (char *)get_zeroed_page(GFP_KERNEL);
	struct device_attribute *file = file_of(name);

	if (page && file)
		file->show(dev, file, page);
	return page;
}

static bool says(const char *name, const char *text)
{
	char *page = shown_text(name);
	bool same = page && !strcmp(page, text);

	free_page((unsigned long)page);
	return same;
}

/* The same as a number. */
static u64 shown(struct kunit *test, const char *name)
{
	char *page = shown_text(name);
	u64 value = 0;
	int err = page ? kstrtou64(page, 10, &value) : -ENOMEM;

	free_page((unsigned long)page);
	CHECK_EQ(test, err, 0);
	return value;
}

static const struct {
	const char *name;
	enum apple_dma_fail cause;
} failure_files[] = {
	{ "failures_bytes", APPLE_DMA_FAIL_BYTES },
	{ "failures_entries", APPLE_DMA_FAIL_ENTRIES },
	{ "failures_host", APPLE_DMA_FAIL_HOST },
	{ "failures_mask", APPLE_DMA_FAIL_MASK },
	{ "failures_alignment", APPLE_DMA_FAIL_ALIGN },
	{ "failures_boundary", APPLE_DMA_FAIL_BOUNDARY },
	{ "failures_handle", APPLE_DMA_FAIL_HANDLE },
	{ "failures_memory", APPLE_DMA_FAIL_MEMORY },
	{ "failures_not_ram", APPLE_DMA_FAIL_NOT_RAM },
	{ "failures_broken", APPLE_DMA_FAIL_BROKEN },
	{ "failures_bug", APPLE_DMA_FAIL_BUG },
};

/* A different count for each cause: 1, 2, 4, ... times. */
static void failures_are_shown_by_cause(struct kunit *test)
{
	struct apple_dma_engine *e = &board_ad(0)->engine;
	u64 before[ARRAY_SIZE(failure_files)];
	unsigned int i, k;

	CHECK_EQ(test, ARRAY_SIZE(failure_files), APPLE_DMA_FAIL_COUNT - 1);
	for (i = 0; i < ARRAY_SIZE(failure_files); i++)
		before[i] = shown(test, failure_files[i].name);
	for (i = 0; i < ARRAY_SIZE(failure_files); i++)
		for (k = 0; k < BIT(i); k++)
			apple_dma_refuse(e, failure_files[i].cause, PAGE_SIZE);
	for (i = 0, k = 0; i < ARRAY_SIZE(failure_files); i++) {
		EXPECT_EQ(test, shown(test, failure_files[i].name) - before[i],
			  BIT(i));
		k += before[i] + BIT(i);
	}
	EXPECT_EQ(test, shown(test, "map_failures"), k);
}

/* In place of the real transport's counters; no doorbell is rung meanwhile. */
static void doorbells_are_shown(struct kunit *test)
{
	struct apple_dma_transport *t = &board_ad(0)->transport;
	static struct apple_dma_transport before; /* large for a stack */

	before = *t;
	EXPECT_EQ(test, shown(test, "doorbells"), t->doorbells);
	EXPECT(test, shown(test, "requests") >= t->doorbells);
	EXPECT(test, shown(test, "doorbell_ns_min") <=
		     shown(test, "doorbell_ns_mean"));
	EXPECT(test, shown(test, "doorbell_ns_mean") <=
		     shown(test, "doorbell_ns_max"));

	t->doorbells = 4;
	t->requests = 70;
	t->batches = 2;
	t->ns_sum = 4003;
	t->ns_min = 100;
	t->ns_max = 3000;
	t->entry_ns[0] = 40;
	t->entry_ns[1] = 50;
	t->fit = 7;
	EXPECT_EQ(test, shown(test, "doorbells"), 4);
	EXPECT_EQ(test, shown(test, "requests"), 70);
	EXPECT_EQ(test, shown(test, "batches"), 2);
	EXPECT_EQ(test, shown(test, "doorbell_ns_min"), 100);
	EXPECT_EQ(test, shown(test, "doorbell_ns_mean"), 1000);
	EXPECT_EQ(test, shown(test, "doorbell_ns_max"), 3000);
	EXPECT_EQ(test, shown(test, "map_entry_ns"), 40);
	EXPECT_EQ(test, shown(test, "unmap_entry_ns"), 50);
	EXPECT_EQ(test, shown(test, "batch_fit"), 7);

	/* Before the first. */
	t->doorbells = 0;
	t->ns_sum = 0;
	EXPECT_EQ(test, shown(test, "doorbell_ns_mean"), 0);
	*t = before;
}

/* What is shown of premapped memory, and that strict is refused then. */
static void premapped_memory_is_shown(struct kunit *test)
{
	struct device *dev = &board.companion[0]->dev;
	struct apple_dma *ad = board_ad(0);
	struct device_attribute *mode = file_of("mode");

	CHECK(test, says("ops", "dma_ops\n"));
	EXPECT(test, says("premap_refusal", "none\n"));
	EXPECT_EQ(test, shown(test, "premap_layout"), 0);

	ad->premap.wanted = true;
	ad->premap.refusal = APPLE_DMA_PREMAP_MEMORY;
	ad->premap.arena.layout = APPLE_DMA_LAYOUT_NODE;
	ad->premap.arena.n = 5;
	ad->premap.arena.unaligned = 4;
	EXPECT(test, says("ops", "premap\n"));
	EXPECT(test, says("premap_refusal", "memory\n"));
	EXPECT_EQ(test, shown(test, "premap_layout"), 3);
	EXPECT_EQ(test, shown(test, "premap_pieces"), 5);
	EXPECT_EQ(test, shown(test, "premap_unaligned"), 4);
	EXPECT_EQ(test, mode->store(dev, mode, "strict", 6), -EBUSY);
	EXPECT_EQ(test, mode->store(dev, mode, "cached", 6), 6);
	EXPECT_EQ(test, ad->engine.mode, APPLE_DMA_MODE_CACHED);

	memset(&ad->premap.arena, 0, sizeof(ad->premap.arena));
	ad->premap.refusal = APPLE_DMA_PREMAP_ALLOWED;
	ad->premap.wanted = false;
	EXPECT_EQ(test, mode->store(dev, mode, "strict", 6), 6);
	EXPECT_EQ(test, mode->store(dev, mode, "cached", 6), 6);
}

static struct kunit_case sysfs_cases[] = {
	KUNIT_CASE(failures_are_shown_by_cause),
	KUNIT_CASE(doorbells_are_shown),
	KUNIT_CASE(premapped_memory_is_shown),
	{ }
};

struct kunit_suite sysfs_suite = {
	.name = "apple_dma_sysfs",
	.suite_init = board_start,
	.suite_exit = board_stop,
	.init = board_init,
	.exit = board_exit,
	.test_cases = sysfs_cases,
};
