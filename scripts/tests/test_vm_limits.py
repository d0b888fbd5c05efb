# SPDX-License-Identifier: GPL-2.0
"""A host with little room or long latency: what drivers see, and what is logged."""

import re
from collections import Counter

import pytest

from conftest import EXIT_HOST_PANIC, NVME, TOP
from test_vm_engine import TOOLS

SOURCE = TOP / "scripts" / "tests" / "edu"
EDU = ["edu,dma_mask=0xffffffffffffffff"]

# A load that verifies what it wrote, beside those of test_vm_engine.py.
LOAD = r"""
start_verify() { verify load --offset=0 --size="$1" & load=$!; }	# its size
done_ios() { awk '{ print $1 + $5 }' /sys/block/nvme0n1/stat; }
refused_some() { [ "$(counter map_failures)" -gt $((before + 20)) ]; }
"""

# "cannot map 4096 bytes: why; how much there is"
LINES = re.compile(r"apple_dma (\S+): cannot map \d+ bytes: ([^;]*);")


def lines(run):
    """How many lines the log has of each companion and cause."""
    return Counter(LINES.findall(run.console))


def test_host_that_refuses_for_a_while(testbed, disk):
    """A map fails, so nvme returns BLK_STS_RESOURCE and tries again. No request fails, and
    all go on when there is room. The log has one line, as the test takes less than the
    30 seconds in which one is printed."""
    drive, _ = disk()
    run = testbed(TOOLS + LOAD + r"""
for mode in strict cached; do
	echo $mode >$sys/mode
	echo 1 >$sys/flush
	before=$(counter map_failures)
	if [ $mode = strict ]; then
		start_verify 12m
		first=$(done_ios)
		await '[ $(done_ios) -gt $((first + 50)) ]'
	fi
	read -r begin _ </proc/uptime
	host-set companion0 lie refuse-all
	[ $mode = strict ] || start_verify 12m
	await refused_some
	kill -0 $load || fail "$mode: the load is over"
	host-set companion0 lie none
	read -r end _ </proc/uptime
	joined $load
	echo "seconds_$mode=$((${end%.*} - ${begin%.*}))"
done
verify after
agree end
counters
echo "errors=$(dmesg | grep -c 'I/O error')"
""", qemu=[drive], devices=NVME)
    assert run.value("errors") == run.value("broken") == 0
    assert run.value("map_failures") > 40
    assert run.companion()["live"] == run.companion()["faults"] == 0
    found = lines(run)
    assert len(found) == 1 and all("the host refused it" in cause for _, cause in found)
    seconds = run.value("seconds_strict") + run.value("seconds_cached")
    assert 1 <= sum(found.values()) <= 2 + seconds // 30


@pytest.mark.full
def test_one_line_for_each_cause(testbed, build_module):
    """Each limit is met again and again, in a companion with the module's limits, and in one
    whose host has lower ones."""
    run = testbed(r"""
for i in 1 2 3 4; do
	insmod /root/edu.ko run=until_full,until_full,out_of_reach,resource count=20
	rmmod apple_dma_edu
done
counters
""", devices=EDU * 2, host=["iova=high", "1:max-entries=10"], module="mode=strict max_entries=20",
                  push=[f"{build_module(src=SOURCE)}:/root/edu.ko"])
    found = lines(run)
    assert set(found.values()) == {1}
    causes = {(number, word) for number in (3, 4)
              for word in ("max_entries" if number == 3 else "max_bytes, max_entries", "DMA mask",
                           "not ordinary guest memory")}
    assert {(number, word) for number, word in causes for companion, cause in found
            if companion.endswith(f":{number:02x}.0") and word in cause} == causes
    assert run.companion(0)["peak"] == 20 and run.companion(1)["peak"] == 10
    for i in (0, 1):
        assert run.companion(i)["live"] == run.companion(i)["faults"] == 0


def test_doorbells_fit_in_their_time(testbed, build_module):
    """200 pages, each with a window of its own. At 1 ms for each entry one or two fit in
    1 ms. Without a delay, and with 1 s, batches grow: 1 + 2 + ... + 64 are 127 entries."""
    run = testbed(TOOLS + r"""
list() {
	insmod /root/edu.ko run=sg_count count=200
	rmmod apple_dma_edu
	host-stats
}
list
host-set companion0 latency-us 0
echo 1000000 >$sys/doorbell_us
list
""", devices=EDU, host=["latency-us=1000"], module="mode=strict",
                  push=[f"{build_module(src=SOURCE)}:/root/edu.ko"])
    slow, fast = (stats[0] for stats in run.json_lines())
    assert slow["map_entries"] == 200 and slow["largest_batch"] <= 2
    assert fast["map_entries"] == 400 and fast["largest_batch"] == 64


def test_more_than_a_mac_takes_fails_the_run(testbed, disk):
    """The host here has the room, and a Mac would not; the module's budget is too large."""
    drive, _ = disk()
    run = testbed("dd if=/dev/nvme0n1 of=/dev/null bs=1M count=100 2>/dev/null", qemu=[drive],
                  devices=NVME, host=["panic-bytes=16M"], expect=EXIT_HOST_PANIC)
    found = re.search(r"host panic: the map of (\d+) bytes at (0x[0-9a-f]+), with which there are "
                      r"(\d+) bytes in (\d+) mappings, of companion0 .*; (\d+) such", run.err)
    size, gpa, total, entries, count = (int(text, 0) for text in found.groups())
    assert size and gpa % 16384 == 0 and total - size <= 16 << 20 < total and entries
    assert run.companion()["panics"] == count
    assert run.companion()["failed_entries"] == 0


