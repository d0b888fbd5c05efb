# SPDX-License-Identifier: GPL-2.0
"""apple-dma doctor: its advice is right, and would help."""

import time

import pytest
from conftest import TOP
from test_tools import COMPANION, line_with, tool, tree
from test_tools_doctor import DEVICE, FOLDER, HINTS, MODULE, doctor, secure_boot
from tools_tree import DEFAULTS, MIB, PARAMETERS, RELEASE

from apple_dma import root as root_module

# The initramfs has a copy of modprobe.d; the commands of both tools that make one.
REBUILD = ("update-initramfs -u", "dracut --force")


def fails_more(monkeypatch, tree, number):
    """NUMBER more mappings fail while the doctor runs."""
    def wait(_):
        tree.counter("map_failures", int(tree.path(
            f"sys/devices/pci0000:00/{COMPANION}/apple_dma/map_failures").read_text()) + number)
    monkeypatch.setattr(time, "sleep", wait)


# ---- dkms, boot files, load order

def test_an_unsigned_module_is_made_again(tree, doctor):
    """dkms autoinstall always skips an installed module."""
    secure_boot(tree)
    tree.remove("sys/module/apple_dma")
    tree.path("var/lib/dkms/apple-dma/0.1.0").mkdir(parents=True)
    for content in (b"ELF", b"ELF~Module signature appended~\n"):
        tree.path(MODULE).write_bytes(content)
        tree.log("Loading of unsigned module is rejected")
        _, _, cure = doctor("signature")[0]
        if content == b"ELF":
            assert f"sudo dkms unbuild apple-dma/0.1.0 -k {RELEASE}" in cure
            assert f"sudo dkms install apple-dma/0.1.0 -k {RELEASE}" in cure
        assert "autoinstall" not in cure


def test_the_packages_file_is_not_masked(tree, doctor):
    """A file of that name in /etc would hide the package's."""
    tree.remove("sys/module/apple_dma")
    _, _, cure = doctor("module")[0]
    assert "sudo modprobe apple_dma" in cure and "tee" not in cure
    tree.write("etc/modules-load.d/apple-dma.conf", "# nothing")
    _, _, cure = doctor("module")[0]
    assert "sudo rm /etc/modules-load.d/apple-dma.conf" in cure
    tree.remove("etc/modules-load.d/apple-dma.conf")
    tree.remove("usr/lib/modules-load.d/apple-dma.conf")
    _, _, cure = doctor("module")[0]
    assert "modules-load.d" not in cure and "make install" in cure


def early(tree, built_in):
    """nvme came before apple_dma."""
    tree.companion(driver=None)
    tree.bind(DEVICE, "nvme", built_in)
    tree.interrupts(DEVICE, 5)
    tree.log(f"apple_dma {COMPANION}: {DEVICE} was bound to nvme before apple_dma was there; "
             "it is probed again")


def test_no_softdep_is_advised(tree, doctor):
    """kmod uses one softdep line for a module, so ours would hide another one."""
    early(tree, built_in=False)
    outcome, text, cure = doctor("driver")[0]
    assert outcome == "note" and "nvme was there before apple_dma" in text
    assert "softdep" not in cure and all(word in cure for word in REBUILD)
    for file in (TOP / "tools").rglob("*"):
        assert not file.is_file() or b"softdep" not in file.read_bytes(), file


def test_a_built_in_driver_comes_first(tree, doctor):
    """The load order does not matter there: the second probe is normal."""
    early(tree, built_in=True)
    assert doctor("driver") == [("ok", f"{DEVICE}: nvme, which is built into the kernel and so "
                                 "was probed a second time", "")]


def test_an_old_module_may_be_in_the_initramfs(tree, doctor):
    """A reboot would load the same module again."""
    tree.write("sys/module/apple_dma/version", "0.0.9")
    cure = doctor("module")[0][2]
    assert all(word in cure for word in REBUILD)


# ---- verdicts

