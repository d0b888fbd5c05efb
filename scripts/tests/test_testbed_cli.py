# SPDX-License-Identifier: GPL-2.0
"""The testbed without a guest: arguments, host options, the console scan."""

import io
import json
import os
import signal
import stat
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from conftest import aborted_early

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "scripts" / "lib"))

# pylint: disable=wrong-import-position
from testbed import arch, cache, cli, console, cpio, device, dext, headers, host  # noqa: E402
from testbed import image, kernel, module, packages, qemu, session  # noqa: E402
from testbed import errors  # noqa: E402
from kunit import uml  # noqa: E402
from testbed.errors import UsageError  # noqa: E402


def invoke(*args, env=None):
    """Run scripts/testbed; the status, and what it said on stderr."""
    done = subprocess.run([str(TOP / "scripts" / "testbed"), *args], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, timeout=120, check=False,
                          env={**os.environ, **(env or {})})
    return done.returncode, done.stderr


@pytest.mark.parametrize("script, args", [
    ("testbed", ["devices"]), ("testbed", ["kernels"]), ("testbed", ["--help"]), ("testbed", []),
    ("testbed", ["run", "--help"]), ("kunit", ["--help"]), ("bench", ["--help"]),
    ("build-module", ["--help"])], ids=str)
def test_nobody_reads_the_output(script, args):
    """As with `| head`: no traceback."""
    back, front = os.pipe()
    os.close(back)
    done = subprocess.run([str(TOP / "scripts" / script), *args], stdout=front,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, timeout=120,
                          check=False)
    os.close(front)
    assert done.returncode == 128 + signal.SIGPIPE and not done.stderr, done


def test_another_pipe_that_broke_is_an_error():
    """Not every BrokenPipeError is a reader of the output that went."""
    code = "from testbed import errors\nwith errors.reported('test'):\n    raise BrokenPipeError"
    done = subprocess.run([sys.executable, "-c", code], cwd=TOP / "scripts" / "lib", text=True,
                          capture_output=True, check=False)
    assert done.returncode == 1 and "BrokenPipeError" in done.stderr, done


# A bad argument: exit status 2 and one line that names what is allowed.

