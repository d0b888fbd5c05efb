// SPDX-License-Identifier: GPL-2.0-only
/*
 * Idle windows: those without a mapping, kept for the next one.
 *
 * engine->idle and, for large ones, engine->idle_large have every window that
 * may be idle, coldest first; below, the list. A hit takes no lock, so it does
 * not touch the list: a window on it may be in use, and who looks for idle
 * windows finds out and takes it off (delist). Only then,
 * when it goes idle again, has it to be listed anew, which is one push to a
 * lock-free stack, engine->freed, that is emptied into the list here. So an
 * idle window is always listed, and a look at a window in use is paid for by
 * the push that brought it here.
 *
 * A window is given back by closing it: struct apple_dma_window.live from 0 to
 * CLOSED in one step. Only windows that are LISTED are closed, so that nobody who
 * is about to push one can find it freed.
 */

#include "idle.h"
#include "index.h"
#include "work.h"

/* Windows looked at with interrupts off. */
#define LOOK_MAX	2048

/* Windows used since they were listed that are spared in one look. */
#define SPARE_MAX	512

/* Windows above this are not kept idle where there is no room for such. */
#define LARGE_ABOVE	(64ULL << 10)

/* Part of the budget that one eviction gives back beyond what is needed. */
#define EVICT_SHARE	16

/* ---- the list; the lock is held ---- */

static struct list_head *idle_list_of(struct apple_dma_engine *e,
				      const struct apple_dma_window *w)
{
	return w->size > LARGE_ABOVE ? &e->idle_large : &e->idle;
}

static void idle_enlist(struct apple_dma_engine *e, struct apple_dma_window *w)
{
	list_add_tail(&w->list, idle_list_of(e, w));
	e->listed++;
}

/* The window that has been on its list for longest, or NULL. */
static struct apple_dma_window *idle_coldest(struct apple_dma_engine *e,
					     bool large)
{
	struct apple_dma_window *a =
		list_first_entry_or_null(&e->idle_large,
					 struct apple_dma_window, list);
	struct apple_dma_window *b =
		list_first_entry_or_null(&e->idle, struct apple_dma_window,
					 list);

	if (large || !b)
		return a;
	return a && (s32)(a->seen - b->seen) <= 0 ? a : b;
}

static void idle_drain(struct apple_dma_engine *e)
{
	struct llist_node *first = llist_del_all(&e->freed);
	struct apple_dma_window *w, *next;

	first = llist_reverse_order(first);
	llist_for_each_entry_safe(w, next, first, freed) {
		/* A driver unmapped once too often: its guard is still to end. */
		if (w->guarded)
			clear_bit(APPLE_DMA_WINDOW_LISTED, &w->flags);
		else
			idle_enlist(e, w);
	}
}

/* Take a window in use off the list. */
static void idle_delist(struct apple_dma_engine *e, struct apple_dma_window *w)
{
	list_del_init(&w->list);
	e->listed--;
	clear_bit(APPLE_DMA_WINDOW_LISTED, &w->flags);
	/* Pairs with the cmpxchg in apple_dma_window_end_use(). */
	smp_mb__after_atomic();
	if (!apple_dma_window_live(w) &&
	    !test_and_set_bit(APPLE_DMA_WINDOW_LISTED, &w->flags)) {
		w->seen = READ_ONCE(w->stamp);
		idle_enlist(e, w);
	}
}

/* Close an idle window that is LISTED. Returns false if it is in use again. */
static bool idle_close_window(struct apple_dma_engine *e,
			      struct apple_dma_window *w)
{
	if (atomic64_cmpxchg(&w->live, 0, APPLE_DMA_WINDOW_CLOSED))
		return false;
	w->state = APPLE_DMA_WINDOW_DEAD;
	this_cpu_dec(e->percpu->idle_entries);
	this_cpu_sub(e->percpu->idle_bytes, w->size);
	return true;
}

/**
 * apple_dma_idle_close() - close a window that the caller has left without use
 * @e: the engine; its lock is held
 * @w: the window, after apple_dma_window_end_use() returned 0
 *
 * Return: true if it is closed, and the caller's to give back. False if it is in
 * use again, or on the list: then it goes back with the list.
 */
bool apple_dma_idle_close(struct apple_dma_engine *e,
			  struct apple_dma_window *w)
{
	if (test_and_set_bit(APPLE_DMA_WINDOW_LISTED, &w->flags))
		return false;
	if (idle_close_window(e, w))
		return true;
	w->seen = READ_ONCE(w->stamp);
	idle_enlist(e, w);
	return false;
}

