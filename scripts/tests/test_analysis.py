# SPDX-License-Identifier: GPL-2.0
"""Static analysis: coccinelle for the kernel's code, three tools for the host's.

Each tool has to find a known mistake, so that a tool that finds nothing does not pass.
"""

import os
import re
import shlex
import subprocess

import pytest

from conftest import TOP
from test_static import tracked

KERNEL_CODE = tracked("driver/*.[ch]", "kunit/*.[ch]", "scripts/tests/*/*.[ch]",
                      "scripts/lib/bench/guest/*.[ch]")
HOST_CODE = tracked("host-emu/*.c", ":(glob)scripts/lib/*/*.c")

# A script of each folder of scripts/coccinelle, and what it must find.
PATCHES = {
    "api/err_cast.cocci": "return ERR_PTR(PTR_ERR(w));",
    "free/kfree.cocci": "kfree(p);\n\tkfree(p);",
    "iterators/itnull.cocci": "list_for_each_entry(w, l, n)\n\t\tif (!w)\n\t\t\treturn 1;",
    "locks/mini_lock.cocci": "mutex_lock(m);\n\tif (*p)\n\t\treturn 1;\n\tmutex_unlock(m);",
    "misc/array_size.cocci": "static const int a[3];\n\treturn sizeof(a) / sizeof(a[0]);",
    "null/eno.cocci": "w = kmalloc(8, GFP_KERNEL);\n\tif (IS_ERR(w))\n\t\treturn 1;",
    "tests/doubletest.cocci": "if (*p && *p)\n\t\treturn 1;",
}
FOLDERS = sorted(script.split("/")[0] for script in PATCHES)


def run(*argv, **options):
    """Run a tool; returns its status and all it said."""
    done = subprocess.run([str(a) for a in argv], cwd=TOP, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False, **options)
    return done.returncode, done.stdout + done.stderr


def test_there_is_code_to_analyse():
    assert len(KERNEL_CODE) > 25 and len(HOST_CODE) > 15


@pytest.mark.parametrize("folder", FOLDERS)
def test_semantic_patches(folder):
    """All of them ran, saw every function, and found nothing."""
    status, said = run("scripts/coccicheck", "--only", folder, *KERNEL_CODE)
    assert status == 0, said
    assert re.search(r"coccicheck: [1-9]\d* scripts ran, \d+ left out, 0 reports$", said), said


def test_no_folder_of_semantic_patches_is_forgotten():
    status, tools = run("scripts/lib/linux-source")
    assert status == 0, tools
    assert sorted(os.listdir(f"{tools.splitlines()[-1]}/coccinelle")) == FOLDERS


@pytest.mark.parametrize("script", PATCHES)
def test_semantic_patches_would_complain(tmp_path, script):
    bad = tmp_path / "bad.c"
    bad.write_text("int bad(int *p, struct mutex *m, struct list_head *l, struct w *w)\n{\n"
                   f"\t{PATCHES[script]}\n\treturn 0;\n}}\n")
    status, said = run("scripts/coccicheck", "--only", script, bad)
    assert status == 1 and re.search(rf"bad\.c:\d+:.*\[{script}\]", said), said


def test_functions_that_coccinelle_cannot_read_are_noticed(tmp_path):
    """It skips them without a message."""
    bad = tmp_path / "bad.c"
    bad.write_text("int good(int a)\n{\n\treturn a;\n}\n\nint bad(int a)\n{\n"
                   "\tEACH a BEGIN return 1; }\n}\n")
    status, said = run("scripts/coccicheck", "--only", "free/kfree.cocci", bad)
    assert status == 1 and "bad.c:7: spatch does not see this function" in said, said


def dry_run(*targets):
    """The compiler's command lines of the emulator's Makefile, by source."""
    env = {key: value for key, value in os.environ.items()
           if key not in ("MAKEFLAGS", "MAKELEVEL", "CFLAGS", "BUILD")}
    status, said = run("make", "-n", "-B", "-C", "host-emu", f"BUILD={TOP}/build/analysis",
                       *targets, env=env)
    assert status == 0, said
    found = {}
    for line in said.replace("\\\n", " ").splitlines():
        if " -std=gnu11 " not in line:
            continue
        words = shlex.split(line[line.index(" -std=gnu11 "):].split(" && ")[0])
        for source in (word for word in words if word.endswith(".c")):
            found[os.path.relpath(source, TOP)] = words
    return found


