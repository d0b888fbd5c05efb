// SPDX-License-Identifier: GPL-2.0-only
/*
 * The way to the host: command page, batches, doorbell.
 *
 * The host may write to the shared page at any time and may write anything.
 * So nothing in it is read twice: the answer is filled with a pattern
 * before the doorbell, copied out once after it, and checked. What the
 * protocol does not allow is -EPROTO, and the host is not asked again.
 */

#include <linux/io.h>
#include <linux/math64.h>
#include <linux/slab.h>
#include <linux/timekeeping.h>

#include "trace.h"
#include "transport.h"

/* The shared page: the command, then both arrays. */
#define REQ_OFFSET	64U
#define RESP_OFFSET	2048U

static_assert(sizeof(struct apple_dma_cmd) <= REQ_OFFSET);
static_assert(REQ_OFFSET + APPLE_DMA_BATCH_MAX *
	      sizeof(struct apple_dma_map_req_wide) <= RESP_OFFSET);
static_assert(RESP_OFFSET + APPLE_DMA_BATCH_MAX *
	      sizeof(struct apple_dma_map_resp_wide) <= 4096);

/* No host writes this as a status: it means that nothing was written. */
#define UNWRITTEN	0xffffffffU

/* The wide layout's status word is the last one that a probe can see. */
#define PROBE_RESP_SIZE	sizeof(struct apple_dma_map_resp_wide)

static void *transport_req(struct apple_dma_transport *t)
{
	return t->page + REQ_OFFSET;
}

/*
 * Copy from the shared page once. The barrier keeps the compiler from reading
 * the page again where the copy is used.
 */
static __always_inline void transport_copy_once(void *dst, const void *src,
						size_t size)
{
	memcpy(dst, src, size);
	barrier();
}

/* The same for one word. */
static u32 transport_read_word(const __le32 *word)
{
	__le32 copy;

	transport_copy_once(&copy, word, sizeof(copy));
	return le32_to_cpu(copy);
}

static int transport_broke(struct apple_dma_transport *t, const char *reason)
{
	t->reason = reason;
	return -EPROTO;
}

/*
 * How many entries a doorbell may have. It grows from 1, and each time to twice what
 * has been seen to fit: a slow host never sees a large batch.
 */
static void transport_set_fit(struct apple_dma_transport *t)
{
	u64 most = (u64)t->doorbell_us * NSEC_PER_USEC;
	u64 cost = max(t->entry_ns[0], t->entry_ns[1]);
	u64 fit = 2ULL * t->proven;

	if (cost)
		fit = min(fit, div64_u64(most, cost));
	if (!t->doorbell_us)
		fit = APPLE_DMA_BATCH_MAX;
	WRITE_ONCE(t->fit, clamp_t(u64, fit, 1, APPLE_DMA_BATCH_MAX));
}

/*
 * Learn from one doorbell what an entry takes. A lower value counts at once, a
 * higher one by an eighth: the guest may have been scheduled away meanwhile. A
 * refusal may be quick, so it does not lower it. The layout probe maps nothing
 * and teaches nothing.
 */
static void transport_learn(struct apple_dma_transport *t, u32 type, u32 count,
			    u64 bytes, u64 ns, bool refused)
{
	u64 *cost = &t->entry_ns[type == APPLE_DMA_CMD_UNMAP];
	u64 entry = max(div_u64(ns, count), 1ULL);

	if (!bytes)
		return;
	if (!refused && ns <= (u64)t->doorbell_us * NSEC_PER_USEC)
		t->proven = max(t->proven, count);
	if (*cost && entry > *cost)
		*cost += DIV_ROUND_UP_ULL(entry - *cost, 8);
	else if (!refused)
		*cost = entry;
	transport_set_fit(t);
}

/**
 * apple_dma_transport_set_doorbell_us() - set how long a doorbell should take
 * @t: the transport; nothing rings meanwhile
 * @doorbell_us: at most so many microseconds; 0: any time
 *
 * Context: any.
 */
void apple_dma_transport_set_doorbell_us(struct apple_dma_transport *t,
					 u32 doorbell_us)
{
	t->doorbell_us = doorbell_us;
	transport_set_fit(t);
}

/*
 * Ring, and measure how long the host takes: the write traps. Returns that in ns.
 * The clock may be read in any context; it may step back a little.
 */
static u64 transport_write_doorbell(struct apple_dma_transport *t, u32 type,
				    u32 count, u64 bytes)
{
	u64 start = ktime_get_mono_fast_ns(), ns;

	writel(1, t->bar + APPLE_DMA_REG_DOORBELL);
	ns = ktime_get_mono_fast_ns();
	ns -= min(start, ns);

	if (!t->doorbells || ns < t->ns_min)
		t->ns_min = ns;
	t->ns_max = max(t->ns_max, ns);
	t->ns_sum += ns;
	t->requests += count;
	t->batches += count > 1;
	t->doorbells++;
	trace_doorbell(t->dev, type == APPLE_DMA_CMD_MAP ? "map" : "unmap",
		       count, bytes, ns);
	return ns;
}

