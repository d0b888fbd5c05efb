# SPDX-License-Identifier: GPL-2.0
"""What tests share that have a disk in use while something happens around it."""

NVME = ["nvme,drive=d0,serial=a"]

# Helpers of the guest side.
TOOLS = r"""
managed=$(basename "$(readlink -f /sys/bus/pci/drivers/apple_dma/0*/apple_dma/managed 2>/dev/null)" || true)
node=/dev/nvme0n1
await_disk() {
	for i in $(seq 200); do [ -b $node ] && return; sleep 0.1; done
	fail "the disk does not come"
}
# Load that goes on until it is stopped, which its device may not live to see. Once in 150
# times fio did not notice that its job had gone with the device: a process that waits for
# nobody. A job that waits for a request would have been left.
stop_load() {
	local each jobs
	jobs=$(cat "/proc/$load/task/$load/children" 2>/dev/null) || true
	kill "$load" 2>/dev/null || true	# it may have seen that the device is gone
	{ sleep 60; kill -9 "$load"; } 2>/dev/null & late=$!
	wait "$load" || true
	kill "$late"
	for each in $jobs; do
		[ ! -e "/proc/$each" ] || fail "a job of the load does not end"
	done
}
start_load() {
	before=$(awk '{print $1}' /sys/block/${node#/dev/}/stat)
	fio --name=load --filename=$node --allow_file_create=0 --direct=1 --rw=randread \
	    --bs=16k --size=64m --iodepth=16 --ioengine=libaio --time_based --runtime=60 \
	    --minimal >/dev/null 2>&1 & load=$!
	for i in $(seq 200); do
		[ "$(awk '{print $1}' /sys/block/${node#/dev/}/stat)" -gt $((before + 100)) ] && return
		sleep 0.05
	done
	fail "the load does not start"
}
verify() {
	fio --name="$1" --filename=$node --direct=1 --rw=randwrite --bsrange=4k-64k \
	    --size="${verify_size:-8m}" \
	    --iodepth=8 --ioengine=libaio --verify=crc32c --verify_fatal=1 --minimal >/tmp/fio ||
		{ cat /tmp/fio; fail "wrong data"; }
}
# Data that a later kernel finds again; to check it, call with --verify_only.
pattern() {
	fio --name=pattern --filename=$node --offset=160m --size=4m --direct=1 --rw=write \
	    --bs=16k --iodepth=8 --ioengine=libaio --verify=crc32c --verify_fatal=1 --minimal \
	    "$@" >/tmp/fio || { cat /tmp/fio; fail "wrong data"; }
}
"""

# The driver of a device, changed by name; nothing of the one before may be left.
DRIVERS = r"""
bound_to() {
	local link
	link=$(readlink "/sys/bus/pci/devices/$1/driver") || return 0
	echo "${link##*/}"
}
override() { echo "$2" >"/sys/bus/pci/devices/$1/driver_override"; }
unbind() { echo "$1" >"/sys/bus/pci/devices/$1/driver/unbind"; }
bind_to() {	# device, driver: to that and no other; fails if it is refused
	override "$1" "$2"
	echo "$1" >"/sys/bus/pci/drivers/$2/bind" 2>/dev/null
}
await() {	# until a condition holds
	local i
	for i in $(seq 200); do
		if "$@" 2>/dev/null; then return; fi
		sleep 0.1
	done
	fail "in vain: $*"
}
clean() {
	[ "$(counter mapped_entries)" = 0 ] && [ "$(counter live_mappings)" = 0 ] &&
		[ "$(host live)" = 0 ] && [ "$(host live_bytes)" = 0 ]
}
unloaded() { rmmod "$1" || [ ! -e "/sys/module/$1" ]; }
"""
