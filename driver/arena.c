// SPDX-License-Identifier: GPL-2.0-only
/*
 * The arena: memory that is registered once, in a few pieces, for a device whose
 * maps the kernel translates by a table. Which memory that is, how it is cut into
 * pieces that the host takes, and what an older table still has to say.
 *
 * Each piece is a window that stays guarded as long as the arena lives. No driver
 * maps through the engine meanwhile: it is closed.
 */

#include <linux/mm.h>
#include <linux/sizes.h>

#include "arena.h"
#include "compat.h"
#include "idle.h"
#include "index.h"
#include "recover.h"

/* Pieces of a plan. The rest of the table is for halves and the bounce pool. */
#define ARENA_PIECES	6U

/* Smaller halves are not asked for. */
#define ARENA_LEAST	(4ULL << 20)

/*
 * How far an end may move down to a granule that can be taken. The last memory of a
 * node has the struct pages of all of it, 16 MiB for each GiB.
 */
#define ARENA_SEARCH	(128ULL << 20)

/* Device address minus physical address should be a multiple of this. */
#define ARENA_ALIGN	APPLE_DMA_WINDOW_MAX

/* What is taken at an end: a granule, in whole pages. */
#define ARENA_GUARD	max_t(u64, APPLE_DMA_GRANULE_SIZE, PAGE_SIZE)

/* How often the host is asked for a piece, to get it aligned. */
#define ARENA_TRIES	4

/* ---- the plan ---- */

/* Join the two neighbours with the smallest hole between them. */
static void arena_join(struct apple_dma_range *piece, unsigned int *n)
{
	unsigned int i, best = 1;
	u64 least = U64_MAX;

	for (i = 1; i < *n; i++) {
		u64 hole = piece[i].phys - piece[i - 1].phys - piece[i - 1].size;

		if (hole < least) {
			least = hole;
			best = i;
		}
	}
	piece[best - 1].size = piece[best].phys + piece[best].size -
			       piece[best - 1].phys;
	for (i = best + 1; i < *n; i++)
		piece[i - 1] = piece[i];
	(*n)--;
}

/* What of the memory lies from @start up to @end, in whole granules. */
static void arena_collect(const struct apple_dma_arena_facts *facts, u64 start,
			  u64 end, struct apple_dma_arena_plan *plan)
{
	struct apple_dma_range piece[ARENA_PIECES + 1];
	unsigned int i, n = 0;

	for (i = 0; i < facts->n; i++) {
		u64 from = max(facts->ram[i].phys, start);
		u64 to = min(facts->ram[i].phys + facts->ram[i].size, end);

		if (from >= to)
			continue;
		from = round_down(from, APPLE_DMA_GRANULE_SIZE);
		to = round_up(to, APPLE_DMA_GRANULE_SIZE);
		if (n && from <= piece[n - 1].phys + piece[n - 1].size) {
			piece[n - 1].size = to - piece[n - 1].phys;
			continue;
		}
		piece[n].phys = from;
		piece[n++].size = to - from;
		if (n > ARENA_PIECES)
			arena_join(piece, &n);
	}
	plan->n = n;
	plan->bytes = 0;
	plan->pool = false;
	for (i = 0; i < n; i++) {
		plan->piece[i] = piece[i];
		plan->bytes += piece[i].size;
	}
}

/*
 * Bounced maps need the pool. Returns false if it is neither in a piece nor beside
 * all of them.
 */
static bool arena_add_pool(const struct apple_dma_range *pool,
			   struct apple_dma_arena_plan *plan)
{
	u64 end = pool->phys + pool->size;
	unsigned int i;

	for (i = 0; i < plan->n; i++) {
		const struct apple_dma_range *p = &plan->piece[i];

		if (pool->phys >= p->phys && end <= p->phys + p->size)
			return true;
		if (pool->phys < p->phys + p->size && p->phys < end)
			return false;
	}
	plan->piece[plan->n++] = *pool;
	plan->pool = true;
	plan->bytes += round_up(end, APPLE_DMA_GRANULE_SIZE) -
		       round_down(pool->phys, APPLE_DMA_GRANULE_SIZE);
	return true;
}

