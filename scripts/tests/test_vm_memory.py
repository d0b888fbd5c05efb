# SPDX-License-Identifier: GPL-2.0
"""Memory is added, removed and moved while a disk is in use: the data stays right."""

import re

import pytest

from conftest import NVME

TOOLS = r"""
sys=$(echo /sys/bus/pci/drivers/apple_dma/0*/apple_dma)
# Verified writes from ever new memory, one after the other until told to stop.
start_writes() {	# offset, size; fio's options follow
	rm -f /tmp/stop
	( n=0
	  while [ ! -e /tmp/stop ]; do
		verified w --bsrange=4k-128k --offset=${1:-32m} --size=${2:-8m} --iodepth=16 "${@:3}"
		n=$((n + 1))
	  done
	  echo "writes=$n" ) & writes=$!
}
stop_writes() { touch /tmp/stop; joined $writes; }
blocks() {	# of memory, those of the zone $1
	grep -lx "$1" /sys/devices/system/memory/memory*/valid_zones | xargs -rn1 dirname
}
# What leads to memory from $1 up to $2 is registered.
windows_in() {
	local phys size users state
	while read -r phys _ size users state; do
		[ $((phys)) -ge $(($2)) ] || [ $((phys + size)) -le $(($1)) ] ||
			echo "$phys+$size: $users, $state"
	done <"$(echo /sys/kernel/debug/apple_dma/*/windows)"
}
# A buffer that the device fills, $1 MiB: what of it is given back and comes again is
# other memory of the host's, and a window that was kept would lead to the one before.
fill() { dd if=/dev/nvme0n1 of=/dev/null bs="$1M" count=1 iflag=direct 2>/dev/null; }
# Memory that a hog has and leaves again, $1 MiB.
hog() { dd if=/dev/zero of=/dev/null bs="$1M" count=1 2>/dev/null; }
"""


def check(run, device="companion0"):
    """Neither side lost anything."""
    assert run.value("writes") > 0
    assert run.value("map_failures") == run.value("bad_unmaps") == run.value("broken") == 0
    now = run.stats[device]
    assert now["faults"] == now["live"] == now["failed_entries"] == 0


DIMM = r"""
dimms=0
plug() {	# other memory of the host's each time: the last one's is kept until then
	dimms=$((dimms + 1))
	host-ask monitor object_add memory-backend-ram,id=m$dimms,size=256M >/dev/null
	[ $dimms = 1 ] || host-ask monitor object_del m$((dimms - 1)) >/dev/null
	host-ask monitor device_add pc-dimm,id=dimm$dimms,memdev=m$dimms >/dev/null
	await '[ "$(blocks Movable | wc -l)" = 2 ]'
}
unplug() {	# the guest puts its memory offline when it is asked, or says that it cannot now
	await 'host-ask monitor device_del dimm$dimms >/dev/null 2>&1 || true
		[ -z "$(host-ask monitor info memory-devices)" ]'
	[ -z "$(blocks Movable)" ] || fail "the memory is still there"
	[ -z "$(windows_in 0x100000000 0x200000000)" ] ||
		fail "the DIMM is gone: $(windows_in 0x100000000 0x200000000)"
}
in_use() {	# pages of processes in the DIMM
	awk '/^Node/ { on = $4 == "Movable" } on && /nr_zone_(in)?active_anon/ { n += $2 }
		END { print n + 0 }' /proc/zoneinfo
}
"""


@pytest.mark.parametrize("rounds", [2, pytest.param(4, marks=pytest.mark.full)])
def test_dimm_comes_and_goes_under_writes(testbed, disk, rounds):
    """New buffers are in it until it is removed; then none of it is registered.

    The next DIMM has the same address and is other memory.
    """
    drive, _ = disk()
    run = testbed(TOOLS + DIMM + f"""
start_writes
for round in $(seq {rounds}); do
	plug
	await '[ "$(in_use)" -gt 200 ]'
	unplug
done
stop_writes
agree end
counters
""", qemu=[drive, "-m slots=2,maxmem=2G"], devices=NVME,
                  append="memhp_default_state=online_movable")
    check(run)
    assert run.value("evictions") > 0


