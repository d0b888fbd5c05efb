# SPDX-License-Identifier: GPL-2.0
"""The QEMU of another Debian suite, run from the cache and not installed."""

import dataclasses
import os
import shlex

from . import cache, packages
from .errors import UsageError, allowed
from .headers import BUILD_ARCH

RECIPE = 1              # to be raised when _make() makes something else
SUITES = ("trixie", "sid")  # newer than this one, and the shim builds for theirs

LIBRARIES = "usr/lib/x86_64-linux-gnu"

# The loader and the libraries are the suite's own. This machine's QEMU modules
# have another version, so the suite's are mounted over them, for this process
# only. LD_PRELOAD is for QEMU and does nothing in the shell.
WRAPPER = """#!/bin/sh
exec unshare --user --map-root-user --mount sh -ec '
	here=$0
	modules=/{libraries}/qemu
	[ ! -d $modules ] || mount --bind "$here$modules" $modules
	export QEMU_MODULE_DIR="$here$modules"
	exec setpriv --pdeathsig KILL "$here/usr/lib64/ld-linux-x86-64.so.2" \\
		--library-path "$here/{libraries}" "$here/usr/bin/{name}" \\
		-L "$here/usr/share/qemu" -L "$here/usr/share/seabios" "$@"
' {final} "$@"
"""


def find(arch, suite):
    """ARCH with SUITE's QEMU as its command; without a SUITE, as it is."""
    if not suite:
        return arch
    if suite not in SUITES:
        raise allowed("value of --qemu-suite", suite, SUITES)
    package = cache.PROVIDERS[arch.qemu][0]
    found = packages.show(suite, BUILD_ARCH, [package])
    if not found:
        raise UsageError(f"--qemu-suite {suite}: that suite has no {package}")
    version = found[0]["Version"].partition(":")[2]
    path = cache.entry(f"qemu/{package}-{version}.{RECIPE}",
                       f"getting QEMU {version} from {suite}", 700,
                       lambda work, final: _make(suite, package, arch.qemu, work, final))
    return dataclasses.replace(arch, qemu=os.path.join(path, arch.qemu))


def _make(suite, package, name, work, final):
    debs = packages.closure(suite, BUILD_ARCH, [package], os.path.join(work, "debs"))
    made = os.path.join(work, "made")
    for folder in ("bin", "sbin", "lib", "lib64"):
        os.makedirs(os.path.join(made, "usr", folder))
        os.symlink(f"usr/{folder}", os.path.join(made, folder))
    packages.unpack(debs, made, ["--wildcards", "--exclude=./usr/share/doc/*",
                                 "--exclude=./usr/share/man/*", "--exclude=./usr/share/locale/*",
                                 "--exclude=./var/*", "--exclude=./etc/*"])
    path = os.path.join(made, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(WRAPPER.format(final=shlex.quote(final), libraries=LIBRARIES, name=name))
    os.chmod(path, 0o755)
    return made
