# SPDX-License-Identifier: GPL-2.0
"""Every DMA operation, by a test driver on QEMU's edu device."""

import json
import re

import pytest

import audit
from conftest import TOP, Run

EDU = ["edu,dma_mask=0xffffffffffffffff"]
SOURCE = TOP / "scripts" / "tests" / "edu"

# Slots of the root bus for companions, before those of the ports.
MOST_DEVICES = 13

# A guest has many devices, each with its companion and host, and uses one after the
# other: nothing else is bound then, and both modules are loaded anew.
SCENES = r"""
devices=() companions=()
for d in $(grep -lx 0x11e8 /sys/bus/pci/devices/*/device | sort); do devices+=("${d%/*}"); done
for d in $(grep -lx 0x0015 /sys/bus/pci/devices/*/device | sort); do companions+=("${d%/*}"); done
for d in "${devices[@]}" "${companions[@]}"; do echo none >"$d/driver_override"; done
scene() {	# number, parameters of the module, of the test driver, what is done then
	both="${devices[$1]} ${companions[$1]}"
	echo "@@ begin $1"
	for d in $both; do echo >"$d/driver_override"; done
	dmesg -C
	insmod "$APPLE_DMA_KO" $2
	host-stats
	insmod /root/edu.ko $3
	host-stats
	dmesg | grep -o 'apple_dma_edu: .*' | sed 's/apple_dma_edu: //'
	counters
	rmmod apple_dma_edu
	host-stats
	for i in $(seq 50); do rmmod apple_dma 2>/dev/null && break; sleep 0.1; done
	[ ! -e /sys/module/apple_dma ] || fail "apple_dma stays"
	host-stats
	for d in $both; do echo none >"$d/driver_override"; done
	echo "@@ console $1"
	dmesg
	echo "@@ end $1"
}
"""


# A test's part of a shared guest: the name of the guest, cases of the test driver and,
# as options, their count, parameters of the module and settings of the host; arch and
# kernel are those of the guest.
scene = pytest.mark.scene


class Guest:
    """The scenes of one guest, which is booted when the first of them is needed."""

    def __init__(self, scenes):
        self.scenes = scenes
        self.runs = None

    def play(self, testbed, build_module):
        """Run them all; each has a result as if it had been alone."""
        first = self.scenes[0][1]
        arch, kernel = first.get("arch", "x86_64"), first.get("kernel", "6.1")
        module = build_module(kernel, arch, SOURCE)
        # Doorbells are counted, so how long they take must not matter.
        lines = [f"scene {i} 'doorbell_us=0 {options.get('module', '')}' "
                 f"'run={cases} count={options.get('count', 32)} mask={options.get('mask', 64)}'"
                 for i, (cases, options) in enumerate(self.scenes)]
        host = [f"{i}:{setting}" for i, (_, options) in enumerate(self.scenes)
                for setting in options.get("host", [])]
        self.runs = []
        whole = testbed(SCENES + "\n".join(lines), arch=arch, kernel=kernel, no_module=True,
                        devices=EDU * len(self.scenes), host=host, allow_faults=True,
                        timeout=240 + 30 * len(self.scenes), push=[f"{module}:/root/edu.ko"])
        for i in range(len(self.scenes)):
            out, console = re.search(rf"^@@ begin {i}$(.*)^@@ console {i}$(.*)^@@ end {i}$",
                                     whole.out, re.M | re.S).groups()
            out = re.sub(r"^\[.*\]$", lambda m, i=i: json.dumps([json.loads(m[0])[i]]), out,
                         flags=re.M)
            run = Run(whole.status, out, whole.err, console)
            run.stats = {"companion0": run.json_lines()[-1][0]}
            self.runs.append(run)


@pytest.fixture(scope="session")
def guests(request):
    """Every guest of the session with its scenes, by name."""
    found = {}
    for item in request.session.items:
        mark = item.get_closest_marker("scene")
        if mark:
            guest = found.setdefault(mark.args[0], Guest([]))
            if (mark.args[1], mark.kwargs) not in guest.scenes:
                guest.scenes.append((mark.args[1], mark.kwargs))
    assert all(len(guest.scenes) <= MOST_DEVICES for guest in found.values())
    return found


