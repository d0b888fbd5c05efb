/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a companion does: its registers, and a batch for each doorbell. It
 * knows nothing of QEMU; guest memory is guest-memory.h, the extension a
 * backend.
 */
#ifndef APPLE_DMA_REGISTERS_H
#define APPLE_DMA_REGISTERS_H

#include "backend.h"
#include "lie.h"
#include "stats.h"
#include "wire.h"

/**
 * struct registers - a companion
 * @backend: where it registers memory; NULL when it was pulled out: registers
 *	read as all ones, and nothing else happens
 * @layout: of the map entries
 * @version: register VERSION
 * @batch_entries: register MAX_ENTRIES
 * @bdf_fixed: register MANAGED_BDF is @bdf, whatever the backend knows
 * @bdf: when @bdf_fixed
 * @latency_us: that each call of the extension takes longer
 * @lie: how it answers wrongly
 * @cmd_gpa: of the command page; a reset does not clear it
 * @status: register STATUS; a reset does not clear it
 * @stats: what it counted
 * @later: registers_later() has something to do
 */
struct registers {
	struct backend *backend;
	enum wire_layout layout;
	uint32_t version;
	uint32_t batch_entries;
	bool bdf_fixed;
	uint32_t bdf;
	uint32_t latency_us;
	struct lie lie;
	uint64_t cmd_gpa;
	uint32_t status;
	struct companion_stats stats;
	bool later;
};

/** registers_read() - of 32 bits at an aligned @offset; what is not there is 0 */
uint32_t registers_read(struct registers *regs, uint64_t offset);

/** registers_write() - the same; DOORBELL processes a batch before it returns */
void registers_write(struct registers *regs, uint64_t offset, uint32_t value);

/** registers_doorbell() - process the batch that the command page describes; with a backend */
void registers_doorbell(struct registers *regs);

/**
 * registers_later() - what a lying host does after a doorbell has returned
 *
 * To be called LIE_LATER_MS after the last write that left @later set.
 */
void registers_later(struct registers *regs);

#endif
