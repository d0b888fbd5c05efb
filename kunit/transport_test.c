// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/transport.c: batches, the answers that a host may give, and those that
 * it may not. After a wrong answer the whole batch is -EPROTO, with a reason.
 */

#include <linux/io.h>
#include <linux/string.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "fail.h"
#include "fixture.h"
#include "line.h"
#include "suites.h"

#define GPA(i)		(0x100000000ULL + (i) * 0x100000ULL)
#define LEN		(4 * GRANULE)

/* Fill in a batch of @n. */
static void fill(struct line *l, unsigned int n)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		l->map[i].gpa = GPA(i);
		l->map[i].len = LEN;
		l->map[i].iova = 0x77;
		l->map[i].err = 0x77;
		l->unmap[i].handle = GPA(i);
		l->unmap[i].len = LEN;
		l->unmap[i].err = 0x77;
	}
}

/* Doorbells after the probe of the layout. */
static u64 rung(struct line *l)
{
	return l->c.doorbells - 1;
}

/* ---- valid answers ---- */

static void check_batches(struct line *l)
{
	struct kunit *test = l->test;
	static const unsigned int sizes[] = { 1, 2, 63, 64 };
	unsigned int i, k, n;

	for (k = 0; k < ARRAY_SIZE(sizes); k++) {
		n = sizes[k];
		fill(l, n);
		CHECK_EQ(test, line_map(l, n), 0);
		CHECK_EQ(test, l->c.count, n);
		for (i = 0; i < n; i++) {
			CHECK_EQ(test, l->map[i].err, 0);
			CHECK_EQ(test, l->map[i].iova,
				 0x4000000000ULL + GPA(i));
			CHECK_EQ(test, l->c.asked[i].id, GPA(i));
			CHECK_EQ(test, l->c.asked[i].len, LEN);
			CHECK_EQ(test, l->c.asked[i].flags, 0);
		}
		CHECK_EQ(test, l->c.live, n);
		CHECK_EQ(test, line_unmap(l, n), 0);
		for (i = 0; i < n; i++)
			CHECK_EQ(test, l->unmap[i].err, 0);
		CHECK_EQ(test, l->c.live, 0);
		/* One doorbell for a batch of any size. */
		CHECK_EQ(test, rung(l), 2 * (k + 1));
	}
}

LINE_CASES(batch_is_one_doorbell, check_batches)

/* ---- counters ---- */

static u64 trap_ns;

static void take_a_while(struct fake_companion *c)
{
	seam_clock += trap_ns;
}

static void ring_for(struct line *l, unsigned int n, u64 ns)
{
	trap_ns = ns;
	fill(l, n);
	CHECK_EQ(l->test, line_map(l, n), 0);
	CHECK_EQ(l->test, line_unmap(l, n), 0);
}

/* Both doorbells of a round take equally long. The probe was the first one. */
static void doorbells_are_counted_and_timed(struct kunit *test)
{
	struct line *l = line_open(test, false);
	struct apple_dma_transport *t = &l->t;
	u64 probe = t->ns_sum;

	CHECK_EQ(test, t->requests, 1);
	CHECK_EQ(test, t->batches, 0);
	CHECK_EQ(test, t->ns_min, probe);
	CHECK_EQ(test, t->ns_max, probe);

	/* Replace the real times of the probe. */
	t->ns_sum = 500;
	t->ns_min = 500;
	t->ns_max = 500;
	seam_clock = 1000000;
	l->c.lie = take_a_while;
	ring_for(l, 1, 300);
	CHECK_EQ(test, t->doorbells, 3);
	CHECK_EQ(test, t->requests, 3);
	CHECK_EQ(test, t->batches, 0);
	ring_for(l, 2, 700);
	ring_for(l, 64, 400);
	CHECK_EQ(test, t->doorbells, 7);
	CHECK_EQ(test, t->requests, 135);
	CHECK_EQ(test, t->batches, 4);
	CHECK_EQ(test, t->ns_min, 300);
	CHECK_EQ(test, t->ns_max, 700);
	CHECK_EQ(test, t->ns_sum, 500 + 2 * (300 + 700 + 400));

	/* A clock that steps back counts as no time. */
	ring_for(l, 1, -50ULL);
	CHECK_EQ(test, t->ns_min, 0);
	CHECK_EQ(test, t->ns_max, 700);
	CHECK_EQ(test, t->ns_sum, 3300);
}

