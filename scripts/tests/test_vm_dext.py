# SPDX-License-Identifier: GPL-2.0
"""The stock nvme driver on a disk of a driver extension, through vfio-apple-pci."""

import pytest

from conftest import NVME

ROUND = r"""
device=/sys/bus/pci/devices/0000:00:03.0
[ "$(readlink -f $device/driver)" = /sys/bus/pci/drivers/nvme ] || fail "nvme is not bound"
source=$(echo /lib/modules/*/kernel/fs)
# A kernel that was built here has few modules.
[ "$(find "$source" -type f 2>/dev/null | wc -l)" -gt 20 ] || source=/usr/sbin
sums() { (cd "$1" && find . -type f -exec sha256sum {} +) | sort; }
mkfs.ext4 -q /dev/nvme0n1
mount /dev/nvme0n1 /mnt
cp -a "$source" /mnt/tree
sums "$source" >/tmp/source
sync
sums /mnt/tree | cmp - /tmp/source || fail "the copy is not its source"
umount /mnt
echo 3 >/proc/sys/vm/drop_caches
mount /dev/nvme0n1 /mnt
sums /mnt/tree | cmp - /tmp/source || fail "not what was written"
umount /mnt
echo "files=$(wc -l </tmp/source)"
"""

INTERRUPTS = r"""
awk '/nvme/ { for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i } END { print "seen=" n }' \
	/proc/interrupts
host-stats
"""

RESET = r"""
echo 1 >$device/reset
await '[ "$(cat /sys/class/nvme/nvme0/state)" = live ]'
dd if=/dev/nvme0n1 of=/tmp/first bs=1M count=8 iflag=direct 2>/dev/null || fail "no disk after a reset"
"""


def check_interrupts(run, now):
    """Extension, QEMU and guest count the same interrupts."""
    counts, dextd = now["passthrough"], now["dextd"]
    assert counts["taken"] == counts["delivered"] == dextd["pended"] > 0
    assert counts["unwanted"] == dextd["dropped"] == 0
    # Two messages are one interrupt if the guest's handler still runs.
    assert 0 < run.value("seen") <= counts["delivered"]


@pytest.mark.parametrize("arch,kernel", [
    ("x86_64", "6.1"),
    pytest.param("x86_64", "debug", marks=pytest.mark.debug),
    pytest.param("arm64", "6.1", marks=[pytest.mark.arm64, pytest.mark.full]),
    pytest.param("x86_64", "newest", marks=pytest.mark.full),
    pytest.param("arm64", "newest-16k", marks=[pytest.mark.arm64, pytest.mark.full]),
])
def test_disk_of_an_extension(testbed, arch, kernel):
    """mkfs, copy, remount, compare; and once more after a function reset."""
    run = testbed(ROUND + INTERRUPTS + RESET + ROUND + INTERRUPTS, arch=arch, kernel=kernel,
                  mem="512M", dext=["nvme,size=256M,iova=random"])
    assert run.value("files") > 20
    before, after = [line[0] for line in run.json_lines()]
    check_interrupts(run, after)
    assert after["passthrough"]["resets"] > before["passthrough"]["resets"]
    assert after["faults"] == after["failed_entries"] == 0
    assert after["live"] == after["dextd"]["dart_entries"] > 0
    assert run.dext()["live"] == run.dext()["dextd"]["dart_entries"] == 0


HOST_MEMORY = r"""
device=/sys/bus/pci/devices/0000:00:03.0
dmesg | grep -q 'allocated 64 MiB host memory buffer' || fail "no host memory buffer"
echo "live=$(counter live_bytes)"
echo "registered=$(counter mapped_bytes)"
echo 1 >/sys/module/nvme/parameters/sgl_threshold
verified large --size=16m --bs=128k
verify many
echo 1 >$device/reset
await '[ "$(cat /sys/class/nvme/nvme0/state)" = live ]'
verify again
echo "failures=$(counter map_failures)"
host-stats
unbind ${device##*/}
clean || fail "something is left"
"""


@pytest.mark.parametrize("kernel", [
    "6.1",
    pytest.param("newest", marks=pytest.mark.full),
])
def test_host_memory_buffer_and_sgls(testbed, kernel):
    """A disk without DRAM gets the memory that it asks for, once, also after a reset. It works
    in it all the time, while data comes and goes by SGLs."""
    run = testbed(HOST_MEMORY, kernel=kernel, mem="512M",
                  dext=["nvme,size=64M,hmb=64M,hmb-min=16M,sgl=on"])
    now = run.json_lines()[0][0]
    assert now["dextd"]["hmb_bytes"] == 64 << 20
    assert now["dextd"]["hmb_uses"] > 500 and now["dextd"]["hmb_errors"] == 0
    assert now["dextd"]["sgl_commands"] > 500
    # The buffer, once, and the queues. All memory of the guest fits the budget, so windows may be
    # larger than that: one for an aligned piece of 4 MiB has up to 8 MiB.
    assert 64 << 20 < run.value("live") < 66 << 20
    assert run.value("registered") < 256 << 20
    assert run.value("failures") == now["faults"] == now["failed_entries"] == 0
    assert run.dext()["dextd"]["hmb_bytes"] == 0


def test_extension_dies_in_mid_io(testbed, tmp_path):
    """I/O errors and no hang; then a new machine with the same disk works."""
    disk = tmp_path / "disk"
    disk.write_bytes(bytes(64 << 20))
    run = testbed(r"""
fio --name=v --filename=/dev/nvme0n1 --direct=1 --rw=randrw --bs=4k --size=32m --time_based \
    --runtime=300 --iodepth=8 --ioengine=libaio >/tmp/fio 2>&1 &
fio=$!
while [ "$(awk '{ print $5 }' /sys/block/nvme0n1/stat)" -lt 200 ]; do sleep 0.1; done
host-ask kill-dextd
wait $fio && fail "fio saw no error"
grep -q 'Input/output error' /tmp/fio || { cat /tmp/fio; fail "another error than EIO"; }
await '[ ! -e /dev/nvme0n1 ]'
host-stats
""", mem="512M", dext=[f"nvme,file={disk}"],
                  append="nvme_core.io_timeout=3 nvme_core.admin_timeout=3")
    assert run.json_lines()[0][0]["passthrough"]["gone"]
    assert disk.stat().st_size == 64 << 20
    run = testbed("mkfs.ext4 -q /dev/nvme0n1", mem="512M", dext=[f"nvme,file={disk}"])
    assert disk.read_bytes()[0x438:0x43a] == b"\x53\xef"


@pytest.mark.full
def test_both_testbeds_in_one_guest(testbed, disk):
    """One module manages a disk behind a DART in QEMU and a disk of an extension."""
    drive, _ = disk()
    run = testbed(r"""
for d in 0 1; do
	node=/dev/nvme${d}n1 verified v$d --size=16m & jobs+=($!)
done
joined "${jobs[@]}"
ls -d /sys/bus/pci/drivers/apple_dma/0*/apple_dma/managed/nvme
""", qemu=[drive], devices=NVME, dext=["nvme,size=64M"],
                  host=["1:layout=wide"])
    assert run.out.count("/nvme") == 2
    for now in (run.companion(), run.dext()):
        assert now["map_entries"] > 0 and now["live"] == now["faults"] == 0
