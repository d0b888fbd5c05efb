# SPDX-License-Identifier: GPL-2.0
"""All that driver/ reads from the host is in Documentation/host-audit.md."""

import re

import pytest

import audit
from conftest import TOP
from kunit import suites
from testbed import host

REGISTERS = "Registers and the shared page"
KERNEL = "By way of the kernel"
PAGE = "Who has the shared page"
OUTCOMES = {"broken", "refused", "harmless", "not bound"}

# Functions that read registers, configuration space or wire data, and functions of the
# kernel that return data of the firmware or the bus.
CALLS = re.compile(
    r"\b(\w*read[bwlq](?:_\w+)?|\w*ioread\w+|ins?[bwl]p?|memcpy_fromio"
    r"|pci\w*_(?:read|find|vpd|bus_read|user_read)\w*|pci_get_(?:dsn|domain\w+)"
    r"|\w*[bl]e(?:16|32|64)_to_cpu\w*|get_unaligned\w*|transport_(?:copy_once|read_word)"
    r"|pci_resource_\w+|pci_is_\w+|dev_is_\w+|device_property_\w+|fwnode_\w+|acpi_\w+"
    r"|walk_\w+|page_is_ram|region_intersects)\s*\(")
FIELDS = re.compile(r"((?:->|\.)(?:vendor|device|subsystem_\w+|hdr_type|class|revision"
                    r"|resource|bus_dma_limit|start_pfn|nr_pages))\b(?!\s*\()")
WIRE = re.compile(r"(?<!sizeof\()(?<!offsetof\()\bstruct apple_dma_(?:cmd|(?:un)?map_(?:req|resp)(?:_wide)?)\b")
# The file that has the page, and the expressions that point to it there and elsewhere.
TRANSPORT = "transport.c"
COPIES = re.compile(r"\b(mem(?:cpy|move|cmp|chr)|str\w+)\s*\(")
POINTER = re.compile(r"(?:->|\.)page(?:_gpa)?\b|\btransport_req\s*\(")
OTHERS = re.compile(r"\btransport(?:\.|->)page|\bstruct apple_dma_transport\s*\*"
                    r"|\bapple_dma_transport_ops\.")


def sources():
    """The driver's files without comments and strings."""
    return {path.name: stripped(path.read_text(encoding="utf-8"))
            for path in sorted((TOP / "driver").glob("*.[ch]"))}


