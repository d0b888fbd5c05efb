# SPDX-License-Identifier: GPL-2.0
"""The module for each kernel: no warning, nothing from sparse; built if there are no DMA operations."""

import dataclasses
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from conftest import TOP
from kernels import boot, checks, cli
from testbed import arch, errors, headers, kernel, module, packages
from testbed import built as builds
from testbed.errors import UsageError

MODULES = {"apple_dma": TOP, "edu": TOP / "scripts/tests/edu",
           "engine": TOP / "scripts/tests/engine", "stress": TOP / "scripts/tests/stress",
           "ttm": TOP / "scripts/tests/ttm", "kunit": TOP / "kunit"}
LEAST = {"apple_dma": len(list(TOP.glob("driver/*.c"))), "edu": 1, "engine": 3, "stress": 10, "ttm": 4,
         "kunit": len(list(TOP.glob("kunit/*_test.c")))}

# Module, architecture, kernel; all other combinations run with --full only.
QUICK = [("apple_dma", "x86_64", "6.1"), ("apple_dma", "x86_64", "newest"),
         ("apple_dma", "arm64", "6.1"), ("apple_dma", "arm64", "newest"),
         ("edu", "x86_64", "6.1"), ("engine", "x86_64", "6.1")]

# Flavours that only our module is built for.
FEW = ("cloud", "rt")


def matrix(full):
    """The parameters (module, architecture, kernel) of all builds."""
    cases = [pytest.param(*case, id="-".join(case)) for case in QUICK]
    if full:
        known = {(name, kernel.find(each, arch.find(machine)))
                 for name, machine, each in QUICK}
        cases += [pytest.param(name, row.arch.name, row.kernel.name, marks=pytest.mark.full,
                               id=f"{name}-{row.arch.name}-{row.kernel.name}")
                  for row in cli.rows() for name in MODULES if (name, row.kernel) not in known
                  and (row.kernel.variant not in FEW or name == "apple_dma")]
    return cases


def pytest_generate_tests(metafunc):
    if "built" in metafunc.fixturenames:
        metafunc.parametrize("built, machine, name", matrix(metafunc.config.getoption("--full")))


def test_module_is_clean_with_w1_and_sparse(built, machine, name):
    """No warning, and sparse really ran: one CHECK line for each object."""
    wanted = kernel.find(name, arch.find(machine))
    found = checks.check(wanted, arch.find(machine), str(MODULES[built]),
                         checks.place(wanted, built), linked=built != "kunit")
    assert found.clean, f"{found.reason}\n{found.output}"
    assert len(found.objects) >= LEAST[built]


def changed(tmp_path, file, old, new):
    """The driver's sources with one change."""
    source = module.copy_sources(str(TOP), str(tmp_path / "changed"))
    path = tmp_path / "changed" / file
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return source


@pytest.mark.parametrize("name", [pytest.param("6.1", marks=pytest.mark.full), "newest"])
def test_sparse_would_complain(tmp_path, name):
    """The check above can fail: a wire value used without conversion."""
    source = changed(tmp_path, "driver/transport.c", "cmd->count = cpu_to_le32(count)",
                     "cmd->count = count")
    found = checks.check(kernel.find(name, arch.X86_64), arch.X86_64, source,
                         str(tmp_path / "built"))
    assert found.built and not found.clean
    assert "incorrect type in assignment" in found.reason


def test_warning_fails_the_build(tmp_path):
    source = changed(tmp_path, "driver/companion.c", "\tstruct apple_dma *ad = container_of(ref,",
                     "\tint unused;\n\tstruct apple_dma *ad = container_of(ref,")
    found = checks.check(kernel.find("6.1", arch.X86_64), arch.X86_64, source,
                         str(tmp_path / "built"))
    assert not found.built and not found.clean and "unused" in found.reason


def test_file_that_sparse_has_not_seen_is_noticed():
    """Also if make ends with 0, as it does when it finds no sparse."""
    found = checks.Checked(built=True, objects=["main", "pin"], checked=["main"])
    assert not found.clean and found.reason == "sparse did not run on: pin"
    found.checked.append("pin")
    assert found.clean


