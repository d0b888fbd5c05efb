// SPDX-License-Identifier: GPL-2.0
/*
 * The configuration space of vfio-apple-pci. Reads are the device's, but for
 * what QEMU emulates: COMMAND, the BARs, and the message interrupts, which on
 * the device belong to the extension's side.
 */
#include "passthrough.h"

#include "hw/pci/msi.h"
#include "hw/pci/msix.h"

#define CAPABILITIES	48	/* the most that fit */

struct capability {
	uint8_t id;
	uint8_t at;
	uint8_t size;		/* at most up to the next one */
};

static void emulate(VfioApple *dev, unsigned int at, unsigned int len)
{
	memset(dev->emulated + at, 0xff, len);
}

/* The capabilities in the order of their list; stops at an invalid pointer. */
static unsigned int find_capabilities(const PCIDevice *pdev, struct capability *found)
{
	unsigned int count = 0;

	if (!(pci_get_word(pdev->config + PCI_STATUS) & PCI_STATUS_CAP_LIST))
		return 0;
	for (uint8_t at = pdev->config[PCI_CAPABILITY_LIST] & ~3;
	     at >= PCI_CONFIG_HEADER_SIZE && count < CAPABILITIES;
	     at = pdev->config[at + PCI_CAP_LIST_NEXT] & ~3)
		found[count++] = (struct capability){ .id = pdev->config[at], .at = at };
	for (unsigned int i = 0; i < count; i++) {
		unsigned int end = PCI_CONFIG_SPACE_SIZE;

		for (unsigned int j = 0; j < count; j++)
			if (found[j].at > found[i].at && found[j].at < end)
				end = found[j].at;
		found[i].size = MIN(end - found[i].at, UINT8_MAX);
	}
	return count;
}

static struct passthrough_bar *bar_at(VfioApple *dev, uint32_t where, uint64_t len, Error **errp)
{
	const unsigned int number = where & PCI_MSIX_FLAGS_BIRMASK;
	const uint64_t offset = where & ~PCI_MSIX_FLAGS_BIRMASK;

	if (number < PCI_ROM_SLOT && offset + len <= dev->bars[number].size)
		return &dev->bars[number];
	error_setg(errp, "host=%s: its MSI-X table or PBA would be in BAR %u at 0x%" PRIx64
		   ", which does not exist", dev->extension->name, number, offset);
	return NULL;
}

static bool add_msix(VfioApple *dev, uint8_t at, Error **errp)
{
	PCIDevice *pdev = PCI_DEVICE(dev);
	const uint32_t table = pci_get_long(pdev->config + at + PCI_MSIX_TABLE);
	const uint32_t pba = pci_get_long(pdev->config + at + PCI_MSIX_PBA);
	const unsigned int vectors = (pci_get_word(pdev->config + at + PCI_MSIX_FLAGS) &
				      PCI_MSIX_FLAGS_QSIZE) + 1;
	struct passthrough_bar *table_bar, *pba_bar;

	if (vectors > EXTENSION_VECTORS) {
		error_setg(errp, "host=%s has %u MSI-X vectors, and the driver extension passes "
			   "on %u at most: a device with more cannot be passed through",
			   dev->extension->name, vectors, EXTENSION_VECTORS);
		return false;
	}
	table_bar = bar_at(dev, table, (uint64_t)vectors * PCI_MSIX_ENTRY_SIZE, errp);
	pba_bar = table_bar ? bar_at(dev, pba, QEMU_ALIGN_UP(vectors, 64) / 8, errp) : NULL;
	if (!pba_bar || msix_init(pdev, vectors, &table_bar->mr, table & PCI_MSIX_FLAGS_BIRMASK,
				  table & ~PCI_MSIX_FLAGS_BIRMASK, &pba_bar->mr,
				  pba & PCI_MSIX_FLAGS_BIRMASK, pba & ~PCI_MSIX_FLAGS_BIRMASK, at,
				  errp))
		return false;
	dev->at.msix = at;
	emulate(dev, at, MSIX_CAP_LENGTH);
	return true;
}

static bool add_msi(VfioApple *dev, uint8_t at, Error **errp)
{
	PCIDevice *pdev = PCI_DEVICE(dev);
	const uint16_t flags = pci_get_word(pdev->config + at + PCI_MSI_FLAGS);
	const unsigned int shift = (flags & PCI_MSI_FLAGS_QMASK) >> ctz32(PCI_MSI_FLAGS_QMASK);

	if (shift > 5) {
		error_setg(errp, "host=%s: its MSI capability has no valid number of vectors",
			   dev->extension->name);
		return false;
	}
	if (msi_init(pdev, at, 1 << shift, flags & PCI_MSI_FLAGS_64BIT,
		     flags & PCI_MSI_FLAGS_MASKBIT, errp))
		return false;
	dev->at.msi_size = 10 + (flags & PCI_MSI_FLAGS_64BIT ? 4 : 0) +
			   (flags & PCI_MSI_FLAGS_MASKBIT ? 10 : 0);
	emulate(dev, at, dev->at.msi_size);
	return true;
}

