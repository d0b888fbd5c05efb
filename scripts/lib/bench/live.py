# SPDX-License-Identifier: GPL-2.0
"""Guests that stay up and run steps, one guest at a time.

Wall time on a shared machine drifts. The guests of all configurations are up, and
each round of a measurement uses all of them, so drift is the same for all.
"""

import base64
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time

from testbed import cache

from . import guest

AGENT = os.path.join(cache.SCRIPTS, "lib", "bench", "agent.sh")
BOOT = 240              # seconds in which a guest must be ready
STEP = 300              # seconds that a step may take


class Live:
    """One guest that is up; use it as a context."""

    def __init__(self, config, name, qemu=(), **options):
        self.config = config
        self._folder = tempfile.mkdtemp(prefix="apple-dma-bench.")
        path = os.path.join(self._folder, "port")
        port = (f"-chardev socket,id=bench,path={path},server=on,wait=off -device "
                "virtserialport,bus=testbed-serial.0,nr=9,chardev=bench,name=bench")
        argv = guest.command_line(config, name, ["bash", "/root/agent.sh"], qemu=[*qemu, port],
                                  push=[f"{AGENT}:/root/agent.sh"], timeout=7200, **options)
        with open(os.path.join(self._folder, "log"), "wb") as log:
            self._process = subprocess.Popen(  # pylint: disable=consider-using-with
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self._socket = None
        self._rest = b""
        self._first = True
        try:
            self._socket = self._connect(path)
        except guest.BenchError:
            self.close()
            raise

    def _connect(self, path):
        end = time.monotonic() + BOOT
        while time.monotonic() < end and self._process.poll() is None:
            ours = socket.socket(socket.AF_UNIX)
            try:
                ours.connect(path)
                return ours
            except OSError:
                ours.close()
                time.sleep(0.1)
        raise self._error("QEMU did not start")

    def _error(self, what):
        with open(os.path.join(self._folder, "log"), encoding="utf-8", errors="replace") as file:
            tail = "\n  ".join(file.read().strip().splitlines()[-20:])
        return guest.BenchError(f"{self.config.name}: {what}\n  {tail}")

    def _line(self, timeout):
        end = time.monotonic() + timeout
        while b"\n" not in self._rest:
            self._socket.settimeout(1)
            data = None
            with contextlib.suppress(TimeoutError):
                data = self._socket.recv(1 << 16)
            if data == b"" or self._process.poll() is not None:
                raise self._error("the guest ended")
            if time.monotonic() > end:
                raise self._error(f"no answer in {timeout} s")
            self._rest += data or b""
        line, self._rest = self._rest.split(b"\n", 1)
        return line.decode()

    def ready(self):
        """Wait until the guest takes steps."""
        self._line(BOOT)

    def step(self, text):
        """Run the script TEXT; {section: Section} of its output."""
        text = guest.script(self.config, text, self._first)
        self._first = False
        self._socket.sendall(base64.b64encode(text.encode()) + b"\n")
        status, _, answer = self._line(STEP).partition(" ")
        output = base64.b64decode(answer).decode(errors="replace")
        if status != "0":
            tail = "\n  ".join(output.strip().splitlines()[-15:])
            raise self._error(f"a step ended with {status}:\n  {tail}")
        return guest.parse(output)

    def close(self):
        """End the guest; returns the testbed's exit status."""
        if self._socket:
            with contextlib.suppress(OSError):
                self._socket.sendall(b"end\n")
            self._socket.close()
        try:
            self._process.wait(60 if self._socket else 0)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(30)
        shutil.rmtree(self._folder, ignore_errors=True)
        return self._process.returncode


@contextlib.contextmanager
def together(bench, configs, name, **options):
    """The guests of CONFIGS, all up: {configuration's name: Live}."""
    guests = {}
    try:
        for config in configs:
            bench.say(f"booting {config.label}, Linux {name}")
            with bench.attempt(f"{config.name}: boot"):
                each = Live(config, name, **options)
                guests[config.name] = each
                each.ready()
        yield guests
    finally:
        for each in guests.values():
            status = each.close()
            if status:
                bench.say(f"{each.config.label}: the guest ended with {status}")
