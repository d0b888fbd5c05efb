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

/**
 * iokit_discard_memory() - this process gave memory back, and will find other memory there
 * @va: its address
 * @size: bytes; only whole pages of 16 KiB count
 *
 * A Mac keeps the pages that are registered, so that the device reaches the old ones. dextd
 * cannot see it by itself: an access of a device faults there until the memory is registered again.
 */
kern_return_t iokit_discard_memory(io_connect_t connect, uint64_t va, uint64_t size);

#endif
