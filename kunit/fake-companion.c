// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fake companion: see fake-companion.h.
 */

#include <linux/errno.h>
#include <linux/io.h>
#include <linux/string.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "fake-companion.h"

#define ONES		0xffffffffU

/* Device address = GPA + this: never the GPA itself, but as unique. */
#define IOVA_BASE	0x4000000000ULL

static struct fake_companion *the_companion;

/* ---- entries, in both layouts ---- */

static void ask(struct fake_companion *c, unsigned int i, const void *array)
{
	struct fake_asked *asked = &c->asked[i];

	memset(asked, 0, sizeof(*asked));
	if (c->type == APPLE_DMA_CMD_UNMAP) {
		const struct apple_dma_unmap_req *req = array;

		asked->id = le64_to_cpu(req[i].id);
		asked->len = le64_to_cpu(req[i].size);
	} else if (c->wide) {
		const struct apple_dma_map_req_wide *req = array;

		asked->id = le64_to_cpu(req[i].gpa);
		asked->len = le64_to_cpu(req[i].len);
		asked->flags = le32_to_cpu(req[i].flags);
	} else {
		const struct apple_dma_map_req *req = array;

		asked->id = le64_to_cpu(req[i].gpa);
		asked->len = le32_to_cpu(req[i].len);
		asked->flags = le32_to_cpu(req[i].flags);
	}
}

/**
 * fake_companion_get() - read an answer of the last batch of maps
 * @c: the companion
 * @i: which entry
 * @answer: where to
 */
void fake_companion_get(struct fake_companion *c, unsigned int i,
			struct fake_answer *answer)
{
	if (c->wide) {
		const struct apple_dma_map_resp_wide *resp = c->resp;

		answer->id = le64_to_cpu(resp[i].id);
		answer->iova = le64_to_cpu(resp[i].dma_addr);
		answer->len = le64_to_cpu(resp[i].dma_len);
		answer->status = le32_to_cpu(resp[i].status);
	} else {
		const struct apple_dma_map_resp *resp = c->resp;

		answer->id = le64_to_cpu(resp[i].id);
		answer->iova = le64_to_cpu(resp[i].dma_addr);
		answer->len = le32_to_cpu(resp[i].dma_len);
		answer->status = le32_to_cpu(resp[i].status);
	}
}

static void put_status(struct fake_companion *c, unsigned int i, u32 status)
{
	if (c->type == APPLE_DMA_CMD_UNMAP) {
		struct apple_dma_unmap_resp *resp = c->resp;

		resp[i].status = cpu_to_le32(status);
	} else if (c->wide) {
		struct apple_dma_map_resp_wide *resp = c->resp;

		resp[i].status = cpu_to_le32(status);
	} else {
		struct apple_dma_map_resp *resp = c->resp;

		resp[i].status = cpu_to_le32(status);
	}
}

/**
 * fake_companion_put() - write an answer of the last batch of maps
 * @c: the companion
 * @i: which entry
 * @answer: what
 */
void fake_companion_put(struct fake_companion *c, unsigned int i,
			const struct fake_answer *answer)
{
	if (c->wide) {
		struct apple_dma_map_resp_wide *resp = c->resp;

		resp[i].id = cpu_to_le64(answer->id);
		resp[i].dma_addr = cpu_to_le64(answer->iova);
		resp[i].dma_len = cpu_to_le64(answer->len);
	} else {
		struct apple_dma_map_resp *resp = c->resp;

		resp[i].id = cpu_to_le64(answer->id);
		resp[i].dma_addr = cpu_to_le64(answer->iova);
		resp[i].dma_len = cpu_to_le32(answer->len);
	}
	put_status(c, i, answer->status);
}

/* ---- the host's table ---- */

static int find(const struct fake_companion *c, u64 handle)
{
	unsigned int i;

	for (i = 0; i < c->live; i++)
		if (c->handles[i] == handle)
			return i;
	return -ENOENT;
}

/* A map that fails writes its status and nothing else. */
static bool map_one(struct fake_companion *c, unsigned int i)
{
	const struct fake_asked *asked = &c->asked[i];
	struct fake_answer answer = {
		.id = asked->id,
		.iova = IOVA_BASE + asked->id,
		.len = asked->len,
		.status = APPLE_DMA_STATUS_OK,
	};

	if (!asked->len || c->refuse & BIT_ULL(i) || find(c, asked->id) >= 0 ||
	    c->live == FAKE_COMPANION_SLOTS) {
		put_status(c, i, APPLE_DMA_STATUS_IOERR);
		return false;
	}
	if (c->shorten & BIT_ULL(i))
		answer.len -= APPLE_DMA_GRANULE_SIZE;
	c->handles[c->live++] = asked->id;
	fake_companion_put(c, i, &answer);
	return true;
}

