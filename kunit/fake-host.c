// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fake host: see fake-host.h. All its memory is there from the start, so
 * that the engine may call it with its lock held and interrupts off.
 */

#include <linux/hash.h>
#include <linux/overflow.h>
#include <linux/sched.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "fake-host.h"

/* Registrations that the platform has room for. */
#define SLOTS			65536U

#define GRANULE			((u64)APPLE_DMA_GRANULE_SIZE)

/* FAKE_HOST_FRAGMENTED: one gap in each piece of the address space. */
#define PIECE			BIT_ULL(20)

/* Random places tried before the nearest free one is taken. */
#define TRIES			64

static u64 any(struct fake_host *h, u64 below)
{
	h->seed ^= h->seed << 13;
	h->seed ^= h->seed >> 7;
	h->seed ^= h->seed << 17;
	return (h->seed >> 8) % below;
}

#define wrong(h, ...)							\
	do {								\
		if (!(h)->wrong[0])					\
			snprintf((h)->wrong, sizeof((h)->wrong), __VA_ARGS__); \
	} while (0)

/* ---- lookups; the lock is held ---- */

static struct fake_host_slot *find_gpa(struct fake_host *h, u64 gpa)
{
	struct rb_node *node = h->by_gpa.rb_node;

	while (node) {
		struct fake_host_slot *slot =
			rb_entry(node, struct fake_host_slot, by_gpa);

		if (gpa == slot->gpa)
			return slot;
		node = gpa < slot->gpa ? node->rb_left : node->rb_right;
	}
	return NULL;
}

/* The registration with the lowest address that ends behind @iova, or NULL. */
static struct fake_host_slot *find_end(struct fake_host *h, u64 iova)
{
	struct rb_node *node = h->by_iova.rb_node;
	struct fake_host_slot *best = NULL;

	while (node) {
		struct fake_host_slot *slot =
			rb_entry(node, struct fake_host_slot, by_iova);

		if (slot->iova + slot->len > iova) {
			best = slot;
			node = node->rb_left;
		} else {
			node = node->rb_right;
		}
	}
	return best;
}

static struct fake_host_slot *find_iova(struct fake_host *h, u64 iova)
{
	struct fake_host_slot *slot = find_end(h, iova);

	return slot && slot->iova <= iova ? slot : NULL;
}

/* ---- placement; the lock is held ---- */

static bool is_free(struct fake_host *h, u64 iova, u64 len)
{
	struct fake_host_slot *slot = find_end(h, iova);

	return iova >= h->iova_base &&
	       iova + len <= h->iova_base + h->iova_size &&
	       (!slot || slot->iova >= iova + len);
}

/* The first free place from @from on, once around; 0 if there is none. */
static u64 first_free(struct fake_host *h, u64 from, u64 len)
{
	u64 end = h->iova_base + h->iova_size, iova = from;
	bool around = false;

	for (;;) {
		struct fake_host_slot *slot = find_end(h, iova);

		if (iova + len > end) {
			if (around)
				return 0;
			around = true;
			iova = h->iova_base;
			continue;
		}
		if (!slot || slot->iova >= iova + len)
			return iova;
		iova = slot->iova + slot->len;
		if (around && iova >= from + len)
			return 0;
	}
}

/* A granule's number is odd: aligned to no more than a granule. */
static u64 odd(u64 iova)
{
	return iova | GRANULE;
}

/* A place in the gap of a piece, which has 4, 8, 16 or 32 granules. */
static u64 in_gap(struct fake_host *h, u64 piece, u64 len)
{
	u64 base = h->iova_base + piece * PIECE;
	u64 room = FAKE_HOST_GAP_MIN << (hash_64(piece, 8) % 4);
	u64 iova;

	for (iova = base; iova + len <= base + room; iova += GRANULE)
		if (is_free(h, iova, len))
			return iova;
	return 0;
}

static u64 place_fragmented(struct fake_host *h, u64 len)
{
	u64 pieces = h->iova_size / PIECE, piece, iova;
	unsigned int i;

	for (i = 0; i < TRIES; i++) {
		iova = in_gap(h, any(h, pieces), len);
		if (iova)
			return iova;
	}
	if (len > FAKE_HOST_GAP_MIN)
		return 0;
	for (piece = 0; piece < pieces; piece++) {
		iova = in_gap(h, piece, len);
		if (iova)
			return iova;
	}
	return 0;
}

