// SPDX-License-Identifier: GPL-2.0-only
/*
 * The budget, and the host's limits as far as its refusals show them.
 *
 * Bytes are those of all engines that share the budget, because the host's
 * address space is one for all devices of the guest: a refusal depends on the sum,
 * and so does what is learned from it. Entries are those of one engine.
 *
 * Engines plan at the same time, each with its own lock held. Bytes are taken
 * atomically, so that the sum is never beyond the limit. What the other
 * functions say of the room may have changed when a window is planned.
 *
 * The host may have less room than the limits say. What it refuses is recorded in
 * struct apple_dma_learned, is not asked for again, and is forgotten after a while.
 *
 * Unless a function says otherwise, the engine's lock is held.
 */

#include "engine.h"
#include "index.h"
#include "window.h"

/*
 * How long a refused range is not asked for again. The time doubles with each
 * further refusal. On a Mac a map beyond the room of the DART has been seen to
 * take the host down.
 */
#define REFUSED_FOR	(10 * HZ)
#define REFUSED_MAX	(600 * HZ)

/* ---- the engines of a budget ---- */

/* Set up an engine's budget. It is not among those that others may take from. */
void apple_dma_budget_init(struct apple_dma_engine *e)
{
	spin_lock_init(&e->own_budget.lock);
	INIT_HLIST_HEAD(&e->own_budget.engines);
	e->budget = e->limits.budget ?: &e->own_budget;
	INIT_HLIST_NODE(&e->sibling);
}

/*
 * The engine goes. What a broken host may still have is not counted any more: after a
 * device was pulled out, the next one would find no room. The lock is not held.
 */
void apple_dma_budget_exit(struct apple_dma_engine *e)
{
	atomic64_sub(e->stats.mapped_bytes, &e->budget->used);
}

/* From now on the other engines may take idle windows of this one. */
void apple_dma_budget_join(struct apple_dma_engine *e)
{
	lockdep_assert_held(&e->lock);
	spin_lock(&e->budget->lock);
	if (hlist_unhashed(&e->sibling))
		hlist_add_head_rcu(&e->sibling, &e->budget->engines);
	spin_unlock(&e->budget->lock);
}

/* Undo apple_dma_budget_join(). Others may be at it until a grace period has passed. */
void apple_dma_budget_leave(struct apple_dma_engine *e)
{
	lockdep_assert_held(&e->lock);
	spin_lock(&e->budget->lock);
	hlist_del_init_rcu(&e->sibling);
	spin_unlock(&e->budget->lock);
}

/* What the engines of a budget have together. */
struct budget_sum {
	u64 bytes;
	u64 idle_entries;
	u64 idle_bytes;
	u64 live_bytes;
};

static void budget_add(struct apple_dma_engine *e, struct budget_sum *sum)
{
	struct apple_dma_stats live;
	u64 entries, bytes;

	apple_dma_counters_idle(e, &entries, &bytes);
	apple_dma_counters_live(e, &live);
	sum->bytes += READ_ONCE(e->stats.mapped_bytes);
	sum->idle_entries += entries;
	sum->idle_bytes += bytes;
	sum->live_bytes += live.live_bytes;
}

/* An engine that is not in the list, or is broken, has nothing that can be taken. */
static struct budget_sum budget_sum(struct apple_dma_engine *e)
{
	struct apple_dma_engine *sibling;
	struct budget_sum sum = {};

	budget_add(e, &sum);
	rcu_read_lock();
	hlist_for_each_entry_rcu(sibling, &e->budget->engines, sibling)
		if (apple_dma_engine_is_sibling(e, sibling))
			budget_add(sibling, &sum);
	rcu_read_unlock();
	return sum;
}

/* How many windows of siblings are idle. Context: any. */
u64 apple_dma_budget_sibling_windows(struct apple_dma_engine *e)
{
	u64 entries, bytes;

	apple_dma_counters_idle(e, &entries, &bytes);
	/* Windows change meanwhile. */
	return max_t(s64, budget_sum(e).idle_entries - entries, 0);
}

