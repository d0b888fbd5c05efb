// SPDX-License-Identifier: GPL-2.0
/* Memory of clients, and memory for clients. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "memory.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static bool own_read(struct memory *memory, uint64_t va, void *to, size_t len)
{
	(void)memory;
	memcpy(to, (const void *)(uintptr_t)va, len);
	return true;
}

static bool own_write(struct memory *memory, uint64_t va, const void *from, size_t len)
{
	(void)memory;
	memcpy((void *)(uintptr_t)va, from, len);
	return true;
}

struct memory *memory_own(void)
{
	static const struct memory_ops ops = { own_read, own_write, NULL };
	static struct memory own = { &ops };

	return &own;
}

/* The address of a shared range in this process; NULL when no share covers it all. */
static uint8_t *shared(const struct memory_peer *peer, uint64_t va, size_t len)
{
	for (unsigned int i = 0; i < peer->shares; i++) {
		const struct memory_share *share = &peer->share[i];

		if (va >= share->va && va - share->va < share->size &&
		    len <= share->size - (va - share->va))
			return share->here + (va - share->va);
	}
	return NULL;
}

static bool peer_read(struct memory *memory, uint64_t va, void *to, size_t len)
{
	const struct memory_peer *peer = (struct memory_peer *)memory;
	const struct iovec local = { to, len };
	const struct iovec remote = { (void *)(uintptr_t)va, len };
	const uint8_t *here = shared(peer, va, len);

	if (here) {
		memcpy(to, here, len);
		return true;
	}
	return process_vm_readv(peer->pid, &local, 1, &remote, 1, 0) == (ssize_t)len;
}

static bool peer_write(struct memory *memory, uint64_t va, const void *from, size_t len)
{
	const struct memory_peer *peer = (struct memory_peer *)memory;
	const struct iovec local = { (void *)(uintptr_t)from, len };
	const struct iovec remote = { (void *)(uintptr_t)va, len };
	uint8_t *here = shared(peer, va, len);

	if (here) {
		memcpy(here, from, len);
		return true;
	}
	return process_vm_writev(peer->pid, &local, 1, &remote, 1, 0) == (ssize_t)len;
}

static bool peer_present(struct memory *memory, uint64_t va, uint64_t size)
{
	uint8_t byte;

	return peer_read(memory, va, &byte, 1) && peer_read(memory, va + (size - 1), &byte, 1);
}

void memory_peer_init(struct memory_peer *peer, pid_t pid)
{
	static const struct memory_ops ops = { peer_read, peer_write, peer_present };

	*peer = (struct memory_peer){ .memory.ops = &ops, .pid = pid };
}

const char *memory_peer_share(struct memory_peer *peer, uint64_t va, uint64_t size, int fd,
			      uint64_t offset)
{
	struct stat status;
	int seals;
	void *here;

	if (!size || va + (size - 1) < va || offset + size < size)
		return "the range of the shared memory is empty or wraps";
	if (peer->shares == MEMORY_SHARES)
		return "too many ranges of shared memory";
	/* If the file shrank, an access would kill this process. */
	seals = fcntl(fd, F_GET_SEALS);
	if (seals < 0 || !(seals & F_SEAL_SHRINK))
		return "shared memory must be a memfd with F_SEAL_SHRINK";
	if (fstat(fd, &status) || (uint64_t)status.st_size < offset + size)
		return "the file is shorter than the shared memory";
	here = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
	if (here == MAP_FAILED)
		return "the shared memory could not be mapped";
	peer->share[peer->shares++] = (struct memory_share){ va, size, here };
	return NULL;
}

void memory_peer_fini(struct memory_peer *peer)
{
	while (peer->shares) {
		const struct memory_share *share = &peer->share[--peer->shares];

		munmap(share->here, share->size);
	}
}

void *memory_object(const char *name, uint64_t size, int *fd)
{
	void *here;
	int file;

	if (size > INT64_MAX)
		return NULL;
	file = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (file < 0)
		return NULL;
	if (ftruncate(file, (off_t)size) ||
	    fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
		goto close_file;
	here = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	if (here == MAP_FAILED)
		goto close_file;
	*fd = file;
	return here;

close_file:
	close(file);
	return NULL;
}

void memory_object_free(void *here, uint64_t size, int fd)
{
	if (!here)
		return;
	munmap(here, size);
	close(fd);
}
