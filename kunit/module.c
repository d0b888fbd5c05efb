// SPDX-License-Identifier: GPL-2.0-only
/*
 * The suites as a module. When it is loaded, it runs the cases that its parameter
 * names, and logs KTAP for scripts/kunit.
 *
 * KUnit can run the suites of a module by itself. Some kernels do so before the
 * module has its parameters, and have no filter for modules.
 */

#include <linux/device.h>
#include <linux/glob.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "fixture.h"
#include "queue.h"
#include "suites.h"

static char *only = "*.*";
module_param(only, charp, 0444);
MODULE_PARM_DESC(only, "suite.case, with * and ?: only these");

struct device *fixture_device;

static bool wanted(const struct kunit_suite *suite, const struct kunit_case *c)
{
	char name[384];

	snprintf(name, sizeof(name), "%s.%s", suite->name, c->name);
	return glob_match(only, name);
}

/* Remove unwanted cases. Returns how many are left. */
static unsigned int filter(struct kunit_suite *suite)
{
	struct kunit_case *from = suite->test_cases, *to = from;
	unsigned int n = 0;

	for (; from->run_case; from++) {
		if (!wanted(suite, from))
			continue;
		n++;
		if (to != from)
			*to = *from;
		to++;
	}
	memset(to, 0, sizeof(*to));
	return n;
}

/* Returns how many suites have a wanted case. */
static unsigned int filter_all(struct kunit_suite *const *suites)
{
	unsigned int n = 0;

	for (; *suites; suites++)
		n += !!filter(*suites);
	return n;
}

static void run_all(struct kunit_suite *const *suites)
{
	for (; *suites; suites++)
		if ((*suites)->test_cases->run_case)
			kunit_run_tests(*suites);
}

static int __init kunit_module_init(void)
{
	int err = queue_start();

	if (err)
		return err;
	fixture_device = root_device_register(KBUILD_MODNAME);
	if (IS_ERR(fixture_device)) {
		queue_stop();
		return PTR_ERR(fixture_device);
	}
	pr_info("KTAP version 1\n");
	pr_info("1..%u\n", filter_all(pure_suites) + filter_all(device_suites));
	run_all(pure_suites);
	run_all(device_suites);
	return 0;
}
module_init(kunit_module_init);

static void __exit kunit_module_exit(void)
{
	root_device_unregister(fixture_device);
	queue_stop();
}
module_exit(kunit_module_exit);

MODULE_DESCRIPTION("KUnit suites of apple_dma");
MODULE_LICENSE("GPL");
