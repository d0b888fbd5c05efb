# SPDX-License-Identifier: GPL-2.0
#
# compat.mk - for each Kbuild that compiles files of this folder. It says in
#   apple-dma-driver   where the folder is, relative to the Kbuild
#   apple-dma-objs     which objects use its headers
# and adds to ccflags-y.

ccflags-y += -I$(src)/$(apple-dma-driver)/../include/uapi \
	-I$(src)/$(apple-dma-driver) -I$(obj)/$(apple-dma-driver)

# What the kernel's headers have is found out by compiling, once a build.
$(addprefix $(obj)/,$(apple-dma-objs)): $(obj)/$(apple-dma-driver)/compat-probed.h
$(obj)/$(apple-dma-driver)/compat-probed.h: $(src)/$(apple-dma-driver)/compat-probe.sh FORCE
	$(call if_changed,apple_dma_probe)

quiet_cmd_apple_dma_probe = PROBE   $@
      cmd_apple_dma_probe = $(CONFIG_SHELL) $(src)/$(apple-dma-driver)/compat-probe.sh $@ \
	$(CC) $(NOSTDINC_FLAGS) $(LINUXINCLUDE) \
	-include $(srctree)/include/linux/compiler_types.h \
	$(KBUILD_CPPFLAGS) $(KBUILD_CFLAGS) $(KBUILD_CFLAGS_MODULE)

targets += $(apple-dma-driver)/compat-probed.h
clean-files := $(apple-dma-driver)/compat-probed.h
