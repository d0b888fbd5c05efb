// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random transfers, against a shadow of the device's buffer. Each channel has a
 * thread, which makes up memory, maps it in one of the ways drivers have, lets
 * the device copy between it and a part of the buffer that no other thread uses
 * then, and compares: the memory, what is around it, and the buffer itself.
 */

#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/jiffies.h>
#include <linux/kthread.h>
#include <linux/prandom.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "engine.h"

#define LONGEST		(256U << 10)
#define BLOCK_ORDER	(get_order(2 * LONGEST))
#define BLOCK_BYTES	(2U * LONGEST)
#define PIECES		16
#define GUARD		64U
#define GUARD_BYTE	0x5a

enum kind { KIND_SINGLE, KIND_PAGE, KIND_COHERENT, KIND_LIST, KINDS };

/* Memory that is contiguous, with guards before and after it. */
struct piece {
	u8 *va;
	u32 length;
	u32 before;
	u32 after;
};

/* The command for the device. */
struct extent {
	dma_addr_t bus;
	u32 length;
};

/**
 * struct worker - the thread of a channel
 * @engine: the device
 * @channel: of it, and of this thread alone
 * @random: what it makes everything of
 * @done: the thread has ended
 * @left: transfers to do
 * @bytes: moved
 * @err: what has ended it early
 * @block: contiguous memory
 * @pages: of lists
 * @check: for what is read from the buffer
 * @kind: of memory, and all that follows: of the present round
 * @to_bus: from the buffer to the memory
 * @direction: that the memory is mapped for
 * @range: of the buffer, which the channel has for itself
 * @pieces: the memory
 * @list: the same, as a scatterlist
 * @extents: the same, as it is mapped
 * @piece_count: of @pieces
 * @extent_count: of @extents
 */
struct worker {
	struct engine *engine;
	unsigned int channel;
	struct rnd_state random;
	struct completion done;
	unsigned int left;
	u64 bytes;
	int err;

	struct page *block;
	struct page *pages[PIECES];
	u8 *check;

	enum kind kind;
	bool to_bus;
	enum dma_data_direction direction;
	struct engine_range *range;
	struct piece pieces[PIECES];
	struct scatterlist list[PIECES];
	struct extent extents[PIECES];
	unsigned int piece_count;
	unsigned int extent_count;
};

static u32 below(struct worker *w, u32 limit)
{
	return prandom_u32_state(&w->random) % limit;
}

/* Short ones as often as long ones. */
static u32 some_length(struct worker *w, u32 longest)
{
	return 1 + below(w, min(longest, 1U << below(w, ilog2(LONGEST) + 1)));
}

/* ---- memory ---- */

static int make_coherent(struct worker *w)
{
	struct piece *piece = &w->pieces[0];

	piece->length = some_length(w, LONGEST);
	piece->before = 0;
	piece->after = 0;
	piece->va = dma_alloc_coherent(w->engine->dev, piece->length, &w->extents[0].bus,
				       GFP_KERNEL);
	w->extents[0].length = piece->length;
	return piece->va ? 0 : -ENOMEM;
}

static void make_block(struct worker *w)
{
	struct piece *piece = &w->pieces[0];

	piece->length = some_length(w, LONGEST);
	piece->before = GUARD;
	piece->after = GUARD;
	piece->va = page_address(w->block);
	piece->va += GUARD + below(w, BLOCK_BYTES - 2 * GUARD - piece->length + 1);
}

static void make_list(struct worker *w)
{
	unsigned int i;

	w->piece_count = 1 + below(w, min_t(unsigned int, w->left, PIECES));
	sg_init_table(w->list, w->piece_count);
	for (i = 0; i < w->piece_count; i++) {
		const u32 length = some_length(w, PAGE_SIZE);
		const u32 offset = below(w, PAGE_SIZE - length + 1);

		w->pieces[i] = (struct piece){
			.va = (u8 *)page_address(w->pages[i]) + offset, .length = length,
			.before = min(GUARD, offset),
			.after = min_t(u32, GUARD, PAGE_SIZE - offset - length),
		};
		sg_set_page(&w->list[i], w->pages[i], length, offset);
	}
}

