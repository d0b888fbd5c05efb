// SPDX-License-Identifier: GPL-2.0
/*
 * The interrupts of vfio-apple-pci. A thread of the client library reports that
 * vectors are pending. QEMU's main loop takes them, raises them in the guest and
 * re-arms. Re-arming completes at once when vectors are pending, so none is
 * lost in between. A call that fails is retried while the device is there.
 */
#include "passthrough.h"

#include "hw/pci/msi.h"
#include "hw/pci/msix.h"
#include "qemu/event_notifier.h"
#include "qemu/main-loop.h"

#define RETRY_MS	100

static bool in_use(const VfioApple *dev, unsigned int vector)
{
	return dev->used[vector / 64] >> (vector % 64) & 1;
}

/* Report it once, count it and retry. An aborted wait does not mean a lost device. */
static bool failed(VfioApple *dev, kern_return_t ret, const char *what)
{
	if (ret == kIOReturnSuccess)
		return false;
	if (ret != kIOReturnAborted && extension_failed(dev->extension, ret, what) &&
	    dev->extension->gone)
		return true;
	if (!dev->counts.failures++)
		warn_report("vfio-apple-pci %s: %s failed (IOReturn 0x%08x); it is tried again "
			    "every %u ms, and until it works interrupts are late. Further failures "
			    "are only counted, as interrupt_failures in its stats. See what the "
			    "driver extension logs", dev->extension->name, what,
			    (unsigned int)ret, RETRY_MS);
	timer_mod(dev->retry, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + RETRY_MS);
	return true;
}

/* The extension drops interrupts that it masks: mask only unused vectors there. */
static void set_mask(VfioApple *dev)
{
	uint64_t mask[EXTENSION_WORDS];

	if (dev->extension->gone || !dev->vectors)
		return;
	memcpy(mask, dev->used, sizeof(mask));
	mask[0] |= dev->pin_used;
	dev->mask_unset = failed(dev, apple_dext_set_irq_mask(dev->extension->connection, mask),
				 "SetIRQMask");
}

static unsigned int used_by_msi(const PCIDevice *pdev)
{
	return msi_present(pdev) && msi_enabled(pdev) ? msi_nr_vectors_allocated(pdev) : 0;
}

static bool has_pin(const PCIDevice *pdev)
{
	return pdev->config[PCI_INTERRUPT_PIN];
}

static void deliver(VfioApple *dev, unsigned int vector)
{
	PCIDevice *pdev = PCI_DEVICE(dev);
	/* Vectors that MSI used stay in use with MSI-X, which may have fewer vectors. */
	const unsigned int count = msix_enabled(pdev) ? (unsigned int)pdev->msix_entries_nr :
							used_by_msi(pdev);

	dev->counts.taken++;
	if (!vector && dev->pin_used) {
		dev->counts.delivered++;
		pci_irq_assert(pdev);
		return;
	}
	if (vector >= count || !in_use(dev, vector)) {
		dev->counts.unwanted++;
		return;
	}
	dev->counts.delivered++;
	/* If the guest has masked the vector, it becomes pending in its PBA. */
	if (msix_enabled(pdev))
		msix_notify(pdev, vector);
	else
		msi_notify(pdev, vector);
}

/* False when the call failed. */
static bool take(VfioApple *dev)
{
	uint64_t pending[EXTENSION_WORDS];

	if (failed(dev, apple_dext_read_pending_irqs(dev->extension->connection, pending),
		   "CheckInterrupt"))
		return false;
	for (unsigned int i = 0; i < EXTENSION_WORDS; i++) {
		while (pending[i]) {
			deliver(dev, 64 * i + ctz64(pending[i]));
			pending[i] &= pending[i] - 1;
		}
	}
	return true;
}

static void on_event(EventNotifier *event)
{
	VfioApple *dev = container_of(event, VfioApple, event);

	if (!event_notifier_test_and_clear(event) || dev->extension->gone || !take(dev))
		return;
	failed(dev, apple_dext_interrupt_notify_rearm(dev->notify), "WaitInterrupt");
}

/* Retry all calls; arming replaces a wait that is armed already. */
static void retry(void *opaque)
{
	VfioApple *dev = opaque;

	if (dev->mask_unset)
		set_mask(dev);
	event_notifier_set(&dev->event);
}

