# SPDX-License-Identifier: GPL-2.0
"""A kernel where a device cannot have DMA operations: memory is premapped without being asked for.

Premapped memory itself is tested in test_vm_premap.py.
"""

import re

import pytest

import test_vm_ttm
from bench import chunks, ttm
from compat import models
from conftest import NVME, TOP
from test_vm_premap import TOOLS, with_node

KERNEL = "no-dma-ops"
ARCHES = [pytest.param("x86_64", marks=pytest.mark.full),
          pytest.param("arm64", marks=[pytest.mark.full, pytest.mark.arm64])]


def guest(layout, lowest):
    """The options: all memory is registered (L1), or LOWEST MiB of it (L3).

    The rest ends above 4 GiB, so there is a bounce pool.
    """
    if layout == "L3":
        return {"mem": "4096M", "qemu": with_node(lowest, 4096)}
    return {"mem": f"{lowest}M", "qemu": []}


def layouts(run):
    """The layout of each companion's arena."""
    return re.findall(r"premapped \d+ MiB in \d+ pieces, layout (L\d);", run.console)


@pytest.mark.parametrize("arch", [pytest.param("x86_64", marks=pytest.mark.debug), ARCHES[1]])
def test_disk_works_without_an_option(testbed, disk, arch):
    """Nothing chooses the mode. Verified data without a doorbell; bound again; unloaded. DMA
    operations, if asked for, are refused."""
    drive, _ = disk()
    run = testbed(TOOLS + r"""
await_disk
set -- $(premapped)
[ "$2" = L1 ] || fail "layout $2"
agree bound
listen
keep
verify written
unbind "$managed"
bind_to "$managed" nvme || fail "not bound again"
await_disk
kept
quiet "reads, writes and a rebind"
counters
unbind "$managed"
await unloaded apple_dma
[ "$(host live)" = 0 ] || fail "unloaded: $(host live)"
insmod "$APPLE_DMA_KO" ops=dma_ops 2>/dev/null && fail "ops=dma_ops"
dmesg | grep 'ops=dma_ops is not possible' || fail "no reason"
""", qemu=[drive], devices=NVME, arch=arch, kernel=KERNEL)
    assert run.value("map_failures") == run.value("bad_unmaps") == run.value("broken") == 0
    assert run.companion()["faults"] == run.companion()["live"] == 0


# Each with an arena of its own, of as much memory.
DEVICES = [models.BY_NAME[name] for name in ("nvme", "ich9-ahci", "e1000e", "qemu-xhci")]


@pytest.mark.parametrize("layout", ["L1", "L3"])
@pytest.mark.parametrize("arch", ARCHES)
def test_stock_devices(testbed, disk, tmp_path, arch, layout):
    """Disks and a network card, verified as in `make compat`; no doorbell after the binds."""
    options, words = guest(layout, 256), []
    qemu = options.pop("qemu")
    for number, model in enumerate(DEVICES):
        if model.kind == models.DISK:
            disk(f"d{number}", "128M")
        qemu += filter(None, (models.backend(model, number, tmp_path),
                              model.more.format(i=number)))
        words.append(f"dev{number}:{model.kind}")
    run = testbed(r"""
all() { for each in 0 1 2 3; do host doorbells companion$each; done; }
before=$(all)
device-test --mib 4 """ + " ".join(words) + r"""
[ "$(all)" = "$before" ] || fail "doorbells: $before, then $(all)"
""", devices=[model.device.format(i=number) for number, model in enumerate(DEVICES)],
                  qemu=qemu, arch=arch, kernel=KERNEL, timeout=900, **options)
    said = dict(re.findall(r"^dev(\d) result=(.*)$", run.out, re.M))
    assert said == {str(number): "ok" for number in range(len(DEVICES))}, run.out
    assert set(layouts(run)) == {layout}
    for number in range(len(DEVICES)):
        counted = run.companion(number)
        assert counted["faults"] == counted["failed_entries"] == 0 < counted["doorbells"]


# What TTM has freed and still keeps needs no registration of its own.
TTM = ttm.FUNCTIONS + r"""
pieces=
clean() {
	pieces=${pieces:-$(host live)}
	[ "$(host live)" = "$pieces" ] && [ "$(counter live_mappings)" = 0 ]
}
"""


@pytest.mark.parametrize("layout", ["L1", "L3"])
@pytest.mark.parametrize("arch", ARCHES)
def test_buffers_of_ttm(testbed, build_module, tmp_path, arch, layout):
    """Mapped in all three ways; TTM takes their memory from the device's node."""
    cases = [(how, f"how={how} largest=32", "128 2 2000") for how in ttm.HOWS]
    (tmp_path / "ttm.sh").write_text(ttm.script(cases).replace(ttm.FUNCTIONS, TTM))
    run = testbed("bash /root/ttm.sh", arch=arch, kernel=KERNEL, dext=["dma-engine"], no_wait=True,
                  push=[f"{build_module(KERNEL, arch, ttm.SOURCE)}:/root/ttm.ko",
                        f"{tmp_path / 'ttm.sh'}:/root/ttm.sh"], timeout=900, **guest(layout, 1024))
    found = ttm.parse(run.out)
    assert list(found) == list(ttm.HOWS), run.out
    for name, parts in found.items():
        test_vm_ttm.check(parts, 128, 2)
        assert parts["2"]["copied"] == parts["2"]["segments"], name
        assert parts["shrunk"]["doorbells"] == parts["begin"]["doorbells"], name
        assert parts["shrunk"]["map_failures"] == 0, name
    assert layouts(run) == [layout]
    assert run.dext()["faults"] == 0


@pytest.mark.parametrize("layout, policy", [("L1", "first-fit"), ("L3", "high")])
@pytest.mark.parametrize("arch", ARCHES)
def test_chunks_and_lists(testbed, build_module, arch, layout, policy):
    """As NVIDIA's drivers map them, in memory of the device's node; aligned chunks stay aligned."""
    cases = {title: (*chunks.CASES[title][:2], mib)
             for title, mib in (("chunks of 4 KiB", 4), ("chunks of 64 KiB", 16),
                                ("chunks of 2 MiB", 64), ("list of 64 KiB", 16),
                                ("table of 2 MiB", 64))}
    policies, modes = (policy,), chunks.MODES[:1]
    options = {**chunks.options(policies), **guest(layout, 1024)}
    run = testbed(chunks.script(policies, modes, cases), arch=arch, kernel=KERNEL,
                  dext=["dma-engine"], no_wait=True, timeout=900,
                  push=[f"{build_module(KERNEL, arch, TOP / 'scripts/tests/engine')}"
                        ":/root/engine.ko"], **options)
    cells = chunks.parse(run.out, policies)[policies[0]][modes[0]]
    assert list(cells) == list(cases), run.out[-3000:]
    for title, cell in cells.items():
        assert cell["ok"] and cell["bytes"] == cases[title][2] << 20, title
        assert cell["faults"] == cell["doorbells"] == cell["failed_maps"] == 0, title
        assert cell["aligned_chunks"] == cell["chunks"], title
    assert layouts(run) == [layout]
