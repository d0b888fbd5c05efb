// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that the guest gives back to the host.
 *
 * On a Mac the DART keeps the pages that it maps. When the guest uses such
 * memory again it gets new pages, but the device still reaches the old ones.
 */
#define _GNU_SOURCE
#include "discard.h"

#include <dlfcn.h>
#include <glib.h>
#include <sys/mman.h>

#include "dart/dart.h"
#include "lib/discards.h"

_Static_assert(DISCARDS_PAGE == DART_PAGE_SIZE, "pages of the DART");

struct watch {
	discard_fn *gone;
	void *arg;
};

static GMutex lock;			/* everything below */
static GSList *watches;
static struct discards discards;

/*
 * Only of parts that were given back: they are resident again once they are used.
 * An access of the device is a use here, too, which it is not on a Mac.
 */
static bool came_again(void *arg, uint64_t part)
{
	unsigned char resident;

	return mincore((void *)(uintptr_t)part, DISCARDS_PART, &resident) || resident & 1;
}

static void gone(void *arg, uint64_t start, uint64_t size)
{
	for (GSList *each = watches; each; each = each->next) {
		const struct watch *watch = each->data;

		watch->gone(watch->arg, start, size);
	}
}

static void discarded(uintptr_t address, size_t size)
{
	static const struct discards_ops ops = { came_again, gone };

	g_mutex_lock(&lock);
	if (watches)
		discards_add(&discards, address, size, &ops, NULL);
	g_mutex_unlock(&lock);
}

void discard_watch(discard_fn *gone_, void *arg)
{
	void (**hook)(uintptr_t address, size_t size) = dlsym(RTLD_DEFAULT, "apple_dma_discarded");
	struct watch *watch = g_new(struct watch, 1);

	*watch = (struct watch){ gone_, arg };
	g_mutex_lock(&lock);
	watches = g_slist_prepend(watches, watch);
	g_mutex_unlock(&lock);
	if (hook)
		*hook = discarded;
}

void discard_unwatch(void *arg)
{
	g_mutex_lock(&lock);
	for (GSList *each = watches; each; each = each->next) {
		struct watch *watch = each->data;

		if (watch->arg != arg)
			continue;
		watches = g_slist_delete_link(watches, each);
		g_free(watch);
		break;
	}
	g_mutex_unlock(&lock);
}
