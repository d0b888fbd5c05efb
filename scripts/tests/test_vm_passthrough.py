# SPDX-License-Identifier: GPL-2.0
"""vfio-apple-pci with the dma-engine of a driver extension, by a test driver."""

import re

import pytest

from conftest import EXIT_DART_FAULT, TOP, Run

SOURCE = TOP / "scripts" / "tests" / "engine"

# One guest runs all steps in both modes, and loads the modules anew for each step. It
# prints what the tests check before and after a step. A step that fails is the last one,
# as the others would wait for what is lost.
STEPS = r"""
device=$(grep -lx 0x00f5 /sys/bus/pci/devices/*/device)
device=$(basename "${device%/*}")
driver=/sys/bus/pci/drivers/apple_dma_engine

engine() {	# a case of the test driver and its numbers
	dmesg -C
	echo "$*" >/sys/bus/pci/devices/$device/run || failed=1
	dmesg | sed -n 's/.*apple_dma_engine: //p'
}
rebind() {	# how many vectors have a handler then
	echo "$device" >$driver/unbind
	echo "live=$(host live)"
	echo "mapped_entries=$(counter mapped_entries)"
	echo "$1" >/sys/module/apple_dma_engine/parameters/vectors
	echo "$device" >$driver/bind
}
step() {	# its name is that of a function
	echo "@@ begin $mode $1"
	host-stats
	"$1" || failed=1
	host-stats
	counters
	[ -z "$failed" ] || echo "not ok - $1"
	echo "@@ end $mode $1"
	[ -z "$failed" ] || exit 0
}

transfers() { engine transfers 10000 1; }
masks() { engine masks 2000 2; }
moves() { engine moves 2000 2; }
held() { engine held 4 20; }
reset() {
	engine transfers 100 3
	echo 1 >/sys/bus/pci/devices/$device/reset
	engine transfers 100 4
}
fault_write() { engine fault 1; }
fault_read() { engine fault 0; }
after_faults() { engine transfers 100 5; }
rebinds() {
	local round
	for round in $(seq 5); do
		rebind 16
		engine transfers 100 $((5 + round))
	done
}
unused() {
	rebind 15
	engine raise 15 100
	engine transfers 100 11
}
used() {
	rebind 16
	engine raise 15 50
}
unused_again() {
	rebind 15
	engine raise 15 100
	engine transfers 100 12
}
unload() {
	echo "$device" >$driver/unbind
	rmmod apple_dma_engine
	within 60 unloaded apple_dma 2>/dev/null
}
failed=
for mode in cached strict; do
	insmod "$APPLE_DMA_KO" mode=$mode
	insmod /root/engine.ko
	for each in transfers masks held reset fault_write fault_read after_faults moves \
		    rebinds unused used unused_again unload; do
		step $each
	done
done
"""


class Step(Run):
    """The result of one step: its lines, and the host before and after it."""

    def hosts(self):
        """The statistics of the device before, and after."""
        before, after = (line[0] for line in self.json_lines())
        return before, after

    def grown(self, *path):
        """By how much a count of the host has grown."""
        before, after = self.hosts()
        for key in path:
            before, after = before[key], after[key]
        return after - before

    def values(self, name):
        """All that the guest printed as name=value."""
        return [int(value) for value in re.findall(rf"^{name}=(\d+)$", self.out, re.M)]


class Guest:
    """A guest that runs all steps once."""

    def __init__(self):
        self.steps = None

    def play(self, testbed, build_module, arch):
        """Boot it; its steps are by mode and name."""
        self.steps = {}
        module = build_module("6.1", arch, SOURCE)
        whole = testbed(STEPS, arch=arch, dext=["dma-engine"], host=["iova=random"],
                        no_module=True, allow_faults=True, timeout=1200,
                        push=[f"{module}:/root/engine.ko"])
        for mode, name, out in re.findall(r"^@@ begin (\w+) (\w+)$(.*?)^@@ end \1 \2$",
                                          whole.out, re.M | re.S):
            self.steps[mode, name] = Step(whole.status, out, whole.err, whole.console,
                                          whole.stats)


@pytest.fixture(scope="session")
def engine_guests():
    """The guests of this session, by architecture."""
    return {}


@pytest.fixture
def engine(engine_guests, testbed, build_module, arch, mode):
    """Returns the result of a step whose cases have all passed."""
    if arch not in engine_guests:
        engine_guests[arch] = Guest()
        engine_guests[arch].play(testbed, build_module, arch)

    def look(name):
        step = engine_guests[arch].steps.get((mode, name))
        assert step, f"the {arch} guest ended before {mode} {name}; see the steps before it"
        assert not re.search("^(?:not ok|#)", step.out, re.M), step.out
        return step
    return look


GUESTS = pytest.mark.parametrize("arch, mode", [
    pytest.param(arch, mode, marks=[pytest.mark.xdist_group(f"passthrough-{arch}"), *more])
    for arch, more in (("x86_64", []), ("arm64", [pytest.mark.arm64, pytest.mark.full]))
    for mode in ("cached", "strict")])


