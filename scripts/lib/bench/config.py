# SPDX-License-Identifier: GPL-2.0
"""The configurations that are compared."""

from dataclasses import dataclass

from testbed import arch as arches
from testbed.errors import allowed

# A kernel of arm64 has the architecture in its name, as Debian's packages have.
NEWEST = "newest"
OLDEST = "6.1"
NEWEST_ARM64 = f"{NEWEST}-arm64"
OLDEST_ARM64 = f"{OLDEST}-arm64"
ARM64 = (OLDEST_ARM64, NEWEST_ARM64)
X86_64 = (OLDEST, NEWEST)
BENCH = "bench"         # built here, with the kernel's own benchmark; x86_64


def platform(name):
    """(Arch, the testbed's name of the kernel) of the benchmark's kernel NAME."""
    for arch in arches.ARCHES.values():
        if name.endswith(f"-{arch.name}"):
            return arch, name.removesuffix(f"-{arch.name}")
    return arches.X86_64, name


def platform_label(name):
    """The kernel NAME as tables and targets call it."""
    arch, kernel = platform(name)
    return f"{arch.name}, Linux {kernel}"


@dataclass(frozen=True)
class Config:
    """One way a guest maps memory for a device."""

    name: str
    label: str
    module: str = ""        # parameters of apple_dma; empty: not loaded, no DART
    qemu: str = ""          # arguments for QEMU, before the devices
    bus: str = "pcie.0"     # where the devices' ports are
    append: str = ""        # kernel arguments
    driver: str = ""        # a module to load before the devices' drivers
    domain: str = ""        # the type of the device's IOMMU group
    kernels: tuple = ARM64 + X86_64 + (BENCH,)

    premap: bool = False    # its memory is registered once

    @property
    def windows(self):
        """Whether a map may ring a doorbell."""
        return self.apple and not self.premap

    @property
    def apple(self):
        """Whether the devices are behind a DART, with apple_dma."""
        return bool(self.module)


_INTEL = {"qemu": "-device intel-iommu,intremap=off", "kernels": X86_64 + (BENCH,)}
_SMMU = {"qemu": "-machine iommu=smmuv3", "kernels": ARM64}
# Its driver is a module on the testbed's disk, so that disk cannot be behind it.
_VIRTIO = {"qemu": "-machine default_bus_bypass_iommu=on -device virtio-iommu-pci "
                   "-device pxb-pcie,id=bench-root,bus=pcie.0,bus_nr=64",
           "bus": "bench-root", "driver": "virtio_iommu",
           "kernels": (NEWEST,)}         # Debian's 6.1 has no driver for it

CONFIGS = (
    Config("none", "no IOMMU (dma-direct)"),
    Config("intel-lazy", "intel-iommu, lazy", append="intel_iommu=on iommu.strict=0",
           domain="DMA-FQ", **_INTEL),
    Config("intel-strict", "intel-iommu, strict", append="intel_iommu=on iommu.strict=1",
           domain="DMA", **_INTEL),
    Config("smmu-lazy", "SMMUv3, lazy", append="iommu.strict=0", domain="DMA-FQ", **_SMMU),
    Config("smmu-strict", "SMMUv3, strict", append="iommu.strict=1", domain="DMA", **_SMMU),
    Config("virtio-lazy", "virtio-iommu, lazy", append="iommu.strict=0", domain="DMA-FQ",
           **_VIRTIO),
    Config("virtio-strict", "virtio-iommu, strict", append="iommu.strict=1", domain="DMA",
           **_VIRTIO),
    Config("swiotlb", "swiotlb=force", append="swiotlb=force"),
    Config("cached", "apple_dma, cached", module="mode=cached doorbell_us=0"),
    Config("strict", "apple_dma, strict", module="mode=strict doorbell_us=0"),
    Config("premap", "apple_dma, premapped memory", module="ops=premap", premap=True),
)
NAMES = tuple(config.name for config in CONFIGS)


def choose(text):
    """The Configs named in TEXT, comma-separated; all of them for None."""
    if text is None:
        return list(CONFIGS)
    wanted = text.split(",")
    for name in wanted:
        if name not in NAMES:
            raise allowed("configuration", name, NAMES)
    return [config for config in CONFIGS if config.name in wanted]
