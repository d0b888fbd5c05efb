// SPDX-License-Identifier: GPL-2.0-only
/*
 * The truth, when all threads stand still: the host's table. What the engine
 * counts, what it has indexed and what the shadows know has to agree with it.
 */

#include "stress.h"

/* ---- refusals ---- */

/* Bytes that go with the range because its handle is taken; ~0 for too many. */
static u64 handle_cost(struct storm *s, u64 phys)
{
	u64 first = round_down(phys, GRANULE), cost = 0;
	unsigned int i;

	while (fake_host_has(s->host, first - cost)) {
		cost += GRANULE;
		if (cost > HANDLE_FEW * GRANULE)
			return ~0ULL;
		for (i = 0; i < s->ram_ranges; i++)
			if (first - cost + GRANULE == s->ram[i].phys)
				return ~0ULL;
	}
	return cost;
}

/*
 * So near the start of a piece, or behind so many handles in a row, that none
 * may have been left a moment ago.
 */
static bool handles_rare(struct storm *s, u64 phys)
{
	unsigned int i;

	for (i = 0; i < s->ram_ranges; i++)
		if (phys >= s->ram[i].phys &&
		    phys - s->ram[i].phys < HANDLE_FEW * GRANULE)
			return true;
	return handle_cost(s, phys) >= HANDLE_FEW / 2 * GRANULE;
}

/**
 * truth_check_refusal() - was it right to refuse these ranges?
 * @sh: the thread that was refused
 * @r: the ranges
 * @n: how many
 *
 * With one thread and nothing that meddles: only if their granules do not fit
 * in what is left when all idle windows are gone.
 */
void truth_check_refusal(struct shadow *sh, const struct apple_dma_range *r,
			 unsigned int n)
{
	struct storm *s = sh->storm;
	u64 bytes = 0, busy_bytes, busy_entries, cost, need;
	const struct fake_host_limits *host = &s->host->limits;
	struct apple_dma_stats stats;
	unsigned int i;

	if (s->roomy) {
		for (i = 0; i < n; i++)
			if (handles_rare(s, r[i].phys))
				return;
		storm_wrong(s, sh, "%#llx bytes at %#llx refused, with much room",
			    r->size, r->phys);
	}
	if (!s->alone || s->fickle)
		return;

	for (i = 0; i < n; i++) {
		cost = handle_cost(s, r[i].phys);
		need = round_up(r[i].phys + r[i].size, GRANULE) -
		       round_down(r[i].phys, GRANULE) + cost;
		/* In a list, the handles of others may come first, too. */
		if (cost == ~0ULL || (n > 1 && handles_rare(s, r[i].phys)) ||
		    need + (n - 1) * GRANULE > host->segment ||
		    (s->host->policy == FAKE_HOST_FRAGMENTED &&
		     need > FAKE_HOST_GAP_MIN))
			return;
		bytes += need;
	}
	/* In a list, the handle of one may be in the way of another. */
	if (n > 1)
		bytes += 2 * GRANULE * n;
	apple_dma_engine_snapshot(s->e, &stats);
	busy_bytes = stats.mapped_bytes - stats.idle_bytes;
	busy_entries = stats.mapped_entries - stats.idle_entries;
	if (busy_bytes + bytes <= min(s->limits.bytes, host->bytes) &&
	    busy_entries + n <= min_t(u64, s->limits.entries, host->entries))
		storm_wrong(s, sh,
			    "mode %d: %u ranges, %#llx bytes, first %#llx at %#llx, refused with %#llx of %#llx (host: %#llx) bytes and %llu of %u (host: %llu) entries busy, %#llx bytes idle",
			    s->mode, n, bytes, r->size, r->phys, busy_bytes,
			    s->limits.bytes, host->bytes, busy_entries,
			    s->limits.entries, host->entries, stats.idle_bytes);
}

/* ---- the index ---- */

/* A window that covers a granule; the slot leads to the one reaching furthest. */
static bool slot_right(struct apple_dma_engine *e, struct apple_dma_window *w,
		       u64 offset)
{
	const struct apple_dma_window *there =
		xa_load(&e->by_phys, (w->phys + offset) >> APPLE_DMA_GRANULE_SHIFT);

	return there && apple_dma_window_end(there) >= apple_dma_window_end(w) &&
	       there->phys <= w->phys + offset &&
	       xa_load(&e->by_iova, (w->iova + offset) >>
				    APPLE_DMA_GRANULE_SHIFT) == w;
}

static u64 slots(struct xarray *xa)
{
	unsigned long index;
	void *entry;
	u64 n = 0;

	xa_for_each(xa, index, entry)
		n++;
	return n;
}

/*
 * Every slot leads to a window that is there, and the right one. The
 * threads stand still.
 */
