# SPDX-License-Identifier: GPL-2.0
"""Archives and file systems, made without mounting anything."""

import os
import stat

from . import cache


def make_ext4(folder, path, spare_mib=32):
    """Make PATH an ext4 image of FOLDER, read-only by design: no journal."""
    used = 0
    for base, folders, files in os.walk(folder):
        used += 4096 * len(folders)
        used += sum(os.lstat(os.path.join(base, name)).st_size + 4096 for name in files)
    size = used * 5 // 4 + spare_mib * cache.MIB
    cache.run([cache.tool("mke2fs"), "-q", "-t", "ext4", "-b", "4096", "-m", "0",
               "-O", "^has_journal,^metadata_csum,^64bit,^resize_inode",
               "-E", "root_owner=0:0", "-d", folder, path, f"{size // 1024}k"],
              f"making {os.path.basename(path)}")


class Archive:
    """A cpio archive in the format the kernel takes as initramfs."""

    def __init__(self, path):
        self._file = open(path, "wb")  # pylint: disable=consider-using-with
        self._number = 0

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        if not any(failure):
            self._put("TRAILER!!!", 0, b"")
        self._file.close()

    def _put(self, name, mode, data, device=(0, 0)):
        self._number += 1
        encoded = name.encode() + b"\0"
        fields = (self._number, mode, 0, 0, 1, 0, len(data), 0, 0, *device, len(encoded), 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        self._file.write(header + encoded + bytes(-(len(header) + len(encoded)) % 4))
        self._file.write(data + bytes(-len(data) % 4))

    def folder(self, name):
        """Add the folder NAME."""
        self._put(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name, data, mode=0o644):
        """Add the file NAME holding DATA."""
        self._put(name, stat.S_IFREG | mode, data)

    def console(self, name):
        """Add the character device of the kernel's console."""
        self._put(name, stat.S_IFCHR | 0o600, b"", (5, 1))


def initramfs(path, busybox, init, files, folders=()):
    """Make PATH an initramfs: BUSYBOX, the script INIT, FILES as {name: path}, FOLDERS."""
    with Archive(path) as archive:
        for name in ("bin", "dev", "proc", "sys", *folders):
            archive.folder(name)
        archive.console("dev/console")
        archive.file("init", init, 0o755)
        for name, source in {"bin/busybox": busybox, **files}.items():
            with open(source, "rb") as file:
                archive.file(name, file.read(), 0o755)
