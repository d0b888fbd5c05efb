// SPDX-License-Identifier: GPL-2.0-only
/*
 * include/uapi/linux/apple_dma.h on the wire: the bytes of a command page in
 * both layouts, with offsets written by hand; and how the layout is found.
 */

#include <linux/slab.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "fixture.h"
#include "line.h"
#include "suites.h"

/* Read a little-endian number. */
static u64 le(const void *page, unsigned int offset, unsigned int size)
{
	const u8 *bytes = page + offset;
	u64 value = 0;

	while (size--)
		value = value << 8 | bytes[size];
	return value;
}

/* A copy of the page after a doorbell, and the offsets of its arrays. */
struct seen {
	u8 page[4096];
	u64 req, resp;
};

static struct seen *seen;

static void look(struct fake_companion *c)
{
	memcpy(seen->page, c->page, sizeof(seen->page));
	seen->req = le(c->page, 16, 8) - c->cmd_gpa;
	seen->resp = le(c->page, 24, 8) - c->cmd_gpa;
}

static struct line *open_and_look(struct kunit *test, bool wide)
{
	struct line *l = line_open(test, wide);

	l->c.lie = look;
	return l;
}

static void set_map(struct line *l, unsigned int i, u64 gpa, u64 len)
{
	l->map[i].gpa = gpa;
	l->map[i].len = len;
}

static void check_command(struct kunit *test, u32 type, u32 count)
{
	CHECK_EQ(test, le(seen->page, 0, 4), type);
	CHECK_EQ(test, le(seen->page, 4, 4), count);
	CHECK_EQ(test, le(seen->page, 12, 4), 0);
	CHECK(test, seen->req >= 32 && seen->req < seen->resp);
	CHECK(test, seen->resp < 4096);
}

static void check_map(struct kunit *test, bool wide)
{
	unsigned int req_size = wide ? 20 : 16, resp_size = wide ? 28 : 24;
	unsigned int len_size = wide ? 8 : 4, i;
	struct line *l = open_and_look(test, wide);

	for (i = 0; i < 3; i++)
		set_map(l, i, 0x123456780000ULL + i * 0x40000, 0x10000 << i);
	CHECK_EQ(test, line_map(l, 3), 0);
	check_command(test, 1, 3);
	for (i = 0; i < 3; i++) {
		unsigned int req = seen->req + i * req_size;
		unsigned int resp = seen->resp + i * resp_size;

		CHECK_EQ(test, le(seen->page, req, 8),
			 0x123456780000ULL + i * 0x40000);
		CHECK_EQ(test, le(seen->page, req + 8, len_size), 0x10000 << i);
		CHECK_EQ(test, le(seen->page, req + 8 + len_size, 4), 0);
		CHECK_EQ(test, le(seen->page, resp, 8), l->map[i].gpa);
		CHECK_EQ(test, le(seen->page, resp + 8, 8), l->map[i].iova);
		CHECK_EQ(test, le(seen->page, resp + 16, len_size),
			 0x10000 << i);
		CHECK_EQ(test, le(seen->page, resp + 16 + len_size, 4), 0);
	}
}

static void map_in_rfc_layout(struct kunit *test)
{
	check_map(test, false);
}

static void map_in_wide_layout(struct kunit *test)
{
	check_map(test, true);
}

static void check_unmap(struct kunit *test, bool wide)
{
	struct line *l = open_and_look(test, wide);
	unsigned int i;

	for (i = 0; i < 2; i++) {
		set_map(l, i, 0x98765400000ULL + i * 0x4000, 0x4000);
		l->unmap[i].handle = l->map[i].gpa;
		l->unmap[i].len = 0x4000;
	}
	CHECK_EQ(test, line_map(l, 2), 0);
	CHECK_EQ(test, line_unmap(l, 2), 0);
	check_command(test, 2, 2);
	for (i = 0; i < 2; i++) {
		unsigned int req = seen->req + i * 16, resp = seen->resp + i * 16;

		CHECK_EQ(test, le(seen->page, req, 8), l->map[i].gpa);
		CHECK_EQ(test, le(seen->page, req + 8, 8), 0x4000);
		CHECK_EQ(test, le(seen->page, resp, 8), l->map[i].gpa);
		CHECK_EQ(test, le(seen->page, resp + 8, 4), 0);
		CHECK_EQ(test, l->unmap[i].err, 0);
	}
}

