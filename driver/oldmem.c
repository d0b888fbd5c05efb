// SPDX-License-Identifier: GPL-2.0-only
/*
 * The memory of a kernel that crashed.
 *
 * A crash kernel has a small part of the machine's memory, which its
 * predecessor did not use. So no registration of that kernel is in the way, and
 * none has a handle in RAM that this kernel knows. But they count against the
 * host's limits. The headers of /proc/vmcore say where the old kernel had
 * memory; what the boot loader passed is gone by the time a module loads.
 */

#include <linux/crash_dump.h>
#include <linux/elf.h>
#include <linux/fs.h>
#include <linux/slab.h>

#include "recover.h"

/* More pieces than any machine has. */
#define OLD_RANGES_MAX	1024

static bool oldmem_read_at(struct file *file, void *buf, size_t size, loff_t pos)
{
	return kernel_read(file, buf, size, &pos) == size;
}

static bool oldmem_is_vmcore(const Elf64_Ehdr *ehdr)
{
	return !memcmp(ehdr->e_ident, ELFMAG, SELFMAG) &&
	       ehdr->e_ident[EI_CLASS] == ELFCLASS64 &&
	       ehdr->e_phentsize == sizeof(Elf64_Phdr) &&
	       ehdr->e_phnum && ehdr->e_phnum <= OLD_RANGES_MAX;
}

static unsigned int oldmem_read_ranges(struct file *file, const Elf64_Ehdr *ehdr,
				       struct apple_dma_range *ranges)
{
	unsigned int i, n = 0;
	Elf64_Phdr phdr;

	for (i = 0; i < ehdr->e_phnum; i++) {
		if (!oldmem_read_at(file, &phdr, sizeof(phdr),
				    ehdr->e_phoff + i * sizeof(phdr)))
			break;
		if (phdr.p_type != PT_LOAD || !phdr.p_memsz ||
		    phdr.p_paddr > PHYS_ADDR_MAX - phdr.p_memsz)
			continue;
		ranges[n].phys = phdr.p_paddr;
		ranges[n].size = phdr.p_memsz;
		n++;
	}
	return n;
}

/**
 * apple_dma_oldmem_init() - learn where a kernel that crashed had memory
 * @e: an initialised engine
 *
 * Does nothing in a kernel that was booted in another way. Without the ranges,
 * registrations of the old kernel stay on the host.
 *
 * Context: may sleep; reads the /proc of the process that loads the module.
 */
void apple_dma_oldmem_init(struct apple_dma_engine *e)
{
	struct file *file;
	Elf64_Ehdr ehdr;

	if (!is_kdump_kernel())
		return;
	file = filp_open("/proc/vmcore", O_RDONLY, 0);
	if (IS_ERR(file)) {
		dev_warn(e->dev, "cannot read where the crashed kernel had memory: %ld; what it registered stays on the host\n",
			 PTR_ERR(file));
		return;
	}
	if (oldmem_read_at(file, &ehdr, sizeof(ehdr), 0) &&
	    oldmem_is_vmcore(&ehdr))
		e->old = kmalloc_array(ehdr.e_phnum, sizeof(*e->old),
				       GFP_KERNEL);
	if (e->old)
		e->old_n = oldmem_read_ranges(file, &ehdr, e->old);
	filp_close(file, NULL);
}