@pytest.mark.parametrize("machine, name", [
    ("x86_64", "6.1"), ("arm64", "newest"),
    pytest.param("x86_64", "newest", marks=pytest.mark.full),
    pytest.param("arm64", "6.1", marks=pytest.mark.full)])
def test_kernel_without_device_ops_has_memory_premapped(tmp_path, machine, name):
    """Warnings name the option that is missing, and what that means. The module uses none of
    them."""
    tree = headers.prepare(kernel.find(name, arch.find(machine)), arch.find(machine))
    without = tmp_path / "headers"
    shutil.copytree(tree.folder, without, symlinks=True)
    for link in without.iterdir():          # scripts and tools lie beside the folder
        if link.is_symlink():
            link.unlink()
            link.symlink_to((Path(tree.folder) / link.name).resolve())
    makefile = without / "Makefile"         # of newer kernels: it says where it lies itself
    makefile.write_text(makefile.read_text().replace(tree.folder, str(without)))
    config = without / "include/config/auto.conf"
    lines = config.read_text().splitlines()
    left = [line for line in lines
            if line not in ("CONFIG_DMA_OPS=y", "CONFIG_ARCH_HAS_DMA_OPS=y", "CONFIG_CONTIG_ALLOC=y")]
    assert len(left) == len(lines) - 2
    config.write_text("\n".join(left) + "\n")
    defines = without / "include/generated/autoconf.h"
    defines.write_text(re.sub(r"^#define CONFIG_((ARCH_HAS_)?DMA_OPS|CONTIG_ALLOC) 1$", "", defines.read_text(),
                              flags=re.M))
    folder = module.copy_sources(str(TOP), str(tmp_path / "src"))
    status, said = module.make(dataclasses.replace(tree, folder=str(without)),
                               arch.find(machine).kernel, folder, shared=[str(tmp_path), tree.folder_root])
    assert status == 0, said
    assert "no DMA operations per device (no CONFIG_ARCH_HAS_DMA_OPS" in said
    assert "So the module registers memory of the guest at once, as with ops=premap." in said
    assert "this kernel has no CONFIG_CONTIG_ALLOC" in said and "CONFIG_SWIOTLB:" not in said


# dkms.conf

def dkms_builds(config):
    """Whether dkms would build for a kernel with this .config; the options that it needs."""
    done = subprocess.run(
        ["bash", "-euc", 'kernelver=X kernel_source_dir=$1 kernel_config=$1/.config\n'
         '. ./dkms.conf >/dev/null\n'
         'echo "$BUILD_EXCLUSIVE_CONFIG"', "bash", config.parent],
        cwd=TOP, capture_output=True, text=True, check=True)
    options = done.stdout.split()
    there = config.read_text().splitlines()
    return all(f"{option}=y" in there or f"{option}=m" in there for option in options), options


@pytest.mark.parametrize("lines, builds", [
    ("PCI 64BIT DMA_OPS", True), ("PCI 64BIT ARCH_HAS_DMA_OPS DMA_OPS_HELPERS", True),
    ("PCI 64BIT DMA_OPS_HELPERS ARCH_HAS_SETUP_DMA_OPS", True),
    ("64BIT DMA_OPS", False), ("PCI DMA_OPS", False)])
def test_dkms_builds_where_the_module_can_work(tmp_path, lines, builds):
    (tmp_path / ".config").write_text("# CONFIG_XEN is not set\n" + "".join(
        f"CONFIG_{line}=y\n" for line in lines.split()))
    assert dkms_builds(tmp_path / ".config")[0] == builds


@pytest.mark.parametrize("machine", arch.ARCHES)
@pytest.mark.parametrize("name", ["6.1", "newest"])
def test_dkms_builds_for_debian_kernels(machine, name):
    tree = headers.prepare(kernel.find(name, arch.find(machine)), arch.find(machine))
    would, options = dkms_builds(TOP.joinpath(tree.folder, ".config"))
    assert would, options


def test_headers_of_rt_kernels_have_common_ones_of_their_own():
    assert headers.needs("linux-headers-6.1.0-56-common (= 6.1.192-2), linux-kbuild-6.1 (>= 6.1), "
                         "linux-compiler-gcc-12-x86 (>= 6.1)") == (
        "linux-headers-6.1.0-56-common", "linux-kbuild-6.1", "gcc-12")
    assert headers.needs("gcc-14-for-host, linux-headers-6.12.1+deb13-common-rt (= 6.12.1-1), "
                         "linux-kbuild-6.12.1+deb13, gcc-14") == (
        "linux-headers-6.12.1+deb13-common-rt", "linux-kbuild-6.12.1+deb13", "gcc-14")


