# SPDX-License-Identifier: GPL-2.0
"""A machine's sysfs, tracefs and the rest as a folder, for tests of tools/apple-dma."""

import os
import shutil

from package_tree import version

RELEASE = "6.12.117+deb13-arm64"
VERSION = version()

MIB = 1 << 20
DEFAULTS = {
    "mapped_bytes": 612 * MIB, "mapped_entries": 420, "guest_bytes": 612 * MIB, "live_bytes": 500 * MIB,
    "live_mappings": 9000, "idle_bytes": 112 * MIB, "idle_entries": 100,
    "peak_bytes": 700 * MIB, "peak_entries": 500, "limit_bytes": 1428 * MIB,
    "limit_entries": 65536, "learned_bytes": 0, "learned_entries": 0, "window_bytes": 4 * MIB,
    "doorbells": 1000, "batches": 999, "requests": 2500, "doorbell_ns_min": 4000,
    "doorbell_ns_mean": 9000, "doorbell_ns_max": 210000, "map_entry_ns": 3000,
    "unmap_entry_ns": 2000, "batch_fit": 64, "hits": 99200, "misses": 800,
    "slow_paths": 900, "evictions": 30, "align_tries": 0, "aligned": 0,
    "unaligned": 0, "refusals": 0, "map_failures": 0, "recovered": 0,
    "bad_unmaps": 0, "leaked_bytes": 0, "broken": 0, "mode": "cached", "idle_ms": 60000,
    "batch_max": 64, "doorbell_us": 1000, "failures_bytes": 0, "failures_entries": 0, "failures_host": 0,
    "failures_mask": 0, "failures_alignment": 0, "failures_boundary": 0,
    "failures_handle": 0, "failures_memory": 0,
    "failures_not_ram": 0, "failures_broken": 0, "failures_bug": 0,
    "ops": "dma_ops", "premap_layout": 0, "premap_pieces": 0, "premap_unaligned": 0,
    "premap_refusal": "none",
}
# What differs where memory is premapped.
PREMAPPED = {
    "ops": "premap", "premap_layout": 1, "premap_pieces": 2, "mapped_bytes": 1024 * MIB,
    "mapped_entries": 3, "guest_bytes": 1024 * MIB, "live_bytes": 0, "live_mappings": 0,
    "idle_bytes": 0, "idle_entries": 0, "hits": 0, "misses": 0, "doorbells": 5, "requests": 5,
}
PARAMETERS = {"max_bytes": 1428 * MIB, "max_entries": 65536, "mode": "cached", "idle_ms": 60000,
              "batch_max": 64, "doorbell_us": 1000}
# What a module without these statistics does not have.
NEWER = tuple(n for n in DEFAULTS if n.startswith(("failures_", "doorbell_ns", "premap_"))) + (
    "ops", "requests", "batches", "map_entry_ns", "unmap_entry_ns", "batch_fit", "doorbell_us")

CONFIG = "CONFIG_64BIT=y\nCONFIG_PCI=y\nCONFIG_ARCH_HAS_DMA_OPS=y\n"
IOMEM = """00000000-3fffffff : PCI
40000000-7fffffff : System RAM
  40210000-4177ffff : Kernel code
80000000-bfffffff : System RAM
"""


