# SPDX-License-Identifier: GPL-2.0
"""Results of the cases: KTAP, read by the kernel's own parser."""

import io
import re
import sys
from dataclasses import dataclass, field

from testbed.errors import TestbedError

from .suites import PREFIX

# Lines of a failed case that do not say why.
_NOISE = re.compile(r"^\s*(not ok|ok|#?\s*$)")


# The reason for a case that is in the sources and not in the log.
DID_NOT_RUN = ["it did not run, or not to its end"]


@dataclass
class Case:
    """One case in one kernel."""

    name: str           # uml:map.hits_ring_nothing
    status: str         # ok, failed, skipped
    why: list = field(default_factory=list)

    def tap(self, number):
        """Its line of TAP."""
        reason = " ".join(line.strip() for line in self.why)[:200]
        if self.status == "ok":
            return f"ok {number} - {self.name}"
        if self.status == "skipped":
            return f"ok {number} - {self.name} # SKIP {reason or 'no reason given'}"
        return f"not ok {number} - {self.name} # {reason or 'no reason given'}"


def _parser(folder):
    """The module kunit_parser of the kernel's tools in FOLDER."""
    sys.path.insert(0, folder)
    try:
        import kunit_parser  # pylint: disable=import-outside-toplevel,import-error
    except ImportError as error:
        raise TestbedError(f"the kernel's kunit_parser is not in {folder}: {error}") from None
    finally:
        sys.path.remove(folder)
    # Its output is not needed.
    kunit_parser.stdout = type(kunit_parser.stdout)(io.StringIO())
    return kunit_parser


def _why(log):
    """The lines of a case's LOG that say why it failed."""
    return [line.strip().removeprefix("# ") for line in log if not _NOISE.match(line)]


def parse(prefix, text, folder, names):
    """The Cases in TEXT, a kernel's log; each of NAMES is among them."""
    parser = _parser(folder)
    result = parser.parse_run_tests(text.splitlines())
    status = {parser.TestStatus.SUCCESS: "ok", parser.TestStatus.SKIPPED: "skipped"}
    found = {}
    for suite in result.subtests:
        for case in suite.subtests:
            name = f"{suite.name.removeprefix(PREFIX)}.{case.name}"
            found[name] = Case(f"{prefix}:{name}", status.get(case.status, "failed"),
                               _why(case.log))
            skip = re.search(rf"\bok \d+ (?:- )?{re.escape(case.name)} # SKIP (.+)$", text, re.M)
            if found[name].status == "skipped" and skip:
                found[name].why = [skip[1]]
    cases = [found.pop(name, None) or
             Case(f"{prefix}:{name}", "failed", DID_NOT_RUN)
             for name in names]
    # A case that is not in the sources is a failure.
    return cases + [Case(case.name, "failed", ["it is not known to scripts/kunit"])
                    for case in found.values()]


def infos(text):
    """The figures that cases print with kunit_info()."""
    return re.findall(r"# (\w+: \d+ (?:allocations|pages|doorbells).*)$", text, re.M)


def storm(name, text):
    """The Case of a storm, from TEXT, the log of the module of scripts/tests/stress."""
    said = re.findall(r"apple_dma_stress: (.*)$", text, re.M)
    wrong = [line.removeprefix("# ") for line in said if line.startswith("# WRONG")]
    if "ok 1 - storm" in said and not wrong:
        return Case(name, "ok")
    return Case(name, "failed", wrong or DID_NOT_RUN)