@pytest.fixture
def edu(request, guests, testbed, build_module):
    """The run of the test's scene: its TAP, counters and host."""
    mark = request.node.get_closest_marker("scene")
    (name, cases), options = mark.args, mark.kwargs
    guest = guests[name]
    if guest.runs is None:
        guest.play(testbed, build_module)
    assert guest.runs, f"the guest {name} ended before its time; see its first test"
    run = guest.runs[guest.scenes.index((cases, options))]
    verdict = options.get("verdict", "ok")
    for number, case in enumerate(cases.split(","), 1):
        assert f"{verdict} {number} - {case}" in run.out.splitlines(), run.out
    assert options.get("allow_faults") or run.companion()["faults"] == 0
    return run


CASES = ["coherent", "coherent_atomic", "alloc_pages", "sgtable", "single",
         "sg", "resource", "masks", "hardirq", "softirq"]


ARM64 = pytest.mark.arm64


@pytest.mark.parametrize("arch, layout, mode", [
    pytest.param(arch, layout, mode, marks=[
        scene(f"operations-{arch}", ",".join(CASES), arch=arch, module=f"mode={mode}",
              host=["iova=random", f"layout={layout}"]), *more])
    for arch, more in (("x86_64", []), ("arm64", [ARM64]))
    for layout, mode in (("rfc", "cached"), ("wide", "strict"))])
def test_every_operation(edu, arch, layout, mode):
    end = edu.companion()
    assert end["live"] == end["faults"] == 0
    # test_resource alone is refused.
    assert edu.value("map_failures") == 1


@pytest.mark.parametrize("arch, kernel", [
    pytest.param(arch, kernel, marks=[scene(f"{kernel}-{arch}", ",".join(CASES), arch=arch,
                                            kernel=kernel, host=["iova=random"]), *more])
    for arch, kernel, more in (("x86_64", "newest", []),
                               ("arm64", "newest", [ARM64, pytest.mark.full]),
                               ("arm64", "newest-16k", [ARM64, pytest.mark.full]))])
def test_every_operation_on_the_newest_kernel(edu, arch, kernel):
    assert edu.companion()["live"] == edu.companion()["faults"] == 0
    assert edu.value("map_failures") == 1


@pytest.mark.parametrize("mode", [
    pytest.param(mode, marks=[scene("64k-arm64", ",".join(CASES), arch="arm64", kernel="64k",
                                    module=f"mode={mode}", host=["iova=random"]),
                              ARM64, pytest.mark.full]) for mode in ("cached", "strict")])
def test_every_operation_with_pages_of_64_kib(edu, mode):
    """The host keeps an offset in 16 KiB only; CPU and device see the same memory all the same."""
    assert edu.companion()["live"] == edu.companion()["faults"] == 0
    assert edu.value("map_failures") == 1


def doorbells(run):
    """Doorbells and entries that the cases cost, counted by the host."""
    before, after = run.json_lines()[0][0], run.json_lines()[1][0]
    return {key: after[key] - before[key]
            for key in ("doorbells", "map_entries", "unmap_entries")}


@scene("batches", "sg_count,sg_count", count=32)
def test_scatterlist_is_one_doorbell(edu):
    """32 pages that miss: one doorbell maps all, and they stay for the next."""
    cost = doorbells(edu)
    assert cost["doorbells"] == 1
    assert cost["map_entries"] <= 32 and cost["unmap_entries"] == 0


@scene("batches", "sg_count", count=32, module="mode=strict")
def test_strict_scatterlist_is_one_doorbell_each_way(edu):
    """32 pages that miss: one doorbell maps all, one releases all."""
    cost = doorbells(edu)
    assert cost["doorbells"] == 2
    assert cost["map_entries"] == cost["unmap_entries"] == 32


@scene("batches", "sg_count", count=200, module="mode=strict")
def test_long_scatterlist_is_split_into_batches(edu):
    """200 pages: ceil(200 / 32) doorbells map them, ceil(200 / 64) release them.

    The pages are 512 KiB apart, so each has a granule, and in strict mode a
    window, of its own; 32 is APPLE_DMA_PLAN_MAX, 64 is APPLE_DMA_BATCH_MAX.
    """
    cost = doorbells(edu)
    assert cost["map_entries"] == cost["unmap_entries"] == 200
    assert cost["doorbells"] == 7 + 4


@scene("batches", "sg_count", count=200)
def test_batches_count_windows_not_pages(edu):
    """The same 200 pages lie in about 26 windows of 4 MiB: one doorbell."""
    cost = doorbells(edu)
    assert 25 <= cost["map_entries"] <= 32
    assert cost["doorbells"] == 1


