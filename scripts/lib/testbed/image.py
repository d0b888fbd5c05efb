# SPDX-License-Identifier: GPL-2.0
"""The guest's root file system, initramfs and the disk with a run's own files."""

import io
import os
import shlex
import shutil
import tarfile

from . import cache, cpio, packages
from .errors import TestbedError, UsageError
from .kernel import own_suite

RECIPE = 1              # to be raised when _tree() makes something else
GUEST = os.path.join(cache.SCRIPTS, "lib", "guest")

PACKAGES = (
    "bash bsdutils coreutils dash debianutils diffutils findutils gawk grep gzip hostname libc-bin "
    "login mount procps sed tar util-linux xxd "
    "alsa-utils e2fsprogs ethtool fdisk fio hdparm iperf3 iproute2 iputils-ping kexec-tools kmod "
    "nvme-cli pciutils strace usbutils busybox-static base-files base-passwd").split()

# What the guest never reads.
LEFT_OUT = ("./usr/share/doc/*", "./usr/share/man/*", "./usr/share/locale/*",
            "./usr/share/info/*", "./usr/share/i18n/*", "./usr/share/zoneinfo/*",
            "./usr/lib/python3*", "./usr/share/perl*", "./usr/lib/*/perl*",
            "./usr/lib/*/gconv/*", "./var/cache/*", "./usr/share/bash-completion/*")

# Commands that Debian's alternatives or an init system would provide.
LINKS = {"usr/bin/awk": "gawk", "usr/sbin/reboot": "/usr/bin/busybox",
         "usr/sbin/poweroff": "/usr/bin/busybox", "usr/sbin/halt": "/usr/bin/busybox",
         "usr/bin/vi": "busybox", "usr/bin/less": "busybox",
         "etc/mtab": "../proc/self/mounts"}

FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\n"
                  "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\ntty:x:5:\ndisk:x:6:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost testbed\n",
    "etc/hostname": "testbed\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    "root/.bashrc": "PS1='testbed:\\w# '\n",
}


def _scripts():
    found = {}
    for name in sorted(os.listdir(GUEST)):
        with open(os.path.join(GUEST, name), "rb") as file:
            found[name] = file.read()
    return found


def _tree(arch, work):
    """The guest's root as a folder."""
    debs = packages.closure(own_suite(), arch.debian, PACKAGES, os.path.join(work, "debs"))
    tree = os.path.join(work, "tree")
    for name in ("usr/bin", "usr/sbin", "usr/lib", "etc", "root", "proc", "sys", "dev",
                 "run", "tmp", "mnt", "media", "var/tmp", "usr/lib/modules"):
        os.makedirs(os.path.join(tree, name), exist_ok=True)
    for name in ("bin", "sbin", "lib") + (("lib64",) if arch.name == "x86_64" else ()):
        os.makedirs(os.path.join(tree, "usr", name), exist_ok=True)
        os.symlink(f"usr/{name}", os.path.join(tree, name))
    packages.unpack(debs, tree, ["--wildcards"] + [f"--exclude={path}" for path in LEFT_OUT])
    for name, target in LINKS.items():
        if not os.path.lexists(os.path.join(tree, name)):
            os.symlink(target, os.path.join(tree, name))
    for name, text in FILES.items():
        with open(os.path.join(tree, name), "w", encoding="ascii") as file:
            file.write(text)
    return tree


def _image(arch, work):
    tree = _tree(arch, work)
    made = os.path.join(work, "made")
    os.makedirs(made)
    shutil.copy(os.path.join(tree, "usr", "bin", "busybox"), os.path.join(made, "busybox"))
    cpio.make_ext4(tree, os.path.join(made, "root.ext4"))
    return made


def prepare(arch):
    """The folder with root.ext4 and busybox for guests of ARCH."""
    key = cache.digest(repr((PACKAGES, LEFT_OUT, LINKS, FILES, RECIPE)), own_suite())
    return cache.entry(f"guests/{arch.name}/{key}", f"building the {arch.name} guest image",
                       900, lambda work, _: _image(arch, work))


def initramfs(kernel_folder, guest_folder, path):
    """Make PATH the initramfs: busybox, the boot modules and the first stage."""
    modules = os.path.join(kernel_folder, "boot-modules")
    cpio.initramfs(path, os.path.join(guest_folder, "busybox"), _scripts()["first"],
                   {f"boot-modules/{name}": os.path.join(modules, name)
                    for name in sorted(os.listdir(modules))}, ("run", "new", "boot-modules"))


def guest_path(push):
    """The (file, path in the guest) of a --push argument."""
    source, colon, target = push.partition(":")
    if not os.path.exists(source):
        raise UsageError(f"--push {push}: there is no file '{source}'")
    if not colon or not target:
        target = "/root/" + os.path.basename(os.path.abspath(source))
    if not target.startswith("/"):
        target = "/root/" + target
    if target.endswith("/"):
        target += os.path.basename(os.path.abspath(source))
    return source, os.path.normpath(target)


COMMAND = """#!/bin/sh
found=$(command -v {name}) || {{
	echo testbed: {message} >&2
	exit 127
}}
case $found in
/*) exec {line} ;;
*) {line} ;;
esac
"""


def command_script(command):
    """The guest's shell script that becomes COMMAND, a list of words."""
    message = (f"'{command[0]}' is not a command in the guest; --push FILE:/usr/bin/NAME adds "
               "one, and sh -c 'LINE' runs a line of shell")
    return COMMAND.format(name=shlex.quote(command[0]), message=shlex.quote(message),
                          line=shlex.join(command))


class RunDisk:
    """The disk that a run's own files come from: a tar, unpacked over the root."""

    def __init__(self, path):
        self._tar = tarfile.open(path, "w", format=tarfile.GNU_FORMAT)
        for name, data in _scripts().items():
            if name != "first":
                folder = "usr/lib/testbed" if name in ("init", "lib.sh") else "usr/bin"
                self.data(f"{folder}/{name}", data, 0o755)

    def data(self, name, data, mode=0o644):
        """Add the file NAME holding DATA."""
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(data), mode
        self._tar.addfile(info, io.BytesIO(data))

    def push(self, source, target):
        """Add the file or folder SOURCE as TARGET; the mode is kept."""
        def owned(info):
            info.uid = info.gid = 0
            info.uname = info.gname = "root"
            return info

        # Through usr-merged links, so that unpacking keeps the links.
        target = target.lstrip("/")
        if target.split("/")[0] in ("bin", "sbin", "lib", "lib64"):
            target = f"usr/{target}"
        try:
            self._tar.add(os.path.realpath(source), target, filter=owned)
        except PermissionError as error:
            raise TestbedError(f"--push: cannot read {error.filename}") from None

    def close(self):
        """Finish the disk; its size is a multiple of a CD's block."""
        self._tar.close()