/* How many fit after a map and an unmap of @n that took @ns each. */
static u32 fit_after(struct line *l, unsigned int n, u64 ns)
{
	ring_for(l, n, ns);
	return l->t.fit;
}

/* A line with a clock of its own, and an aim of 1 ms. */
static struct line *timed_line(struct kunit *test)
{
	struct line *l = line_open(test, false);

	seam_clock = 1000000;
	l->c.lie = take_a_while;
	apple_dma_transport_set_doorbell_us(&l->t, 1000);
	return l;
}

/* 5 us for each: from 1, the probe not counted, to the most by doubling. */
static void batches_grow(struct kunit *test)
{
	struct line *l = timed_line(test);
	unsigned int n;

	CHECK_EQ(test, l->t.fit, 1);
	for (n = 1; n < APPLE_DMA_BATCH_MAX; n *= 2)
		CHECK_EQ(test, fit_after(l, n, n * 5000), 2 * n);
	CHECK_EQ(test, fit_after(l, 64, 64 * 5000), 64);
	CHECK_EQ(test, l->t.entry_ns[0], 5000);
	CHECK_EQ(test, l->t.entry_ns[1], 5000);
}

/* 1 ms for each: one fits. 40 us: 25. */
static void batches_fit(struct kunit *test)
{
	struct line *l = timed_line(test);
	unsigned int i;

	for (i = 0; i < 10; i++)
		CHECK_EQ(test, fit_after(l, 1, 1000 * 1000), 1);
	for (i = 0; i < 10; i++)
		fit_after(l, l->t.fit, l->t.fit * 40 * 1000);
	CHECK_EQ(test, l->t.fit, 25);
	/* With more time more fit. */
	apple_dma_transport_set_doorbell_us(&l->t, 1200);
	CHECK_EQ(test, l->t.fit, 30);
	apple_dma_transport_set_doorbell_us(&l->t, 100);
	CHECK_EQ(test, l->t.fit, 2);
	apple_dma_transport_set_doorbell_us(&l->t, 0);
	CHECK_EQ(test, l->t.fit, APPLE_DMA_BATCH_MAX);
}

/*
 * 64 entries of 5 us. Once the guest is away for 100 ms: 1,562,500 ns for each of
 * 64, of which an eighth counts: 5,000 + 194,688. 5 fit, and the next doorbell
 * has the estimate right again.
 */
static void delay_is_soon_forgotten(struct kunit *test)
{
	struct line *l = timed_line(test);
	unsigned int n;

	for (n = 1; n <= 64; n *= 2)
		ring_for(l, n, n * 5000);
	CHECK_EQ(test, fit_after(l, 64, 100 * 1000 * 1000), 5);
	CHECK_EQ(test, l->t.entry_ns[0], 199688);
	CHECK_EQ(test, fit_after(l, 5, 5 * 5000), 64);
}

/* A host that has become slow, 200 us for each, is believed after a while. */
static void slow_host_is_believed(struct kunit *test)
{
	struct line *l = timed_line(test);
	unsigned int n;

	for (n = 1; n <= 64; n *= 2)
		ring_for(l, n, n * 5000);
	for (n = 0; n < 40; n++)
		ring_for(l, l->t.fit, l->t.fit * 200 * 1000);
	CHECK_EQ(test, l->t.fit, 5);
}

/* The slower of map and unmap counts. A refusal that is quick does not. */
static void slowest_kind_counts(struct kunit *test)
{
	struct line *l = timed_line(test);
	unsigned int n;

	for (n = 1; n <= 64; n *= 2)
		ring_for(l, n, n * 5000);
	trap_ns = 0;
	fill(l, 8);
	l->c.refuse = BIT_ULL(3);
	CHECK_EQ(test, line_map(l, 8), 0);
	CHECK_EQ(test, l->t.entry_ns[0], 5000);
	l->c.refuse = 0;
	l->t.entry_ns[1] = 100 * 1000;
	apple_dma_transport_set_doorbell_us(&l->t, 1000);
	CHECK_EQ(test, l->t.fit, 10);
}

