# SPDX-License-Identifier: GPL-2.0
"""A recording: sysfs over time, and the events of the tracepoints."""

import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field

from . import devices, trace, windows
from .errors import ToolError

MOST_DOORBELLS = 200000
LEAST_PERIOD = 0.05
MANY_WINDOWS = 1000
SAMPLES = 400


@dataclass
class Doorbell:
    """One exit to the host."""

    when: float
    op: str
    requests: int
    bytes: int
    ns: int


@dataclass
class DeviceRecord:
    """The recording of one companion."""

    companion: str
    samples: list = field(default_factory=list)     # devices.Device, oldest first
    doorbells: list = field(default_factory=list)
    doorbells_seen: int = 0
    sizes: Counter = field(default_factory=Counter)         # (size, hit) of mappings
    created: int = 0
    created_bytes: int = 0
    evicted: Counter = field(default_factory=Counter)       # by cause
    errors: list = field(default_factory=list)              # (when, what)
    listing: tuple = (-1, 0.0, None)    # bytes, when, text: at the peak

    @property
    def last(self):
        """The newest sample."""
        return self.samples[-1]

    def grown(self, name):
        """How much a counter grew while it was recorded, or None."""
        first, last = self.samples[0].get(name), self.last.get(name)
        return None if first is None or last is None else max(last - first, 0)

    def peak(self, value):
        """The highest of VALUE(device) over the samples, or None."""
        found = [v for v in map(value, self.samples) if v is not None]
        return max(found) if found else None


class Recording:
    """Records all companions for some time."""

    def __init__(self, root, seconds):
        self.root = root
        self.seconds = seconds
        self.start = time.monotonic()
        self.end = self.start
        self.records = {}
        self.lost = 0
        self.events = 0
        self.no_trace = None        # why there are no events
        self.stopped = False

    def sample(self, last=False):
        """Read sysfs once, and the list of windows at a new peak of bytes."""
        for device in devices.read_all(self.root):
            if not device.ours:
                continue
            record = self.records.setdefault(device.companion, DeviceRecord(device.companion))
            record.samples.append(device)
            mapped = device.get("mapped_bytes") or 0
            # A long list takes time, so the peak must be clearly higher.
            long = (device.get("mapped_entries") or 0) > MANY_WINDOWS and not last
            if mapped > record.listing[0] * (1.02 if long else 1):
                text = windows.read(self.root, device.companion)
                if text is not None:
                    record.listing = (mapped, device.taken, text)

    def take(self, line):
        """A line of the trace."""
        event = trace.parse(line)
        if not event:
            self.lost += trace.lost(line)
            return
        when, name, got = event
        record = self.records.get(got.get("companion"))
        handle = HANDLERS.get(name)
        if record and handle:
            self.events += 1
            handle(record, when, got)

    def drain(self, pipe, until):
        """Read the trace until the time is up."""
        while True:
            lines = pipe.lines()
            for line in lines:
                self.take(line)
            left = until - time.monotonic()
            if left <= 0:
                return
            if not lines:
                time.sleep(min(left, 0.02))

    def run(self, pipe, progress):
        """Record until the time is up or ^C is pressed; PROGRESS gets the seconds."""
        period = max(LEAST_PERIOD, self.seconds / SAMPLES)
        try:
            self.sample()
            if not self.records:
                return
            while time.monotonic() < self.start + self.seconds:
                progress(time.monotonic() - self.start)
                until = min(time.monotonic() + period, self.start + self.seconds)
                if pipe:
                    self.drain(pipe, until)
                else:
                    time.sleep(max(0, until - time.monotonic()))
                self.sample()
        except KeyboardInterrupt:
            self.stopped = True
        self.sample(last=True)
        self.end = time.monotonic()
        if pipe:
            pipe.stop()
            for _ in range(4096):       # a real buffer ends; one made by a test may not
                lines = pipe.lines()
                if not lines:
                    break
                for line in lines:
                    self.take(line)


def on_map(record, _, got):
    """map"""
    record.sizes[trace.number(got.get("size")), trace.number(got.get("hit"))] += 1


def on_create(record, _, got):
    """window_create"""
    record.created += 1
    record.created_bytes += trace.number(got.get("size"))


def on_evict(record, _, got):
    """window_evict"""
    record.evicted[got.get("cause", "unknown")] += 1


def on_doorbell(record, when, got):
    """doorbell"""
    record.doorbells_seen += 1
    if len(record.doorbells) < MOST_DOORBELLS:
        record.doorbells.append(Doorbell(when, got.get("op", ""), trace.number(got.get("requests")),
                                         trace.number(got.get("bytes")),
                                         trace.number(got.get("ns"))))


def on_error(record, when, got):
    """host_error"""
    record.errors.append((when, got.get("what", "")))


HANDLERS = {"map": on_map, "window_create": on_create, "window_evict": on_evict,
            "doorbell": on_doorbell, "host_error": on_error}


def record(root, seconds, progress=lambda _: None):
    """A Recording of all companions; without events if the kernel has none."""
    recording = Recording(root, seconds)
    with contextlib.ExitStack() as stack:
        try:
            pipe = stack.enter_context(trace.Instance(root))
        except ToolError as error:
            # Without the tracepoints the rest of the report is still useful.
            recording.no_trace, pipe = error, None
        recording.start = time.monotonic()
        recording.run(pipe, progress)
    return recording
