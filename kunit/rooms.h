/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The headers of the driver's rooms, for suites that use many of them.
 */
#ifndef APPLE_DMA_ROOMS_H
#define APPLE_DMA_ROOMS_H

#include "align.h"
#include "arena.h"
#include "coherent.h"
#include "companion.h"
#include "cover.h"
#include "dma_ops.h"
#include "debugfs.h"
#include "idle.h"
#include "index.h"
#include "map.h"
#include "premap.h"
#include "quarantine.h"
#include "recover.h"
#include "runs.h"
#include "shape.h"
#include "sysfs.h"

#endif /* APPLE_DMA_ROOMS_H */
