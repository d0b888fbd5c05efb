# SPDX-License-Identifier: GPL-2.0
"""Processors that come and go, many of them, and memory in several nodes.

The module counts hits on each CPU. The sums are right whatever becomes of the CPU.
"""

import pytest

from conftest import NVME

TOOLS = r"""
cpus=$(ls -d /sys/devices/system/cpu/cpu[1-9]*)
turn() { for cpu in $cpus; do echo "$1" >$cpu/online; done; }	# all but the first: 0 or 1
online() { getconf _NPROCESSORS_ONLN; }

# All that CPUs have counted; nothing maps while this is compared.
maps() { echo $(($(counter hits) + $(counter misses))); }
idle_counters() { echo "$(counter live_mappings) $(counter live_bytes) $(maps)" \
	"$(counter idle_entries) $(counter idle_bytes)"; }

# Some I/O of each CPU, all at once.
everywhere() {	# job; fio's options follow
	verified "$1" --numjobs="$(online)" --cpus_allowed="0-$(($(online) - 1))" \
		--cpus_allowed_policy=split --size=256k --offset_increment=1m --bs=16k \
		--iodepth=4 "${@:2}"
}
await_disk
"""

END = r"""
agree end
for name in map_failures bad_unmaps broken; do
	[ "$(counter $name)" = 0 ] || fail "$name is $(counter $name)"
done
counters
unbind "$managed"
clean || fail "something is left"
[ "$(counter idle_entries) $(counter idle_bytes)" = "0 0" ] || fail "idle windows are left"
"""


def check(run):
    """No fault, and nothing is left on the host."""
    host = run.companion()
    assert host["faults"] == host["live"] == host["live_bytes"] == host["failed_entries"] == 0
    assert host["map_entries"] > 0


@pytest.mark.parametrize("kernel, arch, rounds", [
    ("6.1", "x86_64", 2), pytest.param("6.1", "x86_64", 40, marks=pytest.mark.full),
    pytest.param("debug", "x86_64", 10, marks=pytest.mark.full),
    pytest.param("6.12-rt", "x86_64", 10, marks=pytest.mark.full),
    pytest.param("newest", "arm64", 10, marks=[pytest.mark.full, pytest.mark.arm64])])
def test_processors_come_and_go_under_io(testbed, disk, kernel, arch, rounds):
    """What a CPU has counted stays when it goes."""
    drive, _ = disk()
    run = testbed(f"rounds={rounds}" + TOOLS + r"""
for round in $(seq $rounds); do
	everywhere "e$round"
	verify "r$round" --size=4m & io=$!
	turns=0
	while kill -0 $io 2>/dev/null || [ $turns = 0 ]; do
		turn 0
		turn 1
		turns=$((turns + 1))
	done
	joined $io
	echo "turns=$turns"
	before=$(idle_counters)
	turn 0
	[ "$(online)" = 1 ] || fail "$(online) are online"
	[ "$(idle_counters)" = "$before" ] || fail "off: $before became $(idle_counters)"
	verify "one$round" --size=1m
	before=$(idle_counters)
	turn 1
	[ "$(idle_counters)" = "$before" ] || fail "on: $before became $(idle_counters)"
	agree "round $round"
done
""" + END, kernel=kernel, arch=arch, cpus=4, qemu=[drive], devices=NVME, module="idle_ms=0",
                  timeout=420 + 60 * rounds)
    check(run)
    assert run.value("turns") > 0


NODES = ("-smp 4,sockets=2,cores=2 -object memory-backend-ram,id=n0,size=512M "
         "-object memory-backend-ram,id=n1,size=512M "
         "-numa node,nodeid=0,memdev=n0,cpus=0-1 -numa node,nodeid=1,memdev=n1,cpus=2-3 "
         "-numa dist,src=0,dst=1,val=20")


@pytest.mark.parametrize("mode, arch", [
    ("cached", "x86_64"), pytest.param("strict", "x86_64", marks=pytest.mark.full),
    pytest.param("cached", "arm64", marks=[pytest.mark.full, pytest.mark.arm64])])
def test_memory_of_both_nodes_is_mapped(testbed, disk, mode, arch):
    """CPUs and memory in two nodes: buffers of one are mapped by CPUs of the other."""
    drive, _ = disk()
    run = testbed(TOOLS + r"""
[ -e /sys/devices/system/node/node1 ] || fail "one node"
for at in 0 1; do
	everywhere "near$at" --numa_mem_policy=bind:$at
	verify "at$at" --size=4m --numa_mem_policy=bind:$at --cpus_allowed=$((3 - 3 * at))
	agree "node $at"
done
""" + END, arch=arch, cpus=4, qemu=[drive, NODES], devices=NVME, module=f"mode={mode}",
                  timeout=600)
    check(run)


@pytest.mark.full
def test_more_processors_than_a_word_has_bits(testbed, disk):
    """A job on each CPU, all at once. Measuring their speed would take most of the boot."""
    drive, _ = disk(size="256M")
    run = testbed(TOOLS + r"""
[ "$(online)" = 66 ] || fail "$(online) are online"
everywhere all
before=$(idle_counters)
turn 0
[ "$(idle_counters)" = "$before" ] || fail "off: $before became $(idle_counters)"
verify one --size=1m
agree one
""" + END, cpus=66, mem="2G", qemu=[drive], devices=NVME, module="idle_ms=0", timeout=1800,
                  append="lpj=4000000")
    check(run)
