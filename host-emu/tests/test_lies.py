# SPDX-License-Identifier: GPL-2.0
"""A host that answers wrongly, each way by name."""

import time

import pytest

from host import PREFILL
from qtest import DEADLINE

GRANULE = 16384
IOERR, INVAL, BAD = 1, 3, 7


def answers(host, mode):
    """A map of two ranges, answered by this lie."""
    host.set("companion0", "lie", mode)
    batch = host.map((host.data + 0x1000, 4096), (host.data + GRANULE, GRANULE))
    assert host.stats()["map_entries"] == 2
    return batch


@pytest.mark.parametrize("mode, field, change", [
    ("wrong-id", "id", GRANULE), ("short", "dma_len", -1), ("long", "dma_len", 1)])
def test_one_field_is_wrong(host, mode, field, change):
    batch = answers(host, mode)
    assert batch.status == batch.page_status == 0
    for entry, (gpa, size) in zip(batch.entries, [(host.data + 0x1000, 4096),
                                                  (host.data + GRANULE, GRANULE)]):
        want = {"id": gpa, "dma_len": size, "status": 0}
        want[field] += change
        assert {name: entry[name] for name in want} == want
    assert host.stats()["lies"] == host.stats()["live"] == 2


def test_misaligned(host):
    batch = answers(host, "misaligned")
    assert [e["dma_addr"] % GRANULE for e in batch.entries] == [0x2000, 0x1000]


def test_zero(host):
    assert [e["dma_addr"] for e in answers(host, "zero").entries] == [0, 0]


def test_wrap(host):
    assert [e["dma_addr"] for e in answers(host, "wrap").entries] == [
        2**64 - GRANULE + 0x1000, 2**64 - GRANULE]


def test_overlap(host):
    first = host.mapped(host.data, 4096)
    host.set("companion0", "lie", "overlap")
    entry = host.map((host.data + 0x5000, 64)).entries[0]
    assert entry["dma_addr"] == first + 0x1000 and entry["status"] == 0


def test_unwritten(host):
    batch = answers(host, "unwritten")
    assert batch.status == batch.page_status == 0
    assert b"".join(batch.raw) == bytes([PREFILL]) * sum(map(len, batch.raw))


def test_batch_ok(host):
    batch = answers(host, "batch-ok")
    assert batch.status == batch.page_status == 0
    assert [e["status"] for e in batch.entries] == [IOERR, IOERR]
    assert host.stats()["live"] == 0


def test_batch_fail(host):
    batch = answers(host, "batch-fail")
    assert batch.status == batch.page_status == IOERR
    assert [e["status"] for e in batch.entries] == [0, 0]
    assert host.stats()["live"] == 2


def test_bad_status(host):
    batch = answers(host, "bad-status")
    assert [e["status"] for e in batch.entries] == [BAD, BAD]
    assert batch.status == batch.page_status == IOERR


def test_bad_batch_status(host):
    batch = answers(host, "bad-batch-status")
    assert [e["status"] for e in batch.entries] == [0, 0]
    assert batch.status == batch.page_status == BAD


def test_no_command_status(host):
    batch = answers(host, "no-command-status")
    assert (batch.status, batch.page_status) == (0, 0xA5A5A5A5)
    assert [e["status"] for e in batch.entries] == [0, 0]


def test_refuse_all(host):
    batch = answers(host, "refuse-all")
    assert batch.status == batch.page_status == IOERR
    assert host.stats()["live"] == 0 and host.stats()["failed_entries"] == 2


def test_unmap_fail(host):
    batch = answers(host, "unmap-fail")
    assert batch.status == 0
    batch = host.unmap(host.data + 0x1000)
    assert batch.status == batch.page_status == IOERR
    assert batch.entries[0]["id"] == host.data + 0x1000 and batch.entries[0]["status"] == IOERR
    assert host.stats()["live"] == 2
    host.set("companion0", "lie", "none")
    assert host.unmap(host.data + 0x1000).status == 0


@pytest.mark.parametrize("mode, entry", [("wrong-id", {"id": GRANULE, "status": 0}),
                                         ("bad-status", {"id": 0, "status": BAD})])
def test_unmap_answers_are_wrong_too(host, mode, entry):
    host.map((host.data, 4096))
    host.set("companion0", "lie", mode)
    got = host.unmap(host.data).entries[0]
    assert (got["id"], got["status"]) == (host.data + entry["id"], entry["status"])
    assert host.stats()["live"] == 0


