# SPDX-License-Identifier: GPL-2.0
#
# parts.mk - for each Kbuild that compiles the suites. Before it, there has to be
#   apple-dma-driver   where driver/ is, relative to the Kbuild
#   apple-dma-kunit    where this folder is
# and from it comes
#   apple-dma-pure     objects of the driver that need no device, and their suites

apple-dma-tested := $(addprefix $(apple-dma-driver)/, engine.o counters.o \
	budget.o map.o index.o window.o shape.o place.o runs.o align.o cover.o idle.o ram.o recover.o oldmem.o arena.o debugfs.o \
	transport.o work.o)

apple-dma-pure := $(apple-dma-tested) $(apple-dma-driver)/trace.o \
	$(addprefix $(apple-dma-kunit)/, suites.o seam.o fake-host.o \
	fake-companion.o fixture.o line.o \
	wire_test.o transport_test.o index_test.o window_test.o shape_test.o runs_test.o \
	align_test.o idle_test.o budget_test.o map_test.o engine_test.o ram_test.o \
	recover_test.o oldmem_test.o arena_test.o \
	debugfs_test.o fail_test.o)

ccflags-y += -I$(src)/$(apple-dma-kunit)

# The driver's files see seam.h first.
define apple-dma-seam
CFLAGS_$(1) := -include $$(src)/$$(apple-dma-kunit)/seam.h
endef
$(foreach part,$(apple-dma-tested),$(eval $(call apple-dma-seam,$(part))))
