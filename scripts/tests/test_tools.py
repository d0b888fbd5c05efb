# SPDX-License-Identifier: GPL-2.0
"""The command apple-dma on trees that look like a machine's."""

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import time

import pytest
from conftest import TOP
from tools_tree import MIB, NEWER, Tree
from apple_dma import cli, devices, root

TOOL = TOP / "tools" / "apple-dma"

COMPANION = "0000:00:04.0"


@pytest.fixture
def tree(tmp_path):
    """A machine without a companion."""
    return Tree(tmp_path / "root")


@pytest.fixture
def tool(tree, capsys, monkeypatch):
    """Runs the command on the tree, in this process, which is faster than a new one."""
    def run(*args, expect=0, width=140, **env):
        for name, value in {"APPLE_DMA_ROOT": str(tree.top), "COLUMNS": str(width), **env}.items():
            monkeypatch.setenv(name, value)
        try:
            status = cli.main(list(map(str, args)))
        except SystemExit as end:
            status = end.code
        out, err = capsys.readouterr()
        assert expect in (None, status), (status, out, err)
        return out + err
    return run


def line_with(text, word):
    """The one line of a text that has a word."""
    found = [line for line in text.splitlines() if word in line]
    assert len(found) == 1, (word, text)
    return found[0]


# ---- status

def test_status_of_one_device(tree, tool):
    tree.companion()
    out = tool("status", "--interval", "0")
    words = line_with(out, "nvme").split()
    assert words[:3] == ["00:04.0", "00:1e.0", "nvme"]
    assert "500M/1.39G" in words and "320/65.5k" in words
    assert words[-4:] == ["99.2", "%", "-", "ok"]


def test_status_counts_doorbells_between_two_samples(tree, tool):
    """No more doorbells: the rate is 0, and not that since the boot."""
    tree.companion()
    assert line_with(tool("status", "--interval", "0.05"), "nvme").split()[-2:] == ["0/s", "ok"]


def test_status_of_four_devices(tree, tool):
    tree.companion()
    tree.companion("0000:00:05.0", "0000:02:00.0", "amdgpu", map_failures=3, failures_bytes=2,
                   failures_host=1)
    tree.companion("0000:00:06.0", "0000:03:00.0", None)
    tree.companion("0000:00:07.0", None)
    out = tool("status", "--interval", "0", expect=1)
    assert [line.split("  ")[-1].strip() for line in out.splitlines()[1:5]] == [
        "ok", "failing", "no driver", "no device"]
    assert ("0000:02:00.0: 3 mappings failed: 2 because the byte budget was used up, "
            "1 because the host refused it") in out
    narrow = tool("status", "--interval", "0", expect=1, width=60)
    assert max(map(len, narrow.splitlines()[:20])) <= 60
    assert narrow.count("  bytes ") == 4


def test_failed_mappings_are_not_ok(tree, tool):
    """Earlier failures are a remark; present ones are a problem."""
    tree.companion(map_failures=3, failures_bytes=3)
    out = tool("status", "--interval", "0")
    assert line_with(out, "nvme").split()[-1] == "failing"
    assert "0000:00:1e.0: 3 mappings failed: 3 because the byte budget was used up" in out
    assert out.count("3 mappings failed") == 1 and "none fails now" not in out
    assert "budget was used up; none fails now" in tool("status", "--interval", "0.05")
    got = json.loads(tool("status", "--json", "--interval", "0.05"))["devices"][0]
    assert (got["state"], got["bad"]) == ("failing", False) and "byte budget" in got["reason"]
    assert "failing" in tool("top", "--once", "--interval", "0.05").splitlines()[2]


def test_mappings_that_fail_now_are_bad(tree, tool, monkeypatch):
    tree.companion()
    monkeypatch.setattr(time, "sleep", lambda _: tree.counter("map_failures", 1))
    got = json.loads(tool("status", "--json", "--interval", "0.05", expect=1))["devices"][0]
    assert (got["state"], got["bad"]) == ("failing", True) and "more fail now" in got["reason"]


@pytest.mark.parametrize("used, state", [(1356, "ok"), (1357, "full"), (1428, "full")])
def test_a_budget_that_is_used_up(tree, tool, used, state):
    """95 % of 1428 MiB in use; idle windows do not count."""
    tree.companion(mapped_bytes=1428 * MIB, idle_bytes=(1428 - used) * MIB)
    out = tool("status", "--interval", "0")
    assert line_with(out, "nvme").split()[-1] == state
    assert ("of 1.39 GiB are in use; at the limit, mappings fail" in out) == (state == "full")


