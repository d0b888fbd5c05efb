// SPDX-License-Identifier: GPL-2.0-only
/*
 * A test driver for the dma-engine: binding it, its registers and interrupts.
 *
 * A case is run by writing its name and two numbers to the device's attribute
 * "run". Each logs a line of TAP, and what it counted as "name=value";
 * scripts/tests/test_vm_passthrough.py reads them.
 */

#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/irq.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "engine.h"
#include "memory.h"

#define ENGINE_ID		0x000
#define ENGINE_INFO		0x008
#define ENGINE_BUFFER_SIZE	0x00c
#define ENGINE_CONTROL		0x010
#define ENGINE_SCRATCH		0x018
#define ENGINE_RAISE		0x01c
#define ENGINE_CHANNEL(n)	(0x100 + 0x40 * (n))

/* Registers that are neighbours are accessed as one of 64 bits. */
#define CHANNEL_COMMAND		0x00
#define CHANNEL_STATE		0x04
#define CHANNEL_BUS		0x08
#define CHANNEL_OFFSET_LENGTH	0x10
#define CHANNEL_VECTOR		0x18
#define CHANNEL_ERROR		0x1c
#define CHANNEL_DONE_COUNT	0x20
#define CHANNEL_FAULT		0x28

/* After this time an interrupt is lost; machines are slow, and shared. */
#define PATIENCE		(60 * HZ)

static unsigned int vectors = ENGINE_VECTORS;
module_param(vectors, uint, 0644);
MODULE_PARM_DESC(vectors, "How many vectors have a handler, 8 to 16; for the next bind");

static void __iomem *channel(struct engine *engine, unsigned int number, unsigned int reg)
{
	return engine->registers + ENGINE_CHANNEL(number) + reg;
}

void engine_start(struct engine *engine, const struct engine_transfer *t)
{
	const u32 command = CHANNEL_START | CHANNEL_INTERRUPT | (t->to_bus ? CHANNEL_TO_BUS : 0);

	writeq(t->bus, channel(engine, t->channel, CHANNEL_BUS));
	writeq((u64)t->length << 32 | t->offset,
	       channel(engine, t->channel, CHANNEL_OFFSET_LENGTH));
	writel(t->vector, channel(engine, t->channel, CHANNEL_VECTOR));
	/* What was written to the buffer is there before the device reads it. */
	wmb();
	writel(command, channel(engine, t->channel, CHANNEL_COMMAND));
	engine->ended[t->channel]++;
}

u32 engine_state(struct engine *engine, unsigned int number)
{
	return readl(channel(engine, number, CHANNEL_STATE));
}

u32 engine_error(struct engine *engine, unsigned int number)
{
	return readl(channel(engine, number, CHANNEL_ERROR));
}

u64 engine_fault(struct engine *engine, unsigned int number)
{
	return readq(channel(engine, number, CHANNEL_FAULT));
}

void engine_raise(struct engine *engine, unsigned int vector)
{
	writel(vector, engine->registers + ENGINE_RAISE);
}

bool engine_is_pending(struct engine *engine, unsigned int vector)
{
	return readl(engine->pending) >> vector & 1;
}

int engine_wait(struct engine *engine, unsigned int vector)
{
	if (wait_for_completion_timeout(&engine->vectors[vector].fired, PATIENCE))
		return 0;
	complain("vector %u does not fire; it is %spending", vector,
		 engine_is_pending(engine, vector) ? "" : "not ");
	return -ETIMEDOUT;
}

static bool right_number(const struct engine *engine, int interrupts)
{
	return interrupts == 1 || engine->extra;
}

