# SPDX-License-Identifier: GPL-2.0
"""The words that users of the known hosts give QEMU, and what the devices do with them.

The first are those of the series of April 2026, the others those of the launchers that
followed it. Documentation/dext.md has the table.
"""

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

import qtest
from dext import CONFIG_READ, DEVICE, Client, Dextd, Passthrough, Proxy, wait_for
from host import Host

HOST = "x-apple-host-bus=1,x-apple-host-device=0,x-apple-host-function=0"


@pytest.fixture
def extension(dextd_program, tmp_path):
    """Start a dextd; ended after the test."""
    started = []

    def begin(*devices):
        started.append(Dextd(dextd_program, tmp_path, *(devices or ["dma-engine"])))
        return started[-1]

    yield begin
    for each in started:
        each.close()


class Words(Host):
    """A machine with these -device words, and the first companion on its root bus placed."""

    def __init__(self, shim, wire, extension, *devices, arch="x86_64", **kwargs):
        super().__init__(shim, wire, arch=qtest.ARCHES[arch], devices=devices,
                         env=[f"APPLE_DEXT_SOCKET={extension.socket}"], program=False, **kwargs)

    def wire_up(self):
        pass

    def functions(self):
        """The functions on the root bus, by their ids."""
        found = {}
        for devfn in range(256):
            number = self.config_read(devfn, 0)
            if number != 0xffffffff:
                found.setdefault(number, []).append(devfn)
        return found

    def companions(self):
        return self.functions().get(0x00151b36, [])

    def devices(self):
        return self.functions().get(0x00f51b36, [])

    def stats_of(self, companion):
        return json.loads(self.get(companion, "stats"))

    def use(self, devfn):
        """Program the companion there."""
        self.enable(devfn, self.regs)
        self.program()


@pytest.fixture
def boot(shims, wire, extension):
    """Start machines from -device words; ended after the test."""
    started = []

    def begin(*words, arch="x86_64", host=None, **kwargs):
        host = host or extension()
        started.append(Words(shims[arch], wire, host, *words, arch=arch, **kwargs))
        return started[-1], host

    yield begin
    for each in started:
        each.close()


def refusal(boot, *words, **kwargs):
    """What QEMU says instead of starting."""
    with pytest.raises(qtest.QemuDied) as died:
        boot(*words, **kwargs)
    return str(died.value)


# ------------------------------------------------------------------ the series

@pytest.mark.parametrize("arch", qtest.ARCHES)
def test_one_word_of_the_series_makes_device_and_companion(boot, arch):
    host, _ = boot("vfio-apple-pci,host=01:00.0", arch=arch)
    assert len(host.devices()) == len(host.companions()) == 1
    host.use(host.companions()[0])
    assert host.reg("MANAGED_BDF") == host.devices()[0]
    assert (host.reg("VERSION"), host.reg("MAX_ENTRIES")) == (2, 4096)
    host.mapped(host.data, 0x4000)


@pytest.mark.parametrize("text", ["01:00.0", "1:0.0", "0000:01:00.0", "0:01:00.0", "1234:1:0.0"])
def test_an_address_of_the_host_may_have_a_domain(boot, text):
    host, _ = boot(f"vfio-apple-pci,id=d0,host={text}")
    assert json.loads(host.get("d0", "stats"))["host"] == "01:00.0"


@pytest.mark.parametrize("option, entries", [("", 4096), (",max-entries=0", 4096),
                                             (",max-entries=17", 17), (",batch-entries=5", 5),
                                             (",max-entries=17,batch-entries=5", 17)])
def test_max_entries_is_the_register_and_0_is_the_default(boot, option, entries):
    host, _ = boot(f"apple-dma-pci,id=c0,{HOST}{option}")
    host.use(host.companions()[0])
    assert host.reg("MAX_ENTRIES") == host.get("c0", "max-entries") == entries
    words = [(host.data + i * 0x4000, 4096) for i in range(entries + 1)]
    if entries < 100:
        assert host.map(*words).status == host.wire.STATUS_INVAL
        assert host.map(*words[1:]).status == host.wire.STATUS_OK


