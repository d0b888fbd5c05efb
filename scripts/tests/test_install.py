# SPDX-License-Identifier: GPL-2.0
"""Installation: the files, what reads them, `make install` and its like with DESTDIR."""

import itertools
import os
import re
import shutil
from pathlib import Path

import pytest

from conftest import TOP
from package_tree import BOOT_FILES, copy_tree, done, run, stub, tree_files, version

# The files

def test_version_stands_in_one_place():
    """The module, the package and the changelog read it there."""
    text = re.escape(version())
    found = [f for f in done(["git", "ls-files", "-co", "--exclude-standard"]).splitlines()
             if re.search(rf"(?<![\d.]){text}(?![\d.])", (TOP / f).read_text(errors="replace"))
             and not f.startswith(("host-emu/", "scripts/tests/", "Documentation/tools.md"))]
    assert sorted(found) == ["Documentation/NEWS.md", "dkms.conf"]
    assert f"## {version()}\n" in (TOP / "Documentation/NEWS.md").read_text()


# The files, as modprobe reads them

MODULES = {"r8169": ["softdep=pre: realtek"], "realtek": [], "nouveau": [], "nvme": [], "dummy": [],
           "apple_dma": []}


@pytest.fixture(name="modprobe", scope="module")
def _modprobe(tmp_path_factory):
    """Ask kmod what it would do with our files, others, and modules with the infos of MODULES."""
    root = tmp_path_factory.mktemp("kmod")
    folder = root / "lib/modules/6.1.0/kernel"
    folder.mkdir(parents=True)
    for name, info in MODULES.items():
        text = "".join(f'__attribute__((section(".modinfo"), used)) static const char i{number}[] '
                       f'= "{line}";\n' for number, line in enumerate([f"name={name}", *info]))
        done(["gcc", "-x", "c", "-c", "-o", folder / f"{name}.ko", "-"], given=text)
    done(["/sbin/depmod", "-b", root, "6.1.0"])
    done(["scripts/install", "boot-files"], DESTDIR=str(root))
    number = itertools.count()

    def ask(*options, others=""):
        config = root / f"modprobe.d-{next(number)}"
        ours = root / "usr/lib/modprobe.d"
        config.mkdir()
        for path in ours.iterdir() if ours.exists() else ():
            shutil.copy(path, config)
        (config / "other.conf").write_text(others)
        return done(["/sbin/modprobe", "-d", root, "-S", "6.1.0", "-C", config, *options])
    return ask


def test_softdeps_of_others_hold(modprobe):
    """kmod uses one softdep line for a module: a line of ours would replace theirs."""
    assert "/realtek.ko" in modprobe("--show-depends", "r8169")
    said = modprobe("--show-depends", "nouveau", others="softdep nouveau post: dummy\n")
    assert "/nouveau.ko" in said and "/dummy.ko" in said


def test_modules_that_are_blocked_stay_so(modprobe):
    """kmod ignores the install command of a module that has a softdep."""
    said = modprobe("-n", "-v", "nouveau", others="install nouveau /bin/false\n")
    assert said.strip() == "install /bin/false"
    said = modprobe("-n", "-v", "nvme", others="install nvme /bin/false\n")
    assert said.strip() == "install /bin/false"


def test_dkms_conf(tmp_path):
    """What dkms reads has no deprecated names."""
    script = ("set -e; kernelver=6.1.0-9-amd64 kernel_source_dir=$1 kernel_config=/nonexistent; "
              "before=$(compgen -v | sort); . ./dkms.conf; "
              "for name in $(comm -13 <(echo \"$before\") <(compgen -v | sort)); do "
              "[ $name = before ] || [ $name = _ ] || declare -n value=$name; "
              "echo \"$name=$value\"; done")
    lines = dict(line.split("=", 1) for line in
                 done(["bash", "-c", script, "bash", str(tmp_path)]).splitlines() if "=" in line)
    names = {name for name in lines if name.isupper() and not name.startswith("BASH")}
    assert names - {"PIPESTATUS", "_", "LINENO"} == {
        "PACKAGE_NAME", "PACKAGE_VERSION", "BUILT_MODULE_NAME", "DEST_MODULE_LOCATION",
        "AUTOINSTALL", "POST_INSTALL", "BUILD_EXCLUSIVE_CONFIG", "BUILD_EXCLUSIVE_KERNEL"}
    assert lines["BUILD_EXCLUSIVE_CONFIG"].split() == ["CONFIG_PCI", "CONFIG_64BIT"]
    assert lines["POST_INSTALL"] == "packaging/update-initramfs 6.1.0-9-amd64"
    assert lines["AUTOINSTALL"] == "yes" and lines["BUILT_MODULE_NAME"] == "apple_dma"