int engine_transfer(struct engine *engine, const struct engine_transfer *t)
{
	struct engine_vector *vector = &engine->vectors[t->vector];
	const int before = atomic_read(&vector->count);
	u32 state;
	u64 done;
	int err;

	engine_start(engine, t);
	do {
		err = engine_wait(engine, t->vector);
		state = engine_state(engine, t->channel);
	} while (!err && state == CHANNEL_RUNNING && engine->extra);
	done = readq(channel(engine, t->channel, CHANNEL_DONE_COUNT));
	if (!err && state == CHANNEL_ENDED &&
	    done == ((u64)engine->ended[t->channel] << 32 | t->length) &&
	    right_number(engine, atomic_read(&vector->count) - before))
		return 0;
	complain("channel %u: %u bytes %s %pad: state %u, error %u, done %u", t->channel,
		 t->length, t->to_bus ? "to" : "from", &t->bus, state,
		 engine_error(engine, t->channel), (u32)done);
	complain("%u transfers of %u, %d interrupts on vector %u", (u32)(done >> 32),
		 engine->ended[t->channel], atomic_read(&vector->count) - before, t->vector);
	return err ?: -EIO;
}

static irqreturn_t on_interrupt(int irq, void *data)
{
	struct engine_vector *vector = data;

	atomic_inc(&vector->count);
	complete(&vector->fired);
	return IRQ_HANDLED;
}

/* ---- binding ---- */

static void free_vectors(struct engine *engine)
{
	unsigned int i;

	for (i = 0; i < ENGINE_VECTORS; i++)
		if (engine->vectors[i].requested)
			free_irq(engine->vectors[i].irq, &engine->vectors[i]);
	pci_free_irq_vectors(engine->pdev);
}

/*
 * disable_irq() masks the even vectors in the device at once, the odd ones only
 * when they have fired.
 */
static int request_vectors(struct engine *engine)
{
	struct pci_dev *pdev = engine->pdev;
	unsigned int i;
	int err;

	err = pci_alloc_irq_vectors(pdev, ENGINE_VECTORS, ENGINE_VECTORS, PCI_IRQ_MSIX);
	if (err < 0)
		return err;
	/* Each channel needs one. */
	for (i = 0; i < clamp_t(unsigned int, vectors, ENGINE_CHANNELS, ENGINE_VECTORS); i++) {
		struct engine_vector *vector = &engine->vectors[i];

		vector->number = i;
		vector->irq = pci_irq_vector(pdev, i);
		init_completion(&vector->fired);
		if (!(i % 2))
			irq_set_status_flags(vector->irq, IRQ_DISABLE_UNLAZY);
		err = request_irq(vector->irq, on_interrupt, 0, "apple_dma_engine", vector);
		if (err) {
			free_vectors(engine);
			return err;
		}
		vector->requested = true;
	}
	return 0;
}

static void unmap_bars(struct engine *engine)
{
	if (engine->msix)
		pci_iounmap(engine->pdev, engine->msix);
	if (engine->buffer)
		pci_iounmap(engine->pdev, engine->buffer);
	if (engine->registers)
		pci_iounmap(engine->pdev, engine->registers);
}

static int map_bars(struct engine *engine)
{
	struct pci_dev *pdev = engine->pdev;
	u32 where;

	engine->registers = pci_iomap(pdev, 0, 0);
	engine->buffer = pci_iomap_wc(pdev, 2, 0);
	pci_read_config_dword(pdev, pdev->msix_cap + PCI_MSIX_PBA, &where);
	engine->msix = pci_iomap(pdev, where & PCI_MSIX_PBA_BIR, 0);
	if (!engine->registers || !engine->buffer || !engine->msix) {
		unmap_bars(engine);
		return -ENOMEM;
	}
	engine->pending = engine->msix + (where & PCI_MSIX_PBA_OFFSET);
	return 0;
}

