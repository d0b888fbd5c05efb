// SPDX-License-Identifier: GPL-2.0
/*
 * The dma-engine, driven through the client library against a model of what
 * the memory on both sides must be, under every policy of the DART.
 */
#include "calls.h"

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

/* A device in process, so that the test says when it works; a region of 256 KiB. */
struct stepped {
	struct service *service;
	uint8_t *memory;
	uint64_t bus;
};

#define STEPPED_SIZE	(4 * (uint64_t)ENGINE_STEP)

static uint64_t stepped_register(struct stepped *t, uint64_t handle, const uint8_t *memory)
{
	uint64_t out[3];

	assert_int_equal(call(t->service, SELECTOR_REGISTER_DMA_REGION,
			      IN(handle, (uintptr_t)memory, STEPPED_SIZE), out, 3),
			 kIOReturnSuccess);
	return out[1];
}

static void stepped_unregister(struct stepped *t, uint64_t handle)
{
	assert_int_equal(call(t->service, SELECTOR_UNREGISTER_DMA_REGION, IN(handle), NO_OUT),
			 kIOReturnSuccess);
}

static void stepped_start(struct stepped *t, const char *device)
{
	t->service = service_start(&side_in_process, device);
	claim(t->service);
	t->memory = service_memory(2 * STEPPED_SIZE);
	t->bus = stepped_register(t, 1, t->memory);
}

static void stepped_stop(struct stepped *t)
{
	service_stop(t->service);
	munmap(t->memory, 2 * STEPPED_SIZE);
}

static bool stepped_work(struct stepped *t)
{
	return physical_work(t->service->unit.dev);
}

static uint32_t stepped_get(struct stepped *t, uint64_t reg)
{
	return (uint32_t)mmio_read(t->service, 0, ENGINE_CHANNEL(0) + reg, 4);
}

/* The buffer, all 0xff, to the region. */
static void stepped_begin(struct stepped *t, uint64_t length)
{
	memset(t->service->unit.dev->bars[2].here, 0xff, STEPPED_SIZE);
	mmio_write(t->service, 0, ENGINE_CHANNEL(0) + CHANNEL_BUS_LO, 8, t->bus);
	mmio_write(t->service, 0, ENGINE_CHANNEL(0) + CHANNEL_OFFSET, 8, length << 32);
	mmio_write(t->service, 0, ENGINE_CHANNEL(0) + CHANNEL_COMMAND, 4,
		   CHANNEL_START | CHANNEL_TO_BUS);
}

/* It failed at @done bytes, with a fault of the DART's; nothing was written from there on. */
static void stepped_failed(struct stepped *t, uint64_t done)
{
	struct dart_usage usage;

	assert_int_equal(stepped_get(t, CHANNEL_STATE), CHANNEL_FAILED);
	assert_int_equal(stepped_get(t, CHANNEL_ERROR), CHANNEL_DMA_FAULT);
	assert_int_equal(stepped_get(t, CHANNEL_DONE), done);
	assert_true(stepped_get(t, CHANNEL_FAULT_LO) == (uint32_t)(t->bus + done));
	dart_get_usage(t->service->unit.dart, &usage);
	assert_int_equal(usage.write_faults, 1);
	for (uint64_t i = 0; i < STEPPED_SIZE; i++)
		assert_int_equal(t->memory[i], i < done ? 0xff : 0);
}

/* The device does not stop because the extension unregisters: the rest faults. */
static void a_transfer_goes_on_when_its_region_goes(void **state)
{
	struct stepped t;

	(void)state;
	stepped_start(&t, "dma-engine");
	stepped_begin(&t, STEPPED_SIZE);
	assert_true(stepped_work(&t));
	stepped_unregister(&t, 1);
	assert_int_equal(stepped_get(&t, CHANNEL_STATE), CHANNEL_RUNNING);
	assert_false(stepped_work(&t));
	stepped_failed(&t, ENGINE_STEP);
	stepped_stop(&t);
}

