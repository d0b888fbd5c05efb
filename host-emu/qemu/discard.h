/* SPDX-License-Identifier: GPL-2.0 */
/* Memory that the guest gives back to the host: a balloon, free-page reporting, virtio-mem. */
#ifndef APPLE_DMA_DISCARD_H
#define APPLE_DMA_DISCARD_H

#include <stdint.h>

/** discard_fn - memory of this process has gone, in pages of a DART; in any thread */
typedef void discard_fn(void *arg, uint64_t va, uint64_t size);

/** discard_watch() - call @gone from now on; with the big lock held */
void discard_watch(discard_fn *gone, void *arg);

/** discard_unwatch() - undo the discard_watch() with @arg, if it was done */
void discard_unwatch(void *arg);

#endif
