/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where a companion registers memory: with the extension in this process, or
 * with one at the other end of a connection. It knows nothing of QEMU.
 */
#ifndef APPLE_DMA_BACKEND_H
#define APPLE_DMA_BACKEND_H

#include <stdbool.h>
#include <stdint.h>

#include <IOKit/IOReturn.h>
#include <stdint.h>

/**
 * struct backend_usage - what is registered now, and the faults of the device
 * @regions: registered through this companion
 * @bytes: their sizes, as asked for
 * @dart_entries: of the whole DART
 * @dart_bytes: the same
 * @read_faults: of the device
 * @write_faults: the same
 * @enforced: do accesses fault that no registration covers?
 * @dart_unknown: what the DART and the extension count is not known here: the four
 *	before @enforced, and @modelled_us
 * @modelled_us: what the extension's calls would take on a Mac, in microseconds
 */
struct backend_usage {
	uint64_t regions;
	uint64_t bytes;
	uint64_t dart_entries;
	uint64_t dart_bytes;
	uint64_t read_faults;
	uint64_t write_faults;
	bool enforced;
	bool dart_unknown;
	uint64_t modelled_us;
};

struct backend;

/**
 * struct backend_ops - all of them with QEMU's big lock held
 * @map: register @size bytes at @va; sets where the device finds them, and how
 *	many. An IOReturn
 * @unmap: of a handle; an IOReturn
 * @other: the device address of some registration with another handle; false
 *	when there is none
 * @usage: for statistics
 * @program: the guest has given the companion a command page; may be NULL
 * @managed_bdf: of the device, as the guest numbers it now
 * @release: end all registrations and free the backend
 */
struct backend_ops {
	IOReturn (*map)(struct backend *backend, uint64_t handle, uint64_t va, uint64_t size,
			uint64_t *addr, uint64_t *len);
	IOReturn (*unmap)(struct backend *backend, uint64_t handle);
	bool (*other)(struct backend *backend, uint64_t handle, uint64_t *addr);
	void (*usage)(struct backend *backend, struct backend_usage *usage);
	void (*program)(struct backend *backend);
	uint32_t (*managed_bdf)(struct backend *backend);
	void (*release)(struct backend *backend);
};

/** struct backend - first member of what has the state */
struct backend {
	const struct backend_ops *ops;
};

#endif
