# SPDX-License-Identifier: GPL-2.0
"""A guest that gives memory back: the queue of a virtio-balloon, in its legacy form."""

import struct
import time

import qtest

SLOT = 7
ARGS = ["-device", f"virtio-balloon-pci,disable-legacy=off,disable-modern=on,addr={SLOT:#x}"]
PORT = 0xc000
PAGE = 4096

QUEUE_PFN, QUEUE_NUM, QUEUE_SEL, NOTIFY, STATUS = 0x08, 0x0c, 0x0e, 0x10, 0x12


class Balloon:
    """The balloon of a HOST that was started with ARGS; it uses 64 KiB of memory at AT."""

    def __init__(self, host, at):
        self._host, self._at = host, at
        self._done = 0
        host.config_write(SLOT << 3, 0x10, PORT)
        host.config_write(SLOT << 3, 0x04, 0x5, 2)
        for status in (0, 1, 3):
            host.port_out(PORT + STATUS, status, 1)
        host.port_out(PORT + QUEUE_SEL, 0, 2)
        self._size = host.port_in(PORT + QUEUE_NUM, 2)
        host.fill(at, 0x10000, 0)
        host.port_out(PORT + QUEUE_PFN, at // PAGE)
        host.port_out(PORT + STATUS, 7, 1)

    def inflate(self, *pages):
        """Give back pages of 4 KiB, which are never taken back: they are used again as they are."""
        host, available = self._host, self._at + 16 * self._size
        used = (available + 6 + 2 * self._size + PAGE - 1) & -PAGE
        list_at = self._at + 0xc000
        host.write(list_at, struct.pack(f"<{len(pages)}I", *[each // PAGE for each in pages]))
        host.write(self._at, struct.pack("<QIHH", list_at, 4 * len(pages), 0, 0))
        self._done += 1
        host.write(available + 2, struct.pack("<H", self._done))
        host.port_out(PORT + NOTIFY, 0, 2)
        end = time.monotonic() + qtest.DEADLINE
        while host.load(used + 2, 2) != self._done:
            assert time.monotonic() < end, "the balloon does not take the pages"