/* Does a part of the memory do? What is not in it bounces. */
static bool arena_fits(const struct apple_dma_arena_facts *facts, u64 start,
		       u64 end, struct apple_dma_arena_plan *plan)
{
	arena_collect(facts, start, end, plan);
	if (!plan->n)
		return false;
	if (!facts->never_bounces &&
	    (!facts->bounce.size || !arena_add_pool(&facts->bounce, plan)))
		return false;
	return plan->bytes <= facts->room;
}

/**
 * apple_dma_arena_plan() - choose the layout
 * @facts: about the guest
 * @plan: set; its layout is APPLE_DMA_LAYOUT_NONE if none fits
 *
 * Context: any.
 */
void apple_dma_arena_plan(const struct apple_dma_arena_facts *facts,
			  struct apple_dma_arena_plan *plan)
{
	const struct apple_dma_range *node = &facts->node;
	const struct apple_dma_range *last;

	plan->layout = APPLE_DMA_LAYOUT_NONE;
	if (!facts->n)
		return;
	last = &facts->ram[facts->n - 1];
	arena_collect(facts, 0, U64_MAX, plan);
	if (plan->bytes <= facts->room)
		plan->layout = APPLE_DMA_LAYOUT_ALL;
	else if (last->phys + last->size <= SZ_4G && facts->movable < SZ_4G &&
		 arena_fits(facts, 0, facts->movable, plan))
		plan->layout = APPLE_DMA_LAYOUT_LOW;
	else if (node->size && !facts->node_has_cpus &&
		 node->phys <= facts->ram[0].phys &&
		 arena_fits(facts, node->phys, node->phys + node->size, plan))
		plan->layout = APPLE_DMA_LAYOUT_NODE;
}

/* ---- ends of pieces ---- */

/* Was it allocated before there was a page allocator, for ever? */
static bool arena_reserved(u64 phys)
{
	unsigned long pfn = PHYS_PFN(phys);

	return pfn_valid(pfn) && PageReserved(pfn_to_page(pfn));
}

/*
 * Take a granule below @end and not below @low. Returns its end, which may be an end
 * of an entry; 0 if there is none.
 */
static u64 arena_guard(struct apple_dma_arena *arena, u64 low, u64 end)
{
	u64 at = round_down(end, ARENA_GUARD) - ARENA_GUARD;
	u64 stop = end - min(end, ARENA_SEARCH);

	if (arena->guards == APPLE_DMA_ARENA_MAX)
		return 0;
	for (; at > max(low, stop); at -= ARENA_GUARD) {
		if (arena_reserved(at) ||
		    !apple_dma_compat_take(at, ARENA_GUARD))
			continue;
		arena->guard[arena->guards++] = at;
		return at + ARENA_GUARD;
	}
	return 0;
}

/* Does memory follow directly? */
static bool arena_goes_on(struct apple_dma_engine *e, u64 end)
{
	unsigned long flags;
	bool has;

	spin_lock_irqsave(&e->lock, flags);
	has = apple_dma_ram_has(e, end, 1);
	spin_unlock_irqrestore(&e->lock, flags);
	return has;
}

/* ---- registering ---- */

/* End the guard of a window: it is given back with all that is idle. */
static void __arena_drop(struct apple_dma_engine *e, struct apple_dma_window *w,
			 const char *cause)
{
	struct apple_dma_emptied emptied = APPLE_DMA_EMPTIED_INIT(emptied);

	apple_dma_window_retire(e, w);
	apple_dma_window_unguard(e, w, &emptied);
	apple_dma_window_give_back(e, &emptied, cause);
}

