# SPDX-License-Identifier: GPL-2.0
"""What is refused, with a sentence that says what is allowed."""

import os
import shutil
import subprocess

import pytest

import qtest

PORT = ["-device", "pcie-root-port,id=rp0"]
DART = [*PORT, "-device", "apple-dart,id=dart0,port=rp0"]


def run(shim, *args, qemu="qemu-system-x86_64"):
    """QEMU as the arguments say, ended by itself."""
    return subprocess.run(["timeout", "60", "env", *qtest.preload(shim), qemu, "-machine", "q35",
                           "-display", "none", "-nodefaults", "-S", *args],
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, timeout=90, check=False)


@pytest.mark.parametrize("devices, message", [
    ([*PORT, "-device", "apple-dart,port=rp9"], "port=rp9 names no PCI bridge; create it first"),
    ([*PORT, "-device", "apple-dart"], "create it first: -device pcie-root-port"),
    ([*DART, "-device", "apple-dart,port=dart0"], "port=dart0 names no PCI bridge"),
    ([*DART, "-device", "apple-dart,port=rp0"], "one apple-dart for each port"),
    ([*PORT, "-device", "apple-dart,port=rp0,iova=identity"],
     "iova=identity: allowed are high, random, fragmented, reuse, aligned, first-fit, sequential"),
    ([*PORT, "-device", "apple-dart,port=rp0,enforce=1"], "enforce=1: allowed are auto, on, off"),
    ([*PORT, "-device", "apple-dart,port=rp0,iova-bits=31"], "allowed are 32 to 64"),
    ([*PORT, "-device", "apple-dart,port=rp0,iova-bits=65"], "allowed are 32 to 64"),
    ([*PORT, "-device", "apple-dart,port=rp0,max-bytes=16383"],
     "max-bytes=16383: allowed is one page of 16384 bytes or more"),
    ([*PORT, "-device", "apple-dart,port=rp0,max-entries=0"], "max-entries=0: allowed is 1 or more"),
    ([*PORT, "-device", "apple-dart,port=rp0,max-entries=many"], "max-entries"),
    ([*PORT, "-device", "apple-dart,port=rp0,fault-log=/nowhere/x"],
     "fault-log=/nowhere/x cannot be written: No such file or directory"),
    ([*DART, "-device", "apple-dma-pci"], "create it first: -device apple-dart"),
    ([*DART, "-device", "apple-dma-pci,dart=rp0"], "dart=rp0 names no apple-dart"),
    ([*DART, "-device", "apple-dma-pci,dart=dart0,layout=new"],
     "layout=new: allowed are rfc, wide"),
    ([*DART, "-device", "apple-dma-pci,dart=dart0,forget=me"],
     "forget=me: allowed are nothing, registers, all"),
    ([*DART, "-device", "apple-dma-pci,dart=dart0,lie=white"], "lie=white: allowed are none, wrong-id"),
    ([*DART, "-device", "apple-dma-pci,dart=dart0,managed-bdf=01:00.0"],
     "managed-bdf=01:00.0: allowed are auto, and a number such as 0x0100 or 256"),
    ([*DART, "-device", "apple-dma-pci,dart=dart0,managed-bdf="], "managed-bdf=: allowed are auto"),
    ([*DART, "-device", "apple-dma-pci,dart=dart0,batch-entries=0"],
     "batch-entries=0: allowed is 1 or more"),
])
def test_bad_property(shim, devices, message):
    done = run(shim, *devices)
    assert done.returncode == 1
    assert message in done.stdout


def test_hotplug_is_refused(start):
    """A DART is there from the beginning; its companion may come and go, but not on pcie.0."""
    host = start()
    for device, message in (({"driver": "apple-dart", "port": "rp0"}, "a pluggable device type"),
                            ({"driver": "apple-slot", "port": "rp0"}, "a pluggable device type"),
                            ({"driver": "apple-dma-pci", "dart": "dart0"}, "not support hotplug")):
        with pytest.raises(RuntimeError, match=message):
            host.qmp("device_add", **device)


@pytest.mark.parametrize("arch", qtest.ARCHES)
def test_another_qemu_version_is_refused_in_one_sentence(shims, tmp_path, arch):
    for name in os.listdir(os.path.dirname(shims[arch])):
        if name.endswith(".so"):
            shutil.copy(os.path.join(os.path.dirname(shims[arch]), name), tmp_path)
    shim = tmp_path / os.path.basename(shims[arch])
    qemu = qtest.ARCHES[arch].qemu
    assert "apple-dart" in run(shim, "-device", "help", qemu=qemu).stdout

    # What a shim for the next release would have in it.
    banner = subprocess.run([qemu, "-version"], stdout=subprocess.PIPE, text=True, check=True,
                            timeout=60).stdout
    version = banner.split()[3]
    major = str(int(version[0]) + 1) if version[0] != "9" else "8"
    data = shim.read_bytes()
    assert data.count(f"{version} (".encode()) >= 1
    shim.write_bytes(data.replace(f"{version} (".encode(), f"{major}{version[1:]} (".encode()))
    done = run(shim, "-device", "help", qemu=qemu)
    assert done.returncode == 1
    assert done.stdout.count("\n") == 1
    assert f"built for QEMU {major}{version[1:]}" in done.stdout
    assert f"this is QEMU {version}" in done.stdout


def test_missing_devices_are_reported(shim, tmp_path):
    shutil.copy(shim, tmp_path)
    done = run(tmp_path / os.path.basename(shim), "-device", "help")
    assert done.returncode == 1
    assert "apple-dma-devices.so: cannot open shared object file" in done.stdout


def test_other_programs_are_left_alone(shim):
    done = subprocess.run(["env", *qtest.preload(shim), "sh", "-c", "echo fine"], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, check=True)
    assert done.stdout == "fine\n"


def test_make_says_what_is_wrong_with_its_qemu():
    top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for qemu, message in (("no-such-qemu", "there is no QEMU 'no-such-qemu'"),
                          ("/bin/echo", "is not a Debian QEMU")):
        done = subprocess.run(["make", "-s", "-C", top, "shim", f"QEMU={qemu}"], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60,
                              check=False)
        assert done.returncode != 0 and message in done.stdout
