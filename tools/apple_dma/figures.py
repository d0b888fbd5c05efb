# SPDX-License-Identifier: GPL-2.0
"""Results of a recording of a device: the numbers and the sentences of a report."""

import math
from dataclasses import dataclass

from . import devices, premap, units

SHORTEST_RATE = 0.04     # seconds
CAUSES = {"age": "idle for long", "room": "to make room", "align": "it only kept a place",
          "flush": "by a write to flush", "suspend": "before the guest slept",
          "mode": "the mode was changed", "unmap": "at their last unmap",
          "offline": "their memory went offline",
          "close": "the driver went", "unknown": "for an unknown cause"}


def percentile(values, share):
    """The value that SHARE of the sorted VALUES do not exceed."""
    return values[min(len(values) - 1, max(0, math.ceil(share * len(values)) - 1))]


@dataclass(frozen=True)
class Latency:
    """How long doorbells took, in ns."""

    median: int
    p99: int
    longest: int
    total: int


def latency(record):
    """The Latency of the doorbells in the trace, or None."""
    values = sorted(d.ns for d in record.doorbells)
    if not values:
        return None
    return Latency(percentile(values, 0.5), percentile(values, 0.99), values[-1], sum(values))


def nearest(record):
    """(share of the limit, what, peak, limit) at the peak use of the host's limits, or None.

    All registrations count, in use or idle, as the host has all of them.
    """
    found = []
    for what in ("bytes", "entries"):
        peak = record.peak(lambda d, w=what: d.get(f"mapped_{w}"))
        limit = record.last.get(f"limit_{what}")
        if peak is not None and limit:
            found.append((peak / limit, what, peak, limit))
    return max(found) if found else None


def peak_use(near):
    """The share of the limit, in words; rounded up, so that it is never too small."""
    return f"{math.ceil(near[0] * 100)} %"


def say_limits(record):
    """About the limits."""
    near = nearest(record)
    if not near:
        return "This module does not say what is registered."
    text = f"Peak use was {peak_use(near)} of the host's limit"
    if near[0] >= 0.97:
        text = "The host's limits were reached"
    parts = []
    all_of_them = record.peak(lambda d: d.get("guest_bytes") if d.shares() else None)
    shared = f" ({units.size(all_of_them)} with all other devices)" if all_of_them else ""
    for what in ("bytes", "entries"):
        peak = record.peak(lambda d, w=what: d.get(f"mapped_{w}"))
        used = record.peak(lambda d, w=what: d.used(w))
        if peak is None:
            continue
        show = units.size if what == "bytes" else units.count
        kept = f" ({show(used)} in use)" if used != peak else ""
        parts.append(f"{show(peak)}{kept} of {show(record.last.get(f'limit_{what}'))}" +
                     (shared if what == "bytes" else " registrations"))
    return f"{text}: at most {', and '.join(parts)}."


def say_hits(record):
    """About mappings."""
    hits, misses = record.grown("hits"), record.grown("misses")
    if hits is None or misses is None:
        return None
    if not hits + misses:
        return "The driver mapped nothing in this time."
    return (f"{units.percent(hits / (hits + misses))} of "
            f"{units.plural(hits + misses, 'mapping')} needed no exit to the host.")


def say_doorbells(record, seconds):
    """About exits to the host."""
    number = record.grown("doorbells")
    if not number:
        return None if number is None else "The doorbell was not rung."
    text = f"{units.plural(number, 'doorbell')} ({units.rate(number / seconds)})"
    took = latency(record)
    if not took:
        return f"{text}."
    return (f"{text}: half of them took less than {units.duration(took.median)}, one in a hundred "
            f"more than {units.duration(took.p99)}, the slowest {units.duration(took.longest)}; "
            f"{units.percent(took.total / 1e9 / seconds)} of the time was spent in them.")


