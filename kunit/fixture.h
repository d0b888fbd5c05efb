/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What most cases start with: an engine on a fake host, in made-up memory.
 *
 * Guest memory is made up: addresses from FAKE_RAM on, where no machine has
 * any. The engine never follows one, and a struct page of it is only
 * arithmetic, so scatterlists can have them too.
 */
#ifndef APPLE_DMA_FIXTURE_H
#define APPLE_DMA_FIXTURE_H

#include <linux/scatterlist.h>

#include "check.h"
#include "fake-host.h"
#include "rooms.h"

#if !defined(CONFIG_SPARSEMEM_VMEMMAP) && !defined(CONFIG_FLATMEM)
#error the pages of made-up memory have to be mere arithmetic
#endif

#define FAKE_RAM		BIT_ULL(40)

#define PAGE			4096ULL
#define GRANULE			((u64)APPLE_DMA_GRANULE_SIZE)
#define KIB			1024ULL
#define MIB			(1024 * KIB)
#define GIB			(1024 * MIB)

#define ANY			U64_MAX	/* a DMA mask that reaches everything */

/* Most steps while a lock is held: fixture_holds(). */
#define FIXTURE_STEPS_MAX	800

/* What a case may leave to fixture_close() to free. */
#define FIXTURE_MEMORY		8

/**
 * struct fixture - what a case works with
 * @test: the case
 * @ad: a companion without a PCI function, for what needs one
 * @e: its engine; open, in mode=cached, and ages nothing
 * @host: its host
 * @ram: where it believes to have memory
 * @ram_ranges: how many
 * @doorbells: how many fixture_doorbells() has reported
 * @stats: of fixture_stats()
 * @memory: of fixture_memory()
 * @lost: allocations that the driver's files had before the case
 * @sibling: a second one of the case, or NULL
 */
struct fixture {
	struct kunit *test;
	struct apple_dma *ad;
	struct apple_dma_engine *e;
	struct fake_host *host;
	struct apple_dma_range ram[4];
	unsigned int ram_ranges;
	u64 doorbells;
	struct apple_dma_stats stats;
	void *memory[FIXTURE_MEMORY];
	long lost;
	struct fixture *sibling;
};

/**
 * struct fixture_plan - what a case needs
 * @limits: of the engine; what is 0 is the default
 * @ram: pieces of memory, up to 4, in bytes, 1 GiB of nothing in between;
 *	1 GiB if there is none
 * @policy: of the host
 * @mode: of the engine
 * @leftovers: an earlier kernel may have left something on the host
 * @real: the guest's own memory, none is made up
 * @with: the case's first fixture, of a second one: both engines share a budget, and
 *	both hosts share the bytes that the platform has
 * @apart: they share neither
 */
struct fixture_plan {
	struct apple_dma_limits limits;
	u64 ram[4];
	enum fake_host_policy policy;
	enum apple_dma_mode mode;
	bool leftovers;
	bool real;
	struct fixture *with;
	bool apart;
};

/* A fixture for this case, with fields of struct fixture_plan that differ. */
#define fixture_open(test, ...)						\
	fixture_new(test, &(const struct fixture_plan){ __VA_ARGS__ })

/* Names engines in the log; made by the module. */
extern struct device *fixture_device;

struct fixture *fixture_new(struct kunit *test, const struct fixture_plan *plan);
void fixture_close(struct kunit *test);
void fixture_end(struct fixture *f);
void *fixture_memory(struct fixture *f, size_t size);
u64 fixture_doorbells(struct fixture *f);
void fixture_holds(struct fixture *f);
const struct apple_dma_stats *fixture_stats(struct fixture *f);
struct fake_host_counts fixture_counts(struct fixture *f);
dma_addr_t fixture_map(struct fixture *f, u64 from, u64 size);
int fixture_unmap(struct fixture *f, dma_addr_t addr, u64 size);
void fixture_touch(struct fixture *f, u64 from);
void fixture_row(struct fixture *f, u64 from, unsigned int n);
void fixture_free_memory(struct fixture *f);
void fixture_sleep(struct fixture *f);
bool fixture_wake(struct fixture *f);
bool fixture_right(struct fixture *f, u64 addr, u64 phys, u64 size);
struct scatterlist *fixture_list(struct fixture *f, u64 from, unsigned int n,
				 u64 stride, u64 size);

#endif /* APPLE_DMA_FIXTURE_H */
