# SPDX-License-Identifier: GPL-2.0
"""Premapped memory while drivers, modules, memory and the host come, go and fail."""

import pytest

import test_vm_functions
from conftest import EXIT_KERNEL_REPORT, NVME, TOP
from test_vm_memory import DIMM
from test_vm_premap import ENDED, QUICK_NVME, SLEEP, TOOLS, check, with_node, with_probe
from test_vm_reboot import KEXEC
from test_vm_suspend import HIBERNATION, SWAP

PROBED = TOOLS + r"""
probe() {	# DEVICE OPTION...: bound to the test driver, with these parameters
	override "$1" apple_dma_probe
	insmod /root/probe.ko "${@:2}"
	within 60 [ "$(bound_to "$1")" = apple_dma_probe ] || bind_to "$1" apple_dma_probe
	[ "$(bound_to "$1")" = apple_dma_probe ] || fail "not bound"
}
far() { dmesg | sed -n 's/.*apple_dma_probe: far //p' | tail -n1; }
"""


def only_refused_maps(run):
    """The kernel warns once, when it refuses a map. It has nothing else to report."""
    assert run.console.count("cut here") == run.console.count("overflow (mask ") == 1
    for report in ("Oops", "BUG: ", "INFO: task"):
        assert report not in run.console


def test_old_table_is_kept(testbed, disk, build_module):
    """Memory that a driver frees after its unbind, two arenas and two drivers later. A bind
    before which the firmware sets the limit of the device is like any other. No bounce pool
    is needed."""
    drive, _ = disk()
    run = testbed(PROBED + r"""
await_disk
keep
unbind "$managed"
probe "$managed" streaming=6 coherent=30 atomic=4 leak=1 limits="$managed"
unbind "$managed"
await unloaded apple_dma
[ "$(host live)" = 0 ] || fail "unloaded: $(host live)"
# Other addresses, for the same memory.
insmod "$APPLE_DMA_KO" ops=premap
await '[ "$(bound_to "$managed")" = apple_dma_probe ]'
listen
unbind "$managed"
override "$managed" ""
echo "$managed" >/sys/bus/pci/drivers/nvme/bind
await_disk
unbind "$managed"
quiet "two drivers"
# Frees what it has allocated in both arenas.
rmmod apple_dma_probe
echo "$managed" >/sys/bus/pci/drivers/nvme/bind
await_disk
kept
verify late
agree end
counters
unbind "$managed"
await unloaded apple_dma
""", qemu=[drive], devices=NVME, module="ops=premap", append="iommu=soft swiotlb=noforce",
                  push=with_probe(build_module))
    check(run)


def test_memory_and_a_balloon_come_late(testbed, disk):
    """Memory is refused. With a balloon nothing more is mapped, and the driver can be unbound
    although it retries what it cannot map."""
    drive, _ = disk()
    ports = "-device pcie-root-port,id=late,chassis=99,bus=pcie.0,addr=0xf -m slots=2,maxmem=2G"
    run = testbed(TOOLS + DIMM + r"""
await_disk
keep
listen
host-ask monitor object_add memory-backend-ram,id=m1,size=256M >/dev/null
host-ask monitor device_add pc-dimm,id=dimm1,memdev=m1 >/dev/null
await 'dmesg | grep -q "memory cannot be added while it is premapped"'
verify refused
agree "memory refused"
quiet "memory"
start_load
modprobe virtio_balloon
host-ask monitor device_add virtio-balloon-pci,id=balloon0,bus=late >/dev/null
await 'dmesg | grep -q "takes memory that is premapped: nothing more is mapped"'
[ "$(host live)" -gt 0 ] || fail "what was mapped is gone"
unbind "$managed" & unbinding=$!
within 100 eval '[ -z "$(bound_to "$managed")" ]' || fail "it cannot be unbound"
joined $unbinding
stop_load
[ "$(host live)" = 0 ] || fail "unbound: $(host live)"
echo "$managed" >/sys/bus/pci/drivers/nvme/bind 2>/dev/null || true
refused balloon "virtio-mem gives its memory back"
counters
""", qemu=[drive, ports], devices=NVME, module="ops=premap",
                  append="memhp_default_state=online", expect=EXIT_KERNEL_REPORT)
    only_refused_maps(run)
    assert run.value("broken") == run.companion()["faults"] == 0


