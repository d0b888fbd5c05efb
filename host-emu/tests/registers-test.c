// SPDX-License-Identifier: GPL-2.0
/* A companion without QEMU: registers, and batches at the limits of the protocol. */
#include "test.h"

#include <inttypes.h>
#include <time.h>

#include "companion/guest-memory.h"
#include "guest.h"

#define PAGE		UINT64_C(0x1000)
#define REQUESTS	UINT64_C(0x2000)
#define RESPONSES	UINT64_C(0x8000)
#define BATCH		8
#define FILL		0xa5

static enum wire_layout layout;

static int setup(void **state)
{
	const struct dart_config config = {
		.max_bytes = 64 * GIB, .max_entries = GUEST_REGIONS, .iova_bits = 47,
	};
	struct guest *guest = calloc(1, sizeof(*guest));

	assert_non_null(guest);
	guest_start(guest, &config);
	guest->regs.layout = layout;
	guest->regs.batch_entries = BATCH;
	*state = guest;
	return 0;
}

static int teardown(void **state)
{
	guest_stop(*state);
	free(*state);
	return 0;
}

static void put32(uint64_t gpa, uint32_t value)
{
	memcpy(guest_at(gpa, 4), &value, 4);
}

static void put64(uint64_t gpa, uint64_t value)
{
	memcpy(guest_at(gpa, 8), &value, 8);
}

static uint32_t get32(uint64_t gpa)
{
	uint32_t value;

	memcpy(&value, guest_at(gpa, 4), 4);
	return value;
}

static uint64_t get64(uint64_t gpa)
{
	uint64_t value;

	memcpy(&value, guest_at(gpa, 8), 8);
	return value;
}

static void set_page(struct guest *guest, uint64_t gpa)
{
	registers_write(&guest->regs, APPLE_DMA_REG_CMD_GPA_LO, (uint32_t)gpa);
	registers_write(&guest->regs, APPLE_DMA_REG_CMD_GPA_HI, (uint32_t)(gpa >> 32));
}

static void command_at(uint64_t gpa, uint32_t type, uint32_t count, uint64_t req, uint64_t resp)
{
	put32(gpa, type);
	put32(gpa + 4, count);
	put32(gpa + 8, UINT32_MAX);
	put64(gpa + 16, req);
	put64(gpa + 24, resp);
}

/* Returns STATUS. */
static uint32_t ring(struct guest *guest)
{
	registers_write(&guest->regs, APPLE_DMA_REG_DOORBELL, 0);
	return registers_read(&guest->regs, APPLE_DMA_REG_STATUS);
}

static uint32_t run(struct guest *guest, uint32_t type, uint32_t count, uint64_t req,
		    uint64_t resp)
{
	uint32_t status;

	command_at(PAGE, type, count, req, resp);
	set_page(guest, PAGE);
	status = ring(guest);
	assert_int_equal(get32(PAGE + 8), status);
	return status;
}

/* The responses, which nobody has written yet. */
static void fill_responses(void)
{
	memset(guest_at(RESPONSES, 0x1000), FILL, 0x1000);
}

static void is_filled(uint64_t gpa, size_t size)
{
	for (size_t i = 0; i < size; i++)
		assert_int_equal(*guest_at(gpa + i, 1), FILL);
}

static uint64_t request_size(void)
{
	return layout == WIRE_WIDE ? 20 : 16;
}

static uint64_t response_size(void)
{
	return layout == WIRE_WIDE ? 28 : 24;
}

static void put_map(unsigned int index, uint64_t gpa, uint64_t len)
{
	const uint64_t at = REQUESTS + index * request_size();

	put64(at, gpa);
	if (layout == WIRE_WIDE)
		put64(at + 8, len);
	else
		put32(at + 8, (uint32_t)len);
}

static uint32_t map(struct guest *guest, uint64_t gpa, uint64_t len)
{
	put_map(0, gpa, len);
	fill_responses();
	return run(guest, APPLE_DMA_CMD_MAP, 1, REQUESTS, RESPONSES);
}

static uint32_t unmap(struct guest *guest, uint64_t handle)
{
	put64(REQUESTS, handle);
	fill_responses();
	return run(guest, APPLE_DMA_CMD_UNMAP, 1, REQUESTS, RESPONSES);
}

static uint32_t map_status(unsigned int index)
{
	return get32(RESPONSES + (index + 1) * response_size() - 4);
}

static uint64_t map_len(void)
{
	return layout == WIRE_WIDE ? get64(RESPONSES + 16) : get32(RESPONSES + 16);
}

