# SPDX-License-Identifier: GPL-2.0
"""The mapping engine under real drivers: what it keeps, and what it gives back."""

import pytest

from conftest import NVME

NULL = "-drive if=none,id=d0,driver=null-co,size=2G,read-zeroes=on"

TOOLS = r"""
sys=$(echo /sys/bus/pci/drivers/apple_dma/0*/apple_dma)
# Random reads that leave no trace: $1 of them, 4 KiB each.
reads() {
	fio --name=r --filename=/dev/nvme0n1 --direct=1 --rw=randread --bs=4k --iodepth=32 \
	    --ioengine=libaio --number_ios="$1" --minimal >/tmp/fio || { cat /tmp/fio; fail reads; }
}
"""


def test_steady_state_rings_no_doorbell(testbed):
    """10,000 I/Os in existing windows: the host sees none of them."""
    run = testbed(TOOLS + """
start_load --bs=4k --iodepth=32 --size=100%
start=$(ios)
await '[ $(ios) -gt $((start + 2000)) ]'
rings=$(host doorbells) slow=$(counter slow_paths) hits=$(counter hits) first=$(ios)
await '[ $(ios) -gt $((first + 10000)) ]'
echo "hit=$(($(counter hits) - hits))"
echo "slow=$(($(counter slow_paths) - slow))"
echo "rang=$(($(host doorbells) - rings))"
stop_load
agree end
""", qemu=[NULL], devices=NVME)
    assert run.value("rang") == run.value("slow") == 0
    assert run.value("hit") >= 10000


@pytest.mark.full
def test_whole_memory_ends_registered(testbed):
    """It fits the budget, so nothing is given back."""
    run = testbed(TOOLS + """
dd if=/dev/nvme0n1 of=/dev/null bs=1M count=900 2>/dev/null
before=$(host doorbells)
dd if=/dev/nvme0n1 of=/dev/null bs=1M count=300 2>/dev/null
echo "rang=$(($(host doorbells) - before))"
echo "total=$(awk '/MemTotal/ { print $2 * 1024 }' /proc/meminfo)"
agree end
counters
""", qemu=[NULL], devices=NVME, mem="384M")
    assert run.value("mapped_bytes") > 0.75 * run.value("total")
    # 384 MiB in pieces of 4 MiB; where a request crosses from one to the next
    # it has one of its own, and at the ends of memory they are smaller.
    assert run.value("mapped_entries") < 2 * 96 + 64
    assert run.value("rang") < 32
    assert run.value("evictions") == run.value("map_failures") == 0


def test_flush_pressure_and_age(testbed):
    """Idle windows are given back on request, when the guest is short of memory, and after
    idle_ms."""
    run = testbed(TOOLS + """
reads 1000
[ "$(counter idle_entries)" -gt 0 ] || fail "nothing is kept"
busy=$(($(counter mapped_entries) - $(counter idle_entries)))
echo 0 >$sys/flush
[ "$(counter idle_entries)" -gt 0 ] || fail "flushed by 0"
echo 1 >$sys/flush
[ "$(counter idle_entries)" = 0 ] || fail "idle after flush"
[ "$(counter mapped_entries)" = "$busy" ] || fail "flush took what is in use"
agree flush
reads 1000
[ "$(counter idle_entries)" -gt 0 ] || fail "nothing is kept after flush"
await 'echo 2 >/proc/sys/vm/drop_caches; [ "$(counter idle_entries)" = 0 ]'
agree pressure
reads 1000
[ "$(counter idle_entries)" -gt 0 ] || fail "nothing is kept after pressure"
echo 300 >$sys/idle_ms
await '[ "$(counter idle_entries)" = 0 ]'
agree age
reads 1000
counters
""", qemu=[NULL], devices=NVME)
    assert run.value("evictions") > 0
    assert run.value("map_failures") == 0


