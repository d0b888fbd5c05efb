# SPDX-License-Identifier: GPL-2.0
"""The PCI function and its registers."""

import pytest

from host import BUS, COMPANION, PORT


def test_pci_function(host):
    assert host.config_read(COMPANION, 0) == (host.wire.PCI_DEVICE_ID << 16 |
                                              host.wire.PCI_VENDOR_ID)
    assert host.config_read(COMPANION, 8) >> 8 == 0x088000  # SYSTEM_OTHER
    assert host.config_read(COMPANION, 6, 2) & 0x10 == 0    # no capability
    assert host.config_read(COMPANION, 0x3d, 1) == 0        # no interrupt
    host.config_write(COMPANION, 0x10, 0xffffffff)
    assert host.config_read(COMPANION, 0x10) == 0x100000000 - host.wire.BAR_SIZE
    host.config_write(COMPANION, 0x14, 0xffffffff)
    assert host.config_read(COMPANION, 0x14) == 0


def test_values_after_power_on(start):
    host = start(program=False)
    assert [host.reg(name) for name in ("VERSION", "MANAGED_BDF", "MAX_ENTRIES", "STATUS")] == [
        2, BUS << 8, 4096, 0]


def test_version_and_batch_entries_are_settable(start):
    host = start(companion="version=3,batch-entries=17")
    assert (host.reg("VERSION"), host.reg("MAX_ENTRIES")) == (3, 17)


def test_write_only_and_unknown_registers_read_zero(host):
    for offset in [0x10, 0x14, 0x18, *range(0x1c, 0x80, 4), 0xffc]:
        assert host.load(host.regs + offset) == 0


def test_read_only_and_unknown_registers_ignore_writes(host):
    for offset in [0, 4, 8, 0xc, *range(0x1c, 0x80, 4), 0xffc]:
        host.store(host.regs + offset, 0xffffffff)
    assert [host.reg(name) for name in ("VERSION", "MANAGED_BDF", "MAX_ENTRIES", "STATUS")] == [
        2, BUS << 8, 4096, 0]
    assert host.stats()["doorbells"] == 0
    assert host.map((host.data, 4096)).status == host.wire.STATUS_OK


def test_64_bit_accesses_are_two_of_32_bits(start):
    host = start(program=False)
    assert host.load(host.regs, 8) == BUS << 40 | 2
    host.store(host.regs + host.wire.REG_CMD_GPA_LO, host.cmd, 8)
    assert host.map((host.data, 4096)).status == host.wire.STATUS_OK


def test_the_command_page_may_be_above_4_gib(start):
    host = start(mem="4G", program=False)
    host.cmd = 0x100000000 + 0x10000
    host.program()
    assert host.map((host.data, 4096), (0x140000000, 4096)).status == host.wire.STATUS_OK


def test_managed_bdf_follows_the_bus_number(host):
    assert host.reg("MANAGED_BDF") == BUS << 8
    host.config_write(PORT, 0x18, 0x0505 << 8)
    assert host.reg("MANAGED_BDF") == 5 << 8
    host.config_write(PORT, 0x18, 0)
    assert host.reg("MANAGED_BDF") == 0


def test_managed_bdf_can_be_fixed(start):
    host = start(companion="managed-bdf=0x4321")
    assert host.reg("MANAGED_BDF") == 0x4321
    host.set("companion0", "managed-bdf", "0208")
    assert (host.reg("MANAGED_BDF"), host.get("companion0", "managed-bdf")) == (0x208, "0x0208")
    host.set("companion0", "managed-bdf", "auto")
    assert host.reg("MANAGED_BDF") == BUS << 8


@pytest.mark.parametrize("arch", ["x86_64", "arm64"])
def test_status_is_of_the_last_doorbell(start, arch):
    host = start(arch=arch)
    for want in (0, 1, 3, 1):
        if want == 3:
            host.map((host.data, 4096), count=0)
        else:
            host.map((host.data, 4096))
        assert host.reg("STATUS") == want