/* Behind the last one. */
static u64 place_behind(struct fake_host *h, u64 len)
{
	u64 iova = first_free(h, h->next, len);

	h->next = iova ? iova + len : h->iova_base;
	return iova;
}

/* Where the last released one was, or else behind the last one. */
static u64 place_again(struct fake_host *h, u64 len)
{
	u64 i, iova;

	for (i = 1; i <= min_t(u64, h->goes, FAKE_HOST_WENT); i++) {
		iova = h->went[(h->goes - i) % FAKE_HOST_WENT];
		if (is_free(h, iova, len))
			return iova;
	}
	return place_behind(h, len);
}

/* Aligned to the size, rounded up to a power of two. */
static u64 place_aligned(struct fake_host *h, u64 len)
{
	u64 align = roundup_pow_of_two(len), iova;

	for (iova = round_up(h->iova_base, align);
	     iova + len <= h->iova_base + h->iova_size; iova += align)
		if (is_free(h, iova, align))
			return iova;
	return 0;
}

/* Returns the device address of @len bytes, or 0. */
static u64 place(struct fake_host *h, u64 len)
{
	u64 granules = h->iova_size / GRANULE;
	unsigned int i;
	u64 iova;

	switch (h->policy) {
	case FAKE_HOST_FRAGMENTED:
		return place_fragmented(h, len);
	case FAKE_HOST_REUSE:
		return place_again(h, len);
	case FAKE_HOST_ALIGNED:
		return place_aligned(h, len);
	case FAKE_HOST_FIRST_FIT:
		return first_free(h, h->iova_base, len);
	case FAKE_HOST_GUARD:
		h->next += GRANULE;
		return place_behind(h, len);
	case FAKE_HOST_GAPS:
		h->next += (1 + any(h, 7)) * GRANULE;
		return place_behind(h, len);
	case FAKE_HOST_RANDOM:
	case FAKE_HOST_UNALIGNED:
		for (i = 0; i < TRIES; i++) {
			iova = h->iova_base + any(h, granules) * GRANULE;
			if (h->policy == FAKE_HOST_UNALIGNED)
				iova = odd(iova);
			if (is_free(h, iova, len))
				return iova;
		}
		return h->policy == FAKE_HOST_RANDOM ?
		       first_free(h, h->iova_base, len) : 0;
	default:
		return place_behind(h, len);
	}
}

/* ---- the table; the lock is held ---- */

static void note_peak(struct fake_host *dart)
{
	s64 bytes = atomic64_read(&dart->dart_bytes);
	s64 peak = atomic64_read(&dart->dart_peak);

	while (bytes > peak &&
	       !atomic64_try_cmpxchg(&dart->dart_peak, &peak, bytes))
		;
}

/* Returns false if the platform has no room for @len bytes. */
static bool take_bytes(struct fake_host *h, u64 len)
{
	u64 bytes = atomic64_add_return(len, &h->dart->dart_bytes);

	if (bytes <= h->dart->limits.bytes)
		return true;
	atomic64_sub(len, &h->dart->dart_bytes);
	return false;
}

static void insert(struct fake_host *h, struct fake_host_slot *new)
{
	struct rb_node **link = &h->by_gpa.rb_node, *parent = NULL;
	struct fake_host_slot *slot;

	while (*link) {
		parent = *link;
		slot = rb_entry(parent, struct fake_host_slot, by_gpa);
		link = new->gpa < slot->gpa ? &parent->rb_left :
					      &parent->rb_right;
	}
	rb_link_node(&new->by_gpa, parent, link);
	rb_insert_color(&new->by_gpa, &h->by_gpa);

	link = &h->by_iova.rb_node;
	parent = NULL;
	while (*link) {
		parent = *link;
		slot = rb_entry(parent, struct fake_host_slot, by_iova);
		link = new->iova < slot->iova ? &parent->rb_left :
						&parent->rb_right;
	}
	rb_link_node(&new->by_iova, parent, link);
	rb_insert_color(&new->by_iova, &h->by_iova);
	h->bytes += new->len;
	h->entries++;
	note_peak(h->dart);
}

