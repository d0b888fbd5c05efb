# SPDX-License-Identifier: GPL-2.0
"""IOPS of two guests that take turns, often: what the targets ask for.

The wall part compares everything and has a few rounds; this one has many, with
as few threads as the machine has cores, for the one comparison that matters.
"""

import os
import statistics

from . import live, nvme, table
from .config import CONFIGS, NEWEST
from .wall import LATENCY, latency

ROUNDS = 16
SECONDS = 2
PAIR = [next(each for each in CONFIGS if each.name == name) for name in ("none", "cached")]

# fio, its queue and its interrupt stay on one vCPU.
SETUP = nvme.SHELL + """
await_disk
domain /sys/class/nvme/nvme0/device
""" + "".join(f"job {bs} {depth} --cpus_allowed=0 --number_ios=2000\n"
              for bs, depth, _ in nvme.CASES.values())


def _step(case):
    bs, depth, _ = nvme.CASES[case]
    return (nvme.SHELL +
            f"io {case} {bs} {depth} --cpus_allowed=0 --time_based --runtime={SECONDS}\n")


def summary(none, cached):
    """The cell of one case, from the rates of both, round by round."""
    ratios = sorted(ours / theirs for ours, theirs in zip(cached, none))
    low, middle, high = statistics.quantiles(ratios, n=4)
    return {"none": statistics.median(none), "cached": statistics.median(cached),
            "ratio": middle, "low": low, "high": high, "rounds": len(ratios)}


def run(bench):
    """{case: {...}}."""
    rounds = 4 if bench.quick else ROUNDS
    rates = {case: {each.name: [] for each in PAIR} for case in nvme.CASES}
    found = {}
    with live.together(bench, PAIR, NEWEST, "--cpus", "1", devices=(nvme.DEVICE,),
                       qemu=(nvme.BACKEND,)) as guests, bench.attempt("iops"):
        for each in PAIR:
            guests[each.name].step(SETUP + latency(each, LATENCY, 1))
        for turn in range(rounds):
            bench.say(f"iops: round {turn + 1} of {rounds}")
            # Whoever was first is second in the next one.
            for case in nvme.CASES:
                for each in PAIR if turn % 2 else reversed(PAIR):
                    section = guests[each.name].step(_step(case))[case]
                    rates[case][each.name].append(float(section.values["iops"][0]))
        found = {case: summary(each["none"], each["cached"]) for case, each in rates.items()}
    # Nothing is kept of rounds that broke off.
    return found


def tables(found):
    """One Table."""
    lines = [[title, table.number(found[case]["none"]), table.number(found[case]["cached"]),
              table.ratio(found[case]["ratio"], 1),
              f"{found[case]['low']:.2f} to {found[case]['high']:.2f}"]
             for case, (_, _, title) in nvme.CASES.items() if case in found]
    if not found:
        return
    rounds = max(each["rounds"] for each in found.values())
    yield table.Table(
        f"NVMe random reads, IOPS, cached with {LATENCY} µs per host entry, Linux {NEWEST}",
        ["", "none", "cached", "×", "half of the rounds"], lines,
        f"Two guests of one vCPU on {len(os.sched_getaffinity(0))} cores take turns, {rounds} "
        "rounds; × is the median of the ratios within a round. QEMU translates each page of a "
        "transfer for apple_dma's device, and none for the other one's.")
