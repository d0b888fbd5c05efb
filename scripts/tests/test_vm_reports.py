# SPDX-License-Identifier: GPL-2.0
"""Runs that fail though the command ends with 0: a kernel report, and late faults."""

import pytest

from conftest import EXIT_DART_FAULT, EXIT_KERNEL_REPORT, TOP

SOURCE = TOP / "scripts" / "tests" / "reports"

# What the module does, and what the kernel says of it, in this order.
MISTAKES = {
    "slab": ["BUG apple_dma_reports (", "FIX apple_dma_reports: "],
    "duplicate": ["sysfs: cannot create duplicate filename '/kernel/apple_dma_reports'",
                  "kobject_add_internal failed for apple_dma_reports with -EEXIST"],
    "divide": ["divide error: 0000 [#1] "],
    "call": ["CFI failure at "],
}

# Only the kernel of clang looks at the type of what is called.
CASES = [pytest.param(mistake, "clang", marks=pytest.mark.full) if mistake == "call" else
         (mistake, "6.1") for mistake in MISTAKES]


@pytest.mark.parametrize("mistake, kernel", CASES)
def test_report_of_the_kernel_fails_the_run(testbed, build_module, mistake, kernel):
    """Though the command ends with 0."""
    run = testbed(f"insmod /root/reports.ko make={mistake} || true", no_module=True,
                  append="slub_debug=FZPU,apple_dma_reports", expect=EXIT_KERNEL_REPORT,
                  kernel=kernel, push=[f"{build_module(kernel, src=SOURCE)}:/root/reports.ko"])
    said = [line.partition(": kernel report: ")[2] for line in run.err.splitlines()]
    said = [line for line in said if line]
    for line, start in zip(said, MISTAKES[mistake]):
        assert start in line, said


def test_faults_after_its_companion_was_pulled_fail_the_run(testbed, disk):
    """The disk works until its driver is gone; the DART still counts."""
    drive, _ = disk()
    run = testbed(r"""
fio --name=r --filename=/dev/nvme0n1 --direct=1 --rw=randread --bs=16k --iodepth=16 \
	--ioengine=libaio --time_based --runtime=600 >/dev/null 2>&1 &
while [ "$(awk '{ print $1 }' /sys/block/nvme0n1/stat)" -lt 200 ]; do sleep 0.1; done
[ "$(host faults)" = 0 ] || fail "faults before it was pulled"
host-ask pull companion0
for i in $(seq 600); do [ -e /sys/block/nvme0n1 ] || break; sleep 0.1; done
[ ! -e /sys/block/nvme0n1 ] || fail "the disk has its driver"
host-stats
""", qemu=[drive], devices=["nvme,drive=d0,serial=a"], hotplug=True, expect=EXIT_DART_FAULT,
                  append="nvme_core.admin_timeout=2 nvme_core.io_timeout=5")
    now, = run.json_lines()[0]
    assert now["gone"] and now["faults"] > 0
    assert run.companion()["gone"] and run.companion()["faults"] >= now["faults"]
