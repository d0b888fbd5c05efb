/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the module share: one companion, its transport to the
 * host, its engine of windows, and the passthrough device it manages.
 */
#ifndef APPLE_DMA_INTERNAL_H
#define APPLE_DMA_INTERNAL_H

#include <linux/completion.h>
#include <linux/device.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/llist.h>
#include <linux/mempool.h>
#include <linux/mutex.h>
#include <linux/notifier.h>
#include <linux/pci.h>
#include <linux/ratelimit.h>
#include <linux/rbtree.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <linux/apple_dma.h>

#include "compat.h"

/*
 * Most entries the module puts in one doorbell. The host works through them
 * while the caller has interrupts off, and the command page with both arrays
 * has to fit one page.
 */
#define APPLE_DMA_BATCH_MAX	64U

#define APPLE_DMA_GRANULE_MASK	((u64)APPLE_DMA_GRANULE_SIZE - 1)

/* ---- seam: engine to host ---- */

/**
 * struct apple_dma_map_entry - one range the host is asked to map
 * @gpa: guest-physical start, the handle too; a multiple of the granule
 * @len: bytes, a multiple of the granule
 * @iova: answer: the device address of @gpa, valid if @err is 0
 * @err: answer: 0, or -EIO if the host refused the range
 */
struct apple_dma_map_entry {
	u64 gpa;
	u64 len;
	u64 iova;
	int err;
};

/**
 * struct apple_dma_unmap_entry - one mapping the host is asked to release
 * @handle: the @gpa it was mapped with
 * @len: its bytes
 * @err: answer: 0, or -EIO if the host refused
 */
struct apple_dma_unmap_entry {
	u64 handle;
	u64 len;
	int err;
};

/**
 * struct apple_dma_host_ops - the way to a host, real or faked
 * @map: map @n (1 to the batch limit) ranges with one doorbell
 * @unmap: release @n mappings with one doorbell
 * @reason: after -EPROTO: what the host did wrong; a string constant
 *
 * Called with the engine's lock held and interrupts off; must not sleep. The
 * answers have been checked against the protocol: an entry with @err 0 was
 * confirmed by the host for its whole length.
 *
 * @map and @unmap return 0 when every entry has an answer, or -EPROTO when the host
 * broke the protocol: then no answer counts, and the caller must not trust
 * the host again.
 */
struct apple_dma_host_ops {
	int (*map)(void *host, struct apple_dma_map_entry *entries,
		   unsigned int n);
	int (*unmap)(void *host, struct apple_dma_unmap_entry *entries,
		     unsigned int n);
	const char *(*reason)(void *host);
};

/* ---- engine.c, on window.c, index.c, idle.c, shape.c, ram.c ---- */

/* Why a mapping failed; engine.c has the sentences. */
enum apple_dma_fail {
	APPLE_DMA_FAIL_BYTES,	/* the byte budget is used up */
	APPLE_DMA_FAIL_ENTRIES,	/* the entry budget is used up */
	APPLE_DMA_FAIL_HOST,	/* the host refused the exact granules */
	APPLE_DMA_FAIL_MASK,	/* the device cannot reach the address */
	APPLE_DMA_FAIL_ALIGN,	/* no address as aligned as was promised */
	APPLE_DMA_FAIL_HANDLE,	/* no unique handle for the range */
	APPLE_DMA_FAIL_MEMORY,	/* no memory for a window */
	APPLE_DMA_FAIL_NOT_RAM,	/* not ordinary guest memory */
	APPLE_DMA_FAIL_BROKEN,	/* the companion is broken or stopped */
	APPLE_DMA_FAIL_BUG,	/* the module planned what cannot be */
	APPLE_DMA_FAIL_COUNT
};

/* When windows go back to the host, and how large they are. */
enum apple_dma_mode {
	APPLE_DMA_MODE_CACHED,	/* kept while idle; shapes follow the room left */
	APPLE_DMA_MODE_STRICT,	/* exact granules, gone before unmap returns */
	APPLE_DMA_MODE_FIXED,	/* a baseline to compare with: always 256 KiB,
				 * gone at the last unmap, an entry a doorbell
				 */
	APPLE_DMA_MODE_COUNT
};

