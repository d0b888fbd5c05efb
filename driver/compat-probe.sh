#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# compat-probe.sh OUTPUT COMPILER [FLAG...]: write compat-probed.h, one
# APPLE_DMA_HAVE_* for each interface that compiles against the kernel's
# headers. Called by Kbuild with the compiler and flags of the kernel build.

set -u

out=$1
shift
tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

compile() {
	"$@" -Wno-error -w -c -o "$tmp/probe.o" "$tmp/probe.c"
}

probe() {
	name=$1 code=$2
	shift 2
	{
		echo '#include <linux/module.h>'
		echo '#include <linux/dma-map-ops.h>'
		echo '#include <linux/dma-mapping.h>'
		printf '%s\n' "$code"
	} >"$tmp/probe.c"
	if compile "$@" >"$tmp/log" 2>&1; then
		echo "#define APPLE_DMA_HAVE_$name 1"
	else
		echo "/* no APPLE_DMA_HAVE_$name */"
	fi
}

# If the plainest file does not compile, every other answer would be a lie.
cat >"$tmp/probe.c" <<'C'
#include <linux/module.h>
#include <linux/dma-map-ops.h>
struct dma_map_ops apple_dma_probe;
C
if ! compile "$@" >"$tmp/log" 2>&1; then
	echo "apple_dma: the kernel's headers do not compile with this compiler:" >&2
	sed 's/^/  /' "$tmp/log" >&2
	exit 1
fi

{
	echo '/* SPDX-License-Identifier: GPL-2.0-only */'
	echo '/* Made by compat-probe.sh from the headers of the kernel built for. */'
	probe MAP_PHYS \
		'void *p(struct dma_map_ops *o) { return o->map_phys; }' "$@"
	probe ALLOC_PAGES_OP \
		'void *p(struct dma_map_ops *o) { return o->alloc_pages_op; }' "$@"
	probe USE_DMA_IOMMU \
		'#include <linux/iommu-dma.h>
		bool p(struct device *d) { return use_dma_iommu(d); }' "$@"
	probe REGION_OFFSET \
		'#include <linux/dma-direct.h>
		u64 p(struct bus_dma_region *r) { return r->offset; }' "$@"
	probe TLB_DEFPOOL \
		'#include <linux/swiotlb.h>
		phys_addr_t p(struct io_tlb_mem *m) { return m->defpool.start; }' "$@"
} >"$out.tmp" && mv "$out.tmp" "$out"
