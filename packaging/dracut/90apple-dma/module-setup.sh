#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Put apple_dma into the initramfs, and load it before any device's driver.

check() {
	return 0
}

depends() {
	return 0
}

# Install it even if it is not loaded while the initramfs is made.
installkernel() {
	if modinfo -k "${kernel:?}" -F filename apple_dma >/dev/null 2>&1; then
		hostonly='' instmods apple_dma
	else
		/usr/lib/apple-dma/can-boot "$kernel" || true
	fi
}

install() {
	inst_hook pre-udev 30 "${moddir:?}/load.sh"
}