def test_mode_is_switched_under_io(testbed, disk):
    """Data stays right; the strict mode has no idle windows, and only granules in use."""
    drive, _ = disk(size="128M")
    run = testbed(TOOLS + """
verified v --rw=randrw --bsrange=4k-64k --size=32m --numjobs=2 --offset_increment=32m --loops=2 &
load=$!
n=0
while kill -0 $load 2>/dev/null; do
	echo strict >$sys/mode
	echo cached >$sys/mode
	echo 1 >$sys/flush
	echo $((n % 7 + 1)) >$sys/batch_max
	n=$((n + 1))
	sleep 0.1
done
joined $load
echo "switches=$n"
agree cached
echo strict >$sys/mode
[ "$(cat $sys/mode)" = strict ]
[ "$(counter idle_entries)" = 0 ] || fail "idle in strict mode"
verify strict
[ "$(counter idle_entries)" = 0 ] || fail "idle after I/O in strict mode"
agree strict
counters
""", qemu=[drive], cpus=2, devices=NVME, host=["iova=reuse"])
    assert run.value("switches") > 5
    assert run.value("map_failures") == run.value("bad_unmaps") == 0
    assert run.companion()["faults"] == run.companion()["live"] == 0


@pytest.mark.parametrize("device", ["virtio-balloon-pci"])
def test_balloon_makes_mappings_strict(testbed, disk, device):
    """The host may replace a page of a balloon, so no idle window is kept."""
    drive, _ = disk()
    run = testbed(TOOLS + """
[ "$(cat $sys/mode)" = strict ] || fail "mode is $(cat $sys/mode)"
! echo cached >$sys/mode 2>/tmp/err || fail "cached with a balloon"
grep -q busy /tmp/err
verify balloon
[ "$(counter idle_entries)" = 0 ] || fail "idle windows"
agree end
counters
""", qemu=[drive, f"-device {device}"], devices=NVME)
    assert "takes memory from the guest" in run.console
    assert run.value("map_failures") == 0


@pytest.mark.full
def test_memory_that_goes_offline_is_let_go(testbed):
    """A block of memory is removed while a disk is read into others."""
    run = testbed(TOOLS + """
dd if=/dev/nvme0n1 of=/dev/null bs=128k count=4500 2>/dev/null
echo 3 >/proc/sys/vm/drop_caches
dd if=/dev/nvme0n1 of=/dev/null bs=128k count=2000 2>/dev/null & load=$!
block=$(grep -lx Movable /sys/devices/system/memory/memory*/valid_zones |
	sort -V | tail -2 | head -1 | xargs dirname)
before=$(counter evictions)
echo offline >$block/state
joined $load
dd if=/dev/nvme0n1 of=/dev/null bs=128k count=2000 2>/dev/null
echo online >$block/state
dd if=/dev/nvme0n1 of=/dev/null bs=128k count=4500 2>/dev/null
agree end
echo "evicted=$(($(counter evictions) - before))"
counters
""", qemu=[NULL, "-m slots=1,maxmem=2G -object memory-backend-ram,id=m1,size=512M "
                       "-device pc-dimm,memdev=m1"],
                  devices=NVME, append="memhp_default_state=online_movable")
    assert run.value("evicted") > 0
    assert run.value("map_failures") == 0


@pytest.mark.full
def test_small_budget_is_shared_by_eviction(testbed, disk):
    """16 MiB for a guest of 1 GiB: cold windows are evicted, and nothing fails."""
    drive, _ = disk()
    run = testbed(TOOLS + """
verify a --size=12m --iodepth=16
dd if=/dev/nvme0n1 of=/dev/null bs=1M count=64 2>/dev/null
verify b --size=12m --iodepth=16
agree end
counters
""", qemu=[drive], devices=NVME, module="max_bytes=16777216")
    assert run.value("evictions") > 0
    assert run.value("map_failures") == 0
    assert run.value("peak_bytes") == run.companion()["peak_bytes"] <= 16 << 20
    assert run.companion()["failed_entries"] == 0


@pytest.mark.full
@pytest.mark.parametrize("limit", [
    "max-entries=24", "max-bytes=33554432", "max-segment=1048576"])
