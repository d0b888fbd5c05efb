// SPDX-License-Identifier: GPL-2.0
/* One line for each fault: DART, device, direction, IOVA. */
#include "qemu/osdep.h"
#include "qemu/error-report.h"

#include "fault-log.h"

struct fault_log {
	char *name;
	FILE *file;
	GMutex lock;		/* for the counters, and to write whole lines */
	unsigned int lines;
	unsigned int warnings;
};

struct fault_log *fault_log_open(const char *name, const char *path)
{
	FILE *file = NULL;
	struct fault_log *log;

	if (path) {
		file = fopen(path, "we");
		if (!file)
			return NULL;
	}
	log = g_new0(struct fault_log, 1);
	log->name = g_strdup(name);
	log->file = file;
	g_mutex_init(&log->lock);
	return log;
}

void fault_log_add(struct fault_log *log, const struct fault *fault)
{
	char line[160];

	snprintf(line, sizeof(line), "%s %02x:%02x.%x %s iova=0x%016" PRIx64, log->name, fault->bus,
		 fault->devfn >> 3, fault->devfn & 7, fault->write ? "write" : "read", fault->iova);
	g_mutex_lock(&log->lock);
	if (log->file && log->lines < FAULT_LOG_MAX_LINES) {
		log->lines++;
		fprintf(log->file, "%s\n", line);
		fflush(log->file);
	}
	if (log->warnings < FAULT_LOG_MAX_WARNINGS) {
		const char *end = "";

		if (++log->warnings == FAULT_LOG_MAX_WARNINGS)
			end = " (further ones are only counted)";
		warn_report("DART fault: %s%s", line, end);
	}
	g_mutex_unlock(&log->lock);
}

void fault_log_close(struct fault_log *log)
{
	if (!log)
		return;
	if (log->file)
		fclose(log->file);
	g_mutex_clear(&log->lock);
	g_free(log->name);
	g_free(log);
}
