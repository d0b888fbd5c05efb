// SPDX-License-Identifier: GPL-2.0-only
/*
 * The storm: threads of random operations, and what changes around them.
 *
 * A storm has epochs, each with an engine, a host, RAM and limits of its own.
 * An epoch has rounds, each with a mode. Threads run through a round, then
 * all stand still, and the truth is told. While they run, a meddler changes
 * modes, batches, ages and the host's limits, and flushes.
 *
 * Two storms may run at once, on two engines that share the bytes: each takes idle
 * windows of the other.
 */

#include <linux/completion.h>
#include <linux/cpu.h>
#include <linux/delay.h>
#include <linux/irq_work.h>
#include <linux/kthread.h>
#include <linux/slab.h>
#include <linux/smp.h>
#include <linux/spinlock.h>

#include "stress.h"

#define ROUNDS_OF_EPOCH		5U

/* Steps between two looks at who else wants the CPU. */
#define STEPS			16

/* Steps in one interrupt. */
#define IRQ_STEPS		4

void storm_wrong(struct storm *s, const struct shadow *sh, const char *fmt, ...)
{
	struct va_format text;
	va_list args;

	if (xchg(&s->wrong, true))
		return;
	if (s->other)
		WRITE_ONCE(s->other->wrong, true);
	va_start(args, fmt);
	text.fmt = fmt;
	text.va = &args;
	pr_err("apple_dma_stress: # WRONG: seed %llu, thread %d, op %llu: %pV\n",
	       s->seed, sh ? (int)sh->id : -1, sh ? sh->ops : 0, &text);
	va_end(args);
}

/* ---- threads ---- */

struct storm_thread {
	struct shadow *shadow;
	u64 ops;
	bool interrupt;
	spinlock_t lock; /* nothing; as of a driver that maps in it */
	struct irq_work work;
	struct completion done;
};

static void steps_in_interrupt(void *arg)
{
	unsigned int i;

	for (i = 0; i < IRQ_STEPS; i++)
		shadow_step(arg);
}

static void steps_in_work(struct irq_work *work)
{
	struct storm_thread *t = container_of(work, struct storm_thread, work);

	steps_in_interrupt(t->shadow);
}

static void queue_work_here(void *arg)
{
	struct storm_thread *t = arg;

	irq_work_queue(&t->work);
}

/*
 * In an interrupt of a CPU, as drivers may. On PREEMPT_RT they have a thread of
 * real-time priority instead.
 */
static void map_in_interrupt(struct storm_thread *t, unsigned int cpu)
{
	if (IS_ENABLED(CONFIG_PREEMPT_RT)) {
		smp_call_function_single(cpu, queue_work_here, t, 1);
		irq_work_sync(&t->work);
	} else {
		smp_call_function_single(cpu, steps_in_interrupt, t->shadow, 1);
	}
}

/* In a driver's lock, which turns interrupts off; or bottom halves; or neither. */
static void step_somehow(struct storm_thread *t)
{
	struct shadow *sh = t->shadow;
	unsigned long flags;

	switch (stress_random(&sh->seed, 8)) {
	case 0:
		spin_lock_irqsave(&t->lock, flags);
		shadow_step(sh);
		spin_unlock_irqrestore(&t->lock, flags);
		break;
	case 1:
		local_bh_disable();
		shadow_step(sh);
		local_bh_enable();
		break;
	default:
		shadow_step(sh);
	}
}

static int storm_thread(void *arg)
{
	struct storm_thread *t = arg;
	struct shadow *sh = t->shadow;
	u64 end = sh->ops + t->ops;

	while (sh->ops < end && !READ_ONCE(sh->storm->wrong)) {
		if (t->interrupt) {
			cpus_read_lock();
			map_in_interrupt(t, sh->ops % num_online_cpus());
			cpus_read_unlock();
		} else {
			step_somehow(t);
		}
		if (!(sh->ops % STEPS))
			cond_resched();
	}
	complete(&t->done);
	return 0;
}

