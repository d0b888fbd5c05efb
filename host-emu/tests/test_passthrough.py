# SPDX-License-Identifier: GPL-2.0
"""vfio-apple-pci: a dma-engine of dextd's, as a guest's CPU meets it."""

import contextlib
import signal
import struct
import time

import pytest

import balloon
import qtest
from dext import (CHECK_INTERRUPT, COMPANION, CONFIG_READ, DEVICE, SET_IRQ_MASK, WAIT_INTERRUPT,
                  Client, Dextd, Passthrough, Proxy, wait_for)

MSI, MSIX, EXPRESS = 0x05, 0x11, 0x10
DEVCTL = 8
FLR = 0x8000
TABLE_BAR = 0x20        # BAR4 has the table


@pytest.fixture
def dextd(dextd_program, tmp_path):
    """Start dextd; ended after the test."""
    with contextlib.ExitStack() as ends:
        def begin(device="dma-engine"):
            extension = Dextd(dextd_program, tmp_path, device)
            ends.callback(extension.close)
            return extension

        yield begin


@pytest.fixture
def machine(shims, wire, dextd):
    """(machine, dextd) with options of the device and of dextd."""
    with contextlib.ExitStack() as ends:
        def begin(options="", device="dma-engine", arch="x86_64", extension=None, **kwargs):
            extension = extension or dextd(device)
            host = Passthrough(shims[arch], wire, extension, options, arch=qtest.ARCHES[arch],
                               **kwargs)
            ends.callback(host.close)
            return host, extension

        yield begin


@pytest.fixture
def proxy(dextd, tmp_path):
    """Start a dextd with a proxy before it; both are ended after the test."""
    with contextlib.ExitStack() as ends:
        def begin(device="dma-engine", **changes):
            extension = Proxy(tmp_path, dextd(device), **changes)
            ends.callback(extension.close)
            return extension

        yield begin


@pytest.fixture
def other(machine):
    """(machine, a second user client, which sees the device itself)."""
    host, extension = machine()
    client = Client(extension.socket)
    yield host, client
    client.close()


class Interrupts:
    """MSI-X of the machine's device, with each message into a word of memory."""

    def __init__(self, host):
        self.host = host
        self.table = host.arch.mmio + 0x5000000
        self.words = host.data + 0x10000
        host.config_write(DEVICE, TABLE_BAR, self.table)
        self.at = host.capability(MSIX)
        for vector in range(16):
            host.store(self.table + 16 * vector, self.words + 4 * vector)
            host.store(self.table + 16 * vector + 4, 0)
            host.store(self.table + 16 * vector + 8, 0x100 + vector)
        self.enable(True)

    def enable(self, on):
        self.host.config_write(DEVICE, self.at + 2, 0x8000 if on else 0, 2)

    def mask(self, vector, masked):
        self.host.store(self.table + 16 * vector + 12, int(masked))

    def raise_vector(self, vector):
        self.host.store(self.host.bar0 + Passthrough.RAISE, vector)

    def take(self, vector):
        """Wait for the message of a vector, and forget it."""
        word = self.words + 4 * vector
        wait_for(lambda: self.host.load(word) == 0x100 + vector)
        self.host.store(word, 0)

    def pending(self):
        """The pending bits that the guest sees."""
        return self.host.load(self.table + 2048)


# ------------------------------------------------------------------ what is there

@pytest.mark.parametrize("arch", qtest.ARCHES)
def test_the_device_and_its_companion_are_beside_each_other(machine, arch):
    host, _ = machine(arch=arch)
    assert host.config_read(DEVICE, 0) == 0x00f51b36
    assert host.config_read(DEVICE, 8) >> 8 == 0x088000
    assert host.config_read(COMPANION, 0) == 0x00151b36
    assert host.reg("MANAGED_BDF") == DEVICE
    assert host.load(host.bar0 + host.ENGINE_ID) == 0x454d4441


def test_the_companion_has_the_options_of_the_device(machine):
    host, _ = machine(",layout=wide,batch-entries=17,version=3", layout="wide")
    assert (host.reg("VERSION"), host.reg("MAX_ENTRIES")) == (3, 17)
    assert host.map((host.data, 4096)).status == host.wire.STATUS_OK