def stripped(text):
    """C without comments and strings, on the same lines."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match[0])
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', blank, text, flags=re.S)


def functions(text):
    """{function: its text}; text outside functions is under ''. It must have kernel style."""
    found, outside, end = {}, "", 0
    pattern = re.compile(r"^(?:[A-Za-z_][^\n;#]*?\b)?(\w+)\([^;{}#]*?\)[^;{}]*?\n\{\n.*?^\}",
                         re.M | re.S)
    for match in pattern.finditer(text):
        found[match[1]] = match[0]
        outside += text[end:match.start()]
        end = match.end()
    found[""] = outside + text[end:]
    return found


def count(file, text):
    """{what reads: how often} in a function."""
    body = text.partition("\n{\n")[2] or text
    counts = {}
    copies = COPIES.findall(body) if file == TRANSPORT else []
    for what in CALLS.findall(body) + FIELDS.findall(body) + copies:
        counts[what] = counts.get(what, 0) + 1
    return counts


def wrong_reads(files, rows):
    """The differences between the driver and the tables of reads, one in a line."""
    listed = {}
    for row in rows:
        there = listed.setdefault((row.file, row.function), {})
        for what, times in row.reads.items():
            there[what] = there.get(what, 0) + times
    wrong = []
    for file, text in files.items():
        for function, body in functions(text).items():
            found, there = count(file, body), listed.pop((file, function), {})
            wrong += [f"{file}, {function or 'outside of a function'}: {found.get(what, 0)} "
                      f"{what} in the source, {there.get(what, 0)} in host-audit.md"
                      for what in sorted(found | there) if found.get(what, 0) != there.get(what, 0)]
    return wrong + [f"host-audit.md: there is no {function}() in {file}"
                    for file, function in listed]


def dereferences(body):
    """Lines of a function that read the shared page through a pointer into it."""
    names = re.findall(r"\*\s*(\w+)\s*=\s*(?:t->page|transport_req\(t\))", body)
    found = []
    for name in names:
        for line in body.splitlines():
            use = re.search(rf"\b{name}(?:\[\w+\])?->|\b{name}\[\w+\]\.|\*{name}\b(?! =)"
                            rf"|\([\w ]+\*\)\s*{name}\b", line)
            if (use and not re.match(rf"\s*{name}(?:\[\w+\]\.|->)\w+ = [^=]", line)
                    and not re.search(rf"\btransport_(?:copy_once|read_word)\(.*&{name}\b", line)):
                found.append(line.strip())
    return found + [line.strip() for line in body.splitlines()
                    if re.search(r"\*\s*\(.*(?:->page|transport_req\()", line)]


def wrong_pointers(files, listed):
    """Functions that may not have a pointer to the shared page, or read through it."""
    wrong, holders = [], set()
    for file, text in files.items():
        for function, body in functions(text).items():
            where = f"{file}, {function or 'outside of a function'}"
            if file != TRANSPORT:
                wrong += [f"{where}: {match}" for match in OTHERS.findall(body)
                          if not (file == "transport.h" and "struct" in match)]
                wrong += [f"{where}: {match}" for match in WIRE.findall(body)]
                continue
            if POINTER.search(body) or (WIRE.search(body) and function):
                holders.add(function)
            wrong += [f"{where} reads the page: {line}" for line in dereferences(body)]
    return wrong + [f"{TRANSPORT}, {name}: in the source or in host-audit.md, not in both"
                    for name in sorted(holders ^ set(listed))]


def check(files, text=None):
    """All differences between the driver's files and the document."""
    rows = audit.reads(REGISTERS, text) + audit.reads(KERNEL, text)
    holders = [audit.quoted(row[0])[0] for row in audit.table(PAGE, text)]
    return wrong_reads(files, rows) + wrong_pointers(files, holders)


def exists(test, lies, cases):
    """Whether there is such a test."""
    file, both, name = test.partition("::")
    if both:
        path = TOP / "scripts" / "tests" / file
        return path.exists() and re.search(rf"^def {name}\(", path.read_text(), re.M)
    return test in lies if "=" in test else test in cases


def test_every_read_is_in_the_table():
    assert not check(sources())


def test_every_test_exists():
    lies = [lie.name for lie in audit.lies()]
    cases = suites.expected(True, "*")
    rows = audit.reads(REGISTERS) + audit.reads(KERNEL)
    assert not [(row.function, test) for row in rows for test in row.tests
                if not exists(test, lies, cases)]
    named = [name for name in audit.quoted(audit.section(PAGE)) if "." in name]
    assert len(named) > 5 and not set(named) - set(cases)
    # A row without a test says why. Rows about registers and the page must have a test.
    assert not [row for row in rows if bool(row.tests) == row.none]
    assert not [row for row in audit.reads(REGISTERS) if row.none]


def test_every_lie_has_an_outcome():
    """The table and the emulator have the same lies."""
    lies = audit.lies()
    assert len({lie.name for lie in lies}) == len(lies)
    assert {lie.outcome for lie in lies} == OUTCOMES and all(lie.log for lie in lies)
    told = {option[4:] for lie in lies for option in lie.host if option.startswith("lie=")}
    assert told == set(host.LIES) - {"none"}
    names = re.findall(r'^\t\[LIE_\w+\] = "([\w-]+)"',
                       (TOP / "host-emu/companion/lie.c").read_text(), re.M)
    assert sorted(names) == sorted(host.LIES)
    wire = (TOP / "host-emu/tests/test_lies.py").read_text()
    assert not [name for name in told if f'"{name}"' not in wire and f"lie={name}" not in wire]