/**
 * struct apple_dma_limits - what an engine may register with its host
 * @bytes: most bytes, a multiple of the granule
 * @entries: most registrations
 * @batch: most entries in one call of the host, 1 to APPLE_DMA_BATCH_MAX
 */
struct apple_dma_limits {
	u64 bytes;
	u32 entries;
	u32 batch;
};

/**
 * struct apple_dma_stats - a snapshot of an engine's counters
 * @mapped_bytes: bytes registered with the host now
 * @mapped_entries: registrations now
 * @live_bytes: bytes drivers hold mapped now
 * @live_mappings: mappings drivers hold now
 * @idle_bytes: bytes of @mapped_bytes in windows without a mapping
 * @idle_entries: the windows of @idle_bytes
 * @peak_bytes: most @mapped_bytes so far
 * @peak_entries: most @mapped_entries so far
 * @hits: mappings made in windows that were there
 * @misses: mappings that had to wait for a new window; the first one in it
 * @slow_paths: maps and unmaps, each list one, that took the engine's lock
 * @evictions: windows given back although mode=cached would have kept them
 * @refusals: windows that the host refused
 * @failures: mappings refused, by cause
 * @recovered: registrations of an earlier kernel that were released
 * @bad_unmaps: unmaps of addresses that were not mapped
 * @learned_bytes: what the host seems to allow, if less than the limit; or 0
 * @learned_entries: the same for registrations
 * @window_bytes: size of the next shared window
 */
struct apple_dma_stats {
	u64 mapped_bytes;
	u64 mapped_entries;
	u64 live_bytes;
	u64 live_mappings;
	u64 idle_bytes;
	u64 idle_entries;
	u64 peak_bytes;
	u64 peak_entries;
	u64 hits;
	u64 misses;
	u64 slow_paths;
	u64 evictions;
	u64 refusals;
	u64 failures[APPLE_DMA_FAIL_COUNT];
	u64 recovered;
	u64 bad_unmaps;
	u64 learned_bytes;
	u64 learned_entries;
	u64 window_bytes;
};

/**
 * struct apple_dma_percpu - counters that a hit changes
 * @maps: mappings made
 * @unmaps: mappings ended
 * @map_bytes: bytes of @maps
 * @unmap_bytes: bytes of @unmaps
 * @idle_entries: windows gone idle less windows taken into use
 * @idle_bytes: the same in bytes
 *
 * Only the sums over all CPUs mean something.
 */
struct apple_dma_percpu {
	u64 maps;
	u64 unmaps;
	u64 map_bytes;
	u64 unmap_bytes;
	s64 idle_entries;
	s64 idle_bytes;
};

/**
 * struct apple_dma_range - a range of guest-physical memory
 * @phys: guest-physical address
 * @size: bytes
 */
struct apple_dma_range {
	u64 phys;
	u64 size;
};

/* Do two ranges have an address in common, or touch? */
static inline bool apple_dma_touch(const struct apple_dma_range *a,
				   const struct apple_dma_range *b)
{
	return a->phys <= b->phys + b->size && b->phys <= a->phys + a->size;
}

struct apple_dma_engine;

/**
 * struct apple_dma_ram - where the guest has memory
 * @ranges: System RAM, in ascending order, no two of them touch
 * @n: how many
 * @bytes: their sum
 * @nb: memory hotplug; registered if @watched
 * @watched: @nb is registered
 * @gone: called with a range that goes offline, in process context
 *
 * Only windows larger than what was asked for are looked up here.
 */
struct apple_dma_ram {
	struct apple_dma_range *ranges;
	unsigned int n;
	u64 bytes;
	struct notifier_block nb;
	bool watched;
	void (*gone)(struct apple_dma_engine *e, u64 start, u64 end);
};