@pytest.mark.parametrize("text, value", [("40", 40), ("0x28", 0x28), ("256", 256), ("0", 0),
                                         ("0x0100", 0x100), ("0100", 0x100), ("0208", 0x208),
                                         ("4294967295", 0xffffffff), (None, 0)])
def test_managed_bdf_is_a_number_and_0_if_nothing_is_said(boot, text, value):
    host, _ = boot(f"apple-dma-pci,{HOST}" + (f",managed-bdf={text}" if text else ""))
    host.use(host.companions()[0])
    assert host.reg("MANAGED_BDF") == value


def test_managed_bdf_is_a_number_in_json_and_text_too(boot):
    host, _ = boot(f"apple-dma-pci,id=c0,{HOST},managed-bdf=8")
    host.use(host.companions()[0])
    for value, register in ((256, 256), ("256", 256), ("0208", 0x208), (0xffffffff, 0xffffffff)):
        host.set("c0", "managed-bdf", value)
        assert host.reg("MANAGED_BDF") == register
    for value in (-1, 1 << 32, "1 2", "12x", "", True, None, 1.5):
        with pytest.raises(RuntimeError):
            host.set("c0", "managed-bdf", value)
        assert host.reg("MANAGED_BDF") == 0xffffffff


def test_a_companion_of_its_own_registers_with_the_extension(boot):
    host, extension = boot(f"apple-dma-pci,id=c0,managed-bdf=8,{HOST}")
    host.use(host.companions()[0])
    assert not host.devices()
    host.mapped(host.data, 0x4000)
    assert (extension.stats()["dart_entries"], host.stats_of("c0")["live"]) == (1, 1)
    assert host.unmap(host.data).status == host.wire.STATUS_OK
    assert extension.stats()["dart_entries"] == 0
    host.mapped(host.data, 0x4000)
    host.reset()
    assert extension.stats()["dart_entries"] == 1
    assert host.quit() == 0
    assert extension.stats()["dart_entries"] == 0


@pytest.mark.parametrize("managed, others", [(DEVICE, 0), (DEVICE + 1, 1), (None, 1)])
def test_a_companion_that_is_there_makes_a_second_one_superfluous(boot, managed, others):
    """As in the series: it counts if it names this device of the guest and of the host."""
    host, extension = boot(f"apple-dma-pci,id=c0,addr=9,{HOST}"
                           + (f",managed-bdf={managed}" if managed else ""),
                           f"vfio-apple-pci,id=d0,addr={DEVICE >> 3:x},host=01:00.0")
    assert len(host.companions()) == 1 + others
    # Its user client is its own.
    host.use(9 << 3)
    host.mapped(host.data, 0x4000)
    assert extension.stats()["dart_entries"] == 1
    if others:
        other = [devfn for devfn in host.companions() if devfn != 9 << 3][0]
        host.config_write(9 << 3, 4, 0, 2)
        host.use(other)
        host.mapped(host.data, 0x4000)
        assert extension.stats()["dart_entries"] == 2
    else:
        with pytest.raises(RuntimeError, match="companion-stats"):
            host.get("d0", "companion-stats")
    host.reset()
    assert host.quit() == 0


def check_one_user_client(host):
    """The companion in slot 9 has the user client of the device's own: a handle is one of it."""
    first = [devfn for devfn in host.companions() if devfn != 9 << 3][0]
    host.use(first)
    host.mapped(host.data, 0x4000)
    host.config_write(first, 4, 0, 2)
    host.use(9 << 3)
    assert host.map((host.data, 0x4000)).status == host.wire.STATUS_IOERR


def test_a_companion_after_the_device_shares_its_user_client(boot):
    host, extension = boot(f"vfio-apple-pci,id=d0,addr={DEVICE >> 3:x},host=01:00.0",
                           f"apple-dma-pci,id=c0,addr=9,managed-bdf={DEVICE},{HOST}")
    check_one_user_client(host)
    assert host.unmap(host.data).status == host.wire.STATUS_OK
    assert extension.stats()["dart_entries"] == 0


