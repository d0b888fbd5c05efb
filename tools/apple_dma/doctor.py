# SPDX-License-Identifier: GPL-2.0
"""apple-dma doctor: one check after the other, each with its cause and cure."""

import json

from . import checks_device, checks_firmware, checks_system, modprobe, units
from .checks import FAIL, NOTE, OK, SKIP, Machine, skip

# In the order in which things must be right.
CHECKS = (
    ("kernel", checks_system.check_kernel),
    ("headers", checks_system.check_headers),
    ("module", checks_system.check_module),
    ("signature", checks_system.check_signature),
    ("parameters", modprobe.check_parameters),
    ("companion", checks_system.check_companion),
    ("protocol", checks_device.check_protocol),
    ("device", checks_device.check_managed),
    ("driver", checks_device.check_driver),
    ("guest IOMMU", checks_device.check_iommu),
    ("limits", checks_device.check_limits),
    ("balloon", checks_device.check_balloon),
    ("firmware", checks_firmware.check_firmware),
    ("link, BARs, interrupts", checks_device.check_hints),
)
MARKS = {OK: ("✓", "ok", "green"), NOTE: ("!", "!!", "yellow"), FAIL: ("✗", "NO", "red"),
         SKIP: ("–", "--", "dim")}


def examine(machine):
    """(name, findings) of every check."""
    for name, check in CHECKS:
        yield name, check(machine) or [skip("nothing to look at before the above is well")]


def lines(name, findings, mark_of):
    """What a check found, as text; MARK_OF makes the mark of an outcome."""
    for finding in findings:
        yield f"{mark_of(finding.outcome)} {name}: {finding.text}"
        for line in finding.cure:
            yield f"      {line}"


def show(term, name, findings):
    """Print what a check found."""
    def mark_of(outcome):
        mark, plain, colour = MARKS[outcome]
        return term.paint(mark if term.unicode else plain, colour)
    for line in lines(name, findings, mark_of):
        term.write(line)


def verdict(outcomes):
    """The last line."""
    bad, skipped = outcomes.count(FAIL), units.plural(outcomes.count(SKIP), "check")
    if bad:
        return f"{bad} of these must be put right; begin with the first."
    if NOTE in outcomes:
        return "It works; what is marked with an exclamation mark could be better."
    if SKIP in outcomes:
        return f"Nothing wrong was found, but {skipped} could not be made."
    return "All is well."


def run(root, term, args):
    """The command. Returns 1 if something does not work."""
    machine = Machine(root)
    results = list(examine(machine))
    outcomes = [f.outcome for _, findings in results for f in findings]
    if args.json:
        json.dump({"format": 1, "well": FAIL not in outcomes, "findings": [
            {"check": name, "outcome": f.outcome, "text": f.text, "cure": list(f.cure)}
            for name, findings in results for f in findings]}, term.stream, indent=2)
        term.stream.write("\n")
    else:
        for name, findings in results:
            show(term, name, findings)
        if machine.log.problem:
            term.write(f"\nNot all could be seen: {machine.log.problem}. sudo apple-dma doctor")
        term.write(f"\n{verdict(outcomes)}")
    return 1 if FAIL in outcomes else 0
