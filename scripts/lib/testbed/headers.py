# SPDX-License-Identifier: GPL-2.0
"""A kernel's headers, unpacked in the cache and ready for module builds."""

import os
import re
from dataclasses import dataclass

from . import arch as arches
from . import built, cache, packages, toolchain
from .errors import TestbedError
from .kernel import own_suite, prepare as prepare_kernel

RECIPE = 1              # to be raised when _make() makes something else
BUILD_ARCH = "amd64"    # architecture of the tools among the headers


@dataclass(frozen=True)
class Tree:
    """Headers of one kernel, and how make is run with them."""

    folder: str         # of KDIR
    chroot: str         # of the toolchain; empty for this machine's own
    compiler: str       # gcc-12
    cross: str

    def make(self, arguments, writable):
        """The command that runs make; WRITABLE lists folders it works in."""
        tools = toolchain.Tools(self.chroot, self.compiler, self.cross)
        return tools.make(self.folder, arguments, [self.folder_root, *writable])

    @property
    def config(self):
        """The kernel's configuration: a line for each option that is set."""
        with open(os.path.join(self.folder, "include", "config", "auto.conf"),
                  encoding="utf-8") as file:
            return file.read()

    @property
    def page_size(self):
        """The kernel's page size in bytes."""
        shift = re.search(r"^CONFIG_(?:ARM64_)?PAGE_SHIFT=(\d+)$", self.config, re.MULTILINE)
        return 1 << int(shift[1]) if shift else 4096    # x86 has one page size and no option

    @property
    def folder_root(self):
        """The cache entry the headers are in."""
        return os.path.realpath(os.path.join(self.folder, "..", "..", ".."))


def _stanza(suite, arch, name):
    found = packages.show(suite, arch, [name])
    if not found:
        raise TestbedError(f"the mirror has no {name} in {suite} ({arch})")
    return found[0]


def prepare(kernel, arch):
    """The Tree of KERNEL's headers, with amd64 tools for every architecture."""
    if kernel.name in built.KERNELS:
        prepare_kernel(kernel, arch)
        tools = built.tools(kernel, arch)
        return Tree(kernel.build_tree, tools.chroot, tools.compiler, tools.cross)
    entry = f"headers/{kernel.arch}/{kernel.release}.{RECIPE}"
    path = cache.entry(entry, f"getting the headers of {kernel.release}", 200,
                       lambda work, final: _make(kernel, arch, work, final))
    with open(os.path.join(path, "compiler"), encoding="ascii") as file:
        compiler, suite = file.read().split()
    chroot = toolchain.prepare(suite, compiler) if suite != own_suite() else ""
    folder = os.path.join(path, "usr", "src", f"linux-headers-{kernel.release}")
    cross = arch.cross if arch is not arches.X86_64 else ""
    return Tree(folder, chroot, compiler, cross)


def needs(depends):
    """(common headers, kbuild, compiler) in the Depends of a headers package."""
    common = re.search(r"\blinux-headers-[^ ,]+-common[^ ,]*", depends).group(0)
    kbuild = re.search(r"\blinux-kbuild-[^ ,]+", depends).group(0)
    x86 = re.search(r"\blinux-compiler-gcc-(\d+)", depends)
    compiler = "gcc-" + (x86 or re.search(r"\bgcc-(\d+)", depends)).group(1)
    return common, kbuild, compiler


def _make(kernel, arch, work, final):
    name = f"linux-headers-{kernel.release}"
    common, kbuild, compiler = needs(_stanza(kernel.suite, arch.debian, name)["Depends"])
    debs = packages.download(kernel.suite, arch.debian, [name], os.path.join(work, "main"))
    debs += packages.download(kernel.suite, BUILD_ARCH, [common, kbuild],
                              os.path.join(work, "tools"))
    made = os.path.join(work, "made")
    packages.unpack(debs, made, ["--wildcards", "--exclude=./usr/share/*"])
    relocate(made, final)
    suite = kernel.suite.removesuffix("-backports")
    if suite == "experimental":
        suite = "sid"
    with open(os.path.join(made, "compiler"), "w", encoding="ascii") as file:
        file.write(f"{compiler} {suite}\n")
    return made


def relocate(tree, final):
    """Make the absolute paths inside the headers of TREE those under FINAL."""
    source = os.path.join(tree, "usr", "src")
    for base, folders, files in os.walk(tree):
        for name in folders + files:
            path = os.path.join(base, name)
            if os.path.islink(path) and os.readlink(path).startswith("/usr/"):
                target = final + os.readlink(path)
                os.unlink(path)
                os.symlink(target, path)
    for headers in os.listdir(source):
        for name in ("Makefile", ".kernelvariables", ".config"):
            path = os.path.join(source, headers, name)
            if not os.path.isfile(path) or os.path.islink(path):
                continue
            with open(path, encoding="utf-8") as file:
                text = file.read()
            fixed = re.sub(r"(?<![\w.])/usr/(src/linux-headers|lib/linux-kbuild)",
                           rf"{final}/usr/\1", text)
            if fixed != text:
                with open(path, "w", encoding="utf-8") as file:
                    file.write(fixed)
