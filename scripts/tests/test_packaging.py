# SPDX-License-Identifier: GPL-2.0
"""Installation: the files, `make install`, dkms, the Debian package in clean chroots."""

import itertools
import os
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

import docs
from conftest import TOP
from testbed import arch as arches
from testbed import cache, debian, errors

BOOT_FILES = {
    "usr/lib/apple-dma/can-boot": True,
    "usr/lib/modules-load.d/apple-dma.conf": False,
    "usr/share/initramfs-tools/hooks/apple-dma": True,
    "usr/share/initramfs-tools/scripts/init-top/apple-dma": True,
    "usr/lib/dracut/modules.d/90apple-dma/module-setup.sh": True,
    "usr/lib/dracut/modules.d/90apple-dma/load.sh": True,
    "etc/default/grub.d/apple-dma.cfg": False}


def version():
    """What dkms.conf says."""
    return re.search(r'^PACKAGE_VERSION="(.*)"$', (TOP / "dkms.conf").read_text(), re.M)[1]


def run(argv, cwd=TOP, given="", **variables):
    """Run a command that is GIVEN an input; what came of it, both outputs in one."""
    return subprocess.run(argv, cwd=cwd, input=given, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, errors="replace", check=False,
                          env={**os.environ, **variables})


def done(argv, **options):
    """The same, of a command that has to succeed: what it printed."""
    result = run(argv, **options)
    assert result.returncode == 0, result.stdout[-6000:]
    return result.stdout


