# SPDX-License-Identifier: GPL-2.0
"""Stock devices with their stock drivers behind the DART, moving real data.

The quick set has some of each kind in one Debian kernel, and four that run at the same
time; the full set is the whole table.
"""

import os
import re
import subprocess
import time
from types import SimpleNamespace

import pytest

from conftest import TOP
from compat import cli, guest, models, table
from testbed import call, errors

# With the four that are busy at once these are each kind, each bus, and a device that wants
# addresses below 4 GiB.
QUICK = ("virtio-scsi", "megasas", "virtio-net", "virtio-gpu", "intel-hda")
MIB = 4


def all_guests(kernel):
    """The guests of the table; in Debian's kernel those of the quick set are separate."""
    alone, busy = cli.chosen(None)
    if kernel != "6.1":
        return cli.every_guest(alone, busy, kernel)
    rest = [model for model in alone if model.name not in QUICK]
    return cli.every_guest([models.BY_NAME[name] for name in QUICK], busy, kernel) + \
        cli.every_guest(rest, [], kernel)


GUESTS = {kernel: all_guests(kernel) for kernel in cli.KERNELS}


def quick(chosen, together):
    """Whether a guest is of the quick set: QUICK, and the first four at a time."""
    fours = [each for each, both in GUESTS["6.1"] if both and len(each) == 4]
    return chosen == fours[0] if together else all(model.name in QUICK for model in chosen)


@pytest.fixture(scope="session")
def rows():
    """A function for the rows of a guest, which is run once."""
    known = {}

    def get(kernel, number):
        if (kernel, number) not in known:
            chosen, together = GUESTS[kernel][number]
            mib = 0 if kernel in guest.BUILT_HERE else MIB
            known[kernel, number] = guest.run(list(chosen), guest.Setting(kernel, mib=mib),
                                              together)
        return known[kernel, number]
    return get


def cases(kernel, wanted=lambda *_: True):
    """A case for each row of the guests WANTED; one worker runs all cases of a guest."""
    def name(model, chosen, both):
        return [model.name] + [other.name for other in chosen if both and other is not model]

    return [pytest.param(kernel, number, model.name, id="-".join([kernel, *name(model, *guest_)]),
                         marks=pytest.mark.xdist_group(f"compat-{kernel}-{number}"))
            for number, guest_ in enumerate(GUESTS[kernel]) if wanted(*guest_)
            for model in guest_[0] if not model.cannot]


def check(found, name):
    row, = (each for each in found if each.device == name)
    assert row.good, f"{row.result}\n{row.said}"
    assert row.moved > 0 and row.doorbells > 1 and row.peak > 0
    assert row.faults == 0
    assert all(each.good for each in found if each.device == guest.SHARED), found


@pytest.mark.parametrize("kernel, number, name", cases("6.1", quick))
def test_device(rows, kernel, number, name):
    check(rows(kernel, number), name)


@pytest.mark.full
@pytest.mark.parametrize("kernel, number, name", [
    *cases("6.1", lambda *each: not quick(*each)),
    *(case for kernel in cli.KERNELS if kernel != "6.1" for case in cases(kernel))])
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


ROUNDS = r"""
work=$1 companion=$1 card=card0 patience=10 pixels=0
fail() { echo "$*"; exit 1; }
mkfifo() {
	[ ! -e "$work/said" ] && [ ! -e "$work/picture" ] || fail "the last answer is still there"
	command mkfifo "$1"
}
drm-show() { head -c 12 /dev/urandom >"$2"; echo "2 2"; while read -r _; do :; done; }
host-screen() { echo "2 2 $(sha256sum <"$work/picture" | cut -d' ' -f1)"; }
round_screen && round_screen && echo "$pixels"
"""


def test_a_screen_begins_anew(tmp_path):
    """drm-show opens its input first and empties its last answer later: it must not be there."""
    text = "".join((TOP / "scripts" / "lib" / "guest" / name).read_text(encoding="utf-8")
                   for name in ("lib.sh", "device-test"))
    functions = "".join(re.search(rf"^{name}\(\) {{.*?(?: }}$|^}}$)", text, re.M | re.S)[0] + "\n"
                        for name in ("within", "shows", "explain", "round_screen"))
    done = subprocess.run(["bash", "-c", functions + ROUNDS, "bash", str(tmp_path)],
                          capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "32\n", done.stdout + done.stderr


@pytest.mark.parametrize("kernel", GUESTS)
def test_every_model_has_a_row(kernel):
    assert sorted(model.name for each, together in GUESTS[kernel] if not together
                  for model in each) == sorted(models.BY_NAME)


def test_rows_keep_their_order(monkeypatch):
    monkeypatch.setattr(guest, "run", lambda chosen, setting, _: [(chosen[0], setting)])
    wanted = [((number,), False, f"setting {number}") for number in range(8)]
    assert list(cli.run_guests(wanted, 3)) == [(n, f"setting {n}") for n in range(8)]


def test_a_failure_ends_the_other_guests(monkeypatch, tmp_path):
    calls = call.Calls()
    monkeypatch.setattr(guest, "CALLS", calls)

    def run(chosen, _setting, _together):
        if chosen == ["bad"]:
            while not (tmp_path / "there").exists():
                time.sleep(0.01)
            raise errors.TestbedError("no guest")
        return calls.run(["sh", "-c", 'touch "$0/there"; exec sleep 600', str(tmp_path)])

    monkeypatch.setattr(guest, "run", run)
    with pytest.raises(errors.TestbedError, match="no guest"):
        list(cli.run_guests([(("bad",), False, None), (("good",), False, None)], 2))
    with pytest.raises(errors.TestbedError, match="interrupted"):
        calls.run(["true"])


def test_a_table_says_what_made_it():
    row = guest.Row("nvme", "6.1", "x86_64", mode="strict")
    made = table.markdown([row], table.caption(["--only", "nvme+e1000e", "--mode", "strict"], 90))
    assert made.startswith("`scripts/compat --only nvme+e1000e --mode strict`, 20")
    assert "| nvme, strict |" in made and ", 2 min\n\n| device |" in made
