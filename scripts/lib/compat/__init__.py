# SPDX-License-Identifier: GPL-2.0
"""Stock devices with their stock drivers, run behind the DART: which of them work."""
