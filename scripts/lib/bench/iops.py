# SPDX-License-Identifier: GPL-2.0
"""IOPS with and without apple_dma, in one guest, for the targets.

Two guests always differ by some percent, as two boots of one guest do. So one
guest has two disks, one of them behind a DART, and fio takes them in turns. It
has one vCPU, so that there are no more threads than cores.
"""

import os
import statistics

from . import live, nvme, table
from .config import CONFIGS, NEWEST
from .wall import LATENCY, latency

ROUNDS = 16
SECONDS = 2
CACHED = next(each for each in CONFIGS if each.name == "cached")
PLAIN = ("-blockdev driver=null-co,node-name=d1,size=68719476736,read-zeroes=off "
         "-device pcie-root-port,id=plain,bus=pcie.0,chassis=99 "
         "-device nvme,drive=d1,serial=plain,bus=plain,romfile=")

SHELL = nvme.SHELL + r"""
cached=$(echo /sys/bus/pci/drivers/apple_dma/0*/apple_dma/managed/nvme/nvme*)
cached=/dev/${cached##*/}n1
none=/dev/nvme0n1
[ "$cached" != "$none" ] || none=/dev/nvme1n1
"""

SETUP = SHELL + "".join(
    f"disk=${name}\nawait_disk\n" + "".join(f"job {bs} {depth} --number_ios=2000\n"
                                            for bs, depth, _ in nvme.CASES.values())
    for name in ("none", "cached"))


def _step(turn, case):
    """One job on each disk; the order changes with each round."""
    bs, depth, _ = nvme.CASES[case]
    names = ("none", "cached") if turn % 2 else ("cached", "none")
    return SHELL + "".join(f"disk=${name}\nio {name} {bs} {depth} --time_based "
                           f"--runtime={SECONDS}\n" for name in names)


def summary(none, cached):
    """The cell of one case, from the rates of both, round by round."""
    ratios = [ours / theirs for ours, theirs in zip(cached, none)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {"none": statistics.median(none), "cached": statistics.median(cached),
            "ratio": middle, "low": low, "high": high, "rounds": len(ratios)}


def run(bench):
    """{case: {...}}, or nothing when a round failed."""
    rounds = 4 if bench.quick else ROUNDS
    rates = {case: ([], []) for case in nvme.CASES}
    found = {}
    with live.together(bench, [CACHED], NEWEST, cpus=1, devices=[nvme.DEVICE],
                       qemu=[nvme.BACKEND, PLAIN]) as guests, bench.attempt("iops"):
        step = guests[CACHED.name].step
        step(SETUP + latency(CACHED, LATENCY, 1))
        for turn in range(rounds):
            bench.say(f"iops: round {turn + 1} of {rounds}")
            for case, (none, cached) in rates.items():
                sections = step(_step(turn, case))
                none.append(float(sections["none"].values["iops"][0]))
                cached.append(float(sections["cached"].values["iops"][0]))
        found = {case: summary(*each) for case, each in rates.items()}
    return found


def tables(found):
    """One Table."""
    if not found:
        return
    lines = [[title, table.number(found[case]["none"]), table.number(found[case]["cached"]),
              table.ratio(found[case]["ratio"], 1),
              f"{found[case]['low']:.2f} to {found[case]['high']:.2f}"]
             for case, (_, _, title) in nvme.CASES.items() if case in found]
    rounds = max(each["rounds"] for each in found.values())
    yield table.Table(
        f"NVMe random reads, IOPS, cached with {LATENCY} µs per host entry, Linux {NEWEST}",
        ["", "none", "cached", "×", "half of the rounds"], lines,
        f"Two disks of one guest with one vCPU on {len(os.sched_getaffinity(0))} cores, "
        f"{rounds} rounds; × is the median of the ratios within a round. QEMU translates each "
        "page of a transfer for the disk behind the DART, and none for the other one.")
