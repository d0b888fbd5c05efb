# SPDX-License-Identifier: GPL-2.0
"""A guest that sleeps: suspend to RAM, suspend to idle, hibernation; a disk is in use."""

import re

import pytest

from conftest import NVME
from test_vm_observe import events, number, Replay

# The testbed wakes a guest from suspend to RAM at once. From suspend to idle a key wakes
# it, or the clock if there is no keyboard.
# SeaBIOS does not program the chip set's power management again after a sleep: a PC would
# not sleep a second time, nor power off.
TOOLS = r"""
sys=$(echo /sys/bus/pci/drivers/apple_dma/0*/apple_dma)
clock=/sys/class/rtc/rtc0
keyboard=/sys/devices/platform/i8042/serio0/power/wakeup
chips=/sys/bus/pci/devices/0000:00:1f.0/config
[ ! -e $chips ] || head -c 72 $chips | tail -c 8 >/tmp/chips
awake() {
	reopen
	[ ! -e $chips ] || dd if=/tmp/chips of=$chips bs=1 seek=64 conv=notrunc 2>/dev/null
}
writes() { awk '{ print $5 }' /sys/block/nvme0n1/stat; }
write_on() {	# verified, and still at it when the guest goes to sleep
	verify written --offset=64m --size=12m & write=$!
	local before=$(writes)
	await "[ \$(writes) -ge $((before + 50)) ]"
}
snooze() {	# ram, idle, or how far pm_test lets it go
	resident
	case $1 in
	ram) echo mem >/sys/power/state ;;
	idle)
		if [ -e $keyboard ]; then
			echo enabled >$keyboard
			for each in {3..90..3}; do host-ask later $each sendkey ret >/dev/null; done
		else
			echo 0 >$clock/wakealarm
			echo +3 >$clock/wakealarm
		fi
		echo freeze >/sys/power/state
		# Keys that are still to come wake nobody.
		[ ! -e $keyboard ] || echo disabled >$keyboard ;;
	*)
		echo "$1" >/sys/power/pm_test
		echo mem >/sys/power/state
		echo none >/sys/power/pm_test ;;
	esac
	awake
}
sleeps=0
sleep_once() {	# with reads and verified writes under way
	start_load
	write_on
	snooze "$1"
	joined $write
	stop_load
	agree "$1"
	verify "after-$sleeps"
	agree "$1, used"
	sleeps=$((sleeps + 1))
}
# The delay of pm_test is what waits for nothing.
echo 1 >/sys/module/suspend/parameters/pm_test_delay 2>/dev/null || true
await_disk
"""


def check(run, sleeps, to_ram=0):
    """All slept, and neither side lost anything."""
    assert run.value("sleeps") == sleeps
    assert run.err.count("the guest sleeps") == to_ram
    assert run.console.count("PM: suspend exit") == sleeps
    assert run.value("map_failures") == run.value("bad_unmaps") == run.value("broken") == 0
    assert run.companion()["faults"] == run.companion()["live"] == 0
    assert run.companion()["bad_commands"] == 0


def test_suspend_to_ram(testbed, disk):
    """QEMU resets every device, and this host even forgets the command page."""
    drive, _ = disk()
    run = testbed(TOOLS + """
sleep_once ram
echo "sleeps=$sleeps"
counters
""", qemu=[drive], devices=NVME, host=["iova=random", "forget=registers"])
    check(run, 1, to_ram=1)


@pytest.mark.full
@pytest.mark.parametrize("mode, forget", [
    ("cached", "nothing"), ("strict", "registers")])
def test_suspend_rounds(testbed, disk, mode, forget):
    """Suspend to RAM and to idle in turn, and each level of pm_test.

    The ager looks at idle windows every two milliseconds, so it would meet registers that
    are not programmed yet.
    """
    drive, _ = disk()
    order = "ram idle devices ram".split()
    run = testbed(TOOLS + f"""
echo 10 >$sys/idle_ms
for how in {" ".join(order)}; do sleep_once $how; done
echo "sleeps=$sleeps"
counters
""", qemu=[drive], devices=NVME, module=f"mode={mode}",
                  host=["iova=random", f"forget={forget}"])
    check(run, len(order), to_ram=order.count("ram"))


@pytest.mark.full
@pytest.mark.arm64
def test_suspend_to_idle_on_arm64(testbed, disk):
    drive, _ = disk()
    run = testbed(TOOLS + """
for round in 1 2; do sleep_once idle; done
echo "sleeps=$sleeps"
counters
""", arch="arm64", qemu=[drive], devices=NVME)
    check(run, 2)