def test_no_rom_no_pin_and_one_function(machine):
    host, _ = machine()
    host.config_write(DEVICE, 0x30, 0xffffffff)
    assert host.config_read(DEVICE, 0x30) == 0
    assert host.config_read(DEVICE, 0x3d, 1) == 0
    assert host.config_read(DEVICE, 0x0e, 1) == 0


def test_on_a_root_bus_it_is_integrated_and_has_no_link(machine):
    host, _ = machine()
    at = host.capability(EXPRESS)
    assert host.config_read(DEVICE, at + 2, 2) >> 4 & 0xf == 9
    assert [host.config_read(DEVICE, at + 0xc), host.config_read(DEVICE, at + 0x10)] == [0, 0]


# ------------------------------------------------------------------ configuration space

def test_command_goes_through_byte_by_byte_and_status_does_not(other):
    host, client = other
    status = client.config(6, 2)
    host.config_write(DEVICE, 4, 0xffff0107)
    assert client.config(4, 2) == 0x0106            # what the device has of it
    assert client.config(6, 2) == status
    host.config_write(DEVICE, 5, 0, 1)
    assert client.config(4, 2) == 0x0006
    host.config_write(DEVICE, 6, 0xffff, 2)
    assert client.config(6, 2) == status


def test_command_is_off_for_the_guest_although_the_claim_switched_it_on(machine):
    host, extension = machine(program=False)
    host.reset()
    assert host.config_read(DEVICE, 4, 2) == 0
    client = Client(extension.socket)
    assert client.config(4, 2) == 0x0006
    client.close()


@pytest.mark.parametrize("offset", range(0x10, 0x28, 4))
def test_bars_are_the_guests_own(other, offset):
    host, client = other
    before = client.config(offset, 2), client.config(offset + 2, 2)
    host.config_write(DEVICE, offset, 0xffffffff)
    assert (client.config(offset, 2), client.config(offset + 2, 2)) == before


def test_other_writes_go_through_in_all_widths(other):
    host, client = other
    host.config_write(DEVICE, 0x0c, 0x10, 1)
    assert client.config(0x0c, 1) == 0x10
    at = host.capability(EXPRESS) + DEVCTL
    host.config_write(DEVICE, at, 0x2810, 2)
    assert client.config(at, 2) == host.config_read(DEVICE, at, 2) == 0x2810
    host.config_write(DEVICE, at, 0x1820)
    assert client.config(at, 2) == 0x1820


def test_msix_is_the_platforms_on_the_device(other):
    host, client = other
    at = host.capability(MSIX)
    host.config_write(DEVICE, at + 2, 0xc000, 2)
    assert host.config_read(DEVICE, at + 2, 2) & 0xc000 == 0xc000
    assert client.config(at + 2, 2) & 0xc000 == 0
    assert host.counts()["held_config_writes"] > 0


def test_a_function_level_reset_is_the_extensions(other):
    host, client = other
    at = host.capability(EXPRESS) + DEVCTL
    host.store(host.bar0 + host.SCRATCH, 0x1234)
    resets = host.counts()["resets"]
    host.config_write(DEVICE, at, FLR | 0x2810, 2)
    assert host.counts()["resets"] == resets + 1
    assert host.load(host.bar0 + host.SCRATCH) == 0
    # The device's COMMAND is still on, and the rest of the write has arrived.
    assert client.config(4, 2) & 6 == 6
    assert client.config(at, 2) == 0x2810


# ------------------------------------------------------------------ BARs

@pytest.mark.parametrize("map_bars", ["on", "off"])
def test_bars_have_the_devices_sizes_and_contents(machine, map_bars):
    host, extension = machine(f",map-bars={map_bars}")
    client = Client(extension.socket)
    host.store(host.bar2 + 0x12340, 0x1122334455667788, 8)
    assert client.mmio(1, 0x12340, 8) == 0x1122334455667788
    assert host.load(host.bar2 + 0x12345, 1) == 0x33
    calls = extension.stats()["calls"]
    host.load(host.bar2)
    # A mapped BAR needs nobody.
    assert extension.stats()["calls"] - calls == (0 if map_bars == "on" else 1)
    host.store(host.bar0 + host.SCRATCH, 0xabcd)
    assert client.mmio(0, host.SCRATCH) == 0xabcd
    client.close()
    for offset, size, kind in ((0x10, 0x4000, 0), (0x18, 0x400000, 0xc), (0x20, 0x1000, 0)):
        host.config_write(DEVICE, offset, 0xffffffff)
        assert host.config_read(DEVICE, offset) == (0x100000000 - size) | kind
    host.config_write(DEVICE, 0x14, 0xffffffff)
    assert host.config_read(DEVICE, 0x14) == 0


