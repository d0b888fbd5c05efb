// SPDX-License-Identifier: GPL-2.0
/* The DMA buffer of a user client, and the memory that a client may map. */
#include "client.h"

IOReturn dext_free_buffer(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	struct dext_buffer *buffer = &client->buffer;

	(void)in;
	(void)out;
	while (buffer->count)
		dart_unmap(client->dext->dart, buffer->segments[--buffer->count].iova);
	memory_object_free(buffer->here, buffer->size, buffer->fd);
	buffer->here = NULL;
	return kIOReturnSuccess;
}

IOReturn dext_allocate_buffer(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	const uint64_t alignment = in[1] ? in[1] : 4096;
	struct dext_buffer *buffer = &client->buffer;
	const uint64_t size = in[0];
	enum dart_status status;

	if (!size || size > DEXT_CHUNK_SIZE || alignment & (alignment - 1))
		return kIOReturnBadArgument;
	dext_free_buffer(client, NULL, NULL);
	buffer->here = memory_object("apple-dma-buffer", size, &buffer->fd);
	if (!buffer->here)
		return kIOReturnNoMemory;
	buffer->size = size;
	status = dart_map_owned(client->dext->dart, memory_own(), (uintptr_t)buffer->here, size,
				0, buffer->segments, &buffer->count);
	if (status != DART_OK) {
		buffer->count = 0;
		dext_free_buffer(client, NULL, NULL);
		return dext_status(status);
	}
	out[0] = size;
	out[1] = 0;
	out[2] = buffer->count;
	out[3] = buffer->segments[0].iova;
	out[4] = buffer->segments[0].len;
	out[5] = dext_class(client->dext);
	return kIOReturnSuccess;
}

static IOReturn find_memory(struct dext_client *client, uint32_t type, int *fd, uint64_t *size)
{
	const struct physical *dev = client->dext->device;
	const struct physical_bar *bar;

	if (dev && dev->lost)
		return kIOReturnNotAttached;
	switch (type) {
	case DEXT_MEMORY_BUFFER:
		if (!client->buffer.here)
			return kIOReturnNotReady;
		*fd = client->buffer.fd;
		*size = client->buffer.size;
		return kIOReturnSuccess;
	case DEXT_MEMORY_INTERRUPTS:
		if (!client->page)
			return kIOReturnNotReady;
		*fd = client->page_fd;
		*size = DEXT_INTERRUPT_PAGE;
		return kIOReturnSuccess;
	default:
		break;
	}
	if (type > DEXT_MEMORY_INTERRUPTS)
		return kIOReturnUnsupported;
	if (!dev)
		return kIOReturnNotAttached;
	bar = &dev->bars[type - DEXT_MEMORY_BAR0];
	if (!bar->size)
		return kIOReturnNotFound;
	/* Registers cannot be mapped here: the model would not see the access. */
	if (!bar->here)
		return kIOReturnUnsupported;
	*fd = bar->fd;
	*size = bar->size;
	return kIOReturnSuccess;
}

IOReturn dext_get_memory(struct dext_client *client, uint32_t type, uint32_t options, int *fd,
			 uint64_t *size)
{
	const IOReturn ret = find_memory(client, type, fd, size);

	if (ret == kIOReturnSuccess) {
		client->dext->mapped++;
		client->dext->write_combined += !!(options & EXTENSION_WRITE_COMBINED);
	}
	return ret;
}