class Tree:
    """A machine without problems until a test adds one."""

    def __init__(self, top):
        self.top = top
        self.irq = 40
        self.write("proc/sys/kernel/osrelease", RELEASE)
        self.write(f"boot/config-{RELEASE}", CONFIG)
        self.write("proc/iomem", IOMEM)
        self.write("proc/interrupts", "            CPU0       CPU1\n")
        self.write(f"lib/modules/{RELEASE}/build/Makefile", "")
        self.write(f"lib/modules/{RELEASE}/updates/dkms/apple_dma.ko", "no ELF")
        self.write(f"lib/modules/{RELEASE}/modules.alias",
                   "alias pci:v*d*sv*sd*bc01sc08i02* nvme\n")
        self.write("sys/module/apple_dma/version", VERSION)
        for name, value in PARAMETERS.items():
            self.write(f"sys/module/apple_dma/parameters/{name}", str(value))
        self.write("usr/lib/modules-load.d/apple-dma.conf", "apple_dma")
        (top / "sys/bus/pci/devices").mkdir(parents=True)
        (top / "sys/bus/pci/drivers/apple_dma").mkdir(parents=True)
        self.write("dev/kmsg", "")

    def path(self, name):
        """Where a file is."""
        return self.top / name

    def write(self, name, text):
        """A file with a last newline, as sysfs has them."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n" if text and not text.endswith("\n") else text)

    def remove(self, name):
        """Remove a file, link or folder."""
        path = self.path(name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

    def log(self, *lines):
        """Lines of the kernel log."""
        with self.path("dev/kmsg").open("a") as file:
            for number, line in enumerate(lines):
                file.write(f"6,{number},{number * 1000},-;{line}\n")

    def link(self, name, target):
        """A relative link, as in sysfs."""
        path = self.path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(os.path.relpath(self.path(target), path.parent))

    def pci(self, address, vendor, device, pci_class, driver=None, bars=("0x1000",)):
        """A PCI device; its folder."""
        folder = f"sys/devices/pci0000:00/{address}"
        for name, text in (("vendor", vendor), ("device", device), ("class", pci_class)):
            self.write(f"{folder}/{name}", text)
        self.write(f"{folder}/modalias", f"pci:v0000{vendor[2:].upper()}d0000{device[2:].upper()}"
                   f"sv00000000sd00000000bc{pci_class[2:4]}sc{pci_class[4:6]}i{pci_class[6:8]}")
        self.write(f"{folder}/resource", "".join(
            f"{int(b, 16):#018x} {int(b, 16) + 0xfff:#018x} 0x0000000000140204\n" for b in bars))
        self.path(f"{folder}/config").write_bytes(bytes.fromhex(
            vendor[4:6] + vendor[2:4] + device[4:6] + device[2:4]) + bytes(60))
        self.link(f"sys/bus/pci/devices/{address}", folder)
        if driver:
            self.bind(address, driver)
        return folder

    def bind(self, address, driver, built_in=False):
        """A driver takes a device; a module's unless it is built in."""
        folder = self.path(f"sys/bus/pci/drivers/{driver}")
        folder.mkdir(parents=True, exist_ok=True)
        if not built_in and driver != "apple_dma":
            self.write(f"sys/module/{driver}/initstate", "live")
            if not (folder / "module").is_symlink():
                self.link(f"sys/bus/pci/drivers/{driver}/module", f"sys/module/{driver}")
        self.link(f"sys/devices/pci0000:00/{address}/driver", f"sys/bus/pci/drivers/{driver}")
        self.link(f"sys/bus/pci/drivers/{driver}/{address}", f"sys/devices/pci0000:00/{address}")

    def interrupts(self, address, number):
        """The device has an MSI, which has come NUMBER times."""
        self.write(f"sys/devices/pci0000:00/{address}/msi_irqs/{self.irq}", "msix")
        with self.path("proc/interrupts").open("a") as file:
            file.write(f" {self.irq}:  {number}  0  ITS-MSI  nvme0q0\n")
        self.irq += 1

    def companion(self, address="0000:00:04.0", managed="0000:00:1e.0", driver="nvme", **counters):
        """A companion with its group, its device and that one's driver."""
        self.pci(address, "0x1b36", "0x0015", "0x088000", "apple_dma")
        for name, value in {**DEFAULTS, **counters}.items():
            if value is not None:
                self.counter(name, value, address)
        if managed:
            self.pci(managed, "0x144d", "0xa80a", "0x010802", driver)
            self.link(f"sys/devices/pci0000:00/{address}/apple_dma/managed",
                      f"sys/devices/pci0000:00/{managed}")
            if driver:
                self.interrupts(managed, 1234)
        self.log(f"apple_dma {address}: manages the DMA of {managed}",
                 f"apple_dma {address}: ready: wide layout, up to 1428 MiB in 65536 mappings, "
                 "64 in a batch")
        return self

    def counter(self, name, value, address="0000:00:04.0"):
        """A file of a companion's group."""
        self.write(f"sys/devices/pci0000:00/{address}/apple_dma/{name}", str(value))

    def without_module(self):
        """The machine before the module is loaded."""
        self.remove("sys/module/apple_dma")
        self.without_groups()
        for link in self.path("sys/bus/pci/drivers/apple_dma").iterdir():
            (link.resolve() / "driver").unlink()
        self.remove("sys/bus/pci/drivers/apple_dma")

    def without_groups(self):
        """Remove the companions' files, as another module has none."""
        for link in self.path("sys/bus/pci/drivers/apple_dma").iterdir():
            shutil.rmtree(link.resolve() / "apple_dma")

    def foreign_module(self):
        """The public module of the same name is loaded."""
        self.without_groups()
        self.remove("sys/module/apple_dma/parameters")
        self.write("sys/module/apple_dma/parameters/window_shift", "22")
        self.write("sys/module/apple_dma/parameters/enable_quirks", "Y")
        self.write("etc/modprobe.d/apple-dma-options.conf", "options apple_dma window_shift=22")
        self.write("etc/modules-load.d/apple-dma-load.conf", "apple_dma")
        self.write("sys/module/apple_dma/version", "0.1.105")
        self.write("usr/src/apple-dma-0.1.105/dkms.conf", 'PACKAGE_NAME="apple-dma"')
        self.path("var/lib/dkms/apple-dma/0.1.105").mkdir(parents=True)

    # ---- tracefs and debugfs

    def bounces(self, used, peak, slots=32768):
        """The kernel's counts of swiotlb, in slots of 2 KiB; not each kernel has a PEAK."""
        folder = "sys/kernel/debug/swiotlb"
        self.write(f"{folder}/io_tlb_used", str(used))
        self.write(f"{folder}/io_tlb_nslabs", str(slots))
        if peak is not None:
            self.write(f"{folder}/io_tlb_used_hiwater", str(peak))

    def tracing(self):
        """A kernel with the module's tracepoints."""
        self.path("sys/kernel/tracing/instances").mkdir(parents=True, exist_ok=True)
        for event in EVENTS:
            self.write(f"sys/kernel/tracing/events/apple_dma/{event}/enable", "0")

    def instance(self, pid, lines):
        """Make the files of the instance of process PID, which only a kernel could make."""
        folder = f"sys/kernel/tracing/instances/apple_dma_report_{pid}"
        for event in EVENTS:
            self.write(f"{folder}/events/apple_dma/{event}/enable", "0")
        self.write(f"{folder}/trace_pipe", "".join(f"{line}\n" for line in lines))

    def instances(self):
        """Those that are there."""
        return list(self.path("sys/kernel/tracing/instances").iterdir())

    def windows(self, lines, address="0000:00:04.0"):
        """The listing of a companion's windows."""
        self.write(f"sys/kernel/debug/apple_dma/{address}/windows",
                   "".join(f"{line}\n" for line in lines))


EVENTS = ("map", "unmap", "window_create", "align", "window_evict", "doorbell", "host_error")


def event(when, name, text, companion="0000:00:04.0"):
    """A line of trace_pipe."""
    return f"       nvme-213     [001] d..1. {when:12.6f}: {name}: companion={companion} {text}"


def window(phys, iova, size, users, state="active"):
    """A line of a listing."""
    return f"{phys:#018x} {iova:#018x} {size} {users} {state}"