/* An empty batch, or one too large for the page: the host is not asked. */
static void bad_batches_do_not_ring(struct kunit *test)
{
	struct line *l = line_open(test, false);

	fill(l, APPLE_DMA_BATCH_MAX + 1);
	CHECK_EQ(test, line_map(l, 0), -EPROTO);
	CHECK_EQ(test, line_map(l, APPLE_DMA_BATCH_MAX + 1), -EPROTO);
	CHECK_EQ(test, line_unmap(l, 0), -EPROTO);
	CHECK_EQ(test, line_unmap(l, APPLE_DMA_BATCH_MAX + 1), -EPROTO);
	CHECK_EQ(test, rung(l), 0);
}

/* A refused entry has an error and no address; the others are mapped. */
static void check_refusals(struct line *l)
{
	struct kunit *test = l->test;
	unsigned int i;

	fill(l, 5);
	l->c.refuse = BIT(1) | BIT(4);
	CHECK_EQ(test, line_map(l, 5), 0);
	for (i = 0; i < 5; i++) {
		CHECK(test, l->map[i].err == (i % 3 == 1 ? -EIO : 0));
		CHECK_EQ(test, !l->map[i].iova, i % 3 == 1);
	}
	CHECK_EQ(test, l->c.live, 3);

	/* 1 and 4 are not mapped. */
	l->c.refuse = 0;
	CHECK_EQ(test, line_unmap(l, 5), 0);
	for (i = 0; i < 5; i++)
		CHECK(test, l->unmap[i].err == (i % 3 == 1 ? -EIO : 0));
	CHECK_EQ(test, l->c.live, 0);
	CHECK_EQ(test, rung(l), 2);
}

LINE_CASES(refusal_is_of_one_entry, check_refusals)

/* A refusal of a handle that is registered already is no breach. */
static void duplicate_is_refused(struct kunit *test)
{
	struct line *l = line_open(test, false);

	fill(l, 1);
	CHECK_EQ(test, line_map(l, 1), 0);
	CHECK_EQ(test, line_map(l, 1), 0);
	CHECK(test, l->map[0].err == -EIO);
	CHECK_EQ(test, l->c.live, 1);
}

static void say_invalid(struct fake_companion *c)
{
	struct fake_answer answer;

	fake_companion_get(c, 0, &answer);
	answer.status = APPLE_DMA_STATUS_INVAL;
	fake_companion_put(c, 0, &answer);
	c->cmd->status = cpu_to_le32(APPLE_DMA_STATUS_IOERR);
}

/* INVAL of an entry is a refusal like IOERR. */
static void invalid_entry_is_refused(struct kunit *test)
{
	struct line *l = line_open(test, false);

	fill(l, 2);
	l->c.lie = say_invalid;
	CHECK_EQ(test, line_map(l, 2), 0);
	CHECK(test, l->map[0].err == -EIO);
	CHECK_EQ(test, l->map[1].err, 0);
}

/*
 * A mapping that is too short exists on the host. One more doorbell releases it,
 * and its entry fails. The rest of the batch stays mapped.
 */
static void check_short(struct line *l)
{
	struct kunit *test = l->test;

	fill(l, 4);
	l->c.shorten = BIT(0) | BIT(2);
	CHECK_EQ(test, line_map(l, 4), 0);
	CHECK_EQ(test, rung(l), 2);
	CHECK_EQ(test, l->c.type, APPLE_DMA_CMD_UNMAP);
	CHECK_EQ(test, l->c.count, 2);
	CHECK_EQ(test, l->c.asked[0].id, GPA(0));
	CHECK_EQ(test, l->c.asked[1].id, GPA(2));
	CHECK(test, l->map[0].err == -EIO && l->map[2].err == -EIO);
	CHECK_EQ(test, l->map[1].err, 0);
	CHECK_EQ(test, l->map[3].err, 0);
	CHECK_EQ(test, l->c.live, 2);
}

LINE_CASES(short_map_is_undone, check_short)

static void refuse_unmaps(struct fake_companion *c)
{
	if (c->type == APPLE_DMA_CMD_MAP)
		c->refuse = 1;
}

/* ---- breaches ---- */

/* A lie of the host, and the reason that the transport gives. */
struct breach {
	const char *what;
	void (*lie)(struct fake_companion *c);
	const char *reason;
};

/* Change the answer to entry 1 of 3; entry 2 is refused. */
static void change(struct fake_companion *c, const struct fake_answer *with)
{
	struct fake_answer answer;

	fake_companion_get(c, 1, &answer);
	answer.id = with->id ?: answer.id;
	answer.iova = with->iova ?: answer.iova;
	answer.len = with->len ?: answer.len;
	answer.status = with->status ?: answer.status;
	fake_companion_put(c, 1, &answer);
}

