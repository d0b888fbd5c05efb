// SPDX-License-Identifier: GPL-2.0-only
/*
 * The data of a companion. They live until its last allocation is freed, which may
 * be after its removal.
 */

#include <linux/rcupdate.h>
#include <linux/slab.h>

#include "companion.h"
#include "dma_ops.h"

/* For a companion that is being probed: with one reference, or NULL. */
struct apple_dma *apple_dma_companion_new(struct pci_dev *pdev)
{
	struct apple_dma *ad = kzalloc(sizeof(*ad), GFP_KERNEL);

	if (!ad)
		return NULL;
	ad->pdev = pci_dev_get(pdev);
	ad->ops = apple_dma_ops;
	kref_init(&ad->ref);
	mutex_init(&ad->managed.lock);
	apple_dma_coherent_init(ad);
	return ad;
}

static void companion_release(struct kref *ref)
{
	struct apple_dma *ad = container_of(ref, struct apple_dma, ref);

	/* Memory may be freed through its ops at this moment. */
	synchronize_rcu();
	apple_dma_coherent_exit(ad);
	put_device(ad->managed.dev);
	pci_dev_put(ad->pdev);
	kfree(ad);
}

/* Drop a reference. May sleep. */
void apple_dma_companion_put(struct apple_dma *ad)
{
	kref_put(&ad->ref, companion_release);
}
