# SPDX-License-Identifier: GPL-2.0
"""Another project's module of the same name: in the kernel, and on disk."""

from dataclasses import dataclass

from . import DRIVER, devices

OPTIONS = "/etc/modprobe.d/apple-dma-options.conf"
FILES = (OPTIONS, "/etc/modules-load.d/apple-dma-load.conf")
DKMS, SOURCES, PACKAGE = "/var/lib/dkms/apple-dma", "/usr/src/apple-dma-", "apple-dma-dkms"
OURS = 'POST_INSTALL="packaging/update-initramfs'   # a line of our dkms.conf


@dataclass(frozen=True)
class Remains:
    """What another project's module has on disk."""

    folders: tuple = ()         # versions of its sources in dkms
    files: tuple = ()
    package: bool = False       # its sources are of a package of our name

    def __bool__(self):
        return bool(self.folders or self.files)

    def names(self):
        """What is there, in words."""
        return ", ".join([SOURCES + version for version in self.folders] + list(self.files))

    def cure(self, root):
        """How to remove it."""
        found = [f"sudo apt purge {PACKAGE}"] if self.package else [
            line for version in self.folders
            for line in (f"sudo dkms remove apple-dma/{version} --all",
                         f"sudo rm -r {SOURCES}{version}")]
        if self.files:
            found.append(f"sudo rm {' '.join(self.files)}")
        if OPTIONS in self.files and "snd" in (root.peek(OPTIONS) or ""):
            found.append("(that file also has an option for the sound card; if you need it, keep "
                         "that line in another file)")
        return tuple(found)


def remains(root):
    """The Remains on this machine."""
    versions = set(root.list(DKMS)) | {
        name[len("apple-dma-"):] for name in root.list("/usr/src")
        if name.startswith("apple-dma-")}
    folders = tuple(sorted(
        version for version in versions
        if OURS not in (root.peek(f"{SOURCES}{version}/dkms.conf") or OURS)))
    listed = root.peek(f"/var/lib/dpkg/info/{PACKAGE}.list") or ""
    return Remains(folders, tuple(name for name in FILES if root.exists(name)),
                   any(f"{SOURCES}{version}/" in listed for version in folders))


def loaded(root):
    """Whether the module in the kernel is not ours: it lacks our parameters."""
    return devices.loaded(root) and not root.exists(f"{devices.MODULE}/parameters/max_bytes")


def loaded_name(root):
    """What to call the module that is loaded."""
    version = root.peek(f"{devices.MODULE}/version")
    return f"another project's module named {DRIVER}" + (f" (version {version})" if version else "")
