// SPDX-License-Identifier: GPL-2.0
/* The extension: user clients, the claim, and the table of selectors. */
#include "dext.h"

#include <stdlib.h>
#include <string.h>

#include "client.h"

/*
 * The claim belongs to the driver: a client that never claimed may act while
 * another one has.
 */
static uint32_t claim(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	(void)in;
	(void)out;
	if (!client->dext->opener)
		client->dext->opener = client;
	return DEXT_SUCCESS;
}

/* What the client holds goes when it dies, not here. */
static uint32_t terminate(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	(void)client;
	(void)in;
	(void)out;
	return DEXT_SUCCESS;
}

static const struct method {
	uint32_t (*call)(struct dext_client *client, const uint64_t *in, uint64_t *out);
	uint32_t in_count;
	uint32_t out_count;
} methods[DEXT_SELECTORS] = {
	[DEXT_CLAIM] = { claim, 0, 0 },
	[DEXT_TERMINATE] = { terminate, 0, 0 },
	[DEXT_REGISTER_DMA_REGION] = { dext_register_region, 3, 3 },
	[DEXT_UNREGISTER_DMA_REGION] = { dext_unregister_region, 1, 0 },
	[DEXT_PROBE_DMA_REGION] = { dext_probe_region, 2, 1 },
};

struct dext *dext_create(struct dart *dart)
{
	struct dext *dext = calloc(1, sizeof(*dext));

	if (dext)
		dext->dart = dart;
	return dext;
}

void dext_destroy(struct dext *dext)
{
	free(dext);
}

struct dext_client *dext_open(struct dext *dext)
{
	struct dext_client *client = calloc(1, sizeof(*client));

	if (client)
		client->dext = dext;
	return client;
}

void dext_close(struct dext_client *client)
{
	if (!client)
		return;
	dext_drop_regions(client);
	if (client->dext->opener == client)
		client->dext->opener = NULL;
	free(client);
}

uint32_t dext_call(struct dext_client *client, uint32_t selector, const uint64_t *in,
		   uint32_t in_count, uint64_t *out, uint32_t *out_count)
{
	const struct method *method;
	uint32_t ret;

	if (selector >= DEXT_SELECTORS || !methods[selector].call)
		return DEXT_UNSUPPORTED;
	method = &methods[selector];
	if (method->in_count && (!in || in_count < method->in_count))
		return DEXT_BAD_ARGUMENT;
	if (method->out_count && (!out || !out_count || *out_count < method->out_count))
		return DEXT_BAD_ARGUMENT;
	ret = method->call(client, in, out);
	if (out_count)
		*out_count = ret == DEXT_SUCCESS ? method->out_count : 0;
	return ret;
}