def test_a_transient_failure_is_no_error_until_reboot(tree, doctor, monkeypatch):
    tree.companion(map_failures=1, failures_memory=1)
    fails_more(monkeypatch, tree, 0)
    outcome, text, _ = doctor("limits")[0]
    assert outcome == "note" and "1 mapping failed" in text and "none while this looked" in text
    fails_more(monkeypatch, tree, 2)
    assert doctor("limits")[0][0] == "fail"


def test_failures_of_a_device_without_any_mapping_are_an_error(tree, doctor, monkeypatch):
    """Its driver may have given up."""
    tree.companion(map_failures=1, failures_memory=1, live_mappings=0)
    fails_more(monkeypatch, tree, 0)
    assert doctor("limits")[0][0] == "fail"


def test_not_all_is_well_if_a_check_was_skipped(tree, tool):
    tree.companion()
    assert tool("doctor").endswith("\nAll is well.\n")
    tree.remove("dev/kmsg")
    out = tool("doctor")
    assert "All is well" not in out
    assert line_with(out, "No problem was found") == ("No problem was found, but 1 check could not "
                                                      "be made.")


# ---- limits and parameters

def test_max_bytes_at_its_most_is_not_to_be_raised(tree, doctor, monkeypatch):
    fails_more(monkeypatch, tree, 1)
    tree.companion(map_failures=1, failures_bytes=1)
    assert "raise" not in doctor("limits")[0][2]
    tree.counter("limit_bytes", 512 * MIB)
    tree.counter("mapped_bytes", 511 * MIB)
    tree.counter("idle_bytes", 0)
    cures = [cure for _, _, cure in doctor("limits")]
    assert len(cures) == 2      # the failure, and that it is near the limit
    for cure in cures:
        assert f"options apple_dma max_bytes={1428 * MIB}" in cure


def test_every_advised_option_reaches_the_initramfs(tree, doctor, monkeypatch):
    fails_more(monkeypatch, tree, 1)
    tree.companion(map_failures=4, limit_bytes=MIB, limit_entries=10, mapped_entries=10,
                   idle_entries=0, mode="strict",
                   **{n: 1 for n in DEFAULTS if n.startswith("failures_")})
    tree.log(f"apple_dma {COMPANION}: the limits are above what Macs are known to allow (1 bytes")
    tree.pci("0000:01:00.1", "0x10de", "0x22bb", "0x040300")
    tree.companion("0000:00:05.0", None)
    tree.link("sys/devices/pci0000:00/0000:00:05.0/apple_dma/managed",
              "sys/devices/pci0000:00/0000:01:00.1")
    tree.bind("0000:01:00.1", "snd_hda_intel")
    found = doctor("limits") + doctor(HINTS)
    advised = [cure for _, _, cure in found if "modprobe.d" in cure or "options " in cure]
    assert len(advised) >= 5
    for cure in advised:
        assert all(word in cure for word in REBUILD), cure
    tree.remove("sys/module/apple_dma")
    tree.log("apple_dma: mode=fast is not known; it must be cached or strict")
    cure = doctor("module")[0][2]
    assert "modprobe.d" in cure and all(word in cure for word in REBUILD)


def test_manuals_say_that_the_initramfs_has_a_copy():
    """In every text that names modprobe.d."""
    for page in ("tools/man/apple_dma.4", "Documentation/troubleshooting.md"):
        text = (TOP / page).read_text().replace("\\-", "-")
        assert "modprobe.d" in text and all(word in text for word in REBUILD), page


def test_what_the_host_allows_now_is_not_made_permanent(tree, doctor):
    tree.companion(learned_bytes=512 * MIB, learned_entries=1000)
    found = doctor("limits")
    assert [f[0] for f in found] == ["note", "note"]
    for _, text, cure in found:
        assert "now" in text and "modprobe.d" not in cure and "options" not in cure


def test_a_host_that_refused_is_no_reason_to_lower_limits(tree, doctor, monkeypatch):
    fails_more(monkeypatch, tree, 1)
    tree.companion(map_failures=1, failures_host=1)
    assert "max_" not in doctor("limits")[0][2]


