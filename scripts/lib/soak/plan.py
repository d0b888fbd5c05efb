# SPDX-License-Identifier: GPL-2.0
"""What happens to a guest, and in which order. All of it comes from a seed."""

import random
from dataclasses import dataclass, field

# Answers that make a companion broken, to any command. They are for the test driver,
# which maps and unmaps a few pages.
BREAKING = ("wrong-id", "long", "misaligned", "zero", "wrap", "unwritten", "half", "batch-fail",
            "bad-status", "bad-batch-status", "invalid-batch", "no-command-status", "unmap-fail",
            "no-answer", "late", "gone", "short-stays")

# Harmless answers and refusals, under load.
HARMLESS = ("rewrite", "fickle")
REFUSING = ("refuse-all", "short")

# Cases of the test driver that move data and compare.
CASES = ("single", "sg", "coherent_atomic", "alloc_pages", "hardirq", "softirq", "threads",
         "sg_count")

SLOTS = 16              # of a MiB, behind the part of the disk that is never written

# How often each event comes, on average.
WEIGHTS = {"rebind": 5, "reload": 3, "mode": 6, "knobs": 4, "flush": 6, "odd": 5, "refuse": 5,
           "slow": 2, "break": 6, "breakdisk": 2, "companion": 3, "device": 3, "pull": 3,
           "pressure": 3, "offline": 2, "balloon": 3, "starve": 6, "edu": 6, "suspend": 2,
           "reboot": 1, "reset": 1, "kexec": 1, "panic": 1, "crash": 1, "write": 8, "read": 8,
           "golden": 2, "idle": 2, "leak": 2}

# Events that are counted as faults; those of KINDS by their first argument, too.
FAULTS = ("odd", "refuse", "slow", "break", "breakdisk", "pull", "pressure", "balloon", "starve",
          "reset", "panic", "crash", "leak")
KINDS = ("odd", "refuse", "break", "pull")

# Events that start another kernel, and those after which registrations are left.
BOOTS = {"reboot": 1, "reset": 1, "kexec": 1, "panic": 1, "crash": 2}
DISORDERLY = ("reset", "panic", "crash")

EVENTS_PER_ROUND = 400  # more than a round has time for

# Kernels whose virtio ports work after a sleep. Linux 7.3 asks the host whether the ports are
# open before the host has a buffer for the answer. The answer is lost, and a write to a port
# waits for ever, with or without the module.
WAKING = ("6.1", "debug", "kcsan")


@dataclass
class Round:
    """One run of the testbed: its machine, and what happens to it."""

    number: int
    kernel: str
    mem: str
    cpus: int
    balloon: bool
    crash: bool         # whether memory is reserved for a crash kernel
    module: str
    host: list
    events: list = field(default_factory=list)

    @property
    def starves(self):
        """Whether the kernel has failslab."""
        return self.kernel == "debug"

    @property
    def reboots(self):
        """How many kernels come after the first."""
        return sum(BOOTS.get(event[0], 0) for event in self.events)

    @property
    def append(self):
        """Arguments of the kernel. Without memory dma-debug prints a report, so it is off."""
        return " ".join(["crashkernel=320M"] * self.crash + ["dma_debug=off"] * self.starves)


def _module(rng):
    """Parameters of the module."""
    words = [f"mode={rng.choice(('cached', 'cached', 'strict'))}"]
    if rng.random() < 0.4:
        words.append(f"batch_max={rng.choice((1, 5, 64))}")
    if rng.random() < 0.4:
        words.append(f"idle_ms={rng.choice((0, 200, 5000))}")
    if rng.random() < 0.3:
        words.append(f"max_bytes={rng.choice((16, 64, 256)) << 20}")
    if rng.random() < 0.3:
        words.append(f"max_entries={rng.choice((200, 2000))}")
    return " ".join(words)


def _host(rng):
    """Options of the emulated hosts."""
    found = [f"iova={rng.choice(('high', 'random', 'fragmented', 'reuse', 'aligned', 'first-fit', 'sequential'))}",
             f"seed={rng.randrange(1, 1 << 16)}", f"layout={rng.choice(('rfc', 'wide'))}"]
    if rng.random() < 0.3:
        found.append(f"max-entries={rng.choice((300, 4000))}")
    if rng.random() < 0.2:
        found.append(f"batch-entries={rng.choice((1, 7, 64))}")
    return found


def _arguments(rng, event, balloon):
    """The arguments of an event."""
    if event in ("write", "read"):
        return [rng.randrange(SLOTS)]
    if event == "reload":
        return [_module(rng)]
    if event == "odd":
        return [rng.choice(HARMLESS), rng.randrange(1, 4)]
    if event == "refuse":
        return [rng.choice(REFUSING), rng.randrange(1, 5)]
    if event == "slow":
        return [rng.choice((500, 2000, 10000)), rng.randrange(1, 4)]
    if event == "break":
        return [rng.choice(BREAKING), rng.randrange(3)]
    if event == "edu":
        return [rng.choice(CASES), rng.choice((8, 32))]
    if event == "knobs":
        return [rng.choice((1, 3, 16, 64)), rng.choice((0, 100, 60000))]
    if event == "balloon":
        return [rng.randrange(200, 400)] if balloon else []
    if event == "idle":
        return [rng.randrange(1, 3)]
    if event in ("companion", "device"):
        return [rng.choice(("remove", "eject"))]
    if event == "pull":
        return [rng.choice(("device", "companion"))]
    if event == "offline":
        return [rng.randrange(1, 4)]
    if event == "starve":
        return [rng.choice((5, 30)), rng.randrange(1, 4)]
    return []


def _possible(made, event):
    """Whether the machine of a round has what the EVENT needs."""
    return getattr(made, {"balloon": "balloon", "crash": "crash",
                          "starve": "starves"}.get(event, "kernel"))


def make(seed, number, events=EVENTS_PER_ROUND, kernel=None):
    """Round NUMBER of a soak with this SEED."""
    rng = random.Random(f"{seed}/{number}")
    balloon = rng.random() < 0.3
    mem = rng.choice(("512M", "768M", "1G"))
    made = Round(number, rng.choice(("6.1", "6.1", "newest")), mem, rng.choice((2, 3, 4)), balloon,
                 mem == "1G" and not balloon, _module(rng), _host(rng))
    made.kernel = kernel or made.kernel
    names = [name for name in WEIGHTS if _possible(made, name)]
    for event in rng.choices(names, [WEIGHTS[name] for name in names], k=events):
        made.events.append([event, *map(str, _arguments(rng, event, balloon))])
    # Even a short round has a reboot of some kind and a breach.
    made.events[4:4] = [["write", "0"], [rng.choice([*BOOTS][:4 + made.crash])],
                        ["break", rng.choice(BREAKING), "1"]]
    if made.kernel not in WAKING:
        made.events = [event for event in made.events if event[0] != "suspend"]
    return made


def text(made):
    """The events as the guest reads them, one in a line."""
    return "".join(" ".join(event) + "\n" for event in made.events)
