# SPDX-License-Identifier: GPL-2.0
"""The shell functions of lib/guest/lib.sh, without a guest, and that scripts use them."""

import re
import subprocess

import pytest

from conftest import TOP

LIBRARY = TOP / "scripts/lib/guest/lib.sh"
SCRIPTS = [*(TOP / "scripts/tests").glob("test_vm_*.py"), *(TOP / "scripts/lib").glob("*/*.sh"),
           TOP / "scripts/lib/guest/device-test"]

# The start of a line of fio: version, name, group, error, KiB that were read.
GOOD = "echo '3;fio-3.33;job;0;0;4096;1'"


@pytest.fixture(name="shell")
def fixture_shell(tmp_path):
    """Run a script with the library; fio is replaced by a script."""
    def run(script, fio="exit 1"):
        (tmp_path / "fio").write_text(f"#!/bin/sh\n{fio}\n")
        (tmp_path / "fio").chmod(0o755)
        return subprocess.run(["bash", "-c", f"set -eu\n. {LIBRARY}\n{script}"], check=False,
                              capture_output=True, text=True, cwd=tmp_path,
                              env={"PATH": f"{tmp_path}:/usr/bin:/bin"})
    return run


@pytest.mark.parametrize("fio, right", [
    (GOOD, True), (f"{GOOD}; {GOOD}", True), (f"echo 'fio: a warning'; {GOOD}", True),
    (f"{GOOD}; exit 1", False),
    ("echo '3;fio-3.33;job;0;84;4096;1'", False),
    (f"echo '3;fio-3.33;job;0;84;4096;1'; {GOOD}", False),
    ("echo '3;fio-3.33;job;0;0;0;1'", False),
    ("echo 'fio: nothing was done'", False), ("true", False)])
@pytest.mark.parametrize("script", ["verified a", "verified a & joined $!", "keep", "kept",
                                    "verified a & good=$!; true & joined $! $good"])
def test_verified(shell, script, fio, right):
    """A status, an error in its line, nothing that was read, and no line at all."""
    done = shell(f"{script}\necho went on", fio)
    assert (done.returncode == 0) is right, done
    assert ("went on" in done.stdout) is right
    assert ("wrong data: " in done.stderr) is not right


def test_bare_wait_does_not_notice(shell):
    """So joined() is needed."""
    assert shell("verified a & wait\necho went on").stdout == "went on\n"


def test_condition_is_waited_for(shell):
    done = shell("""
within 5 eval '[ -e there ]' & waits=$!
touch there
joined $waits
await '[ -e there ] && true'
await test -e there
! within 0 test -e nowhere
within() { shift; "$@"; }
await '[ -e nowhere ]'
""")
    assert (done.returncode, done.stderr) == (1, "guest: waited in vain for [ -e nowhere ]\n")


STATS = """[{"name": "companion0", "live": 3, "more": {"live": 7}, "faults": null}, \
{"name": "companion1", "live": 5, "last": 9}]"""


@pytest.mark.parametrize("words, said", [
    ("live", "3"), ("live companion1", "5"), ("last companion1", "9"), ("last", "9"),
    ("faults", "null"), ("live companion2", ""), ("no", "")])
def test_host(shell, words, said):
    assert shell(f"host-stats() {{ echo '{STATS}'; }}\nhost {words}").stdout.strip() == said


@pytest.mark.parametrize("host, said", [
    ("echo 3", ""), ("[ $1 = live ] && cat count && echo 3 >count", ""),
    ("[ $1 = live ] && echo 4", "guest: there: entries\n")])
def test_agree(shell, host, said):
    """A window may go between the two reads."""
    done = shell(f"""
echo 4 >count
counter() {{ [ $1 = broken ] && echo 0 || echo 3; }}
host() {{ {host} || echo 3; }}
sleep() {{ SECONDS=$((SECONDS + 10)); }}
agree there
""")
    assert (done.stderr, done.returncode) == (said, 1 if said else 0)


def test_scripts_leave_verification_to_the_library():
    """They also check the status of each job that they wait for."""
    wrong = [(path.name, line) for path in SCRIPTS if path != LIBRARY
             for line in path.read_text().splitlines()
             if re.search(r"--verify=|^\s*wait\s*(;|$)", line)]
    # The soak's load may end with its disk, and reads fio's line itself. A part of
    # device-test prints what came of it.
    assert wrong == [("guest.sh", '\t\t\t--verify=crc32c --verify_fatal=1 --minimal >$run/fio 2>$run/fio.err &'),
                     ("device-test", "wait")]
