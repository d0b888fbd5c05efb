// SPDX-License-Identifier: GPL-2.0
/* The NVMe controller, driven by a small driver on the client library. */
#include "nvme-host.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "pci/physical.h"

#define BLOCK		512
#define DISK		(UINT64_C(8) << 20)
#define DEVICE		"nvme,size=8M,queues=4,iova=random,iova-bits=64"
#define FAILED(code)	((code) | NVME_DNR)

/*
 * PRPs for @len bytes at @at; the list, if one is needed, is at @list, and goes
 * on in the pages after it. Each of its pages ends with a link.
 */
static void set_prps(struct nvme_host *h, struct nvme_command *command, uint8_t *at, uint32_t len,
		     uint8_t *list)
{
	uint32_t first = HOST_PAGE - (uint64_t)(at - h->memory) % HOST_PAGE;

	command->prp1 = host_bus(h, at);
	command->prp2 = 0;
	if (len <= first)
		return;
	len -= first;
	at += first;
	if (len <= HOST_PAGE) {
		command->prp2 = host_bus(h, at);
		return;
	}
	command->prp2 = host_bus(h, list);
	for (uint32_t left = (len - 1) / HOST_PAGE + 1; left; left--, at += HOST_PAGE) {
		uint64_t value;

		if ((uint64_t)(list - h->memory) % HOST_PAGE == HOST_PAGE - 8 && left > 1) {
			value = host_bus(h, list + 8);
			memcpy(list, &value, 8);
			list += 8;
		}
		value = host_bus(h, at);
		memcpy(list, &value, 8);
		list += 8;
	}
}

static void identify_says_what_it_is(void **state)
{
	struct nvme_host *h = host_start(DEVICE);
	uint8_t *data = host_pages(h, 1);
	struct nvme_command command = {
		.opcode = NVME_IDENTIFY, .cdw10 = 1, .prp1 = host_bus(h, data),
	};
	uint64_t blocks;
	uint32_t nn;

	(void)state;
	assert_int_equal(host_get(h, NVME_VS), NVME_VERSION);
	assert_int_equal(host_get(h, NVME_CAP) & 0xffff, NVME_MAX_ENTRIES - 1);
	assert_int_equal(host_do(h, 0, &command, NULL), NVME_OK);
	assert_memory_equal(data + 24, "Apple DMA emulated NVMe ", 24);
	memcpy(&nn, data + 516, 4);
	assert_int_equal(nn, 1);
	command.cdw10 = 0;
	command.nsid = 1;
	assert_int_equal(host_do(h, 0, &command, NULL), NVME_OK);
	memcpy(&blocks, data, 8);
	assert_int_equal(blocks, DISK / BLOCK);
	assert_int_equal(data[130], 9);
	command.nsid = 2;
	assert_int_equal(host_do(h, 0, &command, NULL), FAILED(NVME_INVALID_NAMESPACE));
	command.nsid = 0;
	command.cdw10 = 2;
	assert_int_equal(host_do(h, 0, &command, NULL), NVME_OK);
	memcpy(&nn, data, 4);
	assert_int_equal(nn, 1);
	command.cdw10 = 3;
	command.nsid = 1;
	assert_int_equal(host_do(h, 0, &command, NULL), NVME_OK);
	assert_int_equal(data[0], 1);
	command.cdw10 = 0x77;
	assert_int_equal(host_do(h, 0, &command, NULL), FAILED(NVME_INVALID_FIELD));
	host_stop(h);
}

