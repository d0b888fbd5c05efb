// SPDX-License-Identifier: GPL-2.0
/* The extension: user clients, the claim, and the table of selectors. */
#include "dext.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"

/*
 * The claim is one of the whole driver: while one client has it, all of them
 * may act.
 */
static IOReturn claim(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	struct dext *dext = client->dext;

	(void)in;
	(void)out;
	if (dext->opener)
		return kIOReturnSuccess;
	if (dext->traps.busy)
		return kIOReturnExclusiveAccess;
	dext->opener = client;
	dext_set_command(dext, true);
	return kIOReturnSuccess;
}

/* What the client holds is freed when it is closed, not here. */
static IOReturn terminate(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	(void)client;
	(void)in;
	(void)out;
	return kIOReturnSuccess;
}

enum { CLAIMED = 1, DEVICE = 2 };

static const struct method {
	dext_method *call;
	uint32_t in_count;
	uint32_t out_count;
	unsigned int needs;
} methods[SELECTORS] = {
	[SELECTOR_GET_IDENTITY] = { dext_get_identity, 0, 6, DEVICE },
	[SELECTOR_CLAIM] = { claim, 0, 0, 0 },
	[SELECTOR_TERMINATE] = { terminate, 0, 0, 0 },
	[SELECTOR_ALLOCATE_DMA_BUFFER] = { dext_allocate_buffer, 2, 6, CLAIMED },
	[SELECTOR_FREE_DMA_BUFFER] = { dext_free_buffer, 0, 0, 0 },
	[SELECTOR_REGISTER_DMA_REGION] = { dext_register_region, 3, 3, CLAIMED },
	[SELECTOR_UNREGISTER_DMA_REGION] = { dext_unregister_region, 1, 0, 0 },
	[SELECTOR_PROBE_DMA_REGION] = { dext_probe_region, 2, 1, 0 },
	[SELECTOR_CONFIG_READ] = { dext_config_read, 2, 1, DEVICE },
	[SELECTOR_CONFIG_WRITE] = { dext_config_write, 3, 0, DEVICE },
	[SELECTOR_GET_BAR_INFO] = { dext_get_bar_info, 1, 3, DEVICE },
	[SELECTOR_MMIO_READ] = { dext_mmio_read, 3, 1, DEVICE },
	[SELECTOR_MMIO_WRITE] = { dext_mmio_write, 4, 0, DEVICE },
	[SELECTOR_SETUP_INTERRUPTS] = { dext_setup_interrupts, 0, 1, CLAIMED | DEVICE },
	[SELECTOR_CHECK_INTERRUPT] = { dext_check_interrupt, 0, EXTENSION_WORDS, 0 },
	[SELECTOR_WAIT_INTERRUPT] = { NULL, 0, 0, 0 },
	[SELECTOR_SET_IRQ_MASK] = { dext_set_irq_mask, EXTENSION_WORDS, 0, 0 },
	[SELECTOR_RESET_DEVICE] = { dext_reset_device, 0, 0, CLAIMED | DEVICE },
};

struct dext *dext_create(struct dart *dart)
{
	struct dext *dext = calloc(1, sizeof(*dext));

	if (dext)
		dext->dart = dart;
	return dext;
}

void dext_attach(struct dext *dext, struct physical *dev)
{
	dext->device = dev;
	dev->raise = dext_interrupt;
	dev->raise_arg = dext;
}

void dext_set_traps(struct dext *dext, const struct dext_traps *traps)
{
	dext->traps = *traps;
	dext->calls = 0;
	if (dext->device)
		dext->device->lost = false;
}

void dext_set_cost(struct dext *dext, enum dext_cost cost)
{
	dext->cost = cost;
}

void dext_set_panic(struct dext *dext, const struct panic_limits *limits)
{
	dext->panic_limits = *limits;
}

void dext_destroy(struct dext *dext)
{
	if (dext && dext->device)
		dext->device->raise = NULL;
	free(dext);
}

struct dext_client *dext_open(struct dext *dext)
{
	return dext_open_for(dext, memory_own());
}

struct dext_client *dext_open_for(struct dext *dext, struct memory *memory)
{
	struct dext_client *client = calloc(1, sizeof(*client));

