# SPDX-License-Identifier: GPL-2.0
"""One run of the guest: talks with it until its command has returned."""

import contextlib
import fcntl
import hashlib
import json
import os
import selectors
import shutil
import signal
import sys
import tempfile
import termios
import time
import tty

from . import dext
from .console import Console
from .errors import EXIT_TESTBED, TestbedError, detail, warn
from .qmp import QmpError

BOOT = 180              # seconds until the guest's first program; 5 to 40 are usual
POWER_OFF = 60          # seconds the guest has to power off
SAME_RESET = 2          # resets within so many seconds are one: x86 tries several ways
RESETS = ("guest-reset", "host-qmp-system-reset")   # other reasons belong to waking up
FREED = 10              # seconds in which a device that was removed releases its drive
AFTER_OOPS = 30         # seconds a guest has to go on after an Oops


class Session:
    """Follows a Qemu. `status` is the command's, or None if it never returned."""

    def __init__(self, qemu, companions, args, enforce, dextd=None):
        self._qemu = qemu
        self._dextd = dextd
        # Faults before the firmware that runs now; None when no firmware runs.
        self._before_firmware = [0] * len(args.dext_device)
        self.firmware_faults = {}       # of each --dext-device; None when they are not known
        self._companions = companions
        self._args = args
        self._enforce = enforce         # what to set on the DARTs at hello
        self._boots = 0
        self._resets = 0
        self._last_reset = 0.0
        self._due = []                  # (when, what) of _later()
        self._control = b""
        self._start = time.monotonic()
        self._deadline = self._start + args.timeout
        self._oops = None
        self._selector = selectors.DefaultSelector()
        self._problem = None
        self._terminal = None
        self._window = None
        self.console = Console(qemu.console, crashes=args.reboots > 0)
        self.status = None
        self.stuck = False              # it did not boot
        self.at_exit = {}               # statistics when the command returned
        self.times = {}

    # The guest's requests over the control port.

    def _mark(self, name):
        self.times.setdefault(name, time.monotonic() - self._start)
        if self._args.verbose:
            warn(f"{time.monotonic() - self._start:6.1f} s  {name}")

    @property
    def booted(self):
        """Whether a program of the guest has ever run."""
        return self._boots > 0

    def statistics(self):
        """What each companion counted, asked from the running QEMU, and dextd's devices."""
        found = {}
        for name in self._companions:
            try:
                found[name] = json.loads(self._qemu.qmp.get(name, "stats"))
            except QmpError:
                if not self._args.hotplug:
                    raise
                # Its DART is still there, and counts.
                dart = json.loads(self._qemu.qmp.get(name.replace("companion", "dart"), "stats"))
                found[name] = {**dart, "name": name, "gone": True}
        if self._dextd:
            try:
                devices = self._dextd.statistics()
            except TestbedError:
                devices = [None] * len(self._args.dext_device)
            for number, device in enumerate(devices):
                name = f"dext{number}"
                firmware = self.firmware_faults.get(name, 0)
                own = json.loads(self._qemu.qmp.get(name, "companion-stats"))
                own["passthrough"] = json.loads(self._qemu.qmp.get(name, "stats"))
                found[name] = dext.merge(own, device, firmware)
        return found

    def _faults(self):
        """The faults of each --dext-device up to now, None where they are not known."""
        try:
            return [dext.faults(device) for device in self._dextd.statistics()]
        except TestbedError:
            return [None] * len(self._args.dext_device)

    def _forgive_firmware(self):
        """Count the firmware's faults apart: SeaBIOS uses disks, and the DART is already on.

        After kexec no firmware ran, and all faults count.
        """
        before, self._before_firmware = self._before_firmware, None
        for number, (old, new) in enumerate(zip(before, self._faults()) if before else ()):
            name = f"dext{number}"
            known = self.firmware_faults.get(name, 0)
            self.firmware_faults[name] = None if None in (known, old, new) else known + new - old

    def _hello(self, _rest):
        self._boots += 1
        if self._dextd:
            self._forgive_firmware()
        self._mark(f"boot {self._boots}")
        self._count_boots()
        for name, value in self._enforce.items():
            self._qemu.qmp.set(name, "enforce", value)
        return str(self._boots)

    def _ready(self, _rest):
        self._mark("command started")
        return ""

    def _note(self, rest):
        warn(f"note: {rest}")
        return ""

    def _fail(self, rest):
        self._problem = f"the guest: {rest}"
        return ""

    def _stats(self, _rest):
        return json.dumps(list(self.statistics().values()))

    def _set(self, rest):
        words = rest.split(" ", 2)
        if len(words) != 3:
            raise QmpError("usage: set DEVICE PROPERTY VALUE")
        device, name, value = words
        self._qemu.qmp.set(device, name, int(value) if value.isdigit() else value)
        return ""

    def _screen(self, device):
        """Width, height, and the digest of the red, green and blue of each pixel."""
        with tempfile.NamedTemporaryFile(suffix=".ppm") as file:
            self._qemu.qmp.command("screendump", filename=file.name, device=device)
            header = [file.readline() for _ in range(3)]
            return f"{header[1].decode().strip()} {hashlib.sha256(file.read()).hexdigest()}"

    def _monitor(self, line):
        """QEMU's answer to LINE, a command of its human monitor; most have none."""
        said = self._qemu.qmp.command("human-monitor-command", command_line=line).strip()
        if said.startswith("Error:"):
            raise QmpError(said[len("Error:"):].strip())
        return " ".join(said.split())

    def _later(self, rest):
        """Run a command of the monitor in so many seconds: for a guest that is asleep."""
        seconds, _, line = rest.partition(" ")
        if not seconds.isdigit() or not line:
            raise QmpError("usage: later SECONDS LINE")
        self._due.append((time.monotonic() + int(seconds), line))
        return ""

    def _do_what_is_due(self):
        now = time.monotonic()
        due = [line for when, line in self._due if when <= now]
        self._due = [each for each in self._due if each[0] > now]
        for line in due:
            self._monitor(line)

    def _pull(self, name):
        """Take the device NAME out of its slot without telling the guest."""
        self._qemu.qmp.set(f"{name}-slot", "empty", True)
        return ""

    def _plug(self, name):
        """Put the device NAME back, as it was at the start."""
        for option, value in zip(self._qemu.argv, self._qemu.argv[1:]):
            if option == "-device" and f",id={name}," in f"{value},":
                return self._add_device(value)
        raise QmpError(f"there is no device {name}")

    def _add_device(self, value):
        """QEMU frees a removed device a little later, and until then that has its drive."""
        end = time.monotonic() + FREED
        while True:
            try:
                return self._monitor(f"device_add {value}")
            except QmpError as error:
                if "conflict" not in str(error) or time.monotonic() > end:
                    raise
            time.sleep(0.05)

    def _kill_dextd(self, _rest):
        if not self._dextd:
            raise QmpError("there is no --dext-device")
        self._dextd.kill()
        return ""

    def _reset(self, _rest):
        """No answer, as the next kernel would read it."""
        self._qemu.qmp.command("system_reset")

    def _exit(self, rest):
        self.status = int(rest)
        self._mark("command returned")
        with contextlib.suppress(QmpError):
            self.at_exit = self.statistics()
        self._deadline = time.monotonic() + (10 if self._args.no_module else POWER_OFF)
        return ""

    def _answer(self, line):
        verb, _, rest = line.partition(" ")
        verbs = {"hello": self._hello, "ready": self._ready, "note": self._note,
                 "fail": self._fail, "stats": self._stats, "set": self._set, "screen": self._screen,
                 "monitor": self._monitor, "later": self._later, "pull": self._pull,
                 "plug": self._plug, "kill-dextd": self._kill_dextd, "reset": self._reset,
                 "exit": self._exit}
        if verb not in verbs:
            return f"error unknown request '{verb}'"
        try:
            answer = verbs[verb](rest)
        except QmpError as error:
            return f"error {error}"
        return None if answer is None else f"ok {answer}".strip()

    def _on_control(self):
        data = self._read("control")
        self._control += data
        while b"\n" in self._control:
            line, self._control = self._control.split(b"\n", 1)
            text = line.decode(errors="replace").strip()
            answer = self._answer(text) if text else None
            if answer:
                self._qemu.channels["control"].sendall(answer.encode() + b"\n")

    # Other channels.

    def _read(self, name):
        """What the channel NAME has; it is dropped when QEMU closed it."""
        try:
            data = self._qemu.channels[name].recv(1 << 18)
        except BlockingIOError:
            return b""
        except OSError:
            data = b""
        if not data:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(self._qemu.channels[name])
        return data

    def _on_output(self, name, stream):
        data = self._read(name)
        if data:
            try:
                stream.write(data)
                stream.flush()
            except BrokenPipeError:
                raise TestbedError("nobody reads the output any more") from None

    def _on_qmp(self):
        if not self._qemu.qmp.receive():
            self._selector.unregister(self._qemu.channels["qmp"])
        self._take_events()

    def _take_events(self):
        for event in self._qemu.qmp.events():
            if event["event"] == "SUSPEND":
                warn("note: the guest sleeps, and is woken")
                self._qemu.qmp.command("system_wakeup")
            if event["event"] != "RESET" or event["data"].get("reason") not in RESETS:
                continue
            # Firmware uses the disks again before the guest is back.
            for name in self._enforce:
                self._qemu.qmp.set(name, "enforce", "auto")
            if self._dextd:
                self._before_firmware = self._faults()
            self._control = b""
            now = time.monotonic()
            if now - self._last_reset > SAME_RESET:
                self._resets += 1
                self._mark(f"reset {self._resets}")
                self._count_boots()
            self._last_reset = now

    def _count_boots(self):
        if max(self._resets, self._boots - 1) > self._args.reboots:
            self._problem = (f"the guest rebooted more often than --reboots {self._args.reboots} "
                             "allows")

    def _on_typed(self):
        data = os.read(sys.stdin.fileno(), 4096)
        if data:
            self._qemu.channels["terminal"].sendall(data)
        else:
            self._selector.unregister(sys.stdin)

    # The run itself.

    def _watch(self):
        handlers = {
            "qmp": self._on_qmp,
            "control": self._on_control,
            "stdout": lambda: self._on_output("stdout", sys.stdout.buffer),
            "stderr": lambda: self._on_output("stderr", sys.stderr.buffer),
            "terminal": lambda: self._on_output("terminal", sys.stdout.buffer),
        }
        for name, sock in self._qemu.channels.items():
            self._selector.register(sock, selectors.EVENT_READ, handlers[name])
        if self._terminal:
            self._selector.register(sys.stdin, selectors.EVENT_READ, self._on_typed)

    def _check(self):
        """Raise when waiting any longer is useless."""
        self.console.poll()
        self._do_what_is_due()
        if self._dextd and not self._problem:
            self._problem = self._dextd.problem()
        if self._problem:
            # Wait for the last lines that the guest printed.
            time.sleep(0.3)
            raise TestbedError(self._problem)
        now = time.monotonic()
        if not self.booted and now > self._start + BOOT:
            self.stuck = True
            raise TestbedError(f"the guest ran no program in {BOOT} s")
        if self.console.fatal and self._oops is None:
            self._oops = now
        if self._oops is not None and now - self._oops > 2 and any(
                "panic" in report for report in self.console.reports):
            raise TestbedError("the guest's kernel panicked")
        if self._oops is not None and now - self._oops > AFTER_OOPS and self.status is None:
            raise TestbedError(f"the guest got nowhere in {AFTER_OOPS} s after a kernel report")
        if now > self._deadline:
            if self.status is not None and self._args.no_module:
                # A driver may wait for a device that the DART has blocked.
                self._qemu.stop()
                return
            if self.status is not None:
                raise TestbedError(f"the guest did not power off in {POWER_OFF} s")
            where = ("while the command ran" if "command started" in self.times else
                     "before the command started")
            raise TestbedError(f"no result after {self._args.timeout:.0f} s (--timeout), {where}")

    def run(self):
        """Follow the guest until it is off; raises TestbedError if it gets stuck."""
        try:
            self._qemu.qmp.greet()
        except QmpError:
            self._qemu.wait(5)
            raise TestbedError("QEMU did not start") from None
        self._watch()
        while True:
            for key, _ in self._selector.select(0.2):
                key.data()
            self._take_events()
            self._check()
            if self._qemu.ended() is not None:
                break
        self._drain()
        self.console.finish()
        if self.status is None:
            raise TestbedError(self._problem or f"{self._end()} before the command returned")
        if self._qemu.ended() and not self._qemu.killed:
            raise TestbedError(f"{self._end()} after the command returned")

    def _end(self):
        status = self._qemu.ended()
        if status < 0:
            return f"QEMU died of signal {-status} ({signal.Signals(-status).name})"
        if status == 0:
            return "the guest powered off"
        return f"QEMU ended with status {status}"

    def _drain(self):
        for name, stream in (("stdout", sys.stdout.buffer), ("stderr", sys.stderr.buffer),
                             ("terminal", sys.stdout.buffer)):
            if name in self._qemu.channels:
                self._qemu.channels[name].setblocking(False)
                while self._qemu.channels[name] in self._selector.get_map():
                    before = time.monotonic()
                    self._on_output(name, stream)
                    if time.monotonic() - before > 5:
                        break

    @contextlib.contextmanager
    def terminal(self):
        """Give the guest this process's terminal, raw, for the block."""
        fileno = sys.stdin.fileno()
        saved = termios.tcgetattr(fileno)
        self._terminal = True
        try:
            tty.setraw(fileno)
            yield
        finally:
            termios.tcsetattr(fileno, termios.TCSADRAIN, saved)
            flags = fcntl.fcntl(fileno, fcntl.F_GETFL)
            fcntl.fcntl(fileno, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)


def window():
    """(rows, columns) of this terminal."""
    size = shutil.get_terminal_size()
    return size.lines, size.columns


def failure_details(qemu, console):
    """Print what shows why a run failed."""
    said = qemu.stderr()
    if said:
        warn("QEMU said:")
        for line in said[-10:]:
            detail(line)
    lines = console.last_lines()
    if lines:
        warn("the last lines on the guest's console:")
        for line in lines:
            detail(line)
    return EXIT_TESTBED