static void features_logs_and_events(void **state)
{
	struct nvme_host *h = host_start(DEVICE);
	uint8_t *data = host_pages(h, 1);
	struct nvme_command command = { .opcode = NVME_SET_FEATURES, .cdw10 = 7, .cdw11 = 63 };
	struct nvme_completion entry;
	uint32_t result;

	(void)state;
	assert_int_equal(host_do(h, 0, &command, &result), NVME_OK);
	assert_int_equal(result, 3 << 16 | 3);
	command = (struct nvme_command){ .opcode = NVME_SET_FEATURES, .cdw10 = 11, .cdw11 = 5 };
	assert_int_equal(host_do(h, 0, &command, NULL), NVME_OK);
	command.opcode = NVME_GET_FEATURES;
	assert_int_equal(host_do(h, 0, &command, &result), NVME_OK);
	assert_int_equal(result, 5);
	command.cdw10 = 0x80;
	assert_int_equal(host_do(h, 0, &command, NULL), FAILED(NVME_INVALID_FIELD));

	command = (struct nvme_command){
		.opcode = NVME_GET_LOG_PAGE, .cdw10 = 127 << 16 | 2, .prp1 = host_bus(h, data),
	};
	assert_int_equal(host_do(h, 0, &command, NULL), NVME_OK);
	assert_int_equal(data[3], 100);
	command.cdw10 = 127 << 16 | 0x70;
	assert_int_equal(host_do(h, 0, &command, NULL), FAILED(NVME_INVALID_LOG_PAGE));

	command = (struct nvme_command){ .opcode = NVME_ABORT };
	assert_int_equal(host_do(h, 0, &command, &result), NVME_OK);
	assert_int_equal(result, 1);
	/* Four requests for events are kept, and the fifth is too many. */
	command = (struct nvme_command){ .opcode = NVME_ASYNC_EVENT };
	for (int i = 0; i < 4; i++)
		host_submit(h, 0, &command, true);
	service_settle(h->service);
	assert_false(host_take(h, 0, &entry));
	assert_int_equal(host_do(h, 0, &command, NULL), FAILED(NVME_TOO_MANY_EVENTS));
	command.opcode = 0x7f;
	assert_int_equal(host_do(h, 0, &command, NULL), FAILED(NVME_INVALID_OPCODE));
	host_stop(h);
}

static void queues_are_checked(void **state)
{
	struct nvme_host *h = host_start(DEVICE);
	const uint64_t page = host_bus(h, host_pages(h, 1));
	const struct {
		uint8_t opcode;
		uint32_t cdw10, cdw11;
		uint64_t prp1;
		uint16_t status;
	} cases[] = {
		{ NVME_CREATE_CQ, 7 << 16 | 0, 1, page, NVME_INVALID_QID },
		{ NVME_CREATE_CQ, 7 << 16 | 5, 1, page, NVME_INVALID_QID },
		{ NVME_CREATE_CQ, 0 << 16 | 1, 1, page, NVME_INVALID_QUEUE_SIZE },
		{ NVME_CREATE_CQ, 1024 << 16 | 1, 1, page, NVME_INVALID_QUEUE_SIZE },
		{ NVME_CREATE_CQ, 7 << 16 | 1, 0, page, NVME_INVALID_FIELD },
		{ NVME_CREATE_CQ, 7 << 16 | 1, 1, page + 64, NVME_INVALID_PRP_OFFSET },
		{ NVME_CREATE_CQ, 7 << 16 | 1, 5 << 16 | 3, page, NVME_INVALID_VECTOR },
		{ NVME_CREATE_CQ, 7 << 16 | 1, 4 << 16 | 3, page, NVME_OK },
		{ NVME_CREATE_CQ, 7 << 16 | 1, 3, page, NVME_INVALID_QID },
		{ NVME_CREATE_SQ, 7 << 16 | 1, 2 << 16 | 1, page, NVME_INVALID_CQ },
		{ NVME_CREATE_SQ, 7 << 16 | 1, 1, page, NVME_INVALID_CQ },
		{ NVME_CREATE_SQ, 7 << 16 | 9, 1 << 16 | 1, page, NVME_INVALID_QID },
		{ NVME_CREATE_SQ, 7 << 16 | 2, 1 << 16 | 1, page, NVME_OK },
		{ NVME_DELETE_CQ, 1, 0, 0, NVME_INVALID_QUEUE_DELETION },
		{ NVME_DELETE_SQ, 1, 0, 0, NVME_INVALID_QID },
		{ NVME_DELETE_SQ, 2, 0, 0, NVME_OK },
		{ NVME_DELETE_CQ, 1, 0, 0, NVME_OK },
		{ NVME_DELETE_CQ, 1, 0, 0, NVME_INVALID_QID },
		{ NVME_DELETE_CQ, 0, 0, 0, NVME_INVALID_QID },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct nvme_command command = {
			.opcode = cases[i].opcode, .cdw10 = cases[i].cdw10,
			.cdw11 = cases[i].cdw11, .prp1 = cases[i].prp1,
		};
		const uint16_t status = host_do(h, 0, &command, NULL);

		assert_int_equal(status & ~NVME_DNR, cases[i].status);
	}
	host_stop(h);
}