/*
 * Run one batch of @bytes bytes whose requests are in place. Returns the batch
 * status, OK or IOERR, or -EPROTO.
 */
static int transport_ring(struct apple_dma_transport *t, u32 type, u32 count,
			  u64 bytes, size_t resp_size)
{
	struct apple_dma_cmd *cmd = t->page;
	u64 ns;

	memset(t->page + RESP_OFFSET, 0xff, resp_size);
	cmd->type = cpu_to_le32(type);
	cmd->count = cpu_to_le32(count);
	cmd->status = cpu_to_le32(UNWRITTEN);
	cmd->reserved = 0;
	cmd->req_gpa = cpu_to_le64(t->page_gpa + REQ_OFFSET);
	cmd->resp_gpa = cpu_to_le64(t->page_gpa + RESP_OFFSET);

	/* The host reads the page while the write traps: complete it first. */
	wmb();
	ns = transport_write_doorbell(t, type, count, bytes);
	/* Nothing of the answer is read before the batch is done. */
	mb();

	switch (transport_read_word(&cmd->status)) {
	case APPLE_DMA_STATUS_OK:
		transport_learn(t, type, count, bytes, ns, false);
		return APPLE_DMA_STATUS_OK;
	case APPLE_DMA_STATUS_IOERR:
		transport_learn(t, type, count, bytes, ns, true);
		return APPLE_DMA_STATUS_IOERR;
	case APPLE_DMA_STATUS_INVAL:
		return transport_broke(t, "it called a valid batch invalid");
	case UNWRITTEN:
		/* A device that is gone reads as ones, with some hosts as zeros. */
		if (readl(t->bar + APPLE_DMA_REG_VERSION) != APPLE_DMA_VERSION)
			return transport_broke(t, "it is gone from the bus");
		return transport_broke(t, "it did not write the status of a batch");
	default:
		return transport_broke(t, "it wrote an unknown batch status");
	}
}

static int apple_dma_transport_unmap(void *host,
				     struct apple_dma_unmap_entry *entries,
				     unsigned int n)
{
	struct apple_dma_transport *t = host;
	struct apple_dma_unmap_req *req = transport_req(t);
	bool failed = false;
	unsigned int i;
	u64 bytes = 0;
	int status;

	if (!n || n > APPLE_DMA_BATCH_MAX)
		return transport_broke(t, "(it did not: the module made a bad batch)");

	for (i = 0; i < n; i++) {
		req[i].id = cpu_to_le64(entries[i].handle);
		req[i].size = cpu_to_le64(entries[i].len);
		bytes += entries[i].len;
	}

	status = transport_ring(t, APPLE_DMA_CMD_UNMAP, n, bytes,
				n * sizeof(struct apple_dma_unmap_resp));
	if (status < 0)
		return status;

	for (i = 0; i < n; i++) {
		struct apple_dma_unmap_resp resp;

		transport_copy_once(&resp,
				    t->page + RESP_OFFSET + i * sizeof(resp),
				    sizeof(resp));
		switch (le32_to_cpu(resp.status)) {
		case APPLE_DMA_STATUS_OK:
			entries[i].err = 0;
			break;
		case APPLE_DMA_STATUS_IOERR:
		case APPLE_DMA_STATUS_INVAL:
			entries[i].err = -EIO;
			failed = true;
			break;
		case UNWRITTEN:
			return transport_broke(t, "it did not answer an unmap entry");
		default:
			return transport_broke(t, "it wrote an unknown unmap status");
		}
		if (le64_to_cpu(resp.id) != entries[i].handle)
			return transport_broke(t, "it answered an unmap with another handle");
	}

	if (status != (failed ? APPLE_DMA_STATUS_IOERR : APPLE_DMA_STATUS_OK))
		return transport_broke(t, "a batch status contradicts its unmap entries");
	return 0;
}

/* One map response, the same for both layouts. */
struct transport_answer {
	u64 id;
	u64 iova;
	u64 len;
	u32 status;
};

static void transport_put_map_request(struct apple_dma_transport *t,
				      unsigned int i,
				      const struct apple_dma_map_entry *entry)
{
	if (t->wide) {
		struct apple_dma_map_req_wide *req = transport_req(t);

		req[i].gpa = cpu_to_le64(entry->gpa);
		req[i].len = cpu_to_le64(entry->len);
		req[i].flags = 0;
	} else {
		struct apple_dma_map_req *req = transport_req(t);

		req[i].gpa = cpu_to_le64(entry->gpa);
		req[i].len = cpu_to_le32(entry->len);
		req[i].flags = 0;
	}
}

