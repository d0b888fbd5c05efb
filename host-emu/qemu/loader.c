// SPDX-License-Identifier: GPL-2.0
/*
 * The object that LD_PRELOAD names. It uses no symbol of QEMU, so that it loads
 * into any program. In the QEMU that it was built for it loads the devices from
 * the file beside it. In any other QEMU it reports that and exits, before it
 * touches a structure whose layout it does not know.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As QEMU answers query-version; the same in every series since 2.x. */
struct version_triple {
	int64_t major;
	int64_t minor;
	int64_t micro;
};

struct version_info {
	struct version_triple *qemu;
	char *package;
};

typedef struct version_info *query_version_fn(void **errp);

/* Not static: the string must stay in the file as it is. */
const char apple_dma_built_for[] = APPLE_DMA_QEMU_VERSION;

/*
 * Called after QEMU has given memory back to the host; the devices set it. This
 * object is searched before libc, so it can wrap its calls; the devices cannot.
 */
__attribute__((visibility("default")))
void (*apple_dma_discarded)(uintptr_t address, size_t size);

__attribute__((visibility("default")))
int madvise(void *address, size_t size, int advice)
{
	const int ret = (int)syscall(SYS_madvise, address, size, advice);

	if (!ret && advice == MADV_DONTNEED && apple_dma_discarded)
		apple_dma_discarded((uintptr_t)address, size);
	return ret;
}

__attribute__((noreturn, format(printf, 1, 2)))
static void refuse(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("apple-dma-qemu: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	fflush(stderr);
	_exit(1);
}

/* A binary-only rebuild ("+bN" at the end) has the same source. */
static void strip_rebuild(char *package)
{
	char *plus = strrchr(package, '+');

	if (plus && plus[1] == 'b' && plus[2] &&
	    plus[2 + strspn(plus + 2, "0123456789")] == '\0')
		*plus = '\0';
}

__attribute__((constructor))
static void load(void)
{
	char running[256], path[4096], *slash;
	query_version_fn *query;
	struct version_info *info;
	Dl_info self;

	query = (query_version_fn *)dlsym(RTLD_DEFAULT, "qmp_query_version");
	if (!query)
		return;
	info = query(NULL);
	strip_rebuild(info->package);
	snprintf(running, sizeof(running), "%lld.%lld.%lld (%s)", (long long)info->qemu->major,
		 (long long)info->qemu->minor, (long long)info->qemu->micro, info->package);
	if (strcmp(running, apple_dma_built_for))
		refuse("built for QEMU %s, but this is QEMU %s: build it for this one "
		       "(make -C host-emu shim QEMU=...)", apple_dma_built_for, running);

	if (!dladdr(apple_dma_built_for, &self) || !realpath(self.dli_fname, path))
		refuse("cannot find its own path");
	slash = strrchr(path, '/');
	if ((size_t)(slash - path) + sizeof("/" APPLE_DMA_DEVICES) > sizeof(path))
		refuse("its path is too long: %s", path);
	memcpy(slash, "/" APPLE_DMA_DEVICES, sizeof("/" APPLE_DMA_DEVICES));
	if (!dlopen(path, RTLD_NOW | RTLD_LOCAL))
		refuse("%s", dlerror());
}
