/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The part of KUnit that the suites use, for kernels without KUnit. It has
 * KUnit's names, so a suite is the same with both.
 */
#ifndef APPLE_DMA_PLAIN_H
#define APPLE_DMA_PLAIN_H

#include <linux/completion.h>
#include <linux/printk.h>

/* Each line of the log starts with it. */
#define PLAIN_LOG	"apple_dma_stress: "

/**
 * struct kunit - a case that runs
 * @priv: for the case
 * @failed: whether a check failed
 * @why: why it was skipped; empty if it was not
 * @ended: completed by its thread
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

#define KUNIT_EXPECT_TRUE_MSG(test, ok, fmt, ...) do {			\
	if (!(ok)) {							\
		(test)->failed = true;					\
		pr_err(PLAIN_LOG "# " fmt "\n", ##__VA_ARGS__);		\
	}								\
} while (0)

#define KUNIT_ASSERT_TRUE_MSG(test, ok, fmt, ...) do {			\
	bool plain_ok = (ok);						\
									\
	KUNIT_EXPECT_TRUE_MSG(test, plain_ok, fmt, ##__VA_ARGS__);	\
	if (!plain_ok)							\
		plain_end(test);					\
} while (0)

/* Not marked __noreturn: objtool knows only the kernel's own such functions. */
void plain_end(struct kunit *test);
unsigned int plain_run(struct kunit_suite *suite, const char *only,
		       unsigned int n);

#endif /* APPLE_DMA_PLAIN_H */