/* Everything that was written is read back, in every shape of PRPs. */
static void write_read_verify_and_count_interrupts(void **state)
{
	char path[] = "/tmp/nvme-test.XXXXXX", device[128];
	const int fd = mkstemp(path);
	uint8_t *model = calloc(1, DISK), *disk = malloc(DISK), *data, *lists;
	uint64_t seen = 0, raised = 0;
	struct dext_totals totals;
	struct nvme_host *h;

	(void)state;
	snprintf(device, sizeof(device), "%s,file=%s", DEVICE, path);
	h = host_start(device);
	host_create_queues(h);
	data = host_pages(h, 1024);
	lists = host_pages(h, 4);
	for (unsigned int i = 0; i < 400; i++) {
		/* Mostly small ones, and the longest in between. */
		const uint32_t most = i % 8 ? 64 : NVME_MAX_TRANSFER / BLOCK;
		const uint32_t blocks = i % 50 == 8 ? most : 1 + host_random(h, most);
		const uint64_t lba = host_random(h, DISK / BLOCK - blocks + 1);
		const uint64_t at = 4 * host_random(h, 256 * HOST_PAGE / 4);
		/* Lists begin anywhere in a page, also in its last place. */
		uint8_t *list = lists + (i % 3 ? 8 * host_random(h, 512) : HOST_PAGE - 8);
		const bool write = host_random(h, 2);
		struct nvme_command command = host_io(write ? NVME_WRITE : NVME_READ, lba, blocks);

		set_prps(h, &command, data + at, blocks * BLOCK, list);
		if (write)
			for (uint32_t n = 0; n < blocks * BLOCK; n += 8)
				memcpy(data + at + n, &(uint64_t){ host_random(h, UINT64_MAX) }, 8);
		else
			memset(data + at, 0xee, blocks * BLOCK);
		assert_int_equal(host_do(h, 1 + i % 4, &command, NULL), NVME_OK);
		if (write)
			memcpy(model + lba * BLOCK, data + at, blocks * BLOCK);
		assert_memory_equal(data + at, model + lba * BLOCK, blocks * BLOCK);
	}
	assert_int_equal(host_do(h, 1, &(struct nvme_command){ .opcode = NVME_FLUSH, .nsid = 1 },
				 NULL), NVME_OK);
	assert_int_equal(host_do(h, 2, &(struct nvme_command){
				 .opcode = NVME_WRITE_ZEROES, .nsid = 1, .cdw10 = 5, .cdw12 = 8999,
				 }, NULL), NVME_OK);
	memset(model + 5 * BLOCK, 0, 9000 * BLOCK);
	assert_int_equal(pread(fd, disk, DISK, 0), DISK);
	assert_memory_equal(disk, model, DISK);

	service_halt(h->service);
	dext_get_totals(h->service->unit.dext, &totals);
	pthread_mutex_lock(&h->lock);
	for (unsigned int i = 0; i < HOST_QUEUES; i++) {
		assert_int_equal(h->service->unit.dev->raised[i], h->queues[i].interrupts);
		assert_int_equal(h->bits[i], h->queues[i].interrupts);
		raised += h->service->unit.dev->raised[i];
		seen += h->bits[i];
	}
	pthread_mutex_unlock(&h->lock);
	assert_int_equal(seen, 402 + 2 * (HOST_QUEUES - 1));
	assert_int_equal(totals.interrupts.pended, raised);
	assert_int_equal(totals.interrupts.merged + totals.interrupts.dropped, 0);
	host_stop(h);
	close(fd);
	unlink(path);
	free(model);
	free(disk);
}