@pytest.mark.parametrize("kernel, left_out", [
    ("5.10.0-9-amd64", True), ("6.0.1", True), ("6.1.0-9-amd64", False), ("6.12.1", False),
    ("7.3-rc1", False), ("10.0.1", False)])
@pytest.mark.parametrize("asks_about", ["", "6.5.0", "itself"])
def test_dkms_conf_leaves_old_kernels_out(tmp_path, kernel, left_out, asks_about):
    """Not those without DMA operations per device. As dkms 3.0.10 reads it in autoinstall: for no kernel, or for one that has the module."""
    (tmp_path / kernel / "build").mkdir(parents=True)
    (tmp_path / kernel / "build/.config").write_text("# CONFIG_ARCH_HAS_DMA_OPS is not set\n")
    script = ('read_conf() { local kernelver=$1 kernel_source_dir=/x kernel_config=/x; source_it; }\n'
              'source_it() { ( . ./dkms.conf >/dev/null; echo "auto=$AUTOINSTALL"; '
              '[[ $kernelver =~ $BUILD_EXCLUSIVE_KERNEL ]] && echo "kernel fits" ); }\n'
              'install_tree=$1; kernelver=("$2"); read_conf "$3" || true')
    said = done(["bash", "-c", script, "bash", tmp_path, kernel,
                 kernel if asks_about == "itself" else asks_about])
    assert ("auto=\n" in said) == left_out
    assert (f"apple_dma is left out of {kernel}: " in said) == left_out
    if asks_about == "itself":
        assert ("kernel fits" in said) == (not left_out)


@pytest.mark.parametrize("there", [True, False])
def test_hook_adds_the_module_where_the_kernel_has_it(tmp_path, there):
    stub(tmp_path, "modinfo", f'[ "$*" = "-k 6.1.0-9 -F filename apple_dma" ] && {str(there).lower()}')
    stub(tmp_path, "can-boot", 'echo "can-boot $*"; exit 1')
    stub(tmp_path, "functions", 'manual_add_modules() { echo "manual_add_modules $*"; }')
    hook = (TOP / "packaging/initramfs-tools/hook").read_text()
    (tmp_path / "hook").write_text(
        hook.replace("/usr/share/initramfs-tools/hook-functions", str(tmp_path / "functions"))
        .replace("/usr/lib/apple-dma/", f"{tmp_path}/"))
    path = f"{tmp_path}:{os.environ['PATH']}"
    said = done(["sh", tmp_path / "hook"], version="6.1.0-9", PATH=path)
    assert said == ("manual_add_modules apple_dma\n" if there else "can-boot 6.1.0-9\n")
    assert done(["sh", tmp_path / "hook", "prereqs"], version="6.1.0-9", PATH=path) == ""


def test_script_of_the_initramfs_comes_before_udev():
    """In the order of initramfs-tools: the script has no prerequisites, and udev has none."""
    names = sorted(Path(name).name for name in BOOT_FILES if "init-top" in name)
    assert names
    pairs = "".join(f"{name} {name}\n" for name in ["udev", "all_generic_ide", "blacklist", *names])
    order = done(["tsort"], given=pairs + "udev all_generic_ide\nudev blacklist\n").split()
    assert order.index("udev") > max(map(order.index, names))


@pytest.mark.parametrize("loads, companion, says", [
    (True, True, ""), (False, False, ""), (False, True, "could not be loaded")])