/* Its registers must be as documented; then it is reset. */
static int check_device(struct engine *engine)
{
	CHECK(readl(engine->registers + ENGINE_ID) == 0x454d4441);
	CHECK(readl(engine->registers + ENGINE_INFO) == (ENGINE_VECTORS << 16 | ENGINE_CHANNELS));
	CHECK(readl(engine->registers + ENGINE_BUFFER_SIZE) == ENGINE_BUFFER);
	CHECK(pci_resource_len(engine->pdev, 2) == ENGINE_BUFFER);
	writel(0x13579bdf, engine->registers + ENGINE_SCRATCH);
	CHECK(readl(engine->registers + ENGINE_SCRATCH) == 0x13579bdf);
	writel(1, engine->registers + ENGINE_CONTROL);
	CHECK(!readl(engine->registers + ENGINE_SCRATCH));
	return 0;
}

static int engine_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct engine *engine = kzalloc(sizeof(*engine), GFP_KERNEL);
	int err = -ENOMEM;

	if (!engine)
		return -ENOMEM;
	engine->pdev = pdev;
	engine->dev = &pdev->dev;
	mutex_init(&engine->lock);
	spin_lock_init(&engine->range_lock);
	engine->shadow = vzalloc(ENGINE_BUFFER);
	if (!engine->shadow)
		goto free;
	err = pci_enable_device(pdev);
	if (err)
		goto free_shadow;
	err = map_bars(engine);
	if (err)
		goto disable;
	pci_set_master(pdev);
	err = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64)) ?: check_device(engine) ?:
	      request_vectors(engine);
	if (err)
		goto unmap;
	pci_set_drvdata(pdev, engine);
	return 0;

unmap:
	pci_clear_master(pdev);
	unmap_bars(engine);
disable:
	pci_disable_device(pdev);
free_shadow:
	vfree(engine->shadow);
free:
	kfree(engine);
	return err;
}

static void engine_remove(struct pci_dev *pdev)
{
	struct engine *engine = pci_get_drvdata(pdev);

	engine_detach(engine, 0, 0);
	engine_unexport(engine, 0, 0);
	engine_drop(engine, 0, 0);
	free_vectors(engine);
	pci_clear_master(pdev);
	unmap_bars(engine);
	pci_disable_device(pdev);
	vfree(engine->shadow);
	kfree(engine);
}

static void engine_reset_prepare(struct pci_dev *pdev)
{
	struct engine *engine = pci_get_drvdata(pdev);

	mutex_lock(&engine->lock);
}

static void engine_reset_done(struct pci_dev *pdev)
{
	struct engine *engine = pci_get_drvdata(pdev);

	memset(engine->shadow, 0, ENGINE_BUFFER);
	memset(engine->ended, 0, sizeof(engine->ended));
	mutex_unlock(&engine->lock);
}

static const struct pci_error_handlers engine_handlers = {
	.reset_prepare = engine_reset_prepare,
	.reset_done = engine_reset_done,
};

static ssize_t run_store(struct device *dev, struct device_attribute *attr, const char *buf,
			 size_t size)
{
	struct engine *engine = dev_get_drvdata(dev);
	unsigned int a = 0, b = 0;
	char name[16];
	int err;

	if (sscanf(buf, "%15s %u %u", name, &a, &b) < 1)
		return -EINVAL;
	mutex_lock(&engine->lock);
	err = engine_run(engine, name, a, b);
	mutex_unlock(&engine->lock);
	return err ?: size;
}
static DEVICE_ATTR_WO(run);

static struct attribute *engine_attrs[] = { &dev_attr_run.attr, NULL };
ATTRIBUTE_GROUPS(engine);

static const struct pci_device_id engine_ids[] = {
	{ PCI_DEVICE(0x1b36, 0x00f5) },
	{ }
};
MODULE_DEVICE_TABLE(pci, engine_ids);

static struct pci_driver engine_driver = {
	.name = "apple_dma_engine",
	.id_table = engine_ids,
	.probe = engine_probe,
	.remove = engine_remove,
	.err_handler = &engine_handlers,
	.dev_groups = engine_groups,
};
module_pci_driver(engine_driver);

MODULE_DESCRIPTION("Test driver for the dma-engine of an emulated driver extension");
MODULE_LICENSE("GPL");
