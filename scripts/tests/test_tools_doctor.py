# SPDX-License-Identifier: GPL-2.0
"""apple-dma doctor: every check, with a tree without problems and one with a problem."""

import json
import subprocess

import pytest
from conftest import TOP
from test_tools import COMPANION, TOOL, line_with, tool, tree, without_override
from tools_tree import MIB, RELEASE, VERSION

DEVICE = "0000:00:1e.0"
FOLDER = f"sys/devices/pci0000:00/{DEVICE}"
MODULE = f"lib/modules/{RELEASE}/updates/dkms/apple_dma.ko"
SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


@pytest.fixture
def doctor(tool):
    """Runs the doctor; the findings of one check as (outcome, text, cure in one string)."""
    def run(check):
        out = tool("doctor", "--json", expect=None)
        findings = [f for f in json.loads(out)["findings"] if f["check"] == check]
        assert findings, check
        return [(f["outcome"], f["text"], "\n".join(f["cure"])) for f in findings]
    return run


def secure_boot(tree, on=True):
    """The firmware's variable: four bytes of attributes, and one."""
    path = tree.path(SECURE_BOOT)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes([6, 0, 0, 0, int(on)]))


def mokutil(tree, answer):
    """A mokutil with one answer."""
    tree.write("usr/bin/mokutil", f"#!/bin/sh\necho '{answer}'\n")
    tree.path("usr/bin/mokutil").chmod(0o755)
    tree.write("var/lib/dkms/mok.pub", "a key")


CHECKS = ["kernel", "headers", "module", "signature", "parameters", "companion", "protocol",
          "device", "mapping", "driver", "guest IOMMU", "limits", "balloon", "firmware",
          "link and interrupts"]


def test_what_passed_is_one_line(tree, tool):
    tree.companion()
    assert tool("doctor").splitlines() == [f"✓ no problem: {', '.join(CHECKS)}", "",
                                           "All is well."]


def test_verbose_shows_what_passed(tree, tool):
    tree.companion()
    out = tool("doctor", "--verbose")
    assert [line.split(": ")[0] for line in out.splitlines()[:-2]] == [f"✓ {c}" for c in CHECKS]
    assert out.endswith("\nAll is well.\n")


def test_checks_come_in_order_and_say_what_to_do(tree, tool):
    tree.companion()
    tree.without_module()
    out = tool("doctor", "--verbose", expect=1)
    names = [line.split(": ")[0][2:] for line in out.splitlines() if line[:1] in "✓✗!–" and line]
    assert names == CHECKS
    assert "sudo modprobe apple_dma" in out and out.endswith("\n1 problem must be fixed.\n")


def test_checks_that_depend_on_a_problem_are_one_line(tree, tool):
    tree.companion()
    tree.without_module()
    lines = [line for line in tool("doctor", expect=1).splitlines() if line[:1] in tuple("✓✗!–")]
    assert [line.split(": ")[0] for line in lines] == [
        "✓ no problem", "✗ module", "! companion",
        "– not checked; it depends on what is wrong above"]
    assert lines[0].split(": ")[1] == "kernel, headers, signature, balloon"
    assert lines[3].split(": ")[1] == ("parameters, protocol, device, mapping, driver, guest IOMMU, "
                                       "limits, firmware, link and interrupts")


def test_one_device_of_two_with_a_problem_is_shown(tree, tool):
    """A check that passed for another device only is not among those that passed."""
    tree.companion()
    tree.companion("0000:00:05.0", "0000:02:00.0", None)
    out = tool("doctor", expect=1)
    assert line_with(out, "✓ driver") == "✓ driver: 0000:00:1e.0: nvme"
    assert "✗ driver: 0000:02:00.0 has no driver" in out
    assert "driver" not in line_with(out, "no problem").split(": ")[1].split(", ")


