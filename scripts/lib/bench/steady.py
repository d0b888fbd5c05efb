# SPDX-License-Identifier: GPL-2.0
"""Doorbells in the steady state, counted by the host."""

from . import guest, nvme, table
from .config import OLDEST

IOS = 10000
LONG = 200000           # 800 MiB of buffers
SMALL, BIG = "1G", "4G"
DEVICES = (nvme.DEVICE, guest.EDU)
NVME, EDU = range(len(DEVICES))

LIST = "pairs entries=32 pages=32 order=9 n=1 rounds=1 warm=0"

# All memory that user space can have is a DMA buffer once, as in a guest that has
# been up for a while.
SMALL_SCRIPT = nvme.SHELL + f"""
load
await_disk
bench list {LIST}
/root/sweep $disk 640 163840 up
job 4k 32 --number_ios={IOS}
io direct 4k 32 --number_ios={IOS}
"""

# Readahead fills the page cache until the kernel has reclaimed memory for a while.
# Then single blocks replace others.
BIG_SCRIPT = nvme.SHELL + r"""
await_disk
dd if=$disk of=/dev/null bs=1M count=7168 2>/dev/null
buffered() { io "$1" 4k 1 --direct=0 --fadvise_hint=random --invalidate=0 --number_ios="$2"; }
buffered warm $((ios / 4))
buffered cache $ios
echo 1 >/proc/sys/vm/drop_caches
sweep() {
	at "$1.before"
	counts
	/root/sweep $disk 3072 "$3" "$2"
	at "$1"
	echo "ios $3"
	counts
}
sweep ascending up $ios
sweep random random 20000
"""
CASES = {
    "direct": f"{SMALL} guest, direct 4k reads, QD32",
    "cache": f"{BIG} guest, 4k reads at random through a full page cache",
    "ascending": f"{BIG} guest, direct 4k reads into 3 GiB, page after page",
    "random": f"{BIG} guest, direct 4k reads into random pages of 3 GiB",
}


def _case(sections, name):
    ios = sections[name].number("ios")
    return {"ios": ios,
            "doorbells": guest.delta(sections, name, "doorbells", index=NVME),
            "entries": guest.delta(sections, name, "map_entries", index=NVME) +
            guest.delta(sections, name, "unmap_entries", index=NVME),
            "slow_paths": guest.delta(sections, name, "slow_paths", "module", NVME),
            "live": sections[name].host("live", NVME),
            "live_bytes": sections[name].host("live_bytes", NVME)}


def measure(bench, config, name):
    """Two guests; {case: ...}."""
    push = [f"{guest.compiled('sweep', '-static')}:/root/sweep"]
    small = guest.run(config, name, SMALL_SCRIPT, mem=SMALL, push=push, devices=DEVICES,
                      qemu=[nvme.BACKEND])
    found = {"direct": _case(small, "direct"),
             "list": {"doorbells": guest.delta(small, "list", "doorbells", index=EDU),
                      "failed": small["list"].number("failed")}}
    # If every I/O rings the doorbell, a few are enough.
    ios = LONG if config.name == "cached" and not bench.quick else 2 * IOS
    big = guest.run(config, name, f"ios={ios}\n{BIG_SCRIPT}", mem=BIG, push=push,
                    devices=[nvme.DEVICE], qemu=[nvme.BACKEND])
    for case in CASES:
        if case != "direct":
            found[case] = _case(big, case)
    return found


def run(bench):
    """{config: ...} of the configurations in which a map may ring a doorbell."""
    return bench.each_guest("doorbells", measure, [each for each in bench.configs if each.windows],
                            [OLDEST])[OLDEST]


def tables(found):
    """The doorbells of each case."""
    rows = []
    for case, title in CASES.items():
        for name, each in found.items():
            cell = each[case]
            rows.append([f"{title}: {name}",
                         table.decimal(10000 * cell["doorbells"] / cell["ios"], 0),
                         table.decimal(10000 * cell["entries"] / cell["ios"], 0),
                         table.number(cell["slow_paths"]), table.number(cell["live"]),
                         table.number(cell["live_bytes"] >> 20)])
    yield table.Table("Doorbells per 10,000 NVMe 4k I/Os, steady state",
                      ["", "doorbells", "host entries", "slow paths", "windows", "MiB"], rows,
                      f"Linux {OLDEST}. Limits: 1428 MiB, 65,536 entries, so that a guest of "
                      f"{BIG} does not fit. Into random pages of twice the budget no engine "
                      "can be without misses.")
    yield table.Table("Doorbells for a scatter list of 32 pages that misses, with its unmap",
                      ["", "doorbells"],
                      [[name, table.number(each["list"]["doorbells"])]
                       for name, each in found.items()],
                      "The pages are 2 MiB apart, and nothing is registered before.")
