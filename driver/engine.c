// SPDX-License-Identifier: GPL-2.0-only
/*
 * The engine: mappings of drivers on top of windows of the host.
 *
 * One lock covers an engine. It is held across doorbells, with interrupts
 * off, and dropped between them; a doorbell has at most limits.batch entries.
 *
 * Knows no PCI. The host is behind struct apple_dma_host_ops.
 */

#include <linux/mempool.h>
#include <linux/scatterlist.h>

#include "window.h"

static const char *const fail_texts[APPLE_DMA_FAIL_COUNT] = {
	[APPLE_DMA_FAIL_BYTES] = "the byte budget is used up (module parameter max_bytes)",
	[APPLE_DMA_FAIL_ENTRIES] = "the entry budget is used up (module parameter max_entries)",
	[APPLE_DMA_FAIL_HOST] = "the host refused it (lower max_bytes, max_entries?)",
	[APPLE_DMA_FAIL_MASK] = "the host's address is beyond the device's DMA mask",
	[APPLE_DMA_FAIL_HANDLE] = "no unique handle is left for the range",
	[APPLE_DMA_FAIL_MEMORY] = "no memory for a window",
	[APPLE_DMA_FAIL_NOT_RAM] = "it is not ordinary guest memory",
	[APPLE_DMA_FAIL_BROKEN] = "the companion is broken or stopped, or the device has no driver",
};

/* ---- pins; the lock is held ---- */

static dma_addr_t take(struct apple_dma_engine *e, struct apple_dma_window *w,
		       u64 phys, u64 size, u64 mask)
{
	u64 addr = w->iova + (phys - w->phys);

	if (addr + size - 1 > mask)
		return DMA_MAPPING_ERROR;
	if (!w->live++)
		list_del_init(&w->list);
	e->stats.live_mappings++;
	e->stats.live_bytes += size;
	return addr;
}

static int put(struct apple_dma_engine *e, struct apple_dma_window *w,
	       u64 size)
{
	if (!w || !w->live) {
		if (e->stopped)
			return 0;
		e->stats.bad_unmaps++;
		return -ENOENT;
	}
	if (!--w->live)
		list_add_tail(&w->list, &e->idle);
	e->stats.live_mappings--;
	e->stats.live_bytes -= min(size, e->stats.live_bytes);
	return 0;
}

static void log_failure(struct apple_dma_engine *e, enum apple_dma_fail cause,
			u64 size)
{
	if (!__ratelimit(&e->limit_log[cause]))
		return;
	dev_warn(e->dev,
		 "cannot map %llu bytes: %s; now %llu of %llu bytes and %llu of %u entries\n",
		 size, fail_texts[cause], e->stats.mapped_bytes,
		 e->limits.bytes, e->stats.mapped_entries, e->limits.entries);
}

static void log_bad_unmap(struct apple_dma_engine *e, u64 addr)
{
	dev_err_ratelimited(e->dev,
			    "the driver unmaps device address %#llx, which is not mapped; the driver is at fault\n",
			    addr);
}

static bool valid_range(u64 phys, u64 size)
{
	return size && phys + size - 1 >= phys &&
	       phys + size - 1 <= U64_MAX - APPLE_DMA_WINDOW_MAX;
}

/**
 * apple_dma_pin_sg() - map a scatterlist
 * @e: the engine
 * @sgl: the list; its DMA addresses and lengths are set
 * @nents: entries to map, at least 1
 * @mask: highest device address the device reaches
 *
 * All entries of a batch that have no window yet go to the host with one
 * doorbell.
 *
 * Context: any.
 * Return: 0, or -ENOMEM when the budget or memory is used up, -EREMOTEIO for
 * memory that is not guest RAM, -EIO for the rest; then nothing is mapped and
 * the cause has been counted and logged.
 */
