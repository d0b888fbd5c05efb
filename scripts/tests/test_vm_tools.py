# SPDX-License-Identifier: GPL-2.0
"""The command apple-dma in a guest: its figures are those of the host."""

import json
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from conftest import NVME, TOP
from test_vm_premap import with_node

# Parts of the standard library that the guest's command does not need.
LEFT_OUT = shutil.ignore_patterns("__pycache__", "test", "tests", "idlelib", "lib2to3", "tkinter",
                                  "ensurepip", "distutils", "config-*", "pydoc_data", "turtledemo")

GUEST = r"""
apple-dma status --json --interval 0.2 >/tmp/status
tr -d '\n' </tmp/status; echo
apple-dma doctor --json >/tmp/doctor || echo "doctor=$?"
tr -d '\n' </tmp/doctor; echo
flush() { echo 1 | tee /sys/bus/pci/drivers/apple_dma/*/apple_dma/flush >/dev/null; }
flush
apple-dma report --seconds 300 -o /tmp/report.html >/tmp/said &
report=$!
tracing=/sys/kernel/debug/tracing
until grep -qs 1 $tracing/instances/*/events/apple_dma/host_error/enable; do sleep 0.2; done
before=$(host doorbells) made=$(host map_entries)
dd if=/dev/zero of=/dev/nvme0n1 bs=1M count=64 oflag=direct status=none
dd if=/dev/nvme0n1 of=/dev/null bs=4k count=500 iflag=direct status=none
dd if=/dev/nvme0n1 of=/dev/null bs=64k count=50 iflag=direct status=none
sleep 2
echo "live=$(host live)"
echo "entries=$(counter mapped_entries)"
flush
sleep 1
kill -INT $report
wait $report
echo "doorbells_meanwhile=$(($(host doorbells) - before))"
echo "windows_meanwhile=$(($(host map_entries) - made))"
[ -z "$(ls $tracing/instances)" ] || fail "an instance was left behind"
[ -z "$(cat $tracing/events/apple_dma/enable | tr -d '0\n')" ] || fail "events are still on"
counters
sed 's/^/said: /' /tmp/said
COLUMNS=140 apple-dma status --interval 0.2
COLUMNS=80 apple-dma status --interval 0
apple-dma top --once --interval 0.2
echo REPORT
cat /tmp/report.html
"""


def python(folder):
    """--push arguments that give a guest of this machine's Debian its Python."""
    library = Path(sysconfig.get_path("stdlib"))
    shutil.copytree(library, folder / library.name, ignore=LEFT_OUT, symlinks=False)
    binary = Path(sys.executable).resolve()
    needed = subprocess.run(["ldd", binary], capture_output=True, text=True, check=True).stdout
    shared = {f"{Path(path).resolve()}:/usr/lib/x86_64-linux-gnu/{name}"
              for name, path in re.findall(r"(\S+\.so\S*) => (\S+)", needed)
              if not re.match("lib(c|m|pthread|dl)[.]", name)}
    return [f"{folder / library.name}:{library}", f"{binary}:/usr/bin/python3", *sorted(shared)]


def command(folder):
    """--push arguments that give a guest apple-dma, and the Python that it needs."""
    subprocess.run(["make", "-s", "install-tools", f"DESTDIR={folder}/tools", "PREFIX=/usr"],
                   cwd=TOP, check=True)
    tools = folder / "tools/usr"
    return [*python(folder), f"{tools}/bin/apple-dma:/usr/bin/apple-dma",
            f"{tools}/share/apple-dma:/usr/share/apple-dma"]


@pytest.mark.full
def test_apple_dma_in_a_guest(testbed, disk, tmp_path):
    drive, _ = disk()
    # No window is given back for its age: only the commands ring the doorbell.
    run = testbed(GUEST, qemu=[drive], module="idle_ms=0", devices=NVME,
                  push=command(tmp_path))
    status, doctor = run.json_lines()[:2]
    check_status(status)
    check_doctor(doctor)
    html = run.out.split("REPORT\n")[1]
    (tmp_path / "report.html").write_text(html)     # to be looked at
    check_report(run, json.loads(re.search(r'id="numbers">(.*?)</script>', html)[1])[0])
    assert "said:   No mapping failed." in run.out
    # A line of the table, and its form on a narrow terminal.
    assert re.search(r"^00:\S+ +\S+ +nvme .* ok$", run.out, re.M)
    assert re.search(r"^0000:\S+  nvme  ok$", run.out, re.M)


def check_status(status):
    """One device without problems, with all values of the present module."""
    assert status["module_loaded"] and len(status["devices"]) == 1
    device = status["devices"][0]
    assert (device["state"], device["driver"], device["mode"]) == ("ok", "nvme", "cached")
    assert device["counters"]["doorbells"] > 1 and device["used_bytes"] > 0
    assert not [name for name, value in device["counters"].items() if value is None]


