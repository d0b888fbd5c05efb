# SPDX-License-Identifier: GPL-2.0
"""EDK2, the firmware of guests on a Mac: what its own drivers do to a device before Linux
starts. The DART enforces from the first instruction on."""

import argparse
import json
import os
import shlex
import shutil
import time

import pytest

import docs
from conftest import NVME, TOP
from testbed import arch, device, kernel, qemu

DEADLINE = 300          # seconds until the kernel's first line, on a busy machine


def command_of_mac():
    """The words of QEMU's command line in mac.md."""
    lines = [line for block in docs.blocks(TOP) if block.file.endswith("/mac.md")
             for line in block.commands() if line.startswith("qemu-system-aarch64 ")]
    assert len(lines) == 1
    return shlex.split(lines[0])


def system_disk():
    """Its -device, as mac.md has it."""
    words = command_of_mac()
    first = [value for option, value in zip(words, words[1:])
             if option == "-device" and "bootindex=0" in value.split(",")]
    assert len(first) == 1, "mac.md: which disk does the firmware boot from?"
    return first[0]


@pytest.fixture(name="boot")
def fixture_boot(tmp_path):
    """Boot a machine with a system disk and an NVMe disk behind the DART; what the host has
    counted when the kernel has printed its first line."""
    def boot(system, passed):
        wanted = kernel.find("6.1", arch.ARM64)
        image = os.path.join(kernel.prepare(wanted, arch.ARM64), "vmlinuz")
        folder = tmp_path / "esp" / "EFI" / "BOOT"
        folder.mkdir(parents=True)
        shutil.copyfile(image, folder / "BOOTAA64.EFI")
        with (tmp_path / "nvme.img").open("wb") as disk:
            disk.truncate(64 << 20)
        machine = argparse.Namespace(name="apple-dma-firmware", hotplug=False, icount=False, cpus=1)
        before = qemu.base(arch.ARM64, machine, 1 << 30) + ["-bios", arch.ARM64.firmware]
        after = ["-drive", f"file=fat:{qemu.escape(str(tmp_path / 'esp'))},if=none,id=system,"
                           "format=raw,read-only=on", "-device", f"{system},addr=5",
                 "-drive", f"file={qemu.escape(str(tmp_path / 'nvme.img'))},if=none,id=d0,format=raw"]
        after += qemu.wiring(["nvme,drive=d0,serial=a" + passed],
                             [{"dart": {"enforce": "on"}, "companion": {}}],
                             device.Models(arch.ARM64), str(tmp_path))
        vm = qemu.Qemu(before, after, str(tmp_path), {"LD_PRELOAD": qemu.shim(arch.ARM64)})
        try:
            vm.qmp.greet()
            end = time.monotonic() + DEADLINE
            while "Linux version " not in (said := console(vm)):
                assert vm.ended() is None and time.monotonic() < end, (said, vm.stderr())
                time.sleep(0.2)
            return json.loads(vm.qmp.get("companion0", "stats"))
        finally:
            vm.close()
    return boot


def console(vm):
    """The output of the machine."""
    if not os.path.exists(vm.console):
        return ""
    with open(vm.console, encoding="utf-8", errors="replace") as file:
        return file.read()


@pytest.mark.arm64
@pytest.mark.parametrize("first,passed,faults", [
    (True, "", False),
    (False, "", True),
    pytest.param(False, ",rombar=0", True, marks=pytest.mark.full),
    pytest.param(True, ",bootindex=1", True, marks=pytest.mark.full),
])
def test_firmware_leaves_the_device_alone_with_a_boot_order(boot, first, passed, faults):
    """With the system disk of mac.md's command the firmware uses no other disk. Without
    bootindex=0, or if the device is in the order, too, its NVMe driver starts the controller,
    whose reads of guest-physical addresses are faults. No ROM is needed for that."""
    disk = system_disk()
    host = boot(disk if first else disk.replace(",bootindex=0", ""), passed)
    assert host["enforced"] and host["doorbells"] == 0
    assert (host["faults"] > 0) == faults


@pytest.mark.arm64
def test_guest_with_acpi(testbed, disk):
    """EDK2 starts the kernel that QEMU has for it, before it looks at any disk. The guest has ACPI,
    not a device tree, and its NVMe disk behind the DART works."""
    drive, _ = disk()
    run = testbed(r"""
test -d /sys/firmware/efi && test -e /sys/firmware/acpi/tables/DSDT || fail "no EFI, or no ACPI"
dmesg | grep -i 'apple_dma\|nvme'
verify acpi
""", arch="arm64", qemu=[drive, f"-bios {arch.ARM64.firmware}"], devices=NVME, host=["enforce=on"])
    host = run.companion()
    assert host["enforced"] and host["map_entries"] > 0 and host["live"] == host["faults"] == 0
