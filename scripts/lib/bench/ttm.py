# SPDX-License-Identifier: GPL-2.0
"""Buffers of the kernel's TTM, up to the budget: what they cost, and how they are aligned."""

import os
import re
import tempfile

from testbed import cache, call, kernel, module

from . import guest, table
from .config import CONFIGS, NEWEST, platform, platform_label

SOURCE = os.path.join(cache.SCRIPTS, "tests", "ttm")
MEMORY = "5G"
MIB = 1342              # 94 % of the default max_bytes
WAVES = 4
CHECKED = 300           # segments that the device copies

POLICIES = ("high", "random", "aligned", "first-fit", "sequential", "fragmented")
HOWS = {"list": "one list for a buffer", "pages": "a block at a time",
        "alloc": "dma_alloc_attrs()"}

FUNCTIONS = r"""
set -eu
. /usr/lib/testbed/lib.sh
modprobe ttm
device=$(grep -lx 0x00f5 /sys/bus/pci/devices/*/device)
device=${device%/*}
step() {	# a step of the test driver and its numbers
	dmesg -C
	echo "$*" >"$device/run" || { dmesg >&2; fail "$*"; }
	dmesg | sed -n 's/.*apple_dma_ttm: \([a-z0-9_]*=\)/\1/p'
}
# Bytes that TTM keeps in its pools.
pooled() { awk '$1 == "total" { print 4096 * $3 }' /sys/kernel/debug/ttm/page_pool; }
counts() {
	echo "doorbells=$(host doorbells)"
	echo "registered=$(host live_bytes)"
	echo "idle=$(counter idle_bytes)"
	echo "pooled=$(pooled)"
	echo "live_mappings=$(counter live_mappings)"
	echo "map_failures=$(counter map_failures)"
}
# play NAME PARAMETERS MIB WAVES CHECKED [FRAGMENT...]: fill up, free half, and so on.
play() {
	local wave
	insmod /root/ttm.ko $2
	echo "@ $1 begin"
	[ $# -lt 6 ] || step fragment "${@:6}"
	counts
	for wave in $(seq "$4"); do
		[ "$wave" = 1 ] || step free 50
		echo "@ $1 $wave"
		step fill "$3"
		step tell
		counts
	done
	step check "$5"
	echo "@ $1 freed"
	step free 100
	counts
	echo "@ $1 shrunk"
	await 'echo 2 >/proc/sys/vm/drop_caches; [ "$(pooled)" = 0 ]'
	counts
	rmmod apple_dma_ttm
	clean || fail "$1: something is left"
	echo "@ end"
}
"""


def script(cases):
    """The guest's script for CASES: name, and what play() takes."""
    return FUNCTIONS + "".join(f"play {name} '{params}' {rest}\n" for name, params, rest in cases)


def parse(text):
    """{case: {"begin": ..., "1": ..., ...}} of what the script printed."""
    found = {}
    for name, part, lines in re.findall(r"^@ (\S+) (\w+)$(.*?)(?=^@ )", text, re.M | re.S):
        values = re.findall(r"^(\w+)=(\d+)$", lines, re.M)
        found.setdefault(name, {})[part] = {key: int(value) for key, value in values}
    return found


def summary(parts):
    """What one case cost, from parse()."""
    waves = [parts[key] for key in sorted(parts) if key.isdigit()]
    last = waves[-1]
    # What TTM keeps for later is mapped only if it comes from dma_alloc_attrs().
    keeps = parts["freed"]["live_mappings"] > 0

    def per_mapped(wave, without):
        return (wave["registered"] - without) / (wave["bytes"] + (wave["pooled"] if keeps else 0))

    return {
        "buffers": last["made"], "segments": last["segments"],
        "failures": sum(wave["failures"] for wave in waves),
        "least": min(wave["bytes"] for wave in waves),
        "doorbells": last["doorbells"] - parts["begin"]["doorbells"],
        "registered": max(per_mapped(wave, 0) for wave in waves),
        "used": max(per_mapped(wave, wave["idle"]) for wave in waves),
        "exact": max(wave["exact_bytes"] / wave["bytes"] for wave in waves),
        **{f"{what}_{size}": sum(wave[f"{what}_{size}"] for wave in waves)
           for what in ("blocks", "aligned") for size in ("64k", "2m")},
    }


def play(name, policy, cases, mem=MEMORY, params="doorbell_us=0", timeout=900):
    """Run CASES in a guest with the kernel NAME; as parse()."""
    arch, kernel_name = platform(name)
    built = module.build(kernel.find(kernel_name, arch), arch, SOURCE)
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script(cases))
        file.flush()
        done = guest.CALLS.run(call.words(
            ["bash", "/root/ttm.sh"], arch=arch.name, kernel=kernel_name, mem=mem,
            module=params or None, dext_device=["dma-engine"], host=[f"iova={policy}"],
            no_wait=True, timeout=timeout,
            push=[f"{built}:/root/ttm.ko", f"{file.name}:/root/ttm.sh"]))
    if done.returncode:
        raise guest.BenchError(f"ttm on {name}, {policy}: the guest ended with "
                               f"{done.returncode}:\n{(done.stdout + done.stderr)[-3000:]}")
    return parse(done.stdout)


def measure(bench, _config, name):
    """A guest for each policy; {policy: {how: summary()}}."""
    found = {}
    for policy in POLICIES[:2] if bench.quick else POLICIES:
        cases = [(how, f"how={how}", f"{MIB} {WAVES} {CHECKED}") for how in HOWS]
        found[policy] = {how: summary(parts) for how, parts in
                         play(name, policy, cases, params="doorbell_us=0").items()}
    return found


def run(bench):
    """On x86_64; {kernel: {policy: {how: ...}}}."""
    kernels = [name for name in bench.kernels if "arm64" not in name]
    if bench.quick:
        kernels = [name for name in kernels if name == NEWEST]
    return {name: configs["cached"] for name, configs in bench.each_guest(
        "TTM", measure, [each for each in CONFIGS if each.name == "cached"], kernels).items()
        if configs}


def _of(cell, size):
    return f"{cell[f'aligned_{size}']:,} of {cell[f'blocks_{size}']:,}"


def tables(found):
    """One Table for each kernel."""
    for name, policies in found.items():
        yield table.Table(
            f"Buffers of TTM, {platform_label(name)}",
            ["", "buffers", "segments", "failures", "doorbells", "for a buffer", "registered",
             "in use", "aligned 64 KiB", "aligned 2 MiB"],
            [[f"{how}, {policy}", table.number(cell["buffers"]), table.number(cell["segments"]),
              table.number(cell["failures"]), table.number(cell["doorbells"]),
              table.decimal(cell["doorbells"] / cell["buffers"]),
              table.decimal(cell["registered"]), table.decimal(cell["used"]),
              _of(cell, "64k"), _of(cell, "2m")]
             for policy, hows in policies.items() for how, cell in hows.items()],
            f"{MIB} MiB, 94 % of the budget, in {WAVES} waves; half of the buffers end in "
            "between. Mapped as " + ", ".join(f"{key}: {text}" for key, text in HOWS.items()) +
            ". Registered bytes, and those in use, for each byte mapped, at the worst wave. "
            "Aligned: naturally aligned blocks of memory with such an address for the device.")
