# SPDX-License-Identifier: GPL-2.0
"""apple-dma report: a recording as one HTML file that needs nothing else."""

import json
import math
import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from html import escape

from . import (DRIVER, charts, devices, doctor, figures, modprobe, premap, record, status, units,
               version, windows)
from .checks import Machine
from .errors import ToolError
from .style import CSS

MOST_LINES = 200    # of the kernel log

HINT = ("In use is what the driver holds mapped, and its neighbours in the same window; idle is "
        "kept registered for the next mapping, and given back when the room is needed.")


def legend(*entries):
    """What colours mean."""
    return '<p class="legend">' + "".join(
        f'<span><i class="swatch {class_}"></i>{escape(text)}</span>'
        for class_, text in entries) + "</p>"


def figure(title, body, note="", key=""):
    """A plot with its heading."""
    return (f"<figure><h3>{escape(title)}</h3>{key}{body}" +
            (f"<figcaption>{escape(note)}</figcaption>" if note else "") + "</figure>")


@dataclass(frozen=True)
class Missing:
    """A plot without data: it gets no card, only a line below the others."""

    title: str
    why: str


# ---- plots

def limit_figure(rec, seconds, what):
    """Bytes or entries over time."""
    title = "Registered memory" if what == "bytes" else "Registrations"
    used = figures.course(rec, lambda d: d.used(what))
    mapped = figures.course(rec, lambda d: d.get(f"mapped_{what}"))
    if not mapped:
        return Missing(title, "this module does not count them")
    show = (lambda v: units.size(int(v))) if what == "bytes" else (lambda v: units.count(int(v)))
    chart = charts.OverTime(title, "memory" if what == "bytes" else "registrations",
                            [charts.Series("in use", "use", used),
                             charts.Series("idle", "idle", mapped)], seconds, show,
                            binary=what == "bytes", limit=rec.last.get(f"limit_{what}"),
                            stacked=True)
    known = rec.last.get(f"learned_{what}")
    note = HINT if what == "bytes" and not rec.last.premaps else ""
    if known:
        note = f"The host seems to allow only {show(known)}. " + note
    return figure(title, charts.over_time(chart), note,
                  legend(("use", "in use"), ("idle", "idle"), ("limit", "limit")))


def rate_figure(rec, seconds):
    """Mappings and doorbells per second, each on a scale of its own."""
    title = "Mappings and doorbells per second"
    hits, misses, bells = (figures.rates(rec, n) for n in ("hits", "misses", "doorbells"))
    maps = [(t, a + b) for (t, a), (_, b) in zip(hits, misses)]
    body, said = "", []
    for name, class_, points in (("mappings", "map", maps), ("doorbells", "bell", bells)):
        if points:
            body += charts.over_time(charts.OverTime(
                name, f"{name} per second", [charts.Series(name, class_, points)], seconds,
                lambda v: units.count(v, short=True), height=150))
            grown = [rec.grown(n) for n in (("hits", "misses") if class_ == "map"
                                            else ("doorbells",))]
            said.append(f"{units.plural(sum(grown), name[:-1])}, at most "
                        f"{units.rate(max(value for _, value in points))}.")
    if not body:
        return Missing(title, "this module does not count them, or the recording was too short")
    return figure(title, body, f"{' '.join(said)} A doorbell is an exit to the host: the fewer "
                  "for the same mappings, the better.")


def without_trace(recording):
    """Why a plot of events has no data."""
    if recording.no_trace:
        return f"not recorded: {recording.no_trace.what}"
    return "none in this time"


def latency_figure(rec, recording):
    """How long doorbells took."""
    title = "How long a doorbell takes"
    buckets = figures.latency_buckets(rec)
    if not buckets:
        last = rec.last
        why = without_trace(recording)
        if last.get("doorbell_ns_mean"):
            why += (f"; since the companion was bound at least "
                    f"{units.duration(last.get('doorbell_ns_min'))}, on average "
                    f"{units.duration(last.get('doorbell_ns_mean'))}, at most "
                    f"{units.duration(last.get('doorbell_ns_max'))}")
        return Missing(title, why)
    edges, maps, unmaps = buckets
    took = figures.latency(rec)
    chart = charts.Histogram(title, [f"{a} to {b}" for a, b in zip(edges, edges[1:])],
                             [("map", "map", maps), ("unmap", "unmap", unmaps)],
                             "time in the host")
    more = rec.doorbells_seen - len(rec.doorbells)
    return figure(title, charts.histogram(chart),
                  f"The numbers are doorbells. Half of them took less than "
                  f"{units.duration(took.median)}, 99 of 100 less than {units.duration(took.p99)}."
                  + (f" {units.count(more)} later ones are not counted." if more else ""),
                  legend(("map", "map: windows were registered"),
                         ("unmap", "unmap: windows were given back")))