def check_doctor(doctor):
    """No problem; it sees that the guest has neither headers nor the module's file."""
    assert doctor["well"], doctor
    found = {f["check"]: f for f in doctor["findings"]}
    assert found["headers"]["outcome"] == found["module"]["outcome"] == "note"
    others = {name: f["outcome"] for name, f in found.items() if name not in ("headers", "module")}
    assert set(others.values()) == {"ok"}, doctor
    assert "layout, up to 1428 MiB" in found["protocol"]["text"]


def check_report(run, numbers):
    """The report has the counts of the host and of the module."""
    assert numbers["driver"] == "nvme" and numbers["lost_events"] == 0
    assert numbers["doorbells_traced"] == run.value("doorbells_meanwhile") > 1
    assert numbers["windows_created"] == run.value("windows_meanwhile") > 0
    assert numbers["windows"] == run.value("live") == run.value("entries")
    assert numbers["windows_evicted"]["flush"] > 0
    assert numbers["doorbell_ns"]["longest"] <= run.value("doorbell_ns_max")
    _, hits, misses = numbers["size_buckets"]
    assert sum(hits) > 500 and sum(misses) > 0
    assert sum(hits) + sum(misses) <= run.value("hits") + run.value("misses")
    assert numbers["host_errors"] == 0 and numbers["samples"] > 3


PREMAPPED = r"""
[ -d /sys/kernel/debug/swiotlb ] || mount -t debugfs nodev /sys/kernel/debug
await_disk
# Through the memory of programs, which bounces.
dd if=/dev/nvme0n1 of=/dev/null bs=1M count=16 iflag=direct status=none
apple-dma status --json --interval 0 | tr -d '\n'; echo
apple-dma doctor --json | tr -d '\n'; echo
echo "host_live=$(host live)"
echo "host_live_bytes=$(host live_bytes)"
COLUMNS=140 apple-dma status --interval 0
"""


@pytest.mark.full
@pytest.mark.parametrize("kernel", ["6.1", "newest"])
def test_premapped_memory_in_a_guest(testbed, disk, tmp_path, kernel):
    """The arena is what the host has, and the kernel's count of what bounces is read."""
    drive, _ = disk()
    run = testbed(PREMAPPED, qemu=[drive, *with_node(1024, 3072)], devices=NVME, mem="3G", kernel=kernel,
                  module="ops=premap", append="iommu=soft swiotlb=track_hiwater",
                  push=command(tmp_path))
    status, doctor = run.json_lines()[:2]
    device = status["devices"][0]
    assert (device["state"], device["ops"], device["premap_refusal"]) == ("ok", "premap", None)
    counters = device["counters"]
    assert counters["premap_layout"] == 3 and counters["premap_pieces"] > 1
    assert counters["mapped_entries"] == run.value("host_live")
    assert counters["mapped_bytes"] == run.value("host_live_bytes")
    bounces = status["bounces"]
    assert bounces["size"] == 64 << 20 and bounces["used"] <= bounces["size"]
    assert kernel == "6.1" or bounces["peak"] > 0
    found = {f["check"]: f for f in doctor["findings"]}
    assert found["mapping"]["outcome"] == "ok" and "layout L3" in found["mapping"]["text"]
    assert {f["outcome"] for name, f in found.items() if name not in ("headers", "module")} == {"ok"}
    assert re.search(r"^00:\S+ .* premapped +- +- +.* ok$", run.out, re.M)
    assert re.search(r": premapped: .* layout L3 .*; bounces: .* of 64 MiB", run.out)


REFUSED = r"""
insmod /root/apple_dma.ko 2>/tmp/said && fail "the kernel took it"
sed 's/^/said: /' /tmp/said
apple-dma doctor --json >/tmp/doctor || echo "doctor=$?"
tr -d '\n' </tmp/doctor; echo
"""


@pytest.mark.full
def test_doctor_names_the_cause_of_a_refused_load(testbed, tmp_path, build_module):
    """A kernel that takes only signed modules, as with Secure Boot, and an unsigned module."""
    run = testbed(REFUSED, no_module=True, append="module.sig_enforce=1",
                  push=[*command(tmp_path), f"{build_module()}:/root/apple_dma.ko"])
    assert run.value("doctor") == 1
    found = {f["check"]: f for f in run.json_lines()[0]["findings"]}
    assert found["signature"]["outcome"] == "fail"
    assert "the kernel refused the module: " in found["signature"]["text"], found["signature"]
    assert "mokutil --import" in str(found["signature"]), found["signature"]
