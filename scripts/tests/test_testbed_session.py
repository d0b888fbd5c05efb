# SPDX-License-Identifier: GPL-2.0
"""A run without a guest: QEMU's monitor and dextd are scripts; faults, verdicts, retries."""

import contextlib
import json

import pytest

from conftest import aborted_early
from testbed import arch, cli, dext, errors, session


class FakeQemu:
    """Stands for QEMU where only its monitor is asked."""

    class Monitor:
        """Answers qom-get with statistics and remembers qom-set."""

        def __init__(self):
            self.was_set = []

        def get(self, name, _prop):
            return json.dumps({"name": name, "doorbells": 3})

        def set(self, *args):
            self.was_set.append(args)

        def command(self, name):
            self.was_set.append(name)

        def events(self):
            return [{"event": "RESET", "data": {"guest": True, "reason": "guest-reset"}}]

    def __init__(self):
        self.qmp = self.Monitor()
        self.console = "/nonexistent"
        self.channels = {}


def _session(reboots=0, enforce=None):
    args = cli.parser().parse_args(["run", "--reboots", str(reboots)])
    return session.Session(FakeQemu(), ["companion0"], args, enforce or {})


def _ask(talk, line):
    return talk._answer(line)  # pylint: disable=protected-access


def test_hello_enforces_and_counts_boots():
    talk = _session(enforce={"dart0": "on"})
    assert _ask(talk, "hello") == "ok 1"
    assert talk._qemu.qmp.was_set == [("dart0", "enforce", "on")]


def test_statistics_are_an_array():
    assert json.loads(_ask(_session(), "stats")[3:]) == [{"name": "companion0", "doorbells": 3}]


def test_unknown_request_is_an_error():
    assert _ask(_session(), "sing").startswith("error")
    assert _ask(_session(), "set dart0").startswith("error")


def test_reset_has_no_answer():
    """An answer would be read by the next kernel."""
    talk = _session()
    assert _ask(talk, "reset") is None
    assert talk._qemu.qmp.was_set == ["system_reset"]


def test_resets_that_come_together_are_one_reboot():
    talk = _session(reboots=1)
    _ask(talk, "hello")
    talk._take_events()
    talk._take_events()
    assert talk._problem is None
    talk._last_reset -= 10
    talk._take_events()
    assert "--reboots 1" in talk._problem


@pytest.mark.parametrize("booted, report, race", [
    (False, "Oops: int3: 0000 [#1] SMP NOPTI", True),
    (True, "Oops: int3: 0000 [#1] SMP NOPTI", False),
    (False, "Oops: 0000 [#1] SMP NOPTI", False)])
def test_only_a_spoiled_boot_is_tried_again(booted, report, race):
    talk = _session()
    if booted:
        _ask(talk, "hello")
    talk.console.reports.append(report)
    assert cli._spoiled(talk) is race  # pylint: disable=protected-access


@pytest.mark.parametrize("booted, after, stuck", [
    (False, session.BOOT + 1, True), (False, session.BOOT - 9, False),
    (True, session.BOOT + 1, False)])
def test_boot_that_hangs_is_tried_again(booted, after, stuck):
    talk = _session()
    if booted:
        _ask(talk, "hello")
    talk._start -= after
    with (pytest.raises(errors.TestbedError, match="ran no program") if stuck
          else contextlib.nullcontext()):
        talk._check()  # pylint: disable=protected-access
    assert cli._spoiled(talk) is stuck  # pylint: disable=protected-access


@pytest.mark.parametrize("spoiled, told", [(0, 0), (1, 1), (2, 2), (3, 2)])
def test_boot_that_is_spoiled_is_told(monkeypatch, tmp_path, spoiled, told):
    """Each boot that is repeated is told; the last one is an error."""
    tries, file = [None] * spoiled + [5], tmp_path / "told"
    monkeypatch.setenv("APPLE_DMA_TRIED_AGAIN", str(file))
    monkeypatch.setattr(cli, "check", lambda *_: (arch.X86_64, None, [], [], [], 0))
    monkeypatch.setattr(cli, "_parts", lambda *_: (None,) * 5)
    monkeypatch.setattr(cli, "_attempt", lambda *_: tries.pop(0))
    args = cli.parser().parse_args(["run"])
    if spoiled < cli.TRIES:
        assert cli.run(args, ["true"]) == 5
    else:
        with pytest.raises(errors.TestbedError, match="did not get up in 3 tries"):
            cli.run(args, ["true"])
    lines = file.read_text().splitlines() if file.exists() else []
    assert len(lines) == told
    assert all("test_boot_that_is_spoiled_is_told" in line and cli.SPOILED in line
               for line in lines)


# Faults

