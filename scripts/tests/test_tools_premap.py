# SPDX-License-Identifier: GPL-2.0
"""apple-dma where memory is premapped: status, top, doctor, report, for Prometheus."""

import json
import re

import pytest
from conftest import TOP
from test_tools import COMPANION, line_with, tool, tree
from test_tools_doctor import DEVICE, doctor
from test_tools_prometheus import parse
from tools_tree import MIB, PREMAPPED

from apple_dma import premap


def premapped(tree, gpu=False, **values):
    """A device with premapped memory."""
    tree.companion(**{**PREMAPPED, **values})
    if gpu:
        tree.write(f"sys/devices/pci0000:00/{DEVICE}/class", "0x030000")


ALL = "premapped: 1 GiB in 2 pieces, layout L1 (all memory), all aligned; nothing bounces"


def test_status_has_no_limits_but_what_is_premapped(tree, tool):
    premapped(tree, limit_bytes=1030 * MIB)
    out = tool("status", "--interval", "0.05")
    words = line_with(out, "nvme").split()
    assert words == ["00:04.0", "00:1e.0", "nvme", "1.00G", "premapped", "-", "-", "0/s", "ok"] or \
        words[3:5] == ["1G", "premapped"] and words[-4:] == ["-", "-", "0/s", "ok"]
    assert f"{DEVICE}: {ALL}" in out and "kept for the next mapping" not in out
    narrow = tool("status", "--interval", "0", width=60).splitlines()
    assert "  layout" not in narrow and "  nothing bounces" in narrow
    assert any(line.startswith("  premapped: 1 GiB in 2 pieces, layout L1") for line in narrow)


def test_status_tells_what_bounces(tree, tool):
    premapped(tree, premap_layout=3, premap_unaligned=1)
    assert "layout L3 (the lowest NUMA node), 1 not aligned; bounces: not seen" in \
        tool("status", "--interval", "0")
    for unknown in (None, 0):
        tree.bounces(6, unknown)
        assert "; bounces: 12 KiB of 64 MiB\n" in tool("status", "--interval", "0")
    tree.bounces(6, 512)
    assert "; bounces: 12 KiB of 64 MiB, at most 1 MiB so far\n" in tool("status", "--interval", "0")
    tree.write(f"sys/devices/pci0000:00/{DEVICE}/class", "0x030000")
    assert "; what is not in it fails, as a GPU must not bounce\n" in \
        tool("status", "--interval", "0")


def test_json_has_the_mode_and_the_bounces(tree, tool):
    premapped(tree, premap_layout=2)
    tree.bounces(6, 512)
    got = json.loads(tool("status", "--json", "--interval", "0"))
    assert got["bounces"] == {"used": 12288, "size": 64 * MIB, "peak": MIB}
    device = got["devices"][0]
    assert (device["ops"], device["premap_refusal"]) == ("premap", None)
    assert device["counters"]["premap_layout"] == 2 and device["state"] == "ok"


def test_top_shows_it(tree, tool):
    premapped(tree)
    out = tool("top", "--once", "--interval", "0.05")
    assert "premapped: 1 GiB in 2 pieces" in out and "doorbells" in out and "mappings" not in out


def test_nothing_is_premapped_before_a_driver_is_bound(tree, tool, doctor):
    premapped(tree, premap_layout=0, premap_pieces=0, mapped_bytes=0)
    assert "nothing is premapped before a driver is bound" in tool("status", "--interval", "0")
    assert doctor("mapping")[0][0] == "ok"


# ---- a device that may map nothing

def words_of_the_driver():
    """What the file premap_refusal can say."""
    text = (TOP / "driver/premap.c").read_text()
    return set(re.findall(r'\[APPLE_DMA_PREMAP_\w+\] = \{ "(\w+)"', text)) - {"none"}


def test_each_refusal_is_explained_everywhere():
    assert set(premap.REFUSALS) == words_of_the_driver()
    abi = (TOP / "Documentation/ABI/testing/sysfs-driver-apple-dma").read_text()
    section = abi.split("/premap_refusal\n")[1].split("What:")[0]
    assert set(re.findall(r"^\t\t(\w+)\t+\S", section, re.M)) == words_of_the_driver()


@pytest.mark.parametrize("word, text, cure", [
    ("layout", "more memory than can be registered", "-m 1G"),
    ("layout", "more memory than can be registered", "kernelcore=1G"),
    ("layout", "more memory than can be registered", "NUMA"),
    ("balloon", "gives memory back", "virtio-balloon"),
    ("strict", "mode=strict", "options apple_dma mode=cached"),
    ("ops", "has yet to free", f"devices/{DEVICE}/remove"),
    ("table", "has yet to be freed", f"devices/{DEVICE}/remove"),
    ("firmware", "DMA ranges", "dma-bounce-size"),
    ("bounce", "bounce everything", "swiotlb=force"),
    ("pieces", "8 pieces", "plug the device in again"),
    ("ends", "end of a piece", "update-initramfs"),
    ("room", "used up", "for two devices, -m 600M"),
    ("broken", "broken", "protocol"), ("memory", "no memory", "bind"),
    ("unknown-to-the-tool", "unknown-to-the-tool", "update")])