@pytest.mark.parametrize("words, message", [
    (["apple-dma-pci,x-apple-host-bus=1"],
     "needs x-apple-host-bus (0 to 255), x-apple-host-device (0 to 31) and x-apple-host-function"),
    (["apple-dma-pci,x-apple-host-bus=1,x-apple-host-device=0,x-apple-host-function=8"],
     "x-apple-host-function (0 to 7)"),
    (["apple-dma-pci,x-apple-host-root=a"], "needs x-apple-host-bus"),
    (["apple-dma-pci,x-apple-host-bus=2,x-apple-host-device=0,x-apple-host-function=0"],
     "host=02:00.0: no driver extension has this device"),
    ([f"apple-dma-pci,dart=dart0,{HOST}"], "dart=dart0 and x-apple-host-...: one of them"),
    ([f"apple-dma-pci,{HOST},managed-bdf=x"], "managed-bdf=x: allowed are auto, and a number"),
    ([f"apple-dma-pci,{HOST},managed-bdf=4294967296"], "managed-bdf=4294967296: allowed are"),
    ([f"apple-dma-pci,{HOST},batch-entries=0"], "batch-entries=0: allowed is 1 or more"),
])
def test_a_companion_of_its_own_that_is_refused(boot, words, message):
    assert message in refusal(boot, *words)


def test_a_companion_of_its_own_needs_an_extension_that_opens_its_device(boot, extension):
    busy = extension("dma-engine,busy=on")
    assert "another driver has this device" in refusal(boot, f"apple-dma-pci,{HOST}", host=busy)


def properties(shim, qemu, device):
    """The properties of a device, with their types, as QEMU lists them."""
    done = subprocess.run(["timeout", "60", "env", *qtest.preload(shim), qemu, "-machine", "none",
                           "-device", f"{device},help"], stdout=subprocess.PIPE, text=True,
                          timeout=90, check=True)
    return dict(re.findall(r"^\s+([\w-]+)=<(\w+)>", done.stdout, re.MULTILINE))


@pytest.mark.parametrize("arch", qtest.ARCHES)
def test_the_properties_have_the_names_and_types_of_the_hosts(shims, arch):
    qemu = qtest.ARCHES[arch].qemu
    ours = properties(shims[arch], qemu, "apple-dma-pci")
    for name in ("managed-bdf", "max-entries", "x-apple-host-bus", "x-apple-host-device",
                 "x-apple-host-function"):
        assert ours[name] == "uint32"
    assert ours["x-apple-host-root"] == "str"
    ours = properties(shims[arch], qemu, "vfio-apple-pci")
    assert (ours["host"], ours["host-root"], ours["dma-companion"]) == ("str", "str", "bool")


# ------------------------------------------------------------------ today's launchers

def launcher(function, more=""):
    """The word of a launcher for one function of a device, with its quirks."""
    multi = ",multifunction=on" if function == 0 else ""
    return (f"vfio-apple-pci,id=d{function},host=05:00.{function},dma-companion=on,"
            f"addr=0x1e.{function:#x}{multi},rombar=0{more}")


@pytest.mark.parametrize("arch", qtest.ARCHES)
def test_a_launcher_gives_each_function_a_companion(boot, extension, arch):
    two = extension("dma-engine,bdf=05:00.0", "dma-engine,bdf=05:00.1")
    host, _ = boot(launcher(0), launcher(1), arch=arch, host=two)
    assert host.devices() == [0x1e << 3, 0x1e << 3 | 1]
    managed = set()
    for devfn in host.companions():
        host.use(devfn)
        managed.add(host.reg("MANAGED_BDF"))
        host.mapped(host.data, 0x4000)
        host.config_write(devfn, 4, 0, 2)
    assert managed == {0x1e << 3, 0x1e << 3 | 1}


@pytest.mark.parametrize("word, companions", [("", 1), (",dma-companion=on", 1),
                                              (",dma-companion=off", 0)])
def test_the_companion_can_be_left_out(boot, word, companions):
    """It is there by default, as in the series; today's hosts leave it out by default."""
    host, extension = boot(f"vfio-apple-pci,id=d0,host=01:00.0{word}")
    assert len(host.companions()) == companions
    assert len(host.devices()) == 1
    assert host.get("d0", "dma-companion") == bool(companions)
    host.reset()
    assert extension.stats()["dart_entries"] == 0
    assert host.quit() == 0


