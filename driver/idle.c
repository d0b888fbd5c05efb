// SPDX-License-Identifier: GPL-2.0-only
/*
 * Which idle windows are given back, and when: for room, by age, on request.
 * window.c has the list of them.
 */

#include "idle.h"
#include "index.h"
#include "work.h"

/* Windows looked at with interrupts off. */
#define LOOK_MAX	256

/*
 * Most windows spared in one look, as they were used since they were listed. The
 * others of the look are a batch.
 */
#define SPARE_MAX	(LOOK_MAX - APPLE_DMA_BATCH_MAX)

/* Part of the budget that one eviction gives back beyond what is needed. */
#define EVICT_SHARE	16

/* Part of the budget that large idle windows may have when none are made any more. */
#define LARGE_SHARE	64

/**
 * struct apple_dma_wanted - what a look for idle windows is to find
 * @max: most windows to find
 * @looks: most windows to look at, up to LOOK_MAX
 * @entries: stop when this many windows, and
 * @bytes: this many bytes are found
 * @spare: keep up to this many windows that were used since they were listed
 * @idle: stop at one that has been idle for less, in jiffies
 * @large: large ones only
 * @retired: only those that take no new mapping
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
	bool retired;
	const char *cause;
	struct apple_dma_range largest;
};

/*
 * Close idle windows, the coldest first. It may find fewer than wanted: it
 * stops after @want->looks windows, or at the end of the list. @want->looks is
 * set to how many windows were looked at.
 */
static void idle_collect(struct apple_dma_engine *e,
			 struct apple_dma_wanted *want,
			 struct apple_dma_emptied *batch)
{
	unsigned int looks, most = min(want->looks, LOOK_MAX);
	u64 bytes = 0;

	apple_dma_window_drain(e);
	want->spare = min(want->spare, e->listed);
	for (looks = 0; looks < most; looks++) {
		struct apple_dma_window *w =
			apple_dma_window_coldest(e, want->large);
		u32 stamp;

		if (!w || batch->n == want->max ||
		    (batch->n >= want->entries && bytes >= want->bytes) ||
		    (want->retired && w->state == APPLE_DMA_WINDOW_ACTIVE))
			break;
		stamp = READ_ONCE(w->stamp);
		if (apple_dma_window_live(w)) {
			apple_dma_window_delist(e, w);
		} else if (w->seen != stamp && want->spare &&
			   w->state == APPLE_DMA_WINDOW_ACTIVE) {
			want->spare--;
			apple_dma_window_spare(e, w);
		} else if (w->state == APPLE_DMA_WINDOW_ACTIVE &&
			   (u32)jiffies - stamp < want->idle) {
			break;
		} else if (apple_dma_window_close(e, w, batch)) {
			if (w->size > want->largest.size) {
				want->largest.phys = w->phys;
				want->largest.size = w->size;
			}
			bytes += w->size;
		}
	}
	want->looks = looks;
}

/* One doorbell for what idle_collect() finds. Returns how many were given back. */
static unsigned int idle_give_back(struct apple_dma_engine *e,
				   struct apple_dma_wanted *want)
{
	struct apple_dma_emptied batch = APPLE_DMA_EMPTIED_INIT(batch);
	unsigned int n;

