/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stress module: the mapping engine against the fake host, no device.
 *
 * Guest memory is made up: addresses from STRESS_RAM on, where no machine has
 * any. The engine never follows one, and with a virtual memory map a struct
 * page is only arithmetic, so scatterlists can have them too.
 */
#ifndef APPLE_DMA_STRESS_H
#define APPLE_DMA_STRESS_H

#include <linux/scatterlist.h>

#include "fake-host.h"
#include "window.h"

#ifndef CONFIG_SPARSEMEM_VMEMMAP
#error the pages of made-up memory have to be mere arithmetic
#endif

#define STRESS_RAM		BIT_ULL(40)

#define PAGE			4096ULL
#define GRANULE			((u64)APPLE_DMA_GRANULE_SIZE)
#define KIB			1024ULL
#define MIB			(1024 * KIB)
#define GIB			(1024 * MIB)

#define ANY			U64_MAX	/* a DMA mask that reaches everything */

/* ---- module.c ---- */

extern struct device *stress_device;

/* A random number below @below. */
u64 stress_random(u64 *state, u64 below);

/* ---- fixture.c: an engine on a fake host, for the cases ---- */

/**
 * struct fixture - what a case works with
 * @e: an open engine in mode=cached that ages nothing
 * @host: its host
 * @ram: where it believes to have memory
 * @ram_ranges: how many
 * @doorbells: fixture_doorbells() has told of so many
 */
struct fixture {
	struct apple_dma_engine *e;
	struct fake_host *host;
	struct apple_dma_range ram[4];
	unsigned int ram_ranges;
	u64 doorbells;
};

/**
 * struct fixture_plan - what a case wants
 * @limits: of the engine; what is 0 is the default
 * @ram: pieces of memory, up to 4, in bytes, 1 GiB of nothing in between;
 *	1 GiB if there is none
 * @policy: of the host
 * @mode: of the engine
 */
struct fixture_plan {
	struct apple_dma_limits limits;
	u64 ram[4];
	enum fake_host_policy policy;
	enum apple_dma_mode mode;
};

/**
 * struct stress_case - one case of run=unit
 * @name: of the case
 * @run: 0, or an error after a line that says why
 * @plan: of the fixture that it gets
 */
struct stress_case {
	const char *name;
	int (*run)(struct fixture *f);
	struct fixture_plan plan;
};

#define CASE(function, ...)						\
	{ .name = #function, .run = function, .plan = { __VA_ARGS__ } }

int fixture_open(struct fixture *f, const struct fixture_plan *plan);
int fixture_close(struct fixture *f, int err);
u64 fixture_doorbells(struct fixture *f);
struct apple_dma_stats fixture_stats(struct fixture *f);
struct fake_host_counts fixture_counts(struct fixture *f);
int fixture_touch(struct fixture *f, u64 from);
bool fixture_right(struct fixture *f, u64 addr, u64 phys, u64 size);
struct scatterlist *fixture_list(u64 from, unsigned int n, u64 stride, u64 size);

#define CHECK(cond) do {						\
	if (!(cond)) {							\
		pr_err("apple_dma_stress: # %s, line %d: %s\n",		\
		       __func__, __LINE__, #cond);			\
		return -EINVAL;						\
	}								\
} while (0)

#define CHECK_EQ(found, wanted) do {					\
	u64 found__ = (found), wanted__ = (wanted);			\
									\
	if (found__ != wanted__) {					\
		pr_err("apple_dma_stress: # %s, line %d: %s is %llu, not %llu\n", \
		       __func__, __LINE__, #found, found__, wanted__);	\
		return -EINVAL;						\
	}								\
} while (0)

extern const struct stress_case doorbell_cases[];
extern const struct stress_case shape_cases[];
extern const struct stress_case mode_cases[];

/* ---- shadow.c: what one thread has mapped ---- */

#define SHADOW_LISTS		32U
#define SHADOW_LIST_MAX		96U

struct storm;

/**
 * struct shadow_map - one mapping
 * @phys: guest-physical address
 * @size: bytes
 * @addr: device address
 */
struct shadow_map {
	u64 phys;
	u64 size;
	u64 addr;
};

/**
 * struct shadow_list - one scatterlist; mapped if @n
 * @n: its entries
 * @sgl: the entries
 */
struct shadow_list {
	unsigned int n;
	struct scatterlist sgl[SHADOW_LIST_MAX];
};

/**
 * struct shadow - one thread of a storm, and all that it has mapped
 * @storm: the storm
 * @id: number of the thread
 * @seed: state of its random numbers
 * @ops: steps so far
 * @most: mappings it may have
 * @n: mappings it has, without lists
 * @maps: them
 * @lists: scatterlists
 * @mappings: mappings it has, with lists
 * @bytes: their bytes
 * @failed: maps refused
 * @done: mappings made so far
 * @scratch: ranges of the list that is being mapped
 */
struct shadow {
	struct storm *storm;
	unsigned int id;
	u64 seed;
	u64 ops;
	unsigned int most;
	unsigned int n;
	struct shadow_map *maps;
	struct shadow_list *lists;
	u64 mappings;
	u64 bytes;
	u64 failed;
	u64 done;
	struct apple_dma_range scratch[SHADOW_LIST_MAX];
};

int shadow_init(struct shadow *sh, struct storm *s, unsigned int id, u64 seed,
		unsigned int most);
void shadow_free(struct shadow *sh);
void shadow_step(struct shadow *sh);
void shadow_verify(struct shadow *sh);
void shadow_drop(struct shadow *sh, unsigned int leave);
void shadow_forget(struct shadow *sh);
u64 shadow_mark(struct shadow *sh, u64 mark);

/* ---- storm.c: threads, and what changes around them ---- */

#define STORM_CLUSTERS		32U

/**
 * struct storm - everything of run=storm
 * @e: the engine
 * @host: its host
 * @ram: pieces of memory, granules
 * @ram_ranges: how many
 * @clusters: where threads map most
 * @limits: of the engine
 * @shadows: the threads
 * @threads: how many
 * @seed: of everything
 * @mode: between meddlings; what the round began with
 * @meddled: the mode or the host's limits change while threads run
 * @hot: everybody wants the same few pages, and the meddler only flushes
 * @clean: nothing was mapped when @mode was set
 * @roomy: whatever is mapped, nothing may be refused
 * @alone: one thread, nothing meddles: what is refused can be checked exactly
 * @largest: longest range that is mapped, bytes
 * @wrong: something is; everybody stops
 * @marks: the last mark given to fake_host_mark()
 */
struct storm {
	struct apple_dma_engine *e;
	struct fake_host *host;
	struct apple_dma_range ram[3];
	unsigned int ram_ranges;
	u64 clusters[STORM_CLUSTERS];
	struct apple_dma_limits limits;
	struct shadow *shadows;
	unsigned int threads;
	u64 seed;
	enum apple_dma_mode mode;
	bool meddled;
	bool hot;
	bool clean;
	bool roomy;
	bool alone;
	u64 largest;
	bool wrong;
	u64 marks;
};

int storm_run(u64 seed, unsigned int threads, u64 ops, u64 rounds,
	      bool meddle);

/* One line, the first time; the storm ends. */
__printf(3, 4)
void storm_wrong(struct storm *s, const struct shadow *sh, const char *fmt, ...);

/* ---- truth.c: engine, host and shadows agree ---- */

void truth_check(struct storm *s);
void truth_check_refusal(struct shadow *sh, const struct apple_dma_range *r,
			 unsigned int n);

#endif /* APPLE_DMA_STRESS_H */
