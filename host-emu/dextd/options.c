// SPDX-License-Identifier: GPL-2.0
/* What --device of dextd says. */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const models[] = {
	[MODEL_ENGINE] = "dma-engine",
	[MODEL_NVME] = "nvme",
};

const struct names device_models = NAMES(models);

/* All of @text is a number, perhaps with the unit K, M, G or T. */
static bool parse_number(const char *text, uint64_t most, uint64_t *value)
{
	static const char units[] = "KMGT";
	const char *unit;
	unsigned int shift = 0;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	*value = strtoull(text, &end, 0);
	if (*end && !end[1]) {
		unit = strchr(units, *end);
		if (!unit)
			return false;
		shift = 10 * (unsigned int)(unit - units + 1);
		end++;
	}
	if (errno || *end || *value > most >> shift)
		return false;
	*value <<= shift;
	return true;
}

/* One hexadecimal number and the character that must follow it. */
static bool parse_hex(const char **text, unsigned long most, char behind, unsigned long *value)
{
	char *end;

	if (!isxdigit((unsigned char)**text))
		return false;
	*value = strtoul(*text, &end, 16);
	*text = end + 1;
	return *value <= most && *end == behind;
}

/* bb:dd.f in hex, as lspci writes it. */
static bool parse_bdf(const char *text, uint16_t *bdf)
{
	unsigned long bus, device, function;

	if (!parse_hex(&text, 0xff, ':', &bus) || !parse_hex(&text, 31, '.', &device) ||
	    !parse_hex(&text, 7, '\0', &function))
		return false;
	*bdf = (uint16_t)(bus << 8 | device << 3 | function);
	return true;
}

#define NUMBER(key, member, least, most)						\
	{ key, least, most, offsetof(struct device_options, member),			\
	  sizeof(((struct device_options *)NULL)->member) }

/* Keys with a number, its limits, and where it goes: 32 or 64 bits. */
static const struct {
	const char *key;
	uint64_t least, most;
	size_t offset, size;
} numbers[] = {
	NUMBER("size", nvme.size, 0, INT64_MAX),
	NUMBER("block", nvme.block, 512, 4096),
	NUMBER("queues", nvme.queues, 1, 64),
	NUMBER("hmb", nvme.hmb, 0, UINT64_C(1) << 30),
	NUMBER("hmb-min", nvme.hmb_min, 0, UINT64_C(1) << 30),
	NUMBER("seed", dart.seed, 0, UINT64_MAX),
	NUMBER("max-bytes", dart.max_bytes, DART_PAGE_SIZE, UINT64_MAX),
	NUMBER("max-entries", dart.max_entries, 1, UINT32_MAX),
	NUMBER("max-segment", dart.max_segment, 0, UINT64_MAX),
	NUMBER("iova-bits", dart.iova_bits, DART_MIN_IOVA_BITS, DART_MAX_IOVA_BITS),
	NUMBER("panic-bytes", panic.bytes, 0, UINT64_MAX),
	NUMBER("panic-entries", panic.entries, 0, UINT32_MAX),
	NUMBER("latency-us", traps.latency_us, 0, UINT32_MAX),
	NUMBER("lost-after", traps.lost_after, 0, UINT64_MAX),
	NUMBER("lie-after", traps.lie_after, 0, UINT64_MAX),
};

static bool set_number(struct device_options *options, const char *key, const char *value,
		       bool *known)
{
	uint64_t number;
	size_t i = 0;
	void *to;

	while (i < sizeof(numbers) / sizeof(numbers[0]) && strcmp(numbers[i].key, key))
		i++;
	*known = i < sizeof(numbers) / sizeof(numbers[0]);
	if (!*known || !parse_number(value, numbers[i].most, &number) ||
	    number < numbers[i].least)
		return false;
	to = (uint8_t *)options + numbers[i].offset;
	if (numbers[i].size == sizeof(uint64_t))
		*(uint64_t *)to = number;
	else
		*(uint32_t *)to = (uint32_t)number;
	return strcmp(key, "block") || number == 512 || number == 4096;
}

static bool set_text(char *to, size_t size, const char *value)
{
	return *value && snprintf(to, size, "%s", value) < (int)size;
}

static bool set_switch(bool *to, const char *value)
{
	*to = !strcmp(value, "on");
	return *to || !strcmp(value, "off");
}