def test_limits_of_the_host_are_learned(testbed, disk, limit):
    """The host allows less than the module believes, and gets few useless requests.

    With 24 registrations, requests whose pages are far apart may need too many. The
    driver's next try finds room.
    """
    drive, _ = disk()
    run = testbed(TOOLS + """
dd if=/dev/nvme0n1 of=/dev/null bs=128k count=500 2>/dev/null
verify a --size=12m --iodepth=2
verify b --size=12m --iodepth=2
agree end
host-stats
counters
""", qemu=[drive], devices=NVME, host=[limit])
    now = run.json_lines()[-1][0]
    assert run.value("broken") == 0
    if limit != "max-entries=24":
        assert run.value("map_failures") == 0
    assert 0 < run.value("refusals") < 60
    # Each refusal is followed by at most one more try. A map that fails starts the search
    # for leftovers, which asks for every possible handle.
    if not run.value("map_failures"):
        assert now["failed_entries"] <= 3 * run.value("refusals")
    assert run.companion()["live"] == 0


BAD_PARAMETERS = {
    "mode=lazy": "mode=lazy is not known",
    "batch_max=0": "batch_max must be 1 to 64",
    "batch_max=65": "batch_max must be 1 to 64",
    "max_entries=0": "max_entries at least 1",
    "max_bytes=16383": "max_bytes must be at least 16384",
}


def test_bad_values_are_refused(testbed):
    """Wrong parameters of the module: a line names what is allowed. Wrong values in sysfs:
    the old value stays."""
    tries = "".join(f"""
dmesg -C
insmod "$APPLE_DMA_KO" {params} 2>/dev/null && fail "loaded with {params}"
dmesg | grep -q "{complaint}" || fail "{params}: $(dmesg)"
""" for params, complaint in BAD_PARAMETERS.items())
    run = testbed(tries + 'insmod "$APPLE_DMA_KO"\n' + TOOLS + """
for pair in mode:lazy mode: idle_ms:-1 idle_ms:soon batch_max:0 batch_max:65 doorbell_us:-1 \
		flush:maybe; do
	! echo "${pair#*:}" >$sys/${pair%%:*} 2>/dev/null || fail "$pair was taken"
done
echo "mode is $(cat $sys/mode)"
counters | grep -v mode
""", devices=["edu"], no_module=True, no_wait=True)
    assert "mode is cached" in run.out
    assert run.value("idle_ms") == 60000 and run.value("batch_max") == 64
    assert run.value("doorbell_us") == 1000


@pytest.mark.debug
def test_hits_on_four_cpus_take_no_shared_lock(testbed):
    """The kernel's lock statistics show that the engine's lock is never taken."""
    run = testbed(TOOLS + """
# How often the lock whose class matches $1 was taken while statistics were on.
taken() {
	sed -n "s/^ *\\($1\\)[^ ]*: *//p" /proc/lock_stat | awk '{ n += $8 } END { print n + 0 }'
}
watch() { echo 0 >/proc/lock_stat; echo 1 >/proc/sys/kernel/lock_stat; }
unwatch() { echo 0 >/proc/sys/kernel/lock_stat; }
echo 0 >$sys/idle_ms
start_load --bs=4k --iodepth=8 --numjobs=4 --size=100%
start=$(ios)
await '[ $(ios) -gt $((start + 4000)) ]'
hits=$(counter hits)
watch
first=$(ios)
await '[ $(ios) -gt $((first + 4000)) ]'
unwatch
echo "of_hits=$(taken '&e->lock')"
echo "of_queues=$(taken '&nvmeq->')"
echo "hit=$(($(counter hits) - hits))"
stop_load
watch
echo 1 >$sys/flush
unwatch
echo "of_flush=$(taken '&e->lock')"
""", qemu=[NULL], devices=NVME, kernel="debug", cpus=4, timeout=600)
    assert run.value("hit") >= 4000
    assert run.value("of_hits") == 0
    assert run.value("of_queues") >= 4000 and run.value("of_flush") > 0