def check_interrupts(step, number):
    """Each was raised and taken, and reached the guest once; there were no others."""
    assert sum(step.values("interrupts")) == number
    assert step.grown("dextd", "raised") == step.grown("dextd", "pended") == number
    assert step.grown("dextd", "merged") == step.grown("dextd", "dropped") == 0
    assert step.grown("passthrough", "taken") == number
    assert step.grown("passthrough", "delivered") == number
    assert step.grown("passthrough", "unwanted") == 0


def check_mappings(step):
    """Nothing was refused, and no unmapped address was used."""
    assert step.value("map_failures") == step.value("bad_unmaps") == 0
    assert step.value("live_mappings") == 0
    assert step.grown("faults") == 0


@GUESTS
def test_random_transfers(engine):
    """10,000 on all channels at once, one interrupt for each, counted three times."""
    step = engine("transfers")
    assert step.values("transfers") == [10000]
    check_interrupts(step, 10000)
    check_mappings(step)


@GUESTS
def test_strict_mode_leaves_nothing_registered(engine, mode):
    """The cached mode leaves windows, for the next transfers."""
    _, after = engine("transfers").hosts()
    assert (after["live"] == 0) == (mode == "strict")
    assert after["dart_entries"] == after["live"]


@GUESTS
def test_vectors_masked_under_load(engine):
    """Half of the vectors, again and again: no interrupt is lost, none doubled."""
    step = engine("masks")
    assert step.values("held")[0] > 0, "no vector fired while it was masked"
    check_interrupts(step, 2000)
    check_mappings(step)


@GUESTS
def test_vectors_masked_and_moved_under_load(engine):
    """From one processor to another: none is lost.

    Linux on a PC doubles some interrupts that it moves. So a transfer may seem to end before
    its interrupt comes, which then merges with the next one.
    """
    step = engine("moves")
    assert step.values("held")[0] > 0, "no vector fired while it was masked"
    assert step.values("interrupts")[0] >= step.grown("dextd", "raised") == 2000
    pended = step.grown("dextd", "pended")
    assert pended + step.grown("dextd", "merged") == 2000
    assert step.grown("passthrough", "taken") == step.grown("passthrough", "delivered") == pended
    assert step.grown("passthrough", "unwanted") == step.grown("dextd", "dropped") == 0
    check_mappings(step)


@GUESTS
def test_masked_vector_is_kept_pending(engine):
    """It fires when it is unmasked, once; the extension does not know of it."""
    step = engine("held")
    assert "ok - held" in step.out
    assert step.grown("passthrough", "delivered") == step.grown("dextd", "pended") == 20
    assert step.grown("dextd", "dropped") == 0


@GUESTS
def test_function_reset(engine):
    """The device has forgotten its buffer; what was registered is still registered."""
    step = engine("reset")
    assert step.grown("passthrough", "resets") == 1
    check_interrupts(step, 200)
    check_mappings(step)


@GUESTS
@pytest.mark.parametrize("direction", ["read", "write"])
def test_address_that_is_not_mapped(engine, direction):
    """The device reports it, the DART counts it, and all else works."""
    step = engine(f"fault_{direction}")
    other = "read" if direction == "write" else "write"
    assert step.grown(f"{direction}_faults") == 1
    assert step.grown(f"{other}_faults") == 0
    assert step.grown("passthrough", "delivered") == 1
    after = engine("after_faults")
    check_interrupts(after, 100)
    check_mappings(after)


@GUESTS
def test_rebind(engine):
    """Without a driver nothing is registered for the device; the next driver works."""
    step = engine("rebinds")
    assert step.values("live") == step.values("mapped_entries")[:5] == [0] * 5
    check_interrupts(step, 500)
    check_mappings(step)


@GUESTS
@pytest.mark.parametrize("when", ["unused", "unused_again"])
def test_vector_without_a_handler_is_dropped(engine, when):
    """The extension drops it, even if another driver had used it before."""
    step = engine(when)
    assert step.values("interrupts") == [0, 100]
    assert step.grown("dextd", "dropped") == 100
    assert step.grown("dextd", "pended") == step.grown("passthrough", "taken") == 100
    assert step.grown("passthrough", "unwanted") == 0


@GUESTS
def test_vector_with_a_handler_is_not_dropped(engine):
    """The same one, after the next bind."""
    step = engine("used")
    check_interrupts(step, 50)


@GUESTS
def test_unloaded_module_leaves_nothing(engine):
    """Neither in QEMU nor in the DART."""
    _, after = engine("unload").hosts()
    assert after["live"] == after["live_bytes"] == 0
    assert after["dart_entries"] == after["dart_bytes"] == 0


def test_transfer_that_is_open_while_it_is_unmapped_fails_the_run(testbed, build_module):
    """A driver that does not wait for its device: what that does after the unmap is a fault."""
    run = testbed(r"""
device=$(grep -lx 0x00f5 /sys/bus/pci/devices/*/device)
insmod "$APPLE_DMA_KO" mode=strict
insmod /root/engine.ko
echo early 0 0 >${device%/*}/run
host-stats
""", dext=["dma-engine,hold=on"], no_module=True, expect=EXIT_DART_FAULT,
                  push=[f"{build_module(src=SOURCE)}:/root/engine.ko"])
    now = run.json_lines()[-1][0]
    assert now["write_faults"] == now["faults"] == 1 and now["live"] == 0
    assert "1 refused access(es) of the device of dext0" in run.err