/* The sibling that has most idle bytes, or NULL. Context: any, under RCU. */
struct apple_dma_engine *
apple_dma_budget_idlest_sibling(struct apple_dma_engine *e)
{
	struct apple_dma_engine *sibling, *idlest = NULL;
	u64 entries, bytes, most = 0;

	hlist_for_each_entry_rcu(sibling, &e->budget->engines, sibling) {
		if (!apple_dma_engine_is_sibling(e, sibling))
			continue;
		apple_dma_counters_idle(sibling, &entries, &bytes);
		if (bytes > most) {
			most = bytes;
			idlest = sibling;
		}
	}
	return idlest;
}

/* Has a sibling more idle bytes than this engine? Context: any. */
bool apple_dma_budget_sibling_idler(struct apple_dma_engine *e)
{
	u64 entries, own, bytes = 0;
	struct apple_dma_engine *sibling;

	apple_dma_counters_idle(e, &entries, &own);
	rcu_read_lock();
	sibling = apple_dma_budget_idlest_sibling(e);
	if (sibling)
		apple_dma_counters_idle(sibling, &entries, &bytes);
	rcu_read_unlock();
	return bytes > own;
}

/* Idle windows of this engine, and the idle bytes of all engines of its budget. */
static void budget_idle(struct apple_dma_engine *e, u64 *entries, u64 *bytes)
{
	apple_dma_counters_idle(e, entries, bytes);
	*bytes = budget_sum(e).idle_bytes;
}

/* ---- the budget ---- */

/**
 * apple_dma_budget_take() - count bytes that the host is to be asked for
 * @e: the engine
 * @size: bytes
 *
 * Context: any.
 * Return: false if they do not fit; then nothing is counted.
 */
bool apple_dma_budget_take(struct apple_dma_engine *e, u64 size)
{
	s64 used = atomic64_read(&e->budget->used);

	do {
		if ((u64)used + size > e->limits.bytes)
			return false;
	} while (!atomic64_try_cmpxchg(&e->budget->used, &used, used + size));
	return true;
}

/* Undo apple_dma_budget_take(): the host does not have them. Context: any. */
void apple_dma_budget_give(struct apple_dma_engine *e, u64 size)
{
	atomic64_sub(size, &e->budget->used);
}

/* Bytes in use, of all engines with this budget. Context: any. */
u64 apple_dma_budget_used(struct apple_dma_engine *e)
{
	return atomic64_read(&e->budget->used);
}

/**
 * apple_dma_budget_busy() - what is in use, of all engines with this budget
 * @e: the engine
 * @busy: set to the bytes of windows that are not idle
 * @waste: set to how many of them no driver has mapped
 *
 * What a broken engine has counts as busy, and as no waste.
 */
void apple_dma_budget_busy(struct apple_dma_engine *e, u64 *busy, u64 *waste)
{
	struct budget_sum sum = budget_sum(e);
	u64 used = apple_dma_budget_used(e);

	*busy = used - min(sum.idle_bytes, used);
	*waste = sum.bytes - min(sum.bytes, sum.idle_bytes + sum.live_bytes);
}

/* Does all memory of the guest fit, beside what others have? Context: any. */
bool apple_dma_budget_has_all_ram(struct apple_dma_engine *e)
{
	u64 used = apple_dma_budget_used(e);
	u64 own = READ_ONCE(e->stats.mapped_bytes);

	return used - min(own, used) + READ_ONCE(e->ram.bytes) <=
	       apple_dma_budget_bytes(e);
}

/* The bytes that may be registered: the limit, or less if the host has less. */
u64 apple_dma_budget_bytes(struct apple_dma_engine *e)
{
	return min(e->limits.bytes, e->learned.bytes);
}

