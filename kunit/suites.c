// SPDX-License-Identifier: GPL-2.0-only
/*
 * All suites, in the order in which they run.
 */

#include "suites.h"

struct kunit_suite *const pure_suites[] = {
	&wire_suite,
	&transport_suite,
	&index_suite,
	&window_suite,
	&shape_suite,
	&runs_suite,
	&align_suite,
	&idle_suite,
	&budget_suite,
	&map_suite,
	&engine_suite,
	&ram_suite,
	&recover_suite,
	&oldmem_suite,
	&arena_suite,
	&debugfs_suite,
	&fail_suite,
	NULL
};

struct kunit_suite *const device_suites[] = {
#ifdef APPLE_DMA_KUNIT_DEVICES
	&dma_ops_suite,
	&coherent_suite,
	&managed_suite,
	&premap_suite,
	&balloon_suite,
	&sysfs_suite,
	&main_suite,
#endif
	NULL
};
