# SPDX-License-Identifier: GPL-2.0
"""How fast the time-stamp counter of this machine is, for guests under TCG."""

import os
import platform
import subprocess

from . import cache

SOURCE = os.path.join(cache.SCRIPTS, "lib", "testbed", "tsc.c")


def _build(work, _final):
    made = os.path.join(work, "tsc")
    cache.run([cache.tool("gcc"), "-O2", "-Wall", "-Wextra", "-Werror", "-o", made, SOURCE],
              "building scripts/lib/testbed/tsc.c")
    return made


def append(arch, icount=False):
    """The kernel argument for a guest of ARCH; empty where there is no such counter.

    With ICOUNT the guest's counter counts instructions, one in each ns.
    """
    if arch.name == "x86_64" and icount:
        return "tsc_early_khz=1000000"
    if arch.name != "x86_64" or platform.machine() != "x86_64":
        return ""
    with open(SOURCE, "rb") as file:
        key = cache.digest(file.read())
    program = cache.entry(f"tsc/{key}", "building a helper that measures the clock", 1, _build)
    os.chmod(program, 0o755)
    said = subprocess.run([program], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          check=True).stdout
    return f"tsc_early_khz={said.strip()}"