# Which kernels there are

@pytest.fixture(name="mirror")
def _mirror(tmp_path, monkeypatch):
    """A mirror with these kernels, and an empty cache; what it is asked for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(kernel, "own_suite", lambda: "bookworm")
    has = {("bookworm", "arm64"): "6.1.0-9", ("bookworm", "cloud-arm64"): "6.1.0-9",
           ("trixie", "arm64"): "6.12.1+deb13", ("trixie", "arm64-16k"): "6.12.1+deb13",
           ("trixie", "rt-arm64"): "6.12.1+deb13", ("sid", "arm64-16k"): "7.10+deb14",
           ("sid", "arm64"): "7.9+deb14", ("sid", "rt-arm64"): "7.9+deb14",
           ("sid", "cloud-arm64"): "7.9+deb14", ("experimental", "arm64"): "8.0"}
    asked = []

    def names(suite, _arch, prefix):
        asked.append(suite)
        found = [f"{prefix}{flavour}" for where, flavour in has if where == suite]
        # Packages of one version, of symbols, of another architecture: none is a flavour.
        return found and [*found, *(f"{name}-dbg" for name in found), f"{prefix}6.12-arm64",
                          f"{prefix}arm64-signed-template", f"{prefix}armmp",
                          f"{prefix}6.12.1+deb13-rt-arm64", f"{prefix}6.1.0-8-arm64-unsigned"]

    def show(suite, _arch, packages_):
        asked.append((suite, *packages_))
        found = []
        for package in packages_:
            flavour = package.removeprefix("linux-image-")
            release = f"linux-image-{has[suite, flavour]}-{flavour}"
            version = "8.0~rc1-1" if suite == "experimental" else "1"
            found += [{"Package": package, "Version": version,
                       "Depends": f"linux-base-{flavour} (= 1), {release} (= 1), "
                                  f"linux-modules-{flavour} (= 1)"},
                      {"Package": package, "Version": "0",     # the mirror's older version
                       "Depends": f"linux-image-6.0.0-1-{flavour} (= 0)"}]
        return found

    monkeypatch.setattr(packages, "names", names)
    monkeypatch.setattr(packages, "show", show)
    return asked


def test_kernels_are_listed_by_version_and_variant(mirror):
    """Cloud and rt kernels, and other page sizes, are found where a suite has them."""
    assert [(k.name, k.release) for k in kernel.every(arch.ARM64)] == [
        ("6.1", "6.1.0-9-arm64"), ("6.1-cloud", "6.1.0-9-cloud-arm64"),
        ("6.12", "6.12.1+deb13-arm64"), ("6.12-16k", "6.12.1+deb13-arm64-16k"),
        ("6.12-rt", "6.12.1+deb13-rt-arm64"), ("7.9", "7.9+deb14-arm64"),
        ("7.9-cloud", "7.9+deb14-cloud-arm64"), ("7.9-rt", "7.9+deb14-rt-arm64"),
        ("7.10-16k", "7.10+deb14-arm64-16k"), ("8.0", "8.0-arm64")]
    assert len(mirror) == len(set(mirror)), "asked twice"
    kernel.every(arch.ARM64)
    assert len(mirror) == len(set(mirror)), "asked again the same day"


def test_newest_is_the_newest_of_its_variant(mirror):
    assert kernel.find("newest", arch.ARM64).name == "7.9"
    assert kernel.find("newest-16k", arch.ARM64).name == "7.10-16k"
    assert kernel.find("newest-rt", arch.ARM64).name == "7.9-rt"
    assert kernel.find("6.12-rt", arch.ARM64).release == "6.12.1+deb13-rt-arm64"
    assert kernel.find("6.12.1+deb13-arm64-16k", arch.ARM64).name == "6.12-16k"
    with pytest.raises(UsageError, match="'newest-16k' for x86_64"):
        kernel.find("newest-16k", arch.X86_64)
    with pytest.raises(UsageError, match="there are: 6.1, 6.1-cloud, 6.12, 6.12-16k, 6.12-rt, "
                       ".*newest, newest-cloud, newest-16k, newest-rt"):
        kernel.find("6.13", arch.ARM64)
    assert mirror


def test_index_of_older_checkouts_is_used(mirror):
    """Their entries keep their names, and the mirror is not asked again. They read ours."""
    known = kernel.Kernel("6.1", "6.1.0-8-arm64", "1", "bookworm", "arm64")
    kernel._store("bookworm arm64",  # pylint: disable=protected-access
                  {"asked": time.time(), "kernel": dataclasses.asdict(known)})
    assert kernel.find("6.1", arch.ARM64) == known and not mirror
    assert kernel.find("6.1-cloud", arch.ARM64).release == "6.1.0-9-cloud-arm64"
    index = kernel._load_index()        # pylint: disable=protected-access
    assert kernel.Kernel(**index["bookworm arm64"]["kernel"]).release == "6.1.0-9-arm64"


def test_without_the_mirror_known_kernels_are_used(mirror, monkeypatch):
    """Whatever their age, and if an older checkout stored them."""
    known = kernel.Kernel("6.1", "6.1.0-8-arm64", "1", "bookworm", "arm64")
    kernel._store("bookworm arm64",  # pylint: disable=protected-access
                  {"asked": 0, "kernel": dataclasses.asdict(known)})

    def gone(*_):
        raise errors.TestbedError("the mirror is out of reach")
    monkeypatch.setattr(packages, "names", gone)
    assert kernel.every(arch.ARM64) == [known] == [kernel.find("newest", arch.ARM64)]
    assert not mirror


def test_rows_and_what_is_booted(mirror, monkeypatch):
    """The kernels of a Debian release, and the newest one of each variant."""
    monkeypatch.setattr(builds, "KERNELS", {})
    rows = cli.rows(archs=["arm64"])
    assert [(row.kernel.name, row.boots) for row in rows] == [
        ("6.1", True), ("6.1-cloud", True), ("6.12", True), ("6.12-16k", True),
        ("6.12-rt", True), ("7.9", True), ("7.9-cloud", True), ("7.9-rt", True),
        ("7.10-16k", True), ("8.0", False)]
    assert [row.kernel.name for row in cli.rows(["newest-16k"])] == ["7.10-16k"]
    with pytest.raises(UsageError, match="'5.10'; allowed: .*6.12-16k"):
        cli.rows(["6.1", "5.10"])
    assert mirror


def test_kernels_that_are_built_here_are_rows(mirror, monkeypatch):
    """All from a newer source, for each of their architectures; and all are booted."""
    monkeypatch.setattr(builds, "source_version", lambda *_, **__: "6.12.1-1")
    wanted = sorted((name, machine) for name, recipe in builds.KERNELS.items() if recipe.row
                    for machine in recipe.fragments)
    rows = cli.rows([name for name, _ in wanted])
    assert sorted((row.kernel.name, row.arch.name) for row in rows) == wanted != []
    assert all(row.boots for row in rows)
    with pytest.raises(UsageError, match="'debug'; allowed: .*no-dma-ops"):
        cli.rows(["debug"])
    assert mirror


def test_boot_is_judged_by_all_it_says():
    wanted = kernel.Kernel("6.12-16k", "6.12-arm64-16k", "1", "trixie", "arm64")
    said = {"release": wanted.release, "page_size": "16384", "files": "900",
            "rebinds": str(boot.REBINDS), "probed_again": "0"}
    stats = dict.fromkeys(("faults", "live", "live_bytes", "duplicate_handles",
                           "failed_entries"), 0)

    def wrong(size=16384, early=False, stats=stats, **other):
        return "".join(boot.wrong(wanted, size, early, {**said, **other}, stats))

    assert wrong() == ""
    assert wrong(size=4096) == "page_size is 16384, not 4096"
    assert "rebinds is 1" in wrong(rebinds="1") and "3 files" in wrong(files="3")
    assert wrong(early=True) == "probed_again is 0, not 1"
    assert wrong(early=True, probed_again="1") == ""
    assert "live is 2" in wrong(stats={**stats, "live": 2})
    assert os.access(boot.GUEST, os.X_OK)
