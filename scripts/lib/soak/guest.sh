#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# guest.sh - run the events of /root/soak.plan in a guest of scripts/soak, one after
# the other, beside a load that verifies what it writes.
#
# usage: guest.sh END
#
# After END, in seconds since 1970, no event is started except the first few. Companion 0
# has a disk, companion 1 an edu device for the test driver. At the end it checks which
# `drivers` are bound and what is still registered.
#
# Lines that begin with @ are for the harness (tally.py).

# shellcheck source=scripts/lib/guest/lib.sh
. /usr/lib/testbed/lib.sh
end=$1
least=8			# events, however late it is
run=/run/soak
driver=/sys/bus/pci/drivers/apple_dma
# The ports of devices and companions.
port=(0000:00:10.0 0000:00:11.0)
companion_port=(0000:00:17.0 0000:00:18.0)
# Registrations on the hosts that an earlier kernel made, or that a broken host kept.
left=(0 0)
loop=''

say() { echo "@ $*"; }
# End the guest with a reason.
fatal() { say "$@"; exit 3; }

now() { printf '%(%s)T' -1; }

# ----------------------------------------------------- counters of both sides

counter() {	# of companion $1: file $2
	local value=0
	read -r value 2>/dev/null <"$driver/${companion[$1]}/apple_dma/$2"
	echo "$value"
}

host() {	# of companion $1, 0 if it is pulled out: key $2
	local value
	value=$(host-stats | sed 's/}, */}\n/g' | sed -n "$(($1 + 1))p" | tr ',{}[]' '\n' |
		sed -n "s/^ *\"$2\": *//p" | head -n 1)
	echo "${value:-0}"
}

tell() { host-set "$@" >/dev/null; }

# Registrations on the host of companion $1 that the module does not know; without load.
strays() { echo $(($(host "$1" live) - $(counter "$1" mapped_entries))); }

# Companion $1 or its device has no driver: only registrations that were known before
# may be left.
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

# The place of the device behind the port $1, if there is one.
at() {
	local found
	for found in "/sys/bus/pci/devices/$1"/0000:*; do
		[ ! -e "$found/class" ] || case ${found##*/} in *:pcie*) ;; *) echo "${found##*/}" ;; esac
	done
}
behind() { at "${port[$1]}"; }

has_disk() {
	local found state
	for found in "/sys/bus/pci/devices/$(behind 0)"/nvme/nvme*/nvme*n1; do
		disk=/dev/${found##*/}
		read -r state 2>/dev/null <"${found%/*}/state" && [ "$state" = live ] && [ -b "$disk" ] &&
			return
	done
	return 1
}

await_disk() { within 120 has_disk || fatal "lost after $1 the disk does not come back"; }

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
			# Any error may come: a disk that goes has size 0, so reads return nothing, and
			# fio compares the old content of the buffer.
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
	within 30 unloaded || fatal "problem the module cannot be unloaded"
	clean 0 reload
	clean 1 reload
	insmod "$APPLE_DMA_KO" "$@" || fatal "problem the module does not load with $*"
	await_disk reload
	load_start
}

# Remove a device or companion, $1, of number $2, in one of three ways, and bring it back.
gone() { [ -z "$(at "$1")" ]; }
power_of() {	# the file
	case $1 in
	device) echo "/sys/bus/pci/slots/$((16 + $2))/power" ;;
	*) echo "/sys/bus/pci/slots/$((23 + $2))/power" ;;
	esac
}
take_out() {
	local where=${port[$2]}
	[ "$1" = device ] || where=${companion_port[$2]}
	case $3 in
	remove) echo 1 >"/sys/bus/pci/devices/$(at "$where")/remove" ;;
	eject) echo 0 >"$(power_of "$1" "$2")" ;;
	pull) host-ask pull "$1$2" >/dev/null ;;
	esac
	within 60 gone "$where" || fatal "problem $1 $2 does not go: $3"
}
# The port turns the slot's power off in its own time, and for a second after that does
# not see what is put in.
put_in() {
	if [ "$3" = remove ]; then
		echo 1 >/sys/bus/pci/rescan
		return
	fi
	within 60 grep -q 0 "$(power_of "$1" "$2")" || fatal "problem the slot of $1 $2 keeps its power"
	sleep 2
	host-ask plug "$1$2" >/dev/null
}

do_companion() {	# remove, eject
	disturb
	take_out companion 0 "$1"
	disturbed
	clean 0 "companion, $1"
	put_in companion 0 "$1"
	await_disk "companion, $1"
	load_start
}

do_device() {	# remove, eject
	disturb
	take_out device 0 "$1"
	disturbed
	clean 0 "device, $1"
	put_in device 0 "$1"
	await_disk "device, $1"
	load_start
}

# Without a word: the disk under load, or the companion of a device that is idle, as
# one that is at work would meet what the DART has taken from it.
do_pull() {	# device, companion
	if [ "$1" = device ]; then
		do_device pull
		return
	fi
	take_out companion 1 pull
	clean 1 "companion, pull"
	put_in companion 1 pull
	within 60 is_bound 1 || fatal "lost a companion that was pulled does not come back"
	edu sg 8 || say "lost with its companion back the edu device does not work"
}
is_bound() { [ -e "$driver/${companion[$1]}/apple_dma/managed" ]; }