/* One doorbell for a window. Returns it, guarded; or NULL, with @err set. */
static struct apple_dma_window *__arena_ask(struct apple_dma_engine *e, u64 phys,
					    u64 size, bool filler, int *err)
{
	enum apple_dma_fail cause = APPLE_DMA_FAIL_NONE;
	struct apple_dma_window *w = NULL;
	struct apple_dma_refusal refusal;
	LIST_HEAD(planned);
	LIST_HEAD(fresh);

	if (e->broken) {
		*err = -EPROTO;
		return NULL;
	}
	if (apple_dma_budget_allows(e, size, &cause))
		w = apple_dma_window_plan(e, phys, size, phys, &cause);
	if (!w) {
		*err = cause == APPLE_DMA_FAIL_MEMORY ? -ENOMEM : -ENOSPC;
		return NULL;
	}
	w->filler = filler;
	list_add(&w->list, &planned);
	apple_dma_window_submit(e, &planned, &fresh, &refusal);
	if (refusal.leftovers)
		apple_dma_recover_start(e);
	w = list_first_entry_or_null(&fresh, struct apple_dma_window, list);
	*err = e->broken ? -EPROTO : w ? 0 : -EIO;
	if (w)
		list_del_init(&w->list);
	return w;
}

/* How many bytes are to be in front of a piece, so that it comes aligned. */
static u64 __arena_before(struct apple_dma_engine *e, u64 phys)
{
	struct apple_dma_guess guess = apple_dma_place_guess(e);
	u64 off = (phys - guess.addr) & (ARENA_ALIGN - 1);

	if (!off)
		return 0;
	return (off - guess.gap) & (ARENA_ALIGN - 1);
}

static bool arena_aligned(const struct apple_dma_window *w)
{
	return !((w->iova - w->phys) & (ARENA_ALIGN - 1));
}

/* Register a piece. Returns 0, -EIO if the host refuses it, or another error. */
static int arena_try(struct apple_dma_engine *e, u64 phys, u64 size, u64 *iova)
{
	struct apple_dma_window *w, *filler;
	unsigned long flags;
	unsigned int i;
	u64 before;
	int err;

	if (size > APPLE_DMA_CHUNK_SIZE)
		return -EIO;
	for (i = 0; ; i++) {
		spin_lock_irqsave(&e->lock, flags);
		before = i ? __arena_before(e, phys) : 0;
		filler = NULL;
		if (before && apple_dma_budget_has_room(e, before + size, 2))
			filler = __arena_ask(e, phys + APPLE_DMA_GRANULE_SIZE,
					     before, true, &err);
		w = __arena_ask(e, phys, size, false, &err);
		if (filler)
			__arena_drop(e, filler, "align");
		if (!err && !arena_aligned(w) && i + 1 < ARENA_TRIES &&
		    size > 2 * ARENA_ALIGN) {
			__arena_drop(e, w, "align");
			w = NULL;
		}
		if (w)
			*iova = w->iova;
		spin_unlock_irqrestore(&e->lock, flags);
		if (err || w)
			return err;
		/* A new place needs the old one to be gone. */
		apple_dma_idle_drop(e, UINT_MAX, "align");
	}
}

/* Put a registered piece into the table. */
static void arena_enter(struct apple_dma_arena *arena, u64 phys, u64 size,
			u64 iova)
{
	struct apple_dma_arena_entry *last = &arena->entry[arena->n];

	if (arena->n && last[-1].phys + last[-1].size == phys &&
	    last[-1].iova + last[-1].size == iova) {
		last[-1].size += size;
		return;
	}
	*last = (struct apple_dma_arena_entry){
		.phys = phys, .size = size, .iova = iova,
	};
	arena->n++;
	/* In less than this no large block can be. */
	if (size >= ARENA_ALIGN)
		arena->unaligned += !!((iova - phys) & (ARENA_ALIGN - 1));
}

/* Register a piece, in halves if the host refuses it. */
static int arena_piece(struct apple_dma_engine *e,
		       struct apple_dma_arena *arena,
		       const struct apple_dma_range *piece)
{
	struct apple_dma_range todo[APPLE_DMA_ARENA_MAX] = { *piece };
	unsigned int n = 1;

	while (n) {
		struct apple_dma_range *r = &todo[n - 1];
		u64 end = r->phys + r->size, cut, iova;
		int err;

		if (arena->n + n > APPLE_DMA_ARENA_MAX)
			return -EIO;
		err = arena_try(e, r->phys, r->size, &iova);
		if (!err) {
			arena_enter(arena, r->phys, r->size, iova);
			n--;
			continue;
		}
		if (err != -EIO || r->size < 2 * ARENA_LEAST ||
		    arena->n + n + 1 > APPLE_DMA_ARENA_MAX)
			return err;
		cut = arena_guard(arena, r->phys, r->phys + r->size / 2);
		if (!cut)
			return -EBUSY;
		/* The first half is next. */
		todo[n] = (struct apple_dma_range){ r->phys, cut - r->phys };
		*r = (struct apple_dma_range){ cut, end - cut };
		n++;
	}
	return 0;
}

