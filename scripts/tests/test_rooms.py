# SPDX-License-Identifier: GPL-2.0
"""The files of driver/ are rooms: each calls only what is below it."""

import graphlib
import re
import subprocess

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
    assert graph["main"] and graph["pin"]
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
