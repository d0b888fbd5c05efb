// SPDX-License-Identifier: GPL-2.0
/* The dma-engine. */
#include "dma-engine.h"

#include <stdlib.h>
#include <string.h>

struct channel {
	uint32_t command;		/* of the running or the last transfer */
	uint32_t state;
	uint64_t bus;
	uint32_t offset;
	uint32_t length;
	uint32_t vector;
	uint32_t error;
	uint32_t done;
	uint32_t count;
	uint64_t fault;
	uint64_t ended;			/* mappings, before it began */
};

struct engine {
	struct physical dev;
	bool hold;
	uint32_t scratch;
	struct channel channels[ENGINE_CHANNELS];
};

static uint64_t ended_mappings(const struct engine *engine)
{
	struct dart_usage usage;

	dart_get_usage(engine->dev.dart, &usage);
	return usage.ended;
}

/* Does the last piece of a transfer wait for the end of a mapping? */
static bool is_held(const struct engine *engine, const struct channel *channel)
{
	return engine->hold && channel->length - channel->done <= ENGINE_STEP &&
	       channel->ended == ended_mappings(engine);
}

static void end(struct engine *engine, struct channel *channel, enum channel_error error)
{
	channel->state = error == CHANNEL_OK ? CHANNEL_ENDED : CHANNEL_FAILED;
	channel->error = error;
	channel->count++;
	if (channel->command & CHANNEL_INTERRUPT)
		physical_raise(&engine->dev, channel->vector);
}

static void command(struct engine *engine, struct channel *channel, uint32_t value)
{
	if (value & CHANNEL_ABORT && channel->state == CHANNEL_RUNNING)
		end(engine, channel, CHANNEL_ABORTED);
	if (!(value & CHANNEL_START) || channel->state == CHANNEL_RUNNING)
		return;
	channel->command = value;
	channel->state = CHANNEL_RUNNING;
	channel->error = CHANNEL_OK;
	channel->done = 0;
	channel->fault = 0;
	channel->ended = ended_mappings(engine);
	if (channel->vector >= ENGINE_VECTORS)
		end(engine, channel, CHANNEL_BAD_VECTOR);
	else if (!channel->length || channel->offset >= ENGINE_BUFFER ||
		 channel->length > ENGINE_BUFFER - channel->offset)
		end(engine, channel, CHANNEL_BAD_RANGE);
}

static void step(struct engine *engine, struct channel *channel)
{
	const uint32_t left = channel->length - channel->done;
	const uint32_t len = left < ENGINE_STEP ? left : ENGINE_STEP;
	const uint64_t bus = channel->bus + channel->done;
	uint8_t *here = (uint8_t *)engine->dev.bars[2].here + channel->offset + channel->done;
	bool ok;

	if (channel->command & CHANNEL_TO_BUS)
		ok = bus >= channel->bus && physical_dma_write(&engine->dev, bus, here, len);
	else
		ok = bus >= channel->bus && physical_dma_read(&engine->dev, bus, here, len);
	if (!ok) {
		channel->fault = bus;
		end(engine, channel, CHANNEL_DMA_FAULT);
		return;
	}
	channel->done += len;
	if (channel->done == channel->length)
		end(engine, channel, CHANNEL_OK);
}

static bool engine_work(struct physical *dev)
{
	struct engine *engine = (struct engine *)dev;
	bool more = false;

	for (unsigned int i = 0; i < ENGINE_CHANNELS; i++) {
		struct channel *channel = &engine->channels[i];

		if (channel->state != CHANNEL_RUNNING || is_held(engine, channel))
			continue;
		step(engine, channel);
		more |= channel->state == CHANNEL_RUNNING;
	}
	return more;
}

static uint32_t read_channel(const struct channel *channel, uint64_t reg)
{
	switch (reg) {
	case CHANNEL_STATE:
		return channel->state;
	case CHANNEL_BUS_LO:
		return (uint32_t)channel->bus;
	case CHANNEL_BUS_HI:
		return (uint32_t)(channel->bus >> 32);
	case CHANNEL_OFFSET:
		return channel->offset;
	case CHANNEL_LENGTH:
		return channel->length;
	case CHANNEL_VECTOR:
		return channel->vector;
	case CHANNEL_ERROR:
		return channel->error;
	case CHANNEL_DONE:
		return channel->done;
	case CHANNEL_COUNT:
		return channel->count;
	case CHANNEL_FAULT_LO:
		return (uint32_t)channel->fault;
	case CHANNEL_FAULT_HI:
		return (uint32_t)(channel->fault >> 32);
	default:
		return 0;
	}
}

static uint32_t busy(const struct engine *engine)
{
	uint32_t bits = 0;

	for (unsigned int i = 0; i < ENGINE_CHANNELS; i++)
		bits |= (uint32_t)(engine->channels[i].state == CHANNEL_RUNNING) << i;
	return bits;
}

