// SPDX-License-Identifier: GPL-2.0
/* What all physical devices have in common. */
#include "physical.h"

#include <string.h>

#include "lib/memory.h"

#define CAP_MSI			0x05
#define CAP_EXPRESS		0x10
#define CAP_MSIX		0x11
#define MSI_SIZE		24
#define MSI_CONTROL		2
#define MSI_ADDRESS		4
#define MSI_DATA		12
#define MSI_MASK		16
#define MSI_64BIT_MASKS		0x0180
#define MSI_MAX_SHIFT		5
#define EXPRESS_SIZE		60
#define EXPRESS_CAPABILITIES	2
#define EXPRESS_DEVICE_CAP	4
#define EXPRESS_DEVICE_CONTROL	8
#define DEVICE_CAP_FLR		(UINT32_C(1) << 28)
#define DEVICE_CONTROL_FLR	0x8000

static const char *const interrupts_names[] = {
	[INTERRUPTS_MSIX] = "msix",
	[INTERRUPTS_MSI] = "msi",
	[INTERRUPTS_INTX] = "intx",
	[INTERRUPTS_NONE] = "none",
};

static const char *const resets_names[] = {
	[RESETS_FLR] = "flr",
	[RESETS_HOT] = "hot",
	[RESETS_NONE] = "none",
};

const struct names physical_interrupts_names = NAMES(interrupts_names);
const struct names physical_resets_names = NAMES(resets_names);

