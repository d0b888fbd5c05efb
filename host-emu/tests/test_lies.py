# SPDX-License-Identifier: GPL-2.0
"""A host that answers wrongly, each way by name."""

import pytest

from host import PREFILL

GRANULE = 16384
IOERR, BAD = 1, 7


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


def test_lie_after_answers_honestly_first(start):
    host = start(companion="lie=zero,lie-after=3")
    batch = host.map(*[(host.data + i * GRANULE, 4096) for i in range(5)])
    assert [e["dma_addr"] == 0 for e in batch.entries] == [False, False, False, True, True]
    # Set again, it counts from the start.
    host.set("companion0", "lie-after", 1)
    host.set("companion0", "lie", "short")
    batch = host.map(*[(host.data + i * GRANULE, 4096) for i in range(8, 10)])
    assert [e["dma_len"] for e in batch.entries] == [4096, 4095]
