// SPDX-License-Identifier: GPL-2.0-only
/*
 * Makes a mistake on purpose, which the kernel reports:
 *
 *	insmod reports.ko make=slab
 *
 * For scripts/tests/test_vm_reports.py. `slab` needs slub_debug=FZPU.
 */

#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>

#define CACHE	"apple_dma_reports"

static char *make = "";
module_param(make, charp, 0);

/*
 * A write after free, found when the object is given out again. The cache stays:
 * SLUB keeps the object, and to destroy the cache would be a second report.
 */
static int make_slab(void)
{
	struct kmem_cache *cache = kmem_cache_create(CACHE, 64, 0, SLAB_POISON, NULL);
	char *object;

	if (!cache)
		return -ENOMEM;
	object = kmem_cache_alloc(cache, GFP_KERNEL);
	kmem_cache_free(cache, object);
	OPTIMIZER_HIDE_VAR(object);
	object[16] = 1;
	kmem_cache_free(cache, kmem_cache_alloc(cache, GFP_KERNEL));
	return 0;
}

/* The same name twice in one folder of sysfs. */
static int make_duplicate(void)
{
	struct kobject *one = kobject_create_and_add(CACHE, kernel_kobj);
	struct kobject *two = kobject_create_and_add(CACHE, kernel_kobj);

	kobject_put(two);
	kobject_put(one);
	return 0;
}

/* A trap; whoever loads the module dies of it. */
static int make_divide(void)
{
	asm volatile("xor %%edx, %%edx; xor %%ecx, %%ecx; div %%ecx"
		     : : : "eax", "ecx", "edx", "cc");
	return 0;
}

static noinline int called(int number)
{
	return number;
}

/* A call through a pointer of another type, which kCFI refuses. */
static int make_call(void)
{
	long (*wrong)(void *pointer) = (void *)called;

	OPTIMIZER_HIDE_VAR(wrong);
	return wrong(NULL) ? -EINVAL : 0;
}

static int __init apple_dma_reports_init(void)
{
	if (!strcmp(make, "slab"))
		return make_slab();
	if (!strcmp(make, "duplicate"))
		return make_duplicate();
	if (!strcmp(make, "divide"))
		return make_divide();
	if (!strcmp(make, "call"))
		return make_call();
	return -EINVAL;
}
module_init(apple_dma_reports_init);

static void __exit apple_dma_reports_exit(void)
{
}
module_exit(apple_dma_reports_exit);

MODULE_DESCRIPTION("Mistakes that the kernel reports");
MODULE_LICENSE("GPL");