/**
 * struct apple_dma_wanted - what a look for idle windows is to find
 * @max: at most so many windows
 * @looks: look at so many, at most LOOK_MAX
 * @entries: stop with so many, and
 * @bytes: so many bytes
 * @spare: windows used since they were listed get another turn, so many
 * @idle: stop at one that has been idle for less, in jiffies
 * @large: large ones only
 * @cause: why, for the trace; see trace.h
 * @largest: set to the largest that was found; of size 0 if none was
 */
struct apple_dma_wanted {
	unsigned int max;
	unsigned int looks;
	u64 entries;
	u64 bytes;
	unsigned int spare;
	u32 idle;
	bool large;
	const char *cause;
	struct apple_dma_range largest;
};

/*
 * Close idle windows, the coldest first, and move them to @batch. Returns how
 * many; fewer than wanted after @want->looks windows, or when there are no
 * more. @want->looks is set to how many windows were looked at.
 */
static unsigned int idle_collect(struct apple_dma_engine *e,
				 struct apple_dma_wanted *want,
				 struct list_head *batch)
{
	unsigned int n = 0, looks, most = min(want->looks, LOOK_MAX);
	u64 bytes = 0;

	idle_drain(e);
	want->spare = min(want->spare, e->listed);
	for (looks = 0; looks < most; looks++) {
		struct apple_dma_window *w = idle_coldest(e, want->large);
		u32 stamp;

		if (!w)
			break;
		stamp = READ_ONCE(w->stamp);
		if (n == want->max ||
		    (n >= want->entries && bytes >= want->bytes))
			break;
		if (apple_dma_window_live(w)) {
			idle_delist(e, w);
		} else if (w->seen != stamp && want->spare &&
			   w->state == APPLE_DMA_WINDOW_ACTIVE) {
			want->spare--;
			w->seen = stamp;
			list_move_tail(&w->list, idle_list_of(e, w));
		} else if ((u32)jiffies - stamp < want->idle) {
			break;
		} else if (idle_close_window(e, w)) {
			list_move_tail(&w->list, batch);
			e->listed--;
			if (w->size > want->largest.size) {
				want->largest.phys = w->phys;
				want->largest.size = w->size;
			}
			bytes += w->size;
			n++;
		}
	}
	want->looks = looks;
	return n;
}

/* One doorbell for what idle_collect() finds. Returns how many were given back. */
static unsigned int idle_give_back(struct apple_dma_engine *e,
				   struct apple_dma_wanted *want)
{
	unsigned int n;
	LIST_HEAD(batch);

	lockdep_assert_held(&e->lock);
	if (e->broken)
		return 0;
	want->max = min(want->max, apple_dma_engine_batch(e));
	n = idle_collect(e, want, &batch);
	if (n && apple_dma_window_give_back(e, &batch, want->cause))
		return 0;
	return n;
}

static struct apple_dma_wanted idle_to_make_room(u64 bytes, u64 entries)
{
	return (struct apple_dma_wanted){
		.max = UINT_MAX,
		.looks = LOOK_MAX,
		.bytes = bytes,
		.entries = entries,
		.spare = SPARE_MAX,
		.cause = "room",
	};
}

/**
 * apple_dma_idle_evict() - make room: one doorbell
 * @e: the engine; its lock is held
 * @bytes: so many bytes are needed
 * @entries: so many registrations are needed
 *
 * Gives back a little more than that, so that not every miss has to.
 *
 * Return: how many windows went; there may be more if @e->listed.
 */
u64 apple_dma_idle_evict(struct apple_dma_engine *e, u64 bytes, u64 entries)
{
	struct apple_dma_wanted want = idle_to_make_room(bytes, entries);
	unsigned int n;

	/* Whichever of the two shares is reached first is enough. */
	if (bytes < e->limits.bytes / EVICT_SHARE &&
	    entries < e->limits.entries / EVICT_SHARE) {
		u64 average = e->stats.mapped_bytes /
			      max(e->stats.mapped_entries, 1ULL);
		u64 share = min_t(u64, e->limits.entries / EVICT_SHARE,
				  e->limits.bytes / EVICT_SHARE /
				  max(average, 1ULL));

		want.entries = max(entries, share);
	}
	n = idle_give_back(e, &want);
	e->stats.evictions += n;
	return n;
}