def test_host_root_tells_devices_of_one_address_apart(boot, extension):
    two = extension("dma-engine,root=pcic0-bridge", "nvme,size=64K,root=pcic1-bridge")
    host, _ = boot("vfio-apple-pci,host=01:00.0,host-root=pcic1-bridge",
                   "vfio-apple-pci,host=01:00.0,host-root=pcic0-bridge", host=two)
    found = host.functions()
    assert len(found[0x00f51b36]) == len(found[0x00f61b36]) == 1
    assert len(host.companions()) == 2


@pytest.mark.parametrize("roots", [("", ",host-root=pcic0-bridge"),
                                   (",host-root=pcic0-bridge", "")])
def test_a_device_is_the_same_with_and_without_its_root(boot, extension, roots):
    one = extension("dma-engine,root=pcic0-bridge")
    words = [f"vfio-apple-pci,host=01:00.0{root}" for root in roots]
    assert "host=01:00.0 is in this machine already" in refusal(boot, *words, host=one)


def test_a_companion_shares_a_user_client_also_if_one_names_the_root(boot, extension):
    one = extension("dma-engine,root=pcic0-bridge")
    host, _ = boot(f"vfio-apple-pci,id=d0,addr={DEVICE >> 3:x},host=01:00.0",
                   f"apple-dma-pci,id=c0,addr=9,managed-bdf={DEVICE},{HOST},"
                   "x-apple-host-root=pcic0-bridge", host=one)
    check_one_user_client(host)


@pytest.mark.parametrize("words, message", [
    (["vfio-apple-pci,host=01:00.0"],
     "several devices have this address; add host-root=, which is one of left, right"),
    (["vfio-apple-pci,host=01:00.0,host-root=up"],
     "no device with this address is below host-root=up; such devices are below left, right"),
    (["vfio-apple-pci,host=01:00.0,host-root=left", "vfio-apple-pci,host=01:00.0,host-root=left"],
     "host=01:00.0 is in this machine already"),
    ([f"apple-dma-pci,{HOST}"], "several devices have this address"),
])
def test_an_address_alone_may_not_be_enough(boot, extension, words, message):
    two = extension("dma-engine,root=left", "dma-engine,root=right")
    assert message in refusal(boot, *words, host=two)


def test_a_companion_of_its_own_below_a_root(boot, extension):
    two = extension("dma-engine,root=left", "dma-engine,root=right")
    host, _ = boot(f"apple-dma-pci,{HOST},x-apple-host-root=right", host=two)
    host.use(host.companions()[0])
    host.mapped(host.data, 0x4000)
    assert [each["dart_entries"] for each in two.all_stats()] == [0, 1]


# ------------------------------------------------------------------ the extension's device

EXPRESS, MSI, MSIX = 0x10, 0x05, 0x11
DEVCTL, DEVCTL2 = 8, 0x28
PINS = 0x08000204       # ISPENDR1 of the GIC: the pins are bits 3 to 6


@pytest.fixture
def machine(shims, wire, extension):
    """(machine, extension) with a vfio-apple-pci and its BARs placed."""
    started = []

    def begin(options="", device="dma-engine", arch="x86_64", more=()):
        host = extension(device, *more)
        started.append(Passthrough(shims[arch], wire, host, options, arch=qtest.ARCHES[arch]))
        return started[-1], host

    yield begin
    for each in started:
        each.close()


