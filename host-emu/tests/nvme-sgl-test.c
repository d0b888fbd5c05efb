// SPDX-License-Identifier: GPL-2.0
/* The NVMe controller's SGLs. */
#include "nvme-host.h"

#include <stdio.h>
#include <sys/mman.h>

#define BLOCK		512
#define DISK		(UINT64_C(8) << 20)
#define DEVICE		"nvme,size=8M,queues=4,iova=random,iova-bits=64,sgl=on"
#define FAILED(code)	((code) | NVME_DNR)

static void set_sgl(struct nvme_command *command, uint64_t address, uint32_t len, uint8_t type)
{
	const struct nvme_sgl sgl = { .address = address, .len = len, .type = type };

	command->flags = NVME_FLAG_SGL;
	memcpy(&command->prp1, &sgl, sizeof(sgl));
}

static void put_sgl(void *at, uint64_t address, uint32_t len, uint8_t type)
{
	const struct nvme_sgl sgl = { .address = address, .len = len, .type = type };

	memcpy(at, &sgl, sizeof(sgl));
}

/*
 * Cut @len bytes at @at into blocks of any length, some empty, and those into segments,
 * which are in @lists one after the other.
 */
static void scatter(struct nvme_host *h, struct nvme_command *command, uint8_t *at, uint32_t len,
		    uint8_t *lists)
{
	struct nvme_sgl all[512];
	unsigned int n = 0, first = 0;

	while (len || !n) {
		const uint64_t room = HOST_PIECE - (uint64_t)(at - h->memory) % HOST_PIECE;
		uint32_t part = len < room ? len : (uint32_t)room;

		if (n < 100)
			part = (uint32_t)host_random(h, part + 1);
		put_sgl(&all[n++], host_bus(h, at), part, NVME_SGL_DATA);
		at += part;
		len -= part;
	}
	/* From the end of the chain: each segment has its link from the one before. */
	for (unsigned int end = n; end; end = first) {
		unsigned int count = 1 + (unsigned int)host_random(h, end < 8 ? end : 8);
		uint8_t type = end == n ? NVME_SGL_LAST_SEGMENT : NVME_SGL_SEGMENT;

		first = end - count;
		memcpy(lists, &all[first], count * sizeof(all[0]));
		if (end < n)
			memcpy(lists + count++ * sizeof(all[0]), &command->prp1, sizeof(all[0]));
		set_sgl(command, host_bus(h, lists), count * sizeof(all[0]), type);
		lists += count * sizeof(all[0]);
	}
}

static void identify_says_whether_there_are_sgls(void **state)
{
	static const char *const devices[] = { "nvme", DEVICE };

	(void)state;
	for (uint32_t i = 0; i < 2; i++) {
		struct nvme_host *h = host_start(devices[i]);
		uint8_t *data = host_pages(h, 1);
		struct nvme_command command = {
			.opcode = NVME_IDENTIFY, .cdw10 = 1, .prp1 = host_bus(h, data),
		};
		uint32_t sgls;

		assert_int_equal(host_do(h, 0, &command, NULL), NVME_OK);
		memcpy(&sgls, data + 536, 4);
		assert_int_equal(sgls, i);
		/* Never in the admin queue; elsewhere if there are any. */
		set_sgl(&command, host_bus(h, data), 4096, NVME_SGL_DATA);
		assert_int_equal(host_do(h, 0, &command, NULL), FAILED(NVME_INVALID_FIELD));
		host_create_queues(h);
		command = host_io(NVME_READ, 0, 8);
		set_sgl(&command, host_bus(h, data), 4096, NVME_SGL_DATA);
		assert_int_equal(host_do(h, 1, &command, NULL),
				 i ? NVME_OK : FAILED(NVME_INVALID_FIELD));
		host_stop(h);
	}
}

/* What is written by one SGL is read by another one of another shape. */
static void data_by_sgls_of_any_shape(void **state)
{
	struct nvme_host *h = host_start(DEVICE);
	uint8_t *data = host_pages(h, 513), *back = host_pages(h, 513), *lists = host_pages(h, 4);

	(void)state;
	host_create_queues(h);
	for (int i = 0; i < 100; i++) {
		const uint32_t blocks = i % 10 ? 1 + (uint32_t)host_random(h, 200) :
				       NVME_MAX_TRANSFER / BLOCK;
		const uint64_t lba = host_random(h, DISK / BLOCK - blocks + 1);
		struct nvme_command command = host_io(NVME_WRITE, lba, blocks);

		for (uint32_t n = 0; n < blocks * BLOCK; n += 8)
			memcpy(data + n, &(uint64_t){ host_random(h, UINT64_MAX) }, 8);
		memset(back, 0xee, 513 * HOST_PAGE);
		scatter(h, &command, data, blocks * BLOCK, lists);
		assert_int_equal(host_do(h, 1, &command, NULL), NVME_OK);
		command = host_io(NVME_READ, lba, blocks);
		scatter(h, &command, back + i, blocks * BLOCK, lists);
		assert_int_equal(host_do(h, 2, &command, NULL), NVME_OK);
		assert_memory_equal(back + i, data, blocks * BLOCK);
		assert_int_equal(back[i + blocks * BLOCK], 0xee);
	}
	host_stop(h);
}

