// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters and limits, in the group apple_dma of the companion. Every file is
 * described in Documentation/ABI/testing/sysfs-driver-apple-dma.
 */

#include <linux/kernel.h>
#include <linux/math64.h>
#include <linux/string.h>
#include <linux/sysfs.h>

#include "companion.h"
#include "sysfs.h"

#define SYSFS_GROUP	"apple_dma"

static struct apple_dma *sysfs_companion(struct device *dev)
{
	return pci_get_drvdata(to_pci_dev(dev));
}

/* ---- counters ---- */

static size_t sysfs_offset(struct device_attribute *attr)
{
	return (size_t)container_of(attr, struct dev_ext_attribute, attr)->var;
}

/* A u64 of struct apple_dma_stats. */
static ssize_t sysfs_stat_show(struct device *dev,
			       struct device_attribute *attr, char *buf)
{
	struct apple_dma_stats stats;

	apple_dma_engine_snapshot(&sysfs_companion(dev)->engine, &stats);
	return sysfs_emit(buf, "%llu\n",
			  *(u64 *)((void *)&stats + sysfs_offset(attr)));
}

/* A u64 of struct apple_dma. */
static ssize_t sysfs_u64_show(struct device *dev, struct device_attribute *attr,
			      char *buf)
{
	const void *ad = sysfs_companion(dev);

	return sysfs_emit(buf, "%llu\n",
			  READ_ONCE(*(u64 *)(ad + sysfs_offset(attr))));
}

/* A u32 of struct apple_dma. */
static ssize_t sysfs_u32_show(struct device *dev, struct device_attribute *attr,
			      char *buf)
{
	const void *ad = sysfs_companion(dev);

	return sysfs_emit(buf, "%u\n",
			  READ_ONCE(*(u32 *)(ad + sysfs_offset(attr))));
}

#define SYSFS_ATTR(_name, _mode, _show, _store, _struct, _field, _type)	\
	(&((struct dev_ext_attribute){					\
		.attr = __ATTR(_name, _mode, _show, _store),		\
		.var = (void *)(offsetof(_struct, _field) +		\
				BUILD_BUG_ON_ZERO(sizeof(_type) !=	\
						  sizeof_field(_struct, _field))), \
	}).attr.attr)

#define STAT(_name)							\
	SYSFS_ATTR(_name, 0444, sysfs_stat_show, NULL,			\
		   struct apple_dma_stats, _name, u64)
#define FAILURES(_name, _cause)						\
	SYSFS_ATTR(_name, 0444, sysfs_stat_show, NULL,			\
		   struct apple_dma_stats,				\
		   failures[APPLE_DMA_FAIL_##_cause], u64)
#define U64(_name, _field)						\
	SYSFS_ATTR(_name, 0444, sysfs_u64_show, NULL,			\
		   struct apple_dma, _field, u64)
#define U32(_name, _mode, _store, _field)				\
	SYSFS_ATTR(_name, _mode, sysfs_u32_show, _store,		\
		   struct apple_dma, _field, u32)

static ssize_t map_failures_show(struct device *dev,
				 struct device_attribute *attr, char *buf)
{
	struct apple_dma_stats stats;
	u64 sum = 0;
	int i;

	apple_dma_engine_snapshot(&sysfs_companion(dev)->engine, &stats);
	for (i = 0; i < APPLE_DMA_FAIL_COUNT; i++)
		sum += stats.failures[i];
	return sysfs_emit(buf, "%llu\n", sum);
}
static DEVICE_ATTR_RO(map_failures);

static ssize_t doorbell_ns_mean_show(struct device *dev,
				     struct device_attribute *attr, char *buf)
{
	u64 sum = READ_ONCE(sysfs_companion(dev)->transport.ns_sum);
	u64 n = READ_ONCE(sysfs_companion(dev)->transport.doorbells);

	return sysfs_emit(buf, "%llu\n", div64_u64(sum, max(n, 1ULL)));
}
static DEVICE_ATTR_RO(doorbell_ns_mean);

static ssize_t broken_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	return sysfs_emit(buf, "%d\n", READ_ONCE(sysfs_companion(dev)->engine.broken));
}
static DEVICE_ATTR_RO(broken);

static ssize_t leaked_bytes_show(struct device *dev,
				 struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lld\n",
			  (long long)atomic64_read(&sysfs_companion(dev)->leaked_bytes));
}
static DEVICE_ATTR_RO(leaked_bytes);

