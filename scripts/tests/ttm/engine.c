// SPDX-License-Identifier: GPL-2.0-only
/* One transfer of the device, without an interrupt. */

#include <linux/delay.h>
#include <linux/io.h>
#include <linux/jiffies.h>

#include "ttm.h"

#define CHANNEL			0x100
#define CHANNEL_COMMAND		0x00
#define CHANNEL_STATE		0x04
#define CHANNEL_BUS		0x08
#define CHANNEL_OFFSET_LENGTH	0x10
#define CHANNEL_FAULT		0x28

#define COMMAND_START		1
#define COMMAND_TO_BUS		2
#define STATE_RUNNING		1
#define STATE_ENDED		2

int engine_copy(struct device_state *state, dma_addr_t bus, u32 length, bool to_bus)
{
	void __iomem *channel = state->registers + CHANNEL;
	const unsigned long end = jiffies + 60 * HZ;
	u32 now;

	writeq(bus, channel + CHANNEL_BUS);
	writeq((u64)length << 32, channel + CHANNEL_OFFSET_LENGTH);
	/* What was written to the buffer is there before the device reads it. */
	wmb();
	writel(COMMAND_START | (to_bus ? COMMAND_TO_BUS : 0), channel + CHANNEL_COMMAND);
	while ((now = readl(channel + CHANNEL_STATE)) == STATE_RUNNING) {
		if (time_after(jiffies, end))
			break;
		usleep_range(20, 50);
	}
	if (now == STATE_ENDED)
		return 0;
	complain("%u bytes %s %pad: state %u, fault at %llx", length, to_bus ? "to" : "from", &bus,
		 now, readq(channel + CHANNEL_FAULT));
	return -EIO;
}
