# SPDX-License-Identifier: GPL-2.0
"""The stock PCI devices QEMU offers, and --device arguments."""

import re

from . import cache
from .errors import UsageError, allowed

# Models that are known to work behind the DART with Debian's drivers.
KNOWN_GOOD = ("nvme", "ich9-ahci", "e1000e", "qemu-xhci", "virtio-blk-pci", "virtio-net-pci",
              "virtio-scsi-pci", "virtio-gpu-pci", "megasas", "vmxnet3", "rtl8139", "edu")

MAX_DEVICES = 14
# Useless behind a port, or a part of the machine.
_UNUSABLE = re.compile(r"root-port|bridge|iommu|^vfio|-host$|^ivshmem|^apple-")


class Models:
    """What a QEMU lists with -device help."""

    def __init__(self, arch):
        machine = arch.machine[:2]
        text = cache.run([cache.tool(arch.qemu), *machine, "-device", "help"],
                         "asking QEMU for its devices")
        self.pci, self.other, self._alias = {}, set(), {}
        for match in re.finditer(r'^name "([^"]+)"(.*)$', text, re.MULTILINE):
            name, rest = match.groups()
            alias = re.search(r'alias "([^"]+)"', rest)
            about = re.search(r'desc "([^"]+)"', rest)
            if "bus PCI" not in rest or _UNUSABLE.search(name):
                self.other.add(name)
                continue
            self.pci[name] = about.group(1) if about else ""
            if alias:
                self._alias[alias.group(1)] = name

    def find(self, name):
        """The model's full name; raises UsageError for what is not a PCI model."""
        full = self._alias.get(name, name)
        if full in self.pci:
            return full
        if full in self.other:
            raise UsageError(f"'{name}' is not a PCI device that can stand behind a DART; give "
                             f"it to QEMU with --qemu '-device {name},...'")
        raise allowed("device", name, [n for n in KNOWN_GOOD if n in self.pci] +
                      ["and what 'scripts/testbed devices' lists"])

    def listed(self):
        """(name, description, known good) for each, the known good ones first."""
        good = [name for name in KNOWN_GOOD if name in self.pci]
        rest = sorted(set(self.pci) - set(good))
        return [(name, self.pci[name], name in good) for name in good + rest]


def arguments(spec, number, models):
    """The -device argument for SPEC, the device NUMBER behind its own port."""
    words = spec.replace(",,", "\0").split(",")
    if not words[0]:
        raise UsageError("--device needs the name of a QEMU device, such as nvme,drive=d0")
    model = models.find(words[0])
    keys = {word.split("=")[0] for word in words[1:]}
    for key in ("bus", "addr", "multifunction"):
        if key in keys:
            raise UsageError(f"--device {spec}: '{key}' is the testbed's to choose; leave it out")
    words[0] = model
    words.append(f"bus=rp{number}")
    if model.startswith("virtio-"):
        words += [f"{key}=on" for key in ("iommu_platform", "disable-legacy")
                  if key not in keys]
    if "romfile" not in keys:
        words.append("romfile=")
    return ",".join(words).replace("\0", ",,")