static void check_index(struct storm *s)
{
	struct apple_dma_engine *e = s->e;
	u64 behind = 0, phys_slots = 0, iova_slots = 0;
	bool complete = true, active = true;
	struct rb_node *node;
	unsigned long flags;

	apple_dma_window_wait(e);
	spin_lock_irqsave(&e->lock, flags);
	for (node = rb_first_cached(&e->phys); node; node = rb_next(node)) {
		struct apple_dma_window *w =
			rb_entry(node, struct apple_dma_window, phys_node);
		u64 end = apple_dma_window_end(w);

		iova_slots += w->size;
		complete &= w->filled == w->size;
		phys_slots += end - clamp(behind, w->phys, end);
		behind = max(behind, end);
		if (w->state != APPLE_DMA_WINDOW_ACTIVE) {
			active = false;
			continue;
		}
		if (w->filled == w->size &&
		    (!slot_right(e, w, 0) ||
		     !slot_right(e, w, w->size - GRANULE)))
			storm_wrong(s, NULL, "window %#llx, %#llx bytes: not in the index",
				    w->phys, w->size);
	}
	spin_unlock_irqrestore(&e->lock, flags);
	if (!complete)
		return;
	/* Those that take no new mapping may have lost theirs. */
	if (active && slots(&e->by_phys) != phys_slots / GRANULE)
		storm_wrong(s, NULL, "%llu slots by phys for %llu granules",
			    slots(&e->by_phys), phys_slots / GRANULE);
	if (slots(&e->by_iova) != iova_slots / GRANULE)
		storm_wrong(s, NULL, "%llu slots by iova for %llu granules",
			    slots(&e->by_iova), iova_slots / GRANULE);
}

/* ---- counters ---- */

#define AGREE(s, what, engine, truth) do {				\
	u64 engine__ = (engine), truth__ = (truth);			\
									\
	if (engine__ != truth__)					\
		storm_wrong(s, NULL, "%s: the engine says %llu, it is %llu", \
			    what, engine__, truth__);			\
} while (0)

static void check_counters(struct storm *s)
{
	u64 mappings = 0, live_bytes = 0, failed = 0, busy = 0, busy_bytes;
	u64 bytes, entries, failures = 0;
	struct apple_dma_stats stats;
	unsigned int i;

	s->marks++;
	for (i = 0; i < s->threads; i++) {
		mappings += s->shadows[i].mappings;
		live_bytes += s->shadows[i].bytes;
		failed += s->shadows[i].failed;
		busy += shadow_mark(&s->shadows[i], s->marks);
	}
	AGREE(s, "windows in use", busy,
	      fake_host_marked(s->host, s->marks, &busy_bytes));
	apple_dma_engine_snapshot(s->e, &stats);
	fake_host_read(s->host, NULL, &bytes, &entries);
	for (i = 0; i < APPLE_DMA_FAIL_COUNT; i++)
		failures += stats.failures[i];

	AGREE(s, "mapped_bytes", stats.mapped_bytes, bytes);
	AGREE(s, "mapped_entries", stats.mapped_entries, entries);
	AGREE(s, "live_mappings", stats.live_mappings, mappings);
	AGREE(s, "live_bytes", stats.live_bytes, live_bytes);
	AGREE(s, "idle_entries", stats.idle_entries, entries - busy);
	AGREE(s, "idle_bytes", stats.idle_bytes, bytes - busy_bytes);
	AGREE(s, "failures", failures, failed);
	AGREE(s, "bad_unmaps", stats.bad_unmaps, 0);
	if (stats.peak_bytes > s->limits.bytes ||
	    stats.peak_entries > s->limits.entries)
		storm_wrong(s, NULL, "peaks of %llu bytes, %llu entries",
			    stats.peak_bytes, stats.peak_entries);
	if (stats.failures[APPLE_DMA_FAIL_NOT_RAM] ||
	    stats.failures[APPLE_DMA_FAIL_BROKEN] ||
	    stats.failures[APPLE_DMA_FAIL_ALIGN] ||
	    stats.failures[APPLE_DMA_FAIL_BUG])
		storm_wrong(s, NULL, "refused for a reason that cannot be");
	if (s->mode != APPLE_DMA_MODE_CACHED && stats.idle_entries)
		storm_wrong(s, NULL, "%llu windows are idle in mode %d",
			    stats.idle_entries, s->mode);
}

/**
 * truth_check() - does everything agree?
 * @s: the storm; its threads stand still, nothing ages, shrinks or meddles
 */
void truth_check(struct storm *s)
{
	unsigned int i;

	check_counters(s);
	check_index(s);
	for (i = 0; i < s->threads; i++)
		shadow_verify(&s->shadows[i]);
	if (s->host->wrong[0])
		storm_wrong(s, NULL, "the host: %s", s->host->wrong);
}
