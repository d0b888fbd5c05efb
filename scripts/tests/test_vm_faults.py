# SPDX-License-Identifier: GPL-2.0
"""Faults: a host that changes its mind, and memory that is not to be had."""

import re

from conftest import TOP

SOURCE = TOP / "scripts" / "tests" / "edu"
EDU = ["edu,dma_mask=0xffffffffffffffff"]

# Helpers of the guest side; one companion, and the driver of scripts/tests/edu.
TOOLS = r"""
driver=/sys/bus/pci/drivers/apple_dma
companion=$(basename $driver/0*)
device=$(basename "$(readlink -f $driver/$companion/apple_dma/managed)")
bound() { [ -e $driver/$companion ]; }
unbind() { echo "$companion" >$driver/unbind; }
# Status 1 if the module does not want it.
bind() { echo "$companion" >$driver/bind 2>/dev/null; }
cases() {	# of the test driver, how many: its lines of TAP
	insmod /root/edu.ko "run=$1" "count=${2:-8}"
	rmmod apple_dma_edu
}
works() {
	dmesg -C
	cases sg
	dmesg | grep -q 'apple_dma_edu: ok 1 - sg' || fail "$1: maps do not work"
}
"""


def test_host_that_changes(testbed, build_module):
    """Registers that are others the next time: what was read when the companion
    was bound counts, until it is bound again."""
    run = testbed(TOOLS + r"""
bridge=0x$(printf %04x $((0x${companion%%:*} << 8 | 0x10 << 3)))
refused() {	# what the log says
	unbind
	dmesg -C
	! bind || fail "bound, and was to say: $1"
	dmesg | grep -q "$1" || fail "no word of: $1: $(dmesg)"
}
works first
host-set companion0 managed-bdf "$bridge"
works "BDF of a bridge"
refused "manages the bridge"
host-set companion0 managed-bdf auto
bind
works "BDF is back"
host-set companion0 lie fickle
unbind
bind
works "registers change"
refused "protocol version 3"
host-set companion0 lie gone
! bind || fail "bound, and is gone"
host-set companion0 lie none
bind
works end
counters
""", devices=EDU, push=[f"{build_module(src=SOURCE)}:/root/edu.ko"])
    assert run.value("broken") == run.value("map_failures") == 0
    assert run.companion()["faults"] == run.companion()["live"] == 0


def test_broken_companion_is_bound_again(testbed, build_module):
    """A breach of each kind, with the driver there and as it goes: nothing is
    mapped any more, what the driver leaves is kept, and a new bind is a new start.

    What a host keeps of before is in nobody's way: it is released when its handle is
    wanted.
    """
    run = testbed(TOOLS + r"""
for lie in zero half short-stays unmap-fail no-answer gone; do
	host-set companion0 lie-after 2
	host-set companion0 lie $lie
	cases broken
	[ "$(counter broken)" = 1 ] || fail "$lie: not broken"
	before=$(host doorbells)
	host-set companion0 lie none
	cases broken
	[ "$(host doorbells)" = "$before" ] || fail "$lie: the host was asked again"
	[ "$(counter map_failures)" -gt 8 ] || fail "$lie: something was mapped"
	unbind
	bind
	[ "$(counter broken)" = 0 ] || fail "$lie: still broken"
	works $lie
done
insmod /root/edu.ko run=leak count=8
host-set companion0 lie-after 0
host-set companion0 lie unmap-fail
rmmod apple_dma_edu
[ "$(counter broken)" = 1 ] || fail "leak: not broken"
echo "kept=$(counter leaked_bytes)"
host-set companion0 lie none
unbind
bind
works leak
counters
""", devices=EDU, module="mode=strict", push=[f"{build_module(src=SOURCE)}:/root/edu.ko"])
    assert run.console.count("the host broke the protocol: ") == 7
    # The first page of each block: the others have no count of their own.
    assert run.value("kept") == 8 * 4096
    assert re.search(r"left 8 DMA mappings behind; they are kept", run.console)
    assert run.value("broken") == run.value("map_failures") == 0
    assert run.companion()["faults"] == 0