static void unmap_in_rfc_layout(struct kunit *test)
{
	check_unmap(test, false);
}

static void unmap_in_wide_layout(struct kunit *test)
{
	check_unmap(test, true);
}

static void keep_page(struct fake_companion *c)
{
	memcpy(seen->page, c->page, sizeof(seen->page));
}

/*
 * The host refuses a batch of 64 and writes only the status words. The guest has
 * filled all other bytes of the array with ones.
 */
static void answers_are_prefilled(struct kunit *test)
{
	struct line *l = line_open(test, true);
	unsigned int i, byte;

	/* First a batch that leaves its answers on the page. */
	l->c.lie = look;
	for (i = 0; i < APPLE_DMA_BATCH_MAX; i++)
		set_map(l, i, (i + 1) * 0x10000ULL, 0x4000);
	CHECK_EQ(test, line_map(l, APPLE_DMA_BATCH_MAX), 0);
	l->c.lie = keep_page;
	l->c.refuse = U64_MAX;
	CHECK_EQ(test, line_map(l, APPLE_DMA_BATCH_MAX), 0);
	for (i = 0; i < APPLE_DMA_BATCH_MAX; i++) {
		for (byte = 0; byte < 24; byte++)
			CHECK_EQ(test, le(seen->page, seen->resp + i * 28 + byte,
					  1), 0xff);
		CHECK_EQ(test, le(seen->page, seen->resp + i * 28 + 24, 4), 1);
		CHECK(test, l->map[i].err == -EIO);
	}
}

/* ---- the layout ---- */

static int start(struct line *l)
{
	int err = apple_dma_transport_init(&l->t, fixture_device,
					   fake_companion_bar(&l->c));

	l->up = !err;
	return err ?: apple_dma_transport_start(&l->t);
}

/* The probe is one doorbell: a map of length 0. */
static void check_probe(struct line *l, bool wide)
{
	l->c.wide = wide;
	CHECK_EQ(l->test, start(l), 0);
	CHECK_EQ(l->test, l->t.wide, wide);
	CHECK_EQ(l->test, l->c.doorbells, 1);
	CHECK_EQ(l->test, l->c.type, APPLE_DMA_CMD_MAP);
	CHECK_EQ(l->test, l->c.count, 1);
	CHECK_EQ(l->test, l->c.asked[0].id, 0);
	CHECK_EQ(l->test, l->c.asked[0].len, 0);
	CHECK_EQ(l->test, l->c.live, 0);
}

static void rfc_layout_is_found(struct kunit *test)
{
	check_probe(line_new(test), false);
}

static void wide_layout_is_found(struct kunit *test)
{
	check_probe(line_new(test), true);
}

static void put32(struct fake_companion *c, unsigned int offset, u32 value)
{
	__le32 word = cpu_to_le32(value);

	memcpy(c->resp + offset, &word, sizeof(word));
}

/* A host may call a length of 0 invalid. */
static void say_invalid(struct fake_companion *c)
{
	put32(c, 20, APPLE_DMA_STATUS_INVAL);
}

static void invalid_is_an_answer(struct kunit *test)
{
	struct line *l = line_new(test);

	l->c.lie = say_invalid;
	check_probe(l, false);
}

static void write_nothing(struct fake_companion *c)
{
	memset(c->resp, 0xff, 28);
}

static void write_both(struct fake_companion *c)
{
	put32(c, 20, APPLE_DMA_STATUS_IOERR);
	put32(c, 24, APPLE_DMA_STATUS_IOERR);
}

