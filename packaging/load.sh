#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# In the initramfs: load apple_dma before udev, which loads the drivers of what is
# passed through. A script of init-top for initramfs-tools, which sorts by name those
# that name no other, as udev's and this one; a pre-udev hook for dracut, which reads
# it into its own shell: nothing here may exit.

if [ "${1:-}" != prereqs ] && ! modprobe -q apple_dma; then
	for file in /sys/bus/pci/devices/*/modalias; do
		[ -e "$file" ] || continue
		read -r alias <"$file" || alias=
		case $alias in
		pci:v00001B36d00000015*)
			echo 'apple-dma: apple_dma could not be loaded;' \
				'what is passed through cannot do DMA' >&2
			break
			;;
		esac
	done
fi