static int make_memory(struct worker *w)
{
	static const enum dma_data_direction directions[2][2] = {
		{ DMA_TO_DEVICE, DMA_BIDIRECTIONAL }, { DMA_FROM_DEVICE, DMA_BIDIRECTIONAL },
	};

	w->kind = below(w, KINDS);
	w->to_bus = below(w, 2);
	w->direction = directions[w->to_bus][below(w, 2)];
	w->piece_count = 1;
	if (w->kind == KIND_COHERENT)
		return make_coherent(w);
	if (w->kind == KIND_LIST)
		make_list(w);
	else
		make_block(w);
	return 0;
}

static void free_memory(struct worker *w)
{
	if (w->kind == KIND_COHERENT)
		dma_free_coherent(w->engine->dev, w->pieces[0].length, w->pieces[0].va,
				  w->extents[0].bus);
}

static u32 total(const struct worker *w)
{
	unsigned int i;
	u32 sum = 0;

	for (i = 0; i < w->piece_count; i++)
		sum += w->pieces[i].length;
	return sum;
}

/* ---- mapping ---- */

static int map_list(struct worker *w)
{
	struct scatterlist *sg;
	int i, count;

	count = dma_map_sg(w->engine->dev, w->list, w->piece_count, w->direction);
	if (!count)
		return -ENOMEM;
	w->extent_count = count;
	for_each_sg(w->list, sg, count, i) {
		w->extents[i].bus = sg_dma_address(sg);
		w->extents[i].length = sg_dma_len(sg);
	}
	return 0;
}

static int map_memory(struct worker *w)
{
	struct device *dev = w->engine->dev;
	struct piece *piece = &w->pieces[0];
	dma_addr_t bus;

	w->extent_count = 1;
	if (w->kind == KIND_COHERENT)
		return 0;
	if (w->kind == KIND_LIST)
		return map_list(w);
	if (w->kind == KIND_SINGLE)
		bus = dma_map_single(dev, piece->va, piece->length, w->direction);
	else
		bus = dma_map_page(dev, w->block, piece->va - (u8 *)page_address(w->block),
				   piece->length, w->direction);
	if (dma_mapping_error(dev, bus))
		return -ENOMEM;
	w->extents[0] = (struct extent){ .bus = bus, .length = piece->length };
	return 0;
}

static void unmap_memory(struct worker *w)
{
	struct device *dev = w->engine->dev;
	const struct extent *extent = &w->extents[0];

	if (w->kind == KIND_LIST)
		dma_unmap_sg(dev, w->list, w->piece_count, w->direction);
	else if (w->kind == KIND_SINGLE)
		dma_unmap_single(dev, extent->bus, extent->length, w->direction);
	else if (w->kind == KIND_PAGE)
		dma_unmap_page(dev, extent->bus, extent->length, w->direction);
}

/* ---- the buffer ---- */

static bool overlaps(const struct engine_range *range, u32 start, u32 length)
{
	return range->length && start < range->start + range->length &&
	       range->start < start + length;
}

static bool try_range(struct worker *w, u32 start, u32 length)
{
	struct engine *engine = w->engine;
	bool is_free = true;
	unsigned int i;

	spin_lock(&engine->range_lock);
	for (i = 0; i < ENGINE_CHANNELS; i++)
		is_free &= !overlaps(&engine->ranges[i], start, length);
	if (is_free)
		*w->range = (struct engine_range){ .start = start, .length = length };
	spin_unlock(&engine->range_lock);
	return is_free;
}

/* The other threads never have more than half of the buffer. */
static void take_range(struct worker *w)
{
	const u32 length = total(w);

	while (!try_range(w, below(w, ENGINE_BUFFER - length + 1), length))
		cond_resched();
}

static void leave_range(struct worker *w)
{
	struct engine *engine = w->engine;

	spin_lock(&engine->range_lock);
	w->range->length = 0;
	spin_unlock(&engine->range_lock);
}

/* The driver itself writes something into its part of the buffer. */
static void poke(struct worker *w)
{
	const u32 at = w->range->start + below(w, w->range->length);
	const u32 size = min(1U << below(w, 4), w->range->start + w->range->length - at);
	void __iomem *there = w->engine->buffer + at;
	u8 *here = w->engine->shadow + at;

	prandom_bytes_state(&w->random, here, size);
	if (size == 8 && IS_ALIGNED(at, 8))
		writeq(le64_to_cpup((__le64 *)here), there);
	else if (size == 4 && IS_ALIGNED(at, 4))
		writel(le32_to_cpup((__le32 *)here), there);
	else if (size == 2 && IS_ALIGNED(at, 2))
		writew(le16_to_cpup((__le16 *)here), there);
	else
		memcpy_toio(there, here, size);
}

