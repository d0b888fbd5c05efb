// SPDX-License-Identifier: GPL-2.0-only
/*
 * driver/oldmem.c: where a kernel that crashed had memory, from the headers of
 * /proc/vmcore.
 */

#include <linux/elf.h>
#include <linux/string.h>

#define APPLE_DMA_SEAM_ITSELF
#include "seam.h"
#include "fixture.h"
#include "suites.h"

#define PIECES	5

/* The headers. Those of the pieces do not directly follow the first one. */
struct vmcore {
	Elf64_Ehdr ehdr;
	char gap[40];
	Elf64_Phdr phdr[PIECES];
};

/* Two pieces of memory, and headers of other things. */
static struct vmcore *make_vmcore(struct fixture *f)
{
	static const Elf64_Phdr pieces[PIECES] = {
		{ .p_type = PT_NOTE, .p_paddr = MIB, .p_memsz = PAGE },
		{ .p_type = PT_LOAD, .p_paddr = FAKE_RAM, .p_memsz = 3 * MIB },
		{ .p_type = PT_LOAD, .p_paddr = FAKE_RAM + GIB },
		{ .p_type = PT_LOAD, .p_paddr = U64_MAX - PAGE,
		  .p_memsz = 2 * PAGE },
		{ .p_type = PT_LOAD, .p_paddr = FAKE_RAM + 2 * GIB,
		  .p_memsz = 5 * PAGE },
	};
	struct vmcore *core = fixture_memory(f, sizeof(*core));

	memcpy(core->ehdr.e_ident, ELFMAG, SELFMAG);
	core->ehdr.e_ident[EI_CLASS] = ELFCLASS64;
	core->ehdr.e_phoff = offsetof(struct vmcore, phdr);
	core->ehdr.e_phentsize = sizeof(Elf64_Phdr);
	core->ehdr.e_phnum = PIECES;
	memcpy(core->phdr, pieces, sizeof(pieces));
	return core;
}

/* Read the first @size bytes. Returns how many pieces of memory were found. */
static unsigned int read_vmcore(struct fixture *f, const struct vmcore *core,
				size_t size)
{
	const struct seam_vmcore vmcore = { .data = core, .size = size };

	seam_gone(f->e->old);
	kfree(f->e->old);
	f->e->old = NULL;
	f->e->old_n = 0;
	seam_vmcore = &vmcore;
	apple_dma_oldmem_init(f->e);
	seam_vmcore = NULL;
	return f->e->old_n;
}

/* Memory: it is PT_LOAD, has bytes, and ends below the last address. */
static void memory_of_the_crashed_kernel_is_known(struct kunit *test)
{
	struct fixture *f = fixture_open(test);

	CHECK_EQ(test, read_vmcore(f, make_vmcore(f), sizeof(struct vmcore)), 2);
	CHECK_EQ(test, f->e->old[0].phys, FAKE_RAM);
	CHECK_EQ(test, f->e->old[0].size, 3 * MIB);
	CHECK_EQ(test, f->e->old[1].phys, FAKE_RAM + 2 * GIB);
	CHECK_EQ(test, f->e->old[1].size, 5 * PAGE);
}

/* A missing header counts as no memory. */
static void short_vmcore_has_less(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	struct vmcore *core = make_vmcore(f);

	CHECK_EQ(test, read_vmcore(f, core, sizeof(*core) - 1), 1);
	CHECK_EQ(test, f->e->old[0].size, 3 * MIB);
	CHECK_EQ(test, read_vmcore(f, core, sizeof(core->ehdr)), 0);
	CHECK_EQ(test, read_vmcore(f, core, sizeof(core->ehdr) - 1), 0);
	CHECK(test, !f->e->old);
	CHECK_EQ(test, read_vmcore(f, core, 0), 0);
}

static void what_is_no_vmcore_is_ignored(struct kunit *test)
{
	struct fixture *f = fixture_open(test);
	struct vmcore *core = make_vmcore(f);
	const Elf64_Ehdr good = core->ehdr;
	unsigned int i;

	for (i = 0; i < 5; i++) {
		core->ehdr = good;
		switch (i) {
		case 0:
			core->ehdr.e_ident[EI_MAG3] = 'f';
			break;
		case 1:
			core->ehdr.e_ident[EI_CLASS] = ELFCLASS32;
			break;
		case 2:
			core->ehdr.e_phentsize = sizeof(Elf32_Phdr);
			break;
		case 3:
			core->ehdr.e_phnum = 0;
			break;
		case 4:
			core->ehdr.e_phnum = PN_XNUM;
			break;
		}
		CHECK_EQ(test, read_vmcore(f, core, sizeof(*core)), 0);
		CHECK(test, !f->e->old);
	}
}

/* The module works without it. */
static void vmcore_that_cannot_be_opened(struct kunit *test)
{
	const struct seam_vmcore vmcore = { .err = -EACCES };
	struct fixture *f = fixture_open(test);

	seam_vmcore = &vmcore;
	apple_dma_oldmem_init(f->e);
	seam_vmcore = NULL;
	CHECK(test, !f->e->old);
	fixture_touch(f, 0);
}

static void no_kernel_has_crashed(struct kunit *test)
{
	struct fixture *f = fixture_open(test);

	apple_dma_oldmem_init(f->e);
	CHECK(test, !f->e->old);
}

static struct kunit_case oldmem_cases[] = {
	KUNIT_CASE(memory_of_the_crashed_kernel_is_known),
	KUNIT_CASE(short_vmcore_has_less),
	KUNIT_CASE(what_is_no_vmcore_is_ignored),
	KUNIT_CASE(vmcore_that_cannot_be_opened),
	KUNIT_CASE(no_kernel_has_crashed),
	{ }
};

struct kunit_suite oldmem_suite = {
	.name = "apple_dma_oldmem",
	.exit = fixture_close,
	.test_cases = oldmem_cases,
};
