#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# guest.sh - what happens to a guest of scripts/soak: the events of /root/soak.plan,
# one after the other, beside a load that verifies what it writes.
#
# usage: guest.sh END
#
# END, in seconds since 1970, is when no event is begun any more, but for the first
# few. Companion 0 has a disk, companion 1 an edu device for the test driver; which
# `drivers` are bound at the end, and what stays registered, is checked.
#
# Lines that begin with @ are for the harness (tally.py).

end=$1
least=8			# events, however late it is
run=/run/soak
driver=/sys/bus/pci/drivers/apple_dma
companion=(0000:00:03.0 0000:00:04.0)
port=(0000:00:10.0 0000:00:11.0)
# Registrations on the hosts that nobody here has made, or that a broken host kept.
left=(0 0)
loop=''

say() { echo "@ $*"; }
# What cannot go on.
fatal() { say "$@"; exit 3; }

await() {	# seconds, command
	local tries=$(($1 * 10))
	shift
	until "$@"; do
		[ $((tries--)) -gt 0 ] || return 1
		sleep 0.1
	done
}

now() { printf '%(%s)T' -1; }

# ------------------------------------------------------------ what both sides say

counter() {	# of companion $1: file $2
	local value=0
	read -r value 2>/dev/null <"$driver/${companion[$1]}/apple_dma/$2"
	echo "$value"
}

host() {	# of companion $1: key $2
	host-stats | sed 's/}, */}\n/g' | sed -n "$(($1 + 1))p" | tr ',{}[]' '\n' |
		sed -n "s/^ *\"$2\": *//p" | head -n 1
}

tell() { host-set "$@" >/dev/null; }

# What is on the host of companion $1 beyond what the module knows of; without load.
strays() { echo $(($(host "$1" live) - $(counter "$1" mapped_entries))); }

# Companion $1 has no driver, or its device has none: what was known of is all that
# may be there.
clean() {	# companion, after what
	local live mapped=0
	[ ! -e "$driver/${companion[$1]}" ] || mapped=$(counter "$1" mapped_entries)
	live=$(host "$1" live)
	[ "$mapped" = 0 ] || say "leak $2: companion $1 has $mapped registrations"
	[ "$live" -le "${left[$1]}" ] ||
		say "leak $2: the host of companion $1 has $live registrations, ${left[$1]} known"
	left[$1]=$live
}

# ---------------------------------------------------------------------- the disk

