// SPDX-License-Identifier: GPL-2.0
/* A small NVMe driver on the client library. */
#include "nvme-host.h"

#include <errno.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

uint64_t host_random(struct nvme_host *h, uint64_t below)
{
	h->random ^= h->random << 13;
	h->random ^= h->random >> 7;
	h->random ^= h->random << 17;
	return h->random % below;
}

uint8_t *host_pages(struct nvme_host *h, unsigned int pages)
{
	uint8_t *at = h->memory + h->used;

	h->used += pages * HOST_PAGE;
	assert_true(h->used <= HOST_MEMORY);
	return at;
}

uint64_t host_bus(const struct nvme_host *h, const void *at)
{
	const uint64_t offset = (uint64_t)((const uint8_t *)at - h->memory);

	assert_true(offset < HOST_MEMORY);
	return h->bus[offset / HOST_PIECE] + offset % HOST_PIECE;
}

uint32_t host_get(struct nvme_host *h, uint64_t offset)
{
	uint64_t value;

	assert_int_equal(apple_dext_mmio_read(h->c, 0, offset, 4, &value), kIOReturnSuccess);
	return (uint32_t)value;
}

void host_set(struct nvme_host *h, uint64_t offset, unsigned int width, uint64_t value)
{
	assert_int_equal(apple_dext_mmio_write(h->c, 0, offset, width, value), kIOReturnSuccess);
}

static void interrupted(void *opaque)
{
	struct nvme_host *h = opaque;
	AppleDextInterruptNotify *notify;
	uint64_t pending[4] = { 0 };

	apple_dext_read_pending_irqs(h->c, pending);
	pthread_mutex_lock(&h->lock);
	for (unsigned int i = 0; i < HOST_QUEUES; i++)
		h->bits[i] += pending[0] >> i & 1;
	pthread_cond_broadcast(&h->changed);
	pthread_mutex_unlock(&h->lock);
	while (!(notify = __atomic_load_n(&h->notify, __ATOMIC_ACQUIRE)))
		usleep(100);
	apple_dext_interrupt_notify_rearm(notify);
}

static void wait_interrupt(struct nvme_host *h, unsigned int queue)
{
	struct timespec until;
	int error = 0;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 30;
	pthread_mutex_lock(&h->lock);
	h->queues[queue].interrupts++;
	while (h->bits[queue] < h->queues[queue].interrupts && error != ETIMEDOUT)
		error = pthread_cond_timedwait(&h->changed, &h->lock, &until);
	pthread_mutex_unlock(&h->lock);
	assert_int_equal(error, 0);
}

struct nvme_command host_io(uint8_t opcode, uint64_t lba, uint32_t blocks)
{
	return (struct nvme_command){
		.opcode = opcode, .nsid = 1, .cdw10 = (uint32_t)lba, .cdw11 = lba >> 32,
		.cdw12 = blocks - 1,
	};
}

uint16_t host_submit(struct nvme_host *h, unsigned int queue, struct nvme_command *command,
		     bool ring)
{
	struct host_queue *q = &h->queues[queue];

	command->cid = h->cid++;
	memcpy(q->sq + q->tail * sizeof(*command), command, sizeof(*command));
	q->tail = (q->tail + 1) % HOST_ENTRIES;
	if (ring)
		host_set(h, NVME_DOORBELLS + 8 * queue, 4, q->tail);
	return command->cid;
}

bool host_take(struct nvme_host *h, unsigned int queue, struct nvme_completion *entry)
{
	struct host_queue *q = &h->queues[queue];
	const uint8_t *at = q->cq + q->head * sizeof(*entry);

	if ((__atomic_load_n(at + 14, __ATOMIC_ACQUIRE) & 1) != q->phase)
		return false;
	memcpy(entry, at, sizeof(*entry));
	q->head++;
	if (q->head == q->entries) {
		q->head = 0;
		q->phase ^= 1;
	}
	host_set(h, NVME_DOORBELLS + 8 * queue + 4, 4, q->head);
	return true;
}