static void registers_read_what_they_are_and_others_0(void **state)
{
	struct guest *guest = *state;

	for (uint64_t offset = 0; offset < APPLE_DMA_BAR_SIZE; offset += 4) {
		const uint32_t value = registers_read(&guest->regs, offset);

		if (offset == APPLE_DMA_REG_VERSION)
			assert_int_equal(value, 2);
		else if (offset == APPLE_DMA_REG_MANAGED_BDF)
			assert_int_equal(value, 0x0100);
		else if (offset == APPLE_DMA_REG_MAX_ENTRIES)
			assert_int_equal(value, BATCH);
		else
			assert_int_equal(value, 0);
	}
	assert_int_equal(registers_read(&guest->regs, UINT64_MAX), 0);
	guest->bdf = 0x0210;
	assert_int_equal(registers_read(&guest->regs, APPLE_DMA_REG_MANAGED_BDF), 0x0210);
	guest->regs.bdf_fixed = true;
	guest->regs.bdf = 0xffff;
	assert_int_equal(registers_read(&guest->regs, APPLE_DMA_REG_MANAGED_BDF), 0xffff);
}

static void only_the_command_page_and_the_doorbell_are_written(void **state)
{
	struct guest *guest = *state;

	for (uint64_t offset = 0; offset < APPLE_DMA_BAR_SIZE; offset += 4)
		if (offset < APPLE_DMA_REG_CMD_GPA_LO || offset > APPLE_DMA_REG_DOORBELL)
			registers_write(&guest->regs, offset, 0x12345678);
	assert_int_equal(guest->regs.cmd_gpa, 0);
	assert_int_equal(guest->regs.stats.doorbells, 0);
	registers_write(&guest->regs, APPLE_DMA_REG_CMD_GPA_LO, 0);
	assert_int_equal(guest->programs, 0);
	registers_write(&guest->regs, APPLE_DMA_REG_CMD_GPA_HI, 0x89abcdef);
	registers_write(&guest->regs, APPLE_DMA_REG_CMD_GPA_LO, 0x01234567);
	assert_true(guest->regs.cmd_gpa == 0x89abcdef01234567);
	assert_int_equal(guest->programs, 2);
	/* A half is replaced, and the other one stays. */
	registers_write(&guest->regs, APPLE_DMA_REG_CMD_GPA_HI, 0);
	assert_true(guest->regs.cmd_gpa == 0x01234567);
	assert_int_equal(registers_read(&guest->regs, APPLE_DMA_REG_VERSION), 2);
}

static void no_write(void *arg, uint64_t gpa, const void *from, size_t size)
{
	(void)arg;
	(void)from;
	fail_msg("%zu bytes were written at 0x%" PRIx64, size, gpa);
}

static void unreadable_command_pages_are_invalid_and_nothing_is_written(void **state)
{
	static const uint64_t pages[] = {
		0,					/* though there is RAM */
		GUEST_HOLE, GUEST_HOLE - 31,		/* its last byte is not there */
		GUEST_NEXT + GUEST_NEXT_SIZE - 16, UINT64_MAX - 15, UINT64_MAX,
	};
	struct guest *guest = *state;

	command_at(0, APPLE_DMA_CMD_MAP, 1, REQUESTS, RESPONSES);
	guest->wrote = no_write;
	for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		set_page(guest, pages[i]);
		assert_int_equal(ring(guest), APPLE_DMA_STATUS_INVAL);
		assert_int_equal(guest->regs.stats.bad_commands, i + 1);
	}
	guest->wrote = NULL;
	assert_int_equal(guest->calls, 0);
	/* The last place where one fits. */
	command_at(GUEST_HOLE - 32, 0, 0, 0, 0);
	set_page(guest, GUEST_HOLE - 32);
	assert_int_equal(ring(guest), APPLE_DMA_STATUS_INVAL);
	assert_int_equal(get32(GUEST_HOLE - 32 + 8), APPLE_DMA_STATUS_INVAL);
}

