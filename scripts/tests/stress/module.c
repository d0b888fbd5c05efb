// SPDX-License-Identifier: GPL-2.0-only
/*
 * The stress module: its parameters. Loading it runs the suites of kunit/, on
 * kernels without KUnit, or the storm, and logs a line of TAP for each case;
 * scripts/tests/test_vm_stress.py reads the log.
 */

#include <linux/device.h>
#include <linux/module.h>

#include "queue.h"
#include "stress.h"
#include "suites.h"

static char *run = "unit";
module_param(run, charp, 0444);
MODULE_PARM_DESC(run, "unit: the suites of kunit/; storm: random operations of many threads; hold: how long the lock is held");

static char *only;
module_param(only, charp, 0444);
MODULE_PARM_DESC(only, "run=unit: only the case of this name");

static unsigned long long seed = 1;
module_param(seed, ullong, 0444);
MODULE_PARM_DESC(seed, "run=storm: what all random numbers come from, not 0");

static unsigned int threads = 3;
module_param(threads, uint, 0444);
MODULE_PARM_DESC(threads, "run=storm: how many; with one, refusals are checked exactly");

static unsigned long long ops = 1000000;
module_param(ops, ullong, 0444);
MODULE_PARM_DESC(ops, "run=storm: operations of all threads together");

static unsigned int rounds = 40;
module_param(rounds, uint, 0444);
MODULE_PARM_DESC(rounds, "run=storm: how often all threads meet");

static bool meddle = true;
module_param(meddle, bool, 0444);
MODULE_PARM_DESC(meddle, "run=storm: change modes and limits while threads run");

static bool twin;
module_param(twin, bool, 0444);
MODULE_PARM_DESC(twin, "run=storm: two engines that share the bytes, each with so many threads");

struct device *fixture_device;

u64 stress_random(u64 *state, u64 below)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (*state >> 8) % below;
}

static void run_all(void)
{
	struct kunit_suite *const *suite;
	unsigned int n = 0;

	if (!strcmp(run, "storm")) {
		pr_info("apple_dma_stress: # seed %llu\n", seed);
		pr_info("apple_dma_stress: %sok 1 - storm\n",
			storm_run(max(seed, 1ULL), max(threads, 1U), ops,
				  max(rounds, 1U), meddle, twin) ? "not " : "");
		n = 1;
	} else if (!strcmp(run, "hold")) {
		n = plain_run(&hold_suite, only, n);
	} else {
		for (suite = pure_suites; *suite; suite++)
			n = plain_run(*suite, only, n);
	}
	pr_info("apple_dma_stress: 1..%u\n", n);
}

static int __init stress_init(void)
{
	int err = queue_start();

	if (err)
		return err;
	fixture_device = root_device_register("apple_dma_stress");
	if (IS_ERR(fixture_device)) {
		queue_stop();
		return PTR_ERR(fixture_device);
	}
	run_all();
	return 0;
}
module_init(stress_init);

static void __exit stress_exit(void)
{
	root_device_unregister(fixture_device);
	queue_stop();
}
module_exit(stress_exit);

MODULE_DESCRIPTION("The mapping engine of apple_dma against a fake host");
MODULE_LICENSE("GPL");