# Lines that somebody may add, and a part of the error message.
ADDITIONS = [
    ("main.c", "apple_dma_remove", "readl(bar + APPLE_DMA_REG_VERSION);", "1 readl in the source"),
    ("transport.c", "transport_ring", "readl(t->bar + APPLE_DMA_REG_STATUS);",
     "2 readl in the source"),
    ("transport.c", "transport_ring", "if (cmd->status)\n\t\treturn 0;",
     "reads the page: if (cmd->status)"),
    ("transport.c", "transport_ring", "count = READ_ONCE(cmd->count);", "reads the page"),
    ("transport.c", "transport_ring", "count = *(u32 *)(t->page + 8);", "reads the page"),
    ("transport.c", "transport_get_map_answer", "answer->id = ((u64 *)array)[0];",
     "reads the page"),
    ("transport.c", "transport_get_map_answer", "memcpy(answer, array, 8);",
     "1 memcpy in the source"),
    ("transport.c", "transport_ring", "transport_copy_once(&status, &cmd->status, 4);",
     "1 transport_copy_once in the source"),
    ("transport.c", "apple_dma_transport_unmap", "entries[0].err = req[0].id;", "reads the page"),
    ("transport.c", "transport_get_map_answer", "answer->len += le32_to_cpu(x);", "4 le32_to_cpu"),
    ("transport.c", "apple_dma_transport_map", "void *p = t->page;", "not in both"),
    ("transport.c", "apple_dma_transport_reason", "struct apple_dma_cmd *c = x;", "not in both"),
    ("transport.c", "apple_dma_transport_reason", "void *p = phys_to_virt(t->page_gpa);",
     "not in both"),
    ("engine.c", "apple_dma_engine_stop", "struct apple_dma_cmd *cmd = e->host;", "engine.c"),
    ("sysfs.c", "apple_dma_sysfs_mode", "void *p = ad->transport.page;", "sysfs.c"),
    ("managed.c", "__managed_attach", "pci_read_config_word(pdev, 0, &id);",
     "pci_read_config_word"),
    ("managed.c", "__managed_attach", "if (pdev->class)\n\t\treturn;", "1 ->class in the source"),
    ("idle.c", "", "#define peek(x) ioread32(x)", "outside of a function: 1 ioread32"),
]


@pytest.mark.parametrize("file, function, line, complaint", ADDITIONS)
def test_a_new_read_is_seen(file, function, line, complaint):
    """The check fails with each of them."""
    files = sources()
    body = functions(files[file]).get(function)
    assert body is not None
    if function:
        files[file] = files[file].replace(body, body.replace("\n{\n", f"\n{{\n\t{line}\n", 1))
    else:
        files[file] += f"\n{line}\n"
    wrong = check(files)
    assert len(wrong) == 1 and complaint in wrong[0], wrong


@pytest.mark.parametrize("old, new, complaint", [
    ("`transport_ring` | `readl`", "`transport_rings` | `readl`",
     "there is no transport_rings() in transport.c"),
    ("| `transport_ring` | `transport_read_word` |",
     "| `transport_ring` | 2 `transport_read_word` |", "2 in host-audit.md"),
    ("| `transport_ring` | writes the command", "| `transport_rang` | writes the command",
     "transport_rang"),
])
def test_a_wrong_table_is_seen(old, new, complaint):
    text = audit.AUDIT.read_text()
    assert text.count(old) == 1
    assert any(complaint in line for line in check(sources(), text.replace(old, new)))


def test_a_test_that_does_not_exist_is_seen():
    lies, cases = ["lie=zero"], suites.expected(True, "*")
    assert exists("lie=zero", lies, cases) and not exists("lie=none", lies, cases)
    assert exists("wire.layout_is_read_once", lies, cases)
    assert not exists("wire.layout_is_read_twice", lies, cases)
    assert exists("test_host_audit.py::test_every_test_exists", lies, cases)
    assert not exists("test_host_audit.py::test_nothing", lies, cases)


def test_every_function_is_seen():
    """No function is taken for a part of another, or overlooked."""
    found = {file: functions(text) for file, text in sources().items()}
    assert sum(map(len, found.values())) > 250
    for file, bodies in found.items():
        opened = len(re.findall(r"^\{$", sources()[file], re.M))
        assert opened == len(bodies) - 1, file
