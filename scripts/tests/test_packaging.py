# SPDX-License-Identifier: GPL-2.0
"""The Debian packages: how they are built; packages and dkms by hand in clean chroots."""

import os
import re
import shutil
from types import SimpleNamespace

import pytest

import docs
from conftest import TOP
from package_tree import BOOT_FILES, commit, copy_tree, done, run, stub, tree_files, version
from testbed import arch as arches
from testbed import cache, debian, errors


@pytest.fixture(name="copy")
def _copy(tmp_path):
    """Copy the tree as git knows it, into a repository of its own."""
    def make(changes=()):
        target = tmp_path / f"tree{len(list(tmp_path.glob('tree*')))}"
        copy_tree(target)
        for name, old, new in changes:
            text = (target / name).read_text()
            assert old in text
            (target / name).write_text(text.replace(old, new))
        commit(target)
        return target
    return make


# make deb

def test_make_deb_refuses_a_version_without_news(copy):
    tree = copy([("dkms.conf", f'PACKAGE_VERSION="{version()}"', 'PACKAGE_VERSION="9.9.9"')])
    result = run([tree / "scripts/make-deb"])
    assert result.returncode == 1 and "Traceback" not in result.stdout
    assert "NEWS.md has no section '## 9.9.9'" in result.stdout
    assert not (tree / "build").exists()


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


def test_make_source(copy):
    """The archive, and the recipes of other systems with its version and checksum."""
    tree = copy()
    (tree / "not-committed").touch()
    done(["make", "-s", "source"], cwd=tree)
    made = tree / "build/source"
    archive = f"apple-dma-{version()}.tar.gz"
    assert {path.name for path in made.iterdir()} == {
        archive, "PKGBUILD", "apple-dma.install", "apple-dma-dkms.spec"}
    names = done(["tar", "-tf", made / archive]).split()
    assert f"apple-dma-{version()}/packaging/other-module" in names
    assert not [name for name in names if "not-committed" in name]
    assert f"\nVersion:        {version()}\n" in (made / "apple-dma-dkms.spec").read_text()
    checksum = done(["sha256sum", made / archive]).split()[0]
    assert f"\npkgver={version()}\n" in (made / "PKGBUILD").read_text()
    assert f"\nsha256sums=('{checksum}')\n" in (made / "PKGBUILD").read_text()
    assert not re.search("@[A-Z]+[0-9]*@", "".join(p.read_text() for p in made.glob("*[!z]")))
    done(["bash", "-n", made / "PKGBUILD"])
    done(["bash", "-n", made / "apple-dma.install"])


def test_make_deb(copy):
    """The files and the fields of the packages."""
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
        licenses = tree / name / "usr/share/common-licenses"      # another package has them
        licenses.mkdir()
        (licenses / "GPL-2").touch()
        fields[name] = dict(re.findall(r"^(\S+): (.*)$",
                                       (tree / name / "DEBIAN/control").read_text(), re.M))
        assert not docs.dead_links(tree / name / f"usr/share/doc/apple-dma-{name}")
        assert (tree / name / f"usr/share/doc/apple-dma-{name}/Documentation/install.md").exists()
        files[name] = {path: runs for path, runs in tree_files(tree / name).items()
                       if not path.startswith(("usr/share/doc/", "usr/share/common-licenses"))}
    source = f"usr/src/apple-dma-{version()}/"
    preinst = (tree / "dkms/DEBIAN/preinst").read_text()
    assert (TOP / "packaging/other-module").read_text() in preinst and "#OTHER" not in preinst
    # dkms makes its key with openssl; without openssl it signs nothing.
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
        "usr/bin/apple-dma": True, "usr/share/bash-completion/completions/apple-dma": False,
        "usr/share/fish/vendor_completions.d/apple-dma.fish": False,
        "usr/share/zsh/vendor-completions/_apple-dma": False,
        "usr/share/man/man4/apple_dma.4.gz": False,
        "usr/share/man/man8/apple-dma.8.gz": False}.items()
    assert done([tree / "tools/usr/bin/apple-dma", "--version"]).split()[-1] == version()


