# SPDX-License-Identifier: GPL-2.0
"""Drivers and the module, loaded and unloaded in every order, on a disk's device."""

import shutil

import pytest

from conftest import NVME, TOP

PROBE = TOP / "scripts/tests/probe"

# The test driver's parameters, and how to load it for a device.
PROBES = r"""
probe_has() { local v=; read -r v <"/sys/module/apple_dma_probe/parameters/$1"; [ "$v" = "$2" ]; }
mappings() { [ "$(counter live_mappings)" = "$1" ]; }
"""


def with_probe(build_module):
    """The test driver, to be pushed."""
    return [f"{build_module(src=PROBE)}:/root/probe.ko"]


def test_other_drivers_have_the_device_in_between(testbed, disk, build_module):
    """One that maps, one that does not, and vfio-pci, which needs an IOMMU in the guest.

    Without an IOMMU its bind fails with Debian's kernels. A kernel with
    CONFIG_VFIO_NOIOMMU binds it, and it maps nothing.
    """
    drive, _ = disk()
    run = testbed(PROBES + r"""
await_disk
keep
start_load
unbind "$managed"
stop_load
await clean

insmod /root/probe.ko streaming=6 coherent=3 managed=2
bind_to "$managed" apple_dma_probe
mappings 11 || fail "$(counter live_mappings) mappings"
[ "$(host live)" -gt 0 ] || fail "nothing on the host"
unbind "$managed"
await clean

modprobe pci-stub
bind_to "$managed" pci-stub
[ "$(bound_to "$managed")" = pci-stub ] || fail "not pci-stub"
rmmod apple_dma 2>/dev/null && fail "unloaded under a driver"
clean || fail "pci-stub maps"
unbind "$managed"

modprobe vfio-pci
bind_to "$managed" vfio-pci && fail "vfio-pci without an IOMMU"
[ -z "$(bound_to "$managed")" ] || fail "bound to $(bound_to "$managed")"
await clean
knob=/sys/module/vfio/parameters/enable_unsafe_noiommu_mode
if [ -e $knob ]; then
	echo 1 >$knob
	bind_to "$managed" vfio-pci
	[ "$(bound_to "$managed")" = vfio-pci ] || fail "not vfio-pci"
	[ -c /dev/vfio/noiommu-0 ] || fail "no group"
	clean || fail "vfio-pci maps"
	unbind "$managed"
fi

override "$managed" ""
echo "$managed" >/sys/bus/pci/drivers/nvme/bind
await_disk
kept
verify again
counters
""", qemu=[drive], devices=NVME, host=["iova=reuse"], push=with_probe(build_module))
    assert run.value("bad_unmaps") == run.value("map_failures") == run.value("leaked_bytes") == 0
    assert run.companion()["live"] == run.companion()["faults"] == 0
    assert "mappings behind" not in run.console


@pytest.mark.full
def test_probes_that_fail_or_come_later(testbed, disk, build_module):
    """With a driver that unmaps everything and one that does not: six times, then the disk."""
    drive, _ = disk()
    run = testbed(PROBES + r"""
other=$(basename "$(dirname "$(grep -lx 0x0005 /sys/bus/pci/devices/*/device)")")
await_disk
keep
modprobe pci-stub
unbind "$managed"
await clean
override "$managed" apple_dma_probe
for leak in 0 1; do
	# ENODEV, ENOMEM: for good.
	for error in 19 12; do
		dmesg -C
		insmod /root/probe.ko streaming=5 coherent=3 managed=2 times=1 fail=-$error leak=$leak
		probe_has probes 1 || fail "no probe"
		[ -z "$(bound_to "$managed")" ] || fail "bound"
		await clean
		[ $leak = 0 ] || await "dmesg | grep -q 'left 5 DMA mappings behind'"
		[ $leak = 0 ] || dmesg | grep -q 'has yet to free 3 DMA allocations; they are unmapped'
		# It works the next time; what is left of the first one is in nobody's way.
		echo "$managed" >/sys/bus/pci/drivers_probe
		mappings 10 || fail "$error: $(counter live_mappings) mappings"
		rmmod apple_dma_probe
		await clean
	done

	# EPROBE_DEFER: the core tries again when another driver was bound.
	insmod /root/probe.ko streaming=5 coherent=3 managed=2 times=1 fail=-517 leak=$leak
	probe_has probes 1 || fail "no probe"
	[ -z "$(bound_to "$managed")" ] || fail "bound"
	await clean
	bind_to "$other" pci-stub
	await probe_has probes 2
	await '[ "$(bound_to "$managed")" = apple_dma_probe ]'
	mappings 10 || fail "deferred: $(counter live_mappings) mappings"
	unbind "$other"
	rmmod apple_dma_probe
	await clean
done
override "$managed" ""
echo "$managed" >/sys/bus/pci/drivers/nvme/bind
await_disk
kept
verify again
unbind "$managed"
counters
await unloaded apple_dma
""", qemu=[drive, "-device pci-testdev"], devices=NVME, push=with_probe(build_module))
    assert run.value("bad_unmaps") == run.value("map_failures") == run.value("leaked_bytes") == 0
    assert run.companion()["live"] == run.companion()["faults"] == 0


