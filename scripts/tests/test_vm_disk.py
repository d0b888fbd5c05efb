# SPDX-License-Identifier: GPL-2.0
"""The NVMe round trip: the stock driver, a file tree, every byte compared."""

import pytest

from conftest import NVME

# Three trees of real files, written, read back from the disk, compared.
ROUND_TRIP = r"""
disk=${DISK:-/dev/nvme0n1}
[ -b "$disk" ] || fail "no disk $disk"
mkfs.ext4 -q -F "$disk"
mount "$disk" /mnt
mkdir /mnt/tree
cp -a /usr/bin /usr/sbin /etc /mnt/tree/
(cd /mnt/tree && find . -type f | sort | xargs -d '\n' sha256sum) >/tmp/sums
umount /mnt
echo 3 >/proc/sys/vm/drop_caches
mount "$disk" /mnt
(cd /mnt/tree && sha256sum --quiet -c /tmp/sums) || fail "the data is not what was written"
umount /mnt
echo "files=$(wc -l </tmp/sums)"
counters
host-stats
"""


def check_round_trip(run):
    """Data is right, nothing faulted, both sides count the same."""
    assert run.value("files") > 100
    now = run.json_lines()[-1][0]
    assert now["faults"] == 0
    # The disk is idle: only its queues are registered.
    assert run.value("mapped_entries") == now["live"]
    assert run.value("mapped_bytes") == now["live_bytes"]
    assert run.value("doorbells") == now["doorbells"]
    assert run.value("peak_entries") == now["peak"]
    assert run.value("peak_bytes") == now["peak_bytes"]
    assert run.value("live_mappings") > 0
    assert run.value("map_failures") == run.value("broken") == 0
    assert now["doorbells"] > 1 and now["map_entries"] > 1
    # After power-off the module has left nothing behind.
    end = run.companion()
    assert end["live"] == end["live_bytes"] == 0
    assert end["faults"] == end["duplicate_handles"] == 0


# Each architecture, layout and mode, with the hardest placement; the full set has all.
QUICK = [("x86_64", "fragmented", "rfc", "strict"), ("arm64", "fragmented", "wide", "cached")]
ROUND_TRIPS = [(arch, *host) for arch in ("x86_64", "arm64") for host in (
    ("high", "rfc", "cached"), ("random", "wide", "cached"),
    ("fragmented", "rfc", "strict"), ("fragmented", "wide", "cached"),
    ("reuse", "rfc", "cached"), ("reuse", "wide", "strict"), ("aligned", "rfc", "cached"),
    ("first-fit", "wide", "strict"), ("sequential", "rfc", "cached"))]


@pytest.mark.parametrize("arch, iova, layout, mode", [
    pytest.param(*trip, marks=[pytest.mark.arm64] * (trip[0] == "arm64") +
                 [pytest.mark.full] * (trip not in QUICK)) for trip in ROUND_TRIPS])
def test_nvme_round_trip(testbed, disk, arch, layout, iova, mode):
    drive, _ = disk()
    run = testbed(ROUND_TRIP, arch=arch, qemu=[drive], module=f"mode={mode}",
                  devices=NVME,
                  host=[f"layout={layout}", f"iova={iova}", "seed=7"])
    check_round_trip(run)


@pytest.mark.parametrize("arch", [
    pytest.param("x86_64", marks=pytest.mark.full),
    pytest.param("arm64", marks=[pytest.mark.arm64, pytest.mark.full])])
def test_nvme_round_trip_on_the_newest_kernel(testbed, disk, arch):
    """map_phys instead of map_page, and no map_resource."""
    drive, _ = disk()
    run = testbed(ROUND_TRIP, arch=arch, kernel="newest", qemu=[drive],
                  devices=NVME, host=["iova=random"])
    check_round_trip(run)


def test_contrast_without_module(testbed, disk):
    """Without the module the same disk causes faults and reads fail; the testbed sees it."""
    drive, _ = disk()
    run = testbed("""
sleep 3
if [ -b /dev/nvme0n1 ] && dd if=/dev/nvme0n1 of=/dev/null bs=4k count=1 iflag=direct; then
	fail "there is data"
fi
echo "no data"
""", qemu=[drive], devices=NVME, no_module=True,
                  append="nvme_core.admin_timeout=2", expect=98)
    assert "no data" in run.out and "fault" in run.err
    assert run.companion()["faults"] > 0
    assert run.companion()["map_entries"] == 0


def test_wrong_data_is_seen(testbed, disk):
    """By what the other tests verify with, in the background, too: one sector is another."""
    drive, _ = disk()
    run = testbed("""
keep
kept
dd if=/dev/zero of=$node bs=512 seek=5000 count=1 oflag=direct status=none
verify beside & beside=$!
kept & kept=$!
joined $beside $kept
echo "not seen"
""", qemu=[drive], devices=NVME, expect=1)
    assert "wrong data: keep on /dev/nvme0n1" in run.err and "not seen" not in run.out


@pytest.mark.full
def test_four_threads_on_two_cpus(testbed, disk):
    drive, _ = disk(size="256M")
    run = testbed("""
verified mix --rw=randrw --bsrange=4k-128k --size=48m --numjobs=4 --offset_increment=48m
counters
host-stats
""", qemu=[drive], cpus=2, devices=NVME,
                  host=["iova=random"])
    now = run.json_lines()[-1][0]
    assert run.value("mapped_entries") == now["live"]
    assert run.value("map_failures") == 0 and now["faults"] == 0


@pytest.mark.full
def test_two_disks_with_a_companion_each(testbed, disk):
    first, _ = disk("d0")
    second, _ = disk("d1")
    run = testbed("""
for d in 0 1; do
	node=/dev/nvme${d}n1 verified v$d --size=16m & jobs+=($!)
done
joined "${jobs[@]}"
ls -d /sys/bus/pci/drivers/apple_dma/0*/apple_dma/managed/nvme
""", qemu=[first, second],
                  devices=["nvme,drive=d0,serial=a", "nvme,drive=d1,serial=b"])
    assert run.out.count("/nvme") == 2
    for index in range(2):
        assert run.companion(index)["map_entries"] > 0
        assert run.companion(index)["live"] == 0


def test_disk_goes_on_when_the_budget_is_used_up(testbed, disk):
    """The driver's requests wait for each other; the host never refuses.

    512 KiB of budget, of which the queues take some 200: each request of 16 KiB
    fits, in five granules at most, and 32 that are submitted at once do not.
    """
    drive, _ = disk()
    run = testbed("""
verified v --size=4m --iodepth=32 --iodepth_batch_submit=32 --iodepth_batch_complete_min=32
counters
""", qemu=[drive], devices=NVME, module="max_bytes=524288")
    assert run.value("map_failures") > 0
    assert run.value("peak_bytes") == run.companion()["peak_bytes"] <= 524288
    # No map was asked of the host that does not fit the budget.
    assert run.companion()["failed_entries"] == run.companion()["faults"] == 0


def test_budget_too_small_for_a_driver_fails_its_probe(testbed):
    """Nothing else fails: the log names the parameter, and the guest works.

    ahci allocates about 90 KiB for a port in one block, more than a budget of one
    granule.
    """
    run = testbed("""
[ ! -e /sys/bus/pci/devices/0000:01:00.0/driver ] || fail "ahci is bound"
counters
""", devices=["ich9-ahci"], module="max_bytes=16384", no_wait=True)
    assert run.value("map_failures") > 0
    assert "max_bytes" in run.console
    assert run.companion()["live"] == run.companion()["faults"] == 0
