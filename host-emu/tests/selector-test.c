// SPDX-License-Identifier: GPL-2.0
/*
 * Every selector, check by check, in process and through dextd's socket with
 * IOKit's calls. The device is a dma-engine.
 */
#include "calls.h"

#include <sys/mman.h>

#include "pci/dma-engine.h"

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

static void unknown_selectors_are_unsupported(void **state)
{
	assert_int_equal(simple(*state, 18), kIOReturnUnsupported);
	assert_int_equal(simple(*state, UINT32_MAX), kIOReturnUnsupported);
}

static const struct counts {
	uint32_t selector, in, out;
} counts[] = {
	{ SELECTOR_GET_IDENTITY, 0, 6 },	{ SELECTOR_ALLOCATE_DMA_BUFFER, 2, 6 },
	{ SELECTOR_REGISTER_DMA_REGION, 3, 3 }, { SELECTOR_UNREGISTER_DMA_REGION, 1, 0 },
	{ SELECTOR_PROBE_DMA_REGION, 2, 1 }, { SELECTOR_CONFIG_READ, 2, 1 },
	{ SELECTOR_CONFIG_WRITE, 3, 0 },	{ SELECTOR_GET_BAR_INFO, 1, 3 },
	{ SELECTOR_MMIO_READ, 3, 1 },	{ SELECTOR_MMIO_WRITE, 4, 0 },
	{ SELECTOR_SETUP_INTERRUPTS, 0, 1 }, { SELECTOR_CHECK_INTERRUPT, 0, 4 },
	{ SELECTOR_SET_IRQ_MASK, 4, 0 },
};

static void too_few_or_null_arguments_are_bad_for_every_selector(void **state)
{
	struct service *s = *state;
	uint64_t in[16] = { 0 }, out[16];

	/* Not claimed: the arguments are looked at first. */
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		const struct counts *c = &counts[i];
		uint32_t room = c->out;

		if (c->in) {
			assert_int_equal(s->side->call(s->client, c->selector, in, c->in - 1, out,
						       &room), kIOReturnBadArgument);
			room = c->out;
			assert_int_equal(s->side->call(s->client, c->selector, NULL, c->in, out,
						       &room), kIOReturnBadArgument);
		}
		if (c->out) {
			room = c->out - 1;
			assert_int_equal(s->side->call(s->client, c->selector, in, c->in, out,
						       &room), kIOReturnBadArgument);
			room = c->out;
			assert_int_equal(s->side->call(s->client, c->selector, in, c->in, NULL,
						       &room), kIOReturnBadArgument);
			assert_int_equal(s->side->call(s->client, c->selector, in, c->in, out,
						       NULL), kIOReturnBadArgument);
		}
	}
}

static void more_arguments_are_fine_and_the_exact_count_is_told(void **state)
{
	struct service *s = *state;
	uint64_t in[16] = { 0, 4 }, out[16];
	uint32_t room = 16;

	out[1] = 99;
	assert_int_equal(s->side->call(s->client, SELECTOR_CONFIG_READ, in, 16, out, &room),
			 kIOReturnSuccess);
	assert_int_equal(room, 1);
	assert_int_equal(out[1], 99);
	room = 5;
	assert_int_equal(s->side->call(s->client, SELECTOR_TERMINATE, NULL, 0, out, &room),
			 kIOReturnSuccess);
	assert_int_equal(room, 0);
}

static void identity_is_that_of_the_device(void **state)
{
	uint64_t out[6];

	assert_int_equal(call(*state, SELECTOR_GET_IDENTITY, NO_IN, out, 6), kIOReturnSuccess);
	assert_int_equal(out[0], 2);
	assert_int_equal(out[1], 3);
	assert_int_equal(out[2], 1);
	assert_int_equal(out[3], ENGINE_VENDOR);
	assert_int_equal(out[4], ENGINE_DEVICE);
	assert_int_equal(out[5], ENGINE_CLASS);
}

