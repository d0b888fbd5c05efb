# SPDX-License-Identifier: GPL-2.0
"""The input of the doctor's checks, and their findings."""

import time
from dataclasses import dataclass
from typing import Tuple

from . import devices, klog

OK, NOTE, FAIL, SKIP = "ok", "note", "fail", "skip"
WATCH = 1.0     # seconds in which mappings that fail are seen to
INITRAMFS = "sudo update-initramfs -u    (with dracut: sudo dracut --force); then reboot"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: what it found and, if there is a problem, what to do."""

    outcome: str
    text: str
    cure: Tuple[str, ...] = ()


def ok(text):
    """All is well."""
    return Finding(OK, text)


def note(text, *cure):
    """It works, but could work better."""
    return Finding(NOTE, text, cure)


def fail(text, *cure):
    """It cannot work like this."""
    return Finding(FAIL, text, cure)


def skip(text, *cure):
    """It could not be checked."""
    return Finding(SKIP, text, cure)


def into_force(*how):
    """HOW to change modprobe.d, and how the change takes effect."""
    return (*how, INITRAMFS, "(the initramfs has its own copy of modprobe.d)")


def option(text):
    """How to set an option of a module."""
    return into_force(f'echo "options {text}" | sudo tee -a /etc/modprobe.d/apple-dma-local.conf')


class Machine:
    """What all checks use, read once."""

    def __init__(self, root):
        self.root = root
        self.release = root.release()
        self.log = klog.load(root)
        self.loaded = devices.loaded(root)
        self.devices = devices.read_all(root)
        self.later = None

    @property
    def ours(self):
        """The companions that the module has."""
        return [d for d in self.devices if d.ours]

    @property
    def managed(self):
        """Those whose device is there."""
        return [d for d in self.ours if d.managed]

    def fails_now(self, device):
        """Whether mappings of a device still fail; the first call takes a moment."""
        if self.later is None:
            time.sleep(WATCH)
            self.later = {d.companion: d for d in devices.read_all(self.root)}
        later = self.later.get(device.companion)
        return bool(later) and later.fails_now(device)

    def unseen(self):
        """A note that the log is missing."""
        return skip(f"not seen: {self.log.problem}", "sudo apple-dma doctor")