def say_failures(record):
    """About mappings that failed."""
    failed = record.grown("map_failures")
    if failed is None:
        return None
    if not failed:
        return "No mapping failed."
    causes = [(c, record.grown(f"failures_{c}")) for c in devices.FAILURES]
    named = [f"{units.count(n)} because {devices.FAILURES[c]}" for c, n in causes if n]
    return f"{units.plural(failed, 'mapping')} failed" + (
        f": {', '.join(named)}." if named else ".")


def say_windows(record):
    """About registrations that came and went."""
    if not record.created and not record.evicted:
        return None
    gone = sum(record.evicted.values())
    text = (f"{units.plural(record.created, 'window')} ({units.size(record.created_bytes)}) "
            f"{'was' if record.created == 1 else 'were'} registered")
    if gone:
        causes = ", ".join(f"{units.count(n)} {CAUSES.get(cause, cause)}"
                           for cause, n in record.evicted.most_common())
        text += f", {units.count(gone)} given back: {causes}"
    return text + "."


def say_errors(record):
    """About a host that refuses or breaks the protocol."""
    if record.last.get("broken"):
        return "The companion is broken: the host broke the protocol. The kernel log has the line."
    if not record.errors:
        return None
    last = record.errors[-1][1]
    return f"The host erred {units.count(len(record.errors))} times; the last: {last or 'no text'}."


def sentences(root, record, seconds):
    """The summary of a device, the most important first."""
    if record.last.premaps:
        said = premap.summary(root, record.last)
        found = [f"{said[0].upper()}{said[1:]}.", say_errors(record), say_doorbells(record, seconds),
                 say_windows(record)]
        return [text for text in found if text]
    found = [say_limits(record), say_failures(record), say_errors(record), say_hits(record),
             say_doorbells(record, seconds), say_windows(record)]
    return [text for text in found if text]


# ---- buckets

def size_buckets(record):
    """(labels, hits, misses) of mapping sizes, by powers of two from 4 KiB on."""
    if not record.sizes:
        return None

    def bucket(size):
        return max(12, math.ceil(math.log2(max(size, 1))))
    low = min(bucket(size) for size, _ in record.sizes)
    high = max(max(bucket(size) for size, _ in record.sizes), low + 3)
    counts = {0: [0] * (high - low + 1), 1: [0] * (high - low + 1)}
    for (size, hit), number in record.sizes.items():
        counts[1 if hit else 0][bucket(size) - low] += number
    labels = [units.size(1 << power) for power in range(low, high + 1)]
    return labels, counts[1], counts[0]


def edge(power):
    """2 to the POWER µs as a label of an axis: 1024 counts as 1000."""
    if power < 0:
        return f"{1000 * 2.0 ** power:.0f} ns"
    return f"{2 ** (power % 10)} {('µs', 'ms', 's')[min(power // 10, 2)]}"


def latency_buckets(record):
    """(labels of edges, maps, unmaps) of doorbells, by powers of two of a µs."""
    if not record.doorbells:
        return None

    def bucket(ns):
        return math.floor(math.log2(max(ns, 250) / 1000))
    low = min(bucket(d.ns) for d in record.doorbells)
    high = max(max(bucket(d.ns) for d in record.doorbells), low + 5)
    counts = {True: [0] * (high - low + 1), False: [0] * (high - low + 1)}
    for bell in record.doorbells:
        counts[bell.op != "unmap"][bucket(bell.ns) - low] += 1
    return [edge(power) for power in range(low, high + 2)], counts[True], counts[False]


def rates(record, name):
    """(seconds, per second) of a counter, between the samples."""
    found = []
    start = record.samples[0].taken
    old = record.samples[0]
    for new in record.samples[1:]:
        # Two samples that are too close give no rate.
        if new.taken - old.taken < SHORTEST_RATE:
            continue
        value = devices.per_second(old, new, name)
        if value is not None:
            found.append((new.taken - start, value))
        old = new
    return found


def course(record, value):
    """(seconds, value) over the samples; VALUE(device) may be None."""
    start = record.samples[0].taken
    return [(d.taken - start, value(d)) for d in record.samples if value(d) is not None]
