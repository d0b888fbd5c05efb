# SPDX-License-Identifier: GPL-2.0
"""Guest instructions for one I/O: the difference of a long and a short run."""

import os
import statistics
import tempfile

from testbed import cache

from . import guest, nvme, table
from .config import CONFIGS, platform_label

TITLE = "Guest instructions per NVMe I/O"
SHORT, LONG = 1000, 5000
ROUNDS = {"4k-qd1": 5, "4k-qd32": 3, "128k-qd32": 3}


def plugin():
    """The plugin for QEMU that counts instructions."""
    cache.run(["make", "-s", "-C", os.path.join(cache.REPO, "host-emu"), "shim"],
              "getting QEMU's headers")
    folders = os.path.join(cache.root(), "qemu-headers")
    include = [os.path.join(folders, name, "include") for name in sorted(os.listdir(folders))]
    include = [each for each in include
               if os.path.exists(os.path.join(each, "qemu", "qemu-plugin.h"))]
    if not include:
        raise guest.BenchError("the headers of QEMU hold no qemu/qemu-plugin.h")
    return guest.compiled("insn", "-shared", "-fPIC", "-I", include[-1])


def steps(bench):
    """[(case, I/Os)], in the order in which the script makes them."""
    order = []
    for turn in range(max(ROUNDS.values())):
        for case, rounds in ROUNDS.items():
            if turn < (2 if bench.quick else rounds):
                order += [(case, SHORT), (case, LONG)]
    return order


def script(order):
    """The guest's script: every job between two marks."""
    text = nvme.SHELL + r"""
insmod /root/apple_dma_bench.ko
await_disk
domain /sys/class/nvme/nvme0/device
mark() { echo 1 >/sys/module/apple_dma_bench/parameters/mark; }
at all
"""
    for case in nvme.CASES:
        bs, depth, _ = nvme.CASES[case]
        text += f"job {bs} {depth} --number_ios={SHORT}\n"
    for case, ios in order:
        bs, depth, _ = nvme.CASES[case]
        text += f"mark\njob {bs} {depth} --number_ios={ios}\nmark\n"
    return text


def measure(bench, config, name):
    """One guest; {case: {...}}."""
    order = steps(bench)
    with tempfile.TemporaryDirectory(prefix="apple-dma-bench.") as folder:
        out = os.path.join(folder, "insn")
        guest.run(config, name, script(order), icount=True, cpus=1,
                  devices=[nvme.DEVICE],
                  qemu=[nvme.BACKEND, f"-plugin file={plugin()},out={out}"])
        with open(out, encoding="ascii") as file:
            counts = [int(line) for line in file]
    if len(counts) != 2 * len(order):
        raise guest.BenchError(f"{config.name}: {len(counts)} marks, not {2 * len(order)}")
    taken = [end - begin for begin, end in zip(counts[::2], counts[1::2])]
    found = {}
    for (case, _), short, long in zip(order[::2], taken[::2], taken[1::2]):
        found.setdefault(case, []).append((long - short) / (LONG - SHORT))
    return {case: {"instructions": statistics.median(each),
                   "spread": (max(each) - min(each)) / statistics.median(each)}
            for case, each in found.items()}


def run(bench):
    """All configurations on all kernels; {kernel: {config: {case: ...}}}."""
    plugin()
    return bench.each_guest("instructions per I/O", measure)


def tables(found):
    """One Table, all kernels beside each other."""
    rows = []
    for name, configs in found.items():
        base = configs.get("none")
        for config in CONFIGS:
            if config.name not in configs:
                continue
            row = [f"{platform_label(name)}: {config.label}"]
            for case in nvme.CASES:
                cell = configs[config.name][case]
                row += [table.number(cell["instructions"]),
                        table.ratio(cell["instructions"], base and base[case]["instructions"]),
                        table.percent(cell["spread"])]
            rows.append(row)
    head = [""]
    for _, _, title in nvme.CASES.values():
        head += [title, "×", "spread"]
    yield table.Table(
        TITLE, head, rows,
        f"Counted by a TCG plugin under icount: (a job of {LONG} I/Os less one of {SHORT}) / "
        f"{LONG - SHORT}, medians; the guest's kernel, fio and idle loop; × against no IOMMU on "
        "the same kernel. At QD1 the timer interrupts of an idle CPU make the spread.")
