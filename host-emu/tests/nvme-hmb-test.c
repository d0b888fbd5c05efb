// SPDX-License-Identifier: GPL-2.0
/* The NVMe controller's host memory buffer. */
#include "nvme-host.h"

#include <stdio.h>

#include "pci/physical.h"

#define DEVICE		"nvme,size=8M,queues=4,iova=random,iova-bits=64,hmb=256K,hmb-min=64K"
#define FAILED(code)	((code) | NVME_DNR)
#define CHUNKS		16		/* of 16 KiB each */
#define UNITS		(CHUNKS * (unsigned int)(HOST_PIECE / HOST_PAGE))

struct buffer {
	uint8_t *chunks;
	uint8_t *list;
	uint8_t *data;			/* of a read */
};

static void put_chunk(uint8_t *list, unsigned int i, uint64_t address, uint32_t pages)
{
	const struct nvme_host_memory entry = { .address = address, .pages = pages };

	memcpy(list + i * sizeof(entry), &entry, sizeof(entry));
}

static struct nvme_host *start(struct buffer *b)
{
	struct nvme_host *h = host_start(DEVICE);

	/* Each chunk is one registration, so that they are nobody's neighbours. */
	h->used = (h->used + HOST_PIECE - 1) & ~(HOST_PIECE - 1);
	b->chunks = host_pages(h, UNITS);
	b->list = host_pages(h, 1);
	b->data = host_pages(h, 1);
	for (unsigned int i = 0; i < CHUNKS; i++)
		put_chunk(b->list, i, host_bus(h, b->chunks + i * HOST_PIECE), 4);
	host_create_queues(h);
	return h;
}

static uint16_t set(struct nvme_host *h, uint32_t flags, uint32_t pages, uint64_t list,
		    uint32_t count)
{
	struct nvme_command command = {
		.opcode = NVME_SET_FEATURES, .cdw10 = NVME_FEATURE_HOST_MEMORY, .cdw11 = flags,
		.cdw12 = pages, .cdw13 = (uint32_t)list, .cdw14 = list >> 32, .cdw15 = count,
	};

	return host_do(h, 0, &command, NULL);
}

static uint16_t give(struct nvme_host *h, const struct buffer *b)
{
	return set(h, NVME_HOST_MEMORY_ENABLE, UNITS, host_bus(h, b->list), CHUNKS);
}

/* Read enough blocks to use every unit; returns how many of the commands failed. */
static unsigned int read_all(struct nvme_host *h, const struct buffer *b)
{
	unsigned int failed = 0;

	for (uint64_t lba = 0; lba < 2048; lba += 8) {
		struct nvme_command command = host_io(NVME_READ, lba, 1);

		command.prp1 = host_bus(h, b->data);
		failed += host_do(h, 1, &command, NULL) == NVME_INTERNAL_ERROR;
	}
	return failed;
}

static void identify_asks_for_the_buffer(void **state)
{
	struct buffer b;
	struct nvme_host *h = start(&b);
	struct nvme_command command = {
		.opcode = NVME_IDENTIFY, .cdw10 = 1, .prp1 = host_bus(h, b.data),
	};
	uint32_t preferred, least;

	(void)state;
	assert_int_equal(host_do(h, 0, &command, NULL), NVME_OK);
	memcpy(&preferred, b.data + 272, 4);
	memcpy(&least, b.data + 276, 4);
	assert_int_equal(preferred, 64);
	assert_int_equal(least, 16);
	host_stop(h);
	/* A controller that asks for none takes none. */
	h = host_start("nvme");
	assert_int_equal(set(h, 0, 0, 0, 0), FAILED(NVME_INVALID_FIELD));
	host_stop(h);
}

static void get_features_describes_what_was_given(void **state)
{
	struct buffer b;
	struct nvme_host *h = start(&b);
	struct nvme_command command = {
		.opcode = NVME_GET_FEATURES, .cdw10 = NVME_FEATURE_HOST_MEMORY,
		.prp1 = host_bus(h, b.data),
	};
	const uint64_t list = host_bus(h, b.list);
	const uint32_t words[4] = { UNITS, (uint32_t)list, list >> 32, CHUNKS };
	uint32_t result;

	(void)state;
	assert_int_equal(host_do(h, 0, &command, &result), NVME_OK);
	assert_int_equal(result, 0);
	assert_int_equal(give(h, &b), NVME_OK);
	assert_int_equal(give(h, &b), FAILED(NVME_SEQUENCE_ERROR));
	assert_int_equal(host_do(h, 0, &command, &result), NVME_OK);
	assert_int_equal(result, NVME_HOST_MEMORY_ENABLE);
	assert_memory_equal(b.data, words, sizeof(words));
	/* Taken back, and given again after a reset, too. */
	assert_int_equal(set(h, 0, 0, 0, 0), NVME_OK);
	assert_int_equal(host_do(h, 0, &command, &result), NVME_OK);
	assert_int_equal(result, 0);
	assert_int_equal(give(h, &b), NVME_OK);
	host_enable(h);
	assert_int_equal(give(h, &b), NVME_OK);
	host_stop(h);
}

