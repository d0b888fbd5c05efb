# SPDX-License-Identifier: GPL-2.0
"""Companions and devices are removed while a disk is in use, and put back.

There are three ways: the guest removes it (in sysfs; rescan finds it again), the guest
ejects it (its slot's power), and it is pulled without notice, as from a Thunderbolt
port.
"""

import os
import random
import shlex

import pytest

WAYS = ("remove", "eject", "pull")
# A device that cannot be reached any more is waited for for so long.
PATIENCE = "nvme_core.admin_timeout=2 nvme_core.io_timeout=5"

# `device` and `companion` are by number, as `host-ask` and --hotplug have them.
TOOLS = r"""
pci=/sys/bus/pci
slot_of() { [ "$1" = device ] && echo $((0x10 + $2)) || echo $((0x17 + $2)); }
port_of() {	# the port of $1 $2, such as device 0
	printf '%s/devices/0000:00:%02x.0' $pci "$(slot_of "$1" "$2")"
}
place_of() { basename "$(echo "$(port_of "$1" "$2")"/0000:*:00.0)"; }
present() { [ -e "$(echo "$(port_of "$1" "$2")"/0000:*:00.0)" ]; }
disk_of() {
	local found
	for found in "$(port_of device "$1")"/0000:*/nvme/nvme*/nvme*n1; do
		[ ! -b "/dev/${found##*/}" ] || echo "/dev/${found##*/}"
	done
}
take_out() {	# device or companion, its number, the way
	case $3 in
	remove) echo 1 >"$pci/devices/$(place_of "$1" "$2")/remove" ;;
	eject) echo 0 >$pci/slots/$(slot_of "$1" "$2")/power ;;
	pull) host-ask pull "$1$2" >/dev/null ;;
	esac
	await "! present $1 $2"
}
# The port turns the slot's power off in its own time, and for a second after that does
# not see what is put in.
put_in() {
	if [ "$3" = remove ]; then
		echo 1 >$pci/rescan
	else
		await "grep -q 0 $pci/slots/$(slot_of "$1" "$2")/power"
		sleep 2
		host-ask plug "$1$2" >/dev/null
	fi
	await "present $1 $2"
}
of() { host "$2" "companion$1"; }
its() { counter "$2" "$(place_of companion "$1")"; }
same() { agree "pair $1, $2" "companion$1" "$(place_of companion "$1")"; }
busy() { node=$(disk_of "$1") start_load; }
# Of disk $1, the first 4 MiB are written once, and have to be there in the end.
kept_on() { node=$(disk_of "$1") kept; }
used() { node=$(disk_of "$1") verified used --offset=16m --size=2m; }
"""


def blockdev(disk, name):
    """QEMU's argument for a disk that stays when its device goes."""
    _, path = disk(name, size="48M")
    return (f"-blockdev driver=raw,node-name={name},file.driver=file,"
            f"file.filename={path},cache.no-flush=on,discard=unmap")


def pairs(disk, count):
    """The testbed's options for so many disks with a companion each."""
    return {"qemu": [blockdev(disk, f"d{i}") for i in range(count)],
            "devices": [f"nvme,drive=d{i},serial=s{i}" for i in range(count)],
            "host": ["iova=random"], "hotplug": True, "append": PATIENCE}


@pytest.mark.parametrize("kernel, ways", [
    pytest.param("6.1", WAYS, marks=pytest.mark.full),
    pytest.param("debug", ["remove"], marks=pytest.mark.debug)])
