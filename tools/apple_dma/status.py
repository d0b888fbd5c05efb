# SPDX-License-Identifier: GPL-2.0
"""apple-dma status: a table of devices, or the same for programs."""

import json
import time

from . import devices, klog, premap, prometheus, units, version
from .errors import ToolError
from .terminal import pad, table

# With less room, a device takes a few lines.
WIDE = 108
JSON_FORMAT = 1


def sample(root, interval):
    """(first, second): two readings, the first one empty where INTERVAL is 0."""
    first = {}
    if interval > 0:
        first = {d.companion: d for d in devices.read_all(root)}
        if any(d.ours for d in first.values()):
            time.sleep(interval)
    return first, devices.read_all(root)


def none_found(root):
    """The error where no companion is on the bus."""
    if not root.exists(devices.DEVICES):
        return ToolError(f"{devices.DEVICES} is not there: this machine has no PCI bus",
                         "run it in the guest that the device is passed to")
    return ToolError("no companion (PCI device 1b36:0015) is in this machine",
                     "it comes with QEMU's -device vfio-apple-pci; apple-dma doctor looks closer")


def colour(state):
    """What colour a state has."""
    if state.bad:
        return "red"
    return "green" if state.word == "ok" else "yellow"


# ---- the table

def usage(device, what, width, term):
    """Used of limit, with a bar of WIDTH."""
    show = units.size if what == "bytes" else units.count
    used, limit = device.used(what), device.get(f"limit_{what}")
    if device.premaps:
        return f"{show(used, short=True)} premapped" if what == "bytes" and used else "-"
    if used is None:
        return "-"
    bar = term.bar(used, device.get(f"idle_{what}"), limit, width)
    return f"{bar} {show(used, short=True)}/{show(limit, short=True)}"


def wide_table(rows, term):
    """A line for each device."""
    room = max(4, min(20, (term.width - 96) // 2))
    names = [a for device, _, _ in rows for a in (device.companion, device.managed)]
    lines = [("COMPANION", "DEVICE", "DRIVER", "BYTES", "ENTRIES", "HITS", "DOORBELLS", "STATE")]
    for device, bells, state in rows:
        lines.append((devices.short(device.companion, names),
                      devices.short(device.managed, names), device.driver or "-",
                      usage(device, "bytes", room, term), usage(device, "entries", room, term),
                      units.percent(device.hit_rate()), units.rate(bells),
                      term.paint(state.word, colour(state))))
    return table(lines, right=(5, 6))


def head(root, device, state, term):
    """A device with its bars, in a few lines."""
    name = f"{device.managed or '(no device)'}  {device.driver or '(no driver)'}"
    lines = [f"{term.paint(name, 'bold')}  {term.paint(state.word, colour(state))}",
             f"  companion  {device.companion}"]
    if device.premaps:
        return lines + [f"  {part}" for part in premap.summary(root, device).split("; ")]
    room = max(8, min(40, term.width - 42))
    for what in ("bytes", "entries"):
        show = units.size if what == "bytes" else units.count
        used, limit = device.used(what), device.get(f"limit_{what}")
        if used is not None:
            bar = term.bar(used, device.get(f"idle_{what}"), limit, room)
            lines.append(f"  {pad(what, 9)}  {bar} {show(used)} of {show(limit)}")
    if device.shares():
        lines.append(f"  {pad('all', 9)}  {units.size(device.get('guest_bytes'))} of "
                     f"{units.size(device.get('limit_bytes'))} registered by all devices together")
    return lines


def block(root, device, bells, state, term):
    """A few lines for a device, where a table has no room."""
    rates = [f"  hits       {units.percent(device.hit_rate())}   doorbells {units.rate(bells)}"]
    return head(root, device, state, term) + (rates if device.ours and not device.premaps else [])


def remarks(root, rows, wide):
    """What else is to be said, a line each; what a table does not say if it is WIDE."""
    lines = []
    for device, _, state in rows:
        name = device.managed or device.companion
        if device.premaps and wide:
            lines.append(f"{name}: {premap.summary(root, device)}")
        if state.why:
            word = "" if state.word == "failing" else f"{state.word}: "
            lines.append(f"{name}: {word}{state.why}")
        if device.failed() and state.word != "failing":
            lines.append(f"{name}: {device.failed()}")
        if device.get("leaked_bytes"):
            lines.append(f"{name}: {units.size(device.get('leaked_bytes'))} of memory is kept "
                         "from the kernel, because the device may still reach it")
    return lines


def legend(term):
    """What the bars mean."""
    full, idle, free = ("█", "▒", "·") if term.unicode else ("#", "=", ".")
    return (f"{full} in use   {idle} idle, kept for the next mapping   "
            f"{free} room up to the limit")


def rows_of(root, first, second):
    """(device, doorbells per second, state) of each."""
    log = klog.load(root) if any(d.get("broken") for d in second) else None
    return [(d, devices.per_second(first.get(d.companion), d, "doorbells"),
             devices.state(root, d, log, first.get(d.companion), second)) for d in second]


def show(root, rows, term):
    """Print the table."""
    wide = term.width >= WIDE
    if wide:
        lines = wide_table(rows, term)
    else:
        lines = [line for row in rows for line in block(root, *row, term) + [""]][:-1]
    for line in lines:
        term.write(line)
    if any(device.ours and not device.premaps for device, _, _ in rows):
        term.write(term.paint(legend(term), "dim"))
    for line in remarks(root, rows, wide):
        term.write(line)


# ---- JSON

def as_json(root, rows):
    """The documented object; see JSON in apple-dma(8)."""
    bounces = premap.bounces(root)
    return {
        "format": JSON_FORMAT,
        "tool_version": version(),
        "module_version": root.peek(f"{devices.MODULE}/version"),
        "module_loaded": devices.loaded(root),
        "bounces": vars(bounces) if bounces else None,
        "devices": [{
            "companion": device.companion,
            "companion_driver": device.bound,
            "managed": device.managed,
            "driver": device.driver,
            "state": state.word,
            "bad": state.bad,
            "reason": state.why or None,
            "mode": device.mode,
            "ops": device.ops,
            "premap_refusal": device.refusal,
            "used_bytes": device.used("bytes"),
            "used_entries": device.used("entries"),
            "hit_rate": device.hit_rate(),
            "doorbells_per_second": bells,
            "counters": {name: device.get(name)
                         for name in devices.COUNTERS + devices.FAILURE_FILES},
        } for device, bells, state in rows],
    }


def run(root, term, args):
    """The command. Returns 1 if a device is not well; but a file for Prometheus says it itself."""
    first, second = sample(root, args.interval)
    rows = rows_of(root, first, second)
    if args.json:
        json.dump(as_json(root, rows), term.stream, indent=2)
        term.stream.write("\n")
    elif args.prometheus:
        term.stream.write(prometheus.text_of(root, rows))
        return 0
    elif not rows:
        raise none_found(root)
    else:
        show(root, rows, term)
    return 1 if any(state.bad for _, _, state in rows) else 0