def test_script_of_the_initramfs(tmp_path, loads, companion, says):
    """If it fails and there is a companion, it prints that; it does not end the calling shell."""
    stub(tmp_path, "modprobe", f'echo "modprobe $*"; {str(loads).lower()}')
    alias = tmp_path / "devices/0000:00:02.0/modalias"
    alias.parent.mkdir(parents=True)
    alias.write_text("pci:v00001B36d00000015sv1\n" if companion else "pci:v00008086d0000100E\n")
    text = (TOP / "packaging/load.sh").read_text()
    (tmp_path / "load.sh").write_text(text.replace("/sys/bus/pci/devices", f"{tmp_path}/devices"))
    path = f"{tmp_path}:{os.environ['PATH']}"
    said = done(["sh", "-euc", f". {tmp_path}/load.sh; echo on"], PATH=path).splitlines()
    assert said[0] == "modprobe -q apple_dma" and said[-1] == "on"
    assert len(said) == (3 if says else 2) and says in said[-2]
    assert done(["sh", tmp_path / "load.sh", "prereqs"], PATH=path) == ""


@pytest.mark.parametrize("listed", [True, False])
@pytest.mark.parametrize("initrd, tools, made", [
    ("initrd.img-6.1", "update-initramfs dracut", "update-initramfs -u -k 6.1"),
    ("initrd.img-6.1", "dracut", "dracut --quiet --force {boot}/initrd.img-6.1 6.1"),
    ("initramfs-6.1.img", "dracut", "dracut --quiet --force {boot}/initramfs-6.1.img 6.1"),
    ("initrd-6.1", "dracut", "dracut --quiet --force {boot}/initrd-6.1 6.1"),
    ("initramfs-linux.img", "mkinitcpio", "mkinitcpio -P"),
    ("initrd.img-6.1", "", "apple-dma: no initramfs of 6.1 was made again"),
    ("initramfs-linux.img", "dracut", "apple-dma: no initramfs of 6.1 was made again"),
    ("initrd.img-6.2", "update-initramfs dracut", "apple-dma: no initramfs of 6.1 was made again")])
def test_initramfs_is_made_again_where_there_is_one(tmp_path, initrd, tools, made, listed):
    """depmod runs first if it has not run yet, as dkms runs it later."""
    (tmp_path / initrd).touch()
    for name in [*tools.split(), "depmod", "modinfo"]:
        stub(tmp_path, name, str(listed).lower() if name == "modinfo" else 'echo "${0##*/} $*"')
    (tmp_path / "grep").symlink_to(shutil.which("grep"))
    said = done(["/bin/sh", TOP / "packaging/update-initramfs", "6.1"],
                APPLE_DMA_BOOT=str(tmp_path), PATH=str(tmp_path)).splitlines()
    assert said[:-1] == ["depmod 6.1"] * (not listed)
    assert said[-1].startswith(made.format(boot=tmp_path))


@pytest.mark.parametrize("default, again", [("0", False), ("gnulinux-advanced-1234>gnulinux-6.0",
                                                           True)])
def test_grub_is_told_again_of_a_kernel_that_has_the_module_now(tmp_path, default, again):
    (tmp_path / "initrd.img-6.1").touch()
    (tmp_path / "grub").mkdir()
    (tmp_path / "grub/grub.cfg").write_text(f'if x; then\n   set default="{default}"\nfi\n')
    for name in ("modinfo", "update-initramfs", "update-grub"):
        stub(tmp_path, name, 'echo "${0##*/} $*"')
    (tmp_path / "grep").symlink_to(shutil.which("grep"))
    said = done(["/bin/sh", TOP / "packaging/update-initramfs", "6.1"],
                APPLE_DMA_BOOT=str(tmp_path), PATH=str(tmp_path)).splitlines()
    assert said == ["update-initramfs -u -k 6.1"] + ["update-grub "] * again


# The root file system behind a companion