/* An unmap always writes its handle. */
static bool unmap_one(struct fake_companion *c, unsigned int i)
{
	struct apple_dma_unmap_resp *resp = c->resp;
	int slot = find(c, c->asked[i].id);
	bool done = slot >= 0 && !(c->refuse & BIT_ULL(i));

	resp[i].id = cpu_to_le64(c->asked[i].id);
	put_status(c, i, done ? APPLE_DMA_STATUS_OK : APPLE_DMA_STATUS_IOERR);
	if (done)
		c->handles[slot] = c->handles[--c->live];
	return done;
}

/* ---- a batch ---- */

static u32 run(struct fake_companion *c)
{
	const void *req = phys_to_virt(le64_to_cpu(c->cmd->req_gpa));
	bool failed = false;
	unsigned int i;

	c->type = le32_to_cpu(c->cmd->type);
	c->count = le32_to_cpu(c->cmd->count);
	if (!c->count || c->count > min(c->max_entries, FAKE_COMPANION_SLOTS) ||
	    !c->cmd->req_gpa || !c->cmd->resp_gpa ||
	    (c->type != APPLE_DMA_CMD_MAP && c->type != APPLE_DMA_CMD_UNMAP))
		return APPLE_DMA_STATUS_INVAL;
	c->resp = phys_to_virt(le64_to_cpu(c->cmd->resp_gpa));
	for (i = 0; i < c->count; i++)
		ask(c, i, req);
	for (i = 0; i < c->count; i++)
		failed |= !(c->type == APPLE_DMA_CMD_MAP ? map_one(c, i) :
							   unmap_one(c, i));
	return failed ? APPLE_DMA_STATUS_IOERR : APPLE_DMA_STATUS_OK;
}

static void doorbell(struct fake_companion *c)
{
	c->doorbells++;
	if (c->gone || c->deaf)
		return;
	if (!c->cmd_gpa) {
		c->status = APPLE_DMA_STATUS_INVAL;
		return;
	}
	c->page = phys_to_virt(c->cmd_gpa);
	c->cmd = c->page;
	c->status = run(c);
	c->cmd->status = cpu_to_le32(c->status);
	if (c->lie)
		c->lie(c);
}

/* ---- where seam.h leads ---- */

static bool is_register(const void __iomem *addr, u32 *offset)
{
	const u8 *at = (__force const u8 *)addr;

	if (!the_companion || at < the_companion->bar ||
	    at >= the_companion->bar + APPLE_DMA_BAR_SIZE)
		return false;
	*offset = at - the_companion->bar;
	return true;
}

static u32 read_register(const struct fake_companion *c, u32 offset)
{
	switch (offset) {
	case APPLE_DMA_REG_VERSION:
		return c->version;
	case APPLE_DMA_REG_MAX_ENTRIES:
		return c->max_entries;
	case APPLE_DMA_REG_STATUS:
		return c->status;
	default:
		return 0;
	}
}

u32 seam_readl(const void __iomem *addr)
{
	struct fake_companion *c = the_companion;
	u32 offset, before;

	if (!is_register(addr, &offset))
		return readl(addr);
	before = c->reads[offset / 4 % FAKE_COMPANION_REGISTERS]++;
	if (c->gone)
		return ONES;
	return read_register(c, offset) + (c->fickle ? before : 0);
}

void seam_writel(u32 value, void __iomem *addr)
{
	struct fake_companion *c = the_companion;
	u32 offset;

	if (!is_register(addr, &offset)) {
		writel(value, addr);
		return;
	}
	switch (offset) {
	case APPLE_DMA_REG_CMD_GPA_LO:
		c->cmd_gpa = (c->cmd_gpa & ~(u64)ONES) | value;
		break;
	case APPLE_DMA_REG_CMD_GPA_HI:
		c->cmd_gpa = (c->cmd_gpa & ONES) | (u64)value << 32;
		break;
	case APPLE_DMA_REG_DOORBELL:
		doorbell(c);
		break;
	}
}

/* The host may write to the page at any time: here, as soon as it was read. */
void *seam_memcpy(void *dst, const void *src, size_t size)
{
	struct fake_companion *c = the_companion;

	memcpy(dst, src, size);
	if (c && c->spoil && c->page && src >= c->page &&
	    src < c->page + PAGE_SIZE)
		memset((void *)src, 0x5a, size);
	return dst;
}

/**
 * fake_companion_start() - add the companion
 * @c: the companion; zeroed
 *
 * Return: 0, or -EBUSY if there is another one.
 */
int fake_companion_start(struct fake_companion *c)
{
	if (the_companion)
		return -EBUSY;
	c->version = APPLE_DMA_VERSION;
	c->max_entries = APPLE_DMA_DEFAULT_MAX_ENTRIES;
	the_companion = c;
	return 0;
}

/**
 * fake_companion_stop() - remove the companion
 * @c: the companion
 */
void fake_companion_stop(struct fake_companion *c)
{
	if (the_companion == c)
		the_companion = NULL;
}

/**
 * fake_companion_bar() - its registers, as apple_dma_transport_init() takes them
 * @c: the companion
 */
void __iomem *fake_companion_bar(struct fake_companion *c)
{
	return (void __iomem *)c->bar;
}
