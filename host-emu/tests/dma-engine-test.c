// SPDX-License-Identifier: GPL-2.0
/*
 * The dma-engine, driven through the client library against a model of what
 * the memory on both sides must be, under every policy of the DART.
 */
#include "service.h"

#include <sys/mman.h>
#include <unistd.h>

#include "client/apple-dext-client.h"
#include "pci/dma-engine.h"
#include "pci/physical.h"

#define TRANSFERS	10000
#define REGIONS		24
#define REGION_SIZE	UINT64_C(40000)
#define WINDOW		(UINT64_C(256) << 10)	/* of the buffer */

struct bench {
	struct service *service;
	io_connect_t c;
	uint8_t *buffer;		/* BAR2, mapped */
	uint8_t *memory;
	uint64_t bus[REGIONS];
	uint64_t random;
};

static uint64_t next(struct bench *b, uint64_t below)
{
	b->random ^= b->random << 13;
	b->random ^= b->random >> 7;
	b->random ^= b->random << 17;
	return b->random % below;
}

static struct bench *start(const char *device)
{
	struct bench *b = calloc(1, sizeof(*b));
	mach_vm_address_t address;
	mach_vm_size_t size;

	assert_non_null(b);
	b->random = 88172645463325252ull;
	b->service = service_start(&side_iokit, device);
	b->c = apple_dext_connect(1, 0, 0);
	assert_int_not_equal(b->c, IO_OBJECT_NULL);
	assert_int_equal(apple_dext_claim(b->c), kIOReturnSuccess);
	assert_int_equal(apple_dext_map_bar(b->c, 2, &address, &size, NULL), kIOReturnSuccess);
	b->buffer = (uint8_t *)(uintptr_t)address;
	b->memory = service_memory(REGIONS * REGION_SIZE);
	for (unsigned int i = 0; i < REGIONS; i++)
		assert_int_equal(apple_dext_register_dma(b->c, i, (uintptr_t)b->memory +
							 i * REGION_SIZE, REGION_SIZE,
							 &b->bus[i], NULL), kIOReturnSuccess);
	return b;
}

static void stop(struct bench *b)
{
	apple_dext_disconnect(b->c);
	service_stop(b->service);
	munmap(b->memory, REGIONS * REGION_SIZE);
	free(b);
}

static uint32_t get(struct bench *b, uint64_t offset)
{
	uint64_t value;

	assert_int_equal(apple_dext_mmio_read(b->c, 0, offset, 4, &value), kIOReturnSuccess);
	return (uint32_t)value;
}

static void set(struct bench *b, uint64_t offset, unsigned int width, uint64_t value)
{
	assert_int_equal(apple_dext_mmio_write(b->c, 0, offset, width, value), kIOReturnSuccess);
}

static void begin(struct bench *b, unsigned int channel, uint64_t bus, uint32_t offset,
		  uint32_t length, uint32_t vector, uint32_t command)
{
	const uint64_t at = ENGINE_CHANNEL(channel);

	set(b, at + CHANNEL_BUS_LO, 8, bus);
	set(b, at + CHANNEL_OFFSET, 8, (uint64_t)length << 32 | offset);
	set(b, at + CHANNEL_VECTOR, 4, vector);
	set(b, at + CHANNEL_COMMAND, 4, command | CHANNEL_START);
}

static uint32_t end(struct bench *b, unsigned int channel)
{
	const uint64_t at = ENGINE_CHANNEL(channel);
	uint32_t state;

	do
		state = get(b, at + CHANNEL_STATE);
	while (state == CHANNEL_RUNNING);
	return get(b, at + CHANNEL_ERROR);
}

static void random_transfers(const char *device)
{
	struct bench *b = start(device);
	uint8_t *model = malloc(WINDOW), *copy = malloc(REGIONS * REGION_SIZE);

	for (uint64_t i = 0; i < WINDOW; i++)
		b->buffer[i] = model[i] = (uint8_t)next(b, 256);
	for (uint64_t i = 0; i < REGIONS * REGION_SIZE; i++)
		b->memory[i] = copy[i] = (uint8_t)next(b, 256);
	for (unsigned int i = 0; i < TRANSFERS; i++) {
		const unsigned int region = next(b, REGIONS), channel = next(b, ENGINE_CHANNELS);
		const uint32_t length = 1 + next(b, next(b, 8) ? 500 : REGION_SIZE);
		const uint64_t at = next(b, REGION_SIZE - length + 1);
		const uint32_t offset = next(b, WINDOW - length + 1);
		uint8_t *there = copy + region * REGION_SIZE + at;
		const bool to_bus = next(b, 2);

		begin(b, channel, b->bus[region] + at, offset, length, 0,
		      to_bus ? CHANNEL_TO_BUS : 0);
		assert_int_equal(end(b, channel), CHANNEL_OK);
		if (to_bus)
			memcpy(there, model + offset, length);
		else
			memcpy(model + offset, there, length);
		if (to_bus)
			assert_memory_equal(b->memory + region * REGION_SIZE + at, there, length);
		else
			assert_memory_equal(b->buffer + offset, model + offset, length);
	}
	assert_memory_equal(b->buffer, model, WINDOW);
	assert_memory_equal(b->memory, copy, REGIONS * REGION_SIZE);
	free(model);
	free(copy);
	stop(b);
}

