# SPDX-License-Identifier: GPL-2.0
"""The public module of the same name: found, left alone, replaced, put back.

The commands run on a copy of this machine's root, with a stand-in of what that module
installs and with a dkms that copies files. test_packaging.py has the same with the real one.
"""

import os
import re
import shutil
import subprocess

import pytest

from conftest import TOP
from package_tree import done, stub, version

BOUND = ("usr/lib/modules", "usr/src", "var/lib/dkms", "etc/modprobe.d", "etc/modules-load.d",
         "sys", "boot")
KERNELS = ("6.1.0-a", "6.2.0-b")
OPTIONS = "options apple_dma window_shift=22 enable_quirks=1\noptions snd-hda-intel enable_msi=1\n"

# What the script and the package use of dkms. A file in a kernel's folder makes it fail.
DKMS = r"""set -eu
command=$1 name=${2%/*} number=${2#*/} tree=/var/lib/dkms sources=/usr/src kernel='' all=''
shift 2
while [ $# -gt 0 ]; do
	case $1 in
	-k) kernel=$2; shift 2 ;;
	--dkmstree) tree=$2; shift 2 ;;
	--sourcetree) sources=$2; shift 2 ;;
	--all) all=yes; shift ;;
	esac
done
own=$tree/$name/$number
installed=/lib/modules/$kernel/updates/dkms
active=$tree/$name/kernel-$kernel-x
case $command in
add) mkdir -p "$own"; ln -s "$sources/$name-$number" "$own/source" ;;
build)
	[ ! -e "/lib/modules/$kernel/too-old" ] || exit 77
	[ ! -e "/lib/modules/$kernel/build-fails" ] || exit 10
	mkdir -p "$own/$kernel/x/module" "$own/$kernel/x/log"
	! said=$(cat "/lib/modules/$kernel/said" 2>/dev/null) || echo "$said" >"$own/$kernel/x/log/make.log"
	cp "$own/source/apple_dma.ko" "$own/$kernel/x/module/" 2>/dev/null ||
		cp /mnt/ours.ko "$own/$kernel/x/module/apple_dma.ko"
	;;
install)
	[ -e "$own" ] || "$0" add "$name/$number"
	[ -e "$own/$kernel" ] || "$0" build "$name/$number" -k "$kernel"
	[ -e "$own/source/apple_dma.ko" ] || [ ! -e "/lib/modules/$kernel/install-fails" ] || exit 6
	mkdir -p "$installed"
	cp "$own/$kernel/x/module/apple_dma.ko" "$installed/"
	ln -sfn "$number/$kernel/x" "$active"
	;;
uninstall)
	[ "$(readlink "$active")" = "$number/$kernel/x" ] || exit 5
	rm "$active" "$installed/apple_dma.ko"
	rmdir -p "$installed" 2>/dev/null || true
	;;
remove)
	for folder in "$own"/*/x; do
		[ -e "$folder" ] || continue
		each=$(basename "$(dirname "$folder")")
		[ "$all" ] || [ "$each" = "$kernel" ] || continue
		"$0" uninstall "$name/$number" -k "$each" || true
		rm -r "$own/$each"
	done
	[ -e "$(echo "$own"/*/x)" ] || rm -r "$own"
	rmdir "$tree/$name" 2>/dev/null || true
	;;
esac
"""

MOUNTS = """set -e
mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
for folder in {bound}; do
	mkdir -p "$1/root/$folder"
	mount --bind "$1/bound/$folder" "$1/root/$folder"
done
mount --bind "$1/kit" "$1/root/mnt"
mount --rbind /dev "$1/root/dev"
mount --rbind /proc "$1/root/proc"
mkdir -p "$1/root/{top}"
mount --rbind "{top}" "$1/root/{top}"
exec chroot "$1/root" /usr/bin/env -i "REPLACE=$3" PATH=/mnt/bin:/usr/sbin:/usr/bin:/sbin:/bin \
	sh -ec "cd '{top}'; $2"
"""


