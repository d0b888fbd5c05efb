# SPDX-License-Identifier: GPL-2.0
"""The QEMU of a run: its command line, its process and its sockets."""

import contextlib
import os
import shlex
import shutil
import socket
import subprocess

from . import cache, device
from .errors import TestbedError, UsageError
from .qmp import Qmp

FIRST_PORT = 0x10       # slot of the first device's port on the root bus
MAX_PAIRS = 7           # with --hotplug: the companions' ports follow the devices' ports
CHANNELS = ("control", "stdout", "stderr")


def escape(path):
    """PATH as a value of a QEMU option."""
    return path.replace(",", ",,")


def emulator(target, what, *settings):
    """Build TARGET of host-emu/; the path that it prints, which may be empty."""
    folder = os.path.join(cache.REPO, "host-emu")
    if not os.path.exists(os.path.join(folder, "Makefile")):
        raise TestbedError("host-emu/ is not there: it holds the DART and the companion")
    build = os.path.join(cache.REPO, "build", "host-emu")
    make = [cache.tool("make"), "-s", "-C", folder, f"BUILD={build}", *settings]
    with cache.lock(os.path.join(build, "testbed.lock")):
        cache.run(make + [target], what)
        said = cache.run(make + [f"print-{target}"], what)
    return said.strip().splitlines()[-1] if said.strip() else ""


def shim(arch):
    """The shared object with the emulated host's devices for ARCH's QEMU."""
    path = emulator("shim", "building the emulated host for QEMU",
                    f"QEMU={cache.tool(arch.qemu)}")
    if not os.path.exists(path):
        raise TestbedError("host-emu built no shared object for QEMU")
    return path


def memory(text, sizes):
    """The bytes of --mem TEXT; raises when they are too few, or more than is available."""
    number = sizes(text)
    if number is None:
        raise UsageError(f"--mem {text}: not a size; allowed: a number with M or G, such as 1G")
    if text.strip().isdigit() and number < cache.MIB:
        number *= cache.MIB
    if number < 256 * cache.MIB:
        raise UsageError(f"--mem {text}: the guest needs 256M or more")
    with open("/proc/meminfo", encoding="ascii") as file:
        free = next(int(line.split()[1]) * 1024 for line in file
                    if line.startswith("MemAvailable:"))
    if number > free:
        raise TestbedError(f"not enough memory: --mem {text} was asked for, and "
                           f"{free // cache.MIB}M are free on this machine")
    return number


def _port(name, number, more=""):
    return ["-device", f"pcie-root-port,id={name},bus=pcie.0,chassis={number + 1},"
                       f"addr={FIRST_PORT + number:#x}{more}"]


def _slot(name, number, of):
    """A port whose device can be pulled out and put in again."""
    return (_port(name, number, f",slot={FIRST_PORT + number}") +
            ["-device", f"apple-slot,id={of}-slot,port={name}"])


def wiring(specs, options, models, folder, hotplug=False):
    """QEMU's arguments for the devices behind DARTs."""
    argv = []
    for i, spec in enumerate(specs):
        dart, companion = dict(options[i]["dart"]), dict(options[i]["companion"])
        dart["fault-log"] = os.path.join(folder, f"dart{i}.faults")
        dart["stats"] = os.path.join(folder, f"dart{i}.json")
        companion["stats"] = os.path.join(folder, f"companion{i}.json")
        argv += _slot(f"rp{i}", i, f"device{i}") if hotplug else _port(f"rp{i}", i)
        for name, ident, more in (("apple-dart", f"dart{i},port=rp{i}", dart),
                                  (None, None, None),
                                  ("apple-dma-pci", f"companion{i},dart=dart{i}", companion)):
            if name is None:
                argv += ["-device", device.arguments(spec, i, models) +
                         (f",id=device{i}" if hotplug else "")]
                if hotplug:
                    argv += _slot(f"cp{i}", i + MAX_PAIRS, f"companion{i}")
                    companion["bus"] = f"cp{i}"
                continue
            words = [f"{name},id={ident}"]
            words += [f"{key}={escape(value)}" for key, value in more.items()]
            argv += ["-device", ",".join(words)]
    return argv


