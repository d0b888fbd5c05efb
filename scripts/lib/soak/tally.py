# SPDX-License-Identifier: GPL-2.0
"""What a soak has done, from the lines of its guests that begin with @."""

import hashlib
from collections import Counter

from . import plan


def digest(data):
    """As the guest's sha256sum prints it."""
    return hashlib.sha256(data).hexdigest()


class Tally:
    """Counts, and a ledger of what is on the disk of the round."""

    def __init__(self):
        self.events = Counter()
        self.faults = Counter()
        self.verified = 0               # bytes that were read and compared
        self.boots = 0                  # after the first of a round
        self.interrupted = 0            # loads whose disk was removed on purpose
        self.left = 0                   # registrations of broken hosts and reset guests
        self.offline = 0                # blocks of memory that went offline, and came back
        self.refused = 0                # blocks that the kernel kept online
        self.rounds = 0
        self.losses, self.leaks, self.problems = [], [], []
        self.slots = {}
        self.golden = None
        self.over = False               # the guest has come to the end of a round
        self._left_by = ("", [0, 0])

    def begin(self, golden):
        """A round starts, with a new disk."""
        self.rounds += 1
        self.slots = {}
        self.golden = golden
        self.over = False

    def feed(self, line):
        """Take a line of a guest; lines without @ are ignored."""
        words = line.split()
        if len(words) < 2 or words[0] != "@":
            return
        take = getattr(self, f"_{words[1].replace('-', '_')}", None)
        if take is None:
            self.problems.append(f"the guest said: {line.strip()}")
            return
        try:
            take(words[2:])
        except (IndexError, ValueError):
            self.problems.append(f"the guest said half a line: {line.strip()}")

    def _boot(self, words):
        """A boot, and what is left on each host; after an orderly reboot nothing more is left."""
        number, left = int(words[0]), [int(word) for word in words[1:3]]
        self.over = False
        if number == 1:
            return
        self.boots += 1
        how, before = self._left_by
        more = sum(max(0, a - b) for a, b in zip(left, before))
        if more and how not in plan.DISORDERLY:
            self.leaks.append(f"{more} registrations stay after an orderly {how}")
        else:
            self.left += more

    def _leaving(self, words):
        self._left_by = (words[0], [int(word) for word in words[1:3]])

    def _over(self, _words):
        self.over = True

    def _did(self, words):
        self.events[words[0]] += 1
        if words[0] in plan.FAULTS:
            self.faults[" ".join(words[:2 if words[0] in plan.KINDS else 1])] += 1

    def _io(self, words):
        """KiB that fio has read back, each block with its checksum."""
        self.verified += int(words[0]) << 10

    def _interrupted(self, _words):
        self.interrupted += 1

    def _wrote(self, words):
        self.slots[int(words[0])] = words[1]

    def _read(self, words):
        """A slot: it must have what was written last, over all reboots."""
        slot, found = int(words[0]), words[1]
        if slot in self.slots and self.slots[slot] != found:
            self.losses.append(f"slot {slot} is {found[:12]}, not {self.slots[slot][:12]}")
        elif slot in self.slots:
            self.verified += 1 << 20

    def _golden(self, words):
        if words[0] != self.golden:
            self.losses.append("the part of the disk that is never written has changed")
        else:
            self.verified += GOLDEN

    def _left(self, words):
        self.left += int(words[0])

    def _offline(self, words):
        self.offline += int(words[0])
        self.refused += int(words[1])

    def _lost(self, words):
        self.losses.append(" ".join(words))

    def _leak(self, words):
        self.leaks.append(" ".join(words))

    def _problem(self, words):
        self.problems.append(" ".join(words))

    def check_disk(self, path):
        """Check the disk's file when its guest is off."""
        with open(path, "rb") as disk:
            self._golden([digest(disk.read(GOLDEN))])
            for slot in sorted(self.slots):
                disk.seek(GOLDEN + (slot << 20))
                self._read([slot, digest(disk.read(1 << 20))])

    @property
    def good(self):
        """Whether nothing is lost, leaked or reported."""
        return not (self.losses or self.leaks or self.problems)

    def progress(self):
        """One line."""
        return (f"{sum(self.events.values())} events, {self.verified >> 20} MiB verified, "
                f"{sum(self.faults.values())} faults, {self.boots} reboots, "
                f"{len(self.leaks)} leaks, {len(self.losses)} losses")

    def report(self):
        """The report at the end."""
        def listed(counts):
            return ", ".join(f"{name} {n}" for name, n in sorted(counts.items())) or "none"
        lines = [f"guests: {self.rounds}; reboots survived: {self.boots}",
                 f"operations: {sum(self.events.values())}: {listed(self.events)}",
                 f"I/O verified: {self.verified / 1e6:.1f} MB; loads whose disk was taken away: "
                 f"{self.interrupted}",
                 f"faults injected: {sum(self.faults.values())}: {listed(self.faults)}",
                 f"blocks of memory taken offline and back: {self.offline}; refused by the "
                 f"kernel: {self.refused}",
                 f"registrations that broken hosts and reset guests left, known: {self.left}"]
        for title, what in (("leaks", self.leaks), ("losses", self.losses),
                            ("problems", self.problems)):
            lines.append(f"{title}: {len(what)}")
            lines += [f"  {each}" for each in what[:10]]
        return "\n".join(lines)


GOLDEN = 4 << 20        # bytes at the start of the disk that are never written
