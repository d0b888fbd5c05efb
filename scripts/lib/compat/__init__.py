# SPDX-License-Identifier: GPL-2.0
"""Stock devices with their stock drivers behind the DART: what works, by running it."""