@pytest.mark.full
def test_blocks_offline_and_online_under_writes(testbed, disk):
    """Each block of a DIMM in turn; a block whose pages are in use is tried again."""
    drive, _ = disk()
    run = testbed(TOOLS + DIMM + """
plug
start_writes
n=0 size=0x$(cat /sys/devices/system/memory/block_size_bytes)
for round in 1 2; do
	for block in $(blocks Movable); do
		for try in $(seq 50); do echo offline >$block/state 2>/dev/null && break; done
		[ "$(cat $block/state)" = offline ] || continue
		n=$((n + 1))
		[ -z "$(windows_in $((${block##*memory} * size)) $(((${block##*memory} + 1) * size)))" ] ||
			fail "$block is offline: $(cat /sys/kernel/debug/apple_dma/*/windows)"
		sleep 0.3
		echo online_movable >$block/state
	done
done
stop_writes
agree end
echo "offline=$n"
counters
""", qemu=[drive, "-m slots=2,maxmem=2G"], devices=NVME,
                  append="memhp_default_state=online_movable")
    check(run)
    assert run.value("offline") > 1


BALLOON = r"""
# Linux 6.1 warns when it reports free pages while it turns the power off.
no_balloon() {
	local each
	for each in /sys/bus/virtio/drivers/virtio_balloon/virtio*; do
		echo "${each##*/}" >/sys/bus/virtio/drivers/virtio_balloon/unbind
	done
}
# Windows of the cached mode, with more than what is mapped in them, that take more.
too_large() { awk '$3 >= 4 * 1048576 && $5 == "active"' /sys/kernel/debug/apple_dma/*/windows; }
balloon_is() { host-ask monitor info balloon | tr -dc 0-9; }
balloon() {	# the guest is left with $1 MiB
	host-ask monitor balloon "$1" >/dev/null
	await "[ \"\$(balloon_is)\" = $1 ]"
}
"""


@pytest.mark.full
@pytest.mark.parametrize("late, dext", [(False, []), (True, []), (False, ["nvme,size=192M"])])
def test_balloon_inflates_and_deflates_under_writes(testbed, disk, late, dext):
    """Pages come back as other memory of the host, also behind an extension. When a balloon
    comes late, what was kept until then is given back.
    """
    drive, _ = disk()
    device = "virtio-balloon-pci,id=balloon0,free-page-reporting=on,deflate-on-oom=on"
    plug = f"modprobe virtio_balloon; host-ask monitor device_add {device},bus=late >/dev/null"
    port = "-device pcie-root-port,id=late,chassis=99,bus=pcie.0,addr=0xf"
    run = testbed(TOOLS + BALLOON + f"""
start_writes
{"await '[ $(counter idle_entries) -gt 0 ]'; " + plug if late else ""}
await '[ "$(cat $sys/mode)" = strict ]'
await '[ -n "$(balloon_is)" ]'
await '[ -z "$(too_large)" ]'
for round in 1 2; do
	balloon 400
	hog 100
	balloon 768
	hog 300
done
[ "$(counter idle_entries)" = 0 ] || fail "idle windows"
stop_writes
agree end
no_balloon
counters
""", qemu=[drive, port if late else f"-device {device}"], devices=[] if dext else NVME, dext=dext,
                  mem="768M")
    check(run, "dext0" if dext else "companion0")


class Discards:
    """The guest memory that QEMU gives back from `self.begin` on, by its trace."""

    def __init__(self, folder):
        self.log = folder / "discards"
        self.qemu = f"-D {folder}/early -trace ram_block_discard_range"
        self.begin = f"host-ask monitor logfile {self.log} >/dev/null"

    def bytes(self):
        """The sum, without what failed."""
        found = re.findall(r"ram_block_discard_range (\S+)@\S+ \+ (0x[0-9a-f]+): .* ret: 0$",
                           self.log.read_text(), re.M)
        return sum(int(size, 0) for _, size in found)


