# SPDX-License-Identifier: GPL-2.0
"""The doctor's checks of each companion and its device."""

import fnmatch
import re

from . import devices, units
from .checks import INITRAMFS, fail, into_force, note, ok, option
from .errors import NeedsRoot

REPORT = "it is a bug of the host or of apple_dma: report it with this line and QEMU's version"

PLACE = ("put the device on bus 0, not behind a root port or a bridge: no bus= in -device "
         "vfio-apple-pci; QEMU puts the companion beside it")

# Lines of the module about a companion that it does not take: the pattern, what to do.
REFUSED = (
    (r"the host speaks protocol version \d+.*", "a newer apple_dma is needed: update the package"),
    (r"the host answers the layout probe in no known way.*",
     "a newer apple_dma is needed: update the package"),
    (r"the host did not pass the layout probe.*", REPORT),
    (r"the host allows .* entries in a batch, which cannot be", REPORT),
    (r"BAR \d is not .* bytes of memory", REPORT),
    (r"the host names .* as the managed device, which is no PCI address", REPORT),
    (r"the host names .* as the managed device, but the companion is on bus [0-9a-f]+", PLACE),
    (r"the host says that the companion manages the bridge [0-9a-f:.]+", PLACE),
    (r"the host says that the companion manages .*", REPORT),
    (r"another companion manages .* already", "two companions name the same device: " + REPORT),
    (r"cannot link .* to the companion", "reboot the guest; if it stays, report it"),
)


def reason_refused(machine, companion):
    """(line, cure) of why the module did not take a companion, or None."""
    for pattern, cure in REFUSED:
        found = machine.log.search(pattern, companion)
        if found:
            return found[0], cure
    return None


def check_protocol(machine):
    """The host speaks a protocol and a layout that the module knows."""
    found = []
    for device in machine.devices:
        name = device.companion
        refused = None if device.ours else reason_refused(machine, name)
        ready = machine.log.search(r"ready: (\w+) layout, up to (.*)", name)
        if device.get("broken"):
            why = machine.log.broken(name) or "the reason is in the kernel log"
            found.append(fail(f"{name}: broken: the host broke the protocol: {why}",
                              "nothing more is mapped; reboot the guest", REPORT))
        elif device.ours:
            found.append(ok(f"{name}: {ready[1]} layout, up to {ready[2]}" if ready else
                            f"{name}: the module understood the host"))
        elif refused:
            found.append(fail(f"{name}: {refused[0]}", refused[1]))
        elif machine.loaded and not device.bound:
            found.append(machine.unseen() if machine.log.problem else
                         fail(f"{name}: the module did not take it, and the log has no reason",
                              "sudo dmesg | grep apple_dma"))
    return found


def check_managed(machine):
    """The companion's device is on the bus."""
    found = []
    for device in machine.ours:
        if device.managed:
            kind = devices.pci_name(machine.root, device.managed)
            found.append(ok(f"{device.companion} manages the {kind} {device.managed}"))
            continue
        waits = machine.log.search(r"waits for its device (\S+) to appear", device.companion)
        where = waits[1] if waits else "its device"
        found.append(fail(
            f"{device.companion} waits for {where}, which is not on the bus",
            "is the card powered, and its cable in? Start the VM again with it;",
            "if lspci shows it at another address, QEMU gave the companion a wrong one: report it"))
    return found


# ---- its driver

def wanted_driver(machine, address):
    """The module that knows a PCI device, or None."""
    alias = devices.pci_text(machine.root, address, "modalias")
    table = machine.root.peek(f"/lib/modules/{machine.release}/modules.alias") or ""
    for line in table.splitlines():
        words = line.split()
        if alias and len(words) == 3 and words[1].startswith("pci:") and \
                fnmatch.fnmatchcase(alias, words[1]):
            return words[2]
    return None


