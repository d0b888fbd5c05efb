# SPDX-License-Identifier: GPL-2.0
"""The command line of scripts/kernels."""

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass

from testbed import arch as arches
from testbed import cache, kernel
from testbed.errors import TestbedError, allowed, reported

from . import boot, checks

LINE = "{:10} {:7} {:>5}  {:29} {:6} {:9} {:26} {}"
UNRELEASED = ("sid", "experimental")


@dataclass
class Row:
    """One kernel for one architecture, and its result."""

    kernel: kernel.Kernel
    arch: arches.Arch
    boots: bool
    pages: str = "?"
    built: str = "-"
    sparse: str = "-"
    booted: str = "-"
    trouble: str = ""

    def __str__(self):
        return LINE.format(self.kernel.name, self.arch.name, self.pages, self.kernel.release,
                           self.built, self.sparse, self.booted,
                           "FAILED" if self.trouble else "ok").rstrip()


def rows(only=(), archs=()):
    """The matrix, the oldest kernel first; ONLY those names and ARCHS, if any are given.

    The kernels of a Debian release are booted, the newest of each flavour, and what is
    built here.
    """
    found, names, missing = [], [], set(only)
    for arch in [arches.find(name) for name in archs] or arches.ARCHES.values():
        here = kernel.built_here(arch, rows=True)
        names += [*kernel.names(arch), *(each.name for each in here)]
        for each in kernel.every(arch) + here:
            titles = {each.name, each.release}
            newest = each == kernel.newest(arch, each.variant)
            if newest:
                titles.add(kernel.named(kernel.NEWEST, each.variant))
            missing -= titles
            if not only or titles & set(only):
                found.append(Row(each, arch, newest or each.suite not in UNRELEASED))
    if missing:
        raise allowed("kernel", ", ".join(sorted(missing)), dict.fromkeys(names))
    if not found:
        raise TestbedError("no kernel was found; is the mirror in reach?")
    return sorted(found, key=lambda row: row.kernel.order)


def run(row, boot_too):
    """Fill in ROW."""
    try:
        found = checks.check(row.kernel, row.arch, cache.REPO, checks.place(row.kernel))
        row.pages = f"{found.page_size >> 10}K"
        row.built = "yes" if found.built else "no"
        if found.built:
            row.sparse = f"{len(found.checked)} of {len(found.objects)}"
        if not found.clean:
            row.trouble = f"{found.reason}\n{found.output}"
        elif boot_too and row.boots:
            said, row.trouble = boot.boot(row.kernel, found.page_size)
            row.booted = "no" if row.trouble else (
                f"{said['files']} files, {said['rebinds']} rebinds")
            if not row.trouble:
                row.pages = f"{int(said['page_size']) >> 10}K"
    except TestbedError as error:
        row.trouble = str(error)


def parser():
    """The parser of the command line."""
    top = argparse.ArgumentParser(
        prog="kernels", allow_abbrev=False,
        description="Build the module for every kernel the Debian mirror has, with W=1 and every "
        "warning an error, run sparse on each file, and boot the kernels that a release of "
        "Debian has, and the newest: the NVMe round trip, and the driver bound again and again. "
        "Exits with 1 if a row failed.")
    add = top.add_argument
    add("--only", action="append", default=[], metavar="NAME",
        help="only this kernel, as in 'testbed kernels'; may be repeated")
    add("--arch", action="append", default=[], help="only x86_64 or arm64")
    add("--no-boot", action="store_true", help="only build and check")
    return top


def main(argv):
    """The entry point; returns the exit status."""
    with reported("kernels"):
        args = parser().parse_args(argv)
        start = time.monotonic()
        subprocess.run([os.path.join(cache.SCRIPTS, "setup"), "module", "emulator", "vm",
                        "kernel"],
                       stdin=subprocess.DEVNULL, check=True)
        wanted = rows(args.only, args.arch)
        print(LINE.format("KERNEL", "ARCH", "PAGES", "RELEASE", "W=1", "SPARSE", "BOOTED",
                          "RESULT"), flush=True)
        for row in wanted:
            run(row, not args.no_boot)
            print(row, flush=True)
        bad = [row for row in wanted if row.trouble]
        for row in bad:
            print(f"\n{row.kernel.name} {row.arch.name}: {row.trouble}", file=sys.stderr)
        print(f"\n{len(wanted) - len(bad)} of {len(wanted)} rows are ok, "
              f"in {time.monotonic() - start:.0f} s", flush=True)
        return 1 if bad else 0
    return 0
