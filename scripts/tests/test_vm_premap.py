# SPDX-License-Identifier: GPL-2.0
"""Memory that is registered once, as on kernels where a device has no DMA operations."""

import pytest

import test_vm_suspend
from conftest import NVME, TOP

TOOLS = r"""
premapped() { dmesg | sed -n 's/.*premapped .* in \([0-9]*\) pieces, layout \(L[123]\);.*/\1 \2/p' |
	tail -n1; }
# No doorbell between this and quiet.
listen() { before=$(host doorbells); }
quiet() { [ "$(host doorbells)" = "$before" ] || fail "$1: $(($(host doorbells) - before)) doorbells"; }
# The device has no driver, and the host nothing of it.
refused() {	# WORD MESSAGE: what sysfs and the log say
	await "dmesg | grep -qF '$2'"
	await "[ \$(counter premap_refusal) = $1 ]"
	await '[ -z "$(bound_to "$managed")" ]'
	[ "$(host live)" = 0 ] || fail "$(host live) on the host"
}
# The host has the pieces that the module tells of, and no more.
pieces() {	# WHEN
	[ "$(host live)" = "$(premapped | cut -d ' ' -f 1)" ] || fail "$1: $(host live) on the host"
}
"""
# told LAYOUT: what sysfs says of an arena.
TOOLS += r"""
told() {
	[ "$(counter ops)" = premap ] || fail "ops"
	[ "$(counter premap_layout)" = "${1#L}" ] || fail "premap_layout"
	[ "$(counter premap_pieces)" = "$(premapped | cut -d ' ' -f 1)" ] || fail "premap_pieces"
	[ "$(counter premap_refusal)" = none ] || fail "premap_refusal"
	agree "premapped"
	for each in idle_bytes live_bytes live_mappings hits misses; do
		[ "$(counter $each)" = 0 ] || fail "$each"
	done
	[ "$(counter guest_bytes)" = "$(counter mapped_bytes)" ] || fail "guest_bytes"
}
"""
SLEEP = test_vm_suspend.TOOLS + TOOLS
QUICK_NVME = "nvme_core.admin_timeout=2 nvme_core.io_timeout=5"


def check(run):
    """The data was right, and the host saw nothing wrong."""
    assert run.value("map_failures") == run.value("bad_unmaps") == run.value("broken") == 0
    now = run.companion()
    assert now["faults"] == now["live"] == 0
    assert now["peak_bytes"] <= 1428 << 20


@pytest.mark.parametrize("arch, kernel", [
    ("x86_64", "6.1"), ("x86_64", "newest"),
    pytest.param("arm64", "newest", marks=[pytest.mark.arm64, pytest.mark.full]),
    pytest.param("arm64", "64k", marks=[pytest.mark.arm64, pytest.mark.full])])
def test_all_memory_is_registered_once(testbed, disk, arch, kernel):
    """Verified data without a doorbell; unbound and bound again; unloaded and loaded."""
    drive, _ = disk()
    run = testbed(TOOLS + r"""
await_disk
premapped | grep ' L1$' || fail "layout $(premapped)"
pieces bound
told L1
ram=0
while IFS=- read -r from to; do
	ram=$((ram + 0x$to - 0x$from + 1))
done < <(sed -n 's/^\([0-9a-f]*-[0-9a-f]*\) : System RAM/\1/p' /proc/iomem)
more=$(($(counter mapped_bytes) - ram))		# parts of granules
[ $more -ge 0 ] && [ $more -lt 1048576 ] || fail "$more bytes are no memory"
mode=/sys/bus/pci/drivers/apple_dma/0*/apple_dma/mode
echo strict 2>/dev/null >$mode && fail "strict"
[ "$(counter mode)" = cached ] || fail "mode"
listen
keep
verify written
quiet "reads and writes"
for round in 1 2 3; do
	unbind "$managed"
	pieces unbound
	bind_to "$managed" nvme || fail "not bound again"
	await_disk
done
kept
quiet "three rebinds"
rmmod apple_dma 2>/dev/null && fail "unloaded under a driver"
unbind "$managed"
counters
await unloaded apple_dma
[ "$(host live)" = 0 ] || fail "unloaded: $(host live)"
insmod "$APPLE_DMA_KO" ops=premap
await '[ "$(bound_to "$managed")" = nvme ]'
await_disk
kept
pieces "loaded again"
unbind "$managed"
await unloaded apple_dma
""", qemu=[drive], devices=NVME, arch=arch, kernel=kernel, module="ops=premap")
    check(run)
    assert "not aligned like memory" not in run.console


