// SPDX-License-Identifier: GPL-2.0-only
/*
 * Suites without KUnit: each case has a thread, which ends when a check fails,
 * and a line of TAP.
 */

#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/string.h>

#include "check.h"

/**
 * plain_end() - end the case that runs
 * @test: the case
 *
 * Context: the thread of the case. Does not return.
 */
void plain_end(struct kunit *test)
{
	kthread_complete_and_exit(&test->ended, 0);
}

/**
 * struct plain_job - a case for a thread
 * @test: the case
 * @run: its function
 * @suite: its suite
 */
struct plain_job {
	struct kunit test;
	void (*run)(struct kunit *test);
	struct kunit_suite *suite;
};

static int plain_thread(void *data)
{
	struct plain_job *job = data;

	if (job->suite->init && job->suite->init(&job->test))
		job->test.failed = true;
	else
		job->run(&job->test);
	plain_end(&job->test);
	return 0;
}

static void run_case(struct kunit_suite *suite, struct kunit_case *c,
		     unsigned int n)
{
	struct plain_job job = { .run = c->run_case, .suite = suite };
	struct task_struct *thread;

	init_completion(&job.test.ended);
	thread = kthread_run(plain_thread, &job, "plain");
	if (IS_ERR(thread))
		job.test.failed = true;
	else
		wait_for_completion(&job.test.ended);
	if (suite->exit)
		suite->exit(&job.test);
	pr_info(PLAIN_LOG "%sok %u - %s.%s%s%s\n",
		job.test.failed ? "not " : "", n, suite->name, c->name,
		job.test.why[0] ? " # SKIP " : "", job.test.why);
}

/**
 * plain_run() - run the cases of a suite
 * @suite: the suite
 * @only: the name of one case, or NULL for all
 * @n: how many cases ran before
 *
 * Context: may sleep.
 * Return: how many ran now and before.
 */
unsigned int plain_run(struct kunit_suite *suite, const char *only,
		       unsigned int n)
{
	struct kunit_case *c;

	if (suite->suite_init && suite->suite_init(suite)) {
		pr_err(PLAIN_LOG "not ok %u - %s\n", n + 1, suite->name);
		return n + 1;
	}
	for (c = suite->test_cases; c->run_case; c++)
		if (!only || !strcmp(only, c->name))
			run_case(suite, c, ++n);
	if (suite->suite_exit)
		suite->suite_exit(suite);
	return n;
}