#define CHANGE(name, ...)						\
static void name(struct fake_companion *c)				\
{									\
	change(c, &(const struct fake_answer){ __VA_ARGS__ });		\
}

CHANGE(other_handle, .id = GPA(0))
CHANGE(handle_inside, .id = GPA(1) + 0x4000)
CHANGE(length_longer, .len = LEN + 1)
CHANGE(length_granule_longer, .len = LEN + GRANULE)
CHANGE(length_huge, .len = 0xfffff000)
CHANGE(offset_moved, .iova = 0x4000000000ULL + 0x1000)
CHANGE(offset_one, .iova = 1)
CHANGE(near_the_end, .iova = U64_MAX - 2 * GRANULE + 1)
CHANGE(last_granule, .iova = U64_MAX - GRANULE + 1)
CHANGE(one_too_far, .iova = U64_MAX - 5 * GRANULE + 1 + GRANULE)
CHANGE(all_ones_address, .iova = U64_MAX)
CHANGE(no_handle, .id = U64_MAX)
CHANGE(no_length, .len = U64_MAX)
CHANGE(unknown_status, .status = 2)
CHANGE(another_status, .status = 4)
CHANGE(high_status, .status = 0x80000000)

static void address_zero(struct fake_companion *c)
{
	struct fake_answer answer;

	fake_companion_get(c, 1, &answer);
	answer.iova = 0;
	fake_companion_put(c, 1, &answer);
}

static void not_written(struct fake_companion *c)
{
	const struct fake_answer none = {
		.id = U64_MAX,
		.iova = U64_MAX,
		.len = U64_MAX,
		.status = U32_MAX,
	};

	fake_companion_put(c, 1, &none);
}

static void all_ones(struct fake_companion *c)
{
	memset(c->page, 0xff, PAGE_SIZE);
}

static void all_zeroes(struct fake_companion *c)
{
	memset(c->resp, 0, 1024);
}

static void no_status(struct fake_companion *c)
{
	c->cmd->status = cpu_to_le32(U32_MAX);
}

static void batch_invalid(struct fake_companion *c)
{
	c->cmd->status = cpu_to_le32(APPLE_DMA_STATUS_INVAL);
}

static void batch_unknown(struct fake_companion *c)
{
	c->cmd->status = cpu_to_le32(2);
}

static void batch_fine(struct fake_companion *c)
{
	c->cmd->status = cpu_to_le32(APPLE_DMA_STATUS_OK);
}

static void nothing_but_status(struct fake_companion *c)
{
	memset(c->resp, 0xff, 1024);
	batch_fine(c);
}

static void batch_failed(struct fake_companion *c)
{
	c->refuse = 0;
	fake_companion_put(c, 2, &(const struct fake_answer){
		.id = GPA(2), .len = LEN, .iova = 0x5000000000ULL });
	c->cmd->status = cpu_to_le32(APPLE_DMA_STATUS_IOERR);
}

static void gone_from_the_bus(struct fake_companion *c)
{
	memset(c->page, 0xff, PAGE_SIZE);
	c->gone = true;
}

static const struct breach map_breaches[] = {
	{ "handle of another", other_handle, "it answered a map with another handle" },
	{ "handle inside", handle_inside, "it answered a map with another handle" },
	{ "a byte more", length_longer, "it mapped more than was asked" },
	{ "a granule more", length_granule_longer, "it mapped more than was asked" },
	{ "4 GiB more", length_huge, "it mapped more than was asked" },
	{ "address 0", address_zero, "it chose device address 0" },
	{ "offset moved", offset_moved, "it moved the offset inside a granule" },
	{ "address 1", offset_one, "it moved the offset inside a granule" },
	{ "ends at 2^64", near_the_end, "its device address runs past 2^64" },
	{ "last granule", last_granule, "its device address runs past 2^64" },
	{ "into the last granule", one_too_far, "its device address runs past 2^64" },
	{ "address not written", all_ones_address, "it moved the offset inside a granule" },
	{ "handle not written", no_handle, "it answered a map with another handle" },
	{ "length not written", no_length, "it mapped more than was asked" },
	{ "status 2", unknown_status, "it wrote an unknown map status" },
	{ "status 4", another_status, "it wrote an unknown map status" },
	{ "status 2^31", high_status, "it wrote an unknown map status" },
	{ "entry not written", not_written, "it did not answer a map entry" },
	{ "no entry written", nothing_but_status, "it did not answer a map entry" },
	{ "page of ones", all_ones, "it did not write the status of a batch" },
	{ "answers of zeroes", all_zeroes, "it answered a map with another handle" },
	{ "batch status not written", no_status, "it did not write the status of a batch" },
	{ "batch invalid", batch_invalid, "it called a valid batch invalid" },
	{ "batch status 2", batch_unknown, "it wrote an unknown batch status" },
	{ "batch fine, entry refused", batch_fine, "a batch status contradicts its map entries" },
	{ "batch failed, no entry refused", batch_failed,
	  "a batch status contradicts its map entries" },
	{ "gone", gone_from_the_bus, "it is gone from the bus" },
};