static void bad_commands_fail_and_the_controller_lives(void **state)
{
	struct nvme_host *h = host_start(DEVICE);
	uint8_t *data = host_pages(h, 8), *list = host_pages(h, 1);
	const uint64_t page = host_bus(h, data), nowhere = UINT64_C(0x1234) << 14;
	struct nvme_command command;

	(void)state;
	host_create_queues(h);
#define TRY(what, change, expected) do { \
		command = what; \
		command.prp1 = page; \
		change; \
		assert_int_equal(host_do(h, 1, &command, NULL), expected); \
	} while (0)
	TRY(host_io(0x55, 0, 1), , FAILED(NVME_INVALID_OPCODE));
	TRY(host_io(NVME_READ, 0, 1), command.flags = 0x40, FAILED(NVME_INVALID_FIELD));
	TRY(host_io(NVME_READ, 0, 1), command.nsid = 2, FAILED(NVME_INVALID_NAMESPACE));
	TRY(host_io(NVME_FLUSH, 0, 1), command.nsid = 0, FAILED(NVME_INVALID_NAMESPACE));
	TRY(host_io(NVME_READ, DISK / BLOCK - 1, 1), , NVME_OK);
	TRY(host_io(NVME_READ, DISK / BLOCK - 1, 2), , FAILED(NVME_LBA_RANGE));
	TRY(host_io(NVME_WRITE, UINT64_MAX, 1), , FAILED(NVME_LBA_RANGE));
	TRY(host_io(NVME_WRITE_ZEROES, DISK / BLOCK, 1), , FAILED(NVME_LBA_RANGE));
	TRY(host_io(NVME_READ, 0, NVME_MAX_TRANSFER / BLOCK + 1), , FAILED(NVME_INVALID_FIELD));
	/* PRPs. */
	TRY(host_io(NVME_READ, 0, 1), command.prp1 += 2, FAILED(NVME_INVALID_PRP_OFFSET));
	TRY(host_io(NVME_READ, 0, 16), command.prp2 = page + 4, FAILED(NVME_INVALID_PRP_OFFSET));
	TRY(host_io(NVME_READ, 0, 32), command.prp2 = host_bus(h, list) + 4,
	    FAILED(NVME_INVALID_PRP_OFFSET));
	memset(list, 0xff, HOST_PAGE);
	TRY(host_io(NVME_READ, 0, 32), command.prp2 = host_bus(h, list),
	    FAILED(NVME_INVALID_PRP_OFFSET));
	/* Faults of the DART, in each place. */
	TRY(host_io(NVME_READ, 0, 1), command.prp1 = nowhere, NVME_TRANSFER_ERROR);
	TRY(host_io(NVME_WRITE, 0, 1), command.prp1 = nowhere, NVME_TRANSFER_ERROR);
	TRY(host_io(NVME_READ, 0, 16), command.prp2 = nowhere, NVME_TRANSFER_ERROR);
	TRY(host_io(NVME_READ, 0, 32), command.prp2 = nowhere, NVME_TRANSFER_ERROR);
	memset(list, 0, HOST_PAGE);
	TRY(host_io(NVME_READ, 0, 32), command.prp2 = host_bus(h, list), NVME_TRANSFER_ERROR);
	TRY(host_io(NVME_READ, 0, 1), , NVME_OK);
	/* Writes to doorbells that do not exist change nothing. */
	host_set(h, NVME_DOORBELLS + 8, 4, HOST_ENTRIES);
	host_set(h, NVME_DOORBELLS + 12, 4, UINT32_MAX);
	host_set(h, NVME_DOORBELLS + 8 * 60, 4, 1);
	host_set(h, NVME_DOORBELLS + 0xff8, 4, 1);
	TRY(host_io(NVME_READ, 0, 1), , NVME_OK);
	host_stop(h);
}

static void fatal_errors_end_with_a_reset(void **state)
{
	struct nvme_host *h = host_start(DEVICE);
	struct nvme_command command = { .opcode = NVME_ABORT };

	(void)state;
	/* The DART has no mapping for the admin queue. */
	host_set(h, NVME_CC, 4, 0);
	host_set(h, NVME_ASQ, 8, UINT64_C(0x1234) << 14);
	host_set(h, NVME_CC, 4, 4 << 20 | 6 << 16 | NVME_CC_EN);
	host_set(h, NVME_DOORBELLS, 4, 1);
	service_settle(h->service);
	assert_int_equal(host_get(h, NVME_CSTS), NVME_CSTS_RDY | NVME_CSTS_CFS);
	host_enable(h);
	assert_int_equal(host_do(h, 0, &command, NULL), NVME_OK);
	/* Not a queue at all. */
	host_set(h, NVME_CC, 4, 0);
	host_set(h, NVME_AQA, 4, 0);
	host_set(h, NVME_CC, 4, NVME_CC_EN);
	assert_int_equal(host_get(h, NVME_CSTS), NVME_CSTS_CFS);
	host_enable(h);
	/* Function level reset, and the disk works again. */
	host_create_queues(h);
	assert_int_equal(apple_dext_reset_device(h->c), kIOReturnSuccess);
	assert_int_equal(host_get(h, NVME_CSTS), 0);
	assert_int_equal(host_get(h, NVME_CC), 0);
	host_enable(h);
	host_create_queues(h);
	command = (struct nvme_command){ .opcode = NVME_FLUSH, .nsid = 1 };
	assert_int_equal(host_do(h, 3, &command, NULL), NVME_OK);
	/* A shutdown is reported as done, and nothing is served after it. */
	host_set(h, NVME_CC, 4, 4 << 20 | 6 << 16 | 1 << 14 | NVME_CC_EN);
	assert_int_equal(host_get(h, NVME_CSTS), NVME_CSTS_RDY | NVME_CSTS_SHUT_DOWN);
	host_stop(h);
}