/* Nor when the address leads to another region by then: the rest lands there. */
static void a_late_transfer_reaches_what_has_its_address(void **state)
{
	struct stepped t;
	uint8_t *other;

	(void)state;
	stepped_start(&t, "dma-engine,iova=reuse");
	other = t.memory + STEPPED_SIZE;
	stepped_begin(&t, STEPPED_SIZE);
	assert_true(stepped_work(&t));
	stepped_unregister(&t, 1);
	assert_true(stepped_register(&t, 2, other) == t.bus);
	while (stepped_work(&t))
		;
	assert_int_equal(stepped_get(&t, CHANNEL_STATE), CHANNEL_ENDED);
	assert_int_equal(t.memory[ENGINE_STEP - 1], 0xff);
	assert_int_equal(t.memory[ENGINE_STEP], 0);
	assert_int_equal(other[ENGINE_STEP - 1], 0);
	assert_int_equal(other[ENGINE_STEP], 0xff);
	stepped_stop(&t);
}

/* All but its last piece is done; that waits, and finds no region. */
static void a_held_transfer_ends_after_an_unregister(void **state)
{
	static const uint64_t lengths[] = { 1, ENGINE_STEP, 2 * ENGINE_STEP + 1, STEPPED_SIZE };

	(void)state;
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		const uint64_t done = (lengths[i] - 1) / ENGINE_STEP * ENGINE_STEP;
		struct stepped t;

		stepped_start(&t, "dma-engine,hold=on");
		stepped_begin(&t, lengths[i]);
		for (unsigned int n = 0; n < 20; n++)
			stepped_work(&t);
		/* There is nothing to do: an extension need not come again and again. */
		assert_false(stepped_work(&t));
		assert_int_equal(stepped_get(&t, CHANNEL_STATE), CHANNEL_RUNNING);
		assert_int_equal(stepped_get(&t, CHANNEL_DONE), done);
		stepped_unregister(&t, 1);
		stepped_work(&t);
		stepped_failed(&t, done);
		stepped_stop(&t);
	}
}

/* The end of another region is enough, also if it ends well then. */
static void a_held_transfer_does_not_wait_for_its_own_region(void **state)
{
	struct stepped t;

	(void)state;
	stepped_start(&t, "dma-engine,hold=on");
	stepped_register(&t, 2, t.memory + STEPPED_SIZE);
	stepped_begin(&t, 100);
	assert_false(stepped_work(&t));
	stepped_unregister(&t, 2);
	stepped_work(&t);
	assert_int_equal(stepped_get(&t, CHANNEL_STATE), CHANNEL_ENDED);
	assert_int_equal(t.memory[99], 0xff);
	/* The next one waits for another end. */
	stepped_begin(&t, 100);
	stepped_work(&t);
	assert_int_equal(stepped_get(&t, CHANNEL_STATE), CHANNEL_RUNNING);
	mmio_write(t.service, 0, ENGINE_CHANNEL(0) + CHANNEL_COMMAND, 4, CHANNEL_ABORT);
	assert_int_equal(stepped_get(&t, CHANNEL_ERROR), CHANNEL_ABORTED);
	stepped_stop(&t);
}

/* The same through dextd, which serves calls while the transfer is open. */
static void dextd_serves_calls_while_a_transfer_is_held(void **state)
{
	struct bench *b = start("dma-engine,hold=on");
	struct dart_usage usage;

	(void)state;
	begin(b, 0, b->bus[0], 0, 4096, 0, CHANNEL_TO_BUS);
	for (unsigned int i = 0; i < 20; i++)
		assert_int_equal(get(b, ENGINE_CHANNEL(0) + CHANNEL_STATE), CHANNEL_RUNNING);
	assert_int_equal(apple_dext_unregister_dma(b->c, 0), kIOReturnSuccess);
	assert_int_equal(end(b, 0), CHANNEL_DMA_FAULT);
	dart_get_usage(b->service->unit.dart, &usage);
	assert_int_equal(usage.write_faults, 1);
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
		cmocka_unit_test(a_transfer_goes_on_when_its_region_goes),
		cmocka_unit_test(a_late_transfer_reaches_what_has_its_address),
		cmocka_unit_test(a_held_transfer_ends_after_an_unregister),
		cmocka_unit_test(a_held_transfer_does_not_wait_for_its_own_region),
		cmocka_unit_test(dextd_serves_calls_while_a_transfer_is_held),
		cmocka_unit_test(enabled_vectors_are_never_lost_and_masked_ones_dropped),
	};

	return cmocka_run_group_tests_name("dma-engine", tests, NULL, NULL);
}
