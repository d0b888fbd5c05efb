// SPDX-License-Identifier: GPL-2.0-only
/*
 * apple_dma/<companion>/windows in debugfs: every registration, a line each.
 * For debugging; unlike sysfs, it may change.
 */

#include <linux/debugfs.h>
#include <linux/seq_file.h>

#include "companion.h"
#include "debugfs.h"
#include "index.h"

static const char *const debugfs_states[] = {
	[APPLE_DMA_WINDOW_PLANNED] = "planned",
	[APPLE_DMA_WINDOW_ACTIVE] = "active",
	[APPLE_DMA_WINDOW_RETIRED] = "retired",
	[APPLE_DMA_WINDOW_DEAD] = "dead",
};

/*
 * There may be 64k windows, so the lock is held for one at a time. The position
 * is the granule where a window starts; no two start in the same. A window that
 * exists during all of the walk is seen once.
 */
static void *debugfs_find(struct seq_file *m, loff_t *pos)
{
	struct apple_dma_engine *e = m->private;
	struct apple_dma_window *w;
	unsigned long flags;

	spin_lock_irqsave(&e->lock, flags);
	w = apple_dma_index_next(e, (u64)*pos << APPLE_DMA_GRANULE_SHIFT);
	if (w)
		*pos = w->phys >> APPLE_DMA_GRANULE_SHIFT;
	spin_unlock_irqrestore(&e->lock, flags);
	return w ? pos : NULL;
}

static void *debugfs_next(struct seq_file *m, void *v, loff_t *pos)
{
	++*pos;
	return debugfs_find(m, pos);
}

static void debugfs_stop(struct seq_file *m, void *v)
{
}

static int debugfs_show(struct seq_file *m, void *v)
{
	u64 phys = (u64)*(loff_t *)v << APPLE_DMA_GRANULE_SHIFT;
	struct apple_dma_engine *e = m->private;
	struct apple_dma_window *w;
	u64 iova = 0, size = 0;
	unsigned long flags;
	int users = 0;
	u8 state = 0;

	spin_lock_irqsave(&e->lock, flags);
	w = apple_dma_index_next(e, phys);
	if (w && w->phys == phys) {
		iova = w->iova;
		size = w->size;
		users = apple_dma_window_live(w) - w->guarded;
		state = w->state;
	}
	spin_unlock_irqrestore(&e->lock, flags);
	/* It may have gone since it was found. */
	if (!size)
		return SEQ_SKIP;
	seq_printf(m, "0x%016llx 0x%016llx %llu %d %s\n", phys, iova, size,
		   max(users, 0), debugfs_states[state]);
	return 0;
}

const struct seq_operations apple_dma_windows_sops = {
	.start = debugfs_find,
	.next = debugfs_next,
	.stop = debugfs_stop,
	.show = debugfs_show,
};
DEFINE_SEQ_ATTRIBUTE(apple_dma_windows);

static struct dentry *debugfs_root;

/* List the windows of a companion, if the kernel has debugfs; may sleep. */
void apple_dma_debugfs_add(struct apple_dma *ad)
{
	ad->debugfs = debugfs_create_dir(dev_name(ad->engine.dev), debugfs_root);
	debugfs_create_file("windows", 0400, ad->debugfs, &ad->engine,
			    &apple_dma_windows_fops);
}

/* No reader is left when this returns; may sleep. */
void apple_dma_debugfs_remove(struct apple_dma *ad)
{
	debugfs_remove(ad->debugfs);
}

void apple_dma_debugfs_init(void)
{
	debugfs_root = debugfs_create_dir(KBUILD_MODNAME, NULL);
}

void apple_dma_debugfs_exit(void)
{
	debugfs_remove(debugfs_root);
}
