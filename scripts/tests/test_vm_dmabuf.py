# SPDX-License-Identifier: GPL-2.0
"""A buffer of one passthrough device that another one uses, as a dma-buf."""

import pytest

from conftest import TOP
from bench import chunks

SOURCE = TOP / "scripts" / "tests" / "engine"

# Device 0 exports; the exporter's driver maps the buffer for the device of each importer.
# Each reads what the other has written, through addresses of its own.
STEPS = chunks.TOOLS + r"""
insmod /root/engine.ko
shared() {	# mode, KiB of a chunk, MiB
	fresh 0 $1
	fresh 1 $1
	engine 0 export $2 $3
	engine 1 import 1 2
	engine 0 verify 2
	engine 0 import 2 3
	engine 1 import 3 4
	engine 0 verify 4
	host-stats
	engine 1 detach
	engine 0 import 4 5
	engine 0 verify 5
	engine 0 detach
	engine 0 unexport
	host-stats
	for i in 0 1; do totals $i | sed "s/^/$i $1 $2 /"; done
}
for mode in cached strict; do
	shared $mode 4 4
	shared $mode 2048 16
	# The exporter's driver goes, and the importer still has the buffer.
	engine 0 export 64 4
	engine 1 import 1 2
	echo "${devices[0]}" >/sys/bus/pci/drivers/apple_dma_engine/unbind
	engine 1 import 2 3
	engine 1 import 3 4
	echo "${devices[0]}" >/sys/bus/pci/drivers/apple_dma_engine/bind
	# And the importer's.
	echo "${devices[1]}" >/sys/bus/pci/drivers/apple_dma_engine/unbind
	[ "$(host live dext1)" = 0 ] || fail "the host has $(host live dext1)"
	echo "${devices[1]}" >/sys/bus/pci/drivers/apple_dma_engine/bind
done
rmmod apple_dma_engine
"""


@pytest.mark.parametrize("kernel, policies", [
    ("6.1", ("high", "random")),
    pytest.param("newest", ("high", "random"), marks=pytest.mark.full),
    pytest.param("newest", ("aligned", "first-fit"), marks=pytest.mark.full)])
def test_buffer_of_another_device(testbed, build_module, kernel, policies):
    """Both devices read and write it; neither reaches it by the other's mappings."""
    module = build_module(kernel, "x86_64", SOURCE)
    run = testbed(STEPS, kernel=kernel, dext=["dma-engine"] * 2, module=chunks.MODULE,
                  host=[f"{number}:iova={policy}" for number, policy in enumerate(policies)],
                  push=[f"{module}:/root/engine.ko"])
    lines = run.out.splitlines()
    assert not [line for line in lines if line.startswith(("not ok", "#"))]
    assert lines.count("ok - import") == 2 * (2 * 4 + 3)
    assert lines.count("ok - verify") == 2 * 2 * 3
    told = run.json_lines()
    for number, (mode, mib) in enumerate((mode, mib) for mode in chunks.MODES for mib in (4, 16)):
        both, after = told[2 * number], told[2 * number + 1]
        assert all(each["live_bytes"] >= mib << 20 for each in both), mode
        assert mode == "cached" or all(each["live"] == 0 for each in after)
    for i in (0, 1):
        assert run.dext(i)["faults"] == run.dext(i)["failed_entries"] == run.dext(i)["live"] == 0
        for mode in chunks.MODES:
            for kib in (4, 2048):
                for name in ("map_failures", "bad_unmaps", "live_mappings"):
                    assert f"{i} {mode} {kib} {name}=0" in lines
