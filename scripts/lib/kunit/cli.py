# SPDX-License-Identifier: GPL-2.0
"""The command line of scripts/kunit: build, run, count."""

import argparse
import os
import random
import sys
import time

from testbed import cache
from testbed.errors import reported

from . import guest, results, suites, uml

SOURCE = os.path.join(cache.REPO, "kunit")
STRESS = os.path.join(cache.REPO, "scripts", "tests", "stress")


def _pattern(text):
    """What the module takes as `only`."""
    return text if "." in text else f"{text}.*"


def _seed(text):
    """The seed of a storm."""
    return random.randrange(1, 1 << 32) if text == "new" else max(int(text), 1)


def _arguments(argv):
    parser = argparse.ArgumentParser(
        prog="kunit", allow_abbrev=False,
        description="Run the suites of kunit/: in user-mode Linux those that need no device, "
                    "in a debug kernel under QEMU all of them. Without --uml, --debug, "
                    "--kernel: in both.",
        epilog="The last line is 'N passed, N failed, N skipped'; the exit status is 0 only "
               "if all cases passed or were skipped for a reason.")
    parser.add_argument("pattern", nargs="?", default="*.*", metavar="SUITE[.CASE]",
                        help="only these; with * and ?")
    parser.add_argument("--uml", action="store_true", help="in user-mode Linux")
    parser.add_argument("--debug", action="store_true", help="in the debug kernel")
    parser.add_argument("--kernel", action="append", default=[], metavar="NAME",
                        help="in a kernel of the testbed that has KUnit (debug, kcsan)")
    parser.add_argument("--storm", action="append", default=[], type=_seed, metavar="SEED",
                        help="a storm of random operations, in user-mode Linux: a number, or "
                             "'new' for a random one, which is printed")
    parser.add_argument("--src", default=SOURCE, metavar="DIR",
                        help="another kunit/, with its driver/ and include/ beside it")
    parser.add_argument("--tap", metavar="FILE", help="write a line of TAP for each case")
    parser.add_argument("--log", metavar="FILE", help="write the kernels' logs")
    parser.add_argument("--list", action="store_true", help="name the cases, run nothing")
    parser.add_argument("--timeout", type=int, default=1200, metavar="S",
                        help="of each kernel (default 1200)")
    args = parser.parse_args(argv)
    args.pattern = _pattern(args.pattern)
    if args.debug:
        args.kernel.append("debug")
    if not args.uml and not args.kernel and not args.storm:
        args.uml, args.kernel = True, ["debug"]
    return args


def _in_uml(args):
    names = suites.expected(False, args.pattern)
    if not names:
        return [], ""
    log, parser = uml.run([f"only={suites.PREFIX}{args.pattern}"], args.timeout, args.src)
    cases = results.parse("uml", log, parser, names)
    bad = uml.reports(log, "KTAP version")
    if bad:
        cases.append(results.Case("uml:kernel", "failed",
                                  ["the kernel reported a problem:", *bad[:3]]))
    elif uml.GONE not in log:
        cases.append(results.Case("uml:kernel", "failed",
                                  ["the module could not be loaded and unloaded; last lines:",
                                   *log.strip().splitlines()[-5:]]))
    return cases, log


# One thread and no meddling, so that each refusal is checked to the byte; and two engines
# that share the bytes.
_STORMS = {
    "storm": ["threads=1", "meddle=0", "rounds=40", "ops=500000"],
    "twins": ["threads=3", "twin=1", "rounds=40", "ops=300000"],
}


def _storm(name, seed, args):
    """Random operations with a shadow of all that is mapped, in user-mode Linux."""
    print(f"# {name}; again with scripts/kunit --storm {seed}", flush=True)
    # The first warning is enough; otherwise each operation may print one.
    log, _ = uml.run(["run=storm", *_STORMS[name], f"seed={seed}"], args.timeout, STRESS,
                     "panic_on_warn=1")
    case = results.storm(f"uml:{name}.{seed}", log)
    bad = uml.reports(log, "apple_dma_stress: # seed")
    if bad:
        case.status = "failed"
        case.why = [*case.why, "the kernel reported a problem:", *bad[:3]]
    elif case.status == "ok" and uml.GONE not in log:
        case.status, case.why = "failed", ["the module could not be unloaded"]
    return [case], log


def _in_guest(name, args):
    names = suites.expected(True, args.pattern)
    if not names:
        return [], ""
    log, parser, why = guest.run(name, suites.PREFIX + args.pattern, args.timeout, args.src)
    cases = results.parse(name, log, parser, names)
    if not why and uml.GONE not in log:
        why = "the module could not be loaded and unloaded"
    if why:
        cases.append(results.Case(f"{name}:kernel", "failed", [why]))
    return cases, log


def _print(cases, log):
    for line in results.infos(log):
        print(f"# {line}")
    shown = [case for case in cases if case.status != "ok" and case.why != results.DID_NOT_RUN]
    for case in shown:
        print(f"{case.status}: {case.name}")
        for line in case.why:
            print(f"    {line}")
    absent = [case.name for case in cases if case.why == results.DID_NOT_RUN]
    if absent:
        print(f"failed: {len(absent)} cases did not run, or not to their end; the first is "
              f"{absent[0]}")


def _count(cases, status):
    return sum(case.status == status for case in cases)


def main(argv):
    """The entry point of scripts/kunit; returns the exit status."""
    with reported("kunit"):
        args = _arguments(argv)
        if args.list:
            print(*suites.expected(True, args.pattern), sep="\n")
            return 0
        every, logs = [], []
        runs = [("uml", lambda: _in_uml(args))] if args.uml else []
        runs += [("storm", lambda name=name, seed=seed: _storm(name, seed, args))
                 for seed in args.storm for name in _STORMS]
        runs += [(name, lambda name=name: _in_guest(name, args)) for name in args.kernel]
        for name, run in runs:
            start = time.monotonic()
            cases, log = run()
            _print(cases, log)
            print(f"{name}: {_count(cases, 'ok')} passed, {_count(cases, 'failed')} failed, "
                  f"{_count(cases, 'skipped')} skipped in {time.monotonic() - start:.0f} s",
                  flush=True)
            every += cases
            logs.append(log)
        if args.tap:
            with open(args.tap, "w", encoding="utf-8") as file:
                file.write(f"1..{len(every)}\n")
                file.writelines(case.tap(i + 1) + "\n" for i, case in enumerate(every))
        if args.log:
            with open(args.log, "w", encoding="utf-8") as file:
                file.write("\n".join(logs))
        print(f"{_count(every, 'ok')} passed, {_count(every, 'failed')} failed, "
              f"{_count(every, 'skipped')} skipped")
        if not every:
            print(f"kunit: no case is called {args.pattern}", file=sys.stderr)
        return 0 if every and not _count(every, "failed") else 1
