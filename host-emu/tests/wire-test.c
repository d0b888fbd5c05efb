// SPDX-License-Identifier: GPL-2.0
/* Wire encoding, against bytes that are written out here once. */
#include "test.h"

#include "companion/wire.h"

static void expect_bytes(const uint8_t *got, const uint8_t *want, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		if (got[i] != want[i])
			fail_msg("byte %zu is 0x%02x, not 0x%02x", i, got[i], want[i]);
	}
}

static void names_and_layouts_agree(void **state)
{
	enum wire_layout layout = WIRE_LAYOUTS;

	(void)state;
	for (int i = 0; i < WIRE_LAYOUTS; i++) {
		assert_true(names_parse(&wire_layouts, wire_layouts.name[i], &layout));
		assert_int_equal(layout, i);
		assert_non_null(strstr(names_list(&wire_layouts), wire_layouts.name[i]));
	}
	assert_false(names_parse(&wire_layouts, "narrow", &layout));
}

static void sizes_and_status_offsets(void **state)
{
	static const struct {
		enum wire_layout layout;
		uint32_t type;
		size_t request, response, status;
	} cases[] = {
		{ WIRE_RFC, APPLE_DMA_CMD_MAP, 16, 24, 20 },
		{ WIRE_WIDE, APPLE_DMA_CMD_MAP, 20, 28, 24 },
		{ WIRE_RFC, APPLE_DMA_CMD_UNMAP, 16, 16, 8 },
		{ WIRE_WIDE, APPLE_DMA_CMD_UNMAP, 16, 16, 8 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(wire_request_size(cases[i].layout, cases[i].type),
				 cases[i].request);
		assert_int_equal(wire_response_size(cases[i].layout, cases[i].type),
				 cases[i].response);
		assert_int_equal(wire_status_offset(cases[i].layout, cases[i].type),
				 cases[i].status);
		assert_true(cases[i].request <= WIRE_MAX_ENTRY);
		assert_true(cases[i].response <= WIRE_MAX_ENTRY);
	}
}

/* Buffers start at an odd address: guests need not align anything. */
static void command_page(void **state)
{
	static const uint8_t page[33] = {
		0,
		0x02, 0x01, 0x00, 0x80,				/* type */
		0x04, 0x03, 0x02, 0x01,				/* count */
		0xff, 0xff, 0xff, 0xff,				/* status */
		0xee, 0xee, 0xee, 0xee,				/* reserved */
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,	/* req_gpa */
		0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0xf1,	/* resp_gpa */
	};
	struct wire_command command;

	(void)state;
	wire_get_command(page + 1, &command);
	assert_int_equal(command.type, 0x80000102);
	assert_int_equal(command.count, 0x01020304);
	assert_true(command.req_gpa == 0x1122334455667788);
	assert_true(command.resp_gpa == 0xf102030405060708);
}

static const uint8_t rfc_requests[2 * 16 + 1] = {
	0,
	0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x88, 0x10, 0x20, 0x30, 0xf0,
	0xaa, 0xbb, 0xcc, 0xdd,
	0x00, 0xc0, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00,
};

static const uint8_t wide_requests[2 * 20 + 1] = {
	0,
	0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x88, 0x10, 0x20, 0x30, 0xf0,
	0x01, 0x00, 0x00, 0x00, 0xaa, 0xbb, 0xcc, 0xdd,
	0x00, 0xc0, 0x00, 0x00, 0x01, 0x00, 0x00, 0x00, 0x00, 0x40, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
};

static void map_requests_with_their_stride(void **state)
{
	static const uint8_t *const arrays[WIRE_LAYOUTS] = { rfc_requests, wide_requests };
	static const uint64_t len[WIRE_LAYOUTS] = { 0xf0302010, 0x1f0302010 };

	(void)state;
	for (int layout = 0; layout < WIRE_LAYOUTS; layout++) {
		const size_t stride = wire_request_size(layout, APPLE_DMA_CMD_MAP);
		struct wire_map map;

		wire_get_map(layout, arrays[layout] + 1, &map);
		assert_true(map.gpa == 0x8807060504030201);
		assert_true(map.len == len[layout]);
		wire_get_map(layout, arrays[layout] + 1 + stride, &map);
		assert_true(map.gpa == 0x10000c000);
		assert_true(map.len == 0x4000);
	}
}

static const struct wire_map answer = {
	.id = 0x1122334455667788, .dma_addr = 0xa1a2a3a4a5a6a7a8, .dma_len = 0x1b2b3b4b4,
	.status = 0xc1c2c3c4,
};

static const uint8_t rfc_answer[24] = {
	0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
	0xa8, 0xa7, 0xa6, 0xa5, 0xa4, 0xa3, 0xa2, 0xa1,
	0xb4, 0xb4, 0xb3, 0xb2, 0xc4, 0xc3, 0xc2, 0xc1,
};

static const uint8_t wide_answer[28] = {
	0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
	0xa8, 0xa7, 0xa6, 0xa5, 0xa4, 0xa3, 0xa2, 0xa1,
	0xb4, 0xb4, 0xb3, 0xb2, 0x01, 0x00, 0x00, 0x00,
	0xc4, 0xc3, 0xc2, 0xc1,
};

static void map_responses_with_their_stride(void **state)
{
	static const uint8_t *const wants[WIRE_LAYOUTS] = { rfc_answer, wide_answer };

	(void)state;
	for (int layout = 0; layout < WIRE_LAYOUTS; layout++) {
		const size_t stride = wire_response_size(layout, APPLE_DMA_CMD_MAP);
		uint8_t array[3 * WIRE_MAX_ENTRY + 1];

		memset(array, 0xa5, sizeof(array));
		/* The middle one: its neighbours are not touched. */
		wire_put_map(layout, array + 1 + stride, &answer);
		for (size_t i = 0; i < sizeof(array); i++) {
			if (i < 1 + stride || i >= 1 + 2 * stride)
				assert_int_equal(array[i], 0xa5);
		}
		expect_bytes(array + 1 + stride, wants[layout], stride);
	}
}

static void unmap_entries(void **state)
{
	static const uint8_t request[17] = {
		0,
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11,
		0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	};
	static const uint8_t want[16] = {
		0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x04, 0x03, 0x02, 0x01,
		0xa5, 0xa5, 0xa5, 0xa5,
	};
	struct wire_unmap unmap = { 0 };
	uint8_t response[17];

	(void)state;
	wire_get_unmap(request + 1, &unmap);
	assert_true(unmap.id == 0x1122334455667788);
	memset(response, 0xa5, sizeof(response));
	unmap.status = 0x01020304;
	assert_int_equal(wire_put_unmap(response + 1, &unmap), 12);
	expect_bytes(response + 1, want, 16);
}

static void status_word(void **state)
{
	static const uint8_t want[6] = { 0xa5, 0x04, 0x03, 0x02, 0x01, 0xa5 };
	uint8_t word[6];

	(void)state;
	memset(word, 0xa5, sizeof(word));
	wire_put_status(word + 1, 0x01020304);
	expect_bytes(word, want, sizeof(want));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_layouts_agree),
		cmocka_unit_test(sizes_and_status_offsets),
		cmocka_unit_test(command_page),
		cmocka_unit_test(map_requests_with_their_stride),
		cmocka_unit_test(map_responses_with_their_stride),
		cmocka_unit_test(unmap_entries),
		cmocka_unit_test(status_word),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
