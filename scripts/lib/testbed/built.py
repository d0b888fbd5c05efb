# SPDX-License-Identifier: GPL-2.0
"""Kernels that are built here from Debian's source, with configurations of their own.

A kernel is allnoconfig and the fragments of configs/ that it names; each line
of a fragment must take effect, or the build is refused.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass

from . import cache, packages
from .errors import TestbedError, UsageError

RECIPE = 1              # to be raised when compile_tree() makes something else
SERIES = "6.1"          # of the source
MIB = 6000              # that a build takes while it runs
CONFIGS = os.path.join(os.path.dirname(__file__), "configs")

# Name for --kernel: its fragments, the most general one first.
KERNELS = {"debug": ("base", "debug"), "kcsan": ("base", "kcsan"),
           "bench": ("base", "bench")}

# Variables of make. kmemleak may read all memory; without KASAN's checks it takes half the
# time. KCSAN looks for races in modules only.
VARIABLES = {"debug": ("KASAN_SANITIZE_kmemleak.o=n",), "kcsan": ("KCSAN_SANITIZE=n",)}

# Suites have to run. Lock statistics are off until somebody turns them on.
APPEND = "kunit.enable=1 lockdep.lock_stat=0"

# Parts of the source that no configuration here compiles: much of its size.
NOT_UNPACKED = ("Documentation/*.rst", "Documentation/devicetree", "drivers/gpu/drm/amd/include",
                "drivers/gpu/drm/nouveau/include", "tools/perf")

# Parts of a built tree that a build of modules needs.
KEPT = ("Makefile", ".config", "Module.symvers", "include", "scripts", "arch/x86/include",
        "arch/x86/Makefile", "arch/x86/Makefile.um", "arch/x86/Makefile_32.cpu",
        "tools/objtool/objtool")


@dataclass(frozen=True)
class Kernel:
    """A kernel that is built here, with the attributes of a Debian kernel."""

    name: str           # debug
    release: str        # 6.1.192-apple-dma-debug
    version: str        # of the source: 6.1.192-2
    suite: str          # of the source
    arch: str           # x86_64

    @property
    def folder(self):
        """Its boot files, relative to the cache."""
        return f"kernels/{self.arch}/{self.release}." + key(
            self.version, KERNELS[self.name], VARIABLES.get(self.name, ()))

    @property
    def append(self):
        """Its own kernel arguments."""
        return APPEND

    @property
    def cached(self):
        """Whether its boot files are there."""
        return os.path.isdir(os.path.join(cache.root(), self.folder))

    @property
    def build_tree(self):
        """The folder that modules for it are built in, once it is prepared."""
        return os.path.join(cache.root(), self.folder, "build")


def fragment(name):
    """The text of the configuration fragment NAME."""
    with open(os.path.join(CONFIGS, f"{name}.config"), encoding="ascii") as file:
        return file.read()


def key(version, names, variables=()):
    """The cache key of a build of the source VERSION with the fragments NAMES."""
    return cache.digest(version, str(RECIPE), *variables, *(fragment(name) for name in names))


def _known_path():
    return os.path.join(cache.root(), "kernels", f"source-{SERIES}.json")


def _ask(suite):
    found = packages.show(suite, "amd64", [f"linux-source-{SERIES}"])
    if not found:
        raise TestbedError(f"the mirror has no linux-source-{SERIES} in {suite}")
    path = _known_path()
    os.makedirs(os.path.dirname(path), exist_ok=True)
    new = f"{path}.{os.getpid()}"
    with open(new, "w", encoding="ascii") as file:
        json.dump({"suite": suite, "version": found[0]["Version"], "asked": time.time()}, file)
    os.rename(new, path)
    return found[0]["Version"]


def source_version(suite, ask=False):
    """The version of linux-source in SUITE; the mirror is asked if it is not known, or if ASK."""
    try:
        with open(_known_path(), encoding="ascii") as file:
            known = json.load(file)
        if not ask and known["suite"] == suite:
            return known["version"]
    except (OSError, ValueError, KeyError):
        pass
    return _ask(suite)


def _kernel(name, suite, version):
    local = re.search(r'^CONFIG_LOCALVERSION="(.*)"', fragment(KERNELS[name][-1]), re.M)[1]
    return Kernel(name, version.rpartition("-")[0] + local, version, suite, "x86_64")


def find(name, arch, suite):
    """The Kernel called NAME, from the source in SUITE."""
    if arch.name != "x86_64":
        raise UsageError(f"the kernel '{name}' is built for x86_64 only, not for {arch.name}")
    found = _kernel(name, suite, source_version(suite))
    if not found.cached:                # the mirror may have a newer version
        found = _kernel(name, suite, source_version(suite, ask=True))
    return found


def unpack(suite, work):
    """Unpack SUITE's linux-source below the folder WORK; the source's folder."""
    debs = packages.download(suite, "amd64", [f"linux-source-{SERIES}"],
                             os.path.join(work, "debs"))
    packages.unpack(debs, work, ["--wildcards", "*.tar.xz"])
    tar = os.path.join(work, "usr", "src", f"linux-source-{SERIES}.tar.xz")
    top = f"linux-source-{SERIES}"
    cache.run(["tar", "-xJf", tar, "-C", work, "--wildcards",
               *(f"--exclude={top}/{path}" for path in NOT_UNPACKED)], "unpacking linux-source")
    cache.remove(os.path.join(work, "debs"))
    cache.remove(os.path.join(work, "usr"))
    return os.path.join(work, top)


def _make(source, arguments, what, arch):
    for command in ("make", "gcc", "flex", "bison", "bc"):
        cache.tool(command)
    return cache.run(["make", "-C", source, f"ARCH={arch}", *arguments], what,
                     env={**os.environ, "KBUILD_BUILD_TIMESTAMP": "1970-01-01", "LC_ALL": "C",
                          "KBUILD_BUILD_USER": "apple-dma", "KBUILD_BUILD_HOST": "testbed"})


def _lost(wanted, path):
    """The lines of WANTED that the configuration in PATH does not have."""
    with open(path, encoding="ascii") as file:
        got = dict(re.findall(r"^(CONFIG_\w+)=(.*)$", file.read(), re.M))
    return [f"{name}={value}" for name, value in re.findall(r"^(CONFIG_\w+)=(.*)$", wanted, re.M)
            if got.get(name, "n") != value]


def configure(source, names, arch="x86_64"):
    """Write SOURCE's .config: the fragments NAMES, what they need, and nothing else."""
    wanted = "".join(fragment(name) for name in names)
    path = os.path.join(source, ".wanted")
    with open(path, "w", encoding="ascii") as file:
        file.write(wanted)
    _make(source, ["-s", f"KCONFIG_ALLCONFIG={path}", "allnoconfig"], "configuring a kernel", arch)
    lost = _lost(wanted, os.path.join(source, ".config"))
    if lost:
        raise TestbedError("the kernel's configuration did not take: " + ", ".join(lost))