def module(path, parameter, number):
    """A file with the infos of a module, not of any use otherwise."""
    lines = ["name=apple_dma", f"version={number}", f"parm={parameter}:what it does"]
    text = "".join('__attribute__((section(".modinfo"), used)) static const char '
                   f'i{count}[] = "{line}";\n' for count, line in enumerate(lines))
    done(["gcc", "-x", "c", "-c", "-o", path, "-"], given=text)


class System:
    """A machine with two kernels, and with the public module where put() puts it."""

    def __init__(self, folder):
        self.folder, self.bound = folder, folder / "bound"
        for name in ("root", "upper", "work", "kit/bin", *(f"bound/{each}" for each in BOUND)):
            (folder / name).mkdir(parents=True)
        for kernel in KERNELS:
            (self.modules(kernel) / "build/include").mkdir(parents=True)
        module(folder / "kit/ours.ko", "max_bytes", version())
        module(folder / "kit/theirs.ko", "window_shift", "0.1.0")
        stub(folder / "kit/bin", "dkms", DKMS)
        stub(folder / "kit/bin", "depmod", 'echo "depmod $*"')
        stub(folder / "kit/bin", "dpkg-query", "exit 1")

    def modules(self, kernel):
        """The folder of a kernel's modules."""
        return self.bound / "usr/lib/modules" / kernel

    def run(self, command, replace=""):
        """(status, what it printed)."""
        script = MOUNTS.replace("{bound}", " ".join(BOUND)).replace("{top}", str(TOP))
        result = subprocess.run(["unshare", "--mount", "sh", "-c", script, "sh", self.folder,
                                 command, replace], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                check=False)
        return result.returncode, result.stdout

    def put(self, by_dkms=KERNELS[:1], by_hand=KERNELS[1:]):
        """Install the stand-in; the lines that must name it."""
        source = self.bound / "usr/src/apple-dma-0.1.0"
        source.mkdir()
        shutil.copy(self.folder / "kit/theirs.ko", source / "apple_dma.ko")
        (source / "dkms.conf").write_text("PACKAGE_NAME=apple-dma\nPACKAGE_VERSION=0.1.0\n")
        for kernel in by_dkms:
            assert self.run(f"dkms install apple-dma/0.1.0 -k {kernel}") == (0, "")
        for kernel in by_hand:
            deep = self.modules(kernel) / "extra/a/b"
            deep.mkdir(parents=True)
            shutil.copy(self.folder / "kit/theirs.ko", deep / "apple_dma.ko")
        (self.bound / "etc/modprobe.d/apple-dma-options.conf").write_text(OPTIONS)
        (self.bound / "etc/modules-load.d/apple-dma-load.conf").write_text("apple_dma\n")
        parameters = self.bound / "sys/module/apple_dma/parameters"
        parameters.mkdir(parents=True)
        (parameters / "window_shift").write_text("22\n")
        return ["in dkms: apple-dma/0.1.0", *(f"/lib/modules/{kernel}/updates/dkms/apple_dma.ko"
                                              for kernel in by_dkms),
                *(f"/lib/modules/{kernel}/extra/a/b/apple_dma.ko" for kernel in by_hand),
                "/etc/modprobe.d/apple-dma-options.conf",
                "/etc/modules-load.d/apple-dma-load.conf", "apple_dma, loaded now"]

    def files(self):
        """{file: content or target} of all that may change."""
        found = {}
        for place in (*BOUND, "../upper/etc", "../upper/usr"):
            for path in sorted((self.bound / place).rglob("*")):
                if path.is_symlink() or path.is_file():
                    found[str(path.relative_to(self.folder))] = \
                        os.readlink(path) if path.is_symlink() else path.read_bytes()
        return found

    def has(self, kernel):
        """The version of each module that depmod would list for a kernel."""
        return {str(path.relative_to(self.modules(kernel))):
                done(["/sbin/modinfo", "-F", "version", path]).strip()
                for path in self.modules(kernel).rglob("apple_dma.ko")}