static void check_breaches(struct line *l, const struct breach *breach,
			   unsigned int n, bool map)
{
	struct kunit *test = l->test;
	unsigned int i;

	for (i = 0; i < n; i++, breach++) {
		const char *reason;

		fill(l, 3);
		if (!map)
			CHECK_EQ(test, line_map(l, 2), 0);
		l->c.refuse = map ? BIT(2) : 0;
		l->c.lie = breach->lie;
		l->t.reason = NULL;
		EXPECT(test, (map ? line_map(l, 3) : line_unmap(l, 3)) == -EPROTO);
		reason = apple_dma_transport_ops.reason(&l->t) ?: "none";
		if (strcmp(reason, breach->reason)) {
			kunit_info(test, "%s: %s\n", breach->what, reason);
			EXPECT(test, !"the reason that was expected");
		}
		/* The host forgets everything before the next breach. */
		l->c.lie = NULL;
		l->c.gone = false;
		l->c.refuse = 0;
		l->c.live = 0;
	}
	/* A breach takes no further doorbell. */
	CHECK_EQ(test, rung(l), map ? n : 2 * n);
}

static void check_map_breaches(struct line *l)
{
	check_breaches(l, map_breaches, ARRAY_SIZE(map_breaches), true);
}

LINE_CASES(wrong_map_answers, check_map_breaches)

/* A length that only the wide layout can have; its low half is right. */
CHANGE(length_4g_more, .len = BIT_ULL(32) + LEN)

static void wrong_wide_length(struct kunit *test)
{
	static const struct breach breach = {
		"2^32 more", length_4g_more, "it mapped more than was asked"
	};

	check_breaches(line_open(test, true), &breach, 1, true);
}

/* Entries 0 and 1 were registered, 2 was not. */
static struct apple_dma_unmap_resp *second(struct fake_companion *c)
{
	return (struct apple_dma_unmap_resp *)c->resp + 1;
}

static void unmap_other_handle(struct fake_companion *c)
{
	second(c)->id = cpu_to_le64(GPA(0));
}

static void unmap_not_written(struct fake_companion *c)
{
	memset(second(c), 0xff, sizeof(*second(c)));
}

static void unmap_unknown(struct fake_companion *c)
{
	second(c)->status = cpu_to_le32(2);
}

static void unmap_batch_failed(struct fake_companion *c)
{
	struct apple_dma_unmap_resp *resp = c->resp;

	resp[2].status = cpu_to_le32(APPLE_DMA_STATUS_OK);
}

static void unmap_refused_with_other_handle(struct fake_companion *c)
{
	struct apple_dma_unmap_resp *resp = c->resp;

	resp[2].id = cpu_to_le64(U64_MAX);
}

static const struct breach unmap_breaches[] = {
	{ "handle of another", unmap_other_handle, "it answered an unmap with another handle" },
	{ "refused, without its handle", unmap_refused_with_other_handle,
	  "it answered an unmap with another handle" },
	{ "entry not written", unmap_not_written, "it did not answer an unmap entry" },
	{ "no entry written", nothing_but_status, "it did not answer an unmap entry" },
	{ "status 2", unmap_unknown, "it wrote an unknown unmap status" },
	{ "batch fine, entry refused", batch_fine, "a batch status contradicts its unmap entries" },
	{ "batch failed, no entry refused", unmap_batch_failed,
	  "a batch status contradicts its unmap entries" },
	{ "page of ones", all_ones, "it did not write the status of a batch" },
	{ "answers of zeroes", all_zeroes, "it answered an unmap with another handle" },
	{ "batch status not written", no_status, "it did not write the status of a batch" },
	{ "batch invalid", batch_invalid, "it called a valid batch invalid" },
	{ "batch status 2", batch_unknown, "it wrote an unknown batch status" },
	{ "gone", gone_from_the_bus, "it is gone from the bus" },
};

