# SPDX-License-Identifier: GPL-2.0
"""The doctor's checks of the system: kernel, headers, module, signature, companion."""

import gzip
import lzma
import re
import zlib

from . import COMPANION_ID, DRIVER, devices, foreign, premap, units, version, windows
from .checks import INITRAMFS, fail, into_force, note, ok, skip
from .errors import NeedsRoot

OPS_OPTIONS = ("CONFIG_ARCH_HAS_DMA_OPS", "CONFIG_DMA_OPS")
PREMAP_OPTIONS = ("CONFIG_CONTIG_ALLOC", "CONFIG_SWIOTLB")
LOAD_FILE = "modules-load.d/apple-dma.conf"
SIGNATURE = b"~Module signature appended~\n"
MOK_KEYS = ("/var/lib/dkms/mok.pub", "/var/lib/shim-signed/mok/MOK.der")
DID_NOT_LOAD = ("must be|is not known|Unknown symbol|disagrees about version|version magic|"
                "unknown parameter|invalid for parameter")
REJECTED = (r"Loading of (unsigned module|module with .*|.* signed module) is rejected|"
            r"Key was rejected by service|"
            r"Lockdown: .*: unsigned module loading is restricted")


def kernel_config(machine):
    """The text of this kernel's configuration, or None."""
    root, release = machine.root, machine.release
    for name in (f"/boot/config-{release}", f"/lib/modules/{release}/build/.config",
                 f"/lib/modules/{release}/config"):
        text = root.peek(name)
        if text:
            return text
    try:
        packed = root.read_bytes("/proc/config.gz")
        return gzip.decompress(packed).decode() if packed else None
    except (NeedsRoot, OSError, EOFError, zlib.error):
        return None


def check_kernel(machine):
    """The kernel lets a device have DMA operations of its own, or has what premapping needs."""
    if machine.loaded and not foreign.loaded(machine.root):
        return [ok(f"{machine.release}; the module runs on it")]
    config = kernel_config(machine)
    if config is None:
        return [skip(f"the configuration of {machine.release} is not in /boot, /lib/modules "
                     "or /proc/config.gz")]
    has = config.split("\n")
    if any(f"{option}=y" in has for option in OPS_OPTIONS):
        return [ok(f"{machine.release} has DMA operations per device")]
    text = f"{machine.release} has no DMA operations per device, so memory is premapped there"
    lacks = [option for option in PREMAP_OPTIONS if f"{option}=y" not in has]
    if lacks:
        return [note(f"{text}, but it has no {' and no '.join(lacks)}",
                     "not every layout is possible then: Documentation/kernels.md has the "
                     "consequences")]
    memory = sum(end - start for start, end in windows.ram(machine.root))
    if 0 < memory <= premap.MOST:
        return [ok(f"{text}: {units.size(memory)}, which is little enough")]
    return [note(text + (f": {units.size(memory)} are more than {units.size(premap.MOST)}" if memory
                         else ""), premap.SMALLER, premap.MORE,
                 "or use a kernel that has them, such as Debian's linux-image-arm64: "
                 f"{' or '.join(OPS_OPTIONS)}; on arm64 they come with CONFIG_XEN=y")]


def check_headers(machine):
    """The headers of the running kernel are there, for dkms to build with."""
    build = f"/lib/modules/{machine.release}/build/Makefile"
    if machine.root.exists(build):
        return [ok(f"of {machine.release} are installed")]
    # A flavour of Fedora's, such as that with pages of 16 KiB, is at the end of the release.
    fedora = re.sub(r"^(\S+\.(?:fc|el)\d+\S*)\+(\w+)$", r"kernel-\2-devel-\1", machine.release)
    if fedora == machine.release:
        fedora = f"kernel-devel-{machine.release}"
    cure = (f"Debian, Ubuntu: sudo apt install linux-headers-{machine.release}",
            f"Fedora: sudo dnf install {fedora}")
    if machine.loaded or module_file(machine):
        return [note("not installed: the module is there, but dkms cannot build it again", *cure)]
    return [fail("not installed: dkms cannot build the module for this kernel", *cure)]