/* The same for registrations. */
u64 apple_dma_budget_entries(struct apple_dma_engine *e)
{
	return min(e->limits.entries, e->learned.entries);
}

/* Does one more window of @size bytes keep to the limits? If not, @cause is set. */
bool apple_dma_budget_allows(struct apple_dma_engine *e, u64 size,
			     enum apple_dma_fail *cause)
{
	if (e->stats.mapped_entries >= e->limits.entries) {
		*cause = APPLE_DMA_FAIL_ENTRIES;
		return false;
	}
	if (apple_dma_budget_used(e) + size > e->limits.bytes ||
	    size > APPLE_DMA_CHUNK_SIZE) {
		*cause = APPLE_DMA_FAIL_BYTES;
		return false;
	}
	return true;
}

/* Does the host seem to have room for @bytes more in @entries registrations? */
bool apple_dma_budget_has_room(struct apple_dma_engine *e, u64 bytes,
			       u64 entries)
{
	return apple_dma_budget_used(e) + bytes <= apple_dma_budget_bytes(e) &&
	       e->stats.mapped_entries + entries <= apple_dma_budget_entries(e);
}

/* ---- learned limits ---- */

/* Forget all that was learned about the host. */
void apple_dma_budget_forget(struct apple_dma_engine *e)
{
	memset(&e->learned, 0, sizeof(e->learned));
	e->learned.bytes = U64_MAX;
	e->learned.entries = U32_MAX;
	e->learned.size = U64_MAX;
	e->learned.most_bytes = U64_MAX;
}

/* May a refused range be asked for again? */
static bool budget_expired(const struct apple_dma_belief *b)
{
	return !b->wait || time_after(jiffies, b->until);
}

/* Believe what was just learned, for longer if it was refused lately. */
static void budget_believe(struct apple_dma_belief *b)
{
	if (!b->wait || time_after(jiffies, b->until + REFUSED_MAX))
		b->wait = REFUSED_FOR;
	else if (budget_expired(b))
		b->wait = min(2 * b->wait, REFUSED_MAX);
	b->until = jiffies + b->wait;
}

/* Forget what is too old. What is refused again soon is then believed for longer. */
void apple_dma_budget_expire(struct apple_dma_engine *e)
{
	struct apple_dma_learned *l = &e->learned;

	if (!budget_expired(&l->belief))
		return;
	l->bytes = U64_MAX;
	l->entries = U32_MAX;
	l->size = U64_MAX;
	l->refused.size = 0;
	l->limit = 0;
	l->most_bytes = U64_MAX;
}

/* There is a limit: the host refused this many bytes and registrations. */
static void budget_believe_in_limit(struct apple_dma_engine *e, u64 bytes,
				    u64 entries)
{
	e->learned.most_bytes = bytes;
	e->learned.most_entries = entries;
	budget_believe(&e->learned.belief);
}

/**
 * apple_dma_budget_learn_limit() - the host refused, and took it after an eviction
 * @e: the engine
 * @bytes: bytes of the budget in use when it refused
 * @entries: registrations of this engine at that time
 * @size: bytes that it refused
 *
 * The limit is likely one of bytes, unless the host was seen to have more.
 */
void apple_dma_budget_learn_limit(struct apple_dma_engine *e, u64 bytes,
				  u64 entries, u64 size)
{
	if (bytes + size > apple_dma_budget_bytes(e) ||
	    e->learned.bytes == U64_MAX)
		e->learned.bytes = bytes;
	else
		e->learned.entries = min_t(u64, entries, U32_MAX);
	budget_believe_in_limit(e, bytes + size, entries + 1);
}

/* The host refused a window of @size bytes for its size. */
void apple_dma_budget_learn_size(struct apple_dma_engine *e, u64 size)
{
	e->learned.size = min_t(u64, e->learned.size,
				rounddown_pow_of_two(size - 1));
	budget_believe(&e->learned.belief);
}