OURS = {"updates/dkms/apple_dma.ko": version()}
THEIRS = {"updates/dkms/apple_dma.ko": "0.1.0"}


@pytest.fixture(name="system")
def _system(tmp_path):
    if os.getuid():
        pytest.skip("mounting needs root")
    system = System(tmp_path)
    status, said = system.run("true")
    if status:
        pytest.skip(f"no overlay file system: {said}")
    return system


def preinst(system):
    """The command that dpkg runs before it unpacks the package."""
    text = (TOP / "packaging/debian/apple-dma-dkms.preinst").read_text()
    text = text.replace("#OTHER_MODULE#\n", (TOP / "packaging/other-module").read_text())
    (system.folder / "kit/preinst").write_text(text.replace("#DEBHELPER#", ""))
    return "sh /mnt/preinst install"


@pytest.mark.parametrize("command", ["make -s dkms-install", "scripts/install module", "preinst"])
def test_other_module_is_named_and_stays(system, command):
    named = system.put()
    before = system.files()
    status, said = system.run(preinst(system) if command == "preinst" else command)
    assert status and "REPLACE=1" in said and "another project's module" in said
    assert not [what for what in named if what not in said]
    assert system.files() == before


@pytest.mark.parametrize("what", ["usr/lib/modules/6.1.0-a/kernel/drivers/apple_dma.ko.xz",
                                  "etc/modprobe.d/apple-dma-options.conf",
                                  "etc/modules-load.d/apple-dma-load.conf",
                                  "sys/module/apple_dma/parameters/window_shift"])
def test_one_trace_of_it_is_enough(system, what):
    path = system.bound / what
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("1\n")
    for command in ("make -s dkms-install", preinst(system)):
        status, said = system.run(command)
        assert status and ("loaded now" if what[0] == "s" else what.removeprefix("usr")) in said


def test_replaced_and_back(system):
    """With REPLACE=1; nothing is lost, and it can be put back as the messages say."""
    system.put()
    before = system.files()
    status, said = system.run("make -s dkms-install", replace="1")
    assert not status, said
    assert [system.has(kernel) for kernel in KERNELS] == [OURS, OURS]
    assert (system.bound / "etc/modprobe.d/apple-dma-options.conf.replaced").read_text() == OPTIONS
    assert not (system.bound / "etc/modprobe.d/apple-dma-options.conf").exists()
    assert not (system.bound / "etc/modules-load.d/apple-dma-load.conf").exists()
    assert "file of your own: options snd-hda-intel enable_msi=1\n" in said
    assert "window_shift" not in said and "until the next boot" in said
    assert not (system.bound / "var/lib/dkms/apple-dma/0.1.0").exists()

    # It is still loaded, which does not hinder an upgrade.
    stub(system.folder / "kit/bin", "modinfo",
         '[ "$2" != apple_dma ] || set -- -p /mnt/ours.ko; exec /sbin/modinfo "$@"')
    status, said = system.run("make -s dkms-install")
    assert not status and "another project" not in said, said

    status, said = system.run("make -s dkms-remove")
    assert not status, said
    for move in re.findall(r"module: (mv .*)", said):
        assert system.run(move) == (0, "")
    assert system.run(f"dkms install apple-dma/0.1.0 -k {KERNELS[0]}") == (0, "")
    assert system.files() == before