/* Without a word for a minute, a task is taken for hung. */
static void wait_for(struct completion *done)
{
	while (!wait_for_completion_timeout(done, 5 * HZ))
		;
}

/* ---- the meddler ---- */

struct storm_meddler {
	struct storm *storm;
	u64 seed;
	bool stop;
	u64 acts;
	struct completion done;
};

static struct fake_host_limits host_limits(struct storm *s, u64 *seed)
{
	struct fake_host_limits limits = {
		.bytes = APPLE_DMA_DEFAULT_MAX_BYTES,
		.entries = APPLE_DMA_DEFAULT_MAX_MAPPINGS,
		.segment = APPLE_DMA_DEFAULT_MAX_BYTES,
	};

	if (s->roomy)
		return limits;
	switch (stress_random(seed, 4)) {
	case 0:
		limits.bytes = s->limits.bytes / (1 + stress_random(seed, 4));
		break;
	case 1:
		limits.entries = s->limits.entries / (1 + stress_random(seed, 4));
		break;
	case 2:
		limits.segment = GRANULE << stress_random(seed, 8);
		break;
	}
	return limits;
}

static void meddle_once(struct storm_meddler *m)
{
	static const unsigned int idle[] = { 0, 1, 2, 5, 50 };
	static const u32 batches[] = { 1, 2, 7, 33, APPLE_DMA_BATCH_MAX };
	struct storm *s = m->storm;
	struct fake_host_limits limits;

	switch (stress_random(&m->seed, 8)) {
	case 0:
	case 1:
		apple_dma_engine_set_mode(s->e,
					  stress_random(&m->seed,
							APPLE_DMA_MODE_COUNT));
		break;
	case 2:
		apple_dma_engine_set_mode(s->e, APPLE_DMA_MODE_CACHED);
		break;
	case 3:
		apple_dma_engine_flush(s->e);
		break;
	case 4:
		apple_dma_engine_set_batch(s->e,
					   batches[stress_random(&m->seed,
								 ARRAY_SIZE(batches))]);
		break;
	case 5:
		apple_dma_engine_set_idle_ms(s->e,
					     idle[stress_random(&m->seed,
								ARRAY_SIZE(idle))]);
		break;
	default:
		limits = host_limits(s, &m->seed);
		fake_host_limit(s->host, &limits);
	}
	m->acts++;
}

static int storm_meddler(void *arg)
{
	struct storm_meddler *m = arg;

	while (!READ_ONCE(m->stop)) {
		if (m->storm->hot) {
			/* Windows go whenever nobody looks. */
			apple_dma_engine_flush(m->storm->e);
			usleep_range(10, 50);
		} else {
			meddle_once(m);
			usleep_range(500, 4000);
		}
	}
	complete(&m->done);
	return 0;
}

/* ---- rounds ---- */

static bool start(struct storm *s, int (*fn)(void *), void *arg,
		  struct completion *done, const char *name)
{
	struct task_struct *task;

	init_completion(done);
	task = kthread_run(fn, arg, "stress/%s", name);
	if (!IS_ERR(task))
		return true;
	storm_wrong(s, NULL, "no thread: %ld", PTR_ERR(task));
	complete(done);
	return false;
}

/* What runs for one storm. */
struct storm_crew {
	struct storm_meddler meddler;
	struct storm_thread *threads;
};

/* All threads do @ops steps each, with a meddler around them or without. */
static void send_out(struct storm *s, struct storm_crew *crew, u64 ops,
		     u64 *seed)
{
	unsigned int i;

	crew->meddler.storm = s;
	crew->meddler.seed = stress_random(seed, U32_MAX) + 1;
	crew->threads = kcalloc(s->threads, sizeof(*crew->threads), GFP_KERNEL);
	if (!crew->threads) {
		storm_wrong(s, NULL, "no memory");
		return;
	}
	if (s->meddled)
		start(s, storm_meddler, &crew->meddler, &crew->meddler.done,
		      "meddler");
	for (i = 0; i < s->threads; i++) {
		struct storm_thread *t = &crew->threads[i];

		t->shadow = &s->shadows[i];
		t->ops = ops;
		t->interrupt = i && i == s->threads - 1;
		spin_lock_init(&t->lock);
		init_irq_work(&t->work, steps_in_work);
		start(s, storm_thread, t, &t->done, "thread");
	}
}