def compile_kernel(source, targets, arch="x86_64", variables=()):
    """Make TARGETS in SOURCE on all cores, with VARIABLES set for all of it."""
    jobs = f"-j{len(os.sched_getaffinity(0)) + 1}"
    _make(source, ["-s", jobs, *variables, *targets],
          f"building a kernel ({', '.join(targets)})", arch)


def prune(source, target, kept=KEPT):
    """Move the paths KEPT, which a build of modules needs, from SOURCE to the new folder TARGET.

    The parser of KUnit's results is moved too. SOURCE is removed.
    """
    for pattern in kept:
        for path in glob.glob(os.path.join(source, pattern)):
            place = os.path.join(target, os.path.relpath(path, source))
            os.makedirs(os.path.dirname(place), exist_ok=True)
            shutil.move(path, place)
    subprocess.run(["find", target, "-name", "*.o", "-delete"], check=True)
    shutil.move(os.path.join(source, "tools", "testing", "kunit"), os.path.join(target, "kunit"))
    cache.remove(source)


def compile_tree(kernel, work):
    """Build KERNEL below WORK: (a root with boot/ and lib/modules, its build tree)."""
    source = unpack(kernel.suite, work)
    configure(source, KERNELS[kernel.name])
    compile_kernel(source, ["bzImage", "modules"], variables=VARIABLES.get(kernel.name, ()))
    tree, build = os.path.join(work, "tree"), os.path.join(work, "build")
    os.makedirs(os.path.join(tree, "boot"))
    os.makedirs(os.path.join(tree, "usr", "lib"))
    os.symlink("usr/lib", os.path.join(tree, "lib"))
    _make(source, ["-s", f"INSTALL_MOD_PATH={tree}", "modules_install"], "installing modules",
          "x86_64")
    modules = os.path.join(tree, "lib", "modules", kernel.release)
    if not os.path.isdir(modules):
        raise TestbedError(f"the kernel that was built is not {kernel.release}")
    for link in ("build", "source"):
        cache.remove(os.path.join(modules, link))
    shutil.copy(os.path.join(source, "arch", "x86", "boot", "bzImage"),
                os.path.join(tree, "boot", f"vmlinuz-{kernel.release}"))
    prune(source, build)
    return tree, build