/* Is this refused, even if there is room? */
static bool refuses(struct fake_host *h, u64 gpa, u64 len)
{
	const struct apple_dma_range range = { .phys = gpa, .size = len };

	if (h->refuse) {
		h->refuse--;
		return true;
	}
	if (h->one_in && len > h->longest)
		return true;
	return (range.phys < h->hole.phys + h->hole.size &&
		h->hole.phys < range.phys + range.size) ||
	       (h->one_in && !any(h, h->one_in));
}

/* Returns false if the host refuses. */
static bool map_one(struct fake_host *h, u64 gpa, u64 len, u64 *iova)
{
	struct fake_host_slot *slot;

	if (refuses(h, gpa, len) || (!h->free && h->used == SLOTS) || find_gpa(h, gpa) ||
	    len > h->limits.segment || h->entries >= h->limits.entries ||
	    !take_bytes(h, len))
		return false;
	*iova = h->force;
	h->force = 0;
	if (!*iova)
		*iova = place(h, len);
	if (!*iova) {
		atomic64_sub(len, &h->dart->dart_bytes);
		return false;
	}
	slot = h->free;
	if (slot)
		h->free = slot->next;
	else
		slot = &h->slots[h->used++];
	slot->gpa = gpa;
	slot->len = len;
	slot->iova = *iova;
	slot->mark = 0;
	insert(h, slot);
	return true;
}

static void unmap_one(struct fake_host *h, struct fake_host_slot *slot)
{
	rb_erase(&slot->by_gpa, &h->by_gpa);
	rb_erase(&slot->by_iova, &h->by_iova);
	h->bytes -= slot->len;
	atomic64_sub(slot->len, &h->dart->dart_bytes);
	h->entries--;
	h->went[h->goes++ % FAKE_HOST_WENT] = slot->iova;
	slot->next = h->free;
	h->free = slot;
}

/* ---- the engine's side of the protocol ---- */

static bool in_ram(struct fake_host *h, u64 gpa, u64 len)
{
	unsigned int i;

	for (i = 0; i < h->ram_ranges; i++)
		if (gpa >= h->ram[i].phys && gpa - h->ram[i].phys + len <=
					     h->ram[i].size)
			return true;
	return !h->ram;
}

static void watch_call(struct fake_host *h, unsigned int n)
{
	int unlocks = atomic_read(&seam_unlocks);

	h->counts.doorbells++;
	h->counts.longest = max_t(u64, h->counts.longest, n);
	if (h->unlocks != unlocks)
		h->in_a_row = 0;
	h->unlocks = unlocks;
	h->counts.in_a_row = max(h->counts.in_a_row, ++h->in_a_row);
	if (READ_ONCE(h->asleep))
		wrong(h, "called while the guest sleeps");
	/* On PREEMPT_RT the lock keeps others out, and interrupts come. */
	if (!IS_ENABLED(CONFIG_PREEMPT_RT) && !irqs_disabled())
		wrong(h, "called with interrupts on");
	if (!n || (h->engine && n > h->engine->limits.batch))
		wrong(h, "%u entries in one call", n);
}

/* Counted before it asks: all of it fits, whatever is refused. */
static void watch_budget(struct fake_host *h,
			 const struct apple_dma_map_entry *entries,
			 unsigned int n)
{
	u64 bytes = atomic64_read(&h->dart->dart_bytes);
	unsigned int i;

	/* What it has is refused for its handle: after a sleep it is asked again. */
	for (i = 0; i < n; i++)
		if (!find_gpa(h, entries[i].gpa))
			bytes += entries[i].len;
	if (!h->engine)
		return;
	if (bytes > h->engine->limits.bytes)
		wrong(h, "%llu bytes, more than the limit", bytes);
	if (h->entries + n > h->engine->limits.entries)
		wrong(h, "%llu entries, more than the limit", h->entries + n);
}

static void watch_entry(struct fake_host *h, u64 gpa, u64 len)
{
	if (!len || !IS_ALIGNED(gpa | len, GRANULE))
		wrong(h, "maps %#llx, %#llx bytes: no granules", gpa, len);
	else if (!in_ram(h, gpa, len))
		wrong(h, "maps %#llx, %#llx bytes: not RAM", gpa, len);
}

static bool breaks(struct fake_host *h)
{
	return h->breaks && !--h->breaks;
}