static void wait_for_threads(struct storm *s, struct storm_crew *crew)
{
	unsigned int i;

	for (i = 0; crew->threads && i < s->threads; i++)
		wait_for(&crew->threads[i].done);
}

static void call_back(struct storm *s, struct storm_crew *crew)
{
	if (crew->threads && s->meddled) {
		WRITE_ONCE(crew->meddler.stop, true);
		wait_for(&crew->meddler.done);
	}
	kfree(crew->threads);
}

static void run_threads(struct storm *s, u64 ops, u64 *seed)
{
	struct storm_crew crew = {}, other = {};

	send_out(s, &crew, ops, seed);
	if (s->twin)
		send_out(s->twin, &other, ops, seed);
	wait_for_threads(s, &crew);
	if (s->twin) {
		wait_for_threads(s->twin, &other);
		call_back(s->twin, &other);
	}
	call_back(s, &crew);
}

static u64 sum_mappings(struct storm *s)
{
	unsigned int i;
	u64 n = 0;

	for (i = 0; i < s->threads; i++)
		n += s->shadows[i].mappings;
	return n;
}

/* Nothing is mapped and nothing idle: nothing is left anywhere. */
static void check_empty(struct storm *s)
{
	u64 entries;

	apple_dma_window_wait(s->e);
	fake_host_read(s->host, NULL, NULL, &entries);
	if (entries || !xa_empty(&s->e->by_phys) || !xa_empty(&s->e->by_iova))
		storm_wrong(s, NULL, "%llu registrations left%s%s", entries,
			    xa_empty(&s->e->by_phys) ? "" : ", slots by phys",
			    xa_empty(&s->e->by_iova) ? "" : ", slots by iova");
}

/* The driver goes, and leaves everything behind. */
static void abandon(struct storm *s)
{
	u64 mappings = sum_mappings(s), left;
	unsigned int i;

	apple_dma_engine_close(s->e);
	left = apple_dma_engine_abandon(s->e);
	if (left != mappings)
		storm_wrong(s, NULL, "%llu mappings abandoned, not %llu", left,
			    mappings);
	for (i = 0; i < s->threads; i++)
		shadow_forget(&s->shadows[i]);
	if (!apple_dma_engine_release(s->e))
		storm_wrong(s, NULL, "broken");
	check_empty(s);
	apple_dma_engine_open(s->e);
}

/* At a standstill: what a driver, or an administrator, may do next. */
static void pause(struct storm *s, u64 *seed)
{
	unsigned int i;

	switch (stress_random(seed, 5)) {
	case 0:
		abandon(s);
		break;
	case 1:
		for (i = 0; i < s->threads; i++)
			shadow_drop(&s->shadows[i], 0);
		truth_check(s);
		apple_dma_engine_flush(s->e);
		check_empty(s);
		break;
	case 2:
		for (i = 0; i < s->threads; i++)
			shadow_drop(&s->shadows[i], 10);
		break;
	case 3:
		apple_dma_engine_flush(s->e);
		truth_check(s);
		break;
	}
}

/**
 * storm_let_time_pass() - what the host refused before may be asked again
 * @s: the storm
 *
 * Context: any.
 */
void storm_let_time_pass(struct storm *s)
{
	unsigned long flags;
	unsigned int i;

	spin_lock_irqsave(&s->e->lock, flags);
	s->e->learned.belief.until = jiffies - 1;
	for (i = 0; i < APPLE_DMA_OWN_MAX; i++)
		s->e->learned.own_belief[i].until = jiffies - 1;
	spin_unlock_irqrestore(&s->e->lock, flags);
}

static void set_mode(struct storm *s, enum apple_dma_mode mode)
{
	s->mode = mode;
	s->clean = !sum_mappings(s);
	apple_dma_engine_set_mode(s->e, mode);
}