def test_companion_taken_out_while_busy(testbed, disk, kernel, ways):
    """The disk loses its driver first, and has it again with the companion.

    When it is pulled, the host ends its registrations while the disk still works. The DART
    then refuses accesses until the disk's driver is gone. The debug kernel does not take it
    out of a slot: Linux 6.1 takes two locks of pciehp in both orders, which lockdep reports.
    dma-debug is off there: it reports as a leak what nvme frees with its last user.
    """
    options = pairs(disk, 1)
    if kernel == "debug":
        options["append"] += " dma_debug=off"
    rounds = "".join(f"""
busy 0
faults=$(of 0 faults)
take_out companion 0 {way}
stop_load
[ ! -e "$(port_of device 0)/$(place_of device 0)/driver" ] || fail "{way}: the disk is bound"
put_in companion 0 {way}
await '[ -n "$(disk_of 0)" ]'
again=$(of 0 faults)
[ {way} = pull ] || [ "$again" = "$faults" ] || fail "{way}: faults"
kept_on 0
used 0
same 0 {way}
[ "$(of 0 faults)" = "$again" ] || fail "{way}: faults afterwards"
echo "{way}=$((again - faults))"
""" for way in ways)
    run = testbed(TOOLS + "keep\n" + rounds, **options, kernel=kernel, allow_faults=True)
    assert all(run.value(way) == 0 for way in ways if way != "pull")
    assert "pull" not in ways or run.value("pull") > 0, "nothing was in use when it was pulled"
    assert run.companion()["live"] == 0


@pytest.mark.full
def test_device_taken_out_while_busy(testbed, disk):
    """Its mappings are released, and it works when it comes back."""
    rounds = "".join(f"""
busy 0
take_out device 0 {way}
stop_load
[ "$(of 0 live)" = 0 ] || fail "{way}: the host has $(of 0 live)"
[ "$(its 0 mapped_entries)" = 0 ] || fail "{way}: $(its 0 mapped_entries) stay mapped"
put_in device 0 {way}
await '[ -n "$(disk_of 0)" ]'
kept_on 0
used 0
same 0 {way}
""" for way in WAYS)
    run = testbed(TOOLS + "keep\n" + rounds + "counters\n", **pairs(disk, 1))
    assert run.value("bad_unmaps") == run.value("map_failures") == 0
    assert run.companion()["faults"] == run.companion()["live"] == 0


def comings_and_goings(seed, count, events):
    """The guest's script: all of COUNT pairs but the first are removed and put back."""
    chance = random.Random(seed)
    out, script = {}, []

    def put_in(what, number, way):
        script.append(f"put_in {what} {number} {way}")
        for each in [(what, number)] + [each for each in out if way == out[each] == "remove"]:
            out.pop(each, None)     # a rescan finds all

    for _ in range(events):
        what, number = chance.choice(("device", "companion")), chance.randrange(1, count)
        if (what, number) in out:
            put_in(what, number, out[what, number])
            continue
        way = chance.choice(WAYS)
        if ("device", number) in out or ("companion", number) in out:
            script.append(f"take_out {what} {number} {way}")
        else:
            script += [f"await '[ -n \"$(disk_of {number})\" ]'", f"busy {number}",
                       f"take_out {what} {number} {way}", "stop_load"]
        out[what, number] = way
    while out:
        (what, number), way = chance.choice(sorted(out.items()))
        put_in(what, number, way)
    return "\n".join(f"echo {shlex.quote('# ' + line)}\n{line}" for line in script)


@pytest.mark.full
@pytest.mark.parametrize("count, events", [(2, 4), (4, 16)])
def test_pairs_come_and_go_at_random(testbed, disk, count, events):
    """The first pair stays; its disk is written and verified all the time."""
    seed = int(os.environ.get("SEED") or random.randrange(1 << 32))
    print(f"SEED={seed}")
    everyone = " ".join(str(i) for i in range(count))
    run = testbed(TOOLS + f"""
echo "seed={seed}"
for i in {everyone}; do node=$(disk_of $i) keep; done
rm -f /tmp/stop
( n=0; while [ ! -e /tmp/stop ]; do used 0; n=$((n + 1)); done; echo "verified=$n" ) & stays=$!
{comings_and_goings(seed, count, events)}
touch /tmp/stop
joined $stays
for i in {everyone}; do
	await "[ -n \\"\\$(disk_of $i)\\" ]"
	kept_on $i
	used $i
	same $i end
done
""", **pairs(disk, count), allow_faults=True, timeout=900)
    assert run.value("verified") > 0
    assert run.companion(0)["faults"] == 0
    assert all(run.companion(i)["live"] == 0 for i in range(count))
