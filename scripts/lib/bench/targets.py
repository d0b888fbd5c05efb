# SPDX-License-Identifier: GPL-2.0
"""The targets, beside what was measured."""

from . import table, traces, ttm
from .config import ARM64, NEWEST, OLDEST, X86_64, platform_label
from .wall import CPUS, LATENCY

WANTED = {OLDEST: 400, NEWEST: 550}     # instructions for a pair on a hit
IO = 1.03               # a 4k I/O against dma-direct
PAIR = 2                # a pair, and a list of 32, against dma-direct
# Doorbells of the GPU-like trace, page by page. Runs differ by some tens.
SINGLES, SINGLES_SPREAD = 187196, 1.001
TTM = 1.1               # bytes registered and in use for each that TTM has mapped
PER_LIST = 1.1          # doorbells for a buffer of that trace as a scatter list


class Missing(Exception):
    """The part that measures this was not run."""


def dig(results, *path):
    """results[a][b]...; raises Missing where there is nothing."""
    for key in path:
        try:
            results = results[key]
        except (KeyError, TypeError):
            raise Missing from None
    if results is None:
        raise Missing
    return results


def _pair(results, kernel):
    value = dig(results, "pairs", kernel, "cached", "page", "instructions")
    return f"{value:,.0f}", value <= WANTED[kernel]


def _pair_ratio(results, kernel):
    """A pair and a list of 32 beside dma-direct on the same kernel."""
    ratios = [dig(results, "pairs", kernel, "cached", case, "instructions") /
              dig(results, "pairs", kernel, "none", case, "instructions")
              for case in ("page", "list")]
    return "; ".join(f"{ratio:.2f}×" for ratio in ratios), max(ratios) <= PAIR


def _direct(results):
    cell = dig(results, "steady", "cached", "direct")
    value = 10000 * cell["doorbells"] / cell["ios"]
    return f"{value:,.0f}", value == 0


def _big(results):
    values = {}
    for case in ("cache", "ascending"):
        cell = dig(results, "steady", "cached", case)
        values[case] = 10000 * cell["doorbells"] / cell["ios"]
    return (f"{values['cache']:,.1f} (page cache), {values['ascending']:,.1f} (sweep)",
            max(values.values()) <= 100)


def _list(results):
    cached, strict = (dig(results, "steady", name, "list", "doorbells")
                      for name in ("cached", "strict"))
    return f"{cached}; {strict}", (cached, strict) == (1, 2)


def _io(results, kernel, case):
    cells = dig(results, "instructions", kernel)
    value = (dig(cells, "cached", case, "instructions") /
             dig(cells, "none", case, "instructions"))
    return f"{value:.3f}×", value <= IO


def _iops(results, case):
    cell = dig(results, "iops", case)
    return (f"{dig(cell, 'ratio'):.2f}× (half of the rounds: {cell['low']:.2f} to "
            f"{cell['high']:.2f})", cell["ratio"] >= 0.95)


def _sparse(results):
    values = [dig(results, "traces", "cached", "sparse", case, "live")
              for case in ("256k-up", "256k-random")]
    return f"{values[0]:,} ascending, {values[1]:,} at random", min(values) >= 60000


def _mix(results, form):
    """{policy: result} of the traces of FORM."""
    found = {policy: dig(results, "traces", "cached", "mix").get(traces.mix_name(form, policy))
             for policy in traces.POLICIES}
    found = {policy: cell for policy, cell in found.items() if cell}
    if not found:
        raise Missing
    return found


def _singles(results):
    found = _mix(results, "singles")
    failures = sum(cell["failures"] for cell in found.values())
    return (f"{failures:,} failures, doorbells " +
            ", ".join(f"{cell['doorbells']:,} ({policy})" for policy, cell in found.items()),
            not failures and max(cell["doorbells"] for cell in found.values()) <=
            SINGLES * SINGLES_SPREAD)


def _lists(results):
    found = _mix(results, "lists")
    failures = sum(cell["failures"] for cell in found.values())
    rates = {policy: cell["doorbells"] / cell["buffers"] for policy, cell in found.items()}
    return (f"{failures:,} failures, " +
            ", ".join(f"{rate:.2f} ({policy})" for policy, rate in rates.items()),
            not failures and max(rates.values()) <= PER_LIST)


