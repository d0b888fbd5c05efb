// SPDX-License-Identifier: GPL-2.0-only
/*
 * Setup and end of the cases about the transport.
 */

#include <linux/slab.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "fixture.h"
#include "line.h"

/**
 * line_new() - make a host and a transport that is not started
 * @test: the case; ended if there is no memory
 *
 * Undone by line_close().
 *
 * Return: the line, also in @test->priv.
 */
struct line *line_new(struct kunit *test)
{
	struct line *l = kzalloc(sizeof(*l), GFP_KERNEL);

	CHECK(test, l);
	test->priv = l;
	l->test = test;
	l->lost = seam_balance();
	CHECK_EQ(test, fake_companion_start(&l->c), 0);
	return l;
}

/**
 * line_open() - make a host and a transport that knows its layout
 * @test: the case; ended if that fails
 * @wide: whether the host has the wide layout
 *
 * Undone by line_close(). The layout took one doorbell.
 *
 * Return: the line, also in @test->priv.
 */
struct line *line_open(struct kunit *test, bool wide)
{
	struct line *l = line_new(test);

	l->c.wide = wide;
	CHECK_EQ(test, apple_dma_transport_init(&l->t, fixture_device,
						fake_companion_bar(&l->c)), 0);
	l->up = true;
	CHECK_EQ(test, apple_dma_transport_start(&l->t), 0);
	CHECK_EQ(test, l->t.wide, wide);
	CHECK_EQ(test, l->t.doorbells, 1);
	CHECK_EQ(test, l->c.doorbells, 1);
	return l;
}

/**
 * line_close() - undo line_new() or line_open(): .exit of a suite
 * @test: the case, which may have no line
 */
void line_close(struct kunit *test)
{
	struct line *l = test->priv;

	if (!l)
		return;
	if (l->up) {
		apple_dma_transport_clear(&l->t);
		EXPECT_EQ(test, l->c.cmd_gpa, 0);
		/* This host writes nothing later, even after a breach. */
		l->t.reason = NULL;
		apple_dma_transport_free(&l->t, false);
	}
	EXPECT_EQ(test, l->t.doorbells, l->c.doorbells);
	EXPECT_EQ(test, seam_balance(), l->lost);
	fake_companion_stop(&l->c);
	seam_clock = 0;
	kfree(l);
	test->priv = NULL;
}

/**
 * line_map() - map the first entries of @l->map with one doorbell
 * @l: the line
 * @n: how many
 *
 * Return: as struct apple_dma_host_ops.map.
 */
int line_map(struct line *l, unsigned int n)
{
	return apple_dma_transport_ops.map(&l->t, l->map, n);
}

/**
 * line_unmap() - unmap the first entries of @l->unmap with one doorbell
 * @l: the line
 * @n: how many
 *
 * Return: as struct apple_dma_host_ops.unmap.
 */
int line_unmap(struct line *l, unsigned int n)
{
	return apple_dma_transport_ops.unmap(&l->t, l->unmap, n);
}
