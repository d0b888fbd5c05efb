# SPDX-License-Identifier: GPL-2.0
"""apple-dma doctor: one check after another, each with its cause and cure."""

import json

from . import checks_device, checks_firmware, checks_system, modprobe, premap, units
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
    ("mapping", premap.check_mapping),
    ("driver", checks_device.check_driver),
    ("guest IOMMU", checks_device.check_iommu),
    ("limits", checks_device.check_limits),
    ("balloon", checks_device.check_balloon),
    ("firmware", checks_firmware.check_firmware),
    ("link and interrupts", checks_device.check_hints),
)
MARKS = {OK: ("✓", "ok", "green"), NOTE: ("!", "!!", "yellow"), FAIL: ("✗", "NO", "red"),
         SKIP: ("–", "--", "dim")}

# Of a check that has nothing to look at, because an earlier one found a problem.
WAITS = "not checked; it depends on what is wrong above"


def examine(machine):
    """(name, findings) of every check."""
    for name, check in CHECKS:
        yield name, check(machine) or [skip(WAITS)]


def folded(results, show_all=False):
    """The same, without the checks that passed or wait; and the names of those two kinds."""
    shown, passed, waiting = [], [], []
    for name, findings in results:
        if show_all:
            shown.append((name, findings))
        elif all(f.outcome == OK for f in findings):
            passed.append(name)
        elif all(f.text == WAITS for f in findings):
            waiting.append(name)
        else:
            shown.append((name, findings))
    return shown, passed, waiting


def lines(results, mark_of, show_all=False):
    """What the checks found, as text; MARK_OF makes the mark of an outcome."""
    shown, passed, waiting = folded(results, show_all)
    if passed:
        yield f"{mark_of(OK)} no problem: {', '.join(passed)}"
    for name, findings in shown:
        for finding in findings:
            yield f"{mark_of(finding.outcome)} {name}: {finding.text}"
            for line in finding.cure:
                yield f"      {line}"
    if waiting:
        yield f"{mark_of(SKIP)} {WAITS}: {', '.join(waiting)}"


def outcomes(results):
    """The outcomes of all findings."""
    return [f.outcome for _, findings in results for f in findings]


def verdict(results):
    """One sentence about all checks."""
    found = outcomes(results)
    bad, skipped = found.count(FAIL), units.plural(found.count(SKIP), "check")
    if bad:
        return f"{units.plural(bad, 'problem')} must be fixed" + (
            "; begin with the first." if bad > 1 else ".")
    if NOTE in found:
        return "It works. What is marked with an exclamation mark could be better."
    if SKIP in found:
        return f"No problem was found, but {skipped} could not be made."
    return "All is well."


def run(root, term, args):
    """The command. Returns 1 if something does not work."""
    machine = Machine(root)
    results = list(examine(machine))
    well = FAIL not in outcomes(results)
    if args.json:
        json.dump({"format": 1, "well": well, "findings": [
            {"check": name, "outcome": f.outcome, "text": f.text, "cure": list(f.cure)}
            for name, findings in results for f in findings]}, term.stream, indent=2)
        term.stream.write("\n")
        return 0 if well else 1

    def mark_of(outcome):
        mark, plain, colour = MARKS[outcome]
        return term.paint(mark if term.unicode else plain, colour)
    for line in lines(results, mark_of, args.verbose):
        term.write(line)
    if machine.log.problem:
        term.write(f"\nThe kernel log was not read: {machine.log.problem}. "
                   "Run it as root: sudo apple-dma doctor")
    term.write(f"\n{verdict(results)}")
    return 0 if well else 1
