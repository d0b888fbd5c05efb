/* SPDX-License-Identifier: GPL-2.0 */
/* Memory that the guest gives back to the host: a balloon, free-page reporting, virtio-mem. */
#ifndef APPLE_DMA_DISCARD_H
#define APPLE_DMA_DISCARD_H

#include "dart/dart.h"

/** discard_watch() - report it to @dart from now on; with the big lock held */
void discard_watch(struct dart *dart);

/** discard_unwatch() - undo discard_watch(), if it was done */
void discard_unwatch(struct dart *dart);

#endif
