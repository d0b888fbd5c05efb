# SPDX-License-Identifier: GPL-2.0
"""Kernels that are built here from Debian's source, with configurations of their own.

A kernel is allnoconfig and the fragments of configs/ that it names; each line
of a fragment must take effect, or the build is refused. That is also true of
"CONFIG_X is not set" for an option that nobody can choose, only others select.
"""

import glob
import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass

from . import cache, packages, toolchain
from .arch import X86_64
from .errors import TestbedError, UsageError

RECIPE = 1              # to be raised when compile_tree() makes something else
SERIES = "6.1"          # of the source
MIB = 6000              # that a build takes while it runs
CONFIGS = os.path.join(os.path.dirname(__file__), "configs")

OWN = toolchain.Tools()     # of this machine

# Suites of KUnit have to run. Lock statistics are off until somebody turns them on.
CHECKED = "kunit.enable=1 lockdep.lock_stat=0"


@dataclass(frozen=True)
class Recipe:
    """What a kernel is built from."""

    fragments: dict             # by architecture; the most general one first
    series: str = SERIES        # of the source
    suite: str = ""             # that has the source; empty: this machine's own
    compiler: str = OWN.compiler    # this machine's, or clang-N of that suite
    variables: tuple = ()       # of make
    append: str = ""            # kernel arguments
    row: bool = False           # whether it is a row of `make kernels`


DEVICES = ("base", "x86_64", "x86_64-dma-ops", "drivers", "devices")
NEWER = {"series": "6.12", "suite": "trixie", "row": True}

# By the name for --kernel. kmemleak may read all memory; without KASAN's checks it takes
# half the time. KCSAN looks for races in modules only.
KERNELS = {
    "debug": Recipe({"x86_64": (*DEVICES, "debug")},
                    variables=("KASAN_SANITIZE_kmemleak.o=n",), append=CHECKED),
    "kcsan": Recipe({"x86_64": (*DEVICES, "kcsan")}, variables=("KCSAN_SANITIZE=n",),
                    append=CHECKED),
    "bench": Recipe({"x86_64": (*DEVICES, "bench")}, append=CHECKED),
    "no-dma-ops": Recipe({"x86_64": ("base", "x86_64", "x86_64-numa", "drivers", "no-dma-ops"),
                          "arm64": ("base", "arm64", "drivers", "no-dma-ops")}, **NEWER),
    "clang": Recipe({"x86_64": ("base", "x86_64", "x86_64-dma-ops", "clang")},
                    compiler="clang-19", **NEWER),
    "64k": Recipe({"arm64": ("base", "arm64", "drivers", "arm64-dma-ops", "64k")}, **NEWER),
}

# Parts of the source that no configuration here compiles: much of its size.
NOT_UNPACKED = ("Documentation/*.rst", "Documentation/devicetree", "drivers/gpu/drm/amd/include",
                "drivers/gpu/drm/nouveau/include", "tools/perf")

# Parts of a built tree that a build of modules needs.
KEPT = ("Makefile", ".config", "Module.symvers", "include", "scripts",
        "arch/{arch}/include", "arch/{arch}/Makefile*", "tools/objtool/objtool")

# The folder and the name of the image, by architecture.
IMAGES = {"x86_64": ("arch/x86/boot", "bzImage"), "arm64": ("arch/arm64/boot", "Image")}


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
        compiler = () if self.recipe.compiler == OWN.compiler else (self.recipe.compiler,)
        return f"kernels/{self.arch}/{self.release}." + key(
            self.version, self.fragments, (*self.recipe.variables, *compiler))

    @property
    def recipe(self):
        """What it is built from."""
        return KERNELS[self.name]

    @property
    def fragments(self):
        """The names of its configuration fragments."""
        return self.recipe.fragments[self.arch]

    @property
    def append(self):
        """Its own kernel arguments."""
        return self.recipe.append

    @property
    def variant(self):
        """How it differs from the default kernel of its version."""
        return self.name

    @property
    def order(self):
        """What kernels are sorted by: the version, then the variant."""
        return [int(number) for number in self.recipe.series.split(".")], self.variant

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


def _known_path(series):
    return os.path.join(cache.root(), "kernels", f"source-{series}.json")


def _ask(suite, series):
    found = packages.show(suite, "amd64", [f"linux-source-{series}"])
    if not found:
        raise TestbedError(f"the mirror has no linux-source-{series} in {suite}")
    path = _known_path(series)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    new = f"{path}.{os.getpid()}"
    with open(new, "w", encoding="ascii") as file:
        json.dump({"suite": suite, "version": found[0]["Version"], "asked": time.time()}, file)
    os.rename(new, path)
    return found[0]["Version"]


def source_version(suite, series=SERIES, ask=False):
    """The version of linux-source in SUITE; the mirror is asked if it is not known, or if ASK."""
    try:
        with open(_known_path(series), encoding="ascii") as file:
            known = json.load(file)
        if not ask and known["suite"] == suite:
            return known["version"]
    except (OSError, ValueError, KeyError):
        pass
    return _ask(suite, series)


def _kernel(name, arch, suite, version):
    last = KERNELS[name].fragments[arch.name][-1]
    local = re.search(r'^CONFIG_LOCALVERSION="(.*)"', fragment(last), re.M)[1]
    return Kernel(name, version.rpartition("-")[0] + local, version, suite, arch.name)


