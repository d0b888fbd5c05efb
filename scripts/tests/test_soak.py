# SPDX-License-Identifier: GPL-2.0
"""The soak's plans and its tally, without a guest."""

import re
import subprocess

import pytest

import audit
from conftest import TOP
from soak import cli, plan, tally
from testbed import console, host

GUEST = (TOP / "scripts" / "lib" / "soak" / "guest.sh").read_text()


def soak(*args):
    """Run scripts/soak; no test here starts a guest."""
    return subprocess.run([TOP / "scripts" / "soak", *args], capture_output=True, text=True,
                          check=False)


def fed(*lines):
    """A tally of one round that got these lines."""
    made = tally.Tally()
    made.begin("g")
    for line in lines:
        made.feed(line)
    return made


@pytest.mark.parametrize("args, said", [
    (["--minutes", "0"], "'0' is not a number of minutes above 0"),
    (["--minutes", "soon"], "'soon' is not a number"),
    (["--seed", "x"], "invalid int value"),
    (["--hours", "1"], "unrecognized arguments"),
])
def test_wrong_words_are_usage_errors(args, said):
    done = soak(*args)
    assert done.returncode == 2 and said in done.stderr


def test_seed_makes_the_plan():
    assert plan.make(5, 1) == plan.make(5, 1)
    assert plan.make(5, 1) != plan.make(5, 2) != plan.make(6, 2)
    # The kernel only decides whether the guest sleeps.
    other = [event for event in plan.make(5, 1, kernel="6.1").events if event[0] != "suspend"]
    assert plan.make(5, 1, kernel="newest").events == other


def test_every_event_comes_and_is_known():
    """The guest's script knows each event and its arguments."""
    seen = {}
    for number in range(20):
        for event in plan.make(1, number, kernel="debug" if number == 0 else None).events:
            seen.setdefault(event[0], set()).add(len(event) - 1)
    assert set(seen) == set(plan.WEIGHTS) == set(re.findall(r"^do_(\w+)\(\)", GUEST, re.M))
    bodies = dict(re.findall(r"^do_(\w+)\(\) \{(.*?)\}$", GUEST, re.M | re.S))
    for event, counts in seen.items():
        body = re.sub(r"'[^']*'", "", bodies[event])
        used = max(map(int, re.findall(r"\$(\d)", body)), default=0)
        assert counts == {used} or "$@" in body, event
    assert set(plan.FAULTS) < set(plan.WEIGHTS)


@pytest.mark.parametrize("kernel", [None, "debug"])
def test_what_needs_something_comes_where_it_is(kernel):
    """A balloon, memory for a crash kernel, a kernel that refuses memory, one that the
    testbed can still talk to when it has slept."""
    for number in range(20):
        made = plan.make(3, number, events=2000, kernel=kernel)
        seen = {event[0] for event in made.events}
        assert made.balloon == ("balloon" in seen)
        assert made.crash == ("crash" in seen) == ("crashkernel=" in made.append)
        assert (kernel == "debug") == ("starve" in seen) == ("dma_debug=off" in made.append)
        assert ("suspend" in seen) == (made.kernel != "newest")
        assert made.reboots == sum(1 + (event[0] == "crash") for event in made.events
                                   if event[0] in plan.BOOTS)


def test_a_round_begins_with_a_reboot_and_a_breach():
    for number in range(20):
        first = [event[0] for event in plan.make(2, number).events[:8]]
        assert "break" in first and set(plan.BOOTS) & set(first)
    assert int(re.search(r"^least=(\d+)", GUEST, re.M)[1]) == 8


def test_guest_and_plan_agree_on_boots():
    """The next kernel skips events that ended a kernel, by the number of boots."""
    known = re.search(r"case \$\{events\[index\]\} in\n(.*?)esac", GUEST, re.S)[1]
    counted = {name: int(n) for names, n in re.findall(r"^\t([\w |]+)\) .*boots \+ (\d)", known,
                                                       re.M) for name in names.split(" | ")}
    assert counted == plan.BOOTS
    assert set(re.findall(r"^\tleave (\w+)", GUEST, re.M)) == set(plan.BOOTS)
    assert set(plan.DISORDERLY) < set(plan.FAULTS)


def test_lies_are_those_of_the_table():
    """All that break a companion, except those that need more than one mapping."""
    def told(outcome):
        return {option[4:] for lie in audit.lies(outcome) for option in lie.host
                if option.startswith("lie=") and lie.case != "leak"}
    assert set(plan.BREAKING) == told("broken")
    assert set(plan.HARMLESS) == told("harmless")
    assert set(plan.REFUSING) == told("refused")
    assert told("broken") < set(host.LIES)


def test_events_and_faults_are_counted():
    made = fed("@ boot 1 0 0", "@ did mode", "@ did break zero 1", "@ did break zero 2",
               "@ did refuse short 3", "noise", "@ did pressure", "@ interrupted",
               "@ did pull device")
    assert made.events == {"mode": 1, "break": 2, "refuse": 1, "pressure": 1, "pull": 1}
    assert made.faults == {"break zero": 2, "refuse short": 1, "pressure": 1, "pull device": 1}
    assert made.interrupted == 1 and made.good and made.boots == 0
    assert "5 faults" in made.progress() and "break zero 2" in made.report()


def test_what_was_verified_is_added_up():
    made = fed("@ io 2048", "@ golden g", "@ wrote 3 aa", "@ read 3 aa", "@ read 4 bb")
    assert made.verified == (2 << 20) + tally.GOLDEN + (1 << 20) and made.good


