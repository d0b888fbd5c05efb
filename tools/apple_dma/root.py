# SPDX-License-Identifier: GPL-2.0
"""The machine's files, below a root: "/", or the tree of a test."""

import os
import subprocess

from .errors import NeedsRoot, ToolError


class Root:
    """Reads files below a folder; an absolute link leads below it as well.

    A missing file is None, as a module may be older than the tool. A file that only root
    may read raises NeedsRoot.
    """

    def __init__(self, path="/"):
        self.top = os.path.realpath(path)
        if not os.path.isdir(self.top):
            raise ToolError(f"the root '{path}' is not a folder")

    @property
    def real(self):
        """Whether this is the machine itself."""
        return self.top == "/"

    def path(self, name):
        """Where the absolute NAME is."""
        return name if self.real else self.top + "/" + name.lstrip("/")

    def exists(self, name):
        """Whether NAME exists and may be looked at."""
        return os.path.exists(self.path(name))

    def read_bytes(self, name, limit=-1):
        """The content of NAME, or None."""
        try:
            with open(self.path(name), "rb") as file:
                return file.read(limit)
        except PermissionError:
            raise NeedsRoot(name) from None
        except OSError:
            return None

    def read(self, name):
        """The text of NAME without its last newline, or None."""
        data = self.read_bytes(name)
        return None if data is None else data.decode("utf-8", "replace").rstrip("\n")

    def peek(self, name):
        """The same; None also if only root may read it."""
        try:
            return self.read(name)
        except NeedsRoot:
            return None

    def number(self, name):
        """The number in NAME, or None where there is none."""
        text = self.peek(name)
        try:
            return int(text, 0) if text else None
        except ValueError:
            return None

    def list(self, name):
        """What is in the folder NAME, sorted; nothing if it is not there."""
        try:
            return sorted(os.listdir(self.path(name)))
        except PermissionError:
            raise NeedsRoot(name) from None
        except OSError:
            return []

    def link(self, name):
        """The last component of what the link NAME leads to, or None."""
        try:
            return os.path.basename(os.readlink(self.path(name)))
        except OSError:
            return None

    def release(self):
        """The kernel's release, as uname -r says it."""
        return self.read("/proc/sys/kernel/osrelease") or ""

    def run(self, *argv):
        """The output of a program of the machine, or None where it is missing.

        In another root only a program that is in that root is run.
        """
        folders = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
        for folder in folders:
            program = self.path(f"{folder}/{argv[0]}")
            if os.access(program, os.X_OK):
                done = subprocess.run([program, *argv[1:]], stdin=subprocess.DEVNULL, check=False,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                      env={**os.environ, "LC_ALL": "C"})
                return done.stdout.decode("utf-8", "replace")
        return None
