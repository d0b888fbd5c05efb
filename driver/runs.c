// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a list needs: the granules that it names and that have no window. A list
 * may name neighbours in any order. So each missing granule is a bit, set before
 * the host is asked for the first; then a run of bits becomes one window. It is
 * also known how many bytes the list needs, and whether they can fit at all.
 *
 * A bit stands for granules that are 8 GiB apart. So a run may have granules in
 * it that the list does not name, and the bytes may be counted too low. Neither
 * does harm. There is one set of bits, for one list at a time. Another list
 * takes its own entries for runs, as a single range does.
 */

#include "index.h"
#include "runs.h"

/* Granules that can be told apart: those of 8 GiB. */
#define RUNS_BITS	BIT(19)

/* Blocks start at multiples of APPLE_DMA_BLOCK. */
#define BLOCK_SHIFT	ilog2(APPLE_DMA_BLOCK)
#define BLOCK_BITS	(RUNS_BITS >> (BLOCK_SHIFT - APPLE_DMA_GRANULE_SHIFT))

/* Entries of a list that are looked up with interrupts off, */
#define LOOKUPS_MAX	256
/* and how many of them may be followed by a doorbell in the same hold. */
#define LOOKUPS_FEW	16

/* What the list at hand names and has no window for. */
static DECLARE_BITMAP(runs_missing, RUNS_BITS);
/* Of that, what one of the runs found last is in, or its shape. */
static DECLARE_BITMAP(runs_chosen, RUNS_BITS);
/* Where aligned blocks begin. */
static DECLARE_BITMAP(runs_blocks, BLOCK_BITS);
static struct apple_dma_runs runs_found;
static unsigned long runs_busy;

/* Is the range valid? Context: any. */
bool apple_dma_valid_range(u64 phys, u64 size)
{
	return size && phys + size - 1 >= phys &&
	       phys + size - 1 <= U64_MAX - APPLE_DMA_WINDOW_MAX;
}

/* ---- bits ---- */

static unsigned long runs_bit(u64 phys)
{
	return (phys >> APPLE_DMA_GRANULE_SHIFT) % RUNS_BITS;
}

static unsigned long runs_block(u64 phys)
{
	return (phys >> BLOCK_SHIFT) % BLOCK_BITS;
}

/* Set or clear the bits of the granules from @phys up to @end. */
static void runs_fill(unsigned long *bits, u64 phys, u64 end, bool set)
{
	phys = round_down(phys, APPLE_DMA_GRANULE_SIZE);
	if (end - phys >= (u64)RUNS_BITS << APPLE_DMA_GRANULE_SHIFT)
		end = phys + ((u64)RUNS_BITS << APPLE_DMA_GRANULE_SHIFT);
	while (phys < end) {
		unsigned long first = runs_bit(phys);
		unsigned long n = min_t(u64, RUNS_BITS - first,
					DIV_ROUND_UP_ULL(end - phys,
							 APPLE_DMA_GRANULE_SIZE));

		if (set)
			bitmap_set(bits, first, n);
		else
			bitmap_clear(bits, first, n);
		phys += (u64)n << APPLE_DMA_GRANULE_SHIFT;
	}
}

/* Is a bit set of the granules of a range? */
static bool runs_any(const unsigned long *bits, u64 phys, u64 size)
{
	u64 end = phys + size;

	for (phys = round_down(phys, APPLE_DMA_GRANULE_SIZE); phys < end;
	     phys += APPLE_DMA_GRANULE_SIZE)
		if (test_bit(runs_bit(phys), bits))
			return true;
	return false;
}

/* Does an aligned block begin in a run? */
static bool runs_has_block(const struct apple_dma_range *run)
{
	u64 end = run->phys + run->size, phys;

	for (phys = round_up(run->phys, APPLE_DMA_BLOCK); phys < end;
	     phys += APPLE_DMA_BLOCK)
		if (test_bit(runs_block(phys), runs_blocks))
			return true;
	return false;
}