/**
 * struct apple_dma_belief - for how long something learned is believed
 * @wait: jiffies for which it is; 0 if nothing was learned
 * @until: jiffies when that is over
 */
struct apple_dma_belief {
	unsigned long wait;
	unsigned long until;
};

/* Ranges that the host refuses although it has room. */
#define APPLE_DMA_OWN_MAX	4U

/**
 * struct apple_dma_learned - what the host did not announce
 * @bytes: it refused to go beyond this; U64_MAX if it never did
 * @entries: the same for registrations; U32_MAX
 * @shape: larger windows than this were refused for their size; U64_MAX
 * @refused: it refused this range last; of size 0 for none
 * @limit: it refused two ranges of this size or less, in two places: nothing as
 *	large is asked for, wherever it is; 0 for none
 * @refused_bytes: with so many bytes registered
 * @refused_entries: and so many registrations
 * @most_bytes: it is no limit if so many bytes are registered; U64_MAX if there
 *	is none
 * @most_entries: and so many registrations
 * @belief: in all of the above
 * @own: ranges that it refuses although it takes others
 * @own_belief: in each of them
 * @own_next: the one that is replaced next
 */
struct apple_dma_learned {
	u64 bytes;
	u32 entries;
	u64 shape;
	struct apple_dma_range refused;
	u64 limit;
	u64 refused_bytes;
	u64 refused_entries;
	u64 most_bytes;
	u64 most_entries;
	struct apple_dma_belief belief;
	struct apple_dma_range own[APPLE_DMA_OWN_MAX];
	struct apple_dma_belief own_belief[APPLE_DMA_OWN_MAX];
	unsigned int own_next;
};

/**
 * struct apple_dma_engine - the windows registered with one host
 * @fast: hits need no lock: a driver may map, mode=cached, not broken
 * @by_phys: windows by guest-physical granule, for hits; under RCU
 * @by_iova: windows by device-address granule, for hits; under RCU
 * @percpu: counters that a hit changes
 * @dev: names the engine in the log
 * @host_ops: the way to the host
 * @host: handed to @host_ops
 * @limits: the budget; constant but for @limits.batch
 * @pool: struct apple_dma_window, with a reserve for atomic context
 * @freed: windows that went idle and are not on @idle yet; lock-free
 * @lock: protects all below it; taken with interrupts off
 * @mode: what the administrator asked for
 * @unsafe: the guest gives memory back to the host: strict whatever @mode
 * @idle_ms: idle windows are given back after so many ms; 0 for never
 * @phys: windows by guest-physical range; ranges may overlap, starts may not
 * @iova: windows by device address; ranges never overlap
 * @idle: windows that may be idle, coldest first; see idle.c
 * @idle_large: the same for large ones
 * @listed: how many are on both
 * @stats: counters
 * @abandoned: mappings in @percpu that ended with their driver
 * @abandoned_bytes: their bytes
 * @learned: limits of the host that it did not announce
 * @ram: where the guest has memory
 * @broken: the host broke the protocol; it is not asked again
 * @stopped: shut down; it is not asked again
 * @closed: there is no driver that may map
 * @reason: why @broken, for the log; a string constant
 * @alert: says so; not where it is found out, because a console may be on a
 *	device that maps through this engine
 * @broke: called then, in process context; may be NULL
 * @ager: gives back what has been idle for @idle_ms
 * @swept: @sweep was started, since the engine began or was restored
 * @clean: @sweep has ended: nothing of an earlier kernel is left
 * @sweep: releases what an earlier kernel left on the host
 * @searched: @sweep has ended, or will not run
 * @old: where a kernel that crashed had memory, for @sweep; or NULL
 * @old_n: how many ranges
 * @limit_log: one rate limit for each cause of failure
 * @map_scratch: entries of the batch under construction
 * @unmap_scratch: the same for releases
 * @knobs: one change of @mode, @unsafe at a time
 * @shrinker: gives back idle windows when the guest is short of memory
 */
