/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A test driver that gets its memory from the kernel's own TTM, as the drivers
 * of GPUs do, for the dma-engine of host-emu/pci. Documentation/dext.md has the
 * registers of that device.
 */
#ifndef APPLE_DMA_TEST_TTM_H
#define APPLE_DMA_TEST_TTM_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/prandom.h>
#include <linux/scatterlist.h>
#include <linux/types.h>

#include <drm/drm_vma_manager.h>
/* Both names have been used; and the pool's options have become flags. */
#if __has_include("drm/ttm/ttm_bo.h")
#include <drm/ttm/ttm_bo.h>
#else
#include <drm/ttm/ttm_bo_api.h>
#endif
#if __has_include("drm/ttm/ttm_allocation.h")
#include <drm/ttm/ttm_allocation.h>
#endif
#include <drm/ttm/ttm_device.h>
#include <drm/ttm/ttm_pool.h>
#include <drm/ttm/ttm_tt.h>

#define ENGINE_BUFFER	(4U << 20)
#define GRANULE_SHIFT	14

#define tell(fmt, ...) pr_info("apple_dma_ttm: " fmt "\n", ##__VA_ARGS__)
#define complain(fmt, ...) \
	pr_err("apple_dma_ttm: # %s:%d: " fmt "\n", __func__, __LINE__, ##__VA_ARGS__)

#define CHECK(cond) do {			\
	if (!(cond)) {				\
		complain("%s", #cond);		\
		return -EINVAL;			\
	}					\
} while (0)

/**
 * enum how - what maps the pages of a buffer
 * @HOW_LIST: the driver, as one scatterlist: xe, i915, and user memory of amdgpu
 * @HOW_PAGES: TTM, each block of pages with dma_map_page(): amdgpu, radeon, nouveau
 * @HOW_ALLOC: TTM takes its pages from dma_alloc_attrs()
 */
enum how { HOW_LIST, HOW_PAGES, HOW_ALLOC };

/**
 * struct device_state - the device and its buffers
 * @pdev: the same for PCI
 * @dev: and for DMA
 * @lock: held by a step
 * @registers: BAR0
 * @window: BAR2, the device's own buffer
 * @vma: what TTM wants to have; unused
 * @bdev: TTM's device, with the pool
 * @how: pages are mapped
 * @caching: of the pages
 * @random: what sizes are made of
 * @buffers: that are live
 * @bytes: in them
 * @count: how many
 * @serial: buffers made so far
 * @held: pages that keep the guest's memory fragmented
 */
struct device_state {
	struct pci_dev *pdev;
	struct device *dev;
	struct mutex lock;	/* a step */
	void __iomem *registers;
	void __iomem *window;
	struct drm_vma_offset_manager vma;
	struct ttm_device bdev;
	enum how how;
	enum ttm_caching caching;
	struct rnd_state random;
	struct list_head buffers;
	u64 bytes;
	unsigned int count;
	u32 serial;
	struct list_head held;
};

/**
 * struct buffer - memory of TTM
 * @list: of buffers
 * @tt: its pages, and their addresses if TTM maps them
 * @sgt: the pages as a list, if that is mapped
 * @serial: its number, which is in its data
 */
struct buffer {
	struct list_head list;
	struct ttm_tt tt;
	struct sg_table sgt;
	u32 serial;
};

/**
 * struct extent - pages that are neighbours for the CPU and for the device
 * @first: number of the first page in the buffer
 * @pages: how many
 * @phys: where they are
 * @bus: where the device sees them
 */
struct extent {
	unsigned int first;
	unsigned int pages;
	phys_addr_t phys;
	dma_addr_t bus;
};

/** engine_copy() - copy between memory and the start of the device's buffer; sleeps */
int engine_copy(struct device_state *state, dma_addr_t bus, u32 length, bool to_bus);

/** fragment() - leave free memory only in blocks of 2^@order pages, and @reserve MiB */
void fragment(struct device_state *state, unsigned int order, unsigned int reserve);

/** fragment_end() - free the pages that fragment() holds */
void fragment_end(struct device_state *state);

/** buffers_fill() - make buffers, until @mib are live; tells what failed */
int buffers_fill(struct device_state *state, unsigned int mib, unsigned int largest);

/** buffers_free() - free @percent of the buffers, at random */
void buffers_free(struct device_state *state, unsigned int percent);

/** buffers_tell() - how the live buffers are mapped */
int buffers_tell(struct device_state *state);

/**
 * buffers_check() - the device reads and writes the buffers
 *
 * In each page there are two stamps. The device reads an extent, all stamps
 * are compared and inverted, the device writes it back, and they are compared
 * in memory. After that each page of each buffer must be what it was.
 *
 * @most: extents that the device copies; evenly chosen if there are more
 */
int buffers_check(struct device_state *state, unsigned int most);

#endif
