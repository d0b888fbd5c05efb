# SPDX-License-Identifier: GPL-2.0
"""Checks of the sources: checkpatch, shellcheck, rules of the project."""

import re
import subprocess

from conftest import TOP


def tracked(*patterns):
    """Files of the project that match, as git knows them."""
    out = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "--", *patterns],
                         cwd=TOP, capture_output=True, text=True, check=True).stdout
    return [f for f in out.split("\n") if f and (TOP / f).is_file()]


def test_checkpatch():
    files = tracked("driver/*.[ch]", "include/*.h", "kunit/*.[ch]", "scripts/tests/stress/*.[ch]",
                    "scripts/tests/engine/*.[ch]", "scripts/tests/ttm/*.[ch]")
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
    """Scripts, and what they source, which names its shell for shellcheck."""
    scripts = [f for f in tracked() if re.match(rb"#!.*\b(ba|da)?sh\b|(#.*\n)*# shellcheck shell=",
                                                b"".join((TOP / f).open("rb").readlines()[:4]))]
    assert len(scripts) > 4 and "packaging/other-module" in scripts
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
    """Kernel differences are probed, and only compat.h handles them."""
    found = [f for f in tracked("driver", "scripts/tests/edu", "scripts/tests/engine",
                                "scripts/tests/ttm", "kunit")
             if re.search(r"LINUX_VERSION_CODE|KERNEL_VERSION\(", (TOP / f).read_text())]
    assert not found


def test_module_never_panics():
    found = [f for f in tracked("driver/*.c", "driver/*.h")
             if re.search(r"\b(panic|BUG|BUG_ON)\(", (TOP / f).read_text())]
    assert not found


def test_nothing_sleeps_on_preempt_rt():
    """There a spinlock sleeps, so none may be taken with interrupts or preemption off."""
    off = r"\b(preempt_disable|rcu_read_lock_sched|get_cpu_ptr)\("
    on = r"\b(preempt_enable|rcu_read_unlock_sched|put_cpu_ptr)\("
    sections = []
    for file in tracked("driver/*.[ch]"):
        text = re.sub(r"/\*.*?\*/", "", (TOP / file).read_text(), flags=re.S)
        assert not re.search(r"\b(raw_spin_|bit_spin_|local_irq_|irqs_disabled|in_atomic)", text), file
        assert len(re.findall(off, text)) == len(re.findall(on, text)), file
        sections += re.findall(f"{off}(.*?){on}", text, re.S)
    assert len(sections) > 5
    for _, section, _ in sections:
        assert not re.search(r"(spin_|mutex_|xa_\w*)lock|alloc\w*\(|print\w*\(|\bdev_\w+\(", section)


def test_every_sysfs_file_is_documented():
    """Every documented one exists."""
    source = (TOP / "driver/sysfs.c").read_text()
    files = set(re.findall(r"^\t(?:&dev_attr_|STAT\(|FAILURES\(|U(?:64|32)\()(\w+)", source, re.M))
    files |= {"managed"}
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
