// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/debugfs.c: the list of windows, as seq_file asks for it.
 */

#include <linux/seq_file.h>

#include "fixture.h"
#include "suites.h"

#define LIST_SIZE	8192

static const struct seq_operations *const sops = &apple_dma_windows_sops;

/* What a reader of the file gets. */
static const char *list(struct fixture *f)
{
	char *buf = fixture_memory(f, LIST_SIZE);
	struct seq_file m = {
		.buf = buf,
		.size = LIST_SIZE,
		.private = f->e,
	};
	loff_t pos = 0;
	void *v;

	for (v = sops->start(&m, &pos); v; v = sops->next(&m, v, &pos))
		CHECK_EQ(f->test, sops->show(&m, v), 0);
	sops->stop(&m, v);
	CHECK(f->test, !seq_has_overflowed(&m));
	return buf;
}

/* Add the line of a window to what is wanted. */
static void want(char *text, u64 from, u64 iova, u64 size, int users,
		 const char *state)
{
	size_t at = strlen(text);

	snprintf(text + at, LIST_SIZE - at,
		 "0x%016llx 0x%016llx %llu %d %s\n", FAKE_RAM + from, iova,
		 size, users, state);
}

static void nothing_is_an_empty_list(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_CACHED);

	CHECK_EQ(test, strlen(list(f)), 0);
}

/* Ordered by start, each once, even if one lies in another. */
static void each_window_is_a_line(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	char *wanted = fixture_memory(f, LIST_SIZE);
	dma_addr_t last = fixture_map(f, 9 * GRANULE, PAGE);
	dma_addr_t inner = fixture_map(f, 2 * GRANULE, GRANULE);
	dma_addr_t outer = fixture_map(f, GRANULE, 4 * GRANULE);

	/* A second user, at another place in the window. */
	CHECK_EQ(test, fixture_map(f, 9 * GRANULE + PAGE, PAGE), last + PAGE);
	CHECK_EQ(test, fixture_stats(f)->mapped_entries, 3);
	want(wanted, GRANULE, outer, 4 * GRANULE, 1, "active");
	want(wanted, 2 * GRANULE, inner, GRANULE, 1, "active");
	want(wanted, 9 * GRANULE, last, GRANULE, 2, "active");
	CHECK_EQ(test, strcmp(list(f), wanted), 0);
}

/* Idle windows have no user; windows that take no more mappings are retired. */
static void users_and_states_are_shown(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_CACHED);
	char *wanted = fixture_memory(f, LIST_SIZE);
	u64 size = APPLE_DMA_WINDOW_MAX;
	dma_addr_t addr = fixture_map(f, 0, PAGE);

	fixture_touch(f, size);
	want(wanted, 0, addr, size, 1, "active");
	CHECK_EQ(test, fixture_stats(f)->idle_entries, 1);
	CHECK_EQ(test, strncmp(list(f), wanted, strlen(wanted)), 0);
	CHECK(test, strstr(list(f), " 4194304 0 active\n"));

	apple_dma_engine_set_mode(f->e, APPLE_DMA_MODE_STRICT);
	memset(wanted, 0, LIST_SIZE);
	want(wanted, 0, addr, size, 1, "retired");
	CHECK_EQ(test, strcmp(list(f), wanted), 0);
}

/* A reader may be slow: windows given back meanwhile are not shown. */
static void windows_go_while_they_are_read(struct kunit *test)
{
	struct fixture *f = fixture_open(test, .mode = APPLE_DMA_MODE_STRICT);
	struct seq_file m = {
		.buf = fixture_memory(f, LIST_SIZE),
		.size = LIST_SIZE,
		.private = f->e,
	};
	dma_addr_t addr[3];
	loff_t pos = 0;
	unsigned int i;
	void *v;

	for (i = 0; i < ARRAY_SIZE(addr); i++)
		addr[i] = fixture_map(f, i * GRANULE, PAGE);
	v = sops->start(&m, &pos);
	CHECK(test, v);
	CHECK_EQ(test, fixture_unmap(f, addr[0], PAGE), 0);
	CHECK_EQ(test, sops->show(&m, v), SEQ_SKIP);
	CHECK_EQ(test, m.count, 0);

	/* A reader whose buffer is full begins again at its place. */
	v = sops->next(&m, v, &pos);
	CHECK(test, v);
	sops->stop(&m, v);
	CHECK_EQ(test, pos, (FAKE_RAM + GRANULE) >> APPLE_DMA_GRANULE_SHIFT);
	CHECK_EQ(test, fixture_unmap(f, addr[1], PAGE), 0);
	v = sops->start(&m, &pos);
	CHECK(test, v);
	CHECK_EQ(test, pos, (FAKE_RAM + 2 * GRANULE) >> APPLE_DMA_GRANULE_SHIFT);
	CHECK_EQ(test, sops->show(&m, v), 0);
	CHECK(test, m.count > 0);
	CHECK(test, !sops->next(&m, v, &pos));
	sops->stop(&m, NULL);
}

static struct kunit_case debugfs_cases[] = {
	KUNIT_CASE(nothing_is_an_empty_list),
	KUNIT_CASE(each_window_is_a_line),
	KUNIT_CASE(users_and_states_are_shown),
	KUNIT_CASE(windows_go_while_they_are_read),
	{ }
};

struct kunit_suite debugfs_suite = {
	.name = "apple_dma_debugfs",
	.exit = fixture_close,
	.test_cases = debugfs_cases,
};
