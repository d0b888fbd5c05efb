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

#define NAMED_STATS_ATTR(name, field)					\
static ssize_t name##_show(struct device *dev,				\
			   struct device_attribute *attr, char *buf)	\
{									\
	struct apple_dma_stats stats;					\
									\
	apple_dma_engine_snapshot(&sysfs_companion(dev)->engine, &stats);	\
	return sysfs_emit(buf, "%llu\n", stats.field);			\
}									\
static DEVICE_ATTR_RO(name)

#define STATS_ATTR(field)		NAMED_STATS_ATTR(field, field)
#define FAILURES_ATTR(name, cause)					\
	NAMED_STATS_ATTR(failures_##name, failures[APPLE_DMA_FAIL_##cause])

#define DOORBELL_ATTR(name, field)					\
static ssize_t name##_show(struct device *dev,				\
			   struct device_attribute *attr, char *buf)	\
{									\
	return sysfs_emit(buf, "%llu\n",				\
			  READ_ONCE(sysfs_companion(dev)->transport.field));	\
}									\
static DEVICE_ATTR_RO(name)

STATS_ATTR(mapped_bytes);
STATS_ATTR(mapped_entries);
STATS_ATTR(live_bytes);
STATS_ATTR(live_mappings);
STATS_ATTR(peak_bytes);
STATS_ATTR(peak_entries);
STATS_ATTR(idle_bytes);
STATS_ATTR(idle_entries);
STATS_ATTR(hits);
STATS_ATTR(misses);
STATS_ATTR(slow_paths);
STATS_ATTR(evictions);
STATS_ATTR(refusals);
STATS_ATTR(learned_bytes);
STATS_ATTR(learned_entries);
STATS_ATTR(window_bytes);
STATS_ATTR(recovered);
STATS_ATTR(bad_unmaps);

FAILURES_ATTR(bytes, BYTES);
FAILURES_ATTR(entries, ENTRIES);
FAILURES_ATTR(host, HOST);
FAILURES_ATTR(mask, MASK);
FAILURES_ATTR(alignment, ALIGN);
FAILURES_ATTR(handle, HANDLE);
FAILURES_ATTR(memory, MEMORY);
FAILURES_ATTR(not_ram, NOT_RAM);
FAILURES_ATTR(broken, BROKEN);
FAILURES_ATTR(bug, BUG);

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

static ssize_t limit_bytes_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n",
			  sysfs_companion(dev)->engine.limits.bytes);
}
static DEVICE_ATTR_RO(limit_bytes);

static ssize_t limit_entries_show(struct device *dev,
				  struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n",
			  sysfs_companion(dev)->engine.limits.entries);
}
static DEVICE_ATTR_RO(limit_entries);

DOORBELL_ATTR(doorbells, doorbells);
DOORBELL_ATTR(requests, requests);
DOORBELL_ATTR(batches, batches);
DOORBELL_ATTR(doorbell_ns_min, ns_min);
DOORBELL_ATTR(doorbell_ns_max, ns_max);

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

/* ---- knobs ---- */

static const char *const sysfs_mode_names[APPLE_DMA_MODE_COUNT] = {
	[APPLE_DMA_MODE_CACHED] = "cached",
	[APPLE_DMA_MODE_STRICT] = "strict",
	[APPLE_DMA_MODE_FIXED] = "fixed",
};

/**
 * apple_dma_sysfs_mode() - a mode by its name
 * @name: as a user wrote it; a newline at its end does not matter
 *
 * Return: enum apple_dma_mode, or -EINVAL.
 */
int apple_dma_sysfs_mode(const char *name)
{
	return sysfs_match_string(sysfs_mode_names, name);
}

/* What is in force, which is strict where memory may leave the guest. */
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
	struct apple_dma_engine *e = &sysfs_companion(dev)->engine;
	int mode = apple_dma_sysfs_mode(buf);

	if (mode < 0)
		return mode;
	if (READ_ONCE(e->unsafe) && mode != APPLE_DMA_MODE_STRICT) {
		dev_warn(dev, "mode stays strict while a balloon or virtio-mem can take memory from the guest\n");
		return -EBUSY;
	}
	apple_dma_engine_set_mode(e, mode);
	return count;
}
static DEVICE_ATTR_RW(mode);

static ssize_t idle_ms_show(struct device *dev, struct device_attribute *attr,
			    char *buf)
{
	return sysfs_emit(buf, "%u\n",
			  READ_ONCE(sysfs_companion(dev)->engine.idle_ms));
}

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
static DEVICE_ATTR_RW(idle_ms);

static ssize_t batch_max_show(struct device *dev,
			      struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n",
			  READ_ONCE(sysfs_companion(dev)->engine.limits.batch));
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
static DEVICE_ATTR_RW(batch_max);

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
	&dev_attr_mapped_bytes.attr,
	&dev_attr_mapped_entries.attr,
	&dev_attr_live_bytes.attr,
	&dev_attr_live_mappings.attr,
	&dev_attr_idle_bytes.attr,
	&dev_attr_idle_entries.attr,
	&dev_attr_peak_bytes.attr,
	&dev_attr_peak_entries.attr,
	&dev_attr_limit_bytes.attr,
	&dev_attr_limit_entries.attr,
	&dev_attr_learned_bytes.attr,
	&dev_attr_learned_entries.attr,
	&dev_attr_window_bytes.attr,
	&dev_attr_doorbells.attr,
	&dev_attr_requests.attr,
	&dev_attr_batches.attr,
	&dev_attr_doorbell_ns_min.attr,
	&dev_attr_doorbell_ns_mean.attr,
	&dev_attr_doorbell_ns_max.attr,
	&dev_attr_hits.attr,
	&dev_attr_misses.attr,
	&dev_attr_slow_paths.attr,
	&dev_attr_evictions.attr,
	&dev_attr_refusals.attr,
	&dev_attr_map_failures.attr,
	&dev_attr_failures_bytes.attr,
	&dev_attr_failures_entries.attr,
	&dev_attr_failures_host.attr,
	&dev_attr_failures_mask.attr,
	&dev_attr_failures_alignment.attr,
	&dev_attr_failures_handle.attr,
	&dev_attr_failures_memory.attr,
	&dev_attr_failures_not_ram.attr,
	&dev_attr_failures_broken.attr,
	&dev_attr_failures_bug.attr,
	&dev_attr_recovered.attr,
	&dev_attr_bad_unmaps.attr,
	&dev_attr_leaked_bytes.attr,
	&dev_attr_broken.attr,
	&dev_attr_mode.attr,
	&dev_attr_idle_ms.attr,
	&dev_attr_batch_max.attr,
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