struct apple_dma_engine {
	bool fast;
	struct xarray by_phys;
	struct xarray by_iova;
	struct apple_dma_percpu __percpu *percpu;
	struct device *dev;
	const struct apple_dma_host_ops *host_ops;
	void *host;
	struct apple_dma_limits limits;
	mempool_t *pool;
	struct llist_head freed ____cacheline_aligned_in_smp;
	spinlock_t lock ____cacheline_aligned_in_smp; /* all below */
	enum apple_dma_mode mode;
	bool unsafe;
	unsigned int idle_ms;
	struct rb_root_cached phys;
	struct rb_root iova;
	struct list_head idle;
	struct list_head idle_large;
	unsigned int listed;
	struct apple_dma_stats stats;
	u64 abandoned;
	s64 abandoned_bytes;
	struct apple_dma_learned learned;
	struct apple_dma_ram ram;
	bool broken;
	bool stopped;
	bool closed;
	bool swept;
	bool clean;
	const char *reason;
	struct work_struct alert;
	void (*broke)(struct apple_dma_engine *e);
	struct delayed_work ager;
	struct work_struct sweep;
	struct completion searched;
	struct apple_dma_range *old;
	unsigned int old_n;
	struct ratelimit_state limit_log[APPLE_DMA_FAIL_COUNT];
	struct apple_dma_map_entry map_scratch[APPLE_DMA_BATCH_MAX];
	struct apple_dma_unmap_entry unmap_scratch[APPLE_DMA_BATCH_MAX];
	struct mutex knobs; /* changes of mode, unsafe */
	struct apple_dma_shrinker shrinker;
};

int apple_dma_window_init(void);
void apple_dma_window_exit(void);

int apple_dma_engine_init(struct apple_dma_engine *e, struct device *dev,
			  const struct apple_dma_limits *limits,
			  const struct apple_dma_host_ops *ops, void *host);
int apple_dma_engine_create(struct apple_dma_engine *e, struct device *dev,
			    const struct apple_dma_limits *limits,
			    const struct apple_dma_host_ops *ops, void *host);
void apple_dma_engine_destroy(struct apple_dma_engine *e);
void apple_dma_engine_stop(struct apple_dma_engine *e);
void apple_dma_engine_open(struct apple_dma_engine *e);
void apple_dma_engine_close(struct apple_dma_engine *e);
u64 apple_dma_engine_abandon(struct apple_dma_engine *e);
bool apple_dma_engine_release(struct apple_dma_engine *e);
bool apple_dma_engine_left(struct apple_dma_engine *e, u64 *phys,
			   struct apple_dma_range *range);
void apple_dma_engine_set_mode(struct apple_dma_engine *e,
			       enum apple_dma_mode mode);
void apple_dma_engine_set_unsafe(struct apple_dma_engine *e);
void apple_dma_engine_set_idle_ms(struct apple_dma_engine *e,
				  unsigned int idle_ms);
void apple_dma_engine_flush(struct apple_dma_engine *e);
void apple_dma_engine_suspend(struct apple_dma_engine *e);
bool apple_dma_engine_resume(struct apple_dma_engine *e);
void apple_dma_engine_freeze(struct apple_dma_engine *e);
void apple_dma_engine_thaw(struct apple_dma_engine *e);
void apple_dma_engine_restore(struct apple_dma_engine *e);
void apple_dma_engine_set_batch(struct apple_dma_engine *e, u32 batch);
void apple_dma_engine_snapshot(struct apple_dma_engine *e,
			       struct apple_dma_stats *stats);

dma_addr_t apple_dma_pin(struct apple_dma_engine *e, phys_addr_t phys,
			 size_t size, u64 mask);
dma_addr_t apple_dma_refuse(struct apple_dma_engine *e,
			    enum apple_dma_fail cause, size_t size);
int apple_dma_unpin(struct apple_dma_engine *e, dma_addr_t addr, size_t size,
		    phys_addr_t *phys);
