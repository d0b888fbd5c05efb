# SPDX-License-Identifier: GPL-2.0
"""scripts/check: what it counts, what it prints, which set it runs."""

import importlib.machinery
import importlib.util
import os
import sys
from argparse import Namespace

import pytest

import conftest
from conftest import TOP
from testbed import call


@pytest.fixture
def check(monkeypatch, tmp_path):
    """The script as a module; its files go elsewhere."""
    loader = importlib.machinery.SourceFileLoader("check", str(TOP / "scripts" / "check"))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", loader))
    monkeypatch.setitem(sys.modules, "check", module)
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    loader.exec_module(module)
    monkeypatch.setattr(module, "BUILD", tmp_path)
    return module


def of_tap(check, script):
    result = check.Result("unit")
    check.tap(result, ["sh", "-c", script])
    return result


def test_tap_is_counted(check):
    result = of_tap(check, "echo 1..4; echo ok 1 - a; echo not ok 2 - b; echo 'ok 3 - c # SKIP d';"
                           "echo '    ok 1 - inside'; echo ok 4 e; exit 1")
    assert (result.passed, result.failed, result.skipped) == \
        (2, [("b", "see above")], [("c", "d")])
    assert result.cases == 4


@pytest.mark.parametrize("script, failed", [
    ("echo 1..3; echo ok 1 - a; echo ok 2 - b", "2 cases, and 3 were planned"),
    ("echo 1..3; echo ok 1 - a; echo not ok 2 - b", "2 cases, and 3 were planned"),
    ("echo ok 1 - a", "1 cases, and 0 were planned"),
    ("echo 1..1; echo ok 1 - a; echo 1..2; echo ok 1 - b", "2 cases, and 3 were planned"),
    ("echo 1..1; echo ok 1 - a; echo ok 2 - b", "2 cases, and 1 were planned")])
def test_truncated_tap_has_failed(check, script, failed):
    """Although all cases passed, and it ended with 0."""
    assert failed in of_tap(check, script).failed[-1][1]


@pytest.mark.parametrize("script, passed", [
    ("echo 1..2; echo ok 1 - a; echo ok 2 - b", 2), ("echo ok 1 - a; echo 1..1", 1),
    ("echo 1..1; echo ok 1 - a; echo 1..2; echo ok 1 - b; echo ok 2 - c", 3),
    ("echo 1..1; echo ok 1 - a; echo '    1..7'; echo '    ok 1 - inside'", 1)])
def test_whole_tap_has_passed(check, script, passed):
    """The TAP of one program or several; the plan comes first or last."""
    result = of_tap(check, script)
    assert (result.passed, result.failed) == (passed, [])


@pytest.mark.parametrize("script", ["echo 1..1; echo ok 1 - a; exit 3", "true"])
def test_command_that_ends_early_has_failed(check, script):
    """With cases that passed before, and with none."""
    assert len(of_tap(check, script).failed) == 1


