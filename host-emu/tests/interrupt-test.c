// SPDX-License-Identifier: GPL-2.0
/*
 * The interrupt selectors, in process and through dextd's socket with IOKit's
 * calls. The device is a dma-engine.
 */
#include "calls.h"

#include <sys/mman.h>

#include "pci/dma-engine.h"
#include "pci/physical.h"

#define DEVICE	"dma-engine,bdf=02:03.1,max-bytes=1T,max-entries=100000"

static const struct side *side;

static int setup(void **state)
{
	*state = service_start(side, DEVICE);
	return 0;
}

static int teardown(void **state)
{
	service_stop(*state);
	return 0;
}

static void interrupts_need_claim_and_setup(void **state)
{
	struct service *s = *state;
	struct waiter waiter = WAITER;
	uint64_t out[4];

	assert_int_equal(call(s, SELECTOR_SETUP_INTERRUPTS, NO_IN, out, 1), kIOReturnNotOpen);
	assert_int_equal(call(s, SELECTOR_CHECK_INTERRUPT, NO_IN, out, 4), kIOReturnNotReady);
	assert_int_equal(call(s, SELECTOR_SET_IRQ_MASK, IN(1, 2, 3, 4), NO_OUT), kIOReturnNotReady);
	assert_int_equal(s->side->wait(s->client, &waiter), kIOReturnNotReady);
	/* Without a way to complete, which is looked at first. */
	assert_int_equal(simple(s, SELECTOR_WAIT_INTERRUPT), kIOReturnBadArgument);
	claim(s);
	assert_int_equal(call(s, SELECTOR_CHECK_INTERRUPT, NO_IN, out, 4), kIOReturnNotReady);
	assert_int_equal(call(s, SELECTOR_SETUP_INTERRUPTS, NO_IN, out, 1), kIOReturnSuccess);
	assert_int_equal(out[0], ENGINE_VECTORS);
	assert_int_equal(call(s, SELECTOR_SETUP_INTERRUPTS, NO_IN, out, 1), kIOReturnStillOpen);
	assert_int_equal(simple(s, SELECTOR_WAIT_INTERRUPT), kIOReturnBadArgument);
}

static void device_without_vectors_has_none_to_set_up(void **state)
{
	struct service *s = *state;
	uint64_t out[1];

	claim(s);
	s->unit.dev->vectors = 0;
	assert_int_equal(call(s, SELECTOR_SETUP_INTERRUPTS, NO_IN, out, 1), kIOReturnNotFound);
}

static void set_up(struct service *s)
{
	uint64_t vectors;

	claim(s);
	assert_int_equal(call(s, SELECTOR_SETUP_INTERRUPTS, NO_IN, &vectors, 1), kIOReturnSuccess);
}

static uint64_t pending(struct service *s)
{
	uint64_t out[4];

	assert_int_equal(call(s, SELECTOR_CHECK_INTERRUPT, NO_IN, out, 4), kIOReturnSuccess);
	assert_int_equal(out[1] | out[2] | out[3], 0);
	return out[0];
}

static void raise_vector(struct service *s, uint32_t vector)
{
	mmio_write(s, 0, ENGINE_RAISE, 4, vector);
}

static void pending_bits_are_exchanged_with_0(void **state)
{
	struct service *s = *state;

	set_up(s);
	raise_vector(s, 3);
	raise_vector(s, 3);
	raise_vector(s, 15);
	raise_vector(s, 16);
	assert_int_equal(pending(s), 1 << 3 | 1 << 15);
	assert_int_equal(pending(s), 0);
}

static void masked_vectors_are_dropped_not_latched(void **state)
{
	struct service *s = *state;

	set_up(s);
	assert_int_equal(call(s, SELECTOR_SET_IRQ_MASK, IN(1 << 4, 0, 0, 0), NO_OUT),
			 kIOReturnSuccess);
	raise_vector(s, 3);
	raise_vector(s, 4);
	assert_int_equal(call(s, SELECTOR_SET_IRQ_MASK, IN(UINT64_MAX, 0, 0, 0), NO_OUT),
			 kIOReturnSuccess);
	assert_int_equal(pending(s), 1 << 4);
	raise_vector(s, 3);
	assert_int_equal(pending(s), 1 << 3);
}

static void wait_completes_once_when_a_vector_fires(void **state)
{
	struct service *s = *state;
	struct waiter waiter = WAITER;

	set_up(s);
	assert_int_equal(s->side->wait(s->client, &waiter), kIOReturnSuccess);
	assert_int_equal(pending(s), 0);
	assert_int_equal(waiter_get(&waiter, 0), 0);
	raise_vector(s, 1);
	raise_vector(s, 2);
	assert_int_equal(waiter_get(&waiter, 1), 1);
	assert_int_equal(waiter.ret, kIOReturnSuccess);
	assert_int_equal(pending(s), 6);
	assert_int_equal(waiter_get(&waiter, 1), 1);
}