	if (!client)
		return NULL;
	client->dext = dext;
	client->memory = memory;
	client->next = dext->clients;
	dext->clients = client;
	return client;
}

void dext_close(struct dext_client *client)
{
	struct dext_client **link;

	if (!client)
		return;
	/* Stop the device before its memory is unmapped. */
	if (client->dext->opener == client) {
		dext_set_command(client->dext, false);
		client->dext->opener = NULL;
	}
	dext_drop_interrupts(client);
	dext_drop_regions(client);
	dext_free_buffer(client, NULL, NULL);
	for (link = &client->dext->clients; *link != client; link = &(*link)->next)
		;
	*link = client->next;
	dext_add_interrupts(&client->dext->gone, &client->counts);
	free(client);
}

void dext_get_totals(const struct dext *dext, struct dext_totals *totals)
{
	*totals = (struct dext_totals){
		.calls = dext->calls, .modelled_ns = dext->modelled_ns, .panic = dext->panic,
		.interrupts = dext->gone,
		.mapped = dext->mapped, .write_combined = dext->write_combined,
	};
	for (const struct dext_client *client = dext->clients; client; client = client->next) {
		totals->clients++;
		dext_add_interrupts(&totals->interrupts, &client->counts);
	}
}

IOReturn dext_call(struct dext_client *client, uint32_t selector, const uint64_t *in,
		   uint32_t in_count, uint64_t *out, uint32_t *out_count)
{
	return dext_call_async(client, selector, in, in_count, out, out_count, NULL);
}

static IOReturn call(struct dext_client *client, uint32_t selector, const uint64_t *in,
		     uint64_t *out, const struct dext_completion *completion)
{
	const struct method *method = &methods[selector];
	const struct dext *dext = client->dext;

	if (selector == SELECTOR_WAIT_INTERRUPT)
		return dext_wait_interrupt(client, completion);
	if (method->needs & DEVICE && !dext->device)
		return kIOReturnNotAttached;
	if (method->needs & CLAIMED && !dext->opener)
		return kIOReturnNotOpen;
	return method->call(client, in, out);
}

/* Delay a call; true once the device is pulled out. */
static bool is_lost(struct dext *dext)
{
	const struct dext_traps *traps = &dext->traps;

	cost_take(traps->latency_us * UINT64_C(1000));
	dext->calls++;
	if (!traps->lost_after || dext->calls <= traps->lost_after)
		return false;
	if (dext->device)
		dext->device->lost = true;
	return true;
}

static IOReturn checked_call(struct dext_client *client, uint32_t selector, const uint64_t *in,
			     uint32_t in_count, uint64_t *out, uint32_t *out_count,
			     const struct dext_completion *completion)
{
	const struct dext_traps *traps = &client->dext->traps;
	const struct method *method;
	IOReturn ret;

	if (is_lost(client->dext)) {
		if (out_count)
			*out_count = 0;
		return kIOReturnNotAttached;
	}
	if (selector >= SELECTORS)
		return kIOReturnUnsupported;
	method = &methods[selector];
	if (method->in_count && (!in || in_count < method->in_count))
		return kIOReturnBadArgument;
	if (method->out_count && (!out || !out_count || *out_count < method->out_count))
		return kIOReturnBadArgument;
	ret = call(client, selector, in, out, completion);
	if (out_count)
		*out_count = ret == kIOReturnSuccess ? method->out_count : 0;
	if (ret == kIOReturnSuccess && traps->lie && client->dext->calls > traps->lie_after)
		ret = dext_lie(traps->lie, selector, out, out_count);
	return ret;
}

IOReturn dext_call_async(struct dext_client *client, uint32_t selector, const uint64_t *in,
			 uint32_t in_count, uint64_t *out, uint32_t *out_count,
			 const struct dext_completion *completion)
{
	struct dext *dext = client->dext;
	uint64_t ns;
	IOReturn ret;

	client->scanned = 0;
	ret = checked_call(client, selector, in, in_count, out, out_count, completion);
	ns = cost_of(client->scanned);
	dext->modelled_ns += ns;
	if (dext->cost == DEXT_COST_MAC)
		cost_take(ns);
	return ret;
}
