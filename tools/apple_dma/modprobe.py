# SPDX-License-Identifier: GPL-2.0
"""The module's parameters: in modprobe.d, on the command line, and in force."""

from . import DRIVER, devices, foreign
from .checks import into_force, note, ok

FOLDERS = ("/etc/modprobe.d", "/run/modprobe.d", "/usr/local/lib/modprobe.d",
           "/usr/lib/modprobe.d", "/lib/modprobe.d")


def files(root):
    """The files that kmod reads, in its order; one hides files of its name in later folders."""
    found = {}
    for folder in FOLDERS:
        for name in root.list(folder):
            if name.endswith(".conf"):
                found.setdefault(name, f"{folder}/{name}")
    return [found[name] for name in sorted(found)]


def settings(words, where):
    """{parameter: (value, where)} of words such as max_bytes=1."""
    pairs = (word.partition("=") for word in words)
    return {name.replace("-", "_"): (value, where) for name, _, value in pairs}


def options(root):
    """{parameter: (value, where)} that the module would get if it were loaded now."""
    found = {}
    for path in files(root):
        for line in (root.peek(path) or "").replace("\\\n", " ").splitlines():
            words = line.split()
            if words[:1] == ["options"] and words[1:] and words[1].replace("-", "_") == DRIVER:
                found.update(settings(words[2:], path))
    for word in (root.peek("/proc/cmdline") or "").split():
        module, dot, setting = word.partition(".")
        if dot and module.replace("-", "_") == DRIVER:
            found.update(settings([setting], "the kernel's command line"))
    return found


def in_force(root):
    """{parameter: value} of the module that is loaded."""
    folder = f"{devices.MODULE}/parameters"
    return {name: root.peek(f"{folder}/{name}") or "" for name in root.list(folder)}


def same(one, other):
    """Whether two values are the same for the kernel; it prints a switch as Y or N."""
    if one in ("Y", "N"):
        return (one == "Y") == other.lower().startswith(("1", "y", "on", "t"))
    try:
        return int(one, 0) == int(other, 0)
    except ValueError:
        return one == other


def check_parameters(machine):
    """Check that the values in force are those of the files."""
    if foreign.loaded(machine.root):
        return []
    have = in_force(machine.root)
    found = [note(f"{name} is {have[name]}, but {where} says {value}",
                  *into_force("the module was loaded without that setting:"))
             for name, (value, where) in options(machine.root).items()
             if name in have and not same(have[name], value)]
    if found or not have:
        return found
    return [ok(" ".join(f"{name}={value}" for name, value in have.items()))]