/* Name a range. Returns how many bytes are new, in whole granules. */
static u64 runs_name(u64 phys, u64 size)
{
	u64 end = phys + size, new = 0;

	if (apple_dma_natural(phys, size) >= APPLE_DMA_BLOCK)
		__set_bit(runs_block(phys), runs_blocks);
	for (phys = round_down(phys, APPLE_DMA_GRANULE_SIZE); phys < end;
	     phys += APPLE_DMA_GRANULE_SIZE)
		if (!__test_and_set_bit(runs_bit(phys), runs_missing))
			new += APPLE_DMA_GRANULE_SIZE;
	return new;
}

/* ---- before the first doorbell; the lock is not held ---- */

static bool runs_needs_room(struct apple_dma_engine *e, struct scatterlist *sg,
			    bool all)
{
	u64 phys = sg_phys(sg);

	if (!apple_dma_valid_range(phys, sg->length))
		return false;
	if (all)
		return !apple_dma_index_busy(e, phys, sg->length);
	return sg_dma_address(sg) == DMA_MAPPING_ERROR &&
	       !apple_dma_index_find(e, phys, sg->length);
}

/*
 * Name what a list needs, up to @most bytes and one more entry. Looks up some
 * entries with interrupts off, and counts with the lock dropped. Returns the
 * bytes.
 */
static u64 runs_name_list(struct apple_dma_engine *e, struct scatterlist *sgl,
			  int nents, bool all, u64 most)
{
	DECLARE_BITMAP(wanted, LOOKUPS_MAX);
	struct scatterlist *sg;
	unsigned long flags;
	int i, n, group;
	u64 need = 0;

	for (i = 0; i < nents && need <= most; i += group) {
		group = min_t(int, nents - i, LOOKUPS_MAX);
		bitmap_zero(wanted, LOOKUPS_MAX);
		spin_lock_irqsave(&e->lock, flags);
		for (n = 0, sg = sgl; n < group; n++, sg = sg_next(sg))
			if (runs_needs_room(e, sg, all))
				__set_bit(n, wanted);
		spin_unlock_irqrestore(&e->lock, flags);
		for (n = 0; n < group; n++, sgl = sg_next(sgl))
			if (test_bit(n, wanted) && need <= most)
				need += runs_name(sg_phys(sgl), sgl->length);
	}
	return need;
}

/* Undo apple_dma_runs_begin(); the lock is not held. */
void apple_dma_runs_end(struct apple_dma_request *req, struct scatterlist *sgl,
			int nents)
{
	struct scatterlist *sg;
	int i;

	if (!req->runs)
		return;
	for_each_sg(sgl, sg, nents, i) {
		runs_fill(runs_missing, sg_phys(sg), sg_phys(sg) + sg->length,
			  false);
		__clear_bit(runs_block(sg_phys(sg)), runs_blocks);
	}
	req->runs = NULL;
	clear_bit_unlock(0, &runs_busy);
}

/**
 * apple_dma_runs_begin() - name what a list needs
 * @e: the engine; its lock is not held
 * @req: the whole list
 * @all: as if nothing of it were mapped
 *
 * A list that does not fit is refused before anything is given back for it.
 *
 * Context: any. Call apple_dma_runs_end() when the list is mapped, or is not.
 * Return: false if the list is certain to fail for lack of bytes: the exact
 * granules of all entries do not fit even without any idle window.
 */
bool apple_dma_runs_begin(struct apple_dma_engine *e,
			  struct apple_dma_request *req, bool all)
{
	bool fits = apple_dma_budget_has_all_ram(e);
	u64 room = apple_dma_budget_left(e), most = 0, need;
	struct scatterlist *sg;
	int i;

