# SPDX-License-Identifier: GPL-2.0
"""The doorbell: what a batch does, what it writes, and what it leaves alone."""

import pytest

from host import PREFILL

MIB = 1 << 20
GRANULE = 16384
RAM = 256 * MIB
NOWHERE = 0x700000000000        # no memory and no device there
ARCHES = ["x86_64", "arm64"]


def prefilled(data):
    return data == bytes([PREFILL]) * len(data)


def inval_without_a_trace(host, batch):
    """The batch was refused as a whole: no response, no entry counted."""
    assert batch.status == batch.page_status == host.wire.STATUS_INVAL
    assert prefilled(b"".join(batch.raw))
    stats = host.stats()
    assert stats["map_entries"] == stats["unmap_entries"] == stats["live"] == 0
    assert stats["bad_commands"] == stats["doorbells"] == 1


def only_status(host, raw, status):
    """Of a map response, exactly the status word was written."""
    at = host.wire.offset(host.struct("map_resp"), "status")
    assert raw[at:at + 4] == status.to_bytes(4, "little")
    assert prefilled(raw[:at]) and prefilled(raw[at + 4:])


# Success

@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("layout", ["rfc", "wide"])
def test_map_writes_id_address_length_and_status(start, arch, layout):
    host = start(arch=arch, layout=layout)
    batch = host.map((host.data, 4096), (host.data + GRANULE, GRANULE), (host.data + MIB, 2 * MIB))
    assert batch.status == batch.page_status == host.wire.STATUS_OK
    for entry, (gpa, size) in zip(batch.entries, [(host.data, 4096),
                                                  (host.data + GRANULE, GRANULE),
                                                  (host.data + MIB, 2 * MIB)]):
        assert (entry["id"], entry["dma_len"], entry["status"]) == (gpa, size, 0)
        assert entry["dma_addr"] not in (0, gpa)
        assert entry["dma_addr"] % GRANULE == gpa % GRANULE
    assert prefilled(host.read(host.resp + sum(map(len, batch.raw)), 64))


def test_unmap_writes_id_and_status_but_not_the_reserved_word(host):
    host.map((host.data, 4096))
    batch = host.unmap(host.data)
    assert batch.status == host.wire.STATUS_OK
    assert batch.entries == [{"id": host.data, "status": 0, "reserved": 0xA5A5A5A5}]


def test_the_rest_of_the_command_page_is_not_written(host):
    before = host.wire.pack("cmd", type=1, count=1, status=0xA5A5A5A5, req_gpa=host.req,
                            resp_gpa=host.resp)
    host.fill(host.cmd, 4096, PREFILL)
    host.map((host.data, 4096))
    page = host.read(host.cmd, 4096)
    at = host.wire.offset("cmd", "status")
    assert page[:at] == before[:at]
    assert page[at:at + 4] == bytes(4)
    assert page[at + 4:32] == before[at + 4:]
    assert prefilled(page[32:])


def test_flags_are_ignored_and_every_mapping_is_read_write(host):
    batch = host.map((host.data, 4096), flags=0xffffffff)
    assert batch.status == host.wire.STATUS_OK
    host.write(host.data, b"to the device")
    host.edu_reads(batch.entries[0]["dma_addr"], 16)
    host.edu_writes(batch.entries[0]["dma_addr"] + 64, 16)
    assert host.read(host.data + 64, 13) == b"to the device"
    assert host.stats()["faults"] == 0


def test_any_doorbell_value_runs_a_batch(host):
    host.map((host.data, 4096))
    host.set_reg("DOORBELL", 0)
    assert host.stats()["doorbells"] == 2
    assert host.stats()["duplicate_handles"] == 1


# A batch refused as a whole

def test_command_page_zero_is_inval_and_nothing_is_written(start):
    host = start(program=False)
    host.fill(0, 4096, PREFILL)
    batch = host.map((host.data, 4096))
    assert batch.status == host.wire.STATUS_INVAL
    assert batch.page_status == 0xA5A5A5A5
    assert prefilled(batch.raw[0]) and prefilled(host.read(0, 4096))
    assert host.stats()["bad_commands"] == 1 and host.stats()["map_entries"] == 0


@pytest.mark.parametrize("address", [NOWHERE, 0xfffffffffffff000, RAM - 16])
def test_unreadable_command_page_is_inval_and_nothing_is_written(start, address):
    host = start(program=False)
    host.program(address)
    host.fill(RAM - 4096, 4096, PREFILL)
    batch = host.map((host.data, 4096))
    assert batch.status == host.wire.STATUS_INVAL
    assert batch.page_status == 0xA5A5A5A5
    assert prefilled(batch.raw[0]) and prefilled(host.read(RAM - 4096, 4096))
    assert host.stats()["live"] == 0