def test_table_names_reasons_and_ends_with_the_sum(check, capsys):
    first, second = check.Result("static", passed=3), check.Result("vm", passed=1)
    second.skipped.append(("one", "no disk"))
    assert check.report([first, second]) == 0
    second.retried.append(("test_vm_x::one", "QEMU aborted"))
    second.failed.append(("other", "1 == 2"))
    assert check.report([first, second]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "4 passed, 0 failed, 1 skipped" in lines
    assert lines[-4:] == ["skipped: vm: one: no disk",
                          "retried: vm: test_vm_x::one: QEMU aborted",
                          "failed: vm: other: 1 == 2", "4 passed, 1 failed, 1 skipped"]
    assert lines[-5].split() == ["vm", "3", "0", "1", "1", "1", "1"]


@pytest.mark.parametrize("test, name", [
    ("scripts/tests/test_vm_x.py::test_a[b (c)/d] (call)", "test_vm_x::test_a[b (c)/d]"),
    (None, "a guest")])
def test_guest_that_was_booted_again_is_counted(check, monkeypatch, capsys, test, name):
    """For every caller: a suite passes only the name of a file."""
    monkeypatch.setenv("APPLE_DMA_TRIED_AGAIN", "")
    if test:
        monkeypatch.setenv("PYTEST_CURRENT_TEST", test)
    else:
        monkeypatch.delenv("PYTEST_CURRENT_TEST")
    code = "from testbed import errors\nerrors.tried_again('it\tdied\\n of 6')"

    def suite(result):
        check.run([sys.executable, "-c", code], env={**os.environ,
                                                     "PYTHONPATH": str(TOP / "scripts" / "lib")})
        result.passed = 1

    result = check.Result("vm")
    check.timed(result, suite)
    assert result.retried == [(name, "it died of 6")]
    assert check.report([result]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [f"retried: vm: {name}: it died of 6",
                                                         "1 passed, 0 failed"]
    again = check.Result("vm")
    check.timed(again, lambda result: None)
    assert again.retried == []


# Stands for the testbed: QEMU aborts the first time, while the guest's kernel sizes BARs.
ABORTS = r"""#!/bin/sh
[ -e "$0.there" ] && exit 0
: >"$0.there"
echo 'testbed: QEMU died of signal 6 (SIGABRT) before the command returned' >&2
echo '  qemu: ../../hw/pci/msix.c:218: msix_table_mmio_write: Assertion failed.' >&2
exit 99
"""


@pytest.mark.filterwarnings("ignore:QEMU aborted before")
def test_boot_that_qemu_aborts_is_told(monkeypatch, tmp_path):
    script, told = tmp_path / "testbed", tmp_path / "told"
    script.write_text(ABORTS)
    script.chmod(0o755)
    monkeypatch.setattr(call, "TESTBED", str(script))
    monkeypatch.setenv("APPLE_DMA_TRIED_AGAIN", str(told))
    assert conftest.run_testbed(tmp_path, "true").status == 0
    assert told.read_text() == ("test_check::test_boot_that_qemu_aborts_is_told\t"
                                "QEMU's MSI-X emulation aborted before the guest was up\n")


def test_nothing_run_is_a_failure(check):
    assert check.report([check.Result("static")]) == 1


@pytest.mark.parametrize("missing, full", [(["debug"], False), ([], True)])
def test_full_set_waits_for_the_kernels(check, monkeypatch, capsys, missing, full):
    monkeypatch.setattr(check, "unbuilt", lambda: missing)
    args = Namespace(full=False, debug=False, full_if_warm=True)
    assert check.which_set(args) == (full, full)
    said = capsys.readouterr().out
    assert "the full set" in said if full else "the quick set" in said and "debug" in said


@pytest.mark.parametrize("full, debug, chosen", [(False, False, (False, False)),
                                                 (False, True, (False, True)),
                                                 (True, False, (True, True))])
def test_sets(check, full, debug, chosen):
    assert check.which_set(Namespace(full=full, debug=debug, full_if_warm=False)) == chosen


def test_every_test_belongs_to_a_suite(check, monkeypatch):
    """To exactly one."""
    taken = []
    monkeypatch.setattr(check, "pytest_suite", lambda result, paths, **_: taken.extend(paths))
    monkeypatch.setattr(check, "prepared", lambda result, argv: True)
    monkeypatch.setattr(check, "tap", lambda *args: None)
    for name, suite in check.SUITES.items():
        if (TOP / suite.where).exists():
            suite.call(check.Result(name))
    taken = [p for p in taken if p != "host-emu/tests"]
    assert sorted(taken) == sorted((TOP / "scripts" / "tests").glob("test_*.py"))


def test_device_suite_is_sanitized(check, monkeypatch):
    """Both what is built before it, and the suite itself."""
    said = []
    monkeypatch.setattr(check, "prepared", lambda result, argv: said.append(argv[-1]) or True)
    monkeypatch.setattr(check, "run", lambda argv, env: said.append(env["SANITIZE"]) or
                        Namespace(returncode=0))
    check.device(check.Result("device"))
    assert said == ["SANITIZE=1", "1"]