static void bad_sgls_fail_and_move_nothing(void **state)
{
	struct nvme_host *h = host_start(DEVICE);
	uint8_t *data = host_pages(h, 1), *list = host_pages(h, 4);
	const uint64_t page = host_bus(h, data), at = host_bus(h, list);
	const uint64_t nowhere = UINT64_C(0x1234) << 14;
	struct nvme_command command;

	(void)state;
	host_create_queues(h);
#define TRY(address, len, type, expected) do { \
		command = host_io(NVME_READ, 0, 1); \
		set_sgl(&command, address, len, type); \
		memset(data, 0xee, HOST_PAGE); \
		assert_int_equal(host_do(h, 1, &command, NULL), expected); \
		assert_int_equal(data[0], (expected) == NVME_OK ? 0 : 0xee); \
	} while (0)
	TRY(page, 512, NVME_SGL_DATA, NVME_OK);
	TRY(page, 511, NVME_SGL_DATA, FAILED(NVME_INVALID_SGL_LENGTH));
	TRY(page, 513, NVME_SGL_DATA, FAILED(NVME_INVALID_SGL_LENGTH));
	TRY(page, 512, 0x10, FAILED(NVME_INVALID_SGL_TYPE));	/* a bit bucket */
	TRY(page, 512, 0x01, FAILED(NVME_INVALID_SGL_TYPE));	/* an offset */
	TRY(nowhere, 512, NVME_SGL_DATA, NVME_TRANSFER_ERROR);
	TRY(nowhere, 16, NVME_SGL_LAST_SEGMENT, NVME_TRANSFER_ERROR);
	TRY(at, 0, NVME_SGL_LAST_SEGMENT, FAILED(NVME_INVALID_SGL_SEGMENT));
	TRY(at, 24, NVME_SGL_LAST_SEGMENT, FAILED(NVME_INVALID_SGL_SEGMENT));
	put_sgl(list, page, 256, NVME_SGL_DATA);
	put_sgl(list + 16, page + 256, 256, NVME_SGL_DATA);
	TRY(at, 32, NVME_SGL_LAST_SEGMENT, NVME_OK);
	TRY(at, 16, NVME_SGL_LAST_SEGMENT, FAILED(NVME_INVALID_SGL_LENGTH));
	/* A segment that is not the last one has a link, in its last place. */
	TRY(at, 32, NVME_SGL_SEGMENT, FAILED(NVME_INVALID_SGL_SEGMENT));
	put_sgl(list + 16, at + 64, 16, NVME_SGL_LAST_SEGMENT);
	put_sgl(list + 64, page + 256, 256, NVME_SGL_DATA);
	TRY(at, 32, NVME_SGL_SEGMENT, NVME_OK);
	TRY(at, 48, NVME_SGL_SEGMENT, FAILED(NVME_INVALID_SGL_SEGMENT));
	TRY(at, 32, NVME_SGL_LAST_SEGMENT, FAILED(NVME_INVALID_SGL_SEGMENT));
	put_sgl(list + 64, nowhere, 256, NVME_SGL_DATA);
	command = host_io(NVME_WRITE, 0, 1);
	set_sgl(&command, at, 32, NVME_SGL_SEGMENT);
	assert_int_equal(host_do(h, 1, &command, NULL), NVME_TRANSFER_ERROR);
	/* A ring ends. */
	put_sgl(list + 16, at, 32, NVME_SGL_SEGMENT);
	TRY(at, 32, NVME_SGL_SEGMENT, FAILED(NVME_INVALID_SGL_COUNT));
	TRY(at, 16 * 600, NVME_SGL_LAST_SEGMENT, FAILED(NVME_INVALID_SGL_COUNT));
	/* Flags that mean something else. */
	command = host_io(NVME_READ, 0, 1);
	command.flags = NVME_FLAG_SGL | NVME_FLAG_SGL_METADATA;
	assert_int_equal(host_do(h, 1, &command, NULL), FAILED(NVME_INVALID_FIELD));
	TRY(page, 512, NVME_SGL_DATA, NVME_OK);
	host_stop(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identify_says_whether_there_are_sgls),
		cmocka_unit_test(data_by_sgls_of_any_shape),
		cmocka_unit_test(bad_sgls_fail_and_move_nothing),
	};

	return cmocka_run_group_tests_name("nvme-sgl", tests, NULL, NULL);
}
