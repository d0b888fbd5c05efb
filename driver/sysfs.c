// SPDX-License-Identifier: GPL-2.0-only
/*
 * Counters and limits, in the group apple_dma of the companion. Every file is
 * described in Documentation/ABI/testing/sysfs-driver-apple-dma.
 */

#include <linux/sysfs.h>

#include "internal.h"

static struct apple_dma *from_dev(struct device *dev)
{
	return pci_get_drvdata(to_pci_dev(dev));
}

#define STATS_ATTR(field)						\
static ssize_t field##_show(struct device *dev,				\
			    struct device_attribute *attr, char *buf)	\
{									\
	struct apple_dma_stats stats;					\
									\
	apple_dma_engine_snapshot(&from_dev(dev)->engine, &stats);	\
	return sysfs_emit(buf, "%llu\n", stats.field);			\
}									\
static DEVICE_ATTR_RO(field)

STATS_ATTR(mapped_bytes);
STATS_ATTR(mapped_entries);
STATS_ATTR(live_bytes);
STATS_ATTR(live_mappings);
STATS_ATTR(peak_bytes);
STATS_ATTR(peak_entries);
STATS_ATTR(recovered);
STATS_ATTR(bad_unmaps);

static ssize_t map_failures_show(struct device *dev,
				 struct device_attribute *attr, char *buf)
{
	struct apple_dma_stats stats;
	u64 sum = 0;
	int i;

	apple_dma_engine_snapshot(&from_dev(dev)->engine, &stats);
	for (i = 0; i < APPLE_DMA_FAIL_COUNT; i++)
		sum += stats.failures[i];
	return sysfs_emit(buf, "%llu\n", sum);
}
static DEVICE_ATTR_RO(map_failures);

static ssize_t limit_bytes_show(struct device *dev,
				struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n", from_dev(dev)->engine.limits.bytes);
}
static DEVICE_ATTR_RO(limit_bytes);

static ssize_t limit_entries_show(struct device *dev,
				  struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%u\n", from_dev(dev)->engine.limits.entries);
}
static DEVICE_ATTR_RO(limit_entries);

static ssize_t doorbells_show(struct device *dev,
			      struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%llu\n",
			  READ_ONCE(from_dev(dev)->transport.doorbells));
}
static DEVICE_ATTR_RO(doorbells);

static ssize_t broken_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	return sysfs_emit(buf, "%d\n", READ_ONCE(from_dev(dev)->engine.broken));
}
static DEVICE_ATTR_RO(broken);

static ssize_t leaked_bytes_show(struct device *dev,
				 struct device_attribute *attr, char *buf)
{
	return sysfs_emit(buf, "%lld\n",
			  (long long)atomic64_read(&from_dev(dev)->leaked_bytes));
}
static DEVICE_ATTR_RO(leaked_bytes);

static struct attribute *apple_dma_attrs[] = {
	&dev_attr_mapped_bytes.attr,
	&dev_attr_mapped_entries.attr,
	&dev_attr_live_bytes.attr,
	&dev_attr_live_mappings.attr,
	&dev_attr_peak_bytes.attr,
	&dev_attr_peak_entries.attr,
	&dev_attr_limit_bytes.attr,
	&dev_attr_limit_entries.attr,
	&dev_attr_doorbells.attr,
	&dev_attr_map_failures.attr,
	&dev_attr_recovered.attr,
	&dev_attr_bad_unmaps.attr,
	&dev_attr_leaked_bytes.attr,
	&dev_attr_broken.attr,
	NULL
};

const struct attribute_group apple_dma_sysfs_group = {
	.name = APPLE_DMA_SYSFS_GROUP,
	.attrs = apple_dma_attrs,
};
