#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Put apple_dma into the initramfs, and load it before any device's driver.

# A kernel for which it was not built is packed without it.
check() {
	modinfo -k "${kernel:?}" -F filename apple_dma >/dev/null 2>&1
}

depends() {
	return 0
}

# Wanted whether or not it is loaded while the initramfs is made.
installkernel() {
	hostonly='' instmods apple_dma
}

install() {
	inst_hook pre-udev 30 "${moddir:?}/load.sh"
}
