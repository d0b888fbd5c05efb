# SPDX-License-Identifier: GPL-2.0
"""What a guest is made of: its files, the cache, kernels and their headers, modules."""

import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from kunit import uml
from testbed import arch, built, cache, cpio, errors, headers, image, kernel, module, packages
from testbed.errors import UsageError

# The guest's side of a run

@pytest.mark.parametrize("words,status,out", [
    (["echo", "a b", "$HOME", "'"], 0, "a b $HOME '\n"),
    (["sh", "-c", "exit 5"], 5, ""),
    (["exit", "6"], 6, ""),
    (["no such command"], 127, ""),
])
def test_command_script(tmp_path, words, status, out):
    script = tmp_path / "command"
    script.write_text(image.command_script(words), encoding="utf-8")
    done = subprocess.run(["sh", str(script)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (status, out)
    assert (status == 127) == ("is not a command in the guest" in done.stderr)


@pytest.mark.parametrize("push,target", [
    ("{f}", "/root/f"), ("{f}:/etc/x", "/etc/x"), ("{f}:/etc/", "/etc/f"), ("{f}:x", "/root/x"),
    ("{f}:", "/root/f")])
def test_guest_path(tmp_path, push, target):
    file = tmp_path / "f"
    file.touch()
    assert image.guest_path(push.format(f=file)) == (str(file), target)


def test_run_disk_keeps_modes(tmp_path):
    tool = tmp_path / "tool"
    tool.write_bytes(b"x" * 5000)
    tool.chmod(0o751)
    disk = image.RunDisk(str(tmp_path / "run.tar"))
    disk.push(str(tool), "/sbin/tool")
    disk.data("etc/testbed/config", b"a=1\n")
    disk.close()
    assert (tmp_path / "run.tar").stat().st_size % 2048 == 0
    with tarfile.open(tmp_path / "run.tar") as tar:
        member = tar.getmember("usr/sbin/tool")
        assert (member.mode, member.uid, member.size) == (0o751, 0, 5000)
        assert {"usr/bin/host-stats", "usr/bin/host-set", "usr/bin/host-ask",
                "usr/lib/testbed/init"} <= set(tar.getnames())


def test_cpio_is_one_cpio_reads(tmp_path):
    path = tmp_path / "x.cpio"
    with cpio.Archive(str(path)) as archive:
        archive.folder("bin")
        archive.file("bin/a", b"hello", 0o755)
        archive.file("bin/empty", b"")
    done = subprocess.run(["cpio", "-t", "--quiet"], input=path.read_bytes(),
                          capture_output=True, check=True)
    assert done.stdout.split() == [b"bin", b"bin/a", b"bin/empty"]


# The cache

def test_entry_is_made_once_and_whole(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    calls = []

    def make(work, final):
        calls.append(final)
        made = Path(work) / "made"
        made.write_text("x", encoding="ascii")
        return str(made)

    first = cache.entry("a/b", "a test", 1, make)
    assert cache.entry("a/b", "a test", 1, make) == first == calls[0]
    assert len(calls) == 1
    with pytest.raises(ValueError):
        cache.entry("a/c", "a test", 1, lambda work, final: int("x"))
    assert os.listdir(Path(first).parent) == ["b"]


def test_kernel_index_is_used(tmp_path, monkeypatch):
    """A known kernel is found without the mirror; an unknown one names the others."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    asked = []

    def stanza(suite, _arch, names):
        asked.append(suite)
        releases = {"trixie": "6.12.1+deb13-amd64", kernel.own_suite(): "6.1.0-9-amd64"}
        if suite not in releases:
            return []
        assert names == ["linux-image-amd64"]
        return [{"Package": names[0], "Version": "1",
                 "Depends": f"linux-image-{releases[suite]} (= 1)"}]

    monkeypatch.setattr(packages, "names", lambda *_where: ["linux-image-amd64", "linux-image-1"])
    monkeypatch.setattr(packages, "show", stanza)
    assert kernel.find("6.1", arch.X86_64).release == "6.1.0-9-amd64"
    assert asked == [kernel.own_suite()]
    assert kernel.find("6.12.1+deb13-amd64", arch.X86_64).suite == "trixie"
    assert kernel.find("6.1", arch.X86_64).suite == kernel.own_suite()
    assert asked == [kernel.own_suite(), "trixie"]
    with pytest.raises(UsageError, match="unknown kernel '5.10' for x86_64.* 6.1, 6.12"):
        kernel.find("5.10", arch.X86_64)


def test_headers_are_relocated(tmp_path):
    source = tmp_path / "usr" / "src" / "linux-headers-1-amd64"
    source.mkdir(parents=True)
    (source / "Makefile").write_text("include /usr/src/linux-headers-1-common/Makefile\n",
                                     encoding="ascii")
    (source / "source").symlink_to("/usr/src/linux-headers-1-common")
    headers.relocate(str(tmp_path), "/final")
    text = (source / "Makefile").read_text(encoding="ascii")
    assert text == "include /final/usr/src/linux-headers-1-common/Makefile\n"
    assert os.readlink(source / "source") == "/final/usr/src/linux-headers-1-common"


def test_build_module_needs_a_kbuild(tmp_path):
    with pytest.raises(UsageError, match="Kbuild"):
        module.sources(str(tmp_path))


CONFIG = """CONFIG_PCI=y
CONFIG_TTM=m
CONFIG_NAME="a=b"
# CONFIG_XEN is not set
"""


@pytest.mark.parametrize("wanted, left", [
    ("CONFIG_PCI=y\nCONFIG_NAME=\"a=b\"\nCONFIG_XEN=n\n", []),
    ("# CONFIG_XEN is not set\n# CONFIG_OPS is not set\n# CONFIG_TT is of no use\n", []),
    ("CONFIG_TTM=y\nCONFIG_NUMA=y\n", ["CONFIG_TTM=y", "CONFIG_NUMA=y"]),
    ("CONFIG_TTM=n\n# CONFIG_PCI is not set\n", ["CONFIG_TTM=n", "CONFIG_PCI=n"])])
def test_line_of_a_fragment_without_effect_is_noticed(tmp_path, wanted, left):
    """Also that an option is not set which others select."""
    (tmp_path / ".config").write_text(CONFIG)
    assert built.lost(wanted, tmp_path / ".config") == left


@pytest.mark.parametrize("name, machine", [
    (name, machine) for name, recipe in built.KERNELS.items() for machine in recipe.fragments])
def test_fragments_of_kernels_are_there(monkeypatch, name, machine):
    """The last one has the kernel's own name, which no other has."""
    monkeypatch.setattr(built, "source_version", lambda *_, **__: "6.1.5-1")
    found = kernel.find(name, arch.find(machine))
    assert found.release == f"6.1.5-apple-dma-{name}" and found.order
    for each in found.fragments[:-1]:
        assert "CONFIG_LOCALVERSION" not in built.fragment(each)


def test_kernel_that_is_not_built_for_an_architecture():
    with pytest.raises(UsageError, match="'debug' is built for x86_64 only, not for arm64"):
        kernel.find("debug", arch.ARM64)
    assert "# CONFIG_ARCH_HAS_DMA_OPS is not set" in built.fragment("no-dma-ops")


def test_user_mode_linux_gets_room_for_registers(tmp_path):
    """A source without that line is an error."""
    source = tmp_path / "arch/x86/um/user-offsets.c"
    source.parent.mkdir(parents=True)
    source.write_text("\tDEFINE_LONGS(HOST_FP_SIZE, 2696);\n")
    uml._fit_registers(tmp_path)        # pylint: disable=protected-access
    assert source.read_text() == "\tDEFINE_LONGS(HOST_FP_SIZE, 12288);\n"
    with pytest.raises(errors.TestbedError, match="HOST_FP_SIZE, 2696"):
        uml._fit_registers(tmp_path)    # pylint: disable=protected-access