def _ttm(results, kernel):
    """The worst host decides, and the worst way to map."""
    cells = [cell for hows in dig(results, "ttm", kernel).values() for cell in hows.values()]
    if not cells:
        raise Missing
    failures, worst = sum(cell["failures"] for cell in cells), max(cell["used"] for cell in cells)
    return f"{failures:,} failures, {worst:.2f}", not failures and worst <= TTM


def _flat(results):
    hits = dig(results, "traces", "cached", "hits")
    base = hits[str(traces.SIZES[0])]["instructions"]
    ratios = [hits[str(size)]["instructions"] / base for size in traces.SIZES]
    windows = [f"{hits[str(size)]['entries']:,}" for size in traces.SIZES]
    return (f"1 : {ratios[1]:.2f} : {ratios[2]:.2f} at {', '.join(windows)} windows",
            max(ratios) <= 1.5)


def _lock(results):
    cell = dig(results, "wall", "scale", "cached", f"cpus{CPUS}")
    return f"{dig(cell, 'slow_paths'):,.0f} operations took a lock", cell["slow_paths"] == 0


def _slab(results):
    slab = dig(results, "traces", "cached", "slab")
    value = dig(slab, "apple_dma_window")
    return f"{value} bytes", value <= 256


ROWS = (
    ("doorbells per 10,000 NVMe 4k I/Os, RAM within the budget", "0", _direct),
    ("the same, 4 GiB of RAM, buffers all over it", "≤ 100", _big),
    ("doorbells, 32-page list that misses (cached; strict)", "1; 2", _list),
    (f"instructions per pair on a hit, {OLDEST}", "≤ 400", lambda r: _pair(r, OLDEST)),
    (f"instructions per pair on a hit, {NEWEST}", "≤ 550", lambda r: _pair(r, NEWEST)),
    *((f"instructions, pair; list of 32, against none, {platform_label(kernel)}", f"≤ {PAIR}×",
       lambda r, kernel=kernel: _pair_ratio(r, kernel)) for kernel in ARM64 + X86_64),
    *((f"instructions per 4k I/O against none, {case.rpartition('-')[2].upper()}, "
       f"{platform_label(kernel)}", f"≤ {IO}×",
       lambda r, kernel=kernel, case=case: _io(r, kernel, case))
      for kernel in ARM64 + X86_64 for case in ("4k-qd32", "4k-qd1")),
    (f"IOPS at {LATENCY} µs against none, 4k QD1", "≥ 0.95×", lambda r: _iops(r, "4k-qd1")),
    (f"IOPS at {LATENCY} µs against none, 4k QD32", "≥ 0.95×", lambda r: _iops(r, "4k-qd32")),
    (f"IOPS at {LATENCY} µs against none, 128k", "≥ 0.95×", lambda r: _iops(r, "128k-qd32")),
    ("single pages live, one per 256 KiB of 16 GiB", "≥ 60,000", _sparse),
    ("GPU-like trace, pages one by one: doorbells", f"≤ {SINGLES:,} + 0.1 %, 0 failures",
     _singles),
    ("GPU-like trace, lists: doorbells per buffer", f"≤ {PER_LIST}, 0 failures", _lists),
    *((f"TTM, {ttm.MIB} MiB: registered for mapped, Linux {kernel}", f"≤ {TTM}, 0 failures",
       lambda r, kernel=kernel: _ttm(r, kernel)) for kernel in X86_64),
    ("a hit at 10, 1,000 and 60,000 windows", "within 1.5×", _flat),
    (f"hits on {CPUS} vCPUs", "no shared lock", _lock),
    ("kernel memory for a window", "≤ 256 bytes", _slab),
)


def judge(results):
    """[(what, target, measured, met)]; met is None where it was not measured."""
    found = []
    for what, target, measure in ROWS:
        try:
            measured, met = measure(results)
        except Missing:
            measured, met = "not measured", None
        found.append((what, target, measured, met))
    return found


def verdict(results):
    """(sentences for the targets that are missed, names of those that were not measured)."""
    judged = judge(results)
    return ([f"{what}: {measured}, and the target is {target}"
             for what, target, measured, met in judged if met is False],
            [what for what, _, _, met in judged if met is None])


def tables(results):
    """The table of all targets."""
    words = {True: "yes", False: "no", None: table.NOTHING}
    yield table.Table("Targets", ["", "target", "measured", "met"],
                      [[what, target, measured, words[met]]
                       for what, target, measured, met in judge(results)])
