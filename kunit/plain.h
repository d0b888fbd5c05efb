/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * As much of KUnit as the suites here use, for kernels that have none. The
 * names are KUnit's, so that a suite does not know the difference.
 */
#ifndef APPLE_DMA_PLAIN_H
#define APPLE_DMA_PLAIN_H

#include <linux/completion.h>
#include <linux/printk.h>

/* What every line of the log starts with. */
#define PLAIN_LOG	"apple_dma_stress: "

/**
 * struct kunit - a case that runs
 * @priv: for the case
 * @failed: a check failed
 * @why: it was skipped, and why; empty if not
 * @ended: by its thread
 */
struct kunit {
	void *priv;
	bool failed;
	char why[80];
	struct completion ended;
};

struct kunit_case {
	void (*run_case)(struct kunit *test);
	const char *name;
};

struct kunit_suite {
	const char *name;
	int (*suite_init)(struct kunit_suite *suite);
	void (*suite_exit)(struct kunit_suite *suite);
	int (*init)(struct kunit *test);
	void (*exit)(struct kunit *test);
	struct kunit_case *test_cases;
};

#define KUNIT_CASE(function)	{ .run_case = function, .name = #function }

#define kunit_info(test, fmt, ...)					\
	pr_info(PLAIN_LOG "# " fmt, ##__VA_ARGS__)

#define kunit_skip(test, fmt, ...) do {					\
	snprintf((test)->why, sizeof((test)->why), fmt, ##__VA_ARGS__);	\
	plain_end(test);						\
} while (0)

/* Does not return; not said, as objtool knows only the kernel's own of those. */
void plain_end(struct kunit *test);
unsigned int plain_run(struct kunit_suite *suite, const char *only,
		       unsigned int n);

#endif /* APPLE_DMA_PLAIN_H */