# The packages, in clean chroots

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
        copy_tree(tree)
        for name, content in text.items():
            (tree / name).write_text(re.sub(rf'(## |VERSION="){re.escape(version())}',
                                            rf"\g<1>{number}", content))
        commit(tree)
        done(["scripts/make-deb", *(["--no-lintian"] if number != version() else [])], cwd=tree)
        for path in list((tree / "build/deb").glob("apple-dma*")):
            if path.is_file():
                shutil.move(path, folder / path.name)
        shutil.rmtree(tree)
    return folder


def files_of(folder):
    """All files of the project in the places where the package puts files."""
    found = set()
    for place in ("usr/src", "usr/lib", "usr/share/initramfs-tools", "var/lib/dkms", "etc"):
        for base, folders, files in os.walk(folder / place):
            found |= {os.path.relpath(os.path.join(base, name), folder)
                      for name in folders + files}
    return {name for name in found if re.search("apple.dma", name)}


def initramfs(system, kernel, tool="lsinitramfs"):
    """The names of the files in an initramfs, one in a line."""
    return system.run(f"{tool} /boot/initrd.img-{kernel}")[1]


def has_module(system, kernel, number):
    """KERNEL must have the module NUMBER, signed, where modprobe finds it first."""
    assert system.run(f"modinfo -k {kernel} -F version apple_dma")[1].strip() == number
    assert system.run(f"modinfo -k {kernel} -F signer apple_dma")[1].strip() == \
        "DKMS module signing key"
    assert re.search(rf"apple-dma/{re.escape(number)}, {re.escape(kernel)}, \S+: installed",
                     system.run("dkms status")[1])
    assert "/realtek.ko" in system.run(f"modprobe -S {kernel} --show-depends r8169")[1]


def boot_order(system, kernel):
    """The order in which an initramfs of initramfs-tools runs the scripts of init-top."""
    said = system.run(f"cd /tmp && rm -rf x && unmkinitramfs /boot/initrd.img-{kernel} x && "
                      "cat $(find x -path '*/scripts/init-top/ORDER')")[1]
    return re.findall(r"^/scripts/init-top/(\S+)", said, re.M)


def loads_it_first(system, kernel):
    """The initramfs must have the module, and load it before udev loads drivers."""
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
    """A copy of a system. Its initramfs is small, unless the test is marked `initramfs`."""
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
    """Install, reinstall, add a kernel, upgrade, remove, purge."""
    system, old, new = chroot.system, version(), version() + ".1"
    before = files_of(chroot.folder)
    assert not before

    # As an earlier version was, with a file that is gone now.
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

    # As with every module of dkms: at once for the newest kernel, for others at their boot.
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
    """When the headers come, the module and the initramfs are built."""
    chroot.system.run("apt-get -qy purge 'linux-headers-*'")
    chroot.system.run(f"apt-get -qy install /srv/debs/apple-dma-dkms_{version()}_all.deb")
    assert "apple_dma" not in initramfs(chroot.system, chroot.kernel)
    chroot.system.run(f"apt-get -qy install linux-headers-{chroot.release.kernel}")
    has_module(chroot.system, chroot.kernel, version())
    loads_it_first(chroot.system, chroot.kernel)


# /sys of a machine whose root file system is on a disk that is passed through, and fakes of the
# commands that ask the kernel for that disk, such as grub-probe.
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
    """The entry that GRUB boots."""
    text = (chroot.folder / "boot/grub/grub.cfg").read_text()
    return re.findall(r'^ *set default="([^$"]*)"', text, re.M)[-1], text


@needs_root
@pytest.mark.full
@pytest.mark.parametrize("chroot", ["bookworm"], indirect=True)
def test_kernel_without_headers_and_the_root_behind_a_companion(chroot):
    """It is installed with a warning, and GRUB boots the old one until the headers come."""
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


