# SPDX-License-Identifier: GPL-2.0
"""Every kernel that is booted: the NVMe round trip, and rebinding, as `make kernels` does it."""


import pytest

from kernels import boot, cli
from testbed import arch, headers, kernel


def pytest_generate_tests(metafunc):
    """The mirror is asked for kernels only if the case is to run."""
    names = [("x86_64", "6.1")]
    if metafunc.config.getoption("--full"):
        names = [(row.arch.name, row.kernel.name) for row in cli.rows() if row.boots]
    metafunc.parametrize("machine, name", [pytest.param(*each, id="-".join(each))
                                           for each in names])


@pytest.mark.full
def test_round_trip_and_rebind(machine, name):
    """The guest's page size is the one that the headers say."""
    wanted = kernel.find(name, arch.find(machine))
    said, trouble = boot.boot(wanted, headers.prepare(wanted, arch.find(machine)).page_size)
    assert not trouble, trouble
    assert said["release"] == wanted.release