@pytest.mark.full
def test_arena_that_moved_is_not_used(testbed, disk):
    """The host forgets it while the guest sleeps, and no driver is bound."""
    drive, _ = disk()
    run = testbed(SLEEP + r"""
await_disk
keep
unbind "$managed"
snooze ram
echo "$managed" >/sys/bus/pci/drivers/nvme/bind
await_disk
kept
agree end
counters
unbind "$managed"
await unloaded apple_dma
""", qemu=[drive], devices=NVME, host=["iova=random", "forget=all"], module="ops=premap",
                  append=QUICK_NVME)
    check(run)


@pytest.mark.full
def test_broken_host(testbed, disk):
    """The device may map no more, its driver is told, and no other one is served."""
    drive, _ = disk()
    run = testbed(SLEEP + r"""
await_disk
keep
start_load
host-set companion0 lie bad-batch-status
snooze platform
await '[ "$(counter broken)" = 1 ]'
await 'dmesg | grep -q "the host broke the protocol"'
# It ends, although the driver retries what it cannot map.
unbind "$managed"
stop_load
host-set companion0 lie none
for round in 1 2; do
	dmesg -C
	echo "$managed" >/sys/bus/pci/drivers/nvme/bind 2>/dev/null || true
	await 'dmesg | grep -q "cannot work: the companion is broken"'
	await '[ -z "$(bound_to "$managed")" ]'
done
""", qemu=[drive], devices=NVME, module="ops=premap", append=QUICK_NVME, expect=None)
    assert run.status in (0, EXIT_KERNEL_REPORT), run.out + run.err
    if run.status:
        only_refused_maps(run)
    assert run.companion()["faults"] == 0


@pytest.mark.full
def test_display_never_bounces(testbed, disk, build_module):
    """Two devices, two arenas of the lowest node. A map of the other node bounces for the disk,
    and fails for the display. Coherent memory comes from the arena, in atomic context, too."""
    drive, _ = disk()
    run = testbed(PROBED + r"""
await_disk
[ "$(dmesg | grep -c 'premapped .* layout L3')" = 2 ] || fail "not two arenas"
display=$(basename "$(dirname "$(grep -l ^0x0380 /sys/bus/pci/devices/*/class)")")
managed=$(basename "$(dirname "$(grep -l ^0x0108 /sys/bus/pci/devices/*/class)")")
[ -z "$(bound_to "$display")" ] || unbind "$display"
listen
keep
verify written
unbind "$managed"
probe "$managed" coherent=30 atomic=30 far=8
[ "$(far)" = "8 of 8, 0 of them direct" ] || fail "the disk: $(far)"
rmmod apple_dma_probe
probe "$display" coherent=30 atomic=30 far=8
[ "$(far)" = "0 of 8, 0 of them direct" ] || fail "the display: $(far)"
rmmod apple_dma_probe
override "$managed" ""
echo "$managed" >/sys/bus/pci/drivers/nvme/bind
await_disk
kept
quiet "two devices"
""", qemu=[drive, *with_node(640, 2048)],
                  devices=[*NVME, "bochs-display"], mem="2G", module="ops=premap",
                  append="iommu=soft", push=with_probe(build_module), no_wait=True,
                  expect=EXIT_KERNEL_REPORT)
    only_refused_maps(run)
    assert run.companion(0)["faults"] == run.companion(1)["faults"] == 0


@pytest.mark.full
def test_kernel_memory_of_two_nodes_is_refused(testbed, disk):
    """kernelcore= leaves the kernel memory in each node, which the lowest one's arena has not."""
    drive, _ = disk()
    run = testbed(TOOLS + r"""
refused layout "premapped DMA needs all memory within that"
""", qemu=[drive, "-object memory-backend-ram,id=n0,size=1G "
           "-object memory-backend-ram,id=n1,size=1G "
           "-numa node,nodeid=0,memdev=n0,cpus=0-1 -numa node,nodeid=1,memdev=n1"],
                  devices=NVME, mem="2G", module="ops=premap", append="kernelcore=1G iommu=soft",
                  no_wait=True)
    assert run.companion()["faults"] == 0


@pytest.mark.full
def test_forced_bounce_is_refused(testbed, disk):
    """Every map would be a copy; the driver's fail instead."""
    drive, _ = disk()
    run = testbed(TOOLS + r"""
refused bounce "it has to bounce all DMA (swiotlb=force"
""", qemu=[drive], devices=NVME, module="ops=premap", append="swiotlb=force", no_wait=True)
    assert run.companion()["faults"] == 0


