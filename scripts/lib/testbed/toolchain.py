# SPDX-License-Identifier: GPL-2.0
"""The compilers of another Debian release, in a folder they are run in; and sparse."""

import os
import re
from dataclasses import dataclass

from . import cache, packages

TOOLS = ("make bash dash coreutils sed grep mawk findutils diffutils gawk bc kmod cpio "
         "xz-utils libelf1t64 libdw1t64 libssl3t64 libc6-dev perl python3 pahole").split()

# What a kernel is built with beside them.
KERNEL_TOOLS = ("flex", "bison", "gzip", "libelf-dev", "libssl-dev")


@dataclass(frozen=True)
class Tools:
    """How make is run in a kernel's source or headers."""

    chroot: str = ""        # of the toolchain; empty for this machine's own
    compiler: str = "gcc"   # gcc-12, or clang-19
    cross: str = ""

    def make(self, folder, arguments, shared):
        """The command that runs make in FOLDER; it works in the folders SHARED."""
        jobs = f"-j{len(os.sched_getaffinity(0))}"
        command = ["make", "-C", folder, jobs, *self._variables(), *arguments]
        if self.chroot:
            return inside(self.chroot, shared, command)
        cache.tool("make")
        cache.tool(f"{self.cross}{self.compiler}")
        return command

    def _variables(self):
        if self.compiler.startswith("clang"):       # and the linker of the same version
            return [f"LLVM={self.compiler.removeprefix('clang')}"]
        cross = [f"CROSS_COMPILE={self.cross}"] if self.cross else []
        return [f"CC={self.cross}{self.compiler}", *cross]


def _compiler(compiler):
    """The packages of COMPILER, for both architectures."""
    if compiler.startswith("clang"):
        version = compiler.removeprefix("clang")
        return [compiler, f"lld{version}", f"llvm{version}", *KERNEL_TOOLS]
    return [compiler, f"{compiler}-aarch64-linux-gnu", "binutils", "binutils-aarch64-linux-gnu"]


def prepare(suite, compiler):
    """The folder with SUITE's COMPILER (gcc-14, clang-19) for both architectures."""
    more = KERNEL_TOOLS if compiler.startswith("clang") else ()
    key = cache.digest(repr(TOOLS), *more)
    return cache.entry(f"toolchains/{suite}-{compiler}-{key}",
                       f"building the {suite} toolchain with {compiler}", 1500,
                       lambda work, final: _make(suite, compiler, work))


def _make(suite, compiler, work):
    debs = packages.closure(suite, "amd64", TOOLS + _compiler(compiler), os.path.join(work, "debs"))
    made = os.path.join(work, "made")
    for name in ("bin", "sbin", "lib", "lib64"):
        os.makedirs(os.path.join(made, "usr", name))
        os.symlink(f"usr/{name}", os.path.join(made, name))
    for name in ("proc", "dev", "tmp", "etc"):
        os.makedirs(os.path.join(made, name), exist_ok=True)
    packages.unpack(debs, made, ["--wildcards", "--exclude=./usr/share/doc/*",
                                 "--exclude=./usr/share/man/*", "--exclude=./usr/share/locale/*"])
    for name, target in (("awk", "mawk"), ("python3", "python3"), ("sh", "dash"),
                         *((name, compiler) for name in ("gcc", "cc")
                           if not compiler.startswith("clang"))):
        path = os.path.join(made, "usr", "bin", name)
        if not os.path.lexists(path):
            os.symlink(target, path)
    return made


# The release whose sparse can read old kernels and the newest ones.
SPARSE_SUITE = "sid"


def sparse():
    """(its folder, the command) of a sparse that runs on any machine and in any chroot.

    It has its own C library.
    """
    folder = cache.entry(f"toolchains/{SPARSE_SUITE}-sparse.1", "getting sparse", 30, _make_sparse)
    libc = f"{folder}/usr/lib/x86_64-linux-gnu"
    return folder, f"{libc}/ld-linux-x86-64.so.2 --library-path {libc} {folder}/usr/bin/sparse"


def _make_sparse(work, _final):
    debs = packages.download(SPARSE_SUITE, "amd64", ["sparse", "libc6"],
                             os.path.join(work, "debs"))
    made = os.path.join(work, "made")
    packages.unpack(debs, made, ["--exclude=./usr/share", "--exclude=./usr/lib/*/gconv"])
    return made


def inside(chroot, shared, command):
    """The command that runs COMMAND in CHROOT, where the folders SHARED are too.

    They have the same absolute paths inside. Works without root, in a user
    namespace, and leaves no mounts.
    """
    script = ['set -e', 'root=$1', 'shift',
              'mount --rbind /dev "$root/dev"',
              'mount --rbind /proc "$root/proc"', 'mount -t tmpfs none "$root/tmp"']
    for path in shared:
        assert re.match(r"/", path)
        script += [f'mkdir -p "$root"{_quote(path)}',
                   f'mount --rbind {_quote(path)} "$root"{_quote(path)}']
    script.append('exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin LC_ALL=C "$@"')
    return [cache.tool("unshare"), "--user", "--map-root-user", "--mount", "sh", "-c",
            "\n".join(script), "sh", chroot, *command]


def _quote(text):
    return "'" + text.replace("'", "'\\''") + "'"