def test_parameters_in_force_are_shown(tree, doctor):
    outcome, text, _ = doctor("parameters")[0]
    assert outcome == "ok"
    for name, value in PARAMETERS.items():
        assert f"{name}={value}" in text


def test_a_file_that_did_not_reach_the_initramfs_is_seen(tree, doctor):
    tree.write("etc/modprobe.d/apple-dma-local.conf", "# mine\noptions apple-dma \\\n  mode=strict")
    found = doctor("parameters")
    assert len(found) == 1 and found[0][0] == "note"
    assert "mode is cached" in found[0][1] and "apple-dma-local.conf" in found[0][1]
    assert "strict" in found[0][1] and all(word in found[0][2] for word in REBUILD)
    tree.write("sys/module/apple_dma/parameters/mode", "strict")
    assert doctor("parameters")[0][0] == "ok"


def test_modprobe_files_are_read_as_kmod_does(tree, doctor):
    """/etc hides a file of the same name, the last name wins, then the command line; 0x is 16."""
    tree.write("usr/lib/modprobe.d/a.conf", "options apple_dma idle_ms=1")
    tree.write("etc/modprobe.d/a.conf", "options apple_dma idle_ms=0xea60")
    tree.write("etc/modprobe.d/0.conf", "options apple_dma idle_ms=2\noptions nvme idle_ms=3")
    tree.write("etc/modprobe.d/z.old", "options apple_dma idle_ms=4")
    assert doctor("parameters")[0][0] == "ok"
    tree.write("proc/cmdline", "quiet apple_dma.idle_ms=5 apple-dma.mode=strict")
    assert [f[0] for f in doctor("parameters")] == ["note", "note"]
    assert "idle_ms is 60000" in doctor("parameters")[0][1]
    assert "command line says 5" in doctor("parameters")[0][1]


# ---- what cannot help

def test_no_rom_reaches_the_guest(tree, doctor):
    tree.companion()
    tree.log(f"amdgpu {DEVICE}: amdgpu: Unable to locate a BIOS ROM")
    outcome, text, cure = doctor(HINTS)[0]
    assert outcome == "note" and "ROM" in text
    assert "romfile" not in cure and "no ROM" in cure


def test_snd_hda_intel_turns_msi_off_by_itself(tree, doctor):
    tree.companion(driver=None)
    tree.bind(DEVICE, "snd_hda_intel")
    cure = doctor(HINTS)[0][2]
    assert "options snd_hda_intel enable_msi=1" in cure and "nomsi" not in cure
    tree.remove(f"{FOLDER}/driver")
    tree.bind(DEVICE, "nvme")
    cure = doctor(HINTS)[0][2]
    assert "enable_msi" not in cure and "nomsi" in cure


def test_no_root_port_is_advised(tree, doctor):
    """Behind such a port Linux looks for one device only, so it does not find the companion."""
    tree.companion()
    tree.log(f"pci {DEVICE}: BAR 1 [mem size 0x800000000 64bit pref]: can't assign; no space")
    cure = doctor(HINTS)[0][2]
    assert "highmem" in cure and "pcie-root-port" not in cure


def test_a_missing_companion_may_be_off_or_behind_a_port(tree, doctor):
    cure = doctor("companion")[0][2]
    assert "dma-companion=on" in cure
    assert "must not be behind a pcie-root-port" in cure


# ---- addresses beyond the device's mask

OLD_LINE = "the host's address is beyond the device's DMA mask"
NEW_LINE = "the host's address 0x2480000000 is beyond the device's DMA mask 0xffffffff"


def beyond_mask(tree, monkeypatch, line, driver="e1000", bits=32):
    """A device whose mappings fail because of its mask."""
    fails_more(monkeypatch, tree, 1)
    tree.companion(map_failures=3, failures_mask=3, driver=driver)
    tree.write(f"{FOLDER}/dma_mask_bits", str(bits))
    tree.log(f"apple_dma {COMPANION}: cannot map 4096 bytes: {line}; now 1 of 2 bytes and 3 of 4 "
             "entries")


