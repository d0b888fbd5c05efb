# SPDX-License-Identifier: GPL-2.0
"""Every DMA operation, by a test driver on QEMU's edu device."""

import re

import pytest

from conftest import TOP

EDU = ["edu,dma_mask=0xffffffffffffffff"]
SOURCE = TOP / "scripts" / "tests" / "edu"


@pytest.fixture
def edu(testbed, build_module):
    """Run cases of the test driver; the guest prints TAP and counters."""
    def run(cases, *, count=32, after="", arch="x86_64", kernel="6.1",
            verdict="ok", **options):
        module = build_module(kernel, arch, SOURCE)
        result = testbed(
            f"host-stats\ninsmod /root/edu.ko run={cases} count={count}\n"
            f"host-stats\n{after}\n"
            "dmesg | grep -o 'apple_dma_edu: .*' | sed 's/apple_dma_edu: //'\n"
            "counters\nrmmod apple_dma_edu\nhost-stats\n",
            arch=arch, kernel=kernel, devices=EDU,
            push=[f"{module}:/root/edu.ko"], **options)
        for number, name in enumerate(cases.split(","), 1):
            assert f"{verdict} {number} - {name}" in result.out.splitlines(), result.out
        return result
    return run


CASES = ["coherent", "coherent_atomic", "alloc_pages", "sgtable", "single",
         "sg", "resource", "masks", "hardirq", "softirq"]


@pytest.mark.parametrize("layout, mode", [("rfc", "cached"), ("wide", "strict")])
@pytest.mark.parametrize("arch", ["x86_64", pytest.param("arm64", marks=pytest.mark.arm64)])
def test_every_operation(edu, arch, layout, mode):
    run = edu(",".join(CASES), arch=arch, module=f"mode={mode}",
              host=["iova=random", f"layout={layout}"])
    end = run.companion()
    assert end["live"] == end["faults"] == 0
    # test_resource alone is refused.
    assert run.value("map_failures") == 1


@pytest.mark.parametrize("arch", ["x86_64", pytest.param("arm64", marks=pytest.mark.arm64)])
def test_every_operation_on_the_newest_kernel(edu, arch):
    run = edu(",".join(CASES), arch=arch, kernel="newest", host=["iova=random"])
    assert run.companion()["live"] == run.companion()["faults"] == 0
    assert run.value("map_failures") == 1


def doorbells(run):
    """Doorbells and entries that the cases cost, counted by the host."""
    before, after = run.json_lines()[0][0], run.json_lines()[1][0]
    return {key: after[key] - before[key]
            for key in ("doorbells", "map_entries", "unmap_entries")}


def test_scatterlist_is_one_doorbell(edu):
    """32 pages that miss: one doorbell maps all, and they stay for the next."""
    cost = doorbells(edu("sg_count,sg_count", count=32))
    assert cost["doorbells"] == 1
    assert cost["map_entries"] <= 32 and cost["unmap_entries"] == 0


def test_strict_scatterlist_is_one_doorbell_each_way(edu):
    """32 pages that miss: one doorbell maps all, one releases all."""
    cost = doorbells(edu("sg_count", count=32, module="mode=strict"))
    assert cost["doorbells"] == 2
    assert cost["map_entries"] == cost["unmap_entries"] == 32


def test_long_scatterlist_is_split_into_batches(edu):
    """200 pages: ceil(200 / 64) doorbells map them.

    The pages are 512 KiB apart, so each has a granule, and in strict mode a
    window, of its own; 64 is APPLE_DMA_BATCH_MAX.
    """
    cost = doorbells(edu("sg_count", count=200, module="mode=strict"))
    assert cost["map_entries"] == cost["unmap_entries"] == 200
    assert cost["doorbells"] == 4 + 4


def test_batches_count_windows_not_pages(edu):
    """The same 200 pages lie in about 26 windows of 4 MiB: one doorbell."""
    cost = doorbells(edu("sg_count", count=200))
    assert 25 <= cost["map_entries"] <= 64
    assert cost["doorbells"] == 1


@pytest.mark.parametrize("limit", [{"host": ["batch-entries=5"]},
                                   {"module": "mode=strict batch_max=5"}])
def test_small_batches_are_kept_to(edu, limit):
    """5 entries at most: 32 pages are 7 doorbells each way."""
    limit.setdefault("module", "mode=strict")
    cost = doorbells(edu("sg_count", count=32, **limit))
    assert cost["map_entries"] == 32
    assert cost["doorbells"] == 7 + 7


@pytest.mark.parametrize("mode", ["cached", "strict"])
def test_threads_and_interrupts_at_once(edu, mode):
    run = edu("threads", count=60, cpus=2, host=["iova=random"],
              module=f"mode={mode}")
    if mode == "strict":
        assert run.json_lines()[1][0]["live"] == 0
    assert run.value("map_failures") == run.value("live_mappings") == 0


def test_address_beyond_the_mask_is_not_handed_out(edu):
    run = edu("out_of_reach", host=["iova=high"])
    assert run.value("map_failures") == 2
    assert run.companion()["live"] == 0
    assert "beyond the device's DMA mask" in run.console


