# SPDX-License-Identifier: GPL-2.0
"""apple-dma top: what the devices do now, refreshed."""

import contextlib
import os
import select
import sys
import termios
import time
import tty

from . import devices, klog, status, units, version
from .errors import ToolError
from .terminal import pad

SPARKS = "▁▂▃▄▅▆▇█"
HISTORY = 60
# Another screen, without a cursor; lines that are too long are cut.
ENTER, LEAVE = "\033[?1049h\033[?25l\033[?7l", "\033[?7h\033[?25h\033[?1049l"
HOME = "\033[H"
TO_LINE_END, TO_SCREEN_END = "\033[K", "\033[J"


class History:
    """The last samples of each companion."""

    def __init__(self):
        self.seen = {}

    def add(self, found):
        """A sample of all companions."""
        for device in found:
            self.seen.setdefault(device.companion, []).append(device)
            del self.seen[device.companion][:-HISTORY]

    def last_two(self, companion):
        """(the one before, the newest); the first is None at the beginning."""
        seen = self.seen[companion]
        return (seen[-2] if len(seen) > 1 else None), seen[-1]

    def spark(self, companion, width, term):
        """Bytes in use over time, as characters."""
        if not term.unicode:
            return ""
        values = [d.used("bytes") or 0 for d in self.seen[companion]][-width:]
        limit = self.seen[companion][-1].get("limit_bytes") or 1
        return "".join(SPARKS[min(7, int(8 * v / limit))] for v in values)


def recent_latency(old, new):
    """The mean time of the doorbells between two samples, in ns, or None."""
    if old is None or None in (d.get(n) for d in (old, new)
                               for n in ("doorbells", "doorbell_ns_mean")):
        return None
    rang = new.get("doorbells") - old.get("doorbells")
    if rang <= 0:
        return None
    took = (new.get("doorbells") * new.get("doorbell_ns_mean") -
            old.get("doorbells") * old.get("doorbell_ns_mean"))
    return max(took / rang, new.get("doorbell_ns_min") or 0)


def recent_hits(old, new):
    """The hit rate between two samples, or None."""
    hits, misses = (devices.per_second(old, new, name) for name in ("hits", "misses"))
    return hits / (hits + misses) if hits is not None and misses is not None and \
        hits + misses else None


def block(root, history, companion, state, term):
    """The lines of a device."""
    old, new = history.last_two(companion)
    lines = status.head(root, new, state, term)
    if not new.ours:
        return lines + [f"  {state.why}"]

    def rate(name):
        return units.rate(devices.per_second(old, new, name))
    bells = columns(("doorbells", rate("doorbells")),
                    ("each", units.duration(recent_latency(old, new))),
                    ("evictions", rate("evictions")))
    if new.premaps:
        return lines + [bells] + ([f"  {state.word}: {state.why}"] if state.why else [])
    hits, misses = (devices.per_second(old, new, name) for name in ("hits", "misses"))
    maps = hits + misses if hits is not None and misses is not None else None
    lines += [
        columns(("mappings", units.rate(maps)), ("hits", units.percent(recent_hits(old, new))),
                ("live", units.count(new.get("live_mappings"), short=True))),
        bells,
        columns(("failed", units.count(new.get("map_failures"))),
                ("refusals", units.count(new.get("refusals"))),
                ("window", units.size(new.get("window_bytes"), short=True))),
    ]
    spark = history.spark(companion, max(10, min(HISTORY, term.width - 14)), term)
    if len(spark) > 1:
        lines.append(f"  {pad('history', 9)}  {term.paint(spark, 'blue')}")
    if state.why:
        lines.append(f"  {state.word}: {state.why}")
    return lines


def columns(*pairs):
    """Names and values, below each other in all lines."""
    return "  " + "  ".join(f"{pad(name, 9)}  {pad(value, 10)}" for name, value in pairs).rstrip()


def screen(root, history, term):
    """All lines of one picture."""
    log = None
    module = root.peek(f"{devices.MODULE}/version") or "is not loaded"
    lines = [term.paint(f"apple-dma {version()}   module {module}   {time.strftime('%H:%M:%S')}",
                        "bold"), ""]
    everyone = [seen[-1] for seen in history.seen.values()]
    for companion in sorted(history.seen):
        old, new = history.last_two(companion)
        if new.get("broken") and log is None:
            log = klog.load(root)
        state = devices.state(root, new, log, old, everyone)
        lines += block(root, history, companion, state, term) + [""]
    return lines[:-1]


def sampled(root, history):
    """Take a sample; raises an error if there is no companion."""
    found = devices.read_all(root)
    if not found:
        raise status.none_found(root)
    gone = set(history.seen) - {d.companion for d in found}
    for companion in gone:
        del history.seen[companion]
    history.add(found)


def batch(root, term, history, times, interval):
    """Print so many pictures, one below the other."""
    for number in range(times):
        time.sleep(interval)
        sampled(root, history)
        if number:
            term.write()
        for line in screen(root, history, term):
            term.write(line)
        term.stream.flush()


@contextlib.contextmanager
def keys():
    """Read keys without Enter; the terminal is restored afterwards."""
    handle = sys.stdin.fileno()
    before = termios.tcgetattr(handle)
    try:
        tty.setcbreak(handle, termios.TCSANOW)
        yield handle
    finally:
        termios.tcsetattr(handle, termios.TCSADRAIN, before)


def live(root, term, history, interval):
    """Show pictures in place until q is pressed."""
    with keys() as handle:
        term.stream.write(ENTER)
        try:
            while True:
                term.resize((80, 24))
                lines = screen(root, history, term)[:term.height - 2]
                lines += ["", term.paint("q: leave", "dim")]
                term.stream.write(HOME + "".join(term.plain(line) + TO_LINE_END + "\r\n"
                                                 for line in lines).rstrip("\r\n") +
                                  TO_SCREEN_END)
                term.stream.flush()
                if select.select([handle], [], [], interval)[0] and \
                        os.read(handle, 1) in (b"q", b"Q", b"\x1b", b""):
                    return
                sampled(root, history)
        finally:
            term.stream.write(LEAVE)
            term.stream.flush()


def run(root, term, args):
    """The command."""
    history = History()
    sampled(root, history)
    times = 1 if args.once else args.batch
    if times:
        batch(root, term, history, times, args.interval)
    elif not term.tty or not sys.stdin.isatty():
        raise ToolError("top needs a terminal", "apple-dma top --once, or --batch N, needs none")
    else:
        with contextlib.suppress(KeyboardInterrupt):
            live(root, term, history, max(args.interval, 0.1))
    return 0
