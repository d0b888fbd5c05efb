// SPDX-License-Identifier: GPL-2.0
/* DMA regions of a user client. */
#include <stdlib.h>

#include "client.h"

struct region {
	struct tree_node node;		/* handle; first */
	unsigned int slot;		/* in the extension's table */
	uint64_t va;
	uint64_t size;
	unsigned int chunks;
	struct dart_segment chunk[];
};

/*
 * The real extension has a table without an index: what it looks for is found
 * slot by slot, and what is not there costs them all.
 */
static struct region *find_region(struct dext_client *client, uint64_t handle)
{
	struct region *region = (struct region *)tree_find(&client->regions, handle);

	client->scanned += region ? region->slot + 1 : DEXT_MAX_REGIONS;
	return region;
}

/* The first free one; there is one, as there are fewer regions than slots. */
static unsigned int take_slot(struct dext_client *client)
{
	unsigned int word = 0, bit;

	while (client->slots[word] == UINT64_MAX)
		word++;
	bit = (unsigned int)__builtin_ctzll(~client->slots[word]);
	client->slots[word] |= UINT64_C(1) << bit;
	return 64 * word + bit;
}

static void give_slot(struct dext_client *client, unsigned int slot)
{
	client->slots[slot / 64] &= ~(UINT64_C(1) << (slot % 64));
}

IOReturn dext_status(enum dart_status status)
{
	switch (status) {
	case DART_OK:
		return kIOReturnSuccess;
	case DART_NO_SPACE:
	case DART_LIMIT_BYTES:
	case DART_LIMIT_ENTRIES:
	case DART_TOO_MANY_SEGMENTS:
		return kIOReturnNoSpace;
	case DART_BAD_RANGE:
		return kIOReturnBadArgument;
	case DART_NOT_FOUND:
		return kIOReturnNotFound;
	case DART_NO_MEMORY:
		break;
	}
	return kIOReturnNoMemory;
}

static void unmap_chunks(struct dart *dart, struct region *region)
{
	while (region->chunks)
		dart_unmap(dart, region->chunk[--region->chunks].iova);
}

/* Map one chunk; it must be a single segment. */
static IOReturn map_chunk(struct dext_client *client, struct region *region, uint64_t handle)
{
	struct dart *dart = client->dext->dart;
	struct memory *memory = client->memory;
	struct dart_segment segments[DART_MAX_SEGMENTS];
	const uint64_t done = region->chunks * DEXT_CHUNK_SIZE;
	const uint64_t left = region->size - done;
	const uint64_t len = left < DEXT_CHUNK_SIZE ? left : DEXT_CHUNK_SIZE;
	enum dart_status status;
	unsigned int count;

	if (memory->ops->present && !memory->ops->present(memory, region->va + done, len))
		return kIOReturnBadArgument;
	status = dart_map_owned(dart, memory, region->va + done, len, handle + done,
				segments, &count);
	if (status != DART_OK)
		return dext_status(status);
	if (count != 1 || segments[0].len != len) {
		while (count)
			dart_unmap(dart, segments[--count].iova);
		return kIOReturnNotAligned;
	}
	region->chunk[region->chunks++] = segments[0];
	return kIOReturnSuccess;
}

static void check_panic(struct dext_client *client, uint64_t handle, uint64_t va, uint64_t size)
{
	struct dext *dext = client->dext;
	const struct panic_map map = {
		.handle = handle, .size = size, .entries = client->regions.count + 1,
		.bytes = dart_bytes_with(dext->dart, va, size),
	};

	panic_check(&dext->panic_limits, &dext->panic, &map);
}

IOReturn dext_register_region(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	const uint64_t handle = in[0], va = in[1], size = in[2];
	struct dart *dart = client->dext->dart;
	struct region *region;
	uint64_t chunks;
	IOReturn ret;

	if (!size || !va)
		return kIOReturnBadArgument;
	/* The free slot is found on the way. */
	if (find_region(client, handle))
		return kIOReturnStillOpen;
	check_panic(client, handle, va, size);
	if (client->regions.count >= DEXT_MAX_REGIONS)
		return kIOReturnNoSpace;
	chunks = (size - 1) / DEXT_CHUNK_SIZE + 1;
	if (chunks > DEXT_MAX_CHUNKS)
		return kIOReturnNoSpace;

	region = calloc(1, sizeof(*region) + chunks * sizeof(region->chunk[0]));
	if (!region)
		return kIOReturnNoMemory;
	region->node.key = handle;
	region->va = va;
	region->size = size;
	while (region->chunks < chunks) {
		ret = map_chunk(client, region, handle);
		if (ret != kIOReturnSuccess) {
			unmap_chunks(dart, region);
			free(region);
			return ret;
		}
	}
	region->slot = take_slot(client);
	tree_insert(&client->regions, &region->node);
	client->bytes += size;

	/* Only the first chunk is reported, even when there are more. */
	out[0] = 1;
	out[1] = region->chunk[0].iova;
	out[2] = region->chunk[0].len;
	return kIOReturnSuccess;
}

static void drop(struct dext_client *client, struct region *region)
{
	tree_remove(&client->regions, &region->node);
	give_slot(client, region->slot);
	client->bytes -= region->size;
	unmap_chunks(client->dext->dart, region);
	free(region);
}

IOReturn dext_unregister_region(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	struct region *region = find_region(client, in[0]);

	(void)out;
	if (!region)
		return kIOReturnNotFound;
	drop(client, region);
	return kIOReturnSuccess;
}

IOReturn dext_probe_region(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	const struct region *region = find_region(client, in[0]);
	const uint64_t offset = in[1];

	if (!region)
		return kIOReturnNotFound;
	if (region->size < sizeof(out[0]) || offset > region->size - sizeof(out[0]))
		return kIOReturnOverrun;
	if (!client->memory->ops->read(client->memory, region->va + offset, &out[0],
				       sizeof(out[0])))
		return kIOReturnBadArgument;
	return kIOReturnSuccess;
}

void dext_drop_regions(struct dext_client *client)
{
	while (client->regions.root)
		drop(client, (struct region *)client->regions.root);
}

void dext_discard(struct dext_client *client, uint64_t va, uint64_t size)
{
	dart_stale(client->dext->dart, client->memory, va, size);
}

void dext_get_usage(const struct dext_client *client, struct dext_usage *usage)
{
	usage->regions = client->regions.count;
	usage->bytes = client->bytes;
}

bool dext_other_region(const struct dext_client *client, uint64_t handle, uint64_t *iova)
{
	const struct tree_node *node = client->regions.root;

	if (node && node->key == handle)
		node = node->left ? node->left : node->right;
	if (!node)
		return false;
	*iova = ((const struct region *)node)->chunk[0].iova;
	return true;
}