@pytest.mark.parametrize("whose", [
    pytest.param("host", marks=scene("batches", "sg_count", module="mode=strict",
                                     host=["batch-entries=5"])),
    pytest.param("module", marks=scene("batches", "sg_count", module="mode=strict batch_max=5"))])
def test_small_batches_are_kept_to(edu, whose):
    """5 entries at most: 32 pages are 7 doorbells each way."""
    cost = doorbells(edu)
    assert cost["map_entries"] == 32
    assert cost["doorbells"] == 7 + 7


@pytest.mark.parametrize("mode", [
    pytest.param(mode, marks=scene("operations-x86_64", "threads", count=60,
                                   module=f"mode={mode}", host=["iova=reuse"]))
    for mode in ("cached", "strict")])
def test_threads_and_interrupts_at_once(edu, mode):
    if mode == "strict":
        assert edu.json_lines()[1][0]["live"] == 0
    assert edu.value("map_failures") == edu.value("live_mappings") == 0


@scene("batches", "out_of_reach", host=["iova=high"])
def test_address_beyond_the_mask_is_not_handed_out(edu):
    assert edu.value("map_failures") == 2
    assert edu.companion()["live"] == 0
    assert "beyond the device's DMA mask" in edu.console


# Widths of the host's addresses and of the device's mask, and how much of the addresses
# the mask reaches: iova=high is the upper half of the space, or from 2^39 on.
MASKS = [(36, 0, False), (36, 32, False), (36, 36, True), (40, 36, False), (40, 40, True),
         (47, 32, False), (47, 40, False)]


@pytest.mark.parametrize("bits, mask, reached", [
    pytest.param(bits, mask, reached, marks=scene("masks", "reach", mask=mask, host=[
        "iova=high", f"iova-bits={bits}", "seed=1"])) for bits, mask, reached in MASKS])
def test_mask_narrower_than_the_host(edu, bits, mask, reached):
    """The driver gets no address that the device cannot reach, and one line of the log has
    address and mask. A driver that maps before it sets its mask has that of PCI, 32 bits."""
    got = int(reached)
    assert f"# mapped: page {got}, list {got}, coherent {got}" in edu.out.splitlines()
    assert edu.value("failures_mask") == edu.value("map_failures") == 3 * (not reached)
    assert edu.companion()["live"] == 0
    lines = re.findall(r"cannot map (\d+) bytes: the host's address (0x[0-9a-f]+) is beyond "
                       r"the device's DMA mask (0x[0-9a-f]+)(?:;|$)", edu.console, re.M)
    assert edu.console.count("cannot map ") == len(lines) == (not reached)
    for size, address, highest in lines:
        assert int(size) == 4096 and int(highest, 16) == (1 << (mask or 32)) - 1
        assert max(int(highest, 16) + 1, 1 << min(bits - 1, 39)) <= int(address, 16) < 1 << bits


LARGEST = 4 << 20       # bytes: the largest block of x86_64's page allocator


@pytest.mark.parametrize("mib", [
    pytest.param(mib, marks=scene("limits", "coherent_large", count=mib)) for mib in (4, 8, 16)])
def test_more_than_the_largest_block_is_refused(edu, mib):
    """Coherent memory is one block of the page allocator. A larger request fails, is counted,
    and the log has the limit; the kernel does not warn. The largest block may fail if its
    device address is not aligned."""
    refused = f"# {mib} MiB refused" in edu.out.splitlines()
    assert refused or (f"# {mib} MiB mapped" in edu.out.splitlines() and mib << 20 <= LARGEST)
    assert edu.value("map_failures") == refused
    lines = re.findall(r"cannot map (\d+) bytes: (.*)", edu.console)
    assert len(lines) == refused
    if mib << 20 > LARGEST:
        assert edu.value("failures_memory") == 1
        assert int(lines[0][0]) == mib << 20 and f"at most {LARGEST} bytes" in lines[0][1]


@pytest.mark.parametrize("mode", [
    pytest.param(mode, marks=scene("limits", "twice", module=f"mode={mode}"))
    for mode in ("cached", "strict")])
