# SPDX-License-Identifier: GPL-2.0
"""Faults: a host that changes its mind, and memory that is not to be had."""

import re
import subprocess

import pytest

from conftest import NVME, TOP

SOURCE = TOP / "scripts" / "tests" / "edu"
FAULTS = TOP / "scripts" / "tests" / "faults"
EDU = ["edu,dma_mask=0xffffffffffffffff"]

# Helpers of the guest side; one companion, and the driver of scripts/tests/edu.
TOOLS = r"""
driver=/sys/bus/pci/drivers/apple_dma
companion=$(basename $driver/0*)
device=$(basename "$(readlink -f $driver/$companion/apple_dma/managed)")
bound() { [ -e $driver/$companion ]; }
unbind() { echo "$companion" >$driver/unbind; }
# Status 1 if the module does not want it.
bind() { echo "$companion" >$driver/bind 2>/dev/null; }
cases() {	# of the test driver, how many: its lines of TAP
	insmod /root/edu.ko "run=$1" "count=${2:-8}"
	rmmod apple_dma_edu
}
works() {
	dmesg -C
	cases sg
	dmesg | grep -q 'apple_dma_edu: ok 1 - sg' || fail "$1: maps do not work"
}
"""


def test_host_that_changes(testbed, build_module):
    """Registers that are others the next time: what was read when the companion
    was bound counts, until it is bound again."""
    run = testbed(TOOLS + r"""
bridge=0x$(printf %04x $((0x${companion%%:*} << 8 | 0x10 << 3)))
refused() {	# what the log says
	unbind
	dmesg -C
	! bind || fail "bound, and was to say: $1"
	dmesg | grep -q "$1" || fail "no word of: $1: $(dmesg)"
}
works first
host-set companion0 managed-bdf "$bridge"
works "BDF of a bridge"
refused "manages the bridge"
host-set companion0 managed-bdf auto
bind
works "BDF is back"
host-set companion0 lie fickle
unbind
bind
works "registers change"
refused "protocol version 3"
host-set companion0 lie gone
! bind || fail "bound, and is gone"
host-set companion0 lie none
bind
works end
counters
""", devices=EDU, push=[f"{build_module(src=SOURCE)}:/root/edu.ko"])
    assert run.value("broken") == run.value("map_failures") == 0
    assert run.companion()["faults"] == run.companion()["live"] == 0


def test_broken_companion_is_bound_again(testbed, build_module):
    """A breach of each kind, with the driver there and as it goes: nothing is
    mapped any more, what the driver leaves is kept, and a new bind is a new start.

    What a host keeps of before is in nobody's way: it is released when its handle is
    wanted.
    """
    run = testbed(TOOLS + r"""
for lie in zero half short-stays unmap-fail no-answer gone; do
	host-set companion0 lie-after 2
	host-set companion0 lie $lie
	cases broken
	[ "$(counter broken)" = 1 ] || fail "$lie: not broken"
	before=$(host doorbells)
	host-set companion0 lie none
	cases broken
	[ "$(host doorbells)" = "$before" ] || fail "$lie: the host was asked again"
	[ "$(counter map_failures)" -gt 8 ] || fail "$lie: something was mapped"
	unbind
	bind
	[ "$(counter broken)" = 0 ] || fail "$lie: still broken"
	works $lie
done
insmod /root/edu.ko run=leak count=8
host-set companion0 lie-after 0
host-set companion0 lie unmap-fail
rmmod apple_dma_edu
[ "$(counter broken)" = 1 ] || fail "leak: not broken"
echo "kept=$(counter leaked_bytes)"
host-set companion0 lie none
unbind
bind
works leak
counters
""", devices=EDU, module="mode=strict", push=[f"{build_module(src=SOURCE)}:/root/edu.ko"])
    assert run.console.count("the host broke the protocol: ") == 7
    # The first page of each block: the others have no count of their own.
    assert run.value("kept") == 8 * 4096
    assert re.search(r"left 8 DMA mappings behind; they are kept", run.console)
    assert run.value("broken") == run.value("map_failures") == 0
    assert run.companion()["faults"] == 0