def test_kernel(tree, doctor):
    assert doctor("kernel")[0][0] == "ok"
    tree.remove("sys/module/apple_dma")
    assert doctor("kernel")[0][:2] == ("ok", f"{RELEASE} has DMA operations per device")
    tree.write(f"boot/config-{RELEASE}", "CONFIG_64BIT=y\nCONFIG_DMA_OPS=y\n")
    assert doctor("kernel")[0][0] == "ok"
    without = "CONFIG_64BIT=y\n# CONFIG_DMA_OPS is not set\nCONFIG_SWIOTLB=y\n"
    tree.write(f"boot/config-{RELEASE}", without)
    assert "premapped there, but it has no CONFIG_CONTIG_ALLOC" in doctor("kernel")[0][1]
    tree.write(f"boot/config-{RELEASE}", without + "CONFIG_CONTIG_ALLOC=y\n")
    outcome, text, cure = doctor("kernel")[0]
    assert outcome == "note" and "2 GiB are more than 1.39 GiB" in text
    assert "-m 1G" in cure and "CONFIG_ARCH_HAS_DMA_OPS" in cure and "CONFIG_XEN" in cure
    tree.write("proc/iomem", "40000000-7fffffff : System RAM\n")
    outcome, text, _ = doctor("kernel")[0]
    assert outcome == "ok" and "memory is premapped there: 1 GiB, which is little enough" in text
    tree.remove(f"boot/config-{RELEASE}")
    assert doctor("kernel")[0][0] == "skip"


def test_headers(tree, doctor):
    assert doctor("headers")[0][0] == "ok"
    tree.remove(f"lib/modules/{RELEASE}/build")
    outcome, _, cure = doctor("headers")[0]
    assert outcome == "note" and f"apt install linux-headers-{RELEASE}" in cure
    tree.remove("sys/module/apple_dma")
    tree.remove(MODULE)
    assert doctor("headers")[0][0] == "fail"


@pytest.mark.parametrize("release, package", [
    ("6.17.7-300.fc43.aarch64", "kernel-devel-6.17.7-300.fc43.aarch64"),
    ("6.17.7-400.asahi.fc43.aarch64+16k", "kernel-16k-devel-6.17.7-400.asahi.fc43.aarch64")])
def test_headers_of_fedora(tree, doctor, release, package):
    tree.write("proc/sys/kernel/osrelease", release)
    assert f"dnf install {package}\n" in doctor("headers")[0][2] + "\n"


def test_module(tree, doctor):
    assert doctor("module")[0][:2] == ("ok", f"loaded, version {VERSION}")
    tree.write("sys/module/apple_dma/version", "0.0.9")
    assert doctor("module")[0][0] == "note" and "reboot" in doctor("module")[0][2]
    tree.remove("sys/module/apple_dma")
    outcome, text, cure = doctor("module")[0]
    assert outcome == "fail" and "not loaded" in text and "modprobe apple_dma" in cure
    tree.log("apple_dma: loading out-of-tree module taints kernel.",
             "apple_dma: mode=fast is not known; it must be cached or strict")
    assert "mode=fast is not known" in doctor("module")[0][1]
    tree.remove(MODULE)
    assert "not installed" in doctor("module")[0][1]
    tree.write("var/lib/dkms/apple-dma/0.1.0/build/make.log", "error")
    assert "/var/lib/dkms/apple-dma/0.1.0/build/make.log" in doctor("module")[0][2]


def test_module_by_its_list(tree, doctor):
    """It may be in any folder: modules.dep has its path."""
    tree.remove(MODULE)
    tree.write(f"lib/modules/{RELEASE}/odd/apple_dma.ko.xz", "")
    tree.write(f"lib/modules/{RELEASE}/modules.dep", "odd/apple_dma.ko.xz:\n")
    assert doctor("module")[0][0] == "ok"


def test_signature_when_loaded(tree, doctor):
    secure_boot(tree)
    assert doctor("signature")[0][:2] == ("ok", "Secure Boot is on; the kernel took the module")