static void wait_completes_at_once_when_a_bit_is_pending(void **state)
{
	struct service *s = *state;
	struct waiter waiter = WAITER;

	set_up(s);
	raise_vector(s, 1);
	assert_int_equal(s->side->wait(s->client, &waiter), kIOReturnSuccess);
	assert_int_equal(waiter_get(&waiter, 1), 1);
	/* Nobody took it. */
	assert_int_equal(s->side->wait(s->client, &waiter), kIOReturnSuccess);
	assert_int_equal(waiter_get(&waiter, 2), 2);
}

static void second_wait_replaces_the_first_silently(void **state)
{
	struct service *s = *state;
	struct waiter first = WAITER, second = WAITER;

	set_up(s);
	assert_int_equal(s->side->wait(s->client, &first), kIOReturnSuccess);
	assert_int_equal(s->side->wait(s->client, &second), kIOReturnSuccess);
	raise_vector(s, 1);
	assert_int_equal(waiter_get(&second, 1), 1);
	assert_int_equal(waiter_get(&first, 0), 0);
}

static void interrupt_page_is_shared_with_the_client(void **state)
{
	struct dext_interrupt_page *page;
	struct service *s = *state;
	uint64_t size;

	set_up(s);
	assert_int_equal(s->side->map(s->client, 7, (void **)&page, &size), kIOReturnSuccess);
	assert_int_equal(offsetof(struct dext_interrupt_page, enabled), 0x20);
	assert_true(size >= 0x40);
	for (int i = 0; i < 4; i++)
		assert_int_equal(page->enabled[i], UINT64_MAX);
	raise_vector(s, 5);
	assert_int_equal(page->pending[0], 1 << 5);
	assert_int_equal(call(s, SELECTOR_SET_IRQ_MASK, IN(7, 8, 9, 10), NO_OUT), kIOReturnSuccess);
	assert_int_equal(page->enabled[3], 10);
	assert_int_equal(pending(s), 1 << 5);
	assert_int_equal(page->pending[0], 0);
}

#define CAP_MSI		0x05
#define CAP_MSIX	0x11

/* Where a capability is; 0 for nowhere. */
static uint64_t find_capability(struct service *s, uint64_t id)
{
	uint64_t at = config_read(s, PCI_CAPABILITIES, 1);

	while (at && config_read(s, at, 1) != id)
		at = config_read(s, at + 1, 1);
	return at;
}

static void config_write(struct service *s, uint64_t offset, uint64_t width, uint64_t value)
{
	assert_int_equal(call(s, SELECTOR_CONFIG_WRITE, IN(offset, width, value), NO_OUT),
			 kIOReturnSuccess);
}

static struct service *with_device(struct service *s, void **state, const char *device)
{
	service_stop(s);
	*state = service_start(side, device);
	return *state;
}

static void msi_capability_has_16_vectors_and_masks(void **state)
{
	struct service *s = with_device(*state, state, "dma-engine,interrupts=msi");
	const uint64_t at = find_capability(s, CAP_MSI);

	assert_int_not_equal(at, 0);
	assert_int_equal(find_capability(s, CAP_MSIX), 0);
	assert_int_equal(config_read(s, at + 2, 2), 0x0188);
	/* Only enable and the vectors in use; a message address of 64 bits. */
	config_write(s, at + 2, 2, 0xffff);
	assert_int_equal(config_read(s, at + 2, 2), 0x01f9);
	for (unsigned int i = 4; i < 24; i += 4)
		config_write(s, at + i, 4, 0xffffffff);
	assert_int_equal(config_read(s, at + 4, 4), 0xfffffffc);
	assert_int_equal(config_read(s, at + 8, 4), 0xffffffff);
	assert_int_equal(config_read(s, at + 12, 4), 0xffff);
	assert_int_equal(config_read(s, at + 16, 4), 0xffff);
	assert_int_equal(config_read(s, at + 20, 4), 0);
	claim(s);
	assert_int_equal(simple(s, SELECTOR_RESET_DEVICE), kIOReturnSuccess);
	assert_int_equal(config_read(s, at + 2, 2), 0x0188);
	assert_int_equal(config_read(s, at + 4, 4), 0);
}

static void msi_vectors_fire_like_those_of_msix(void **state)
{
	struct service *s = with_device(*state, state, "dma-engine,interrupts=msi");

	set_up(s);
	raise_vector(s, 0);
	raise_vector(s, 15);
	raise_vector(s, 16);
	assert_int_equal(pending(s), 1 << 15 | 1);
}

