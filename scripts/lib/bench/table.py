# SPDX-License-Identifier: GPL-2.0
"""Tables: aligned for a terminal, and as Markdown."""

from dataclasses import dataclass

NOTHING = "–"


@dataclass
class Table:
    """Rows of text under a title; the first column is a label."""

    title: str
    head: list
    rows: list
    note: str = ""

    def text(self):
        """For a terminal."""
        every = [self.head] + self.rows
        widths = [max(len(row[i]) for row in every) for i in range(len(self.head))]

        def line(row):
            cells = [cell.ljust(width) if i == 0 else cell.rjust(width)
                     for i, (cell, width) in enumerate(zip(row, widths))]
            return "  " + "  ".join(cells).rstrip()

        lines = [self.title, line(self.head), "  " + "  ".join("-" * w for w in widths)]
        lines += [line(row) for row in self.rows]
        return "\n".join(lines + ([f"  ({self.note})"] if self.note else []))

    def markdown(self):
        """For Documentation."""
        def line(row):
            return "| " + " | ".join(row) + " |"

        rule = "|" + "|".join(["---"] + ["--:"] * (len(self.head) - 1)) + "|"
        parts = [f"## {self.title}", "\n".join([line(self.head), rule] +
                                               [line(row) for row in self.rows])]
        return "\n\n".join(parts + ([self.note] if self.note else []))


def number(value):
    """A whole number with thousands marked."""
    return NOTHING if value is None else f"{value:,.0f}"


def decimal(value, digits=2):
    """A number with DIGITS decimals."""
    return NOTHING if value is None else f"{value:,.{digits}f}"


def ratio(value, base):
    """VALUE as a multiple of BASE."""
    return NOTHING if value is None or not base else f"{value / base:.2f}×"


def percent(value):
    """A fraction in percent."""
    return NOTHING if value is None else f"{100 * value:.1f} %"
