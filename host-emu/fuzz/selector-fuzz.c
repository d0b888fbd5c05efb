// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzing the selectors, in process, with a device behind them. The input is a
 * list of calls: selector, counts, arguments. Memory of the client is an area
 * that every address leads into, so that any address can be registered.
 */
#include <stdlib.h>

#include "dext/dext.h"
#include "fuzz.h"
#include "lib/memory.h"

#define AREA	65536

static uint8_t area[AREA];

static bool area_read(struct memory *memory, uint64_t va, void *to, size_t len)
{
	(void)memory;
	for (size_t i = 0; i < len; i++)
		((uint8_t *)to)[i] = area[(va + i) % AREA];
	return va >> 60 != 0xf;
}

static bool area_write(struct memory *memory, uint64_t va, const void *from, size_t len)
{
	(void)memory;
	for (size_t i = 0; i < len; i++)
		area[(va + i) % AREA] = ((const uint8_t *)from)[i];
	return va >> 60 != 0xf;
}

static const struct memory_ops ops = { area_read, area_write, NULL };

static void completed(void *arg, uint64_t token, IOReturn ret)
{
	(void)token;
	(void)ret;
	++*(unsigned int *)arg;
}

/*
 * One call. An argument is a byte that chooses: small numbers as they are, and
 * what an earlier call returned, so that addresses of the DART are met.
 */
static void one_call(struct dext_client *client, struct fuzz_input *input, uint64_t *kept,
		     unsigned int *completions)
{
	const struct dext_completion completion = { completed, completions, 1 };
	uint64_t in[DEXT_MAX_ARGUMENTS] = { 0 }, out[DEXT_MAX_ARGUMENTS] = { 0 };
	const uint8_t selector = fuzz_byte(input) % 20, counts = fuzz_byte(input);
	uint32_t in_count = counts & 7, out_count = counts >> 3 & 7, room;
	IOReturn ret;
	uint64_t size;
	int fd;

	for (unsigned int i = 0; i < in_count; i++) {
		const uint8_t choice = fuzz_byte(input);

		if (choice < 0x40)
			in[i] = choice;
		else if (choice < 0x60)
			in[i] = kept[choice % 8] + (choice & 0x10);
		else if (choice < 0x90)
			in[i] = (uint64_t)fuzz_byte(input) << (choice & 0x3f);
		else if (choice < 0xc0)
			in[i] = fuzz_number(input, 2);
		else
			in[i] = fuzz_number(input, 8);
	}
	if (selector == SELECTOR_ALLOCATE_DMA_BUFFER)
		in[0] %= UINT64_C(1) << 22;
	room = out_count;
	ret = dext_call_async(client, selector, counts & 0x40 ? NULL : in, in_count,
			      counts & 0x80 ? NULL : out, &room, &completion);
	if (room > out_count)
		abort();
	if (ret == kIOReturnSuccess && room)
		kept[selector % 8] = out[room > 3 ? 3 : room > 1];
	if (selector == 19)
		dext_get_memory(client, in_count ? (uint32_t)in[0] : 0, 0, &fd, &size);
}

static void run(struct fuzz_input *input, const char *device)
{
	struct memory memory = { &ops };
	struct dext_client *clients[2];
	struct unit f;
	uint64_t kept[8] = { 0 };
	unsigned int completions = 0;
	struct dart_usage usage;

	fuzz_unit(&f, device);
	for (unsigned int i = 0; i < 2; i++)
		clients[i] = dext_open_for(f.dext, &memory);
	for (unsigned int n = 0; n < 200 && input->left; n++) {
		one_call(clients[fuzz_byte(input) & 1], input, kept, &completions);
		physical_work(f.dev);
	}
	/* The last one first: whoever claimed. */
	dext_close(clients[1]);
	dext_close(clients[0]);
	dart_get_usage(f.dart, &usage);
	if (usage.entries || usage.bytes)
		abort();
	unit_destroy(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };

	/* So that a device finds commands of the fuzzer's in memory. */
	for (size_t i = 0; i < AREA; i++)
		area[i] = size ? data[size - 1 - i % size] : 0;
	if (fuzz_byte(&input) & 1)
		run(&input, "nvme,size=64K,queues=2,max-bytes=1G,max-entries=64");
	else
		run(&input, "dma-engine,max-bytes=1G,max-entries=64,max-segment=1M");
	return 0;
}
