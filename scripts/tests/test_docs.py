# SPDX-License-Identifier: GPL-2.0
"""The documentation: its commands run, and its links are valid."""

import importlib
import os
import re
import shlex
import subprocess

import pytest

import docs
from conftest import TOP

BLOCKS = docs.blocks(TOP)


def of_kind(*kinds):
    """The blocks of commands with one of these marks, as parameters."""
    return [pytest.param(block, id=str(block)) for block in BLOCKS
            if block.language == "sh" and block.kind in kinds]


def bash(script, cwd, **options):
    """Run a script that stops at the first error."""
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=cwd, check=False,
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{script}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture
def checkout(tmp_path):
    """A folder that looks like the checkout; commands may leave files in it."""
    (TOP / "build").mkdir(exist_ok=True)
    for entry in TOP.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    return tmp_path


def test_blocks_are_found():
    assert {"README.md", "Documentation/testbed.md"} <= {block.file for block in BLOCKS}
    assert len(of_kind(*docs.KINDS)) > 10


def test_every_block_of_commands_is_marked():
    """A block without a mark has nothing that looks like a command."""
    command = re.compile(r"^(\$ |# |sudo |make |scripts/|apple-dma |modprobe |insmod |dkms |apt )",
                         re.M)
    wrong = [f"{block.file}:{block.line}" for block in BLOCKS
             if (block.kind not in docs.KINDS if block.language == "sh"
                 else not block.language and command.search(block.text))]
    assert not wrong


@pytest.mark.parametrize("block", of_kind(*docs.KINDS))
def test_syntax(block):
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", of_kind("run"))
def test_commands(block, checkout):
    bash(block.text, checkout, timeout=300)


@pytest.mark.full
@pytest.mark.parametrize("block", of_kind("full"))
def test_long_commands(block, checkout):
    bash(block.text, checkout, timeout=900)


