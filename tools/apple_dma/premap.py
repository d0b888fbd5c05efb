# SPDX-License-Identifier: GPL-2.0
"""Premapped memory: what is registered once, what bounces, and why a device is refused."""

from dataclasses import dataclass

from . import devices, units
from .checks import INITRAMFS, fail, note, ok, option

SWIOTLB = "/sys/kernel/debug/swiotlb"
SLOT = 2048             # bytes of swiotlb
MOST = 1428 << 20       # bytes that Macs are known to take
LAYOUTS = {1: "all memory", 2: "the kernel's memory, below kernelcore=", 3: "the lowest NUMA node"}
MORE = "Documentation/premap.md has the three layouts, mac.md the options of QEMU"

RESCAN = ("echo 1 | sudo tee /sys/bus/pci/devices/{name}/remove",
          "echo 1 | sudo tee /sys/bus/pci/rescan")
SMALLER = "start QEMU with less memory, such as -m 1G: then all of it fits (layout L1)"

# Why a device may map nothing: in words, and what to do.
REFUSALS = {
    "layout": ("the guest has more memory than can be registered", (
        SMALLER,
        "or, with nothing above 4 GiB (-m 3G or less), boot the guest with kernelcore=1G "
        "swiotlb=32768 (L2)",
        "or give QEMU two NUMA nodes, the lower one small and without CPUs (L3)", MORE)),
    "balloon": ("a balloon, free-page reporting or virtio-mem gives memory back to the host", (
        "start QEMU without -device virtio-balloon or virtio-mem; in a manager's settings: no "
        "memory ballooning",)),
    "strict": ("mode=strict is not possible with premapped memory",
               option("apple_dma mode=cached")),
    "ops": ("its last driver has yet to free memory", RESCAN),
    "firmware": ("the firmware describes DMA ranges of the device", (
        "start QEMU without what describes them, such as dma-bounce-size=;",
        "or use a kernel with DMA operations per device, such as Debian's")),
    "bounce": ("it has to bounce everything", (
        "boot the guest without swiotlb=force, and start QEMU without dma-bounce-size=",)),
    "table": ("memory of an earlier arena has yet to be freed", RESCAN),
    "pieces": ("the host does not take the memory in 8 pieces", (
        "shut the guest down, and plug the device in again: its addresses on the Mac fragment "
        "over time", "or " + SMALLER)),
    "ends": ("the memory at the end of a piece is in use", (
        "load apple_dma earlier, in the initramfs:", INITRAMFS, "or " + SMALLER)),
    "room": ("other devices have registered the memory, too, or max_entries is used up", (
        "each device registers the memory for itself, and all of it has to fit max_bytes:",
        "start QEMU with less memory: for two devices, -m 600M (layout L1)")),
    "broken": ("the companion is broken", ("see what the check 'protocol' says",)),
    "memory": ("the guest had no memory", (
        "unbind the device's driver and bind it again; or start the guest with more memory",)),
}


def why(device):
    """Why a device may map nothing, in words; "" if it may."""
    if not device.refusal:
        return ""
    return REFUSALS.get(device.refusal, (device.refusal,))[0]


@dataclass(frozen=True)
class Bounces:
    """Bytes of the pool that maps outside the premapped memory go through, of all devices."""

    used: int
    size: int
    peak: int       # None where the kernel does not keep it


def bounces(root):
    """The Bounces, or None where they are not counted, or only root may read them."""
    def of(name):
        value = root.number(f"{SWIOTLB}/{name}")
        return None if value is None else value * SLOT
    used, size = of("io_tlb_used"), of("io_tlb_nslabs")
    if used is None or size is None:
        return None
    # Newer kernels keep the most only with swiotlb=track_hiwater, and show 0 without.
    return Bounces(used, size, of("io_tlb_used_hiwater") or None)


def can_bounce(device):
    """Whether some of the guest's memory is not registered."""
    return device.get("premap_layout") in (2, 3)


def is_gpu(root, device):
    """A display device never bounces."""
    return (devices.pci_text(root, device.managed, "class") or "").startswith("0x03")


def say_bounces(root, device):
    """What is bounced, in words."""
    if not can_bounce(device):
        return "nothing bounces"
    if is_gpu(root, device):
        return "what is not in it fails, as a GPU must not bounce"
    found = bounces(root)
    if not found:
        return "bounces: not seen (only root may, in debugfs)"
    peak = "" if found.peak is None else f", at most {units.size(found.peak)} so far"
    return f"bounces: {units.size(found.used)} of {units.size(found.size)}{peak}"


def summary(root, device):
    """One sentence about a device with premapped memory."""
    if device.refusal:
        return f"not premapped: {why(device)}"
    layout = device.get("premap_layout")
    if not layout:
        return "nothing is premapped before a driver is bound"
    odd = device.get("premap_unaligned")
    return (f"premapped: {units.size(device.get('mapped_bytes'))} in "
            f"{units.plural(device.get('premap_pieces') or 0, 'piece')}, layout L{layout} "
            f"({LAYOUTS.get(layout, 'unknown')}), "
            f"{f'{odd} not aligned' if odd else 'all aligned'}; {say_bounces(root, device)}")


# ---- the doctor's check

def refused(machine, device):
    """The finding for a device that may map nothing."""
    name = device.managed or device.companion
    cure = REFUSALS.get(device.refusal, ("", ("update apple-dma-tools",)))[1]
    limit = device.get("limit_bytes")
    if device.refusal in ("layout", "room") and limit and limit < MOST:
        cure = (*cure, "or let more be registered:", *option(f"apple_dma max_bytes={MOST}"))
    line = machine.log.search(r"(\d+ MiB of memory, room for \d+ MiB)", device.companion)
    more = f" ({line[1]})" if line and device.refusal == "layout" else ""
    return fail(f"{name} may map nothing: {why(device)}{more}",
                *(each.format(name=name) for each in cure))


def remarks(machine, device):
    """Findings about memory that is premapped and could serve better."""
    name, gpu = device.managed, is_gpu(machine.root, device)
    odd = device.get("premap_unaligned")
    if odd and gpu:
        yield note(f"{name}: {units.plural(odd, 'piece')} of the memory came with unaligned device "
                   "addresses: 2 MiB pages will not work, and an NVIDIA GPU needs them",
                   "unbind its driver and apple_dma, and bind both again: the host may choose "
                   "other addresses;",
                   "if that does not help: shut the guest down, and plug the device in again")
    if gpu and can_bounce(device):
        yield note(f"{name}: a GPU does not bounce, so maps of memory that is not premapped fail",
                   "give the guest so little memory that all of it fits (layout L1), such as -m 1G")
    found = bounces(machine.root) if can_bounce(device) and not gpu else None
    if found and found.size and max(found.used, found.peak or 0) >= 0.9 * found.size:
        yield note(f"{name}: the bounce pool of {units.size(found.size)} was nearly full; when it "
                   "is, maps fail", "boot the guest with swiotlb=65536 (128 MiB), or more")


def check_mapping(machine):
    """How each device maps; premapped memory fits, and is aligned."""
    found = []
    for device in machine.ours:
        name = device.managed or device.companion
        if not device.premaps:
            found.append(ok(f"{name}: DMA operations"))
        elif device.refusal:
            found.append(refused(machine, device))
        else:
            noted = list(remarks(machine, device))
            found += noted or [ok(f"{name}: {summary(machine.root, device)}")]
    return found