def test_unmapping_twice_does_not_end_a_neighbour(edu, mode):
    """The window of both buffers stays until the second one is unmapped."""
    assert edu.value("bad_unmaps") == 1
    assert edu.console.count("the driver is at fault") == 1
    assert edu.value("live_mappings") == 0
    assert mode == "cached" or edu.json_lines()[1][0]["live"] == 0


@scene("batches", "bad_unmap")
def test_unmap_of_nothing_is_reported(edu):
    assert edu.value("bad_unmaps") == 1
    assert "the driver is at fault" in edu.console


@scene("batches", "stale", module="mode=strict", allow_faults=True)
def test_stale_address_faults(edu):
    """After the unmap the device cannot reach the page any more."""
    assert edu.companion()["faults"] > 0


@scene("batches", "leak", count=10, module="mode=strict")
def test_leaked_mappings_end_with_the_driver(edu):
    assert edu.json_lines()[1][0]["live"] == 10
    assert edu.json_lines()[2][0]["live"] == 0
    assert re.search(r"left 10 DMA mappings behind", edu.console)


@pytest.mark.parametrize("arch", [
    "x86_64", pytest.param("arm64", marks=[ARM64, pytest.mark.full])])
def test_memory_freed_after_the_driver_was_unbound(testbed, build_module, arch):
    """As nvme of 6.1 does it: with the companion, without it, and with a new companion that
    has served another driver in between."""
    module = build_module("6.1", arch, SOURCE)
    run = testbed(r"""
device=$(basename "$(readlink -f /sys/bus/pci/drivers/apple_dma/0*/apple_dma/managed)")
companion=$(basename /sys/bus/pci/drivers/apple_dma/0*)
for round in with without again; do
	insmod /root/edu.ko run=late_free
	[ "$(host live)" = 1 ] || fail "$round: the host has $(host live)"
	echo "$device" >/sys/bus/pci/drivers/apple_dma_edu/unbind
	[ "$(host live)" = 0 ] || fail "$round: the host still has $(host live)"
	[ "$(counter live_mappings)" = 0 ] || fail "$round: live"
	[ $round = with ] || echo "$companion" >/sys/bus/pci/drivers/apple_dma/unbind
	if [ $round = again ]; then
		echo "$companion" >/sys/bus/pci/drivers/apple_dma/bind
		for i in $(seq 50); do [ -e /sys/bus/pci/devices/$device/driver ] && break; sleep 0.1; done
		echo "$device" >/sys/bus/pci/drivers/apple_dma_edu/unbind
	fi
	rmmod apple_dma 2>/dev/null && fail "$round: unloaded with memory of a driver"
	rmmod apple_dma_edu
	for i in $(seq 50); do rmmod apple_dma 2>/dev/null && break; sleep 0.1; done
	[ ! -e /sys/module/apple_dma ] || fail "$round: apple_dma stays"
	insmod "$APPLE_DMA_KO"
done
insmod /root/edu.ko run=single
dmesg | grep -q 'apple_dma_edu: ok 1 - single'
rmmod apple_dma_edu
counters
""", arch=arch, devices=EDU, push=[f"{module}:/root/edu.ko"])
    assert run.console.count("has yet to free 1 DMA allocations") == 3
    assert run.value("leaked_bytes") == run.value("bad_unmaps") == 0
    assert run.companion()["live"] == run.companion()["faults"] == 0


@pytest.mark.parametrize("entries", [
    pytest.param(n, marks=scene("limits", "until_full", count=n,
                                module=f"mode=strict max_entries={n}")) for n in (1, 7, 100)])
def test_entry_limit_is_hit_at_exactly_n(edu, entries):
    """N mappings work, N + 1 does not, and afterwards N work again."""
    assert edu.value("peak_entries") == edu.companion()["peak"] == entries
    assert edu.companion()["failed_entries"] == 0
    assert "max_entries" in edu.console


@pytest.mark.parametrize("mode", [
    pytest.param(mode, marks=scene("limits", "until_full", count=8,
                                   module=f"max_bytes={8 * 16384} mode={mode}"))
    for mode in ("cached", "strict")])
def test_byte_limit_is_never_exceeded(edu, mode):
    """A budget of 8 granules: 8 pages, each in a granule of its own."""
    assert edu.value("peak_bytes") == edu.companion()["peak_bytes"] == 8 * 16384
    assert edu.companion()["failed_entries"] == 0
    assert "max_bytes" in edu.console


