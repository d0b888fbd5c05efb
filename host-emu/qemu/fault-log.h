/* SPDX-License-Identifier: GPL-2.0 */
/* The faults of one DART, as lines of a file and as warnings. */
#ifndef APPLE_DMA_FAULT_LOG_H
#define APPLE_DMA_FAULT_LOG_H

#include <stdbool.h>
#include <stdint.h>

#define FAULT_LOG_MAX_LINES	10000
#define FAULT_LOG_MAX_WARNINGS	5

struct fault_log;

/** struct fault - one access that was not translated */
struct fault {
	uint64_t iova;
	uint8_t bus;
	uint8_t devfn;
	bool write;
};

/**
 * fault_log_open() - a log, emptying the file
 * @name: of the DART
 * @path: of the file, or NULL for warnings only
 * Return: NULL when the file cannot be written; errno says why.
 */
struct fault_log *fault_log_open(const char *name, const char *path);

/** fault_log_add() - one more fault; past the caps it is not written. Any thread. */
void fault_log_add(struct fault_log *log, const struct fault *fault);

/** fault_log_close() - NULL is allowed */
void fault_log_close(struct fault_log *log);

#endif