static bool budget_contains(const struct apple_dma_range *range, u64 phys,
			    u64 size)
{
	return range->size && phys <= range->phys &&
	       phys + size >= range->phys + range->size;
}

/* Is this range, or a part of it, refused although the host has room? */
static bool budget_refused_for_itself(struct apple_dma_engine *e, u64 phys,
				      u64 size)
{
	const struct apple_dma_learned *l = &e->learned;
	unsigned int i;

	for (i = 0; i < APPLE_DMA_OWN_MAX; i++)
		if (budget_contains(&l->own[i], phys, size) &&
		    !budget_expired(&l->own_belief[i]))
			return true;
	return false;
}

/*
 * A slot for a range: that of a larger one that contains it, one that is too old,
 * or the next in turn.
 */
static unsigned int budget_own_place(struct apple_dma_learned *l,
				     const struct apple_dma_range *range)
{
	unsigned int i;

	for (i = 0; i < APPLE_DMA_OWN_MAX; i++)
		if (budget_contains(range, l->own[i].phys, l->own[i].size))
			return i;
	for (i = 0; i < APPLE_DMA_OWN_MAX; i++)
		if (budget_expired(&l->own_belief[i]))
			break;
	if (i == APPLE_DMA_OWN_MAX)
		i = l->own_next++ % APPLE_DMA_OWN_MAX;
	l->own_belief[i].wait = 0;
	return i;
}

/* The host takes other ranges, but not this one. */
void apple_dma_budget_learn_own(struct apple_dma_engine *e,
				const struct apple_dma_range *range)
{
	struct apple_dma_learned *l = &e->learned;
	unsigned int i = budget_own_place(l, range);

	l->own[i] = *range;
	budget_believe(&l->own_belief[i]);
}

/**
 * apple_dma_budget_learn_refusal() - the host refused exact granules
 * @e: the engine
 * @r: what it refused, although idle windows were given back
 *
 * The range itself may be the reason. If the host also refuses a range in another
 * place, with no less registered, there is a limit: then nothing as large is asked
 * for. Smaller ranges may still fit.
 */
void apple_dma_budget_learn_refusal(struct apple_dma_engine *e,
				    const struct apple_dma_refusal *r)
{
	struct apple_dma_learned *l = &e->learned;

	apple_dma_budget_expire(e);
	/* A refusal when more was registered than now proves no limit. */
	if (apple_dma_budget_used(e) < l->refused_bytes ||
	    e->stats.mapped_entries < l->refused_entries) {
		l->refused.size = 0;
		l->limit = 0;
	}
	if (r->disjoint)
		l->limit = min_not_zero(l->limit, r->largest);
	else if (l->refused.size && !apple_dma_touch(&l->refused, &r->exact))
		l->limit = min_not_zero(l->limit,
					max(l->refused.size, r->exact.size));
	l->refused = r->exact;
	l->refused_bytes = apple_dma_budget_used(e);
	l->refused_entries = e->stats.mapped_entries;
	if (l->limit && l->limit <= APPLE_DMA_GRANULE_SIZE) {
		l->bytes = apple_dma_budget_used(e);
		l->entries = min_t(u64, e->stats.mapped_entries, U32_MAX);
		budget_believe_in_limit(e, l->bytes + l->limit,
					e->stats.mapped_entries + 1);
	} else {
		budget_believe(&l->belief);
	}
}