@pytest.fixture(scope="session")
def flags_of():
    """The Makefile's flags for a source, without those for output."""
    lines = {**dry_run("fuzz"), **dry_run("unit", "print-wire"), **dry_run("shim-alone")}

    def find(source):
        # Sources outside the emulator are tools of one file, or plugins of QEMU.
        words = iter(lines[source if source.startswith("host-emu/") else
                           "host-emu/qemu/companion.c"])
        kept = []
        for word in words:
            if word == "-isystem":
                kept += [word, next(words)]
            elif re.match(r"-([IDOWf]|std=)(?!sanitize|no-sanitize)", word):
                kept.append(word)
        return kept
    return find


# Checks of a tool that are wrong in some files, and are off there.
WRONG = [
    ("clang-tidy", "host-emu/tests/", "a failed assertion ends a test, which it does not know",
     ["-clang-analyzer-core.CallAndMessage", "-clang-analyzer-core.NonNullParamChecker"]),
    ("clang-tidy", "host-emu/tests/", "tables of small numbers and bytes that are no strings",
     ["-bugprone-implicit-widening-of-multiplication-result", "-bugprone-too-small-loop-variable",
      "-bugprone-not-null-terminated-result", "-clang-analyzer-optin.performance.Padding"]),
    ("gcc-fanalyzer", "host-emu/tests/", "a test without memory may crash",
     ["-Wno-analyzer-possible-null-dereference"]),
    ("clang-tidy", "host-emu/client/interrupt-notify.c", "two users are counted, and both leave",
     ["-clang-analyzer-unix.Malloc"]),
    ("gcc-fanalyzer", "host-emu/client/interrupt-notify.c", "the same",
     ["-Wno-analyzer-use-after-free", "-Wno-analyzer-use-of-uninitialized-value"]),
    ("gcc-fanalyzer", "host-emu/iokit/object.c", "an object is the first member of what was made",
     ["-Wno-analyzer-malloc-leak"]),
    ("gcc-fanalyzer", "host-emu/dart/dart.c", "a node is the first member of the mapping that has it",
     ["-Wno-analyzer-malloc-leak"]),
    ("cppcheck", "scripts/lib/compat/drm-show.c", "the kernel fills in what it has the address of",
     ["--suppress=uninitvar"]),
]


def clang_tidy(source, flags, wrong=()):
    """Its configuration is .clang-tidy."""
    # Options of gcc that clang does not know are ignored.
    return run("clang-tidy", "--quiet", f"--config-file={TOP}/.clang-tidy",
               f"--checks={','.join(wrong)}", source, "--", *flags, "-Wno-unknown-warning-option")


def analyzer(source, flags, wrong=()):
    """gcc's own, with the warnings of -O2, which it needs."""
    return run("gcc", *flags, "-Werror", "-fanalyzer", *wrong, "-c", "-o", os.devnull, source)


def cppcheck(source, flags, wrong=()):
    """All configurations; of headers only ours, so QEMU's macros are explained."""
    ours = [f for f in flags if f.startswith(f"-I{TOP}") or f.startswith("-DQEMU")]
    return run("cppcheck", "--quiet", "--enable=warning,performance,portability",
               "--std=c11", "--library=gtk", "--inline-suppr", "--error-exitcode=1",
               "-DOBJECT_DECLARE_SIMPLE_TYPE(a,b)=", *wrong, *ours, source)


TOOLS = {"clang-tidy": clang_tidy, "gcc-fanalyzer": analyzer, "cppcheck": cppcheck}


@pytest.mark.parametrize("source", HOST_CODE)
@pytest.mark.parametrize("tool", TOOLS)
def test_host_code(flags_of, tool, source):
    wrong = [option for name, where, _, options in WRONG for option in options
             if name == tool and source.startswith(where)]
    status, said = TOOLS[tool](source, flags_of(source), wrong)
    assert status == 0 and "warning:" not in said, said


BAD = {
    "clang-tidy": "int bad(const char *s)\n{\n\treturn sizeof(s) / sizeof(s[0]) == 4;\n}\n",
    "gcc-fanalyzer": "#include <stdlib.h>\nvoid bad(void *p)\n{\n\tfree(p);\n\tfree(p);\n}\n",
    "cppcheck": "int bad(void)\n{\n\tint a[4];\n\n\ta[4] = 1;\n\treturn a[4];\n}\n",
}


@pytest.mark.parametrize("source", ["host-emu/dart/dart.c", "host-emu/qemu/companion.c"])
@pytest.mark.parametrize("tool", TOOLS)
def test_tool_would_complain(flags_of, tmp_path, tool, source):
    """At the end of a real file, with its headers and flags."""
    bad = tmp_path / os.path.basename(source)
    bad.write_text((TOP / source).read_text() + BAD[tool])
    status, said = TOOLS[tool](str(bad), [*flags_of(source), f"-I{(TOP / source).parent}"])
    assert status != 0 and re.search(rf"{bad}:\d+:\d+: ", said), said
