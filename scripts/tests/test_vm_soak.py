# SPDX-License-Identifier: GPL-2.0
"""A short soak; `make soak` is the long one."""

import re
import subprocess

import pytest

from conftest import TOP


@pytest.mark.full
def test_soak(tmp_path):
    """One guest: nothing is lost, and all of it is told."""
    done = subprocess.run([TOP / "scripts" / "soak", "--minutes", "1", "--seed", "2",
                           "--keep", tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("leaks", "losses", "problems"):
        assert re.search(rf"^{name}: 0$", done.stdout, re.M)
    assert re.search(r"^guests: 1; reboots survived: [1-9]", done.stdout, re.M)
    assert re.search(r"^operations: [1-9]\d*: .*break", done.stdout, re.M)
    assert re.search(r"^faults injected: [1-9]", done.stdout, re.M)
    assert float(re.search(r"^I/O verified: ([\d.]+) MB", done.stdout, re.M)[1]) > 4