static void counts_are_1_to_max_entries(void **state)
{
	static const uint32_t bad[] = { 0, BATCH + 1, 0x10000000, UINT32_MAX };
	struct guest *guest = *state;

	for (unsigned int i = 0; i <= BATCH; i++)
		put_map(i, GUEST_FAR + i * 16 * KIB, 16 * KIB);
	fill_responses();
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(run(guest, APPLE_DMA_CMD_MAP, bad[i], REQUESTS, RESPONSES),
				 APPLE_DMA_STATUS_INVAL);
	is_filled(RESPONSES, 0x1000);
	assert_int_equal(guest->calls, 0);
	assert_int_equal(run(guest, APPLE_DMA_CMD_MAP, BATCH, REQUESTS, RESPONSES),
			 APPLE_DMA_STATUS_OK);
	assert_int_equal(guest->live_count, BATCH);
	is_filled(RESPONSES + BATCH * response_size(), 256);
	assert_int_equal(guest->regs.stats.bad_commands, 4);
	assert_int_equal(guest->regs.stats.peak, BATCH);
}

static void types_are_map_and_unmap(void **state)
{
	static const uint32_t bad[] = { 0, 3, UINT32_MAX };
	struct guest *guest = *state;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(run(guest, bad[i], 1, REQUESTS, RESPONSES),
				 APPLE_DMA_STATUS_INVAL);
}

/* Two entries end exactly at the end of a region, or beyond it. */
static void arrays_are_ram_in_one_region(void **state)
{
	struct guest *guest = *state;
	const uint64_t req = 2 * request_size(), resp = 2 * response_size();
	const struct {
		uint64_t req, resp;
		uint32_t status;
	} cases[] = {
		{ GUEST_HOLE - req, GUEST_NEXT + GUEST_NEXT_SIZE - resp, APPLE_DMA_STATUS_IOERR },
		{ GUEST_NEXT, GUEST_NEXT - resp, APPLE_DMA_STATUS_IOERR },
		{ GUEST_HOLE - req + 1, RESPONSES, APPLE_DMA_STATUS_INVAL },
		{ REQUESTS, GUEST_HOLE - resp + 1, APPLE_DMA_STATUS_INVAL },
		{ GUEST_HOLE, RESPONSES, APPLE_DMA_STATUS_INVAL },
		{ REQUESTS, GUEST_HOLE, APPLE_DMA_STATUS_INVAL },
		{ GUEST_NEXT - 1, RESPONSES, APPLE_DMA_STATUS_INVAL },
		{ REQUESTS, GUEST_NEXT - 1, APPLE_DMA_STATUS_INVAL },
		{ 0, RESPONSES, APPLE_DMA_STATUS_INVAL },
		{ REQUESTS, 0, APPLE_DMA_STATUS_INVAL },
		{ UINT64_MAX - 3, RESPONSES, APPLE_DMA_STATUS_INVAL },
		{ REQUESTS, UINT64_MAX - 3, APPLE_DMA_STATUS_INVAL },
		/* Requests may be in ROM; answers may not. */
		{ GUEST_ROM, RESPONSES, APPLE_DMA_STATUS_IOERR },
		{ REQUESTS, GUEST_ROM, APPLE_DMA_STATUS_INVAL },
		{ REQUESTS, GUEST_ROM - 1, APPLE_DMA_STATUS_INVAL },
		{ REQUESTS, GUEST_ROM - resp, APPLE_DMA_STATUS_IOERR },
	};

	/* Of zeroes: two entries of length 0, which are refused one by one. */
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const uint64_t probes = guest->regs.stats.probes;
		const bool good = cases[i].status == APPLE_DMA_STATUS_IOERR;

		if (run(guest, APPLE_DMA_CMD_MAP, 2, cases[i].req, cases[i].resp) !=
		    cases[i].status)
			fail_msg("case %zu", i);
		assert_int_equal(guest->regs.stats.probes - probes, good ? 2 : 0);
	}
	assert_int_equal(guest->calls, 0);
	for (uint64_t i = 0; i < GUEST_ROM_SIZE; i++)
		assert_int_equal(*guest_at(GUEST_ROM + i, 1), 0);
}

static void command_page_in_rom_is_read_but_not_written(void **state)
{
	struct guest *guest = *state;

	put_map(0, GUEST_FAR, 16 * KIB);
	command_at(GUEST_ROM, APPLE_DMA_CMD_MAP, 1, REQUESTS, RESPONSES);
	set_page(guest, GUEST_ROM);
	assert_int_equal(ring(guest), APPLE_DMA_STATUS_OK);
	assert_int_equal(get32(GUEST_ROM + 8), UINT32_MAX);
	assert_int_equal(guest->live_count, 1);
}

