#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
#
# Before udev starts, and with it the drivers of what is passed through.

modprobe -q apple_dma || echo 'apple-dma: apple_dma could not be loaded' >&2