static void wrong_unmap_answers(struct kunit *test)
{
	check_breaches(line_open(test, false), unmap_breaches,
		       ARRAY_SIZE(unmap_breaches), false);
}

/* Lies about the doorbell that releases a short mapping. */
static void no_second_answer(struct fake_companion *c)
{
	if (c->type == APPLE_DMA_CMD_UNMAP)
		all_ones(c);
}

static void no_second_entry(struct fake_companion *c)
{
	if (c->type == APPLE_DMA_CMD_UNMAP)
		nothing_but_status(c);
}

static void gone_at_the_second(struct fake_companion *c)
{
	if (c->type == APPLE_DMA_CMD_UNMAP)
		gone_from_the_bus(c);
}

/* If a short mapping is not released, it is unknown what the device reaches. */
static void short_map_that_stays_is_a_breach(struct kunit *test)
{
	static const struct breach breaches[] = {
		{ "refused", refuse_unmaps, "it does not release a partial mapping" },
		{ "nothing written", no_second_answer,
		  "it did not write the status of a batch" },
		{ "no entry written", no_second_entry, "it did not answer an unmap entry" },
		{ "gone", gone_at_the_second, "it is gone from the bus" },
	};
	struct line *l = line_open(test, false);
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(breaches); i++) {
		fill(l, 1);
		l->c.shorten = BIT(0);
		l->c.lie = breaches[i].lie;
		CHECK_EQ(test, line_map(l, 1), -EPROTO);
		EXPECT(test, !strcmp(l->t.reason, breaches[i].reason));
		CHECK_EQ(test, rung(l), 2 * (i + 1));
		l->c.lie = NULL;
		l->c.gone = false;
		l->c.refuse = 0;
		l->c.live = 0;
	}
}

/* The answers of the batch before are no answers to this one. */
static void check_deaf(struct line *l)
{
	struct kunit *test = l->test;

	fill(l, 3);
	CHECK_EQ(test, line_map(l, 2), 0);
	l->c.deaf = true;
	CHECK_EQ(test, line_map(l, 3), -EPROTO);
	CHECK(test, !strcmp(l->t.reason, "it did not write the status of a batch"));
	l->c.deaf = false;
	CHECK_EQ(test, line_unmap(l, 2), 0);
	l->c.deaf = true;
	CHECK_EQ(test, line_unmap(l, 2), -EPROTO);
	CHECK_EQ(test, rung(l), 4);
}

/* A host may answer with zeros for a companion that was pulled. */
static void zeros_are_nobody(struct kunit *test)
{
	struct line *l = line_open(test, false);

	fill(l, 1);
	l->c.deaf = true;
	l->c.version = 0;
	CHECK_EQ(test, line_map(l, 1), -EPROTO);
	CHECK(test, !strcmp(l->t.reason, "it is gone from the bus"));
}

LINE_CASES(doorbell_that_does_nothing, check_deaf)

/* The last granule of the address space may not be used; the one before may. */
CHANGE(as_far_as_can_be, .iova = U64_MAX - 5 * GRANULE + 1)

static void highest_address_is_accepted(struct kunit *test)
{
	struct line *l = line_open(test, true);

	fill(l, 2);
	l->c.lie = as_far_as_can_be;
	CHECK_EQ(test, line_map(l, 2), 0);
	CHECK_EQ(test, l->map[1].err, 0);
	CHECK_EQ(test, l->map[1].iova, U64_MAX - 5 * GRANULE + 1);
}

/* ---- a host that changes the page ---- */

