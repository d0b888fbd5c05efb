// SPDX-License-Identifier: GPL-2.0
/* Methods on the device itself: identity, configuration space, BARs, reset. */
#include "client.h"

IOReturn dext_get_identity(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	struct physical *dev = client->dext->device;

	(void)in;
	out[0] = dev->bdf >> 8;
	out[1] = dev->bdf >> 3 & 0x1f;
	out[2] = dev->bdf & 7;
	out[3] = physical_config_read(dev, PCI_VENDOR, 2);
	out[4] = physical_config_read(dev, PCI_DEVICE, 2);
	out[5] = dext_class(client->dext);
	return kIOReturnSuccess;
}

uint32_t dext_class(struct dext *dext)
{
	return dext->device ? physical_config_read(dext->device, PCI_CLASS_REVISION, 4) >> 8 : 0;
}

void dext_set_command(struct dext *dext, bool on)
{
	const uint32_t bits = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	uint32_t command;

	if (!dext->device)
		return;
	command = physical_config_read(dext->device, PCI_COMMAND, 2);
	physical_config_write(dext->device, PCI_COMMAND, 2, on ? command | bits : command & ~bits);
}

static bool is_width(uint64_t width, uint64_t most)
{
	return width && width <= most && !(width & (width - 1));
}

IOReturn dext_config_read(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	const struct physical *dev = client->dext->device;
	const uint64_t offset = in[0], width = in[1];

	if (!is_width(width, 4))
		return kIOReturnBadArgument;
	/* The platform hides the addresses of BARs. */
	if (width == 4 && !(offset & 3) && offset >= PCI_BAR0 && offset < PCI_BAR5_END) {
		const struct physical_bar *bar = &dev->bars[(offset - PCI_BAR0) / 4];

		out[0] = bar->size ? bar->type : 0;
		return kIOReturnSuccess;
	}
	out[0] = physical_config_read(client->dext->device, offset, width);
	return kIOReturnSuccess;
}

IOReturn dext_config_write(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	(void)out;
	if (!is_width(in[1], 4))
		return kIOReturnBadArgument;
	physical_config_write(client->dext->device, in[0], in[1], in[2]);
	return kIOReturnSuccess;
}

/* The memory index counts the BARs that exist. */
static unsigned int memory_index(const struct physical *dev, unsigned int bar)
{
	unsigned int index = 0;

	for (unsigned int i = 0; i < bar; i++)
		index += dev->bars[i].size != 0;
	return index;
}

static unsigned int bar_of(const struct physical *dev, uint64_t index)
{
	for (unsigned int i = 0; i < PHYSICAL_BARS; i++)
		if (dev->bars[i].size && memory_index(dev, i) == index)
			return i;
	return PHYSICAL_BARS;
}

IOReturn dext_get_bar_info(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	const struct physical *dev = client->dext->device;

	if (in[0] >= PHYSICAL_BARS)
		return kIOReturnBadArgument;
	if (!dev->bars[in[0]].size)
		return kIOReturnNotFound;
	out[0] = memory_index(dev, in[0]);
	out[1] = dev->bars[in[0]].size;
	out[2] = dev->bars[in[0]].type;
	return kIOReturnSuccess;
}

/* The platform's accessors return no error: what does not exist reads as all ones. */
IOReturn dext_mmio_read(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	struct physical *dev = client->dext->device;

	if (!is_width(in[2], 8))
		return kIOReturnBadArgument;
	out[0] = physical_bar_read(dev, bar_of(dev, in[0]), in[1], in[2]);
	return kIOReturnSuccess;
}

IOReturn dext_mmio_write(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	struct physical *dev = client->dext->device;

	(void)out;
	if (!is_width(in[2], 8))
		return kIOReturnBadArgument;
	physical_bar_write(dev, bar_of(dev, in[0]), in[1], in[2], in[3]);
	return kIOReturnSuccess;
}

/* The function alone if it can be reset, or else its bus. */
IOReturn dext_reset_device(struct dext_client *client, const uint64_t *in, uint64_t *out)
{
	struct physical *dev = client->dext->device;

	(void)in;
	(void)out;
	return physical_function_reset(dev) || physical_hot_reset(dev) ? kIOReturnSuccess :
									 kIOReturnUnsupported;
}