def no_driver(machine, device):
    """The finding for a device without a driver."""
    name = device.managed
    if device.refusal:
        return fail(f"{name} has no driver, as it may map nothing",
                    "see what the check 'mapping' says")
    error = machine.log.search(r"cannot bind a driver to \S+: (-?\d+)", device.companion)
    probe = machine.log.search(rf"(\S+) {re.escape(name)}: (probe .*failed.*|probe failed.*)")
    if error or probe:
        return fail(f"{name} has no driver: " + (probe[0] if probe else error[0]),
                    f"sudo dmesg | grep {name}    shows what the driver said")
    driver = wanted_driver(machine, name)
    if driver:
        return fail(f"{name} has no driver; {driver} knows it", f"sudo modprobe {driver}",
                    f"echo {name} | sudo tee {devices.PCI}/drivers_probe")
    return fail(f"{name} has no driver, and no module of {machine.release} knows it",
                "install the driver that the device needs, and its firmware")


def built_in(root, driver):
    """Whether a driver is built in: only a module has the file."""
    return not root.exists(f"{devices.PCI}/drivers/{driver}/module/initstate")


SGL_THRESHOLD = "/sys/module/nvme/parameters/sgl_threshold"
SGL_FIXED = 40      # the first 6.18.N that unmaps all segments


def sgl_bug(machine, device):
    """Findings about a bug of Linux 6.18: nvme leaves mappings of lists behind."""
    release = re.match(r"6\.18(?:\.(\d+))?(?!\d)", machine.release)
    if device.driver != "nvme" or not release or int(release[1] or 0) >= SGL_FIXED or \
            machine.root.number(SGL_THRESHOLD) == 0:
        return []
    lasting = ("and on the kernel's command line: nvme.sgl_threshold=0",) \
        if built_in(machine.root, "nvme") else ("at every boot:", *option("nvme sgl_threshold=0"))
    return [note(f"{device.managed}: Linux 6.18 before 6.18.{SGL_FIXED} has a bug in nvme: of a "
                 "request with a scatter-gather list it unmaps the first segment only, so memory "
                 "stays mapped until no more can be",
                 f"update the kernel to 6.18.{SGL_FIXED} or newer, or let nvme use no such lists:",
                 f"echo 0 | sudo tee {SGL_THRESHOLD}", *lasting)]


def check_driver(machine):
    """A driver has the device, came after the module, and is not known to be broken."""
    found = []
    for device in machine.managed:
        name = device.managed
        early = machine.log.search(r"\S+ was bound to (\S+) before apple_dma was there",
                                   device.companion)
        if not device.driver:
            found.append(no_driver(machine, device))
        elif device.driver == "vfio-pci":
            found.append(fail(f"{name} has the driver vfio-pci, which does not use apple_dma",
                              "unbind it, and bind the device's own driver"))
        elif early and built_in(machine.root, early[1]):
            found.append(ok(f"{name}: {early[1]}, which is built into the kernel and so was probed "
                            "a second time"))
        elif early:
            found.append(note(
                f"{name}: {early[1]} was there before apple_dma, and was bound a second time",
                "it works; to have apple_dma first, make an initramfs that has it:", INITRAMFS))
        elif device.get("live_mappings") == 0 and not device.premaps:
            found.append(note(f"{name}: {device.driver} is bound, and has mapped nothing yet",
                              "if the device is idle, that is normal; else look for its "
                              "driver's messages:", f"sudo dmesg | grep {name}"))
        else:
            found.append(ok(f"{name}: {device.driver}"))
        found += sgl_bug(machine, device)
    return found


def check_iommu(machine):
    """No IOMMU of the guest is between the device and the module."""
    found = []
    for device in machine.managed:
        name = device.managed
        kind = machine.root.peek(f"{devices.DEVICES}/{name}/iommu_group/type")
        behind = machine.log.search(rf"{re.escape(name)} is behind an IOMMU of the guest",
                                    device.companion)
        stale = machine.log.search(rf"{re.escape(name)} is not cache coherent", device.companion)
        if behind or (kind or "").startswith("DMA"):
            found.append(fail(
                f"{name} is behind an IOMMU of the guest; its DMA cannot work",
                "start QEMU without it: no -device virtio-iommu-pci or intel-iommu, and no "
                "iommu=smmuv3 for -machine;",
                "or boot the guest with iommu.passthrough=1"))
        elif stale:
            found.append(fail(f"{name} is not cache coherent for the guest; its DMA cannot work",
                              "the host has to describe it as coherent: with -machine virt it is"))
        else:
            found.append(ok(f"none before {name}"))
    return found


