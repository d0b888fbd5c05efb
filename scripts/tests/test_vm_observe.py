# SPDX-License-Identifier: GPL-2.0
"""What the module shows: sysfs, tracepoints and debugfs, compared with each other."""

import base64
import gzip
import re

import pytest

from conftest import NVME, TOP

# The host has room for 32 MiB, which the module does not know. The guest has one CPU, so
# that events are in their order.
OBSERVE = r"""
mount -t tracefs nodev /sys/kernel/tracing 2>/dev/null || true
[ -d /sys/kernel/debug/apple_dma ] || mount -t debugfs nodev /sys/kernel/debug
trace=/sys/kernel/tracing
windows=$(echo /sys/kernel/debug/apple_dma/0*/windows)
sysfs=$(echo /sys/bus/pci/drivers/apple_dma/0*/apple_dma)
companion=${sysfs%/apple_dma}
companion=${companion##*/}
packed() { gzip -c | base64 -w0; echo; }
look() {
	echo "@$1"
	counters
	echo "host_doorbells=$(host doorbells)"
	echo "host_entries=$(($(host map_entries) + $(host unmap_entries)))"
	echo "windows=$(packed <"$windows")"
}

echo "companion=$companion"
echo 32768 >$trace/buffer_size_kb
look before
echo 1 >$trace/events/apple_dma/enable
dd if=/dev/nvme0n1 of=/dev/null bs=1M count=48 2>/dev/null
dd if=/dev/zero of=/dev/nvme0n1 bs=4k count=100 oflag=direct 2>/dev/null
echo 1 >"$sysfs/flush"
dd if=/dev/nvme0n1 of=/dev/null bs=64k count=50 skip=900 2>/dev/null
echo strict >"$sysfs/mode"
dd if=/dev/nvme0n1 of=/dev/null bs=128k count=20 iflag=direct 2>/dev/null
echo cached >"$sysfs/mode"
dd if=/dev/nvme0n1 of=/dev/null bs=64k count=50 skip=1000 2>/dev/null
echo 100 >"$sysfs/idle_ms"
sleep 1
echo 0 >"$sysfs/idle_ms"
dd if=/dev/nvme0n1 of=/dev/null bs=64k count=50 skip=1100 2>/dev/null
sleep 0.5
echo 0 >$trace/events/apple_dma/enable
look after
echo "overrun=$(sed -n 's/^overrun: //p' $trace/per_cpu/cpu0/stats)"
echo "trace=$(grep -v '^#' $trace/trace | packed)"
for event in $trace/events/apple_dma/*/format; do
	event=${event%/format}
	echo "event=${event##*/}"
done
for file in "$sysfs"/*; do
	echo "file=${file##*/}"
	[ -d "$file" ] || [ ! -r "$file" ] || [ "${file##*/}" = flush ] ||
		[ -n "$(cat "$file")" ] || fail "$file says nothing"
done

# A reader that is in the middle of the list while the companion goes.
exec 9<"$windows"
read -r _ <&9
echo "$companion" >"/sys/bus/pci/drivers/apple_dma/unbind"
! cat <&9 2>/dev/null || fail "the list of a companion that is gone can be read"
exec 9<&-
[ ! -e "$windows" ] || fail "the list is still there"
rmmod apple_dma
[ ! -e /sys/kernel/debug/apple_dma ] || fail "the folder in debugfs is still there"
[ ! -e $trace/events/apple_dma ] || fail "the events are still there"
"""

EVENT = re.compile(r": (map|unmap|window_create|align|window_evict|doorbell|host_error): (.*)$", re.M)
FIELDS = {
    "map": "companion phys iova size hit",
    "unmap": "companion iova size",
    "window_create": "companion phys iova size",
    "align": "companion phys iova size aligned",
    "window_evict": "companion phys iova size cause",
    "doorbell": "companion op requests bytes ns",
    "host_error": "companion address what",
}
CAUSES = {"age", "room", "align", "flush", "mode", "unmap", "offline", "close", "suspend"}


def unpacked(text):
    """What the guest packed."""
    return gzip.decompress(base64.b64decode(text)).decode()


def number(word):
    """A value of an event or of a counter: a number if it is one."""
    try:
        return int(word, 0)
    except ValueError:
        return word.strip('"')


def looks(run):
    """[{counter: value}] of both looks; `windows` is [(phys, iova, size, users, state)]."""
    found = []
    for part in run.out.split("\n@")[1:3]:
        values = dict(re.findall(r"^(\w+)=(\S+)$", part, re.M))
        listed = [line.split() for line in unpacked(values.pop("windows")).splitlines()]
        look = {name: number(value) for name, value in values.items()}
        look["windows"] = [(*map(number, line[:4]), line[4]) for line in listed]
        found.append(look)
    return found


def events(text):
    """[(name, {field: value})] of a trace, in order; the fields are what they should be."""
    found = []
    for name, fields in EVENT.findall(text):
        values = {key: number(value)
                  for key, value in re.findall(r'(\w+)=("[^"]*"|\S+)', fields)}
        assert list(values) == FIELDS[name].split()
        found.append((name, values))
    return found


