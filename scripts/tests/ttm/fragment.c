// SPDX-License-Identifier: GPL-2.0-only
/* Fragmented memory: every second block of some pages is taken. */

#include <linux/gfp.h>
#include <linux/mm.h>
#include <linux/sched.h>

#include "ttm.h"

void fragment(struct device_state *state, unsigned int order, unsigned int reserve)
{
	const long least = (long)reserve << (20 - PAGE_SHIFT);
	unsigned long held = 0, holes = 0;
	struct page *page, *next;

	while (si_mem_available() > least) {
		page = alloc_page(GFP_KERNEL | __GFP_NORETRY | __GFP_NOWARN);
		if (!page)
			break;
		list_add(&page->lru, &state->held);
		if (!(++held % 4096))
			cond_resched();
	}
	list_for_each_entry_safe(page, next, &state->held, lru) {
		if (page_to_pfn(page) >> order & 1)
			continue;
		list_del(&page->lru);
		__free_page(page);
		if (!(++holes % 4096))
			cond_resched();
	}
	tell("holes=%lu", holes);
}

void fragment_end(struct device_state *state)
{
	struct page *page, *next;

	list_for_each_entry_safe(page, next, &state->held, lru) {
		list_del(&page->lru);
		__free_page(page);
	}
}