int apple_dma_pin_sg(struct apple_dma_engine *e, struct scatterlist *sgl,
		     int nents, u64 mask);
int apple_dma_unpin_sg(struct apple_dma_engine *e, struct scatterlist *sgl,
		       int nents);

int apple_dma_ram_init(struct apple_dma_engine *e);
int apple_dma_ram_set(struct apple_dma_engine *e,
		      const struct apple_dma_range *ranges, unsigned int n);
void apple_dma_ram_exit(struct apple_dma_engine *e);

u64 apple_dma_recover_wait(struct apple_dma_engine *e);
void apple_dma_oldmem_init(struct apple_dma_engine *e);

int apple_dma_shrinker_start(struct apple_dma_engine *e);
void apple_dma_shrinker_stop(struct apple_dma_engine *e);

/* ---- transport.c: the companion's registers and command page ---- */

/**
 * struct apple_dma_transport - the command page of one companion
 * @dev: names the companion in the log
 * @bar: its registers
 * @page: command page, then the two arrays; shared with the host
 * @page_gpa: guest-physical address of @page
 * @host_max: MAX_ENTRIES as read once
 * @wide: the host uses the wide map entries
 * @doorbells: doorbells rung, the layout probe included
 * @requests: entries in all of them
 * @batches: doorbells with more than one entry
 * @ns_sum: how long the writes took that trap
 * @ns_min: the shortest of them
 * @ns_max: the longest of them
 * @reason: after -EPROTO: what the host did wrong; a string constant
 * @undo: mappings of a batch that came too short, and are to be released
 *
 * Calls that ring the doorbell must not run at the same time; the engine's
 * lock sees to it.
 */
struct apple_dma_transport {
	struct device *dev;
	void __iomem *bar;
	void *page;
	phys_addr_t page_gpa;
	u32 host_max;
	bool wide;
	u64 doorbells;
	u64 requests;
	u64 batches;
	u64 ns_sum;
	u64 ns_min;
	u64 ns_max;
	const char *reason;
	struct apple_dma_unmap_entry undo[APPLE_DMA_BATCH_MAX];
};

extern const struct apple_dma_host_ops apple_dma_transport_ops;

int apple_dma_transport_init(struct apple_dma_transport *t,
			     struct device *dev, void __iomem *bar);
int apple_dma_transport_start(struct apple_dma_transport *t);
void apple_dma_transport_program(struct apple_dma_transport *t);
void apple_dma_transport_clear(struct apple_dma_transport *t);
void apple_dma_transport_free(struct apple_dma_transport *t, bool leak);

/* ---- managed.c: the passthrough device ---- */

/**
 * struct apple_dma_managed - the passthrough device of one companion
 * @lock: protects @dev, @attached, @reattach, @offline, @visible, @lost
 * @claim: in the list of all managed devices
 * @nb: on the PCI bus: sees the device come, bind, unbind and go
 * @work: what cannot be done in a notifier
 * @bus: bus number of MANAGED_BDF
 * @devfn: device and function of MANAGED_BDF
 * @dev: the device, with a reference; NULL while it is not there
 * @attached: the module's ops are on @dev, and the module is pinned
 * @reattach: @work is to bind @dev to its driver again
 * @released: the device lost its driver to be probed again
 * @offline: @dev is said to be gone, until it has no driver any more
 * @visible: the companion's sysfs group exists
 * @lost: the driver's device addresses lead nowhere; @work is to unbind it first
 */
struct apple_dma_managed {
	struct mutex lock; /* dev, attached, reattach, offline, visible, lost */
	struct list_head claim;
	struct notifier_block nb;
	struct work_struct work;
	u8 bus;
	u8 devfn;
	struct device *dev;
	bool attached;
	bool reattach;
	bool released;
	bool offline;
	bool visible;
	bool lost;
};

/* ---- main.c ---- */

