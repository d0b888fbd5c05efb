# SPDX-License-Identifier: GPL-2.0
"""Memory as NVIDIA's drivers map it: chunks, lists of all pages; by a driver of the dma-engine."""

import re

import pytest

from conftest import TOP
from bench import chunks

SOURCE = TOP / "scripts" / "tests" / "engine"
ENGINE = "dma-engine"

# Some cases of the benchmark with less memory.
SHORT = {title: (*chunks.CASES[title][:2], mib)
         for title, mib in (("chunks of 4 KiB", 2), ("chunks of 64 KiB", 8),
                            ("chunks of 2 MiB", 32), ("list of 2 MiB", 8),
                            ("table of 2 MiB", 16))}

# These hosts can always be brought to an aligned address.
OBEDIENT = ("aligned", "first-fit", "sequential")

# 94 % of the budget. In strict mode each page of a list may need an entry on the host, and
# so many do not fit.
LARGE = {title: (*chunks.CASES[title][:2], 1342)
         for title in ("chunks of 64 KiB", "chunks of 2 MiB", "table of 2 MiB", "list of 2 MiB")}

# What a driver finds outside of its device's range it unmaps; the registers of a peer are
# no memory.
LIMITS = r"""
limits() {	# device, mode
	fresh "$1" "$2"
	for bits in 39 48; do
		engine "$1" reach $bits 8 | sed "s/^/$1 $2 $bits /"
	done
	totals "$1" | sed "s/^/$1 $2 before /"
	host-stats
	engine "$1" peer 3 0 | sed "s/^/$1 $2 peer /"
	host-stats
	totals "$1" | sed "s/^/$1 $2 after /"
}
"""


def play(testbed, build_module, kernel, policies, script, **more):
    """Run SCRIPT in a guest with a dma-engine for each of POLICIES."""
    module = build_module(kernel, "x86_64", SOURCE)
    options = {**chunks.options(policies), **more}
    return testbed(script, kernel=kernel, dext=[ENGINE] * len(policies),
                   push=[f"{module}:/root/engine.ko"], **options)


def numbers(run, start):
    """{name: number} of the lines "START name=number"."""
    return {name: int(number) for name, number in
            re.findall(rf"^{start}(\w+)=(\d+)$", run.out, re.M)}


def check(cell, title, mode, mib):
    """All was mapped, was read and written by the device, and is gone.

    A host with small holes refuses what is too large for them; the next case works.
    """
    small_holes = title.startswith(chunks.SMALL_HOLES)
    if small_holes and title.endswith(chunks.LARGE):
        assert not cell["ok"] and cell["failed_maps"] > 0, title
        assert cell["faults"] == cell["bad_unmaps"] == cell["live_mappings"] == 0, title
        return
    assert cell["ok"] and cell["bytes"] == mib << 20, title
    assert cell["faults"] == 0 and (small_holes or cell["failed_entries"] == 0), title
    assert cell["failed_maps"] == cell["bad_unmaps"] == cell["live_mappings"] == 0, title
    assert cell["registered"] >= cell["bytes"]
    if mode == "strict":
        assert cell["left"] == 0, title
        # A page that is alone in its granule registers all of that.
        most = 4 if title.endswith(" 4 KiB") else 1.1
        assert cell["registered"] <= most * cell["bytes"], title


def share_aligned(cells, size):
    """Of the chunks of SIZE in the titles of CELLS, how many a driver can use as such.

    A list of single pages promises nothing for its chunks: each entry has its own address.
    """
    wanted = [cell for title, cell in cells.items()
              if title.endswith(f" {size}") and not title.startswith("list")]
    assert wanted
    return sum(cell["aligned_chunks"] for cell in wanted) / sum(cell["chunks"] for cell in wanted)


@pytest.mark.parametrize("kernel, policies, cases", [
    ("6.1", ("first-fit", "random"), SHORT),
    *(pytest.param(kernel, policies, chunks.CASES, marks=pytest.mark.full)
      for kernel in ("6.1", "newest")
      for policies in (("high", "random", "aligned"), ("first-fit", "sequential"),
                       ("fragmented", "reuse")))])
def test_chunks_and_lists(testbed, build_module, kernel, policies, cases):
    """Every byte goes to the device and back; the chunks are aligned where the host lets them."""
    run = play(testbed, build_module, kernel, policies, chunks.script(policies, cases=cases),
               timeout=1200)
    found = chunks.parse(run.out, policies)
    for policy in policies:
        for mode in chunks.MODES:
            cells = found[policy][mode]
            assert list(cells) == list(cases), run.out[-3000:]
            for title, (_, _, mib) in cases.items():
                check(cells[title], f"{policy} {mode} {title}", mode, mib)
            if policy in OBEDIENT:
                for size in {title.partition(" of ")[2] for title in cases} - {"4 KiB"}:
                    share = share_aligned(cells, size)
                    assert share >= 0.95, f"{policy} {mode} {size}: {share:.0%} aligned"


