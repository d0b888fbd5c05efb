/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The far end of driver/transport.c: registers that seam.h leads here, and a
 * host that answers batches as in Documentation/protocol.md, or wrongly if a
 * case says so.
 *
 * There is one at a time. Doorbells are answered before the write returns.
 */
#ifndef APPLE_DMA_FAKE_COMPANION_H
#define APPLE_DMA_FAKE_COMPANION_H

#include <linux/types.h>

#include <linux/apple_dma.h>

/* What can be registered at once. */
#define FAKE_COMPANION_SLOTS	256U

/* Words of its BAR that are registers. */
#define FAKE_COMPANION_REGISTERS	(APPLE_DMA_REG_DOORBELL / 4 + 1)

/* Bytes of one entry that are looked at: the largest there is. */
#define FAKE_COMPANION_ENTRY	32U

/**
 * struct fake_answer - an answer to a map entry, in either layout
 * @id: the handle
 * @iova: the device address
 * @len: bytes
 * @status: APPLE_DMA_STATUS_*
 */
struct fake_answer {
	u64 id;
	u64 iova;
	u64 len;
	u32 status;
};

/**
 * struct fake_asked - what one entry of a batch asked for
 * @id: gpa or handle
 * @len: bytes
 * @flags: of a map
 */
struct fake_asked {
	u64 id;
	u64 len;
	u32 flags;
};

/**
 * struct fake_companion - the host
 * @bar: where its registers are; never accessed
 * @version: register VERSION
 * @max_entries: register MAX_ENTRIES
 * @status: register STATUS
 * @cmd_gpa: registers CMD_GPA
 * @wide: it uses the wide map entries
 * @gone: every register reads as all ones, and a doorbell does nothing
 * @deaf: a doorbell does nothing, and the page stays as the guest left it
 * @fickle: what is read of a register is another value each time
 * @reads: how often each register was read
 * @refuse: bit i: entry i of a batch is refused
 * @shorten: bit i: entry i of a batch comes out a granule short, which the
 *	host calls a success
 * @lie: called when a batch is answered, to spoil the answer; or NULL
 * @spoil: what was read from @page once is overwritten
 * @page: the page that the guest shares
 * @cmd: the command of the last batch
 * @resp: its response array
 * @doorbells: how often it was rung
 * @type: of the last batch
 * @count: of the last batch
 * @asked: its entries
 * @handles: what is registered
 * @live: how many
 */
struct fake_companion {
	u8 bar[APPLE_DMA_BAR_SIZE];
	u32 version;
	u32 max_entries;
	u32 status;
	u64 cmd_gpa;
	bool wide;
	bool gone;
	bool deaf;
	bool fickle;
	unsigned int reads[FAKE_COMPANION_REGISTERS];
	u64 refuse;
	u64 shorten;
	void (*lie)(struct fake_companion *c);
	bool spoil;
	void *page;
	struct apple_dma_cmd *cmd;
	void *resp;
	u64 doorbells;
	u32 type;
	u32 count;
	struct fake_asked asked[FAKE_COMPANION_SLOTS];
	u64 handles[FAKE_COMPANION_SLOTS];
	unsigned int live;
};

int fake_companion_start(struct fake_companion *c);
void fake_companion_stop(struct fake_companion *c);
void __iomem *fake_companion_bar(struct fake_companion *c);
void fake_companion_get(struct fake_companion *c, unsigned int i,
			struct fake_answer *answer);
void fake_companion_put(struct fake_companion *c, unsigned int i,
			const struct fake_answer *answer);

#endif /* APPLE_DMA_FAKE_COMPANION_H */