static void ten_thousand_random_transfers(void **state)
{
	(void)state;
	random_transfers("dma-engine,iova=random,iova-bits=64");
}

static void errors_say_what_and_where(void **state)
{
	struct bench *b = start("dma-engine,iova=fragmented");
	const uint64_t fault = ENGINE_CHANNEL(1) + CHANNEL_FAULT_LO;
	struct dart_usage usage;

	(void)state;
	begin(b, 1, b->bus[0], 0, 0, 0, 0);
	assert_int_equal(end(b, 1), CHANNEL_BAD_RANGE);
	begin(b, 1, b->bus[0], ENGINE_BUFFER - 16, 17, 0, 0);
	assert_int_equal(end(b, 1), CHANNEL_BAD_RANGE);
	begin(b, 1, b->bus[0], ENGINE_BUFFER - 16, 16, 0, 0);
	assert_int_equal(end(b, 1), CHANNEL_OK);
	begin(b, 1, b->bus[0], UINT32_MAX, UINT32_MAX, 0, 0);
	assert_int_equal(end(b, 1), CHANNEL_BAD_RANGE);
	begin(b, 1, b->bus[0], 0, 16, ENGINE_VECTORS, CHANNEL_INTERRUPT);
	assert_int_equal(end(b, 1), CHANNEL_BAD_VECTOR);
	begin(b, 1, 0x123456, 0, 16, 0, CHANNEL_TO_BUS);
	assert_int_equal(end(b, 1), CHANNEL_DMA_FAULT);
	assert_int_equal(get(b, fault), 0x123456);
	begin(b, 1, UINT64_MAX - 3, 0, 16, 0, 0);
	assert_int_equal(end(b, 1), CHANNEL_DMA_FAULT);
	assert_int_equal(get(b, fault + 4), UINT32_MAX);
	dart_get_usage(b->service->unit.dart, &usage);
	assert_int_equal(usage.read_faults, 1);
	assert_int_equal(usage.write_faults, 1);
	/* What is unregistered is out of reach. */
	assert_int_equal(apple_dext_unregister_dma(b->c, 3), kIOReturnSuccess);
	begin(b, 1, b->bus[3], 0, 16, 0, 0);
	assert_int_equal(end(b, 1), CHANNEL_DMA_FAULT);
	assert_int_equal(get(b, ENGINE_CHANNEL(1) + CHANNEL_COUNT), 8);
	stop(b);
}

/* A bus address leads to what is registered there now, also in turn with others. */
static void addresses_that_are_given_again(void **state)
{
	struct bench *b = start("dma-engine,iova=reuse");
	unsigned int again = 0;

	(void)state;
	for (unsigned int round = 0; round < 100; round++) {
		const unsigned int one = next(b, REGIONS), two = (one + 1) % REGIONS;
		const uint64_t was = b->bus[two];
		uint64_t memory[2];

		for (unsigned int i = 0; i < 2; i++)
			memory[i] = (one + i) % REGIONS * REGION_SIZE;
		assert_int_equal(apple_dext_unregister_dma(b->c, one), kIOReturnSuccess);
		assert_int_equal(apple_dext_unregister_dma(b->c, two), kIOReturnSuccess);
		for (unsigned int i = 0; i < 2; i++)
			assert_int_equal(apple_dext_register_dma(b->c, i ? two : one,
								 (uintptr_t)b->memory + memory[i],
								 REGION_SIZE, &b->bus[i ? two : one],
								 NULL), kIOReturnSuccess);
		/* Not when it needs one page more than the range that was freed. */
		again += b->bus[one] / DART_PAGE_SIZE == was / DART_PAGE_SIZE;
		memset(b->buffer, (int)round + 1, 64);
		memset(b->memory + memory[0], 0, 64);
		memset(b->memory + memory[1], 0, 64);
		begin(b, 0, b->bus[one], 0, 64, 0, CHANNEL_TO_BUS);
		assert_int_equal(end(b, 0), CHANNEL_OK);
		assert_memory_equal(b->memory + memory[0], b->buffer, 64);
		assert_int_equal(b->memory[memory[1]], 0);
	}
	assert_in_range(again, 10, 100);
	stop(b);
}

