# SPDX-License-Identifier: GPL-2.0
"""The emulated host's options: which there are, and how they are given to QEMU."""

import re

from .errors import UsageError, allowed

LIES = ("wrong-id", "short", "long", "misaligned", "zero", "wrap", "overlap", "unwritten",
        "batch-ok", "batch-fail", "bad-status", "bad-batch-status", "no-command-status", "unmap-fail",
        "refuse-all", "no-answer", "late", "gone", "rewrite", "fickle", "half", "invalid-batch",
        "short-stays", "no-entries", "none")

# key: (device, kind), where a kind is a tuple of names, or the name of a form.
KEYS = {
    "iova": ("dart", ("high", "random", "fragmented", "reuse", "aligned", "first-fit", "sequential")),
    "seed": ("dart", "number"),
    "iova-bits": ("dart", "number"),
    "max-bytes": ("dart", "size"),
    "shared-bytes": ("dart", "size"),
    "max-entries": ("dart", "number"),
    "max-segment": ("dart", "size"),
    "panic-bytes": ("dart", "size"),
    "panic-entries": ("dart", "number"),
    "enforce": ("dart", ("auto", "on", "off")),
    "cost": ("dart", ("none", "mac")),
    "layout": ("companion", ("rfc", "wide")),
    "batch-entries": ("companion", "number"),
    "version": ("companion", "number"),
    "forget": ("companion", ("nothing", "registers", "all")),
    "latency-us": ("companion", "number"),
    "lie": ("companion", LIES),
    "lie-after": ("companion", "number"),
    "managed-bdf": ("companion", "bdf"),
}

# What a Mac is known to take (Documentation/limits.md); a map past it may take the Mac down.
PANIC = {"panic-bytes": "1500000000", "panic-entries": "65536"}

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


def size(text):
    """The bytes in '1536M', or None when it is not a size."""
    match = re.fullmatch(r"(\d+)([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    return int(match.group(1)) * UNITS[match.group(2).upper()] if match else None


def _value(key, text):
    kind = KEYS[key][1]
    if isinstance(kind, tuple):
        if text not in kind:
            raise allowed(f"value of --host {key}", text, kind)
        return text
    if kind == "size":
        number = size(text)
        if number is None:
            raise UsageError(f"--host {key}={text}: not a size; allowed: a number of bytes, "
                             "or one with K, M, G or T, such as 64M")
        return str(number)
    if kind == "bdf":
        if text != "auto" and not re.fullmatch(r"0x[0-9a-fA-F]{1,8}", text):
            raise UsageError(f"--host {key}={text}: allowed: auto, or 0x0 to 0xffffffff, of which "
                             "those above 0xffff are no PCI address")
        return text
    if not re.fullmatch(r"\d+|0x[0-9a-fA-F]+", text) or int(text, 0) >= 1 << 64:
        raise UsageError(f"--host {key}={text}: not a number; allowed: 0 or more")
    return str(int(text, 0))


def parse(options, local, remote=0):
    """The options of each companion, from the --host arguments.

    Returns a list with one {"dart": {...}, "companion": {...}} for each of LOCAL
    devices behind an apple-dart, and then of REMOTE ones of a driver extension;
    an option without a number applies to all.
    """
    devices = local + remote
    found = [{"dart": {}, "companion": {}} for _ in range(devices)]
    for option in options:
        text, equals, value = option.partition("=")
        number, colon, key = text.rpartition(":")
        if not equals:
            raise UsageError(f"--host {option}: expected KEY=VALUE; keys: {', '.join(KEYS)}")
        if key not in KEYS:
            raise allowed("--host key", key, KEYS)
        chosen = range(devices)
        if colon:
            if not number.isdigit() or int(number) >= devices:
                raise UsageError(f"--host {option}: there is no device {number}; there are "
                                 f"{devices}, counted from 0 in the order of --device")
            chosen = [int(number)]
        value = _value(key, value)
        if key == "enforce" and any(each >= local for each in chosen):
            raise UsageError(f"--host {option}: the DART of a --dext-device always enforces")
        if key == "shared-bytes" and any(each >= local for each in chosen):
            raise UsageError(f"--host {option}: a --dext-device is a process of its own, and "
                             "shares no limit")
        for each in chosen:
            found[each][KEYS[key][0]][key] = value
    return found


def guarded(options):
    """OPTIONS of parse() with the limits past which a Mac goes down, where none are given."""
    return [{**each, "dart": {**PANIC, **each["dart"]}} for each in options]
