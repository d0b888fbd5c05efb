# SPDX-License-Identifier: GPL-2.0
"""The doctor's check of the boot order that QEMU gives to the firmware."""

import re

from . import devices
from .checks import note, ok, skip
from .errors import NeedsRoot

FW_CFG = "/sys/firmware/qemu_fw_cfg"
DRIVEN = ("0x01", "0x0c03")     # classes that EDK2 has drivers for: disks, USB
CURE = ("give the system disk, which is not passed through, bootindex=0 in QEMU's command line;",
        "the passed-through device gets no bootindex")


def names(entry, address):
    """Whether an entry of the boot order is a device of bus 0, such as /pci@i0cf8/disk@1e,1."""
    domain_bus, _, place = address.rpartition(":")
    slot, function = (int(part, 16) for part in place.split("."))
    unit = f"{slot:x},{function:x}" if function else f"{slot:x}"
    return domain_bus == "0000:00" and bool(re.match(rf"/[^/]*/[^/@]*@{unit}(/|$)", entry))


def check_firmware(machine):
    """The firmware does not drive the device before Linux does."""
    driven = [d.managed for d in machine.managed
              if (devices.pci_text(machine.root, d.managed, "class") or "").startswith(DRIVEN)]
    if not machine.managed:
        return []
    if not machine.root.exists("/sys/firmware/efi"):
        return [ok("no EFI firmware here")]
    if not driven:
        return [ok("EFI; it has no driver for such a device")]
    if not machine.root.exists(FW_CFG):
        return [skip("the boot order is not seen: qemu_fw_cfg is not loaded",
                     "sudo modprobe qemu_fw_cfg, and sudo apple-dma doctor again")]
    try:
        data = machine.root.read_bytes(f"{FW_CFG}/by_name/bootorder/raw") or b""
    except NeedsRoot:
        return [skip("only root may read the boot order", "sudo apple-dma doctor")]
    order = [entry for entry in re.split(r"[\n\0]", data.decode("utf-8", "replace"))
             if entry not in ("", "HALT")]
    if not order:
        return [note(f"EFI, and QEMU has no boot order: the firmware's own driver may use {name} "
                     "before Linux, with DMA to addresses that the host did not map; that can "
                     "crash the Mac", *CURE) for name in driven]
    bad = [name for name in driven if any(names(entry, name) for entry in order)]
    return [note(f"EFI, and {name} is in QEMU's boot order: the firmware's own driver uses "
                 "it before Linux, with DMA to addresses that the host did not map", *CURE)
            for name in bad] or [
                     ok(f"EFI; QEMU's boot order begins with {order[0]}")]