uint16_t host_do(struct nvme_host *h, unsigned int queue, struct nvme_command *command,
		 uint32_t *result)
{
	struct nvme_completion entry = { 0 };
	const uint16_t cid = host_submit(h, queue, command, true);

	wait_interrupt(h, queue);
	assert_true(host_take(h, queue, &entry));
	assert_int_equal(entry.cid, cid);
	assert_int_equal(entry.sq_id, queue);
	assert_int_equal(entry.sq_head, h->queues[queue].tail);
	if (result)
		*result = entry.result;
	return entry.status >> 1;
}

static void prepare(struct nvme_host *h, unsigned int queue)
{
	struct host_queue *q = &h->queues[queue];

	if (!q->sq) {
		q->sq = host_pages(h, 1);
		q->cq = host_pages(h, 1);
	}
	memset(q->sq, 0, HOST_PAGE);
	memset(q->cq, 0, HOST_PAGE);
	q->entries = HOST_ENTRIES;
	q->tail = 0;
	q->head = 0;
	q->phase = 1;
}

void host_enable(struct nvme_host *h)
{
	host_set(h, NVME_CC, 4, 0);
	assert_int_equal(host_get(h, NVME_CSTS), 0);
	prepare(h, 0);
	host_set(h, NVME_AQA, 4, (HOST_ENTRIES - 1) << 16 | (HOST_ENTRIES - 1));
	host_set(h, NVME_ASQ, 8, host_bus(h, h->queues[0].sq));
	host_set(h, NVME_ACQ, 8, host_bus(h, h->queues[0].cq));
	host_set(h, NVME_CC, 4, 4 << 20 | 6 << 16 | NVME_CC_EN);
	assert_int_equal(host_get(h, NVME_CSTS), NVME_CSTS_RDY);
}

void host_create_queues(struct nvme_host *h)
{
	for (unsigned int i = 1; i < HOST_QUEUES; i++) {
		struct nvme_command command = {
			.opcode = NVME_CREATE_CQ, .cdw10 = (HOST_ENTRIES - 1) << 16 | i,
			.cdw11 = i << 16 | 3,
		};

		prepare(h, i);
		command.prp1 = host_bus(h, h->queues[i].cq);
		assert_int_equal(host_do(h, 0, &command, NULL), NVME_OK);
		command.opcode = NVME_CREATE_SQ;
		command.prp1 = host_bus(h, h->queues[i].sq);
		command.cdw11 = i << 16 | 1;
		assert_int_equal(host_do(h, 0, &command, NULL), NVME_OK);
	}
}

struct nvme_host *host_start(const char *device)
{
	struct nvme_host *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	h->random = 88172645463325252ull;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->changed, NULL);
	h->service = service_start(&side_iokit, device);
	h->c = apple_dext_connect(1, 0, 0);
	assert_int_not_equal(h->c, IO_OBJECT_NULL);
	assert_int_equal(apple_dext_claim(h->c), kIOReturnSuccess);
	h->memory = service_memory(HOST_MEMORY);
	for (uint64_t i = 0; i < HOST_MEMORY / HOST_PIECE; i++)
		assert_int_equal(apple_dext_register_dma(h->c, i, (uintptr_t)h->memory +
							 i * HOST_PIECE, HOST_PIECE, &h->bus[i],
							 NULL), kIOReturnSuccess);
	assert_int_equal(apple_dext_setup_interrupts(h->c, NULL), kIOReturnSuccess);
	__atomic_store_n(&h->notify, apple_dext_interrupt_notify_create(h->c, interrupted, h),
			 __ATOMIC_RELEASE);
	assert_non_null(h->notify);
	host_enable(h);
	return h;
}

void host_stop(struct nvme_host *h)
{
	apple_dext_interrupt_notify_destroy(h->notify);
	apple_dext_disconnect(h->c);
	service_stop(h->service);
	munmap(h->memory, HOST_MEMORY);
	pthread_cond_destroy(&h->changed);
	pthread_mutex_destroy(&h->lock);
	free(h);
}