def test_signature_not_enrolled(tree, doctor):
    secure_boot(tree)
    tree.remove("sys/module/apple_dma")
    tree.path(MODULE).write_bytes(b"ELF" + b"~Module signature appended~\n")
    mokutil(tree, "/var/lib/dkms/mok.pub is not enrolled")
    outcome, text, cure = doctor("signature")[0]
    assert outcome == "fail" and "not enrolled" in text
    assert "mokutil --import /var/lib/dkms/mok.pub" in cure and cure.count("\n") == 2
    mokutil(tree, "/var/lib/dkms/mok.pub is already enrolled")
    assert doctor("signature")[0][:2] == (
        "ok", "Secure Boot is on; the module is signed with an enrolled key")


def test_signature_missing(tree, doctor):
    secure_boot(tree)
    tree.remove("sys/module/apple_dma")
    outcome, text, cure = doctor("signature")[0]
    assert outcome == "fail" and "is not signed" in text and "apple-dma-dkms" in cure
    secure_boot(tree, False)
    assert doctor("signature")[0][0] == "ok"
    tree.write("sys/kernel/security/lockdown", "none [integrity] confidentiality")
    assert "lockdown is integrity" in doctor("signature")[0][1]
    tree.remove("sys/kernel/security/lockdown")
    tree.write("sys/module/module/parameters/sig_enforce", "Y\n")
    outcome, text, _ = doctor("signature")[0]
    assert outcome == "fail" and "module.sig_enforce is on, and" in text


@pytest.mark.parametrize("line", [
    "Loading of module with unavailable key is rejected",
    "Loading of unsigned module is rejected",
    "dkms: modprobe: ERROR: could not insert 'apple_dma': Key was rejected by service",
    "Lockdown: modprobe: unsigned module loading is restricted; see man kernel_lockdown.7",
])
def test_a_refused_key_is_found_in_the_log(tree, doctor, line):
    tree.remove("sys/module/apple_dma")
    tree.path(MODULE).write_bytes(b"ELF" + b"~Module signature appended~\n")
    assert doctor("signature")[0][0] == "ok"
    tree.log(line)
    outcome, text, cure = doctor("signature")[0]
    assert outcome == "fail" and "the kernel refused the module" in text and "mokutil" in cure


def test_companion(tree, doctor):
    outcome, text, cure = doctor("companion")[0]
    assert outcome == "fail" and "1b36:0015" in text and "vfio-apple-pci" in cure
    tree.companion()
    assert doctor("companion") == [("ok", COMPANION, "")]
    tree.pci("0000:00:05.0", "0x1b36", "0x0015", "0x088000", "vfio-pci")
    tree.pci("0000:00:06.0", "0x1b36", "0x0015", "0x088000")
    found = doctor("companion")
    assert [f[0] for f in found] == ["ok", "fail", "fail"]
    assert "drivers/vfio-pci/unbind" in found[1][2] and "refused" in found[2][1]


def test_protocol(tree, doctor):
    tree.companion()
    assert doctor("protocol")[0][1].startswith(f"{COMPANION}: wide layout, up to 1428 MiB")
    tree.counter("broken", 1)
    tree.log(f"apple_dma {COMPANION}: the host broke the protocol: it chose device address 0. "
             "No more DMA is mapped; memory ...")
    outcome, text, cure = doctor("protocol")[0]
    assert outcome == "fail" and "it chose device address 0" in text and "report it" in cure


def test_each_companion_has_its_own_lines(tree, doctor):
    tree.companion()
    tree.companion("0000:00:05.0", "0000:02:00.0")
    tree.pci("0000:00:06.0", "0x1b36", "0x0015", "0x088000")
    tree.log("apple_dma 0000:00:05.0: ready: RFC layout, up to 1 MiB in 2 mappings, 3 in a batch",
             f"apple_dma {COMPANION}: the host broke the protocol: an old reason. No more DMA",
             f"apple_dma {COMPANION}: BAR 0 is not 0x1000 bytes of memory")
    tree.counter("broken", 1, "0000:00:05.0")
    first, second, third = (text for _, text, _ in doctor("protocol"))
    assert "wide layout, up to 1428 MiB" in first
    assert "the reason is in the kernel log" in second and "an old reason" not in second
    assert "the log has no reason" in third