int apple_dma_pin_sg(struct apple_dma_engine *e, struct scatterlist *sgl,
		     int nents, u64 mask)
{
	enum apple_dma_fail cause = APPLE_DMA_FAIL_HOST;
	struct scatterlist *sg, *ahead;
	u64 failed_size = 0;
	bool rang = false;
	unsigned long flags;
	unsigned int n;
	int i, j;

	spin_lock_irqsave(&e->lock, flags);
	for_each_sg(sgl, sg, nents, i) {
		struct apple_dma_window *w;
		u64 phys = sg_phys(sg);
		dma_addr_t addr;

		failed_size = sg->length;
		w = apple_dma_window_find_phys(e, phys, sg->length);
		if (!w && rang) {
			/* Let interrupts in between two batches. */
			spin_unlock_irqrestore(&e->lock, flags);
			spin_lock_irqsave(&e->lock, flags);
			w = apple_dma_window_find_phys(e, phys, sg->length);
		}
		if (e->broken || e->stopped || e->closed) {
			cause = APPLE_DMA_FAIL_BROKEN;
			goto unpin;
		}
		if (!valid_range(phys, sg->length)) {
			cause = APPLE_DMA_FAIL_NOT_RAM;
			goto unpin;
		}

		if (!w) {
			rang = true;
			n = 0;
			for (j = i, ahead = sg;
			     j < nents && n < e->limits.batch;
			     j++, ahead = sg_next(ahead)) {
				if (!valid_range(sg_phys(ahead), ahead->length))
					break;
				e->range_scratch[n].phys = sg_phys(ahead);
				e->range_scratch[n].size = ahead->length;
				n++;
			}
			cause = apple_dma_window_cover(e, n);
			w = apple_dma_window_find_phys(e, phys, sg->length);
		}
		if (!w || e->broken) {
			if (e->broken)
				cause = APPLE_DMA_FAIL_BROKEN;
			goto unpin;
		}

		addr = take(e, w, phys, sg->length, mask);
		if (addr == DMA_MAPPING_ERROR) {
			cause = APPLE_DMA_FAIL_MASK;
			goto unpin;
		}
		sg_dma_address(sg) = addr;
		sg_dma_len(sg) = sg->length;
	}
	apple_dma_window_release_idle(e, &flags);
	spin_unlock_irqrestore(&e->lock, flags);
	return 0;

unpin:
	if (cause == APPLE_DMA_FAIL_HOST)
		apple_dma_recover_start(e);
	nents = i;
	for_each_sg(sgl, sg, nents, i)
		put(e, apple_dma_window_find_iova(e, sg_dma_address(sg)), sg_dma_len(sg));
	apple_dma_window_release_idle(e, &flags);
	e->stats.failures[cause]++;
	spin_unlock_irqrestore(&e->lock, flags);

	log_failure(e, cause, failed_size);
	switch (cause) {
	case APPLE_DMA_FAIL_BYTES:
	case APPLE_DMA_FAIL_ENTRIES:
	case APPLE_DMA_FAIL_MEMORY:
		return -ENOMEM;
	case APPLE_DMA_FAIL_NOT_RAM:
		return -EREMOTEIO;
	default:
		return -EIO;
	}
}

/**
 * apple_dma_pin() - map one range
 * @e: the engine
 * @phys: guest-physical address
 * @size: bytes
 * @mask: highest device address the device reaches
 *
 * Context: any.
 * Return: the device address of @phys, valid for @size bytes until
 * apple_dma_unpin(), or DMA_MAPPING_ERROR after the cause was counted and
 * logged.
 */
dma_addr_t apple_dma_pin(struct apple_dma_engine *e, phys_addr_t phys,
			 size_t size, u64 mask)
{
	enum apple_dma_fail cause = APPLE_DMA_FAIL_BROKEN;
	dma_addr_t addr = DMA_MAPPING_ERROR;
	struct apple_dma_window *w;
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	if (e->broken || e->stopped || e->closed)
		goto fail;
	if (!valid_range(phys, size)) {
		cause = APPLE_DMA_FAIL_NOT_RAM;
		goto fail;
	}

	w = apple_dma_window_find_phys(e, phys, size);
	if (!w) {
		e->range_scratch[0].phys = phys;
		e->range_scratch[0].size = size;
		cause = apple_dma_window_cover(e, 1);
		w = apple_dma_window_find_phys(e, phys, size);
	}
	if (w && !e->broken) {
		addr = take(e, w, phys, size, mask);
		if (addr == DMA_MAPPING_ERROR)
			cause = APPLE_DMA_FAIL_MASK;
	} else if (e->broken) {
		cause = APPLE_DMA_FAIL_BROKEN;
	}
	if (addr == DMA_MAPPING_ERROR)
		goto fail;
	apple_dma_window_release_idle(e, &flags);
	spin_unlock_irqrestore(&e->lock, flags);
	return addr;

fail:
	if (cause == APPLE_DMA_FAIL_HOST)
		apple_dma_recover_start(e);
	apple_dma_window_release_idle(e, &flags);
	spin_unlock_irqrestore(&e->lock, flags);
	return apple_dma_refuse(e, cause, size);
}