# ---- limits

MOST = {"bytes": 1428 << 20, "entries": 65536}      # a size that Macs are known to accept
# An older module prints neither the address nor the mask.
MASK_LINE = (r"cannot map \d+ bytes: the host's address (?:(0x[0-9a-f]+) )?is beyond the device's "
             r"DMA mask(?: (0x[0-9a-f]+))?")
REPLUG = ("if that does not help: shut the guest down, and plug the device in again; its addresses "
          "on the Mac fragment over time")
SMALLER_PIECES = "if the device works, its driver has taken smaller pieces: there is nothing to do"
CURES = {
    "host": ("the host allows less than the limits say: on the Mac, close what else uses the "
             "extension",
             REPLUG),
    "alignment": ("free memory in the guest: twice the size is needed in one piece",
                  SMALLER_PIECES),
    "boundary": ("bind the driver again: the host may choose other addresses",),
    "memory": ("give the guest more memory; one piece has a few MiB at most, and the log says "
               "how many", SMALLER_PIECES),
    "not_ram": ("the driver maps memory of another device, which the host cannot do",),
    "broken": ("see what the check 'protocol' says",),
    "bug": ("please report it, with apple-dma report",),
}


def more_room(device, what):
    """What to do about a limit that is too low."""
    cure = ("give the device less to do at once: smaller textures, a shorter queue",)
    limit = device.get(f"limit_{what}")
    if limit and limit < MOST[what]:
        cure += ("or give it more:", *option(f"apple_dma max_{what}={MOST[what]}"))
    return cure


def cached_mode(machine, device):
    """How to leave mode=strict."""
    if device.mode != "strict":
        return ()
    if devices.balloon(machine.root):
        return ("in mode=cached it would take fewer; the balloon makes it strict",)
    return ("in mode=cached it takes fewer:", *option("apple_dma mode=cached"))


def narrow_mask(machine, device):
    """(more words, cure) where the host's address is beyond the device's DMA mask."""
    name = device.managed or device.companion
    driver = device.driver or wanted_driver(machine, name) or "DRIVER"
    line = machine.log.search(MASK_LINE, device.companion)
    address, mask = (int(value or "0", 16) for value in line.groups()) if line else (0, 0)
    now = machine.root.number(f"{devices.DEVICES}/{name}/dma_mask_bits") or 0
    bits, needed = mask.bit_length() or now, address.bit_length()
    words = (f", which has {needed} bits ({address:#x})" if address else "") + (
        f"; its driver allows {bits} address bits" if bits else "")
    if (now >= needed) if address else (driver == "nouveau"):
        cure = (f"{driver} maps before it sets its DMA mask, which is an error of that driver: use "
                "another driver, or another device;")
    else:
        cure = (f"use an option of the driver for 64-bit DMA, if modinfo -p {driver} shows one; "
                "else use another device, or another driver for it;")
    return words, (cure, "no option of QEMU makes the host choose lower addresses")


def cure_of(machine, device, cause):
    """(more words, cure) of mappings that failed."""
    if cause == "mask":
        return narrow_mask(machine, device)
    if cause == "bytes":
        return "", more_room(device, cause)
    if cause == "entries":
        return "", more_room(device, cause) + cached_mode(machine, device)
    if cause == "handle":
        return "", ("it happens in mode=strict with many single pages",
                    *cached_mode(machine, device))
    return "", CURES[cause]


def failed_maps(machine, device):
    """Findings about mappings that failed."""
    failed = device.get("map_failures")
    if not failed:
        return []
    # Counters only grow; old failures need not be a problem now.
    now = machine.fails_now(device) or device.get("live_mappings") == 0
    kind, when = (fail, "") if now else (note, ", none while this looked")
    name = device.managed or device.companion
    causes = device.failures()
    if not causes:
        return [kind(f"{name}: {units.plural(failed, 'mapping')} failed{when}",
                     "sudo dmesg | grep 'cannot map'    names the cause")]
    found = []
    for cause, number in causes:
        words, cure = cure_of(machine, device, cause)
        found.append(kind(f"{name}: {units.plural(number, 'mapping')} failed: "
                          f"{devices.FAILURES[cause]}{words}{when}", *cure))
    return found