@pytest.mark.full
def test_idle_windows_go_before_the_guest_sleeps(testbed, disk):
    """Only windows in use stay registered during a sleep, by the module's events and the
    host's count. Each idle window is given back; then no doorbell until the guest wakes."""
    drive, _ = disk()
    run = testbed(TOOLS + """
trace=/sys/kernel/tracing
mount -t tracefs nodev $trace 2>/dev/null || [ -d $trace/events ]
verify before
dd if=$node of=/dev/null bs=1M count=96 status=none
echo "idle=$(counter idle_entries)"
sed 's/^/window /' /sys/kernel/debug/apple_dma/0*/windows
unmapped=$(host unmap_entries)
for each in apple_dma power/suspend_resume; do echo 1 >$trace/events/$each/enable; done
snooze ram
echo 0 >$trace/events/enable
echo "unmapped=$(($(host unmap_entries) - unmapped))"
grep -v '^#' $trace/trace
verify after
agree end
""", cpus=1, qemu=[drive], devices=NVME, module="idle_ms=0")
    before, after = re.split(r"machine_suspend\[3\] begin", run.out)
    windows = [line.split() for line in re.findall(r"^window (.*)$", before, re.M)]
    windows = Replay([(*map(number, line[:4]), line[4]) for line in windows])
    assert sum(not users for *_, users in windows.windows.values()) == run.value("idle") > 4
    awake, asleep = re.split(r"dpm_suspend_noirq\[2\] begin", before)
    for name, fields in events(awake):
        getattr(windows, name)(**fields)
    idle = [phys for phys, (*_, users) in windows.windows.items() if not users]
    assert idle
    events_asleep = events(asleep)
    for name, fields in events_asleep:
        getattr(windows, name)(**fields)
    assert windows.windows and all(users for *_, users in windows.windows.values())
    gone = {fields["phys"] for name, fields in events_asleep if name == "window_evict"}
    assert gone == set(idle)
    rung = [fields for name, fields in events_asleep if name == "doorbell"]
    assert sum(fields["requests"] for fields in rung) == len(idle)
    assert not events(re.split(r"machine_suspend\[3\] end", after)[0])
    assert run.value("unmapped") == sum(name == "window_evict" for name, _ in
                                        events(before) + events(after))


@pytest.mark.full
def test_host_that_forgets_while_the_guest_sleeps(testbed, disk):
    """The mappings of the disk's driver are gone: it is probed again, and works.

    Until then the device uses addresses that are not mapped, which are DART faults.
    """
    drive, _ = disk()
    run = testbed(TOOLS + r"""
for round in 1 2; do
	verify "before-$round"
	agree "before $round"
	dmesg -C
	snooze ram
	await "dmesg | grep -q 'nvme nvme0: [0-9/]* .*queues'"
	await_disk
	verify "after-$round"
	agree "after $round"
	dmesg | grep "is probed again" || fail "not noticed"
done
echo "rounds=$round"
counters
""", qemu=[drive], devices=NVME, host=["iova=random", "forget=all"], allow_faults=True,
                  append="nvme_core.admin_timeout=2 nvme_core.io_timeout=5")
    assert run.value("rounds") == 2
    assert run.value("broken") == run.companion()["live"] == 0


HIBERNATION = TOOLS + r"""
swap=/dev/vda
resume() { read -r dev </sys/block/vda/dev; echo "$dev" >/sys/power/resume; }
searched() {	# so many times
	await "[ \$(dmesg | grep -c 'released .* of an earlier kernel') -ge $1 ]"
}
"""
SWAP = ("-drive file={path},if=none,id=swap,format=raw,cache=unsafe "
        "-device virtio-blk-pci,drive=swap")


@pytest.mark.full
def test_hibernation(testbed, disk):
    """It is refused while the disk is mapped. Without the disk's driver it works. The kernel
    that restores the image has used the disk; its registrations are found, also by a
    kernel that has already finished a search for those of an earlier one.
    """
    drive, _ = disk()
    _, swap = disk("swap", size="1G")
    run = testbed(HIBERNATION + r"""
if [ "$BOOT" = 1 ]; then
	start_load
	host-ask reset
	sleep 60
	fail "still there"
fi
verify "boot$BOOT"
echo "boot$BOOT=$(host live)"
if [ "$BOOT" = 3 ]; then
	resume
	fail "it was not resumed: $(dmesg | tail -5)"
fi
searched 1
recovered=$(counter recovered)
echo "before=$recovered"
mkswap $swap >/dev/null
swapon $swap
echo reboot >/sys/power/disk
! echo disk >/sys/power/state 2>/tmp/err || fail "hibernated with a disk in use"
awake
grep -qi busy /tmp/err || fail "$(cat /tmp/err)"
verify refused
agree refused
echo "$managed" >/sys/bus/pci/drivers/nvme/unbind
[ "$(host live)" = 0 ] || fail "the host has $(host live)"
echo mark >/tmp/mark
echo disk >/sys/power/state
awake
[ "$(cat /tmp/mark)" = mark ]
echo "found=$(host live)"
echo "$managed" >/sys/bus/pci/drivers/nvme/bind
await_disk
verify back
searched 2
agree back
echo "again=$(($(counter recovered) - recovered))"
counters
host-stats
""", qemu=[drive, SWAP.format(path=swap)], devices=NVME, mem="512M", reboots=2, timeout=600)
    assert "cannot hibernate while" in run.console
    assert run.value("before") > 0
    assert 0 < run.value("found") <= run.value("boot3")
    assert run.value("again") == run.value("found")
    assert run.value("map_failures") == run.value("broken") == 0
    assert run.companion()["faults"] == 0