def test_broken_disk_is_unbound(testbed, disk):
    """With requests under way, which nvme would try to map for ever: it is told that
    its device is gone. Bound again, the disk is there, and its data."""
    drive, _ = disk()
    run = testbed(TOOLS + r"""
keep
for lie in zero unmap-fail no-answer; do
	start_load
	host-set companion0 lie $lie
	await 'dmesg | grep -q "broke the protocol"'
	dmesg -C
	echo "$device" >/sys/bus/pci/drivers/nvme/unbind
	host-set companion0 lie none
	stop_load
	unbind
	bind
	await_disk
	kept
done
keep
counters
""", qemu=[drive], devices=NVME, module="mode=strict")
    assert run.console.count("the host broke the protocol: ") == 3
    assert run.value("broken") == run.value("map_failures") == 0
    assert run.companion()["faults"] == 0


# Allocations fail for whoever says so in /proc/self/fail-nth, those that may sleep,
# too; functions for the shell that says so, or its child.
SWEEPS = TOOLS + r"""
debugfs=/sys/kernel/debug
for each in failslab fail_page_alloc; do
	echo 0 >$debugfs/$each/verbose
	echo N >$debugfs/$each/ignore-gfp-wait
done
echo 0 >$debugfs/fail_page_alloc/min-order

sweep() {	# step, name, what is done, what undoes it, what is left alone
	local step=$1
	shift
	said=$(/root/nth "$step" "$2" "$3" ${4:+"$4"}) || fail "$1: $said"
	echo "$1: $said"
	[ "$(host live)" = 0 ] || fail "$1: the host has $(host live)"
}

# Function $1 returns $2 once, in $3.
refuse() {
	local parameter=/sys/module/apple_dma_faults/parameters/refuse
	echo "$1 $2" >$parameter
	if "$3"; then outcome=done; else outcome=refused; fi
	left=$(cat $parameter)
	echo >$parameter
	[ -z "$left" ] || fail "$1 is not used in $3"
	echo "refused $1 in $3: $outcome"
	[ $outcome = refused ] || "un$3"
	[ "$(host live)" = 0 ] || fail "$1: the host has $(host live)"
}
rescan() { echo 1 >/sys/bus/pci/rescan; }
unrescan() { works "found again"; }
load() { insmod "$APPLE_DMA_KO" 2>/dev/null; }
unload() { await rmmod apple_dma; }
"""

# What dma-debug is refused it reports, as if it were a mistake, and turns itself off; and
# its allocations are not those that are to be tried. Other tests have it on.
NO_DMA_DEBUG = "dma_debug=off"

# What they return when there is no memory, or no room.
ERROR, NULL = -12, 0

# By insmod, by a companion's probe, and as its device comes; and those that can be done
# without.
INSMOD = {"kmem_cache_create": NULL, "alloc_workqueue": NULL, "register_pm_notifier": ERROR,
          "debugfs_create_dir": ERROR, "__pci_register_driver": ERROR}
PLUG = {"device_link_add": NULL, "sysfs_add_link_to_group": ERROR}
PROBE = {"pcim_enable_device": ERROR, "__devm_request_region": NULL, "pcim_iomap": NULL,
         "get_zeroed_page": NULL, "__alloc_percpu": NULL, "mempool_create": NULL,
         "walk_iomem_res_desc": ERROR, "register_memory_notifier": ERROR,
         "bus_register_notifier": ERROR, "sysfs_create_group": ERROR,
         "debugfs_create_dir": ERROR, "debugfs_create_file": ERROR, **PLUG}
SPARE = {"walk_iomem_res_desc", "sysfs_add_link_to_group", "debugfs_create_dir",
         "debugfs_create_file"}


@pytest.fixture(name="nth")
def build_nth(tmp_path):
    """The program that sweeps over allocations, for the guest."""
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-static", "-o", tmp_path / "nth",
                    FAULTS / "nth.c"], check=True)
    return f"{tmp_path / 'nth'}:/root/nth"


def refuse_each(functions, what, before=""):
    """Lines for the guest: each of FUNCTIONS is refused in WHAT."""
    return "\n".join(f"{before}refuse {name} {value} {what}" for name, value in functions.items())


def check_sweeps(run, names, leaks=True):
    """Each had allocations that failed, and kmemleak lived to look at the end."""
    assert ("Kernel memory leak detector disabled" in run.console) is not leaks
    found = {name: int(n) for name, n in
             re.findall(r"^(\S+): (\d+) allocations failed", run.out, re.M)}
    assert set(found) == set(names) and all(found.values()), run.out
    assert run.companion()["faults"] == 0