def sizes_figure(rec, recording):
    """How large mappings are."""
    title = "How large mappings are"
    buckets = figures.size_buckets(rec)
    if not buckets:
        return Missing(title, without_trace(recording))
    labels, hits, misses = buckets
    chart = charts.Histogram(title, labels, [("hits", "hit", hits), ("misses", "miss", misses)],
                             "size, up to")
    return figure(title, charts.histogram(chart), "The numbers are mappings.",
                  legend(("hit", "hits: in a window that was there"),
                         ("miss", "misses: needed a new window")))


def memory_figure(rec, recording):
    """Where windows lie in the guest's memory."""
    title = "Guest memory with its windows"
    mapped, when, text = rec.listing
    if text is None:
        return Missing(title, f"{windows.DEBUGFS}/{rec.companion}/windows cannot be read; it needs "
                       "a newer module, root, and debugfs")
    found = windows.parse(text)
    live = [w for w in found if w.state not in ("planned", "dead")]
    ram = windows.ram(recording.root) or windows.joined((w.phys, w.phys + w.size) for w in found)
    if not ram:
        return Missing(title, "nothing was registered")
    use, idle = ([(w.phys, w.phys + w.size) for w in live
                  if (bool(w.users) or rec.last.premaps) == busy] for busy in (True, False))
    body = charts.memory_map(ram, use, idle, title)
    moment = max(0.0, when - rec.samples[0].taken)
    note = (f"{units.plural(len(live), 'window')}, {units.size(mapped)}, {moment:.1f} s after the "
            f"start: when most was registered. The device can reach what is coloured; paler cells "
            "are so in part. Addresses are the guest's.")
    return figure(title, body, note, legend(("use", "in use"), ("idle", "idle"),
                                            ("free", "memory that the device cannot reach")))


# ---- the page

def tiles_of(found):
    """Numbers: each (name, value, "bad" or what is said below it)."""
    return '<div class="tiles">' + "".join(
        f'<div class="tile{" bad" if more == "bad" else ""}"><b>{escape(value)}</b>'
        f"<span>{escape(name)}</span>" +
        (f"<small>{escape(more)}</small>" if more not in ("", "bad") else "") + "</div>"
        for name, value, more in found) + "</div>"


def premap_tiles(rec):
    """The same for premapped memory."""
    last = rec.last
    layout = last.get("premap_layout")
    return tiles_of((
        ("premapped memory", units.size(last.get("mapped_bytes")), "bad" if last.refusal else ""),
        ("layout", f"L{layout}" if layout else "none", premap.LAYOUTS.get(layout, "")),
        ("pieces", units.count(last.get("premap_pieces")),
         f"{last.get('premap_unaligned')} not aligned" if last.get("premap_unaligned") else ""),
        ("doorbells in this time", units.count(rec.grown("doorbells")), "")))


def tiles(rec, seconds):
    """The four numbers to look at first."""
    if rec.last.premaps:
        return premap_tiles(rec)
    near = figures.nearest(rec)
    hits, misses = rec.grown("hits"), rec.grown("misses")
    rate = hits / (hits + misses) if hits is not None and misses is not None and \
        hits + misses else None
    took = figures.latency(rec)
    failed = rec.grown("map_failures")
    bells = rec.grown("doorbells")
    found = (
        ("peak use of the limit", figures.peak_use(near) if near else "-",
         "bad" if near and near[0] > 0.97 else ""),
        ("mappings without an exit", units.percent(rate), ""),
        ("doorbells", units.rate(bells / seconds) if bells is not None else "-",
         "" if not took else f"median {units.duration(took.median)}"),
        ("failed mappings", units.count(failed), "bad" if failed else ""),
    )
    return tiles_of(found)