@pytest.mark.parametrize("lines, where", [
    (["@ golden other"], "losses"),
    (["@ wrote 3 aa", "@ boot 2 0 0", "@ read 3 ab"], "losses"),
    (["@ wrote 3 aa", "@ wrote 3 bb", "@ read 3 aa"], "losses"),
    (["@ lost the disk"], "losses"),
    (["@ leak end: 3"], "leaks"),
    (["@ problem bad_unmaps is 1"], "problems"),
    (["@ nonsense 1"], "problems"),
    (["@ read"], "problems"),
    (["@ wrote x y"], "problems"),
])
def test_each_loss_is_seen(lines, where):
    made = tally.Tally()
    made.begin("g")
    made.feed("@ leaving reset 0 0")
    assert made.good
    for line in lines:
        made.feed(line)
    assert len(getattr(made, where)) == 1 and not made.good
    assert f"{where}: 1" in made.report()


def test_memory_that_stays_is_no_report(tmp_path):
    """The kernel prints the page for which it refuses to take a block offline. That is an
    answer, which the guest counts; a page that is printed for anything else is a report."""
    path = tmp_path / "console"
    refusal = ["[   31.143463] page:00000000f0e7ada9 refcount:1 mapcount:0 mapping:0 index:0x0 pfn:0x8000",
               "[   31.144097] flags: 0xfffffc0001000(reserved|node=0|zone=1|lastcpupid=0x1fffff)",
               "[   31.144576] raw: 000fffffc0001000 ff95daef80200008 ff95daef80200008 0000000000000000",
               "[   31.144992] page dumped because: unmovable page",
               "[   55.815646] page:000000000bb90580 refcount:3 mapcount:1 mapping:0 index:0x7f2d56f7a",
               "[   55.815701] page dumped because: migration failure"]
    path.write_text("".join(f"{line}\r\n" for line in refusal), encoding="ascii")
    log = console.Console(str(path), crashes=True)
    log.finish()
    assert log.reports == []
    with path.open("a", encoding="ascii") as file:
        file.write("[   60.1] page dumped because: nonzero _refcount\r\n")
    log.finish()
    assert log.reports == ["page dumped because: nonzero _refcount"]
    made = fed("@ offline 2 1", "@ did offline 3", "@ offline 0 4", "@ did offline 1")
    assert made.good and (made.offline, made.refused) == (2, 5)
    assert "blocks of memory taken offline and back: 2; refused by the kernel: 5" in made.report()


def test_reboots_leave_what_they_may():
    """An orderly one nothing, a reset what was there, which is told."""
    made = fed("@ boot 1 0 0", "@ leaving reset 0 0", "@ boot 2 7 1", "@ leaving reboot 7 1",
               "@ boot 3 7 0")
    assert made.good and made.boots == 2 and made.left == 8
    # The crash kernel, which looks for nothing, and the one after it.
    for line in ("leaving crash 7 0", "boot 4 9 0", "leaving reboot 9 0", "boot 5 2 0"):
        made.feed(f"@ {line}")
    assert made.good and made.boots == 4 and made.left == 10
    made.feed("@ leaving kexec 7 0")
    made.feed("@ boot 6 7 2")
    assert made.leaks == ["2 registrations stay after an orderly kexec"]


def test_the_disk_is_looked_at_from_outside(tmp_path):
    disk = tmp_path / "disk"
    data = bytearray(tally.GOLDEN + (2 << 20))
    disk.write_bytes(data)
    made = tally.Tally()
    made.begin(tally.digest(bytes(tally.GOLDEN)))
    made.feed(f"@ wrote 1 {tally.digest(bytes(1 << 20))}")
    made.check_disk(disk)
    assert made.good and made.verified == tally.GOLDEN + (1 << 20)
    data[tally.GOLDEN + (1 << 20)] = 1
    disk.write_bytes(data)
    made.check_disk(disk)
    assert len(made.losses) == 1 and "slot 1" in made.losses[0]
    data[7] = 1
    disk.write_bytes(data)
    made.check_disk(disk)
    assert "never written" in made.losses[1]


@pytest.mark.parametrize("status, over, good", [
    (0, True, True), (0, False, False), (97, True, False), (98, True, False), (99, False, False),
    (3, False, False)])
def test_how_a_guest_ends_matters(tmp_path, status, over, good):
    args = cli.parser().parse_args(["--minutes", "1", "--seed", "1"])
    made = cli.Soak(args, str(tmp_path))
    made.tally.begin("g")
    if over:
        made.tally.feed("@ over")
    made.ended(1, status, "why")
    assert made.tally.good == good


def test_time_is_kept_to(tmp_path, monkeypatch, capsys):
    """No guest is begun that would have too little of it, but one there is always; and
    none after a loss."""
    clock = [0.0]
    args = cli.parser().parse_args(["--minutes", "5", "--seed", "1"])
    made = cli.Soak(args, str(tmp_path), clock=lambda: clock[0])
    numbers = []

    def one(number):
        numbers.append(number)
        clock[0] += 120
        if number == 9:
            made.tally.losses.append("x")
    monkeypatch.setattr(made, "round", one)
    assert made.run() == 0 and numbers == [1, 2, 3]
    assert "seed: 1" in capsys.readouterr().out
    clock[0] = -10000
    numbers[:] = []
    assert made.run() == 1 and numbers[-1] == 9
