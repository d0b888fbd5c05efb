# SPDX-License-Identifier: GPL-2.0
"""Binding, loading, unloading, rebooting, with a disk that is in use before and after."""

import pytest

from conftest import NVME, TOP, run_testbed


@pytest.mark.parametrize("rounds", [3, pytest.param(200, marks=pytest.mark.full)])
def test_unbind_and_rebind_under_io(testbed, disk, rounds):
    """At the second bind other modules lose their ops."""
    drive, _ = disk()
    run = testbed(f"rounds={rounds} size={'8m' if rounds < 100 else '1m'}" + r"""
for round in $(seq $rounds); do
	await_disk
	start_load
	echo "$managed" >/sys/bus/pci/drivers/nvme/unbind
	stop_load
	# Nothing may stay registered for a device without a driver.
	[ "$(counter mapped_entries)" = 0 ] || fail "round $round: $(counter mapped_entries) stay mapped"
	[ "$(host live)" = 0 ] || fail "round $round: the host has $(host live)"
	echo "$managed" >/sys/bus/pci/drivers/nvme/bind
	await_disk
	verify "r$round" --size=$size
done
echo rounds=$round
counters
""", qemu=[drive], devices=NVME, host=["iova=random"], timeout=420 + 15 * rounds)
    assert run.value("rounds") == rounds
    assert run.value("map_failures") == run.value("bad_unmaps") == 0
    assert run.companion()["faults"] == run.companion()["live"] == 0


def test_module_loaded_after_the_driver(testbed, disk):
    """At first the driver works without the module, and is then probed again."""
    drive, _ = disk()
    run = testbed(r"""
await_disk
insmod "$APPLE_DMA_KO"
sleep 1
await_disk
verify late
dmesg | grep "was bound to nvme before apple_dma"
counters
""", qemu=[drive], devices=NVME, no_module=True, host=["enforce=auto"])
    assert "it is probed again" in run.out
    assert run.companion()["map_entries"] > 0
    assert run.companion()["faults"] == 0


@pytest.mark.full
def test_module_loaded_after_a_failed_probe(testbed, disk):
    """The driver has given up; loading the module brings the disk."""
    drive, _ = disk()
    run = testbed(r"""
for i in $(seq 100); do
	[ -e /sys/bus/pci/devices/*/nvme ] || break
	sleep 0.2
done 2>/dev/null
before=$(host faults)
insmod "$APPLE_DMA_KO"
await_disk
verify late
[ "$(host faults)" = "$before" ] || fail "faults with the module"
""", qemu=[drive], devices=NVME, no_module=True, allow_faults=True,
                  append="nvme_core.admin_timeout=2")
    assert run.companion()["map_entries"] > 0


@pytest.mark.full
@pytest.mark.parametrize("enforce", ["auto", "on"])
def test_driver_that_is_built_in(testbed, disk, enforce):
    """A cloud kernel has nvme before it has any module. On a host that lets nothing through the
    first probe faults and fails, after the time that the driver gives it."""
    drive, _ = disk()
    run = testbed(r"""
await_disk
keep
verify again
agree end
kept
echo "early=$(dmesg | grep -c 'was bound to nvme before apple_dma')"
echo "failed=$(dmesg | grep -c 'probe with driver nvme failed')"
echo "timeouts=$(dmesg | grep -c 'nvme.* timeout')"
counters
""", kernel="6.12-cloud", qemu=[drive], devices=NVME, host=[f"enforce={enforce}"],
                  allow_faults=enforce == "on", append="nvme_core.admin_timeout=2")
    assert run.value("early") == (enforce == "auto")
    assert run.value("failed") == run.value("timeouts") == (enforce == "on")
    assert run.value("map_failures") == run.value("bad_unmaps") == run.companion()["live"] == 0
    assert (run.companion()["faults"] > 0) == (enforce == "on")


