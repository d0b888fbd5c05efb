# SPDX-License-Identifier: GPL-2.0
"""A guest that boots a whole Debian from a disk; a terminal runs commands in it.

The kernel's console is a serial port, as in a session; the terminal is a virtio
console with its own getty, so that no kernel message appears in it. QEMU gets kernel
and initrd if the firmware cannot read their disk, which is behind the DART.
"""

import json
import os
import re
import selectors
import shutil
import time
from types import SimpleNamespace

from . import device, host, qemu, tsc
from .console import Console
from .errors import TestbedError

LOGIN = 1200            # seconds to the login prompt: all of it is emulated


def plain_disk(path, name, more=""):
    """QEMU's arguments for a disk that is not behind a DART."""
    return ["-drive", f"file={qemu.escape(path)},if=none,id={name},format=raw,cache=unsafe",
            "-device", f"virtio-blk-pci,drive={name}{more}"]


def _command_line(arch, root):
    return " ".join([arch.append, tsc.append(arch, False), f"root={root} ro loglevel=7",
                     "panic=0 watchdog_thresh=30 mitigations=off"])


def by_qemu(arch, boot, root):
    """QEMU's arguments to start the kernel itself; BOOT is what debian.boot_files() returns."""
    _, kernel, initrd = boot
    return ["-kernel", kernel, "-initrd", initrd, "-append", _command_line(arch, root)]


def by_firmware(arch, folder, grub, release, disk):
    """QEMU's arguments to start EDK2, GRUB and RELEASE from DISK. Both disks are in the boot order:
    the EFI partition, which is made in FOLDER, and DISK, whose label is root."""
    boot, config = os.path.join(folder, "esp/EFI/BOOT"), os.path.join(folder, "esp/EFI/debian")
    os.makedirs(boot)
    os.makedirs(config)
    shutil.copyfile(grub, os.path.join(boot, f"BOOT{arch.efi.upper()}.EFI"))
    with open(os.path.join(config, "grub.cfg"), "w", encoding="ascii") as file:
        file.write("search --no-floppy --label root --set=root\n"
                   f"linux /boot/vmlinuz-{release} {_command_line(arch, 'LABEL=root')}\n"
                   f"initrd /boot/initrd.img-{release}\nboot\n")
    return ["-bios", arch.firmware,
            "-drive", f"file=fat:{qemu.escape(os.path.join(folder, 'esp'))},if=none,id=esp,"
                      "format=raw,read-only=on", "-device", "virtio-blk-pci,drive=esp,bootindex=0",
            *plain_disk(disk, "root", ",bootindex=1")]


