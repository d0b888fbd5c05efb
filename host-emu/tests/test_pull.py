# SPDX-License-Identifier: GPL-2.0
"""What is pulled out of a slot while others still use it."""

import json
import time

import pytest

from host import BUS, COMPANION, PORT, Host
from qtest import DEADLINE

SLOT = 5 << 3

# What a CPU does for ever, if there is an address in the word at POINTER.
POINTER = 0x4f000000
READ = "010440b9"       # ldr w1, [x0, #4]: MANAGED_BDF of the companion there
RING = "001800b9"       # str w0, [x0, #0x18]: its doorbell


def firmware(access):
    return bytes.fromhex("02e0a9d2"     # movz x2, #0x4f00, lsl #16
                         "400040f9"     # 1: ldr x0, [x2]
                         "e0ffffb4" +   # cbz x0, 1b
                         access +
                         "fdffff17")    # b 1b


class Slot(Host):
    """A machine whose companion is in a slot."""

    def __init__(self, shim, wire, options="", **kwargs):
        self.number = 0
        self.options = options
        super().__init__(shim, wire, devices=[
            f"pcie-root-port,id=rp0,chassis=1,addr={PORT >> 3:x}",
            f"pcie-root-port,id=rp1,chassis=2,addr={SLOT >> 3:x}", "apple-slot,id=slot,port=rp1",
            "apple-dart,id=dart0,port=rp0", "edu,bus=rp0",
            f"apple-dma-pci,id=companion0,dart=dart0,bus=rp1{options}"], **kwargs)

    def wire_up(self):
        self.enable_port(PORT, BUS, self.edu)
        self.enable_port(SLOT, BUS + 1, self.regs)
        self.enable(BUS + 1 << 8, self.regs)

    def stats(self):
        return json.loads(self.get(f"companion{self.number}", "stats"))

    def pull(self):
        self.set("slot", "empty", True)

    def put(self):
        """The next one, as firmware and driver would set it up."""
        self.number += 1
        more = dict(word.split("=") for word in self.options.split(",") if word)
        self.qmp("device_add", driver="apple-dma-pci", id=f"companion{self.number}", dart="dart0",
                 bus="rp1", **more)
        self.enable(BUS + 1 << 8, self.regs)
        self.program()


class Switch(Host):
    """A machine whose DART is at a port of a switch, which is in a slot itself."""

    def __init__(self, shim, wire, **kwargs):
        super().__init__(shim, wire, devices=[
            f"pcie-root-port,id=rp0,chassis=1,addr={PORT >> 3:x}", "apple-slot,id=slot,port=rp0",
            "x3130-upstream,id=up0,bus=rp0", "xio3130-downstream,id=dp0,bus=up0,chassis=2",
            "apple-dart,id=dart0,port=dp0", "edu,bus=dp0",
            f"apple-dma-pci,id=companion0,dart=dart0,addr={COMPANION >> 3:x}"], **kwargs)

    def wire_up(self):
        self.enable(COMPANION, self.regs)
        for bdf, bus in ((PORT, BUS), (BUS << 8, BUS + 1), (BUS + 1 << 8, BUS + 2)):
            self.config_write(bdf, 0x18, 0xff << 16 | bus << 8)


def test_a_switch_pulled_with_the_port_of_a_dart(start):
    """The companion stays, with what is registered; its bus is no more."""
    host = start(arch="arm64", kind=Switch)
    assert host.reg("MANAGED_BDF") == BUS + 2 << 8
    host.set("slot", "empty", True)
    assert host.get("slot", "empty")
    assert host.reg("MANAGED_BDF") == 0
    assert host.map((host.data, 4096)).status == host.wire.STATUS_OK
    host.reset()
    assert host.quit() == 0


@pytest.mark.parametrize("access, options", [(READ, ""), (RING, ""), (RING, ",lie=late")])
def test_a_companion_pulled_from_under_a_cpu(start, access, options):
    """What comes after it is gone reads all ones and does nothing."""
    host = start(arch="arm64", kind=Slot, firmware=firmware(access), options=options)
    host.unmap(host.data)       # the command that the CPU rings for from now on
    host.store(POINTER, host.regs, 8)
    for _ in range(30):
        end = time.monotonic() + DEADLINE
        while access == RING and host.stats()["doorbells"] < 100:
            assert time.monotonic() < end, "the CPU does not ring"
        host.pull()
        assert host.config_read(BUS + 1 << 8, 0) == 0xffffffff
        assert host.reg("MANAGED_BDF") == 0xffffffff
        host.put()
    assert host.quit() == 0
