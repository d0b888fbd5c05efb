# SPDX-License-Identifier: GPL-2.0
"""Traces in a guest of 16 GiB: many small mappings, and a GPU's.

The trace maps RAM that it does not own. Nothing is transferred, so no byte of it
is touched.
"""

import itertools

from . import guest, table
from .config import OLDEST

MEMORY = "16G"
LIMIT_BYTES = 1428 << 20
LIMIT_ENTRIES = 65536
SIZES = (10, 1000, 60000)
WAVES = 4

# The trace's buffers as mappings of single pages, or each as one scatter list; where the
# host places what is registered.
FORMS = {"singles": "", "lists": " lists=1"}
POLICIES = ("high", "random")

# (section, what is mapped): how many mappings are possible before the first failure.
SPARSE = {
    "256k-up": ("sparse step=256K", "1 page per 256 KiB, ascending"),
    "256k-random": ("sparse step=256K order=random", "1 page per 256 KiB, random order"),
    "2m-up": ("sparse step=2M", "1 page per 2 MiB, ascending"),
    "2m-random": ("sparse step=2M order=random", "1 page per 2 MiB, random order"),
}
# How to get so many windows: pages that are far apart share none.
SPREAD = {10: "step=64M max=10", 1000: "step=16M max=1000",
          60000: "step=256K max=60000 order=random"}


FORGET = ('bench forget release\n'
          'for each in $apple; do [ ! -w "$each/flush" ] || echo 1 >"$each/flush"; done\n')


def mix_script(form):
    """The script of a guest that runs the trace."""
    text = "load\n"
    for wave in range(WAVES):
        text += f"bench grow{wave} grow{FORMS[form]}\nbench shrink{wave} shrink percent=50\n"
    return text + f"bench end shrink percent=100\n{FORGET}"


def script():
    """The guest's script."""
    # The trace comes first: the host's peaks count all that was ever mapped.
    text = mix_script("singles")
    for size in SIZES:
        text += (f"bench map{size} sparse {SPREAD[size]}\n"
                 f"bench hits{size} hits n=2000 rounds=5 pick=500\n{FORGET}")
    for name, (command, _) in SPARSE.items():
        text += f"bench {name} {command}\n{FORGET}"
    text += ("at slab\nfor each in /sys/kernel/slab/apple_dma*; do "
             '[ ! -e "$each/object_size" ] || echo "slab.${each##*/} $(cat "$each/object_size") '
             '$(cat "$each/objs_per_slab") $(cat "$each/order")"; done\n')
    return text


def _sparse(sections, name):
    section = sections[name]
    live = section.number("live")
    bytes_now = section.host("live_bytes")
    return {
        "slots": section.number("slots"), "live": live, "failed": section.number("failed"),
        "entries": section.host("live"), "bytes": bytes_now,
        "registered_per_mapped": bytes_now / (live * 4096) if live else None,
        "doorbells": guest.delta(sections, name, "doorbells"),
        "evictions": guest.delta(sections, name, "evictions", "module"),
    }


def _mix(sections):
    waves = [sections[f"grow{wave}"] for wave in range(WAVES)]
    last, end = waves[-1], sections["end"]

    def rose(key):
        return end.host(key) - sections["grow0.before"].host(key)

    return {
        "buffers": last.number("buffers"),
        "maps": last.number("maps"), "peak": last.number("peak"),
        "peak_bytes": last.number("peak_bytes"),
        "failures": last.number("failures"),
        "first_failure": last.number("first_failure"),
        "first_failure_bytes": last.number("first_failure_bytes"),
        "entries": [wave.host("live") for wave in waves],
        "bytes": [wave.host("live_bytes") for wave in waves],
        "peak_entries": end.host("peak"), "peak_registered": end.host("peak_bytes"),
        "doorbells": rose("doorbells"),
        "map_entries": rose("map_entries"), "unmap_entries": rose("unmap_entries"),
        "left": end.host("live"),
    }


def mix_name(form, policy):
    """The key of a trace's results."""
    return f"{form}-{policy}"