static uint32_t read_register(const struct engine *engine, uint64_t reg)
{
	if (reg >= ENGINE_CHANNEL(0) && reg < ENGINE_CHANNEL(ENGINE_CHANNELS))
		return read_channel(&engine->channels[(reg - ENGINE_CHANNEL(0)) / 0x40],
				    (reg - ENGINE_CHANNEL(0)) % 0x40);
	switch (reg) {
	case ENGINE_ID:
		return ENGINE_ID_VALUE;
	case ENGINE_VERSION:
		return 1;
	case ENGINE_INFO:
		return ENGINE_VECTORS << 16 | ENGINE_CHANNELS;
	case ENGINE_BUFFER_SIZE:
		return ENGINE_BUFFER;
	case ENGINE_BUSY:
		return busy(engine);
	case ENGINE_SCRATCH:
		return engine->scratch;
	default:
		return 0;
	}
}

static void set_half(uint64_t *to, bool high, uint32_t value)
{
	*to = high ? (uint32_t)*to | (uint64_t)value << 32 : (*to >> 32 << 32) | value;
}

static void write_channel(struct engine *engine, struct channel *channel, uint64_t reg,
			  uint32_t value)
{
	if (reg == CHANNEL_COMMAND) {
		command(engine, channel, value);
		return;
	}
	/* The registers of a running channel do not change. */
	if (channel->state == CHANNEL_RUNNING)
		return;
	if (reg == CHANNEL_BUS_LO || reg == CHANNEL_BUS_HI)
		set_half(&channel->bus, reg == CHANNEL_BUS_HI, value);
	else if (reg == CHANNEL_OFFSET)
		channel->offset = value;
	else if (reg == CHANNEL_LENGTH)
		channel->length = value;
	else if (reg == CHANNEL_VECTOR)
		channel->vector = value;
}

static void engine_reset(struct physical *dev)
{
	struct engine *engine = (struct engine *)dev;

	engine->scratch = 0;
	memset(engine->channels, 0, sizeof(engine->channels));
	memset(dev->bars[2].here, 0, ENGINE_BUFFER);
}

static void write_register(struct engine *engine, uint64_t reg, uint32_t value)
{
	if (reg >= ENGINE_CHANNEL(0) && reg < ENGINE_CHANNEL(ENGINE_CHANNELS)) {
		write_channel(engine, &engine->channels[(reg - ENGINE_CHANNEL(0)) / 0x40],
			      (reg - ENGINE_CHANNEL(0)) % 0x40, value);
		return;
	}
	if (reg == ENGINE_CONTROL && value & ENGINE_CONTROL_RESET)
		engine_reset(&engine->dev);
	else if (reg == ENGINE_SCRATCH)
		engine->scratch = value;
	else if (reg == ENGINE_RAISE)
		physical_raise(&engine->dev, value);
}

/* Accesses of 4 bytes, and of 8 as two of them. The MSI-X table is not used. */
static uint64_t engine_read(struct physical *dev, unsigned int bar, uint64_t offset,
			    unsigned int width)
{
	const struct engine *engine = (struct engine *)dev;

	if (bar || width < 4)
		return 0;
	if (width == 4)
		return read_register(engine, offset);
	return read_register(engine, offset) | (uint64_t)read_register(engine, offset + 4) << 32;
}

static void engine_write(struct physical *dev, unsigned int bar, uint64_t offset,
			 unsigned int width, uint64_t value)
{
	struct engine *engine = (struct engine *)dev;

	if (bar || width < 4)
		return;
	write_register(engine, offset, (uint32_t)value);
	if (width == 8)
		write_register(engine, offset + 4, (uint32_t)(value >> 32));
}

static void engine_destroy(struct physical *dev)
{
	physical_fini(dev);
	free(dev);
}

struct physical *dma_engine_create(struct dart *dart, uint16_t bdf,
				   enum physical_interrupts interrupts, bool hold)
{
	static const struct physical_ops ops = {
		engine_read, engine_write, engine_reset, engine_work, NULL, engine_destroy,
	};
	static const struct physical_id id = { ENGINE_VENDOR, ENGINE_DEVICE, ENGINE_CLASS, 1 };
	struct engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return NULL;
	engine->hold = hold;
	physical_init(&engine->dev, &ops, dart, bdf, &id);
	if (!physical_add_bar(&engine->dev, 0, BAR_M32, ENGINE_REGISTERS, false) ||
	    !physical_add_bar(&engine->dev, 2, BAR_M64PF, ENGINE_BUFFER, true) ||
	    !physical_add_bar(&engine->dev, 4, BAR_M32, 4096, false)) {
		engine_destroy(&engine->dev);
		return NULL;
	}
	if (interrupts == INTERRUPTS_INTX)
		physical_add_pin(&engine->dev);
	else if (interrupts == INTERRUPTS_MSI)
		physical_add_msi(&engine->dev, ENGINE_VECTORS);
	else if (interrupts == INTERRUPTS_MSIX)
		physical_add_msix(&engine->dev, 4, 0, 2048, ENGINE_VECTORS);
	return &engine->dev;
}
