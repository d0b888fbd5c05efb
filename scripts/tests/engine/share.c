// SPDX-License-Identifier: GPL-2.0-only
/*
 * A buffer of one device that others use, as a dma-buf: the driver of the one exports
 * it, and maps it for the device of each importer. An importer looks at no page.
 */

#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/module.h>
#include <linux/slab.h>

#include "engine.h"
#include "memory.h"

/* Newer kernels want a string here, older ones a bare word: this is what both make of it. */
MODULE_INFO(import_ns, "DMA_BUF");

/* The one buffer that is exported, and what it is made of. */
static DEFINE_MUTEX(share_lock);
static struct dma_buf *share_buf;
static struct engine *share_owner;

/* ---- the exporter ---- */

static struct sg_table *share_map(struct dma_buf_attachment *attachment,
				  enum dma_data_direction direction)
{
	const struct memory *m = attachment->dmabuf->priv;
	struct sg_table *sgt = kzalloc(sizeof(*sgt), GFP_KERNEL);
	int err;

	if (!sgt)
		return ERR_PTR(-ENOMEM);
	err = memory_table(m, sgt);
	if (err)
		goto free;
	err = dma_map_sgtable(attachment->dev, sgt, direction, 0);
	if (!err)
		return sgt;
	sg_free_table(sgt);
free:
	kfree(sgt);
	return ERR_PTR(err);
}

static void share_unmap(struct dma_buf_attachment *attachment, struct sg_table *sgt,
			enum dma_data_direction direction)
{
	dma_unmap_sgtable(attachment->dev, sgt, direction, 0);
	sg_free_table(sgt);
	kfree(sgt);
}

static void share_release(struct dma_buf *buf)
{
	memory_free(buf->priv);
	kfree(buf->priv);
}

static const struct dma_buf_ops share_ops = {
	.map_dma_buf = share_map,
	.unmap_dma_buf = share_unmap,
	.release = share_release,
};

/* The memory then has the pattern of seed 1. */
static int make_share(struct engine *engine, size_t chunk, u64 bytes)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct memory *m = kzalloc(sizeof(*m), GFP_KERNEL);
	int err;

	if (!m)
		return -ENOMEM;
	err = memory_alloc(engine->dev, m, chunk, bytes);
	if (err)
		goto free;
	memory_fill(m, 1);
	info.ops = &share_ops;
	info.size = bytes;
	info.priv = m;
	share_buf = dma_buf_export(&info);
	err = PTR_ERR_OR_ZERO(share_buf);
	if (!err) {
		share_owner = engine;
		return 0;
	}
	share_buf = NULL;
	memory_free(m);
free:
	kfree(m);
	return err;
}

int engine_export(struct engine *engine, unsigned int kib, unsigned int mib)
{
	int err;

	CHECK(kib && mib && is_power_of_2(kib));
	mutex_lock(&share_lock);
	err = share_buf ? -EBUSY : make_share(engine, (size_t)kib << 10, (u64)mib << 20);
	mutex_unlock(&share_lock);
	return err;
}

/* The processor sees what a device has written. */
int engine_verify(struct engine *engine, unsigned int seed, unsigned int unused)
{
	int err;

	mutex_lock(&share_lock);
	err = share_buf ? memory_check(share_buf->priv, seed) : -ENOENT;
	mutex_unlock(&share_lock);
	return err;
}

/* Those who have imported it still have it. */
int engine_unexport(struct engine *engine, unsigned int unused, unsigned int unused_too)
{
	mutex_lock(&share_lock);
	if (share_owner == engine) {
		dma_buf_put(share_buf);
		share_buf = NULL;
		share_owner = NULL;
	}
	mutex_unlock(&share_lock);
	return 0;
}

/* ---- an importer ---- */

/**
 * struct engine_import - a buffer of somebody else
 * @buf: itself
 * @attachment: of this device
 * @sgt: its addresses for this device
 * @extents: the same for transfers
 */
struct engine_import {
	struct dma_buf *buf;
	struct dma_buf_attachment *attachment;
	struct sg_table *sgt;
	struct extents extents;
};

static int map_import(struct engine *engine, struct engine_import *import)
{
	int err;

	import->attachment = dma_buf_attach(import->buf, engine->dev);
	if (IS_ERR(import->attachment))
		return PTR_ERR(import->attachment);
	dma_resv_lock(import->buf->resv, NULL);
	import->sgt = dma_buf_map_attachment(import->attachment, DMA_BIDIRECTIONAL);
	dma_resv_unlock(import->buf->resv);
	err = PTR_ERR_OR_ZERO(import->sgt);
	if (err)
		dma_buf_detach(import->buf, import->attachment);
	return err;
}

static struct dma_buf *get_share(void)
{
	struct dma_buf *buf;

	mutex_lock(&share_lock);
	buf = share_buf;
	if (buf)
		get_dma_buf(buf);
	mutex_unlock(&share_lock);
	return buf;
}

static int attach(struct engine *engine)
{
	struct engine_import *import = kzalloc(sizeof(*import), GFP_KERNEL);
	int err;

	if (!import)
		return -ENOMEM;
	import->buf = get_share();
	err = import->buf ? extents_init(&import->extents, PAGE_SIZE, import->buf->size) : -ENOENT;
	if (err)
		goto put;
	err = map_import(engine, import);
	if (err)
		goto free_extents;
	extents_add_table(&import->extents, import->sgt);
	extents_tell(&import->extents);
	engine->import = import;
	return 0;

free_extents:
	extents_free(&import->extents);
put:
	if (import->buf)
		dma_buf_put(import->buf);
	kfree(import);
	return err;
}

/* The device reads what must be there, and writes the pattern of another seed. */
int engine_import(struct engine *engine, unsigned int expected, unsigned int written)
{
	int err = engine->import ? 0 : attach(engine);

	return err ?: engine_read_extents(engine, &engine->import->extents, expected) ?:
		      engine_write_extents(engine, &engine->import->extents, written);
}

int engine_detach(struct engine *engine, unsigned int unused, unsigned int unused_too)
{
	struct engine_import *import = engine->import;

	if (!import)
		return 0;
	engine->import = NULL;
	dma_resv_lock(import->buf->resv, NULL);
	dma_buf_unmap_attachment(import->attachment, import->sgt, DMA_BIDIRECTIONAL);
	dma_resv_unlock(import->buf->resv);
	dma_buf_detach(import->buf, import->attachment);
	dma_buf_put(import->buf);
	extents_free(&import->extents);
	kfree(import);
	return 0;
}