@pytest.fixture(name="machine")
def _machine(tmp_path):
    """A /sys whose companion manages the NVMe disk, and fake commands for disks and kernels."""
    sys_folder = tmp_path / "sys"
    device = sys_folder / "devices/pci0000:00/0000:00:02.0"
    other = sys_folder / "devices/pci0000:00/0000:00:03.0"
    subsystem = sys_folder / "devices/virtual/nvme-subsystem/nvme-subsys0"
    for folder in (device / "nvme/nvme0/nvme0n1/nvme0n1p1", device / "nvme/nvme1",
                   other / "virtio1/block/vda/vda1", sys_folder / "devices/virtual/block/dm-0",
                   subsystem / "nvme1n1"):
        folder.mkdir(parents=True)
    (subsystem / "nvme1").symlink_to(device / "nvme/nvme1")
    (sys_folder / "class/block").mkdir(parents=True)
    for path in (device / "nvme/nvme0/nvme0n1", device / "nvme/nvme0/nvme0n1/nvme0n1p1",
                 other / "virtio1/block/vda", other / "virtio1/block/vda/vda1",
                 sys_folder / "devices/virtual/block/dm-0", subsystem / "nvme1n1"):
        (sys_folder / "class/block" / path.name).symlink_to(path)
    companion = sys_folder / "bus/pci/drivers/apple_dma/0000:00:05.0/apple_dma"
    companion.mkdir(parents=True)
    (companion / "managed").symlink_to(device)
    tools = tmp_path / "tools"
    stub(tools, "modinfo", 'case $2 in *with*) ;; *) exit 1 ;; esac')

    def put(disks):
        stub(tools, "findmnt", '[ "$*" = "-nvo SOURCE /" ] && echo /dev/x')
        stub(tools, "lsblk", '[ "$*" = "-nrso KNAME /dev/x" ] && printf "%s\\n" ' + disks)
        return {"APPLE_DMA_SYS": str(sys_folder), "PATH": f"{tools}:{os.environ['PATH']}"}
    return put


@pytest.mark.parametrize("disks, kernel, boots", [
    ("nvme0n1p1 nvme0n1", "6.12", False),
    ("dm-0 nvme0n1p1 nvme0n1", "6.12", False),          # LVM on it
    ("nvme1n1", "6.12", False),                         # with native multipath
    ("nvme0n1p1 nvme0n1", "6.1-with", True),
    ("vda1 vda", "6.12", True)])
def test_kernel_that_cannot_mount_the_root_is_named(machine, disks, kernel, boots):
    result = run([TOP / "packaging/can-boot", kernel], **machine(disks))
    assert result.returncode == (not boots)
    assert ("Linux 6.12 CANNOT BOOT" in result.stdout and "0000:00:02.0" in result.stdout
            if not boots else result.stdout == "")


def test_kernel_boots_where_there_is_no_companion(machine, tmp_path):
    variables = machine("nvme0n1")
    shutil.rmtree(tmp_path / "sys/bus")
    assert done([TOP / "packaging/can-boot", "6.12"], **variables) == ""


@pytest.mark.parametrize("kernels, settings, default", [
    ("6.1-with 6.12", "GRUB_DEFAULT=0", "gnulinux-advanced-UU>gnulinux-6.1-with-advanced-UU"),
    ("6.9-with 6.12 6.1-with 6.13", "", "gnulinux-advanced-UU>gnulinux-6.9-with-advanced-UU"),
    ("6.1-with 6.12", "GRUB_DISABLE_SUBMENU=y", "gnulinux-6.1-with-advanced-UU"),
    ("6.1 6.12-with", "GRUB_DEFAULT=0", "0"),
    ("6.1 6.12", "GRUB_DEFAULT=0", "0"),
    ("6.1-with 6.12", "GRUB_DEFAULT=saved", "saved")])
def test_grub_boots_a_kernel_that_can_mount_the_root(machine, tmp_path, kernels, settings, default):
    variables = machine("nvme0n1p1 nvme0n1")
    for kernel in kernels.split():
        (tmp_path / f"vmlinuz-{kernel}").touch()
    text = (TOP / "packaging/grub/apple-dma.cfg").read_text()
    (tmp_path / "apple-dma.cfg").write_text(
        text.replace("/boot/", f"{tmp_path}/").replace("/usr/lib/apple-dma/", f"{TOP}/packaging/"))
    said = done(["sh", "-ec", f"GRUB_DEVICE_UUID=UU; {settings}\n. {tmp_path}/apple-dma.cfg; "
                              'echo "$GRUB_DEFAULT"'], **variables)
    assert said.splitlines()[-1] == default


