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

QUICK = "6.1"
FULL = [name for name in cli.KERNELS if name != QUICK]
GUESTS = cli.every_guest(*cli.chosen(None))


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
                found = guest.run(list(chosen), guest.Setting(kernel=kernel), together)
                path.write_text(json.dumps([dataclasses.asdict(row) for row in found]))
        return [guest.Row(**each) for each in json.loads(path.read_text())]
    return get


def cases(kernels, together=None):
    """A case for each row of the guests, or of those whose devices are busy TOGETHER."""
    return [pytest.param(kernel, number, place, id="-".join(
                [kernel, model.name] + [other.name for other in chosen if both and other is not model]))
            for kernel in kernels for number, (chosen, both) in enumerate(GUESTS)
            for place, model in enumerate(chosen) if together in (None, both)]


def check(row):
    assert row.good, f"{row.result}\n{row.said}"
    assert row.moved > 0 and row.doorbells > 1 and row.peak > 0
    assert row.faults == 0


@pytest.mark.parametrize("kernel, number, place", cases([QUICK]))
def test_device(rows, kernel, number, place):
    check(rows(kernel, number)[place])


@pytest.mark.full
@pytest.mark.parametrize("kernel, number, place", cases(FULL))
def test_device_in_every_kernel(rows, kernel, number, place):
    check(rows(kernel, number)[place])


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
