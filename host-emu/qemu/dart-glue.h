/* SPDX-License-Identifier: GPL-2.0 */
/* The DMA address spaces of the devices behind one apple-dart. */
#ifndef APPLE_DMA_DART_GLUE_H
#define APPLE_DMA_DART_GLUE_H

#include "dart-device.h"

/** struct apple_window - guest-physical addresses that pass around the DART */
struct apple_window {
	uint64_t base;
	uint64_t size;
};

/** dart_glue_windows() - the MSI doorbells of this machine; ends with size 0 */
const struct apple_window *dart_glue_windows(void);

/** dart_glue_attach() - put every device on @dart's bus behind it */
void dart_glue_attach(AppleDart *dart);

/** dart_glue_update() - apply apple_dart_enforced(); with the big lock held */
void dart_glue_update(AppleDart *dart);

#endif
