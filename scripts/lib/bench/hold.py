# SPDX-License-Identifier: GPL-2.0
"""Guest instructions while the engine's lock is held, with interrupts off."""

import os
import re

from testbed import cache, call, kernel, module

from . import guest, table
from .config import CONFIGS

TITLE = "Longest hold of the engine's lock, in instructions (icount)"
SOURCE = os.path.join(cache.SCRIPTS, "tests", "stress")
SCRIPT = "insmod /root/stress.ko run=hold && dmesg | grep -o 'apple_dma_stress: .*'"
LINE = re.compile(r"apple_dma_stress: hold (\w+) (\w+) map (\d+) unmap (\d+) again (\d+) "
                  r"flush (\d+)")
CASES = ("map", "unmap", "again", "flush")


def parse(text):
    """{"cached forward": {"map": 1234, ...}} of what the module logged."""
    return {f"{mode} {order}": dict(zip(CASES, map(int, counts)))
            for mode, order, *counts in LINE.findall(text)}


def measure(_bench, _config, name):
    """One guest, without a device; as parse()."""
    arch, kernel_name = guest.platform(name)
    built = module.build(kernel.find(kernel_name, arch), arch, SOURCE)
    done = guest.CALLS.run(call.words(["bash", "-c", SCRIPT], arch=arch.name,
                                      kernel=kernel_name, no_module=True, icount=True,
                                      cpus=1, qemu=[guest.CPU[arch.name]], timeout=1800,
                                      push=[f"{built}:/root/stress.ko"]))
    found = parse(done.stdout)
    if done.returncode or len(found) != 6 or re.search("^.*: not ok", done.stdout, re.M):
        raise guest.BenchError(f"hold on {name}:\n{(done.stdout + done.stderr)[-3000:]}")
    return found


def run(bench):
    """On all kernels; {kernel: {"hold": ...}}."""
    return bench.each_guest("holds of the lock", measure,
                            [each for each in CONFIGS if each.name == "none"],
                            [name for name in bench.kernels if "arm64" not in name])


def tables(found):
    """One Table for each kernel."""
    for name, configs in found.items():
        for cases in configs.values():
            yield table.Table(
                f"{TITLE}, Linux {name}", ["65,536 pages", *CASES],
                [[case, *(table.number(cells[each]) for each in CASES)]
                 for case, cells in cases.items()],
                "The engine on a fake host, whose time is not counted. again: mapped a second "
                "time; a list that only hits takes no lock. flush: what is idle is given back.")