@pytest.mark.full
def test_free_page_reporting_under_writes(testbed, disk, tmp_path):
    """The guest tells the host which pages it does not use, and uses them again."""
    drive, _ = disk(size="320M")
    discards = Discards(tmp_path)
    run = testbed(TOOLS + BALLOON + f"""
[ "$(cat $sys/mode)" = strict ] || fail "mode is $(cat $sys/mode)"
start_writes
{discards.begin}
for round in $(seq 3); do
	fill 256
	sleep 3
	hog 400
	sleep 3
done
stop_writes
agree end
no_balloon
counters
""", qemu=[drive, "-device virtio-balloon-pci,free-page-reporting=on", discards.qemu],
                  devices=NVME, mem="768M")
    check(run)
    assert discards.bytes() > 0


@pytest.mark.full
def test_virtio_mem_grows_and_shrinks_under_writes(testbed, disk, tmp_path):
    """Memory in blocks of 2 MiB, which the host takes and gives."""
    drive, _ = disk(size="320M")
    discards = Discards(tmp_path)
    run = testbed(TOOLS + discards.begin + """
await '[ "$(cat $sys/mode)" = strict ]'
size() { host-ask monitor qom-get vmem0 size; }
start_writes
for round in 1 2; do
	# Down to a block of the guest's and a quarter: no memory goes offline for that.
	# What comes back is used last.
	for want in 268435456 167772160 268435456 0; do
		host-ask monitor qom-set vmem0 requested-size $want >/dev/null
		await "[ \\"\\$(size)\\" = $want ]"
		fill 240
		sleep 1
	done
done
stop_writes
agree end
counters
""", qemu=[drive, "-m slots=1,maxmem=2G -object memory-backend-ram,id=vm0,size=512M "
           "-device virtio-mem-pci,id=vmem0,memdev=vm0,requested-size=0", discards.qemu],
                  devices=NVME, append="memhp_default_state=online_movable")
    check(run)
    assert discards.bytes() == 2 * ((256 - 160 + 256) << 20)


@pytest.mark.full
@pytest.mark.parametrize("mode", ["cached", "strict"])
def test_pages_move_under_writes(testbed, disk, mode):
    """Huge pages are made and split, memory is compacted, and a program forces reclaim."""
    drive, _ = disk(size="256M")
    run = testbed(TOOLS + """
huge=/sys/kernel/mm/transparent_hugepage
echo always >$huge/enabled
echo always >$huge/defrag
echo 0 >$huge/khugepaged/scan_sleep_millisecs
echo 4096 >$huge/khugepaged/pages_to_scan
moved() { awk '/^(compact_migrate_scanned|pgmigrate_success|thp_collapse_alloc|thp_fault_alloc) /
	{ print "moved_" $1 "=" $2 }' /proc/vmstat; }
await_disk
mkfs.ext4 -q -F /dev/nvme0n1 30m
mount /dev/nvme0n1 /mnt
mkdir /mnt/bin
find /usr/bin -type f -printf '%s %p\\n' | awk '(n += $1) < 20000000 { print $2 }' |
	xargs cp -t /mnt/bin
(cd /mnt && find bin -type f | sort | xargs -d '\\n' sha256sum) >/tmp/sums
[ "$(wc -l </tmp/sums)" -gt 20 ]
start_writes 48m 8m --allow_mounted_write=1
( while [ ! -e /tmp/stop ]; do echo 1 >/proc/sys/vm/compact_memory; done ) & compact=$!
for round in 1 2 3; do
	hog 250
	echo 1 >/proc/sys/vm/drop_caches
	(cd /mnt && sha256sum --quiet -c /tmp/sums) || fail "the files are wrong"
done
stop_writes
joined $compact
umount /mnt
agree end
moved
counters
""", qemu=[drive], devices=NVME, module=f"mode={mode}", mem="512M")
    check(run)
    assert run.value("moved_pgmigrate_success") > 1000
    assert run.value("moved_thp_fault_alloc") > 0