static int fake_host_map(void *host, struct apple_dma_map_entry *entries,
			 unsigned int n)
{
	struct fake_host *h = host;
	unsigned long flags;
	unsigned int i;
	u64 began = seam_host_begins();
	int err = 0;

	spin_lock_irqsave(&h->lock, flags);
	watch_call(h, n);
	watch_budget(h, entries, n);
	h->longest = U64_MAX;
	if (h->one_in && !any(h, h->one_in))
		h->longest = GRANULE << any(h, 9);
	h->counts.map_entries += n;
	for (i = 0; i < n; i++) {
		watch_entry(h, entries[i].gpa, entries[i].len);
		entries[i].err = map_one(h, entries[i].gpa, entries[i].len,
					 &entries[i].iova) ? 0 : -EIO;
		h->counts.refusals += !!entries[i].err;
	}
	if (breaks(h)) {
		err = -EPROTO;
		/* No answer counts, whatever it says. */
		for (i = 0; i < n; i++) {
			entries[i].err = 0;
			entries[i].iova = h->iova_base;
		}
	}
	spin_unlock_irqrestore(&h->lock, flags);
	seam_host_ends(began);
	return err;
}

static int fake_host_unmap(void *host, struct apple_dma_unmap_entry *entries,
			   unsigned int n)
{
	struct fake_host *h = host;
	unsigned long flags;
	unsigned int i;
	u64 began = seam_host_begins();
	bool broke;

	spin_lock_irqsave(&h->lock, flags);
	watch_call(h, n);
#ifdef CONFIG_LOCKDEP
	h->held = current->lockdep_depth;
#endif
	h->counts.unmap_entries += n;
	broke = breaks(h);
	for (i = 0; i < n; i++) {
		struct fake_host_slot *slot =
			h->keeps ? NULL : find_gpa(h, entries[i].handle);

		entries[i].err = slot ? 0 : -EIO;
		h->counts.unknown += !slot;
		/* Its answer is not what it does then. */
		if (slot && !broke)
			unmap_one(h, slot);
	}
	spin_unlock_irqrestore(&h->lock, flags);
	seam_host_ends(began);
	return broke ? -EPROTO : 0;
}

static const char *fake_host_reason(void *host)
{
	return "the fake host was told to";
}

static unsigned int fake_host_fit(void *host)
{
	struct fake_host *h = host;

	return h->fit ?: UINT_MAX;
}

const struct apple_dma_host_ops fake_host_ops = {
	.map = fake_host_map,
	.unmap = fake_host_unmap,
	.reason = fake_host_reason,
	.fit = fake_host_fit,
};

/* ---- what tests ask ---- */

/**
 * fake_host_init() - a host with nothing registered and the platform's limits
 * @h: the host
 * @policy: where it puts what it maps
 * @seed: of its random numbers, not 0
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int fake_host_init(struct fake_host *h, enum fake_host_policy policy, u64 seed)
{
	memset(h, 0, sizeof(*h));
	h->slots = vmalloc(array_size(SLOTS, sizeof(*h->slots)));
	if (!h->slots)
		return -ENOMEM;
	h->free = NULL;
	h->used = 0;
	spin_lock_init(&h->lock);
	h->by_gpa = RB_ROOT;
	h->by_iova = RB_ROOT;
	h->dart = h;
	h->policy = policy;
	h->seed = seed;
	h->iova_base = 0x80000000ULL;
	h->iova_size = 1ULL << 40;
	h->next = h->iova_base;
	h->limits.bytes = APPLE_DMA_DEFAULT_MAX_BYTES;
	h->limits.entries = APPLE_DMA_DEFAULT_MAX_MAPPINGS;
	h->limits.segment = APPLE_DMA_DEFAULT_MAX_BYTES;
	return 0;
}

/**
 * fake_host_free() - undo fake_host_init()
 * @h: the host
 *
 * Context: may sleep.
 */
void fake_host_free(struct fake_host *h)
{
	vfree(h->slots);
	h->slots = NULL;
}

/**
 * fake_host_limit() - change what the host has from now on
 * @h: the host
 * @limits: its limits; what is registered beyond them stays
 */
void fake_host_limit(struct fake_host *h, const struct fake_host_limits *limits)
{
	unsigned long flags;

	spin_lock_irqsave(&h->lock, flags);
	h->limits = *limits;
	spin_unlock_irqrestore(&h->lock, flags);
}

