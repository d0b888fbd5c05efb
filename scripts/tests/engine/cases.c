// SPDX-License-Identifier: GPL-2.0-only
/* The cases that a test can run. */

#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/jiffies.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "engine.h"
#include "memory.h"

/* In the first page of the DART, which it never hands out. */
#define NOWHERE		0x1000
#define PIECE		4096

static int run_transfers(struct engine *engine, unsigned int count, unsigned int seed)
{
	return engine_transfers(engine, count, seed, MEDDLE_NOT);
}

static int run_masks(struct engine *engine, unsigned int count, unsigned int seed)
{
	return engine_transfers(engine, count, seed, MEDDLE_MASK);
}

static int run_moves(struct engine *engine, unsigned int count, unsigned int seed)
{
	return engine_transfers(engine, count, seed, MEDDLE_MASK_AND_MOVE);
}

/* Raise a vector; one that is used is waited for each time. */
static int run_raise(struct engine *engine, unsigned int number, unsigned int times)
{
	struct engine_vector *vector;
	unsigned int i;
	int before, err = 0;

	CHECK(number < ENGINE_VECTORS);
	vector = &engine->vectors[number];
	before = atomic_read(&vector->count);
	for (i = 0; !err && i < times; i++) {
		engine_raise(engine, number);
		if (vector->requested)
			err = engine_wait(engine, number);
	}
	tell("interrupts=%d", atomic_read(&vector->count) - before);
	return err;
}

static bool soon(bool (*is)(struct engine *engine, unsigned int number), struct engine *engine,
		 unsigned int number)
{
	const unsigned long end = jiffies + 60 * HZ;

	while (!is(engine, number)) {
		if (time_after(jiffies, end))
			return false;
		usleep_range(100, 200);
	}
	return true;
}

static bool is_ended(struct engine *engine, unsigned int channel)
{
	return engine_state(engine, channel) != CHANNEL_RUNNING;
}

/* A transfer whose vector is masked raises no interrupt. */
static int end_masked(struct engine *engine, const struct engine_transfer *t)
{
	const struct engine_vector *vector = &engine->vectors[t->vector];
	const int before = atomic_read(&vector->count);

	engine_start(engine, t);
	CHECK(soon(is_ended, engine, t->channel));
	CHECK(engine_state(engine, t->channel) == CHANNEL_ENDED);
	CHECK(soon(engine_is_pending, engine, t->vector));
	CHECK(atomic_read(&vector->count) == before);
	return 0;
}

/* It fires when it is unmasked, and once. */
static int hold(struct engine *engine, const struct engine_transfer *t)
{
	struct engine_vector *vector = &engine->vectors[t->vector];
	const int before = atomic_read(&vector->count);
	int err;

	disable_irq(vector->irq);
	err = end_masked(engine, t);
	enable_irq(vector->irq);
	if (err)
		return err;
	CHECK(!engine_wait(engine, t->vector));
	CHECK(atomic_read(&vector->count) == before + 1);
	CHECK(!engine_is_pending(engine, t->vector));
	return 0;
}

static int run_held(struct engine *engine, unsigned int number, unsigned int times)
{
	struct engine_transfer t = { .vector = number, .length = PIECE };
	unsigned int i;
	int err = 0;
	void *p;

	/* Those that are masked in the device at once. */
	CHECK(number < ENGINE_VECTORS && engine->vectors[number].requested && number % 2 == 0);
	p = dma_alloc_coherent(engine->dev, PIECE, &t.bus, GFP_KERNEL);
	CHECK(p);
	memset(engine->shadow, 0, PIECE);
	for (i = 0; !err && i < times; i++)
		err = hold(engine, &t);
	dma_free_coherent(engine->dev, PIECE, p, t.bus);
	return err;
}

/* A transfer with an address that is not mapped; the device reports it. */
static int run_fault(struct engine *engine, unsigned int to_bus, unsigned int unused)
{
	const struct engine_transfer t = {
		.channel = 1, .vector = 1, .bus = NOWHERE, .length = PIECE, .to_bus = to_bus,
	};

	engine_start(engine, &t);
	CHECK(!engine_wait(engine, t.vector));
	CHECK(engine_state(engine, t.channel) == CHANNEL_FAILED);
	CHECK(engine_error(engine, t.channel) == CHANNEL_DMA_FAULT);
	CHECK(engine_fault(engine, t.channel) == NOWHERE);
	return 0;
}

/*
 * A driver's mistake: it unmaps while the device still writes. The device holds the
 * transfer until the host has unregistered something (hold=on), so that its access
 * comes after that.
 */
static int run_early(struct engine *engine, unsigned int unused, unsigned int unused_too)
{
	struct engine_transfer t = { .channel = 2, .vector = 2, .length = PIECE, .to_bus = true };
	void *p = kzalloc(PIECE, GFP_KERNEL);
	int err;

	CHECK(p);
	t.bus = dma_map_single(engine->dev, p, PIECE, DMA_FROM_DEVICE);
	if (dma_mapping_error(engine->dev, t.bus)) {
		kfree(p);
		return -ENOMEM;
	}
	engine_start(engine, &t);
	dma_unmap_single(engine->dev, t.bus, PIECE, DMA_FROM_DEVICE);
	err = engine_wait(engine, t.vector);
	kfree(p);
	CHECK(!err);
	CHECK(engine_state(engine, t.channel) == CHANNEL_FAILED);
	CHECK(engine_error(engine, t.channel) == CHANNEL_DMA_FAULT);
	CHECK(engine_fault(engine, t.channel) == t.bus);
	return 0;
}

static const struct {
	const char *name;
	int (*fn)(struct engine *engine, unsigned int a, unsigned int b);
} cases[] = {
	{ "transfers", run_transfers },
	{ "masks", run_masks },
	{ "moves", run_moves },
	{ "raise", run_raise },
	{ "held", run_held },
	{ "fault", run_fault },
	{ "early", run_early },
	{ "chunks", engine_chunks },
	{ "pages", engine_pages },
	{ "table", engine_table },
	{ "refused", engine_refused },
	{ "again", engine_again },
	{ "reach", engine_reach },
	{ "peer", engine_peer },
	{ "drop", engine_drop },
	{ "export", engine_export },
	{ "verify", engine_verify },
	{ "unexport", engine_unexport },
	{ "import", engine_import },
	{ "detach", engine_detach },
};

int engine_run(struct engine *engine, const char *name, unsigned int a, unsigned int b)
{
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		if (strcmp(cases[i].name, name))
			continue;
		err = cases[i].fn(engine, a, b);
		tell("%s - %s", err ? "not ok" : "ok", name);
		return err;
	}
	complain("there is no case '%s'", name);
	return -ENOENT;
}