@pytest.mark.parametrize("line, cure", [
    ("the host speaks protocol version 3, this module knows only 2", "newer apple_dma"),
    ("the host answers the layout probe in no known way (batch status 1, words 0x0 and 0x0); "
     "it needs a newer apple_dma", "newer apple_dma"),
    ("the host did not pass the layout probe: it is gone from the bus", "report it"),
    ("the host allows 0x0 entries in a batch, which cannot be", "report it"),
    ("BAR 0 is not 0x1000 bytes of memory", "report it"),
    ("the host names 0x12345 as the managed device, which is no PCI address", "report it"),
    ("the host names 00:1e.0 as the managed device, but the companion is on bus 01; put the "
     "companion on bus 0", "no bus= in -device"),
    ("the host says that the companion manages the bridge 0000:00:01.0; put the companion on bus "
     "0", "no bus= in -device"),
    ("the host says that the companion manages itself", "report it"),
    ("another companion manages 00:1e.0 already", "two companions"),
])
def test_why_a_companion_was_refused(tree, doctor, line, cure):
    tree.pci(COMPANION, "0x1b36", "0x0015", "0x088000")
    tree.log(f"apple_dma {COMPANION}: {line}")
    found = doctor("protocol")[0]
    assert found[0] == "fail" and line.split(";")[0] in found[1] and cure in found[2]


def test_the_messages_are_the_modules(tree):
    """The doctor looks for lines that the module prints."""
    source = "".join(path.read_text() for path in TOP.glob("driver/*.c"))
    for text in ("the host speaks protocol version", "answers the layout probe in no known way",
                 "the host did not pass the layout probe", "entries in a batch, which cannot be",
                 "bytes of memory", "as the managed device, which is no PCI address",
                 "as the managed device, but the companion is on bus",
                 "the host says that the companion manages the bridge",
                 "the host says that the companion manages", "another companion manages",
                 "cannot link %s to the companion", "the host broke the protocol: %s. No more DMA",
                 "ready: %s layout, up to", "waits for its device", "cannot bind a driver to",
                 "was bound to %s before apple_dma was there", "is behind an IOMMU of the guest",
                 "is not cache coherent", "cannot map",
                 "the limits are above what Macs are known to allow"):
        assert text in source, text


def test_managed(tree, doctor):
    tree.companion()
    assert doctor("device") == [("ok", f"{COMPANION} manages the NVMe disk {DEVICE}", "")]
    tree.companion("0000:00:05.0", None)
    tree.log("apple_dma 0000:00:05.0: waits for its device 02:00.0 to appear")
    outcome, text, cure = doctor("device")[1]
    assert outcome == "fail" and "waits for 02:00.0" in text and "cable" in cure


def test_driver(tree, doctor):
    tree.companion()
    assert doctor("driver") == [("ok", f"{DEVICE}: nvme", "")]
    tree.counter("live_mappings", 0)
    assert doctor("driver")[0][0] == "note"
    tree.counter("live_mappings", 5)
    tree.log(f"apple_dma {COMPANION}: {DEVICE} was bound to nvme before apple_dma was there; "
             "it is probed again")
    assert doctor("driver")[0][0] == "note"
    tree.remove(f"{FOLDER}/driver")
    outcome, text, cure = doctor("driver")[0]
    assert outcome == "fail" and "nvme knows it" in text and "modprobe nvme" in cure
    tree.write(f"lib/modules/{RELEASE}/modules.alias", "alias pci:v00001234d* other\n")
    assert "no module of" in doctor("driver")[0][1]
    tree.log(f"nvme {DEVICE}: probe with driver nvme failed with error -12")
    assert "failed with error -12" in doctor("driver")[0][1]


SGL = "sys/module/nvme/parameters/sgl_threshold"