	for_each_sg(req->sg, sg, req->left, i)
		if (all || sg_dma_address(sg) == DMA_MAPPING_ERROR)
			most += round_up(sg_phys(sg) + sg->length,
					 APPLE_DMA_GRANULE_SIZE) -
				round_down(sg_phys(sg), APPLE_DMA_GRANULE_SIZE);
	fits |= most <= room;
	/* In strict mode each entry has a window of its own. */
	if ((fits && !apple_dma_engine_lazy(e)) ||
	    test_and_set_bit_lock(0, &runs_busy))
		return true;
	req->runs = &runs_found;
	runs_found.n = 0;
	need = runs_name_list(e, req->sg, req->left, all,
			      fits ? U64_MAX : room);
	if (!apple_dma_engine_lazy(e))
		apple_dma_runs_end(req, req->sg, req->left);
	/* Others may have unmapped, or registered some of it, meanwhile. */
	return fits || need <= max(room, apple_dma_budget_left(e));
}

/* ---- the runs of a batch ---- */

/*
 * Make a run of the granules of a range: with its missing neighbours in the same
 * block of APPLE_DMA_WINDOW_MAX. A run starts where an aligned block does, and
 * ends where one does that is aligned to more than the start.
 */
static void runs_extend(struct apple_dma_range *run)
{
	u64 start = run->phys, end = start + run->size;
	u64 low = round_down(start, APPLE_DMA_WINDOW_MAX);
	u64 high = low + APPLE_DMA_WINDOW_MAX;

	if (end > high)
		return;
	while (start > low && !(IS_ALIGNED(start, APPLE_DMA_BLOCK) &&
				test_bit(runs_block(start), runs_blocks)) &&
	       test_bit(runs_bit(start - APPLE_DMA_GRANULE_SIZE), runs_missing))
		start -= APPLE_DMA_GRANULE_SIZE;
	while (end < high && test_bit(runs_bit(end), runs_missing) &&
	       !(IS_ALIGNED(end, APPLE_DMA_BLOCK) &&
		 test_bit(runs_block(end), runs_blocks) &&
		 (!start || __ffs64(end) > __ffs64(start))))
		end += APPLE_DMA_GRANULE_SIZE;
	run->phys = start;
	run->size = end - start;
}

/* The part of memory that a window of @shape for a run may be in. */
static void runs_choose(const struct apple_dma_range *run, u64 shape, bool set)
{
	runs_fill(runs_chosen, round_down(run->phys, shape),
		  round_up(run->phys + run->size, shape), set);
}

/* The runs of the ranges from the one at hand on, at most a batch; no lock. */
static void runs_find(struct apple_dma_runs *runs, struct apple_dma_request req,
		      u64 shape, unsigned int batch)
{
	unsigned int i;

	runs->n = 0;
	for (; req.left && runs->n < batch; apple_dma_request_next(&req)) {
		struct apple_dma_range *run = &runs->run[runs->n];
		u64 phys = req.range.phys, end = phys + req.range.size;

		if (*apple_dma_request_addr(&req) != DMA_MAPPING_ERROR)
			continue;
		if (!apple_dma_valid_range(phys, req.range.size))
			break;
		if (runs->n && (!runs_any(runs_missing, phys, end - phys) ||
				test_bit(runs_bit(phys), runs_chosen)))
			continue;
		run->phys = round_down(phys, APPLE_DMA_GRANULE_SIZE);
		run->size = round_up(end, APPLE_DMA_GRANULE_SIZE) - run->phys;
		runs_extend(run);
		runs_choose(run, shape, true);
		__assign_bit(runs->n, runs->blocks, runs_has_block(run));
		runs->n++;
	}
	for (i = 0; i < runs->n; i++)
		runs_choose(&runs->run[i], shape, false);
}

/*
 * Is a range in what a window of @shape for the range @last may be in? In strict
 * mode only one that has the same granules can be mapped there.
 */