static void claim_enables_the_device_and_its_end_disables_it(void **state)
{
	struct service *s = *state;
	void *first = s->side->open(s), *mine = s->client;

	assert_int_equal(config_read(s, 4, 2), 0);
	assert_int_equal(mmio_read(s, 0, ENGINE_ID, 4), UINT32_MAX);
	s->client = first;
	claim(s);
	assert_int_equal(config_read(s, 4, 2), 6);
	s->client = mine;
	/* A client that did not claim may act. */
	assert_int_equal(mmio_read(s, 0, ENGINE_ID, 4), ENGINE_ID_VALUE);
	claim(s);
	s->side->close(first);
	/* Through a socket, its end is seen a little later. */
	for (int i = 0; i < 1000 && config_read(s, 4, 2); i++)
		;
	assert_int_equal(config_read(s, 4, 2), 0);
	assert_int_equal(simple(s, SELECTOR_RESET_DEVICE), kIOReturnNotOpen);
	claim(s);
	assert_int_equal(simple(s, SELECTOR_RESET_DEVICE), kIOReturnSuccess);
}

static void terminate_and_free_buffer_always_succeed(void **state)
{
	assert_int_equal(simple(*state, SELECTOR_TERMINATE), kIOReturnSuccess);
	assert_int_equal(simple(*state, SELECTOR_FREE_DMA_BUFFER), kIOReturnSuccess);
	assert_int_equal(simple(*state, SELECTOR_FREE_DMA_BUFFER), kIOReturnSuccess);
}

static void buffer_needs_a_claim_and_a_size(void **state)
{
	struct service *s = *state;
	uint64_t out[6];

	assert_int_equal(call(s, SELECTOR_ALLOCATE_DMA_BUFFER, IN(4096, 0), out, 6),
			 kIOReturnNotOpen);
	claim(s);
	assert_int_equal(call(s, SELECTOR_ALLOCATE_DMA_BUFFER, IN(0, 0), out, 6),
			 kIOReturnBadArgument);
	assert_int_equal(call(s, SELECTOR_ALLOCATE_DMA_BUFFER, IN(4096, 3), out, 6),
			 kIOReturnBadArgument);
	assert_int_equal(call(s, SELECTOR_ALLOCATE_DMA_BUFFER, IN(DEXT_CHUNK_SIZE + 1, 0), out, 6),
			 kIOReturnBadArgument);
	assert_int_equal(call(s, SELECTOR_ALLOCATE_DMA_BUFFER, IN(DEXT_CHUNK_SIZE, 0), out, 6),
			 kIOReturnSuccess);
	assert_int_equal(out[4], DEXT_CHUNK_SIZE);
}

static void buffer_is_one_and_replaces_the_one_before(void **state)
{
	struct service *s = *state;
	uint64_t first[6], out[6], size, va;
	uint8_t *at;

	claim(s);
	assert_int_equal(s->side->map(s->client, DEXT_MEMORY_BUFFER, (void **)&at, &size),
			 kIOReturnNotReady);
	assert_int_equal(call(s, SELECTOR_ALLOCATE_DMA_BUFFER, IN(16384, 0), first, 6),
			 kIOReturnSuccess);
	assert_int_equal(call(s, SELECTOR_ALLOCATE_DMA_BUFFER, IN(5000, 64), out, 6),
			 kIOReturnSuccess);
	assert_false(dart_lookup(s->unit.dart, first[3], &va));
	assert_int_equal(out[0], 5000);
	assert_int_equal(out[2], 1);
	assert_int_equal(out[4], 5000);
	assert_int_equal(out[5], ENGINE_CLASS);
	entries_are(s, 1);
	assert_int_equal(s->side->map(s->client, DEXT_MEMORY_BUFFER, (void **)&at, &size),
			 kIOReturnSuccess);
	assert_int_equal(size, 5000);
	assert_int_equal(at[4999], 0);
	assert_int_equal(simple(s, SELECTOR_FREE_DMA_BUFFER), kIOReturnSuccess);
	entries_are(s, 0);
}

static void long_buffers_have_several_segments_and_long_regions_none(void **state)
{
	struct service *s = service_start(side, "dma-engine,max-segment=16K");
	uint8_t *memory = service_memory(65536);
	uint64_t out[6];

	(void)state;
	claim(s);
	assert_int_equal(call(s, SELECTOR_ALLOCATE_DMA_BUFFER, IN(65536, 16384), out, 6),
			 kIOReturnSuccess);
	assert_true(out[2] >= 4);
	assert_true(out[4] <= 16384);
	entries_are(s, out[2]);
	/* Over 32 of them are too many, and the buffer before is gone. */
	assert_int_equal(call(s, SELECTOR_ALLOCATE_DMA_BUFFER, IN(33 * 16384, 0), out, 6),
			 kIOReturnNoSpace);
	entries_are(s, 0);
	assert_int_equal(call(s, SELECTOR_REGISTER_DMA_REGION, IN(1, (uintptr_t)memory, 65536),
			      out, 3), kIOReturnNotAligned);
	entries_are(s, 0);
	munmap(memory, 65536);
	service_stop(s);
}