# ------------------------------------------------------------------ interrupts

def test_each_vector_reaches_the_guest_once(machine):
    host, extension = machine()
    irq = Interrupts(host)
    for vector in range(16):
        irq.mask(vector, False)
    for _ in range(20):
        for vector in range(16):
            irq.raise_vector(vector)
            irq.take(vector)
    assert extension.stats()["pended"] == host.counts()["delivered"] == 320
    assert host.counts()["unwanted"] == 0


def test_a_vector_that_was_never_used_is_dropped_by_the_extension(machine):
    host, extension = machine()
    irq = Interrupts(host)
    irq.mask(3, False)
    irq.raise_vector(7)
    irq.raise_vector(3)
    irq.take(3)
    assert extension.stats()["dropped"] == 1
    assert host.counts()["taken"] == 1
    # Nor is it invented later.
    irq.mask(7, False)
    irq.raise_vector(3)
    irq.take(3)
    assert host.load(irq.words + 4 * 7) == 0


def test_a_vector_that_is_masked_for_a_while_is_not_lost(machine):
    host, extension = machine()
    irq = Interrupts(host)
    irq.mask(5, False)
    irq.mask(5, True)
    irq.raise_vector(5)
    wait_for(lambda: irq.pending() == 1 << 5)
    assert host.load(irq.words + 20) == 0
    irq.mask(5, False)
    irq.take(5)
    assert irq.pending() == 0
    assert extension.stats()["dropped"] == 0


def test_without_msix_nothing_is_delivered_or_kept(machine):
    host, extension = machine()
    irq = Interrupts(host)
    irq.mask(1, False)
    irq.enable(False)
    irq.raise_vector(1)
    wait_for(lambda: extension.stats()["dropped"] == 1)
    irq.enable(True)
    irq.raise_vector(1)
    irq.take(1)
    assert host.counts()["delivered"] == 1


def test_a_burst_is_taken_at_once(machine):
    """All that is pending goes to the guest, and the extension is asked again."""
    host, extension = machine()
    irq = Interrupts(host)
    for vector in range(16):
        irq.mask(vector, False)
    for _ in range(50):
        for vector in range(16):
            irq.raise_vector(vector)
    for vector in range(16):
        wait_for(lambda v=vector: host.load(irq.words + 4 * v) == 0x100 + v)
    wait_for(lambda: host.counts()["taken"] == extension.stats()["pended"])
    assert host.counts()["unwanted"] == 0
    assert extension.stats()["pended"] + extension.stats()["merged"] == 800


def test_a_device_with_msi_alone(machine):
    host, extension = machine(device="dma-engine,interrupts=msi")
    assert host.capability(MSIX) is None
    at, word = host.capability(MSI), host.data + 0x10000
    assert host.counts()["vectors"] == 16
    host.config_write(DEVICE, at + 4, word)
    host.config_write(DEVICE, at + 8, 0)
    host.config_write(DEVICE, at + 12, 0x100, 2)
    host.store(host.bar0 + host.RAISE, 1)
    wait_for(lambda: extension.stats()["dropped"] == 1)
    host.config_write(DEVICE, at + 2, 0x0041, 2)      # on, 16 vectors
    for vector in range(16):
        host.store(host.bar0 + host.RAISE, vector)
        wait_for(lambda v=vector: host.load(word) == 0x100 | v)
    assert host.counts()["delivered"] == extension.stats()["pended"] == 16
    # The device's own capability is the platform's.
    client = Client(extension.socket)
    assert client.config(at + 2, 2) & 1 == 0 and client.config(at + 4) == 0
    client.close()
    host.config_write(DEVICE, at + 2, 0, 2)
    host.store(host.bar0 + host.RAISE, 2)
    wait_for(lambda: extension.stats()["dropped"] == 2)


