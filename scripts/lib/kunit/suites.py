# SPDX-License-Identifier: GPL-2.0
"""Which suites and cases there are, read from their sources.

Results are compared with this, so a suite that does not run is a failure.
"""

import fnmatch
import os
import re

from testbed import cache
from testbed.errors import TestbedError

FOLDER = os.path.join(cache.REPO, "kunit")
PREFIX = "apple_dma_"           # of the name of each suite; users do without it


def _read(name):
    with open(os.path.join(FOLDER, name), encoding="utf-8") as file:
        return file.read()


def _listed(table):
    """The variables of the suites in a TABLE of suites.c."""
    text = re.search(rf"\b{table}\[\] = {{(.*?)^}};", _read("suites.c"), re.S | re.M)
    if not text:
        raise TestbedError(f"kunit/suites.c has no table {table}")
    return re.findall(r"&(\w+)", text[1])


def _sources():
    """{variable of a suite: (its name, its cases)}."""
    found = {}
    for file in sorted(os.listdir(FOLDER)):
        if not file.endswith("_test.c"):
            continue
        text = _read(file)
        tables = dict(re.findall(r"struct kunit_case (\w+)\[\] = \{(.*?)\n\};", text, re.S))
        for variable, body in re.findall(r"^struct kunit_suite (\w+) = \{(.*?)^\};", text,
                                         re.S | re.M):
            name = re.search(rf'\.name = "{PREFIX}(\w+)"', body)[1]
            table = re.search(r"\.test_cases = (\w+)", body)[1]
            found[variable] = (name, re.findall(r"KUNIT_CASE(?:_SLOW)?\((\w+)\)", tables[table]))
    return found


def expected(devices, only):
    """The names suite.case that have to run: those that need no device, or all."""
    known = _sources()
    listed = _listed("pure_suites") + (_listed("device_suites") if devices else [])
    every = _listed("pure_suites") + _listed("device_suites")
    if sorted(every) != sorted(known):
        raise TestbedError("kunit/suites.c does not list what kunit/*_test.c has: "
                           f"{sorted(set(every) ^ set(known))}")
    names = [f"{name}.{case}" for variable in listed
             for name, cases in [known[variable]] for case in cases]
    return [name for name in names if fnmatch.fnmatchcase(name, only)]