# Parts that share a guest and its disk; each runs in its own shell.
PARTS = {
    "removed": r"""
for round in 1 2 3; do
	echo 1 >"/sys/bus/pci/devices/$managed/remove"
	[ ! -e /sys/bus/pci/drivers/apple_dma/0*/apple_dma/managed ] || fail "the link stays"
	[ "$(host live)" = 0 ] || fail "the host has $(host live)"
	echo 1 >/sys/bus/pci/rescan
	await_disk
	[ -e /sys/bus/pci/drivers/apple_dma/0*/apple_dma/managed ] || fail "no link"
	verify "r$round"
done
""",
    "companion": r"""
companion=$(basename /sys/bus/pci/drivers/apple_dma/0*)
start_load
echo "$companion" >/sys/bus/pci/drivers/apple_dma/unbind
stop_load
[ "$(host live)" = 0 ] || fail "the host has $(host live)"
[ ! -e "/sys/bus/pci/devices/$managed/driver" ] || fail "the disk is still bound"
echo "$companion" >/sys/bus/pci/drivers/apple_dma/bind
await_disk
verify again
""",
    "unload": r"""
rmmod apple_dma 2>/tmp/err && fail "unloaded while the disk was in use"
grep -q "in use" /tmp/err
for round in 1 2 3; do
	echo "$managed" >/sys/bus/pci/drivers/nvme/unbind
	rmmod apple_dma
	[ "$(host live)" = 0 ] || fail "the host has $(host live)"
	# Without the module the disk must not come: its DMA could not work.
	echo "$managed" >/sys/bus/pci/drivers_probe 2>/dev/null || true
	[ ! -e "/sys/bus/pci/devices/$managed/driver" ] || fail "bound without the module"
	insmod "$APPLE_DMA_KO"
	await_disk
	verify "r$round"
done
""",
}


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """Run a guest with all PARTS; a function that checks the end of one of them."""
    folder = tmp_path_factory.mktemp("parts")
    with open(folder / "d0.img", "wb") as image:
        image.truncate(192 << 20)
    run = run_testbed(folder, "await_disk\nset +e\n" + "".join(
        f"(set -e\n{script}); echo \"{part} ended with $?\"\n"
        for part, script in PARTS.items()),
                      qemu=[f"-drive file={folder}/d0.img,if=none,id=d0,format=raw,cache=unsafe"],
                      devices=NVME)

    def check(part):
        assert f"{part} ended with 0" in run.out.splitlines(), run.out + run.err
        assert run.companion()["faults"] == run.companion()["live"] == 0
    return check


@pytest.mark.xdist_group("parts")
def test_device_removed_and_found_again(parts):
    """The passthrough device appears after the companion."""
    parts("removed")


@pytest.mark.xdist_group("parts")
def test_companion_unbound_while_in_use(parts):
    """The device link makes the core unbind the disk's driver first."""
    parts("companion")


@pytest.mark.xdist_group("parts")
def test_unload_and_reload(parts):
    """Not while the disk is in use, and without the module there is no disk."""
    parts("unload")


def reset_with_leftovers(testbed, build_module, script, **options):
    """Boot 1 maps 200 windows with the test driver and is reset at once."""
    edu = build_module(src=TOP / "scripts/tests/edu")
    return testbed(r"""
if [ "$BOOT" -lt 2 ]; then
	insmod /root/edu.ko run=leak count=200
	echo b >/proc/sysrq-trigger
	sleep 60
fi
echo "left=$(host live)"
""" + script + "\ncounters\n", devices=["edu,dma_mask=0xffffffffffffffff"], reboots=1,
                   mem="384M", push=[f"{edu}:/root/edu.ko"],
                   module="mode=strict", **options)


def test_reset_without_warning(testbed, build_module):
    """A leftover in the way is released and mapped again; then the others are released."""
    run = reset_with_leftovers(testbed, build_module, r"""
insmod /root/edu.ko run=sg_count count=200
dmesg | grep -q 'apple_dma_edu: ok 1 - sg_count' || fail "maps failed"
rmmod apple_dma_edu
await '[ "$(counter recovered)" -ge 200 ]'
[ "$(host live)" = 0 ] || fail "the host has $(host live)"
""")
    assert run.value("left") == run.value("recovered") == 200
    assert run.companion()["duplicate_handles"] > 0
    assert run.value("map_failures") == run.companion()["faults"] == 0


@pytest.mark.full
def test_leftovers_that_fill_the_host_are_found(testbed, build_module):
    """They are not in the way, but the host has no room: all are released."""
    run = reset_with_leftovers(testbed, build_module, r"""
for round in $(seq 40); do
	dmesg -C
	insmod /root/edu.ko run=leak count=250
	rmmod apple_dma_edu
	dmesg | grep -q 'apple_dma_edu: ok 1' && break
	sleep 0.5
done
echo "rounds=$round"
""", host=["max-entries=250"])
    assert run.value("left") == 200
    assert run.value("rounds") < 40
    assert run.value("recovered") == 200
    assert run.companion()["live"] == run.companion()["faults"] == 0
    assert "registrations of an earlier kernel" in run.console
