# SPDX-License-Identifier: GPL-2.0
"""Plots as SVG: lines over time, histograms, a map of memory.

Every plot is drawn for a wide and for a narrow page, so that text keeps its size. The
page shows the one that fits.
"""

import math
from dataclasses import dataclass
from html import escape
from typing import Callable, Optional

from . import units

WIDE, NARROW = 600, 340
LETTER = 7          # about how wide a letter is, in px


def element(name, text=None, **attributes):
    """An element; class_ and data_x become class and data-x."""
    pairs = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(shorten(value))}"'
                    for key, value in attributes.items() if value is not None)
    return f"<{name}{pairs}/>" if text is None else f"<{name}{pairs}>{text}</{name}>"


def shorten(value):
    """A number without useless digits."""
    return f"{value:.1f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def label(x, y, text, anchor="middle", class_="tick"):
    """A text."""
    return element("text", escape(text), x=float(x), y=float(y), text_anchor=anchor, class_=class_)


def nice_step(span, most, binary):
    """A step for at most MOST ticks: 1, 2 or 5 times a power of 10, or a power of 2."""
    least = span / max(most, 1)
    if least <= 0:
        return 1
    if binary:
        return 2 ** math.ceil(math.log2(max(least, 1)))
    power = 10 ** math.floor(math.log10(least))
    return next(power * k for k in (1, 2, 5, 10) if power * k >= least * 0.999)


@dataclass
class Axis:
    """One direction of a plot."""

    low: float
    high: float
    at_low: float       # where low is, in px
    at_high: float

    def __call__(self, value):
        span = self.high - self.low or 1
        return self.at_low + (value - self.low) / span * (self.at_high - self.at_low)

    def ticks(self, most, binary=False):
        """Where the marks are."""
        step = nice_step(self.high - self.low, most, binary)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