static void put(uint8_t *config, unsigned int offset, unsigned int width, uint32_t value)
{
	for (unsigned int i = 0; i < width; i++)
		config[offset + i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get(const uint8_t *config, unsigned int offset, unsigned int width)
{
	uint32_t value = 0;

	for (unsigned int i = 0; i < width; i++)
		value |= (uint32_t)config[offset + i] << (8 * i);
	return value;
}

/* Append a capability of this size to the list; returns its offset. */
static unsigned int add_capability(struct physical *dev, uint8_t id, unsigned int size)
{
	const unsigned int at = dev->next_capability;

	put(dev->config, at, 1, id);
	if (dev->last_capability)
		put(dev->config, dev->last_capability + 1, 1, at);
	else
		put(dev->config, PCI_CAPABILITIES, 1, at);
	dev->last_capability = at;
	dev->next_capability = (at + size + 3) & ~3u;
	return at;
}

void physical_init(struct physical *dev, const struct physical_ops *ops, struct dart *dart,
		   uint16_t bdf, const struct physical_id *id)
{
	memset(dev, 0, sizeof(*dev));
	dev->ops = ops;
	dev->dart = dart;
	dev->bdf = bdf;
	dev->beside = dev;
	put(dev->config, PCI_VENDOR, 2, id->vendor);
	put(dev->config, PCI_DEVICE, 2, id->device);
	put(dev->config, PCI_STATUS, 2, 0x0010);	/* has capabilities */
	put(dev->config, PCI_CLASS_REVISION, 4, id->class << 8 | id->revision);
	put(dev->config, 0x2c, 2, id->vendor);
	put(dev->config, 0x2e, 2, id->device);
	put(dev->writable, PCI_COMMAND, 2, 0x0546);	/* memory, master, parity, SERR, INTx */
	put(dev->writable, 0x0c, 1, 0xff);
	put(dev->writable, 0x3c, 1, 0xff);

	dev->next_capability = 0x40;
	dev->express = add_capability(dev, CAP_EXPRESS, EXPRESS_SIZE);
	put(dev->config, dev->express + EXPRESS_CAPABILITIES, 2, 0x0002);	/* endpoint, v2 */
	put(dev->config, dev->express + EXPRESS_DEVICE_CAP, 4, DEVICE_CAP_FLR | 0x8000);
	put(dev->config, dev->express + 12, 4, 0x00000411);	/* a link: x1 */
	put(dev->config, dev->express + 18, 2, 0x0011);
	put(dev->writable, dev->express + EXPRESS_DEVICE_CONTROL, 2, 0x7fff);
	put(dev->writable, dev->express + 16, 2, 0x0fc3);
	memcpy(dev->initial, dev->config, sizeof(dev->initial));
}

bool physical_add_bar(struct physical *dev, unsigned int bar, enum physical_bar_type type,
		      uint64_t size, bool memory)
{
	const bool wide = type == BAR_M64 || type == BAR_M64PF;
	const uint64_t mask = ~(size - 1);
	struct physical_bar *b = &dev->bars[bar];

	if (memory) {
		b->here = memory_object("apple-bar", size, &b->fd);
		if (!b->here)
			return false;
	}
	b->type = type;
	b->size = size;
	put(dev->config, PCI_BAR0 + 4 * bar, 4, type);
	put(dev->writable, PCI_BAR0 + 4 * bar, 4, (uint32_t)mask);
	if (wide)
		put(dev->writable, PCI_BAR0 + 4 * bar + 4, 4, (uint32_t)(mask >> 32));
	memcpy(dev->initial, dev->config, sizeof(dev->initial));
	return true;
}

void physical_add_msix(struct physical *dev, unsigned int bar, uint32_t table, uint32_t pba,
		       unsigned int vectors)
{
	const unsigned int at = add_capability(dev, CAP_MSIX, 12);

	put(dev->config, at + 2, 2, vectors - 1);
	put(dev->config, at + 4, 4, table | bar);
	put(dev->config, at + 8, 4, pba | bar);
	put(dev->writable, at + 2, 2, 0xc000);
	dev->vectors = vectors;
	memcpy(dev->initial, dev->config, sizeof(dev->initial));
}

void physical_add_msi(struct physical *dev, unsigned int vectors)
{
	const unsigned int at = add_capability(dev, CAP_MSI, MSI_SIZE);
	unsigned int shift = 0;

	while (1u << shift < vectors && shift < MSI_MAX_SHIFT)
		shift++;
	put(dev->config, at + MSI_CONTROL, 2, MSI_64BIT_MASKS | shift << 1);
	put(dev->writable, at + MSI_CONTROL, 2, 0x0071);	/* enable, vectors in use */
	put(dev->writable, at + MSI_ADDRESS, 4, 0xfffffffc);
	put(dev->writable, at + MSI_ADDRESS + 4, 4, 0xffffffff);
	put(dev->writable, at + MSI_DATA, 2, 0xffff);
	put(dev->writable, at + MSI_MASK, 4, UINT32_MAX >> (32 - (1u << shift)));
	if (!dev->vectors)
		dev->vectors = 1u << shift;
	memcpy(dev->initial, dev->config, sizeof(dev->initial));
}

void physical_add_pin(struct physical *dev)
{
	put(dev->config, PCI_PIN, 1, 1);
	dev->vectors = 1;
	memcpy(dev->initial, dev->config, sizeof(dev->initial));
}

void physical_set_resets(struct physical *dev, enum physical_resets resets)
{
	const unsigned int at = dev->express + EXPRESS_DEVICE_CAP;

	dev->resets = resets;
	put(dev->config, at, 4, (get(dev->config, at, 4) & ~DEVICE_CAP_FLR) |
	    (resets == RESETS_FLR ? DEVICE_CAP_FLR : 0));
	memcpy(dev->initial, dev->config, sizeof(dev->initial));
}

void physical_join(struct physical *dev, struct physical *other)
{
	dev->beside = other->beside;
	other->beside = dev;
}

void physical_fini(struct physical *dev)
{
	for (unsigned int i = 0; i < PHYSICAL_BARS; i++)
		memory_object_free(dev->bars[i].here, dev->bars[i].size, dev->bars[i].fd);
}

void physical_destroy(struct physical *dev)
{
	if (dev)
		dev->ops->destroy(dev);
}

static bool in_config(uint64_t offset, unsigned int width)
{
	return offset < PHYSICAL_CONFIG_SIZE && width <= PHYSICAL_CONFIG_SIZE - offset;
}

uint32_t physical_config_read(struct physical *dev, uint64_t offset, unsigned int width)
{
	if (dev->lost || !in_config(offset, width))
		return UINT32_MAX >> (32 - 8 * width);
	return get(dev->config, offset, width);
}

static void reset_one(struct physical *dev)
{
	memcpy(dev->config, dev->initial, sizeof(dev->config));
	dev->ops->reset(dev);
}

void physical_config_write(struct physical *dev, uint64_t offset, unsigned int width,
			   uint32_t value)
{
	const unsigned int flr = dev->express + EXPRESS_DEVICE_CONTROL + 1;
	bool reset = false;

	if (dev->lost || !in_config(offset, width))
		return;
	for (unsigned int i = 0; i < width; i++) {
		const unsigned int at = offset + i;
		const uint8_t byte = (uint8_t)(value >> (8 * i)), mask = dev->writable[at];

		dev->config[at] = (dev->config[at] & ~mask) | (byte & mask);
		reset |= at == flr && byte & DEVICE_CONTROL_FLR >> 8;
	}
	if (reset && dev->resets == RESETS_FLR) {
		dev->function_resets++;
		reset_one(dev);
	}
}

static void reset_and_restore(struct physical *dev)
{
	const uint32_t command = get(dev->config, PCI_COMMAND, 2);

	reset_one(dev);
	put(dev->config, PCI_COMMAND, 2, command);
}

bool physical_function_reset(struct physical *dev)
{
	if (dev->resets != RESETS_FLR)
		return false;
	dev->function_resets++;
	reset_and_restore(dev);
	return true;
}

bool physical_hot_reset(struct physical *dev)
{
	struct physical *each = dev;

	if (dev->resets == RESETS_NONE)
		return false;
	do {
		each->hot_resets++;
		reset_and_restore(each);
		each = each->beside;
	} while (each != dev);
	return true;
}

static bool has(const struct physical *dev, uint16_t command)
{
	return !dev->lost && get(dev->config, PCI_COMMAND, 2) & command;
}

static bool decodes(const struct physical *dev, unsigned int bar, uint64_t offset,
		    unsigned int width)
{
	return bar < PHYSICAL_BARS && offset < dev->bars[bar].size && !(offset % width) &&
	       has(dev, PCI_COMMAND_MEMORY);
}

uint64_t physical_bar_read(struct physical *dev, unsigned int bar, uint64_t offset,
			   unsigned int width)
{
	const uint64_t ones = UINT64_MAX >> (64 - 8 * width);
	uint64_t value = 0;

	if (!decodes(dev, bar, offset, width))
		return ones;
	if (!dev->bars[bar].here)
		return dev->ops->bar_read(dev, bar, offset, width) & ones;
	memcpy(&value, (const uint8_t *)dev->bars[bar].here + offset, width);
	return value;
}

void physical_bar_write(struct physical *dev, unsigned int bar, uint64_t offset,
			unsigned int width, uint64_t value)
{
	const uint64_t ones = UINT64_MAX >> (64 - 8 * width);

	if (!decodes(dev, bar, offset, width))
		return;
	if (dev->bars[bar].here)
		memcpy((uint8_t *)dev->bars[bar].here + offset, &value, width);
	else
		dev->ops->bar_write(dev, bar, offset, width, value & ones);
}

bool physical_work(struct physical *dev)
{
	return has(dev, PCI_COMMAND_MASTER) && dev->ops->work(dev);
}

/* One access, split at the pages of the DART. */
static bool dma(struct physical *dev, uint64_t iova, uint8_t *to, const uint8_t *from,
		uint64_t len)
{
	if (!has(dev, PCI_COMMAND_MASTER))
		return false;
	for (uint64_t done = 0, n; done < len; done += n) {
		const uint64_t at = iova + done, left = DART_PAGE_SIZE - (at & ~DART_PAGE_MASK);
		struct memory *memory;
		uint64_t va;
		void *owner;
		bool ok;

		n = len - done < left ? len - done : left;
		/* The address must not wrap to 0. */
		ok = at >= iova && dart_find(dev->dart, at, &va, &owner);
		if (ok) {
			memory = owner ? owner : memory_own();
			ok = to ? memory->ops->read(memory, va, to + done, n) :
				  memory->ops->write(memory, va, from + done, n);
		}
		if (!ok) {
			dart_fault(dev->dart, !to);
			return false;
		}
	}
	return true;
}

bool physical_dma_read(struct physical *dev, uint64_t iova, void *to, uint64_t len)
{
	return dma(dev, iova, to, NULL, len);
}

bool physical_dma_write(struct physical *dev, uint64_t iova, const void *from, uint64_t len)
{
	return dma(dev, iova, NULL, from, len);
}

void physical_raise(struct physical *dev, unsigned int vector)
{
	const bool pin_alone = dev->config[PCI_PIN];

	/* The pin needs no bus mastering, and has a switch of its own. */
	if (vector >= dev->vectors || dev->lost ||
	    (pin_alone ? has(dev, PCI_COMMAND_NO_PIN) : !has(dev, PCI_COMMAND_MASTER)))
		return;
	dev->raised[vector]++;
	if (dev->raise)
		dev->raise(dev->raise_arg, vector);
}