static bool same_as_shadow(struct engine *engine, u8 *check, u32 start, u32 length)
{
	memcpy_fromio(check, engine->buffer + start, length);
	return !memcmp(check, engine->shadow + start, length);
}

/* ---- a round ---- */

/* Fill the memory; what goes into the buffer goes into the shadow. */
static void fill(struct worker *w)
{
	u32 at = w->range->start;
	unsigned int i;

	for (i = 0; i < w->piece_count; i++) {
		const struct piece *piece = &w->pieces[i];

		prandom_bytes_state(&w->random, piece->va, piece->length);
		memset(piece->va - piece->before, GUARD_BYTE, piece->before);
		memset(piece->va + piece->length, GUARD_BYTE, piece->after);
		if (!w->to_bus)
			memcpy(w->engine->shadow + at, piece->va, piece->length);
		at += piece->length;
	}
}

/* After either direction, memory and the part of the buffer have the same. */
static int compare(struct worker *w)
{
	u32 at = w->range->start;
	unsigned int i;

	for (i = 0; i < w->piece_count; i++) {
		const struct piece *piece = &w->pieces[i];

		CHECK(!memcmp(piece->va, w->engine->shadow + at, piece->length));
		CHECK(!memchr_inv(piece->va - piece->before, GUARD_BYTE, piece->before));
		CHECK(!memchr_inv(piece->va + piece->length, GUARD_BYTE, piece->after));
		at += piece->length;
	}
	CHECK(same_as_shadow(w->engine, w->check, w->range->start, w->range->length));
	return 0;
}

/* There are more vectors than channels. */
static unsigned int take_vector(struct worker *w)
{
	struct engine *engine = w->engine;
	unsigned int i = below(w, ENGINE_VECTORS);

	while (!engine->vectors[i].requested || test_and_set_bit(i, &engine->busy))
		i = (i + 1) % ENGINE_VECTORS;
	return i;
}

static int move(struct worker *w)
{
	struct engine_transfer t = {
		.channel = w->channel, .offset = w->range->start, .to_bus = w->to_bus,
	};
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < w->extent_count; i++) {
		t.bus = w->extents[i].bus;
		t.length = w->extents[i].length;
		t.vector = take_vector(w);
		err = engine_transfer(w->engine, &t);
		clear_bit(t.vector, &w->engine->busy);
		t.offset += t.length;
	}
	w->left -= i;
	w->bytes += total(w);
	return err;
}

static int do_round(struct worker *w)
{
	int err = make_memory(w);

	if (err)
		return err;
	take_range(w);
	poke(w);
	fill(w);
	err = map_memory(w);
	if (!err) {
		err = move(w);
		/* Memory is not freed while the device may still write to it. */
		if (err == -ETIMEDOUT)
			return err;
		unmap_memory(w);
	}
	err = err ?: compare(w);
	leave_range(w);
	free_memory(w);
	return err;
}

static int work(void *data)
{
	struct worker *w = data;

	while (!w->err && w->left)
		w->err = do_round(w);
	complete(&w->done);
	return 0;
}

/* ---- all of them ---- */

static void free_worker(struct worker *w)
{
	unsigned int i;

	vfree(w->check);
	/* The device may still use it. */
	if (w->err == -ETIMEDOUT)
		return;
	if (w->block)
		__free_pages(w->block, BLOCK_ORDER);
	for (i = 0; i < PIECES; i++)
		if (w->pages[i])
			__free_page(w->pages[i]);
}

static bool init_worker(struct worker *w)
{
	bool ok;
	unsigned int i;

	init_completion(&w->done);
	w->check = vmalloc(LONGEST);
	w->block = alloc_pages(GFP_KERNEL, BLOCK_ORDER);
	ok = w->check && w->block;
	for (i = 0; i < PIECES; i++) {
		w->pages[i] = alloc_page(GFP_KERNEL);
		ok &= !!w->pages[i];
	}
	return ok;
}

static void start(struct worker *w)
{
	struct task_struct *task = kthread_run(work, w, "engine/%u", w->channel);

	if (IS_ERR(task)) {
		w->err = PTR_ERR(task);
		complete(&w->done);
	}
}

static bool all_done(struct worker *workers)
{
	unsigned int i;

	for (i = 0; i < ENGINE_CHANNELS; i++)
		if (!completion_done(&workers[i].done))
			return false;
	return true;
}