@pytest.mark.parametrize("line", [OLD_LINE, NEW_LINE])
def test_a_mask_that_is_too_narrow(tree, doctor, monkeypatch, line):
    beyond_mask(tree, monkeypatch, line)
    outcome, text, cure = doctor("limits")[0]
    assert outcome == "fail" and "32 address bits" in text
    assert "modinfo -p e1000" in cure and "another device" in cure
    assert "no option of QEMU makes the host choose lower addresses" in cure
    assert ("0x2480000000" in text and "38 bits" in text) == (line == NEW_LINE)


def test_a_driver_that_maps_before_it_sets_its_mask(tree, doctor, monkeypatch):
    """nouveau does; the mask is wide afterwards, so the device is not at fault."""
    beyond_mask(tree, monkeypatch, NEW_LINE, "nouveau", 40)
    _, text, cure = doctor("limits")[0]
    assert "0x2480000000" in text
    assert "nouveau maps before it sets its DMA mask" in cure and "modinfo" not in cure


def test_the_line_of_a_narrow_mask_is_the_modules():
    """In one of the two forms that the doctor knows."""
    source = (TOP / "driver/map.c").read_text()
    assert OLD_LINE in source or "is beyond the device's DMA mask" in source


# ---- the firmware

RAW = "sys/firmware/qemu_fw_cfg/by_name/bootorder/raw"


def test_firmware_without_a_boot_order_connects_every_disk(tree, doctor):
    tree.companion()
    assert doctor("firmware")[0][0] == "ok"
    tree.path("sys/firmware/efi").mkdir(parents=True)
    outcome, text, cure = doctor("firmware")[0]
    assert outcome == "skip" and "qemu_fw_cfg" in text and "sudo modprobe qemu_fw_cfg" in cure
    tree.path("sys/firmware/qemu_fw_cfg/by_name").mkdir(parents=True)
    for content in (None, b"", b"\0", b"HALT", b"\nHALT\0"):
        if content is not None:
            tree.write(RAW, "")
            tree.path(RAW).write_bytes(content)
        outcome, text, cure = doctor("firmware")[0]
        assert outcome == "note" and "no boot order" in text and DEVICE in text, content
        assert "bootindex=0" in cure
    tree.path(RAW).write_bytes(b"/pci@i0cf8/scsi@3/disk@0,0\n/pci@i0cf8/ethernet@2\0")
    assert doctor("firmware") == [
        ("ok", "EFI; QEMU's boot order begins with /pci@i0cf8/scsi@3/disk@0,0", "")]


def test_a_boot_order_with_the_passed_through_disk(tree, doctor):
    tree.companion(managed="0000:00:1e.0")
    tree.path("sys/firmware/efi").mkdir(parents=True)
    tree.write(RAW, "")
    tree.path(RAW).write_bytes(b"/pci@i0cf8/pci-bridge@1/disk@1e\n/pci@i0cf8/disk@1e,1/x@0\0")
    assert doctor("firmware")[0][0] == "ok"
    tree.path(RAW).write_bytes(b"/pci@i0cf8/disk@1\n/pci@i0cf8/disk@1e/disk@0\0")
    outcome, text, cure = doctor("firmware")[0]
    assert outcome == "note" and "0000:00:1e.0" in text and "no bootindex" in cure


def test_firmware_has_no_driver_for_a_sound_device(tree, doctor):
    tree.companion()
    tree.write(f"{FOLDER}/class", "0x040300")
    tree.path("sys/firmware/efi").mkdir(parents=True)
    tree.write(RAW, "")
    assert doctor("firmware")[0][0] == "ok"


def test_the_boot_order_needs_root(tree, doctor, monkeypatch):
    tree.companion()
    tree.path("sys/firmware/efi").mkdir(parents=True)
    tree.write(RAW, "")
    read = root_module.Root.read_bytes

    def denied(self, name, limit=-1):
        if name.endswith("bootorder/raw"):
            raise root_module.NeedsRoot(name)
        return read(self, name, limit)
    monkeypatch.setattr(root_module.Root, "read_bytes", denied)
    outcome, text, cure = doctor("firmware")[0]
    assert outcome == "skip" and "only root" in text and "sudo apple-dma doctor" in cure


