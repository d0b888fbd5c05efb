# SPDX-License-Identifier: GPL-2.0
"""The cache: things that are slow to make, made once and shared.

An entry is a file or folder that appears under its final name only when it is
whole. Its name holds what it was made from, so that it never goes stale.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
import time

from .errors import TestbedError, warn

SCRIPTS = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
REPO = os.path.dirname(SCRIPTS)
MIB = 1 << 20


def root():
    """The project's cache folder; it exists when this returns."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    path = os.path.join(base, "apple-dma")
    os.makedirs(path, exist_ok=True)
    return path


def digest(*parts):
    """A short name for the content of PARTS (strings or bytes)."""
    state = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        state.update(b"%d:" % len(data))
        state.update(data)
    return state.hexdigest()[:12]


@contextlib.contextmanager
def lock(path):
    """Hold the advisory lock file PATH; it waits for another holder."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def need_space(path, mib, what):
    """Refuse to start WHAT when the file system of PATH has less than MIB free."""
    free = shutil.disk_usage(path).free // MIB
    if free < mib:
        raise TestbedError(f"no space on disk: {what} needs about {mib} MiB in "
                           f"{path}, and {free} MiB are free")


def remove(path):
    """Remove a file or folder, if it is there."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def entry(relative, what, mib, make):
    """The path of the cache entry RELATIVE, made first when it is missing.

    MAKE is called with the path of a temporary folder on the same file system
    and the final path, and returns the path of what it made. WHAT and MIB say
    on stderr what is being made and how much space it takes. Two processes
    that want the same entry make it once.
    """
    final = os.path.join(root(), relative)
    if os.path.lexists(final):
        return final
    parent = os.path.dirname(final)
    os.makedirs(parent, exist_ok=True)
    with lock(os.path.join(root(), "locks", relative.replace("/", "_"))):
        if os.path.lexists(final):
            return final
        need_space(parent, mib, what)
        warn(f"{what} (once) ...")
        start = time.monotonic()
        work = tempfile.mkdtemp(prefix=".new-", dir=parent)
        try:
            made = make(work, final)
            os.chmod(made, 0o755 if os.path.isdir(made) else 0o644)
            os.rename(made, final)
        finally:
            remove(work)
        warn(f"{what}: done in {time.monotonic() - start:.0f} s")
    return final


def run(command, what, stdin=subprocess.DEVNULL, **kwargs):
    """Run COMMAND quietly; its output becomes the error when it fails."""
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              stdin=stdin, text=True, errors="replace",
                              check=False, **kwargs)
    except FileNotFoundError as error:
        raise missing(error.filename) from None
    if done.returncode:
        text = (done.stderr.strip() or done.stdout.strip()).splitlines()
        if any("No space left on device" in line for line in text):
            raise TestbedError(f"no space on disk while {what}")
        tail = "\n  ".join(text[-8:])
        raise TestbedError(f"{what} failed ({os.path.basename(command[0])}, "
                           f"status {done.returncode}):\n  {tail}")
    return done.stdout


# Commands the testbed calls: package, and the part of scripts/setup that has it.
PROVIDERS = {
    "qemu-system-x86_64": ("qemu-system-x86", "vm"),
    "qemu-system-aarch64": ("qemu-system-arm", "vm"),
    "qemu-img": ("qemu-utils", "vm"),
    "mke2fs": ("e2fsprogs", "vm"),
    "debugfs": ("e2fsprogs", "debian"),
    "mmdebstrap": ("mmdebstrap", "debian"),
    "dpkg-scanpackages": ("dpkg-dev", "debian"),
    "arch-test": ("arch-test", "debian"),
    "qemu-aarch64-static": ("qemu-user-static", "debian"),
    "qemu-x86_64-static": ("qemu-user-static", "debian"),
    "depmod": ("kmod", "module"),
    "make": ("make", "module"),
    "gcc": ("gcc", "module"),
    "gcc-12": ("gcc", "module"),
    "aarch64-linux-gnu-gcc": ("gcc-aarch64-linux-gnu", "module"),
    "aarch64-linux-gnu-gcc-12": ("gcc-aarch64-linux-gnu", "module"),
    "xz": ("xz-utils", "base"),
    "zstd": ("zstd", "base"),
}


def missing(command):
    """The error for a command that is not installed."""
    name = os.path.basename(command)
    if name in PROVIDERS:
        package, part = PROVIDERS[name]
        return TestbedError(f"'{name}' is missing: install the package {package} "
                            f"(scripts/setup {part})")
    return TestbedError(f"'{name}' is missing on this machine")


def tool(name):
    """The absolute path of the command NAME; raises naming its package."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise missing(name)
    return path