static bool set(struct device_options *options, const char *key, const char *value, char *why,
		size_t why_size)
{
	bool known = true, ok;

	if (!strcmp(key, "busy")) {
		ok = set_switch(&options->traps.busy, value);
	} else if (!strcmp(key, "hold")) {
		ok = set_switch(&options->hold, value);
	} else if (!strcmp(key, "sgl")) {
		ok = set_switch(&options->nvme.sgl, value);
	} else if (!strcmp(key, "interrupts")) {
		ok = names_parse(&physical_interrupts_names, value, &options->interrupts);
	} else if (!strcmp(key, "reset")) {
		ok = names_parse(&physical_resets_names, value, &options->resets);
	} else if (!strcmp(key, "bdf")) {
		ok = parse_bdf(value, &options->bdf);
	} else if (!strcmp(key, "iova")) {
		ok = names_parse(&dart_policies, value, &options->dart.policy);
	} else if (!strcmp(key, "cost")) {
		ok = names_parse(&dext_costs, value, &options->cost);
	} else if (!strcmp(key, "lie")) {
		ok = names_parse(&dext_lies, value, &options->traps.lie);
	} else if (!strcmp(key, "file")) {
		ok = set_text(options->nvme.file, sizeof(options->nvme.file), value);
	} else if (!strcmp(key, "root")) {
		ok = set_text(options->root, sizeof(options->root), value);
	} else {
		ok = set_number(options, key, value, &known);
	}
	if (!known)
		snprintf(why, why_size, "there is no %s; dextd --help has the keys", key);
	else if (!ok)
		snprintf(why, why_size, "%s cannot be '%s'", key, value);
	return ok && known;
}

bool options_parse(const char *text, struct device_options *options, char *why, size_t why_size)
{
	char copy[1024], *rest = copy, *word, *value;

	*options = (struct device_options){
		.bdf = 0x0100, .root = "pcic0-bridge", .nvme = { .block = 512, .queues = 8 },
		.dart = {
			.policy = DART_HIGH, .seed = 1, .iova_bits = 47,
			.max_bytes = UINT64_C(1536) << 20, .max_entries = 65536,
		},
	};
	if (strlen(text) >= sizeof(copy)) {
		snprintf(why, why_size, "the device's options are too long");
		return false;
	}
	snprintf(copy, sizeof(copy), "%s", text);
	word = strsep(&rest, ",");
	if (!names_parse(&device_models, word, &options->model)) {
		snprintf(why, why_size, "there is no device '%s'; there are %s", word,
			 names_list(&device_models));
		return false;
	}
	while ((word = strsep(&rest, ",")) != NULL) {
		value = strchr(word, '=');
		if (!value) {
			snprintf(why, why_size, "'%s' is not KEY=VALUE", word);
			return false;
		}
		*value++ = '\0';
		if (!set(options, word, value, why, why_size))
			return false;
	}
	return true;
}

const char *options_help(void)
{
	return "  bdf=BB:DD.F             where the device is on the host; default 01:00.0\n"
	       "  root=NAME               of the PCI device at the root of its buses; default\n"
	       "                          pcic0-bridge\n"
	       "  interrupts=msix|msi|intx|none\n"
	       "                          which of them it has; default msix\n"
	       "  reset=flr|hot|none      flr (the default): of the function and of its bus; hot:\n"
	       "                          of its bus alone; none: resets fail\n"
	       "nvme alone:\n"
	       "  file=PATH               the disk; without it, memory\n"
	       "  size=BYTES              of the disk; default is the file's, or 64M\n"
	       "  block=512|4096          of the disk; default 512\n"
	       "  queues=N                most I/O queues; default 8\n"
	       "  hmb=BYTES               host memory buffer that it asks for; default none\n"
	       "  hmb-min=BYTES           least that it takes; default any\n"
	       "  sgl=on                  takes SGLs, too\n"
	       "dma-engine alone:\n"
	       "  hold=on                 a transfer stays open until a region is unregistered\n"
	       "the DART:\n"
	       "  iova=POLICY             high, random, fragmented, reuse, aligned, first-fit or\n"
	       "                          sequential\n"
	       "  seed=N                  makes the placement repeatable\n"
	       "  max-bytes=BYTES         default 1536M\n"
	       "  max-entries=N           default 65536\n"
	       "  max-segment=BYTES       longer maps come in several segments\n"
	       "  iova-bits=N             32 to 64, default 47\n"
	       "  panic-bytes=BYTES       a map past this would have taken a Mac down, and is noted\n"
	       "  panic-entries=N         the same for the regions of a client\n"
	       "the extension:\n"
	       "  cost=mac                each call takes as long as it may take on a Mac\n"
	       "  latency-us=N            each call takes that much longer\n"
	       "  lost-after=N            the device is pulled out after so many calls\n"
	       "  lie=NAME, lie-after=N   answers wrongly after so many right ones: no-output,\n"
	       "                          short-output, short-length, long-length,\n"
	       "                          zero-address, wrong-address, all-ones, bad-status\n"
	       "  busy=on                 another driver has the device\n";
}