/* On the extension's thread, without the big lock. */
static void on_pending(void *opaque)
{
	VfioApple *dev = opaque;

	event_notifier_set(&dev->event);
}

/* The guest has unmasked a vector. It stays in use until MSI-X is off. */
static int use_vector(PCIDevice *pdev, unsigned int vector, MSIMessage message)
{
	VfioApple *dev = VFIO_APPLE(pdev);

	if (!in_use(dev, vector)) {
		dev->used[vector / 64] |= UINT64_C(1) << (vector % 64);
		set_mask(dev);
	}
	return 0;
}

static void release_vector(PCIDevice *pdev, unsigned int vector)
{
}

void passthrough_interrupts_update(VfioApple *dev)
{
	PCIDevice *pdev = PCI_DEVICE(dev);
	uint64_t wanted[EXTENSION_WORDS] = { 0 };
	const unsigned int count = used_by_msi(pdev);
	const bool msix = msix_present(pdev) && msix_enabled(pdev);
	const bool pin_used = has_pin(pdev) && !msix && !count;
	bool changed = dev->pin_used != pin_used;

	if (changed && !pin_used)
		pci_irq_deassert(pdev);
	dev->pin_used = pin_used;
	if (count)
		wanted[0] = MAKE_64BIT_MASK(0, count);
	if (!msix && memcmp(wanted, dev->used, sizeof(wanted))) {
		memcpy(dev->used, wanted, sizeof(wanted));
		changed = true;
	}
	if (changed)
		set_mask(dev);
}

void passthrough_interrupts_clear(VfioApple *dev)
{
	memset(dev->used, 0, sizeof(dev->used));
	dev->pin_used = false;
	set_mask(dev);
	if (!dev->extension->gone && dev->vectors)
		take(dev);
}

/* Only trapped BARs are seen; those that are mapped have no registers here. */
void passthrough_interrupts_accessed(VfioApple *dev)
{
	if (dev->pin_used)
		pci_irq_deassert(PCI_DEVICE(dev));
}

static void stop_events(VfioApple *dev)
{
	timer_free(dev->retry);
	dev->retry = NULL;
	event_notifier_set_handler(&dev->event, NULL);
	event_notifier_cleanup(&dev->event);
}

bool passthrough_interrupts_init(VfioApple *dev, Error **errp)
{
	PCIDevice *pdev = PCI_DEVICE(dev);
	kern_return_t ret;

	ret = apple_dext_setup_interrupts(dev->extension->connection, &dev->vectors);
	if (ret != kIOReturnSuccess) {
		error_setg(errp, "host=%s: its interrupts cannot be set up (IOReturn 0x%08x)",
			   dev->extension->name, (unsigned int)ret);
		return false;
	}
	if (event_notifier_init(&dev->event, 0)) {
		error_setg_errno(errp, errno, "no event for the interrupts of host=%s",
				 dev->extension->name);
		return false;
	}
	event_notifier_set_handler(&dev->event, on_event);
	dev->retry = timer_new_ms(QEMU_CLOCK_REALTIME, retry, dev);
	passthrough_interrupts_clear(dev);
	dev->notify = apple_dext_interrupt_notify_create(dev->extension->connection, on_pending,
							 dev);
	if (!dev->notify) {
		error_setg(errp, "host=%s: the driver extension does not wait for interrupts",
			   dev->extension->name);
		stop_events(dev);
		return false;
	}
	if (msix_present(pdev)) {
		for (int i = 0; i < pdev->msix_entries_nr; i++)
			msix_vector_use(pdev, i);
		msix_set_vector_notifiers(pdev, use_vector, release_vector, NULL);
	}
	return true;
}

void passthrough_interrupts_exit(VfioApple *dev)
{
	PCIDevice *pdev = PCI_DEVICE(dev);

	if (!dev->notify)
		return;
	if (msix_present(pdev)) {
		msix_unset_vector_notifiers(pdev);
		msix_unuse_all_vectors(pdev);
	}
	apple_dext_interrupt_notify_destroy(dev->notify);
	stop_events(dev);
	dev->notify = NULL;
}
