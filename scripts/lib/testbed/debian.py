# SPDX-License-Identifier: GPL-2.0
"""A whole Debian: as an archive, as a chroot, as a disk; and packages for it, offline.

It is what a user has, made smaller: systemd, udev, initramfs-tools, a kernel with
its own initramfs. Guests and chroots have no network: what is installed into them
later comes from a repository in the cache.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

from . import cache, packages
from .errors import TestbedError

RECIPE = 2              # to be raised when _make_base() or _make_repository() makes something else
REPOSITORY = "/srv/repository"      # in the chroot and in the guest
IMAGE_MIB = 6144        # of a guest's disk, sparse

BASE = ("systemd-sysv udev dbus kmod initramfs-tools zstd login passwd e2fsprogs procps less "
        "iproute2 ca-certificates xz-utils").split()
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")

FSTAB = """LABEL=root / ext4 errors=remount-ro 0 1
LABEL=repository {repository} ext4 ro,nofail,x-systemd.device-timeout=60 0 0
"""

# What a guest has beside Debian's own files. An emulated machine takes very long to make an
# initramfs with two thousand modules, so only the tests in a chroot do that. Here the
# initramfs gets the modules of the guest's disks; udev loads them as it does any other.
SETTINGS = {
    "etc/dpkg/dpkg.cfg.d/test": "force-unsafe-io\n",
    "etc/initramfs-tools/conf.d/test": "MODULES=list\nCOMPRESSLEVEL=1\n",
    "etc/initramfs-tools/hooks/test": """#!/bin/sh