def test_entries_that_are_used_up(tree, tool):
    tree.companion(mapped_entries=65000, idle_entries=0)
    assert "full: 65,000 of 65,536 registrations are in use" in tool("status", "--interval", "0")


def test_a_budget_that_all_devices_use_up(tree, tool):
    """The idle windows of both can be taken back, so they do not count."""
    for address, managed, idle in ((COMPANION, "0000:00:1e.0", 100),
                                   ("0000:00:05.0", "0000:02:00.0", 0)):
        tree.companion(address, managed, mapped_bytes=714 * MIB, idle_bytes=idle * MIB,
                       guest_bytes=1428 * MIB)
    got = json.loads(tool("status", "--json", "--interval", "0"))
    assert [device["state"] for device in got["devices"]] == ["ok", "ok"]
    tree.counter("idle_bytes", 10 * MIB)
    out = tool("status", "--interval", "0")
    assert out.count("full: 1.38 GiB of 1.39 GiB are in use") == 2


def test_what_is_registered_meanwhile_is_no_other_devices(tree, monkeypatch):
    tree.companion()
    machine = root.Root(tree.top)
    read = machine.read

    def read_slowly(path):
        text = read(path)
        if path.endswith("/mapped_bytes"):
            tree.counter("guest_bytes", 700 * MIB)
        return text
    monkeypatch.setattr(machine, "read", read_slowly)
    assert not devices.read(machine, COMPANION).shares()
    assert devices.read(machine, COMPANION).shares()


def test_a_full_budget_that_failed_before_says_both(tree, tool):
    tree.companion(mapped_bytes=1428 * MIB, idle_bytes=0, map_failures=3, failures_bytes=3)
    out = tool("status", "--interval", "0.05")
    assert "0000:00:1e.0: full: 1.39 GiB of" in out and "0000:00:1e.0: 3 mappings failed" in out


def test_status_of_a_broken_companion(tree, tool):
    tree.companion(broken=1, leaked_bytes=65536)
    tree.log(f"apple_dma {COMPANION}: the host broke the protocol: it did not answer a map entry. "
             "No more DMA is mapped; memory that the device may still reach is kept.")
    out = tool("status", "--interval", "0", expect=1)
    assert line_with(out, "00:1e.0  nvme").endswith("broken")
    assert "broken: it did not answer a map entry" in out
    assert "64 KiB of memory is kept" in out


def test_status_says_why_it_is_strict(tree, tool):
    tree.companion(mode="strict")
    assert "strict: as the mode was set" in tool("status", "--interval", "0")
    tree.pci("0000:00:08.0", "0x1af4", "0x1045", "0x00ff00", "virtio-pci")
    assert "strict: a balloon (0000:00:08.0) is in the guest" in tool("status", "--interval", "0")


def test_status_without_the_module(tree, tool):
    tree.companion()
    tree.without_module()
    out = tool("status", "--interval", "0", expect=1)
    assert "apple_dma is not loaded" in out


def test_status_of_a_companion_that_was_refused(tree, tool):
    tree.pci(COMPANION, "0x1b36", "0x0015", "0x088000")
    assert "refused" in tool("status", "--interval", "0", expect=1)
    tree.bind(COMPANION, "vfio-pci")
    assert "the driver vfio-pci has the companion" in tool("status", "--interval", "0", expect=1)


def test_status_without_a_companion(tool):
    out = tool("status", expect=2)
    assert "no companion (PCI device 1b36:0015)" in out and "vfio-apple-pci" in out


def test_an_older_module_shows_dashes(tree, tool):
    tree.companion(**{name: None for name in NEWER + ("hits", "idle_bytes")})
    out = tool("status", "--interval", "0")
    assert line_with(out, "nvme").split()[-3:] == ["-", "-", "ok"]
    got = json.loads(tool("status", "--json", "--interval", "0"))["devices"][0]
    assert got["counters"]["batches"] is None and got["hit_rate"] is None
    assert got["used_bytes"] == 612 * MIB