/* The pool: only bounced maps begin there, and they end there, too. */
static int arena_pool(struct apple_dma_engine *e, struct apple_dma_arena *arena,
		      const struct apple_dma_range *pool)
{
	u64 phys = round_down(pool->phys, APPLE_DMA_GRANULE_SIZE), iova;
	u64 end = round_up(pool->phys + pool->size, APPLE_DMA_GRANULE_SIZE);
	int err = -EIO;

	if (arena->n < APPLE_DMA_ARENA_MAX)
		err = arena_try(e, phys, end - phys, &iova);
	if (!err)
		arena_enter(arena, pool->phys, pool->size,
			    iova + (pool->phys - phys));
	return err;
}

static int arena_register(struct apple_dma_engine *e,
			  const struct apple_dma_arena_plan *plan,
			  struct apple_dma_arena *arena)
{
	unsigned int i;
	int err = 0;

	for (i = 0; !err && i < plan->n; i++) {
		struct apple_dma_range piece = plan->piece[i];
		u64 end = piece.phys + piece.size;

		if (plan->pool && i == plan->n - 1)
			return arena_pool(e, arena, &piece);
		if (arena_goes_on(e, end)) {
			end = arena_guard(arena, piece.phys, end);
			if (!end)
				return -EBUSY;
			piece.size = end - piece.phys;
		}
		err = arena_piece(e, arena, &piece);
	}
	return err;
}

/* Look for what an earlier kernel has left. */
static void arena_search(struct apple_dma_engine *e)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	apple_dma_recover_start(e);
	spin_unlock_irqrestore(&e->lock, flags);
}

/**
 * apple_dma_arena_register() - register an arena with the host
 * @e: the engine; no driver maps through it
 * @plan: what is to be registered; a layout fits
 * @arena: zeroed; set to what is registered
 *
 * If the host refuses something, what an earlier kernel has left there is looked
 * for, and the host is asked once more.
 *
 * Context: may sleep.
 * Return: 0; -EIO if the host refuses it in as many pieces as there may be; -EBUSY if
 * no granule can be taken at an end; -ENOSPC if others have the room; -ENOMEM;
 * -EPROTO if the companion is broken. Then nothing is registered.
 */
int apple_dma_arena_register(struct apple_dma_engine *e,
			     const struct apple_dma_arena_plan *plan,
			     struct apple_dma_arena *arena)
{
	u64 recovered = READ_ONCE(e->stats.recovered);
	int err = arena_register(e, plan, arena);

	if (err == -EIO) {
		apple_dma_arena_release(e, arena);
		arena_search(e);
		if (apple_dma_recover_wait(e) != recovered)
			err = arena_register(e, plan, arena);
	}
	if (err)
		apple_dma_arena_release(e, arena);
	else
		arena->layout = plan->layout;
	/* Fillers. */
	apple_dma_idle_drop(e, UINT_MAX, "align");
	return err;
}

/**
 * apple_dma_arena_release() - undo apple_dma_arena_register()
 * @e: the engine; it has no window but those of the arena
 * @arena: zeroed
 *
 * If the companion is broken, the host keeps what it has.
 *
 * Context: may sleep.
 */
void apple_dma_arena_release(struct apple_dma_engine *e,
			     struct apple_dma_arena *arena)
{
	struct apple_dma_window *w;
	unsigned long flags;
	u64 phys = 0;

