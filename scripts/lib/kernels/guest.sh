#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# guest.sh ROUNDS - run in the guest, with one NVMe disk behind apple_dma: a file
# tree is written and read back. Then the disk's driver is unbound and bound ROUNDS
# times; each time the tree is read and more is written. Module and host must count
# the same all the time.

set -eu

# shellcheck source=scripts/lib/guest/lib.sh
. /usr/lib/testbed/lib.sh

consistent() {	# when
	agree "$1"
	counts_same doorbells doorbells || fail "$1: doorbells"
	[ "$(host faults)" = 0 ] || fail "$1: $(host faults) faults"
}

# The tree comes from the disk: nothing of it is in memory after a mount.
verify() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	mount "$node" /mnt
	(cd /mnt && sha256sum --quiet -c /tmp/sums) || fail "$1: the data is not what was written"
}

await_disk
probed_again=$(dmesg | grep -c 'was bound to nvme before apple_dma was there') || true
mkfs.ext4 -q -F "$node"
mount "$node" /mnt
cp -a /usr/sbin /etc /mnt/
(cd /mnt && find . -xdev -type f -print0 | sort -z | xargs -0 sha256sum) >/tmp/sums
umount /mnt
verify "round trip"
umount /mnt
consistent "round trip"

# Premapped memory is kept until the module goes.
kept=0
! dmesg | grep -q 'apple_dma.*: premapped' || kept=$(counter mapped_entries)

for round in $(seq "$1"); do
	echo "$managed" >/sys/bus/pci/drivers/nvme/unbind
	[ "$(counter mapped_entries)" = "$kept" ] ||
		fail "round $round: $(counter mapped_entries) stay mapped, not $kept"
	consistent "round $round, without a driver"
	echo "$managed" >/sys/bus/pci/drivers/nvme/bind
	await_disk
	verify "round $round"
	dd if=/dev/urandom of="/mnt/round$round" bs=64k count=24 status=none
	(cd /mnt && sha256sum "./round$round") >>/tmp/sums
	umount /mnt
	consistent "round $round"
done
verify "at the end"
umount /mnt

for name in map_failures bad_unmaps broken; do
	[ "$(counter $name)" = 0 ] || fail "$name is $(counter $name)"
done
! dmesg | grep 'nvme.* timeout' >&2 || fail "a request took too long"
[ "$(host map_entries)" -gt 1 ] || [ "$kept" -gt 0 ] || fail "the host has mapped nothing"
unbind "$managed"
await unloaded apple_dma
echo "release=$(uname -r)"
echo "page_size=$(getconf PAGE_SIZE)"
echo "files=$(wc -l </tmp/sums)"
echo "rebinds=$1"
echo "probed_again=$probed_again"