static void regions_check_in_this_order(void **state)
{
	struct service *s = *state;
	const uint64_t too_long = DEXT_MAX_CHUNKS * DEXT_CHUNK_SIZE + 1;
	uint8_t *memory = service_memory(65536);
	const uint64_t va = (uintptr_t)memory;
	uint64_t out[3];

	assert_int_equal(call(s, SELECTOR_REGISTER_DMA_REGION, IN(1, 0, 0), out, 3),
			 kIOReturnNotOpen);
	claim(s);
	assert_int_equal(call(s, SELECTOR_REGISTER_DMA_REGION, IN(1, va, 4096), out, 3),
			 kIOReturnSuccess);
	assert_int_equal(out[0], 1);
	assert_int_equal(out[2], 4096);
	assert_int_equal(call(s, SELECTOR_REGISTER_DMA_REGION, IN(1, 0, 4096), out, 3),
			 kIOReturnBadArgument);
	assert_int_equal(call(s, SELECTOR_REGISTER_DMA_REGION, IN(1, va, 0), out, 3),
			 kIOReturnBadArgument);
	assert_int_equal(call(s, SELECTOR_REGISTER_DMA_REGION, IN(1, va, too_long), out, 3),
			 kIOReturnStillOpen);
	assert_int_equal(call(s, SELECTOR_REGISTER_DMA_REGION, IN(2, va, too_long), out, 3),
			 kIOReturnNoSpace);
	/* Overlap is fine. */
	assert_int_equal(call(s, SELECTOR_REGISTER_DMA_REGION, IN(2, va, 65536), out, 3),
			 kIOReturnSuccess);
	entries_are(s, 2);
	assert_int_equal(call(s, SELECTOR_UNREGISTER_DMA_REGION, IN(3), NO_OUT), kIOReturnNotFound);
	assert_int_equal(call(s, SELECTOR_UNREGISTER_DMA_REGION, IN(1), NO_OUT), kIOReturnSuccess);
	assert_int_equal(call(s, SELECTOR_UNREGISTER_DMA_REGION, IN(1), NO_OUT), kIOReturnNotFound);
	entries_are(s, 1);
	munmap(memory, 65536);
}

static void regions_report_their_first_chunk(void **state)
{
	static const struct {
		uint64_t size, len, chunks;
	} cases[] = {
		{ DEXT_CHUNK_SIZE, DEXT_CHUNK_SIZE, 1 },
		{ DEXT_CHUNK_SIZE + 1, DEXT_CHUNK_SIZE, 2 },
		{ DEXT_MAX_CHUNKS * DEXT_CHUNK_SIZE, DEXT_CHUNK_SIZE, DEXT_MAX_CHUNKS },
	};
	const uint64_t room = DEXT_MAX_CHUNKS * DEXT_CHUNK_SIZE;
	uint8_t *memory = service_memory(room);
	struct service *s = *state;
	uint64_t out[3];

	claim(s);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(call(s, SELECTOR_REGISTER_DMA_REGION,
				      IN(7, (uintptr_t)memory, cases[i].size), out, 3),
				 kIOReturnSuccess);
		assert_int_equal(out[0], 1);
		assert_int_equal(out[2], cases[i].len);
		entries_are(s, cases[i].chunks);
		assert_int_equal(call(s, SELECTOR_UNREGISTER_DMA_REGION, IN(7), NO_OUT),
				 kIOReturnSuccess);
	}
	assert_int_equal(call(s, SELECTOR_REGISTER_DMA_REGION, IN(7, (uintptr_t)memory, room + 1),
			      out, 3), kIOReturnNoSpace);
	munmap(memory, room);
}