/* The host took all that it was asked for. */
void apple_dma_budget_learn_success(struct apple_dma_engine *e)
{
	struct apple_dma_learned *l = &e->learned;
	bool more;

	if (l->bytes < apple_dma_budget_used(e))
		l->bytes = apple_dma_budget_used(e);
	if (l->entries < e->stats.mapped_entries)
		l->entries = e->stats.mapped_entries;
	more = apple_dma_budget_used(e) > l->refused_bytes &&
	       e->stats.mapped_entries > l->refused_entries;
	if (l->refused.size &&
	    apple_dma_index_find(e, l->refused.phys, l->refused.size)) {
		/* It took what it had refused before: it has room. */
		l->refused.size = 0;
		if (more || !l->limit) {
			l->belief.wait = 0;
			apple_dma_budget_expire(e);
		}
	}
	/* A granule was refused, and one more is taken: no limit. */
	if (l->refused.size && more &&
	    l->refused.size <= APPLE_DMA_GRANULE_SIZE) {
		if (!l->limit)
			apple_dma_budget_learn_own(e, &l->refused);
		l->refused.size = 0;
		l->limit = 0;
	}
	/* It has taken as much as it refused. */
	if (l->belief.wait && apple_dma_budget_used(e) >= l->most_bytes &&
	    e->stats.mapped_entries >= l->most_entries) {
		l->belief.wait = 0;
		apple_dma_budget_expire(e);
	}
}

/**
 * apple_dma_budget_refused_lately() - is the host known to refuse a range?
 * @e: the engine
 * @phys: guest-physical address
 * @size: bytes
 *
 * Return: false if the refusal is too old, or if something was given back since
 * that may have taken the room.
 */
bool apple_dma_budget_refused_lately(struct apple_dma_engine *e, u64 phys,
				     u64 size)
{
	const struct apple_dma_learned *l = &e->learned;

	if (budget_refused_for_itself(e, phys, size))
		return true;
	if (budget_expired(&l->belief) ||
	    apple_dma_budget_used(e) < l->refused_bytes ||
	    e->stats.mapped_entries < l->refused_entries)
		return false;
	return (l->limit && size >= l->limit) ||
	       budget_contains(&l->refused, phys, size);
}

/**
 * apple_dma_budget_retry_is_pointless() - would giving windows back not help?
 * @e: the engine
 * @phys: guest-physical address of what the host refused
 * @size: its bytes
 *
 * Return: true if the host refuses this range and takes others, or if it refused
 * although nothing was idle, and no less is in use now.
 */
bool apple_dma_budget_retry_is_pointless(struct apple_dma_engine *e, u64 phys,
					 u64 size)
{
	u64 first = round_down(phys, APPLE_DMA_GRANULE_SIZE);
	u64 end = round_up(phys + size, APPLE_DMA_GRANULE_SIZE);
	const struct apple_dma_learned *l = &e->learned;
	u64 entries, bytes;

	if (budget_refused_for_itself(e, first, end - first))
		return true;
	if (!l->refused.size || budget_expired(&l->belief))
		return false;
	budget_idle(e, &entries, &bytes);
	return apple_dma_budget_used(e) >= l->refused_bytes + bytes &&
	       e->stats.mapped_entries >= l->refused_entries + entries;
}

/* What is left of a limit if all idle windows are given back. */
static u64 budget_left_of(u64 limit, u64 used, u64 idle)
{
	used -= min(idle, used);
	return limit - min(used, limit);
}

/* Is a window of @size bytes too large even without any idle window? */
bool apple_dma_budget_never_fits(struct apple_dma_engine *e, u64 size)
{
	u64 entries, bytes;
	int i;

	/* The sum over CPUs is not exact while windows change: read it twice. */
	for (i = 0; i < 2; i++) {
		budget_idle(e, &entries, &bytes);
		if (size <= budget_left_of(apple_dma_budget_bytes(e),
					   apple_dma_budget_used(e), bytes) &&
		    budget_left_of(apple_dma_budget_entries(e),
				   e->stats.mapped_entries, entries))
			return false;
	}
	return true;
}

/* The bytes that are left without any idle window. The lock is not held. */
u64 apple_dma_budget_left(struct apple_dma_engine *e)
{
	u64 entries, bytes, room;
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	budget_idle(e, &entries, &bytes);
	room = budget_left_of(e->limits.bytes, apple_dma_budget_used(e), bytes);
	spin_unlock_irqrestore(&e->lock, flags);
	return room;
}
