// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that the guest gives back to the host.
 *
 * On a Mac the DART keeps the pages that it maps. When the guest uses such
 * memory again it gets new pages, but the device still reaches the old ones.
 * A Mac's pages are as large as the DART's; a Linux host has pages of 4 KiB,
 * and QEMU gives each back alone. So a page of the DART is gone here when all
 * of its parts are.
 */
#define _GNU_SOURCE
#include "discard.h"

#include <dlfcn.h>
#include <glib.h>
#include <sys/mman.h>

#define PARTS_MAX	(DART_PAGE_SIZE / 4096)

static GMutex lock;
static GSList *darts;

static bool is_gone(uint64_t page)
{
	unsigned char parts[PARTS_MAX];

	if (mincore((void *)(uintptr_t)page, DART_PAGE_SIZE, parts))
		return false;
	for (unsigned int i = 0; i < DART_PAGE_SIZE / (unsigned int)getpagesize(); i++) {
		if (parts[i] & 1)
			return false;
	}
	return true;
}

static void discarded(uintptr_t address, size_t size)
{
	const uint64_t end = address + size;

	g_mutex_lock(&lock);
	for (uint64_t page = address & DART_PAGE_MASK; page < end; page += DART_PAGE_SIZE) {
		if (!darts || !is_gone(page))
			continue;
		for (GSList *each = darts; each; each = each->next)
			dart_stale(each->data, page, DART_PAGE_SIZE);
	}
	g_mutex_unlock(&lock);
}

void discard_watch(struct dart *dart)
{
	void (**hook)(uintptr_t address, size_t size) = dlsym(RTLD_DEFAULT, "apple_dma_discarded");

	g_mutex_lock(&lock);
	darts = g_slist_prepend(darts, dart);
	g_mutex_unlock(&lock);
	if (hook)
		*hook = discarded;
}

void discard_unwatch(struct dart *dart)
{
	g_mutex_lock(&lock);
	darts = g_slist_remove(darts, dart);
	g_mutex_unlock(&lock);
}