static void bad_lists_are_refused(void **state)
{
	struct buffer b;
	struct nvme_host *h = start(&b);
	const uint64_t list = host_bus(h, b.list), nowhere = UINT64_C(0x1234) << 14;

	(void)state;
#define TRY(pages, at, count, expected) \
	assert_int_equal(set(h, NVME_HOST_MEMORY_ENABLE, pages, at, count), expected)
	TRY(UNITS, list, 0, FAILED(NVME_INVALID_FIELD));
	TRY(UNITS, list, 257, FAILED(NVME_INVALID_FIELD));
	TRY(UNITS, list + 8, CHUNKS, FAILED(NVME_INVALID_FIELD));
	TRY(0, list, CHUNKS, FAILED(NVME_INVALID_FIELD));
	TRY(15, list, CHUNKS, FAILED(NVME_INVALID_FIELD));
	TRY(UNITS, list, 3, FAILED(NVME_INVALID_FIELD));
	TRY(UNITS, nowhere, CHUNKS, NVME_TRANSFER_ERROR);
	/* Least: 16 pages, which the first four chunks have. */
	TRY(16, list, 4, NVME_OK);
	assert_int_equal(read_all(h, &b), 0);
	assert_int_equal(set(h, 0, 0, 0, 0), NVME_OK);
	put_chunk(b.list, 2, host_bus(h, b.chunks) + 512, 4);
	TRY(UNITS, list, CHUNKS, FAILED(NVME_INVALID_FIELD));
	put_chunk(b.list, 2, nowhere, 4);
	TRY(UNITS, list, CHUNKS, NVME_TRANSFER_ERROR);
	/* More than asked for is not used. */
	put_chunk(b.list, 2, host_bus(h, b.chunks + 2 * HOST_PIECE), 4);
	put_chunk(b.list, CHUNKS, nowhere, UINT32_MAX);
	TRY(UINT32_MAX, list, CHUNKS + 1, NVME_OK);
	assert_int_equal(read_all(h, &b), 0);
	host_stop(h);
}

/* Each unit is used, a change of each is noticed, and none of memory that was taken back. */
static void every_unit_is_in_use(void **state)
{
	struct buffer b;
	struct nvme_host *h = start(&b);
	uint8_t *before = malloc(UNITS * HOST_PAGE);

	(void)state;
	assert_non_null(before);
	assert_int_equal(give(h, &b), NVME_OK);
	memcpy(before, b.chunks, UNITS * HOST_PAGE);
	assert_int_equal(read_all(h, &b), 0);
	for (unsigned int i = 0; i < UNITS; i++) {
		uint8_t *unit = b.chunks + i * HOST_PAGE;

		assert_memory_not_equal(unit, before + i * HOST_PAGE, 8);
		unit[3] ^= 1;
		assert_true(read_all(h, &b) > 0);
		unit[3] ^= 1;
		assert_int_equal(read_all(h, &b), 0);
	}
	assert_int_equal(set(h, 0, 0, 0, 0), NVME_OK);
	memset(b.chunks, 0, UNITS * HOST_PAGE);
	assert_int_equal(read_all(h, &b), 0);
	assert_int_equal(b.chunks[0], 0);
	free(before);
	host_stop(h);
}

static void memory_that_returns_must_be_as_it_was(void **state)
{
	struct buffer b;
	struct nvme_host *h = start(&b);
	const uint32_t again = NVME_HOST_MEMORY_ENABLE | NVME_HOST_MEMORY_RETURN;
	uint64_t record;

	(void)state;
	assert_int_equal(give(h, &b), NVME_OK);
	memcpy(&record, b.chunks, 8);
	assert_int_equal(set(h, 0, 0, 0, 0), NVME_OK);
	assert_int_equal(set(h, again, UNITS, host_bus(h, b.list), CHUNKS), NVME_OK);
	assert_memory_equal(b.chunks, &record, 8);
	assert_int_equal(read_all(h, &b), 0);
	assert_int_equal(set(h, 0, 0, 0, 0), NVME_OK);
	memset(b.chunks, 0, HOST_PAGE);
	assert_int_equal(set(h, again, UNITS, host_bus(h, b.list), CHUNKS), NVME_OK);
	assert_true(read_all(h, &b) > 0);
	/* After a reset or a shutdown no memory is known, whatever the host says. */
	host_set(h, NVME_CC, 4, 4 << 20 | 6 << 16 | 1 << 14 | NVME_CC_EN);
	host_set(h, NVME_CC, 4, 4 << 20 | 6 << 16 | NVME_CC_EN);
	assert_int_equal(host_get(h, NVME_CSTS), NVME_CSTS_RDY);
	assert_int_equal(set(h, again, UNITS, host_bus(h, b.list), CHUNKS), NVME_OK);
	assert_int_equal(read_all(h, &b), 0);
	memset(b.chunks, 0, HOST_PAGE);
	host_enable(h);
	host_create_queues(h);
	assert_int_equal(set(h, again, UNITS, host_bus(h, b.list), CHUNKS), NVME_OK);
	assert_int_equal(read_all(h, &b), 0);
	host_stop(h);
}

/* Memory that is unregistered too early is a fault, and the commands fail. */
static void unregistered_buffer_is_a_fault(void **state)
{
	struct buffer b;
	struct nvme_host *h = start(&b);
	const uint64_t handle = (uint64_t)(b.chunks - h->memory) / HOST_PIECE + 5;
	struct dart_usage usage;
	unsigned int failed;

	(void)state;
	assert_int_equal(give(h, &b), NVME_OK);
	assert_int_equal(apple_dext_unregister_dma(h->c, handle), kIOReturnSuccess);
	failed = read_all(h, &b);
	assert_true(failed > 0);
	service_halt(h->service);
	dart_get_usage(h->service->unit.dart, &usage);
	assert_int_equal(usage.read_faults, failed);
	host_stop(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identify_asks_for_the_buffer),
		cmocka_unit_test(get_features_describes_what_was_given),
		cmocka_unit_test(bad_lists_are_refused),
		cmocka_unit_test(every_unit_is_in_use),
		cmocka_unit_test(memory_that_returns_must_be_as_it_was),
		cmocka_unit_test(unregistered_buffer_is_a_fault),
	};

	return cmocka_run_group_tests_name("nvme-hmb", tests, NULL, NULL);
}
