/* SPDX-License-Identifier: GPL-2.0 */
/* What this IOKit can do beside macOS's. A client library must not need it. */
#ifndef APPLE_DMA_IOKIT_LINUX_H
#define APPLE_DMA_IOKIT_LINUX_H

#include <IOKit/IOKitLib.h>

/**
 * iokit_share_memory() - a range of this process's memory is that of a file
 * @va: where it is mapped here
 * @fd: a memfd with F_SEAL_SHRINK; not kept
 * @offset: of the range in the file
 *
 * dextd then maps it and its devices reach it without a system call. Nothing
 * else changes: without it, or when it fails, dextd reads and writes this
 * process's memory. QEMU does not use it: a guest's RAM is no such file.
 */
kern_return_t iokit_share_memory(io_connect_t connect, uint64_t va, uint64_t size, int fd,
				 uint64_t offset);

#endif
