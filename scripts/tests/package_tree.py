# SPDX-License-Identifier: GPL-2.0
"""Shared parts of the tests of installation and packages: commands, copies, names."""

import os
import re
import shutil
import subprocess

from conftest import TOP

BOOT_FILES = {
    "usr/lib/apple-dma/can-boot": True,
    "usr/lib/modules-load.d/apple-dma.conf": False,
    "usr/share/initramfs-tools/hooks/apple-dma": True,
    "usr/share/initramfs-tools/scripts/init-top/apple-dma": True,
    "usr/lib/dracut/modules.d/90apple-dma/module-setup.sh": True,
    "usr/lib/dracut/modules.d/90apple-dma/load.sh": True,
    "etc/default/grub.d/apple-dma.cfg": False}


def version():
    """The version in dkms.conf."""
    return re.search(r'^PACKAGE_VERSION="(.*)"$', (TOP / "dkms.conf").read_text(), re.M)[1]


def run(argv, cwd=TOP, given="", **variables):
    """Run a command with the input GIVEN; its result, with both outputs in one."""
    return subprocess.run(argv, cwd=cwd, input=given, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                          env={**os.environ, **variables})


def done(argv, **options):
    """The output of a command that must succeed."""
    result = run(argv, **options)
    assert result.returncode == 0, result.stdout[-6000:]
    return result.stdout


def tree_files(folder):
    """{file below FOLDER: whether it is executable}."""
    return {str(path.relative_to(folder)): bool(path.stat().st_mode & 0o111)
            for path in folder.rglob("*") if path.is_file()}


def stub(folder, name, script):
    """Make a command in FOLDER."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def copy_tree(target, *paths):
    """Copy the tree, or PATHS of it, as git knows it."""
    for name in done(["git", "ls-files", "-zco", "--exclude-standard", "--", *paths]).split("\0"):
        if name and (TOP / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, target / name, follow_symlinks=False)


def commit(tree):
    """Make TREE a repository of its own."""
    done(["sh", "-c", "git init -q && git add -A && git -c user.name=test "
          "-c user.email=test@test commit -qm test"], cwd=tree)
