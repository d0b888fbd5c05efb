# SPDX-License-Identifier: GPL-2.0
"""The kernel log: this boot's messages, and what apple_dma says in them."""

import os
import re

from . import DRIVER
from .errors import NeedsRoot

KMSG = "/dev/kmsg"
RECORD = re.compile(r"^(\d+),(\d+),(\d+),[^;]*;(.*)$")
STAMP = re.compile(r"^(<\d+>)?\[\s*\d+\.\d+\]\s?(\[[^]]*\]\s?)?")
BROKEN = re.compile(r"the host broke the protocol: (.*?)\. No more DMA")


class Log:
    """Lines of the kernel log without time stamps, or the reason why there are none."""

    def __init__(self, lines, problem=None):
        self.lines = lines
        self.problem = problem

    def search(self, pattern, companion=None):
        """The last match of a pattern; of a line about a companion if one is given."""
        found = None
        for line in self.lines:
            if companion is None or self.about(line, companion):
                found = re.search(pattern, line) or found
        return found

    def all(self, pattern):
        """Lines that match, oldest first."""
        return [line for line in self.lines if re.search(pattern, line)]

    @staticmethod
    def about(line, companion):
        """Whether a line is the module's about a companion."""
        return line.startswith(f"{DRIVER} {companion}: ")

    def broken(self, companion):
        """Why a companion is broken, if the log has it."""
        found = self.search(BROKEN, companion)
        return found[1] if found else None


def clean(text):
    """Lines of /dev/kmsg, or of a file that dmesg wrote, without what is before the message."""
    lines = []
    for line in text.splitlines():
        record = RECORD.match(line)
        if record:
            lines.append(record[4])
        elif line and not line.startswith(" "):     # a record's dictionary
            lines.append(STAMP.sub("", line))
    return lines


def kmsg(root):
    """The lines that the kernel still has, or None."""
    try:
        handle = os.open(root.path(KMSG), os.O_RDONLY | os.O_NONBLOCK)
    except PermissionError:
        raise NeedsRoot(KMSG) from None
    except OSError:
        return None
    parts = []
    with os.fdopen(handle, "rb", buffering=0) as file:
        while True:
            try:
                part = file.read(65536)
            except BrokenPipeError:     # overwritten while it was read
                continue
            except OSError:
                break
            if not part:                # the end of a file; of the device, None
                break
            parts.append(part)
    return b"".join(parts).decode("utf-8", "replace")


def first_record(text):
    """The number of the first record, 0 if nothing was overwritten since the boot."""
    record = RECORD.match(text)
    return int(record[2]) if record else 0


def load(root):
    """The Log of this boot. If the kernel has lost its beginning, the journal is read."""
    try:
        text = kmsg(root)
    except NeedsRoot:
        return Log([], "only root may read the kernel log")
    if text is None:
        return Log([], f"{KMSG} is not there")
    if first_record(text):
        journal = root.run("journalctl", "-k", "-b", "-q", "--no-pager", "-o", "cat")
        if journal:
            return Log(clean(journal))
    return Log(clean(text))
