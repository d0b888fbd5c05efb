// SPDX-License-Identifier: GPL-2.0-only
/*
 * Binding the device, and the steps of a test.
 *
 * The parameters choose the case. A step is done by writing its name and two
 * numbers to the device's attribute "run". It logs what it has counted as
 * "name=value" and a line of TAP; scripts/tests/test_vm_ttm.py reads them.
 */

#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "ttm.h"

static const char *const how_names[] = {
	[HOW_LIST] = "list", [HOW_PAGES] = "pages", [HOW_ALLOC] = "alloc",
};

static const char *const caching_names[] = {
	[ttm_uncached] = "uncached", [ttm_write_combined] = "combined", [ttm_cached] = "cached",
};

static char *how = "list";
module_param(how, charp, 0444);
MODULE_PARM_DESC(how, "What maps pages: list, pages or alloc");

static char *caching = "combined";
module_param(caching, charp, 0444);
MODULE_PARM_DESC(caching, "Of the pages: uncached, combined or cached; only the last is not pooled");

static unsigned int seed = 1;
module_param(seed, uint, 0444);
MODULE_PARM_DESC(seed, "What sizes are made of");

static unsigned int largest = 64;
module_param(largest, uint, 0444);
MODULE_PARM_DESC(largest, "MiB of the largest buffers; the smallest are pages");

/* ---- steps ---- */

static int run_fragment(struct device_state *state, unsigned int order, unsigned int reserve)
{
	fragment(state, order, reserve);
	return 0;
}

static int run_fill(struct device_state *state, unsigned int mib, unsigned int unused)
{
	return buffers_fill(state, mib, largest);
}

static int run_free(struct device_state *state, unsigned int percent, unsigned int unused)
{
	buffers_free(state, percent);
	return 0;
}

static int run_tell(struct device_state *state, unsigned int unused, unsigned int also_unused)
{
	return buffers_tell(state);
}

static int run_check(struct device_state *state, unsigned int most, unsigned int unused)
{
	return buffers_check(state, most);
}

static const struct {
	const char *name;
	int (*fn)(struct device_state *state, unsigned int a, unsigned int b);
} steps[] = {
	{ "fragment", run_fragment },
	{ "fill", run_fill },
	{ "free", run_free },
	{ "tell", run_tell },
	{ "check", run_check },
};

static int run_step(struct device_state *state, const char *name, unsigned int a, unsigned int b)
{
	unsigned int i;
	int err;

	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		if (strcmp(steps[i].name, name))
			continue;
		err = steps[i].fn(state, a, b);
		tell("%s - %s", err ? "not ok" : "ok", name);
		return err;
	}
	complain("there is no step '%s'", name);
	return -ENOENT;
}

static ssize_t run_store(struct device *dev, struct device_attribute *attr, const char *buf,
			 size_t size)
{
	struct device_state *state = dev_get_drvdata(dev);
	unsigned int a = 0, b = 0;
	char name[16];
	int err;

	if (sscanf(buf, "%15s %u %u", name, &a, &b) < 1)
		return -EINVAL;
	mutex_lock(&state->lock);
	err = run_step(state, name, a, b);
	mutex_unlock(&state->lock);
	return err ?: size;
}
static DEVICE_ATTR_WO(run);

static struct attribute *ttm_test_attrs[] = { &dev_attr_run.attr, NULL };
ATTRIBUTE_GROUPS(ttm_test);

/* ---- binding ---- */

/* Drivers move pages and wait for the GPU with these; pools need none. */
static struct ttm_device_funcs no_funcs;

static void unmap_bars(struct device_state *state)
{
	if (state->window)
		pci_iounmap(state->pdev, state->window);
	if (state->registers)
		pci_iounmap(state->pdev, state->registers);
}

static int map_bars(struct device_state *state)
{
	state->registers = pci_iomap(state->pdev, 0, 0);
	state->window = pci_iomap_wc(state->pdev, 2, 0);
	if (state->registers && state->window)
		return 0;
	unmap_bars(state);
	return -ENOMEM;
}

static int init_ttm(struct device_state *state)
{
	const bool use_dma_alloc = state->how == HOW_ALLOC;
	int err;

	drm_vma_offset_manager_init(&state->vma, 1, 1);
#ifdef TTM_ALLOCATION_POOL_USE_DMA_ALLOC
	err = ttm_device_init(&state->bdev, &no_funcs, state->dev, NULL, &state->vma,
			      use_dma_alloc ? TTM_ALLOCATION_POOL_USE_DMA_ALLOC : 0);
#else
	err = ttm_device_init(&state->bdev, &no_funcs, state->dev, NULL, &state->vma,
			      use_dma_alloc, false);
#endif
	if (err)
		drm_vma_offset_manager_destroy(&state->vma);
	return err;
}

static int choose(struct device_state *state)
{
	const int way = match_string(how_names, ARRAY_SIZE(how_names), how);
	const int cache = match_string(caching_names, ARRAY_SIZE(caching_names), caching);

	if (way < 0 || cache < 0 || !largest)
		return -EINVAL;
	state->how = way;
	state->caching = cache;
	return 0;
}

static int ttm_test_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct device_state *state = kzalloc(sizeof(*state), GFP_KERNEL);
	int err;

	if (!state)
		return -ENOMEM;
	state->pdev = pdev;
	state->dev = &pdev->dev;
	mutex_init(&state->lock);
	INIT_LIST_HEAD(&state->buffers);
	INIT_LIST_HEAD(&state->held);
	prandom_seed_state(&state->random, seed);
	err = choose(state) ?: pci_enable_device(pdev);
	if (err)
		goto free;
	err = map_bars(state);
	if (err)
		goto disable;
	pci_set_master(pdev);
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	err = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64)) ?: init_ttm(state);
	if (err)
		goto unmap;
	pci_set_drvdata(pdev, state);
	return 0;

unmap:
	pci_clear_master(pdev);
	unmap_bars(state);
disable:
	pci_disable_device(pdev);
free:
	kfree(state);
	return err;
}

static void ttm_test_remove(struct pci_dev *pdev)
{
	struct device_state *state = pci_get_drvdata(pdev);

	buffers_free(state, 100);
	fragment_end(state);
	ttm_device_fini(&state->bdev);
	drm_vma_offset_manager_destroy(&state->vma);
	pci_clear_master(pdev);
	unmap_bars(state);
	pci_disable_device(pdev);
	kfree(state);
}

static const struct pci_device_id ttm_test_ids[] = {
	{ PCI_DEVICE(0x1b36, 0x00f5) },
	{ }
};
MODULE_DEVICE_TABLE(pci, ttm_test_ids);

static struct pci_driver ttm_test_driver = {
	.name = "apple_dma_ttm",
	.id_table = ttm_test_ids,
	.probe = ttm_test_probe,
	.remove = ttm_test_remove,
	.dev_groups = ttm_test_groups,
};
module_pci_driver(ttm_test_driver);

MODULE_DESCRIPTION("Test driver with the buffers of the kernel's TTM, for the dma-engine");
MODULE_LICENSE("GPL");