/**
 * apple_dma_refuse() - count and log a mapping that cannot be made
 * @e: the engine
 * @cause: why not
 * @size: bytes that were to be mapped
 *
 * Context: any.
 * Return: DMA_MAPPING_ERROR.
 */
dma_addr_t apple_dma_refuse(struct apple_dma_engine *e,
			    enum apple_dma_fail cause, size_t size)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	e->stats.failures[cause]++;
	spin_unlock_irqrestore(&e->lock, flags);
	log_failure(e, cause, size);
	return DMA_MAPPING_ERROR;
}

/**
 * apple_dma_unpin() - end one mapping
 * @e: the engine
 * @addr: what apple_dma_pin() returned
 * @size: bytes, as they were pinned
 * @phys: where to put the guest-physical address of @addr, or NULL; set
 *	unless -ENOENT is returned
 *
 * When it was the last mapping in its window, the window is gone from the
 * host when this returns.
 *
 * Context: any.
 * Return: 0; -EIO if the companion is broken, so that the device may still
 * reach the memory; -ENOENT if @addr is not mapped.
 */
int apple_dma_unpin(struct apple_dma_engine *e, dma_addr_t addr, size_t size,
		    phys_addr_t *phys)
{
	struct apple_dma_window *w;
	unsigned long flags;
	int err;

	spin_lock_irqsave(&e->lock, flags);
	w = apple_dma_window_find_iova(e, addr);
	if (w && phys)
		*phys = w->phys + (addr - w->iova);
	err = put(e, w, size);
	apple_dma_window_release_idle(e, &flags);
	if (!err && w && e->broken)
		err = -EIO;
	spin_unlock_irqrestore(&e->lock, flags);

	if (err == -ENOENT)
		log_bad_unmap(e, addr);
	return err;
}

/**
 * apple_dma_unpin_sg() - end the mappings of a scatterlist
 * @e: the engine
 * @sgl: the list
 * @nents: entries, as they were pinned
 *
 * Windows left without a mapping go back to the host, limits.batch to a
 * doorbell, before this returns.
 *
 * Context: any.
 * Return: 0; -EIO if the companion is broken, so that the device may still
 * reach the memory; -ENOENT if an entry is not mapped.
 */
int apple_dma_unpin_sg(struct apple_dma_engine *e, struct scatterlist *sgl,
		       int nents)
{
	struct scatterlist *sg;
	unsigned long flags;
	bool broken;
	u64 bad = 0;
	int err = 0;
	int i;

	spin_lock_irqsave(&e->lock, flags);
	for_each_sg(sgl, sg, nents, i) {
		if (put(e, apple_dma_window_find_iova(e, sg_dma_address(sg)), sg_dma_len(sg))) {
			bad = sg_dma_address(sg);
			err = -ENOENT;
		}
	}
	apple_dma_window_release_idle(e, &flags);
	broken = e->broken;
	spin_unlock_irqrestore(&e->lock, flags);

	if (err)
		log_bad_unmap(e, bad);
	return broken ? -EIO : err;
}

/* ---- life of an engine ---- */

/**
 * apple_dma_engine_snapshot() - copy the counters
 * @e: the engine
 * @stats: where to
 *
 * Context: any.
 */
void apple_dma_engine_snapshot(struct apple_dma_engine *e,
			       struct apple_dma_stats *stats)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	*stats = e->stats;
	spin_unlock_irqrestore(&e->lock, flags);
}

/**
 * apple_dma_engine_open() - a driver may map from now on
 * @e: the engine
 *
 * Context: any.
 */
void apple_dma_engine_open(struct apple_dma_engine *e)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	e->closed = false;
	spin_unlock_irqrestore(&e->lock, flags);
}

/**
 * apple_dma_engine_abandon() - the driver is gone: end all its mappings
 * @e: the engine
 *
 * Nothing can be mapped until apple_dma_engine_open(). The windows are still
 * registered; apple_dma_engine_release() is to follow.
 *
 * Context: any.
 * Return: how many mappings were left behind.
 */
