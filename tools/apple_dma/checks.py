# SPDX-License-Identifier: GPL-2.0
"""What a check of the doctor knows, and what it finds."""

from dataclasses import dataclass
from typing import Tuple

from . import devices, klog

OK, NOTE, FAIL, SKIP = "ok", "note", "fail", "skip"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor: what is so and, where it is not well, what to do."""

    outcome: str
    text: str
    cure: Tuple[str, ...] = ()


def ok(text):
    """All is well."""
    return Finding(OK, text)


def note(text, *cure):
    """It works, but not as well as it could."""
    return Finding(NOTE, text, cure)


def fail(text, *cure):
    """It cannot work like this."""
    return Finding(FAIL, text, cure)


def skip(text, *cure):
    """It could not be looked at."""
    return Finding(SKIP, text, cure)


class Machine:
    """What all checks look at, read once."""

    def __init__(self, root):
        self.root = root
        self.release = root.release()
        self.log = klog.load(root)
        self.loaded = devices.loaded(root)
        self.devices = devices.read_all(root)

    @property
    def ours(self):
        """The companions that the module has."""
        return [d for d in self.devices if d.ours]

    @property
    def managed(self):
        """Those whose device is there."""
        return [d for d in self.ours if d.managed]

    def unseen(self):
        """What to say where the log would have told."""
        return skip(f"not seen: {self.log.problem}", "sudo apple-dma doctor")
