# SPDX-License-Identifier: GPL-2.0
"""Companions and the devices they manage, as sysfs has them."""

import re
import time
from dataclasses import dataclass, field
from typing import Optional

from . import COMPANION_ID, DRIVER, units
from .errors import NeedsRoot

PCI = "/sys/bus/pci"
DEVICES = f"{PCI}/devices"
GROUP = "apple_dma"
MODULE = f"/sys/module/{DRIVER}"

FOREIGN = f"another project's module named {DRIVER} has the companion"

# Every file of the group that has a number; an older module lacks some.
COUNTERS = (
    "guest_bytes", "mapped_bytes", "mapped_entries", "live_bytes", "live_mappings", "idle_bytes",
    "idle_entries", "peak_bytes", "peak_entries", "limit_bytes", "limit_entries",
    "learned_bytes", "learned_entries", "window_bytes", "doorbells", "batches", "requests",
    "doorbell_ns_min", "doorbell_ns_mean", "doorbell_ns_max", "map_entry_ns", "unmap_entry_ns",
    "batch_fit", "hits", "misses", "slow_paths", "evictions", "align_tries", "aligned",
    "unaligned", "refusals", "map_failures", "recovered", "bad_unmaps", "leaked_bytes", "broken",
    "premap_layout", "premap_pieces", "premap_unaligned", "idle_ms", "batch_max", "doorbell_us")

# Why a mapping failed, in words.
FAILURES = {
    "bytes": "the byte budget was used up",
    "entries": "the entry budget was used up",
    "host": "the host refused it",
    "mask": "the device cannot reach the address that the host chose",
    "alignment": "no device address was aligned to its size",
    "boundary": "every device address crossed the boundary that its driver has set",
    "handle": "no unique handle was left for the range",
    "memory": "the guest had no memory for a window, or none in one piece",
    "not_ram": "it was not ordinary memory of the guest",
    "broken": "the companion was broken or stopped, or the device had no driver",
    "bug": "apple_dma has a bug",
}
FAILURE_FILES = tuple(f"failures_{cause}" for cause in FAILURES)

FULL = 0.95     # of a limit: the next large mapping may fail

# Virtio devices that take memory from the guest: PCI ID, or the virtio bus's.
BALLOON_PCI = {"0x1002": "a balloon", "0x1045": "a balloon", "0x1058": "virtio-mem"}
BALLOON_VIRTIO = {5: "a balloon", 24: "virtio-mem"}


@dataclass
class Device:
    """One companion and its values."""

    companion: str
    bound: Optional[str] = None         # the driver of the companion
    managed: Optional[str] = None
    driver: Optional[str] = None        # the driver of the managed device
    mode: Optional[str] = None
    ops: Optional[str] = None           # dma_ops or premap; an older module has no file
    refusal: Optional[str] = None       # a word for why it may map nothing
    values: dict = field(default_factory=dict)
    taken: float = 0.0                  # when the values were read, monotonic seconds
    group: bool = False                 # whether the companion has our files

    def get(self, name):
        """A counter, or None where this module has no such file."""
        return self.values.get(name)

    @property
    def ours(self):
        """Whether this module has the companion; another module of its name lacks the files."""
        return self.bound == DRIVER and self.group

    @property
    def premaps(self):
        """Whether memory is registered once, in place of single mappings."""
        return self.ops == "premap"

    def used(self, what):
        """Registered and in use, without idle windows; WHAT is bytes or entries."""
        mapped, idle = self.get(f"mapped_{what}"), self.get(f"idle_{what}")
        return None if mapped is None else max(mapped - (idle or 0), 0)

    def shares(self):
        """Whether others use the same byte budget now."""
        return (self.get("guest_bytes") or 0) > (self.get("mapped_bytes") or 0)

    def hit_rate(self):
        """The share of mappings that needed no registration, or None before the first."""
        hits, misses = self.get("hits"), self.get("misses")
        return hits / (hits + misses) if hits is not None and (hits or misses) else None

    def failures(self):
        """(cause, count) of refused mappings, most first."""
        found = [(cause, self.get(f"failures_{cause}") or 0) for cause in FAILURES]
        return sorted((f for f in found if f[1]), key=lambda f: -f[1])

    def failed(self):
        """A sentence about mappings that failed since the companion was bound, or ""."""
        number = self.get("map_failures")
        if not number:
            return ""
        causes = ", ".join(f"{units.count(n)} because {FAILURES[cause]}"
                           for cause, n in self.failures())
        return f"{units.plural(number, 'mapping')} failed" + (f": {causes}" if causes else "")

    def fails_now(self, before):
        """Whether mappings failed since an earlier sample, if there is one."""
        return bool(before and (self.get("map_failures") or 0) > (before.get("map_failures") or 0))


def group(companion):
    """The folder of a companion's files."""
    return f"{PCI}/drivers/{DRIVER}/{companion}/{GROUP}"


def pci_text(root, address, name):
    """A file of a PCI device."""
    return root.peek(f"{DEVICES}/{address}/{name}")


def companions(root):
    """The addresses of all companions on the bus."""
    return [address for address in root.list(DEVICES)
            if (pci_text(root, address, "vendor"), pci_text(root, address, "device")) ==
            COMPANION_ID]