u64 apple_dma_engine_abandon(struct apple_dma_engine *e)
{
	struct apple_dma_window *w;
	struct rb_node *node;
	unsigned long flags;
	u64 left;

	spin_lock_irqsave(&e->lock, flags);
	e->closed = true;
	left = e->stats.live_mappings;
	for (node = rb_first(&e->iova); node; node = rb_next(node)) {
		w = rb_entry(node, struct apple_dma_window, iova_node);
		if (w->live) {
			w->live = 0;
			list_add_tail(&w->list, &e->idle);
		}
	}
	e->stats.live_mappings = 0;
	e->stats.live_bytes = 0;
	spin_unlock_irqrestore(&e->lock, flags);
	return left;
}

/**
 * apple_dma_engine_release() - give all windows without a mapping back
 * @e: the engine
 *
 * Context: may sleep.
 * Return: true if all are gone from the host; false if the companion is
 * broken, so that the device may still reach them.
 */
bool apple_dma_engine_release(struct apple_dma_engine *e)
{
	unsigned long flags;
	bool broken;

	spin_lock_irqsave(&e->lock, flags);
	apple_dma_window_release_idle(e, &flags);
	broken = e->broken;
	spin_unlock_irqrestore(&e->lock, flags);
	return !broken;
}

static void apple_dma_engine_alert(struct work_struct *work)
{
	struct apple_dma_engine *e = container_of(work, struct apple_dma_engine,
						  alert);

	dev_alert(e->dev,
		  "the host broke the protocol: %s. No more DMA is mapped; memory that the device may still reach is kept. Reboot the guest, and report it with the host's version\n",
		  e->reason);
}

/**
 * apple_dma_engine_stop() - map nothing more, release everything
 * @e: the engine
 *
 * Unmaps that come later are taken as done. The caller has stopped the
 * device.
 *
 * Context: may sleep.
 */
void apple_dma_engine_stop(struct apple_dma_engine *e)
{
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	e->stopped = true;
	spin_unlock_irqrestore(&e->lock, flags);
	apple_dma_recover_stop(e);
	apple_dma_engine_abandon(e);
	apple_dma_engine_release(e);
	flush_work(&e->alert);
}

/**
 * apple_dma_engine_init() - set up an engine, closed
 * @e: the engine; zeroed
 * @dev: names it in the log
 * @limits: its budget
 * @ops: the way to the host
 * @host: handed to @ops
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int apple_dma_engine_init(struct apple_dma_engine *e, struct device *dev,
			  const struct apple_dma_limits *limits,
			  const struct apple_dma_host_ops *ops, void *host)
{
	int i;

	spin_lock_init(&e->lock);
	e->dev = dev;
	e->limits = *limits;
	e->host_ops = ops;
	e->host = host;
	e->phys = RB_ROOT_CACHED;
	e->iova = RB_ROOT;
	INIT_LIST_HEAD(&e->idle);
	INIT_WORK(&e->alert, apple_dma_engine_alert);
	apple_dma_recover_init(e);
	e->closed = true;
	for (i = 0; i < APPLE_DMA_FAIL_COUNT; i++) {
		ratelimit_state_init(&e->limit_log[i], 30 * HZ, 1);
		ratelimit_set_flags(&e->limit_log[i],
				    RATELIMIT_MSG_ON_RELEASE);
	}

	e->pool = apple_dma_window_pool();
	return e->pool ? 0 : -ENOMEM;
}

/**
 * apple_dma_engine_destroy() - free what an engine holds
 * @e: the engine, stopped
 *
 * Windows that a broken host still has are freed without asking it. What was
 * allocated may still be freed afterwards.
 *
 * Context: may sleep.
 */
void apple_dma_engine_destroy(struct apple_dma_engine *e)
{
	struct apple_dma_window *w, *next;

	rbtree_postorder_for_each_entry_safe(w, next, &e->phys.rb_root,
					     phys_node)
		mempool_free(w, e->pool);
	e->phys = RB_ROOT_CACHED;
	e->iova = RB_ROOT;
	INIT_LIST_HEAD(&e->idle);
	mempool_destroy(e->pool);
}