	lockdep_assert_held(&e->lock);
	if (e->broken)
		return 0;
	want->max = min(want->max, apple_dma_engine_batch(e));
	idle_collect(e, want, &batch);
	n = batch.n;
	return apple_dma_window_give_back(e, &batch, want->cause) ? 0 : n;
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
 * @bytes: how many bytes are needed
 * @entries: how many registrations are needed
 *
 * Gives back a little more than that, so that not every miss has to evict.
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
 * apple_dma_idle_evict_sibling() - make room in the budget that engines share
 * @e: the engine that needs it; its lock is not held
 * @bytes: how many bytes are needed
 *
 * One doorbell, of the sibling with most idle bytes. The lock of one engine
 * is held at a time. A sibling that goes away waits for this: it leaves the
 * budget, and a grace period has to pass, before its host is gone.
 *
 * Context: any.
 * Return: how many windows went; there may be more if it is not 0.
 */
u64 apple_dma_idle_evict_sibling(struct apple_dma_engine *e, u64 bytes)
{
	struct apple_dma_engine *sibling;
	bool more = true;
	unsigned long flags;
	u64 went = 0;

	rcu_read_lock();
	sibling = apple_dma_budget_idlest_sibling(e);
	while (sibling && !went && more) {
		spin_lock_irqsave(&sibling->lock, flags);
		went = apple_dma_idle_evict(sibling, bytes, 1);
		/* All that it looked at may be in use. */
		more = !sibling->broken && apple_dma_window_any_listed(sibling);
		spin_unlock_irqrestore(&sibling->lock, flags);
	}
	rcu_read_unlock();
	return went;
}

/*
 * Make room for so much, and no more: one doorbell. Used if it is not known
 * whether room is missing. Returns the largest window given back; of size 0 if
 * there was none.
 */
struct apple_dma_range apple_dma_idle_evict_least(struct apple_dma_engine *e,
						  u64 bytes, u64 entries)
{
	struct apple_dma_wanted want = idle_to_make_room(bytes, entries);

	e->stats.evictions += idle_give_back(e, &want);
	return want.largest;
}

/*
 * Large windows do not fit any more: keep none idle once they have their share. One
 * doorbell, or none. Returns how many went. A hit in a large idle window takes all of it
 * out of the budget, for one small mapping.
 */
unsigned int apple_dma_idle_evict_large(struct apple_dma_engine *e)
{
	struct apple_dma_wanted large = {
		.max = UINT_MAX,
		.looks = LOOK_MAX,
		.entries = U64_MAX,
		.large = true,
		.cause = "room",
	};
	unsigned int n = 0;

	apple_dma_window_drain(e);
	/* Fillers are listed as well, and have a share of their own. */
	if (e->listed_large > e->filler_bytes + e->limits.bytes / LARGE_SHARE)
		n = idle_give_back(e, &large);
	e->stats.evictions += n;
	return n;
}

/*
 * Give fillers back if they have much of the budget: one doorbell, or none. Returns
 * how many went.
 */
unsigned int apple_dma_idle_evict_fillers(struct apple_dma_engine *e)
{
	struct apple_dma_wanted fillers = {
		.max = UINT_MAX,
		.looks = LOOK_MAX,
		.entries = U64_MAX,
		.retired = true,
		.cause = "align",
	};
	unsigned int n;

	if (likely(!apple_dma_idle_many_fillers(e)))
		return 0;
	n = idle_give_back(e, &fillers);
	e->stats.evictions += n;
	return n;
}

/*
 * Give back up to @count idle windows: one doorbell. *@left is how many are
 * still to be looked at, without those that go idle meanwhile, so that the
 * caller's loop ends. Returns how many were given back.
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
 * Drops the lock between doorbells. Returns when every window that was idle at the
 * start is gone or in use again, or the engine is broken.
 */
void apple_dma_idle_release(struct apple_dma_engine *e, unsigned long *flags,
			    const char *cause)
	__must_hold(&e->lock)
{
	unsigned int left;

	apple_dma_window_drain_all(e, flags);
	left = e->listed;
	while (left) {
		idle_give_back_some(e, UINT_MAX, &left, cause);
		if (!left)
			break;
		apple_dma_engine_relock(e, flags);
	}
}

/**
 * apple_dma_idle_drop() - give idle windows back, the coldest first
 * @e: the engine
 * @count: at most so many
 * @cause: why, for the trace; see trace.h
 *
 * Returns when every window that was idle at the start has been looked at.
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
	apple_dma_window_drain_all(e, &flags);
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

/*
 * apple_dma_idle_drop() for windows that mode=cached would keep: they are counted
 * as evictions. May sleep.
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
 * apple_dma_idle_retire() - let nothing more be mapped in the windows of a range
 * @e: the engine
 * @start: guest-physical address
 * @end: its end
 * @cause: why, for the trace; see trace.h
 *
 * Windows that overlap the range are given back, at once or with their last
 * mapping. All windows that are idle at the start are given back.
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
				apple_dma_window_retire(e, w);
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

/*
 * Give back some of what has been idle for @e->idle_ms: one doorbell. *@left is how
 * many are still to be looked at. Returns false if nothing else is old enough.
 */
static bool idle_age_some(struct apple_dma_engine *e, unsigned int *left)
{
	struct apple_dma_wanted old = {
		.max = UINT_MAX,
		.looks = *left,
		.entries = U64_MAX,
		.spare = LOOK_MAX,
		.idle = msecs_to_jiffies(e->idle_ms),
		.cause = "age",
	};
	unsigned int n;

	if (!e->idle_ms || e->broken)
		return false;
	n = idle_give_back(e, &old);
	e->stats.evictions += n;
	*left -= old.looks;
	return *left && (n || old.looks == LOOK_MAX);
}

static void apple_dma_idle_age(struct work_struct *work)
{
	struct apple_dma_engine *e = container_of(to_delayed_work(work),
						  struct apple_dma_engine,
						  ager);
	unsigned long flags;
	unsigned int left;
	bool more;

	spin_lock_irqsave(&e->lock, flags);
	apple_dma_window_drain_all(e, &flags);
	left = e->listed;
	while (idle_age_some(e, &left)) {
		spin_unlock_irqrestore(&e->lock, flags);
		cond_resched();
		spin_lock_irqsave(&e->lock, flags);
	}
	more = e->stats.mapped_entries && !e->stopped && !e->broken;
	spin_unlock_irqrestore(&e->lock, flags);
	if (more)
		apple_dma_idle_arm(e);
}

/* Arm the timer that returns idle windows. Context: any. */
void apple_dma_idle_arm(struct apple_dma_engine *e)
{
	if (READ_ONCE(e->idle_ms))
		apple_dma_work_queue_after(&e->ager, idle_ager_period(e));
}

/* Prepare the list and the timer. */
void apple_dma_idle_init(struct apple_dma_engine *e)
{
	init_llist_head(&e->freed);
	INIT_LIST_HEAD(&e->idle);
	INIT_LIST_HEAD(&e->idle_large);
	INIT_LIST_HEAD(&e->idle_retired);
	INIT_LIST_HEAD(&e->drained);
	INIT_LIST_HEAD(&e->drained_large);
	INIT_DELAYED_WORK(&e->ager, apple_dma_idle_age);
}

/* Stop the timer. May sleep. */
void apple_dma_idle_stop(struct apple_dma_engine *e)
{
	cancel_delayed_work_sync(&e->ager);
}