def with_vectors(count):
    """Answers of a device with that many MSI-X vectors, whose table is in BAR 2."""
    at = {}

    def answer(selector, inputs, outputs):
        if selector != CONFIG_READ or inputs[1] != 4:
            return outputs
        if outputs[0] & 0xff == MSIX:
            at["msix"] = inputs[0]
            return (outputs[0] & 0xf800ffff | count - 1 << 16,)
        return ({4: 0x10002, 8: 0x20002}.get(inputs[0] - at.get("msix", inputs[0]), outputs[0]),)

    return answer


def test_more_vectors_than_the_extension_passes_on(shims, wire, proxy):
    said = refused(shims, wire, proxy(answer=with_vectors(257)))
    assert ("host=01:00.0 has 257 MSI-X vectors, and the driver extension passes on 256 at most"
            in said)


def test_as_many_vectors_as_the_extension_passes_on(machine, proxy):
    host, _ = machine(extension=proxy(answer=with_vectors(256)))
    at = host.capability(MSIX)
    assert host.config_read(DEVICE, at + 2, 2) == 255
    host.config_write(DEVICE, at + 2, 0x8000, 2)
    for vector in (0, 15, 255):
        entry = host.bar2 + 0x10000 + 16 * vector
        for offset, value in ((0, host.data + 4 * vector), (4, 0), (8, 0x100 + vector), (12, 0)):
            host.store(entry + offset, value)
    host.store(host.bar0 + host.RAISE, 15)
    wait_for(lambda: host.load(host.data + 4 * 15) == 0x100 + 15)


def test_a_vector_of_msi_that_msix_has_not(machine, proxy):
    """The guest goes from 16 vectors of MSI to 2 of MSI-X, without an end of the first."""
    of_msix = with_vectors(2)

    def answer(selector, inputs, outputs):
        if selector == CONFIG_READ and inputs[1] == 4 and outputs[0] & 0xff == EXPRESS:
            return (outputs[0] & 0xff00 | MSI | 0x0188 << 16,)
        return of_msix(selector, inputs, outputs)

    host, extension = machine(extension=proxy(answer=answer))
    host.config_write(DEVICE, host.capability(MSI) + 2, 0x0041, 2)
    host.config_write(DEVICE, host.capability(MSIX) + 2, 0x8000, 2)
    host.store(host.bar0 + host.RAISE, 15)
    wait_for(lambda: host.counts()["taken"] == 1)
    assert host.counts()["unwanted"] == 1


ABORTED, BUSY = 0xe00002eb, 0xe00002d5


@pytest.mark.parametrize("status", [ABORTED, BUSY])
@pytest.mark.parametrize("selector, name", [
    (CHECK_INTERRUPT, "CheckInterrupt"), (WAIT_INTERRUPT, "WaitInterrupt"),
    (SET_IRQ_MASK, "SetIRQMask")])
def test_a_failed_call_for_interrupts_is_said_once_and_made_again(machine, proxy, selector, name,
                                                                  status):
    failures = []

    def refuse(called, _):
        if called != selector or not failures:
            return None
        return failures.pop()

    host, _ = machine(extension=proxy(refuse=refuse))
    irq = Interrupts(host)
    irq.mask(0, False)
    for vector in (1, 2):
        failures += [status] * 2
        irq.mask(vector, False)
        irq.raise_vector(0)
        wait_for(lambda: not failures)
        wait_for(lambda v=vector: irq.raise_vector(v) or host.load(irq.words + 4 * v))
        irq.take(vector)
        irq.take(0)
    assert host.log().count(f"{name} failed (IOReturn 0x{status:08x})") == 1
    assert host.counts()["interrupt_failures"] == 4
    assert not host.counts()["gone"]


# ------------------------------------------------------------------ registrations

def test_a_failed_registration_is_said_once(machine, dextd):
    """But not that a handle is taken: a guest that wakes asks for that."""
    host, _ = machine(extension=dextd("dma-engine,max-entries=1"))
    host.mapped(host.data, 0x4000)
    assert host.map((host.data, 0x4000)).status == host.wire.STATUS_IOERR
    assert "did not register" not in host.log()
    for page in (1, 2):
        at = host.data + page * 0x4000
        assert host.map((at, 0x4000)).status == host.wire.STATUS_IOERR
    assert host.log().count("did not register guest memory at ") == 1
    assert "0x4000 bytes: IOReturn 0xe00002" in host.log()