def help_of(words):
    """The help of a script, or of its subcommand."""
    tries = [words[:2] + ["--help"]] if words[1:] and not words[1].startswith("-") else []
    for argv in [*tries, [words[0], "--help"]]:
        done = subprocess.run(argv, cwd=TOP, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return done.stdout + done.stderr
    raise AssertionError(f"{words[0]} --help ends with {done.returncode}")


def check_script(words):
    """Each option of a call is in the script's help."""
    own = words[:words.index("--")] if "--" in words else words
    text = help_of(own)
    for option in (word.partition("=")[0] for word in own[1:] if word.startswith("--")):
        assert re.search(rf"{re.escape(option)}\b", text), f"{own[0]} has no {option}"


def check_make(words):
    done = subprocess.run([*words, "-n"], cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", of_kind("ci"))
def test_commands_of_the_suites_exist(block):
    for command in block.commands():
        words = shlex.split(command)
        assert words[0] == "make" or words[0].startswith("scripts/"), command
        (check_make if words[0] == "make" else check_script)(words)


@pytest.mark.parametrize("command", ["scripts/kunit --no-such-option",
                                     "scripts/testbed run --no-such-option -- sh"])
def test_a_wrong_option_is_seen(command):
    with pytest.raises(AssertionError, match="no-such-option"):
        check_script(shlex.split(command))


@pytest.mark.full
@pytest.mark.parametrize("target", ["demo", "demo-passthrough"])
def test_demo(target):
    """The first command that a newcomer runs."""
    out = bash(f"make {target}", TOP, timeout=1200, env={**os.environ, "MAKEFLAGS": ""})
    assert "SHA-256" in out


def test_commands_in_a_guest(testbed, disk):
    """One guest runs them all, each in its own shell."""
    drive, _ = disk()
    wanted = [param.values[0] for param in of_kind("guest")]
    script = "".join(f"echo 'block {block}'\n"
                     f"sh -euc {shlex.quote(block.text)} || fail 'block {block}'\n"
                     for block in wanted)
    run = testbed(script, qemu=[drive], devices=["nvme,drive=d0,serial=a"])
    assert [f"block {block}" for block in wanted] == re.findall(r"^block \S+$", run.out, re.M)


def test_links_lead_somewhere(tmp_path):
    assert (TOP / "CONTRIBUTING.md").exists() and not docs.dead_links(TOP)
    (tmp_path / "a.md").write_text("# One\n[b](b.md) [one](#one) [two](#two) [x](https://x)\n")
    assert docs.dead_links(tmp_path) == ["a.md: b.md", "a.md: #two"]


def test_issue_form_and_workflow():
    """The form asks for what helps; CI runs what .ci/run runs and nothing else."""
    form = (TOP / ".github/ISSUE_TEMPLATE/problem.yml").read_text()
    assert "sudo apple-dma report" in form and "sudo apple-dma doctor" in form
    workflow = (TOP / ".github/workflows/check.yml").read_text()
    assert re.findall(r"^      - run: (.*)$", workflow, re.M) == [".ci/run"]
    assert os.access(TOP / ".ci/run", os.X_OK)


def test_readme_leads_to_every_page():
    """By links, over other pages if need be."""
    ahead, seen = [TOP / "README.md"], set()
    while ahead:
        page = ahead.pop()
        if page in seen or page.suffix != ".md" or not page.exists():
            continue
        seen.add(page)
        ahead += [(page.parent / target.partition("#")[0]).resolve()
                  for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text())]
    assert {path.resolve() for path in (TOP / "Documentation").glob("*.md")} <= seen


def test_readme_counts_what_other_pages_list():
    """Devices that work, their drivers, and the instructions of a map with its unmap."""
    readme = " ".join((TOP / "README.md").read_text().split())
    compat = (TOP / "Documentation/compat.md").read_text()
    rows = re.findall(r"^\| (\S+) \| (\S+) \| .* \| ok(| \(.*\)) \|$", compat, re.M)
    drivers = {driver for _, driver, _ in rows}
    assert f" {len(rows)} device models of QEMU with their {len(drivers)} stock drivers" in readme
    number = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight")
    narrow = number[sum("below 4 GiB" in note for _, _, note in rows)]
    assert f"{narrow} models need 32-bit addresses" in readme.lower()
    bench = (TOP / "Documentation/benchmark.md").read_text().split("### Pairs and lists")[1]
    costs = [int(cost) for cost in
             re.findall(r"^\|.*\| cached \| (\d+) \|", bench.split("\n### ")[0], re.M)]
    assert f" {min(costs)} to {max(costs)} instructions" in readme


@pytest.mark.parametrize("page", ["README.md", "Documentation/limits.md", "Documentation/mac.md",
                                  "Documentation/faq.md", "Documentation/troubleshooting.md"])
def test_pages_have_the_limit_of_the_module(page):
    """A page that names the most bytes has the default of max_bytes."""
    header = (TOP / "include/uapi/linux/apple_dma.h").read_text()
    limit = int(re.search(r"APPLE_DMA_DEFAULT_MAX_BYTES\s+(0x[0-9a-f]+)", header)[1], 16)
    assert f"{limit >> 20} MiB" in (TOP / page).read_text()


def full_parameters(test):
    """(whether all of a test runs with --full only, the values of parameters that do)."""
    marks = getattr(test, "pytestmark", [])
    sets = [mark.args[1] for mark in marks if mark.name == "parametrize"]
    full = [[str(each.values[0]) for each in values if hasattr(each, "marks") and
             any(mark.name == "full" for mark in each.marks)] for values in sets]
    every = any(len(found) == len(values) for found, values in zip(full, sets))
    return every or any(mark.name == "full" for mark in marks), sum(full, [])


def test_lifecycle_says_what_runs_with_full_only():
    """Each row of the tables names its tests, with † for those that are marked full."""
    found = {}
    for path in (TOP / "scripts/tests").glob("test_vm_*.py"):
        found.update(vars(importlib.import_module(path.stem)))
    page = (TOP / "Documentation/lifecycle.md").read_text().split("## Broken on purpose")[0]
    wrong = []
    for row in re.findall(r"^\|.*`.*\|$", page, re.M):
        cell = row.split("|")[-2]
        assert re.fullmatch(r"( (KUnit )?`[\w.]+`( †| \([\w.]+: †\))?,?)+ ", cell), row
        for name, mark, only in re.findall(r"`(test_\w+)`(?: (†)| \(([\w.]+): †\))?", cell):
            assert name in found, f"there is no {name}"
            full, values = full_parameters(found[name])
            if bool(mark) != full or only and only not in values:
                wrong.append(f"{name}: {'only' if full else 'not only'} with --full")
    assert not wrong


def test_parameters_reach_the_initramfs():
    """The initramfs has a copy of modprobe.d: a page about parameters says how to update it."""
    pages = [TOP / "README.md", *(TOP / "Documentation").glob("*.md"), *(TOP / "tools/man").iterdir()]
    texts = {path.name: path.read_text().replace("\\-", "-") for path in pages}
    said = re.compile(r"update-initramfs -u\b.*dracut --force|install\.md#module-parameters", re.S)
    told = {name for name, text in texts.items() if "/etc/modprobe.d" in text}
    told |= {"limits.md", "mac.md", "troubleshooting.md"}
    assert not sorted(name for name in told if not said.search(texts[name]))