static void vectors_are_of_msix_and_else_of_msi(void **state)
{
	static const struct {
		const char *device;
		uint64_t vectors;
	} cases[] = {
		{ "dma-engine,interrupts=msix", ENGINE_VECTORS },
		{ "nvme,queues=8,interrupts=intx", 1 },
		{ "nvme,queues=8,interrupts=msix", 9 },
		{ "nvme,queues=1,interrupts=msi", 2 },
		{ "nvme,queues=15,interrupts=msi", 16 },
		{ "nvme,queues=16,interrupts=msi", 32 },
		{ "nvme,queues=64,interrupts=msi", 32 },
	};
	struct service *s = *state;
	uint64_t vectors;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		s = with_device(s, state, cases[i].device);
		claim(s);
		assert_int_equal(call(s, SELECTOR_SETUP_INTERRUPTS, NO_IN, &vectors, 1),
				 kIOReturnSuccess);
		assert_int_equal(vectors, cases[i].vectors);
	}
	/* Of a device that has both. */
	s = with_device(s, state, "nvme,queues=8");
	service_halt(s);
	physical_add_msi(s->unit.dev, 16);
	assert_int_equal(s->unit.dev->vectors, 9);
}

static void a_pin_alone_is_vector_0(void **state)
{
	struct service *s = with_device(*state, state, "dma-engine,interrupts=intx");

	assert_int_equal(config_read(s, 0x3d, 1), 1);
	assert_int_equal(find_capability(s, CAP_MSI) | find_capability(s, CAP_MSIX), 0);
	set_up(s);
	raise_vector(s, 0);
	raise_vector(s, 1);
	assert_int_equal(pending(s), 1);
	/* It needs no bus mastering, and COMMAND can switch it off. */
	config_write(s, 4, 2, 0x0002);
	raise_vector(s, 0);
	assert_int_equal(pending(s), 1);
	config_write(s, 4, 2, 0x0402);
	raise_vector(s, 0);
	assert_int_equal(pending(s), 0);
}

static void a_device_may_have_no_interrupts(void **state)
{
	struct service *s = with_device(*state, state, "nvme,size=64K,interrupts=none");
	uint64_t out[1];

	assert_int_equal(config_read(s, 0x3d, 1), 0);
	claim(s);
	assert_int_equal(call(s, SELECTOR_SETUP_INTERRUPTS, NO_IN, out, 1), kIOReturnNotFound);
}

static void two_clients_have_regions_and_interrupts_of_their_own(void **state)
{
	struct service *s = *state;
	uint8_t *memory = service_memory(4096);
	void *mine = s->client, *other = s->side->open(s);
	uint64_t out[4];

	set_up(s);
	assert_int_equal(call(s, SELECTOR_REGISTER_DMA_REGION, IN(1, (uintptr_t)memory, 64),
			      out, 3), kIOReturnSuccess);
	s->client = other;
	assert_int_equal(call(s, SELECTOR_REGISTER_DMA_REGION, IN(1, (uintptr_t)memory, 64),
			      out, 3), kIOReturnSuccess);
	assert_int_equal(call(s, SELECTOR_CHECK_INTERRUPT, NO_IN, out, 4), kIOReturnNotReady);
	assert_int_equal(call(s, SELECTOR_SETUP_INTERRUPTS, NO_IN, out, 1), kIOReturnSuccess);
	raise_vector(s, 2);
	assert_int_equal(pending(s), 4);
	s->client = mine;
	assert_int_equal(pending(s), 4);
	entries_are(s, 2);
	s->side->close(other);
	assert_int_equal(call(s, SELECTOR_UNREGISTER_DMA_REGION, IN(1), NO_OUT), kIOReturnSuccess);
	munmap(memory, 4096);
}

static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	TEST(interrupts_need_claim_and_setup),
	TEST(device_without_vectors_has_none_to_set_up),
	TEST(pending_bits_are_exchanged_with_0),
	TEST(masked_vectors_are_dropped_not_latched),
	TEST(wait_completes_once_when_a_vector_fires),
	TEST(wait_completes_at_once_when_a_bit_is_pending),
	TEST(second_wait_replaces_the_first_silently),
	TEST(interrupt_page_is_shared_with_the_client),
	TEST(msi_capability_has_16_vectors_and_masks),
	TEST(msi_vectors_fire_like_those_of_msix),
	TEST(vectors_are_of_msix_and_else_of_msi),
	TEST(a_pin_alone_is_vector_0),
	TEST(a_device_may_have_no_interrupts),
	TEST(two_clients_have_regions_and_interrupts_of_their_own),
};

int main(void)
{
	int failed;

	side = &side_in_process;
	failed = cmocka_run_group_tests_name("interrupts in process", tests, NULL, NULL);
	side = &side_iokit;
	return failed + cmocka_run_group_tests_name("interrupts through the socket", tests, NULL,
						    NULL);
}
