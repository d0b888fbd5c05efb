// SPDX-License-Identifier: GPL-2.0-only
/*
 * mapbench SECONDS THREADS... - have the kernel's dma_map_benchmark map and
 * unmap a page for SECONDS, once for each number of threads, and print the
 * averages in the unit of that driver, 100 ns. Runs in the guest.
 */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define FILE_NAME	"/sys/kernel/debug/dma_map_benchmark"

/* What the driver reads and writes: its interface to user space. */
struct request {
	uint64_t map_100ns, map_deviation;
	uint64_t unmap_100ns, unmap_deviation;
	uint32_t threads, seconds;
	int32_t node;		/* -1: any */
	uint32_t dma_bits;
	uint32_t direction;	/* 0: both */
	uint32_t transfer_ns;	/* between map and unmap */
	uint32_t pages;
	uint8_t reserved[76];
};

_Static_assert(sizeof(struct request) == 136, "not what the driver expects");

#define RUN	_IOWR('d', 1, struct request)

int main(int argc, char **argv)
{
	int file, i;

	if (argc < 3) {
		fprintf(stderr, "usage: mapbench SECONDS THREADS...\n");
		return 2;
	}
	file = open(FILE_NAME, O_RDWR);
	if (file < 0) {
		perror(FILE_NAME);
		return 1;
	}
	for (i = 2; i < argc; i++) {
		struct request request = {
			.threads = strtoul(argv[i], NULL, 0),
			.seconds = strtoul(argv[1], NULL, 0),
			.node = -1,
			.dma_bits = 64,
			.pages = 1,
		};

		if (ioctl(file, RUN, &request)) {
			perror("DMA_MAP_BENCHMARK");
			return 1;
		}
		printf("threads%u %llu %llu %llu %llu\n", request.threads,
		       (unsigned long long)request.map_100ns,
		       (unsigned long long)request.map_deviation,
		       (unsigned long long)request.unmap_100ns,
		       (unsigned long long)request.unmap_deviation);
	}
	return 0;
}