class FakeExtension:
    """Stands for dextd with one device that has so many `faults`; None: they are not known."""

    def __init__(self):
        self.faults = 0
        self.killed = False

    def device(self):
        return {"dart_entries": 0, "dart_bytes": 0, "read_faults": self.faults, "write_faults": 0,
                "modelled_us": 0, "panics": 0, "panic": None}

    def statistics(self):
        if self.faults is None:
            raise errors.TestbedError("dextd does not tell its statistics")
        return [self.device()]

    def finish(self):
        return [None if self.faults is None else self.device()]


def _with_extension():
    """A session with a --dext-device, and its extension."""
    args = cli.parser().parse_args(["run", "--reboots", "9", "--dext-device", "nvme"])
    extension = FakeExtension()
    return session.Session(FakeQemu(), [], args, {}, extension), extension


def _final(talk, extension, folder, name="dext0"):
    return cli._statistics(  # pylint: disable=protected-access
        talk, [name], str(folder), extension)[name]


def _boot(talk, extension, faults, reset):
    """Faults before the next kernel is up, of firmware after a RESET or of the last kernel."""
    if reset:
        talk._take_events()
        talk._last_reset -= 10
    extension.faults += faults
    _ask(talk, "hello")


@pytest.mark.parametrize("reset, counted", [(True, 2), (False, 9)])
def test_only_firmware_is_forgiven(tmp_path, reset, counted):
    """Firmware runs before the first kernel and after a reset, and not after kexec."""
    talk, extension = _with_extension()
    _boot(talk, extension, 3, False)
    extension.faults += 2
    _boot(talk, extension, 7, reset)
    made = _final(talk, extension, tmp_path)
    assert made["faults"] == counted
    assert made["firmware_faults"] == 12 - counted


@pytest.mark.parametrize("when", ["reset", "hello", "end"])
def test_extension_that_does_not_tell_has_unknown_faults(tmp_path, when):
    """Not 0, even if it tells later, as the firmware's share is not known then."""
    talk, extension = _with_extension()
    _boot(talk, extension, 0, False)
    known = extension.faults
    for step, ask in (("reset", talk._take_events), ("hello", lambda: _ask(talk, "hello")),
                      ("end", lambda: None)):
        extension.faults = None if step == when else known
        ask()
        if step == when:
            live = json.loads(_ask(talk, "stats")[3:])[0]
            assert live["faults"] is None
    assert _final(talk, extension, tmp_path)["faults"] is None


def test_dart_counts_for_a_companion_that_is_gone(tmp_path):
    """The companion has only counted while it was there."""
    (tmp_path / "companion0.json").write_text('{"name": "companion0", "doorbells": 3, "faults": 0}')
    (tmp_path / "dart0.json").write_text('{"name": "dart0", "faults": 4}')
    talk = _session()
    talk.at_exit = {"companion0": {"gone": True, "faults": 2}}
    made = _final(talk, None, tmp_path, "companion0")
    assert (made["name"], made["doorbells"], made["faults"]) == ("companion0", 3, 4)
    assert made["gone"]


def test_faults_are_unknown_without_the_file_of_the_dart(tmp_path):
    (tmp_path / "companion0.json").write_text('{"name": "companion0", "faults": 0}')
    talk = _session()
    talk.at_exit = {"companion0": {"faults": 0}}
    assert _final(talk, None, tmp_path, "companion0")["faults"] is None
    assert _final(talk, None, tmp_path / "nowhere", "companion0")["faults"] is None


def test_companion_that_is_gone_has_the_faults_of_its_dart():
    """Also in the answer to the guest."""
    talk = _session()
    talk._args.hotplug = True

    def get(name, _prop):
        if name == "companion0":
            raise session.QmpError("not found")
        return json.dumps({"name": name, "faults": 5})

    talk._qemu.qmp.get = get
    assert json.loads(_ask(talk, "stats")[3:]) == [{"name": "companion0", "gone": True, "faults": 5}]


@pytest.mark.parametrize("entry, options, status, said", [
    ({"faults": 0}, [], 5, ""),
    ({"faults": 2}, [], 98, "DART fault: 2 refused access(es)"),
    ({"faults": 2}, ["--allow-faults"], 5, ""),
    ({"faults": None}, [], 99, "testbed: nobody has counted the faults of the device of dext0"),
    ({}, [], 99, "testbed: nobody has counted the faults of the device of dext0"),
    ({}, ["--no-module"], 99, "testbed: nobody has counted the faults of the device of dext0"),
    ({"faults": None, "killed": True}, [], 5, "note: nobody has counted the faults of the device "
     "of dext0 to the end; the run ended its extension"),
    ({}, ["--allow-faults"], 5, "; faults are allowed"),
])
def test_verdict_on_faults(tmp_path, capsys, entry, options, status, said):
    """Unknown faults are not 0."""
    args = cli.parser().parse_args(["run", *options])
    talk = _session()
    talk.status = 5
    assert cli._verdict(talk, args, str(tmp_path), {"dext0": entry}) == status
    found = capsys.readouterr().err
    assert said in found and bool(said) == bool(found)


PANIC = {"gpa": 0x4000, "size": 16384, "bytes": 1500000256, "entries": 9}


