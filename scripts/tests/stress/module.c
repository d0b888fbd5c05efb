// SPDX-License-Identifier: GPL-2.0-only
/*
 * The stress module: its parameters, and what driver/main.c is for the driver.
 * Loading it runs the cases or the storm and logs a line of TAP for each;
 * scripts/tests/test_vm_stress.py reads the log.
 */

#include <linux/device.h>
#include <linux/module.h>
#include <linux/workqueue.h>

#include "stress.h"

static char *run = "unit";
module_param(run, charp, 0444);
MODULE_PARM_DESC(run, "unit: the cases; storm: random operations of many threads");

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

struct device *stress_device;

static struct workqueue_struct *stress_wq;

/**
 * apple_dma_queue() - as in driver/main.c
 * @work: the work
 *
 * Context: any.
 */
void apple_dma_queue(struct work_struct *work)
{
	queue_work(stress_wq, work);
}

/**
 * apple_dma_queue_after() - as in driver/main.c
 * @work: the work
 * @delay: jiffies
 *
 * Context: any.
 */
void apple_dma_queue_after(struct delayed_work *work, unsigned long delay)
{
	queue_delayed_work(stress_wq, work, delay);
}

u64 stress_random(u64 *state, u64 below)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (*state >> 8) % below;
}

static int run_case(const struct stress_case *c)
{
	struct fixture f;
	int err = fixture_open(&f, &c->plan);

	return err ?: fixture_close(&f, c->run(&f));
}

static unsigned int run_cases(const struct stress_case *c, unsigned int n)
{
	for (; c->name; c++) {
		const char *verdict = "ok";

		if (only && strcmp(only, c->name))
			continue;
		if (run_case(c))
			verdict = "not ok";
		pr_info("apple_dma_stress: %s %u - %s\n", verdict, ++n, c->name);
	}
	return n;
}

static void run_all(void)
{
	unsigned int n = 0;

	if (!strcmp(run, "storm")) {
		pr_info("apple_dma_stress: # seed %llu\n", seed);
		pr_info("apple_dma_stress: %sok 1 - storm\n",
			storm_run(max(seed, 1ULL), max(threads, 1U), ops,
				  max(rounds, 1U), meddle) ? "not " : "");
		n = 1;
	} else {
		n = run_cases(doorbell_cases, n);
		n = run_cases(shape_cases, n);
		n = run_cases(mode_cases, n);
	}
	pr_info("apple_dma_stress: 1..%u\n", n);
}

static int __init stress_init(void)
{
	int err = apple_dma_window_init();

	if (err)
		return err;
	stress_wq = alloc_workqueue("apple_dma_stress", WQ_UNBOUND, 0);
	if (!stress_wq) {
		err = -ENOMEM;
		goto exit_window;
	}
	stress_device = root_device_register("apple_dma_stress");
	if (IS_ERR(stress_device)) {
		err = PTR_ERR(stress_device);
		goto destroy_wq;
	}
	run_all();
	return 0;

destroy_wq:
	destroy_workqueue(stress_wq);
exit_window:
	apple_dma_window_exit();
	return err;
}
module_init(stress_init);

static void __exit stress_exit(void)
{
	root_device_unregister(stress_device);
	destroy_workqueue(stress_wq);
	apple_dma_window_exit();
}
module_exit(stress_exit);

MODULE_DESCRIPTION("The mapping engine of apple_dma against a fake host");
MODULE_LICENSE("GPL");
