# SPDX-License-Identifier: GPL-2.0
"""The guest architectures."""

from dataclasses import dataclass

from .errors import allowed


@dataclass(frozen=True)
class Arch:
    """An architecture of guests."""

    name: str           # as given to --arch
    debian: str         # Debian's name
    kernel: str         # ARCH= of the kernel's build
    cross: str          # CROSS_COMPILE=, for a build on amd64
    triplet: str        # library folder
    qemu: str           # command
    user_qemu: str      # that which runs a single program
    machine: tuple      # its arguments
    append: str         # kernel arguments
    firmware: str       # EDK2, a file for -bios
    efi: str            # UEFI's name


X86_64 = Arch(
    name="x86_64", debian="amd64", kernel="x86", cross="",
    triplet="x86_64-linux-gnu", qemu="qemu-system-x86_64", user_qemu="qemu-x86_64",
    machine=("-machine", "q35,vmport=off,sata=off,smbus=off", "-accel", "tcg,thread=multi", "-cpu", "max"),
    append="console=ttyS0,115200 tsc=reliable no_timer_check",
    firmware="/usr/share/ovmf/OVMF.fd", efi="x64")

ARM64 = Arch(
    name="arm64", debian="arm64", kernel="arm64", cross="aarch64-linux-gnu-",
    triplet="aarch64-linux-gnu", qemu="qemu-system-aarch64", user_qemu="qemu-aarch64",
    machine=("-machine", "virt,gic-version=3", "-accel", "tcg,thread=multi",
             "-cpu", "max,pauth-impdef=on"),
    append="console=ttyAMA0,115200",
    firmware="/usr/share/qemu-efi-aarch64/QEMU_EFI.fd", efi="aa64")

ARCHES = {arch.name: arch for arch in (X86_64, ARM64)}


def find(name):
    """The Arch called NAME; raises UsageError naming those there are."""
    if name not in ARCHES:
        raise allowed("architecture", name, ARCHES)
    return ARCHES[name]