def module_file(machine):
    """Where the module's file is for this kernel, or None."""
    top = f"/lib/modules/{machine.release}"
    dep = machine.root.peek(f"{top}/modules.dep") or ""
    listed = re.search(rf"^(\S*/)?{DRIVER}\.ko(\.\w+)?(?=:)", dep, re.M)
    if listed:
        name = listed[0] if listed[0].startswith("/") else f"{top}/{listed[0]}"
        if machine.root.exists(name):
            return name
    for folder in ("updates/dkms", "extra", "updates", "extra/dkms", "kernel/drivers/misc"):
        for tail in ("", ".xz", ".zst", ".gz"):
            name = f"{top}/{folder}/{DRIVER}.ko{tail}"
            if machine.root.exists(name):
                return name
    return None


def check_module(machine):
    """The module is installed for this kernel, and loaded; another project's is neither."""
    theirs = foreign.remains(machine.root)
    if foreign.loaded(machine.root):
        name = foreign.loaded_name(machine.root)
        where = theirs.cure(machine.root) or (
            f"modinfo -n {DRIVER}    prints its file: remove that file, and run sudo depmod",)
        return [fail(f"{name} is loaded; only one of the two can be installed",
                     "remove it:", *where, "then install the package apple-dma-dkms, and:",
                     INITRAMFS)]
    found = [our_module(machine)]
    if theirs:
        found.append(note(f"files of another project's module named {DRIVER} are still there: "
                          f"{theirs.names()}", "remove them:", *theirs.cure(machine.root),
                          INITRAMFS))
    return found


def our_module(machine):
    """A finding about this project's module."""
    file = module_file(machine)
    if machine.loaded:
        return loaded_version(machine, file)
    if file:
        said = machine.log.all(rf"^{DRIVER}: .*({DID_NOT_LOAD})")
        if said:
            return fail(f"installed, but it did not load: {said[-1]}",
                        "build the module for this kernel again, or correct the parameter:",
                        *into_force("sudoedit /etc/modprobe.d/...", f"sudo modprobe {DRIVER}"))
        return fail(f"installed ({file}), but not loaded",
                    f"sudo modprobe {DRIVER}    (if it fails, its error says why)",
                    *at_boot(machine.root))
    log = next((f"/var/lib/dkms/apple-dma/{v}/build/make.log"
                for v in machine.root.list("/var/lib/dkms/apple-dma")
                if machine.root.exists(f"/var/lib/dkms/apple-dma/{v}/build/make.log")), None)
    if log:
        return fail(f"dkms has not built it for {machine.release}",
                    f"the end of {log} says why; then: sudo dkms autoinstall")
    return fail(f"not installed for {machine.release}",
                "install the package apple-dma-dkms; if it is installed: sudo dkms autoinstall",
                "or, in the sources: sudo make install")


def at_boot(root):
    """What is wrong with the files that load it at boot."""
    if not any(root.exists(f"{top}/{LOAD_FILE}") for top in ("/usr/lib", "/lib")):
        return ("at every boot: install the package apple-dma-dkms, or run sudo make install",)
    text = root.peek(f"/etc/{LOAD_FILE}")
    if text is not None and DRIVER not in text.split():
        return (f"sudo rm /etc/{LOAD_FILE}    (it hides the package's file of that name)",)
    return ()


def loaded_version(machine, file):
    """A finding about the module in the kernel."""
    have = machine.root.peek(f"{devices.MODULE}/version") or "unknown"
    text = f"loaded, version {have}"
    if have != version() and "unknown" not in (have, version()):
        return note(f"{text}, but this command is of version {version()}",
                    "the module was updated, but the old one still runs:", INITRAMFS)
    return ok(text) if file else note(
        f"{text}; it is not installed for {machine.release}, so the next boot lacks it",
        "install the package apple-dma-dkms")


# ---- Secure Boot

def secure_boot(root):
    """True, False, or None where it cannot be told."""
    for name in root.list("/sys/firmware/efi/efivars"):
        if name.startswith("SecureBoot-"):
            data = root.read_bytes(f"/sys/firmware/efi/efivars/{name}")
            return bool(data and data[-1])
    said = root.run("mokutil", "--sb-state") or ""
    return True if "enabled" in said else False if "disabled" in said else None


def lockdown(root):
    """The word in brackets: none, integrity or confidentiality."""
    found = re.search(r"\[(\w+)\]", root.peek("/sys/kernel/security/lockdown") or "")
    return found[1] if found else "none"


