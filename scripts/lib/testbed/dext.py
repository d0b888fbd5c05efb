# SPDX-License-Identifier: GPL-2.0
"""Devices of a driver extension: dextd's process, and vfio-apple-pci for QEMU."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time

from . import cache, qemu
from .errors import TestbedError, UsageError, allowed

MODELS = ("nvme", "dma-engine")
MAX_DEVICES = 6
FIRST_SLOT = 0x3        # of the first device; the next ones are its functions' companions
DEADLINE = 10           # seconds dextd has to answer
FUNCTION = re.compile(r",function=([0-7])(?=,|$)")      # in the slot of the device before it


def _placed(specs):
    """(card, slot, function) of each of SPECS: a card has a slot, and one for each companion."""
    found, card, slot = [], -1, FIRST_SLOT
    for spec in specs:
        function = FUNCTION.search(spec)
        if not function:
            members = sum(1 for each in found if each[0] == card)
            card, slot = card + 1, slot + members + (members > 0)
        found.append((card, slot, int(function.group(1)) if function else 0))
    return found


def places(specs):
    """Where the guest sees each device."""
    return [f"0000:00:{slot:02x}.{function}" for _, slot, function in _placed(specs)]


def check(specs):
    """Raise UsageError for what cannot be a device."""
    if len(specs) > MAX_DEVICES:
        raise UsageError(f"{len(specs)} --dext-device; at most {MAX_DEVICES} fit")
    for spec in specs:
        model = spec.split(",")[0]
        if model not in MODELS:
            raise allowed("--dext-device", model, MODELS)
        if ",bdf=" in spec:
            raise UsageError(f"--dext-device {spec}: 'bdf' is the testbed's to choose; leave "
                             "it out")
    before = (None, None, None)
    for spec, placed in zip(specs, _placed(specs)):
        if "function=" in spec and not FUNCTION.search(spec):
            raise UsageError(f"--dext-device {spec}: allowed is function=1 to function=7")
        if FUNCTION.search(spec) and (before[0] != placed[0] or before[2] >= placed[2]):
            raise UsageError(f"--dext-device {spec}: it is a function of the device before it, "
                             "so there must be one, with a lower number")
        before = placed


def build():
    """The path of dextd, built when it is not."""
    return qemu.emulator("dextd", "building the driver extension")


def _bdfs(specs):
    """Where each device is on the host."""
    return [f"{card + 1:02x}:00.{function}" for card, _, function in _placed(specs)]


def wiring(specs, options, folder):
    """QEMU's arguments for the devices, whose OPTIONS are as host.parse() has them."""
    argv, placed = [], _placed(specs)
    for i, (each, bdf) in enumerate(zip(options, _bdfs(specs))):
        card, slot, function = placed[i]
        several = sum(1 for other in placed if other[0] == card) > 1
        words = [f"vfio-apple-pci,id=dext{i},bus=pcie.0,addr={slot:#x}.{function}" +
                 (",multifunction=on" if several else ""), f"host={bdf}",
                 "companion-stats=" + qemu.escape(os.path.join(folder, f"dext{i}.json"))]
        words += [f"{key}={value}" for key, value in each["companion"].items()]
        argv += ["-device", ",".join(words)]
    return argv


class Dextd:
    """A running dextd; it ends when this process ends."""

    def __init__(self, program, specs, options, folder):
        self.socket = os.path.join(folder, "dextd")
        self._stats = os.path.join(folder, "dextd.json")
        self._devices = len(specs)
        self._expected = None           # the exit status that was asked for
        self._log = os.path.join(folder, "dextd.stderr")
        argv = [cache.tool("setpriv"), "--pdeathsig", "KILL", program, "--socket", self.socket,
                "--stats", self._stats]
        for spec, bdf, each in zip(specs, _bdfs(specs), options):
            words = [FUNCTION.sub("", spec), f"bdf={bdf}"]
            words += [f"{key}={value}" for key, value in each["dart"].items()]
            argv += ["--device", ",".join(words)]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(  # pylint: disable=consider-using-with
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + DEADLINE
        while not os.path.exists(self.socket):
            if self._process.poll() is not None or time.monotonic() > end:
                self.close()
                raise UsageError("; ".join(self.said()) or "dextd did not start")
            time.sleep(0.02)

    def said(self):
        """What it printed after its first line."""
        with open(self._log, encoding="utf-8", errors="replace") as file:
            return [line.strip() for line in file if "listening at" not in line]

    def _read(self):
        with open(self._stats, encoding="utf-8") as file:
            return json.load(file)["devices"]

    def statistics(self):
        """What each device counted up to now; raises when dextd is gone."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._stats)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGUSR1)
        end = time.monotonic() + DEADLINE
        while not os.path.exists(self._stats):
            if self._process.poll() is not None or time.monotonic() > end:
                raise TestbedError("dextd does not tell its statistics")
            time.sleep(0.01)
        return self._read()

    @property
    def killed(self):
        """Whether kill() has ended it."""
        return self._expected == -signal.SIGKILL

    def kill(self):
        """End it like a crash."""
        if self._process.poll() is None:
            self._expected = -signal.SIGKILL
            self._process.kill()
            self._process.wait()

    def finish(self):
        """End it; the last statistics of each device, None where they are not known."""
        if self._process.poll() is None:
            self._expected = 0
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._stats)
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired, OSError, ValueError, KeyError):
                self._process.wait(DEADLINE)
                return self._read()
        return [None] * self._devices

    def problem(self):
        """What is wrong with its end, or None; also None while it runs."""
        status = self._process.poll()
        if status in (None, self._expected):
            return None
        return f"dextd ended with {status}: " + "; ".join(self.said()[-3:])

    def close(self):
        """End it."""
        if self._process.poll() is None:
            self.kill()


def faults(device):
    """The faults of one device."""
    return device["read_faults"] + device["write_faults"]


def merge(companion, device, firmware):
    """A companion's counts with those of its device; FIRMWARE are faults not of the guest.

    If one of them is None, the faults are not known and are None.
    """
    if not device:
        return {**companion, "faults": None, "firmware_faults": firmware}
    return {**companion, **{key: device[key] for key in
                            ("dart_entries", "dart_bytes", "read_faults", "write_faults",
                             "modelled_us", "panics", "panic")},
            "faults": None if firmware is None else faults(device) - firmware,
            "firmware_faults": firmware, "dextd": device}