@pytest.mark.parametrize("arch", ARCHES)
def test_command_page_in_a_device_is_inval_and_nothing_is_written(start, arch):
    """With the page in its own BAR, writing the status would ring again, for ever."""
    host = start(arch=arch, program=False)
    host.program(host.regs + host.wire.REG_DOORBELL - host.wire.offset("cmd", "status"))
    host.set_reg("DOORBELL", 1)
    assert host.reg("STATUS") == host.wire.STATUS_INVAL
    assert host.stats()["doorbells"] == host.stats()["bad_commands"] == 1
    # edu's register for the factorial of what is written to it.
    host.program(host.edu + 8 - host.wire.offset("cmd", "status"))
    host.set_reg("DOORBELL", 1)
    assert host.reg("STATUS") == host.wire.STATUS_INVAL
    assert host.load(host.edu + 8) == 0
    host.program()
    assert host.map((host.data, 4096)).status == host.wire.STATUS_OK


def test_count_zero_is_inval(host):
    inval_without_a_trace(host, host.map((host.data, 4096), count=0))


def test_count_of_max_entries_runs_and_one_more_is_inval(start):
    host = start(companion="batch-entries=4")
    assert host.reg("MAX_ENTRIES") == 4
    ranges = [(host.data + i * GRANULE, GRANULE) for i in range(5)]
    inval_without_a_trace(host, host.map(*ranges))
    assert host.map(*ranges[:4]).status == host.wire.STATUS_OK
    assert host.stats()["live"] == 4


def test_a_full_batch_of_the_default_size_runs(host):
    assert host.reg("MAX_ENTRIES") == 4096
    ranges = [(host.data + i * GRANULE, GRANULE) for i in range(4096)]
    batch = host.map(*ranges)
    assert batch.status == host.wire.STATUS_OK
    assert [entry["id"] for entry in batch.entries] == [gpa for gpa, _ in ranges]
    assert len({entry["dma_addr"] for entry in batch.entries}) == 4096
    assert host.map(*ranges, count=0xffffffff).status == host.wire.STATUS_INVAL


@pytest.mark.parametrize("array", ["req", "resp"])
def test_zero_array_address_is_inval(host, array):
    inval_without_a_trace(host, host.map((host.data, 4096), **{array: 0}))


@pytest.mark.parametrize("type_", [0, 3, 0x01000000, 0xffffffff])
def test_unknown_type_is_inval(host, type_):
    inval_without_a_trace(host, host.map((host.data, 4096), type_=type_))


@pytest.mark.parametrize("kind", ["map", "unmap"])
@pytest.mark.parametrize("array", ["req", "resp"])
@pytest.mark.parametrize("where", ["end of RAM", "no memory", "a device", "end of 64 bits"])
def test_array_not_contiguous_ram_is_inval_and_no_entry_is_written(host, kind, array, where):
    size = host.wire.size(host.struct(f"{kind}_{array}"))
    address = {"end of RAM": RAM - 2 * size + 1, "no memory": NOWHERE, "a device": host.edu,
               "end of 64 bits": 2**64 - size}[where]
    host.fill(RAM - 4096, 4096, PREFILL)
    entries = [(host.data, 4096), (host.data + GRANULE, 4096)]
    if kind == "map":
        batch = host.map(*entries, **{array: address})
    else:
        batch = host.unmap(*[gpa for gpa, _ in entries], **{array: address})
    inval_without_a_trace(host, batch)
    assert prefilled(host.read(RAM - 4096, 4096))


def test_array_up_to_the_last_byte_of_ram_runs(host):
    size = host.wire.size(host.struct("map_resp"))
    batch = host.map((host.data, 4096), (host.data + GRANULE, 4096), resp=RAM - 2 * size)
    assert batch.status == host.wire.STATUS_OK
    last = host.wire.unpack(host.struct("map_resp"), host.read(RAM - size, size))
    assert last["id"] == host.data + GRANULE and last["status"] == 0


def test_responses_in_rom_are_inval(host):
    assert host.map((host.data, 4096), resp=0xffff0000).status == host.wire.STATUS_INVAL
    assert host.stats()["live"] == 0


# Entries that fail

@pytest.mark.parametrize("gpa, size", [
    (NOWHERE, 4096), (RAM - 4096, 8192), (0xe2000000, 4096), (RAM, 16), (2**64 - 4096, 8192)])
def test_map_of_what_is_not_one_range_of_ram_writes_only_its_status(host, gpa, size):
    batch = host.map((gpa, size))
    assert batch.status == batch.page_status == host.wire.STATUS_IOERR
    only_status(host, batch.raw[0], host.wire.STATUS_IOERR)
    assert host.stats()["live"] == 0 and host.stats()["failed_entries"] == 1