def measure(bench, config, name):
    """A guest for all, and for cached one for each further trace, which take minutes.

    {"sparse": ..., "hits": ..., "mix": {trace: ...}, "slab": ...}.
    """
    sections = guest.run(config, name, script(), icount=True, cpus=1, mem=MEMORY)
    mix = {mix_name("singles", POLICIES[0]): _mix(sections)}
    if config.name == "cached" and not bench.quick:
        for form, policy in itertools.product(FORMS, POLICIES):
            if mix_name(form, policy) not in mix:
                mix[mix_name(form, policy)] = _mix(guest.run(
                    config, name, mix_script(form), icount=True, cpus=1, mem=MEMORY,
                    host=[f"iova={policy}"]))
    hits = {}
    for size in SIZES:
        section = sections[f"hits{size}"]
        n, empty = section.number("n"), section.number("empty")
        rounds = sorted((int(word) - empty) / n for word in section.values["rounds"])
        hits[str(size)] = {"entries": sections[f"map{size}"].host("live"),
                      "instructions": rounds[len(rounds) // 2],
                      "failed": section.number("failed"),
                      "doorbells": guest.delta(sections, f"hits{size}", "doorbells"),
                      "slow_paths": guest.delta(sections, f"hits{size}", "slow_paths", "module")}
    slab = {key[5:]: int(words[0]) for key, words in sections["slab"].values.items()}
    return {"hits": hits, "slab": slab, "mix": mix,
            "sparse": {each: _sparse(sections, each) for each in SPARSE}}


def run(bench):
    """{config: ...} of the configurations in which a map may ring a doorbell."""
    return bench.each_guest("traces", measure, [each for each in bench.configs if each.windows],
                            [OLDEST])[OLDEST]


def tables(found):
    """One Table for each trace."""
    limits = f"Limits: {LIMIT_BYTES >> 20} MiB, {LIMIT_ENTRIES:,} entries; guest of {MEMORY}. "
    rows = []
    for name, each in found.items():
        for case, (_, title) in SPARSE.items():
            cell = each["sparse"][case]
            rows.append([f"{name}: {title}", table.number(cell["slots"]),
                         table.number(cell["live"]), "yes" if cell["failed"] else "no",
                         table.number(cell["entries"]), table.decimal(cell["bytes"] / (1 << 20), 0),
                         table.decimal(cell["registered_per_mapped"], 1),
                         table.number(cell["doorbells"])])
    yield table.Table("Sparse single pages", ["", "pages", "live", "a map failed", "host entries",
                                              "MiB registered", "bytes per byte mapped",
                                              "doorbells"], rows,
                      limits + "Until the first failure, or all of the guest's RAM.")
    rows = []
    for name, each in found.items():
        for trace, cell in each["mix"].items():
            form, _, policy = trace.partition("-")
            rows.append([f"{name}: {form}, {policy}", table.number(cell["buffers"]),
                         table.number(cell["maps"]), table.number(cell["failures"]),
                         table.number(cell["peak"]), table.number(cell["peak_bytes"] >> 20),
                         table.number(cell["peak_entries"]),
                         table.number(cell["peak_registered"] >> 20),
                         table.number(cell["doorbells"]),
                         table.decimal(cell["doorbells"] / cell["buffers"]),
                         table.decimal((cell["map_entries"] + cell["unmap_entries"]) /
                                       cell["buffers"])])
    yield table.Table("GPU-like trace", ["", "buffers", "maps", "failures", "most live",
                                         "MiB live", "peak host entries", "peak MiB registered",
                                         "doorbells", "doorbells per buffer",
                                         "entries per buffer"], rows,
                      limits + f"{WAVES} waves; a trace stops at 1,000 failures. Each buffer is "
                      "a map for each page of a cluster, or one scatter list. Where the host "
                      f"places what is registered: {', '.join(POLICIES)}.")
    rows = []
    for name, each in found.items():
        base = each["hits"][str(SIZES[0])]["instructions"]
        row = [name]
        for size in SIZES:
            cell = each["hits"][str(size)]
            row += [table.number(cell["entries"]), table.number(cell["instructions"]),
                    table.ratio(cell["instructions"], base)]
        rows.append(row)
    head = [""]
    for size in SIZES:
        head += [f"windows of {size:,}", "instructions", "×"]
    yield table.Table("Instructions per pair on a hit, by live windows (icount)", head, rows,
                      "Pages that are mapped already, picked at random, mapped once more and "
                      "unmapped. Windows: entries that the host had.")
    slabs = {name: size for each in found.values() for name, size in each["slab"].items()}
    yield table.Table("Kernel memory", ["slab", "bytes in an object"],
                      [[name, table.number(size)] for name, size in sorted(slabs.items())],
                      "From /sys/kernel/slab; one object for each window.")
