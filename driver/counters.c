// SPDX-License-Identifier: GPL-2.0-only
/*
 * The counters that a hit changes: one set for each CPU, summed up here.
 */

#include <linux/percpu.h>

#include "engine.h"

/**
 * apple_dma_counters_live() - what drivers have mapped
 * @e: the engine
 * @stats: @live_mappings and @live_bytes are set; @hits is set to all maps
 *
 * Exact when nothing runs. Context: any.
 */
void apple_dma_counters_live(struct apple_dma_engine *e,
			     struct apple_dma_stats *stats)
{
	u64 maps = 0, unmaps = READ_ONCE(e->abandoned);
	s64 bytes = -READ_ONCE(e->abandoned_bytes);
	int cpu;

	for_each_possible_cpu(cpu) {
		struct apple_dma_percpu *p = per_cpu_ptr(e->percpu, cpu);

		unmaps += local64_read(&p->unmaps);
		maps += local64_read(&p->maps);
		bytes -= local64_read(&p->unmap_bytes);
		bytes += local64_read(&p->map_bytes);
	}
	stats->hits = maps;
	stats->live_mappings = maps > unmaps ? maps - unmaps : 0;
	stats->live_bytes = max(bytes, 0LL);
}

/* How many windows are idle, and their bytes. Exact when nothing runs. Context: any. */
void apple_dma_counters_idle(struct apple_dma_engine *e, u64 *entries,
			     u64 *bytes)
{
	s64 sum_entries = 0, sum_bytes = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		struct apple_dma_percpu *p = per_cpu_ptr(e->percpu, cpu);

		sum_entries += local64_read(&p->idle_entries);
		sum_bytes += local64_read(&p->idle_bytes);
	}
	*entries = max(sum_entries, 0LL);
	*bytes = max(sum_bytes, 0LL);
}
