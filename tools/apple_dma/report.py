# SPDX-License-Identifier: GPL-2.0
"""apple-dma report: a recording as one HTML file that needs nothing else."""

import json
import os
import re
import signal
import sys
import time
from html import escape

from . import (DRIVER, charts, devices, doctor, figures, modprobe, record, status, units, version,
               windows)
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


def missing(title, why):
    """A plot without data."""
    return figure(title, f'<p class="none">{escape(why)}</p>')


# ---- plots

def limit_figure(rec, seconds, what):
    """Bytes or entries over time."""
    title = "Registered memory" if what == "bytes" else "Registrations"
    used = figures.course(rec, lambda d: d.used(what))
    mapped = figures.course(rec, lambda d: d.get(f"mapped_{what}"))
    if not mapped:
        return missing(title, "This module does not say.")
    show = (lambda v: units.size(int(v))) if what == "bytes" else (lambda v: units.count(int(v)))
    chart = charts.OverTime(title, "memory" if what == "bytes" else "registrations",
                            [charts.Series("in use", "use", used),
                             charts.Series("idle", "idle", mapped)], seconds, show,
                            binary=what == "bytes", limit=rec.last.get(f"limit_{what}"),
                            stacked=True)
    known = rec.last.get(f"learned_{what}")
    note = HINT if what == "bytes" else ""
    if known:
        note = f"The host seems to allow only {show(known)}. " + note
    return figure(title, charts.over_time(chart), note,
                  legend(("use", "in use"), ("idle", "idle"), ("limit", "limit")))


def rate_figure(rec, seconds):
    """Mappings and doorbells per second."""
    title = "Mappings and doorbells per second"
    hits, misses, bells = (figures.rates(rec, n) for n in ("hits", "misses", "doorbells"))
    maps = [(t, a + b) for (t, a), (_, b) in zip(hits, misses)]
    if not maps and not bells:
        return missing(title, "This module does not say, or the recording was too short.")
    chart = charts.OverTime(title, "per second",
                            [charts.Series("mappings", "map", maps),
                             charts.Series("doorbells", "bell", bells)], seconds,
                            lambda v: units.count(v, short=True))
    return figure(title, charts.over_time(chart), "The wider they are apart, the better.",
                  legend(("map", "mappings"), ("bell", "doorbells, one exit to the host each")))


def without_trace(rec, recording):
    """Why a plot of events has no data."""
    if recording.no_trace:
        return f"Not recorded: {recording.no_trace.what}."
    return "None in this time." if rec.samples else "No events."


def latency_figure(rec, recording):
    """How long doorbells took."""
    title = "How long a doorbell takes"
    buckets = figures.latency_buckets(rec)
    if not buckets:
        last = rec.last
        why = without_trace(rec, recording)
        if last.get("doorbell_ns_mean"):
            why += (f" Since the companion was bound: {units.duration(last.get('doorbell_ns_min'))}"
                    f" at least, {units.duration(last.get('doorbell_ns_mean'))} on average, "
                    f"{units.duration(last.get('doorbell_ns_max'))} at most.")
        return missing(title, why)
    labels, maps, unmaps = buckets
    took = figures.latency(rec)
    chart = charts.Histogram(title, labels, [("map", "map", maps), ("unmap", "unmap", unmaps)],
                             "time in the host", "doorbells", between=True)
    more = rec.doorbells_seen - len(rec.doorbells)
    return figure(title, charts.histogram(chart),
                  f"Number of doorbells by how long they took. Half took less than "
                  f"{units.duration(took.median)}, 99 of 100 less than {units.duration(took.p99)}."
                  + (f" {units.count(more)} later ones are not in it." if more else ""),
                  legend(("map", "registers"), ("unmap", "gives back")))


def sizes_figure(rec, recording):
    """How large mappings are."""
    title = "How large mappings are"
    buckets = figures.size_buckets(rec)
    if not buckets:
        return missing(title, without_trace(rec, recording))
    labels, hits, misses = buckets
    chart = charts.Histogram(title, labels, [("hits", "hit", hits), ("misses", "miss", misses)],
                             "size, up to", "mappings")
    return figure(title, charts.histogram(chart), "Number of mappings by size.",
                  legend(("hit", "in a window that was there"), ("miss", "needed a new window")))


def memory_figure(rec, recording):
    """Where windows lie in the guest's memory."""
    title = "Guest memory with its windows"
    mapped, when, text = rec.listing
    if text is None:
        return missing(title, f"There is no listing of windows: {windows.DEBUGFS}/{rec.companion}"
                       "/windows cannot be read. It needs a newer module, root, and debugfs.")
    found = windows.parse(text)
    live = [w for w in found if w.state not in ("planned", "dead")]
    ram = windows.ram(recording.root) or windows.joined((w.phys, w.phys + w.size) for w in found)
    if not ram:
        return missing(title, "Nothing was registered.")
    use, idle = ([(w.phys, w.phys + w.size) for w in live if bool(w.users) == busy]
                 for busy in (True, False))
    body = charts.memory_map(ram, use, idle, title)
    moment = max(0.0, when - rec.samples[0].taken)
    note = (f"{units.plural(len(live), 'window')}, {units.size(mapped)}, {moment:.1f} s after the "
            f"start: when most was registered. The device can reach what is coloured; paler cells "
            "are so in part. Addresses are the guest's.")
    return figure(title, body, note, legend(("use", "in use"), ("idle", "idle"),
                                            ("free", "memory that the device cannot reach")))