static void queues_share_the_controller_under_load(void **state)
{
	struct nvme_host *h = host_start(DEVICE);
	uint8_t *data = host_pages(h, 4);
	unsigned int sent[HOST_QUEUES] = { 0 }, got[HOST_QUEUES] = { 0 };
	struct nvme_completion entry;

	(void)state;
	host_create_queues(h);
	while (got[1] + got[2] + got[3] + got[4] < 4 * 500) {
		for (unsigned int i = 1; i < HOST_QUEUES; i++) {
			struct nvme_command command = host_io(NVME_WRITE, i, 1);

			/* Up to a full queue. */
			command.prp1 = host_bus(h, data + i * 512);
			while (sent[i] < 500 && sent[i] - got[i] < HOST_ENTRIES - 1 &&
			       host_random(h, 8)) {
				host_submit(h, i, &command, host_random(h, 2));
				sent[i]++;
			}
			host_set(h, NVME_DOORBELLS + 8 * i, 4, h->queues[i].tail);
			while (host_random(h, 4) && host_take(h, i, &entry)) {
				assert_int_equal(entry.status >> 1, NVME_OK);
				got[i]++;
			}
		}
	}
	for (unsigned int i = 1; i < HOST_QUEUES; i++)
		assert_int_equal(got[i], 500);
	host_stop(h);
}

static void full_completion_queue_stops_its_submission_queue(void **state)
{
	struct nvme_host *h = host_start(DEVICE);
	struct nvme_command command = {
		.opcode = NVME_CREATE_CQ, .cdw10 = 7 << 16 | 1, .cdw11 = 1 << 16 | 3,
	};
	struct host_queue *q = &h->queues[1];
	struct nvme_completion entry;
	unsigned int taken = 0;

	(void)state;
	q->sq = host_pages(h, 1);
	q->cq = host_pages(h, 1);
	q->entries = 8;
	q->phase = 1;
	command.prp1 = host_bus(h, q->cq);
	assert_int_equal(host_do(h, 0, &command, NULL), NVME_OK);
	command.opcode = NVME_CREATE_SQ;
	command.cdw10 = (HOST_ENTRIES - 1) << 16 | 1;
	command.cdw11 = 1 << 16 | 1;
	command.prp1 = host_bus(h, q->sq);
	assert_int_equal(host_do(h, 0, &command, NULL), NVME_OK);
	for (int i = 0; i < 20; i++)
		host_submit(h, 1, &(struct nvme_command){ .opcode = NVME_FLUSH, .nsid = 1 }, false);
	host_set(h, NVME_DOORBELLS + 8, 4, q->tail);
	service_settle(h->service);
	assert_int_equal(q->cq[6 * 16 + 14] & 1, 1);
	assert_int_equal(q->cq[7 * 16 + 14] & 1, 0);
	for (int i = 0; i < 1000 && taken < 20; i++) {
		taken += host_take(h, 1, &entry);
		service_settle(h->service);
	}
	assert_int_equal(taken, 20);
	host_stop(h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identify_says_what_it_is),
		cmocka_unit_test(features_logs_and_events),
		cmocka_unit_test(queues_are_checked),
		cmocka_unit_test(write_read_verify_and_count_interrupts),
		cmocka_unit_test(bad_commands_fail_and_the_controller_lives),
		cmocka_unit_test(fatal_errors_end_with_a_reset),
		cmocka_unit_test(queues_share_the_controller_under_load),
		cmocka_unit_test(full_completion_queue_stops_its_submission_queue),
	};

	return cmocka_run_group_tests_name("nvme", tests, NULL, NULL);
}