@scene("limits", "until_full", count=20, host=["max-entries=20"], module="mode=strict")
def test_lower_limit_of_the_host_is_survived(edu):
    """The host allows fewer entries than the module believes."""
    assert edu.companion()["peak"] == 20
    assert edu.companion()["failed_entries"] > 0
    assert edu.value("broken") == 0


def lying(outcome, *modes):
    """A parameter for each lie with this outcome, after two right answers if it breaks.

    The case "broken" maps and unmaps eight pages in turn. The case "leak" keeps eight
    mapped, so that the second one meets a live one, and the host's limit.
    """
    lies = [(lie, mode) for mode in modes for lie in audit.lies(outcome)]
    after = ["lie-after=2"] * (outcome == "broken")
    return [pytest.param(lie, id=f"{lie.name.replace(' ', '-')}-{mode}", marks=scene(
        f"{outcome} {i // MOST_DEVICES}", lie.case, count=8, module=f"mode={mode}",
        verdict="not ok" if lie.case == "leak" else "ok",
        host=lie.host + after * ("lie-after" not in lie.name)))
            for i, (lie, mode) in enumerate(lies)]


@pytest.mark.parametrize("lie", lying("broken", "strict"))
def test_lying_host_breaks_the_companion(edu, lie):
    """Maps fail, the reason is logged once, and the guest goes on."""
    assert edu.value("broken") == 1
    assert edu.value("map_failures") > 0
    assert edu.console.count("the host broke the protocol: ") == 1
    assert f"the host broke the protocol: {lie.log}" in edu.console
    assert edu.companion()["lies"] > 0


@pytest.mark.parametrize("lie", lying("refused", "strict", "cached"))
def test_host_that_refuses_is_not_broken(edu, lie):
    """Too short a mapping is undone; a refusal is a failed map."""
    assert edu.value("broken") == 0
    assert edu.value("map_failures") == 8
    assert lie.log in edu.console
    assert edu.companion()["lies"] > 0 == edu.companion()["live"]


@pytest.mark.parametrize("lie", lying("harmless", "strict", "cached"))
def test_odd_host_does_no_harm(edu, lie):
    """Real hosts answer otherwise, but the module does not depend on it."""
    assert edu.value("broken") == edu.value("map_failures") == 0
    assert lie.log in edu.console
    assert (edu.companion()["lies"] > 0) == ("lie=rewrite" in lie.host)


def test_other_companions_are_unaffected(testbed, build_module):
    """Two companions: one is broken, the other still maps."""
    module = build_module(src=SOURCE)
    run = testbed("""
for c in /sys/bus/pci/drivers/apple_dma/0*/apple_dma; do echo strict >$c/mode; done
insmod /root/edu.ko run=broken count=8
for c in /sys/bus/pci/drivers/apple_dma/0*/apple_dma; do
	read -r broken <$c/broken
	read -r failures <$c/map_failures
	echo "$(basename "$(readlink $c/managed)") broken $broken failures $failures"
done
""", devices=EDU * 2, host=["0:lie=zero", "0:lie-after=2"], push=[f"{module}:/root/edu.ko"])
    assert re.search(r"^0000:01:00\.0 broken 1 failures [1-9]", run.out, re.M)
    assert "0000:02:00.0 broken 0 failures 0" in run.out.splitlines()


def test_impossible_hosts_are_refused(testbed):
    """None of these companions is bound, each logs why, and the first one still works."""
    lies = audit.lies("not bound")
    # Companions are from slot 3 on, ports from 0x10; the first of both is honest.
    own = [lie.name.format(companion=f"0x{(3 + i) << 3:04x}", bridge=f"0x{(0x10 + i) << 3:04x}",
                           other="0x0018", taken="0x0100") for i, lie in enumerate(lies, 1)]
    run = testbed("cd /sys/bus/pci/drivers/apple_dma\necho bound: 0*\ncounters",
                  devices=EDU * (len(lies) + 1), no_wait=True,
                  host=[f"{i}:{told}" for i, all_told in enumerate(own, 1)
                        for told in all_told.split()])
    assert "bound: 0000:00:03.0" in run.out.splitlines()
    assert run.value("broken") == 0
    for i, lie in enumerate(lies, 1):
        assert re.search(rf"apple_dma 0000:00:{3 + i:02x}\.0: .*{re.escape(lie.log)}",
                         run.console), lie.name
