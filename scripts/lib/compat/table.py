# SPDX-License-Identifier: GPL-2.0
"""The rows as text for a terminal, as Markdown and as JSON."""

import datetime
import json
import shlex
from dataclasses import asdict

HEAD = ("device", "driver", "kernel", "mask", "moved", "doorbells", "peak", "faults", "result")
WIDTHS = (26, 13, 7, 4, 9, 9, 6, 6, 0)


def _moved(count):
    return f"{count / 1e6:.1f} MB" if count else "-"


def cells(row):
    """The cells of one Row."""
    device = row.device
    if row.beside:
        device += f" (one of {len(row.beside) + 1})"
    device += "".join(f", {word}" for word in (row.arch, row.mode) if word not in ("x86_64", ""))
    result = row.result + (f" ({row.note})" if row.note else "")
    return (device, row.driver, row.kernel, str(row.mask or "-"), _moved(row.moved),
            str(row.doorbells), str(row.peak), "?" if row.faults is None else str(row.faults),
            result)


def _line(texts):
    """Words left, numbers right."""
    return "  ".join(text.ljust(width) if i in (0, 1, 2, 8) else text.rjust(width)
                     for i, (text, width) in enumerate(zip(texts, WIDTHS))).rstrip()


def head():
    """The first lines on a terminal."""
    return _line(HEAD) + "\n" + _line(["-" * max(width, 6) for width in WIDTHS])


def text(row):
    """One line on a terminal."""
    return _line(cells(row))


def caption(argv, seconds):
    """What made a table, when, and how long it took."""
    day = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d")
    return f"`{shlex.join(['scripts/compat', *argv])}`, {day}, {seconds / 60:.0f} min"


def markdown(rows, above=""):
    """All of it for a document."""
    lines = ([above, ""] if above else []) + ["| " + " | ".join(HEAD) + " |",
             "|---|---|---|" + "--:|" * 5 + "---|"]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def as_json(rows):
    """All of it for programs."""
    found = []
    for row in rows:
        values = asdict(row)
        values.pop("said")
        found.append(values)
    return json.dumps(found, indent=1) + "\n"
