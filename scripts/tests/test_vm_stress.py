# SPDX-License-Identifier: GPL-2.0
"""The mapping engine against a fake host: exact cases, and storms.

Nothing here needs a device or the companion: the module of stress/ has the
engine's sources in it and makes up guest memory.
"""

import re

import pytest

from conftest import TOP

SOURCE = TOP / "scripts" / "tests" / "stress"

ARM64 = pytest.param("arm64", marks=pytest.mark.arm64)

# Load it, and take memory away from the guest while it runs.
SCRIPT = """
insmod /root/stress.ko {params} &
while kill -0 $! 2>/dev/null; do
	echo 2 >/proc/sys/vm/drop_caches
	sleep 0.5
done
wait $! || echo "insmod: $?"
dmesg | grep -o 'apple_dma_stress: .*' | sed 's/apple_dma_stress: //'
rmmod apple_dma_stress
"""


@pytest.fixture
def stress(testbed, build_module):
    """Load the module with parameters; returns its lines of TAP."""
    def run(params, *, arch="x86_64", kernel="6.1", cpus=2, timeout=240):
        module = build_module(kernel, arch, SOURCE)
        result = testbed(SCRIPT.format(params=params), arch=arch, kernel=kernel,
                         no_module=True, cpus=cpus, timeout=timeout,
                         push=[f"{module}:/root/stress.ko"])
        print(result.out)
        lines = result.out.splitlines()
        plan = re.search(r"^1\.\.(\d+)$", result.out, re.M)
        assert plan, result.out[-4000:]
        bad = [line for line in lines if line.startswith(("not ok", "# WRONG"))]
        assert not bad, result.out[-4000:]
        assert len([line for line in lines if line.startswith("ok ")]) == int(plan[1])
        return result
    return run


@pytest.mark.parametrize("kernel", ["6.1", "newest"])
@pytest.mark.parametrize("arch", ["x86_64", ARM64])
def test_exact_cases(stress, arch, kernel):
    """Doorbells, shapes, budgets and modes, with the numbers derived."""
    stress("run=unit", arch=arch, kernel=kernel)


@pytest.mark.parametrize("arch, kernel, ops", [
    ("x86_64", "6.1", 1200000), ("x86_64", "newest", 300000),
    pytest.param("arm64", "6.1", 300000, marks=pytest.mark.arm64)])
def test_storm_of_threads(stress, arch, kernel, ops):
    """Threads and interrupts, while modes, limits, batches and ages change."""
    stress(f"run=storm threads=3 ops={ops} seed=1", arch=arch, kernel=kernel)


@pytest.mark.parametrize("seed", [2, 3])
def test_nothing_is_refused_that_fits(stress, seed):
    """One thread, undisturbed: each refusal is checked to the byte."""
    stress(f"run=storm threads=1 meddle=0 ops=200000 seed={seed}")
