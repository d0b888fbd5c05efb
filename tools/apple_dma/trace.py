# SPDX-License-Identifier: GPL-2.0
"""The module's tracepoints, in a separate instance of tracefs."""

import os
import re
import shutil

from .errors import NeedsRoot, ToolError

PLACES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
SYSTEM = "apple_dma"
# Without unmap: it is not used here, and is as frequent as map.
EVENTS = ("map", "window_create", "window_evict", "doorbell", "host_error")
BUFFER_KB = 8192

LINE = re.compile(r"\s(\d+\.\d+): (\w+): (.*)$")
LOST = re.compile(r"\[LOST (\d+) EVENTS\]")
PAIR = re.compile(r'([\w.]+)=("[^"]*"|\S+)')


def fields(text):
    """The key=value pairs of an event; other words are skipped."""
    if '"' in text:
        return {key: value.strip('"') for key, value in PAIR.findall(text)}
    return dict(word.split("=", 1) for word in text.split() if "=" in word)


def number(value):
    """A number of an event, decimal or 0x; 0 if it is none."""
    try:
        return int(value, 0)
    except (TypeError, ValueError):
        return 0


def parse(line):
    """(seconds, event, fields) of a line, or None."""
    found = LINE.search(line)
    return (float(found[1]), found[2], fields(found[3])) if found else None


def lost(line):
    """How many events the line says were lost."""
    found = LOST.search(line)
    return int(found[1]) if found else 0


class Instance:
    """A context with events on; the instance is removed at its end."""

    def __init__(self, root):
        self.root = root
        top = next((p for p in PLACES if root.exists(f"{p}/instances")), None)
        if top is None:
            if root.real and os.geteuid():
                raise NeedsRoot(PLACES[0])
            raise ToolError("tracefs is not there", "sudo mount -t tracefs none " + PLACES[0])
        if not root.exists(f"{top}/events/{SYSTEM}"):
            raise ToolError("this apple_dma has no tracepoints",
                            "a newer one has: update the module")
        self.folder = f"{top}/instances/{SYSTEM}_report_{os.getpid()}"
        self.pipe = None
        self.rest = b""

    def put(self, name, text):
        """Write a file of the instance."""
        with open(self.root.path(f"{self.folder}/{name}"), "w", encoding="ascii") as file:
            file.write(text)

    def __enter__(self):
        try:
            os.mkdir(self.root.path(self.folder))
        except FileExistsError:
            pass        # left by a killed process that had this number
        except PermissionError:
            raise NeedsRoot(self.folder) from None
        except OSError as error:
            raise ToolError(f"cannot make {self.folder}: {error.strerror}") from None
        try:
            self.put("trace_clock", "mono")
            self.put("buffer_size_kb", str(BUFFER_KB))
            self.pipe = os.open(self.root.path(f"{self.folder}/trace_pipe"),
                                os.O_RDONLY | os.O_NONBLOCK)
            for event in EVENTS:
                if self.root.exists(f"{self.folder}/events/{SYSTEM}/{event}/enable"):
                    self.put(f"events/{SYSTEM}/{event}/enable", "1")
        except OSError as error:
            self.remove()
            raise ToolError(f"cannot trace: {error.filename}: {error.strerror}") from None
        return self

    def stop(self):
        """Stop events; the buffer can still be read."""
        for event in EVENTS:
            if self.root.exists(f"{self.folder}/events/{SYSTEM}/{event}/enable"):
                self.put(f"events/{SYSTEM}/{event}/enable", "0")

    def lines(self):
        """Read what is there, in whole lines; at most about 64 KiB."""
        try:
            data = os.read(self.pipe, 65536)
        except (BlockingIOError, InterruptedError):
            data = b""
        *whole, self.rest = (self.rest + data).split(b"\n")
        return [line.decode("utf-8", "replace") for line in whole]

    def remove(self):
        """Remove the instance and its events."""
        if self.pipe is not None:
            os.close(self.pipe)
            self.pipe = None
        path = self.root.path(self.folder)
        try:
            os.rmdir(path)
        except OSError:
            if not self.root.real:      # a folder that only looks like tracefs
                shutil.rmtree(path, ignore_errors=True)

    def __exit__(self, *_):
        self.remove()