def near_limit(machine, device, what):
    """A finding where the limit is near, or None."""
    used, limit = devices.in_use(device, what, machine.ours), device.get(f"limit_{what}")
    # What is premapped stays as it is.
    if device.premaps or used is None or not limit or used < 0.85 * limit:
        return None
    show = units.size if what == "bytes" else units.count
    shared = ", by all devices together" if what == "bytes" and device.shares() else ""
    return note(f"{device.managed or device.companion}: {units.percent(used / limit, 0)} of the "
                f"{what} are in use ({show(used)} of {show(limit)}{shared})",
                "at the limit, mappings fail", *more_room(device, what))


def learned(device):
    """Findings about a host that allows less than the limits."""
    for what in ("bytes", "entries"):
        value = device.get(f"learned_{what}")
        if value:
            show = units.size if what == "bytes" else units.count
            yield note(f"{device.managed or device.companion}: the host seems to allow only "
                       f"{show(value)} {'' if what == 'bytes' else 'registrations '}at once now",
                       "the module keeps to that and asks again later; there is nothing to set",
                       REPLUG)


def check_limits(machine):
    """There is room, and no mapping failed."""
    found = []
    for device in machine.ours:
        bad = failed_maps(machine, device) + list(learned(device))
        bad += [near for near in (near_limit(machine, device, w) for w in ("bytes", "entries")) if near]
        if machine.log.search("the limits are above what Macs are known to allow",
                              device.companion):
            bad.append(note(f"{device.companion}: max_bytes or max_entries is above what Macs are "
                            "known to accept; that can crash the Mac",
                            *into_force("remove them from /etc/modprobe.d")))
        if device.get("bad_unmaps"):
            bad.append(note(f"{device.managed or device.companion}: its driver unmapped "
                            f"{units.count(device.get('bad_unmaps'))} times what it had not "
                            "mapped",
                            "it is an error of that driver: report it to its authors"))
        used, limit = devices.in_use(device, "bytes", machine.ours), device.get("limit_bytes")
        found += bad or [ok(f"{device.managed or device.companion}: " + (
            "its memory is premapped" if device.premaps else
            f"{units.percent(used / limit, 0)} of the bytes in use, no mapping failed"
            if used is not None and limit else "no mapping failed"))]
    return found


def check_balloon(machine):
    """Nothing takes memory from the guest."""
    taker = devices.balloon(machine.root)
    if not taker:
        return [ok("none")]
    kind, what = (fail, "premapped DMA cannot work") if any(
        device.premaps for device in machine.ours) else (
            note, "every mapping is given back at once: that is slow")
    return [kind(f"{taker[1]} ({taker[0]}) can take memory from the guest, so {what}",
                 "start QEMU without -device virtio-balloon or virtio-mem; in a manager's "
                 "settings: no memory ballooning")]


# ---- the cable, the BAR, the interrupt

NO_MSI = ("no pci=nomsi on the guest's command line, and no module option of the driver that turns "
          "MSI off")