def test_json_has_the_documented_keys(tree, tool):
    tree.companion()
    got = json.loads(tool("status", "--json", "--interval", "0.05"))
    manual = (TOP / "tools/man/apple-dma.8").read_text()
    device = got["devices"][0]
    for key in (*got, *device):
        assert f".It Cm {key}\n" in manual, key
    abi = (TOP / "Documentation/ABI/testing/sysfs-driver-apple-dma").read_text()
    files = set(re.findall(r"^What:.*/apple_dma/(\w+)$", abi, re.M))
    assert files - set(device["counters"]) == {"managed", "mode", "flush", "ops", "premap_refusal"}
    assert not set(device["counters"]) - files
    assert device["counters"]["doorbells"] == 1000
    assert device["doorbells_per_second"] == 0
    assert device["state"] == "ok" and device["bad"] is False and device["reason"] is None


def without_override(*argv):
    """A command line that runs without root's right to read everything."""
    caps = "-dac_override,-dac_read_search"
    drop = ["setpriv", "--bounding-set", caps, "--inh-caps", caps] if os.geteuid() == 0 else []
    return [*drop, *map(str, argv)]


def test_no_permission_is_said_so(tree):
    tree.companion()
    for file in tree.path(f"sys/devices/pci0000:00/{COMPANION}/apple_dma").iterdir():
        if not file.is_symlink():
            file.chmod(0)
    done = subprocess.run(without_override(TOOL, "--root", tree.top, "status"),
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2, done
    assert "no permission for /sys/bus/pci/drivers/apple_dma/" in done.stderr
    assert "sudo" in done.stderr


def test_colours_only_on_a_terminal(tree, tool):
    tree.companion()
    assert "\033" not in tool("status", "--interval", "0", TERM="xterm")
    shown = on_a_terminal(tree, "status", "--interval", "0")
    assert "\033[32m" in shown
    assert "\033" not in on_a_terminal(tree, "status", "--interval", "0", NO_COLOR="1")


@pytest.mark.parametrize("args", [
    ("status", "--interval", "0"), ("status", "--json", "--interval", "0"), ("doctor",),
    ("status", "--prometheus", "--interval", "0"), ("doctor", "--verbose"),
    ("top", "--once", "--interval", "0"), ("report", "--seconds", "0", "-o", "-"), ("--help",),
    ("status", "--help"), ("--version",), ("nothing",)], ids=" ".join)
def test_nobody_reads_the_output(tree, args):
    """As with `| head`: no traceback, even if standard error is closed too."""
    tree.companion()
    env = {**os.environ, "APPLE_DMA_ROOT": str(tree.top)}
    for together in (False, True):
        back, front = os.pipe()
        os.close(back)
        done = subprocess.run([TOOL, *args], stdout=front, env=env, check=False, timeout=60,
                              stderr=front if together else subprocess.PIPE)
        os.close(front)
        assert not re.search("Traceback|Exception|BrokenPipe", (done.stderr or b"").decode()), done
        wanted = {128 + signal.SIGPIPE, -signal.SIGPIPE} | ({2} if args == ("nothing",) else set())
        assert done.returncode in wanted, done


def on_a_terminal(tree, *args, keys=b"", until=b"nvme", **env):
    """What the command writes to a terminal on which KEYS are pressed when UNTIL is shown."""
    master, slave = os.openpty()
    with subprocess.Popen([TOOL, *args], stdin=slave, stdout=slave, stderr=slave,
                          env={**os.environ, "APPLE_DMA_ROOT": str(tree.top), "TERM": "xterm",
                               "COLUMNS": "140", "LC_ALL": "C.UTF-8", **env}) as process:
        os.close(slave)
        parts = []
        with contextlib.suppress(OSError):      # the end of a terminal
            while select.select([master], [], [], 30)[0]:
                parts.append(os.read(master, 65536))
                if keys and until in b"".join(parts):
                    os.write(master, keys)
                    keys = b""
            process.kill()
        assert process.wait() == 0, b"".join(parts)
    os.close(master)
    return b"".join(parts).decode()


@pytest.mark.parametrize("args, word", [
    ((), "COMMAND"), (("nothing",), "nothing"), (("status", "--interval", "x"), "'x'"),
    (("status", "--interval", "-1"), "0 to 86400"), (("--root", "/nonexistent", "status"),
                                                     "'/nonexistent' is not a folder"),
])
def test_bad_usage_is_named(tool, args, word):
    assert word in tool(*args, expect=2)
