# SPDX-License-Identifier: GPL-2.0
"""What a terminal shows: colours where they are wanted, bars, tables."""

import os
import re
import shutil

COLOURS = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "bold": "1", "dim": "2"}
ESCAPE = re.compile(r"\033\[[0-9;]*m")


class Terminal:
    """Where text goes, and what it can show."""

    def __init__(self, stream, environ=None):
        environ = os.environ if environ is None else environ
        self.stream = stream
        self.tty = stream.isatty()
        self.colours = (self.tty and not environ.get("NO_COLOR") and
                        environ.get("TERM", "dumb") != "dumb")
        self.unicode = "utf" in (getattr(stream, "encoding", None) or "").lower()
        self.resize()

    def resize(self, unknown=(100, 40)):
        """Look how large it is; a pipe or a serial console does not say."""
        self.width, self.height = shutil.get_terminal_size(unknown)

    def paint(self, text, *names):
        """TEXT in colours, or as it is."""
        if not self.colours or not names:
            return text
        return f"\033[{';'.join(COLOURS[name] for name in names)}m{text}\033[0m"

    def plain(self, text):
        """TEXT in the characters that the stream has."""
        if self.unicode:
            return text
        return text.replace("µ", "u").encode("ascii", "replace").decode()

    def bar(self, used, idle, limit, width):
        """A bar of WIDTH: what is used, what is kept idle, and the room up to LIMIT."""
        marks = ("█", "▒", "·") if self.unicode else ("#", "=", ".")
        if used is None or not limit:
            return marks[2] * width
        full = cells(used, limit, width)
        kept = max(cells(used + (idle or 0), limit, width) - full, 0)
        near = used / limit
        colour = "red" if near >= 0.95 else "yellow" if near >= 0.85 else "green"
        return (self.paint(marks[0] * full, colour) + self.paint(marks[1] * kept, "blue") +
                self.paint(marks[2] * (width - full - kept), "dim"))

    def write(self, text=""):
        """One line."""
        self.stream.write(self.plain(text) + "\n")


def cells(part, whole, width):
    """How many of WIDTH cells PART of WHOLE is: at least one where there is anything."""
    if part <= 0:
        return 0
    return min(width, max(1, round(width * part / whole)))


def visible(text):
    """How many columns TEXT takes."""
    return len(ESCAPE.sub("", text))


def pad(text, width, right=False):
    """TEXT in WIDTH columns."""
    space = " " * max(0, width - visible(text))
    return space + text if right else text + space


def table(rows, right=()):
    """Lines of a table; columns whose index is in RIGHT are flush right."""
    widths = [max(visible(cell) for cell in column) for column in zip(*rows)]
    return ["  ".join(pad(cell, width, index in right)
                      for index, (cell, width) in enumerate(zip(row, widths))).rstrip()
            for row in rows]