/**
 * fake_host_read() - what the host has counted, all at one moment
 * @h: the host
 * @counts: where to; or NULL
 * @bytes: where to put what is registered; or NULL
 * @entries: the same in registrations; or NULL
 */
void fake_host_read(struct fake_host *h, struct fake_host_counts *counts,
		    u64 *bytes, u64 *entries)
{
	unsigned long flags;

	spin_lock_irqsave(&h->lock, flags);
	if (counts)
		*counts = h->counts;
	if (bytes)
		*bytes = h->bytes;
	if (entries)
		*entries = h->entries;
	spin_unlock_irqrestore(&h->lock, flags);
}

/**
 * fake_host_translate() - what a device would reach
 * @h: the host
 * @iova: device address
 * @found: where to put what it leads to; or NULL
 *
 * Return: false if the access would fault.
 */
bool fake_host_translate(struct fake_host *h, u64 iova,
			 struct fake_host_found *found)
{
	struct fake_host_slot *slot;
	unsigned long flags;

	spin_lock_irqsave(&h->lock, flags);
	slot = find_iova(h, iova);
	if (slot && found) {
		found->gpa = slot->gpa + (iova - slot->iova);
		found->start = slot->gpa;
		found->len = slot->len;
	}
	spin_unlock_irqrestore(&h->lock, flags);
	return slot;
}

/**
 * fake_host_has() - is something registered with this handle?
 * @h: the host
 * @handle: guest-physical start
 */
bool fake_host_has(struct fake_host *h, u64 handle)
{
	unsigned long flags;
	bool has;

	spin_lock_irqsave(&h->lock, flags);
	has = find_gpa(h, handle);
	spin_unlock_irqrestore(&h->lock, flags);
	return has;
}

/**
 * fake_host_mark() - mark the registration that a device address is in
 * @h: the host
 * @iova: device address
 * @mark: not 0
 *
 * Return: true if it had another mark before.
 */
bool fake_host_mark(struct fake_host *h, u64 iova, u64 mark)
{
	struct fake_host_slot *slot;
	unsigned long flags;
	bool new = false;

	spin_lock_irqsave(&h->lock, flags);
	slot = find_iova(h, iova);
	if (slot) {
		new = slot->mark != mark;
		slot->mark = mark;
	}
	spin_unlock_irqrestore(&h->lock, flags);
	return new;
}

/**
 * fake_host_marked() - how many registrations have a mark?
 * @h: the host
 * @mark: as given to fake_host_mark()
 * @bytes: where to put their bytes
 */
u64 fake_host_marked(struct fake_host *h, u64 mark, u64 *bytes)
{
	struct rb_node *node;
	unsigned long flags;
	u64 n = 0;

	*bytes = 0;
	spin_lock_irqsave(&h->lock, flags);
	for (node = rb_first(&h->by_gpa); node; node = rb_next(node)) {
		struct fake_host_slot *slot =
			rb_entry(node, struct fake_host_slot, by_gpa);

		if (slot->mark == mark) {
			*bytes += slot->len;
			n++;
		}
	}
	spin_unlock_irqrestore(&h->lock, flags);
	return n;
}

/**
 * fake_host_plant() - something that an earlier kernel left behind
 * @h: the host
 * @gpa: guest-physical start
 * @len: bytes
 *
 * Return: false if the host has no room for it.
 */
bool fake_host_plant(struct fake_host *h, u64 gpa, u64 len)
{
	unsigned long flags;
	bool done;
	u64 iova;

	spin_lock_irqsave(&h->lock, flags);
	done = map_one(h, gpa, len, &iova);
	spin_unlock_irqrestore(&h->lock, flags);
	return done;
}

/**
 * fake_host_forget() - the host loses a registration by itself
 * @h: the host
 * @handle: guest-physical start
 *
 * Return: false if there was none.
 */
bool fake_host_forget(struct fake_host *h, u64 handle)
{
	struct fake_host_slot *slot;
	unsigned long flags;

	spin_lock_irqsave(&h->lock, flags);
	slot = find_gpa(h, handle);
	if (slot)
		unmap_one(h, slot);
	spin_unlock_irqrestore(&h->lock, flags);
	return slot;
}