# Headers like those of Debian's packages, for a kernel that the module is not for.
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
def test_kernel_that_the_module_is_not_for(chroot):
    """Its headers come before the package or after it: it is left out, with a message."""
    system = chroot.system
    kernel, config = "5.10.0-9-amd64", r"CONFIG_PCI=y\nCONFIG_64BIT=y\nCONFIG_DMA_OPS=y\n"
    headers = "cd /tmp && " + HEADERS.format(kernel=kernel, config=config)
    package = f"apt-get -qy install /srv/debs/apple-dma-dkms_{version()}_all.deb"
    for step in (package, headers):
        said = system.run(step)[1]
    assert f"apple_dma is left out of {kernel}: it takes Linux 6.1 or newer" in said
    assert "made for" not in said
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
    """By dkms from the tree, twice, with an upgrade and removal; by hand; never both."""
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
    """A kernel whose build fails keeps its module. It is an error if all builds fail."""
    system, new = chroot.system, version() + ".1"
    later = chroot.release.later
    system.run(f"apt-get -qy install dkms make linux-image-{later} linux-headers-{later}")
    old_kernel, new_kernel = debian.releases(str(chroot.folder))
    tree_in(system)
    system.run("make -C /root/tree dkms-install")
    for kernel in (old_kernel, new_kernel):
        has_module(system, kernel, version())

    # It does not compile for one of them.
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

    # It compiles for neither.
    with (chroot.folder / "root/tree/driver/main.c").open("a") as file:
        file.write(broken.format(">"))
    status, said = system.run("make -C /root/tree dkms-install", check=False)
    assert status and "nothing was built" in said
    has_module(system, old_kernel, version())
    has_module(system, new_kernel, new)

    # A kernel that it is not for.
    tree_in(system, new)
    for kernel in (old_kernel, new_kernel):
        system.run(f"sed -i /CONFIG_64BIT=y/d /lib/modules/{kernel}/build/.config")
    status, said = system.run("make -C /root/tree dkms-install", check=False)
    assert status and f"{new_kernel}: left out, as apple_dma needs" in said
    has_module(system, new_kernel, new)
    system.run("make -C /root/tree dkms-remove")
    assert files_of(chroot.folder) == set()


# A module of the same name, as another project has it.
THEIR_SOURCE = r"""mkdir /usr/src/apple-dma-0.1.0
cd /usr/src/apple-dma-0.1.0
echo 'obj-m := apple_dma.o' >Makefile
cat >apple_dma.c <<END
#include <linux/module.h>
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
END
cat >dkms.conf <<END
PACKAGE_NAME=apple-dma
PACKAGE_VERSION=0.1.0
AUTOINSTALL=yes
BUILT_MODULE_NAME[0]=apple_dma
DEST_MODULE_LOCATION[0]=/updates
END
"""


