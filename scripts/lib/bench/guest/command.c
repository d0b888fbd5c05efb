// SPDX-License-Identifier: GPL-2.0-only
/*
 * A driver for QEMU's edu device that measures mapping. No transfer is ever
 * started: what is measured is dma_map_*() and dma_unmap_*() alone.
 *
 * A command is written to the file "run" of the device, and the write returns
 * when it is done; "result" then holds one "name value" line for each finding.
 */

#include <linux/ctype.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/slab.h>
#include <linux/sysfs.h>

#include "bench.h"

#define EDU_VENDOR	0x1234
#define EDU_DEVICE	0x11e8

static DEFINE_MUTEX(bench_mutex);

static const struct {
	const char *name;
	int (*fn)(struct bench *bench);
} bench_commands[] = {
	{ "pairs", bench_pairs },
	{ "scale", bench_scale },
	{ "sparse", bench_sparse },
	{ "hits", bench_hits },
	{ "release", bench_release },
	{ "grow", bench_grow },
	{ "shrink", bench_shrink },
};

/* The text after "key=" in the arguments, or NULL. */
static const char *bench_find(const struct bench *bench, const char *key)
{
	const char *at = bench->arguments;
	size_t length = strlen(key);

	while (*at) {
		at = skip_spaces(at);
		if (!strncmp(at, key, length) && at[length] == '=')
			return at + length + 1;
		while (*at && !isspace(*at))
			at++;
	}
	return NULL;
}

u64 bench_number(const struct bench *bench, const char *key, u64 otherwise)
{
	const char *text = bench_find(bench, key);

	return text ? memparse(text, NULL) : otherwise;
}

bool bench_word(const struct bench *bench, const char *key, const char *value)
{
	const char *text = bench_find(bench, key);
	size_t length = strlen(value);

	return text && !strncmp(text, value, length) &&
	       (!text[length] || isspace(text[length]));
}

void bench_say(struct bench *bench, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	bench->length += vscnprintf(bench->result + bench->length,
				    PAGE_SIZE - bench->length, format, args);
	va_end(args);
}

u64 bench_random(struct bench_random *random)
{
	u64 x = random->state += 0x9e3779b97f4a7c15ULL;

	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
	return x ^ (x >> 31);
}

#if defined(CONFIG_X86)
#define BENCH_MARK	"nopl 0x62656e63(%rax)"
#elif defined(CONFIG_ARM64)
#define BENCH_MARK	"movz xzr, #0x6265"
#endif

#ifdef BENCH_MARK
/* The mark that the plugin insn.c looks for. */
static int bench_mark(const char *val, const struct kernel_param *param)
{
	asm volatile(BENCH_MARK);
	return 0;
}

static const struct kernel_param_ops bench_mark_ops = { .set = bench_mark };
module_param_cb(mark, &bench_mark_ops, NULL, 0200);
MODULE_PARM_DESC(mark, "Pass a mark that a plugin of QEMU sees");
#endif

static ssize_t run_store(struct device *dev, struct device_attribute *attr,
			 const char *buf, size_t count)
{
	struct bench *bench = dev_get_drvdata(dev);
	size_t length = strcspn(buf, "\n ");
	int err = -ENOENT;
	unsigned int i;

	mutex_lock(&bench_mutex);
	bench->length = 0;
	bench->arguments = buf + length;
	for (i = 0; i < ARRAY_SIZE(bench_commands); i++) {
		if (strlen(bench_commands[i].name) == length &&
		    !strncmp(bench_commands[i].name, buf, length))
			err = bench_commands[i].fn(bench);
	}
	bench->arguments = "";
	mutex_unlock(&bench_mutex);
	return err ?: count;
}
static DEVICE_ATTR_WO(run);

static ssize_t result_show(struct device *dev, struct device_attribute *attr,
			   char *buf)
{
	struct bench *bench = dev_get_drvdata(dev);
	ssize_t length;

	mutex_lock(&bench_mutex);
	length = sysfs_emit(buf, "%.*s", (int)bench->length, bench->result);
	mutex_unlock(&bench_mutex);
	return length;
}
static DEVICE_ATTR_RO(result);

static struct attribute *bench_attrs[] = {
	&dev_attr_run.attr,
	&dev_attr_result.attr,
	NULL
};
ATTRIBUTE_GROUPS(bench);

static int bench_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct bench *bench;
	int err;

	bench = devm_kzalloc(&pdev->dev, sizeof(*bench), GFP_KERNEL);
	if (!bench)
		return -ENOMEM;
	bench->dev = &pdev->dev;
	bench->arguments = "";
	bench->result = devm_kzalloc(&pdev->dev, PAGE_SIZE, GFP_KERNEL);
	if (!bench->result)
		return -ENOMEM;
	err = pcim_enable_device(pdev);
	if (err)
		return err;
	err = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (err)
		return err;
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	pci_set_master(pdev);
	pci_set_drvdata(pdev, bench);
	return 0;
}

static void bench_remove(struct pci_dev *pdev)
{
	struct bench *bench = pci_get_drvdata(pdev);

	bench_release(bench);
	bench->arguments = "percent=100";
	bench_shrink(bench);
	bench_drop_pages(bench);
	pci_clear_master(pdev);
}

static const struct pci_device_id bench_ids[] = {
	{ PCI_DEVICE(EDU_VENDOR, EDU_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, bench_ids);

static struct pci_driver bench_driver = {
	.name = "apple_dma_bench",
	.id_table = bench_ids,
	.probe = bench_probe,
	.remove = bench_remove,
	.dev_groups = bench_groups,
};
module_pci_driver(bench_driver);

MODULE_DESCRIPTION("What mapping for DMA costs, measured with QEMU's edu device");
MODULE_LICENSE("GPL");
