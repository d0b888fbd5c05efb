# SPDX-License-Identifier: GPL-2.0
"""The kernel's own benchmark, dma_map_benchmark, on one to sixteen threads."""

from . import guest, table
from .config import BENCH, CONFIGS

THREADS = (1, 2, 4, 8, 16)
SECONDS = 1
# The driver counts in 100 ns. An instruction that takes 64 ns is a figure it can see.
SHIFT = 6
UNIT = 100 / (1 << SHIFT)       # instructions

SCRIPT = f"""
mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug
for each in /sys/bus/pci/devices/*; do
	[ "$(cat $each/vendor) $(cat $each/device)" != "0x1234 0x11e8" ] || edu=$each
done
echo dma_map_benchmark >$edu/driver_override
echo ${{edu##*/}} >/sys/bus/pci/drivers/dma_map_benchmark/bind
domain $edu
/root/mapbench {SECONDS} 1 >/dev/null
at map.before
counts
at map
/root/mapbench {SECONDS} {' '.join(str(each) for each in THREADS)}
counts
"""


def measure(_bench, config, name):
    """One guest; {threads: {"map": ..., "unmap": ...}, "doorbells": ...}."""
    program = guest.compiled("mapbench", "-static")
    sections = guest.run(config, name, SCRIPT, push=[f"{program}:/root/mapbench"], icount=True,
                         cpus=1, qemu=[f"-icount shift={SHIFT}"])
    found = {"doorbells": guest.delta(sections, "map", "doorbells")}
    for threads in THREADS:
        mapped, _, unmapped, _ = (int(word) for word in
                                  sections["map"].values[f"threads{threads}"])
        found[str(threads)] = {"map": mapped, "unmap": unmapped}
    return found


def run(bench):
    """{config: ...}."""
    return bench.each_guest("dma_map_benchmark", measure, kernels=[BENCH])[BENCH]


def pair(cell):
    """A map and its unmap, in the driver's unit."""
    return cell["map"] + cell["unmap"]


def tables(found):
    """Instructions and ratios, by the number of threads."""
    rows, head = [], [""]
    base = found.get("none")
    for config in CONFIGS:
        if config.name not in found:
            continue
        row, cells = [config.label], found[config.name]
        for threads in THREADS:
            cell = cells[str(threads)]
            row += [table.number(cell["map"] * UNIT), table.number(cell["unmap"] * UNIT),
                    table.ratio(pair(cell), base and pair(base[str(threads)]))]
        rows.append(row)
    for threads in THREADS:
        head += [f"map, {threads} thread{'s' * (threads > 1)}", "unmap", "×"]
    yield table.Table(
        "The kernel's dma_map_benchmark: instructions (icount)", head, rows,
        "One page, on one vCPU, in a 6.1 built here. The driver counts in 100 ns, and an "
        f"instruction takes {1 << SHIFT} ns. Each figure has a reading of the clock in it. × is "
        "map and unmap against no IOMMU. On one vCPU threads take turns, so no lock is contended.")