# make install and its like

@pytest.fixture(name="built", scope="module")
def _built(tmp_path_factory):
    """A tree in which apple_dma.ko is built, and the KDIR."""
    kdirs = [f"/lib/modules/{name}/build" for name in os.listdir("/lib/modules")
             if os.path.exists(f"/lib/modules/{name}/build/Makefile")]
    if not kdirs:
        pytest.skip("no kernel headers in /lib/modules/*/build")
    tree = tmp_path_factory.mktemp("built") / "tree"
    copy_tree(tree, "Makefile", "Kbuild", "dkms.conf", "COPYING", "driver", "include", "packaging",
              "scripts/install")
    done(["make", "-s", "module", f"KDIR={kdirs[0]}"], cwd=tree)
    return tree, kdirs[0]


def test_make_install_and_uninstall(built, tmp_path):
    """Twice each: the second changes nothing."""
    tree, kdir = built
    # Not by the method of the install script.
    module = done(["/sbin/modinfo", "-F", "vermagic", tree / "apple_dma.ko"]).split()[0]
    module = f"lib/modules/{module}/updates/apple_dma.ko"
    old = tmp_path / "usr/lib/modprobe.d/apple-dma.conf"     # an earlier version had it
    for _ in range(2):
        old.parent.mkdir(parents=True, exist_ok=True)
        old.touch()
        done(["make", "-s", "install", f"KDIR={kdir}", f"DESTDIR={tmp_path}"], cwd=tree)
        found = tree_files(tmp_path)
        assert found == {**BOOT_FILES, module: False}
    assert done(["/sbin/modinfo", "-F", "version", tmp_path / module]).strip() == version()
    old.touch()
    for _ in range(2):
        done(["make", "-s", "uninstall", f"DESTDIR={tmp_path}"], cwd=tree)
        assert not tree_files(tmp_path)


def test_make_install_refuses_another_kernels_module(built, tmp_path):
    tree, _ = built
    generated = tmp_path / "kdir" / "include" / "generated"
    generated.mkdir(parents=True)
    (generated / "utsrelease.h").write_text('#define UTS_RELEASE "9.9.9"\n')
    result = run(["scripts/install", "module"], cwd=tree, KDIR=str(tmp_path / "kdir"),
                 DESTDIR=str(tmp_path / "root"))
    assert result.returncode == 1 and "is not built for 9.9.9" in result.stdout
    assert not (tmp_path / "root").exists()


def test_dkms_install_and_remove_with_destdir(tmp_path):
    """dkms gets the files that a build of the module needs, and no others."""
    for _ in range(2):
        done(["make", "-s", "dkms-install", f"DESTDIR={tmp_path}"])
    source = f"usr/src/apple-dma-{version()}/"
    found = set(tree_files(tmp_path))
    assert {name for name in found if not name.startswith(source)} == set(BOOT_FILES)
    files = {name.removeprefix(source) for name in found if name.startswith(source)}
    listed = done(["git", "ls-files", "-co", "--exclude-standard", "--", "driver",
                   "include"]).split()
    assert files == {"COPYING", "Kbuild", "dkms.conf", "packaging/update-initramfs", *listed}
    for _ in range(2):
        done(["make", "-s", "dkms-remove", f"DESTDIR={tmp_path}"])
        assert not tree_files(tmp_path)


def test_dkms_install_says_what_is_missing(tmp_path):
    """Without dkms. DESTDIR is empty, but it ends before it changes anything."""
    for name in ("bash", "sed", "id", "dpkg-query", "dpkg", "grep", "dirname"):
        (tmp_path / name).symlink_to(shutil.which(name))
    if os.getuid():
        pytest.skip("needs root, as the command does")
    result = run(["bash", TOP / "scripts/install", "dkms"], PATH=str(tmp_path), DESTDIR="")
    assert result.returncode == 1
    assert re.search(r"dkms is not installed; .*apt install dkms linux-headers-\w+", result.stdout)
