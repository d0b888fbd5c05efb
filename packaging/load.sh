#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# In the initramfs: load apple_dma before udev loads the drivers of passed-through
# devices. It is an init-top script for initramfs-tools, which runs scripts without
# prereqs, as this one and udev's, in order of their names. It is a pre-udev hook for
# dracut, which sources it into its own shell: nothing here may exit.

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
