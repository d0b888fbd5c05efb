# SPDX-License-Identifier: GPL-2.0
"""The command line of scripts/compat."""

import argparse
import concurrent.futures
import os
import signal
import time

from testbed import cache, device
from testbed import kernel as kernels
from testbed.errors import UsageError, allowed, detail, reported, warn

from . import guest, models, table

KERNELS = (kernels.NEWEST, "6.1", "debug")
OUT = os.path.join(cache.REPO, "build", "compat")
# Devices in a guest with a slow kernel: after a report each of them is run alone.
FEW = 5

EPILOG = """NAME is a device of --list, or several joined with '+', which are then busy at
the same time. Without --only it is all of them, and then the combinations.
Status 0 when every row is as it should be, 1 when not."""


def _parser():
    parser = argparse.ArgumentParser(
        prog="compat", allow_abbrev=False, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Run stock devices with their stock drivers behind the emulated DART; print a "
                    "table.")
    add = parser.add_argument
    add("--only", action="append", metavar="NAME", help="this row or combination; may be repeated")
    add("--kernel", action="append", metavar="NAME",
        help=f"see 'testbed kernels'; may be repeated; default {', '.join(KERNELS)}")
    add("--arch", default="x86_64", help="x86_64 (default) or arm64")
    add("--mode", default="", choices=("cached", "strict"), help="of the module")
    add("--mib", type=int, default=0, metavar="N", help="how much is moved at a time")
    add("--jobs", type=int, default=1, metavar="N", help="guests that run at the same time")
    add("--qemu", action="append", default=[], metavar="'ARGS'", help="more arguments of QEMU")
    add("--keep", default="", metavar="DIR", help="keep the guests' consoles there")
    add("--out", default=OUT, metavar="DIR", help="for compat.md and compat.json; build/compat")
    add("--list", action="store_true", help="print the names for --only")
    return parser


def chosen(names):
    """(models that get a row each, combinations that run at the same time)."""
    if not names:
        return list(models.MODELS), [tuple(models.BY_NAME[n] for n in each)
                                     for each in models.BUSY]
    alone, busy = [], []
    for name in names:
        found = []
        for part in name.split("+"):
            if part not in models.BY_NAME:
                raise allowed("device", part, models.BY_NAME)
            found.append(models.BY_NAME[part])
        if len({model.suite for model in found}) > 1:
            raise UsageError(f"--only {name}: these need different QEMUs")
        if len(found) == 1:
            alone += found
        else:
            busy.append(tuple(found))
    return alone, busy


def groups(wanted, most=device.MAX_DEVICES):
    """WANTED, in lists that share a guest: disks apart from the rest, one QEMU each."""
    found = {}
    for model in wanted:
        key = (bool(model.cannot), model.suite, model.kind == models.DISK)
        found.setdefault(key, []).append(model)
    return [each[i:i + most] for each in found.values() for i in range(0, len(each), most)]


def every_guest(alone, busy, kernel):
    """(models, whether together) of each guest with KERNEL."""
    most = FEW if kernel in guest.BUILT_HERE else device.MAX_DEVICES
    return [(each, False) for each in groups(alone, most)] + [(each, True) for each in busy]


def run_guests(wanted, jobs):
    """The rows of each (models, together, setting) of WANTED, in this order."""
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        work = [pool.submit(guest.run, list(each), setting, together)
                for each, together, setting in wanted]
        try:
            for each in work:
                yield from each.result()
        except BaseException:
            guest.CALLS.stop()
            pool.shutdown(cancel_futures=True)
            raise


def _write(rows, folder, above):
    os.makedirs(folder, exist_ok=True)
    for name, content in (("compat.md", table.markdown(rows, above)),
                          ("compat.json", table.as_json(rows))):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(content)


def _stop(_signal, _frame):
    raise KeyboardInterrupt


def main(argv):
    """The entry point; returns the exit status."""
    signal.signal(signal.SIGTERM, _stop)
    with reported("compat"):
        args = _parser().parse_args(argv)
        if args.list:
            print("\n".join([*models.BY_NAME, *("+".join(each) for each in models.BUSY)]))
            return 0
        if args.jobs < 1:
            raise UsageError("--jobs needs a number above 0")
        alone, busy = chosen(args.only)
        if args.keep:
            os.makedirs(args.keep, exist_ok=True)
        rows, start = [], time.monotonic()
        print(table.head(), flush=True)
        wanted = []
        for name in args.kernel or KERNELS:
            setting = guest.Setting(name, args.arch, args.mode, args.mib, tuple(args.qemu),
                                    args.keep)
            wanted += [(each, together, setting)
                       for each, together in every_guest(alone, busy, name)]
        for row in run_guests(wanted, args.jobs):
            rows.append(row)
            print(table.text(row), flush=True)
            _write(rows, args.out, table.caption(argv, time.monotonic() - start))
        bad = [row for row in rows if not row.good]
        for row in bad:
            warn(f"{row.device}, Linux {row.kernel}: {row.result}", "compat")
            for line in row.said.splitlines()[-12:]:
                detail(line)
        print(f"\n{len(rows) - len(bad)} of {len(rows)} rows as they should be, in "
              f"{time.monotonic() - start:.0f} s; {os.path.relpath(args.out)}/compat.md")
        return 1 if bad else 0