static void begin_round(struct storm *s, u64 *seed)
{
	static const enum apple_dma_mode modes[] = {
		APPLE_DMA_MODE_CACHED, APPLE_DMA_MODE_CACHED,
		APPLE_DMA_MODE_CACHED, APPLE_DMA_MODE_STRICT,
		APPLE_DMA_MODE_STRICT,
	};
	static const unsigned int idle[] = { 0, 1, 4, 100 };
	struct fake_host_limits limits = host_limits(s, seed);
	unsigned int i;

	s->hot = s->meddled && !stress_random(seed, 4);
	for (i = 0; s->hot && i < s->threads; i++)
		shadow_drop(&s->shadows[i], 0);
	set_mode(s, s->hot ? APPLE_DMA_MODE_CACHED :
		    modes[stress_random(seed, ARRAY_SIZE(modes))]);
	fake_host_limit(s->host, &limits);
	storm_let_time_pass(s);
	apple_dma_engine_set_batch(s->e, 1 + stress_random(seed,
							   APPLE_DMA_BATCH_MAX));
	apple_dma_engine_set_idle_ms(s->e, idle[stress_random(seed,
							      ARRAY_SIZE(idle))]);
}

static void settle(struct storm *s)
{
	apple_dma_engine_set_idle_ms(s->e, 0);
	if (s->meddled)
		set_mode(s, s->mode);
}

/* What two engines count together is what their hosts have, and kept to the limit. */
static void check_sum(struct storm *s)
{
	u64 bytes = atomic64_read(&s->host->dart_bytes);

	if (atomic64_read(&s->budget.used) != bytes)
		storm_wrong(s, NULL, "the budget has %lld bytes, the hosts %llu",
			    atomic64_read(&s->budget.used), bytes);
	if (atomic64_read(&s->host->dart_peak) > s->limits.bytes)
		storm_wrong(s, NULL, "the hosts had %lld of %llu bytes",
			    atomic64_read(&s->host->dart_peak), s->limits.bytes);
}

static void run_round(struct storm *s, u64 ops, u64 *seed)
{
	struct storm *side;

	for (side = s; side; side = side->twin)
		begin_round(side, seed);
	run_threads(s, ops, seed);
	for (side = s; side; side = side->twin)
		settle(side);
	check_sum(s);
	for (side = s; side && !s->wrong; side = side->twin)
		truth_check(side);
	for (side = s; side && !s->wrong; side = side->twin)
		pause(side, seed);
}

/* ---- epochs ---- */

static void choose_ram(struct storm *s, u64 *seed)
{
	u64 phys = FAKE_RAM;
	unsigned int i;

	s->ram_ranges = ARRAY_SIZE(s->ram);
	for (i = 0; i < s->ram_ranges; i++) {
		s->ram[i].phys = phys;
		/* All of it fits the default budget, or not nearly. */
		s->ram[i].size = stress_random(seed, 2) ? 128 * MIB + 48 * KIB :
							  2 * GIB;
		phys += s->ram[i].size + 256 * KIB + stress_random(seed, 64) *
						     GRANULE;
	}
	for (i = 0; i < STORM_CLUSTERS; i++) {
		const struct apple_dma_range *r = &s->ram[i % s->ram_ranges];
		u64 room = r->size - 2 * MIB;

		s->clusters[i] = r->phys;
		if (i < 2 * s->ram_ranges)
			s->clusters[i] += i < s->ram_ranges ? 0 : room;
		else
			s->clusters[i] += stress_random(seed, room / PAGE) *
					  PAGE;
		/* Around the ends of windows, where exact ones are among them. */
		if (i % 2 && s->clusters[i] - r->phys > 8 * MIB)
			s->clusters[i] = round_down(s->clusters[i], 4 * MIB) -
					 128 * KIB;
	}
}