def test_what_the_companion_registers_is_in_the_devices_dart(machine):
    host, extension = machine()
    host.mapped(host.data, 0x4000)
    host.mapped(host.data + 0x8000, 0x8000)
    now = extension.stats()
    assert (now["dart_entries"], now["dart_bytes"]) == (2, 0xc000)
    assert (host.stats()["live"], host.stats()["live_bytes"]) == (2, 0xc000)
    assert host.unmap(host.data).status == host.wire.STATUS_OK
    assert extension.stats()["dart_entries"] == host.stats()["live"] == 1
    assert host.unmap(host.data).status == host.wire.STATUS_IOERR
    assert host.quit() == 0
    wait_for(lambda: extension.stats()["dart_entries"] == 0)


def read_by_the_device(host, iova):
    """The engine's first channel reads 4 KiB; its state then."""
    channel = host.bar0 + 0x100
    for offset, value in ((0x08, iova & 0xffffffff), (0x0c, iova >> 32), (0x10, 64),
                          (0x14, 4096), (0x00, 1)):
        host.store(channel + offset, value)
    wait_for(lambda: host.load(channel + 4) != 1)
    return host.load(channel + 4)


def test_the_device_moves_data_where_it_was_told(machine):
    host, _ = machine()
    iova = host.mapped(host.data, 0x4000)
    host.write(host.data, b"guest to device " * 256)
    assert read_by_the_device(host, iova) == 2
    assert host.read(host.bar2 + 64, 32) == b"guest to device " * 2


def test_memory_that_the_guest_gave_back_is_out_of_reach(machine):
    """The guest uses it again and finds another page; the device still reaches the old one."""
    host, extension = machine(args=balloon.ARGS)
    memory = balloon.Balloon(host, host.data + 0x100000)
    iova = host.mapped(host.data, 0x8000)
    host.write(host.data, bytes(0x8000))
    memory.inflate(*[host.data + part * 4096 for part in range(3)])
    assert read_by_the_device(host, iova + 3 * 4096) == 2
    memory.inflate(host.data + 3 * 4096)
    host.write(host.data, bytes(0x4000))
    assert read_by_the_device(host, iova) == 3
    assert read_by_the_device(host, iova + 0x4000) == 2
    assert extension.stats()["read_faults"] == 1
    host.unmap(host.data)
    assert read_by_the_device(host, host.mapped(host.data, 0x8000)) == 2


def test_a_bar_that_is_mapped_is_no_memory(machine):
    """Though it is memory of QEMU: what a device may reach is the guest's RAM."""
    host, extension = machine()
    assert host.map((host.bar2, 4096)).status == host.wire.STATUS_IOERR
    assert host.map((host.data, 4096), resp=host.bar2).status == host.wire.STATUS_INVAL
    assert extension.stats()["dart_entries"] == 0


def test_a_reset_of_the_machine_keeps_registrations(machine):
    host, extension = machine()
    host.mapped(host.data, 0x4000)
    host.store(host.bar0 + host.SCRATCH, 7)
    resets = host.counts()["resets"]
    host.reset()
    assert host.counts()["resets"] == resets + 1
    host.wire_up()
    assert host.load(host.bar0 + host.SCRATCH) == 0
    assert extension.stats()["dart_entries"] == host.stats()["live"] == 1
    again = host.map((host.data, 0x4000))
    assert again.status == host.wire.STATUS_IOERR
    assert host.stats()["duplicate_handles"] == 1


# ------------------------------------------------------------------ what goes wrong

def refused(shims, wire, extension, options="", **kwargs):
    """What QEMU says instead of starting."""
    with pytest.raises(qtest.QemuDied) as died:
        Passthrough(shims["x86_64"], wire, extension, options, **kwargs).close()
    return str(died.value)


class Nobody:
    """No dextd at all."""

    socket = "/nonexistent/dextd"


def test_no_extension_is_running(shims, wire):
    said = refused(shims, wire, Nobody)
    assert "the driver extension (VFIOUserPCIDriver) is not running" in said


def test_no_such_device(shims, wire, dextd):
    said = refused(shims, wire, dextd("dma-engine,bdf=02:00.0"))
    assert "host=01:00.0: no driver extension has this device" in said


def test_the_device_is_claimed_by_another_driver(shims, wire, dextd):
    said = refused(shims, wire, dextd("dma-engine,busy=on"))
    assert "another driver has this device" in said