@needs_root
@pytest.mark.full
@pytest.mark.parametrize("chroot", ["bookworm"], indirect=True)
def test_other_module_of_this_name(chroot):
    """The public one, with dkms itself: refused, replaced by dkms and by the package, put back."""
    system, options = chroot.system, chroot.folder / "etc/modprobe.d/apple-dma-options.conf"
    system.run("apt-get -qy install dkms make")
    tree_in(system)
    back = f"dkms install apple-dma/0.1.0 -k {chroot.kernel}"
    system.run(THEIR_SOURCE + f"{back}; echo 'options apple_dma window_shift=22' "
               ">/etc/modprobe.d/apple-dma-options.conf")
    before = files_of(chroot.folder)
    package = f"apt-get -qy install /srv/debs/apple-dma-dkms_{version()}_all.deb"
    for command in ("make -C /root/tree dkms-install", package):
        status, said = system.run(command, check=False)
        assert status and "in dkms: apple-dma/0.1.0" in said and "REPLACE=1" in said
        assert str(options.relative_to(chroot.folder)) in said
        assert files_of(chroot.folder) == before
    said = system.run("make -C /root/tree dkms-remove")[1]
    assert "left alone" in said and files_of(chroot.folder) == before

    for replace, remove in (("make -C /root/tree dkms-install REPLACE=1",
                             "make -C /root/tree dkms-remove"),
                            (f"env REPLACE=1 {package}", "apt-get -qy purge apple-dma-dkms")):
        system.run(replace)
        has_module(system, chroot.kernel, version())
        loads_it_first(system, chroot.kernel)
        assert not options.exists() and \
            "apple-dma-options" not in initramfs(system, chroot.kernel)
        assert "apple-dma/0.1.0" not in system.run("dkms status")[1]
        system.run(f"{remove}; mv /{options.relative_to(chroot.folder)}.replaced "
                   f"/{options.relative_to(chroot.folder)}; {back}")
        assert files_of(chroot.folder) == before
        assert system.run(f"modinfo -k {chroot.kernel} -F version apple_dma")[1] == "0.1.0\n"


# A package of the same name: what debhelper makes of it, without its build.
THEIR_PACKAGE = """cd /tmp && mkdir -p p/DEBIAN p/usr/src p/etc/modprobe.d
cp -r /usr/src/apple-dma-0.1.0 p/usr/src/apple-dma-0.1.105
sed -i s/0.1.0/0.1.105/ p/usr/src/*/*
echo 'options apple_dma window_shift=22' >p/etc/modprobe.d/apple-dma-options.conf
echo /etc/modprobe.d/apple-dma-options.conf >p/DEBIAN/conffiles
printf 'Package: apple-dma-dkms\nVersion: 0.1.105\nArchitecture: all\n\
Maintainer: test <test@test>\nDepends: dkms\nDescription: theirs\n' >p/DEBIAN/control
printf '#!/bin/sh\nset -e\n[ "$1" != configure ] || \
/usr/lib/dkms/common.postinst apple-dma 0.1.105 /usr/share/apple-dma-dkms "" "$2"\n' >p/DEBIAN/postinst
printf '#!/bin/sh\nset -e\ndkms remove -m apple-dma -v 0.1.105 --all\n' >p/DEBIAN/prerm
chmod +x p/DEBIAN/p*
dpkg-deb -b p theirs.deb
apt-get -qy install ./theirs.deb
rm -r /usr/src/apple-dma-0.1.0
"""


@needs_root
@pytest.mark.full
@pytest.mark.parametrize("chroot", ["bookworm"], indirect=True)
def test_other_package_of_this_name(chroot):
    """An upgrade from it is refused, and it works as before; it is replaced with REPLACE=1."""
    system = chroot.system
    system.run("apt-get -qy install dkms")
    system.run(THEIR_SOURCE)
    system.run(THEIR_PACKAGE)
    theirs = f"modinfo -k {chroot.kernel} -F version apple_dma"
    assert system.run(theirs)[1] == "0.1.105\n"
    before = files_of(chroot.folder)
    package = f"apt-get -qy install /srv/debs/apple-dma-dkms_{version()}_all.deb"
    status, said = system.run(package, check=False)
    assert status and "the Debian package apple-dma-dkms 0.1.105" in said, said[-3000:]
    assert system.run(theirs)[1] == "0.1.105\n"
    assert files_of(chroot.folder) == before
    assert "0.1.105" in system.run("dpkg -l apple-dma-dkms | grep ^ii")[1]
    system.run(f"env REPLACE=1 {package}")
    has_module(system, chroot.kernel, version())
    assert (chroot.folder / "etc/modprobe.d/apple-dma-options.conf").exists()
    system.run("apt-get -qy purge apple-dma-dkms")
    assert files_of(chroot.folder) == set()


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
    if page == "README.md":     # it does not remove the package
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
