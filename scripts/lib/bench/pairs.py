# SPDX-License-Identifier: GPL-2.0
"""Guest instructions for a map and its unmap."""

import statistics

from . import guest, table
from .config import CONFIGS, platform_label

TITLE = "Guest instructions per map+unmap pair (icount)"
N = 1000
LISTS = 200
ROUNDS = 7

# Each command runs once before it is measured, so that no measured round misses.
COMMANDS = {
    "page": f"pairs n={N}",
    "same": f"pairs pages=1 n={N}",
    "list": f"pairs entries=32 pages=128 order=8 n={LISTS}",
    "coherent": f"pairs coherent=1 n={LISTS}",
}
SCRIPT = "load\n" + "".join(
    f"bench {case}.warm {command} rounds=0\nbench {case} {command} rounds={ROUNDS} warm=0\n"
    for case, command in COMMANDS.items())


def per_operation(section):
    """(median, spread as a fraction of it) of the instructions of one pair."""
    n, empty = section.number("n"), section.number("empty")
    each = [(int(word) - empty) / n for word in section.values["rounds"]]
    if section.number("failed"):
        return None, None
    median = statistics.median(each)
    return median, (max(each) - min(each)) / median


def measure(_bench, config, name):
    """One guest; {case: {...}}."""
    sections = guest.run(config, name, SCRIPT, icount=True, cpus=1)
    found = {}
    for case in COMMANDS:
        section = sections[case]
        median, spread = per_operation(section)
        operations = section.number("n") * ROUNDS
        doorbells = guest.delta(sections, case, "doorbells")
        found[case] = {
            "instructions": median, "spread": spread, "failed": section.number("failed"),
            "doorbells_per_operation": None if doorbells is None else doorbells / operations,
            "slow_paths": guest.delta(sections, case, "slow_paths", "module"),
        }
    return found


def run(bench):
    """All configurations on all kernels; {kernel: {config: {case: ...}}}."""
    return bench.each_guest("map+unmap pairs", measure)


CASES = (("page", "one 4 KiB page (64 pages, 2 MiB apart, in turn)"),
         ("same", "one 4 KiB page (always the same)"),
         ("list", "a scatter list of 32 pages"),
         ("coherent", "4 KiB of coherent memory, allocated with GFP_ATOMIC and freed"))


def _of(cells, case, key):
    """What was measured; None if an earlier run that was kept did not have the case."""
    return cells[case][key] if case in cells else None


def tables(found):
    """One Table, all kernels beside each other."""
    rows = []
    for name, configs in found.items():
        base = configs.get("none")
        for config in CONFIGS:
            if config.name not in configs:
                continue
            row = [f"{platform_label(name)}: {config.label}"]
            for case, _ in CASES:
                median = _of(configs[config.name], case, "instructions")
                row += [table.number(median),
                        table.ratio(median, base and _of(base, case, "instructions"))]
            spread = max((_of(configs[config.name], case, "spread") or 0) for case, _ in CASES)
            row += [table.percent(spread)]
            row += [table.decimal(configs[config.name][case]["doorbells_per_operation"], 3)
                    for case in ("page", "list")]
            rows.append(row)
    yield table.Table(
        TITLE, ["", "64 pages", "×", "same page", "×", "32-entry list", "×", "coherent page", "×",
                "spread", "doorbells per page", "per list"], rows,
        "Interrupts off (not for coherent pages), the empty loop subtracted, median of "
        f"{ROUNDS} rounds of {N} (lists and coherent pages: {LISTS}); × against no IOMMU on the "
        "same kernel. "
        "Doorbells are counted by the host. A round before them, not counted, does what misses.")