class DebianGuest:
    """A running guest; use as a context. It raises TestbedError for what goes wrong.

    START: what by_qemu() or by_firmware() returns. BEHIND: specs of devices behind DARTs, as
    --device has them. ARGUMENTS are QEMU's own.
    """

    def __init__(self, arch, folder, start, behind=(), arguments=(), mem=2048, cpus=2):
        os.makedirs(folder)
        self._folder = folder
        self._names = [f"companion{number}" for number in range(len(behind))]
        options = host.parse([], len(behind))
        for each in options:
            # A PC's firmware uses disks that are not in the boot order, too.
            if arch.name == "arm64":
                each["dart"]["enforce"] = "on"
        models = device.Models(arch) if behind else None
        settings = SimpleNamespace(icount=False, hotplug=False, name="apple-dma-debian", cpus=cpus)
        before = qemu.base(arch, settings, mem << 20)
        after = [*start, *qemu.wiring(behind, options, models, folder), *arguments]
        environment = {"LD_PRELOAD": qemu.shim(arch)} if behind else {}
        self._qemu = qemu.Qemu(before, after, folder, environment, terminal=True)
        self.console = Console(self._qemu.console)
        self.times = {}
        self._start = time.monotonic()
        self._selector = selectors.DefaultSelector()
        for name, sock in self._qemu.channels.items():
            self._selector.register(sock, selectors.EVENT_READ, name)
        self._said = ""
        self._number = 0

    def __enter__(self):
        return self

    def __exit__(self, *_failure):
        self._qemu.close()

    # The terminal.

    def _read(self, seconds):
        """Take what comes in the next SECONDS, or less; False when QEMU is gone."""
        for key, _ in self._selector.select(seconds):
            try:
                data = key.fileobj.recv(1 << 16)
            except OSError:
                data = b""
            if not data:
                self._selector.unregister(key.fileobj)
            elif key.data == "terminal":
                self._said += data.decode(errors="replace").replace("\r", "")
        self.console.poll()
        return self._qemu.ended() is None

    def _fail(self, text):
        last = "\n  ".join(self.console.last_lines(25))
        raise TestbedError(f"{text}\n--- terminal\n{self._said[-2000:]}\n--- console\n  {last}")

    def _expect(self, pattern, seconds, what):
        """The match of PATTERN in what the terminal says; it is taken from there."""
        end = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self._said)
            if match:
                self._said = self._said[match.end():]
                return match
            if not self._read(1.0):
                self._fail(f"QEMU ended before {what}: {self._qemu.stderr()[-3:]}")
            if self.console.fatal:
                self._fail(f"the kernel gave up before {what}")
            if time.monotonic() > end:
                self._fail(f"no {what} in {seconds:.0f} s")

    def _type(self, line):
        self._qemu.channels["terminal"].sendall(line.encode() + b"\n")

    def login(self, seconds=LOGIN):
        """Wait for the login prompts, on the console and here, and log in."""
        self._qemu.qmp.greet()
        self._expect(r"login: ", seconds, "login prompt")
        while not any("login:" in line for line in self.console.last_lines(200)):
            if time.monotonic() - self._start > seconds or not self._read(1.0):
                self._fail("no login prompt on the console")
        self.times["login"] = time.monotonic() - self._start
        self._type("root")
        self._expect(r"# ", 120, "shell after the login")
        # A shell that edits no lines and says nothing of its own.
        self._type("exec env TERM=dumb PS1= PS2= DEBIAN_FRONTEND=noninteractive sh")
        self._type("stty -echo; echo ready-$((40 + 2))")
        self._expect(r"ready-42\n", 120, "plain shell")

    def run(self, command, check=True, timeout=300):
        """Run a shell COMMAND; (status, what it printed)."""
        self._number += 1
        mark = f"=={self._number}=="
        self._type(f"{{ {command}\n}} </dev/null 2>&1; echo '{mark}' $?")
        match = self._expect(rf"(?s)\A(.*?){mark} (\d+)\n", timeout, f"end of '{command}'")
        status, text = int(match[2]), match[1]
        if check and status:
            self._fail(f"'{command}' ended with {status}:\n{text[-4000:]}")
        return status, text

    def counters(self):
        """The module's counters, as its companions' sysfs folders have them, summed up."""
        # A file that cannot be read is no failure.
        _, text = self.run("grep -s . /sys/bus/pci/drivers/apple_dma/0*/apple_dma/* || [ $? = 2 ]")
        found = {}
        for name, value in re.findall(r"^\S+/(\w+):(\d+)$", text, re.M):
            found[name] = found.get(name, 0) + int(value)
        return found

    def power_off(self, seconds=300):
        """Shut down; then the companions' statistics. Reports and faults are errors."""
        self._type("systemctl poweroff")
        end = time.monotonic() + seconds
        while self._read(1.0):
            if time.monotonic() > end:
                self._fail(f"the guest did not power off in {seconds} s")
        self.times["off"] = time.monotonic() - self._start
        self.console.finish()
        if self.console.reports:
            self._fail(f"kernel report: {self.console.reports[:3]}")
        stats = []
        for name in self._names:
            with open(os.path.join(self._folder, f"{name}.json"), encoding="utf-8") as file:
                stats.append(json.load(file))
        if any(each["faults"] != 0 for each in stats):
            self._fail(f"DART faults: {[each['faults'] for each in stats]}")
        return stats
