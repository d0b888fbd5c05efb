// SPDX-License-Identifier: GPL-2.0
/* The parts of pages that a guest has given back. */
#include "discards.h"

#include <stdlib.h>

#define PARTS	(DISCARDS_PAGE / DISCARDS_PART)
#define ALL	((1U << PARTS) - 1)

struct page {
	struct tree_node node;		/* page number; first */
	unsigned int parts;		/* a bit for each that was given back */
};

static struct page *page_at(struct discards *discards, uint64_t number)
{
	struct page *page = (struct page *)tree_find(&discards->pages, number);

	if (page)
		return page;
	page = calloc(1, sizeof(*page));
	if (!page)
		return NULL;
	page->node.key = number;
	page->node.size = 1;
	tree_insert(&discards->pages, &page->node);
	return page;
}

/* The parts of a page that the parts [@first, @last) of memory contain. */
static unsigned int parts_in(uint64_t number, uint64_t first, uint64_t last)
{
	unsigned int parts = 0;

	for (unsigned int i = 0; i < PARTS; i++)
		if (number * PARTS + i >= first && number * PARTS + i < last)
			parts |= 1U << i;
	return parts;
}

/* Note @parts of a page; has all of it gone? */
static bool goes(struct page *page, unsigned int parts, const struct discards_ops *ops, void *arg)
{
	const uint64_t start = page->node.key * DISCARDS_PAGE;

	for (unsigned int i = 0; i < PARTS; i++)
		if (page->parts & ~parts & 1U << i &&
		    ops->came_again(arg, start + i * DISCARDS_PART))
			page->parts &= ~(1U << i);
	page->parts |= parts;
	return page->parts == ALL;
}

void discards_add(struct discards *discards, uint64_t start, uint64_t size,
		  const struct discards_ops *ops, void *arg)
{
	const uint64_t first = start / DISCARDS_PART;
	const uint64_t last = (start + size + DISCARDS_PART - 1) / DISCARDS_PART;
	const uint64_t end = (last + PARTS - 1) / PARTS;
	uint64_t run = 0;

	if (!size)
		return;
	for (uint64_t number = first / PARTS; number <= end; number++) {
		struct page *page = number < end ? page_at(discards, number) : NULL;

		if (page && goes(page, parts_in(number, first, last), ops, arg)) {
			run++;
			continue;
		}
		if (run)
			ops->gone(arg, (number - run) * DISCARDS_PAGE, run * DISCARDS_PAGE);
		run = 0;
	}
}

void discards_fini(struct discards *discards)
{
	while (discards->pages.root) {
		struct tree_node *node = discards->pages.root;

		tree_remove(&discards->pages, node);
		free(node);
	}
}