def counters_table(rec):
    """Every counter, at the beginning and at the end."""
    rows = "".join(
        f"<tr><td>{name}</td><td>{units.count(rec.samples[0].get(name))}</td>"
        f"<td>{units.count(rec.last.get(name))}</td></tr>"
        for name in devices.COUNTERS + devices.FAILURE_FILES)
    return ("<details><summary>All counters</summary><div class=\"scroll\"><table><thead><tr>"
            "<th>file in sysfs</th><th>first</th><th>last</th></tr></thead><tbody>"
            f"{rows}</tbody></table></div></details>")


def plots(recording, rec, seconds):
    """The plots of a device, and why some are not there."""
    found = [limit_figure(rec, seconds, "bytes"), memory_figure(rec, recording)] \
        if rec.last.premaps else [
             limit_figure(rec, seconds, "bytes"), limit_figure(rec, seconds, "entries"),
             rate_figure(rec, seconds), memory_figure(rec, recording),
             latency_figure(rec, recording), sizes_figure(rec, recording)]
    there = "".join(f for f in found if isinstance(f, str))
    lost = "; ".join(f"{f.title} ({f.why})" for f in found if isinstance(f, Missing))
    return f'<div class="plots">{there}</div>' + (
        f'<p class="none">Not shown: {escape(lost)}.</p>' if lost else "")


def section(recording, rec, seconds, log):
    """A device."""
    last = rec.last
    state = devices.state(recording.root, last, log, rec.samples[0],
                          [r.last for r in recording.records.values()])
    kind = devices.pci_name(recording.root, last.managed) if last.managed else "No device"
    name = f"{kind} {last.managed or ''}".strip()
    why = f": {state.why}" if state.why else ""
    facts = [f"driver {last.driver or 'none'}", f"companion {rec.companion}",
             f"mode {last.mode or 'unknown'}"] + (["premapped memory"] if last.premaps else [])
    parts = [
        f"<section><h2>{escape(name)} "
        f'<em class="state {status.colour(state)}">{escape(state.word)}</em></h2>',
        f'<p class="sub">{escape(" · ".join(facts))}{escape(why)}</p>',
        tiles(rec, seconds),
        '<ul class="summary">' + "".join(
            f"<li>{escape(text)}</li>"
            for text in figures.sentences(recording.root, rec, seconds)) + "</ul>",
        plots(recording, rec, seconds), counters_table(rec), "</section>"]
    return "".join(parts)


def remarks(recording):
    """Notes on the recording."""
    found = []
    if recording.no_trace:
        found.append(f"Only counters were recorded: {recording.no_trace.what}" +
                     (f" ({recording.no_trace.cure})." if recording.no_trace.cure else "."))
    if recording.lost:
        found.append(f"{units.plural(recording.lost, 'event')} came too fast and were lost: the "
                     "plots of sizes and times show a part. The counters are complete.")
    return "".join(f'<p class="remark">{escape(text)}</p>' for text in found)


def numbers(recording, seconds):
    """The figures for programs."""
    found = []
    for rec in recording.records.values():
        took = figures.latency(rec)
        near = figures.nearest(rec)
        found.append({
            "companion": rec.companion, "managed": rec.last.managed, "driver": rec.last.driver,
            "seconds": round(seconds, 3), "samples": len(rec.samples),
            "share_of_limit": near[0] if near else None,
            "doorbells_traced": rec.doorbells_seen,
            "doorbell_ns": vars(took) if took else None,
            "latency_buckets": figures.latency_buckets(rec),
            "size_buckets": figures.size_buckets(rec),
            "windows_created": rec.created, "windows_created_bytes": rec.created_bytes,
            "windows_evicted": dict(rec.evicted), "host_errors": len(rec.errors),
            "windows": len(windows.parse(rec.listing[2])), "lost_events": recording.lost})
    return found


def mark(outcome):
    """The mark of a finding."""
    return doctor.MARKS[outcome][0]


def verdict(results):
    """What the doctor says, in short, for the top of the page."""
    colour = max((doctor.MARKS[outcome][2] for outcome in doctor.outcomes(results)),
                 key=("green", "dim", "yellow", "red").index)
    text = "\n".join(doctor.lines(results, mark))
    return (f'<section class="verdict {colour}"><h2>{escape(doctor.verdict(results))}</h2>'
            f"<pre>{escape(text)}</pre></section>")