static ssize_t ops_show(struct device *dev, struct device_attribute *attr,
			char *buf)
{
	return sysfs_emit(buf, "%s\n", sysfs_companion(dev)->premap.wanted ?
			  "premap" : "dma_ops");
}
static DEVICE_ATTR_RO(ops);

static ssize_t premap_refusal_show(struct device *dev,
				   struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%s\n",
			  apple_dma_premap_refusal(&sysfs_companion(dev)->premap));
}
static DEVICE_ATTR_RO(premap_refusal);

/* ---- knobs ---- */

static const char *const sysfs_mode_names[APPLE_DMA_MODE_COUNT] = {
	[APPLE_DMA_MODE_CACHED] = "cached",
	[APPLE_DMA_MODE_STRICT] = "strict",
};

/* A mode by its name, with or without a newline; or -EINVAL. */
int apple_dma_sysfs_mode(const char *name)
{
	return sysfs_match_string(sysfs_mode_names, name);
}

/* The mode in force: strict if memory may leave the guest. */
static ssize_t mode_show(struct device *dev, struct device_attribute *attr,
			 char *buf)
{
	struct apple_dma_engine *e = &sysfs_companion(dev)->engine;
	enum apple_dma_mode mode = READ_ONCE(e->unsafe) ?
				   APPLE_DMA_MODE_STRICT : READ_ONCE(e->mode);

	return sysfs_emit(buf, "%s\n", sysfs_mode_names[mode]);
}

static ssize_t mode_store(struct device *dev, struct device_attribute *attr,
			  const char *buf, size_t count)
{
	struct apple_dma *ad = sysfs_companion(dev);
	struct apple_dma_engine *e = &ad->engine;
	int mode = apple_dma_sysfs_mode(buf);

	if (mode < 0)
		return mode;
	if (mode == APPLE_DMA_MODE_STRICT &&
	    READ_ONCE(ad->premap.arena.layout) != APPLE_DMA_LAYOUT_NONE) {
		dev_warn(dev, "mode=strict cannot be kept while memory is premapped\n");
		return -EBUSY;
	}
	if (READ_ONCE(e->unsafe) && mode != APPLE_DMA_MODE_STRICT) {
		dev_warn(dev, "mode stays strict while a balloon or virtio-mem can take memory from the guest\n");
		return -EBUSY;
	}
	apple_dma_engine_set_mode(e, mode);
	return count;
}
static DEVICE_ATTR_RW(mode);

static ssize_t idle_ms_store(struct device *dev, struct device_attribute *attr,
			     const char *buf, size_t count)
{
	unsigned int idle_ms;
	int err = kstrtouint(buf, 0, &idle_ms);

	if (err)
		return err;
	apple_dma_engine_set_idle_ms(&sysfs_companion(dev)->engine, idle_ms);
	return count;
}

static ssize_t batch_max_store(struct device *dev,
			       struct device_attribute *attr, const char *buf,
			       size_t count)
{
	struct apple_dma *ad = sysfs_companion(dev);
	unsigned int batch;
	int err = kstrtouint(buf, 0, &batch);

	if (err)
		return err;
	if (!batch || batch > min(ad->transport.host_max, APPLE_DMA_BATCH_MAX))
		return -ERANGE;
	apple_dma_engine_set_batch(&ad->engine, batch);
	return count;
}

static ssize_t doorbell_us_store(struct device *dev,
				 struct device_attribute *attr, const char *buf,
				 size_t count)
{
	struct apple_dma *ad = sysfs_companion(dev);
	unsigned int doorbell_us;
	unsigned long flags;
	int err = kstrtouint(buf, 0, &doorbell_us);

	if (err)
		return err;
	/* Doorbells are rung under this lock. */
	spin_lock_irqsave(&ad->engine.lock, flags);
	apple_dma_transport_set_doorbell_us(&ad->transport, doorbell_us);
	spin_unlock_irqrestore(&ad->engine.lock, flags);
	return count;
}

