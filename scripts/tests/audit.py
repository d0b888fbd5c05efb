# SPDX-License-Identifier: GPL-2.0
"""Documentation/host-audit.md as data, for tests that compare with it or are made from it."""

import re
from dataclasses import dataclass

from conftest import TOP

AUDIT = TOP / "Documentation" / "host-audit.md"


def section(title, text=None):
    """The lines under a heading of the document."""
    text = AUDIT.read_text(encoding="utf-8") if text is None else text
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, f"host-audit.md has no section {title}"
    return found[1]


def table(title, text=None):
    """The rows of the table under a heading, each a list of cells."""
    lines = [line for line in section(title, text).splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert len(rows) > 2 and all(len(row) == len(rows[0]) for row in rows), title
    return rows[2:]


def quoted(cell):
    """The words in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


@dataclass
class Read:
    """A row about a read."""

    file: str
    function: str
    reads: dict         # what reads it: how often
    tests: list
    none: bool          # says why there is no test


def reads(title, text=None):
    """The rows of one of the tables of reads."""
    found = []
    for file, function, how, _, _, _, tests in table(title, text):
        counts = {}
        for times, what in re.findall(r"(?:(\d+) )?`([^`]+)`", how):
            counts[what] = counts.get(what, 0) + int(times or 1)
        found.append(Read(quoted(file)[0], quoted(function)[0], counts, quoted(tests),
                          tests.startswith("none: ")))
    return found


@dataclass
class Lie:
    """A row about a lie of a host: its options, and the expected outcome."""

    host: list          # --host options
    case: str           # of the test driver
    outcome: str
    log: str

    @property
    def name(self):
        """The name of the row."""
        return " ".join(self.host)


def lies(outcome=None):
    """The lies, or those with one outcome."""
    found = [Lie(quoted(host)[0].split(), "".join(quoted(case)), what, log)
             for host, case, what, log in table("Lies")]
    return [lie for lie in found if outcome in (None, lie.outcome)]
