// SPDX-License-Identifier: GPL-2.0
/* A companion of devices behind an apple-dart: the extension is in process. */
#include "dart-device.h"

struct dart_backend {
	struct backend backend;
	AppleDart *dart;
	struct dext_client *client;
};

static struct dart_backend *of(struct backend *backend)
{
	return container_of(backend, struct dart_backend, backend);
}

static IOReturn map(struct backend *backend, uint64_t handle, uint64_t va, uint64_t size,
		    uint64_t *addr, uint64_t *len)
{
	const uint64_t in[3] = { handle, va, size };
	uint64_t out[3];
	uint32_t count = 3;
	IOReturn ret;

	ret = dext_call(of(backend)->client, SELECTOR_REGISTER_DMA_REGION, in, 3, out, &count);
	if (ret == kIOReturnSuccess) {
		*addr = out[1];
		*len = out[2];
	}
	return ret;
}

static IOReturn unmap(struct backend *backend, uint64_t handle)
{
	return dext_call(of(backend)->client, SELECTOR_UNREGISTER_DMA_REGION, &handle, 1, NULL,
			 NULL);
}

static bool other(struct backend *backend, uint64_t handle, uint64_t *addr)
{
	return dext_other_region(of(backend)->client, handle, addr);
}

static void usage(struct backend *backend, struct backend_usage *usage)
{
	const struct dart_backend *this = of(backend);
	struct dext_totals totals;
	struct dext_usage mine;
	struct dart_usage dart;

	dext_get_totals(this->dart->dext, &totals);
	dext_get_usage(this->client, &mine);
	dart_get_usage(this->dart->glue.dart, &dart);
	*usage = (struct backend_usage){
		.regions = mine.regions,
		.bytes = mine.bytes,
		.dart_entries = dart.entries,
		.dart_bytes = dart.bytes,
		.read_faults = dart.read_faults,
		.write_faults = dart.write_faults,
		.enforced = apple_dart_enforced(this->dart),
		.modelled_us = totals.modelled_ns / 1000,
	};
}

static void program(struct backend *backend)
{
	apple_dart_program(of(backend)->dart);
}

static uint32_t managed_bdf(struct backend *backend)
{
	return apple_dart_managed_bdf(of(backend)->dart);
}

static void release(struct backend *backend)
{
	struct dart_backend *this = of(backend);

	dext_close(this->client);
	g_free(this);
}

struct backend *apple_dart_backend(AppleDart *dart)
{
	static const struct backend_ops ops = {
		map, unmap, other, usage, program, managed_bdf, release,
	};
	struct dart_backend *this = g_new0(struct dart_backend, 1);

	this->backend.ops = &ops;
	this->dart = dart;
	this->client = dext_open(dart->dext);
	if (!this->client) {
		g_free(this);
		return NULL;
	}
	dext_call(this->client, SELECTOR_CLAIM, NULL, 0, NULL, NULL);
	return &this->backend;
}
