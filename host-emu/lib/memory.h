/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory that a client registers: addresses of a process, this one or another.
 * A mapping of the DART has one of these as its owner.
 */
#ifndef APPLE_DMA_MEMORY_H
#define APPLE_DMA_MEMORY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MEMORY_SHARES	64	/* of one client */

struct memory;

/**
 * struct memory_ops - how it is reached
 * @read: copy from @va; false when some of it is not there
 * @write: copy to @va
 * @present: can the range be registered? Looks at its ends; NULL is always
 */
struct memory_ops {
	bool (*read)(struct memory *memory, uint64_t va, void *to, size_t len);
	bool (*write)(struct memory *memory, uint64_t va, const void *from, size_t len);
	bool (*present)(struct memory *memory, uint64_t va, uint64_t size);
};

/** struct memory - embedded in what has the state */
struct memory {
	const struct memory_ops *ops;
};

/** struct memory_share - a range that is mapped in this process, too */
struct memory_share {
	uint64_t va;
	uint64_t size;
	uint8_t *here;
};

/**
 * struct memory_peer - the memory of another process
 * @pid: it
 * @share: ranges that need no system call, in the order in which they were shared
 * @shares: how many there are
 */
struct memory_peer {
	struct memory memory;
	pid_t pid;
	struct memory_share share[MEMORY_SHARES];
	unsigned int shares;
};

/** memory_own() - the memory of this process */
struct memory *memory_own(void);

/** memory_peer_init() - of a process that may be read and written by this one */
void memory_peer_init(struct memory_peer *peer, pid_t pid);

/**
 * memory_peer_share() - map a shared range of it here
 * @fd: the file, sealed so that it cannot shrink; not kept
 *
 * Return: NULL, or a sentence that says what is wrong.
 */
const char *memory_peer_share(struct memory_peer *peer, uint64_t va, uint64_t size, int fd,
			      uint64_t offset);

/** memory_peer_fini() - unmap what was shared */
void memory_peer_fini(struct memory_peer *peer);

/**
 * memory_object() - memory that can be given to a client
 * @fd: set to its file, which can neither grow nor shrink
 *
 * Return: where it is mapped here, zeroed; NULL without memory.
 */
void *memory_object(const char *name, uint64_t size, int *fd);

/** memory_object_free() - unmap and close; NULL is allowed */
void memory_object_free(void *here, uint64_t size, int fd);

#endif
