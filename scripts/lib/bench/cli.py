# SPDX-License-Identifier: GPL-2.0
"""The command line of scripts/bench."""

import argparse
import json
import os
import subprocess
import sys
import time

from testbed import cache
from testbed.errors import TestbedError, allowed, reported

from . import config, pairs

PARTS = {"pairs": pairs}


class Bench:
    """What is to be measured, and how far it has got."""

    def __init__(self, args):
        self.configs = config.choose(args.config)
        self.kernels = args.kernel or [config.OLDEST, config.NEWEST]
        self.quick = args.quick
        self.results = {}
        self._start = time.monotonic()

    def say(self, text):
        """Progress, on stderr."""
        print(f"[{time.monotonic() - self._start:6.0f} s] {text}", file=sys.stderr, flush=True)


def write(folder, results, tables):
    """Leave the results in FOLDER, in every form."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "bench.json"), "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
        file.write("\n")
    with open(os.path.join(folder, "bench.md"), "w", encoding="utf-8") as file:
        file.write("# Benchmark\n\n" + "\n\n".join(each.markdown() for each in tables) + "\n")


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
                        help="only this kernel, for parts that compare kernels")
    parser.add_argument("--quick", action="store_true", help="a few minutes: less of each")
    parser.add_argument("--output", metavar="DIR", default=os.path.join(cache.REPO, "build", "bench"),
                        help="where bench.md, bench.json and bench.svg go; default build/bench")
    return parser.parse_args(argv)


def main(argv):
    """The entry point; returns the exit status."""
    with reported("bench"):
        args = arguments(argv)
        for name in args.only or []:
            if name not in PARTS:
                raise allowed("part", name, PARTS)
        bench = Bench(args)
        if subprocess.run([os.path.join(cache.SCRIPTS, "setup"), "module", "emulator", "vm"],
                          stdin=subprocess.DEVNULL, check=False).returncode:
            raise TestbedError("the packages the benchmark needs are not there; see above")
        tables, failed = [], []
        for name, part in PARTS.items():
            if args.only and name not in args.only:
                continue
            try:
                bench.results[name] = part.run(bench)
            except TestbedError as error:
                failed.append(name)
                print(f"bench: {name}: {error}", file=sys.stderr, flush=True)
                continue
            for each in part.tables(bench.results[name]):
                tables.append(each)
                print(f"\n{each.text()}", flush=True)
            write(args.output, bench.results, tables)
        for name in failed:
            print(f"bench: {name} could not be measured; see above", file=sys.stderr)
        return 1 if failed else 0
