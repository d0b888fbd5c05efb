#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# lib.sh - what scripts in the guest share; they read it from /usr/lib/testbed.
#
# Functions that are called over and over start no program: an emulated machine
# is slow at that.

# The disk that is used where no other is named, and the device of the first companion.
node=/dev/nvme0n1
managed=$(readlink /sys/bus/pci/drivers/apple_dma/0*/apple_dma/managed 2>/dev/null) || true
managed=${managed##*/}

fail() { echo "guest: $*" >&2; exit 1; }

# ------------------------------------------------------------------- to wait

# within SECONDS COMMAND...: until it succeeds; status 1 if it never does.
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

# await CONDITION: until that line of shell succeeds.
await() { within 150 eval "$*" 2>/dev/null || fail "waited in vain for $*"; }

await_disk() { within 60 test -b "$node" || fail "the disk does not come"; }

# joined PROCESS...: each of these background jobs has succeeded. `wait` alone returns 0
# whatever they returned.
joined() {
	local each
	for each in "$@"; do wait "$each" || fail "a background job failed"; done
}

# ------------------------------------------------------- what both sides count

# counter FILE [COMPANION]: of the module; a line for each companion if none is named.
counter() {
	local f v
	# shellcheck disable=SC2086 # a pattern
	for f in /sys/bus/pci/drivers/apple_dma/${2:-0*}/apple_dma/"$1"; do
		read -r v <"$f"
		echo "$v"
	done
}

# All of them.
counters() {
	local f v
	for f in /sys/bus/pci/drivers/apple_dma/0*/apple_dma/*; do
		[ -d "$f" ] || ! read -r v 2>/dev/null <"$f" || echo "${f##*/}=$v"
	done
}

# host KEY [NAME]: of the statistics of the host NAME, such as companion1, or of the first.
host() {
	host-stats | awk -v RS='}, *{' -v key="\"$1\": *" -v name="\"${2:-}" \
		'$0 ~ name && match($0, key "[^],}]*") {
			value = substr($0, RSTART, RLENGTH); sub(key, "", value); print value; exit }'
}

# agree WHEN [NAME COMPANION]: both count the same.
agree() {
	[ "$(counter mapped_entries "${3:-}")" = "$(host live "${2:-}")" ] || fail "$1: entries"
	[ "$(counter mapped_bytes "${3:-}")" = "$(host live_bytes "${2:-}")" ] || fail "$1: bytes"
	[ "$(counter broken "${3:-}")" = 0 ] || fail "$1: broken"
}

# Nothing is mapped.
clean() {
	[ "$(counter mapped_entries)" = 0 ] && [ "$(counter live_mappings)" = 0 ] &&
		[ "$(host live)" = 0 ] && [ "$(host live_bytes)" = 0 ]
}

# --------------------------------------------------------- drivers of a device

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
unloaded() { rmmod "$1" || [ ! -e "/sys/module/$1" ]; }

# ------------------------------------------------------------- data of a disk

# verified JOB [OPTION]...: fio writes to $node and reads it back; OPTIONs are fio's. It
# fails if a byte is wrong, if there was any other error, and if nothing was read.
verified() {
	local job=$1 log=/tmp/verified.$BASHPID right=0 version error kib
	shift
	fio --name="$job" --filename="$node" --direct=1 --rw=randwrite --bs=16k --iodepth=8 \
		--ioengine=libaio --verify=crc32c --verify_fatal=1 --minimal "$@" >"$log" 2>&1 ||
		right=-1
	# A line for each process, which begins with the version of its format.
	while [ $right -ge 0 ] && IFS=';' read -r version _ _ _ error kib _; do
		[ "$version" = 3 ] || continue
		if [ "$error" = 0 ] && [ "$kib" -gt 0 ]; then right=1; else right=-1; fi
	done <"$log"
	[ $right = 1 ] || { cat "$log" >&2; fail "wrong data: $job on $node"; }
}

# In pieces of many sizes, from 16 MiB on.
verify() {	# job; fio's options follow
	verified "$1" --bsrange=4k-64k --offset=16m --size=8m "${@:2}"
}

# The first 4 MiB are written, and have to be there later.
keep() { verified keep --rw=write --size=4m "$@"; }
kept() { keep --verify_only; }

# Reads of $node up to now.
ios() {
	local count
	read -r count _ <"/sys/block/${node#/dev/}/stat"
	echo "$count"
}

# Reads of $node that go on until they are stopped, which the device may not live to see.
start_load() {	# fio's options
	local before
	before=$(ios)
	fio --name=load --filename="$node" --allow_file_create=0 --direct=1 --rw=randread \
		--bs=16k --size=32m --iodepth=16 --ioengine=libaio --time_based --runtime=600 \
		--minimal "$@" >/dev/null 2>&1 & load=$!
	await "[ \$(ios) -gt $((before + 100)) ]"
}

# Once in 150 times fio did not notice that its job had gone with the device: a process
# that waits for nobody. A job that waits for a request would have been left.
stop_load() {
	local each jobs late
	jobs=$(cat "/proc/$load/task/$load/children" 2>/dev/null) || true
	kill "$load" 2>/dev/null || true	# it may have seen that the device is gone
	{ sleep 60; kill -9 "$load"; } 2>/dev/null & late=$!
	wait "$load" || true
	kill "$late"
	for each in $jobs; do
		[ ! -e "/proc/$each" ] || fail "a job of the load does not end"
	done
}

# ----------------------------------------------------------- a guest that sleeps

# The testbed's own disks are CDs, which say after a reset that they may be others; to open
# them is to believe that they are not. Until then reads fail, and a program that needs a
# page of its file is killed (SIGBUS): all that is mapped, or may be started meanwhile, is
# read before.
resident() {
	{ type -P fio dd cat grep tail sleep sort xargs; LD_TRACE_LOADED_OBJECTS=1 fio
	  cat /proc/[0-9]*/maps; } 2>/dev/null |
		grep -oE '/(usr|bin|lib|sbin)[^ ]*' | sort -u | xargs -r cat >/dev/null 2>&1 || true
}
reopen() {
	local each
	for each in /dev/sr0 /dev/sr1 /dev/sr2; do
		for _ in {1..100}; do : <$each && break; done 2>/dev/null
	done
}
