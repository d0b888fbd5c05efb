# SPDX-License-Identifier: GPL-2.0
"""Memory that is registered once, as on kernels where a device has no DMA operations."""

import pytest

from conftest import NVME

TOOLS = r"""
sys=$(echo /sys/bus/pci/drivers/apple_dma/0*/apple_dma)
premapped() { dmesg | sed -n 's/.*premapped .* in \([0-9]*\) pieces, layout \(L[123]\);.*/\1 \2/p' |
	tail -n1; }
# No doorbell between this and quiet.
listen() { before=$(host doorbells); }
quiet() { [ "$(host doorbells)" = "$before" ] || fail "$1: $(($(host doorbells) - before)) doorbells"; }
"""


def check(run):
    """The data was right, and the host saw nothing wrong."""
    assert run.value("map_failures") == run.value("bad_unmaps") == run.value("broken") == 0
    now = run.companion()
    assert now["faults"] == now["live"] == 0
    assert now["peak_bytes"] <= 1428 << 20


@pytest.mark.parametrize("kernel", ["6.1", "newest"])
def test_all_memory_is_registered_once(testbed, disk, kernel):
    """Verified data without a doorbell; unbound and bound again; unloaded and loaded."""
    drive, _ = disk()
    run = testbed(TOOLS + r"""
await_disk
set -- $(premapped)
[ "$2" = L1 ] || fail "layout $2"
[ "$(host live)" = "$1" ] || fail "$1 pieces, $(host live) on the host"
agree bound
listen
keep
verify written
quiet "reads and writes"
for round in 1 2 3; do
	unbind "$managed"
	[ "$(host live)" = "$1" ] || fail "unbound: $(host live)"
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
[ "$(host live)" = "$1" ] || fail "loaded again: $(host live)"
unbind "$managed"
await unloaded apple_dma
""", qemu=[drive], devices=NVME, kernel=kernel, module="ops=premap")
    check(run)


def test_memory_that_does_not_fit_is_refused(testbed, disk):
    """Its driver's maps fail; there is no fault. Without the module's mode it would work."""
    drive, _ = disk()
    run = testbed(TOOLS + r"""
await 'dmesg | grep -q "premapped DMA needs all memory within that"'
await '[ -z "$(bound_to "$managed")" ]'
[ ! -b $node ] || fail "a disk"
[ "$(host live)" = 0 ] || fail "$(host live) on the host"
rmmod apple_dma
insmod "$APPLE_DMA_KO"
await_disk
verify written
unbind "$managed"
await clean
counters
""", qemu=[drive], devices=NVME, mem="2G", module="ops=premap", no_wait=True)
    assert "room for 1428 MiB" in run.console
    assert run.companion()["faults"] == 0
