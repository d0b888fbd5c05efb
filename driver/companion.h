/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One companion: the way to the host, the engine, and the passthrough device.
 */
#ifndef APPLE_DMA_COMPANION_H
#define APPLE_DMA_COMPANION_H

#include <linux/dma-map-ops.h>
#include <linux/kref.h>
#include <linux/pci.h>

#include "balloon.h"
#include "claim.h"
#include "coherent.h"
#include "engine.h"
#include "managed.h"
#include "premap.h"
#include "transport.h"

/**
 * struct apple_dma - one companion
 * @pdev: its PCI function, with a reference
 * @ops: what is installed on the passthrough device; a copy of its own, so
 *	that an op finds its companion from the device's ops pointer
 * @engine: the windows
 * @transport: the way to the host
 * @claim: which device is the passthrough device
 * @managed: the passthrough device
 * @premap: the memory that it is given at once, in place of @ops
 * @balloon: looks for what takes memory from the guest
 * @debugfs: its folder there, or NULL, or an error
 * @leaked_bytes: memory not given back because the device may still reach it
 * @ref: held while the companion is bound, and while it has orphans
 * @coherent: what drivers have allocated
 */
struct apple_dma {
	struct pci_dev *pdev;
	struct dma_map_ops ops;
	struct apple_dma_engine engine;
	struct apple_dma_transport transport;
	struct apple_dma_claim claim;
	struct apple_dma_managed managed;
	struct apple_dma_premap premap;
	struct apple_dma_balloon balloon;
	struct dentry *debugfs;
	atomic64_t leaked_bytes;
	struct kref ref;
	struct apple_dma_coherent coherent;
};

struct apple_dma *apple_dma_companion_new(struct pci_dev *pdev);
void apple_dma_companion_put(struct apple_dma *ad);

#endif /* APPLE_DMA_COMPANION_H */