@pytest.mark.parametrize("faults, options, reports, status", [
    (0, [], [], 96), (1, ["--allow-faults"], [], 96), (1, [], [], 96), (0, [], ["a WARN"], 97)])
def test_verdict_on_what_would_take_a_mac_down(tmp_path, capsys, faults, options, reports, status):
    """Allowed faults do not allow it."""
    args = cli.parser().parse_args(["run", *options])
    talk = _session()
    talk.status = 0
    talk.console.reports = reports
    stats = {"companion0": {"faults": 0, "panics": 0, "panic": None},
             "companion1": {"faults": faults, "panics": 2, "panic": PANIC}}
    assert cli._verdict(talk, args, str(tmp_path), stats) == status
    said = capsys.readouterr().err
    assert ("the map of 16384 bytes at 0x4000, with which there are 1500000256 bytes in 9 "
            "mappings, of companion1") in said and "companion0" not in said


def test_fault_of_one_device_outweighs_what_is_not_known_of_another(tmp_path, capsys):
    talk = _session()
    args = cli.parser().parse_args(["run"])
    assert cli._verdict(talk, args, str(tmp_path), {"dext0": {}, "dext1": {"faults": 1}}) == 98
    said = capsys.readouterr().err
    assert "of dext0" in said and "of dext1" in said


# A process that stands for dextd; %s is what it does at SIGTERM.
EXTENSION = r"""#!/bin/sh
while [ $# -gt 0 ]; do
	case $1 in --socket) socket=$2 ;; --stats) stats=$2 ;; esac
	shift
done
tell() {
	echo '{"devices": [{"read_faults": 1, "write_faults": 2}]}' >"$stats.part"
	mv "$stats.part" "$stats"
}
trap tell USR1
trap '%s' TERM
: >"$socket"
while :; do sleep 0.02; done
"""


@pytest.fixture(name="extension")
def _extension(tmp_path):
    """Start one; AT_TERM is what it does at SIGTERM."""
    found = []

    def start(at_term="tell; exit 0"):
        program = tmp_path / "dextd"
        program.write_text(EXTENSION % at_term)
        program.chmod(0o755)
        folder = tmp_path / str(len(found))
        folder.mkdir()
        found.append(dext.Dextd(str(program), ["nvme"], [{"dart": {}}], str(folder)))
        return found[-1]

    yield start
    for each in found:
        each.close()


def test_extension_that_ends_as_asked(extension):
    running = extension()
    assert running.statistics() == [{"read_faults": 1, "write_faults": 2}]
    assert running.problem() is None
    assert running.finish() == [{"read_faults": 1, "write_faults": 2}]
    assert running.problem() is None and not running.killed


def test_extension_that_the_run_kills(extension):
    running = extension()
    running.kill()
    assert running.problem() is None and running.killed
    assert running.finish() == [None]
    assert running.problem() is None


def test_extension_that_another_kills(extension):
    """Such as the kernel when memory is short; it was not asked for."""
    running = extension()
    running._process.kill()
    running._process.wait()
    assert "dextd ended with -9" in running.problem() and not running.killed
    running.kill()
    assert "dextd ended with -9" in running.problem() and not running.killed
    assert running.finish() == [None]


def test_extension_that_ends_early(extension):
    running = extension()
    running._process.terminate()
    running._process.wait()
    assert "dextd ended with 0" in running.problem()
    assert running.finish() == [None]


@pytest.mark.parametrize("at_term, counted", [("tell; exit 3", True), ("exit 3", False)])
def test_extension_that_ends_badly(extension, at_term, counted):
    """As a sanitizer ends it: with new statistics or without any."""
    running = extension(at_term)
    running.statistics()
    assert (running.finish() != [None]) is counted
    assert "dextd ended with 3" in running.problem()


def test_exit_keeps_the_status():
    talk = _session()
    _ask(talk, "exit 42")
    assert talk.status == 42 and talk.at_exit["companion0"]["doorbells"] == 3


@pytest.mark.parametrize("err, log, again", [
    ("{died}QEMU said:\n  qemu: ../../hw/pci/msix.c:218: msix_table_mmio_write: Assertion `a' "
     "failed.", "pci 0000:00:13.0: BAR 0", True),
    ("{died}QEMU said:\n  qemu: ../../hw/pci/msix.c:218: msix_table_mmio_write: Assertion `a' "
     "failed.", "testbed: boot 1", False),
    ("{died}QEMU said:\n  qemu: ../../hw/core/cpu.c:1: cpu: Assertion `a' failed.", "", False),
    ("testbed: the guest powered off before the command returned", "", False)])
def test_only_one_abort_of_qemu_is_forgiven(err, log, again):
    """An assertion of its MSI-X emulation, before the guest is up."""
    died = "testbed: QEMU died of signal 6 (SIGABRT) before the command returned\ntestbed: "
    assert aborted_early(err.format(died=died), log) is again
