# SPDX-License-Identifier: GPL-2.0
"""The rows as text for a terminal, as Markdown and as JSON."""

import datetime
import json
import shlex
from dataclasses import asdict

HEAD = ("device", "driver", "kernel", "mask", "moved", "doorbells", "peak", "faults", "result")
DEVICES = ("device", "driver", "mask", "moved", "doorbells", "peak", "ok with", "result")
NUMBERS = ("mask", "moved", "doorbells", "peak", "faults")
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


def devices(found):
    """A line for each device from the cells of all rows, fewest doorbells per MB first.

    The figures are those of the device's first row; `ok with` names all rows that were ok.
    The result is that of its first row that was not ok, if any.
    """
    by_name = {}
    for row in found:
        name, _, how = row[0].replace(" (", ", ").replace(")", "").partition(", ")
        by_name.setdefault(name, []).append((how or row[2], row))
    lines = []
    for name, its in by_name.items():
        first = its[0][1]
        good = dict.fromkeys(how for how, row in its if row[8].startswith("ok"))
        bad = [row[8] for _, row in its if not row[8].startswith("ok")]
        lines.append((name, first[1], *first[3:7], ", ".join(good), (*bad, first[8])[0]))

    def order(line):
        megabytes = float(line[3].strip("- MB") or 0)
        return not line[7].startswith("ok"), int(line[4]) / max(megabytes, 0.1)

    return sorted(lines, key=order)


def _table(heads, lines):
    """In Markdown, numbers to the right."""
    rule = ["--:" if name in NUMBERS else "---" for name in heads]
    return "".join(f"| {' | '.join(line)} |\n" for line in (heads, rule, *lines))


def markdown(rows, above=""):
    """All of it for a document: the devices, then each row."""
    found = [cells(row) for row in rows]
    return (f"{above}\n\n" if above else "") + f"{_table(DEVICES, devices(found))}\n" \
        f"{_table(HEAD, found)}"


def as_json(rows):
    """All of it for programs."""
    found = []
    for row in rows:
        values = asdict(row)
        values.pop("said")
        found.append(values)
    return json.dumps(found, indent=1) + "\n"