static void probe_reads_a_word_and_not_past_the_end(void **state)
{
	struct service *s = *state;
	uint8_t *memory = service_memory(4096);
	uint64_t word = 0x1122334455667788, out[3];

	memcpy(memory + 8, &word, 8);
	assert_int_equal(call(s, SELECTOR_PROBE_DMA_REGION, IN(1, 0), out, 1), kIOReturnNotFound);
	claim(s);
	assert_int_equal(call(s, SELECTOR_REGISTER_DMA_REGION, IN(1, (uintptr_t)memory, 16),
			      out, 3), kIOReturnSuccess);
	assert_int_equal(call(s, SELECTOR_PROBE_DMA_REGION, IN(1, 8), out, 1), kIOReturnSuccess);
	assert_int_equal(out[0], word);
	assert_int_equal(call(s, SELECTOR_PROBE_DMA_REGION, IN(1, 9), out, 1), kIOReturnOverrun);
	assert_int_equal(call(s, SELECTOR_PROBE_DMA_REGION, IN(1, UINT64_MAX - 3), out, 1),
			 kIOReturnOverrun);
	munmap(memory, 4096);
}

static void config_widths_are_1_2_and_4(void **state)
{
	struct service *s = *state;
	uint64_t out[1];

	for (uint64_t width = 0; width < 10; width++) {
		const bool ok = width == 1 || width == 2 || width == 4;

		assert_int_equal(call(s, SELECTOR_CONFIG_READ, IN(0x3c, width), out, 1),
				 ok ? kIOReturnSuccess : kIOReturnBadArgument);
		assert_int_equal(call(s, SELECTOR_CONFIG_WRITE, IN(0x3c, width, 0), NO_OUT),
				 ok ? kIOReturnSuccess : kIOReturnBadArgument);
	}
	assert_int_equal(config_read(s, 0, 2), ENGINE_VENDOR);
	assert_int_equal(config_read(s, 0, 4), (uint32_t)ENGINE_DEVICE << 16 | ENGINE_VENDOR);
	assert_int_equal(config_read(s, 4095, 1), 0);
	assert_int_equal(config_read(s, 4095, 2), 0xffff);
	assert_int_equal(config_read(s, UINT64_MAX, 4), UINT32_MAX);
}

static void bars_read_as_their_type_only_in_aligned_dwords(void **state)
{
	static const uint32_t types[6] = { BAR_M32, 0, BAR_M64PF, 0, BAR_M32, 0 };
	struct service *s = *state;

	for (unsigned int i = 0; i < 6; i++) {
		/* Not filtered: the write arrives. */
		assert_int_equal(call(s, SELECTOR_CONFIG_WRITE, IN(0x10 + 4 * i, 4, 0xfe000000),
				      NO_OUT), kIOReturnSuccess);
		assert_int_equal(config_read(s, 0x10 + 4 * i, 4), types[i]);
	}
	assert_int_equal(config_read(s, 0x13, 1), 0xfe);
	assert_int_equal(config_read(s, 0x12, 2), 0xfe00);
}

static void bar_info_has_index_size_and_type(void **state)
{
	static const struct {
		uint64_t bar, index, size, type;
	} bars[] = {
		{ 0, 0, ENGINE_REGISTERS, BAR_M32 },
		{ 2, 1, ENGINE_BUFFER, BAR_M64PF },
		{ 4, 2, 4096, BAR_M32 },
	};
	struct service *s = *state;
	uint64_t out[3];

	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(call(s, SELECTOR_GET_BAR_INFO, IN(bars[i].bar), out, 3),
				 kIOReturnSuccess);
		assert_int_equal(out[0], bars[i].index);
		assert_int_equal(out[1], bars[i].size);
		assert_int_equal(out[2], bars[i].type);
	}
	assert_int_equal(call(s, SELECTOR_GET_BAR_INFO, IN(1), out, 3), kIOReturnNotFound);
	assert_int_equal(call(s, SELECTOR_GET_BAR_INFO, IN(3), out, 3), kIOReturnNotFound);
	assert_int_equal(call(s, SELECTOR_GET_BAR_INFO, IN(6), out, 3), kIOReturnBadArgument);
}

