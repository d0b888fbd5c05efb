# SPDX-License-Identifier: GPL-2.0
"""Buffers of the kernel's own TTM, which the dma-engine reads and writes.

Drivers of GPUs map such buffers as one list (xe, i915), block by block (amdgpu, radeon,
nouveau), or take them from dma_alloc_attrs(). TTM keeps pages that are freed for later.
"""

import pytest

from bench import ttm

SOURCE = ttm.SOURCE

# Parts of the default max_bytes. A twelfth of it may be wasted: 85 % are safe. Allocations may
# need twice their size: 30 %.
MIB = {"list": 1214, "pages": 1214, "alloc": 428}


@pytest.fixture
def play(testbed, build_module, tmp_path):
    """Run cases in one guest; returns the Run and, by case, what ttm.parse() makes of it."""
    def run(cases, kernel="6.1", policy="high", **options):
        (tmp_path / "ttm.sh").write_text(ttm.script(cases))
        result = testbed("bash /root/ttm.sh", kernel=kernel, dext=["dma-engine"],
                         host=[f"iova={policy}"], no_wait=True,
                         push=[f"{build_module(kernel, src=SOURCE)}:/root/ttm.ko",
                               f"{tmp_path / 'ttm.sh'}:/root/ttm.sh"], **options)
        assert result.dext()["faults"] == result.dext()["live"] == 0
        found = ttm.parse(result.out)
        assert list(found) == [name for name, _, _ in cases], result.out
        return result, found
    return run


def check(parts, mib, waves):
    """All buffers were mapped, the device has used them, and pools were emptied."""
    for wave in range(1, waves + 1):
        assert parts[str(wave)]["bytes"] == mib << 20
        assert parts[str(wave)]["failures"] == 0
    assert parts[str(waves)]["copied"] > 0
    assert parts["shrunk"]["live_mappings"] == 0


def test_buffers_of_ttm(play):
    """As lists, block by block and from dma_alloc_attrs(); the device reads and writes all.

    What TTM keeps of the last is still mapped, until its shrinker frees it. An allocation
    that gets no aligned address fails, and TTM tries half of it.
    """
    cases = [(how, f"how={how} largest=32", "128 2 2000") for how in ttm.HOWS]
    _, found = play(cases, policy="random")
    for name, parts in found.items():
        check(parts, 128, 2)
        assert parts["2"]["copied"] == parts["2"]["segments"]
        assert parts["2"]["copied_bytes"] == 128 << 20
        assert parts["shrunk"]["map_failures"] == 0 or name == "alloc"
    assert found["list"]["freed"]["live_mappings"] == 0 < found["list"]["freed"]["pooled"]
    assert found["alloc"]["freed"]["live_mappings"] > 0


@pytest.mark.full
@pytest.mark.parametrize("mode", ["cached", "strict"])
@pytest.mark.parametrize("policy", ttm.POLICIES)
@pytest.mark.parametrize("kernel", ["6.1", "newest"])
def test_buffers_up_to_the_budget(play, kernel, policy, mode):
    """As much as is safe, in waves, in buffers of up to 256 MiB: nothing fails."""
    cases = [(how, f"how={how} largest=256", f"{mib} 3 200") for how, mib in MIB.items()]
    _, found = play(cases, kernel, policy, mem="5G", module=f"mode={mode}", timeout=900)
    for name, parts in found.items():
        check(parts, MIB[name], 3)


@pytest.mark.full
@pytest.mark.parametrize("policy", ["high", "random"])
def test_buffers_in_fragmented_memory(play, policy):
    """Free memory has blocks of 16 KiB only, so each segment needs granules of its own."""
    cases = [(how, f"how={how} caching=cached", "640 2 200 2 256") for how in ttm.HOWS]
    _, found = play(cases, policy=policy, mem="4G", timeout=900)
    for parts in found.values():
        check(parts, 640, 2)
        assert parts["1"]["segments"] > 20000