def test_memory_that_does_not_fit_is_refused(testbed, disk):
    """Its driver's maps fail; there is no fault. Without the module's mode it would work."""
    drive, _ = disk()
    run = testbed(TOOLS + r"""
refused layout "premapped DMA needs all memory within that"
[ ! -b $node ] || fail "a disk"
[ "$(counter ops)$(counter premap_layout)" = premap0 ] || fail "premap_layout"
rmmod apple_dma
insmod "$APPLE_DMA_KO" ops=sometimes 2>/dev/null && fail "ops=sometimes"
dmesg | grep -q 'ops=sometimes is not possible'
insmod "$APPLE_DMA_KO" ops=premap mode=strict
refused strict "mode=strict cannot be kept with premapped memory"
rmmod apple_dma
insmod "$APPLE_DMA_KO"
await_disk
[ "$(counter ops) $(counter premap_refusal)" = "dma_ops none" ] || fail "ops"
verify written
unbind "$managed"
await clean
counters
""", qemu=[drive], devices=NVME, mem="2G", module="ops=premap", no_wait=True)
    assert "room for 1428 MiB" in run.console
    assert run.companion()["faults"] == 0


def with_probe(build_module):
    """The test driver, to be pushed."""
    return [f"{build_module(src=TOP / 'scripts/tests/probe')}:/root/probe.ko"]


def test_probes_fail_and_memory_is_freed_late(testbed, disk, build_module):
    """What a driver frees after its unbind is translated by the table that stays. Memory of the
    arena does not go offline."""
    drive, _ = disk()
    run = testbed(TOOLS + r"""
await_disk
keep
listen
unbind "$managed"
override "$managed" apple_dma_probe
insmod /root/probe.ko streaming=6 coherent=3 managed=2 times=1 fail=-19 leak=1
[ -z "$(bound_to "$managed")" ] || fail "bound"
echo "$managed" >/sys/bus/pci/drivers_probe
[ "$(bound_to "$managed")" = apple_dma_probe ] || fail "not bound"
unbind "$managed"
override "$managed" ""
echo "$managed" >/sys/bus/pci/drivers/nvme/bind
await_disk
kept
# Frees what it has allocated in both probes.
rmmod apple_dma_probe
verify late
for each in /sys/devices/system/memory/memory*/state; do
	echo offline >$each 2>/dev/null && fail "$each is offline"
done
dmesg | grep -q 'memory cannot go offline while it is premapped'
quiet "probes"
counters
unbind "$managed"
await unloaded apple_dma
""", qemu=[drive], devices=NVME, module="ops=premap", push=with_probe(build_module))
    check(run)


@pytest.mark.full
def test_arena_stays_while_the_guest_sleeps(testbed, disk):
    """The same pieces are registered afterwards, and lead to the same memory."""
    drive, _ = disk()
    run = testbed(SLEEP + r"""
keep
snooze ram
kept
verify awake
agree awake
pieces awake
counters
unbind "$managed"
await unloaded apple_dma
""", qemu=[drive], devices=NVME, module="ops=premap")
    check(run)