def is_signed(root, file):
    """Whether the module's file has a signature, or None where that cannot be told."""
    try:
        data = root.read_bytes(file)
        if file.endswith(".xz"):
            data = lzma.decompress(data)
        elif file.endswith(".gz"):
            data = gzip.decompress(data)
        elif file.endswith(".zst"):
            return None
    except (NeedsRoot, OSError, EOFError, lzma.LZMAError, zlib.error):
        return None
    return data.endswith(SIGNATURE) if data else None


def enrolled(root):
    """(key, whether the firmware trusts it) of dkms's own key, or (None, None)."""
    key = next((k for k in MOK_KEYS if root.exists(k)), None)
    said = root.run("mokutil", "--test-key", root.path(key)) if key else None
    if not said:
        return key, None
    return key, "is already enrolled" in said


def key_cure(key):
    """How dkms's key becomes a trusted one."""
    return (f"sudo mokutil --import {key or MOK_KEYS[0]}    (choose a password, once)",
            "sudo reboot    (the blue screen: Enroll MOK, Continue, the password)",
            f"sudo modprobe {DRIVER}")


def make_again(machine):
    """How dkms builds and signs the module again; autoinstall skips an installed module."""
    versions = [v for v in machine.root.list("/var/lib/dkms/apple-dma") if v[0].isdigit()]
    if not versions:
        return ("install the package apple-dma-dkms: dkms signs, make install does not",)
    what = f"apple-dma/{versions[-1]} -k {machine.release}"
    return f"sudo dkms unbuild {what}", f"sudo dkms install {what}"


def check_signature(machine):
    """A kernel that wants signed modules takes this one."""
    root = machine.root
    try:
        boot = secure_boot(root)
    except NeedsRoot:
        boot = None
    mode = lockdown(root)
    enforced = (root.peek("/sys/module/module/parameters/sig_enforce") or "").strip() == "Y"
    wanted = boot or mode != "none" or enforced
    state = ("Secure Boot is on" if boot else "Secure Boot is off" if boot is False
             else "no Secure Boot here") + (f", lockdown is {mode}" if mode != "none" else "") + (
                 ", module.sig_enforce is on" if enforced else "")
    if machine.loaded:
        return [ok(f"{state}; the kernel took the module")]
    said = machine.log.all(REJECTED)
    if not wanted and not said:
        return [ok(f"{state}; none is needed")]
    file = module_file(machine)
    signed = is_signed(root, file) if file else None
    key, trusted = enrolled(root)
    if file and signed is False:
        return [fail(f"{state}, and {file} is not signed",
                     "let dkms sign it:", *make_again(machine), *key_cure(key))]
    if trusted is False or (said and not trusted):
        return [fail(f"{state}, and the key that signed the module is not enrolled"
                     if not said else f"the kernel refused the module: {said[-1]}", *key_cure(key))]
    if said:
        return [fail(f"the kernel refused the module: {said[-1]}",
                     "it was signed with another key:", *make_again(machine))]
    return [ok(f"{state}; the module is " +
               ("signed" if signed else "not installed" if not file else "perhaps signed") +
               (" with an enrolled key" if trusted else ""))]


# ---- companion

def check_companion(machine):
    """The companion is on the bus, and the module has it."""
    if not machine.root.exists(devices.DEVICES):
        return [fail("this machine has no PCI bus", "run it in the guest")]
    if not machine.devices:
        return [fail(f"no PCI device {COMPANION_ID[0][2:]}:{COMPANION_ID[1][2:]} on the bus",
                     "start QEMU with -device vfio-apple-pci,host=BB:DD.F,dma-companion=on",
                     "(a QEMU that does not know dma-companion always adds the companion)",
                     "the device must not be behind a pcie-root-port: there, Linux looks for one "
                     "device only and misses the companion")]
    found = []
    for device in machine.devices:
        if device.ours:
            found.append(ok(f"{device.companion}"))
        elif device.bound == DRIVER:
            found.append(fail(f"{device.companion}: {devices.FOREIGN}",
                              "see what the check 'module' says"))
        elif device.bound:
            found.append(fail(
                f"{device.companion} has the driver {device.bound}",
                f"echo {device.companion} | sudo tee {devices.PCI}/drivers/{device.bound}/unbind",
                f"echo {device.companion} | sudo tee {devices.PCI}/drivers_probe"))
        elif machine.loaded:
            found.append(fail(f"{device.companion} was refused by the module",
                              "the check 'protocol' says why"))
        else:
            found.append(note(f"{device.companion} waits for the module"))
    return found
