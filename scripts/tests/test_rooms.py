# SPDX-License-Identifier: GPL-2.0
"""The files of driver/ and of host-emu/: each uses only what is below it."""

import graphlib
import re
import subprocess
from pathlib import Path

import pytest

from conftest import TOP


def symbols(obj):
    """What an object file defines for others, and what it wants of them."""
    out = subprocess.run(["nm", "--format=posix", obj], capture_output=True, text=True,
                         check=True).stdout
    kinds = dict(line.split()[:2] for line in out.splitlines())
    return ({name for name, kind in kinds.items() if kind in "TDRB"},
            {name for name, kind in kinds.items() if kind == "U"})


def calls(objects):
    """{room: {room that it calls: symbols}} of object files."""
    known = {obj.stem: symbols(obj) for obj in objects}
    home = {name: room for room, (defined, _) in known.items() for name in defined}
    graph = {room: {} for room in known}
    for room, (_, wanted) in known.items():
        for name in sorted(wanted & home.keys()):
            graph[room].setdefault(home[name], []).append(name)
    return graph


def circle(graph):
    """The rooms of a circle with what each wants of the next, or None."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        # Each is called by the one that follows it.
        rooms = error.args[1]
        return ", ".join(f"{caller} -> {called} ({' '.join(graph[caller][called])})"
                         for called, caller in zip(rooms, rooms[1:]))
    return None


def test_no_room_calls_one_above_it(build_module):
    built = build_module().parent / "src/driver"
    objects = [built / f"{path.stem}.o" for path in TOP.glob("driver/*.c")]
    graph = calls(objects)
    assert graph["main"] and graph["map"]
    assert circle(graph) is None


def test_headers_make_no_circle():
    graph = {path.name: {name: [name] for name in re.findall(r'^#include "([\w-]+\.h)"',
                                                             path.read_text(), re.M)}
             for path in TOP.glob("driver/*.h")}
    assert graph["hit.h"]
    assert circle(graph) is None


@pytest.mark.parametrize("backwards", [False, True])
def test_circle_would_be_seen(tmp_path, backwards):
    """Two files that call each other, and two of which only one does."""
    for name, other in (("a", "b"), ("b", "a")):
        call = f"void {other}(void); " if name == "a" or backwards else ""
        body = f"{other}();" if call else ""
        (tmp_path / f"{name}.c").write_text(f"{call}void {name}(void) {{ {body} }}\n")
        subprocess.run(["gcc", "-c", f"{name}.c"], cwd=tmp_path, check=True)
    found = circle(calls([tmp_path / "a.o", tmp_path / "b.o"]))
    assert bool(found) == backwards
    if backwards:
        assert "a -> b (b)" in found and "b -> a (a)" in found


# The folders of host-emu/, lowest first; iokit and client have headers that macOS shares, too.
FOLDERS = "lib proto iokit client dart pci dext companion dextd qemu".split()


def uses(source):
    """The folders of which a source of host-emu/ includes headers, its own among them."""
    for system, quoted in re.findall(r'^#include (?:<([\w/.-]+)>|"([\w/.-]+)")',
                                     source.read_text(), re.M):
        folder = (system or quoted).split("/")[0]
        if (TOP / "host-emu/iokit" / system).is_file():
            yield "iokit"
        elif quoted and folder in FOLDERS:
            yield folder
        elif quoted and "/" not in quoted:
            assert (source.parent / quoted).is_file(), f"{source}: {quoted}"


def too_high(root):
    """What includes a header of a folder above its own."""
    return [f"{source.relative_to(root)}: {used}" for folder in FOLDERS
            for source in sorted(root.glob(f"{folder}/**/*.[ch]")) for used in uses(source)
            if FOLDERS.index(used) > FOLDERS.index(folder)]


def test_no_folder_of_the_emulator_uses_one_above_it():
    assert {path.parent.name for path in TOP.glob("host-emu/*/*.c")} == {*FOLDERS, "tests", "fuzz"}
    assert "dart" in uses(TOP / "host-emu/pci/physical.h")
    assert not too_high(TOP / "host-emu")


def test_folder_above_would_be_seen(tmp_path):
    (tmp_path / "dart").mkdir()
    (tmp_path / "dart/a.c").write_text('#include "lib/tree.h"\n#include "dext/dext.h"\n')
    assert too_high(tmp_path) == ["dart/a.c: dext"]


def test_no_files_of_the_emulator_need_each_other():
    """Their symbols, from the objects of the shim and of dextd."""
    def make(*targets):
        return subprocess.run(["make", "-s", "-C", TOP / "host-emu", *targets], timeout=600,
                              capture_output=True, text=True, check=True).stdout.strip()
    make("shim", "dextd")
    folders = [Path(make("print-shim")).parent, Path(make("print-dextd")).parent / "objects"]
    sources = [source.relative_to(TOP / "host-emu") for folder in FOLDERS
               for source in TOP.glob(f"host-emu/{folder}/*.c") if source.stem != "loader"]
    graph = calls([obj for source in sources for folder in folders
                   if (obj := folder / source.with_suffix(".o")).is_file()])
    assert len(graph) == len(sources) and graph["doorbell"] and graph["dextd"]
    assert circle(graph) is None


def test_headers_of_the_emulator_make_no_circle():
    graph = {}
    for path in TOP.glob("host-emu/*/*.h"):
        found = re.findall(r'^#include "([\w/-]+\.h)"', path.read_text(), re.M)
        graph[f"{path.parent.name}/{path.name}"] = {
            (name if "/" in name else f"{path.parent.name}/{name}"): [name] for name in found}
    assert graph["dext/dext.h"]
    assert circle(graph) is None
