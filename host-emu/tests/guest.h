/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A guest without QEMU, for tests of a companion: guest-memory.h over a few
 * regions, and a companion whose extension is in this process. It notes what
 * the companion did to both.
 */
#ifndef APPLE_DMA_TEST_GUEST_H
#define APPLE_DMA_TEST_GUEST_H

#include "companion/registers.h"
#include "dext/dext.h"

/* Its memory. What is not named here is not there. */
#define GUEST_LOW	UINT64_C(0)		/* RAM */
#define GUEST_LOW_SIZE	UINT64_C(0x10000)
#define GUEST_HOLE	UINT64_C(0x10000)	/* up to GUEST_HIGH */
#define GUEST_HIGH	UINT64_C(0x14000)	/* RAM, and ROM behind it */
#define GUEST_HIGH_SIZE	UINT64_C(0x8000)
#define GUEST_ROM	UINT64_C(0x1c000)
#define GUEST_ROM_SIZE	UINT64_C(0x4000)
#define GUEST_FAR	UINT64_C(0x100000000)	/* RAM that maps of any size fit into */
#define GUEST_FAR_SIZE	(UINT64_C(4) << 30)
#define GUEST_NEXT	(GUEST_FAR + GUEST_FAR_SIZE)	/* RAM, another region */
#define GUEST_NEXT_SIZE	UINT64_C(0x4000)

#define GUEST_REGIONS	128	/* most that can be registered at a time */

/** struct guest_region - what is registered */
struct guest_region {
	uint64_t handle;
	uint64_t size;
};

/** struct guest_answer - of the extension, to a map that it did */
struct guest_answer {
	uint64_t handle;
	uint64_t va;
	uint64_t size;
	uint64_t addr;
	uint64_t len;
};

struct guest;

/**
 * struct guest - the companion, and what was seen of it
 * @regs: the companion
 * @bdf: what its backend says
 * @live: what is registered
 * @live_count: of them
 * @peak: the most there were at a time
 * @calls: of the extension
 * @maps: calls that registered something
 * @unmaps: calls that ended something
 * @programs: calls of the backend's program
 * @last: the newest map
 * @wrote: for each write to guest memory, before it is done; may be NULL
 * @wrote_arg: for @wrote
 */
struct guest {
	struct backend backend;
	struct registers regs;
	struct dart *dart;
	struct dext *dext;
	struct dext_client *client;
	uint32_t bdf;
	struct guest_region live[GUEST_REGIONS];
	unsigned int live_count;
	unsigned int peak;
	uint64_t calls;
	uint64_t maps;
	uint64_t unmaps;
	uint64_t programs;
	struct guest_answer last;
	void (*wrote)(void *arg, uint64_t gpa, const void *from, size_t size);
	void *wrote_arg;
};

/**
 * guest_start() - memory of zeroes, and a companion as QEMU would make it
 * @config: of the DART; at most GUEST_REGIONS entries
 *
 * One at a time: guest memory has no name. Ended by guest_stop(). It ends the
 * process when there is no memory, or when the companion registers nothing.
 */
void guest_start(struct guest *guest, const struct dart_config *config);

/** guest_stop() - the companion goes, and what it registered; then the rest */
void guest_stop(struct guest *guest);

/** guest_at() - @size bytes of RAM or ROM for the guest itself; NULL if not in one region */
uint8_t *guest_at(uint64_t gpa, uint64_t size);

#endif