def test_two_of_one_device_in_one_machine(shims, wire, dextd):
    said = refused(shims, wire, dextd(), args=["-device", "vfio-apple-pci,host=1:0.0,addr=9"])
    assert "host=01:00.0 is in this machine already" in said


@pytest.mark.parametrize("text", ["", "1", "01:00", "01:20.0", "01:00.8", "01:00.0x", "0x1:0.0",
                                  "0:0:01:00.0", "00000:01:00.0", "x:01:00.0", ":01:00.0"])
def test_an_address_that_is_none(shims, wire, dextd, text):
    said = refused(shims, wire, dextd(), f",host={text}")
    assert "expected is the device's address on the host, as in host=01:00.0" in said


def test_a_port_has_no_room_for_the_companion(shims, wire, dextd):
    with pytest.raises(qtest.QemuDied) as died:
        qtest.Qemu(shims["x86_64"], env=[f"APPLE_DEXT_SOCKET={dextd().socket}"],
                   devices=["pcie-root-port,id=rp0", "vfio-apple-pci,host=01:00.0,bus=rp0"])
    assert "must be on a root bus" in str(died.value)


def test_an_option_of_the_companion_that_is_wrong(shims, wire, dextd):
    assert "batch-entries=0" in refused(shims, wire, dextd(), ",batch-entries=0")


@pytest.mark.parametrize("lie", ["no-output", "short-output", "zero-address", "wrong-address",
                                 "short-length", "long-length", "all-ones", "bad-status"])
@pytest.mark.parametrize("after", [0, 1, 2, 40, 1030, 1040])
def test_an_extension_that_answers_wrongly_never_crashes_qemu(shims, wire, dextd, lie, after):
    """It starts, or it says why not; and what does not come is read as all ones."""
    extension = dextd(f"dma-engine,lie={lie},lie-after={after}")
    try:
        host = Passthrough(shims["x86_64"], wire, extension)
    except qtest.QemuDied as died:
        assert "vfio-apple-pci" in str(died) and "host=01:00.0" in str(died)
        return
    host.config_read(DEVICE, 0)
    host.load(host.bar0)
    host.map((host.data, 4096))
    host.reset()
    assert host.quit() == 0
    host.close()


def check_gone(host):
    """All ones, and one sentence."""
    wait_for(lambda: host.counts()["gone"])
    assert host.config_read(DEVICE, 0) == 0xffffffff
    assert host.load(host.bar0, 8) == 0xffffffffffffffff
    host.store(host.bar0 + host.SCRATCH, 1)
    host.config_write(DEVICE, 4, 0x6, 2)
    assert host.map((host.data + 0x100000, 4096)).status == host.wire.STATUS_IOERR
    assert host.unmap(host.data).status == host.wire.STATUS_IOERR
    host.reset()
    assert host.log().count("the device is gone") == 1
    assert host.quit() == 0


def test_an_extension_that_ends_takes_the_device_with_it(machine):
    host, extension = machine()
    Interrupts(host).mask(0, False)
    host.mapped(host.data, 4096)
    extension.kill()
    check_gone(host)


def test_a_device_that_is_pulled_out(machine):
    host, extension = machine(device="dma-engine,lost-after=1300")
    while extension.stats()["calls"] <= 1300:
        host.load(host.bar0)
    check_gone(host)


def test_a_new_machine_works_after_the_last_one_died(shims, wire, dextd):
    extension = dextd()
    host = Passthrough(shims["x86_64"], wire, extension)
    host.mapped(host.data, 4096)
    host.kill()
    host.close()
    wait_for(lambda: extension.stats()["dart_entries"] == 0)
    host = Passthrough(shims["x86_64"], wire, extension)
    host.mapped(host.data, 4096)
    assert struct.pack("<I", host.load(host.bar0)) == b"ADME"
    host.close()


def test_a_dextd_that_ends_with_a_signal_is_a_failure(dextd_program, tmp_path):
    extension = Dextd(dextd_program, tmp_path)
    extension.process.send_signal(signal.SIGSEGV)
    extension.process.wait(30)
    with pytest.raises(AssertionError, match="dextd ended with -11|AddressSanitizer: SEGV"):
        extension.close()
    extension.kill()