/* A root bus has no link: make an endpoint an integrated one. */
static void integrate(VfioApple *dev, uint8_t at)
{
	PCIDevice *pdev = PCI_DEVICE(dev);
	const uint16_t flags = pci_get_word(pdev->config + at + PCI_EXP_FLAGS);

	if ((flags & PCI_EXP_FLAGS_TYPE) >> 4 != PCI_EXP_TYPE_ENDPOINT &&
	    (flags & PCI_EXP_FLAGS_TYPE) >> 4 != PCI_EXP_TYPE_LEG_END)
		return;
	pci_set_word(pdev->config + at + PCI_EXP_FLAGS, (flags & ~PCI_EXP_FLAGS_TYPE) |
		     PCI_EXP_TYPE_RC_END << 4);
	emulate(dev, at + PCI_EXP_FLAGS, 2);
	memset(pdev->config + at + PCI_EXP_LNKCAP, 0, 8);
	emulate(dev, at + PCI_EXP_LNKCAP, 8);
	if ((flags & PCI_EXP_FLAGS_VERS) < 2)
		return;
	memset(pdev->config + at + PCI_EXP_LNKCAP2, 0, 8);
	emulate(dev, at + PCI_EXP_LNKCAP2, 8);
}

static bool add_capability(VfioApple *dev, const struct capability *cap, Error **errp)
{
	PCIDevice *pdev = PCI_DEVICE(dev);

	if (cap->id == PCI_CAP_ID_MSIX)
		return add_msix(dev, cap->at, errp);
	if (cap->id == PCI_CAP_ID_MSI)
		return add_msi(dev, cap->at, errp);
	if (pci_add_capability(pdev, cap->id, cap->at, cap->size, errp) < 0)
		return false;
	emulate(dev, cap->at, 2);
	if (cap->id == PCI_CAP_ID_EXP) {
		dev->at.express = cap->at;
		pdev->exp.exp_cap = cap->at;
		integrate(dev, cap->at);
	}
	return true;
}

/* In reverse, since each one goes to the head of the list: this keeps the order. */
static bool add_capabilities(VfioApple *dev, Error **errp)
{
	PCIDevice *pdev = PCI_DEVICE(dev);
	struct capability found[CAPABILITIES];
	unsigned int count = find_capabilities(pdev, found);

	pdev->config[PCI_CAPABILITY_LIST] = 0;
	pci_word_test_and_clear_mask(pdev->config + PCI_STATUS, PCI_STATUS_CAP_LIST);
	while (count--)
		if (!add_capability(dev, &found[count], errp))
			return false;
	return true;
}

bool passthrough_config_init(VfioApple *dev, Error **errp)
{
	PCIDevice *pdev = PCI_DEVICE(dev);
	const bool multifunction = pdev->cap_present & QEMU_PCI_CAP_MULTIFUNCTION;
	uint8_t bars[PCI_ROM_SLOT * 4];
	kern_return_t ret;

	memcpy(bars, pdev->config + PCI_BASE_ADDRESS_0, sizeof(bars));
	ret = apple_dext_config_read_block(dev->extension->connection, 0, pdev->config,
					   pci_config_size(pdev));
	if (ret != kIOReturnSuccess) {
		error_setg(errp, "host=%s: its configuration space cannot be read (IOReturn "
			   "0x%08x)", dev->extension->name, (unsigned int)ret);
		return false;
	}
	if ((pdev->config[PCI_HEADER_TYPE] & 0x7f) != PCI_HEADER_TYPE_NORMAL) {
		error_setg(errp, "host=%s is not an endpoint (header type 0x%02x); only those can "
			   "be passed through", dev->extension->name,
			   pdev->config[PCI_HEADER_TYPE]);
		return false;
	}
	memcpy(pdev->config + PCI_BASE_ADDRESS_0, bars, sizeof(bars));
	pci_set_word(pdev->config + PCI_COMMAND, 0);
	pci_set_long(pdev->config + PCI_ROM_ADDRESS, 0);
	/* The pin is the device's; QEMU knows no more than INTD. */
	if (pdev->config[PCI_INTERRUPT_PIN] > PCI_NUM_PINS)
		pdev->config[PCI_INTERRUPT_PIN] = 0;
	pdev->config[PCI_HEADER_TYPE] = multifunction ? PCI_HEADER_TYPE_MULTI_FUNCTION : 0;
	emulate(dev, PCI_COMMAND, 2);
	emulate(dev, PCI_HEADER_TYPE, 1);
	emulate(dev, PCI_BASE_ADDRESS_0, sizeof(bars));
	emulate(dev, PCI_ROM_ADDRESS, 4);
	emulate(dev, PCI_CAPABILITY_LIST, 1);
	emulate(dev, PCI_INTERRUPT_LINE, 2);
	if (add_capabilities(dev, errp))
		return true;
	passthrough_config_exit(dev);
	return false;
}