@pytest.mark.full
@pytest.mark.parametrize("end", ["reboot -f", f"kexec -l /boot/vmlinuz {KEXEC}; kexec -e"],
                         ids=["reboot", "kexec"])
def test_orderly_end_leaves_nothing(testbed, disk, end):
    """Under I/O. The next kernel finds nothing of the arena."""
    drive, _ = disk()
    run = testbed(TOOLS + ENDED.replace("@end@", f"start_load\n\t{end}"), qemu=[drive],
                  devices=NVME, module="ops=premap", reboots=1)
    check(run)
    assert run.value("recovered") == run.companion()["duplicate_handles"] == 0


@pytest.mark.full
def test_image_has_no_arena(testbed, disk):
    """Refused while the disk has a driver. Without one the image has no arena, and the arena of
    the kernel that restores it is found as any leftover."""
    drive, _ = disk()
    _, swap = disk("swap", size="1G")
    run = testbed(HIBERNATION + TOOLS + r"""
await_disk
if [ "$BOOT" = 2 ]; then
	resume
	fail "it was not resumed: $(dmesg | tail -5)"
fi
keep
mkswap $swap >/dev/null
swapon $swap
echo reboot >/sys/power/disk
! echo disk >/sys/power/state 2>/tmp/err || fail "hibernated with a disk in use"
awake
grep -qi busy /tmp/err || fail "$(cat /tmp/err)"
verify refused
agree refused
unbind "$managed"
[ "$(host live)" -gt 0 ] || fail "no arena"
echo mark >/tmp/mark
echo disk >/sys/power/state
awake
[ "$(cat /tmp/mark)" = mark ]
[ "$(counter mapped_entries)" = 0 ] || fail "the image has an arena"
[ "$(host live)" -gt 0 ] || fail "the other kernel had none"
echo "$managed" >/sys/bus/pci/drivers/nvme/bind
await_disk
kept
verify back
agree back
counters
unbind "$managed"
await unloaded apple_dma
""", qemu=[drive, SWAP.format(path=swap)], devices=NVME, mem="512M", reboots=1, timeout=600,
                  module="ops=premap")
    assert "cannot hibernate while" in run.console
    assert run.value("recovered") > 0
    check(run)


@pytest.mark.full
def test_functions_have_an_arena_each(testbed, build_module):
    """Each has an arena. One stays while the driver of the other goes, or its companion."""
    functions = test_vm_functions
    engine = build_module(src=functions.SOURCE)
    run = testbed("".join((
        functions.TOOLS, "insmod /root/engine.ko\n", functions.BOTH,
        functions.COMPANION.format(one=0, other=1), functions.BOTH, "host-stats\n")),
                  cpus=1, dext=functions.CARD, mem="512M", module="ops=premap", timeout=600,
                  push=[f"{engine}:/root/engine.ko"])
    assert run.console.count("premapped ") == 3
    for each in run.json_lines()[-1]:
        assert each["faults"] == each["failed_entries"] == 0
        assert 0 < each["map_entries"] < 16


@pytest.mark.debug
def test_debug_kernel(testbed, disk, build_module):
    """KASAN, lockdep and the checks of the DMA API have nothing to report."""
    drive, _ = disk()
    probe = build_module("debug", src=TOP / "scripts/tests/probe")
    run = testbed(PROBED + r"""
await_disk
[ "$(cat /sys/kernel/debug/dma-api/disabled)" = N ] || fail "dma-debug is off"
keep
verify written
for round in 1 2; do
	unbind "$managed"
	echo "$managed" >/sys/bus/pci/drivers/nvme/bind
	await_disk
done
kept
unbind "$managed"
probe "$managed" streaming=6 coherent=3 atomic=3 managed=2
rmmod apple_dma_probe
override "$managed" ""
await unloaded apple_dma
insmod "$APPLE_DMA_KO" ops=premap
await '[ "$(bound_to "$managed")" = nvme ]'
await_disk
kept
agree end
[ "$(cat /sys/kernel/debug/dma-api/disabled)" = N ] || fail "dma-debug was turned off"
echo "errors=$(cat /sys/kernel/debug/dma-api/error_count)"
counters
unbind "$managed"
await unloaded apple_dma
""", qemu=[drive], devices=NVME, kernel="debug", module="ops=premap",
                  push=[f"{probe}:/root/probe.ko"], timeout=900)
    assert run.value("errors") == 0
    check(run)
