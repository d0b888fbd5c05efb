# SPDX-License-Identifier: GPL-2.0
"""Chunks of memory as drivers of GPUs map them: host calls, bytes registered, alignment."""

import json
import itertools
import os
import re
import tempfile

from testbed import cache, call, host, kernel, module

from . import guest, table
from .config import CONFIGS, OLDEST

SOURCE = os.path.join(cache.SCRIPTS, "tests", "engine")
MODULE = "doorbell_us=0"    # doorbells are counted, so how long they take must not matter
MEMORY = "2G"               # more than the budget
MODES = ("cached", "strict")
POLICIES = host.KEYS["iova"][1]
GROUPS = (POLICIES[:4], POLICIES[4:])       # the devices of a guest

# name: (case of the test driver, KiB of a chunk, MiB in all).
CASES = {
    "chunks of 4 KiB": ("chunks", 4, 16),
    "chunks of 64 KiB": ("chunks", 64, 64),
    "chunks of 2 MiB": ("chunks", 2048, 128),
    "chunks of 4 MiB": ("chunks", 4096, 64),
    "list of 4 KiB": ("pages", 4, 16),
    "list of 64 KiB": ("pages", 64, 64),
    "list of 2 MiB": ("pages", 2048, 128),
    "table of 2 MiB": ("table", 2048, 128),
}

# On a host that has only small holes left, these cannot be had.
SMALL_HOLES = "fragmented"
LARGE = ("chunks of 2 MiB", "chunks of 4 MiB", "table of 2 MiB")

# Devices are numbered as the testbed has them.
TOOLS = r"""
set -eu
devices=() companions=()
for each in $(grep -lx 0x00f5 /sys/bus/pci/devices/*/device | sort); do
	each=${each%/device}
	devices+=("${each##*/}")
done
for device in "${devices[@]}"; do
	for each in /sys/bus/pci/drivers/apple_dma/0*; do
		case $(readlink "$each/apple_dma/managed") in */"$device") companions+=("$each/apple_dma") ;; esac
	done
done
engine() {	# device, case of the test driver and its numbers
	local number=$1 status=0
	shift
	dmesg -C
	echo "$*" >"/sys/bus/pci/devices/${devices[number]}/run" || status=1
	dmesg | sed -n 's/.*apple_dma_engine: //p'
	[ $status = 0 ] || dmesg >&2
	return $status
}
totals() {	# device
	(cd "${companions[$1]}" && grep -s '' map_failures bad_unmaps live_mappings aligned \
		unaligned align_tries failures_not_ram failures_bytes failures_host broken) |
		tr ':' '='
}
# Nothing is kept from the case before.
fresh() {	# device, mode
	echo "$2" >"${companions[$1]}/mode"
	echo 1 >"${companions[$1]}/flush"
}
measured() {	# device, mode, title, case of the test driver and its numbers
	local status=ok failures
	read -r failures <"${companions[$1]}/map_failures"
	echo "@@ begin $1 $2 $3"
	fresh "$1" "$2"
	host-stats
	engine "$1" "${@:4}" || status="not ok"
	host-stats
	engine "$1" drop 0 0 || status="not ok"
	host-stats
	totals "$1"
	echo "failed_maps=$(($(cat "${companions[$1]}/map_failures") - failures))"
	echo "@@ end $status $1 $2 $3"
}
"""


def script(policies, modes=MODES, cases=None):
    """The guest's script, for a dma-engine of each of POLICIES."""
    lines = [f"measured {number} {mode} '{title}' {case} {kib} {mib}"
             for number in range(len(policies)) for mode in modes
             for title, (case, kib, mib) in (cases or CASES).items()]
    return TOOLS + "insmod /root/engine.ko\n" + "\n".join(lines) + "\n"


def options(policies):
    """The testbed's options for it."""
    return {"host": [f"{number}:iova={policy}" for number, policy in enumerate(policies)],
            "module": MODULE, "mem": MEMORY, "append": "init_on_alloc=0"}


def parse(text, policies):
    """{policy: {mode: {title: {name: number}}}} of what the guest printed."""
    found = {}
    sections = re.findall(r"^@@ begin (\d+) (\w+) ([^\n]*)$(.*?)^@@ end ((?:not )?ok) \1 \2 \3$",
                          text, re.M | re.S)
    for number, mode, title, body, status in sections:
        before, mapped, after = (json.loads(line)[int(number)] for line in body.splitlines()
                                 if line.startswith("["))
        cell = {name: int(value) for name, value in re.findall(r"^(\w+)=(\d+)$", body, re.M)}
        cell.update({
            "ok": status == "ok",
            "doorbells": after["doorbells"] - before["doorbells"],
            "map_doorbells": mapped["doorbells"] - before["doorbells"],
            "entries": mapped["live"], "registered": mapped["live_bytes"],
            "left": after["live_bytes"], "faults": after["faults"],
            "failed_entries": after["failed_entries"] - before["failed_entries"],
        })
        found.setdefault(policies[int(number)], {}).setdefault(mode, {})[title] = cell
    return found


def measure(_bench, _config, name):
    """Each policy in both modes, as parse()."""
    arch, kernel_name = guest.platform(name)
    built, found = module.build(kernel.find(kernel_name, arch), arch, SOURCE), {}
    for policies in GROUPS:
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
            file.write(script(policies))
            file.flush()
            done = guest.CALLS.run(call.words(
                ["bash", "/root/chunks.sh"], arch=arch.name, kernel=kernel_name, timeout=1800,
                dext_device=["dma-engine"] * len(policies), **options(policies),
                push=[f"{built}:/root/engine.ko", f"{file.name}:/root/chunks.sh"]))
        made = parse(done.stdout, policies)
        wrong = [f"{policy} {mode} {title}" for policy in policies for mode in MODES
                 for title in CASES if not (policy == SMALL_HOLES and title in LARGE) and
                 not made.get(policy, {}).get(mode, {}).get(title, {}).get("ok")]
        if done.returncode or wrong:
            raise guest.BenchError(f"chunks on {name}: status {done.returncode}, not mapped: "
                                   f"{', '.join(wrong) or 'none'}\n"
                                   f"{(done.stdout + done.stderr)[-3000:]}")
        found.update(made)
    return found


def run(bench):
    """{policy: ...}, measured on the oldest kernel."""
    return bench.each_guest("chunks", measure, [each for each in CONFIGS if each.name == "cached"],
                            [OLDEST])[OLDEST]


def tables(found):
    """One Table for each mode."""
    for cells, mode in itertools.product(found.values(), MODES):
        rows = []
        for policy, title in itertools.product(cells, CASES):
            cell = cells[policy][mode][title]
            if not cell["ok"]:
                rows.append([f"{policy}: {title}", *["refused"] * 4])
                continue
            rows.append([f"{policy}: {title}",
                         table.decimal(cell["doorbells"] / (cell["bytes"] >> 20)),
                         table.decimal(cell["registered"] / cell["bytes"]),
                         table.number(cell["entries"]),
                         f"{cell['aligned_chunks']:,} of {cell['chunks']:,}"])
        yield table.Table(
            f"Chunks as drivers of GPUs map them, {mode}",
            ["", "doorbells per MiB", "registered for mapped", "host entries", "aligned"], rows,
            f"Guest of {MEMORY}, Linux {OLDEST}; nothing is registered before. Doorbells are "
            "those of map and unmap. Aligned: chunks that are contiguous for the device, at an "
            "address aligned to their size. A list has an entry for each page of 4 KiB, a table "
            "one for all that is adjacent.")
