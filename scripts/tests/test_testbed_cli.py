# SPDX-License-Identifier: GPL-2.0
"""The command line of the testbed: arguments, host options, devices, signals."""

import io
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from conftest import TOP
from testbed import arch, cache, device, dext, errors, host, qemu
from testbed.errors import UsageError


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
    """As with `| head`: there is no traceback."""
    back, front = os.pipe()
    os.close(back)
    done = subprocess.run([str(TOP / "scripts" / script), *args], stdout=front,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, timeout=120,
                          check=False)
    os.close(front)
    assert done.returncode == 128 + signal.SIGPIPE and not done.stderr, done


def test_another_pipe_that_broke_is_an_error():
    """A BrokenPipeError may have another cause than a reader of the output that is gone."""
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
                   ["identity", "high", "random", "fragmented", "reuse", "aligned", "first-fit",
                    "sequential"]),
    "host without value": (["run", "--device", "edu", "--host", "iova", "--", "true"],
                           ["KEY=VALUE"]),
    "memory": (["run", "--mem", "lots", "--", "true"], ["lots", "1G"]),
    "too little memory": (["run", "--mem", "16M", "--", "true"], ["16M", "256M"]),
    "cpus": (["run", "--cpus", "0", "--", "true"], ["'0'", "1 to 128"]),
    "timeout": (["run", "--timeout", "never", "--", "true"], ["never"]),
    "reboots": (["run", "--reboots", "-1", "--", "true"], ["reboots"]),
    "push": (["run", "--push", "/nonexistent/file", "--", "true"], ["/nonexistent/file"]),
    "module and no-module": (["run", "--module", "x=1", "--no-module", "--", "true"],
                             ["--no-module", "--module"]),
    "function of nothing": (["run", "--dext-device", "nvme,function=1", "--", "true"],
                            ["nvme,function=1", "the device before it"]),
    "function that does not exist": (["run", "--dext-device", "nvme", "--dext-device",
                                      "nvme,function=8", "--", "true"], ["function=1", "function=7"]),
    "functions out of order": (["run", "--dext-device", "nvme", *["--dext-device",
                                "nvme,function=1"] * 2, "--", "true"], ["lower number"]),
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


def test_functions_share_a_slot():
    """Each has its companion, in the slots after that; the next card comes behind them."""
    specs = ["nvme", "nvme,function=1", "nvme,size=1G,function=3", "dma-engine", "nvme"]
    assert dext.places(specs) == ["0000:00:03.0", "0000:00:03.1", "0000:00:03.3", "0000:00:07.0",
                                  "0000:00:09.0"]
    argv = dext.wiring(specs, [{"companion": {}}] * len(specs), "/x")[1::2]
    assert [",multifunction=on," in each for each in argv] == [True] * 3 + [False] * 2
    assert "addr=0x3.3" in argv[2] and ",host=01:00.3," in argv[2]
    assert "addr=0x7.0" in argv[3] and ",host=02:00.0," in argv[3]


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
    for word in ("96", "97", "98", "99", "--device", "--reboots", "host-stats"):
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


def test_limits_of_a_mac_are_on_unless_said_otherwise():
    """Those of limits.md: the module's own budget is below them."""
    one, two = host.guarded(host.parse(["1:panic-bytes=2G", "1:panic-entries=0"], 1, 1))
    assert one["dart"] == {"panic-bytes": "1500000000", "panic-entries": "65536"}
    assert two["dart"] == {"panic-bytes": str(2 << 30), "panic-entries": "0"}
    assert 1428 << 20 <= int(host.PANIC["panic-bytes"])


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