@pytest.mark.parametrize("reset, function, hot", [("flr", 1, 0), ("hot", 0, 1), ("none", 0, 0)])
def test_a_reset_is_of_the_function_or_else_of_its_bus_and_may_fail(machine, reset, function, hot):
    host, extension = machine(device=f"dma-engine,reset={reset}",
                              more=("dma-engine,bdf=01:00.1", "dma-engine,bdf=02:00.0"))
    before = extension.all_stats()
    failures = host.counts()["reset_failures"]
    host.store(host.bar0 + host.SCRATCH, 7)
    host.reset()
    host.wire_up()
    assert host.load(host.bar0 + host.SCRATCH) == (7 if reset == "none" else 0)
    assert host.counts()["reset_failures"] - failures == (reset == "none")
    assert host.log().count("the device cannot be reset") == (reset == "none")
    grown = [tuple(new[key] - old[key] for key in ("function_resets", "hot_resets"))
             for old, new in zip(before, extension.all_stats())]
    assert grown == [(function, hot), (0, hot), (0, 0)]
    # A guest sees what the device offers.
    at = host.capability(EXPRESS)
    assert bool(host.config_read(DEVICE, at + 4) >> 28 & 1) == (reset == "flr")
    assert host.quit() == 0


def test_a_device_without_interrupts_is_refused(boot, extension):
    """As by the series, where a machine with it does not start."""
    said = refusal(boot, "vfio-apple-pci,host=01:00.0",
                   host=extension("dma-engine,interrupts=none"))
    assert "its interrupts cannot be set up (IOReturn 0xe00002f0)" in said


def test_the_guest_sees_the_devices_pin_and_its_interrupt(machine):
    """It ends with an access to a BAR, as VFIO's does. The platform has no level."""
    host, extension = machine(device="dma-engine,interrupts=intx", arch="arm64")
    assert host.config_read(DEVICE, 0x3d, 1) == 1
    assert host.counts()["vectors"] == 1
    assert host.load(PINS) == 0
    host.store(host.bar0 + host.RAISE, 0)
    wait_for(lambda: host.load(PINS))
    assert host.counts()["delivered"] == 1
    host.load(host.bar0)
    assert host.load(PINS) == 0
    # Off at the guest's side, and then at the device.
    host.store(host.bar0 + host.RAISE, 0)
    wait_for(lambda: host.load(PINS))
    host.config_write(DEVICE, 4, 0x406, 2)
    assert host.load(PINS) == 0
    host.store(host.bar0 + host.RAISE, 0)
    assert extension.stats()["raised"] == 2
    host.config_write(DEVICE, 4, 0x006, 2)
    host.store(host.bar0 + host.RAISE, 0)
    wait_for(lambda: host.load(PINS))
    host.reset()
    host.wire_up()
    assert host.load(PINS) == 0
    host.store(host.bar0 + host.RAISE, 0)
    wait_for(lambda: host.load(PINS))


@pytest.mark.parametrize("pin, seen", [(0, 0), (4, 4), (5, 0), (255, 0)])
def test_a_pin_that_no_device_has_is_none(shims, wire, extension, tmp_path, pin, seen):
    def answer(selector, inputs, outputs):
        return (pin << 8,) if (selector, inputs) == (CONFIG_READ, (0x3c, 4)) else outputs

    proxy = Proxy(tmp_path, extension(), answer=answer)
    host = Passthrough(shims["x86_64"], wire, proxy)
    assert host.config_read(DEVICE, 0x3d, 1) == seen
    host.store(host.bar0 + host.RAISE, 0)
    host.reset()
    assert host.quit() == 0
    host.close()
    proxy.close()


@pytest.mark.parametrize("map_bars, mapped", [("on", 1), ("off", 0)])
def test_prefetchable_bars_are_mapped_write_combined(machine, map_bars, mapped):
    _, extension = machine(f",map-bars={map_bars}")
    now = extension.stats()
    assert (now["mapped"], now["write_combined"]) == (mapped, mapped)


@pytest.mark.parametrize("name, msi, devctl, function_resets", [("own", False, True, 1),
                                                                ("rfc", True, True, 1),
                                                                ("today", False, False, 0)])
