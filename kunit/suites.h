/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * All suites. A new one has to be here, and in a table of suites.c.
 */
#ifndef APPLE_DMA_SUITES_H
#define APPLE_DMA_SUITES_H

#include "check.h"

/* These need no device and no DMA operations. */
extern struct kunit_suite wire_suite;
extern struct kunit_suite transport_suite;
extern struct kunit_suite index_suite;
extern struct kunit_suite window_suite;
extern struct kunit_suite shape_suite;
extern struct kunit_suite runs_suite;
extern struct kunit_suite align_suite;
extern struct kunit_suite idle_suite;
extern struct kunit_suite budget_suite;
extern struct kunit_suite map_suite;
extern struct kunit_suite engine_suite;
extern struct kunit_suite ram_suite;
extern struct kunit_suite recover_suite;
extern struct kunit_suite oldmem_suite;
extern struct kunit_suite arena_suite;
extern struct kunit_suite debugfs_suite;
extern struct kunit_suite fail_suite;

/* Ends with NULL. */
extern struct kunit_suite *const pure_suites[];

/* These need DMA operations per device; managed and those below need devices. */
extern struct kunit_suite dma_ops_suite;
extern struct kunit_suite coherent_suite;
extern struct kunit_suite managed_suite;
extern struct kunit_suite premap_suite;
extern struct kunit_suite balloon_suite;
extern struct kunit_suite sysfs_suite;
extern struct kunit_suite main_suite;

/* Ends with NULL; empty if the kernel has no DMA operations per device. */
extern struct kunit_suite *const device_suites[];

#endif /* APPLE_DMA_SUITES_H */