# The device behind port $1: its place, if it is there.
behind() {
	local found
	for found in "/sys/bus/pci/devices/${port[$1]}"/0000:*; do
		[ ! -e "$found/class" ] || case ${found##*/} in *:pcie*) ;; *) echo "${found##*/}" ;; esac
	done
}

has_disk() {
	local found state
	for found in "/sys/bus/pci/devices/$(behind 0)"/nvme/nvme*/nvme*n1; do
		disk=/dev/${found##*/}
		read -r state 2>/dev/null <"${found%/*}/state" && [ "$state" = live ] && [ -b "$disk" ] &&
			return
	done
	return 1
}

await_disk() { await 60 has_disk || fatal "lost after $1 the disk does not come back"; }

load_loop() {
	local status line error kib
	while [ ! -e $run/stop ]; do
		fio --name=load --filename="$disk" --allow_file_create=0 --direct=1 --ioengine=libaio \
			--rw=randwrite --bsrange=4k-64k --offset=32m --size=6m --iodepth=8 --randrepeat=0 \
			--verify=crc32c --verify_fatal=1 --minimal >$run/fio 2>$run/fio.err &
		echo $! >$run/fio.pid
		wait $!
		status=$?
		line=$(grep -m 1 '^[0-9];' $run/fio)
		IFS=';' read -r _ _ _ _ error kib _ <<<"$line"
		if [ $status = 0 ] && [ "$error" = 0 ]; then
			say "io $kib"
		elif [ -e $run/expected ]; then
			# Whatever the error: a disk that goes has no size any more, reads of it end
			# with nothing, and fio then compares what the buffer had before.
			say interrupted
			return
		else
			say "lost a load ended with $status, error $error: $(tail -n 1 $run/fio.err)"
			sleep 1
		fi
	done
}

load_start() {
	rm -f $run/stop $run/expected
	load_loop &
	loop=$!
}

load_stop() {
	[ -n "$loop" ] || return
	touch $run/stop
	wait "$loop"
	loop=''
}

# What follows takes the disk away, and the load may see that.
disturb() { touch $run/expected; }
disturbed() {
	touch $run/stop
	kill "$(cat $run/fio.pid)" 2>/dev/null
	wait "$loop"
	loop=''
}

block() { dd if="$disk" bs=1M skip="$1" count="$2" iflag=direct status=none | sha256sum; }

do_write() {
	dd if=/dev/urandom of=$run/block bs=1M count=1 status=none
	dd if=$run/block of="$disk" bs=1M seek=$((4 + $1)) oflag=direct status=none ||
		say "lost slot $1 cannot be written"
	local sum
	sum=$(sha256sum <$run/block)
	say "wrote $1 ${sum%% *}"
}

do_read() {
	local sum
	sum=$(block $((4 + $1)) 1)
	say "read $1 ${sum%% *}"
}

do_golden() {
	local sum
	sum=$(block 0 4)
	say "golden ${sum%% *}"
}

# --------------------------------------------------------------- drivers, modules

do_rebind() {
	local device
	device=$(behind 0)
	disturb
	echo "$device" >/sys/bus/pci/drivers/nvme/unbind
	disturbed
	clean 0 rebind
	echo "$device" >/sys/bus/pci/drivers/nvme/bind
	await_disk rebind
	load_start
}

unloaded() { rmmod apple_dma 2>/dev/null || [ ! -e /sys/module/apple_dma ]; }

do_reload() {	# parameters
	disturb
	behind 0 >/sys/bus/pci/drivers/nvme/unbind
	disturbed
	await 30 unloaded || fatal "problem the module cannot be unloaded"
	clean 0 reload
	clean 1 reload
	insmod "$APPLE_DMA_KO" "$@" || fatal "problem the module does not load with $*"
	await_disk reload
	load_start
}

do_companion() {
	disturb
	echo 1 >"/sys/bus/pci/devices/${companion[0]}/remove"
	disturbed
	clean 0 "removed companion"
	echo 1 >/sys/bus/pci/rescan
	await_disk "removed companion"
	load_start
}

do_device() {
	disturb
	echo 1 >"/sys/bus/pci/devices/$(behind 0)/remove"
	disturbed
	clean 0 "removed device"
	echo 1 >/sys/bus/pci/rescan
	await_disk "removed device"
	load_start
}

do_mode() {
	local mode
	read -r mode <"$driver/${companion[0]}/apple_dma/mode"
	if [ "$mode" = strict ]; then mode=cached; else mode=strict; fi
	# With a balloon there is no other mode.
	echo $mode 2>/dev/null >"$driver/${companion[0]}/apple_dma/mode" || [ $mode = cached ] ||
		say "problem mode $mode is refused"
}

do_knobs() {
	echo "$1" 2>/dev/null >"$driver/${companion[0]}/apple_dma/batch_max"
	echo "$2" >"$driver/${companion[0]}/apple_dma/idle_ms"
}

do_flush() { echo 1 >"$driver/${companion[0]}/apple_dma/flush"; }
do_idle() { sleep "$1"; }

# -------------------------------------------------------------------- the hosts

do_odd() {
	tell companion0 lie "$1"
	sleep "$2"
	tell companion0 lie none
}

do_refuse() {
	tell companion0 lie "$1"
	[ $((RANDOM % 2)) = 0 ] || do_flush
	sleep "$2"
	tell companion0 lie none
}

do_slow() {
	tell companion0 latency-us "$1"
	sleep "$2"
	tell companion0 latency-us 0
}

edu() {	# cases, count: whether all went well
	dmesg -C
	insmod /root/edu.ko "run=$1" "count=$2" || return
	rmmod apple_dma_edu
	dmesg | grep -q 'apple_dma_edu: ok 1 - '
}

do_edu() { edu "$@" || say "lost the edu device's $1 failed"; }

do_leak() {
	edu leak 4 || say "lost the edu device's leak failed"
	clean 1 "a driver that leaks"
}

# The host of companion $1 was told to be honest again.
heal() {
	[ "$(counter "$1" broken)" = 1 ] || say "problem companion $1 believes $2"
	[ "$(counter $((1 - $1)) broken)" = 0 ] || say "problem the other companion is broken by $2"
	echo "${companion[$1]}" >"$driver/unbind"
	# What it answers late, it has answered by then. All that it has now was made
	# before: nobody knows of it any more.
	sleep 0.3
	local before=${left[$1]}
	left[$1]=$(host "$1" live)
	[ "${left[$1]}" -le "$before" ] || say "left $((left[$1] - before))"
	echo "${companion[$1]}" >"$driver/bind"
}

do_break() {
	echo strict >"$driver/${companion[1]}/apple_dma/mode"
	tell companion1 lie-after "$2"
	tell companion1 lie "$1"
	edu broken 8
	tell companion1 lie none
	tell companion1 lie-after 0
	heal 1 "$1"
	[ "$(counter 0 broken)" = 0 ] || say "problem companion 0 is broken by a lie to another"
	edu sg 8 || say "lost after $1 the edu device does not work"
}

# A request that is done before its host is found out: nvme would ask for another map
# for ever.
do_breakdisk() {
	load_stop
	echo strict >"$driver/${companion[0]}/apple_dma/mode"
	tell companion0 lie unmap-fail
	dd if="$disk" of=/dev/null bs=4k count=1 iflag=direct status=none ||
		say "lost a read fails as its host breaks"
	tell companion0 lie none
	heal 0 unmap-fail
	await_disk breakdisk
	load_start
}

# ------------------------------------------------------------------- the machine

do_pressure() {
	local kib
	kib=$(awk '/MemAvailable/ { print int($2 * 0.5) }' /proc/meminfo)
	dd if=/dev/zero of=/dev/shm/pressure bs=1M count=$((kib / 1024)) status=none 2>/dev/null
	echo 1 >/proc/sys/vm/compact_memory
	rm -f /dev/shm/pressure
	echo 3 >/proc/sys/vm/drop_caches
}

do_balloon() {
	host-ask monitor "balloon $1" >/dev/null
	sleep 2
	host-ask monitor "balloon 4096" >/dev/null
	sleep 1
}

# Under load; what is told has to be out of the guest by then.
do_reboot() {
	say "leaving reboot ${left[*]}"
	sleep 1
	reboot -f
	sleep 60
}

do_reset() {
	say "leaving reset ${left[*]}"
	sleep 1
	echo b >/proc/sysrq-trigger
	sleep 60
}

# ------------------------------------------------------------------ one after the other

mkdir -p $run
mapfile -t events </root/soak.plan
await_disk boot
left=("$(strays 0)" "$(strays 1)")
say "boot $BOOT ${left[*]}"
index=0 boots=1
while [ $boots -lt "$BOOT" ]; do
	case ${events[index]} in reboot | reset) boots=$((boots + 1)) ;; esac
	index=$((index + 1))
done
do_golden
load_start
while [ $index -lt ${#events[@]} ]; do
	[ $index -lt $least ] || [ "$(now)" -lt "$end" ] || break
	read -ra words <<<"${events[index]}"
	# They do not come back.
	case ${words[0]} in reboot | reset) say "did ${words[*]}" ;; esac
	"do_${words[0]}" "${words[@]:1}"
	say "did ${words[*]}"
	index=$((index + 1))
done

load_stop
do_golden
for name in bad_unmaps broken; do
	for i in 0 1; do
		[ "$(counter $i $name)" = 0 ] || say "problem companion $i: $name is $(counter $i $name)"
	done
done
behind 0 >/sys/bus/pci/drivers/nvme/unbind
clean 0 end
clean 1 end
await 30 unloaded || say "problem the module cannot be unloaded at the end"
clean 0 unloaded
clean 1 unloaded
say "over"