/**
 * struct apple_dma_balloon - what may take memory from the guest
 * @pci: on the PCI bus
 * @platform: on the platform bus, for virtio-mmio
 */
struct apple_dma_balloon {
	struct notifier_block pci;
	struct notifier_block platform;
};

/**
 * struct apple_dma - one companion
 * @pdev: its PCI function, with a reference
 * @ops: what is installed on the passthrough device; a copy of its own, so
 *	that an op finds its companion from the device's ops pointer
 * @engine: the windows
 * @transport: the way to the host
 * @managed: the passthrough device
 * @balloon: looks for what takes memory from the guest
 * @debugfs: its folder there, or NULL, or an error
 * @leaked_bytes: memory not given back because the device may still reach it
 * @ref: held while the companion is bound, and while it has orphans
 * @memory: struct apple_dma_memory, what drivers have allocated
 * @orphans: how many of @memory have outlived their driver
 * @orphaned: orphans hold a reference to the companion and to the module
 * @orphanage: in the list of companions that are @orphaned
 * @draining: the windows of new orphans are not gone from the host yet
 * @reap: drops what orphans hold when the last one is gone
 */
struct apple_dma {
	struct pci_dev *pdev;
	struct dma_map_ops ops;
	struct apple_dma_engine engine;
	struct apple_dma_transport transport;
	struct apple_dma_managed managed;
	struct apple_dma_balloon balloon;
	struct dentry *debugfs;
	atomic64_t leaked_bytes;
	struct kref ref;
	struct list_head memory;
	u64 orphans;
	bool orphaned;
	struct list_head orphanage;
	bool draining;
	struct work_struct reap;
};

void apple_dma_put(struct apple_dma *ad);

int apple_dma_managed_init(struct apple_dma *ad, u32 bdf);
int apple_dma_managed_start(struct apple_dma *ad);
void apple_dma_managed_show(struct apple_dma *ad);
void apple_dma_managed_hide(struct apple_dma *ad);
void apple_dma_managed_stop(struct apple_dma *ad);
void apple_dma_managed_giveup(struct apple_dma *ad);
void apple_dma_managed_reap(struct work_struct *work);
void apple_dma_managed_quiesce(struct apple_dma *ad);
void apple_dma_managed_offline(struct apple_dma_engine *e);
void apple_dma_managed_lose(struct apple_dma *ad);
void apple_dma_managed_probe_again(struct apple_dma *ad);

/* ---- balloon.c ---- */

int apple_dma_balloon_start(struct apple_dma *ad);
void apple_dma_balloon_stop(struct apple_dma *ad);

/* ---- dma_ops.c ---- */

extern const struct dma_map_ops apple_dma_ops;

bool apple_dma_is_ours(const struct dma_map_ops *ops);
void apple_dma_keep_left(struct apple_dma *ad);

/* ---- memory.c ---- */

struct page *apple_dma_memory_alloc(struct apple_dma *ad, struct device *dev,
				    size_t size, dma_addr_t *addr, gfp_t gfp,
				    u64 mask);
void apple_dma_memory_free(size_t size, struct page *page, dma_addr_t addr);
u64 apple_dma_memory_orphan(struct apple_dma *ad, u64 *left);
void apple_dma_memory_drained(struct apple_dma *ad, bool reachable);
const struct dma_map_ops *apple_dma_memory_ops(struct device *dev);
bool apple_dma_memory_reap(struct apple_dma *ad);

/* ---- sysfs.c ---- */

#define APPLE_DMA_SYSFS_GROUP	"apple_dma"

extern const struct attribute_group apple_dma_sysfs_group;

int apple_dma_sysfs_mode(const char *name);

/* ---- debugfs.c ---- */

extern const struct seq_operations apple_dma_windows_sops;

void apple_dma_debugfs_add(struct apple_dma *ad);
void apple_dma_debugfs_remove(struct apple_dma *ad);
void apple_dma_debugfs_init(void);
void apple_dma_debugfs_exit(void);

#endif /* APPLE_DMA_INTERNAL_H */