static const struct cpumask *some_cpu(bool last)
{
	return cpumask_of(last ? cpumask_last(cpu_online_mask) : cpumask_first(cpu_online_mask));
}

/* Mask half of the vectors for a moment. */
static void mask_some(struct engine *engine, unsigned int chosen, unsigned int *held)
{
	unsigned int i;

	for (i = 0; i < ENGINE_VECTORS; i++)
		if (chosen >> i & 1 && engine->vectors[i].requested)
			disable_irq(engine->vectors[i].irq);
	usleep_range(500, 5000);
	for (i = 0; i < ENGINE_VECTORS; i++) {
		if (!(chosen >> i & 1) || !engine->vectors[i].requested)
			continue;
		*held += engine_is_pending(engine, i);
		enable_irq(engine->vectors[i].irq);
	}
	usleep_range(500, 1000);
}

static void move_one(struct engine *engine, unsigned int chosen)
{
	const struct engine_vector *vector = &engine->vectors[chosen % ENGINE_VECTORS];

	if (vector->requested)
		irq_set_affinity(vector->irq, some_cpu(chosen & ENGINE_VECTORS));
}

static void meddle_until_done(struct worker *workers, unsigned int seed, enum meddle meddle)
{
	struct engine *engine = workers->engine;
	unsigned int rounds = 0, held = 0;
	struct rnd_state random;

	prandom_seed_state(&random, ~(u64)seed);
	for (; !all_done(workers); rounds++) {
		const unsigned int chosen = prandom_u32_state(&random);

		mask_some(engine, chosen, &held);
		if (meddle == MEDDLE_MASK_AND_MOVE)
			move_one(engine, chosen >> 16);
	}
	tell("masked=%u", rounds);
	tell("held=%u", held);
}

static unsigned int interrupts(const struct engine *engine)
{
	unsigned int i, sum = 0;

	for (i = 0; i < ENGINE_VECTORS; i++)
		sum += atomic_read(&engine->vectors[i].count);
	return sum;
}

/* An interrupt that nobody waits for may come after its transfer. */
static int await_interrupts(const struct engine *engine, unsigned int number)
{
	const unsigned long end = jiffies + 60 * HZ;

	while (interrupts(engine) < number) {
		CHECK(time_before(jiffies, end));
		msleep(20);
	}
	return 0;
}

static int compare_whole(struct engine *engine, u8 *check)
{
	u32 at;

	for (at = 0; at < ENGINE_BUFFER; at += LONGEST)
		CHECK(same_as_shadow(engine, check, at, LONGEST));
	return 0;
}

static int finish(struct worker *workers)
{
	u64 bytes = 0;
	unsigned int i;
	int err = 0;

	for (i = 0; i < ENGINE_CHANNELS; i++) {
		wait_for_completion(&workers[i].done);
		err = err ?: workers[i].err;
		bytes += workers[i].bytes;
	}
	tell("bytes=%llu", bytes);
	return err;
}

int engine_transfers(struct engine *engine, unsigned int count, unsigned int seed,
		     enum meddle meddle)
{
	struct worker *workers = kcalloc(ENGINE_CHANNELS, sizeof(*workers), GFP_KERNEL);
	const unsigned int before = interrupts(engine);
	unsigned int i;
	bool ok = true;
	int err = -ENOMEM;

	if (!workers)
		return -ENOMEM;
	engine->busy = 0;
	engine->extra = meddle == MEDDLE_MASK_AND_MOVE;
	memset(engine->ranges, 0, sizeof(engine->ranges));
	for (i = 0; i < ENGINE_CHANNELS; i++) {
		struct worker *w = &workers[i];

		w->engine = engine;
		w->channel = i;
		w->range = &engine->ranges[i];
		w->left = count / ENGINE_CHANNELS + (i < count % ENGINE_CHANNELS);
		prandom_seed_state(&w->random, (u64)seed << 32 | (i + 1));
		ok &= init_worker(w);
	}
	if (ok) {
		for (i = 0; i < ENGINE_CHANNELS; i++)
			start(&workers[i]);
		if (meddle)
			meddle_until_done(workers, seed, meddle);
		err = finish(workers) ?: await_interrupts(engine, before + count) ?:
		      compare_whole(engine, workers[0].check);
		tell("transfers=%u", count);
		tell("interrupts=%u", interrupts(engine) - before);
	}
	for (i = 0; i < ENGINE_CHANNELS; i++)
		free_worker(&workers[i]);
	kfree(workers);
	return err;
}