def findings(machine, results):
    """For a bug report: the doctor's findings, the parameters, and lines of the log."""
    names = "|".join(re.escape(d.managed) for d in machine.managed)
    said = machine.log.all(rf"^{DRIVER}\b" + (f"|{names}" if names else ""))[-MOST_LINES:]
    parts = (("All checks of apple-dma doctor", doctor.lines(results, mark, True)),
             ("Parameters in force",
              [f"{name}={value}" for name, value in modprobe.in_force(machine.root).items()]),
             ("Kernel log: the module and its devices",
              said or [machine.log.problem or "no line about them"]))
    return '<section class="findings">' + "".join(
        f"<h2>{head}</h2><pre>{escape(chr(10).join(lines))}</pre>" for head, lines in parts) + (
            "</section>")


def page(recording, machine, results, now=None):
    """The HTML; RESULTS are the doctor's."""
    root, log = recording.root, machine.log
    seconds = max(recording.end - recording.start, 0.001)
    host = root.peek("/proc/sys/kernel/hostname") or "this machine"
    module = root.peek(f"{devices.MODULE}/version") or "unknown"
    stamp = time.strftime("%Y-%m-%d %H:%M", time.localtime(now))
    sub = (f"{host} · Linux {root.release()} · apple_dma {module} · {stamp} · "
           f"{seconds:.1f} s recorded" + (" (stopped early)" if recording.stopped else ""))
    data = json.dumps(numbers(recording, seconds)).replace("<", "\\u003c")
    body = "".join(section(recording, rec, seconds, log) for rec in recording.records.values())
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="generator" content="apple-dma {escape(version())}">'
        f"<title>apple-dma: {escape(host)}, {stamp}</title><style>{CSS}</style></head><body><main>"
        f'<header><h1>apple-dma report</h1><p class="sub">{escape(sub)}</p>'
        f"{remarks(recording)}</header>{verdict(results)}{body}{findings(machine, results)}"
        "<footer>Written by apple-dma report. The manual, man apple-dma, explains each "
        "plot.</footer>"
        f'</main><script type="application/json" id="numbers">{data}</script></body></html>\n')


def out_path(args):
    """Where the report goes."""
    return args.output or time.strftime("apple-dma-report-%Y%m%d-%H%M%S.html")


def check_output(path):
    """Report an error before the recording and not after it."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise ToolError(f"the folder {folder} is not there", "give another place with -o FILE")
    if os.path.isdir(path):
        raise ToolError(f"{path} is a folder", "give a file with -o FILE")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise ToolError(f"{path} cannot be written", "give another place with -o FILE")


class Progress:
    """Counts down on a terminal."""

    def __init__(self, stream, seconds):
        self.stream, self.seconds, self.shown = stream, seconds, None

    def __call__(self, now):
        left = math.ceil(self.seconds - now)
        if left != self.shown and self.stream.isatty():
            self.shown = left
            self.stream.write(f"\r{left} s left".ljust(20))
            self.stream.flush()

    def end(self):
        """Remove the line."""
        if self.shown is not None:
            self.stream.write("\r" + " " * 20 + "\r")
            self.stream.flush()


def terminate(*_):
    """Remove the tracing instance also when a signal ends the command."""
    sys.exit(128 + signal.SIGTERM)


def run(root, term, args):
    """The command."""
    path = out_path(args)
    if path != "-":
        check_output(path)
    if not any(d.ours for d in devices.read_all(root)):
        if devices.companions(root):
            raise ToolError("no companion has the driver apple_dma",
                            "apple-dma doctor says why")
        raise status.none_found(root)
    signal.signal(signal.SIGTERM, terminate)
    # In the background of a script it would be ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if path != "-":
        print(f"apple-dma: recording for {args.seconds:g} s; ^C ends it early", file=sys.stderr)
    progress = Progress(sys.stderr, args.seconds)
    recording = record.record(root, args.seconds, progress)
    progress.end()
    machine = Machine(root)
    results = list(doctor.examine(machine))
    text = page(recording, machine, results)
    if path == "-":
        # The page says that it is UTF-8, whatever the terminal is.
        term.stream.flush()
        term.stream.buffer.write(text.encode())
        return 0
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    seconds = max(recording.end - recording.start, 0.001)
    term.write(doctor.verdict(results))
    for rec in recording.records.values():
        term.write(f"{rec.last.managed or rec.companion}:")
        for sentence in figures.sentences(root, rec, seconds):
            term.write(f"  {sentence}")
    if recording.no_trace:
        term.write(f"Only counters were recorded: {recording.no_trace.what}" +
                   (f"; {recording.no_trace.cure}" if recording.no_trace.cure else ""))
    term.write(f"written: {path}")
    return 0