@pytest.mark.debug
def test_what_is_refused_is_survived(testbed, build_module, nth):
    """Memory, and what else the module asks the kernel for: by sweep over the probe and
    the removal of a companion, each operation, mode and flush; by function over insmod,
    the probe, and a device that comes. Nothing leaks (kmemleak looks at the end), nothing
    is reported, and the next try works. Of the probe's allocations each twentieth; KUnit's
    main.probe_and_remove_odd and _even have all."""
    modules = [f"{build_module('debug', src=source)}:/root/{name}.ko"
               for source, name in ((SOURCE, "edu"), (FAULTS, "faults"))]
    run = testbed(SWEEPS + r"""
unbind
sweep 20 probe write=$driver/bind=$companion write=$driver/unbind=$companion
[ ! -e $driver/$companion ] || fail "bound at the end of a sweep"
bind
sweep 1 remove write=$driver/unbind=$companion write=$driver/bind=$companion
sys=$driver/$companion/apple_dma
sweep 1 mode write=$sys/mode=strict write=$sys/mode=cached
sweep 1 flush write=$sys/flush=1 none==
echo strict >$sys/mode
dmesg -C
cases no_memory 8
dmesg | grep -q 'ok 1 - no_memory' || fail "$(dmesg)"
dmesg | sed -n 's/.*apple_dma_edu: # operation/operation/p'
[ "$(host live)" = 0 ] || fail "operations: the host has $(host live)"
unbind
insmod /root/faults.ko
""" + refuse_each(PROBE, "bind") + r"""
bind
pull() { echo 1 >"/sys/bus/pci/devices/$device/remove"; }
""" + refuse_each(PLUG, "rescan", "pull; ") + r"""
unload
""" + refuse_each(INSMOD, "load") + r"""
rmmod apple_dma_faults
load
works end
counters
host-stats
""", kernel="debug", devices=EDU, push=[nth, *modules], append=NO_DMA_DEBUG, timeout=1500)
    check_sweeps(run, ["probe", "remove", "mode", "flush"])
    assert len(re.findall(r"^operation \d: [1-9]", run.out, re.M)) == 4
    refused = re.findall(r"^refused (\w+) in (\w+): (\w+)$", run.out, re.M)
    assert [(name, what) for name, what, _ in refused] == [
        *((name, "bind") for name in PROBE), *((name, "rescan") for name in PLUG),
        *((name, "load") for name in INSMOD)]
    for name, what, outcome in refused:
        assert (outcome == "done") is (name in SPARE or what == "rescan"), (name, what)
    assert run.value("broken") == run.value("bad_unmaps") == 0


@pytest.mark.debug
@pytest.mark.full
def test_module_and_driver_without_memory(testbed, disk, nth):
    """The same for the module's part of insmod, and for the probe of nvme: each seventh
    allocation, as a run takes seconds. KUnit's main.bind_and_unbind has all of a probe.

    Linux 6.1 has mistakes of its own there: its loader warns when it has no memory for
    tracepoints, slab leaks the name of a cache, and nvme a controller that could not be
    added, with its number. So the loader is left alone, and kmemleak is off; KUnit looks
    for leaks.
    """
    drive, _ = disk()
    run = testbed(SWEEPS + r"""
nvme=/sys/bus/pci/drivers/nvme
override=/sys/bus/pci/devices/$device/driver_override
echo "$device" >$nvme/unbind
sweep 7 nvme "write=$nvme/bind=$device" "write=$nvme/unbind=$device"
# Without a driver, or it would be bound by each insmod.
echo none >"$override"
unload
sweep 7 insmod "load=$APPLE_DMA_KO=" unload=apple_dma= "load=$APPLE_DMA_KO=max_entries=0"
load
echo >"$override"
echo "$device" >$nvme/bind
await '[ -b /dev/nvme*n1 ]'
node=$(echo /dev/nvme*n1)
verified v --size=2m
counters
""", kernel="debug", qemu=[drive], devices=NVME, push=[nth],
                  append=f"{NO_DMA_DEBUG} kmemleak=off", timeout=1500)
    check_sweeps(run, ["nvme", "insmod"], leaks=False)
    assert run.value("broken") == run.value("bad_unmaps") == 0


