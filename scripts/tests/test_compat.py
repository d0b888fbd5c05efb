# SPDX-License-Identifier: GPL-2.0
"""Results of a guest that several devices share, without a guest."""

from types import SimpleNamespace

import pytest

from compat import cli, guest, models, table
from conftest import TOP

NAMES = ["virtio-net", "e1000e", "vmxnet3"]
REPORT = "testbed: kernel report: BUG apple_dma (Tainted: G): Poison overwritten\n"


@pytest.fixture(name="testbed")
def _testbed(monkeypatch):
    """A fake of the testbed: set `status` and `said` by the number of devices."""
    fake = SimpleNamespace(runs=[], status={}, said={})

    def run(argv):
        devices = [word.split(":")[0] for word in argv if word.startswith("dev")
                   and word[3:4].isdigit()]
        drivers = [models.BY_NAME[name].driver for name in NAMES]
        if len(devices) == 1:
            drivers = [drivers[len(fake.runs) - 1]]
        fake.runs.append(len(devices))
        with open(argv[argv.index("--stats") + 1], "w", encoding="utf-8") as file:
            file.write("{" + ", ".join(f'"companion{i}": {{"map_entries": 5, "faults": 0}}'
                                       for i in range(len(devices))) + "}")
        out = "".join(f"{name} {key}={value}\n" for name, driver in zip(devices, drivers)
                      for key, value in {"result": "ok", "drivers": driver, "moved": 4096,
                                         "mask": 64}.items())
        status = fake.status.get((len(fake.runs), len(devices)), fake.status.get(len(devices), 0))
        return SimpleNamespace(returncode=status, stdout=out,
                               stderr=REPORT if status else "")

    monkeypatch.setattr(guest.CALLS, "run", run)
    monkeypatch.setattr(guest, "drm_show", lambda arch: "/drm-show")
    return fake


def rows_of(names=tuple(NAMES)):
    return guest.run([models.BY_NAME[name] for name in names], guest.Setting())


def test_good_guest_is_run_once(testbed):
    rows = rows_of()
    assert [row.device for row in rows] == NAMES and all(row.good for row in rows)
    assert testbed.runs == [3]


@pytest.mark.parametrize("status", [97, 99])
def test_report_of_a_shared_guest_stays(testbed, status):
    """Even if each device is good alone, one row is not."""
    testbed.status = {3: status}
    rows = rows_of()
    assert testbed.runs == [3, 1, 1, 1]
    assert [row.device for row in rows] == [*NAMES, guest.SHARED]
    assert all(row.good for row in rows[:3]) and not rows[3].good
    assert "Poison overwritten" in rows[3].result and REPORT in rows[3].said
    assert all(name in table.text(rows[3]) for name in NAMES)


def test_device_that_fails_alone_has_the_report(testbed):
    """There is no second row for it."""
    testbed.status = {3: 97, (3, 1): 97}
    rows = rows_of()
    assert [(row.device, row.good) for row in rows] == list(zip(NAMES, (True, False, True)))


def test_report_of_a_shared_guest_fails_the_table(testbed, tmp_path, capsys):
    testbed.status = {3: 97}
    argv = ["--kernel", "6.1", "--out", str(tmp_path)]
    for name in NAMES:
        argv += ["--only", name]
    assert cli.main(argv) == 1
    said = capsys.readouterr()
    assert "3 of 4 rows as they should be" in said.out
    assert "shared guest, Linux 6.1: kernel report: BUG apple_dma" in said.err


@pytest.mark.parametrize("counted", [{"map_entries": 5}, {"map_entries": 5, "faults": None}])
def test_row_whose_faults_nobody_has_counted_is_not_good(counted):
    done = SimpleNamespace(returncode=0, stderr="")
    row = guest.judged(models.BY_NAME["nvme"], guest.Setting(),
                       {"result": "ok", "drivers": "nvme", "moved": "4096"}, counted, done)
    assert not row.good and row.result == "nobody has counted its faults"
    assert table.cells(row)[7] == "?"


def lines_of(page):
    """The cells of the last table that begins with a column `device`."""
    text = (TOP / "Documentation" / page).read_text().rpartition("| device |")[2]
    lines = text.partition("\n\n")[0].splitlines()[2:]
    return [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines]


def test_documented_devices_are_those_of_the_documented_rows():
    assert lines_of("compat.md") == table.devices(lines_of("compat-runs.md"))