static void choose_limits(struct storm *s, u64 *seed)
{
	s->limits.budget = &s->budget;
	s->limits.bytes = APPLE_DMA_DEFAULT_MAX_BYTES;
	s->limits.entries = APPLE_DMA_DEFAULT_MAX_MAPPINGS;
	s->limits.batch = APPLE_DMA_BATCH_MAX;
	s->largest = MIB;
	s->roomy = false;
	switch (stress_random(seed, 4)) {
	case 0:
		s->roomy = true;
		break;
	case 1:
		s->limits.bytes = (4 + stress_random(seed, 60)) * MIB;
		break;
	case 2:
		s->limits.entries = 100 + stress_random(seed, 2000);
		s->largest = 6 * MIB;
		break;
	case 3:
		s->limits.bytes = (16 + stress_random(seed, 200)) * MIB;
		s->limits.entries = 1000 + stress_random(seed, 4000);
		s->largest = 256 * KIB;
		break;
	}
	/* The other may have it all. */
	s->roomy &= !s->twin;
}

/* @first: the storm whose bytes this one shares; itself if it is alone. */
static int open_engine(struct storm *s, struct storm *first, u64 *seed)
{
	enum fake_host_policy policy = stress_random(seed, FAKE_HOST_POLICIES);
	unsigned int i;
	int err;

	choose_ram(s, seed);
	if (s == first) {
		choose_limits(s, seed);
	} else {
		s->limits = first->limits;
		s->largest = first->largest;
	}
	/* Where gaps are short, what is longer is refused by right. */
	if (s->roomy && policy == FAKE_HOST_FRAGMENTED)
		policy = FAKE_HOST_UNALIGNED;
	err = fake_host_init(s->host, policy, stress_random(seed, U32_MAX) + 1);
	if (err)
		return err;
	/* Refusals without rhyme or reason lead to any mixture of windows. */
	s->fickle = !s->roomy && !stress_random(seed, 3);
	if (s->fickle)
		s->host->one_in = 2 + stress_random(seed, 30);
	s->host->ram = s->ram;
	s->host->ram_ranges = s->ram_ranges;
	s->host->engine = s->e;
	s->host->dart = first->host;
	memset(s->e, 0, sizeof(*s->e));
	err = apple_dma_engine_init(s->e, fixture_device, &s->limits,
				    &fake_host_ops, s->host);
	if (err)
		goto free_host;
	err = apple_dma_ram_set(s->e, s->ram, s->ram_ranges);
	if (err)
		goto destroy;
	/* The search for leftovers asks for handles of real RAM, once. */
	s->e->swept = stress_random(seed, 4);
	s->e->clean = s->e->swept;
	for (i = 0; i < s->threads; i++) {
		shadow_forget(&s->shadows[i]);
		s->shadows[i].failed = 0;
	}
	apple_dma_engine_open(s->e);
	return 0;

destroy:
	apple_dma_engine_destroy(s->e);
free_host:
	fake_host_free(s->host);
	return err;
}

static void close_engine(struct storm *s)
{
	unsigned int i;

	if (!s->wrong) {
		for (i = 0; i < s->threads; i++)
			shadow_drop(&s->shadows[i], 0);
		truth_check(s);
	}
	apple_dma_engine_stop(s->e);
	if (!s->wrong)
		check_empty(s);
	apple_dma_engine_destroy(s->e);
	fake_host_free(s->host);
}

static void report(struct storm *s, unsigned int epoch)
{
	struct fake_host_counts counts;
	struct apple_dma_stats stats;
	u64 ops = 0, done = 0;
	unsigned int i;

	fake_host_read(s->host, &counts, NULL, NULL);
	apple_dma_engine_snapshot(s->e, &stats);
	for (i = 0; i < s->threads; i++) {
		ops += s->shadows[i].ops;
		done += s->shadows[i].done;
	}
	pr_info("apple_dma_stress: # epoch %u: host %d, %llu bytes, %u entries%s%s: %llu ops, %llu mapped so far; here %llu hits, %llu misses, %llu evictions, %llu refusals, %llu doorbells\n",
		epoch, s->host->policy, s->limits.bytes, s->limits.entries,
		s->roomy ? ", roomy" : "", s->fickle ? ", fickle" : "", ops,
		done, stats.hits, stats.misses, stats.evictions, counts.refusals, counts.doorbells);
	for (i = 0; i < APPLE_DMA_FAIL_COUNT; i++)
		if (stats.failures[i])
			pr_info("apple_dma_stress: #   %llu refused for cause %u\n",
				stats.failures[i], i);
}