# ---- the page

def tiles(rec, seconds):
    """The four numbers to look at first."""
    near = figures.nearest(rec)
    hits, misses = rec.grown("hits"), rec.grown("misses")
    rate = hits / (hits + misses) if hits is not None and misses is not None and \
        hits + misses else None
    took = figures.latency(rec)
    failed = rec.grown("map_failures")
    bells = rec.grown("doorbells")
    found = (
        ("room to the limit", figures.headroom(near) if near else "-",
         "bad" if near and near[0] > 0.97 else ""),
        ("mappings without an exit", units.percent(rate), ""),
        ("doorbells", units.rate(bells / seconds) if bells is not None else "-",
         "" if not took else f"median {units.duration(took.median)}"),
        ("failed mappings", units.count(failed), "bad" if failed else ""),
    )
    return '<div class="tiles">' + "".join(
        f'<div class="tile{" bad" if more == "bad" else ""}"><b>{escape(value)}</b>'
        f"<span>{escape(name)}</span>" +
        (f"<small>{escape(more)}</small>" if more not in ("", "bad") else "") + "</div>"
        for name, value, more in found) + "</div>"


def counters_table(rec):
    """Every counter, at the beginning and at the end."""
    rows = "".join(
        f"<tr><td>{name}</td><td>{units.count(rec.samples[0].get(name))}</td>"
        f"<td>{units.count(rec.last.get(name))}</td></tr>"
        for name in devices.COUNTERS + devices.FAILURE_FILES)
    return ("<details><summary>All counters</summary><div class=\"scroll\"><table><thead><tr>"
            "<th>file in sysfs</th><th>first</th><th>last</th></tr></thead><tbody>"
            f"{rows}</tbody></table></div></details>")


def section(recording, rec, seconds, log):
    """A device."""
    last = rec.last
    state = devices.state(recording.root, last, log, rec.samples[0])
    kind = devices.pci_name(recording.root, last.managed) if last.managed else "No device"
    name = f"{kind} {last.managed or ''}".strip()
    why = f": {state.why}" if state.why else ""
    facts = [f"driver {last.driver or 'none'}", f"companion {rec.companion}",
             f"mode {last.mode or 'unknown'}"]
    parts = [
        f"<section><h2>{escape(name)} "
        f'<em class="state {status.colour(state)}">{escape(state.word)}</em></h2>',
        f'<p class="sub">{escape(" · ".join(facts))}{escape(why)}</p>',
        tiles(rec, seconds),
        '<ul class="summary">' + "".join(
            f"<li>{escape(text)}</li>" for text in figures.sentences(rec, seconds)) + "</ul>",
        '<div class="plots">',
        limit_figure(rec, seconds, "bytes"), limit_figure(rec, seconds, "entries"),
        rate_figure(rec, seconds), latency_figure(rec, recording), sizes_figure(rec, recording),
        memory_figure(rec, recording), "</div>", counters_table(rec), "</section>"]
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


def findings(machine):
    """For a bug report: the doctor's findings, the parameters, and lines of the log."""
    text = doctor.lines(doctor.examine(machine), lambda outcome: doctor.MARKS[outcome][0], True)
    names = "|".join(re.escape(d.managed) for d in machine.managed)
    said = machine.log.all(rf"^{DRIVER}\b" + (f"|{names}" if names else ""))[-MOST_LINES:]
    parts = (("What apple-dma doctor says", text),
             ("Parameters in force",
              [f"{name}={value}" for name, value in modprobe.in_force(machine.root).items()]),
             ("Kernel log: the module and its devices",
              said or [machine.log.problem or "nothing of them"]))
    return '<section class="findings">' + "".join(
        f"<h2>{head}</h2><pre>{escape(chr(10).join(lines))}</pre>" for head, lines in parts) + (
            "</section>")


def page(recording, now=None):
    """The HTML."""
    root = recording.root
    seconds = max(recording.end - recording.start, 0.001)
    machine = Machine(root)
    log = machine.log
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
        f"{remarks(recording)}</header>{body}{findings(machine)}"
        '<footer>Written by apple-dma report. Rest the pointer on a bar to see its '
        "number. man apple-dma has what each figure means.</footer>"
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
    """Shows the progress of the recording on a terminal."""

    def __init__(self, stream, seconds):
        self.stream, self.seconds, self.shown = stream, seconds, -1

    def __call__(self, now):
        if int(now) > self.shown and self.stream.isatty():
            self.shown = int(now)
            self.stream.write(f"\rrecording: {self.shown} of {self.seconds:g} s")
            self.stream.flush()

    def end(self):
        """End the line."""
        if self.shown >= 0:
            self.stream.write("\n")


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
        print(f"apple-dma: recording for {args.seconds:g} s; ^C ends it earlier", file=sys.stderr)
    progress = Progress(sys.stderr, args.seconds)
    recording = record.record(root, args.seconds, progress)
    progress.end()
    text = page(recording)
    if path == "-":
        term.stream.write(text)
        return 0
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    seconds = max(recording.end - recording.start, 0.001)
    for rec in recording.records.values():
        term.write(f"{rec.last.managed or rec.companion}:")
        for sentence in figures.sentences(rec, seconds):
            term.write(f"  {sentence}")
    if recording.no_trace:
        term.write(f"Only counters were recorded: {recording.no_trace.what}" +
                   (f"; {recording.no_trace.cure}" if recording.no_trace.cure else ""))
    term.write(f"written: {path}")
    return 0
