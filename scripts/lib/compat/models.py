# SPDX-License-Identifier: GPL-2.0
"""The device models of the table, and which of them share a guest."""

from dataclasses import dataclass

DISK, NET, SCREEN, SOUND = "disk", "net", "screen", "sound"

DISK_MIB = 128          # of the images; a power of two, as SD cards want it


@dataclass(frozen=True)
class Model:
    """One device model. In `device` and `more`, {i} is its number in the guest."""

    name: str           # of the row
    kind: str
    device: str         # --device
    driver: str         # the driver of it, or of what is behind it
    more: str = ""      # --qemu
    bits: int = 47      # of the DART's addresses
    suite: str = ""     # --qemu-suite
    leaves: str = ""    # what its driver leaves mapped when unbound, which DMA_API_DEBUG reports
    note: str = ""      # for the reader of the table
    cannot: str = ""    # why it cannot be run


def _scsi(name, model, driver, disk="", **options):
    return Model(name, DISK, f"{model},id=c{{i}}", driver,
                 more="-device scsi-hd,bus=c{i}.0,drive=d{i}" + disk, **options)


def _nic(name, driver, model=None, **options):
    return Model(name, NET, f"{model or name},netdev=n{{i}}", driver, **options)


def _audio(name, model, driver, codec="", **options):
    return Model(name, SOUND, model, driver, more=codec, **options)


NARROW = "wants addresses below 4 GiB, and the DART gives it such"

MODELS = (
    Model("nvme", DISK, "nvme,drive=d{i},serial=c{i}", "nvme"),
    Model("ich9-ahci", DISK, "ich9-ahci,id=c{i}", "ahci",
          more="-device ide-hd,drive=d{i},bus=c{i}.0"),
    Model("virtio-blk", DISK, "virtio-blk-pci,drive=d{i}", "virtio_blk"),
    _scsi("virtio-scsi", "virtio-scsi-pci", "virtio_scsi", leaves="its 8 event buffers"),
    Model("qemu-xhci", DISK, "qemu-xhci,id=c{i}", "usb-storage",
          more="-device usb-storage,drive=d{i},bus=c{i}.0"),
    Model("qemu-xhci-uas", DISK, "qemu-xhci,id=c{i}", "uas",
          more="-device usb-uas,id=u{i},bus=c{i}.0 -device scsi-hd,bus=u{i}.0,drive=d{i}"),
    _scsi("megasas", "megasas", "megaraid_sas", bits=32, note=NARROW),
    _scsi("megasas-gen2", "megasas-gen2", "megaraid_sas", bits=32, note=NARROW),
    # The model takes the disk's world wide name for its SAS address, and the
    # driver passes over a disk without one.
    _scsi("mptsas1068", "mptsas1068", "mptsas", ",wwn=0x5000c50000000{i:03x}"),
    _scsi("lsi53c895a", "lsi53c895a", "sym53c8xx", cannot="QEMU's model fetches the chip's scripts "
          "from the chip's own memory, a BAR, through the IOMMU; lsi53c810's reaches its registers "
          "so"),
    _scsi("pvscsi", "pvscsi", "vmw_pvscsi", cannot="QEMU's model reads requests and writes "
          "completions at physical addresses, past any IOMMU"),
    Model("sdhci-pci", DISK, "sdhci-pci,id=c{i}", "sdhci-pci",
          more="-device sd-card,drive=d{i}", bits=32, note=NARROW),
    _nic("e1000e", "e1000e"),
    _nic("igb", "igb", suite="trixie", note="QEMU 10.0; Debian 12's has no igb"),
    _nic("virtio-net", "virtio_net", "virtio-net-pci"),
    _nic("vmxnet3", "vmxnet3"),
    _nic("rtl8139", "8139cp"),
    Model("virtio-gpu", SCREEN, "virtio-gpu-pci,id=screen,xres=640,yres=480", "virtio_gpu"),
    _audio("intel-hda", "intel-hda,id=c{i}", "snd_hda_intel",
           "-device hda-duplex,bus=c{i}.0,audiodev=a{i},mixer=off,use-timer=off"),
    _audio("AC97", "AC97,audiodev=a{i}", "snd_intel8x0", bits=32, note=NARROW),
    _audio("ES1370", "ES1370,audiodev=a{i}", "snd_ens1370", bits=32, note=NARROW),
)

BY_NAME = {model.name: model for model in MODELS}

# Devices that run at the same time, each with its companion.
BUSY = (
    ("nvme", "e1000e"),
    ("virtio-blk", "virtio-net"),
    ("nvme", "e1000e", "qemu-xhci", "ich9-ahci"),
    ("virtio-scsi", "vmxnet3", "virtio-gpu", "intel-hda"),
)


def backend(model, number, folder):
    """QEMU's arguments for what is behind device NUMBER: a disk, a network, ..."""
    if model.kind == DISK:
        return (f"-drive file={folder}/d{number}.img,if=none,id=d{number},format=raw,"
                "cache=unsafe,discard=unmap")
    if model.kind == NET:
        # `cat` sends back what goes to port 7.
        net = f"10.{100 + number}.0"
        return (f"-netdev user,id=n{number},restrict=on,net={net}.0/24,"
                f"guestfwd=tcp:{net}.100:7-cmd:cat")
    if model.kind == SOUND:
        # A rate that each model has, so that QEMU resamples nothing.
        return (f"-audiodev wav,id=a{number},path={folder}/a{number}.wav,out.frequency=44100,"
                "out.channels=2,out.format=s16")
    return ""