@pytest.mark.full
@pytest.mark.parametrize("mode", ["cached", "strict"])
def test_driver_that_gives_nothing_back(testbed, disk, build_module, mode):
    """The count is reported, the host forgets them at once, and the disk's driver is bound.

    The driver frees coherent memory at the end; then the module can be unloaded.
    """
    drive, _ = disk()
    run = testbed(PROBES + r"""
await_disk
keep
for round in 1 2 3; do
	unbind "$managed"
	await clean
	override "$managed" apple_dma_probe
	insmod /root/probe.ko streaming=12 coherent=4 managed=1 leak=1
	mappings 17 || fail "$(counter live_mappings) mappings"
	dmesg -C
	unbind "$managed"
	clean || fail "round $round: the host has $(host live)"
	dmesg | grep -q 'left 12 DMA mappings behind; they are released'
	dmesg | grep -q 'has yet to free 4 DMA allocations; they are unmapped'
	override "$managed" ""
	echo "$managed" >/sys/bus/pci/drivers/nvme/bind
	await_disk
	kept
	verify "r$round"
	[ $round = 3 ] || rmmod apple_dma_probe
done
counters
unbind "$managed"
rmmod apple_dma 2>/dev/null && fail "unloaded, and memory of a driver is to be freed"
rmmod apple_dma_probe
await unloaded apple_dma
""", qemu=[drive], devices=NVME, module=f"mode={mode}", push=with_probe(build_module))
    assert run.value("bad_unmaps") == run.value("map_failures") == run.value("leaked_bytes") == 0
    assert run.companion()["live"] == run.companion()["faults"] == 0


DURING = r"""
disk=$(grep -l 0x010802 /sys/bus/pci/devices/*/class)
disk=$(basename "${disk%/*}")
# The device as if the module had never been there: without its link, a driver
# is not kept from it. No driver of it is loaded.
fresh() {
	echo 1 >"/sys/bus/pci/devices/$disk/remove"
	echo 1 >/sys/bus/pci/rescan
}
again() { probe_has probes 2 && [ "$(bound_to "$disk")" = apple_dma_probe ] && mappings 8; }
"""


def test_module_loaded_during_a_probe(testbed, disk, build_module):
    """The module lets the probe end, and then makes it again with its ops."""
    drive, _ = disk()
    run = testbed(PROBES + DURING + r"""
await_disk
keep
unbind "$disk"
override "$disk" apple_dma_probe
insmod /root/probe.ko streaming=6 coherent=2 delay_ms=3000 & probing=$!
await probe_has probes 1
insmod "$APPLE_DMA_KO"
joined $probing
# Nor is it unloaded while a probe has its ops.
await probe_has probes 2
rmmod apple_dma 2>/dev/null && fail "unloaded during a probe"
await again
dmesg | grep "was bound to apple_dma_probe before apple_dma was there"
unbind "$disk"
await clean
override "$disk" ""
echo "$disk" >/sys/bus/pci/drivers/nvme/bind
await_disk
kept
verify again
counters
""", qemu=[drive], devices=NVME, no_module=True, host=["enforce=auto"],
                  push=with_probe(build_module))
    assert run.out.count("it is probed again") == 1
    assert run.value("bad_unmaps") == run.value("map_failures") == 0
    assert run.companion()["live"] == run.companion()["faults"] == 0


