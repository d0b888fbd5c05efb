# SPDX-License-Identifier: GPL-2.0
"""A QEMU driven by its qtest protocol, without a guest.

Debian's QEMU has no qtest accelerator, but serves the protocol with any. The
CPU runs a firmware that only sleeps, so that nothing but the test touches the
devices while their timers run.
"""

import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

DEADLINE = 60


class Arch:
    """What differs between the machines."""

    def __init__(self, name, qemu, args, firmware, ram, mmio):
        self.name = name
        self.qemu = qemu
        self.args = args
        self.firmware = firmware
        self.ram = ram      # guest-physical start of RAM
        self.mmio = mmio    # where 32-bit BARs may be


X86 = Arch("x86_64", "qemu-system-x86_64", ["-machine", "q35"],
           b"\xf4" * 65536, 0, 0xe0000000)
ARM = Arch("arm64", "qemu-system-aarch64",
           ["-machine", "virt,highmem=off", "-cpu", "cortex-a57"],
           bytes.fromhex("7f2003d5ffffff17") * 64, 0x40000000, 0x10000000)
ARCHES = {arch.name: arch for arch in (X86, ARM)}
ARM_ECAM = 0x3f000000


ASAN = ""               # the library to load before a shim that has ASan in it


def preload(shim):
    """For env(1): what a QEMU needs to have the devices in it."""
    return [f"LD_PRELOAD={f'{ASAN}:' if ASAN else ''}{shim}", "ASAN_OPTIONS=detect_leaks=0"]


def check_end(name, status, allowed, said):
    """The process ended as expected, and no sanitizer reported anything."""
    assert not re.search("runtime error:|ERROR: [A-Za-z]*Sanitizer", said), said
    assert status in allowed, f"{name} ended with {status}: {said}"


class QemuDied(Exception):
    """QEMU has ended; the message is its output."""