static void reset_stops_a_transfer(void **state)
{
	struct bench *b = start("dma-engine");

	(void)state;
	begin(b, 2, b->bus[0], 0, 100, 0, 0);
	assert_int_equal(apple_dext_reset_device(b->c), kIOReturnSuccess);
	assert_int_equal(get(b, ENGINE_CHANNEL(2) + CHANNEL_STATE), CHANNEL_IDLE);
	assert_int_equal(get(b, ENGINE_CHANNEL(2) + CHANNEL_LENGTH), 0);
	begin(b, 2, b->bus[0], 0, 100, 0, 0);
	assert_int_equal(end(b, 2), CHANNEL_OK);
	set(b, ENGINE_CONTROL, 4, ENGINE_CONTROL_RESET);
	assert_int_equal(get(b, ENGINE_CHANNEL(2) + CHANNEL_COUNT), 0);
	stop(b);
}

/* What the notification does: take the bits, count them, and arm again. */
struct drain {
	io_connect_t c;
	AppleDextInterruptNotify *notify;
	pthread_mutex_t lock;
	uint64_t bits[ENGINE_VECTORS];
	uint64_t total;
};

static void take(struct drain *d)
{
	uint64_t pending[4];

	pthread_mutex_lock(&d->lock);
	if (apple_dext_read_pending_irqs(d->c, pending) == kIOReturnSuccess) {
		for (unsigned int i = 0; i < ENGINE_VECTORS; i++) {
			d->bits[i] += pending[0] >> i & 1;
			d->total += pending[0] >> i & 1;
		}
	}
	pthread_mutex_unlock(&d->lock);
}

static void drain(void *opaque)
{
	struct drain *d = opaque;
	AppleDextInterruptNotify *notify;

	take(d);
	while (!(notify = __atomic_load_n(&d->notify, __ATOMIC_ACQUIRE)))
		usleep(100);
	apple_dext_interrupt_notify_rearm(notify);
}

static uint64_t bits_of(struct drain *d, unsigned int vector)
{
	uint64_t bits;

	pthread_mutex_lock(&d->lock);
	bits = d->bits[vector];
	pthread_mutex_unlock(&d->lock);
	return bits;
}

/*
 * All channels run; each waits for its interrupt before its next transfer, so
 * that no two of one vector merge. Masked vectors are waited for by polling.
 */
static void enabled_vectors_are_never_lost_and_masked_ones_dropped(void **state)
{
	struct bench *b = start("dma-engine,iova=random");
	struct drain d = { .c = b->c, .lock = PTHREAD_MUTEX_INITIALIZER };
	uint64_t sent[ENGINE_VECTORS] = { 0 }, masked = 0;
	struct dext_totals totals;
	uint64_t raised = 0;

	(void)state;
	assert_int_equal(apple_dext_setup_interrupts(b->c, NULL), kIOReturnSuccess);
	__atomic_store_n(&d.notify, apple_dext_interrupt_notify_create(b->c, drain, &d),
			 __ATOMIC_RELEASE);
	assert_non_null(d.notify);
	for (unsigned int round = 0; round < 300; round++) {
		const uint64_t enabled = next(b, 1 << ENGINE_CHANNELS);
		const uint64_t mask[4] = { enabled << ENGINE_CHANNELS };

		/* Channel i has vector i + 8. */
		assert_int_equal(apple_dext_set_irq_mask(b->c, mask), kIOReturnSuccess);
		for (unsigned int i = 0; i < ENGINE_CHANNELS; i++)
			begin(b, i, b->bus[i], i * 4096, 1 + next(b, 4096), i + ENGINE_CHANNELS,
			      CHANNEL_INTERRUPT | (next(b, 2) ? CHANNEL_TO_BUS : 0));
		for (unsigned int i = 0; i < ENGINE_CHANNELS; i++) {
			const unsigned int vector = i + ENGINE_CHANNELS;

			assert_int_equal(end(b, i), CHANNEL_OK);
			if (!(enabled >> i & 1)) {
				masked++;
				continue;
			}
			sent[vector]++;
			for (int n = 0; n < 100000 && bits_of(&d, vector) < sent[vector]; n++)
				usleep(100);
			assert_int_equal(bits_of(&d, vector), sent[vector]);
		}
	}
	apple_dext_interrupt_notify_destroy(d.notify);
	take(&d);
	service_halt(b->service);
	dext_get_totals(b->service->unit.dext, &totals);
	for (unsigned int i = 0; i < ENGINE_VECTORS; i++) {
		assert_int_equal(d.bits[i], sent[i]);
		raised += b->service->unit.dev->raised[i];
	}
	assert_int_equal(raised, 300 * ENGINE_CHANNELS);
	assert_int_equal(totals.interrupts.dropped, masked);
	assert_int_equal(totals.interrupts.merged, 0);
	assert_int_equal(totals.interrupts.pended, d.total);
	stop(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_thousand_random_transfers),
		cmocka_unit_test(errors_say_what_and_where),
		cmocka_unit_test(addresses_that_are_given_again),
		cmocka_unit_test(reset_stops_a_transfer),
		cmocka_unit_test(enabled_vectors_are_never_lost_and_masked_ones_dropped),
	};

	return cmocka_run_group_tests_name("dma-engine", tests, NULL, NULL);
}
