// SPDX-License-Identifier: GPL-2.0
/* Interrupts of a user client: pending and enabled bits, and the one wait. */
#include "client.h"

IOReturn dext_setup_interrupts(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	const unsigned int vectors = client->dext->device->vectors;

	(void)in;
	if (client->page)
		return kIOReturnStillOpen;
	if (!vectors)
		return kIOReturnNotFound;
	client->page = memory_object("apple-interrupts", DEXT_INTERRUPT_PAGE, &client->page_fd);
	if (!client->page)
		return kIOReturnNoMemory;
	for (unsigned int i = 0; i < EXTENSION_WORDS; i++)
		client->page->enabled[i] = UINT64_MAX;
	out[0] = vectors < EXTENSION_VECTORS ? vectors : EXTENSION_VECTORS;
	return kIOReturnSuccess;
}

IOReturn dext_check_interrupt(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	(void)in;
	if (!client->page)
		return kIOReturnNotReady;
	for (unsigned int i = 0; i < EXTENSION_WORDS; i++)
		out[i] = __atomic_exchange_n(&client->page->pending[i], 0, __ATOMIC_ACQ_REL);
	return kIOReturnSuccess;
}

IOReturn dext_set_irq_mask(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	(void)out;
	if (!client->page)
		return kIOReturnNotReady;
	for (unsigned int i = 0; i < EXTENSION_WORDS; i++)
		__atomic_store_n(&client->page->enabled[i], in[i], __ATOMIC_RELEASE);
	return kIOReturnSuccess;
}

static void complete(struct dext_client *client)
{
	const struct dext_completion wait = client->wait;

	if (!wait.complete)
		return;
	client->wait.complete = NULL;
	client->counts.completed++;
	wait.complete(wait.arg, wait.token, kIOReturnSuccess);
}

IOReturn dext_wait_interrupt(struct dext_client *client, const struct dext_completion *completion)
{
	uint64_t pending = 0;

	if (!completion || !completion->complete)
		return kIOReturnBadArgument;
	if (!client->page)
		return kIOReturnNotReady;
	/* A wait that was armed before is dropped and never completed. */
	client->wait = *completion;
	for (unsigned int i = 0; i < EXTENSION_WORDS; i++)
		pending |= __atomic_load_n(&client->page->pending[i], __ATOMIC_ACQUIRE);
	if (pending)
		complete(client);
	return kIOReturnSuccess;
}

static void deliver(struct dext_client *client, unsigned int vector)
{
	const uint64_t bit = UINT64_C(1) << (vector % 64);
	struct dext_interrupt_page *page = client->page;
	const unsigned int word = vector / 64;

	if (!(__atomic_load_n(&page->enabled[word], __ATOMIC_ACQUIRE) & bit)) {
		client->counts.dropped++;
		return;
	}
	if (__atomic_fetch_or(&page->pending[word], bit, __ATOMIC_ACQ_REL) & bit)
		client->counts.merged++;
	else
		client->counts.pended++;
	complete(client);
}

void dext_interrupt(void *arg, unsigned int vector)
{
	struct dext *dext = arg;

	for (struct dext_client *client = dext->clients; client; client = client->next)
		if (client->page && vector < EXTENSION_VECTORS)
			deliver(client, vector);
}

void dext_drop_interrupts(struct dext_client *client)
{
	client->wait.complete = NULL;
	memory_object_free(client->page, DEXT_INTERRUPT_PAGE, client->page_fd);
	client->page = NULL;
}

void dext_get_interrupts(const struct dext_client *client, struct dext_interrupts *counts)
{
	*counts = client->counts;
}

void dext_add_interrupts(struct dext_interrupts *to, const struct dext_interrupts *counts)
{
	to->pended += counts->pended;
	to->merged += counts->merged;
	to->dropped += counts->dropped;
	to->completed += counts->completed;
}