def test_what_of_configuration_space_reaches_the_device(machine, name, msi, devctl,
                                                        function_resets):
    host, extension = machine(f",config-filter={name}", device="dma-engine,interrupts=msi")
    assert host.get("dext0", "config-filter") == name
    client = Client(extension.socket)
    before = extension.stats()["function_resets"]
    express, at = host.capability(EXPRESS), host.capability(MSI)
    host.config_write(DEVICE, at + 4, 0x12345670)
    host.config_write(DEVICE, at + 2, 1, 2)
    assert host.config_read(DEVICE, at + 4) == 0x12345670
    assert (client.config(at + 4), client.config(at + 2, 2) & 1) == (
        (0x12345670, 1) if msi else (0, 0))
    held = host.counts()["held_config_writes"]
    host.config_write(DEVICE, express + DEVCTL, 0x2810, 2)
    host.config_write(DEVICE, express + DEVCTL2, 0x0010, 2)
    assert client.config(express + DEVCTL, 2) == (0x2810 if devctl else 0)
    assert host.counts()["held_config_writes"] - held == (0 if devctl else 2)
    # The reset of the guest's driver: ResetDevice, the device's own, or nothing.
    host.config_write(DEVICE, express + DEVCTL, 0x8000, 2)
    assert extension.stats()["function_resets"] - before == function_resets
    assert client.config(4, 2) == (0 if name == "rfc" else 6)
    host.config_write(DEVICE, 4, 6, 2)
    assert client.config(4, 2) == 6
    client.close()


@pytest.mark.parametrize("name, through", [("own", False), ("rfc", True), ("today", True)])
def test_msix_control_reaches_the_device_on_the_known_hosts(machine, name, through):
    host, extension = machine(f",config-filter={name}")
    client = Client(extension.socket)
    at = host.capability(MSIX)
    host.config_write(DEVICE, at + 2, 0xc000, 2)
    assert host.config_read(DEVICE, at + 2, 2) & 0xc000 == 0xc000
    assert client.config(at + 2, 2) & 0xc000 == (0xc000 if through else 0)
    client.close()


# ------------------------------------------------------------------ mac.md

MAC = Path(__file__).resolve().parents[2] / "Documentation" / "mac.md"
COMMANDS = re.findall(r"^```sh mac\n(.*?)^```$", MAC.read_text(), re.M | re.S)


def passed(command):
    """The words for passed-through functions in a block of mac.md."""
    return re.findall(r"-device (vfio-apple-pci,\S+)", command)


def at(extension, words):
    """An extension that has the devices of these words."""
    return extension(*(f"dma-engine,bdf={re.search('host=([^,]+)', word)[1]}" for word in words))


@pytest.mark.parametrize("words", [passed(command) for command in COMMANDS if passed(command)],
                         ids=len)
def test_mac_md_gives_each_function_a_companion(boot, extension, words):
    """Today's hosts make none unless they are told to."""
    assert all({"dma-companion=on", "rombar=0"} <= set(word.split(",")) for word in words)
    host, _ = boot(*words, arch="arm64", host=at(extension, words))
    managed = []
    for devfn in host.companions():
        host.use(devfn)
        managed.append(host.reg("MANAGED_BDF"))
        host.config_write(devfn, 4, 0, 2)
    assert len(managed) == len(words) and sorted(managed) == host.devices()


def test_the_command_of_mac_md_starts(shims, extension, tmp_path):
    """With what this machine has in place of a Mac's accelerator, display, firmware and disk."""
    command, = [command for command in COMMANDS if "qemu-system-aarch64" in command]
    text = command[command.index("qemu-system-aarch64"):].replace("\\\n", " ")
    (tmp_path / "firmware").write_bytes(qtest.ARM.firmware)
    with (tmp_path / "disk").open("wb") as disk:
        disk.truncate(1 << 20)
    for there, here in (("-accel hvf", "-accel tcg"), ("-cpu host", "-cpu max"), ("8G", "128M"),
                        ("-display cocoa", "-display none"), ("guest.qcow2", tmp_path / "disk"),
                        ("edk2-aarch64-code.fd", tmp_path / "firmware")):
        assert there in text
        text = text.replace(there, str(here))
    dext = at(extension, passed(command))
    done = subprocess.run(["timeout", "60", "env", f"APPLE_DEXT_SOCKET={dext.socket}",
                           *qtest.preload(shims["arm64"]), *shlex.split(text), "-S", "-serial",
                           "none", "-monitor", "stdio"], input="info pci\nquit\n", check=False,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=90)
    assert done.returncode == 0 and done.stdout.count("1b36:0015") == 1, done.stdout