static void transport_get_map_answer(struct apple_dma_transport *t,
				     unsigned int i,
				     struct transport_answer *answer)
{
	const void *array = t->page + RESP_OFFSET;

	if (t->wide) {
		struct apple_dma_map_resp_wide resp;

		transport_copy_once(&resp, array + i * sizeof(resp), sizeof(resp));
		answer->id = le64_to_cpu(resp.id);
		answer->iova = le64_to_cpu(resp.dma_addr);
		answer->len = le64_to_cpu(resp.dma_len);
		answer->status = le32_to_cpu(resp.status);
	} else {
		struct apple_dma_map_resp resp;

		transport_copy_once(&resp, array + i * sizeof(resp), sizeof(resp));
		answer->id = le64_to_cpu(resp.id);
		answer->iova = le64_to_cpu(resp.dma_addr);
		answer->len = le32_to_cpu(resp.dma_len);
		answer->status = le32_to_cpu(resp.status);
	}
}

/*
 * Check one answer. Sets entry->err, and *undo if the host mapped less than was
 * asked and called that a success.
 */
static int transport_check_map_answer(struct apple_dma_transport *t,
				      struct apple_dma_map_entry *entry,
				      const struct transport_answer *answer,
				      bool *undo)
{
	*undo = false;
	entry->iova = 0;
	entry->err = -EIO;

	switch (answer->status) {
	case APPLE_DMA_STATUS_OK:
		break;
	case APPLE_DMA_STATUS_IOERR:
	case APPLE_DMA_STATUS_INVAL:
		return 0;
	case UNWRITTEN:
		return transport_broke(t, "it did not answer a map entry");
	default:
		return transport_broke(t, "it wrote an unknown map status");
	}

	if (answer->id != entry->gpa)
		return transport_broke(t, "it answered a map with another handle");
	if (answer->len < entry->len) {
		*undo = true;
		return 0;
	}
	if (answer->len > entry->len)
		return transport_broke(t, "it mapped more than was asked");
	if (!answer->iova)
		return transport_broke(t, "it chose device address 0");
	if ((answer->iova ^ entry->gpa) & APPLE_DMA_GRANULE_MASK)
		return transport_broke(t, "it moved the offset inside a granule");
	/* The last granule holds DMA_MAPPING_ERROR. */
	if (answer->iova > U64_MAX - APPLE_DMA_GRANULE_MASK - entry->len)
		return transport_broke(t, "its device address runs past 2^64");

	entry->iova = answer->iova;
	entry->err = 0;
	return 0;
}

static int apple_dma_transport_map(void *host,
				   struct apple_dma_map_entry *entries,
				   unsigned int n)
{
	struct apple_dma_transport *t = host;
	size_t stride = t->wide ? sizeof(struct apple_dma_map_resp_wide) :
				  sizeof(struct apple_dma_map_resp);
	bool failed = false;
	unsigned int i, undo = 0;
	u64 bytes = 0;
	int status;
	int err;

	if (!n || n > APPLE_DMA_BATCH_MAX)
		return transport_broke(t, "(it did not: the module made a bad batch)");

	for (i = 0; i < n; i++) {
		transport_put_map_request(t, i, &entries[i]);
		bytes += entries[i].len;
	}

	status = transport_ring(t, APPLE_DMA_CMD_MAP, n, bytes, n * stride);
	if (status < 0)
		return status;

	for (i = 0; i < n; i++) {
		struct transport_answer answer;
		bool short_of;

		transport_get_map_answer(t, i, &answer);
		err = transport_check_map_answer(t, &entries[i], &answer,
						 &short_of);
		if (err)
			return err;
		if (short_of) {
			t->undo[undo].handle = entries[i].gpa;
			t->undo[undo].len = entries[i].len;
			undo++;
		}
		failed |= answer.status != APPLE_DMA_STATUS_OK;
	}

	if (status != (failed ? APPLE_DMA_STATUS_IOERR : APPLE_DMA_STATUS_OK))
		return transport_broke(t, "a batch status contradicts its map entries");

	if (!undo)
		return 0;
	err = apple_dma_transport_unmap(t, t->undo, undo);
	for (i = 0; !err && i < undo; i++)
		if (t->undo[i].err)
			err = transport_broke(t, "it does not release a partial mapping");
	return err;
}

static const char *apple_dma_transport_reason(void *host)
{
	struct apple_dma_transport *t = host;

	return t->reason;
}

static unsigned int apple_dma_transport_fit(void *host)
{
	struct apple_dma_transport *t = host;

	return t->fit;
}

const struct apple_dma_host_ops apple_dma_transport_ops = {
	.map = apple_dma_transport_map,
	.unmap = apple_dma_transport_unmap,
	.reason = apple_dma_transport_reason,
	.fit = apple_dma_transport_fit,
};