static ssize_t flush_store(struct device *dev, struct device_attribute *attr,
			   const char *buf, size_t count)
{
	bool flush;
	int err = kstrtobool(buf, &flush);

	if (err)
		return err;
	if (flush)
		apple_dma_engine_flush(&sysfs_companion(dev)->engine);
	return count;
}
static DEVICE_ATTR_WO(flush);

static struct attribute *apple_dma_attrs[] = {
	STAT(mapped_bytes),
	STAT(mapped_entries),
	STAT(guest_bytes),
	STAT(live_bytes),
	STAT(live_mappings),
	STAT(idle_bytes),
	STAT(idle_entries),
	STAT(peak_bytes),
	STAT(peak_entries),
	U64(limit_bytes, engine.limits.bytes),
	U32(limit_entries, 0444, NULL, engine.limits.entries),
	STAT(learned_bytes),
	STAT(learned_entries),
	STAT(window_bytes),
	U64(doorbells, transport.doorbells),
	U64(requests, transport.requests),
	U64(batches, transport.batches),
	U64(doorbell_ns_min, transport.ns_min),
	&dev_attr_doorbell_ns_mean.attr,
	U64(doorbell_ns_max, transport.ns_max),
	U64(map_entry_ns, transport.entry_ns[0]),
	U64(unmap_entry_ns, transport.entry_ns[1]),
	U32(batch_fit, 0444, NULL, transport.fit),
	STAT(hits),
	STAT(misses),
	STAT(slow_paths),
	STAT(evictions),
	STAT(align_tries),
	STAT(aligned),
	STAT(unaligned),
	STAT(refusals),
	&dev_attr_map_failures.attr,
	FAILURES(failures_bytes, BYTES),
	FAILURES(failures_entries, ENTRIES),
	FAILURES(failures_host, HOST),
	FAILURES(failures_mask, MASK),
	FAILURES(failures_alignment, ALIGN),
	FAILURES(failures_boundary, BOUNDARY),
	FAILURES(failures_handle, HANDLE),
	FAILURES(failures_memory, MEMORY),
	FAILURES(failures_not_ram, NOT_RAM),
	FAILURES(failures_broken, BROKEN),
	FAILURES(failures_bug, BUG),
	STAT(recovered),
	STAT(bad_unmaps),
	&dev_attr_leaked_bytes.attr,
	&dev_attr_ops.attr,
	U32(premap_layout, 0444, NULL, premap.arena.layout),
	U32(premap_pieces, 0444, NULL, premap.arena.n),
	U32(premap_unaligned, 0444, NULL, premap.arena.unaligned),
	&dev_attr_premap_refusal.attr,
	&dev_attr_broken.attr,
	&dev_attr_mode.attr,
	U32(idle_ms, 0644, idle_ms_store, engine.idle_ms),
	U32(batch_max, 0644, batch_max_store, engine.limits.batch),
	U32(doorbell_us, 0644, doorbell_us_store, transport.doorbell_us),
	&dev_attr_flush.attr,
	NULL
};

const struct attribute_group apple_dma_sysfs_group = {
	.name = SYSFS_GROUP,
	.attrs = apple_dma_attrs,
};

/* Show which device the companion manages: a link in the group. */
void apple_dma_sysfs_link(struct apple_dma *ad, struct device *dev)
{
	if (sysfs_add_link_to_group(&ad->pdev->dev.kobj, SYSFS_GROUP,
				    &dev->kobj, "managed"))
		dev_warn(&ad->pdev->dev, "cannot make the sysfs link to %s\n",
			 dev_name(dev));
}

void apple_dma_sysfs_unlink(struct apple_dma *ad)
{
	sysfs_remove_link_from_group(&ad->pdev->dev.kobj, SYSFS_GROUP,
				     "managed");
}
