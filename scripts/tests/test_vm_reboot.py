# SPDX-License-Identifier: GPL-2.0
"""Several kernels in the same QEMU: what each leaves on the host.

The host forgets nothing. An orderly end leaves nothing on it. After any other end the
next kernel meets one leftover registration, and then searches for all.
"""

import re

import pytest

from conftest import NVME, TOP

BOOTS = 6

KEXEC = "--initrd=/boot/initrd.img --reuse-cmdline"
ENDS = {
    "reboot": "reboot -f",
    "kexec": f"kexec -l /boot/vmlinuz {KEXEC}; kexec -e",
    "reset": "host-ask reset",
    "panic": "echo 1 >/proc/sys/kernel/panic; echo c >/proc/sysrq-trigger",
}
CRASH = f"""kexec -p /boot/vmlinuz {KEXEC} --append='nr_cpus=1 reset_devices'
echo c >/proc/sysrq-trigger"""

SETTLE = r"""
# Buffers all over the memory, so that each kernel has what the last one had.
spread() { dd if=/dev/nvme0n1 of=/dev/null bs=1M status=none; }
state() { echo "state $BOOT $1 $(host live) $(counter mapped_entries) $(counter recovered)"; }
"""


def states(run):
    """What the guests printed: (boot, what, live, own, recovered)."""
    return [(int(boot), what, *(int(number) for number in rest.split())) for boot, what, rest in
            re.findall(r"^state (\d+) (\w+) (\d+ \d+ \d+)$", run.out, re.M)]


@pytest.mark.full
@pytest.mark.parametrize("arch, end", [
    *(("x86_64", end) for end in ENDS),
    *(pytest.param("arm64", end, marks=pytest.mark.arm64) for end in ("kexec", "reset"))])
def test_five_reboots_under_io(testbed, disk, arch, end):
    """Data is right in each boot, and the host has no more than after the first.

    A GICv3 keeps using the tables of the last kernel; a GICv2 has none.
    """
    drive, _ = disk()
    run = testbed(SETTLE + rf"""
await_disk
[ "$BOOT" = 1 ] || kept
spread
await counts_same_now mapped_entries live
state settled
keep
if [ "$BOOT" -lt {BOOTS} ]; then
	start_load
	{ENDS[end]}
	sleep 60
	fail "still there"
fi
counters
""", arch=arch, qemu=[drive] + ["-machine gic-version=2"] * (arch == "arm64"), devices=NVME,
                  host=["iova=random"], reboots=BOOTS - 1, timeout=1500)
    found = states(run)
    assert [boot for boot, *_ in found] == list(range(1, BOOTS + 1))
    assert found[0][4] == 0
    for _, _, live, own, recovered in found[1:]:
        assert live == own
        assert (recovered == 0) is (end in ("reboot", "kexec"))
    assert (run.companion()["duplicate_handles"] == 0) is (end in ("reboot", "kexec"))
    assert run.companion()["live"] == run.companion()["faults"] == 0
    assert run.value("map_failures") == 0


@pytest.mark.full
def test_crash_kernel_and_back(testbed, disk):
    """The crash kernel has other memory, so the kernel after it finds the leftovers."""
    drive, _ = disk()
    run = testbed(SETTLE + rf"""
await_disk
[ "$BOOT" = 1 ] || kept
if [ -e /proc/vmcore ]; then
	verify crash --size=2m
	state crash
	reboot -f
	sleep 60
fi
spread
await counts_same_now mapped_entries live
state settled
keep
if [ "$BOOT" -lt 5 ]; then
	start_load
	{CRASH}
	sleep 60
	fail "still there"
fi
counters
""", qemu=[drive], devices=NVME, host=["iova=random"], reboots=4, timeout=1500,
                  append="crashkernel=320M")
    found = states(run)
    assert [what for _, what, *_ in found] == ["settled", "crash"] * 2 + ["settled"]
    for _, what, live, own, recovered in found[1:]:
        assert (live == own) is (what == "settled")
        assert (recovered == 0) is (what == "crash")
    assert run.companion()["live"] == run.companion()["faults"] == 0
    assert run.value("map_failures") == 0


@pytest.mark.parametrize("end", [
    "crash", pytest.param("reset", marks=pytest.mark.full)])
def test_full_host_is_no_reason_to_have_no_disk(testbed, disk, build_module, end):
    """The last kernel left 250 registrations, of 252 that the host has room for.

    Those of a crashed kernel are for memory that the crash kernel does not have. The disk's
    driver meets the refusal in an allocation that may sleep, so it waits for the search.
    """
    drive, _ = disk()
    probe = build_module(src=TOP / "scripts/tests/probe")
    run = testbed(SETTLE + rf"""
if [ "$BOOT" = 1 ]; then
	await_disk
	keep
	unbind "$managed"
	await clean
	override "$managed" apple_dma_probe
	insmod /root/probe.ko streaming=250
	[ "$(host live)" = 250 ] || fail "not full: $(host live)"
	{CRASH if end == "crash" else "echo b >/proc/sysrq-trigger"}
	sleep 60
	fail "still there"
fi
await_disk
kept
verify again
await counts_same_now mapped_entries live
state settled
counters
""", qemu=[drive], devices=NVME, host=["max-entries=252"], module="mode=strict", reboots=1,
                  push=[f"{probe}:/root/probe.ko"], append="crashkernel=320M")
    assert [(boot, what) for boot, what, *_ in states(run)] == [(2, "settled")]
    assert run.value("recovered") == 250
    assert run.companion()["live"] == run.companion()["faults"] == 0
    assert "released 250 registrations of an earlier kernel" in run.console or end == "reset"
