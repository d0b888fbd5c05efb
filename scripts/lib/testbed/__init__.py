# SPDX-License-Identifier: GPL-2.0
"""The testbed: kernels, guest images and a VM behind the emulated DART."""
