# SPDX-License-Identifier: GPL-2.0
"""The mapping engine against a fake host: exact cases, and storms.

Nothing here needs a device or the companion: the module of stress/ has the
engine's sources in it and makes up guest memory.
"""

import os
import re

import pytest

from conftest import TOP

SOURCE = TOP / "scripts" / "tests" / "stress"

# Steps of all threads together; more of them for a longer look.
OPS = int(os.environ.get("APPLE_DMA_STRESS_OPS", "240000"))
SEED = int(os.environ.get("APPLE_DMA_STRESS_SEED", "1"))

# Load it, make the guest reclaim memory while it runs, and print its lines.
SCRIPT = """
for params in {runs}; do
	dmesg -C
	insmod /root/stress.ko ${{params//,/ }} &
	while kill -0 $! 2>/dev/null; do
		echo 2 >/proc/sys/vm/drop_caches
		sleep 0.5
	done
	wait $! || fail "insmod: $?"
	dmesg | grep -o 'apple_dma_stress: .*' | sed 's/apple_dma_stress: //'
	rmmod apple_dma_stress
done
"""

# Freed memory is poisoned, so that a later read is seen.
POISON = "slub_debug=FPZ,apple_dma_window"

# Kernels that are built here with checkers, and how much slower they are.
SLOWER = {"debug": 16, "kcsan": 8}


@pytest.fixture
def stress(testbed, build_module):
    """Load the module with each of the parameters; returns its lines of TAP."""
    def run(*runs, arch="x86_64", kernel="6.1"):
        module = build_module(kernel, arch, SOURCE)
        slow = kernel in SLOWER
        result = testbed(SCRIPT.format(runs=" ".join(runs)), arch=arch, kernel=kernel,
                         no_module=True, append=POISON, mem="2G" if slow else None,
                         timeout=(1200 if slow else 300) + OPS / 2000,
                         push=[f"{module}:/root/stress.ko"])
        print(result.out)
        plans = [int(n) for n in re.findall(r"^1\.\.(\d+)$", result.out, re.M)]
        assert len(plans) == len(runs), result.out[-4000:]
        assert not re.findall(r"^(?:not ok|# WRONG).*$", result.out, re.M), result.out[-4000:]
        assert len(re.findall(r"^ok \d", result.out, re.M)) == sum(plans)
        return result
    return run


@pytest.mark.parametrize("arch, kernel, share", [
    ("x86_64", "6.1", 4), pytest.param("x86_64", "6.1", 1, marks=pytest.mark.full),
    pytest.param("x86_64", "newest", 4, marks=pytest.mark.full),
    # Locks of PREEMPT_RT sleep, and interrupts are threads.
    pytest.param("x86_64", "6.1-rt", 4, marks=pytest.mark.full),
    pytest.param("x86_64", "6.12-rt", 4, marks=pytest.mark.full),
    pytest.param("arm64", "6.1", 4, marks=[pytest.mark.arm64, pytest.mark.full]),
    pytest.param("arm64", "newest-16k", 4, marks=[pytest.mark.arm64, pytest.mark.full])])
def test_engine_on_a_fake_host(stress, arch, kernel, share):
    """The exact cases, and threads and interrupts while settings change."""
    stress("run=unit", f"run=storm,threads=3,ops={OPS // share},seed={SEED}",
           f"run=storm,threads=2,twin=1,ops={OPS // share // 2},seed={SEED}",
           arch=arch, kernel=kernel)


@pytest.mark.full
@pytest.mark.parametrize("kernel", ["debug", "kcsan"])
def test_storm_that_is_looked_into(stress, kernel):
    """A window used after it was freed, a race, a lock taken in the wrong order."""
    stress(f"run=storm,threads=3,ops={OPS // SLOWER[kernel]},seed={SEED}",
           f"run=storm,threads=2,twin=1,ops={OPS // SLOWER[kernel]},seed={SEED}", kernel=kernel)


def test_nothing_is_refused_that_fits(stress):
    """One thread and no meddling: each refusal is checked to the byte."""
    stress(*(f"run=storm,threads=1,meddle=0,rounds=20,ops={OPS // 8},seed={SEED + i}"
             for i in (1, 4)))