def test_unmap_of_nothing_is_reported(edu):
    run = edu("bad_unmap")
    assert run.value("bad_unmaps") == 1
    assert "the driver is at fault" in run.console


def test_stale_address_faults(edu):
    """After the unmap the device cannot reach the page any more."""
    run = edu("stale", allow_faults=True, module="mode=strict")
    assert run.companion()["faults"] > 0


def test_leaked_mappings_end_with_the_driver(edu):
    run = edu("leak", count=10, module="mode=strict")
    assert run.json_lines()[1][0]["live"] == 10
    assert run.json_lines()[-1][0]["live"] == 0
    assert re.search(r"left 10 DMA mappings behind", run.console)


@pytest.mark.parametrize("arch", ["x86_64", pytest.param("arm64", marks=pytest.mark.arm64)])
def test_memory_freed_after_the_driver_was_unbound(testbed, build_module, arch):
    """As nvme of 6.1 does: with the companion there, without it, and with a
    new one that has served another driver in between."""
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


@pytest.mark.parametrize("entries", [1, 7, 100])
def test_entry_limit_is_hit_at_exactly_n(edu, entries):
    """N mappings work, N + 1 does not, and afterwards N work again."""
    run = edu("until_full", count=entries,
              module=f"mode=strict max_entries={entries}")
    assert run.value("peak_entries") == run.companion()["peak"] == entries
    assert run.companion()["failed_entries"] == 0
    assert "max_entries" in run.console


@pytest.mark.parametrize("mode", ["cached", "strict"])
def test_byte_limit_is_never_exceeded(edu, mode):
    """With 8 granules of budget: 8 pages in a granule each."""
    run = edu("until_full", count=8,
              module=f"max_bytes={8 * 16384} mode={mode}")
    assert run.value("peak_bytes") == run.companion()["peak_bytes"] == 8 * 16384
    assert run.companion()["failed_entries"] == 0
    assert "max_bytes" in run.console


def test_lower_limit_of_the_host_is_survived(edu):
    """The host allows fewer entries than the module believes."""
    run = edu("until_full", count=20, host=["max-entries=20"],
              module="mode=strict")
    assert run.companion()["peak"] == 20
    assert run.companion()["failed_entries"] > 0
    assert run.value("broken") == 0


# Each lie and what the module says of it. The cases: "broken" maps and unmaps
# eight pages one after the other; "leak" keeps eight mapped, so that the
# second finds a live one and meets the host's limit.
LIES = {
    "wrong-id": ("broken", "answered a map with another handle"),
    "long": ("broken", "mapped more than was asked"),
    "misaligned": ("broken", "moved the offset"),
    "zero": ("broken", "device address 0"),
    "wrap": ("broken", "past 2^64"),
    "overlap": ("leak", "the same device address twice"),
    "unwritten": ("broken", "did not answer a map entry"),
    "batch-ok": ("leak", "contradicts"),
    "batch-fail": ("broken", "contradicts"),
    "bad-status": ("broken", "unknown map status"),
    "bad-batch-status": ("broken", "unknown batch status"),
    "no-command-status": ("broken", "did not write the status of a batch"),
    "unmap-fail": ("broken", "does not release a mapping"),
}


@pytest.mark.parametrize("lie", LIES)
def test_lying_host_breaks_the_companion_only(edu, lie):
    """Maps fail, the reason is logged once, and the guest goes on."""
    case, reason = LIES[lie]
    host = [f"lie={lie}", "lie-after=2"]
    if lie == "batch-ok":
        host.append("max-entries=2")
    run = edu(case, count=8, host=host, module="mode=strict",
              verdict="ok" if case == "broken" else "not ok")
    assert run.value("broken") == 1
    assert run.value("map_failures") > 0
    assert run.console.count("the host broke the protocol") == 1
    assert reason in run.console
    assert run.companion()["faults"] == 0


@pytest.mark.parametrize("lie, mode", [("short", "strict"), ("short", "cached"),
                                       ("refuse-all", "cached")])
def test_host_that_refuses_is_not_broken(edu, lie, mode):
    """Too short a mapping is undone; a refusal is a failed map."""
    run = edu("broken", count=8, host=[f"lie={lie}"], module=f"mode={mode}")
    assert run.value("broken") == 0
    assert run.value("map_failures") == 8
    assert run.companion()["live"] == 0


@pytest.mark.parametrize("host, reason", [
    ("version=3", "protocol version 3"),
    ("managed-bdf=0x0018", "the companion manages itself"),
    ("managed-bdf=0x0080", "manages the bridge"),
])
def test_unknown_host_is_refused(testbed, host, reason):
    """The companion's driver does not bind, and says why."""
    run = testbed("ls /sys/bus/pci/drivers/apple_dma/0* 2>/dev/null && fail bound\n"
                  "echo done=1", devices=EDU, host=[host], no_module=False)
    assert run.value("done") == 1
    assert reason in run.console


def test_two_companions_for_one_device(testbed):
    """The second one is refused, and the first goes on."""
    run = testbed("counters\n", devices=EDU + EDU, host=["1:managed-bdf=0x0100"],
                  no_wait=True)
    assert "another companion manages 01:00.0 already" in run.console
    assert run.value("broken") == 0