def find(name, arch, suite):
    """The Kernel called NAME for ARCH, from the source in its suite, or in SUITE."""
    recipe = KERNELS[name]
    if arch.name not in recipe.fragments:
        raise UsageError(f"the kernel '{name}' is built for {' and '.join(recipe.fragments)} only, "
                         f"not for {arch.name}")
    suite = recipe.suite or suite
    found = _kernel(name, arch, suite, source_version(suite, recipe.series))
    if not found.cached:                # the mirror may have a newer version
        found = _kernel(name, arch, suite, source_version(suite, recipe.series, ask=True))
    return found


def unpack(suite, work, series=SERIES):
    """Unpack SUITE's linux-source below the folder WORK; the source's folder."""
    top = f"linux-source-{series}"
    debs = packages.download(suite, "amd64", [top], os.path.join(work, "debs"))
    packages.unpack(debs, work, ["--wildcards", "*.tar.xz"])
    tar = os.path.join(work, "usr", "src", f"{top}.tar.xz")
    cache.run(["tar", "-xJf", tar, "-C", work, "--wildcards",
               *(f"--exclude={top}/{path}" for path in NOT_UNPACKED)], "unpacking linux-source")
    cache.remove(os.path.join(work, "debs"))
    cache.remove(os.path.join(work, "usr"))
    return os.path.join(work, top)


def tools(kernel, arch):
    """The Tools that build KERNEL for ARCH, and modules for it."""
    compiler = kernel.recipe.compiler
    cross = arch.cross if arch is not X86_64 else ""
    chroot = "" if compiler == OWN.compiler else toolchain.prepare(kernel.suite, compiler)
    return toolchain.Tools(chroot, compiler, cross)


# So that the same source makes the same kernel.
SAME = ("KBUILD_BUILD_TIMESTAMP=1970-01-01", "KBUILD_BUILD_USER=apple-dma",
        "KBUILD_BUILD_HOST=testbed")


def _make(source, arguments, what, arch, with_tools, shared=()):
    if not with_tools.chroot:
        for command in ("flex", "bison", "bc"):
            cache.tool(command)
    command = with_tools.make(source, [f"ARCH={arch}", *SAME, *arguments], [source, *shared])
    return cache.run(command, what, env={**os.environ, "LC_ALL": "C"})


def lost(wanted, path):
    """The lines of WANTED that the configuration in PATH does not have."""
    with open(path, encoding="ascii") as file:
        got = dict(re.findall(r"^(CONFIG_\w+)=(.*)$", file.read(), re.M))
    lines = re.findall(r"^(?:# )?(CONFIG_\w+)(?:=(.*)| is not set)$", wanted, re.M)
    return [f"{name}={value}" for name, value in
            ((name, value or "n") for name, value in lines) if got.get(name, "n") != value]


def configure(source, names, arch="x86_64", with_tools=OWN):
    """Write SOURCE's .config: the fragments NAMES, what they need, and nothing else."""
    wanted = "".join(fragment(name) for name in names)
    path = os.path.join(source, ".wanted")
    with open(path, "w", encoding="ascii") as file:
        file.write(wanted)
    _make(source, ["-s", f"KCONFIG_ALLCONFIG={path}", "allnoconfig"], "configuring a kernel", arch,
          with_tools)
    left = lost(wanted, os.path.join(source, ".config"))
    if left:
        raise TestbedError("the kernel's configuration did not take: " + ", ".join(left))


def compile_kernel(source, targets, arch="x86_64", variables=(), with_tools=OWN):
    """Make TARGETS in SOURCE on all cores, with VARIABLES set for all of it."""
    jobs = f"-j{len(os.sched_getaffinity(0)) + 1}"
    _make(source, ["-s", jobs, *variables, *targets],
          f"building a kernel ({', '.join(targets)})", arch, with_tools)


def prune(source, target, kept):
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


def compile_tree(kernel, arch, work):
    """Build KERNEL for ARCH below WORK: (a root with boot/ and lib/modules, its build tree)."""
    recipe, with_tools = kernel.recipe, tools(kernel, arch)
    source = unpack(kernel.suite, work, recipe.series)
    configure(source, kernel.fragments, arch.name, with_tools)
    folder, image = IMAGES[arch.name]
    compile_kernel(source, [image, "modules"], arch.name, recipe.variables, with_tools)
    tree, build = os.path.join(work, "tree"), os.path.join(work, "build")
    os.makedirs(os.path.join(tree, "boot"))
    os.makedirs(os.path.join(tree, "usr", "lib"))
    os.symlink("usr/lib", os.path.join(tree, "lib"))
    _make(source, ["-s", f"INSTALL_MOD_PATH={tree}", "modules_install"], "installing modules",
          arch.name, with_tools, [tree])
    modules = os.path.join(tree, "lib", "modules", kernel.release)
    if not os.path.isdir(modules):
        raise TestbedError(f"the kernel that was built is not {kernel.release}")
    for link in ("build", "source"):
        cache.remove(os.path.join(modules, link))
    shutil.copy(os.path.join(source, folder, image),
                os.path.join(tree, "boot", f"vmlinuz-{kernel.release}"))
    prune(source, build, [path.format(arch=arch.kernel) for path in KEPT])
    return tree, build
