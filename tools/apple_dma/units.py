# SPDX-License-Identifier: GPL-2.0
"""Numbers as people read them."""

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30


def three(value):
    """VALUE with about three digits."""
    if value >= 100 or value == int(value):
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def size(count, short=False):
    """Bytes: 1.50 GiB, or 1.50G in little space; "-" if not known."""
    if count is None:
        return "-"
    for unit, factor in (("TiB", 1 << 40), ("GiB", GIB), ("MiB", MIB), ("KiB", KIB)):
        # 1023.9 MiB would be rounded to 1024 MiB.
        if count >= factor * 0.9995:
            text = three(count / factor)
            return text + (unit[0] if short else f" {unit}")
    return f"{count}B" if short else f"{count} bytes"


def count(number, short=False):
    """A number of things: 65,536, or 65.5k."""
    if number is None:
        return "-"
    if not short:
        return f"{number:,}" if number == int(number) else f"{number:,.1f}"
    for unit, factor in (("G", 10 ** 9), ("M", 10 ** 6), ("k", 10 ** 3)):
        if number >= factor * 0.9995:
            return three(number / factor) + unit
    return three(number)


def percent(part, digits=1):
    """A share of 1: 99.2 %; rounded to 100 or 0 only if it is exactly that."""
    if part is None:
        return "-"
    value = part * 100
    least = 10 ** -digits
    if 0 < value < least:
        return f"< {least:.{digits}f} %"
    if 100 - least < value < 100:
        return f"> {100 - least:.{digits}f} %"
    if value in (0, 100):
        return f"{value:.0f} %"
    return f"{value:.{digits}f} %"


def duration(ns):
    """A time in nanoseconds: 840 ns, 12.3 µs, 4.5 ms, 2 s."""
    if ns is None:
        return "-"
    for unit, factor in (("s", 10 ** 9), ("ms", 10 ** 6), ("µs", 10 ** 3)):
        if ns >= factor * 0.9995:
            return f"{three(ns / factor)} {unit}"
    return f"{three(ns)} ns"


def rate(per_second):
    """Things per second; short, and "-" where there is no second sample."""
    return "-" if per_second is None else f"{count(per_second, short=True)}/s"


def plural(number, noun):
    """1 mapping, 2 mappings."""
    return f"{count(number)} {noun}" + ("" if number == 1 else "s")