/**
 * apple_dma_idle_evict_least() - make room, and no more than that: one doorbell
 * @e: the engine; its lock is held
 * @bytes: so many bytes are needed
 * @entries: so many registrations are needed
 *
 * For when it is not known whether room is what is missing.
 *
 * Return: the largest window that went; of size 0 if none did.
 */
struct apple_dma_range apple_dma_idle_evict_least(struct apple_dma_engine *e,
						  u64 bytes, u64 entries)
{
	struct apple_dma_wanted want = idle_to_make_room(bytes, entries);

	e->stats.evictions += idle_give_back(e, &want);
	return want.largest;
}

/**
 * apple_dma_idle_evict_large() - no large window is to be had: keep none idle
 * @e: the engine; its lock is held
 *
 * One doorbell, or none. A hit in a large window that is idle takes all of it
 * out of the budget, for one small mapping.
 */
void apple_dma_idle_evict_large(struct apple_dma_engine *e)
{
	struct apple_dma_wanted large = {
		.max = UINT_MAX,
		.looks = LOOK_MAX,
		.entries = U64_MAX,
		.large = true,
		.cause = "room",
	};

	if (!list_empty(&e->idle_large) || !llist_empty(&e->freed))
		e->stats.evictions += idle_give_back(e, &large);
}

/*
 * One doorbell of giving back up to @count idle windows. *@left is how many are
 * still to be looked at: what goes idle meanwhile does not count, so that this
 * ends. Returns how many were given back.
 */
static unsigned int idle_give_back_some(struct apple_dma_engine *e,
					unsigned int count, unsigned int *left,
					const char *cause)
{
	struct apple_dma_wanted want = {
		.max = count,
		.looks = *left,
		.entries = U64_MAX,
		.cause = cause,
	};
	unsigned int n = idle_give_back(e, &want);

	*left = e->broken || !e->listed ? 0 : *left - want.looks;
	return n;
}

/**
 * apple_dma_idle_release() - give all idle windows back
 * @e: the engine; its lock is held
 * @flags: of spin_lock_irqsave()
 * @cause: why, for the trace; see trace.h
 *
 * Drops the lock between doorbells, so that interrupts are off for one batch
 * only. Returns when every window that was idle when it began is gone or in use
 * again, or the engine is broken.
 */
void apple_dma_idle_release(struct apple_dma_engine *e, unsigned long *flags,
			    const char *cause)
	__must_hold(&e->lock)
{
	unsigned int left;

	idle_drain(e);
	left = e->listed;
	while (left) {
		idle_give_back_some(e, UINT_MAX, &left, cause);
		if (!left)
			break;
		spin_unlock_irqrestore(&e->lock, *flags);
		spin_lock_irqsave(&e->lock, *flags);
	}
}

/**
 * apple_dma_idle_drop() - give idle windows back, the coldest first
 * @e: the engine
 * @count: at most so many
 * @cause: why, for the trace; see trace.h
 *
 * Returns when every window that was idle when it began has been looked at.
 *
 * Context: may sleep.
 * Return: how many went.
 */
unsigned int apple_dma_idle_drop(struct apple_dma_engine *e, unsigned int count,
				 const char *cause)
{
	unsigned int done = 0, left;
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	idle_drain(e);
	left = e->listed;
	while (left && done < count) {
		done += idle_give_back_some(e, count - done, &left, cause);
		spin_unlock_irqrestore(&e->lock, flags);
		cond_resched();
		spin_lock_irqsave(&e->lock, flags);
	}
	spin_unlock_irqrestore(&e->lock, flags);
	return done;
}

/**
 * apple_dma_idle_flush() - the same with windows that mode=cached would keep
 * @e: the engine
 * @count: at most so many
 * @cause: why, for the trace; see trace.h
 *
 * Context: may sleep.
 * Return: how many went; they are counted as evictions.
 */
unsigned int apple_dma_idle_flush(struct apple_dma_engine *e,
				  unsigned int count, const char *cause)
{
	unsigned int done = apple_dma_idle_drop(e, count, cause);
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	e->stats.evictions += done;
	spin_unlock_irqrestore(&e->lock, flags);
	return done;
}

/**
 * apple_dma_idle_retire() - let nothing be mapped in the windows there are
 * @e: the engine; hits take the lock
 * @start: guest-physical address
 * @end: its end
 * @cause: why, for the trace; see trace.h
 *
 * Windows that overlap the range go back to the host, at once or with their
 * last mapping; so do all that are idle when it begins.
 *
 * Context: may sleep.
 */
