/* SPDX-License-Identifier: GPL-2.0 */
/* Guest memory as this process sees it: the address space of the DARTs' targets. */
#ifndef APPLE_DMA_HOST_MEMORY_H
#define APPLE_DMA_HOST_MEMORY_H

#include "compat.h"

/**
 * host_memory_space() - an address space in which RAM is at its host address
 *
 * It is shared by all DARTs, and is empty but for what guest_memory_find() has
 * found so far. With the big lock held.
 */
AddressSpace *host_memory_space(void);

#endif