def test_half_an_answer(host):
    """Its status alone, with which the batch agrees."""
    batch = answers(host, "half")
    assert batch.status == batch.page_status == 0
    for entry in batch.entries:
        assert entry["status"] == 0 and entry["id"] == entry["dma_addr"] == PREFILL * 0x0101010101010101
    assert host.stats()["live"] == 2


def test_invalid_batch(host):
    batch = answers(host, "invalid-batch")
    assert batch.status == batch.page_status == INVAL
    assert [e["status"] for e in batch.entries] == [0, 0]


def test_short_stays(host):
    batch = answers(host, "short-stays")
    assert batch.status == 0 and [e["dma_len"] for e in batch.entries] == [4095, GRANULE - 1]
    assert host.unmap(host.data + 0x1000).status == IOERR
    assert host.stats()["live"] == 2


def test_no_entries(host):
    host.set("companion0", "lie", "no-entries")
    assert host.reg("MAX_ENTRIES") == 0 and host.reg("VERSION") == host.wire.VERSION


def test_lie_after_answers_honestly_first(start):
    host = start(companion="lie=zero,lie-after=3")
    batch = host.map(*[(host.data + i * GRANULE, 4096) for i in range(5)])
    assert [e["dma_addr"] == 0 for e in batch.entries] == [False, False, False, True, True]
    # Set again, it counts from the start.
    host.set("companion0", "lie-after", 1)
    host.set("companion0", "lie", "short")
    batch = host.map(*[(host.data + i * GRANULE, 4096) for i in range(8, 10)])
    assert [e["dma_len"] for e in batch.entries] == [4096, 4095]


def eventually(read, value):
    """Wait until something reads as this."""
    end = time.monotonic() + DEADLINE
    while read() != value:
        assert time.monotonic() < end, f"{read()} is never {value}"


def status(host):
    """The status in the command page."""
    return host.read(host.cmd + host.wire.offset("cmd", "status"), 4)


@pytest.mark.parametrize("mode", ["no-answer", "late", "gone"])
def test_doorbell_that_does_nothing(host, mode):
    host.set("companion0", "lie", mode)
    host.set("companion0", "lie-after", 1)
    assert host.map((host.data, 4096)).page_status == 0
    before = host.stats()
    host.write(host.cmd, host.wire.pack("cmd", type=host.wire.CMD_MAP, count=1, status=0xffffffff,
                                        req_gpa=host.req, resp_gpa=host.resp))
    host.write(host.req, host.wire.pack(host.struct("map_req"), gpa=host.data + GRANULE, len=4096))
    host.fill(host.resp, 64, 0xff)
    host.set_reg("DOORBELL", 1)
    if mode == "late":
        eventually(lambda: status(host), bytes(4))
        assert host.stats()["live"] == 2
    else:
        time.sleep(0.3)
        assert status(host) + host.read(host.resp, 64) == b"\xff" * 68
        assert host.stats()["live"] == 1
    assert host.stats()["lies"] == before["lies"] + 1
    gone = 0xffffffff if mode == "gone" else None
    assert host.reg("STATUS") == (gone or 0)
    assert host.reg("VERSION") == (gone or host.wire.VERSION)


def test_answers_are_rewritten(host):
    """A while after the doorbell, unless the guest has taken the page away."""
    host.set("companion0", "lie", "rewrite")
    host.map((host.data, 4096), (host.data + GRANULE, 4096))
    size = 2 * host.wire.size(host.struct("map_resp"))
    eventually(lambda: host.read(host.resp, size + 1), b"\x5a" * size + bytes([PREFILL]))
    eventually(lambda: status(host), b"\x5a" * 4)
    assert host.reg("STATUS") == 0
    assert host.stats()["lies"] == 1 and host.stats()["live"] == 2
    host.qmp("stop")
    host.map((host.data + 2 * GRANULE, 4096))
    host.program(0)
    host.qmp("cont")
    time.sleep(0.3)
    assert status(host) == bytes(4)


def test_registers_are_fickle(host):
    host.set("companion0", "lie", "fickle")
    for name in ("VERSION", "MANAGED_BDF", "MAX_ENTRIES", "STATUS"):
        first = host.reg(name)
        assert [host.reg(name), host.reg(name)] == [first + 1, first + 2]
    assert host.reg("CMD_GPA_LO") == host.reg("CMD_GPA_LO") == 0