/* Nothing on the page is read twice: the checked value is the one used. */
static void check_spoilt(struct line *l)
{
	struct kunit *test = l->test;
	unsigned int i;

	l->c.spoil = true;
	fill(l, APPLE_DMA_BATCH_MAX);
	l->c.refuse = BIT_ULL(7);
	l->c.shorten = BIT_ULL(9);
	CHECK_EQ(test, line_map(l, APPLE_DMA_BATCH_MAX), 0);
	for (i = 0; i < APPLE_DMA_BATCH_MAX; i++) {
		if (i == 7 || i == 9) {
			CHECK(test, l->map[i].err == -EIO);
			continue;
		}
		CHECK_EQ(test, l->map[i].err, 0);
		CHECK_EQ(test, l->map[i].iova, 0x4000000000ULL + GPA(i));
	}
	l->c.refuse = 0;
	CHECK_EQ(test, line_unmap(l, 7), 0);
	for (i = 0; i < 7; i++)
		CHECK_EQ(test, l->unmap[i].err, 0);
	/* Map, release what is short, unmap. */
	CHECK_EQ(test, rung(l), 3);
}

LINE_CASES(page_is_read_once, check_spoilt)

/* Each batch is written again, so changes of the host do not matter. */
static void scribble(struct fake_companion *c)
{
	u32 status = le32_to_cpu(c->cmd->status);

	memset(c->page, 0xa5, c->resp - c->page);
	c->cmd->status = cpu_to_le32(status);
}

static void requests_are_written_anew(struct kunit *test)
{
	struct line *l = line_open(test, true);

	l->c.lie = scribble;
	check_batches(l);
}

/* ---- life ---- */

static void page_of_a_liar_is_kept(struct kunit *test)
{
	struct line *l = line_open(test, false);
	void *page = l->t.page;

	apple_dma_transport_free(&l->t, true);
	CHECK(test, !l->t.page);
	l->up = false;
	/* The page was not freed. */
	CHECK_EQ(test, page_count(virt_to_page(page)), 1);
	free_page((unsigned long)page);
	l->lost++;
}

/* Each allocation of the init fails in turn; see fail_test.c. */
static void allocation_fails(struct kunit *test)
{
	struct line *l = line_new(test);
	unsigned int nth;
	bool failed;

	fail_needed(test);
	for (nth = 1; nth < FAIL_MOST; nth++) {
		int err;

		memset(&l->t, 0, sizeof(l->t));
		fail_arm(nth);
		err = apple_dma_transport_init(&l->t, fixture_device,
					       fake_companion_bar(&l->c));
		failed = fail_disarm();
		CHECK(test, err == (failed ? -ENOMEM : 0));
		if (!failed)
			break;
		CHECK_EQ(test, seam_balance(), l->lost);
	}
	CHECK(test, !failed);
	/* The command page. */
	CHECK_EQ(test, nth - 1, 1);
	apple_dma_transport_free(&l->t, false);
}

static struct kunit_case transport_cases[] = {
	KUNIT_CASE(batch_is_one_doorbell),
	KUNIT_CASE(batch_is_one_doorbell_wide),
	KUNIT_CASE(doorbells_are_counted_and_timed),
	KUNIT_CASE(batches_grow),
	KUNIT_CASE(batches_fit),
	KUNIT_CASE(delay_is_soon_forgotten),
	KUNIT_CASE(slow_host_is_believed),
	KUNIT_CASE(slowest_kind_counts),
	KUNIT_CASE(bad_batches_do_not_ring),
	KUNIT_CASE(refusal_is_of_one_entry),
	KUNIT_CASE(refusal_is_of_one_entry_wide),
	KUNIT_CASE(duplicate_is_refused),
	KUNIT_CASE(invalid_entry_is_refused),
	KUNIT_CASE(short_map_is_undone),
	KUNIT_CASE(short_map_is_undone_wide),
	KUNIT_CASE(wrong_map_answers),
	KUNIT_CASE(wrong_map_answers_wide),
	KUNIT_CASE(wrong_wide_length),
	KUNIT_CASE(wrong_unmap_answers),
	KUNIT_CASE(short_map_that_stays_is_a_breach),
	KUNIT_CASE(doorbell_that_does_nothing),
	KUNIT_CASE(doorbell_that_does_nothing_wide),
	KUNIT_CASE(zeros_are_nobody),
	KUNIT_CASE(highest_address_is_accepted),
	KUNIT_CASE(page_is_read_once),
	KUNIT_CASE(page_is_read_once_wide),
	KUNIT_CASE(requests_are_written_anew),
	KUNIT_CASE(page_of_a_liar_is_kept),
	KUNIT_CASE(allocation_fails),
	{ }
};

struct kunit_suite transport_suite = {
	.name = "apple_dma_transport",
	.exit = line_close,
	.test_cases = transport_cases,
};
