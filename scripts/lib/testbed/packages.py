# SPDX-License-Identifier: GPL-2.0
"""Debian packages, downloaded and unpacked without touching the machine."""

import concurrent.futures
import os
import re
import subprocess
import time

from . import cache
from .errors import TestbedError

APT_PRIVATE = os.path.join(cache.SCRIPTS, "apt-private")


def apt(suite, arch, command, cwd=None):
    """The output of an apt COMMAND against SUITE for the Debian ARCH."""
    argv = [APT_PRIVATE, "--suite", suite, "--arch", arch, "--", *command]
    for delay in (0.5, 2, None):
        try:
            return cache.run(argv, f"asking the mirror about {suite} ({arch})", cwd=cwd)
        except TestbedError as error:
            # Another process may be writing the list of sources.
            if delay is None or not re.search("Unable to locate|No packages found|E: Could not",
                                              str(error)):
                raise
        time.sleep(delay)
    return ""


def names(suite, arch, prefix):
    """The names of all packages that begin with PREFIX."""
    return apt(suite, arch, ["apt-cache", "pkgnames", prefix]).split()


def show(suite, arch, names):
    """The control stanzas of packages NAMES, as dicts, newest version first."""
    try:
        text = apt(suite, arch, ["apt-cache", "show", *names])
    except TestbedError as error:
        if "No packages found" in str(error):
            return []
        raise
    stanzas = []
    for block in text.split("\n\n"):
        fields = dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", block, re.MULTILINE))
        if fields:
            stanzas.append(fields)
    return stanzas


def download(suite, arch, names, folder):
    """Download the packages NAMES into FOLDER; returns the paths."""
    os.makedirs(folder, exist_ok=True)
    apt(suite, arch, ["apt-get", "-qq", "download", *names], cwd=folder)
    return sorted(os.path.join(folder, name) for name in os.listdir(folder))


def closure(suite, arch, names, folder):
    """Download NAMES and all they depend on into FOLDER; returns the paths."""
    os.makedirs(os.path.join(folder, "partial"), exist_ok=True)
    apt(suite, arch, ["apt-get", "-qq", "-y", "--download-only", "-o",
                      f"Dir::Cache::archives={folder}", "-o", "Debug::NoLocking=1",
                      "install", *names])
    return sorted(os.path.join(folder, name) for name in os.listdir(folder)
                  if name.endswith(".deb"))


def unpack(debs, target, options=()):
    """Unpack .deb files into TARGET; OPTIONS go to tar."""
    os.makedirs(target, exist_ok=True)

    def one(deb):
        what = f"unpacking {os.path.basename(deb)}"
        with subprocess.Popen([cache.tool("dpkg-deb"), "--fsys-tarfile", deb],
                              stdout=subprocess.PIPE) as data:
            cache.run(["tar", "-x", "--keep-directory-symlink", "--no-same-owner", "-p",
                       "-C", target, *options], what, stdin=data.stdout)
        if data.returncode:
            raise TestbedError(f"{what} failed: the package is damaged")

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        list(pool.map(one, debs))
