# SPDX-License-Identifier: GPL-2.0
"""The DART as devices behind it see it; edu is the device."""

import time

import pytest

import balloon
from host import BUS

MIB = 1 << 20
GRANULE = 16384
ARCHES = ["x86_64", "arm64"]
POLICIES = ["high", "random", "fragmented", "reuse", "aligned", "first-fit", "sequential"]


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("policy", POLICIES)
def test_the_right_bytes_move(start, arch, policy):
    host = start(arch=arch, dart=f"iova={policy},enforce=on")
    source, target = host.data + 0x1230, host.data + 0x7ff0
    data = bytes(range(256)) * 12
    host.write(source, data)
    # Both cross a 16 KiB boundary somewhere.
    host.edu_reads(host.mapped(source, 0x4000), len(data))
    host.edu_writes(host.mapped(target, 0x4000), len(data))
    assert host.read(target, len(data)) == data
    assert host.stats()["faults"] == 0


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_addresses_are_unique_and_never_the_guests_own(start, policy, seed):
    host = start(dart=f"iova={policy},seed={seed}")
    sizes = [4096, GRANULE, 3 * GRANULE, 1]
    ranges = [(host.data + i * 4 * GRANULE + (i % 4) * 4096, sizes[i % 4]) for i in range(512)]
    batch = host.map(*ranges)
    assert batch.status == host.wire.STATUS_OK
    taken = set()
    for entry, (gpa, size) in zip(batch.entries, ranges):
        iova = entry["dma_addr"]
        assert iova != gpa and iova % GRANULE == gpa % GRANULE
        pages = set(range(iova // GRANULE, (iova + size - 1) // GRANULE + 1))
        assert not pages & taken
        taken |= pages
        assert 0 < iova and iova + size <= 1 << 47
        if policy != "random":
            assert iova >= 1 << 39


def test_placement_repeats_with_the_seed_and_differs_without(start):
    def addresses(seed):
        host = start(dart=f"iova=random,seed={seed}")
        return [e["dma_addr"] for e in host.map(*[(host.data + i * GRANULE, GRANULE)
                                                  for i in range(16)]).entries]
    first = addresses(7)
    assert addresses(7) == first
    assert not set(addresses(8)) & set(first)


def test_fragmented_fails_large_maps_while_small_ones_succeed(start):
    host = start(dart="iova=fragmented")
    assert host.map((host.data, 16 * MIB + 1)).status == host.wire.STATUS_IOERR
    batch = host.map(*[(host.data + i * MIB, MIB) for i in range(200)])
    failed = [entry["status"] for entry in batch.entries].count(1)
    assert 0 < failed < 200
    assert host.map(*[(host.data + 201 * MIB + i * GRANULE, GRANULE)
                      for i in range(1000)]).status == host.wire.STATUS_OK


@pytest.mark.parametrize("policy", POLICIES)
def test_narrow_address_space(start, policy):
    host = start(dart=f"iova={policy},iova-bits=32")
    batch = host.map(*[(host.data + i * GRANULE, GRANULE) for i in range(64)],
                     (host.data + 16 * MIB, 16 * MIB))
    assert batch.status == host.wire.STATUS_OK
    lowest = GRANULE if policy == "random" else 1 << 31
    assert all(lowest <= e["dma_addr"] < (1 << 32) for e in batch.entries)
    assert batch.entries[-1]["dma_addr"] + 16 * MIB < 1 << 32
    assert not any(0xfee00000 <= e["dma_addr"] < 0xfef00000 for e in batch.entries)


@pytest.mark.parametrize("arch", ARCHES)
def test_what_is_not_mapped_faults(start, arch):
    host = start(arch=arch, dart="enforce=on")
    host.write(host.data, b"secret")
    host.edu_reads(host.data, 256)
    host.edu_writes(host.data, 256)
    assert host.read(host.data, 6) == b"secret"
    stats = host.stats()
    assert (stats["faults"], stats["read_faults"], stats["write_faults"]) == (2, 1, 1)


def test_an_unmapped_address_faults(host):
    host.write(host.data, b"before")
    iova = host.mapped(host.data, 4096)
    host.edu_reads(iova, 16)
    assert host.unmap(host.data).status == host.wire.STATUS_OK
    host.edu_writes(iova + 64, 16)
    assert host.read(host.data + 64, 16) == bytes(16)
    assert host.stats()["write_faults"] == 1


def test_a_page_goes_when_all_of_it_was_given_back(start):
    """The guest has never used most of it: that alone does not make it go.

    The device reads where nothing was given back yet, as its access makes the page present.
    """
    host = start(dart="enforce=on", args=balloon.ARGS)
    memory = balloon.Balloon(host, host.data + MIB)
    iova = host.mapped(host.data, GRANULE)
    for part in (2, 0, 3):
        memory.inflate(host.data + part * 4096)
        host.edu_reads(iova + 4096, 16)
    assert host.stats()["faults"] == 0
    memory.inflate(host.data + 4096)
    host.edu_reads(iova, 16)
    assert host.stats()["read_faults"] == 1
    # The guest uses it again; the device still reaches the old page only.
    host.write(host.data, b"new")
    host.edu_reads(iova, 16)
    assert host.stats()["read_faults"] == 2
    host.unmap(host.data)
    host.edu_reads(host.mapped(host.data, GRANULE), 16)
    assert host.stats()["faults"] == 2


def test_a_page_of_which_a_part_came_again_stays(start):
    host = start(dart="enforce=on", args=balloon.ARGS)
    memory = balloon.Balloon(host, host.data + MIB)
    iova = host.mapped(host.data, GRANULE)
    memory.inflate(*[host.data + part * 4096 for part in range(3)])
    host.write(host.data + 4096, b"again")
    memory.inflate(host.data + 3 * 4096)
    host.edu_reads(iova + 4096, 16)
    assert host.stats()["faults"] == 0
    memory.inflate(host.data + 4096)
    host.edu_reads(iova, 16)
    assert host.stats()["faults"] == 1


def test_a_freed_address_is_not_given_out_at_once(host):
    seen = set()
    for _ in range(100):
        seen.add(host.mapped(host.data, 4096))
        host.unmap(host.data)
    assert len(seen) == 100


def test_a_freed_address_is_given_to_the_next_mapping_by_reuse(start):
    """A late use of it reaches what is mapped there now."""
    host = start(dart="iova=reuse,enforce=on")
    first, neighbour = (host.mapped(host.data + i * MIB, GRANULE) for i in (0, 1))
    assert neighbour == first + GRANULE
    for _ in range(100):
        host.unmap(host.data)
        assert host.mapped(host.data, GRANULE) == first
    host.unmap(host.data)
    assert host.mapped(host.data + 2 * MIB, GRANULE) == first
    host.write(host.data + 2 * MIB, b"another's")
    host.edu_reads(first, 16)
    host.edu_writes(neighbour, 16)
    assert host.read(host.data + MIB, 9) == b"another's"
    assert host.stats()["faults"] == 0


def test_a_mapping_exposes_its_whole_16_kib_page_and_nothing_more(host):
    page = host.data + 4 * GRANULE
    host.write(page - 16, b"\x11" * 16)
    host.write(page, b"\x22" * GRANULE)
    iova = host.mapped(page + 0x1000, 0x800) - 0x1000
    host.edu_reads(iova, 2048)
    host.edu_reads(iova + GRANULE - 2048, 2048)
    assert host.stats()["faults"] == 0
    host.edu_writes(iova + 0x3ff0, 16)
    assert host.read(page + 0x3ff0, 16) == b"\x22" * 16
    host.edu_reads(iova - 16, 16)
    host.edu_reads(iova + GRANULE, 16)
    assert host.stats()["read_faults"] == 2


def test_two_mappings_of_one_page_are_independent(host):
    host.write(host.data, b"one page")
    first, second = host.mapped(host.data, 64), host.mapped(host.data + 4096, 64)
    assert first // GRANULE != second // GRANULE
    host.unmap(host.data)
    host.edu_reads(second - 4096, 8)
    assert host.stats()["faults"] == 0
    host.edu_reads(first, 8)
    assert host.stats()["faults"] == 1


def test_mapping_of_memory_above_4_gib(start):
    host = start(mem="4G")
    iova = host.mapped(0x140000000, 4096)
    host.write(0x140000000, b"high up")
    host.edu_reads(iova, 8)
    host.edu_writes(iova + 64, 8)
    assert host.read(0x140000040, 7) == b"high up"


def test_two_darts_do_not_share_mappings(start):
    host = start(args=["-device", "pcie-root-port,id=rp1,chassis=2,addr=5",
                       "-device", "apple-dart,id=dart1,port=rp1",
                       "-device", "edu,bus=rp1,dma_mask=0xffffffffffffffff",
                       "-device", "apple-dma-pci,id=companion1,dart=dart1,addr=6"])
    iova = host.mapped(host.data, 4096)
    other = host.edu + 0x1000000
    host.enable_port(5 << 3, BUS + 1, other)
    host.enable((BUS + 1) << 8, other)
    host.set("dart1", "enforce", "on")
    host.edu = other
    host.edu_reads(iova, 16)
    assert host.stats()["faults"] == 0
    assert '"read_faults": 1' in host.get("companion1", "stats")


# When it enforces

def test_auto_passes_until_a_command_page_and_again_after_a_reset(start):
    host = start(program=False)
    host.write(host.data, b"firmware")
    host.edu_reads(host.data, 8)
    host.edu_writes(host.data + 64, 8)
    assert host.read(host.data + 64, 8) == b"firmware"
    host.program(0)
    assert host.stats()["enforced"] is False
    host.program()
    assert host.stats()["enforced"] is True
    host.edu_reads(host.data, 8)
    assert host.stats()["faults"] == 1
    host.program(0)
    assert host.stats()["enforced"] is True
    host.reset()
    host.wire_up()
    assert host.stats()["enforced"] is False
    host.edu_reads(host.data, 8)
    assert host.stats()["faults"] == 1
    host.program()
    host.edu_reads(host.data, 8)
    assert host.stats()["faults"] == 2


def test_enforce_can_be_set_at_any_time(start):
    host = start(program=False, dart="enforce=on")
    host.edu_reads(host.data, 8)
    assert host.stats()["faults"] == 1
    host.set("dart0", "enforce", "off")
    host.program()
    host.edu_reads(host.data, 8)
    assert host.stats()["faults"] == 1
    host.set("dart0", "enforce", "auto")
    host.edu_reads(host.data, 8)
    assert host.stats()["faults"] == 2
    assert host.get("dart0", "enforce") == "auto"
    with pytest.raises(RuntimeError, match="allowed are auto, on, off"):
        host.set("dart0", "enforce", "maybe")


@pytest.mark.parametrize("arch, doorbell", [("x86_64", 0xfee01000), ("arm64", 0x08020040)])
def test_msi_passes_around_the_dart(start, arch, doorbell):
    host = start(arch=arch, dart="enforce=on")
    bdf = BUS << 8
    cap = host.config_read(bdf, 0x34, 1)
    assert host.config_read(bdf, cap, 1) == 5

    def interrupt(address):
        host.config_write(bdf, cap + 4, address)
        host.config_write(bdf, cap + 8, 0)
        host.config_write(bdf, cap + 12, 0x41, 2)
        host.config_write(bdf, cap + 2, 0x81, 2)
        host.store(host.edu + 0x60, 1)
        host.store(host.edu + 0x64, 1)

    interrupt(doorbell)
    assert host.stats()["faults"] == 0
    interrupt(host.data & 0xffffffff)
    assert host.stats()["write_faults"] == 1


# Reports

def test_fault_log_has_a_line_for_each_fault(start, tmp_path):
    log = tmp_path / "faults"
    host = start(dart=f"enforce=on,fault-log={log}")
    host.edu_reads(0x123456000, 256)
    host.edu_writes(0xabc0, 4)
    assert log.read_text().splitlines() == [
        "dart0 01:00.0 read iova=0x0000000123456000",
        "dart0 01:00.0 write iova=0x000000000000abc0"]
    assert host.log().count("DART fault") == 2


def test_statistics_are_written_at_exit(start, tmp_path):
    stats = tmp_path / "stats"
    host = start(companion=f"stats={stats}")
    host.map((host.data, 4096))
    now = host.get("companion0", "stats")
    assert host.quit() == 0
    assert stats.read_text() == now + "\n"


def test_latency_is_waited_for(start):
    host = start(companion="latency-us=200000")
    begin = time.monotonic()
    assert host.map((host.data, 4096)).status == host.wire.STATUS_OK
    # A busy machine makes it longer, never shorter.
    assert time.monotonic() - begin >= 0.2


def test_latency_changes_no_answer(start):
    host = start(companion="latency-us=50")
    host.set("companion0", "latency-us", 10)
    assert host.map((host.data, 4096), (host.data + GRANULE, 64)).status == host.wire.STATUS_OK
    assert host.stats()["live"] == 2
