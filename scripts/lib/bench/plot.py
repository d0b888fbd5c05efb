# SPDX-License-Identifier: GPL-2.0
"""The results as a picture: a panel of bars for each kind of figure, in SVG."""

import math
from xml.sax.saxutils import escape

from . import nvme
from .config import CONFIGS, platform_label
from .wall import LATENCY, label

WIDTH, LABELS, BAR, GAP, TITLE = 940, 320, 18, 6, 44
COLOURS = {"none": "#777777", "cached": "#1f77b4", "strict": "#5fa2d0"}
OTHERS = "#d9a05b"
LEAST = 10              # where a logarithmic axis begins


def _panel(title, bars, top, log):
    """SVG of one panel, and where it ends; BARS are (key, label, value, text)."""
    most = max(value for _, _, value, _ in bars)

    def length(value):
        room = WIDTH - LABELS - 120
        if log:
            return room * math.log10(max(value, LEAST) / LEAST) / math.log10(most / LEAST)
        return room * value / most

    lines = [f'<text x="10" y="{top + 26}" class="title">{escape(title)}</text>']
    y = top + TITLE
    for key, name, value, text in bars:
        width = max(length(value), 1)
        colour = COLOURS.get(key.split("+")[0], OTHERS)
        lines += [
            f'<text x="{LABELS - 8}" y="{y + BAR - 5}" class="label">{escape(name)}</text>',
            f'<rect x="{LABELS}" y="{y}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<text x="{LABELS + width + 6:.1f}" y="{y + BAR - 5}">{escape(text)}</text>']
        y += BAR + GAP
    return lines, y


def panels(results):
    """(title, bars, log) of each panel there is something for."""
    names = {config.name: config.label for config in CONFIGS}
    for kernel, configs in results.get("pairs", {}).items():
        bars = [(name, names[name], cell["page"]["instructions"],
                 f"{cell['page']['instructions']:,.0f}")
                for name, cell in configs.items() if cell["page"]["instructions"]]
        yield (f"Guest instructions per map+unmap pair, {platform_label(kernel)} (logarithmic)",
               bars, True)
    for kernel, configs in results.get("instructions", {}).items():
        if "none" not in configs:
            continue
        base = configs["none"]["4k-qd32"]["instructions"]
        bars = [(name, names[name], cell["4k-qd32"]["instructions"] / base,
                 f"{cell['4k-qd32']['instructions'] / base:.2f}×")
                for name, cell in configs.items()]
        yield (f"Guest instructions per 4k NVMe I/O, QD32, against none, "
               f"{platform_label(kernel)}", bars, False)
    for case in ("4k-qd32", "128k-qd32"):
        rows = results.get("wall", {}).get("nvme", {})
        bars = [(key, label(key), each[case]["ratio"], f"{each[case]['ratio']:.2f}×")
                for key, each in rows.items() if "ratio" in each[case]]
        title = nvme.CASES[case][2]
        yield f"NVMe IOPS against none, {title}, without and with {LATENCY} µs", bars, False


def svg(results):
    """The whole picture, or None when there is nothing to show."""
    body, y = [], 0
    for title, bars, log in panels(results):
        if bars:
            lines, y = _panel(title, bars, y, log)
            body += lines
    if not body:
        return None
    style = ("text { font: 12px sans-serif; fill: #222 } .title { font: bold 14px sans-serif } "
             ".label { text-anchor: end }")
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 10}">',
        f"<style>{style}</style>", '<rect width="100%" height="100%" fill="white"/>',
        *body, "</svg>", ""])
