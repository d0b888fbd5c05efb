# SPDX-License-Identifier: GPL-2.0
"""Checks of the sources: warnings, sparse, checkpatch, shellcheck, habits."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import TOP


LEAVE = shutil.ignore_patterns("build", ".git", "*.o", "*.ko", "*.cmd", "*.mod*", "compat-probed.h")


def tracked(*patterns):
    """Files of the project that match, as git knows them."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", *patterns],
                         cwd=TOP, capture_output=True, text=True, check=True).stdout
    return [f for f in out.split("\n") if f and (TOP / f).is_file()]


def kdir():
    """The newest installed headers, as the Makefile finds them."""
    builds = sorted(Path("/lib/modules").glob("*/build"), key=lambda p: p.parts[-2])
    assert builds, "no kernel headers; run scripts/setup module"
    return builds[-1]


def make_module(source, target, *args):
    """Build a module in a copy of its sources; returns the output."""
    if not target.exists():
        shutil.copytree(source, target, ignore=LEAVE)
    return subprocess.run(["make", "-C", str(kdir()), f"M={target}", "W=1", *args, "modules"],
                          capture_output=True, text=True, check=False)


MODULES = {"apple_dma": (TOP, len(list(TOP.glob("driver/*.c")))),
           "apple_dma_edu": (TOP / "scripts/tests/edu", 1)}


@pytest.mark.parametrize("name", MODULES)
def test_module_is_clean_with_w1_and_sparse(tmp_path, name):
    """No warning, and sparse really ran: one CHECK line for each file."""
    source, files = MODULES[name]
    done = make_module(source, tmp_path / "m", "C=2")
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    assert "warning" not in text and "error" not in text, text
    assert len(re.findall(r"^ +CHECK ", text, re.M)) == files, text


def test_stress_module_is_clean_with_w1_and_sparse(tmp_path):
    """The same for the module that compiles the driver's sources from elsewhere."""
    shutil.copytree(TOP, tmp_path / "m", ignore=LEAVE)
    folder = tmp_path / "m/scripts/tests/stress"
    sources = re.findall(r"[\w-]+(?=\.o\b)", (folder / "Kbuild").read_text().split(":=", 2)[2])
    done = make_module(folder, folder, "C=2")
    text = done.stdout + done.stderr
    assert done.returncode == 0 and "warning" not in text and "error" not in text, text
    checked = re.findall(r"^ +CHECK .*?([\w-]+)\.c$", text, re.M)
    assert len(sources) > 10 and sorted(checked) == sorted(sources), text


def test_sparse_would_complain(tmp_path):
    """The check above can fail: a wire value used without conversion."""
    shutil.copytree(TOP, tmp_path / "m", ignore=LEAVE)
    source = tmp_path / "m/driver/transport.c"
    text = source.read_text()
    assert text.count("cmd->count = cpu_to_le32(count)") == 1
    source.write_text(text.replace("cmd->count = cpu_to_le32(count)", "cmd->count = count"))
    done = make_module(tmp_path / "m", tmp_path / "m", "C=2")
    assert "incorrect type in assignment" in done.stdout + done.stderr


def test_kernel_without_device_ops_is_refused(tmp_path):
    """The message names the option."""
    done = make_module(TOP, tmp_path / "m", "CONFIG_DMA_OPS=", "CONFIG_ARCH_HAS_DMA_OPS=")
    assert done.returncode != 0
    assert "CONFIG_ARCH_HAS_DMA_OPS" in done.stderr and "CONFIG_XEN" in done.stderr


def test_checkpatch():
    files = tracked("driver/*.[ch]", "include/*.h", "kunit/*.[ch]", "scripts/tests/stress/*.[ch]")
    done = subprocess.run(["scripts/checkpatch", *files], cwd=TOP, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr


def test_checkpatch_would_complain(tmp_path):
    bad = tmp_path / "bad.c"
    bad.write_text("// SPDX-License-Identifier: GPL-2.0-only\nint f( int a ){ return a; }\n")
    done = subprocess.run(["scripts/checkpatch", bad], cwd=TOP, capture_output=True,
                          text=True, check=False)
    assert "ERROR" in done.stdout


def test_shellcheck():
    scripts = [f for f in tracked()
               if re.match(rb"#!.*\b(ba|da)?sh\b", (TOP / f).open("rb").readline())]
    assert len(scripts) > 4
    done = subprocess.run(["shellcheck", *scripts], cwd=TOP, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout


def test_codespell():
    done = subprocess.run(["codespell", *(f for f in tracked() if f != "COPYING")],
                          cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_every_file_has_an_spdx_line():
    without = [f for f in tracked() if f != "COPYING" and
               b"SPDX-License-Identifier:" not in b"".join((TOP / f).open("rb").readlines()[:5])]
    assert not without


def test_no_version_is_compared():
    """Kernel differences are probed, in compat.h and nowhere else."""
    found = [f for f in tracked("driver", "scripts/tests/edu", "kunit")
             if re.search(r"LINUX_VERSION_CODE|KERNEL_VERSION\(", (TOP / f).read_text())]
    assert not found


def test_module_never_panics():
    found = [f for f in tracked("driver/*.c", "driver/*.h")
             if re.search(r"\b(panic|BUG|BUG_ON)\(", (TOP / f).read_text())]
    assert not found


def test_every_sysfs_file_is_documented():
    """And every documented one exists."""
    source = (TOP / "driver/sysfs.c").read_text()
    files = set(re.findall(r"&dev_attr_(\w+)\.attr", source)) | {"managed"}
    text = (TOP / "Documentation/ABI/testing/sysfs-driver-apple-dma").read_text()
    assert files == set(re.findall(r"^What:.*/apple_dma/(\w+)$", text, re.M))


def test_no_machine_is_named():
    """Neither the mirror of this machine nor a folder of it is in the tree."""
    targets = subprocess.run(["apt-get", "indextargets", "--format", "$(SITE)"],
                             capture_output=True, text=True, check=True).stdout
    names = {re.sub(r"^.*://", "", site).split("/")[0] for site in targets.split()}
    names |= {f"/{TOP.parts[1]}/"} if TOP.parts[1] not in ("usr", "tmp", "home", "root") else set()
    found = [(f, n) for f in tracked() for n in names
             if n and n in (TOP / f).read_text(errors="replace")]
    assert not found
