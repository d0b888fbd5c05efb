# SPDX-License-Identifier: GPL-2.0
"""The suites of kunit/, and where they run; scripts/kunit."""