def with_node(lowest, mib):
    """Options for MIB of memory, LOWEST of them in a node without CPUs, for DMA."""
    return [f"-object memory-backend-ram,id=n0,size={lowest}M "
            f"-object memory-backend-ram,id=n1,size={mib - lowest}M "
            "-numa node,nodeid=0,memdev=n0 -numa node,nodeid=1,memdev=n1,cpus=0-1"]


BOUNCED = r"""
await_disk
premapped | grep ' @layout@$' || fail "layout $(premapped)"
told @layout@
listen
keep
verify written
kept
quiet "reads and writes"
counters
unbind "$managed"
await unloaded apple_dma
"""


@pytest.mark.parametrize("arch, kernel, gib", [
    ("x86_64", "6.1", 2),
    pytest.param("arm64", "newest", 8, marks=[pytest.mark.arm64, pytest.mark.full])])
def test_lowest_node_is_registered(testbed, disk, arch, kernel, gib):
    """A node without CPUs. The memory of programs is in the other one, and is bounced."""
    drive, _ = disk()
    mib = (gib + 1) << 10
    run = testbed(TOOLS + BOUNCED.replace("@layout@", "L3"),
                  qemu=[drive, *with_node(1024, mib)], devices=NVME, mem=f"{mib}M", arch=arch,
                  kernel=kernel, module="ops=premap", append="iommu=soft")
    check(run)


@pytest.mark.full
@pytest.mark.parametrize("arch, kernel, pool", [
    ("x86_64", "6.1", "iommu=soft"),
    pytest.param("arm64", "newest", "swiotlb=32768", marks=pytest.mark.arm64)])
def test_memory_of_the_kernel_is_registered(testbed, disk, arch, kernel, pool):
    """kernelcore= keeps it low. The memory of programs is bounced."""
    drive, _ = disk()
    run = testbed(TOOLS + BOUNCED.replace("@layout@", "L2"), qemu=[drive], devices=NVME,
                  mem="2G", arch=arch, kernel=kernel, module="ops=premap",
                  append=f"kernelcore=1G {pool}")
    check(run)


ENDED = r"""
await_disk
pieces "boot $BOOT"
agree bound
if [ "$BOOT" = 1 ]; then
	keep
	@end@
	sleep 60
	fail "still there"
fi
kept
verify written
counters
unbind "$managed"
await unloaded apple_dma
"""


def test_leftover_arena_is_no_obstacle(testbed, disk):
    """The host keeps it over a reset."""
    drive, _ = disk()
    run = testbed(TOOLS + ENDED.replace("@end@", "sync\n\thost-ask reset"), qemu=[drive],
                  devices=NVME, module="ops=premap", reboots=1)
    check(run)
    assert run.value("recovered") > 0


@pytest.mark.full
def test_balloon_is_refused(testbed, disk):
    """Before the device's driver is bound. The driver maps nothing."""
    drive, _ = disk()
    run = testbed(TOOLS + r"""
refused balloon "free-page reporting or virtio-mem gives its memory back"
""", qemu=[drive, "-device virtio-balloon-pci"], devices=NVME, module="ops=premap", no_wait=True)
    assert run.companion()["faults"] == 0


@pytest.mark.full
def test_host_that_forgets_the_arena(testbed, disk):
    """It has other addresses after a sleep: the driver is probed again, with a new arena."""
    drive, _ = disk()
    run = testbed(SLEEP + r"""
await_disk
keep
for round in 1 2; do
	dmesg -C
	snooze ram
	await "dmesg | grep -q 'nvme nvme0: [0-9/]* .*queues'"
	await_disk
	kept
	agree "after $round"
	dmesg | grep "is probed again" || fail "not noticed"
	dmesg | grep "premapped" || fail "no new arena"
done
counters
""", qemu=[drive], devices=NVME, host=["iova=random", "forget=all"], allow_faults=True,
                  module="ops=premap", append=QUICK_NVME)
    assert run.value("broken") == run.companion()["live"] == 0