@pytest.mark.parametrize("release, bug", [
    ("6.18.39+deb14-arm64", True), ("6.18.0-3-generic", True), ("6.18-amd64", True),
    ("6.18.0-rc7", True), ("6.18.40-arm64", False), ("6.18.100-arm64", False),
    ("6.17.9-arm64", False), ("6.1.180-amd64", False), ("7.3.4+deb13-arm64", False)])
def test_driver_with_the_sgl_bug(tree, doctor, release, bug):
    """Linux up to 6.18.39: nvme leaves mappings behind."""
    tree.companion()
    tree.write("proc/sys/kernel/osrelease", release)
    tree.write(SGL, "32768")
    found = doctor("driver")
    assert found[0][0] == "ok" and len(found) == 1 + bug
    if bug:
        outcome, text, cure = found[1]
        assert outcome == "note" and DEVICE in text and "first segment only" in text
        assert "6.18.40" in cure and f"echo 0 | sudo tee /{SGL}" in cure
        assert "options nvme sgl_threshold=0" in cure and "initramfs" in cure
    tree.write(SGL, "0")
    assert len(doctor("driver")) == 1


def test_sgl_bug_is_of_nvme_and_of_managed_disks(tree, doctor):
    tree.write("proc/sys/kernel/osrelease", "6.18.5-arm64")
    tree.write(SGL, "32768")
    tree.companion(driver="e1000e")
    tree.pci("0000:00:0a.0", "0x1b36", "0x0010", "0x010802", "nvme")    # not passed through
    assert doctor("driver") == [("ok", f"{DEVICE}: e1000e", "")]


def test_sgl_bug_of_a_driver_that_is_built_in(tree, doctor):
    """A file of modprobe.d would do nothing."""
    tree.write("proc/sys/kernel/osrelease", "6.18.5-cloud-amd64")
    tree.write(SGL, "32768")
    tree.companion(driver=None)
    tree.bind(DEVICE, "nvme", built_in=True)
    cure = doctor("driver")[1][2]
    assert "command line: nvme.sgl_threshold=0" in cure and "modprobe.d" not in cure


def test_iommu(tree, doctor):
    tree.companion()
    assert doctor("guest IOMMU")[0][0] == "ok"
    tree.write(f"{FOLDER}/iommu_group/type", "identity")
    assert doctor("guest IOMMU")[0][0] == "ok"
    tree.write(f"{FOLDER}/iommu_group/type", "DMA-FQ")
    outcome, _, cure = doctor("guest IOMMU")[0]
    assert outcome == "fail" and "virtio-iommu" in cure
    tree.remove(f"{FOLDER}/iommu_group")
    tree.log(f"apple_dma {COMPANION}: {DEVICE} is not cache coherent for the guest; its DMA ...")
    assert "cache coherent" in doctor("guest IOMMU")[0][1]
    tree.log(f"apple_dma {COMPANION}: {DEVICE} is behind an IOMMU of the guest or has DMA ...")
    assert "behind an IOMMU" in doctor("guest IOMMU")[0][1]


def test_limits(tree, doctor):
    tree.companion()
    assert doctor("limits") == [
        ("ok", f"{DEVICE}: 35 % of the bytes in use, no mapping failed", "")]
    tree.counter("map_failures", 5)
    assert "5 mappings failed" in doctor("limits")[0][1]
    tree.counter("failures_entries", 1)
    tree.counter("failures_mask", 4)
    tree.counter("live_mappings", 0)
    found = doctor("limits")
    assert [f[0] for f in found] == ["fail", "fail"]
    assert "4 mappings failed: the device cannot reach" in found[0][1]


def test_limits_near(tree, doctor):
    tree.companion(mapped_bytes=1395 * MIB, idle_bytes=0, idle_entries=0, bad_unmaps=2,
                   learned_entries=1000)
    tree.log(f"apple_dma {COMPANION}: the limits are above what Macs are known to allow (1 bytes")
    found = doctor("limits")
    assert [f[0] for f in found] == ["note"] * 4
    text = "\n".join(f[1] for f in found)
    assert "97.7" not in text and "98 % of the bytes are in use (1.36 GiB of 1.39 GiB)" in text
    assert "the host seems to allow only 1,000 registrations at once" in text
    assert "max_bytes or max_entries is above" in text and "2 times" in text


