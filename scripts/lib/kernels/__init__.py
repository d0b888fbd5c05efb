# SPDX-License-Identifier: GPL-2.0
"""The matrix of kernels: built, checked with sparse, booted."""
