/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Which device a companion manages.
 */
#ifndef APPLE_DMA_CLAIM_H
#define APPLE_DMA_CLAIM_H

#include <linux/pci.h>

struct apple_dma;

/**
 * struct apple_dma_claim - which device a companion manages
 * @list: in the list of all claims
 * @bus: bus number of MANAGED_BDF
 * @devfn: device and function of MANAGED_BDF
 */
struct apple_dma_claim {
	struct list_head list;
	u8 bus;
	u8 devfn;
};

int apple_dma_claim_init(struct apple_dma *ad, u32 bdf);
void apple_dma_claim_exit(struct apple_dma *ad);
bool apple_dma_claim_is(const struct apple_dma *ad, struct pci_dev *pdev);
int apple_dma_claim_check(struct apple_dma *ad, struct pci_dev *pdev);
struct pci_dev *apple_dma_claim_get(struct apple_dma *ad);

#endif /* APPLE_DMA_CLAIM_H */