class Plot:
    """A frame with axes; parts are added to it."""

    def __init__(self, width, height, title, left=64, bottom=40, top=26):
        self.width, self.height, self.title = width, height, title
        self.left, self.right, self.top, self.bottom = left, width - 22, top, height - bottom
        self.parts = []

    def add(self, *parts):
        """Add elements on top."""
        self.parts += parts

    def x_axis(self, axis, show, name, most=None):
        """Marks below, with the name of the axis."""
        most = most or int((self.right - self.left) / 80)
        for value in axis.ticks(most):
            x = axis(value)
            self.add(element("line", x1=x, x2=x, y1=float(self.bottom), y2=self.bottom + 4.0,
                             class_="axis"), label(x, self.bottom + 17, show(value)))
        self.add(label((self.left + self.right) / 2, self.height - 5, name, class_="name"))

    def y_axis(self, axis, show, name, binary=False):
        """Marks and lines across, with what is counted above them."""
        self.add(label(4, 12, name, "start", "name"))
        for value in axis.ticks(max(3, (self.bottom - self.top) // 35), binary):
            y = axis(value)
            self.add(element("line", x1=float(self.left), x2=float(self.right), y1=y, y2=y,
                             class_="grid"),
                     label(self.left - 7, y + 4, show(value) if value else "0", "end"))

    def svg(self, class_):
        """The whole of it."""
        return element("svg", element("title", escape(self.title)) + "".join(self.parts),
                       viewBox=f"0 0 {self.width} {self.height}", class_=class_, role="img",
                       xmlns="http://www.w3.org/2000/svg")


def both(draw):
    """DRAW(width, wide) for a wide and a narrow page."""
    return draw(WIDE, True).svg("wide") + draw(NARROW, False).svg("narrow")


# ---- over time

@dataclass
class Series:
    """A line, or the upper edge of an area on top of the one before."""

    name: str
    class_: str
    points: list        # (seconds, value)


@dataclass
class OverTime:
    """What a plot over time shows."""

    title: str
    y_name: str
    series: list
    seconds: float
    show: Callable
    binary: bool = False
    limit: Optional[float] = None
    stacked: bool = False
    height: int = 240


def thin(points, most):
    """At most about MOST points; each run of them keeps its lowest and its highest."""
    run = math.ceil(len(points) / max(most // 2, 1))
    if run <= 2:
        return points
    found = []
    for i in range(0, len(points), run):
        part = points[i:i + run]
        found += sorted({min(part, key=lambda p: p[1]), max(part, key=lambda p: p[1])})
    return found + [points[-1]] if found[-1] != points[-1] else found


def top_of(chart):
    """The highest value of the axis, and whether the limit is far above it."""
    peak = max((value for series in chart.series for _, value in series.points), default=0)
    if chart.limit and peak >= chart.limit * 0.3:
        return max(chart.limit, peak) * 1.12, False
    return (peak or 1) * 1.2, bool(chart.limit)


def over_time(chart):
    """Lines or areas over time, with the limit."""
    high, far = top_of(chart)

    def draw(width, wide):
        plot = Plot(width, chart.height, chart.title)
        x = Axis(0, chart.seconds, plot.left, plot.right)
        y = Axis(0, high, plot.bottom, plot.top + (18 if far else 0))
        plot.y_axis(y, chart.show, chart.y_name, chart.binary)
        for series in reversed(chart.series) if chart.stacked else chart.series:
            points = [(x(t), y(v)) for t, v in thin(series.points, 500 if wide else 200)]
            if not points:
                continue
            line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
            if chart.stacked:
                line = (f"{points[0][0]:.1f},{plot.bottom} {line} "
                        f"{points[-1][0]:.1f},{plot.bottom}")
            plot.add(element("polygon" if chart.stacked else "polyline", points=line,
                             class_=("area " if chart.stacked else "line ") + series.class_))
        if chart.limit and not far:
            plot.add(element("line", x1=float(plot.left), x2=float(plot.right), y1=y(chart.limit),
                             y2=y(chart.limit), class_="limit"),
                     label(plot.right - 4, y(chart.limit) - 5, f"limit {chart.show(chart.limit)}",
                           "end", "limit-text"))
        elif far:
            plot.add(label(plot.right - 4, plot.top + 6, far_text(chart), "end", "limit-text"))
        plot.add(element("line", x1=float(plot.left), x2=float(plot.right), y1=float(plot.bottom),
                         y2=float(plot.bottom), class_="axis"))
        plot.x_axis(x, seconds_text, "time in seconds")
        return plot
    return both(draw)


def far_text(chart):
    """A note about a limit that is above the plot."""
    peak = max((v for series in chart.series for _, v in series.points), default=0)
    times = f", {chart.limit / peak:,.0f} times the peak" if peak else ""
    return f"↑ limit {chart.show(chart.limit)}{times}"


def seconds_text(value):
    """Seconds on an axis: as many digits as its step needs."""
    return f"{round(value, 6):,}".removesuffix(".0")


# ---- histograms

@dataclass
class Histogram:
    """Counts in buckets, a row for each, with a column of numbers for each series."""

    title: str
    buckets: list       # labels of the rows
    series: list        # (name, class, counts)
    x_name: str         # what the buckets are


ROW = 22            # the height of a row, in px
SWATCH = 9          # the size of the mark of a column


def number_columns(chart, right):
    """(right edge of each column of numbers, the left edge of the first)."""
    edges = []
    for name, _, counts in reversed(chart.series):
        edges.insert(0, right)
        texts = [units.count(n) for n in counts]
        right -= max(len(name) * (LETTER + 2) + SWATCH + 5, max(map(len, texts)) * LETTER) + 14
    return edges, right


def histogram(chart):
    """Bars in rows, and the counts as numbers beside them."""
    totals = [sum(counts) for counts in zip(*(c for _, _, c in chart.series))]

    def draw(width, _):
        left = max(map(len, chart.buckets)) * LETTER + 14
        plot = Plot(width, 32 + ROW * len(totals), chart.title, left=left, bottom=0)
        edges, end = number_columns(chart, width - 4)
        x = Axis(0, max(totals) or 1, plot.left, end - 6)
        plot.add(label(4, 12, chart.x_name, "start", "name"))
        for (name, class_, _), edge in zip(chart.series, edges):
            start = edge - len(name) * (LETTER + 2) - SWATCH - 3
            plot.add(element("rect", x=float(start), y=3.0, width=float(SWATCH),
                             height=float(SWATCH), class_=f"bar {class_}"),
                     label(edge, 12, name, "end", "name"))
        for i, bucket in enumerate(chart.buckets):
            y, low = 24.0 + i * ROW, 0
            plot.add(label(plot.left - 8, y + 13, bucket, "end"))
            for (name, class_, counts), edge in zip(chart.series, edges):
                # Wide enough to be seen.
                if counts[i]:
                    long = max(x(low + counts[i]) - x(low), 2.0)
                    plot.add(element("rect", x=min(x(low), end - 8.0), y=y, width=long,
                                     height=ROW - 5.0, class_=f"bar {class_}"))
                    low += counts[i]
                plot.add(label(edge, y + 13, units.count(counts[i]), "end",
                               "count" if counts[i] else "tick"))
        plot.add(element("line", x1=float(plot.left), x2=float(plot.left), y1=20.0,
                         y2=20.0 + ROW * len(totals), class_="axis"))
        return plot
    return both(draw)


# ---- the map of memory

@dataclass
class Cells:
    """Guest memory cut into cells of one size; rows of COLUMNS, those without memory left out."""

    ram: list
    use: dict           # cell → bytes in use
    idle: dict          # cell → bytes registered and idle
    size: int
    columns: int

    def rows(self):
        """Numbers of the rows that have memory."""
        found = set()
        for start, end in self.ram:
            found.update(range(start // self.size // self.columns,
                               (end - 1) // self.size // self.columns + 1))
        return sorted(found)

    def kind(self, cell):
        """The class of a cell, or None where there is no memory."""
        start, end = cell * self.size, (cell + 1) * self.size
        if not any(a < end and start < b for a, b in self.ram):
            return None
        used, idle = self.use.get(cell, 0), self.idle.get(cell, 0)
        if not used and not idle:
            return "free"
        part = min(4, 1 + int(4 * max(used, idle) / self.size))
        return f"{'use' if used >= idle else 'idle'} part{part}"


def spread(windows, size):
    """Bytes of (start, end) ranges in cells of SIZE."""
    found = {}
    for start, end in windows:
        for cell in range(start // size, (end - 1) // size + 1):
            part = min(end, (cell + 1) * size) - max(start, cell * size)
            found[cell] = found.get(cell, 0) + part
    return {cell: min(part, size) for cell, part in found.items()}


def cell_size(ram, columns, rows):
    """The smallest power of two, at least a granule, with which the memory fits."""
    size = 16 * units.KIB
    while sum((end - 1) // size // columns - start // size // columns + 1
              for start, end in ram) > rows:
        size *= 2
    return size


def memory_map(ram, use, idle, title):
    """The guest's memory, row by row; USE and IDLE are (start, end) of windows."""
    sizes = []

    def draw(width, wide):
        columns = 64 if wide else 32
        size = cell_size(ram, columns, 24 if wide else 32)
        cells = Cells(ram, spread(use, size), spread(idle, size), size, columns)
        rows = cells.rows()
        pitch = 15
        gaps = [i for i in range(1, len(rows)) if rows[i] != rows[i - 1] + 1]
        plot = Plot(width, 34 + pitch * len(rows) + 12 * len(gaps), title, left=84, bottom=0)
        step = (plot.right - plot.left) / columns
        y = 22.0
        plot.add(label(plot.left, 14, f"each row is {units.size(size * columns)}, "
                       f"each cell {units.size(size)}", "start"))
        for i, row in enumerate(rows):
            y += 12 if i in gaps else 0
            if i == 0 or i in gaps or row % 4 == 0:
                plot.add(label(plot.left - 7, y + 11, units.size(row * columns * size), "end"))
            plot.add(*row_of_cells(cells, row, plot.left, y, step))
            y += pitch
        sizes.append(size)
        return plot
    return both(draw)


def row_of_cells(cells, row, left, y, step):
    """Rectangles of one row; neighbours that look the same are one."""
    first = row * cells.columns
    kinds = [cells.kind(first + i) for i in range(cells.columns)] + [None]
    begin = 0
    for i in range(1, len(kinds)):
        if kinds[i] == kinds[begin]:
            continue
        if kinds[begin]:
            yield element("rect", x=left + begin * step, y=y, width=(i - begin) * step - 0.6,
                          height=13.0, class_=f"cell {kinds[begin]}")
        begin = i
