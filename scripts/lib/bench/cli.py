# SPDX-License-Identifier: GPL-2.0
"""The command line of scripts/bench."""

import argparse
import concurrent.futures
import contextlib
import json
import os
import signal
import subprocess
import sys
import time

from testbed import cache
from testbed.errors import TestbedError, UsageError, allowed, reported

from . import (chunks, config, guest, hold, instructions, iops, mapbench, pairs, plot, steady, targets,
               traces, ttm, wall)

PARTS = {"pairs": pairs, "instructions": instructions, "traces": traces,
         "steady": steady, "wall": wall, "iops": iops, "hold": hold, "mapbench": mapbench,
         "chunks": chunks, "ttm": ttm}

# What --quick measures, and what it measures on the other kernels as well.
QUICK = "none,intel-lazy,virtio-lazy,cached,strict"
QUICK_OTHERS = ("none", "cached")


class Bench:
    """What has to be measured, and the results so far."""

    def __init__(self, args):
        self.configs = config.choose(args.config or (QUICK if args.quick else None))
        self.kernels = args.kernel or [*config.ARM64, *config.X86_64]
        self.quick = args.quick
        self.results = {}
        self.failed = []        # what could not be measured
        self._start = time.monotonic()

    def configs_on(self, kernel):
        """Those of the wanted configurations that KERNEL can have."""
        return [each for each in self.configs if kernel in each.kernels]

    def each_guest(self, what, measure, configs=None, kernels=None):
        """Call MEASURE(self, config, kernel) for all there are, a guest on each core.

        Not for what depends on wall time. {kernel: {config: result}}.
        """
        short = self.quick and kernels is None
        kernels = self.kernels if kernels is None else kernels
        wanted = [(name, each) for name in kernels
                  for each in (self.configs if configs is None else configs)
                  if name in each.kernels and
                  not (short and name != config.NEWEST and each.name not in QUICK_OTHERS)]

        def one(pair):
            name, each = pair
            self.say(f"{what}: {each.label}, Linux {name}")
            with self.attempt(f"{what}: {each.name}, Linux {name}"):
                return measure(self, each, name)

        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            try:
                results = list(pool.map(one, wanted))
            except BaseException:
                guest.CALLS.stop()
                raise
        found = {name: {} for name in kernels}
        for (name, each), result in zip(wanted, results):
            if result:
                found[name][each.name] = result
        return found

    @contextlib.contextmanager
    def attempt(self, what):
        """Report a failure of the block and go on: WHAT could not be measured."""
        try:
            yield
        except TestbedError as error:
            self.failed.append(what)
            print(f"bench: {what}: {error}", file=sys.stderr, flush=True)

    def say(self, text):
        """Progress, on stderr."""
        print(f"[{time.monotonic() - self._start:6.0f} s] {text}", file=sys.stderr, flush=True)


def write(folder, results, tables):
    """Leave the results in FOLDER, in every form."""
    os.makedirs(folder, exist_ok=True)

    def put(name, text):
        with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    put("bench.json", json.dumps(results, indent=1) + "\n")
    put("bench.md", "# Benchmark\n\n" + "\n\n".join(each.markdown() for each in tables) + "\n")
    picture = plot.svg(results)
    if picture:
        put("bench.svg", picture)
    else:
        cache.remove(os.path.join(folder, "bench.svg"))


def kept(folder):
    """The results that an earlier run left in FOLDER."""
    path = os.path.join(folder, "bench.json")
    try:
        with open(path, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise UsageError(f"--keep: {path} is not what a run left there: {error}") from None


def commit():
    """The commit of the checkout."""
    done = subprocess.run(["git", "-C", cache.REPO, "describe", "--always", "--dirty"],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def all_tables(results):
    """Every Table there is for RESULTS, the targets last."""
    found = [each for name, part in PARTS.items() if name in results
             for each in part.tables(results[name])]
    return found + list(targets.tables(results))


def show(each):
    """Print a Table."""
    print(f"\n{each.text()}", flush=True)


def arguments(argv):
    """The parsed command line."""
    parser = argparse.ArgumentParser(
        prog="bench", allow_abbrev=False,
        description="Measure DMA mapping: apple_dma beside its alternatives.")
    parser.add_argument("--only", action="append", metavar="PART",
                        help="only this part; may be repeated: " + ", ".join(PARTS))
    parser.add_argument("--config", metavar="NAME,...",
                        help="only these configurations: " + ", ".join(config.NAMES))
    parser.add_argument("--kernel", action="append", metavar="NAME",
                        help="only this kernel, for parts that compare kernels: 6.1, newest, "
                             "6.1-arm64 or newest-arm64; may be repeated")
    parser.add_argument("--keep", action="store_true",
                        help="with --only: keep the other parts of an earlier run in the output "
                             "folder, and print them, too")
    parser.add_argument("--quick", action="store_true", help="a few minutes: less of each")
    parser.add_argument("--output", metavar="DIR",
                        default=os.path.join(cache.REPO, "build", "bench"),
                        help="where bench.md, bench.json and bench.svg go; default build/bench")
    return parser.parse_args(argv)


def _terminate(_signal, _frame):
    raise KeyboardInterrupt


def main(argv):
    """The entry point; returns the exit status."""
    signal.signal(signal.SIGTERM, _terminate)
    with reported("bench"):
        args = arguments(argv)
        for name in args.only or []:
            if name not in PARTS:
                raise allowed("part", name, PARTS)
        bench = Bench(args)
        if subprocess.run([os.path.join(cache.SCRIPTS, "setup"), "module", "emulator", "vm",
                           "kernel"], stdin=subprocess.DEVNULL, check=False).returncode:
            raise TestbedError("the packages the benchmark needs are not there; see above")
        earlier = kept(args.output) if args.keep else {}
        bench.results.update(earlier)
        for name, part in PARTS.items():
            if args.only and name not in args.only:
                continue
            bench.results.pop(name, None)
            with bench.attempt(name):
                bench.results[name] = part.run(bench)
                bench.results.setdefault("commits", {})[name] = commit()
            if name in bench.results:
                for each in part.tables(bench.results[name]):
                    show(each)
            write(args.output, bench.results, all_tables(bench.results))
        for name, part in PARTS.items():
            if args.only and name not in args.only and name in bench.results:
                for each in part.tables(bench.results[name]):
                    show(each)
        for each in targets.tables(bench.results):
            show(each)
        print()
        names = [name for name in ("bench.md", "bench.json", "bench.svg")
                 if os.path.exists(os.path.join(args.output, name))]
        print(f"In {args.output}: {', '.join(names)}")
        for what in bench.failed:
            print(f"bench: could not be measured, see above: {what}", file=sys.stderr)
        missed, unmeasured = targets.verdict(bench.results)
        if unmeasured:
            print(f"bench: {len(unmeasured)} of {len(targets.ROWS)} targets were not measured: "
                  f"{'; '.join(unmeasured)}", file=sys.stderr)
        for what in missed:
            print(f"bench: target missed: {what}", file=sys.stderr)
        return 1 if bench.failed or missed else 0