def test_entries_after_a_failing_one_still_run(host):
    batch = host.map((host.data, 4096), (NOWHERE, 4096), (host.data, GRANULE),
                     (host.data + GRANULE, 4096))
    assert batch.status == host.wire.STATUS_IOERR
    assert [batch.entries[i]["status"] for i in range(4)] == [0, 1, 1, 0]
    only_status(host, batch.raw[1], 1)
    only_status(host, batch.raw[2], 1)
    assert batch.entries[3]["id"] == host.data + GRANULE
    assert host.stats()["live"] == 2


def test_unmap_of_an_unknown_handle_writes_id_and_status_and_the_others_run(host):
    host.map((host.data, 4096), (host.data + GRANULE, 4096))
    batch = host.unmap(host.data, 0x1234567890, host.data + GRANULE)
    assert batch.status == batch.page_status == host.wire.STATUS_IOERR
    assert [(e["id"], e["status"], e["reserved"]) for e in batch.entries] == [
        (host.data, 0, 0xA5A5A5A5), (0x1234567890, 1, 0xA5A5A5A5),
        (host.data + GRANULE, 0, 0xA5A5A5A5)]
    assert host.stats()["live"] == 0


def test_unmap_ignores_the_size(host):
    host.map((host.data, 2 * GRANULE))
    batch = host.ring("unmap", [host.wire.pack("unmap_req", id=host.data, size=1)])
    assert batch.status == host.wire.STATUS_OK
    assert host.stats()["live_bytes"] == 0


@pytest.mark.parametrize("size", [4096, 1, 8 * GRANULE])
def test_duplicate_handle_fails_whatever_the_length(host, size):
    first = host.mapped(host.data, 4096)
    batch = host.map((host.data, size))
    assert batch.status == host.wire.STATUS_IOERR
    only_status(host, batch.raw[0], host.wire.STATUS_IOERR)
    assert host.stats()["duplicate_handles"] == 1 and host.stats()["live"] == 1
    # The first one is as it was.
    host.edu_reads(first, 16)
    assert host.stats()["faults"] == 0
    host.unmap(host.data)
    assert host.map((host.data, size)).status == host.wire.STATUS_OK


