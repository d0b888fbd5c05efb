# SPDX-License-Identifier: GPL-2.0
"""A card with two functions, as a GPU with its sound: one slot, two companions, one budget."""

import pytest

from conftest import TOP
from bench import chunks

SOURCE = TOP / "scripts" / "tests" / "engine"
CARD = ["dma-engine", "dma-engine,function=1"]
BUDGET = 40 << 20       # bytes; each function uses most of it

TOOLS = chunks.TOOLS + r"""
driver=/sys/bus/pci/drivers/apple_dma_engine
run() { echo "${*:2}" >"/sys/bus/pci/devices/${devices[$1]}/run" || fail "function $1: ${*:2}"; }
# What one function does while something happens to the other: random transfers, and
# chunks that stay mapped for a while.
round() {	# function, seed
	run $1 transfers 100 $2
	run $1 chunks 64 8
	run $1 again 1
	run $1 drop
	run $1 table 2048 8
	run $1 drop
}
start() {	# function
	rm -f /tmp/stop
	( set -e; n=0; while [ ! -e /tmp/stop ]; do n=$((n + 1)); round $1 $n; echo $n >/tmp/rounds; done ) &
	busy=$!
	within 100 test -s /tmp/rounds || fail "function $1 does not begin"
}
# It goes on after what happened.
stop() {
	local before
	read -r before </tmp/rounds
	await "[ \$(cat /tmp/rounds) -gt $before ]"
	touch /tmp/stop
	joined $busy
	rm -f /tmp/rounds
}
bound() { [ -e $driver/"${devices[$1]}" ]; }
companion_of() { basename "$(dirname "${companions[$1]}")"; }
take_out() { echo 1 >/sys/bus/pci/devices/$1/remove; }
put_in() { echo 1 >/sys/bus/pci/rescan; }
nothing_left() {	# function
	[ "$(host live dext$1)" = 0 ] || fail "function $1 has $(host live dext$1) registrations"
}
used() { round $1 $((100 + $1)); }
"""

BOTH = """
round 0 1 & jobs=($!)
round 1 2 & jobs+=($!)
joined "${jobs[@]}"
"""

# The driver of one function is bound and unbound, with memory mapped, while the other works.
REBIND = """
start {other}
for i in 1 2; do
	run {one} chunks 64 8
	echo "${{devices[{one}]}}" >$driver/unbind
	nothing_left {one}
	echo "${{devices[{one}]}}" >$driver/bind
done
stop
used {one}
"""

# Its companion goes, and with it the driver of the function.
COMPANION = """
start {other}
run {one} chunks 64 8
gone=$(companion_of {one})
take_out $gone
await "! bound {one}"
put_in
await "bound {one}"
[ "$(companion_of {one})" = $gone ] || fail "another companion"
stop
used {one}
"""

# The function itself goes.
FUNCTION = """
start {other}
run {one} chunks 64 8
take_out "${{devices[{one}]}}"
await "! bound {one}"
nothing_left {one}
put_in
await "bound {one}"
stop
used {one}
"""

END = r"""
for i in 0 1; do
	totals $i | sed "s/^/$i /"
	echo 1 >"${companions[$i]}/flush"
	nothing_left $i
done
lspci -n | grep -c 1b36:00f5 | sed 's/^/functions=/'
dmesg | sed -n 's/.*apple_dma_engine: \(not ok\|#\)/\1/p'
host-stats
"""


# What happens, and to which function. With more than one processor only what leaves the BARs
# where they are: QEMU 7.2 may direct a register access of one processor to another
# device's BAR while another processor changes the memory map.
REBINDS = ((REBIND, 1), (REBIND, 0))
SOME = ((REBIND, 1), (COMPANION, 0), (FUNCTION, 1))
ALL = tuple((event, one) for event in (REBIND, COMPANION, FUNCTION) for one in (1, 0))


def script(events):
    """The guest's script: both functions at once, before and after EVENTS."""
    lines = [event.format(one=one, other=1 - one) for event, one in events]
    return TOOLS + "insmod /root/engine.ko\n" + BOTH + "\n".join(lines) + BOTH + END


@pytest.mark.parametrize("kernel, mode, policy, cpus, events", [
    ("6.1", "cached", "high", 1, SOME),
    *(pytest.param(kernel, mode, policy, cpus, events, marks=pytest.mark.full)
      for kernel, mode, policy in (("6.1", "cached", "random"), ("6.1", "strict", "high"),
                                   ("newest", "cached", "aligned"), ("newest", "strict", "high"))
      for cpus, events in ((1, ALL), (2, REBINDS)))])
def test_one_function_works_while_the_other_comes_and_goes(testbed, build_module, kernel, mode,
                                                           policy, cpus, events):
    """Data stays right, no access faults, and both together keep to the budget."""
    module = build_module(kernel, "x86_64", SOURCE)
    run = testbed(script(events), kernel=kernel, cpus=cpus, dext=CARD, host=[f"iova={policy}"],
                  module=f"mode={mode} max_bytes={BUDGET}", timeout=600,
                  push=[f"{module}:/root/engine.ko"])
    assert run.value("functions") == 2
    assert "not ok" not in run.out and "\n# " not in run.out
    now = run.json_lines()[-1]
    assert 0 < max(each["peak_bytes"] for each in now) <= now[0]["passthrough"]["machine_peak_bytes"]
    assert now[0]["passthrough"]["machine_peak_bytes"] <= BUDGET
    for each in now:
        assert each["faults"] == each["failed_entries"] == each["live"] == 0
        assert each["map_entries"] > 0
    for line in ("map_failures=0", "bad_unmaps=0", "live_mappings=0", "broken=0"):
        assert {f"0 {line}", f"1 {line}"} <= set(run.out.splitlines())
