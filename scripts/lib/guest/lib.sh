#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# lib.sh - functions for scripts in the guest, as /usr/lib/testbed/lib.sh.
#
# Functions that run often start no program, as that is slow in an emulated machine.

# The default disk, and the device of the first companion.
node=/dev/nvme0n1
managed=$(readlink /sys/bus/pci/drivers/apple_dma/0*/apple_dma/managed 2>/dev/null) || true
managed=${managed##*/}

fail() { echo "guest: $*" >&2; exit 1; }

# ------------------------------------------------------------------- waiting

# within SECONDS COMMAND...: wait until it succeeds; status 1 if it does not.
within() {
	local end=$((SECONDS + $1))
	shift
	until "$@"; do
		[ $SECONDS -lt $end ] || return 1
		sleep 0.1
	done
}

# await CONDITION: wait until that line of shell succeeds.
await() { within 150 eval "$*" 2>/dev/null || fail "waited in vain for $*"; }

await_disk() { within 60 test -b "$node" || fail "the disk does not come"; }

# joined PROCESS...: wait for these background jobs; each must succeed. `wait` alone
# returns 0 even if they fail.
joined() {
	local each
	for each in "$@"; do wait "$each" || fail "a background job failed"; done
}

# ------------------------------------------------- counters of module and host

# counter FILE [COMPANION]: the module's; a line for each companion if none is named.
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

# host KEY [NAME]: a statistic of the host NAME, such as companion1, or of the first.
host() {
	host-stats | awk -v RS='}, *{' -v key="\"$1\": *" -v name="\"${2:-}" \
		'$0 ~ name && match($0, key "[^],}]*") {
			value = substr($0, RSTART, RLENGTH); sub(key, "", value); print value; exit }'
}

# counts_same FILE KEY [NAME COMPANION]: do module and host come to count the same? Idle windows
# may be given back between the two reads.
counts_same() { within 20 counts_same_now "$@"; }
counts_same_now() { [ "$(counter "$1" "${4:-}")" = "$(host "$2" "${3:-}")" ]; }

# agree WHEN [NAME COMPANION]: they must.
agree() {
	counts_same mapped_entries live "${@:2}" || fail "$1: entries"
	counts_same mapped_bytes live_bytes "${@:2}" || fail "$1: bytes"
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

# Pieces of many sizes, from 16 MiB on.
verify() {	# job; fio's options follow
	verified "$1" --bsrange=4k-64k --offset=16m --size=8m "${@:2}"
}

# Write the first 4 MiB; a later function checks them.
keep() { verified keep --rw=write --size=4m "$@"; }
kept() { keep --verify_only; }

# The number of reads of $node so far.
ios() {
	local count
	read -r count _ <"/sys/block/${node#/dev/}/stat"
	echo "$count"
}

# Read $node until stopped; the device may go before that.
start_load() {	# fio's options
	local before
	before=$(ios)
	fio --name=load --filename="$node" --allow_file_create=0 --direct=1 --rw=randread \
		--bs=16k --size=32m --iodepth=16 --ioengine=libaio --time_based --runtime=600 \
		--minimal "$@" >/dev/null 2>&1 & load=$!
	await "[ \$(ios) -gt $((before + 100)) ]"
}

# Once in 150 times fio does not notice that its job ended with the device, and does not
# end; it is killed. A job that still waits for a request is an error.
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

# ------------------------------------------------------------- suspend and resume

# The testbed's own disks are CDs. After a reset they report that the medium may have
# changed, and reads fail until somebody opens them. A program that needs a page of its file
# is then killed (SIGBUS). So all files that are mapped or may be started are read before.
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
