/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The list of windows in debugfs.
 */
#ifndef APPLE_DMA_DEBUGFS_H
#define APPLE_DMA_DEBUGFS_H

#include <linux/seq_file.h>

struct apple_dma;

extern const struct seq_operations apple_dma_windows_sops;

void apple_dma_debugfs_add(struct apple_dma *ad);
void apple_dma_debugfs_remove(struct apple_dma *ad);
void apple_dma_debugfs_init(void);
void apple_dma_debugfs_exit(void);

#endif /* APPLE_DMA_DEBUGFS_H */
