/* SPDX-License-Identifier: GPL-2.0 */
/* What the unit tests share. */
#ifndef APPLE_DMA_TEST_H
#define APPLE_DMA_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "dart/dart.h"

#define KIB	UINT64_C(1024)
#define MIB	(1024 * KIB)
#define GIB	(1024 * MIB)

/** test_dart() - a DART with large limits, of this policy and seed */
static inline struct dart *test_dart(enum dart_policy policy, uint64_t seed)
{
	const struct dart_config config = {
		.policy = policy,
		.seed = seed,
		.max_bytes = 1024 * GIB,
		.max_entries = 1 << 17,
		.iova_bits = 47,
	};
	struct dart *dart = dart_create(&config);

	assert_non_null(dart);
	return dart;
}

#endif
