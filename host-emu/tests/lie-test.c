// SPDX-License-Identifier: GPL-2.0
/* The lie modes and the statistics, without a device. */
#include "test.h"

#include "companion/lie.h"
#include "companion/stats.h"

static void names_and_modes_agree(void **state)
{
	struct lie lie = { 0 };

	(void)state;
	for (int i = 0; i < LIE_MODES; i++) {
		assert_true(lie_set(&lie, lie_modes.name[i]));
		assert_int_equal(lie.mode, i);
		assert_non_null(strstr(names_list(&lie_modes), lie_modes.name[i]));
	}
	assert_false(lie_set(&lie, "honest"));
	assert_false(lie_set(&lie, ""));
}

static void lies_begin_after_exactly_n_entries(void **state)
{
	struct lie lie = { .after = 5 };

	(void)state;
	assert_true(lie_set(&lie, "zero"));
	for (int i = 0; i < 5; i++)
		assert_false(lie_due(&lie, APPLE_DMA_CMD_MAP));
	assert_true(lie_due(&lie, APPLE_DMA_CMD_MAP));
	assert_false(lie_due(&lie, APPLE_DMA_CMD_UNMAP));
	assert_true(lie_set(&lie, "unmap-fail"));
	for (int i = 0; i < 5; i++)
		assert_false(lie_due(&lie, APPLE_DMA_CMD_UNMAP));
	assert_true(lie_due(&lie, APPLE_DMA_CMD_UNMAP));
	assert_false(lie_due(&lie, APPLE_DMA_CMD_MAP));
	assert_true(lie_set(&lie, "none"));
	lie.after = 0;
	assert_false(lie_due(&lie, APPLE_DMA_CMD_MAP));
}

/* Entries are answered honestly; the doorbell is not, once it is due. */
static void some_lies_are_not_about_entries(void **state)
{
	static const char *const modes[] = { "no-answer", "late", "gone", "rewrite", "fickle",
					     "no-entries" };
	struct lie lie = { .after = 2 };

	(void)state;
	for (int i = 0; i < 6; i++) {
		assert_true(lie_set(&lie, modes[i]));
		assert_false(lie_due(&lie, APPLE_DMA_CMD_MAP));
		assert_false(lie_unanswered(&lie));
		assert_false(lie_is(&lie, lie.mode));
		assert_false(lie_due(&lie, APPLE_DMA_CMD_UNMAP));
		assert_true(lie_is(&lie, lie.mode));
		assert_int_equal(lie_unanswered(&lie), i < 3);
		assert_false(lie_due(&lie, APPLE_DMA_CMD_MAP));
	}
}

static void registers_change(void **state)
{
	struct lie lie = { 0 };

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(lie_register(&lie, 1, 70), 70);
	assert_true(lie_set(&lie, "fickle"));
	assert_int_equal(lie_register(&lie, 1, 70), 70);
	assert_int_equal(lie_register(&lie, 2, 7), 7);
	assert_int_equal(lie_register(&lie, 1, 70), 71);
	assert_int_equal(lie_register(&lie, 2, 7), 8);
	assert_true(lie_set(&lie, "no-entries"));
	assert_int_equal(lie_register(&lie, 2, 7), 0);
	assert_int_equal(lie_register(&lie, 1, 70), 70);
	assert_true(lie_set(&lie, "gone"));
	assert_int_equal(lie_register(&lie, 1, 70), UINT32_MAX);
}

static void peaks_only_rise(void **state)
{
	struct companion_stats stats = { 0 };

	(void)state;
	stats_peak(&stats, &(struct backend_usage){ .regions = 3, .bytes = 10 });
	stats_peak(&stats, &(struct backend_usage){ .regions = 2, .bytes = 20 });
	stats_peak(&stats, &(struct backend_usage){ .regions = 1, .bytes = 1 });
	assert_int_equal(stats.peak, 3);
	assert_int_equal(stats.peak_bytes, 20);
}

static void json_has_every_counter(void **state)
{
	const struct companion_stats stats = { 1, 2, 3, 4, 5, 6, 7, 8, 9, UINT64_MAX, 16 };
	char *json;

	(void)state;
	json = stats_json(&stats, "c0", &(struct backend_usage){ 10, 11, 13, 12, 14, 15,
								true, false, 17 });
	assert_string_equal(json,
		"{\"name\": \"c0\", \"doorbells\": 1, \"bad_commands\": 2, \"map_entries\": 3, "
		"\"unmap_entries\": 4, \"probes\": 5, \"failed_entries\": 6, "
		"\"duplicate_handles\": 7, \"lies\": 8, \"live\": 10, \"live_bytes\": 11, "
		"\"peak\": 9, \"peak_bytes\": 18446744073709551615, "
		"\"largest_batch\": 16, \"dart_entries\": 13, "
		"\"dart_bytes\": 12, \"faults\": 29, \"read_faults\": 14, \"write_faults\": 15, "
		"\"modelled_us\": 17, \"enforced\": true}");
	free(json);
}

/* An unknown count is null, not 0. */
static void json_says_what_is_not_known(void **state)
{
	const struct companion_stats stats = { 0 };
	char *json;

	(void)state;
	json = stats_json(&stats, "c0", &(struct backend_usage){ .dart_unknown = true });
	assert_non_null(strstr(json, "\"dart_entries\": null, \"dart_bytes\": null, "
			       "\"faults\": null, \"read_faults\": null, "
			       "\"write_faults\": null, \"modelled_us\": null, "
			       "\"enforced\": false}"));
	free(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_and_modes_agree),
		cmocka_unit_test(lies_begin_after_exactly_n_entries),
		cmocka_unit_test(some_lies_are_not_about_entries),
		cmocka_unit_test(registers_change),
		cmocka_unit_test(peaks_only_rise),
		cmocka_unit_test(json_has_every_counter),
		cmocka_unit_test(json_says_what_is_not_known),
	};

	return cmocka_run_group_tests_name("lie", tests, NULL, NULL);
}