def test_two_devices_share_the_bytes(testbed, disk):
    """The budget is as much as the host has for both. The second device takes what the first
    keeps idle, and the host is never asked for more than it has."""
    run = testbed(r"""
cd /sys/bus/pci/drivers/apple_dma
set -- 0*
taken() { cat "$1/apple_dma/evictions"; }
first=$(basename "$(readlink -f $1/apple_dma/managed/nvme/*)")n1
second=$(basename "$(readlink -f $2/apple_dma/managed/nvme/*)")n1
# All of a buffer is used, so that no window is too large.
dd if=/dev/$first of=/dev/null bs=48M count=1 iflag=direct 2>/dev/null
before=$(taken $1)
full=$(cat $1/apple_dma/mapped_bytes)
dd if=/dev/$second of=/dev/null bs=48M count=1 iflag=direct 2>/dev/null
echo "full=$full" "second=$(cat $2/apple_dma/mapped_bytes)" "taken=$(($(taken $1) - before))" |
	tr ' ' '\n'
[ $(cat $1/apple_dma/guest_bytes) = $(cat $2/apple_dma/guest_bytes) ] || fail guest_bytes
node=/dev/$first verified a --size=12m &
a=$!
node=/dev/$second verified b --size=12m &
joined $!
joined $a
agree first companion0 $1
agree second companion1 $2
echo "failures=$(cat $1/apple_dma/map_failures)$(cat $2/apple_dma/map_failures)"
""", qemu=[disk("d0")[0], disk("d1")[0]],
                  devices=["nvme,drive=d0,serial=a", "nvme,drive=d1,serial=b"],
                  host=["shared-bytes=64M"], module="max_bytes=67108864 idle_ms=0")
    assert run.value("full") > 32 << 20
    assert run.value("taken") > 0 and run.value("second") > 0
    assert run.value("failures") == 0
    for i in (0, 1):
        assert 48 << 20 < run.companion(i)["shared_peak_bytes"] <= 64 << 20
        assert run.companion(i)["failed_entries"] == run.companion(i)["faults"] == 0


@pytest.mark.full
def test_budget_for_each_device(testbed, disk):
    """With budget_per_device=1 two devices have twice the bytes."""
    run = testbed(r"""
for disk in nvme0n1 nvme1n1; do
	dd if=/dev/$disk of=/dev/null bs=48M count=1 iflag=direct 2>/dev/null
done
for companion in /sys/bus/pci/drivers/apple_dma/0*; do
	[ $(cat $companion/apple_dma/guest_bytes) = $(cat $companion/apple_dma/mapped_bytes) ] ||
		fail guest_bytes
done
""", qemu=[disk("d0")[0], disk("d1")[0]],
                  devices=["nvme,drive=d0,serial=a", "nvme,drive=d1,serial=b"],
                  host=["shared-bytes=67108864"],
                  module="max_bytes=33554432 idle_ms=0 budget_per_device=1")
    assert 48 << 20 < run.companion()["shared_peak_bytes"] <= 64 << 20
    assert "the bytes are for this device" in run.console


@pytest.mark.full
@pytest.mark.parametrize("mode, size", [("cached", "8m"), ("strict", "1m")])
def test_slow_host(testbed, disk, mode, size):
    """10 ms for each entry: it is slow, and no watchdog complains."""
    drive, _ = disk()
    run = testbed(TOOLS + LOAD + f"""
host-set companion0 latency-us 10000
echo 1 >$sys/flush
start_verify {size}
while kill -0 $load 2>/dev/null; do
	counters >/dev/null
	sleep 0.2
done
joined $load
echo 1 >$sys/flush
host-set companion0 latency-us 0
verify after
agree end
counters
""", qemu=[drive], devices=NVME, module=f"mode={mode}")
    assert run.value("map_failures") == run.value("broken") == 0
    assert run.companion()["map_entries"] > 10
    assert run.companion()["live"] == run.companion()["faults"] == 0


@pytest.mark.full
@pytest.mark.parametrize("limits, module", [
    (["max-entries=100"], None), (["max-bytes=16M"], None), (["max-segment=128K"], None),
    (["max-bytes=4M", "latency-us=1000"], "max_bytes=4194304"),
    (["max-entries=64", "max-bytes=4M"], "max_bytes=4194304 max_entries=64")])
def test_narrow_and_fragmented(testbed, disk, limits, module):
    """The address space has few holes, and they are small. Requests may have to wait for
    others, and none fails."""
    drive, _ = disk()
    run = testbed(TOOLS + LOAD + """
for mode in cached strict cached; do
	echo $mode >$sys/mode
	start_verify 4m
	joined $load
done
agree end
counters
echo "errors=$(dmesg | grep -c 'I/O error')"
""", qemu=[drive], devices=NVME, module=module,
                  host=["iova=fragmented", "seed=3", *limits])
    assert run.value("errors") == run.value("broken") == 0
    assert run.companion()["live"] == run.companion()["faults"] == 0
