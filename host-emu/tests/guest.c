// SPDX-License-Identifier: GPL-2.0
/* A guest for tests of a companion. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include "guest.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "companion/guest-memory.h"

static struct ram {
	const uint64_t gpa;
	const uint64_t size;
	const bool rom;
	uint8_t *here;
} ram[] = {
	{ GUEST_LOW, GUEST_LOW_SIZE, false, NULL },
	{ GUEST_HIGH, GUEST_HIGH_SIZE, false, NULL },
	{ GUEST_ROM, GUEST_ROM_SIZE, true, NULL },
	{ GUEST_FAR, GUEST_FAR_SIZE, false, NULL },
	{ GUEST_NEXT, GUEST_NEXT_SIZE, false, NULL },
};

#define RAMS	(sizeof(ram) / sizeof(ram[0]))

static struct guest *current;

static struct ram *find(uint64_t gpa, uint64_t size)
{
	for (size_t i = 0; i < RAMS; i++)
		if (size && gpa >= ram[i].gpa && gpa - ram[i].gpa < ram[i].size &&
		    size <= ram[i].size - (gpa - ram[i].gpa))
			return &ram[i];
	return NULL;
}

uint8_t *guest_at(uint64_t gpa, uint64_t size)
{
	const struct ram *in = find(gpa, size);

	return in ? in->here + (gpa - in->gpa) : NULL;
}

uint64_t guest_memory_find(uint64_t gpa, uint64_t len)
{
	return (uintptr_t)guest_at(gpa, len);
}

bool guest_memory_is_ram(uint64_t gpa, uint64_t len, bool writable)
{
	const struct ram *in = find(gpa, len);

	return in && !(writable && in->rom);
}

/* Byte by byte, over the ends of regions, as QEMU does. */
bool guest_memory_read(uint64_t gpa, void *buffer, size_t size)
{
	bool all = true;

	for (size_t i = 0; i < size; i++) {
		const uint8_t *at = guest_at(gpa + i, 1);

		((uint8_t *)buffer)[i] = at ? *at : 0xff;
		all &= at != NULL;
	}
	return all;
}

void guest_memory_write(uint64_t gpa, const void *buffer, size_t size)
{
	if (current->wrote)
		current->wrote(current->wrote_arg, gpa, buffer, size);
	for (size_t i = 0; i < size; i++) {
		const struct ram *in = find(gpa + i, 1);

		if (in && !in->rom)
			in->here[gpa + i - in->gpa] = ((const uint8_t *)buffer)[i];
	}
}

static IOReturn map(struct backend *backend, uint64_t handle, uint64_t va, uint64_t size,
		    uint64_t *addr, uint64_t *len)
{
	struct guest *guest = (struct guest *)backend;
	const uint64_t in[3] = { handle, va, size };
	uint64_t out[3];
	uint32_t count = 3;
	IOReturn ret;

	guest->calls++;
	/* A map of length 0 asks for the layout alone. */
	if (!size)
		abort();
	ret = dext_call(guest->client, SELECTOR_REGISTER_DMA_REGION, in, 3, out, &count);
	if (ret != kIOReturnSuccess)
		return ret;
	if (guest->live_count == GUEST_REGIONS)
		abort();
	guest->live[guest->live_count++] = (struct guest_region){ handle, size };
	if (guest->live_count > guest->peak)
		guest->peak = guest->live_count;
	guest->maps++;
	*addr = out[1];
	*len = out[2];
	guest->last = (struct guest_answer){ handle, va, size, *addr, *len };
	return ret;
}

static IOReturn unmap(struct backend *backend, uint64_t handle)
{
	struct guest *guest = (struct guest *)backend;
	unsigned int i = 0;
	IOReturn ret;

	guest->calls++;
	ret = dext_call(guest->client, SELECTOR_UNREGISTER_DMA_REGION, &handle, 1, NULL, NULL);
	if (ret != kIOReturnSuccess)
		return ret;
	while (i < guest->live_count && guest->live[i].handle != handle)
		i++;
	if (i == guest->live_count)
		abort();
	guest->live[i] = guest->live[--guest->live_count];
	guest->unmaps++;
	return ret;
}

static bool other(struct backend *backend, uint64_t handle, uint64_t *addr)
{
	return dext_other_region(((struct guest *)backend)->client, handle, addr);
}

static void usage(struct backend *backend, struct backend_usage *usage)
{
	const struct guest *guest = (struct guest *)backend;
	struct dext_usage mine;
	struct dart_usage dart;

	dext_get_usage(guest->client, &mine);
	dart_get_usage(guest->dart, &dart);
	*usage = (struct backend_usage){
		.regions = mine.regions, .bytes = mine.bytes,
		.dart_entries = dart.entries, .dart_bytes = dart.bytes,
	};
}

static void program(struct backend *backend)
{
	((struct guest *)backend)->programs++;
}

static uint32_t managed_bdf(struct backend *backend)
{
	return ((struct guest *)backend)->bdf;
}

static void release(struct backend *backend)
{
	dext_close(((struct guest *)backend)->client);
}

/* What was mapped once stays: fuzzers start many guests. */
static void clear(struct ram *of)
{
	if (!of->here)
		of->here = mmap(NULL, of->size, PROT_READ | PROT_WRITE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (of->here == MAP_FAILED || madvise(of->here, of->size, MADV_DONTNEED))
		abort();
}

void guest_start(struct guest *guest, const struct dart_config *config)
{
	static const struct backend_ops ops = {
		map, unmap, other, usage, program, managed_bdf, release,
	};

	memset(guest, 0, sizeof(*guest));
	if (config->max_entries > GUEST_REGIONS)
		abort();
	for (size_t i = 0; i < RAMS; i++)
		clear(&ram[i]);
	guest->dart = dart_create(config);
	guest->dext = guest->dart ? dext_create(guest->dart) : NULL;
	guest->client = guest->dext ? dext_open(guest->dext) : NULL;
	if (!guest->client || dext_call(guest->client, SELECTOR_CLAIM, NULL, 0, NULL, NULL))
		abort();
	guest->backend.ops = &ops;
	guest->bdf = 0x0100;
	guest->regs = (struct registers){
		.backend = &guest->backend, .version = APPLE_DMA_VERSION,
		.batch_entries = APPLE_DMA_DEFAULT_MAX_ENTRIES,
	};
	current = guest;
}

void guest_stop(struct guest *guest)
{
	struct dart_usage usage;

	guest->backend.ops->release(&guest->backend);
	dart_get_usage(guest->dart, &usage);
	if (usage.entries || usage.bytes)
		abort();
	dext_destroy(guest->dext);
	dart_destroy(guest->dart);
	current = NULL;
}