def test_idle_windows_are_not_near(tree, doctor):
    """Idle windows are given back when room is needed, so they are no problem."""
    tree.companion(mapped_bytes=1530 * MIB, idle_bytes=1200 * MIB)
    assert doctor("limits")[0][0] == "ok"


@pytest.mark.parametrize("device, what", [("0x1002", "balloon"), ("0x1045", "balloon"),
                                          ("0x1058", "virtio-mem")])
def test_balloon(tree, doctor, device, what):
    assert doctor("balloon") == [("ok", "none", "")]
    tree.pci("0000:00:09.0", "0x1af4", device, "0x00ff00")
    outcome, text, _ = doctor("balloon")[0]
    assert outcome == "note" and what in text and "0000:00:09.0" in text


def test_balloon_of_another_transport(tree, doctor):
    tree.write("sys/bus/virtio/devices/virtio0/device", "0x0005")
    assert "a balloon (virtio0)" in doctor("balloon")[0][1]


HINTS = "link and interrupts"


@pytest.mark.parametrize("line, text, cure", [
    (f"NVRM: Xid (PCI:{DEVICE[:7]}): 79, GPU has fallen off the bus.", "was lost",
     "Thunderbolt 5"),
    (f"nvme nvme0: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0xffff", "was lost",
     "cable"),
    (f"pcieport {DEVICE}: AER: Uncorrectable (Fatal) error message received", "errors on the link",
     "cable"),
    (f"pci {DEVICE}: BAR 1 [mem size 0x800000000 64bit pref]: can't assign; no space",
     "got no address", "highmem"),
    ("nvme nvme0: I/O tag 0 (1000) QID 0 timeout, completion polled", "interrupt", "nomsi"),
    ("irq 40: nobody cared (try booting with the irqpoll option)", "interrupt", "nomsi"),
    (f"nouveau {DEVICE}: unknown chipset (ffffffff)", "was lost", "cable"),
    (f"amdgpu {DEVICE}: amdgpu: Unable to locate a BIOS ROM", "ROM", "no ROM"),
])
def test_hints_of_the_log(tree, doctor, line, text, cure):
    tree.companion()
    assert doctor(HINTS)[0][0] == "ok"
    tree.log("nvme nvme0: 2/0/0 default/read/poll queues", line)
    found = doctor(HINTS)
    assert len(found) == 1 and found[0][0] == "note"
    assert text in found[0][1] and cure in found[0][2]


def test_hints_of_other_devices_are_not_ours(tree, doctor):
    tree.companion()
    tree.log("pci 0000:00:1f.3: BAR 1 [mem size 0x100]: can't assign; no space")
    assert doctor(HINTS)[0][0] == "ok"


def test_hints_of_the_device(tree, doctor):
    tree.companion()
    tree.write(f"{FOLDER}/resource", "0x0000000000000000 0x0000000000003fff 0x0000000000140204\n")
    assert doctor(HINTS)[0][:2] == ("fail", f"{DEVICE}: BAR 0 has no address")
    tree.path(f"{FOLDER}/config").write_bytes(b"\xff" * 64)
    assert "does not answer" in doctor(HINTS)[0][1]


def test_hints_of_interrupts(tree, doctor):
    tree.companion()
    tree.write("proc/interrupts", "     CPU0 CPU1\n 40:  0  0  ITS-MSI nvme0q0\n")
    assert "none of its 1 interrupt came yet" in doctor(HINTS)[0][1]
    tree.remove(f"{FOLDER}/msi_irqs")
    assert "uses no MSI" in doctor(HINTS)[0][1]


def test_without_root_the_log_is_not_seen(tree):
    tree.companion()
    tree.path("dev/kmsg").chmod(0)
    done = subprocess.run(without_override(TOOL, "--root", tree.top, "doctor"),
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "only root may read the kernel log" in line_with(done.stdout, "was not read")