static void write_ok(struct fake_companion *c)
{
	put32(c, 20, APPLE_DMA_STATUS_OK);
	c->cmd->status = cpu_to_le32(APPLE_DMA_STATUS_OK);
}

static void write_elsewhere(struct fake_companion *c)
{
	memset(c->resp, 0xff, 28);
	put32(c, 16, APPLE_DMA_STATUS_IOERR);
}

static void write_unknown(struct fake_companion *c)
{
	put32(c, 20, 77);
}

static void write_one_and_garbage(struct fake_companion *c)
{
	put32(c, 20, APPLE_DMA_STATUS_IOERR);
	put32(c, 24, 77);
}

static void say_batch_is_fine(struct fake_companion *c)
{
	c->cmd->status = cpu_to_le32(APPLE_DMA_STATUS_OK);
}

static void say_batch_is_invalid(struct fake_companion *c)
{
	c->cmd->status = cpu_to_le32(APPLE_DMA_STATUS_INVAL);
}

static void leave_batch_unanswered(struct fake_companion *c)
{
	c->cmd->status = cpu_to_le32(0xffffffff);
}

static void go_away(struct fake_companion *c)
{
	memset(c->page, 0xff, 4096);
	c->gone = true;
}

/* Free a transport whose probe failed, and the page that it keeps. */
static void free_kept_page(struct line *l)
{
	void *page = l->t.page;

	apple_dma_transport_free(&l->t, false);
	l->up = false;
	CHECK_EQ(l->test, seam_balance(), l->lost + 1);
	CHECK_EQ(l->test, page_count(virt_to_page(page)), 1);
	free_page((unsigned long)page);
	l->lost++;
}

/*
 * Each answer is refused after one doorbell, and the host is told to forget the
 * page. The page is still not freed, as the host may write to it later.
 */
static void other_answers_are_refused(struct kunit *test)
{
	static void (* const lies[])(struct fake_companion *c) = {
		write_nothing, write_both, write_ok, write_elsewhere,
		write_unknown, write_one_and_garbage, say_batch_is_fine,
		say_batch_is_invalid, leave_batch_unanswered,
	};
	struct line *l = line_new(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(lies); i++) {
		l->c.lie = lies[i];
		CHECK_EQ(test, start(l), -ENODEV);
		CHECK_EQ(test, l->c.doorbells, i + 1);
		CHECK_EQ(test, l->c.cmd_gpa, 0);
		free_kept_page(l);
	}
}

/* It goes after its registers were read. */
static void device_that_goes_is_refused(struct kunit *test)
{
	struct line *l = line_new(test);

	l->c.lie = go_away;
	CHECK_EQ(test, start(l), -ENODEV);
	CHECK_EQ(test, l->c.doorbells, 1);
	CHECK(test, !strcmp(l->t.reason, "it is gone from the bus"));
	free_kept_page(l);
}

/* The host changes each word after it was read. */
static void layout_is_read_once(struct kunit *test)
{
	struct line *l = line_new(test);

	l->c.spoil = true;
	check_probe(l, false);
}

static void layout_is_read_once_wide(struct kunit *test)
{
	struct line *l = line_new(test);

	l->c.spoil = true;
	check_probe(l, true);
}

/* ---- registers ---- */

static void check_refused(struct line *l)
{
	CHECK_EQ(l->test, start(l), -ENODEV);
	CHECK_EQ(l->test, l->c.doorbells, 0);
	CHECK_EQ(l->test, l->c.cmd_gpa, 0);
}

static void other_versions_are_refused(struct kunit *test)
{
	static const u32 versions[] = { 0, 1, 3, 0x20000, U32_MAX };
	struct line *l = line_new(test);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(versions); i++) {
		l->c.version = versions[i];
		check_refused(l);
	}
}

static void impossible_batch_limit_is_refused(struct kunit *test)
{
	struct line *l = line_new(test);

	l->c.max_entries = 0;
	check_refused(l);
	l->c.max_entries = U32_MAX;
	check_refused(l);
}