# (pattern, what it means, what to do); what is known of cards on Macs.
HINTS = (
    (r"GPU has fallen off the bus|device lost from bus|Unable to change power state from \S+ to "
     r"\S+, device inaccessible|pciehp: .*Link Down|controller is down; will reset: CSTS=0xf{8}|"
     r"unknown chipset \(f{8}\)",
     "the device was lost: the link to it went down",
     ("check the cable and the box's power; start the VM again, with the box off and on before.",
      "Thunderbolt 5 boxes have been seen to lose the link to Macs after some minutes: "
      "a Thunderbolt 4 or USB4 box is the safer choice")),
    (r"AER: .*(Uncorrectable|Fatal)|PCIe Bus Error: severity=Uncorrectable",
     "there were errors on the link to the device",
     ("a shorter or certified cable, another port of the Mac; Thunderbolt 5 boxes: see whether "
      "a Thunderbolt 4 one does the same",)),
    (r"BAR \d+.*: (can't assign|failed to assign|no space)|PCI I/O region assigned to your NVIDIA "
     r"device is invalid|BAR \d+ is 0M @ 0x0",
     "a BAR of the device got no address",
     ("more room for it in the VM: -machine virt with highmem on;",
      "or the Mac did not assign it: plug the card in again, before the VM is started")),
    (r"completion polled|MSI: .*failed|failed to (allocate|enable) (MSI|irq)|Failed to .*MSI-?X?\b|"
     r"irq \d+: nobody cared",
     "an interrupt of the device did not come",
     ("interrupts work by MSI and MSI-X only:", NO_MSI)),
    (r"Invalid PCI ROM header|Unable to locate a BIOS ROM|VBIOS .*(invalid|not found)",
     "the driver looked for the card's ROM, which is not passed through",
     ("no ROM reaches the guest, whatever QEMU is told: a driver that has no other way to what "
      "is in it cannot work",)),
)


def log_hints(machine):
    """What the log says of managed devices."""
    names = [d.managed for d in machine.managed]
    for pattern, text, cure in HINTS:
        lines = [line for line in machine.log.all(pattern)
                 if not names or not re.search(r"[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]", line) or
                 any(name in line or name[5:] in line for name in names)]
        if lines:
            yield note(f"{text}: {lines[-1]}", *cure)


def bars_without_address(root, name):
    """The BARs that have a size but no address."""
    lines = (root.peek(f"{devices.DEVICES}/{name}/resource") or "").splitlines()[:6]
    values = [[int(word, 16) for word in line.split()] for line in lines]
    return [i for i, v in enumerate(values) if len(v) == 3 and v[2] and not v[0] and v[1]]


def interrupts_seen(root, name):
    """(how many MSIs the device has, how often they came)."""
    numbers = set(root.list(f"{devices.DEVICES}/{name}/msi_irqs"))
    came = 0
    for line in (root.peek("/proc/interrupts") or "").splitlines():
        head, _, tail = line.partition(":")
        if head.strip() in numbers:
            for word in tail.split():
                if not word.isdigit():
                    break
                came += int(word)
    return len(numbers), came


def msi_cure(driver):
    """How to make a driver use MSI."""
    if driver == "snd_hda_intel":
        return ("it turns MSI off for some cards, such as NVIDIA's, by itself; leave the sound "
                "function out of the VM, or:", *option("snd_hda_intel enable_msi=1"))
    return (NO_MSI,)


def device_hints(machine, device):
    """What the device itself shows."""
    root, name = machine.root, device.managed
    try:
        config = root.read_bytes(f"{devices.DEVICES}/{name}/config", 4)
    except NeedsRoot:
        config = None
    if config == b"\xff" * 4:
        yield fail(f"{name} does not answer: its configuration space reads as all ones",
                   "the link is down: the cable, the box's power. Start the VM again")
        return
    bars = bars_without_address(root, name)
    if bars:
        yield fail(f"{name}: BAR {', '.join(map(str, bars))} has no address",
                   "more room for it in the VM: -machine virt with highmem on; "
                   "or the Mac did not assign it: plug the card in again before the VM starts")
    if device.driver and (device.premaps or device.get("live_mappings")):
        vectors, came = interrupts_seen(root, name)
        if not vectors:
            yield note(f"{name}: {device.driver} uses no MSI, and other interrupts do not "
                       "come through", *msi_cure(device.driver))
        elif not came:
            yield note(f"{name}: none of its {units.plural(vectors, 'interrupt')} came yet",
                       "if the device does nothing: interrupts get lost on the host. "
                       "Report it with the output of cat /proc/interrupts")


def check_hints(machine):
    """The cable, the BARs and the interrupts, as the guest sees them."""
    found = [hint for device in machine.managed for hint in device_hints(machine, device)]
    found += log_hints(machine)
    if not found and machine.log.problem:
        return [machine.unseen()]
    if not found and not machine.managed:
        return []
    return found or [ok("no errors found")]