void passthrough_config_exit(VfioApple *dev)
{
	PCIDevice *pdev = PCI_DEVICE(dev);

	if (dev->at.msix) {
		const uint8_t *config = pdev->config + dev->at.msix;
		const unsigned int table = pci_get_long(config + PCI_MSIX_TABLE);
		const unsigned int pba = pci_get_long(config + PCI_MSIX_PBA);

		msix_uninit(pdev, &dev->bars[table & PCI_MSIX_FLAGS_BIRMASK].mr,
			    &dev->bars[pba & PCI_MSIX_FLAGS_BIRMASK].mr);
	}
	msi_uninit(pdev);
	dev->at = (struct passthrough_capabilities){ 0 };
}

uint32_t passthrough_config_read(PCIDevice *pdev, uint32_t address, int len)
{
	VfioApple *dev = VFIO_APPLE(pdev);
	const uint32_t ours = pci_default_read_config(pdev, address, len);
	uint64_t theirs = UINT64_MAX;
	uint32_t mask = 0;
	kern_return_t ret;

	memcpy(&mask, dev->emulated + address, len);
	mask = le32_to_cpu(mask);
	if (dev->extension->gone)
		return UINT32_MAX >> (32 - 8 * len);
	if (mask == UINT32_MAX >> (32 - 8 * len))
		return ours;
	ret = apple_dext_config_read(dev->extension->connection, address, len, &theirs);
	if (extension_failed(dev->extension, ret, "ConfigRead"))
		theirs = UINT32_MAX;
	return (ours & mask) | (theirs & ~mask & UINT32_MAX >> (32 - 8 * len));
}

static void write_through(VfioApple *dev, uint32_t address, uint32_t value, int len)
{
	kern_return_t ret;

	ret = apple_dext_config_write(dev->extension->connection, address, len, value);
	extension_failed(dev->extension, ret, "ConfigWrite");
}

static bool emulates(const VfioApple *dev, uint32_t address, int len)
{
	for (int i = 0; i < len; i++)
		if (dev->emulated[address + i])
			return true;
	return false;
}

void passthrough_reset(VfioApple *dev)
{
	kern_return_t ret;

	if (dev->extension->gone)
		return;
	dev->counts.resets++;
	ret = apple_dext_reset_device(dev->extension->connection);
	if (!extension_failed(dev->extension, ret, "ResetDevice") || dev->extension->gone)
		return;
	if (!dev->counts.reset_failures++)
		warn_report("vfio-apple-pci %s: the device cannot be reset (IOReturn 0x%08x); it "
			    "keeps its state. Switch it off and on if its driver does not start. "
			    "Further failures are only counted, as reset_failures in its stats",
			    dev->extension->name, (unsigned int)ret);
}

/*
 * The extension does a function level reset, since the platform must restore
 * its own settings of the device. Clears the bit in the value.
 */
static void intercept_reset(VfioApple *dev, uint32_t address, uint32_t *value, int len)
{
	const uint32_t at = dev->at.express + PCI_EXP_DEVCTL + 1;
	const uint32_t bit = PCI_EXP_DEVCTL_BCR_FLR >> 8;

	if (!dev->at.express || !ranges_overlap(address, len, at, 1))
		return;
	if (!(*value & bit << (8 * (at - address))))
		return;
	*value &= ~(bit << (8 * (at - address)));
	passthrough_reset(dev);
}

/* What does not reach the device, beside STATUS and the BARs. */
static bool is_held(const VfioApple *dev, uint32_t address, int len)
{
	const PCIDevice *pdev = PCI_DEVICE(dev);
	const uint32_t express = dev->at.express;

	switch (dev->filter) {
	case PASSTHROUGH_FILTER_RFC:
		return false;
	case PASSTHROUGH_FILTER_TODAY:
		return (msi_present(pdev) &&
			ranges_overlap(address, len, pdev->msi_cap, dev->at.msi_size)) ||
		       (express && (ranges_overlap(address, len, express + PCI_EXP_DEVCTL, 2) ||
				    ranges_overlap(address, len, express + PCI_EXP_DEVCTL2, 2)));
	default:
		return address >= PCI_CONFIG_HEADER_SIZE && emulates(dev, address, len);
	}
}

/* Write through to the device, except what is held. */
static void filter(VfioApple *dev, uint32_t address, uint32_t value, int len)
{
	if (ranges_overlap(address, len, PCI_COMMAND, 2)) {
		for (int i = 0; i < len; i++)
			if (ranges_overlap(address + i, 1, PCI_COMMAND, 2))
				write_through(dev, address + i, value >> (8 * i) & 0xff, 1);
		return;
	}
	if (ranges_overlap(address, len, PCI_STATUS, 2) ||
	    ranges_overlap(address, len, PCI_BASE_ADDRESS_0, PCI_ROM_SLOT * 4) ||
	    is_held(dev, address, len)) {
		dev->counts.held++;
		return;
	}
	if (dev->filter == PASSTHROUGH_FILTER_OWN)
		intercept_reset(dev, address, &value, len);
	write_through(dev, address, value, len);
}

void passthrough_config_write(PCIDevice *pdev, uint32_t address, uint32_t value, int len)
{
	VfioApple *dev = VFIO_APPLE(pdev);

	if (!dev->extension->gone)
		filter(dev, address, value, len);
	pci_default_write_config(pdev, address, value, len);
	passthrough_interrupts_update(dev);
}