static void mmio_widths_are_1_2_4_and_8(void **state)
{
	struct service *s = *state;
	uint64_t out[1];

	claim(s);
	for (uint64_t width = 0; width < 18; width++) {
		const bool ok = width == 1 || width == 2 || width == 4 || width == 8;

		assert_int_equal(call(s, SELECTOR_MMIO_READ, IN(1, 0, width), out, 1),
				 ok ? kIOReturnSuccess : kIOReturnBadArgument);
		assert_int_equal(call(s, SELECTOR_MMIO_WRITE, IN(1, 0, width, 0), NO_OUT),
				 ok ? kIOReturnSuccess : kIOReturnBadArgument);
	}
	mmio_write(s, 0, ENGINE_SCRATCH, 4, 0x12345678);
	assert_int_equal(mmio_read(s, 0, ENGINE_SCRATCH, 4), 0x12345678);
	assert_int_equal(mmio_read(s, 0, ENGINE_ID, 8), 1ull << 32 | ENGINE_ID_VALUE);
	/* No such memory, offset, or alignment. */
	assert_int_equal(mmio_read(s, 9, 0, 4), UINT32_MAX);
	assert_int_equal(mmio_read(s, 0, ENGINE_REGISTERS, 4), UINT32_MAX);
	assert_int_equal(mmio_read(s, 0, UINT64_MAX, 1), 0xff);
	assert_int_equal(mmio_read(s, 0, 2, 4), UINT32_MAX);
	mmio_write(s, 9, 0, 4, 0);
	mmio_write(s, 0, ENGINE_REGISTERS, 8, 0);
}

static void memory_types_end_at_7(void **state)
{
	struct service *s = *state;
	uint64_t size;
	void *at;

	assert_int_equal(s->side->map(s->client, 8, &at, &size), kIOReturnUnsupported);
	assert_int_equal(s->side->map(s->client, UINT32_MAX, &at, &size), kIOReturnUnsupported);
	assert_int_equal(s->side->map(s->client, 7, &at, &size), kIOReturnNotReady);
	assert_int_equal(s->side->map(s->client, 2, &at, &size), kIOReturnNotFound);
	/* Registers. */
	assert_int_equal(s->side->map(s->client, 1, &at, &size), kIOReturnUnsupported);
}

static void prefetchable_memory_is_mapped_directly(void **state)
{
	struct service *s = *state;
	uint64_t size;
	uint8_t *at;

	claim(s);
	assert_int_equal(s->side->map(s->client, 3, (void **)&at, &size), kIOReturnSuccess);
	assert_int_equal(size, ENGINE_BUFFER);
	at[size - 1] = 0x5a;
	assert_int_equal(mmio_read(s, 1, size - 1, 1), 0x5a);
	mmio_write(s, 1, 8, 8, 0x0102030405060708);
	assert_int_equal(at[8], 8);
}

static void reset_clears_the_device_and_keeps_regions(void **state)
{
	struct service *s = *state;
	uint8_t *memory = service_memory(4096);
	uint64_t out[3];

	assert_int_equal(simple(s, SELECTOR_RESET_DEVICE), kIOReturnNotOpen);
	claim(s);
	assert_int_equal(call(s, SELECTOR_REGISTER_DMA_REGION, IN(1, (uintptr_t)memory, 4096),
			      out, 3), kIOReturnSuccess);
	mmio_write(s, 0, ENGINE_SCRATCH, 4, 77);
	assert_int_equal(simple(s, SELECTOR_RESET_DEVICE), kIOReturnSuccess);
	assert_int_equal(mmio_read(s, 0, ENGINE_SCRATCH, 4), 0);
	assert_int_equal(mmio_read(s, 0, ENGINE_ID, 4), ENGINE_ID_VALUE);
	entries_are(s, 1);
	/* The same through the capability, and then the platform restores nothing. */
	mmio_write(s, 0, ENGINE_SCRATCH, 4, 77);
	assert_int_equal(call(s, SELECTOR_CONFIG_WRITE, IN(0x48, 2, 0x8000), NO_OUT),
			 kIOReturnSuccess);
	assert_int_equal(config_read(s, 4, 2), 0);
	assert_int_equal(call(s, SELECTOR_CONFIG_WRITE, IN(4, 2, 6), NO_OUT), kIOReturnSuccess);
	assert_int_equal(mmio_read(s, 0, ENGINE_SCRATCH, 4), 0);
	munmap(memory, 4096);
}

