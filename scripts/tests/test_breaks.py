# SPDX-License-Identifier: GPL-2.0
"""A copy of the driver is broken on purpose: the case that breaks.py names fails."""

import os
import re
import subprocess

import pytest

from breaks import BREAKS
from conftest import TOP
from kunit import results, suites
from testbed import module

# A copy for each worker of pytest. It is kept, so that a break compiles only one file.
COPY = TOP / "build" / "breaks" / os.environ.get("PYTEST_XDIST_WORKER", "gw0")


@pytest.fixture
def copy():
    """A copy of the suites' sources, without a break: (its top, its kunit/)."""
    return COPY, module.copy_sources(str(TOP / "kunit"), str(COPY))


def broken(entry, text):
    """TEXT of its file, with the break in it."""
    assert text.count(entry.old) == 1, \
        f"{entry.change}: {entry.file} has its text {text.count(entry.old)} times"
    assert entry.new != entry.old
    return text.replace(entry.old, entry.new)


def run(folder, tmp_path, *args):
    """scripts/kunit with the sources in FOLDER: (its output, {case: why it failed, or None})."""
    tap = tmp_path / "tap"
    done = subprocess.run([TOP / "scripts" / "kunit", "--src", folder, "--tap", tap, *args],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert tap.exists(), done.stdout + done.stderr
    cases = re.findall(r"^(not )?ok \d+ - (\S+)(?: # (.*))?$", tap.read_text(), re.M)
    return done.stdout, {name: why if bad else None for bad, name, why in cases}


def test_every_break_fits():
    """Its text is in the driver once, and its case exists in the kernel that it names."""
    for entry in BREAKS:
        broken(entry, (TOP / entry.file).read_text())
        assert entry.test in suites.expected(entry.kernel == "debug", "*.*"), entry.change


@pytest.mark.full
@pytest.mark.parametrize("entry", BREAKS, ids=lambda entry: re.sub(r"\W+", "-", entry.change))
def test_break_is_seen(entry, copy, tmp_path):
    """Only the case fails: the module builds, runs to its end, and is unloaded."""
    top, folder = copy
    path = top / entry.file
    path.write_text(broken(entry, path.read_text()))
    out, cases = run(folder, tmp_path, f"--{entry.kernel}", entry.test)
    failed = {name: why for name, why in cases.items() if why is not None}
    expected = {f"{entry.kernel}:{entry.test}"}
    if entry.report:
        expected.add(f"{entry.kernel}:kernel")
        assert entry.report in failed.get(f"{entry.kernel}:kernel", ""), out
    assert set(failed) == expected, out
    assert results.DID_NOT_RUN[0] not in failed[f"{entry.kernel}:{entry.test}"], out
    assert re.search(r"(ASSERTION|EXPECTATION) FAILED", out), out


@pytest.mark.full
def test_unbroken_copy_passes(copy, tmp_path):
    """So the break makes the case fail, and not the copy."""
    out, cases = run(copy[1], tmp_path, "--uml")
    assert cases and not any(cases.values()), out