void apple_dma_idle_retire(struct apple_dma_engine *e, u64 start, u64 end,
			   const char *cause)
{
	struct apple_dma_window *w;
	unsigned long flags;
	u64 phys = 0;
	int i;

	do {
		spin_lock_irqsave(&e->lock, flags);
		for (i = 0; i < LOOK_MAX; i++) {
			w = apple_dma_index_next(e, phys);
			if (!w || w->phys >= end)
				break;
			phys = w->phys + 1;
			if (w->state == APPLE_DMA_WINDOW_ACTIVE &&
			    apple_dma_window_end(w) > start)
				apple_dma_index_retire(e, w);
		}
		spin_unlock_irqrestore(&e->lock, flags);
	} while (i == LOOK_MAX);
	apple_dma_idle_flush(e, UINT_MAX, cause);
}

/* ---- age ---- */

static unsigned long idle_ager_period(struct apple_dma_engine *e)
{
	return max(msecs_to_jiffies(READ_ONCE(e->idle_ms)) / 4, 1UL);
}

static void apple_dma_idle_age(struct work_struct *work)
{
	struct apple_dma_engine *e = container_of(to_delayed_work(work),
						  struct apple_dma_engine,
						  ager);
	unsigned long flags;
	unsigned int n;
	bool more;

	do {
		struct apple_dma_wanted old = {
			.max = UINT_MAX,
			.looks = LOOK_MAX,
			.entries = U64_MAX,
			.spare = LOOK_MAX,
			.cause = "age",
		};

		spin_lock_irqsave(&e->lock, flags);
		n = 0;
		if (e->idle_ms) {
			old.idle = msecs_to_jiffies(e->idle_ms);
			n = idle_give_back(e, &old);
			e->stats.evictions += n;
		}
		more = e->stats.mapped_entries && !e->stopped && !e->broken;
		spin_unlock_irqrestore(&e->lock, flags);
		cond_resched();
	} while (n);
	if (more)
		apple_dma_idle_arm(e);
}

/**
 * apple_dma_idle_arm() - see to it that idle windows go back in time
 * @e: the engine
 *
 * Context: any.
 */
void apple_dma_idle_arm(struct apple_dma_engine *e)
{
	if (READ_ONCE(e->idle_ms))
		apple_dma_work_queue_after(&e->ager, idle_ager_period(e));
}

/**
 * apple_dma_idle_init() - prepare the list
 * @e: the engine
 */
void apple_dma_idle_init(struct apple_dma_engine *e)
{
	init_llist_head(&e->freed);
	INIT_LIST_HEAD(&e->idle);
	INIT_LIST_HEAD(&e->idle_large);
	INIT_DELAYED_WORK(&e->ager, apple_dma_idle_age);
}

/**
 * apple_dma_idle_stop() - age windows no more
 * @e: the engine, stopped
 *
 * Context: may sleep.
 */
void apple_dma_idle_stop(struct apple_dma_engine *e)
{
	cancel_delayed_work_sync(&e->ager);
}

/* ---- memory pressure ---- */

static unsigned long apple_dma_idle_count(struct shrinker *shrinker,
					  struct shrink_control *control)
{
	struct apple_dma_engine *e = apple_dma_compat_shrinker_data(shrinker);
	u64 entries, bytes;

	apple_dma_counters_idle(e, &entries, &bytes);
	return entries ?: SHRINK_EMPTY;
}

static unsigned long apple_dma_idle_scan(struct shrinker *shrinker,
					 struct shrink_control *control)
{
	struct apple_dma_engine *e = apple_dma_compat_shrinker_data(shrinker);
	unsigned long n = apple_dma_idle_flush(e, min_t(unsigned long,
							control->nr_to_scan,
							INT_MAX), "pressure");

	return n ?: SHRINK_STOP;
}

/**
 * apple_dma_shrinker_start() - give idle windows back under memory pressure
 * @e: an initialised engine
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int apple_dma_shrinker_start(struct apple_dma_engine *e)
{
	return apple_dma_compat_shrinker_register(&e->shrinker, e,
						  apple_dma_idle_count,
						  apple_dma_idle_scan);
}

/**
 * apple_dma_shrinker_stop() - undo apple_dma_shrinker_start(), if it was done
 * @e: the engine
 *
 * Context: may sleep.
 */
void apple_dma_shrinker_stop(struct apple_dma_engine *e)
{
	apple_dma_compat_shrinker_unregister(&e->shrinker);
}
