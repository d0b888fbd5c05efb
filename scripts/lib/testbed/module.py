# SPDX-License-Identifier: GPL-2.0
"""The guest module, built for a kernel of the cache."""

import argparse
import os
import re
import shutil
import subprocess

from . import arch as arches
from . import cache, headers, kernel
from .errors import TestbedError, UsageError, reported, warn

# What a build of this checkout reads. A build of another folder reads all of that folder.
INPUTS = ("Kbuild", "dkms.conf", "driver", "include")
# What a Kbuild elsewhere that names the driver's folder reads as well.
SHARED = ("driver", "include", "kunit")
_BUILT = (".o", ".ko", ".mod", ".mod.c", ".cmd", ".o.d", ".order", ".symvers")


def root(folder):
    """The top of FOLDER's sources: above it if its Kbuild compiles the driver's files."""
    try:
        with open(os.path.join(folder, "Kbuild"), encoding="utf-8") as file:
            driver = re.search(r"^apple-dma-driver\s*:=\s*(\S+)$", file.read(), re.M)
    except FileNotFoundError:
        raise UsageError(f"there is no Kbuild in {folder}") from None
    return os.path.normpath(os.path.join(folder, driver[1], "..")) if driver else folder


def sources(folder):
    """{path relative to root(FOLDER): content} of what the module is built from."""
    found = {}
    top = root(folder)
    if os.path.isdir(os.path.join(folder, "driver")):
        inputs = INPUTS
    else:
        inputs = [os.path.join(os.path.relpath(folder, top), name) for name in os.listdir(folder)]
        inputs += SHARED if top != folder else ()
    for name in inputs:
        path = os.path.join(top, name)
        paths = [path] if os.path.isfile(path) else [
            os.path.join(base, file) for base, _, files in os.walk(path) for file in files]
        for path in paths:
            file_name = os.path.basename(path)
            if file_name.endswith(_BUILT) or file_name.startswith((".", "compat-probed")):
                continue
            with open(path, "rb") as file:
                found[os.path.relpath(path, top)] = (file.read(), os.stat(path).st_mode)
    return found


def _target(kbuild):
    """The file name of the module that a Kbuild makes."""
    match = re.search(r"^obj-m\s*[:+]?=\s*(\w+)\.o\s*$", kbuild.decode(), re.M)
    if not match:
        raise UsageError("the Kbuild names no single module with 'obj-m := NAME.o'")
    return f"{match[1]}.ko"


def _refresh(found, copy):
    """Make COPY hold exactly FOUND; only changed files are written, and objects stay."""
    for base, _, files in os.walk(copy):
        for name in files:
            path = os.path.join(base, name)
            relative = os.path.relpath(path, copy)
            if relative.endswith((".c", ".h", ".sh", ".S")) and relative not in found and \
                    not name.startswith("compat-probed") and not name.endswith(".mod.c"):
                os.unlink(path)
    for relative, (data, mode) in found.items():
        path = os.path.join(copy, relative)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        try:
            with open(path, "rb") as file:
                if file.read() == data:
                    continue
        except FileNotFoundError:
            pass
        with open(path, "wb") as file:
            file.write(data)
        os.chmod(path, mode & 0o777)


def copy_sources(source, copy):
    """Make COPY hold what SOURCE's module is built from; returns its Kbuild's folder in it."""
    _refresh(sources(source), copy)
    return os.path.normpath(os.path.join(copy, os.path.relpath(source, root(source))))


def make(tree, arch, folder, arguments=(), shared=()):
    """Build the module in FOLDER with the headers.Tree TREE and the kernel's ARCH.

    Returns make's status and its output.

    SHARED are folders outside of FOLDER that the build reads or writes.
    """
    command = tree.make([f"M={folder}", f"ARCH={arch}", "W=1", *arguments, "modules"],
                        [folder, *shared])
    # Options of a make that calls this one are not for this build.
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                          env=environment)
    return done.returncode, done.stdout


def build(wanted, arch, source=cache.REPO, strict=False):
    """The path of the module for the Kernel WANTED; built when SOURCE changed."""
    return build_in(headers.prepare(wanted, arch), f"{wanted.release}-{wanted.arch}",
                    arch.kernel, source, strict)


def build_in(tree, name, arch, source=cache.REPO, strict=False):
    """The same with the headers.Tree TREE, for a kernel NAME and the ARCH of its makefiles."""
    found = sources(source)
    here = os.path.relpath(source, root(source))
    target = _target(found[os.path.normpath(os.path.join(here, "Kbuild"))][0])
    key = cache.digest(*(part for path, (data, _) in sorted(found.items())
                         for part in (path, data)), tree.folder, str(strict))
    place = os.path.join(cache.REPO, "build", "modules", name,
                         cache.digest(os.path.realpath(source)))
    result, stamp = os.path.join(place, target), os.path.join(place, "stamp")
    with cache.lock(os.path.join(place, "lock")):
        try:
            with open(stamp, encoding="ascii") as file:
                if file.read() == key and os.path.exists(result):
                    return result
        except FileNotFoundError:
            pass
        copy = os.path.join(place, "src")
        _refresh(found, copy)
        folder = os.path.normpath(os.path.join(copy, here))
        status, said = make(tree, arch, folder, ["KCFLAGS=-Werror"] if strict else [], [place])
        if status:
            if "No space left on device" in said:
                raise TestbedError("no space on disk while building the module")
            raise TestbedError(f"the module does not build for {name}:\n{said}")
        for line in said.splitlines():
            if "warning:" in line or "WARNING:" in line:
                warn(line, "build-module")
        built = os.path.join(folder, target)
        if not os.path.exists(built):
            raise TestbedError(f"the build for {name} left no {target}")
        shutil.copyfile(built, result + ".new")
        os.rename(result + ".new", result)
        with open(stamp, "w", encoding="ascii") as file:
            file.write(key)
    return result


def main(argv):
    """The entry point of scripts/build-module; returns the exit status."""
    with reported("build-module"):
        parser = argparse.ArgumentParser(
            prog="build-module", allow_abbrev=False,
            description="Build apple_dma.ko (W=1) for a Debian kernel and print its path.")
        parser.add_argument("--kernel", default="6.1", metavar="NAME",
                            help="see 'testbed kernels'; default 6.1")
        parser.add_argument("--arch", default="x86_64", help="x86_64 (default) or arm64")
        parser.add_argument("--src", default=cache.REPO, metavar="DIR",
                            help="the sources; default this checkout")
        parser.add_argument("--w1", action="store_true", help="a warning fails the build")
        args = parser.parse_args(argv)
        if not os.path.isdir(args.src):
            raise UsageError(f"--src {args.src}: there is no such folder")
        arch = arches.find(args.arch)
        print(build(kernel.find(args.kernel, arch), arch, os.path.abspath(args.src), args.w1))
    return 0