def test_overlapping_ranges_with_other_starts_are_accepted(host):
    batch = host.map((host.data, 4 * GRANULE), (host.data + 4096, 4096), (host.data + GRANULE, 64))
    assert batch.status == host.wire.STATUS_OK
    assert len({entry["dma_addr"] // GRANULE for entry in batch.entries}) == 3


# Lengths

@pytest.mark.parametrize("layout", ["rfc", "wide"])
@pytest.mark.parametrize("size, got", [(1536 * MIB, 1536 * MIB), (1536 * MIB + 1, 1536 * MIB),
                                       (1900 * MIB, 1536 * MIB)])
def test_over_1536_mib_succeeds_with_a_short_length(start, layout, size, got):
    host = start(layout=layout, mem="4G", dart="max-bytes=4G")
    batch = host.map((64 * MIB, size))
    assert batch.status == host.wire.STATUS_OK
    assert batch.entries[0]["dma_len"] == got
    assert host.stats()["live_bytes"] == size
    assert host.stats()["dart_entries"] == (1 if got == size else 2)
    assert host.unmap(64 * MIB).status == host.wire.STATUS_OK
    assert host.stats()["dart_bytes"] == 0


def test_over_1536_mib_fails_where_the_dart_has_no_more(start):
    host = start(mem="4G")
    batch = host.map((64 * MIB, 1536 * MIB + 1))
    only_status(host, batch.raw[0], host.wire.STATUS_IOERR)
    assert host.stats()["dart_bytes"] == 0
    assert host.map((64 * MIB, 1536 * MIB)).status == host.wire.STATUS_OK


def test_wide_lengths_of_more_than_32_bits_are_not_truncated(start):
    host = start(layout="wide")
    batch = host.map((host.data, (1 << 32) + 4096))
    only_status(host, batch.raw[0], host.wire.STATUS_IOERR)


@pytest.mark.parametrize("layout, at", [("rfc", 20), ("wide", 24)])
def test_length_zero_tells_the_layout_and_has_no_effect(start, layout, at):
    host = start(layout=layout, companion="lie=unwritten")
    host.write(host.req, bytes(64))
    host.fill(host.resp, 64, 0xff)
    host.ring("map", [], count=1, prefill=False)
    data = host.read(host.resp, 64)
    assert data[at:at + 4] == host.wire.STATUS_IOERR.to_bytes(4, "little")
    assert data[:at] + data[at + 4:] == b"\xff" * 60
    assert host.reg("STATUS") == host.wire.STATUS_IOERR
    stats = host.stats()
    assert (stats["probes"], stats["doorbells"]) == (1, 1)
    assert not any(stats[name] for name in ("map_entries", "failed_entries", "live", "peak", "lies"))


# Limits

@pytest.mark.parametrize("count", [1, 3, 64])
def test_mapping_limit_is_hit_at_exactly_n(start, count):
    host = start(dart=f"max-entries={count}")
    ranges = [(host.data + i * GRANULE, 64) for i in range(count + 1)]
    batch = host.map(*ranges)
    assert [host.wire.STATUS_OK] * count == [entry["status"] for entry in batch.entries[:-1]]
    only_status(host, batch.raw[-1], host.wire.STATUS_IOERR)
    host.unmap(host.data)
    assert host.map(ranges[-1]).status == host.wire.STATUS_OK
    assert host.map(ranges[0]).status == host.wire.STATUS_IOERR
    assert host.stats()["peak"] == count


def test_byte_limit_is_hit_at_exactly_n_in_whole_pages(start):
    host = start(dart="max-bytes=64K")
    assert host.map((host.data, 4 * GRANULE + 1)).status == host.wire.STATUS_IOERR
    assert host.map((host.data, 4 * GRANULE)).status == host.wire.STATUS_OK
    assert host.map((host.data + MIB, 1)).status == host.wire.STATUS_IOERR
    host.unmap(host.data)
    # Two bytes over a page boundary are two pages.
    batch = host.map(*[(host.data + i * 2 * GRANULE - 1, 2) for i in range(1, 4)])
    assert [batch.entries[i]["status"] for i in range(3)] == [0, 0, 1]


def test_a_mapping_in_more_than_one_segment_fails_and_leaves_nothing(start):
    host = start(dart="max-segment=32K")
    assert host.map((host.data, 2 * GRANULE)).status == host.wire.STATUS_OK
    batch = host.map((host.data + MIB, 2 * GRANULE + 1))
    only_status(host, batch.raw[0], host.wire.STATUS_IOERR)
    assert host.stats()["dart_entries"] == 1


# State

def test_a_system_reset_clears_nothing(host):
    first = host.mapped(host.data, 4096)
    host.reset()
    host.wire_up()
    assert host.stats()["live"] == 1
    # The command page is still known.
    batch = host.map((host.data, 4096), (host.data + GRANULE, 4096))
    assert [entry["status"] for entry in batch.entries[1:]] == [0]
    only_status(host, batch.raw[0], host.wire.STATUS_IOERR)
    host.set("dart0", "enforce", "on")
    host.edu_reads(first, 16)
    assert host.stats()["faults"] == 0
    # What the earlier kernel left can be recovered.
    assert host.unmap(host.data).status == host.wire.STATUS_OK
    assert host.map((host.data, 4096)).status == host.wire.STATUS_OK


@pytest.mark.parametrize("forget, status, live", [("registers", "STATUS_IOERR", 1),
                                                  ("all", "STATUS_OK", 0)])
def test_a_system_reset_forgets_what_it_is_told_to(start, forget, status, live):
    """The command page and the status with both, what is mapped with all alone."""
    host = start(companion=f"forget={forget}")
    host.mapped(host.data, 4096)
    host.map(count=0)
    assert host.reg("STATUS") == host.wire.STATUS_INVAL
    host.reset()
    host.wire_up()
    assert host.reg("STATUS") == 0
    assert host.stats()["live"] == host.stats()["dart_entries"] == live
    batch = host.map((host.data, 4096))
    assert (batch.status, batch.page_status) == (host.wire.STATUS_INVAL, 0xA5A5A5A5)
    assert prefilled(batch.raw[0])
    host.program()
    assert host.map((host.data, 4096)).status == getattr(host.wire, status)


def test_statistics_are_exact(host):
    host.map((host.data, 4096), (host.data + GRANULE, 5 * GRANULE), (NOWHERE, 64))
    host.map((host.data, 64), (host.data + MIB, 0))
    host.unmap(host.data, host.data)
    host.map(count=0)
    host.edu_reads(NOWHERE, 256)
    host.edu_writes(NOWHERE, 8)
    host.edu_writes(NOWHERE + GRANULE - 4, 4)
    assert host.stats() == {
        "name": "companion0", "doorbells": 4, "bad_commands": 1, "map_entries": 4,
        "unmap_entries": 2, "probes": 1, "failed_entries": 3, "duplicate_handles": 1, "lies": 0,
        "live": 1, "live_bytes": 5 * GRANULE, "peak": 2, "peak_bytes": 5 * GRANULE + 4096,
        "largest_batch": 3,
        "dart_entries": 1, "dart_bytes": 5 * GRANULE, "faults": 3, "read_faults": 1,
        "write_faults": 2, "modelled_us": 3052, "enforced": True}
