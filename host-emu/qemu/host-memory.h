/* SPDX-License-Identifier: GPL-2.0 */
/* Guest memory as this process sees it: the address space of the DARTs' targets. */
#ifndef APPLE_DMA_HOST_MEMORY_H
#define APPLE_DMA_HOST_MEMORY_H

#include "compat.h"

/**
 * host_memory_space() - an address space in which RAM is at its host address
 *
 * It is shared by all DARTs, and is empty but for what host_memory_find() has
 * found so far. With the big lock held.
 */
AddressSpace *host_memory_space(void);

/**
 * host_memory_find() - the host address of guest-physical memory
 * @gpa: its start
 * @len: its length in bytes
 *
 * All of it must be RAM (or ROM) in one region. The memory is then part of
 * host_memory_space(). With the big lock held.
 * Return: 0 when it is not, or when @len is 0.
 */
uint64_t host_memory_find(hwaddr gpa, uint64_t len);

/**
 * host_memory_is_ram() - is all of it RAM in one region?
 * @writable: and no ROM either
 */
bool host_memory_is_ram(hwaddr gpa, uint64_t len, bool writable);

#endif