def test_doctor_explains_a_refusal(tree, tool, doctor, word, text, cure):
    premapped(tree, premap_layout=0, premap_refusal=word)
    outcome, said, done = doctor("mapping")[0]
    assert outcome == "fail" and said.startswith(f"{DEVICE} may map nothing: ")
    assert text in said and cure in done and "{" not in done
    out = tool("status", "--interval", "0", expect=1)
    assert line_with(out, "00:1e.0  nvme").endswith("no DMA") and "not premapped: " in out


def test_doctor_names_the_room_and_the_missing_driver_is_no_second_problem(tree, doctor):
    tree.companion(driver=None, **{**PREMAPPED, "premap_refusal": "layout", "limit_bytes": 512 * MIB})
    tree.log(f"apple_dma {COMPANION}: 2047 MiB of memory, room for 512 MiB: premapped DMA needs all")
    _, text, cure = doctor("mapping")[0]
    assert "(2047 MiB of memory, room for 512 MiB)" in text
    assert f"apple_dma max_bytes={1428 * MIB}" in cure
    outcome, text, cure = doctor("driver")[0]
    assert outcome == "fail" and "may map nothing" in text and "'mapping'" in cure


def test_line_of_the_room_is_the_modules():
    text = (TOP / "driver/premap.c").read_text()
    assert '"%llu MiB of memory, room for %llu MiB: premapped DMA needs' in text


# ---- one that works

def test_doctor_has_nothing_against_premapped_memory(tree, tool):
    """Not that the limit is near, that nothing was mapped, or that no window is idle."""
    premapped(tree, limit_bytes=1030 * MIB)
    assert tool("doctor").endswith("\nAll is well.\n")
    assert line_with(tool("doctor", "--verbose"), "mapping:").endswith(f"{DEVICE}: {ALL}")


def test_interrupts_are_looked_at(tree, doctor):
    """Also without a count of mappings."""
    premapped(tree)
    tree.write("proc/interrupts", "     CPU0 CPU1\n 40:  0  0  ITS-MSI nvme0q0\n")
    assert "none of its 1 interrupt came yet" in doctor("link and interrupts")[0][1]


def test_doctor_with_a_balloon(tree, doctor):
    premapped(tree)
    tree.pci("0000:00:08.0", "0x1af4", "0x1045", "0x00ff00", "virtio-pci")
    outcome, text, _ = doctor("balloon")[0]
    assert outcome == "fail" and "premapped DMA cannot work" in text


def test_unaligned_pieces_matter_to_gpus(tree, doctor):
    premapped(tree, premap_unaligned=1)
    assert doctor("mapping")[0][0] == "ok"
    tree.write(f"sys/devices/pci0000:00/{DEVICE}/class", "0x030000")
    outcome, text, cure = doctor("mapping")[0]
    assert outcome == "note" and "2 MiB pages will not work" in text and "plug" in cure


def test_a_gpu_wants_all_memory(tree, doctor):
    premapped(tree, gpu=True)
    assert doctor("mapping")[0][0] == "ok"
    tree.counter("premap_layout", 2)
    outcome, text, cure = doctor("mapping")[0]
    assert outcome == "note" and "does not bounce" in text and "-m 1G" in cure


def test_a_bounce_pool_that_is_used_up(tree, doctor):
    premapped(tree, premap_layout=2)
    tree.bounces(6, 20000)
    assert doctor("mapping")[0][0] == "ok"
    tree.bounces(6, 30000)
    outcome, text, cure = doctor("mapping")[0]
    assert outcome == "note" and "64 MiB was nearly full" in text and "swiotlb=" in cure


# ---- for Prometheus; the report

def test_prometheus(tree, tool):
    premapped(tree, premap_layout=2, premap_refusal="strict")
    tree.bounces(6, 512)
    found = parse(tool("status", "--prometheus", "--interval", "0"))
    labels = frozenset({("companion", COMPANION), ("device", DEVICE)})
    assert found["apple_dma_premap_layout"][1][labels] == 2
    assert found["apple_dma_premap_refused"][1][labels] == 1
    assert found["apple_dma_bounce_peak_bytes"][1] == {frozenset(): MIB}
    assert any(("ops", "premap") in pairs for pairs in found["apple_dma_info"][1])


def test_prometheus_without_premapped_memory(tree, tool):
    tree.companion()
    tree.bounces(6, 512)
    found = parse(tool("status", "--prometheus", "--interval", "0"))
    assert "apple_dma_premap_refused" not in found and "apple_dma_bounce_used_bytes" not in found
    assert any(("ops", "dma_ops") in pairs for pairs in found["apple_dma_info"][1])


def test_report(tree, tool):
    """What is premapped is in use, although the module sees no mapping in it."""
    premapped(tree)
    tree.windows([f"{0x40000000:#018x} {0x10040000000:#018x} {1 << 30} 0 active"])
    html = tool("report", "--seconds", "0", "-o", "-")
    assert "<li>Premapped: 1 GiB in 2 pieces, layout L1" in html
    assert "<span>premapped memory</span>" in html and "mappings without an exit" not in html
    assert "Mappings and doorbells" not in html and "In use is what the driver" not in html
    cells = re.findall(r'class="cell (\w+)', html)
    assert "use" in cells and "idle" not in cells