static int init_shadows(struct storm *s, u64 *seed)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < s->threads && !err; i++)
		err = shadow_init(&s->shadows[i], s, i,
				  stress_random(seed, U32_MAX) + 1, 400);
	return err;
}

static void free_storm(struct storm *s)
{
	unsigned int i;

	if (!s)
		return;
	free_storm(s->twin);
	for (i = 0; s->shadows && i < s->threads; i++)
		shadow_free(&s->shadows[i]);
	kfree(s->shadows);
	kfree(s->host);
	kfree(s->e);
	kfree(s);
}

static struct storm *new_storm(unsigned int threads, u64 seed, u64 *state,
			       bool twin)
{
	struct storm *s = kzalloc(sizeof(*s), GFP_KERNEL);

	if (!s)
		return NULL;
	s->threads = threads;
	s->seed = seed;
	spin_lock_init(&s->budget.lock);
	s->e = kzalloc(sizeof(*s->e), GFP_KERNEL);
	s->host = kzalloc(sizeof(*s->host), GFP_KERNEL);
	s->shadows = kcalloc(threads, sizeof(*s->shadows), GFP_KERNEL);
	if (!s->e || !s->host || !s->shadows || init_shadows(s, state))
		goto fail;
	if (!twin)
		return s;
	s->twin = new_storm(threads, seed, state, false);
	if (s->twin) {
		s->other = s->twin;
		s->twin->other = s;
		return s;
	}
fail:
	free_storm(s);
	return NULL;
}

/* An epoch: engines, and rounds with them. Returns 0, or an error if there are none. */
static int run_epoch(struct storm *s, unsigned int epoch, u64 each, u64 rounds,
		     bool meddle, u64 *state)
{
	struct storm *twin = s->twin;
	int err = open_engine(s, s, state);

	if (err)
		return err;
	if (twin) {
		err = open_engine(twin, s, state);
		if (err)
			goto close;
	}
	for (; rounds && !s->wrong; rounds--) {
		/* Undisturbed rounds can be looked at more closely. */
		s->meddled = meddle && stress_random(state, 3);
		if (twin)
			twin->meddled = s->meddled;
		run_round(s, each, state);
	}
	report(s, epoch);
	if (twin) {
		report(twin, epoch);
		close_engine(twin);
	}
close:
	close_engine(s);
	return err;
}

/**
 * storm_run() - a storm
 * @seed: of all random numbers, not 0
 * @threads: how many; the last of several runs in interrupts
 * @ops: of all threads together
 * @rounds: how often they meet
 * @meddle: change modes and limits while they run
 * @twin: two engines with one budget, each with so many threads
 *
 * Context: may sleep, for minutes.
 * Return: 0, or an error after a line that says what is wrong.
 */
int storm_run(u64 seed, unsigned int threads, u64 ops, u64 rounds, bool meddle,
	      bool twin)
{
	u64 each = ops / rounds / threads / (1 + twin) + 1;
	u64 state = seed * 0x9e3779b97f4a7c15ULL | 1;
	struct storm *s = new_storm(threads, seed, &state, twin);
	unsigned int epoch;
	int err = 0;

	if (!s)
		return -ENOMEM;
	s->alone = threads == 1 && !meddle && !twin;
	for (epoch = 0; rounds && !s->wrong && !err; epoch++) {
		u64 n = min_t(u64, rounds, ROUNDS_OF_EPOCH);

		err = run_epoch(s, epoch, each, n, meddle, &state);
		rounds -= n;
	}
	if (s->wrong)
		err = -EINVAL;
	free_storm(s);
	return err;
}
