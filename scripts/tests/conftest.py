# SPDX-License-Identifier: GPL-2.0
"""Shared parts of the tests: the testbed as a function, disks, results of a run."""

import json
import os
import re
import subprocess
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TOP / "scripts" / "lib"), str(TOP / "tools")]

# pylint: disable=wrong-import-position
from testbed import call  # noqa: E402
from testbed.errors import tried_again  # noqa: E402

EXIT_HOST_PANIC = 96
EXIT_KERNEL_REPORT = 97
EXIT_DART_FAULT = 98
EXIT_TESTBED = 99


@dataclass
class Run:
    """The result of one run of the testbed."""

    status: int
    out: str
    err: str
    console: str
    stats: dict = field(default_factory=dict)

    def companion(self, index=0):
        """The host-side statistics of one companion."""
        return self.stats[f"companion{index}"]

    def dext(self, index=0):
        """The same for a device of a driver extension, with the counts of dextd."""
        return self.stats[f"dext{index}"]

    def json_lines(self):
        """The JSON values that the guest printed, a line each."""
        return [json.loads(line) for line in self.out.splitlines()
                if line.startswith(("{", "["))]

    def value(self, name):
        """The last `name=value` that the guest printed, as a number."""
        found = re.findall(rf"^{re.escape(name)}=(\S+)$", self.out, re.M)
        assert found, f"the guest printed no {name}= line:\n{self.out}"
        return int(found[-1])


# The guest's shell stops at the first error, and has the functions of lib/guest/lib.sh.
GUEST_PRELUDE = "set -eu\n. /usr/lib/testbed/lib.sh\n"

# A disk behind a DART; its drive is what the fixture `disk` makes.
NVME = ["nvme,drive=d0,serial=a"]


def aborted_early(err, console):
    """Whether an assertion of QEMU's MSI-X emulation failed, as in one of some thousand boots:
    while the guest's kernel sizes BARs and no module is loaded yet."""
    return (re.search(r"died of signal 6\b.*hw/pci/msix\.c:\d+: \w+: Assertion ", err, re.S)
            is not None and "testbed: boot 1" not in console)


def run_testbed(tmp_path, command, *, devices=(), dext=(), timeout=480, expect=0, **options):
    """Run a shell script in a guest; OPTIONS are those of `testbed run`, as for call.words().

    Fails the test if the exit status is not EXPECT; None takes any.
    """
    number = len(list(tmp_path.glob("console-*")))
    stats, console = tmp_path / f"stats-{number}", tmp_path / f"console-{number}"
    argv = call.words(["bash", "-c", GUEST_PRELUDE + command], stats=stats, console=console,
                      timeout=timeout, device=devices, dext_device=dext, **options)
    for again in (True, False):
        done = call.run(argv, timeout=timeout + 600)
        result = Run(done.returncode, done.stdout, done.stderr,
                     console.read_text(errors="replace") if console.exists() else "",
                     json.loads(stats.read_text()) if stats.exists() else {})
        if not (again and aborted_early(result.err, result.console)):
            break
        warnings.warn(f"QEMU aborted before the guest was up, which is booted again: {result.err}")
        tried_again("QEMU's MSI-X emulation aborted before the guest was up")
    if expect is not None and result.status != expect:
        pytest.fail(f"the testbed ended with {result.status}, not {expect}\n"
                    f"--- stdout\n{result.out[-4000:]}\n"
                    f"--- stderr\n{result.err[-4000:]}\n"
                    f"--- console\n{result.console[-6000:]}")
    return result


@pytest.fixture
def testbed(tmp_path):
    """run_testbed() with the test's own folder for its files."""
    def run(command, **options):
        return run_testbed(tmp_path, command, **options)
    return run


@pytest.fixture
def disk(tmp_path):
    """Make an empty disk; returns the QEMU argument and its path."""
    def make(name="d0", size="192M"):
        path = tmp_path / f"{name}.img"
        if not path.exists():
            subprocess.run(["truncate", "-s", size, path], check=True)
        return (f"-drive file={path},if=none,id={name},format=raw,"
                "cache=unsafe,discard=unmap"), path
    return make


@pytest.fixture(scope="session")
def build_module():
    """Build apple_dma, or a module of the tests, for a kernel."""
    def build(kernel="6.1", arch="x86_64", src=None):
        argv = [str(TOP / "scripts" / "build-module"), "--kernel", kernel,
                "--arch", arch]
        if src:
            argv += ["--src", str(src)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return Path(done.stdout.strip().splitlines()[-1])
    return build


def pytest_addoption(parser):
    parser.addoption("--full", action="store_true", help="also what takes long: marked `full`")
    parser.addoption("--debug-kernel", action="store_true",
                     help="also what needs the kernel debug or no-dma-ops: marked `debug`; "
                     "--full has it, too")


def pytest_configure(config):
    os.environ.setdefault("LC_ALL", "C.UTF-8")
    config.addinivalue_line("markers", "arm64: boots an arm64 guest")
    config.addinivalue_line("markers", "debug: boots the kernel debug or no-dma-ops; run with "
                            "--debug-kernel only")
    config.addinivalue_line("markers", "full: takes long; run with --full only")
    config.addinivalue_line("markers", "initramfs: with an initramfs as large as Debian's own")
    config.addinivalue_line("markers", "scene(guest, ...): a test that shares that guest")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    for item in items:
        scene = item.get_closest_marker("scene")
        if scene:
            # For one worker, which boots the guest once.
            item.add_marker(pytest.mark.xdist_group(scene.args[0]))
    if config.getoption("--full"):
        return
    unwanted = {"full"} if config.getoption("--debug-kernel") else {"full", "debug"}
    left_out = [item for item in items if unwanted & {mark.name for mark in item.iter_markers()}]
    items[:] = [item for item in items if item not in left_out]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