def base(arch, args, mem):
    """QEMU's arguments for the machine itself."""
    machine = arch.machine
    if args.hotplug and arch.name == "x86_64":
        machine += ("-global", "ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off")
    if args.icount:
        machine = [word.replace("thread=multi", "thread=single") for word in machine]
        machine += ["-icount", "shift=0,sleep=off"]
    return [cache.tool(arch.qemu), "-name", escape(args.name), "-nodefaults", "-no-user-config",
            *machine, "-m", f"{mem // cache.MIB}M", "-smp", str(args.cpus),
            "-display", "none", "-vga", "none"]


def disks(paths):
    """The testbed's own disks. They are CDs, so they take no name that a test may expect."""
    argv = ["-device", "virtio-scsi-pci,id=testbed-scsi,bus=pcie.0,addr=0x2"]
    for target, path in enumerate(paths):
        argv += ["-blockdev",
                 f"driver=raw,node-name=testbed{target},read-only=on,"
                 f"file.driver=file,file.locking=off,file.filename={escape(path)}",
                 "-device", f"scsi-cd,bus=testbed-scsi.0,scsi-id={target},drive=testbed{target}"]
    return argv


def raw(arguments):
    """The words of the --qemu arguments."""
    words = []
    for text in arguments:
        try:
            words += shlex.split(text)
        except ValueError as error:
            raise UsageError(f"--qemu {text}: {error}") from None
    return words


class Qemu:
    """A running QEMU; it ends when this process ends.

    BEFORE and AFTER are arguments around those of the channels: their order is that
    of the devices on the bus.
    """

    def __init__(self, before, after, folder, environment, terminal=False):
        self._log = os.path.join(folder, "qemu.stderr")
        self.console = os.path.join(folder, "console")
        self.channels = {}
        self.killed = False
        passed = []
        chardevs = ["-chardev", f"file,id=testbed-console,path={escape(self.console)}",
                    "-serial", "chardev:testbed-console",
                    "-device", "virtio-serial-pci,id=testbed-serial,bus=pcie.0,addr=0x1"]
        for name in ("qmp",) + CHANNELS + (("terminal",) if terminal else ()):
            ours, theirs = socket.socketpair()
            self.channels[name] = ours
            passed.append(theirs)
            chardevs += ["-chardev", f"socket,id=testbed-{name},fd={theirs.fileno()}"]
            if name == "qmp":
                chardevs += ["-mon", "chardev=testbed-qmp,mode=control"]
            elif name == "terminal":
                chardevs += ["-device", f"virtconsole,bus=testbed-serial.0,nr=0,"
                                        f"chardev=testbed-{name}"]
            else:
                chardevs += ["-device", "virtserialport,bus=testbed-serial.0,"
                                        f"nr={CHANNELS.index(name) + 1},"
                                        f"chardev=testbed-{name},name=testbed.{name}"]
        self.argv = before + chardevs + after
        command = [cache.tool("setpriv"), "--pdeathsig", "KILL", "env"]
        command += [f"{name}={value}" for name, value in environment.items()] + self.argv
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(  # pylint: disable=consider-using-with
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                pass_fds=[sock.fileno() for sock in passed], start_new_session=True)
        for sock in passed:
            sock.close()
        self.qmp = Qmp(self.channels["qmp"])

    @property
    def pid(self):
        """QEMU's process id."""
        return self._process.pid

    def ended(self):
        """Its exit status, negative for a signal; None while it runs."""
        return self._process.poll()

    def stderr(self):
        """What QEMU printed, without its last line when stop() ended it."""
        with open(self._log, encoding="utf-8", errors="replace") as file:
            return [line.rstrip() for line in file
                    if line.strip() and "terminating on signal 15" not in line]

    def wait(self, seconds):
        """Whether it ended by itself within SECONDS."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.poll() is not None

    def stop(self):
        """End it, by force if it does not end when asked; its files stay."""
        if self._process.poll() is None:
            self.killed = True
            self._process.terminate()
            if not self.wait(5):
                self._process.kill()
                self._process.wait()

    def close(self):
        """End it and close its channels."""
        self.stop()
        for sock in self.channels.values():
            sock.close()


def keep_console(source, target):
    """Copy the console log to where the user wants it."""
    if os.path.exists(source):
        shutil.copyfile(source, target)
