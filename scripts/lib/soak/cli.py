# SPDX-License-Identifier: GPL-2.0
"""The command line of scripts/soak."""

import argparse
import os
import queue
import random
import shlex
import shutil
import subprocess
import tempfile
import threading
import time

from testbed import built, cache, call
from testbed.errors import EXIT_FAULT, EXIT_PANIC, EXIT_REPORT, Parser, TestbedError, reported, warn

from . import plan
from .tally import GOLDEN, Tally, digest

ROUND = 240             # seconds that one guest is kept busy, about
LEAST = 50              # no round is shorter
GRACE = 300             # seconds that a round may take longer: boots, and the last event
GRACE_SLOW = 900        # the same for kernels built here, which take minutes to boot
EVERY = 10              # seconds between two lines of progress
DISK = 64 << 20
GUEST = os.path.join(cache.SCRIPTS, "lib", "soak", "guest.sh")
EDU = os.path.join(cache.SCRIPTS, "tests", "edu")


def _minutes(text):
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= 7 * 24 * 60:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of minutes above 0")
    return value


def parser():
    """The parser of the command line."""
    made = Parser(prog="soak", allow_abbrev=False,
                  description="A random mixture of what may happen to a guest, with verified data.",
                  epilog="The exit status is 0 only if nothing was lost, nothing leaked, and "
                  "there was no kernel report and no DART fault.")
    made.add_argument("--minutes", type=_minutes, default=10, metavar="N",
                      help="how long (default 10); the last guest may take a little longer")
    made.add_argument("--seed", type=int, metavar="S",
                      help="for the same guests and events again; default: another each time")
    made.add_argument("--kernel", metavar="NAME", help="of all guests; default: 6.1 and newest")
    made.add_argument("--keep", metavar="DIR",
                      help="leave consoles, plans and the guests' output in DIR")
    return made


def _run(argv, what):
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise TestbedError(f"{what}: {done.stderr.strip()[-2000:]}")
    return done.stdout.strip()


class Soak:
    """Rounds, one after the other, until the time is up."""

    def __init__(self, args, folder, clock=time.monotonic):
        self._args = args
        self._folder = folder
        self._clock = clock
        self._start = clock()
        self._said = self._start
        self.tally = Tally()

    def _left(self):
        return self._args.minutes * 60 - (self._clock() - self._start)

    def _progress(self, made, force=False):
        now = self._clock()
        if now - self._said < EVERY and not force:
            return
        self._said = now
        gone = int(now - self._start)
        print(f"{gone // 60:3}:{gone % 60:02}  guest {made.number} ({made.kernel}): "
              f"{self.tally.progress()}", flush=True)

    def _files(self, made, folder):
        """Make the disk and the plan; the digest of the disk's start, which is never written."""
        golden = random.Random(f"{self._args.seed}/{made.number}/disk").randbytes(GOLDEN)
        with open(os.path.join(folder, "disk.img"), "wb") as disk:
            disk.write(golden)
            disk.truncate(DISK)
        with open(os.path.join(folder, "soak.plan"), "w", encoding="ascii") as file:
            file.write(plan.text(made))
        return digest(golden)

    def _command(self, made, folder, seconds):
        edu = _run([os.path.join(cache.SCRIPTS, "build-module"), "--kernel", made.kernel,
                    "--src", EDU], "building the test driver").splitlines()[-1]
        grace = GRACE_SLOW if made.kernel in built.KERNELS else GRACE
        disk = shlex.quote(os.path.join(folder, "disk.img").replace(",", ",,"))
        return call.words(
            ["bash", "/root/guest.sh", str(int(time.time() + seconds))],
            kernel=made.kernel, mem=made.mem, cpus=made.cpus, hotplug=True, reboots=made.reboots,
            console=os.path.join(folder, "console"), timeout=seconds + grace, module=made.module,
            append=made.append, host=made.host,
            device=["nvme,drive=d0,serial=soak", "edu,dma_mask=0xffffffffffffffff"],
            qemu=["-blockdev driver=raw,node-name=d0,cache.no-flush=on,file.driver=file,"
                  f"file.filename={disk}", *["-device virtio-balloon-pci"] * made.balloon],
            push=[f"{GUEST}:/root/guest.sh", f"{edu}:/root/edu.ko",
                  os.path.join(folder, "soak.plan") + ":/root/soak.plan"])

    def _follow(self, made, process, out):
        """Read the guest's lines; its exit status."""
        lines = queue.Queue()

        def read():
            for line in process.stdout:
                lines.put(line)
            lines.put(None)
        threading.Thread(target=read, daemon=True).start()
        line = ""
        while line is not None:
            try:
                line = lines.get(timeout=1)
            except queue.Empty:
                line = ""
            if line:
                out.write(line)
                self.tally.feed(line)
            self._progress(made)
        return process.wait()

    def round(self, number):
        """One guest, from its boot to its end."""
        made = plan.make(self._args.seed, number, kernel=self._args.kernel)
        folder = os.path.join(self._folder, f"{number}")
        os.makedirs(folder, exist_ok=True)
        self.tally.begin(self._files(made, folder))
        argv = self._command(made, folder, max(LEAST, min(ROUND, self._left())))
        with open(os.path.join(folder, "stderr"), "w+", encoding="utf-8") as err, \
                open(os.path.join(folder, "stdout"), "w", buffering=1, encoding="utf-8") as out:
            with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=err, text=True, errors="replace") as process:
                try:
                    status = self._follow(made, process, out)
                except BaseException:
                    process.terminate()
                    raise
            err.seek(0)
            said = err.read().strip()
        self.tally.check_disk(os.path.join(folder, "disk.img"))
        self.ended(number, status, said)
        self._progress(made, force=True)

    def ended(self, number, status, said):
        """Judge the end of a guest."""
        why = {EXIT_REPORT: "a kernel report", EXIT_FAULT: "a DART fault",
               EXIT_PANIC: "a map that takes a Mac down"}.get(status)
        if status or not self.tally.over:
            self.tally.problems.append(
                f"guest {number} ended with {why or f'status {status}'}: " +
                (said.splitlines()[-1] if said else "it said nothing"))
            warn(said)

    def run(self):
        """Run rounds until the time is up or something is wrong; the exit status."""
        number = 0
        while number == 0 or self._left() >= LEAST:
            number += 1
            self.round(number)
            if not self.tally.good:
                break
        print(f"seed: {self._args.seed}")
        print(f"time: {(self._clock() - self._start) / 60:.1f} minutes")
        print(self.tally.report(), flush=True)
        return 0 if self.tally.good else 1


def main(argv):
    """The entry point; returns the exit status."""
    with reported("soak"):
        args = parser().parse_args(argv)
        if args.seed is None:
            args.seed = random.SystemRandom().randrange(1, 1 << 32)
        print(f"soak: {args.minutes:g} minutes, --seed {args.seed}", flush=True)
        if subprocess.run([os.path.join(cache.SCRIPTS, "setup"), "module", "emulator", "vm"],
                          stdin=subprocess.DEVNULL, check=False).returncode:
            raise TestbedError("the packages that guests need are not there; see above")
        folder = args.keep or tempfile.mkdtemp(prefix="apple-dma-soak.")
        os.makedirs(folder, exist_ok=True)
        try:
            return Soak(args, folder).run()
        finally:
            if not args.keep:
                shutil.rmtree(folder, ignore_errors=True)
