/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Guest-physical memory, for the part of the companion that knows nothing of
 * QEMU. With QEMU's big lock held.
 */
#ifndef APPLE_DMA_GUEST_MEMORY_H
#define APPLE_DMA_GUEST_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** guest_memory_read() - @size bytes at @gpa; false when some are not there */
bool guest_memory_read(uint64_t gpa, void *buffer, size_t size);

/** guest_memory_write() - @size bytes to @gpa, as far as they are there */
void guest_memory_write(uint64_t gpa, const void *buffer, size_t size);

/**
 * guest_memory_find() - the host address of guest-physical memory
 * @gpa: its start
 * @len: its length in bytes
 *
 * All of it must be RAM (or ROM) in one region.
 * Return: 0 when it is not, or when @len is 0.
 */
uint64_t guest_memory_find(uint64_t gpa, uint64_t len);

/**
 * guest_memory_is_ram() - is all of it RAM in one region?
 * @writable: and no ROM either
 */
bool guest_memory_is_ram(uint64_t gpa, uint64_t len, bool writable);

#endif