def tree_files(folder):
    """The files below FOLDER, and which of them can be run."""
    return {str(path.relative_to(folder)): bool(path.stat().st_mode & 0o111)
            for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(name="copy")
def _copy(tmp_path):
    """Copy the tree as git knows it, into a repository of its own."""
    def make(changes=()):
        target = tmp_path / f"tree{len(list(tmp_path.glob('tree*')))}"
        for name in done(["git", "ls-files", "-zco", "--exclude-standard"]).split("\0"):
            if name and (TOP / name).is_file():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(TOP / name, target / name)
        for name, old, new in changes:
            text = (target / name).read_text()
            assert old in text
            (target / name).write_text(text.replace(old, new))
        done(["sh", "-c", "git init -q && git add -A && git -c user.name=test "
              "-c user.email=test@test commit -qm test"], cwd=target)
        return target
    return make


# The files

def test_version_stands_in_one_place():
    """And the module, the package and the changelog take it from there."""
    text = re.escape(version())
    found = [f for f in done(["git", "ls-files", "-co", "--exclude-standard"]).splitlines()
             if re.search(rf"(?<![\d.]){text}(?![\d.])", (TOP / f).read_text(errors="replace"))
             and not f.startswith(("host-emu/", "scripts/tests/", "Documentation/tools.md"))]
    assert sorted(found) == ["Documentation/NEWS.md", "dkms.conf"]
    assert f"## {version()}\n" in (TOP / "Documentation/NEWS.md").read_text()


# What modprobe makes of the files

MODULES = {"r8169": ["softdep=pre: realtek"], "realtek": [], "nouveau": [], "nvme": [], "dummy": [],
           "apple_dma": []}


@pytest.fixture(name="modprobe", scope="module")
def _modprobe(tmp_path_factory):
    """Ask kmod what it would do, with our files and others, of modules that say what MODULES has."""
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
    """kmod takes one softdep line for a module: one of ours would take the place of theirs."""
    assert "/realtek.ko" in modprobe("--show-depends", "r8169")
    said = modprobe("--show-depends", "nouveau", others="softdep nouveau post: dummy\n")
    assert "/nouveau.ko" in said and "/dummy.ko" in said


def test_modules_that_are_blocked_stay_so(modprobe):
    """kmod ignores the install command of a module that has a softdep."""
    said = modprobe("-n", "-v", "nouveau", others="install nouveau /bin/false\n")
    assert said.strip() == "install /bin/false"
    said = modprobe("-n", "-v", "nvme", others="install nvme /bin/false\n")
    assert said.strip() == "install /bin/false"


@pytest.mark.parametrize("config, option", [
    ("CONFIG_DMA_OPS=y\nCONFIG_X86=y\n", "CONFIG_DMA_OPS"),             # 6.1
    ("CONFIG_ARCH_HAS_DMA_OPS=y\n", "CONFIG_ARCH_HAS_DMA_OPS"),         # 6.12
    ("CONFIG_DMA_OPS_HELPERS=y\n", "CONFIG_ARCH_HAS_DMA_OPS")])         # neither
def test_dkms_conf(tmp_path, config, option):
    """What dkms reads, and that there is nothing that it calls deprecated."""
    (tmp_path / ".config").write_text(config)
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
    assert lines["BUILD_EXCLUSIVE_CONFIG"].split() == ["CONFIG_PCI", "CONFIG_64BIT", option]
    assert lines["POST_INSTALL"] == "packaging/update-initramfs 6.1.0-9-amd64"
    assert lines["AUTOINSTALL"] == "yes" and lines["BUILT_MODULE_NAME"] == "apple_dma"


@pytest.mark.parametrize("kernel, config, left_out", [
    ("5.10.0-9-amd64", "CONFIG_DMA_OPS=y\n", True), ("6.0.1", "CONFIG_DMA_OPS=y\n", True),
    ("6.1.0-9-amd64", "CONFIG_DMA_OPS=y\n", False), ("6.12.1", "CONFIG_DMA_OPS_HELPERS=y\n", True),
    ("6.12.1", "CONFIG_ARCH_HAS_DMA_OPS=y\n", False), ("7.3-rc1", "CONFIG_ARCH_HAS_DMA_OPS=y\n", False),
    ("10.0.1", "CONFIG_ARCH_HAS_DMA_OPS=y\n", False)])
@pytest.mark.parametrize("asks_about", ["", "6.5.0", "itself"])
def test_dkms_conf_leaves_kernels_out(tmp_path, kernel, config, left_out, asks_about):
    """As dkms 3.0.10 asks in autoinstall: of no kernel, or of one that has the module."""
    (tmp_path / kernel / "build").mkdir(parents=True)
    (tmp_path / kernel / "build/.config").write_text(config)
    script = ('read_conf() { local kernelver=$1 kernel_source_dir=/x kernel_config=/x; source_it; }\n'
              'source_it() { ( . ./dkms.conf >/dev/null; echo "auto=$AUTOINSTALL"; '
              '[[ $kernelver =~ $BUILD_EXCLUSIVE_KERNEL ]] && echo "kernel fits" ); }\n'
              'install_tree=$1; kernelver=("$2"); read_conf "$3" || true')
    said = done(["bash", "-c", script, "bash", tmp_path, kernel,
                 kernel if asks_about == "itself" else asks_about])
    assert ("auto=\n" in said) == left_out
    assert (f"apple_dma is left out of {kernel}: " in said) == left_out
    if asks_about == "itself":
        assert ("kernel fits" in said) == (kernel[0] != "5" and kernel != "6.0.1")


def stub(folder, name, script):
    """A command in FOLDER."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


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
    """As initramfs-tools sorts them: each is a pair of its own, and udev names none before it."""
    names = sorted(Path(name).name for name in BOOT_FILES if "init-top" in name)
    assert names
    pairs = "".join(f"{name} {name}\n" for name in ["udev", "all_generic_ide", "blacklist", *names])
    order = done(["tsort"], given=pairs + "udev all_generic_ide\nudev blacklist\n").split()
    assert order.index("udev") > max(map(order.index, names))


@pytest.mark.parametrize("loads, companion, says", [
    (True, True, ""), (False, False, ""), (False, True, "could not be loaded")])
def test_script_of_the_initramfs(tmp_path, loads, companion, says):
    """It says so where it fails and there is a companion, and ends no shell that reads it."""
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
    """After depmod, where that was not run yet: dkms does so later."""
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
    """A /sys whose companion manages the NVMe disk, and commands that know of disks and kernels."""
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
    for name in done(["git", "ls-files", "-zco", "--exclude-standard", "--", "Makefile", "Kbuild",
                      "dkms.conf", "COPYING", "driver", "include", "packaging",
                      "scripts/install"]).split("\0"):
        if name and (TOP / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, tree / name)
    done(["make", "-s", "module", f"KDIR={kdirs[0]}"], cwd=tree)
    return tree, kdirs[0]


def test_make_install_and_uninstall(built, tmp_path):
    """Twice each: the second changes nothing."""
    tree, kdir = built
    # Not what the install script asks.
    module = done(["/sbin/modinfo", "-F", "vermagic", tree / "apple_dma.ko"]).split()[0]
    module = f"lib/modules/{module}/updates/apple_dma.ko"
    old = tmp_path / "usr/lib/modprobe.d/apple-dma.conf"     # of a version that had it
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
    """The tree that dkms gets builds the module, and holds nothing that it does not need."""
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
    """Without dkms; DESTDIR is empty, but nothing is touched before that is found."""
    for name in ("bash", "sed", "id", "dpkg-query", "dpkg", "grep", "dirname"):
        (tmp_path / name).symlink_to(shutil.which(name))
    if os.getuid():
        pytest.skip("needs root, as the command does")
    result = run(["bash", TOP / "scripts/install", "dkms"], PATH=str(tmp_path), DESTDIR="")
    assert result.returncode == 1
    assert re.search(r"dkms is not installed; .*apt install dkms linux-headers-\w+", result.stdout)


# make deb

def test_make_deb_refuses_a_version_without_news(copy):
    tree = copy([("dkms.conf", f'PACKAGE_VERSION="{version()}"', 'PACKAGE_VERSION="9.9.9"')])
    result = run([tree / "scripts/make-deb"])
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert "NEWS.md has no section '## 9.9.9'" in result.stdout
    assert not (tree / "build").exists()


def test_rules_name_files_that_exist():
    text = (TOP / "packaging/debian/rules").read_text()
    names = re.findall(r"\bDocumentation/\S+|\b\w+\.md", text)
    assert len(names) > 2
    assert not [name for name in names if not (TOP / name).exists()
                and not (TOP / "Documentation" / name).exists()]


def test_news_become_the_changelog():
    loaded = SimpleNamespace()
    source = (TOP / "scripts/make-deb").read_text()
    exec(compile(source.replace("__file__", repr(str(TOP / "scripts/make-deb"))), "make-deb",
                 "exec"), loaded.__dict__, loaded.__dict__)  # pylint: disable=exec-used
    points = loaded.news("# News\n\n## 1.1\n\n- New `a`\n  and b.\n- " + "long " * 30 + "\n\n"
                         "## 1.0\n- old\n", "1.1")
    assert points[0] == "New a and b." and len(points) == 2
    text = loaded.changelog("1.1", points, "A <a@b.c>", "Sat, 21 Nov 2026 20:00:00 +0000")
    assert text.startswith("apple-dma (1.1) unstable; urgency=medium\n\n  * New a and b.\n")
    assert all(len(line) <= 78 for line in text.splitlines())
    assert text.endswith("\n -- A <a@b.c>  Sat, 21 Nov 2026 20:00:00 +0000\n")


def test_make_deb(copy):
    """What is in the packages, and what they say of themselves."""
    if not shutil.which("dh_dkms"):
        pytest.skip("debhelper and dh-dkms are not installed: scripts/setup deb")
    tree = copy()
    said = done([tree / "scripts/make-deb", "--no-lintian"]).splitlines()
    folder = f"build/deb/apple-dma-{{}}_{version()}_all.deb"
    assert said[-2:] == [folder.format("dkms"), folder.format("tools")]
    files, fields = {}, {}
    for name in ("dkms", "tools"):
        deb = tree / folder.format(name)
        done(["dpkg-deb", "-R", deb, tree / name])
        fields[name] = dict(re.findall(r"^(\S+): (.*)$",
                                       (tree / name / "DEBIAN/control").read_text(), re.M))
        files[name] = {path: runs for path, runs in tree_files(tree / name).items()
                       if not path.startswith("usr/share/doc/")}
    source = f"usr/src/apple-dma-{version()}/"
    # dkms makes its key with openssl, and without it says so and signs nothing.
    assert {"dkms (>= 3.0.3-4~)", "openssl"} <= set(fields["dkms"]["Depends"].split(", "))
    assert {each["Architecture"] for each in fields.values()} == {"all"}
    control = {path for path in files["dkms"] if path.startswith("DEBIAN/")}
    assert control == {f"DEBIAN/{name}" for name in ("conffiles", "control", "md5sums", "preinst",
                                                     "postinst", "prerm", "postrm")}
    kept = {path for path in files["dkms"] if not path.startswith(source)} - control
    assert kept == set(BOOT_FILES)
    assert {path.removeprefix(source) for path in files["dkms"] if path.startswith(source)} >= {
        "dkms.conf", "Kbuild", "packaging/update-initramfs", "driver/main.c",
        "include/uapi/linux/apple_dma.h"}
    for path, runs in files["dkms"].items():
        if not path.startswith(source):
            assert runs == BOOT_FILES.get(path, path[7:] not in ("conffiles", "control",
                                                                "md5sums")), path
        else:
            assert runs == path.endswith((".sh", "packaging/update-initramfs")), path
    assert files["tools"].items() >= {
        "usr/sbin/apple-dma": True, "usr/share/bash-completion/completions/apple-dma": False,
        "usr/share/man/man4/apple_dma.4.gz": False,
        "usr/share/man/man8/apple-dma.8.gz": False}.items()
    assert done([tree / "tools/usr/sbin/apple-dma", "--version"]).split()[-1] == version()


# The package, in clean chroots

ARCH = arches.X86_64
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="a chroot needs root")


@pytest.fixture(name="debs", scope="module")
def _debs(tmp_path_factory):
    """The packages of this version and of a higher one, and the source package."""
    done(["scripts/setup", "deb", "debian"])
    folder = tmp_path_factory.mktemp("debs")
    text = {name: (TOP / name).read_text() for name in ("dkms.conf", "Documentation/NEWS.md")}
    for number in (version(), version() + ".1"):
        tree = folder / f"tree-{number}"
        for name in done(["git", "ls-files", "-zco", "--exclude-standard"]).split("\0"):
            if name and (TOP / name).is_file():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(TOP / name, tree / name)
        for name, content in text.items():
            (tree / name).write_text(re.sub(rf'(## |VERSION="){re.escape(version())}',
                                            rf"\g<1>{number}", content))
        done(["sh", "-c", "git init -q && git add -A && git -c user.name=test "
              "-c user.email=test@test commit -qm test"], cwd=tree)
        done(["scripts/make-deb", *(["--no-lintian"] if number != version() else [])], cwd=tree)
        for path in list((tree / "build/deb").glob("apple-dma*")):
            if path.is_file():
                shutil.move(path, folder / path.name)
        shutil.rmtree(tree)
    return folder


def files_of(folder):
    """Everything in the places where the package leaves something."""
    found = set()
    for place in ("usr/src", "usr/lib", "usr/share/initramfs-tools", "var/lib/dkms", "etc"):
        for base, folders, files in os.walk(folder / place):
            found |= {os.path.relpath(os.path.join(base, name), folder)
                      for name in folders + files}
    return {name for name in found if re.search("apple.dma", name)}


def initramfs(system, kernel, tool="lsinitramfs"):
    """What is in an initramfs: the names, one a line."""
    return system.run(f"{tool} /boot/initrd.img-{kernel}")[1]


def has_module(system, kernel, number):
    """That KERNEL has the module of that version, where modprobe finds it first, and signed."""
    assert system.run(f"modinfo -k {kernel} -F version apple_dma")[1].strip() == number
    assert system.run(f"modinfo -k {kernel} -F signer apple_dma")[1].strip() == \
        "DKMS module signing key"
    assert re.search(rf"apple-dma/{re.escape(number)}, {re.escape(kernel)}, \S+: installed",
                     system.run("dkms status")[1])
    assert "/realtek.ko" in system.run(f"modprobe -S {kernel} --show-depends r8169")[1]


def boot_order(system, kernel):
    """In which order the initramfs of initramfs-tools runs the scripts of init-top."""
    said = system.run(f"cd /tmp && rm -rf x && unmkinitramfs /boot/initrd.img-{kernel} x && "
                      "cat $(find x -path '*/scripts/init-top/ORDER')")[1]
    return re.findall(r"^/scripts/init-top/(\S+)", said, re.M)


def loads_it_first(system, kernel):
    """That the initramfs has the module, and loads it before udev loads the drivers."""
    assert "/apple_dma.ko" in initramfs(system, kernel)
    order = boot_order(system, kernel)
    assert order.index("apple-dma") < order.index("udev")


SMALL_INITRAMFS = [name for name in debian.SETTINGS if name.startswith("etc/initramfs-tools/")]


@pytest.fixture(name="systems", scope="module")
def _systems(debs, tmp_path_factory):
    """A clean system of a suite, with one kernel and its headers; made once, to be copied."""
    made = {}

    def get(suite):
        if suite not in made:
            release = debian.release(suite, ARCH)
            folder = tmp_path_factory.mktemp("systems") / suite
            debian.unpack(debian.base(release, ARCH), str(folder))
            system = debian.Chroot(str(folder), {
                debian.REPOSITORY: debian.repository(release, ARCH), "/srv/debs": str(debs)})
            system.run(f"apt-get -q update && apt-get -qy install linux-headers-{release.kernel}")
            made[suite] = folder, release, system
        return made[suite]

    yield get
    for folder, _, _ in made.values():
        shutil.rmtree(folder)


@pytest.fixture(name="chroot", params=["bookworm", "trixie"])
def _chroot(request, systems, tmp_path):
    """A system of its own. Its initramfs is a small one, unless the test asks for Debian's."""
    source, release, system = systems(request.param)
    folder = tmp_path / "root"
    done(["cp", "-a", "--reflink=auto", source, folder])
    if not request.node.get_closest_marker("initramfs"):
        debian.put_settings(str(folder), SMALL_INITRAMFS)
    yield SimpleNamespace(release=release, folder=folder, system=system.at(str(folder)),
                          kernel=debian.releases(str(folder))[-1])
    shutil.rmtree(folder)


@needs_root
@pytest.mark.full
@pytest.mark.initramfs
def test_package_from_installation_to_purge(chroot):
    """Install, again, a kernel more, upgrade, remove, purge."""
    system, old, new = chroot.system, version(), version() + ".1"
    before = files_of(chroot.folder)
    assert not before

    # As a version before it was, with a file that is no longer there.
    said = system.run(f"cd /tmp && dpkg-deb -R /srv/debs/apple-dma-dkms_{old}_all.deb p && "
                      "mkdir p/usr/lib/modprobe.d && "
                      "echo 'softdep r8169 pre: apple_dma' >p/usr/lib/modprobe.d/apple-dma.conf && "
                      "dpkg-deb -b p old.deb && apt-get -qy install ./old.deb")[1]
    assert "deprecated" not in said.lower() and "WARNING" not in said, said
    files = files_of(chroot.folder)
    assert set(BOOT_FILES) <= files and "usr/lib/modprobe.d/apple-dma.conf" in files

    system.run(f"apt-get -qy --reinstall install /srv/debs/apple-dma-dkms_{old}_all.deb")
    has_module(system, chroot.kernel, old)
    loads_it_first(system, chroot.kernel)
    assert files_of(chroot.folder) == files - {"usr/lib/modprobe.d/apple-dma.conf"}
    assert "modprobe.d/apple-dma.conf" not in initramfs(system, chroot.kernel)

    kernels = [chroot.kernel]
    if chroot.release.later:
        later = chroot.release.later
        system.run(f"apt-get -qy install linux-image-{later} linux-headers-{later}")
        kernels = debian.releases(str(chroot.folder))
        assert len(kernels) == 2
        has_module(system, kernels[1], old)
        loads_it_first(system, kernels[1])

    # As with any module of dkms: at once for the newest kernel, for others when they are booted.
    system.run(f"apt-get -qy install /srv/debs/apple-dma-dkms_{new}_all.deb")
    has_module(system, kernels[-1], new)
    for kernel in kernels[:-1]:
        system.run(f"dkms autoinstall -k {kernel}")
        has_module(system, kernel, new)
    assert not any(old in os.path.basename(path).split("-") for path in files_of(chroot.folder))

    system.run("apt-get -qy remove apple-dma-dkms")
    assert files_of(chroot.folder) == {"etc/default/grub.d/apple-dma.cfg"}      # a conffile
    for kernel in kernels:
        assert not re.search("apple.dma", initramfs(system, kernel))
    system.run("apt-get -qy purge apple-dma-dkms")
    assert files_of(chroot.folder) == set()
    assert "apple-dma" not in system.run("dpkg -l | cat")[1]


@needs_root
@pytest.mark.full
def test_package_installed_before_the_headers(chroot):
    """The module comes with the headers, and with it the initramfs."""
    chroot.system.run("apt-get -qy purge 'linux-headers-*'")
    chroot.system.run(f"apt-get -qy install /srv/debs/apple-dma-dkms_{version()}_all.deb")
    assert "apple_dma" not in initramfs(chroot.system, chroot.kernel)
    chroot.system.run(f"apt-get -qy install linux-headers-{chroot.release.kernel}")
    has_module(chroot.system, chroot.kernel, version())
    loads_it_first(chroot.system, chroot.kernel)


# /sys of a machine whose root file system is on a disk that is passed through, and what there
# is of commands that ask the kernel for it; grub-probe is one of them.
ROOT_BEHIND_A_COMPANION = """mount -t tmpfs none /sys
mkdir -p /sys/devices/0000:00:02.0/nvme/nvme0/nvme0n1 /sys/class/block
mkdir -p /sys/bus/pci/drivers/apple_dma/0000:00:05.0/apple_dma
ln -s ../../devices/0000:00:02.0/nvme/nvme0/nvme0n1 /sys/class/block/nvme0n1
ln -s /sys/devices/0000:00:02.0 /sys/bus/pci/drivers/apple_dma/0000:00:05.0/apple_dma/managed
"""
ASKED = {"usr/bin/findmnt": "echo /dev/nvme0n1", "usr/bin/lsblk": "echo nvme0n1",
         "usr/bin/systemd-detect-virt": "exit 1",
         "usr/sbin/grub-probe": 'case "$*" in *=fs_uuid*) echo 12-34 ;; *=fs*) echo ext2 ;; '
                                '*=device*) echo /dev/nvme0n1 ;; esac'}


def grub_default(chroot):
    """The entry that GRUB is to boot."""
    text = (chroot.folder / "boot/grub/grub.cfg").read_text()
    return re.findall(r'^ *set default="([^$"]*)"', text, re.M)[-1], text


@needs_root
@pytest.mark.full
@pytest.mark.parametrize("chroot", ["bookworm"], indirect=True)
def test_kernel_without_headers_and_the_root_behind_a_companion(chroot):
    """It is installed and said to be of no use, and GRUB boots the old one until the headers come."""
    system, later = chroot.system, chroot.release.later
    system.run("apt-get -qy install grub2-common && mkdir -p /boot/grub && touch /boot/grub/grub.cfg")
    system.run(f"apt-get -qy install /srv/debs/apple-dma-dkms_{version()}_all.deb")
    for name, script in ASKED.items():
        (chroot.folder / name).unlink()
        stub(chroot.folder, name, script)
    said = system.run(ROOT_BEHIND_A_COMPANION + f"apt-get -qy install linux-image-{later}")[1]
    newest = debian.releases(str(chroot.folder))[-1]
    assert newest != chroot.kernel
    assert f"Linux {newest} CANNOT BOOT this system" in said
    assert f"Linux {chroot.kernel} CANNOT BOOT" not in said
    assert "/apple_dma.ko" not in initramfs(system, newest)
    loads_it_first(system, chroot.kernel)
    entry = f"gnulinux-{chroot.kernel}-advanced-12-34"
    default, text = grub_default(chroot)
    assert default == f"gnulinux-advanced-12-34>{entry}"
    assert f"'{entry}' {{" in text and "submenu " in text and "'gnulinux-advanced-12-34' {" in text

    said = system.run(ROOT_BEHIND_A_COMPANION + f"apt-get -qy install linux-headers-{later}")[1]
    assert "CANNOT BOOT" not in said
    loads_it_first(system, newest)
    assert grub_default(chroot)[0] == "0"


# Headers as Debian's packages bring them, of a kernel that the module cannot be built for.
HEADERS = """mkdir -p p/DEBIAN p/usr/lib/modules/{kernel}/build/include
printf '{config}' >p/usr/lib/modules/{kernel}/build/.config
echo 'modules:; @echo "made for {kernel}"; false' >p/usr/lib/modules/{kernel}/build/Makefile
cat >p/DEBIAN/control <<END
Package: linux-headers-{kernel}
Version: 1
Architecture: all
Maintainer: test <test@test>
Description: headers
END
cat >p/DEBIAN/postinst <<END
#!/bin/sh
set -e
run-parts --report --exit-on-error --arg={kernel} /etc/kernel/header_postinst.d
END
chmod +x p/DEBIAN/postinst
dpkg-deb -b p linux-headers-{kernel}.deb
apt-get -qy install ./linux-headers-{kernel}.deb
"""


@needs_root
@pytest.mark.full
@pytest.mark.parametrize("kernel, config", [
    ("5.10.0-9-amd64", r"CONFIG_PCI=y\nCONFIG_64BIT=y\nCONFIG_DMA_OPS=y\n"),
    ("6.12.9-arm64", r"CONFIG_PCI=y\nCONFIG_64BIT=y\nCONFIG_DMA_OPS_HELPERS=y\n")])
def test_kernel_that_the_module_is_not_for(chroot, kernel, config):
    """Its headers come before the package, or after it: it is left out with a sentence."""
    system = chroot.system
    headers = "cd /tmp && " + HEADERS.format(kernel=kernel, config=config)
    package = f"apt-get -qy install /srv/debs/apple-dma-dkms_{version()}_all.deb"
    for step in (package, headers):
        said = system.run(step)[1]
    assert f"apple_dma is left out of {kernel}: it takes Linux 6.1 or newer" in said
    assert "made for" not in said
    assert "CONFIG_XEN=y" in said
    system.run("dpkg --audit | grep . && exit 1 || true")
    assert system.run(f"dkms status -k {kernel}")[1].count(kernel) == 0
    has_module(system, chroot.kernel, version())
    system.run("apt-get -qy purge apple-dma-dkms && " + package)
    has_module(system, chroot.kernel, version())


@needs_root
@pytest.mark.full
def test_dracut(chroot):
    chroot.system.run("apt-get -qy install dracut")
    chroot.system.run(f"apt-get -qy install /srv/debs/apple-dma-dkms_{version()}_all.deb")
    listed = initramfs(chroot.system, chroot.kernel, "lsinitrd")
    assert "/apple_dma.ko" in listed
    assert re.search(r"hooks/pre-udev/30-?load.sh", listed)
    chroot.system.run("apt-get -qy purge apple-dma-dkms")
    assert not re.search("apple.dma", initramfs(chroot.system, chroot.kernel, "lsinitrd"))


def tree_in(system, number=None):
    """The sources of a version, in /root/tree."""
    system.run(f"rm -rf /root/tree && mkdir /root/tree && cd /root/tree && "
               f"tar -xf /srv/debs/apple-dma_{number or version()}.tar.* --strip-components=1")


@needs_root
@pytest.mark.full
def test_make_dkms_install_in_a_system(chroot):
    """From the tree, twice, an upgrade, and removal; by hand; each where the other is not."""
    system = chroot.system
    system.run("apt-get -qy install dkms make")
    for number in (version(), version() + ".1"):
        tree_in(system, number)
        for _ in range(2):
            said = system.run("make -C /root/tree dkms-install")[1]
            assert f"{chroot.kernel}: built" in said
            has_module(system, chroot.kernel, number)
            loads_it_first(system, chroot.kernel)
    assert system.run("ls -d /usr/src/apple-dma-*")[1].split() == \
        [f"/usr/src/apple-dma-{version()}.1"]
    status, said = system.run("make -C /root/tree install", check=False)
    assert status and "dkms has apple-dma" in said
    for _ in range(2):
        system.run("make -C /root/tree dkms-remove")
        assert not {name for name in files_of(chroot.folder)}
        assert not re.search("apple.dma", initramfs(system, chroot.kernel))
    system.run("make -C /root/tree install")
    assert system.run(f"modinfo -k {chroot.kernel} -F version apple_dma")[1].strip() == \
        version() + ".1"
    assert "/apple_dma.ko" in initramfs(system, chroot.kernel)
    package = f"apt-get -qy install /srv/debs/apple-dma-dkms_{version()}_all.deb"
    status, said = system.run(package, check=False)
    assert status and "'make uninstall' first" in said
    for _ in range(2):
        system.run("make -C /root/tree uninstall")
        assert not {name for name in files_of(chroot.folder)}
    system.run(package)
    status, said = system.run("make -C /root/tree uninstall", check=False)
    assert status and "apt purge apple-dma-dkms" in said


@needs_root
@pytest.mark.full
@pytest.mark.parametrize("chroot", ["bookworm"], indirect=True)
def test_make_dkms_install_goes_on(chroot):
    """A kernel that fails keeps what it has, others get the new one; nothing built is a failure."""
    system, new = chroot.system, version() + ".1"
    later = chroot.release.later
    system.run(f"apt-get -qy install dkms make linux-image-{later} linux-headers-{later}")
    old_kernel, new_kernel = debian.releases(str(chroot.folder))
    tree_in(system)
    system.run("make -C /root/tree dkms-install")
    for kernel in (old_kernel, new_kernel):
        has_module(system, kernel, version())

    # Only one of them has headers for which it does not compile.
    tree_in(system, new)
    broken = "\n#include <linux/version.h>\n#if LINUX_VERSION_CODE {} KERNEL_VERSION(6, 2, 0)\n" \
             "#error broken\n#endif\n"
    with (chroot.folder / "root/tree/driver/main.c").open("a") as file:
        file.write(broken.format("<"))
    said = system.run("make -C /root/tree dkms-install")[1]
    assert f"{old_kernel}: failed" in said and f"{new_kernel}: built" in said, said[-3000:]
    assert "#error broken" in said
    has_module(system, old_kernel, version())
    has_module(system, new_kernel, new)

    # And now none.
    with (chroot.folder / "root/tree/driver/main.c").open("a") as file:
        file.write(broken.format(">"))
    status, said = system.run("make -C /root/tree dkms-install", check=False)
    assert status and "nothing was built" in said
    has_module(system, old_kernel, version())
    has_module(system, new_kernel, new)

    # A kernel that it is not for.
    tree_in(system, new)
    for kernel in (old_kernel, new_kernel):
        system.run(f"sed -i /DMA_OPS=y/d /lib/modules/{kernel}/build/.config")
    status, said = system.run("make -C /root/tree dkms-install", check=False)
    assert status and "CONFIG_XEN=y" in said and f"{new_kernel}: left out" in said
    has_module(system, new_kernel, new)
    system.run("make -C /root/tree dkms-remove")
    assert files_of(chroot.folder) == set()


@needs_root
@pytest.mark.full
@pytest.mark.parametrize("chroot", ["bookworm"], indirect=True)
def test_module_of_another_project_stays(chroot):
    """Its sources in dkms, its module; neither is removed without a word."""
    system = chroot.system
    system.run("apt-get -qy install dkms make")
    tree_in(system)
    theirs = "/usr/src/apple-dma-0.1.0"
    system.run(f"mkdir {theirs} && cd {theirs} && printf 'obj-m := apple_dma.o\n' >Makefile && "
               "printf '#include <linux/module.h>\nMODULE_LICENSE(\"GPL\");\n' >apple_dma.c && "
               "printf 'PACKAGE_NAME=apple-dma\nPACKAGE_VERSION=0.1.0\nAUTOINSTALL=yes\n"
               "BUILT_MODULE_NAME[0]=apple_dma\nDEST_MODULE_LOCATION[0]=/updates\n' >dkms.conf && "
               f"dkms install apple-dma/0.1.0 -k {chroot.kernel}")
    before = files_of(chroot.folder)
    package = f"apt-get -qy install /srv/debs/apple-dma-dkms_{version()}_all.deb"
    for command in ("make -C /root/tree dkms-install", package):
        status, said = system.run(command, check=False)
        assert status and theirs in said and "'dkms remove apple-dma/ITS-VERSION --all'" in said
        assert files_of(chroot.folder) == before
    said = system.run("make -C /root/tree dkms-remove")[1]
    assert theirs in said and "left alone" in said
    assert files_of(chroot.folder) == before

    # What it says to do; then a module that nobody knows of, where nobody looked.
    system.run(f"dkms remove apple-dma/0.1.0 --all && rm -r {theirs}")
    deep = f"/lib/modules/{chroot.kernel}/updates/theirs/apple_dma.ko"
    system.run(f"mkdir -p $(dirname {deep}) && touch {deep}")
    for command in ("make -C /root/tree dkms-install", package):
        status, said = system.run(command, check=False)
        assert status and deep in said and "run depmod" in said
    system.run(f"rm {deep}")
    system.run(package)
    has_module(system, chroot.kernel, version())


@needs_root
@pytest.mark.full
@pytest.mark.parametrize("chroot", ["bookworm"], indirect=True)
@pytest.mark.parametrize("page", sorted({b.file for b in docs.blocks(TOP) if b.kind == "debian"}))
def test_documented_commands(chroot, page):
    """The blocks of a page that are marked `debian`, in order, in a system of its own."""
    system = chroot.system
    for name, text in (("sudo", 'exec "$@"'),
                       ("apt", 'exec apt-get -y "$@"'),
                       ("modprobe", f'exec /sbin/modprobe -n -S {chroot.kernel} "$@"'),
                       ("uname", f'[ "$*" = -r ] && echo {chroot.kernel} || exec /bin/uname "$@"')):
        path = chroot.folder / "usr/local/bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
    system.run("mkdir -p /root/tree/build/deb && cd /root/tree && tar --strip-components=1 "
               f"-xf /srv/debs/apple-dma_{version()}.tar.* && "
               f"cp /srv/debs/*_{version()}_all.deb build/deb")
    for block in docs.blocks(TOP):
        if block.kind == "debian" and block.file == page:
            status, said = system.run("export PATH=/usr/local/bin:$PATH; cd /root/tree; " +
                                      block.text, check=False)
            assert status == 0, f"{block}: {said[-3000:]}"
    if page == "README.md":     # which has nothing about taking it out again
        has_module(system, chroot.kernel, version())
        return
    assert files_of(chroot.folder) == set()


@needs_root
@pytest.mark.full
def test_autopkgtest(chroot):
    """The package's own tests, against the packages that were built."""
    system = chroot.system
    system.run("apt-get -qy install autopkgtest")
    status, said = system.run(
        f"autopkgtest -U /srv/debs/apple-dma_{version()}.dsc /srv/debs/apple-dma-*_{version()}_"
        "all.deb -- null", check=False)
    assert status == 0, said[-6000:]
    assert re.search(r"^dkms +PASS", said, re.M), said[-3000:]


def test_chroot_says_what_failed(tmp_path):
    if os.getuid():
        pytest.skip("a chroot needs root")
    for name in ("proc", "sys", "dev", "tmp", "run"):
        (tmp_path / name).mkdir()
    with pytest.raises(errors.TestbedError, match="ended with 1"):
        debian.Chroot(str(tmp_path), {}).run("true")
    assert cache.REPO == str(TOP)
