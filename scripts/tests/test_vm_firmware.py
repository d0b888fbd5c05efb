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
from conftest import TOP
from testbed import arch, device, kernel, qemu

FIRMWARE = "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd"
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
    def boot(system):
        wanted = kernel.find("6.1", arch.ARM64)
        image = os.path.join(kernel.prepare(wanted, arch.ARM64), "vmlinuz")
        folder = tmp_path / "esp" / "EFI" / "BOOT"
        folder.mkdir(parents=True)
        shutil.copyfile(image, folder / "BOOTAA64.EFI")
        with (tmp_path / "nvme.img").open("wb") as disk:
            disk.truncate(64 << 20)
        machine = argparse.Namespace(name="apple-dma-firmware", hotplug=False, icount=False, cpus=1)
        before = qemu.base(arch.ARM64, machine, 1 << 30) + ["-bios", FIRMWARE]
        after = ["-drive", f"file=fat:{qemu.escape(str(tmp_path / 'esp'))},if=none,id=system,"
                           "format=raw,read-only=on", "-device", f"{system},addr=5",
                 "-drive", f"file={qemu.escape(str(tmp_path / 'nvme.img'))},if=none,id=d0,format=raw"]
        after += qemu.wiring(["nvme,drive=d0,serial=a"],
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
@pytest.mark.parametrize("first", [True, False])
def test_firmware_leaves_the_device_alone_with_a_boot_order(boot, first):
    """With the system disk of mac.md's command the firmware uses no other disk. Without
    bootindex=0 its NVMe driver starts the controller, whose reads of guest-physical
    addresses are faults."""
    disk = system_disk()
    host = boot(disk if first else disk.replace(",bootindex=0", ""))
    assert host["enforced"] and host["doorbells"] == 0
    assert (host["faults"] == 0) == first