static void map_writes_all_of_its_answer(void **state)
{
	struct guest *guest = *state;
	const uint64_t gpa = GUEST_FAR + 0x1234;
	uint64_t va;

	assert_int_equal(map(guest, gpa, 5000), APPLE_DMA_STATUS_OK);
	assert_true(get64(RESPONSES) == gpa);
	assert_true(get64(RESPONSES + 8) == guest->last.addr);
	assert_int_equal(map_len(), 5000);
	assert_int_equal(map_status(0), APPLE_DMA_STATUS_OK);
	is_filled(RESPONSES + response_size(), 64);
	assert_true(dart_lookup(guest->dart, get64(RESPONSES + 8), &va));
	assert_true(va == (uintptr_t)guest_at(gpa, 5000));
}

static void failed_map_writes_its_status_alone(void **state)
{
	struct guest *guest = *state;

	assert_int_equal(map(guest, GUEST_HOLE - 1, 2), APPLE_DMA_STATUS_IOERR);
	is_filled(RESPONSES, response_size() - 4);
	assert_int_equal(map_status(0), APPLE_DMA_STATUS_IOERR);
	is_filled(RESPONSES + response_size(), 64);
	assert_int_equal(guest->calls, 0);
	assert_int_equal(guest->regs.stats.failed_entries, 1);
}

static void probe_is_refused_and_not_passed_on(void **state)
{
	struct guest *guest = *state;

	assert_int_equal(map(guest, GUEST_FAR, 0), APPLE_DMA_STATUS_IOERR);
	is_filled(RESPONSES, response_size() - 4);
	assert_int_equal(map_status(0), APPLE_DMA_STATUS_IOERR);
	assert_int_equal(guest->calls, 0);
	assert_int_equal(guest->regs.stats.probes, 1);
	assert_int_equal(guest->regs.stats.map_entries, 0);
	assert_int_equal(guest->regs.stats.failed_entries, 0);
}

static void unmap_always_writes_id_and_status(void **state)
{
	struct guest *guest = *state;

	guest->regs.latency_us = 1;
	assert_int_equal(map(guest, GUEST_FAR, 1), APPLE_DMA_STATUS_OK);
	for (unsigned int again = 0; again < 2; again++) {
		const uint32_t status = again ? APPLE_DMA_STATUS_IOERR : APPLE_DMA_STATUS_OK;

		assert_int_equal(unmap(guest, GUEST_FAR), status);
		assert_true(get64(RESPONSES) == GUEST_FAR);
		assert_int_equal(get32(RESPONSES + 8), status);
		is_filled(RESPONSES + 12, 64);
	}
	assert_int_equal(guest->live_count, 0);
	assert_int_equal(guest->regs.stats.unmap_entries, 2);
	assert_int_equal(guest->regs.stats.failed_entries, 1);
}

static void handle_is_the_address_whatever_the_length(void **state)
{
	struct guest *guest = *state;

	assert_int_equal(map(guest, GUEST_FAR, 64 * KIB), APPLE_DMA_STATUS_OK);
	assert_int_equal(map(guest, GUEST_FAR, 16 * KIB), APPLE_DMA_STATUS_IOERR);
	assert_int_equal(guest->regs.stats.duplicate_handles, 1);
	/* Other starts may overlap. */
	assert_int_equal(map(guest, GUEST_FAR + 1, 64 * KIB), APPLE_DMA_STATUS_OK);
	assert_int_equal(guest->live_count, 2);
	assert_int_equal(guest->regs.stats.peak_bytes, 128 * KIB);
}

static void failed_entry_does_not_stop_the_batch(void **state)
{
	struct guest *guest = *state;

	for (unsigned int i = 0; i < 5; i++)
		put_map(i, i & 1 ? GUEST_HOLE : GUEST_FAR + i * 16 * KIB, 16 * KIB);
	fill_responses();
	assert_int_equal(run(guest, APPLE_DMA_CMD_MAP, 5, REQUESTS, RESPONSES),
			 APPLE_DMA_STATUS_IOERR);
	for (unsigned int i = 0; i < 5; i++)
		assert_int_equal(map_status(i),
				 i & 1 ? APPLE_DMA_STATUS_IOERR : APPLE_DMA_STATUS_OK);
	assert_int_equal(guest->live_count, 3);
}

static void more_than_a_chunk_comes_back_shorter(void **state)
{
	struct guest *guest = *state;

	assert_int_equal(map(guest, GUEST_FAR, DEXT_CHUNK_SIZE), APPLE_DMA_STATUS_OK);
	assert_int_equal(map_len(), DEXT_CHUNK_SIZE);
	assert_int_equal(unmap(guest, GUEST_FAR), APPLE_DMA_STATUS_OK);
	assert_int_equal(map(guest, GUEST_FAR, DEXT_CHUNK_SIZE + 1), APPLE_DMA_STATUS_OK);
	assert_int_equal(map_len(), DEXT_CHUNK_SIZE);
}