def read(root, companion):
    """The present values of a companion. Raises NeedsRoot if only root may read them."""
    device = Device(companion, root.link(f"{DEVICES}/{companion}/driver"), taken=time.monotonic())
    folder = group(companion)
    device.group = root.exists(folder)
    if not device.ours:
        return device
    denied = None
    for name in COUNTERS + FAILURE_FILES:
        try:
            text = root.read(f"{folder}/{name}")
        except NeedsRoot as error:
            denied = error
            continue
        if text is not None and re.fullmatch(r"-?\d+", text):
            device.values[name] = int(text)
    if denied and not device.values:
        raise denied
    # It is read before mapped_bytes and after: what comes in between is no other device's.
    again = root.number(f"{folder}/guest_bytes")
    if again is not None and device.get("guest_bytes") is not None:
        device.values["guest_bytes"] = min(again, device.get("guest_bytes"))
    device.mode = root.peek(f"{folder}/mode")
    device.ops = root.peek(f"{folder}/ops")
    refusal = root.peek(f"{folder}/premap_refusal")
    device.refusal = refusal if refusal != "none" else None
    device.managed = root.link(f"{folder}/managed")
    if device.managed:
        device.driver = root.link(f"{DEVICES}/{device.managed}/driver")
    return device


def read_all(root):
    """All companions."""
    return [read(root, companion) for companion in companions(root)]


def loaded(root):
    """Whether the module is in the kernel."""
    return root.exists(MODULE)


def in_use(device, what, everyone=()):
    """What counts against the limit and is not idle: of EVERYONE, where they share it."""
    if what == "bytes" and device.shares():
        idle = sum(each.get("idle_bytes") or 0 for each in everyone or [device])
        return max(device.get("guest_bytes") - idle, 0)
    return device.used(what)


def full(device, everyone=()):
    """A sentence about a limit that is used up, or ""."""
    for what, show in (("bytes", units.size), ("entries", units.count)):
        used, limit = in_use(device, what, everyone), device.get(f"limit_{what}")
        if used and limit and used >= FULL * limit:
            return (f"{show(used)} of {show(limit)}{'' if what == 'bytes' else ' registrations'} "
                    "are in use; at the limit, mappings fail")
    return ""


def balloon(root):
    """(name, what) of a device that takes memory from the guest, or None."""
    for address in root.list(DEVICES):
        what = BALLOON_PCI.get(pci_text(root, address, "device") or "")
        if what and pci_text(root, address, "vendor") == "0x1af4":
            return address, what
    for name in root.list("/sys/bus/virtio/devices"):
        what = BALLOON_VIRTIO.get(root.number(f"/sys/bus/virtio/devices/{name}/device"))
        if what:
            return name, what
    return None


@dataclass(frozen=True)
class State:
    """The state of a device: one word, whether it is bad, and why."""

    word: str
    bad: bool = False
    why: str = ""


STATES = ("ok", "strict", "full", "failing", "no DMA", "broken", "no device", "no driver", "refused",
          "taken", "no module")


def state(root, device, log=None, before=None, everyone=()):
    """The State of a device, a word of STATES.

    LOG is the kernel log, for the reason of a broken one. BEFORE is an earlier sample; with
    it, mappings that fail now are seen. EVERYONE is all devices, as they may share a limit.
    """
    if not device.bound:
        if loaded(root):
            return State("refused", True, "the module did not take the companion; "
                         "apple-dma doctor says why")
        return State("no module", True, "apple_dma is not loaded: modprobe apple_dma")
    if device.bound == DRIVER and not device.group:
        return State("taken", True, FOREIGN)
    if not device.ours:
        return State("taken", True, f"the driver {device.bound} has the companion")
    if device.get("broken"):
        reason = log.broken(device.companion) if log else None
        return State("broken", True, reason or "the reason is in the kernel log")
    if not device.managed:
        return State("no device", True, "the passthrough device is not on the bus")
    if device.refusal:
        return State("no DMA", True, "it may map nothing; apple-dma doctor says what to do")
    if not device.driver:
        return State("no driver", True, "apple-dma doctor says which one it needs")
    if device.fails_now(before):
        return State("failing", True, f"{device.failed()}; more fail now")
    if full(device, everyone) and not device.premaps:
        return State("full", why=full(device, everyone))
    if device.get("map_failures"):
        return State("failing", why=device.failed() + ("; none fails now" if before else ""))
    if device.mode == "strict":
        taker = balloon(root)
        if taker:
            return State("strict", why=f"{taker[1]} ({taker[0]}) is in the guest")
        return State("strict", why="as the mode was set")
    return State("ok")


def per_second(old, new, name):
    """How fast a counter grew between two samples of a device, or None."""
    if old is None or old.get(name) is None or new.get(name) is None:
        return None
    seconds = new.taken - old.taken
    return max(new.get(name) - old.get(name), 0) / seconds if seconds > 0 else None


def short(address, all_addresses):
    """An address without its PCI domain, if that is 0 for all."""
    if address and all(a.startswith("0000:") for a in all_addresses if a):
        return address[5:]
    return address or "-"


def pci_name(root, address):
    """The kind of a PCI device in words, from its class; "PCI device" if unknown."""
    code = pci_text(root, address, "class") or ""
    for prefix, name in KINDS:
        if code.startswith(prefix):
            return name
    return "PCI device"


KINDS = (("0x010802", "NVMe disk"), ("0x0106", "SATA controller"), ("0x0107", "SAS controller"),
         ("0x01", "storage controller"), ("0x0200", "network card"), ("0x02", "network device"),
         ("0x03", "graphics card"), ("0x0403", "sound device"), ("0x04", "multimedia device"),
         ("0x0c03", "USB controller"), ("0x12", "accelerator"))
