# SPDX-License-Identifier: GPL-2.0
"""A disk without a medium behind an NVMe controller, and fio on it."""

DEVICE = "nvme,drive=d0,serial=bench"
BACKEND = "-blockdev driver=null-co,node-name=d0,size=68719476736,read-zeroes=off"

# name: (block size, queue depth, title)
CASES = {
    "4k-qd1": ("4k", 1, "4k, QD1"),
    "4k-qd32": ("4k", 32, "4k, QD32"),
    "128k-qd32": ("128k", 32, "128k, QD32"),
}

# job BLOCKSIZE DEPTH OPTION...: one fio job of random reads; what it printed is in /tmp/fio.
SHELL = r"""
disk=/dev/nvme0n1
await_disk() {
	for _ in $(seq 300); do [ ! -b "$disk" ] || return 0; sleep 0.1; done
	fail "no disk"
}
job() {
	bs=$1 depth=$2
	shift 2
	fio --name=bench --filename="$disk" --allow_file_create=0 --direct=1 --rw=randread \
	    --bs="$bs" --iodepth="$depth" --ioengine=libaio --norandommap --gtod_reduce=1 \
	    --output-format=terse "$@" >/tmp/fio || { cat /tmp/fio >&2; fail "fio failed"; }
}
# io SECTION BLOCKSIZE DEPTH OPTION...: a job with the counts around it.
io() {
	section=$1
	shift
	at "$section.before"
	counts
	before=$(awk '{ print $1 + $5 }' /sys/block/${disk##*/}/stat)
	job "$@"
	at "$section"
	echo "iops $(cut -d';' -f8 /tmp/fio)"
	echo "ios $(($(awk '{ print $1 + $5 }' /sys/block/${disk##*/}/stat) - before))"
	counts
}
"""