def test_kernel_for_which_nothing_is_built_keeps_it(system):
    """The build fails for one kernel, as it comes first, and another is too old."""
    system.put(by_dkms=KERNELS, by_hand=())
    (system.modules("5.0") / "build/include").mkdir(parents=True)
    (system.modules("5.0") / "too-old").touch()
    (system.modules(KERNELS[0]) / "build-fails").touch()
    (system.modules(KERNELS[1]) / "said").write_text(
        "make[1]: quiet\n/x/Kbuild:27: apple_dma: this kernel has no DMA operations per device\n")
    status, said = system.run("make -s dkms-install", replace="1")
    assert not status, said
    assert f"{KERNELS[0]}: failed" in said
    assert f"\n{KERNELS[1]}: built\nthis kernel has no DMA operations per device\n" in said
    assert "quiet" not in said
    assert "\n5.0: left out, as apple_dma needs Linux 6.1 or newer" in said
    assert [system.has(kernel) for kernel in KERNELS] == [THEIRS, OURS]
    assert (system.bound / "etc/modprobe.d/apple-dma-options.conf").read_text() == OPTIONS
    assert "the other module stays where this one was not built" in said


def test_nothing_built_changes_nothing(system):
    system.put()
    for kernel in KERNELS:
        (system.modules(kernel) / "too-old").touch()
    before = system.files()
    status, said = system.run("make -s dkms-install", replace="1")
    assert status and "nothing was built, and nothing was changed" in said
    assert system.files() == before


def test_failed_installation_puts_it_back(system):
    system.put()
    for kernel in KERNELS:
        (system.modules(kernel) / "install-fails").touch()
    status, said = system.run("make -s dkms-install", replace="1")
    assert status and said.count("could not be installed") == 2, said
    assert [system.has(kernel) for kernel in KERNELS] == \
        [THEIRS, {"extra/a/b/apple_dma.ko": "0.1.0"}]
    assert (system.bound / "etc/modprobe.d/apple-dma-options.conf").exists()


def test_package_replaces_it(system):
    system.put()
    status, said = system.run(preinst(system), replace="1")
    assert not status, said
    assert [system.has(kernel) for kernel in KERNELS] == [{}, {}]
    assert (system.bound / "usr/src/apple-dma-0.1.0/apple_dma.ko").exists()
    assert (system.bound / "etc/modprobe.d/apple-dma-options.conf.replaced").read_text() == OPTIONS
    assert "to go back: dkms install apple-dma/0.1.0" in said
    assert f"depmod {KERNELS[1]}" in said


def test_their_package(system):
    """Its configuration is dpkg's; a refused upgrade builds again what its prerm removed."""
    system.put(by_dkms=(), by_hand=())
    conf = "/usr/src/apple-dma-0.1.105/dkms.conf"
    (system.bound / conf[1:]).parent.mkdir()
    (system.bound / conf[1:]).write_text("PACKAGE_NAME=apple-dma\n")
    stub(system.folder / "kit/bin", "dpkg-query",
         f'case "$*" in "-L apple-dma-dkms") echo {conf} ;; -S*) ;; *) exit 1 ;; esac')
    stub(system.folder / "upper/usr/lib/dkms", "common.postinst", 'echo "built: $*"')
    before = system.files()
    status, said = system.run(preinst(system))
    assert status and "the Debian package apple-dma-dkms 0.1.105" in said
    assert "built: apple-dma 0.1.105 " in said
    status, said = system.run("make -s dkms-install", replace="1")
    assert status and "apt remove apple-dma-dkms" in said
    assert system.files() == before
    status, said = system.run(preinst(system), replace="1")
    assert not status, said
    assert system.files() == before


def test_uninstall_leaves_it(system):
    """`make uninstall` removes this project's modules only, `make dkms-remove` as well."""
    system.put()
    updates = system.modules(KERNELS[1]) / "updates"
    updates.mkdir()
    shutil.copy(system.folder / "kit/theirs.ko", updates / "apple_dma.ko")
    before = system.files()
    for command in ("make -s uninstall", "make -s dkms-remove"):
        status, said = system.run(command)
        assert not status, said
        assert system.files() == before
    shutil.copy(system.folder / "kit/ours.ko", updates / "apple_dma.ko")
    assert system.run("make -s uninstall")[0] == 0
    assert system.has(KERNELS[1]) == {"extra/a/b/apple_dma.ko": "0.1.0"}
