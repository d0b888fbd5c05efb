# SPDX-License-Identifier: GPL-2.0
"""Stock devices with their stock drivers behind the DART, moving real data.

The quick set is every device in one Debian kernel, and four that are busy at
once; the full set is the whole table.
"""

import dataclasses
import fcntl
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "scripts" / "lib"))

# pylint: disable=wrong-import-position
from compat import cli, guest, models, table  # noqa: E402

GUESTS = cli.every_guest(*cli.chosen(None))
MIB = 4
EVERY = range(len(GUESTS))
# Each device once, and four that are busy at the same time.
QUICK = {number for number in EVERY if not GUESTS[number][1] or len(GUESTS[number][0]) == 4} - \
    {len(GUESTS) - 1}


@pytest.fixture(scope="session")
def rows(tmp_path_factory):
    """A function for the rows of a guest, which is run once for all tests' processes."""
    top = tmp_path_factory.getbasetemp()
    if os.environ.get("PYTEST_XDIST_WORKER"):
        top = top.parent

    def get(kernel, number):
        chosen, together = GUESTS[number]
        path = top / f"compat-{kernel}-{number}.json"
        with open(path.with_suffix(".lock"), "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                mib = 0 if kernel in guest.BUILT_HERE else MIB
                found = guest.run(list(chosen), guest.Setting(kernel, mib=mib), together)
                path.write_text(json.dumps([dataclasses.asdict(row) for row in found]))
        return [guest.Row(**each) for each in json.loads(path.read_text())]
    return get


def cases(kernel, numbers):
    """A case for each row of these guests that can be run."""
    def name(model, chosen, both):
        return [model.name] + [other.name for other in chosen if both and other is not model]

    return [pytest.param(kernel, number, model.name, id="-".join([kernel, *name(model, *guest_)]))
            for number, guest_ in enumerate(GUESTS) if number in numbers
            for model in guest_[0] if not model.cannot]


def check(found, name):
    row, = (each for each in found if each.device == name)
    assert row.good, f"{row.result}\n{row.said}"
    assert row.moved > 0 and row.doorbells > 1 and row.peak > 0
    assert row.faults == 0


@pytest.mark.parametrize("kernel, number, name", cases("6.1", QUICK))
def test_device(rows, kernel, number, name):
    check(rows(kernel, number), name)


@pytest.mark.full
@pytest.mark.parametrize("kernel, number, name", cases("6.1", set(EVERY) - QUICK) +
                         [case for kernel in cli.KERNELS if kernel != "6.1"
                          for case in cases(kernel, EVERY)])
def test_device_in_every_kernel(rows, kernel, number, name):
    check(rows(kernel, number), name)


# ------------------------------------------- what would make a row fail, without a guest

MODEL = models.BY_NAME["nvme"]
SAID = {"result": "ok", "drivers": "nvme", "moved": "4096", "mask": "64"}
COUNTED = {"map_entries": 5, "faults": 0, "failed_entries": 0, "live": 0}
DONE = SimpleNamespace(returncode=0, stderr="")

BAD = {
    "the guest says so": ({"result": "other data came back"}, {}, 0, "other data"),
    "no verdict": ({"result": None}, {}, 0, "says nothing"),
    "another driver": ({"drivers": "pcieport,vfio-pci"}, {}, 0, "not nvme"),
    "no data": ({"moved": "0"}, {}, 0, "no data"),
    "nothing mapped": ({}, {"map_entries": 0}, 0, "nothing was mapped"),
    "a fault": ({}, {"faults": 1}, 98, "faults: 1"),
    "a refused entry": ({}, {"failed_entries": 2}, 0, "failed_entries: 2"),
    "left on the host": ({}, {"live": 3}, 0, "live: 3"),
    "a kernel report": ({}, {}, 97, "WARNING: it"),
    "the testbed": ({}, {}, 99, "WARNING: it"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_row_fails(name):
    said, counted, status, wanted = BAD[name]
    done = SimpleNamespace(returncode=status, stderr="testbed: WARNING: it\n")
    said = {key: value for key, value in {**SAID, **said}.items() if value is not None}
    row = guest.judged(MODEL, guest.Setting(), said, {**COUNTED, **counted}, done)
    assert not row.good and wanted in row.result
    assert wanted in table.text(row) and wanted in table.markdown([row])


def test_a_row_is_good():
    assert guest.judged(MODEL, guest.Setting(), SAID, COUNTED, DONE).good


def test_what_was_heard(tmp_path):
    wav = tmp_path / "a.wav"
    played = os.urandom(4096 * 4)
    assert "nothing" in guest.heard(wav, played)
    wav.write_bytes(bytes(guest.WAV_HEADER + 100) + played + bytes(8))
    assert guest.heard(wav, played) is None
    wav.write_bytes(bytes(guest.WAV_HEADER) + played[:9000] + bytes(4) + played[9000:])
    assert "8192" in guest.heard(wav, played)


def test_every_model_has_a_row():
    assert sorted(model.name for each, together in GUESTS if not together for model in each) == \
        sorted(models.BY_NAME)