/* What a reset of @device does to itself and to what is beside it. */
static IOReturn reset_with(const char *device, bool *itself, bool *beside)
{
	struct service *s = service_start(side, device);
	struct unit neighbour;
	IOReturn ret;
	char why[64];

	assert_true(unit_create(&neighbour, "dma-engine,bdf=01:00.1", why, sizeof(why)));
	physical_join(neighbour.dev, s->unit.dev);
	physical_config_write(neighbour.dev, PCI_COMMAND, 2, 6);
	physical_bar_write(neighbour.dev, 0, ENGINE_SCRATCH, 4, 77);
	claim(s);
	mmio_write(s, 0, ENGINE_SCRATCH, 4, 77);
	ret = simple(s, SELECTOR_RESET_DEVICE);
	*itself = mmio_read(s, 0, ENGINE_SCRATCH, 4) != 77;
	*beside = physical_bar_read(neighbour.dev, 0, ENGINE_SCRATCH, 4) != 77;
	/* COMMAND is restored everywhere, or else this read all ones. */
	assert_int_equal(physical_bar_read(neighbour.dev, 0, ENGINE_ID, 4), ENGINE_ID_VALUE);
	assert_int_equal(mmio_read(s, 0, ENGINE_ID, 4), ENGINE_ID_VALUE);
	/* The bit in configuration space is that of the function alone. */
	mmio_write(s, 0, ENGINE_SCRATCH, 4, 77);
	assert_int_equal(call(s, SELECTOR_CONFIG_WRITE, IN(0x48, 2, 0x8000), NO_OUT),
			 kIOReturnSuccess);
	assert_int_equal(config_read(s, PCI_COMMAND, 2) == 0,
			 !!(config_read(s, 0x44, 4) & 0x10000000));
	service_stop(s);
	unit_destroy(&neighbour);
	return ret;
}

static void reset_is_of_the_function_or_else_of_its_bus(void **state)
{
	bool itself, beside;

	(void)state;
	assert_int_equal(reset_with("dma-engine", &itself, &beside), kIOReturnSuccess);
	assert_true(itself && !beside);
	assert_int_equal(reset_with("dma-engine,reset=hot", &itself, &beside), kIOReturnSuccess);
	assert_true(itself && beside);
	assert_int_equal(reset_with("dma-engine,reset=none", &itself, &beside),
			 kIOReturnUnsupported);
	assert_false(itself || beside);
}

static void death_drops_regions_and_buffer_from_the_dart(void **state)
{
	struct service *s = *state;
	uint8_t *memory = service_memory(65536);
	void *mine = s->client, *other = s->side->open(s);
	struct dart_usage usage = { .entries = 1 };
	uint64_t out[6];

	claim(s);
	s->client = other;
	for (uint64_t i = 0; i < 100; i++)
		assert_int_equal(call(s, SELECTOR_REGISTER_DMA_REGION,
				      IN(i, (uintptr_t)memory + i, 4096), out, 3),
				 kIOReturnSuccess);
	assert_int_equal(call(s, SELECTOR_ALLOCATE_DMA_BUFFER, IN(4096, 0), out, 6),
			 kIOReturnSuccess);
	entries_are(s, 101);
	s->client = mine;
	s->side->close(other);
	for (int i = 0; i < 1000 && usage.entries; i++) {
		simple(s, SELECTOR_TERMINATE);
		dart_get_usage(s->unit.dart, &usage);
	}
	entries_are(s, 0);
	munmap(memory, 65536);
}

static const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	TEST(unknown_selectors_are_unsupported),
	TEST(too_few_or_null_arguments_are_bad_for_every_selector),
	TEST(more_arguments_are_fine_and_the_exact_count_is_told),
	TEST(identity_is_that_of_the_device),
	TEST(claim_enables_the_device_and_its_end_disables_it),
	TEST(terminate_and_free_buffer_always_succeed),
	TEST(buffer_needs_a_claim_and_a_size),
	TEST(buffer_is_one_and_replaces_the_one_before),
	cmocka_unit_test(long_buffers_have_several_segments_and_long_regions_none),
	TEST(regions_check_in_this_order),
	TEST(regions_report_their_first_chunk),
	TEST(probe_reads_a_word_and_not_past_the_end),
	TEST(config_widths_are_1_2_and_4),
	TEST(bars_read_as_their_type_only_in_aligned_dwords),
	TEST(bar_info_has_index_size_and_type),
	TEST(mmio_widths_are_1_2_4_and_8),
	TEST(memory_types_end_at_7),
	TEST(prefetchable_memory_is_mapped_directly),
	TEST(reset_clears_the_device_and_keeps_regions),
	cmocka_unit_test(reset_is_of_the_function_or_else_of_its_bus),
	TEST(death_drops_regions_and_buffer_from_the_dart),
};

int main(void)
{
	int failed;

	side = &side_in_process;
	failed = cmocka_run_group_tests_name("selectors in process", tests, NULL, NULL);
	side = &side_iokit;
	return failed + cmocka_run_group_tests_name("selectors through the socket", tests, NULL,
						    NULL);
}
