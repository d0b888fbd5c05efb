# SPDX-License-Identifier: GPL-2.0
"""The benchmark: guests with one IOMMU or another, measured side by side."""