static bool runs_shares(struct apple_dma_engine *e,
			const struct apple_dma_range *last,
			const struct apple_dma_range *r, u64 shape)
{
	u64 start = round_down(last->phys, shape), first = round_down(r->phys, shape);
	u64 end = round_up(last->phys + last->size, shape);
	u64 behind = round_up(r->phys + r->size, shape);

	return apple_dma_engine_lazy(e) ? first >= start && behind <= end :
					  first == start && behind == end;
}

/*
 * The same for a request that has no bits: its ranges; the lock is held. Returns how
 * many it has looked at.
 */
static unsigned int runs_look_up(struct apple_dma_engine *e,
				 struct apple_dma_request req, u64 shape,
				 unsigned int batch)
{
	struct apple_dma_runs *runs = &e->runs;
	unsigned int i;

	runs->n = 0;
	for (i = 0; req.left && runs->n < batch && i < LOOKUPS_MAX;
	     apple_dma_request_next(&req), i++) {
		const struct apple_dma_range *r = &req.range;

		if (*apple_dma_request_addr(&req) != DMA_MAPPING_ERROR)
			continue;
		if (!apple_dma_valid_range(r->phys, r->size))
			break;
		if (runs->n && runs_shares(e, &runs->run[runs->n - 1], r, shape))
			continue;
		/* The range at hand has none. */
		if (i && apple_dma_index_find(e, r->phys, r->size))
			continue;
		__assign_bit(runs->n, runs->blocks,
			     apple_dma_natural(r->phys, r->size) >= APPLE_DMA_BLOCK);
		runs->run[runs->n++] = *r;
	}
	return i;
}

/*
 * The runs of a request that has no bits. After many lookups the lock is dropped, and
 * NULL is returned. If another request has used the runs meanwhile, they are looked
 * up again, and used in the same hold: otherwise this may go on for ever.
 */
static struct apple_dma_runs *runs_look(struct apple_dma_engine *e,
					struct apple_dma_request *req,
					u64 shape, unsigned int batch,
					unsigned long *flags)
	__must_hold(&e->lock)
{
	const u64 again = req->search;
	unsigned int looked;

	/* They are used once: then some of them have windows. */
	req->search = 0;
	if (again && again == e->runs.search)
		return &e->runs;
	looked = runs_look_up(e, *req, shape, batch);
	e->runs.search++;
	if (again || looked <= LOOKUPS_FEW)
		return &e->runs;
	req->search = e->runs.search;
	apple_dma_engine_relock(e, flags);
	return NULL;
}

/**
 * apple_dma_runs_find() - what to ask the host for next
 * @e: the engine; its lock is held
 * @req: what is to be mapped; the range at hand has no window
 * @shape: bytes that a window has now; one run is enough for what is inside
 * @flags: of spin_lock_irqsave()
 *
 * The lock is dropped while or after a list is searched.
 *
 * Return: runs, that of the range at hand first, valid as long as the lock is held;
 * or NULL if the lock was dropped: the caller has to look again.
 */
struct apple_dma_runs *apple_dma_runs_find(struct apple_dma_engine *e,
					   struct apple_dma_request *req,
					   u64 shape, unsigned long *flags)
	__must_hold(&e->lock)
{
	const unsigned int batch = apple_dma_engine_plan_max(e);

	/* In strict mode a run's window would serve none of its entries. */
	if (!req->runs || !apple_dma_engine_lazy(e))
		return runs_look(e, req, shape, batch, flags);
	if (req->runs->n && req->runs->left == req->left)
		return req->runs;
	req->runs->left = req->left;
	spin_unlock_irqrestore(&e->lock, *flags);
	runs_find(req->runs, *req, shape, batch);
	spin_lock_irqsave(&e->lock, *flags);
	return NULL;
}

/* The host was asked for the runs, and there are these windows now. */
void apple_dma_runs_done(struct apple_dma_request *req,
			 struct list_head *windows)
{
	struct apple_dma_window *w;

	if (!req->runs)
		return;
	req->runs->n = 0;
	list_for_each_entry(w, windows, list)
		runs_fill(runs_missing, w->phys, apple_dma_window_end(w), false);
}