[ "$1" != prereqs ] || exit 0
. /usr/share/initramfs-tools/hook-functions
manual_add_modules ext4 nvme virtio_blk virtio_pci
""",
    "etc/hostname": "guest\n",
    "etc/hosts": "127.0.0.1 localhost guest\n",
    "etc/machine-id": "5eed" * 8 + "\n",
    "etc/fstab": FSTAB.format(repository=REPOSITORY),
}


@dataclass(frozen=True)
class Release:
    """A Debian release, and the kernels of it that tests use."""

    suite: str
    kernel: str         # the metapackages linux-image-KERNEL and linux-headers-KERNEL
    later: str          # those of the upgrade; may be none


def release(suite, arch):
    """The Release of SUITE for ARCH."""
    later = {"bookworm": f"6.12-{arch.debian}"}
    return Release(suite, arch.debian, later.get(suite, ""))


def _names(what):
    """What is in the repository: sets of packages that are installed together."""
    kernels = [f"linux-{kind}-{name}" for name in (what.kernel, what.later) if name
               for kind in ("image", "headers")]
    return [["dkms", "python3", *kernels], ["dracut"], ["autopkgtest"],
            ["grub2-common"]]


def base(what, arch, more=(), settings=()):
    """The archive with the root file system of the Release WHAT, and the packages MORE.

    Those of SETTINGS that are named in settings are there before the packages are.
    """
    key = cache.digest(repr((BASE, LEFT_OUT, RECIPE, what, *more,
                             *((name, SETTINGS[name]) for name in settings))))
    return cache.entry(f"debian/{what.suite}-{arch.debian}-{key}.tar",
                       f"installing Debian {what.suite} ({arch.debian}) into a folder", 1500,
                       lambda work, final: _make_base(what, arch, more, settings, work))


# For a machine that cannot run ARCH's programs. The kernel has a table of interpreters for
# each user namespace, so this fills the table of a new one and leaves the machine's alone.
EMULATED = """set -e
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
cat "$0" >/proc/sys/fs/binfmt_misc/register
exec "$@"
"""


def _runs(arch):
    """Whether programs of ARCH run on this machine."""
    return subprocess.run([cache.tool("arch-test"), arch.debian], stdin=subprocess.DEVNULL,
                          capture_output=True, check=False).returncode == 0


def _run_emulated(arch, command, what):
    """cache.run() of a COMMAND that runs programs of ARCH. As root only."""
    config = f"/usr/lib/binfmt.d/{arch.user_qemu}.conf"
    cache.tool(arch.user_qemu + "-static")
    outer = 'read -r go && exec unshare --mount sh -c "$0" "$@"'
    with subprocess.Popen([cache.tool("unshare"), "--user", "sh", "-c", f"echo; {outer}", EMULATED,
                           config, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace") as process:
        process.stdout.readline()       # the namespace is there
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{process.pid}/{name}", "w", encoding="ascii") as file:
                file.write("0 0 4294967295")
        said, _ = process.communicate("go\n")
    if process.returncode:
        raise TestbedError(f"{what} failed; programs of {arch.debian} do not run on this machine "
                           "without systemd-binfmt or binfmt-support:\n" +
                           "\n".join(said.splitlines()[-8:]))


def _make_base(what, arch, more, settings, work):
    sources = os.path.join(work, "sources.list")
    with open(sources, "w", encoding="utf-8") as file:
        file.write(cache.run([packages.APT_PRIVATE, "--suite", what.suite, "--print-sources"],
                             "asking for the machine's mirror"))
    tree = os.path.join(work, "settings")
    os.makedirs(tree)
    put_settings(tree, settings)
    made = os.path.join(work, "made.tar")
    include = ",".join([*BASE, f"linux-image-{what.kernel}", *more])
    command = [cache.tool("mmdebstrap"), "--variant=minbase", f"--arch={arch.debian}",
               *([f"--essential-hook=cp -r '{tree}/.' \"$1\""] if settings else []),
               f"--include={include}", *(f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT),
               what.suite, made, sources]
    if os.getuid() == 0 and not _runs(arch):
        _run_emulated(arch, command, f"installing Debian {what.suite}")
    else:
        cache.run(command, f"installing Debian {what.suite}")
    return made


def repository(what, arch):
    """The folder with the packages that a test may install."""
    key = cache.digest(repr((_names(what), RECIPE)))
    return cache.entry(f"debian/{what.suite}-{arch.debian}-{key}.repository",
                       f"getting packages of Debian {what.suite} ({arch.debian})", 1500,
                       lambda work, final: _make_repository(what, arch, work))


def _make_repository(what, arch, work):
    made = os.path.join(work, "made")
    for names in _names(what):
        packages.closure(what.suite, arch.debian, names, made)
    for name in ("partial", "lock"):
        cache.remove(os.path.join(made, name))
    for name in os.listdir(made):       # 1%3a2.0: apt would have to quote it
        os.rename(os.path.join(made, name), os.path.join(made, name.replace("%3a", "-")))
    index = cache.run([cache.tool("dpkg-scanpackages"), "--multiversion", "."],
                      "listing the packages", cwd=made)
    with open(os.path.join(made, "Packages"), "w", encoding="utf-8") as file:
        file.write(index)
    return made


def _write(tree, name, text):
    path = os.path.join(tree, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    if text.startswith("#!"):
        os.chmod(path, 0o755)


def put_settings(tree, names):
    """Put those of SETTINGS that have these NAMES into TREE."""
    for name in names:
        _write(tree, name, SETTINGS[name])


def unpack(archive, tree):
    """Unpack a base into TREE and make it a system that needs no network. As root only."""
    os.makedirs(tree)
    cache.run(["tar", "-C", tree, "--numeric-owner", "-xf", archive], "unpacking Debian")
    _write(tree, "etc/apt/sources.list", f"deb [trusted=yes] file:{REPOSITORY} ./\n")
    for name in os.listdir(os.path.join(tree, "etc/apt/sources.list.d")):
        cache.remove(os.path.join(tree, "etc/apt/sources.list.d", name))
    _write(tree, "etc/apt/apt.conf.d/90test", 'APT::Install-Recommends "false";\n'
           'APT::Sandbox::User "root";\nAcquire::Languages "none";\n')
    os.makedirs(os.path.join(tree, REPOSITORY[1:]))


def releases(tree):
    """The kernels that TREE has modules of, the oldest first."""
    folder = os.path.join(tree, "usr/lib/modules")
    return sorted(os.listdir(folder), key=version_key) if os.path.isdir(folder) else []


def version_key(text):
    """What versions are sorted by: 6.12 comes after 6.1."""
    return [int(word) if word.isdigit() else word for word in re.findall(r"\d+|\D+", text)]


class Chroot:
    """A folder in which commands are run as root of a Debian, without network."""

    def __init__(self, folder, shared):
        """SHARED: folders of this machine by their path inside."""
        self.folder = folder
        self._shared = shared

    def at(self, folder):
        """The same, of a copy in FOLDER."""
        return Chroot(folder, self._shared)

    def run(self, command, check=True, timeout=1800):
        """Run a shell COMMAND; (status, what it printed)."""
        script = ["set -e", 'root=$1', 'mount --make-rprivate /',
                  'mount -t proc none "$root/proc"', 'mount --rbind /dev "$root/dev"',
                  'mount -t sysfs -o ro none "$root/sys"',
                  'mount -t tmpfs none "$root/tmp"', 'mount -t tmpfs none "$root/run"']
        for inside, outside in self._shared.items():
            os.makedirs(os.path.join(self.folder, inside[1:]), exist_ok=True)
            script.append(f"mount --bind '{outside}' \"$root{inside}\"")
        script.append('exec chroot "$root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 '
                      'HOME=/root DEBIAN_FRONTEND=noninteractive sh -ec "$2"')
        done = subprocess.run([cache.tool("unshare"), "--mount", "--pid", "--net", "--fork",
                               "--kill-child", "sh", "-c", "\n".join(script), "sh", self.folder,
                               command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                              timeout=timeout)
        if check and done.returncode:
            raise TestbedError(f"'{command}' in the chroot ended with {done.returncode}:\n"
                               f"{done.stdout[-4000:]}")
        return done.returncode, done.stdout


# ---- disks of a guest

# Timers that would disturb a test.
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_all.timer", "fstrim.timer",
          "dpkg-db-backup.timer")


def make_disk(archive, path, work):
    """Make PATH the disk of a guest, from a base. As root only."""
    tree = os.path.join(work, "tree")
    unpack(archive, tree)
    tree_disk(tree, path)


def tree_disk(tree, path):
    """Make PATH the disk of a guest, from TREE, which is removed."""
    units = os.path.join(tree, "etc/systemd/system")
    for name in MASKED:
        os.symlink("/dev/null", os.path.join(units, name))
    # A console of its own for the test, beside the one the kernel writes to.
    os.makedirs(os.path.join(units, "getty.target.wants"), exist_ok=True)
    os.symlink("/usr/lib/systemd/system/serial-getty@.service",
               os.path.join(units, "getty.target.wants", "serial-getty@hvc0.service"))
    shadow = os.path.join(tree, "etc/shadow")
    with open(shadow, encoding="utf-8") as file:
        text = re.sub(r"^root:[^:]*:", "root::", file.read(), flags=re.M)
    with open(shadow, "w", encoding="utf-8") as file:
        file.write(text)
    folder_disk(tree, path, "root", IMAGE_MIB)
    shutil.rmtree(tree)


def folder_disk(folder, path, label, mib=None):
    """Make PATH an ext4 file system of FOLDER."""
    if mib is None:
        mib = 64 + int(cache.run(["du", "-sm", folder], "measuring").split()[0]) * 5 // 4
    cache.run([cache.tool("mke2fs"), "-q", "-t", "ext4", "-L", label, "-d", folder, path,
               f"{mib}M"], f"making {os.path.basename(path)}")


def disk(what, arch):
    """The disk of a guest that was never booted; copy it. Made once.

    It has what builds a module: to unpack a compiler in an emulated machine takes long
    and proves nothing.
    """
    more = ("dkms", f"linux-headers-{what.kernel}")
    key = cache.digest(repr((BASE, LEFT_OUT, RECIPE, what, more, SETTINGS, MASKED)))
    archive = base(what, arch, more, SETTINGS)

    def make(work, _final):
        path = os.path.join(work, "made.img")
        make_disk(archive, path, work)
        return path

    return cache.entry(f"debian/{what.suite}-{arch.debian}-{key}.img",
                       f"making a disk of Debian {what.suite} ({arch.debian})", 3000, make)


def copy_disk(source, path):
    """Copy a disk, holes and all."""
    cache.run(["cp", "--reflink=auto", "--sparse=always", source, path], "copying a disk")


def grub(what, arch):
    """The path of GRUB for EFI, as Debian builds it. It reads EFI/debian/grub.cfg."""
    def make(work, _final):
        tree = os.path.join(work, "tree")
        names = [f"grub-efi-{arch.debian}-bin"]
        packages.unpack(packages.download(what.suite, arch.debian, names,
                                          os.path.join(work, "packages")), tree)
        return os.path.join(tree, f"usr/lib/grub/{arch.name}-efi/monolithic/grub{arch.efi}.efi")

    return cache.entry(f"debian/{what.suite}-{arch.debian}-grub.efi",
                       f"getting GRUB of Debian {what.suite} ({arch.debian})", 50, make)


def boot_files(image, folder, kernel=None):
    """(release, kernel, initrd) out of the /boot of IMAGE: of KERNEL, or the newest."""
    debugfs = cache.tool("debugfs")
    listed = cache.run([debugfs, "-R", "ls -p /boot", image], "reading the disk")
    found = sorted(re.findall(r"/vmlinuz-([^/]+)/", listed), key=version_key)
    if kernel is None:
        kernel = found[-1] if found else ""
    if kernel not in found:
        raise TestbedError(f"the disk has no kernel {kernel}; it has: {', '.join(found)}")
    paths = []
    for name in ("vmlinuz", "initrd.img"):
        path = os.path.join(folder, f"{name}-{kernel}")
        cache.run([debugfs, "-R", f"dump /boot/{name}-{kernel} {path}", image], "reading the disk")
        if not os.path.exists(path) or not os.path.getsize(path):
            raise TestbedError(f"the disk has no /boot/{name}-{kernel}")
        paths.append(path)
    return kernel, *paths