static bool transport_is_refusal(u32 status)
{
	return status == APPLE_DMA_STATUS_IOERR ||
	       status == APPLE_DMA_STATUS_INVAL;
}

/*
 * Find out which map layout the host uses. A map of length 0 maps nothing; the
 * host writes only its status, and the place of the status tells the layout.
 */
static int transport_probe_layout(struct apple_dma_transport *t)
{
	const void *resp = t->page + RESP_OFFSET;
	u32 rfc_word, wide_word;
	bool rfc, wide;
	int status;

	memset(transport_req(t), 0, sizeof(struct apple_dma_map_req_wide));
	status = transport_ring(t, APPLE_DMA_CMD_MAP, 1, 0, PROBE_RESP_SIZE);
	if (status < 0) {
		dev_err(t->dev,
			"the host did not pass the layout probe: %s\n",
			t->reason);
		return -ENODEV;
	}

	rfc_word = transport_read_word(resp +
			offsetof(struct apple_dma_map_resp, status));
	wide_word = transport_read_word(resp +
			offsetof(struct apple_dma_map_resp_wide, status));
	rfc = transport_is_refusal(rfc_word);
	wide = transport_is_refusal(wide_word);

	if (status != APPLE_DMA_STATUS_IOERR || rfc == wide ||
	    (rfc ? wide_word : rfc_word) != UNWRITTEN) {
		dev_err(t->dev,
			"the host answers the layout probe in no known way (batch status %d, words %#x and %#x); it needs a newer apple_dma\n",
			status, rfc_word, wide_word);
		transport_broke(t, "it answers the layout probe in no known way");
		return -ENODEV;
	}

	t->wide = wide;
	return 0;
}

/**
 * apple_dma_transport_init() - check the companion's registers
 * @t: the transport; zeroed
 * @dev: the companion, for the log
 * @bar: its mapped registers, APPLE_DMA_BAR_SIZE bytes
 *
 * Rings nothing and programs nothing. Undone by apple_dma_transport_free().
 *
 * Context: may sleep.
 * Return: 0, -ENODEV if the host speaks another protocol, -ENOMEM.
 */
int apple_dma_transport_init(struct apple_dma_transport *t,
			     struct device *dev, void __iomem *bar)
{
	u32 version = readl(bar + APPLE_DMA_REG_VERSION);

	t->dev = dev;
	t->bar = bar;

	if (version != APPLE_DMA_VERSION) {
		dev_err(dev, "the host speaks protocol version %u, this module knows only %u\n",
			version, APPLE_DMA_VERSION);
		return -ENODEV;
	}

	t->host_max = readl(bar + APPLE_DMA_REG_MAX_ENTRIES);
	if (!t->host_max || t->host_max == UNWRITTEN) {
		dev_err(dev, "the host allows %#x entries in a batch, which cannot be\n",
			t->host_max);
		return -ENODEV;
	}

	t->page = (void *)get_zeroed_page(GFP_KERNEL);
	if (!t->page)
		return -ENOMEM;
	t->page_gpa = virt_to_phys(t->page);
	transport_set_fit(t);
	return 0;
}

/* Tell the host where the command page is; any context. */
void apple_dma_transport_program(struct apple_dma_transport *t)
{
	writel(upper_32_bits(t->page_gpa), t->bar + APPLE_DMA_REG_CMD_GPA_HI);
	writel(lower_32_bits(t->page_gpa), t->bar + APPLE_DMA_REG_CMD_GPA_LO);
}

/* Make the host forget the command page; any context. */
void apple_dma_transport_clear(struct apple_dma_transport *t)
{
	writel(0, t->bar + APPLE_DMA_REG_CMD_GPA_LO);
	writel(0, t->bar + APPLE_DMA_REG_CMD_GPA_HI);
}

/**
 * apple_dma_transport_start() - program the command page, learn the layout
 * @t: an initialised transport
 *
 * Context: may sleep; nothing else may use @t.
 * Return: 0, or -ENODEV after a message if the host is unknown; then the
 * command page is cleared again.
 */
int apple_dma_transport_start(struct apple_dma_transport *t)
{
	int err;

	apple_dma_transport_program(t);
	err = transport_probe_layout(t);
	if (err)
		apple_dma_transport_clear(t);
	return err;
}

/**
 * apple_dma_transport_free() - free the command page
 * @t: an initialised transport; the host has been told to forget the page
 * @leak: the host cannot be trusted to have forgotten it: keep it for ever
 *
 * It is also kept if the host broke the protocol before there was an engine: a
 * missing answer may still come.
 *
 * Context: may sleep.
 */
void apple_dma_transport_free(struct apple_dma_transport *t, bool leak)
{
	if (!leak && !t->reason)
		free_page((unsigned long)t->page);
	t->page = NULL;
}