@pytest.mark.full
def test_module_loaded_at_every_moment_of_a_probe(testbed, disk, build_module):
    """Forty races: whoever comes first, the driver ends with the module's ops."""
    drive, _ = disk()
    run = testbed(PROBES + DURING + r"""
early=0 late=0
await_disk
keep
rmmod nvme
for round in $(seq 40); do
	fresh
	override "$disk" apple_dma_probe
	insmod /root/probe.ko streaming=6 coherent=2 delay_ms=100 & probing=$!
	# From long before the probe to its end, and after it.
	sleep "0.$(printf %02d $((round * 2)))"
	insmod "$APPLE_DMA_KO"
	joined $probing
	await mappings 8
	if probe_has probes 2; then late=$((late + 1)); else early=$((early + 1)); fi
	rmmod apple_dma_probe
	await clean
	await unloaded apple_dma
	[ "$(host live)" = 0 ] || fail "round $round: the host has $(host live)"
done
echo "early=$early"
echo "late=$late"
insmod "$APPLE_DMA_KO"
override "$disk" ""
modprobe nvme
await_disk
kept
counters
""", qemu=[drive], devices=NVME, no_module=True, host=["enforce=auto"], timeout=900,
                  push=with_probe(build_module))
    assert run.value("early") + run.value("late") == 40 and run.value("late") > 0
    assert run.companion()["live"] == run.companion()["faults"] == 0


@pytest.mark.full
def test_module_loaded_while_nvme_probes(testbed, disk):
    """The stock driver probes asynchronously, behind a DART that blocks everything.

    What it does before the module is loaded causes faults; later nothing does.
    """
    drive, _ = disk()
    run = testbed(PROBES + DURING + r"""
# The controller of the probe before may have its name for a while yet.
live() {
	local f
	for f in "/sys/bus/pci/devices/$disk"/nvme/nvme*; do
		node=/dev/${f##*/}n1
		[ "$(cat "$f/state")" = live ]
	done
}
await rmmod nvme
for round in $(seq 12); do
	fresh
	modprobe nvme & probing=$!
	sleep "0.$(printf %02d $((round * 8)))"
	insmod "$APPLE_DMA_KO"
	joined $probing
	await live
	await_disk
	before=$(host faults)
	verify "r$round"
	[ "$(host faults)" = "$before" ] || fail "round $round: faults with the module"
	[ "$(counter mapped_entries)" = "$(host live)" ] || fail "round $round: counts differ"
	rmmod nvme
	await clean
	await unloaded apple_dma
done
echo rounds=$round
""", qemu=[drive], devices=NVME, no_module=True, allow_faults=True, timeout=1500,
                  append="nvme_core.admin_timeout=2")
    assert run.value("rounds") == 12
    assert run.companion()["live"] == 0


@pytest.fixture
def next_version(build_module):
    """The module with another version number."""
    folder = TOP / "build" / "next-version"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("driver", "include"):
        shutil.copytree(TOP / name, folder / name)
    shutil.copy(TOP / "Kbuild", folder)
    text = (TOP / "dkms.conf").read_text(encoding="utf-8")
    (folder / "dkms.conf").write_text(
        text.replace('PACKAGE_VERSION="', 'PACKAGE_VERSION="next.'), encoding="utf-8")
    return build_module(src=folder)


@pytest.mark.full
def test_hundred_reloads_and_upgrades(testbed, disk, next_version):
    """By rmmod and insmod of two versions, and by modprobe; every tenth time with the disk."""
    drive, _ = disk()
    run = testbed(r"""
await_disk
keep
tree=/tmp/tree/lib/modules/$(uname -r)
mkdir -p "$tree"
cp "$APPLE_DMA_KO" "$tree/"
depmod -b /tmp/tree
override "$managed" none
unbind "$managed"
await unloaded apple_dma
modprobed() { modprobe -d /tmp/tree -r apple_dma || [ ! -e /sys/module/apple_dma ]; }
for round in $(seq 100); do
	remove="unloaded apple_dma" version=0.
	case $((round % 3)) in
	0) insmod "$APPLE_DMA_KO" ;;
	1) insmod /root/next.ko; version=next. ;;
	2) modprobe -d /tmp/tree apple_dma; remove=modprobed ;;
	esac
	case $(cat /sys/module/apple_dma/version) in
	"$version"*) ;;
	*) fail "round $round: version $(cat /sys/module/apple_dma/version)" ;;
	esac
	if [ $((round % 10)) = 0 ]; then
		override "$managed" ""
		echo "$managed" >/sys/bus/pci/drivers_probe
		await_disk
		kept
		verify "r$round"
		override "$managed" none
		$remove 2>/dev/null && fail "round $round: unloaded under the disk"
		unbind "$managed"
	fi
	await $remove
	[ "$(host live)" = 0 ] && [ "$(host live_bytes)" = 0 ] || fail "round $round: not clean"
done
echo rounds=$round
""", qemu=[drive], devices=NVME, host=["iova=random"], timeout=1500,
                  push=[f"{next_version}:/root/next.ko"])
    assert run.value("rounds") == 100
    assert run.companion()["live"] == run.companion()["faults"] == 0
    assert run.companion()["duplicate_handles"] == 0