/* The answer to the first entry is the request of the second. */
static void arrays_may_overlap(void **state)
{
	struct guest *guest = *state;

	put64(REQUESTS, 0x7777);
	put64(REQUESTS + 16, 0x8888);
	assert_int_equal(run(guest, APPLE_DMA_CMD_UNMAP, 2, REQUESTS, REQUESTS + 16),
			 APPLE_DMA_STATUS_IOERR);
	assert_int_equal(get64(REQUESTS + 32), 0x7777);
	/* And the status of the page is written last. */
	put64(REQUESTS, 0x9999);
	assert_int_equal(run(guest, APPLE_DMA_CMD_UNMAP, 1, REQUESTS, PAGE), APPLE_DMA_STATUS_IOERR);
	assert_int_equal(get64(PAGE), 0x9999);
}

/* A busy machine makes a sleep longer, never shorter. */
static void each_call_of_the_extension_takes_the_latency(void **state)
{
	struct guest *guest = *state;
	struct timespec from, to;

	guest->regs.latency_us = 100 * 1000;
	clock_gettime(CLOCK_MONOTONIC, &from);
	assert_int_equal(map(guest, GUEST_FAR, 1), APPLE_DMA_STATUS_OK);
	assert_int_equal(unmap(guest, GUEST_FAR), APPLE_DMA_STATUS_OK);
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_in_range((to.tv_sec - from.tv_sec) * 1000000000L + to.tv_nsec - from.tv_nsec,
			200 * 1000 * 1000, INT64_MAX);
}

/* One that was pulled out; a CPU may be on its way to it, and so may the lie's timer. */
static void without_a_backend_all_is_ones_and_writes_are_ignored(void **state)
{
	struct guest *guest = *state;
	const struct companion_stats before = guest->regs.stats;

	put_map(0, GUEST_FAR, 16 * KIB);
	command_at(PAGE, APPLE_DMA_CMD_MAP, 1, REQUESTS, RESPONSES);
	set_page(guest, PAGE);
	assert_true(lie_set(&guest->regs.lie, "late"));
	registers_write(&guest->regs, APPLE_DMA_REG_DOORBELL, 0);
	assert_true(guest->regs.later);

	guest->regs.backend = NULL;
	guest->wrote = no_write;
	registers_later(&guest->regs);
	assert_false(guest->regs.later);
	assert_true(lie_set(&guest->regs.lie, "none"));
	for (uint64_t offset = 0; offset < APPLE_DMA_BAR_SIZE; offset += 4) {
		assert_int_equal(registers_read(&guest->regs, offset), UINT32_MAX);
		registers_write(&guest->regs, offset, 1);
	}
	assert_true(guest->regs.cmd_gpa == PAGE);
	assert_int_equal(guest->regs.stats.doorbells, before.doorbells + 1);
	assert_int_equal(guest->calls, 0);
	assert_int_equal(guest->programs, 1);
}

static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	TEST(registers_read_what_they_are_and_others_0),
	TEST(only_the_command_page_and_the_doorbell_are_written),
	TEST(unreadable_command_pages_are_invalid_and_nothing_is_written),
	TEST(counts_are_1_to_max_entries),
	TEST(types_are_map_and_unmap),
	TEST(arrays_are_ram_in_one_region),
	TEST(command_page_in_rom_is_read_but_not_written),
	TEST(map_writes_all_of_its_answer),
	TEST(failed_map_writes_its_status_alone),
	TEST(probe_is_refused_and_not_passed_on),
	TEST(unmap_always_writes_id_and_status),
	TEST(handle_is_the_address_whatever_the_length),
	TEST(failed_entry_does_not_stop_the_batch),
	TEST(more_than_a_chunk_comes_back_shorter),
	TEST(arrays_may_overlap),
	TEST(each_call_of_the_extension_takes_the_latency),
	TEST(without_a_backend_all_is_ones_and_writes_are_ignored),
};

int main(void)
{
	int failed;

	layout = WIRE_RFC;
	failed = cmocka_run_group_tests_name("registers, RFC layout", tests, NULL, NULL);
	layout = WIRE_WIDE;
	return failed + cmocka_run_group_tests_name("registers, wide layout", tests, NULL, NULL);
}
