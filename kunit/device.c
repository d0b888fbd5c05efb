// SPDX-License-Identifier: GPL-2.0-only
/*
 * What cases about the DMA operations start with: see device.h.
 */

#include <linux/dma-mapping.h>
#include <linux/mutex.h>

#include "device.h"

/* There is one at a time. */
static struct device_fixture fixture;

/**
 * device_new() - a device, and a companion for it
 * @test: the case; ended if there is no memory
 * @plan: what it wants of the companion
 *
 * Undone by device_close().
 *
 * Return: the fixture.
 */
struct device_fixture *device_new(struct kunit *test,
				  const struct fixture_plan *plan)
{
	struct device_fixture *d = &fixture;
	struct apple_dma *ad;

	memset(d, 0, sizeof(*d));
	d->f = fixture_new(test, plan);
	ad = d->f->ad;
	ad->ops = apple_dma_ops;
	kref_init(&ad->ref);
	apple_dma_coherent_init(ad);
	INIT_WORK(&ad->coherent.reap, apple_dma_managed_reap);
	mutex_init(&ad->managed.lock);
	d->dev = root_device_register("apple_dma_device");
	if (IS_ERR(d->dev))
		d->dev = NULL;
	CHECK(test, d->dev);
	d->dev->dma_mask = &d->dev->coherent_dma_mask;
	ad->managed.dev = d->dev;
	ad->managed.attached = true;
	set_dma_ops(d->dev, &ad->ops);
	CHECK_EQ(test, dma_set_mask_and_coherent(d->dev, DMA_BIT_MASK(64)), 0);
	return d;
}

/**
 * device_close() - undo device_new(): the .exit of a suite
 * @test: the case, which may have no fixture
 */
void device_close(struct kunit *test)
{
	struct device_fixture *d = &fixture;

	if (!test->priv)
		return;
	flush_work(&d->f->ad->coherent.reap);
	EXPECT(test, xa_empty(&d->f->ad->coherent.records));
	apple_dma_coherent_exit(d->f->ad);
	EXPECT_EQ(test, d->f->ad->coherent.orphans, 0);
	EXPECT_EQ(test, kref_read(&d->f->ad->ref), 1);
	fixture_close(test);
	if (d->dev) {
		set_dma_ops(d->dev, NULL);
		root_device_unregister(d->dev);
	}
	d->dev = NULL;
}

/**
 * device_leads() - where a device address leads to
 * @d: the fixture
 * @addr: the address
 *
 * Return: the guest-physical address, U64_MAX for nowhere.
 */
u64 device_leads(struct device_fixture *d, dma_addr_t addr)
{
	struct fake_host_found found;

	return fake_host_translate(d->f->host, addr, &found) ? found.gpa :
							       U64_MAX;
}

/**
 * device_failures() - how many maps were refused
 * @d: the fixture
 * @cause: for this cause
 */
u64 device_failures(struct device_fixture *d, enum apple_dma_fail cause)
{
	return fixture_stats(d->f)->failures[cause];
}

/**
 * device_reaped() - is everything gone that orphans hold?
 * @d: the fixture
 */
bool device_reaped(struct device_fixture *d)
{
	flush_work(&d->f->ad->coherent.reap);
	return !d->f->ad->coherent.orphaned &&
	       kref_read(&d->f->ad->ref) == 1 &&
	       get_dma_ops(d->dev) != &d->f->ad->ops;
}