BAD = {
    "no command": (["run"], ["no COMMAND", "-- COMMAND"]),
    "no command after dashes": (["run", "--"], ["no COMMAND"]),
    "unknown option": (["run", "--colour", "--", "true"], ["--colour"]),
    "abbreviated option": (["run", "--tim", "3", "--", "true"], ["--tim"]),
    "unknown verb": (["walk"], ["walk", "run", "kernels", "devices"]),
    "unknown arch": (["run", "--arch", "riscv", "--", "true"], ["riscv", "x86_64", "arm64"]),
    "unknown device": (["run", "--device", "floppy9", "--", "true"],
                       ["floppy9", "nvme", "e1000e", "testbed devices"]),
    "device that is not PCI": (["run", "--device", "usb-storage", "--", "true"],
                               ["usb-storage", "not a PCI device", "--qemu"]),
    "empty device": (["run", "--device", "", "--", "true"], ["--device needs"]),
    "device with a bus": (["run", "--device", "nvme,bus=x", "--", "true"], ["bus", "leave it out"]),
    "too many devices": (["run", *["--device", "edu"] * 15, "--", "true"], ["15", "14"]),
    "too many slots": (["run", "--hotplug", *["--device", "edu"] * 8, "--", "true"],
                       ["8", "7", "--hotplug"]),
    "QEMU's suite": (["run", "--qemu-suite", "sarge", "--", "true"], ["sarge", "trixie"]),
    "host key": (["run", "--device", "edu", "--host", "speed=9", "--", "true"],
                 ["speed", "iova", "layout", "max-bytes", "latency-us"]),
    "host value": (["run", "--device", "edu", "--host", "iova=identity", "--", "true"],
                   ["identity", "high", "random", "fragmented", "reuse"]),
    "host without value": (["run", "--device", "edu", "--host", "iova", "--", "true"],
                           ["KEY=VALUE"]),
    "memory": (["run", "--mem", "lots", "--", "true"], ["lots", "1G"]),
    "too little memory": (["run", "--mem", "16M", "--", "true"], ["16M", "256M"]),
    "cpus": (["run", "--cpus", "0", "--", "true"], ["'0'", "1 to 64"]),
    "timeout": (["run", "--timeout", "never", "--", "true"], ["never"]),
    "reboots": (["run", "--reboots", "-1", "--", "true"], ["reboots"]),
    "push": (["run", "--push", "/nonexistent/file", "--", "true"], ["/nonexistent/file"]),
    "module and no-module": (["run", "--module", "x=1", "--no-module", "--", "true"],
                             ["--no-module", "--module"]),
    "quotes in --qemu": (["run", "--qemu", "-device 'edu", "--", "true"], ["--qemu"]),
    "folder of --stats": (["run", "--stats", "/nonexistent/x", "--", "true"], ["/nonexistent/x"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_argument(case):
    args, words = BAD[case]
    status, said = invoke(*args)
    assert status == 2, said
    assert "Traceback" not in said
    for word in words:
        assert word in said


def test_more_memory_than_there_is():
    status, said = invoke("run", "--mem", "9T", "--", "true")
    assert status == 99
    assert "not enough memory" in said and "9T" in said


def test_missing_qemu_names_the_package(tmp_path):
    status, said = invoke("run", "--device", "edu", "--", "true",
                           env={"PATH": str(tmp_path)})
    assert status == 99
    assert "package qemu-system-x86 " in said and "scripts/setup vm" in said


def test_every_provider_is_in_setup():
    text = (TOP / "scripts" / "setup").read_text(encoding="utf-8")
    for package, part in cache.PROVIDERS.values():
        line = next(l for l in text.splitlines() if l.strip().startswith(f"[{part}]="))
        assert package in line.replace('"', " ").split() or f" {package}" in line, package


def test_help_names_the_exit_codes():
    done = subprocess.run([str(TOP / "scripts" / "testbed"), "run", "--help"],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    for word in ("97", "98", "99", "--device", "--reboots", "host-stats"):
        assert word in done.stdout


def test_no_space_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(errors.TestbedError, match="no space on disk: making it needs about"):
        cache.entry("x/y", "making it", 1 << 40, lambda work, final: work)


# --host

def test_host_options_go_to_their_device():
    one, two = host.parse(["iova=random", "max-bytes=64M", "1:layout=wide", "latency-us=0x10"], 2)
    assert one == {"dart": {"iova": "random", "max-bytes": str(64 << 20)},
                   "companion": {"latency-us": "16"}}
    assert two["companion"] == {"layout": "wide", "latency-us": "16"}


@pytest.mark.parametrize("option", [
    "2:iova=high", "x:iova=high", "iova=", "max-bytes=64X", "max-bytes=-1", "max-entries=many",
    "seed=99999999999999999999", "managed-bdf=1:0.0", "managed-bdf=0x123456789", "lie=often",
    "layout=RFC", "id=x", "port=rp1", "dart=dart1", "stats=/tmp/x", "fault-log=/tmp/x", "=", ":="])
def test_bad_host_option(option):
    with pytest.raises(UsageError, match="allowed|there is no device|expected|unknown"):
        host.parse([option], 2)


@pytest.mark.parametrize("text,number", [
    ("1", 1), ("64K", 64 << 10), ("64k", 64 << 10), ("1536M", 1536 << 20), ("2G", 2 << 30),
    ("1GiB", 1 << 30), ("", None), ("G", None), ("1.5G", None), ("-1", None)])
def test_size(text, number):
    assert host.size(text) == number


# --device

@pytest.fixture(name="models", scope="module")
def _models():
    return device.Models(arch.X86_64)


def test_virtio_gets_what_the_dart_needs(models):
    words = device.arguments("virtio-blk,drive=d0", 3, models).split(",")
    assert words[0] == "virtio-blk-pci"
    assert {"bus=rp3", "iommu_platform=on", "disable-legacy=on"} <= set(words)


def test_what_the_user_says_stays(models):
    words = device.arguments("virtio-net,netdev=n0,iommu_platform=off,romfile=x", 0, models)
    assert "iommu_platform=on" not in words and "romfile=," not in words + ","
    assert "serial=a,,b" in device.arguments("nvme,drive=d0,serial=a,,b", 0, models)


def test_known_good_devices_are_offered(models):
    listed = models.listed()
    assert [name for name, _, good in listed if good] == list(device.KNOWN_GOOD)
    assert not any(name.startswith("pcie-root-port") for name, _, _ in listed)


# The console

REPORTS = [
    "[   12.345678] WARNING: CPU: 0 PID: 1 at kernel/dma/debug.c:1100 check_unmap+0x1/0x2",
    "[   12.345678] WARNING: drivers/x.c:12 at foo+0x1/0x2, CPU#1: dd/123",
    "[   12.345678][  T123] WARNING: possible circular locking dependency detected",
    "[    1.0] WARNING: suspicious RCU usage",
    "[   12.345678] BUG: kernel NULL pointer dereference, address: 0000000000000008",
    "[   12.345678] BUG: scheduling while atomic: fio/123/0x00000002",
    "[   12.345678] BUG: sleeping function called from invalid context at mm/page_alloc.c:5",
    "[   12.345678] BUG: KASAN: slab-out-of-bounds in foo+0x1/0x2",
    "[   12.345678] BUG: Bad page state in process dd  pfn:12345",
    "[   12.345678] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [dd:123]",
    "[   12.345678] rcu: INFO: rcu_preempt detected stalls on CPUs/tasks:",
    "[   12.345678] rcu: INFO: rcu_preempt self-detected stall on CPU",
    "[   12.345678] INFO: task mkfs:123 blocked for more than 120 seconds.",
    "[   12.345678] Oops: 0002 [#1] PREEMPT SMP NOPTI",
    "[   12.345678] Internal error: Oops: 96000004 [#1] SMP",
    "[   12.345678] Unable to handle kernel paging request at virtual address 0000dead",
    "[   12.345678] general protection fault, probably for non-canonical address 0xdead: 0000",
    "[   12.345678] kernel BUG at mm/slub.c:4023!",
    "[   12.345678] Kernel panic - not syncing: Fatal exception",
    "[   12.345678] DMA-API: nvme 0000:01:00.0: device driver frees DMA memory with wrong size",
    "[   12.345678] nvme 0000:01:00.0: DMA-API: device driver maps memory from stack",
    "[   12.345678] list_del corruption. prev->next should be ffff, but was 0000",
    "[   12.345678] refcount_t: underflow; use-after-free.",
    "[   12.345678] kmemleak: 3 new suspected memory leaks (see /sys/kernel/debug/kmemleak)",
    "[   12.345678] UBSAN: array-index-out-of-bounds in drivers/x.c:12:3",
    "[   12.345678] NETDEV WATCHDOG: eth0 (e1000e): transmit queue 0 timed out",
    "[   12.345678] page dumped because: VM_BUG_ON_PAGE(PageTail(page))",
    "[   12.345678] page dumped because: PAGE_FLAGS_CHECK_AT_FREE flag(s) set",
    "[   12.345678] page dumped because: nonzero _refcount",
    "[   12.345678] page dumped because: unmovable page table",
    "[   12.345678] page dumped because: migration failures",
    "[   12.345678] page dumped because: ",
    "[   12.345678] irq 16: nobody cared (try booting with the \"irqpoll\" option)",
    "[    6.918596] BUG apple_dma (Tainted: G           OE     ): Poison overwritten",
    "[    6.918596] BUG kmalloc-64 (Not tainted): Object already free",
    "[    6.918596] BUG dm uevent (Not tainted): Objects remaining in dm uevent",
    "[    6.929226] FIX apple_dma: Restoring Poison 0xff1c5525bfa2f8d8-0xff1c5525bfa2f8d8=0x6b",
    "[    6.929440] FIX dm uevent: Marking all objects used",
    "[    6.929440] SLUB <none>: no slab for object 0x00000000deadbeef.",
    "[    6.929440] SLUB: kmalloc-64 3 slabs counted but counter=2",
    "[    6.929440] pagealloc: memory corruption",
    "[    6.929440] nvme 0000:01:00.0: dma_pool_destroy prp list page, 00000000deadbeef busy",
    "[    6.929440] nvme 0000:01:00.0: dma_pool_free prp list page, dma 0x1000 already free",
    "[    6.929440] dma_pool_alloc x, 00000000deadbeef (corrupted)",
    "[    6.456263] sysfs: cannot create duplicate filename '/kernel/apple_dma_reports'",
    "[    6.462764] kobject_add_internal failed for x with -EEXIST, don't try to register things "
    "with the same name in the same directory.",
    "[    6.462764] kobject_add_internal failed for x (error: -2 parent: kernel)",
    "[    6.462764] kobject: kobject_add_internal failed for x with -EEXIST, don't try to register",
    "[    6.462764] kobject (00000000deadbeef): tried to init an initialized object, something is "
    "seriously wrong.",
    "[    6.462764] kobject 'x' (00000000deadbeef): tried to add an uninitialized object",
    "[    6.462764] Trying to free nonexistent resource <0x00000000fe000000-0x00000000fe000fff>",
    "[    6.462764] resource: Trying to free nonexistent resource <0x00000000fe000000-0xfe000fff>",
    "[    6.462764] apple_dma 0000:00:03.0: Resources present before probing",
    "[    7.985434] divide error: 0000 [#1] PREEMPT SMP NOPTI",
    "[    7.985434] Oops: divide error: 0000 [#1] SMP NOPTI",
    "[    7.985434][  T123] invalid opcode: 0000 [#2] SMP NOPTI",
    "[    7.985434] stack segment: 0000 [#1] SMP PTI",
    "[    7.985434] int3: 0000 [#1] SMP NOPTI",
    "[    7.985434] Bad pagetable: 000f [#1] SMP",
    "[    7.985434] [ BUG: Invalid wait context ]",
    "[    7.985434] NMI watchdog: Watchdog detected hard LOCKUP on cpu 1",
    "[    7.985434] watchdog: CPU1: Watchdog detected hard LOCKUP on cpu 1",
    "[    7.985434] BUG: workqueue lockup - pool cpus=1 node=0 flags=0x0 nice=0 stuck for 31s!",
    "[    7.985434] softirq: huh, entered softirq 3 NET_RX 00000000deadbeef with preempt_count "
    "00000101, exited with 00000102?",
    "[    7.985434] rcu: __call_rcu_common(): Double-freed CB 00000000deadbeef->x+0x0/0x10()!!!",
    "[    7.985434] schedule_timeout: wrong timeout value ffffffffffffffff",
    "[    7.985434] irq event 24: bogus return value ffffffff",
]

HARMLESS = [
    "[    0.000000] Spectre V2 : WARNING: Unprivileged eBPF is enabled with eIBRS on",
    "[    0.000000] [Firmware Bug]: TSC_DEADLINE disabled due to Errata",
    "[    0.000000] DMA-API: preallocated 65536 debug entries",
    "[    0.000000] DMA-API: debugging enabled by kernel config",
    "[    0.123456] rcu: INFO: something about nothing",
    "[    1.0] apple_dma 0000:00:03.0: the host refused a mapping, BUG: not ours",
    "[    1.0] nvme nvme0: I/O 24 QID 0 timeout, disable controller",
    "[    1.0] systemd[1]: WARNING: a program's own words",
    "WARNING: printed by a program on the console",
    "BUG: printed by a program on the console",
    "[    1.0] Out of memory: Killed process 1 (fio)",
    "[    1.0] page dumped because: migration failure",
    "[    1.0] page dumped because: unmovable page",
    "[    1.0] NMI watchdog: Perf NMI watchdog permanently disabled",
    "[    1.0] debug: unmapping init [mem 0xffff]",
    "[    1.0] Oopsy daisy",
    "[    1.0] traps: prog[123] trap invalid opcode ip:4011f2 sp:7ffd1 error:0 in prog[401000+1000]",
    "[    1.0] traps: prog[123] trap divide error ip:4011f2 sp:7ffd1 error:0 in prog[401000+1000]",
    "[    1.0] kobject_add_internal failed for x (error: -12 parent: kernel)",
    "[    1.0] kobject: 'x' (00000000deadbeef): kobject_add_internal: parent: 'y', set: 'z'",
    "[    1.0] kobject_create_and_add: kobject_add error: -12",
    "[    1.0] SLUB: HWalign=64, Order=0-3, MinObjects=0, CPUs=2, Nodes=1",
    "[    1.0] SLUB: Unable to allocate memory on node -1, gfp=0xcc0(GFP_KERNEL)",
    "[    1.0] ODEBUG: selftest passed",
    "[    1.0] resource sanity check: requesting [mem 0xa0000-0xbffff], which spans more than x",
    "[    1.0] genirq: Flags mismatch irq 4. 00000080 (x) vs. 00000000 (y)",
    "",
]


@pytest.mark.parametrize("line", REPORTS)
def test_report_is_seen(line):
    assert console.report_in(line)


@pytest.mark.parametrize("line", HARMLESS)
def test_harmless_line_is_no_report(line):
    assert console.report_in(line) is None


def test_console_is_followed_in_pieces(tmp_path):
    """A line that arrives in two pieces is one line; each counts once."""
    path = tmp_path / "console"
    log = console.Console(str(path))
    log.poll()
    path.write_bytes(b"[    1.000000] WARN")
    log.poll()
    assert not log.reports
    with path.open("ab") as file:
        file.write(b"ING: CPU: 0 PID: 1 at x\r\n[    2.0] Kernel panic - not sy")
    log.poll()
    assert log.reports == ["WARNING: CPU: 0 PID: 1 at x"] and not log.fatal
    log.finish()
    assert log.reports[1:] == ["Kernel panic - not sy"]


@pytest.mark.parametrize("crashes, reports", [(False, 3), (True, 1)])
def test_crash_that_is_asked_for(tmp_path, crashes, reports):
    """No report where the guest may reboot, up to the next kernel's first line."""
    path = tmp_path / "console"
    path.write_text("[    9.1] sysrq: Trigger a crash\n"
                    "[    9.2] Kernel panic - not syncing: sysrq triggered crash\n"
                    "[    9.3] WARNING: CPU: 0 PID: 1 at x\n"
                    "[    0.0] Linux version 6.1\n"
                    "[    0.1] WARNING: CPU: 0 PID: 1 at y\n", encoding="ascii")
    log = console.Console(str(path), crashes)
    log.poll()
    assert len(log.reports) == reports
    assert log.reports[-1].endswith("at y") and log.fatal is not crashes


def test_last_lines_are_printable(tmp_path):
    path = tmp_path / "console"
    path.write_bytes(b"\x1b[2J\x1b[1;1Hfirst\r\n\n\x00second\xff\n")
    assert console.Console(str(path)).last_lines(2) == ["first", "second"]


# The guest's side of a run

@pytest.mark.parametrize("words,status,out", [
    (["echo", "a b", "$HOME", "'"], 0, "a b $HOME '\n"),
    (["sh", "-c", "exit 5"], 5, ""),
    (["exit", "6"], 6, ""),
    (["no such command"], 127, ""),
])
def test_command_script(tmp_path, words, status, out):
    script = tmp_path / "command"
    script.write_text(image.command_script(words), encoding="utf-8")
    done = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, out)
    assert (status == 127) == ("is not a command in the guest" in done.stderr)


@pytest.mark.parametrize("push,target", [
    ("{f}", "/root/f"), ("{f}:/etc/x", "/etc/x"), ("{f}:/etc/", "/etc/f"), ("{f}:x", "/root/x"),
    ("{f}:", "/root/f")])
def test_guest_path(tmp_path, push, target):
    file = tmp_path / "f"
    file.touch()
    assert image.guest_path(push.format(f=file)) == (str(file), target)


def test_run_disk_keeps_modes(tmp_path):
    tool = tmp_path / "tool"
    tool.write_bytes(b"x" * 5000)
    tool.chmod(0o751)
    disk = image.RunDisk(str(tmp_path / "run.tar"))
    disk.push(str(tool), "/sbin/tool")
    disk.data("etc/testbed/config", b"a=1\n")
    disk.close()
    assert (tmp_path / "run.tar").stat().st_size % 2048 == 0
    with tarfile.open(tmp_path / "run.tar") as tar:
        member = tar.getmember("usr/sbin/tool")
        assert (member.mode, member.uid, member.size) == (0o751, 0, 5000)
        assert {"usr/bin/host-stats", "usr/bin/host-set", "usr/bin/host-ask",
                "usr/lib/testbed/init"} <= set(tar.getnames())


def test_cpio_is_one_cpio_reads(tmp_path):
    path = tmp_path / "x.cpio"
    with cpio.Archive(str(path)) as archive:
        archive.folder("bin")
        archive.file("bin/a", b"hello", 0o755)
        archive.file("bin/empty", b"")
    done = subprocess.run(["cpio", "-t", "--quiet"], input=path.read_bytes(),
                          capture_output=True, check=True)
    assert done.stdout.split() == [b"bin", b"bin/a", b"bin/empty"]


# The cache

def test_entry_is_made_once_and_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls = []

    def make(work, final):
        calls.append(final)
        made = Path(work) / "made"
        made.write_text("x", encoding="ascii")
        return str(made)

    first = cache.entry("a/b", "a test", 1, make)
    assert cache.entry("a/b", "a test", 1, make) == first == calls[0]
    assert len(calls) == 1
    with pytest.raises(ValueError):
        cache.entry("a/c", "a test", 1, lambda work, final: int("x"))
    assert os.listdir(Path(first).parent) == ["b"]


def test_kernel_index_is_used(tmp_path, monkeypatch):
    """A known kernel is found without the mirror; an unknown one names the others."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = []

    def stanza(suite, _arch, names):
        asked.append(suite)
        releases = {"trixie": "6.12.1+deb13-amd64", kernel.own_suite(): "6.1.0-9-amd64"}
        if suite not in releases:
            return []
        assert names == ["linux-image-amd64"]
        return [{"Version": "1", "Depends": f"linux-image-{releases[suite]} (= 1)"}]

    monkeypatch.setattr(packages, "show", stanza)
    assert kernel.find("6.1", arch.X86_64).release == "6.1.0-9-amd64"
    assert asked == [kernel.own_suite()]
    assert kernel.find("6.12.1+deb13-amd64", arch.X86_64).suite == "trixie"
    assert kernel.find("6.1", arch.X86_64).suite == kernel.own_suite()
    assert asked == [kernel.own_suite(), "trixie"]
    with pytest.raises(UsageError, match="unknown kernel '5.10' for x86_64.* 6.1, 6.12"):
        kernel.find("5.10", arch.X86_64)


def test_headers_are_relocated(tmp_path):
    source = tmp_path / "usr" / "src" / "linux-headers-1-amd64"
    source.mkdir(parents=True)
    (source / "Makefile").write_text("include /usr/src/linux-headers-1-common/Makefile\n",
                                     encoding="ascii")
    (source / "source").symlink_to("/usr/src/linux-headers-1-common")
    headers.relocate(str(tmp_path), "/final")
    text = (source / "Makefile").read_text(encoding="ascii")
    assert text == "include /final/usr/src/linux-headers-1-common/Makefile\n"
    assert os.readlink(source / "source") == "/final/usr/src/linux-headers-1-common"


def test_build_module_needs_a_kbuild(tmp_path):
    with pytest.raises(UsageError, match="Kbuild"):
        module.sources(str(tmp_path))


# The session, with a QEMU that is a script

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
    """The next kernel would read it."""
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
    assert cli._translation_race(talk) is race  # pylint: disable=protected-access


@pytest.mark.parametrize("spoiled, told", [(0, 0), (1, 1), (2, 2), (3, 2)])
def test_boot_that_is_spoiled_is_told(monkeypatch, tmp_path, spoiled, told):
    """Each that is tried again; the last is an error."""
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
    assert all("test_boot_that_is_spoiled_is_told" in line and "breakpoint" in line
               for line in lines)


# Faults, and who knows of them

class FakeExtension:
    """Stands for dextd with one device, which has had so many `faults`; None: it does not tell."""

    def __init__(self):
        self.faults = 0
        self.killed = False

    def device(self):
        return {"dart_entries": 0, "dart_bytes": 0, "read_faults": self.faults, "write_faults": 0}

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
    """Faults of the firmware or of the kernel before it, and then the next kernel is up."""
    if reset:
        talk._take_events()
        talk._last_reset -= 10
    extension.faults += faults
    _ask(talk, "hello")


@pytest.mark.parametrize("reset, counted", [(True, 2), (False, 9)])
def test_only_firmware_is_forgiven(tmp_path, reset, counted):
    """It runs before the first kernel, and after a reset. After kexec nothing else does."""
    talk, extension = _with_extension()
    _boot(talk, extension, 3, False)
    extension.faults += 2
    _boot(talk, extension, 7, reset)
    made = _final(talk, extension, tmp_path)
    assert made["faults"] == counted
    assert made["firmware_faults"] == 12 - counted


@pytest.mark.parametrize("when", ["reset", "hello", "end"])
def test_extension_that_does_not_tell_has_unknown_faults(tmp_path, when):
    """Not none: not even when it tells later, as the firmware's share is missing then."""
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
    """What it did while the companion was there is not all."""
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
    """In the guest's own question, too."""
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
    """Unknown is not none."""
    args = cli.parser().parse_args(["run", *options])
    talk = _session()
    talk.status = 5
    assert cli._verdict(talk, args, str(tmp_path), {"dext0": entry}) == status
    found = capsys.readouterr().err
    assert said in found and bool(said) == bool(found)


def test_fault_of_one_device_outweighs_what_is_not_known_of_another(tmp_path, capsys):
    talk = _session()
    args = cli.parser().parse_args(["run"])
    assert cli._verdict(talk, args, str(tmp_path), {"dext0": {}, "dext1": {"faults": 1}}) == 98
    said = capsys.readouterr().err
    assert "of dext0" in said and "of dext1" in said


# A process that stands for dextd: `at_term` is what it does when it is to end.
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
    """Start one, with what it does when it is to end."""
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
    """Such as the kernel, for its memory: nobody asked for it."""
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
    """As a sanitizer ends it: with statistics, or without; not those of before."""
    running = extension(at_term)
    running.statistics()
    assert (running.finish() != [None]) is counted
    assert "dextd ended with 3" in running.problem()


def test_exit_keeps_the_status():
    talk = _session()
    _ask(talk, "exit 42")
    assert talk.status == 42 and talk.at_exit["companion0"]["doorbells"] == 3


def test_interrupt_ends_quietly(tmp_path):
    """A signal while it waits for a program leaves no traceback."""
    there, fake = tmp_path / "there", tmp_path / arch.X86_64.qemu
    fake.write_text(f"#!/bin/sh\n: >'{there}'\nexec sleep 60\n")
    fake.chmod(0o755)
    with subprocess.Popen([str(TOP / "scripts" / "testbed"), "devices"], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True,
                          env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}) as process:
        while not there.exists():
            assert process.poll() is None, process.communicate()
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (130, "testbed: interrupted\n")


def test_scripts_are_executable():
    for name in ("testbed", "build-module", "lib/guest/init", "lib/guest/first"):
        assert (TOP / "scripts" / name).stat().st_mode & stat.S_IXUSR


def test_raw_arguments_are_words():
    assert qemu.raw(["-drive if=none,file='a b'", "-device edu"]) == [
        "-drive", "if=none,file=a b", "-device", "edu"]
    assert io.StringIO(qemu.escape("a,b")).read() == "a,,b"


def test_user_mode_linux_gets_room_for_registers(tmp_path):
    """And a source that has no such line is not built as if it had."""
    source = tmp_path / "arch/x86/um/user-offsets.c"
    source.parent.mkdir(parents=True)
    source.write_text("\tDEFINE_LONGS(HOST_FP_SIZE, 2696);\n")
    uml._fit_registers(tmp_path)        # pylint: disable=protected-access
    assert source.read_text() == "\tDEFINE_LONGS(HOST_FP_SIZE, 12288);\n"
    with pytest.raises(errors.TestbedError, match="HOST_FP_SIZE, 2696"):
        uml._fit_registers(tmp_path)    # pylint: disable=protected-access


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