static void device_that_is_gone_is_refused(struct kunit *test)
{
	struct line *l = line_new(test);

	l->c.gone = true;
	check_refused(l);
}

/*
 * Each register is read once, so a register that changes does no harm. The
 * result of a batch is read from the page and not from STATUS.
 */
static void registers_are_read_once(struct kunit *test)
{
	struct line *l = line_new(test);

	l->c.fickle = true;
	CHECK_EQ(test, start(l), 0);
	l->c.status = 0x5a5a5a5a;
	set_map(l, 0, 0x123456780000ULL, 0x4000);
	CHECK_EQ(test, line_map(l, 1), 0);
	CHECK_EQ(test, l->map[0].err, 0);
	CHECK_EQ(test, l->t.host_max, APPLE_DMA_DEFAULT_MAX_ENTRIES);
	CHECK_EQ(test, l->c.reads[APPLE_DMA_REG_VERSION / 4], 1);
	CHECK_EQ(test, l->c.reads[APPLE_DMA_REG_MAX_ENTRIES / 4], 1);
	CHECK_EQ(test, l->c.reads[APPLE_DMA_REG_STATUS / 4], 0);
	CHECK_EQ(test, l->c.reads[APPLE_DMA_REG_MANAGED_BDF / 4], 0);
}

/* It is read once, before the page is programmed. */
static void batch_limit_is_read(struct kunit *test)
{
	struct line *l = line_new(test);

	l->c.max_entries = 17;
	CHECK_EQ(test, start(l), 0);
	CHECK_EQ(test, l->t.host_max, 17);
}

/* Both halves are written, and again after a resume. */
static void command_page_is_programmed(struct kunit *test)
{
	struct line *l = line_open(test, false);
	u64 gpa = l->c.cmd_gpa;

	CHECK_EQ(test, gpa, l->t.page_gpa);
	CHECK_EQ(test, gpa, virt_to_phys(l->t.page));
	apple_dma_transport_clear(&l->t);
	CHECK_EQ(test, l->c.cmd_gpa, 0);
	apple_dma_transport_program(&l->t);
	CHECK_EQ(test, l->c.cmd_gpa, gpa);
	CHECK_EQ(test, l->c.doorbells, 1);
}

static int wire_init(struct kunit_suite *suite)
{
	seen = kzalloc(sizeof(*seen), GFP_KERNEL);
	return seen ? 0 : -ENOMEM;
}

static void wire_exit(struct kunit_suite *suite)
{
	kfree(seen);
}

static struct kunit_case wire_cases[] = {
	KUNIT_CASE(map_in_rfc_layout),
	KUNIT_CASE(map_in_wide_layout),
	KUNIT_CASE(unmap_in_rfc_layout),
	KUNIT_CASE(unmap_in_wide_layout),
	KUNIT_CASE(answers_are_prefilled),
	KUNIT_CASE(rfc_layout_is_found),
	KUNIT_CASE(wide_layout_is_found),
	KUNIT_CASE(invalid_is_an_answer),
	KUNIT_CASE(other_answers_are_refused),
	KUNIT_CASE(device_that_goes_is_refused),
	KUNIT_CASE(layout_is_read_once),
	KUNIT_CASE(layout_is_read_once_wide),
	KUNIT_CASE(other_versions_are_refused),
	KUNIT_CASE(impossible_batch_limit_is_refused),
	KUNIT_CASE(device_that_is_gone_is_refused),
	KUNIT_CASE(registers_are_read_once),
	KUNIT_CASE(batch_limit_is_read),
	KUNIT_CASE(command_page_is_programmed),
	{ }
};

struct kunit_suite wire_suite = {
	.name = "apple_dma_wire",
	.suite_init = wire_init,
	.suite_exit = wire_exit,
	.exit = line_close,
	.test_cases = wire_cases,
};
