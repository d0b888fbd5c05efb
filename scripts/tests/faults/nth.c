// SPDX-License-Identifier: GPL-2.0
/*
 * nth - do something again and again, and each time let another one of its
 * allocations fail, until there is none left to fail. In a guest.
 *
 * usage: nth STEP DO UNDO [BEFORE]
 *
 * DO and UNDO are write=FILE=TEXT, load=FILE=PARAMETERS, unload=NAME= or none==.
 * What was done is undone, without a fault. With a STEP of n, only each nth of the
 * allocations fails; with BEFORE, which is done once and may fail, none of as many
 * as that takes. Prints how many failed, and in how many of these runs DO was
 * done all the same. Fails when there is no end to them, or when what was done
 * cannot be undone.
 */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MOST 20000
#define ALL 1000000000U

struct action {
	char *verb;
	char *what;
	char *text;
	int fd;
};

static void fail(const char *what)
{
	fprintf(stderr, "nth: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void parse(struct action *action, char *spec)
{
	action->verb = strsep(&spec, "=");
	action->what = strsep(&spec, "=");
	action->text = spec ? spec : "";
	action->fd = -1;
	if (!action->what) {
		fprintf(stderr, "nth: %s: it has no =\n", action->verb);
		exit(2);
	}
}

/* Files are opened before a fault is armed: nth itself is not to be tested. */
static void prepare(struct action *action)
{
	if (!strcmp(action->verb, "write"))
		action->fd = open(action->what, O_WRONLY);
	else if (!strcmp(action->verb, "load"))
		action->fd = open(action->what, O_RDONLY);
	else
		return;
	if (action->fd < 0)
		fail(action->what);
}

static bool run(const struct action *action)
{
	if (!strcmp(action->verb, "write"))
		return write(action->fd, action->text, strlen(action->text)) > 0;
	if (!strcmp(action->verb, "load"))
		return !syscall(SYS_finit_module, action->fd, action->text, 0);
	if (!strcmp(action->verb, "unload"))
		return !syscall(SYS_delete_module, action->what, O_NONBLOCK);
	return true;
}

static void finish(struct action *action)
{
	if (action->fd >= 0)
		close(action->fd);
	action->fd = -1;
}

/* A module may still be let go of by somebody. */
static void undo(struct action *action)
{
	bool done = false;

	prepare(action);
	for (int i = 0; i < 500 && !done; i++) {
		done = run(action);
		if (!done)
			usleep(20000);
	}
	if (!done)
		fail("what was done stays");
	finish(action);
}

/*
 * Do it and let the allocation @nth fail. Returns how many more there would have had
 * to be for that: 0 if it has failed.
 */
static unsigned int run_faulty(struct action *action, unsigned int nth, bool *ok)
{
	int arm = open("/proc/self/fail-nth", O_RDWR);
	char text[16];
	ssize_t size;

	if (arm < 0)
		fail("/proc/self/fail-nth");
	prepare(action);
	size = snprintf(text, sizeof(text), "%u", nth);
	if (write(arm, text, size) != size)
		fail("fail-nth");
	*ok = run(action);
	size = pread(arm, text, sizeof(text) - 1, 0);
	if (size <= 0 || pwrite(arm, "0", 1, 0) != 1)
		fail("fail-nth");
	text[size] = 0;
	close(arm);
	finish(action);
	return strtoul(text, NULL, 10);
}

int main(int argc, char **argv)
{
	unsigned int step, nth, first = 1, runs = 0, done = 0;
	struct action action, back;
	bool ok;

	if (argc != 4 && argc != 5) {
		fprintf(stderr, "usage: nth STEP DO UNDO [BEFORE]\n");
		return 2;
	}
	step = strtoul(argv[1], NULL, 10);
	if (argc == 5) {
		parse(&action, argv[4]);
		first += ALL - run_faulty(&action, ALL, &ok);
	}
	parse(&action, argv[2]);
	parse(&back, argv[3]);
	for (nth = first; step && nth <= MOST; nth += step) {
		bool failed = !run_faulty(&action, nth, &ok);

		if (ok)
			undo(&back);
		if (!failed) {
			if (!ok)
				fail("it fails by itself");
			printf("%u allocations failed, %u times it was done all the same\n",
			       runs, done);
			return 0;
		}
		runs++;
		done += ok;
	}
	fprintf(stderr, "nth: %u runs were not enough\n", runs);
	return 1;
}