do_mode() {
	local mode
	read -r mode <"$driver/${companion[0]}/apple_dma/mode"
	if [ "$mode" = strict ]; then mode=cached; else mode=strict; fi
	# With a balloon strict is the only mode.
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

# The host of companion $1 gives right answers again.
heal() {
	[ "$(counter "$1" broken)" = 1 ] || say "problem companion $1 believes $2"
	[ "$(counter $((1 - $1)) broken)" = 0 ] || say "problem the other companion is broken by $2"
	echo "${companion[$1]}" >"$driver/unbind"
	# Late answers have come by then. What is registered now was registered before, and
	# the module does not know of it any more.
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

# One request, which ends before the module sees the breach. Under load nvme would repeat
# a failed map for ever.
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

# The windows into memory from $1 up to $2.
windows_in() {
	local phys size rest
	cat /sys/kernel/debug/apple_dma/*/windows | while read -r phys _ size rest; do
		[ $((phys)) -ge "$2" ] || [ $((phys + size)) -le "$1" ] || echo "$phys+$size: $rest"
	done
}

# The kernel moves what a block has to other memory. A block with a page that cannot be moved
# it refuses, and prints that page; one with a page that somebody keeps it tries for ever.
do_offline() {	# how many blocks
	local block start size=0x n=0 refused=0
	size+=$(cat /sys/devices/system/memory/block_size_bytes)
	for block in /sys/devices/system/memory/memory*; do
		[ "$(cat "$block/removable")" = 1 ] || continue
		timeout 20 sh -c "echo offline >$block/state" 2>/dev/null
		if [ "$(cat "$block/state")" != offline ]; then
			refused=$((refused + 1))
			continue
		fi
		start=$((${block##*memory} * size))
		[ -z "$(windows_in $start $((start + size)))" ] ||
			say "problem ${block##*/} is offline, and there are windows in it"
		echo online >"$block/state" || say "problem ${block##*/} does not come back"
		n=$((n + 1))
		[ $n -lt "$1" ] || break
	done
	say "offline $n $refused"
}

# Only where the kernel has failslab. What must not wait is refused memory, whoever
# wants it.
do_starve() {	# percent, seconds
	local each debugfs=/sys/kernel/debug
	for each in failslab fail_page_alloc; do
		echo 0 >$debugfs/$each/verbose
		echo -1 >$debugfs/$each/times
		echo "$1" >$debugfs/$each/probability
	done
	sleep "$2"
	for each in failslab fail_page_alloc; do echo 0 >$debugfs/$each/probability; done
}

# The testbed wakes it at once. The chip set of a PC forgets where its power management is.
chips=/sys/bus/pci/devices/0000:00:1f.0/config
do_suspend() {
	resident
	echo mem >/sys/power/state || say "problem the guest does not sleep"
	reopen
	dd if=$run/chips of=$chips bs=1 seek=64 conv=notrunc status=none
}

# Under load; what is told has to be out of the guest by then.
leave() {	# how
	say "leaving $1 ${left[*]}"
	sleep 1
}
do_reboot() {
	leave reboot
	reboot -f
	sleep 60
}

do_reset() {
	leave reset
	echo b >/proc/sysrq-trigger
	sleep 60
}

do_kexec() {
	leave kexec
	kexec -l /boot/vmlinuz --initrd=/boot/initrd.img --reuse-cmdline && kexec -e
	sleep 60
}

do_panic() {
	leave panic
	echo 1 >/proc/sys/kernel/panic
	echo c >/proc/sysrq-trigger
	sleep 60
}

# Two boots; the first is the crash kernel.
do_crash() {
	kexec -p /boot/vmlinuz --initrd=/boot/initrd.img --reuse-cmdline \
		--append='nr_cpus=1 reset_devices' || fatal "problem there is no crash kernel"
	leave crash
	echo c >/proc/sysrq-trigger
	sleep 60
}

# ------------------------------------------------------------------ the plan

mkdir -p $run
mapfile -t events </root/soak.plan
companion=("$(at "${companion_port[0]}")" "$(at "${companion_port[1]}")")
head -c 72 $chips | tail -c 8 >$run/chips
await_disk boot
left=("$(strays 0)" "$(strays 1)")
say "boot $BOOT ${left[*]}"
do_golden
if [ -e /proc/vmcore ]; then
	do_reboot
fi
index=0 boots=1
while [ $boots -lt "$BOOT" ]; do
	case ${events[index]} in
	reboot | reset | kexec | panic) boots=$((boots + 1)) ;;
	crash) boots=$((boots + 2)) ;;
	esac
	index=$((index + 1))
done
load_start
while [ $index -lt ${#events[@]} ]; do
	[ $index -lt $least ] || [ "$(now)" -lt "$end" ] || break
	read -ra words <<<"${events[index]}"
	# They do not come back.
	case ${words[0]} in reboot | reset | kexec | panic | crash) say "did ${words[*]}" ;; esac
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
within 30 unloaded || say "problem the module cannot be unloaded at the end"
clean 0 unloaded
clean 1 unloaded
say "over"
