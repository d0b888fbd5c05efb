# SPDX-License-Identifier: GPL-2.0
"""A kernel that reports a problem: the testbed says which, and fails."""

import pytest

from conftest import EXIT_KERNEL_REPORT, TOP

SOURCE = TOP / "scripts" / "tests" / "reports"

# What the module does, and what the kernel says of it, in this order.
MISTAKES = {
    "slab": ["BUG apple_dma_reports (", "FIX apple_dma_reports: "],
    "duplicate": ["sysfs: cannot create duplicate filename '/kernel/apple_dma_reports'",
                  "kobject_add_internal failed for apple_dma_reports with -EEXIST"],
    "divide": ["divide error: 0000 [#1] "],
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_report_of_the_kernel_fails_the_run(testbed, build_module, mistake):
    """Though the command itself ends well."""
    run = testbed(f"insmod /root/reports.ko make={mistake} || true", no_module=True,
                  append="slub_debug=FZPU,apple_dma_reports", expect=EXIT_KERNEL_REPORT,
                  push=[f"{build_module(src=SOURCE)}:/root/reports.ko"])
    said = [line.partition(": kernel report: ")[2] for line in run.err.splitlines()]
    said = [line for line in said if line]
    for line, start in zip(said, MISTAKES[mistake]):
        assert start in line, said
