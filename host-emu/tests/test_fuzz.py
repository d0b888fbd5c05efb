# SPDX-License-Identifier: GPL-2.0
"""A bounded run of the fuzzing targets; `make -C host-emu fuzz` is the long one."""

import os
import re
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def test_kept_inputs_and_a_bounded_run_find_nothing():
    """No crash, no sanitizer's report, and every target really ran."""
    options = [f"{name}={os.environ[name]}" for name in ("BUILD",) if name in os.environ]
    env = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MAKELEVEL")}
    done = subprocess.run(["make", "-s", "-C", TOP, *options, "fuzz-short"],
                          env=env, capture_output=True, text=True, timeout=900, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-4000:]
    runs = [int(count) for count in re.findall(r"number_of_executed_units: (\d+)", said)]
    assert len(runs) == 4 and min(runs) >= 1500, said[-4000:]
