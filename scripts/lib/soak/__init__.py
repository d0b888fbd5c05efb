# SPDX-License-Identifier: GPL-2.0
"""A random mixture of everything that may happen to a guest, with verified data."""
