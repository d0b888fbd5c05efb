# SPDX-License-Identifier: GPL-2.0
"""The client library is for macOS: what it may include and use."""

import re
import subprocess

import pytest

from conftest import TOP

CLIENT = TOP / "host-emu/client"
IOKIT = TOP / "host-emu/iokit"

# Frameworks, and macOS's libc.
ALLOWED = {
    "CoreFoundation/CoreFoundation.h", "IOKit/IOKitLib.h", "dispatch/dispatch.h",
    "assert.h", "errno.h", "inttypes.h", "limits.h", "pthread.h", "stdbool.h", "stddef.h",
    "stdint.h", "stdio.h", "stdlib.h", "string.h", "time.h", "unistd.h",
}

PLATFORMS = re.compile(r"__linux__|__APPLE__|__MACH__|__unix__|_GNU_SOURCE|_WIN32|TARGET_OS_"
                       r"|CONFIG_DARWIN|__has_include")


def complaints(folder):
    """Parts of these sources that macOS lacks, or that are for one platform only."""
    said = []
    for path in sorted(folder.iterdir()):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            where = f"{path.name}:{number}: "
            found = re.match(r'\s*#\s*include\s*([<"])([^>"]*)', line)
            if found and found[1] == "<" and found[2] not in ALLOWED:
                said.append(where + f"<{found[2]}> is not on macOS, or not needed")
            if found and found[1] == '"' and not (folder / found[2]).is_file():
                said.append(where + f'"{found[2]}" is not of the client')
            if PLATFORMS.search(line):
                said.append(where + "it must not ask for the platform")
            if re.match(r"\s*#\s*(import|include_next)\b", line):
                said.append(where + "only #include")
    return said


def test_client_includes_only_what_macos_has():
    """IOKit, CoreFoundation, dispatch, libc, and its own headers."""
    assert list(CLIENT.glob("*.c"))
    assert not complaints(CLIENT)


@pytest.mark.parametrize("line", [
    "#include <linux/types.h>", "#include <sys/eventfd.h>", '#include "dext/dext.h"',
    '#include "../iokit/linux.h"', "  #  include <glib.h>", "#ifdef __linux__",
    "#if defined(__APPLE__)", "#define _GNU_SOURCE"])
def test_client_with_something_else_is_found(tmp_path, line):
    """The check above would complain."""
    (tmp_path / "a.c").write_text(line + "\n")
    assert len(complaints(tmp_path)) == 1


def test_client_calls_nothing_but_frameworks_and_libc(tmp_path):
    """Its undefined symbols are those that IOKit, CoreFoundation and dispatch declare."""
    declared = "".join(p.read_text() for p in IOKIT.rglob("*/*.h"))
    for source in CLIENT.glob("*.c"):
        subprocess.run(["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", f"-I{IOKIT}", "-c",
                        "-o", tmp_path / (source.stem + ".o"), source], check=True, timeout=120)
    listed = subprocess.run(["nm", *tmp_path.glob("*.o")], capture_output=True, text=True,
                            check=True, timeout=60).stdout
    own = set(re.findall(r"^[0-9a-f]+ [A-Za-z] (\w+)$", listed, re.M))
    used = set(re.findall(r"^ +U (\w+)$", listed, re.M)) - own
    libc = {"calloc", "free", "memcpy", "pthread_mutex_lock", "pthread_mutex_unlock", "snprintf",
            "strcmp", "strlen", "_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
    assert {name for name in used - libc if not re.search(rf"\b{name}\(", declared)} == set()
    assert "IOConnectCallMethod" in used


def test_every_function_of_the_interface_is_documented():
    """A kernel-doc comment with its name stands before each."""
    text = (CLIENT / "apple-dext-client.h").read_text()
    names = set(re.findall(r"\b(apple_dext_\w+)\(", re.sub(r"/\*.*?\*/", "", text, flags=re.S)))
    documented = set(re.findall(r"/\*\*\s*\n \* (apple_dext_\w+)\(\) - ", text))
    assert len(names) == 22
    assert names == documented