class Replay:
    """The windows, by the events."""

    def __init__(self, windows):
        self.windows = {phys: [iova, size, users] for phys, iova, size, users, _ in windows}
        self.fresh = set()

    def window(self, iova, size):
        """The (phys, [iova, size, users]) that a device address is in."""
        found = [(phys, window) for phys, window in self.windows.items()
                 if window[0] <= iova and iova + size <= window[0] + window[1]]
        assert len(found) == 1, f"{iova:#x} is in {len(found)} windows"
        return found[0]

    def map(self, phys, iova, size, hit, **_):
        """In a window, at its place; in a new and empty window if it is no hit."""
        start, window = self.window(iova, size)
        assert iova - window[0] == phys - start
        assert hit in (0, 1)
        if not hit:
            self.fresh.remove(start)
        window[2] += 1

    def unmap(self, iova, size, **_):
        """Of something that is mapped."""
        window = self.window(iova, size)[1]
        window[2] -= 1
        assert window[2] >= 0

    def window_create(self, phys, iova, size, **_):
        """Whole granules, and a handle that is not in use."""
        assert size > 0 and not (phys | iova | size) % 16384
        assert phys not in self.windows
        self.windows[phys] = [iova, size, 0]
        self.fresh.add(phys)

    def align(self, phys, iova, size, aligned, **_):
        """A block of 64 KiB or more in a window; its natural alignment is kept, or is not."""
        start, window = self.window(iova, size)
        assert size >= 65536 and iova - window[0] == phys - start
        natural = min(phys & -phys, 4 << 20)
        while natural > size:
            natural //= 2
        assert aligned == (not (phys - iova) % natural)

    def window_evict(self, phys, iova, size, cause, **_):
        """A window that exists and has no mapping."""
        assert cause in CAUSES
        assert self.windows.pop(phys) == [iova, size, 0]
        self.fresh.discard(phys)

    def doorbell(self, op, requests, bytes, ns, **_):     # pylint: disable=redefined-builtin
        """Within what a command page has room for."""
        assert op in ("map", "unmap")
        assert 1 <= requests <= 64
        assert bytes >= requests * 16384 and ns > 0

    def host_error(self, address, what, **_):
        """The host of this test refuses maps, and makes no breach."""
        assert what == "it refused a window"
        assert address not in self.windows and not address % 16384


def check_counters(before, after, found):
    """Events and counters agree."""
    def delta(name):
        return after[name] - before[name]

    def of(kind):
        return [values for name, values in found if name == kind]

    misses = sum(not each["hit"] for each in of("map"))
    assert misses == delta("misses")
    assert len(of("map")) - misses == delta("hits")
    assert len(of("map")) - len(of("unmap")) == delta("live_mappings")
    assert len(of("window_create")) - len(of("window_evict")) == delta("mapped_entries")
    lazy = [each for each in of("window_evict") if each["cause"] not in ("unmap", "close")]
    assert len(lazy) == delta("evictions")
    assert len(of("host_error")) == delta("refusals")

    rung = of("doorbell")
    assert len(rung) == delta("doorbells")
    assert sum(each["requests"] for each in rung) == delta("requests")
    assert sum(each["requests"] > 1 for each in rung) == delta("batches")
    assert after["doorbell_ns_min"] <= min(each["ns"] for each in rung)
    assert max(each["ns"] for each in rung) <= after["doorbell_ns_max"]
    assert after["doorbell_ns_min"] <= after["doorbell_ns_mean"] <= after["doorbell_ns_max"]
    # What was given back, and what the host had mapped in part and refused.
    assert sum(each["bytes"] for each in rung if each["op"] == "unmap") >= \
        sum(each["size"] for each in of("window_evict"))
    assert sum(each["requests"] for each in rung if each["op"] == "map") == \
        len(of("window_create")) + len(of("host_error"))


def check_look(look):
    """The list has what the counters count."""
    assert len(look["windows"]) == look["mapped_entries"]
    assert sum(window[2] for window in look["windows"]) == look["mapped_bytes"]
    assert sum(window[3] for window in look["windows"]) == look["live_mappings"]
    assert sum(not window[3] for window in look["windows"]) == look["idle_entries"]
    starts = [window[0] for window in look["windows"]]
    assert starts == sorted(set(starts))
    # Windows of the queues, from before the strict mode, take no new mappings.
    assert {window[4] for window in look["windows"]} <= {"active", "retired"}
    # The host counts the same; the probe of the layout is no entry for it.
    assert look["doorbells"] == look["host_doorbells"]
    assert look["requests"] - 1 == look["host_entries"]
    assert look["map_failures"] == sum(value for name, value in look.items()
                                       if name.startswith("failures_"))


@pytest.mark.parametrize("kernel", [
    "6.1", pytest.param("newest", marks=pytest.mark.full),
    pytest.param("debug", marks=pytest.mark.debug)])
def test_events_counters_and_lists_agree(testbed, disk, kernel):
    drive, _ = disk()
    run = testbed(OBSERVE, kernel=kernel, cpus=1, qemu=[drive], module="idle_ms=0",
                  devices=NVME, host=["max-bytes=33554432"])
    before, after = looks(run)
    trace = unpacked(re.search(r"^trace=(\S+)$", run.out, re.M)[1])
    found = events(trace)
    assert len(found) == len(trace.splitlines())
    assert run.value("overrun") == 0
    check_look(before)
    check_look(after)
    check_counters(before, after, found)

    # Each kind, and each cause that can be had here.
    assert {name for name, _ in found} == set(FIELDS)
    assert set(re.findall(r"^event=(\w+)$", run.out, re.M)) == set(FIELDS)
    assert {each["cause"] for name, each in found if name == "window_evict"} >= \
        {"room", "flush", "mode", "unmap", "age"}
    companion = re.search(r"^companion=(\S+)$", run.out, re.M)[1]
    assert {each["companion"] for _, each in found} == {companion}

    replay = Replay(before["windows"])
    for name, fields in found:
        getattr(replay, name)(**fields)
    assert replay.windows == {phys: [iova, size, users]
                              for phys, iova, size, users, _ in after["windows"]}

    text = (TOP / "Documentation/ABI/testing/sysfs-driver-apple-dma").read_text()
    assert set(re.findall(r"^file=(\w+)$", run.out, re.M)) == \
        set(re.findall(r"^What:.*/apple_dma/(\w+)$", text, re.M))