	spin_lock_irqsave(&e->lock, flags);
	while ((w = apple_dma_index_next(e, phys))) {
		phys = w->phys + 1;
		if (w->guarded)
			__arena_drop(e, w, "close");
	}
	spin_unlock_irqrestore(&e->lock, flags);
	apple_dma_idle_drop(e, UINT_MAX, "close");
	while (arena->guards)
		apple_dma_compat_give(arena->guard[--arena->guards],
				      ARENA_GUARD);
	memset(arena, 0, sizeof(*arena));
}

/* ---- what is registered ---- */

/**
 * apple_dma_arena_limit() - the limit of a device that maps in an arena
 * @arena: what is registered
 *
 * The kernel compares it with a mask of the memory's addresses. If it were the last
 * address, the kernel would take the device for one that does not reach all memory.
 *
 * Context: any.
 * Return: all ones, up to the last device address at least; 1 if nothing is registered.
 */
u64 apple_dma_arena_limit(const struct apple_dma_arena *arena)
{
	unsigned int i;
	u64 last = 1;

	for (i = 0; i < arena->n; i++)
		last = max(last, arena->entry[i].iova + arena->entry[i].size - 1);
	return GENMASK_ULL(fls64(last) - 1, 0);
}

/**
 * apple_dma_arena_vetoes() - may memory not come or go?
 * @arena: what is registered, perhaps nothing
 * @phys: where the memory is
 * @size: bytes
 * @added: it comes, and does not go
 *
 * Other memory of the host may be there when it comes back; a layout that has all
 * memory has it all no more when there is more; and memory directly behind an entry
 * would be mapped together with its end.
 *
 * Context: any.
 */
bool apple_dma_arena_vetoes(const struct apple_dma_arena *arena, u64 phys,
			    u64 size, bool added)
{
	unsigned int i;

	if (added && (arena->layout == APPLE_DMA_LAYOUT_ALL ||
		      arena->layout == APPLE_DMA_LAYOUT_LOW))
		return true;
	for (i = 0; i < arena->n; i++)
		if (phys < arena->entry[i].phys + arena->entry[i].size + added &&
		    arena->entry[i].phys < phys + size)
			return true;
	return false;
}

/* ---- an older table ---- */

static bool arena_contains(const struct apple_dma_arena_entry *a,
			   const struct apple_dma_arena_entry *b)
{
	return b->phys >= a->phys && b->phys - a->phys <= a->size &&
	       b->size <= a->size - (b->phys - a->phys);
}

/*
 * What an old entry needs in a new table: 0 for nothing, 1 for an entry of its own, or
 * -EBUSY.
 */
static int arena_need(const struct apple_dma_arena_entry *table, unsigned int n,
		      const struct apple_dma_arena_entry *old)
{
	bool inside = false;
	unsigned int i;

	for (i = 0; i < n; i++) {
		const struct apple_dma_arena_entry *t = &table[i];
		bool same = t->phys - t->iova == old->phys - old->iova;

		if (arena_contains(t, old)) {
			if (same)
				return 0;
			inside = true;
		}
		if (!same && old->iova < t->iova + t->size &&
		    t->iova < old->iova + old->size)
			return -EBUSY;
	}
	return inside ? 1 : -EBUSY;
}

/**
 * apple_dma_arena_keep() - keep what late frees need of an older table
 * @table: the new table, with room for APPLE_DMA_ARENA_MAX
 * @n: how many entries it has
 * @old: the older one
 * @old_n: how many entries that has
 *
 * The first entry with an address decides. Physical addresses have to be in a new
 * entry, so that no map uses an old one. Device addresses must not be in two.
 *
 * Context: any.
 * Return: how many entries the table has now; -EBUSY if that cannot be had.
 */
int apple_dma_arena_keep(struct apple_dma_arena_entry *table, unsigned int n,
			 const struct apple_dma_arena_entry *old,
			 unsigned int old_n)
{
	unsigned int i, fresh = n;

	for (i = 0; i < old_n; i++) {
		int need = arena_need(table, n, &old[i]);

		/* The memory of an entry is in one that is registered now. */
		if (need > 0 && arena_need(table, fresh, &old[i]) != 1)
			need = -EBUSY;
		if (need < 0 || (need && n == APPLE_DMA_ARENA_MAX))
			return -EBUSY;
		if (need)
			table[n++] = old[i];
	}
	return n;
}
