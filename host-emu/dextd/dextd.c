// SPDX-License-Identifier: GPL-2.0
/* dextd: the driver extensions of some physical devices, as a process. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/protocol.h"
#include "server.h"
#include "unit.h"

static struct unit units[PROTOCOL_MAX_SERVICES];
static unsigned int unit_count;
static struct server *volatile server;	/* for the signal handler; NULL when there is none */
static volatile sig_atomic_t ended, wanted;

static void say(const char *text)
{
	fprintf(stderr, "dextd: %s\n", text);
}

static void usage(FILE *to)
{
	fprintf(to, "usage: dextd --socket PATH --device MODEL[,KEY=VALUE]... [--device ...]\n"
		    "             [--stats FILE]\n"
		    "models: nvme, dma-engine; keys:\n%s", options_help());
}

static bool add_device(const char *text)
{
	char why[1024];
	struct unit *unit = &units[unit_count];

	if (unit_count == PROTOCOL_MAX_SERVICES) {
		fprintf(stderr, "dextd: at most %d devices\n", PROTOCOL_MAX_SERVICES);
		return false;
	}
	unit_count++;
	if (!unit_create(unit, text, why, sizeof(why))) {
		fprintf(stderr, "dextd: --device %s: %s\n", text, why);
		return false;
	}
	for (unsigned int i = 0; i + 1 < unit_count; i++) {
		if (units[i].options.bdf >> 8 == unit->options.bdf >> 8 &&
		    !strcmp(units[i].options.root, unit->options.root) &&
		    unit->dev->beside == unit->dev)
			physical_join(unit->dev, units[i].dev);
		if (units[i].options.bdf != unit->options.bdf ||
		    strcmp(units[i].options.root, unit->options.root))
			continue;
		fprintf(stderr, "dextd: --device %s: two devices cannot have one bdf and root\n",
			text);
		return false;
	}
	return true;
}

static void write_unit(FILE *to, const struct unit *unit)
{
	const uint16_t bdf = unit->options.bdf;
	char panic[PANIC_TEXT];
	struct dext_totals totals;
	struct dart_usage dart;
	uint64_t raised = 0;

	dext_get_totals(unit->dext, &totals);
	dart_get_usage(unit->dart, &dart);
	panic_json(&totals.panic, panic);
	for (unsigned int i = 0; i < unit->dev->vectors; i++)
		raised += unit->dev->raised[i];
	fprintf(to, "{\"model\": \"%s\", \"bdf\": \"%02x:%02x.%x\"",
		device_models.name[unit->options.model], bdf >> 8, bdf >> 3 & 31, bdf & 7);
	fprintf(to, ", \"calls\": %" PRIu64 ", \"raised\": %" PRIu64 ", \"pended\": %" PRIu64
		", \"merged\": %" PRIu64 ", \"dropped\": %" PRIu64 ", \"completed\": %" PRIu64,
		totals.calls, raised, totals.interrupts.pended, totals.interrupts.merged,
		totals.interrupts.dropped, totals.interrupts.completed);
	fprintf(to, ", \"function_resets\": %" PRIu64 ", \"hot_resets\": %" PRIu64
		", \"mapped\": %" PRIu64 ", \"write_combined\": %" PRIu64,
		unit->dev->function_resets, unit->dev->hot_resets, totals.mapped,
		totals.write_combined);
	fprintf(to, ", \"dart_entries\": %" PRIu64 ", \"dart_bytes\": %" PRIu64
		", \"read_faults\": %" PRIu64 ", \"write_faults\": %" PRIu64
		", \"modelled_us\": %" PRIu64 ", %s", dart.entries, dart.bytes, dart.read_faults,
		dart.write_faults, totals.modelled_ns / 1000, panic);
	if (unit->dev->ops->stats)
		unit->dev->ops->stats(unit->dev, to);
	fputs("}", to);
}

/* Write under another name and rename it: a reader never sees half a file. */
static bool write_stats(const char *path)
{
	char part[4096];
	FILE *to;
	bool ok;

	snprintf(part, sizeof(part), "%s.part", path);
	to = fopen(part, "we");
	if (!to) {
		fprintf(stderr, "dextd: --stats %s: %s\n", path, strerror(errno));
		return false;
	}
	fputs("{\"devices\": [", to);
	for (unsigned int i = 0; i < unit_count; i++) {
		fputs(i ? ",\n" : "", to);
		write_unit(to, &units[i]);
	}
	fputs("]}\n", to);
	ok = !ferror(to);
	return !fclose(to) && ok && !rename(part, path);
}

static void on_signal(int signal)
{
	if (signal == SIGUSR1)
		wanted = 1;
	else
		ended = 1;
	if (server)
		server_stop(server);
}

static bool serve(const char *path, const char *stats)
{
	/* SA_RESTART: a signal does not cut a write short. */
	const struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct server *done;
	char why[512];
	bool ok;

	server = server_create(path, why, sizeof(why));
	if (!server) {
		say(why);
		return false;
	}
	server_set_log(server, say);
	for (unsigned int i = 0; i < unit_count; i++)
		server_add(server, units[i].dext, units[i].dev, units[i].options.root);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGUSR1, &action, NULL);
	fprintf(stderr, "dextd: listening at %s\n", path);
	do {
		ok = server_run(server);
		if (!wanted)
			continue;
		/* Clear it first: another signal may come during the write. */
		wanted = 0;
		if (stats)
			write_stats(stats);
	} while (ok && !ended);
	if (!ok)
		say(strerror(errno));
	/* Clear it before it is destroyed: a signal may still come. */
	done = server;
	server = NULL;
	server_destroy(done);
	return ok;
}

static bool start(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "socket", required_argument, NULL, 's' },
		{ "device", required_argument, NULL, 'd' },
		{ "stats", required_argument, NULL, 't' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const char *path = NULL, *stats = NULL;
	int option;
	bool ok;

	while ((option = getopt_long(argc, argv, "", longs, NULL)) >= 0) {
		if (option == 's') {
			path = optarg;
		} else if (option == 't') {
			stats = optarg;
		} else if (option == 'h') {
			usage(stdout);
			return true;
		} else if (option != 'd') {
			usage(stderr);
			return false;
		} else if (!add_device(optarg)) {
			return false;
		}
	}
	if (!path || !unit_count || optind != argc) {
		usage(stderr);
		return false;
	}
	ok = serve(path, stats);
	return (!stats || write_stats(stats)) && ok;
}

int main(int argc, char **argv)
{
	const bool ok = start(argc, argv);

	for (unsigned int i = 0; i < unit_count; i++)
		unit_destroy(&units[i]);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