@pytest.mark.full
@pytest.mark.parametrize("mode", chunks.MODES)
@pytest.mark.parametrize("policy", ["high", "random", "first-fit"])
def test_most_of_the_budget(testbed, build_module, policy, mode):
    """As much as a guest may have at once; some of it is used."""
    cases = {title: case for title, case in LARGE.items()
             if mode == "cached" or not title.startswith("list")}
    run = play(testbed, build_module, "6.1", (policy,), chunks.script((policy,), (mode,), cases),
               mem="4G", timeout=900)
    cells = chunks.parse(run.out, (policy,))[policy][mode]
    assert list(cells) == list(cases), run.out[-3000:]
    for title, (_, _, mib) in cases.items():
        check(cells[title], f"{policy} {mode} {title}", mode, mib)


@pytest.mark.parametrize("kernel", ["6.1", pytest.param("newest", marks=pytest.mark.full)])
def test_addresses_out_of_range_and_peers(testbed, build_module, kernel):
    """What is outside of the device's range is unmapped; a peer's registers are refused."""
    lines = "\n".join(f"limits {number} {mode}" for number in (0, 1) for mode in chunks.MODES)
    run = play(testbed, build_module, kernel, ("high", "high"),
               chunks.TOOLS + LIMITS + "insmod /root/engine.ko\n" + lines,
               host=["0:iova-bits=47", "1:iova-bits=36"])
    hosts = iter(run.json_lines())
    for number, outside in enumerate((128, 0)):
        for mode in chunks.MODES:
            start = f"{number} {mode} "
            assert numbers(run, f"{start}39 ") == {"outside": outside, "inside": 128 - outside}
            assert numbers(run, f"{start}48 ") == {"outside": 0, "inside": 128}
            before, after = numbers(run, f"{start}before "), numbers(run, f"{start}after ")
            assert after["live_mappings"] == after["bad_unmaps"] == 0
            assert numbers(run, f"{start}peer ") == {"refused": 3}
            for name in ("map_failures", "failures_not_ram"):
                assert after[name] == before[name] + 3
            told, asked = next(hosts), next(hosts)
            assert asked[number]["doorbells"] == told[number]["doorbells"]
    assert run.dext(0)["faults"] == run.dext(1)["faults"] == 0
    assert run.dext(0)["live"] == run.dext(1)["live"] == 0


# A list as long as NVIDIA's longest: 4 GiB in pages of 4 KiB.
MILLION = r"""
fresh 0 cached
engine 0 pages 2048 4096
host-stats
engine 0 drop
"""
REFUSED = r"""
for mode in cached strict; do
	fresh 0 $mode
	engine 0 refused 2048 4096
	totals 0 | sed "s/^/$mode /"
	echo 1 >"${companions[0]}/flush"
	host-stats
	engine 0 table 2048 64
	engine 0 drop
done
"""


@pytest.mark.full
@pytest.mark.parametrize("policy", ["high", "random"])
def test_a_million_pages(testbed, build_module, policy):
    """4 GiB in one list, where host and guest have the room."""
    run = play(testbed, build_module, "6.1", (policy,),
               chunks.TOOLS + "insmod /root/engine.ko\n" + MILLION, mem="6G", timeout=900,
               host=[f"iova={policy}", "max-bytes=6G", "panic-bytes=0"], module="doorbell_us=0 max_bytes=5368709120")
    assert run.value("entries") == run.value("segments") == 1 << 20
    assert run.value("bytes") == 4 << 30
    mapped = run.json_lines()[0][0]
    assert 4 << 30 <= mapped["live_bytes"] <= 5 << 30
    assert run.dext()["faults"] == run.dext()["live"] == run.dext()["failed_entries"] == 0


@pytest.mark.full
def test_a_million_pages_that_do_not_fit(testbed, build_module):
    """They are refused as a whole, with nothing asked of the host; less still fits."""
    run = play(testbed, build_module, "6.1", ("high",),
               chunks.TOOLS + "insmod /root/engine.ko\n" + REFUSED, mem="6G", timeout=900)
    for mode, told in zip(chunks.MODES, run.json_lines()):
        after = numbers(run, f"{mode} ")
        assert after["live_mappings"] == 0 and after["failures_bytes"] > 0
        assert told[0]["live"] == told[0]["failed_entries"] == 0
    assert run.out.splitlines().count("ok - refused") == 2
    assert run.out.splitlines().count("ok - table") == 2
    assert run.dext()["faults"] == 0
