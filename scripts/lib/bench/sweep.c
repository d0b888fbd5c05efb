// SPDX-License-Identifier: GPL-2.0-only
/*
 * sweep DISK MIB COUNT ORDER - read COUNT blocks of 4 KiB from DISK without the
 * page cache into a buffer of MIB: into its pages one after the other (ORDER
 * up) or at random (ORDER random). Runs in the guest.
 */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BLOCK	4096

static uint64_t next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

int main(int argc, char **argv)
{
	uint64_t pages, count, i, at, state = 88172645463325252ULL;
	char *buffer;
	int disk;

	if (argc != 5) {
		fprintf(stderr, "usage: sweep DISK MIB COUNT up|random\n");
		return 2;
	}
	pages = strtoull(argv[2], NULL, 0) * 256;
	count = strtoull(argv[3], NULL, 0);
	disk = open(argv[1], O_RDONLY | O_DIRECT);
	if (disk < 0) {
		perror(argv[1]);
		return 1;
	}
	buffer = mmap(NULL, pages * BLOCK, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (buffer == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	for (i = 0; i < count; i++) {
		at = (strcmp(argv[4], "random") ? i : next(&state)) % pages;
		if (pread(disk, buffer + at * BLOCK, BLOCK, (off_t)i * BLOCK) != BLOCK) {
			perror("pread");
			return 1;
		}
	}
	return 0;
}