class Qemu:
    """One QEMU process with qtest and QMP; a context manager that reaps it."""

    def __init__(self, shim, arch=X86, mem="256M", devices=(), args=(), env=(),
                 firmware=None):
        self.arch = arch
        self.process = None
        self.ends = (0,)        # with which status it is to end
        self._events = []
        self._dir = tempfile.TemporaryDirectory(prefix="apple-dma-qtest-")
        bios = self.path("firmware")
        with open(bios, "wb") as file:
            file.write(firmware or arch.firmware)
        command = ["timeout", "--kill-after=5", "300", "env", *env, *preload(shim),
                   arch.qemu, *arch.args, "-accel", "tcg", "-m", mem, "-bios", bios,
                   "-display", "none", "-nodefaults", "-no-user-config",
                   "-qtest-log", "none", "-qtest", f"unix:{self.path('qtest')}",
                   "-qmp", f"unix:{self.path('qmp')}", *args]
        for device in devices:
            command += ["-device", device]
        self._log = open(self.path("log"), "w+", encoding="utf-8")
        servers = [self._listen(name) for name in ("qtest", "qmp")]
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                            stdout=self._log, stderr=self._log)
            self._qtest, self._qmp = [self._accept(server) for server in servers]
            self._qmp_read()
            self.qmp("qmp_capabilities")
        except BaseException:
            self._end()
            raise
        finally:
            for server in servers:
                server.close()

    def path(self, name):
        """A file of this machine, gone with it."""
        return os.path.join(self._dir.name, name)

    def log(self):
        """What QEMU printed so far."""
        self._log.flush()
        with open(self.path("log"), encoding="utf-8") as file:
            return file.read()

    def _listen(self, name):
        server = socket.socket(socket.AF_UNIX)
        server.bind(self.path(name))
        server.listen(1)
        server.settimeout(0.1)
        return server

    def _accept(self, server):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            try:
                connection, _ = server.accept()
            except socket.timeout:
                if self.process.poll() is not None:
                    raise self._died() from None
                continue
            connection.settimeout(DEADLINE)
            return connection.makefile("rw", encoding="utf-8", newline="\n")
        raise QemuDied(f"QEMU did not connect within {DEADLINE} s: {self.log()}")

    def _died(self):
        """The exception to raise: it refused to start, or it failed."""
        status = self.process.wait(DEADLINE)
        check_end("QEMU", status, (0, 1), self.log())
        return QemuDied(self.log())

    def close(self):
        """End QEMU, whatever it is doing, and check how it ended."""
        if self._log.closed:
            return
        self._stop()
        said = self.log()
        self._end()
        check_end("QEMU", self.process.returncode, self.ends, said)

    def _stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def _end(self):
        self._stop()
        for name in ("_qtest", "_qmp", "_log"):
            if getattr(self, name, None):
                try:
                    getattr(self, name).close()
                except OSError:
                    pass
        self._dir.cleanup()

    def pid(self):
        """The process of QEMU itself, which timeout runs."""
        pid = self.process.pid
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
            return int(children.read())

    def kill(self):
        """End QEMU as a crash would."""
        os.kill(self.pid(), signal.SIGKILL)
        self.ends = (-signal.SIGKILL,)
        self.process.wait(DEADLINE)

    def quit(self):
        """Ask QEMU to end and return its exit status."""
        self.qmp("quit")
        return self.process.wait(DEADLINE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # QMP

    def _say(self, stream, line):
        try:
            stream.write(line + "\n")
            stream.flush()
        except ConnectionError:
            raise self._died() from None

    def _line(self, stream):
        try:
            line = stream.readline()
        except ConnectionError:
            line = ""
        if not line:
            raise self._died()
        return line

    def _qmp_read(self):
        return json.loads(self._line(self._qmp))

    def qmp(self, command, **arguments):
        """Run one QMP command; an error answer is a RuntimeError."""
        self._say(self._qmp, json.dumps({"execute": command, "arguments": arguments}))
        while True:
            answer = self._qmp_read()
            if "error" in answer:
                raise RuntimeError(answer["error"]["desc"])
            if "return" in answer:
                return answer["return"]
            self._events.append(answer.get("event"))

    def get(self, device, name):
        """A QOM property of a device."""
        return self.qmp("qom-get", path=device, property=name)

    def set(self, device, name, value):
        """Set a QOM property of a device."""
        self.qmp("qom-set", path=device, property=name, value=value)

    def reset(self):
        """Reset the system, and return when it is done."""
        self._events.clear()
        self.qmp("system_reset")
        while "RESET" not in self._events:
            self._events.append(self._qmp_read().get("event"))

    # Memory and I/O, as the CPU sees them

    def _command(self, *words):
        self._say(self._qtest, " ".join(words))
        while True:
            line = self._line(self._qtest)
            answer = line.split()
            if answer[0] == "IRQ":
                continue
            if answer[0] != "OK":
                raise RuntimeError(f"{words}: {line}")
            return answer[1] if len(answer) > 1 else ""

    def read(self, address, size):
        """Bytes of guest memory."""
        return bytes.fromhex(self._command("read", hex(address), hex(size))[2:])

    def write(self, address, data):
        """Write bytes to guest memory."""
        self._command("write", hex(address), hex(len(data)), "0x" + data.hex())

    def fill(self, address, size, byte):
        """Set bytes of guest memory."""
        self._command("memset", hex(address), hex(size), hex(byte))

    def load(self, address, size=4):
        """One read of 1, 2, 4 or 8 bytes."""
        return int(self._command("read" + "_bw_l___q"[size], hex(address)), 16)

    def store(self, address, value, size=4):
        """One write of 1, 2, 4 or 8 bytes."""
        self._command("write" + "_bw_l___q"[size], hex(address), hex(value))

    def port_in(self, port, size=4):
        """One read of an I/O port, of 1, 2 or 4 bytes."""
        return int(self._command("in" + "_bw_l"[size], hex(port)), 16)

    def port_out(self, port, value, size=4):
        """One write of an I/O port, of 1, 2 or 4 bytes."""
        self._command("out" + "_bw_l"[size], hex(port), hex(value))

    # PCI

    def _config(self, bdf, offset):
        if self.arch is ARM:
            return None, ARM_ECAM + (bdf << 12) + offset
        self._command("outl", "0xcf8", hex(0x80000000 | bdf << 8 | (offset & 0xfc)))
        return 0xcfc + (offset & 3), None

    def config_read(self, bdf, offset, size=4):
        """Read PCI configuration space."""
        port, address = self._config(bdf, offset)
        if address is not None:
            return self.load(address, size)
        return self.port_in(port, size)

    def config_write(self, bdf, offset, value, size=4):
        """Write PCI configuration space."""
        port, address = self._config(bdf, offset)
        if address is not None:
            self.store(address, value, size)
        else:
            self.port_out(port, value, size)

    def enable(self, bdf, bar):
        """Place BAR 0 of a function; decode memory, be a bus master."""
        self.config_write(bdf, 0x10, bar)
        self.config_write(bdf, 0x04, 0x6, 2)

    def enable_port(self, bdf, bus, base, size=0x100000):
        """Give a bridge a bus number and a memory window."""
        self.config_write(bdf, 0x18, bus << 16 | bus << 8)
        self.config_write(bdf, 0x20, (base >> 16) | ((base + size - 1) & 0xfff00000))
        self.config_write(bdf, 0x04, 0x6, 2)
