# SPDX-License-Identifier: GPL-2.0
"""A module built with every warning an error, and sparse run on each of its files."""

import glob
import os
import re
from dataclasses import dataclass, field

from testbed import cache, headers, module, toolchain

_SAID = re.compile(r"\b(warning|error):", re.IGNORECASE)
_UNLINKED = re.compile(r"^WARNING: modpost: .*(undefined!|suppressed )")


@dataclass
class Checked:
    """What came of one module with one kernel's headers."""

    page_size: int = 0
    built: bool = False
    objects: list = field(default_factory=list)     # their names, as Kbuild lists them
    checked: list = field(default_factory=list)     # the files sparse was run on
    complaints: list = field(default_factory=list)  # lines of the compiler and of sparse
    output: str = ""

    @property
    def clean(self):
        """Whether it is built, and sparse ran on every file and found nothing."""
        return self.built and not self.complaints and bool(self.objects) and \
            sorted(self.checked) == sorted(self.objects)

    @property
    def reason(self):
        """Why it is not clean, as a line."""
        if self.complaints:
            return self.complaints[0]
        if not self.built:
            return (self.output.strip() or "make said nothing").splitlines()[-1]
        left = set(self.objects) - set(self.checked)
        return f"sparse did not run on: {', '.join(sorted(left)) or 'each file once'}"


def _stem(path):
    return os.path.splitext(os.path.basename(path))[0]


def place(wanted, name="apple_dma"):
    """Where the objects of the module NAME are kept, for check()."""
    return os.path.join(cache.REPO, "build", "kernels", f"{wanted.release}-{wanted.arch}", name)


def check(wanted, arch, source, folder, linked=True):
    """Build the module of SOURCE for the Kernel WANTED in FOLDER and check it.

    A module that is not LINKED may call what this kernel lacks, such as KUnit.

    FOLDER keeps its objects: a second call compiles what changed, and sparse
    still sees everything.
    """
    with cache.lock(os.path.join(folder, "lock")):
        return _check(headers.prepare(wanted, arch), arch, source, folder, linked)


def _check(tree, arch, source, top, linked):
    folder = module.copy_sources(source, os.path.join(top, "src"))
    found = Checked(page_size=tree.page_size)

    def make(*arguments):
        more = [] if linked else ["KBUILD_MODPOST_WARN=1"]
        status, said = module.make(tree, arch.kernel, folder,
                                   ["KCFLAGS=-Werror", *more, *arguments], shared)
        found.output += said
        found.complaints += [line for line in said.splitlines() if _SAID.search(line) and
                             (linked or not _UNLINKED.search(line))]
        return status == 0, said

    shared = [top]
    found.built, _ = make()
    if not found.built:
        return found
    for path in glob.glob(os.path.join(folder, "*.mod")):
        with open(path, encoding="utf-8") as file:
            found.objects += [_stem(name) for name in file.read().split()]

    # KBUILD_CHECKSRC: Debian's headers of newer kernels lack the script that
    # says whether CHECK is any good, and without an answer C=2 does nothing.
    home, command = toolchain.sparse()
    shared.append(home)
    went, said = make("C=2", "KBUILD_CHECKSRC=2", f"CHECK={command}")
    if not went and not found.complaints:
        found.complaints.append("sparse or make failed, without a word of why")
    found.checked = [_stem(name) for name in re.findall(r"^ +CHECK +(\S+)\.c$", said, re.M)]
    return found
