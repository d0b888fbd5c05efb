# SPDX-License-Identifier: GPL-2.0
"""The windows of a companion, and the memory of the guest."""

import re
from dataclasses import dataclass

from .errors import NeedsRoot

DEBUGFS = "/sys/kernel/debug/apple_dma"


@dataclass(frozen=True)
class Window:
    """A registration with the host."""

    phys: int
    iova: int
    size: int
    users: int
    state: str


def read(root, companion):
    """The text of the listing, or None."""
    try:
        return root.read(f"{DEBUGFS}/{companion}/windows")
    except NeedsRoot:
        return None


def parse(text):
    """The windows of a listing; other lines are skipped."""
    found = []
    for line in (text or "").splitlines():
        words = line.split()
        try:
            phys, iova, size, users = (int(word, 0) for word in words[:4])
        except ValueError:
            continue
        found.append(Window(phys, iova, size, users, words[4] if len(words) > 4 else ""))
    return sorted(found, key=lambda w: w.phys)


def ram(root):
    """(start, end) of the guest's memory; nothing if only root may read it."""
    try:
        text = root.read("/proc/iomem") or ""
    except NeedsRoot:
        return []
    found = [(int(a, 16), int(b, 16) + 1)
             for a, b in re.findall(r"^([0-9a-f]+)-([0-9a-f]+) : System RAM$", text, re.M)]
    return joined(r for r in found if r[1] > 1)


def joined(ranges):
    """Ranges, with adjacent ones merged."""
    found = []
    for start, end in sorted(ranges):
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