@pytest.mark.debug
@pytest.mark.full
def test_leftovers_without_memory(testbed, build_module):
    """What a kernel left that was reset is in the way of maps whose allocations fail, and
    the search for the rest goes on beside them: all is found, and nothing else is lost."""
    run = testbed(SWEEPS + r"""
if [ "$BOOT" = 1 ]; then
	insmod /root/edu.ko run=leak count=1200
	[ "$(host live)" -ge 1200 ] || fail "the host has $(host live)"
	echo b >/proc/sysrq-trigger
	sleep 60
	fail "still there"
fi
[ "$(host live)" -ge 1200 ] || fail "the host has forgotten: $(host live)"
dmesg -C
cases no_memory 16
dmesg | grep -q 'ok 1 - no_memory' || fail "$(dmesg)"
await '[ "$(host live)" = 0 ]'
works end
counters
""", kernel="debug", devices=EDU, module="mode=strict", reboots=1, append=NO_DMA_DEBUG,
                  push=[f"{build_module('debug', src=SOURCE)}:/root/edu.ko"], timeout=600)
    assert run.value("recovered") == 1200
    assert run.value("broken") == run.value("bad_unmaps") == 0
    assert run.companion()["duplicate_handles"] > 0
    assert run.companion()["faults"] == run.companion()["live"] == 0


STRESS = TOP / "scripts" / "tests" / "stress"

# Ends by itself when the file is gone.
BUSY = r"""
touch /run/busy
while_busy() { while [ -e /run/busy ]; do "$@"; done; }
switch() {
	local each
	for each in /sys/bus/pci/drivers/apple_dma/0*/apple_dma; do
		echo strict >$each/mode
		echo 5 >$each/batch_max
		echo 1 >$each/flush
		echo cached >$each/mode
		echo 64 >$each/batch_max
	done
	switches=$((switches + 1))
	echo $switches >/run/switches
}
peek() { counters >/dev/null; host-stats >/dev/null; }
switches=0
for each in switch peek peek; do while_busy $each & busy+=($!); done
start_load --bsrange=4k-64k --iodepth=8 --numjobs=2 --size=100% --runtime=3600
"""


@pytest.mark.debug
@pytest.mark.full
@pytest.mark.parametrize("kernel", ["debug", "kcsan"])
def test_everything_at_once(testbed, build_module, kernel):
    """Maps and unmaps of threads, softirqs and hardirqs on 4 CPUs, in two companions and
    in the engine alone, with so little room that windows are evicted, while modes are
    switched and counters read. KASAN and lockdep, or KCSAN, have nothing to say."""
    modules = [f"{build_module(kernel, src=source)}:/root/{name}.ko"
               for source, name in ((SOURCE, "edu"), (STRESS, "stress"))]
    run = testbed(BUSY + r"""
insmod /root/stress.ko run=storm threads=3 ops=20000 seed=5 & storm=$!
insmod /root/edu.ko run=threads,softirq,hardirq,threads count=40
joined $storm
rmmod apple_dma_edu
rm /run/busy
stop_load
joined "${busy[@]}"
dmesg | grep -o 'apple_dma_\(edu\|stress\): .*ok .*'
echo "switches=$(cat /run/switches)"
for each in /sys/bus/pci/drivers/apple_dma/0*/apple_dma; do
	for name in map_failures bad_unmaps broken; do
		read -r value <$each/$name
		[ "$value" = 0 ] || fail "$each: $name is $value"
	done
	read -r value <$each/evictions
	[ "$value" -gt 0 ] || fail "$each: nothing was evicted"
done
""", kernel=kernel, cpus=4, devices=[*EDU, *NVME], module="max_bytes=8388608",
                  qemu=["-drive if=none,id=d0,driver=null-co,size=1G,read-zeroes=on"],
                  push=modules, timeout=1500)
    assert not re.search("not ok", run.out)
    assert len(re.findall(r"apple_dma_edu: ok", run.out)) == 4
    assert re.search(r"apple_dma_stress: ok", run.out)
    assert run.value("switches") > 3
    for i in (0, 1):
        assert run.companion(i)["live"] == run.companion(i)["faults"] == 0
