# SPDX-License-Identifier: GPL-2.0
"""A real Debian with the package installed; its root is behind the DART."""

import subprocess
import time

import docs
import pytest

from conftest import TOP
from package_tree import copy_tree
from testbed import arch as arches
from testbed import cache, debian
from testbed.debianguest import DebianGuest, by_firmware, by_qemu, plain_disk

MANY = 5400             # seconds for what takes long: building, making an initramfs

# Data that must be there after each boot: about 40 MB, with checksums.
WRITE = ("mkdir -p /var/data && cp -a /usr/bin /usr/lib/modules/$(uname -r)/kernel/fs /var/data/ "
         "&& cd /var/data && find . -type f ! -name sums | sort | xargs sha256sum >sums && sync "
         "&& wc -l <sums")
VERIFY = "cd /var/data && sha256sum --quiet -c sums && wc -l <sums"


@pytest.fixture(scope="module")
def package():
    """The package, built from this tree."""
    subprocess.run([TOP / "scripts" / "setup", "deb", "debian"], check=True)
    done = subprocess.run([TOP / "scripts" / "make-deb", "--no-lintian"], capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((TOP / "build" / "deb").glob("apple-dma-dkms_*.deb"))


class Machine:
    """A guest's disks; it is booted from them several times."""

    def __init__(self, arch, folder, packages, suite="bookworm"):
        self.arch, self.folder = arch, folder
        self.release = debian.release(suite, arch)
        self.root = str(folder / "root.img")
        debian.copy_disk(debian.disk(self.release, arch), self.root)
        tree = folder / "repository"
        tree.mkdir()
        for path in [*(TOP / debian.repository(self.release, arch)).iterdir(), *packages]:
            cache.run(["cp", "--reflink=auto", path, tree], "copying packages")
        self.repository = str(folder / "repository.img")
        debian.folder_disk(tree, self.repository, "repository")
        cache.run(["rm", "-r", tree], "cleaning up")
        self.boots = 0

    def boot(self, behind, kernel=None, arguments=(), specs=()):
        """Boot with the root on a plain disk, or on one that is BEHIND a DART; ARGUMENTS are
        QEMU's, SPECS those of more devices behind DARTs."""
        start = by_qemu(self.arch, debian.boot_files(self.root, self.folder, kernel), "LABEL=root")
        arguments = [*plain_disk(self.repository, "r0"), *arguments]
        specs = list(specs)
        if behind:
            arguments += ["-drive", f"file={self.root},if=none,id=d0,format=raw,cache=unsafe"]
            specs.append("nvme,drive=d0,serial=root")
        else:
            arguments += plain_disk(self.root, "d0")
        return self._guest(start, specs, arguments)

    def boot_itself(self, release):
        """Boot RELEASE with EDK2 and GRUB, from a plain disk; an empty disk is behind a DART."""
        empty = str(self.folder / "empty.img")
        cache.run(["truncate", "-s", "256M", empty], "making a disk")
        start = by_firmware(self.arch, str(self.folder), debian.grub(self.release, self.arch),
                            release, self.root)
        return self._guest(start, ["nvme,drive=d0,serial=a"], [
            "-drive", f"file={empty},if=none,id=d0,format=raw,cache=unsafe"])

    def _guest(self, start, specs, arguments):
        self.boots += 1
        return DebianGuest(self.arch, str(self.folder / f"boot{self.boots}"), start, specs,
                           arguments)


def install(machine):
    """Boot 1: the root on a plain disk; the package is installed."""
    with machine.boot(behind=False) as guest:
        guest.login()
        release = guest.run("uname -r")[1].strip()
        guest.run("apt-get -q update", timeout=600)
        _, said = guest.run(f"apt-get -qy install linux-headers-{machine.release.kernel} "
                            f"{debian.REPOSITORY}/apple-dma-dkms_*.deb", timeout=MANY)
        print(said)
        assert "installed" in guest.run("dkms status apple-dma")[1]
        _, listed = guest.run(f"lsinitramfs /boot/initrd.img-{release}", timeout=600)
        assert "/apple_dma.ko" in listed and "scripts/init-top/apple-dma" in listed
        guest.run("modprobe apple_dma && test -d /sys/bus/pci/drivers/apple_dma")
        files = int(guest.run(WRITE, timeout=900)[1])
        guest.power_off()
        print("boot 1:", guest.times)
    return release, files


def on_the_dart(guest, release):
    """Log in, and check what holds for every boot from the disk behind the DART."""
    guest.login()
    assert guest.run("uname -r")[1].strip() == release
    assert guest.run("findmnt -no SOURCE /")[1].startswith("/dev/nvme0n1")
    assert guest.run("systemctl is-system-running --wait", check=False, timeout=600)[1].strip() \
        == "running", guest.run("systemctl --failed", check=False)[1]
    # It was loaded in the initramfs before the driver, which needed no second probe.
    _, log = guest.run("dmesg | grep -E 'apple_dma|nvme'")
    print(log)
    assert "before apple_dma was there" not in log
    counters = guest.counters()
    assert counters["doorbells"] > 0 and counters["mapped_bytes"] > 0, counters
    assert counters["map_failures"] == 0
    print(counters)


def root_on_nvme(machine, release, files):
    """Boot 2: the root is an NVMe disk behind the DART; the kernel is upgraded there."""
    with machine.boot(behind=True) as guest:
        on_the_dart(guest, release)
        assert int(guest.run(VERIFY, timeout=900)[1]) == files
        later = machine.release.later
        # Only what a user's upgrade does, without commands for dkms or the module.
        _, said = guest.run("apt-get -q update && apt-get -qy install "
                            f"linux-image-{later} linux-headers-{later}", timeout=MANY)
        print(said)
        _, status = guest.run("dkms status apple-dma")
        assert status.count("installed") == 2, status
        newest = max(guest.run("ls /usr/lib/modules")[1].split(), key=debian.version_key)
        assert "/apple_dma.ko" in guest.run(f"lsinitramfs /boot/initrd.img-{newest}",
                                            timeout=600)[1]
        stats = guest.power_off()
        print("boot 2:", guest.times, stats[0]["doorbells"])
    return newest


def newest_kernel(machine, release, files):
    """Boot 3: the new kernel, and the data."""
    with machine.boot(behind=True) as guest:
        on_the_dart(guest, release)
        assert int(guest.run(VERIFY, timeout=900)[1]) == files
        stats = guest.power_off()
        print("boot 3:", guest.times, stats[0]["doorbells"])


@pytest.mark.full
@pytest.mark.parametrize("name", ["x86_64", pytest.param("arm64", marks=pytest.mark.arm64)])
def test_root_behind_the_dart(name, tmp_path, package):
    """Installed, booted from the disk, upgraded to another kernel, booted again."""
    machine = Machine(arches.find(name), tmp_path, [package])
    release, files = install(machine)
    newest = root_on_nvme(machine, release, files)
    assert newest != release
    newest_kernel(machine, newest, files)
    checked = subprocess.run([cache.tool("e2fsck"), "-fn", machine.root], capture_output=True,
                             text=True, check=False)
    assert checked.returncode == 0, checked.stdout


@pytest.mark.full
@pytest.mark.parametrize("name", ["x86_64", pytest.param("arm64", marks=pytest.mark.arm64)])
def test_boots_itself_with_a_device_beside_it(name, tmp_path, package):
    """EDK2 and GRUB start Debian from its own disk, which the boot order has. Nobody uses the
    passed-through disk before the module is there: on arm64 the DART enforces from the first
    instruction on. Then it holds data."""
    machine = Machine(arches.find(name), tmp_path, [package])
    release, _ = install(machine)
    with machine.boot_itself(release) as guest:
        guest.login()
        assert guest.run("uname -r")[1].strip() == release
        assert guest.run("findmnt -no SOURCE /")[1].startswith("/dev/vd")
        guest.run("test -d /sys/firmware/efi && test -e /sys/firmware/acpi/tables/DSDT")
        _, log = guest.run("dmesg | grep -E 'apple_dma|nvme'")
        print(log)
        assert "before apple_dma was there" not in log
        guest.run("mkfs.ext4 -q /dev/nvme0n1 && mount /dev/nvme0n1 /mnt && cp -a /usr/bin /mnt && "
                  "umount /mnt && echo 3 >/proc/sys/vm/drop_caches && mount /dev/nvme0n1 /mnt && "
                  "diff -r --no-dereference /usr/bin /mnt/bin && umount /mnt", timeout=900)
        counters = guest.counters()
        assert counters["doorbells"] > 0 and counters["map_failures"] == 0
        stats = guest.power_off()
        assert stats[0]["enforced"]
        print("boot 2:", guest.times, stats[0]["doorbells"])


@pytest.mark.full
@pytest.mark.parametrize("maker", ["initramfs-tools", "dracut"])
def test_module_comes_before_the_driver(maker, tmp_path, package):
    """In the initramfs of either maker, with the root behind the DART: no second probe."""
    arch = arches.X86_64
    release = debian.release("bookworm", arch)
    tree, disk = tmp_path / "tree", str(tmp_path / "root.img")
    debian.unpack(debian.base(release, arch, ("dkms", f"linux-headers-{release.kernel}"),
                              debian.SETTINGS), str(tree))
    (tree / "etc/fstab").write_text("LABEL=root / ext4 errors=remount-ro 0 1\n")
    # Not by its alias: udev may handle the companion before the disk.
    (tree / "usr/lib/modprobe.d/test.conf").write_text("alias pci:v00001B36d00000015* nothing\n")
    (tree / "etc/dracut.conf.d").mkdir()
    (tree / "etc/dracut.conf.d/test.conf").write_text(
        'hostonly="no"\nadd_drivers+=" ext4 nvme virtio_blk virtio_pci "\n')
    system = debian.Chroot(str(tree), {debian.REPOSITORY: debian.repository(release, arch),
                                       "/srv/package": str(package.parent)})
    system.run(f"apt-get -q update && apt-get -qy install {maker} && "
               f"apt-get -qy install /srv/package/{package.name}")
    debian.tree_disk(str(tree), disk)
    boot = debian.boot_files(disk, tmp_path)
    with DebianGuest(arch, str(tmp_path / "boot"), by_qemu(arch, boot, "LABEL=root"),
                     ["nvme,drive=d0,serial=root"],
                     ["-drive", f"file={disk},if=none,id=d0,format=raw,cache=unsafe"]) as guest:
        on_the_dart(guest, boot[0])
        stats = guest.power_off()
        print(maker, guest.times, stats[0]["doorbells"])


class Newcomer:
    """Types commands into a guest, and keeps how long each took."""

    def __init__(self):
        self.minutes = []

    def type(self, guest, line, timeout=MANY):
        """Type LINE; it must work."""
        start = time.monotonic()
        # The small system of the tests has no sudo, and its user is root.
        _, said = guest.run(f"sudo() {{ \"$@\"; }}; {line}", timeout=timeout)
        self.minutes.append((time.monotonic() - start, line))
        print(f"$ {line}\n{said}")
        return said


def typed(file, heading, kind):
    """The commands of FILE's first block of KIND below HEADING."""
    text = (TOP / file).read_text()
    first = text.count("\n", 0, text.index(f"## {heading}"))
    block = next(each for each in docs.blocks(TOP)
                 if each.file == file and each.kind == kind and each.line > first)
    return block.commands()


@pytest.mark.full
@pytest.mark.parametrize("name", ["x86_64", pytest.param("arm64", marks=pytest.mark.arm64)])
def test_from_the_readme_to_a_mounted_disk(name, tmp_path):
    """What a newcomer types on Debian 13: the README's commands without the device, a shutdown,
    and then what mac.md says with it. The compiler and the headers are there already."""
    subprocess.run([TOP / "scripts" / "setup", "debian"], check=True)
    arch, user = arches.find(name), Newcomer()
    sources, disk = tmp_path / "sources", str(tmp_path / "sources.img")
    copy_tree(sources)
    debian.folder_disk(sources, disk, "sources")
    machine = Machine(arch, tmp_path, [], "trixie")
    with machine.boot(behind=False, arguments=plain_disk(disk, "s0")) as guest:
        guest.login()
        guest.run("mount LABEL=sources /mnt && cp -r /mnt /root/apple-dma && umount /mnt")
        guest.run("apt-get -q update", timeout=600)
        for line in typed("README.md", "Install it in a guest", "debian"):
            user.type(guest, f"cd /root/apple-dma; {line}".replace("apt install", "apt -y install"))
        guest.power_off()
    empty = str(tmp_path / "empty.img")
    cache.run(["truncate", "-s", "256M", empty], "making a disk")
    with machine.boot(behind=False, specs=["nvme,drive=n0,serial=a"], arguments=[
            "-drive", f"file={empty},if=none,id=n0,format=raw,cache=unsafe"]) as guest:
        guest.login()
        for line in typed("Documentation/mac.md", "In the guest", "guest"):
            user.type(guest, line)
        assert "nvme" in user.type(guest, "apple-dma status")
        user.type(guest, "apple-dma doctor")
        for line in typed("Documentation/mac.md", "A disk", "hand"):
            user.type(guest, line)
        user.type(guest, "sudo cp -a /usr/bin /mnt && sync && diff -r --no-dereference /usr/bin "
                         "/mnt/bin")
        counters = guest.counters()
        assert counters["doorbells"] > 0 and counters["map_failures"] == 0
        stats = guest.power_off()
        assert stats[0]["faults"] == 0
    for seconds, line in user.minutes:
        print(f"{seconds:6.1f} s  {line}")
