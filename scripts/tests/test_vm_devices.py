# SPDX-License-Identifier: GPL-2.0
"""Stock devices with their stock drivers behind the DART, moving real data."""

import pytest

VERIFY_DISK = r"""
for i in $(seq 100); do [ -b {disk} ] && break; sleep 0.1; done
[ -b {disk} ] || fail "no disk {disk}"
fio --name=verify --filename={disk} --direct=1 --rw=randwrite --bsrange=4k-64k --size=24m \
    --iodepth=8 --ioengine=libaio --verify=crc32c --verify_fatal=1 --minimal >/tmp/fio ||
	{{ cat /tmp/fio; fail "wrong data"; }}
mkfs.ext4 -q -F {disk}
mount {disk} /mnt
cp -a /usr/sbin /mnt/
(cd /usr/sbin && find . -type f | sort | xargs -d '\n' sha256sum) >/tmp/sums
umount /mnt; echo 3 >/proc/sys/vm/drop_caches; mount {disk} /mnt
(cd /mnt/sbin && sha256sum --quiet -c /tmp/sums) || fail "the data is not what was written"
umount /mnt
counters
"""

DISKS = {
    "ahci": ("/dev/sda", ["ich9-ahci,id=ahci"],
             ["-device ide-hd,drive=d0,bus=ahci.0"]),
    "xhci": ("/dev/sda", ["qemu-xhci,id=xhci"],
             ["-device usb-storage,drive=d0,bus=xhci.0"]),
    "virtio-blk": ("/dev/vd[a-z]", ["virtio-blk-pci,drive=d0,serial=dart"], []),
}


@pytest.mark.parametrize("name", DISKS)
def test_disk(testbed, disk, name):
    path, devices, more = DISKS[name]
    drive, _ = disk()
    if name == "virtio-blk":
        # The guest's own image is a virtio disk too: find ours by its serial.
        script = ("for d in /sys/block/vd*; do [ \"$(cat $d/serial)\" = dart ] &&"
                  " d0=/dev/${d##*/}; done\n" + VERIFY_DISK.format(disk="$d0"))
    else:
        script = VERIFY_DISK.format(disk=path)
    run = testbed(script, qemu=[drive, *more], devices=devices,
                  host=["iova=random"])
    check_clean(run)


def check_clean(run):
    end = run.companion()
    assert end["map_entries"] > 0 and end["faults"] == 0
    assert end["live"] == end["failed_entries"] == 0
    assert run.value("map_failures") == run.value("bad_unmaps") == 0


# QEMU's user network: what goes to 10.0.2.100:7 comes back, from `cat`.
NETWORK = r"""
nic=
for n in /sys/class/net/*; do
	[ -e "$n/device" ] || continue
	managed=$(readlink -f /sys/bus/pci/drivers/apple_dma/0*/apple_dma/managed)
	case "$(readlink -f "$n/device")/" in "$managed"/*) nic=${n##*/} ;; esac
done
[ -n "$nic" ] || fail "no network interface behind the DART"
ip link set lo up
ip addr add 10.0.2.15/24 dev "$nic"
ip link set "$nic" up
for i in $(seq 100); do [ "$(cat /sys/class/net/$nic/carrier)" = 1 ] && break; sleep 0.1; done
ping -c 5 -i 0.2 -W 5 10.0.2.2 || fail "no answer to ping"
head -c 16m /dev/urandom >/tmp/sent
exec 3<>/dev/tcp/10.0.2.100/7
head -c 16777216 <&3 >/tmp/back & reader=$!
cat /tmp/sent >&3
wait $reader
cmp /tmp/sent /tmp/back || fail "the data is not what was sent"
echo "bytes=$(stat -c %s /tmp/back)"
ip link set "$nic" down
counters
"""


@pytest.mark.parametrize("model", ["e1000e", "virtio-net-pci"])
def test_network(testbed, model):
    run = testbed(NETWORK,
                  devices=[f"{model},netdev=n0"], host=["iova=random"],
                  qemu=["-netdev user,id=n0,restrict=on,guestfwd=tcp:10.0.2.100:7-cmd:cat"])
    assert run.value("bytes") == 16 << 20
    check_clean(run)