# ---- another module of the same name

def test_a_foreign_module_of_the_same_name(tree, tool, doctor):
    tree.companion()
    tree.foreign_module()
    outcome, text, cure = doctor("module")[0]
    assert outcome == "fail"
    assert "another project's module named apple_dma (version 0.1.105) is loaded" in text
    assert "modinfo -n apple_dma" not in cure and all(word in cure for word in REBUILD)
    assert cure.splitlines()[1:4] == [
        "sudo dkms remove apple-dma/0.1.105 --all", "sudo rm -r /usr/src/apple-dma-0.1.105",
        "sudo rm /etc/modprobe.d/apple-dma-options.conf /etc/modules-load.d/apple-dma-load.conf"]
    assert doctor("companion")[0][0] == "fail"
    assert "the module runs on it" not in doctor("kernel")[0][1]
    out = tool("doctor", expect=1)
    assert "understood the host" not in out and "waits for its device" not in out
    out = tool("status", "--interval", "0", expect=1)
    assert "another project's module named apple_dma" in out


def test_a_foreign_module_without_other_traces(tree, doctor):
    """Nobody knows how it came here, so its file has to be found."""
    tree.companion()
    tree.foreign_module()
    for name in ("etc", "var", "usr/src"):
        tree.remove(name)
    assert "modinfo -n apple_dma" in doctor("module")[0][2]


def test_a_foreign_module_of_a_package(tree, doctor):
    """Its package has the name of ours; dkms is the package's business."""
    tree.companion()
    tree.foreign_module()
    tree.write("var/lib/dpkg/info/apple-dma-dkms.list", "/usr/src/apple-dma-0.1.105/dkms.conf")
    cure = doctor("module")[0][2]
    assert "sudo apt purge apple-dma-dkms" in cure and "dkms remove" not in cure


def test_files_of_a_foreign_module_beside_ours(tree, doctor):
    """dkms would build it for the next kernel; its options would be for ours."""
    tree.companion()
    assert len(doctor("module")) == 1
    tree.write("usr/src/apple-dma-0.1.0/dkms.conf",
               'POST_INSTALL="packaging/update-initramfs $kernelver"')
    tree.path("var/lib/dkms/apple-dma/0.1.0").mkdir(parents=True)
    tree.path("var/lib/dkms/apple-dma/kernel-6.1-x86_64").mkdir(parents=True)
    assert len(doctor("module")) == 1       # our sources
    tree.write("usr/src/apple-dma-0.1.105/dkms.conf", 'PACKAGE_NAME="apple-dma"')
    tree.write("etc/modprobe.d/apple-dma-options.conf",
               "options apple_dma window_shift=18\noptions snd-hda-intel enable_msi=1")
    good, (outcome, text, cure) = doctor("module")
    assert good[0] == "ok" and outcome == "note"
    assert "/usr/src/apple-dma-0.1.105, /etc/modprobe.d/apple-dma-options.conf" in text
    assert "sudo dkms remove apple-dma/0.1.105 --all" in cure and "apple-dma/0.1.0 " not in cure
    assert "sudo rm /etc/modprobe.d/apple-dma-options.conf\n" in cure
    assert "an option for the sound card" in cure and all(word in cure for word in REBUILD)


@pytest.mark.parametrize("value, in_force, well", [("1", "Y", True), ("y", "Y", True),
                                                   ("0", "N", True), ("1", "N", False)])
def test_a_switch_is_printed_as_a_letter(tree, doctor, value, in_force, well):
    tree.write("sys/module/apple_dma/parameters/budget_per_device", in_force)
    tree.write("etc/modprobe.d/a.conf", f"options apple_dma budget_per_device={value}")
    assert (doctor("parameters")[0][0] == "ok") == well
