/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The stress module: the mapping engine against the fake host, no device, in
 * memory that is made up (kunit/fixture.h).
 */
#ifndef APPLE_DMA_STRESS_H
#define APPLE_DMA_STRESS_H

#include "fixture.h"

/*
 * If the handle of a range is taken, the engine tries so many granules in front of it:
 * a few in any case, more if there is room.
 */
#define HANDLE_FEW		64
#define HANDLE_TRIES		512

/* ---- module.c ---- */

/* A random number below @below. */
u64 stress_random(u64 *state, u64 below);

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
 * @budget: of the engine, and of that of @twin
 * @twin: another storm at the same time, on an engine and a host of its own that
 *	share the bytes with these; or NULL
 * @other: @twin, or the storm whose twin this is; or NULL
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
 * @fickle: the host refuses at random
 * @alone: one thread, nothing meddles: what is refused can be checked exactly
 * @largest: longest range that is mapped, bytes
 * @wrong: something is; everybody stops
 * @marks: the last mark given to fake_host_mark()
 */
struct storm {
	struct apple_dma_engine *e;
	struct fake_host *host;
	struct apple_dma_budget budget;
	struct storm *twin;
	struct storm *other;
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
	bool fickle;
	bool alone;
	u64 largest;
	bool wrong;
	u64 marks;
};

int storm_run(u64 seed, unsigned int threads, u64 ops, u64 rounds,
	      bool meddle, bool twin);

void storm_let_time_pass(struct storm *s);

/* One line, the first time; the storm ends. */
__printf(3, 4)
void storm_wrong(struct storm *s, const struct shadow *sh, const char *fmt, ...);

/* ---- truth.c: engine, host and shadows agree ---- */

void truth_check(struct storm *s);
void truth_check_refusal(struct shadow *sh, const struct apple_dma_range *r,
			 unsigned int n);

/* ---- hold.c: how long the lock is held ---- */

extern struct kunit_suite hold_suite;

#endif /* APPLE_DMA_STRESS_H */
