# SPDX-License-Identifier: GPL-2.0
"""apple-dma report and top, the manual, the completion and the installation."""

import ast
import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import docs
import pytest
from conftest import TOP
from test_tools import COMPANION, TOOL, line_with, on_a_terminal, tool, tree, without_override
from tools_tree import DEFAULTS, MIB, NEWER, PREMAPPED, event, window
from apple_dma import charts, devices, figures, record
from apple_dma import report as report_module

VOID = {"meta", "br", "img", "link", "input"}


class Page(HTMLParser):
    """Checks that tags match; collects the text, and links to other files."""

    def __init__(self, html):
        super().__init__()
        self.open, self.links, self.text, self.bad = [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.links += [v for k, v in attrs if k in ("href", "src", "srcset", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.bad.append((tag, self.getpos()))

    def handle_data(self, data):
        self.text.append(data)


def trace_of(start):
    """A trace whose figures are known."""
    lines = [event(start + 0.01, "window_create", "phys=0x80000000 iova=0x8000000000 size=4194304"),
             event(start + 0.02, "window_create", "phys=0x90000000 iova=0x8010000000 size=16384")]
    lines += [event(start + 0.1, "map", f"phys=0x80000000 iova=0x8000000000 size=4096 hit={hit}")
              for hit in [1] * 90 + [0] * 10]
    lines += [event(start + 0.1, "map", "phys=0x80000000 iova=0x1 size=131072 hit=1 new=thing")] * 7
    lines += [event(start + 0.2, "unmap", "iova=0x8000000000 size=4096")] * 3
    lines += [event(start + 0.2, "doorbell", f"op={op} requests=2 bytes=32768 ns={ns}")
              for op, ns in [("map", 5000)] * 50 + [("unmap", 7000)] * 48 + [("map", 300000)] * 2]
    lines += [event(start + 0.3, "window_evict", f"phys=0x1 iova=0x1 size=16384 cause={cause}")
              for cause in ("age", "room", "room")]
    lines += [event(start + 0.3, "host_error", 'address=0x1 what="it refused a window"'),
              event(start + 0.3, "map", "phys=0x1 iova=0x1 size=4096 hit=1", "0000:00:99.0"),
              event(start + 0.3, "strange", "what=ever"), "no event at all",
              "CPU:1 [LOST 12 EVENTS]"]
    return lines


WINDOWS = [window(0x80000000, 0x8000000000, 4 * MIB, 3), window(0x90000000, 1, 2 * MIB, 0),
           "a line that is none", window(0x98000000, 2, 2 * MIB, 0, "dead")]


@pytest.fixture
def report(tree, tmp_path):
    """Records the tree; returns the page, and the output of the command."""
    def run(*args, lines=None, seconds=0.4, expect=0, argv=(TOOL,)):
        file = tmp_path / "report.html"

        def prepare():
            if lines:
                tree.instance(os.getpid(), lines(time.monotonic()))
        done = subprocess.run([*argv, "--root", tree.top, "report", "--seconds", str(seconds),
                               "-o", file, *args], capture_output=True, text=True, check=False,
                              preexec_fn=prepare)
        assert done.returncode == expect, done
        return (file.read_text() if file.exists() else ""), done.stdout + done.stderr
    return run


def numbers_of(html):
    """The figures that the page has for programs, of its only device."""
    found = re.search(r'<script type="application/json" id="numbers">(.*?)</script>', html)
    return json.loads(found[1])[0]


@pytest.fixture
def traced(tree):
    """A device, and a kernel with tracing."""
    tree.companion()
    tree.tracing()
    tree.windows(WINDOWS)
    return tree


def test_report_has_the_figures_of_the_trace(traced, report):
    html, out = report(lines=trace_of)
    got = numbers_of(html)
    assert got["doorbells_traced"] == 100
    assert got["doorbell_ns"] == {"median": 5000, "p99": 300000, "longest": 300000,
                                  "total": 50 * 5000 + 48 * 7000 + 2 * 300000}
    labels, maps, unmaps = got["latency_buckets"]
    assert labels[0] == "4 µs" and maps[0] == 50 and unmaps[0] == 48 and maps[6] == 2
    assert labels[6] == "256 µs" and sum(maps) + sum(unmaps) == 100
    assert len(labels) == len(maps) + 1
    sizes, hits, misses = got["size_buckets"]
    assert sizes == ["4 KiB", "8 KiB", "16 KiB", "32 KiB", "64 KiB", "128 KiB"]
    assert hits == [90, 0, 0, 0, 0, 7] and misses == [10, 0, 0, 0, 0, 0]
    assert (got["windows_created"], got["windows_created_bytes"]) == (2, 4 * MIB + 16384)
    assert got["windows_evicted"] == {"age": 1, "room": 2}
    assert got["host_errors"] == 1 and got["lost_events"] == 12 and got["windows"] == 3
    assert "Peak use was 43 % of the host's limit" in out and "612 MiB (500 MiB in use) of 1.39 GiB" in out
    assert "2 windows (4.02 MiB) were registered, 3 given back: 2 to make room" in out
    assert "it refused a window" in out
    assert "12 events came too fast and were lost" in html


def test_report_removes_its_instance(traced, report):
    report(lines=trace_of)
    assert not traced.instances()


def test_report_that_is_ended_removes_its_instance(traced, tmp_path):
    for number, status in ((signal.SIGTERM, 143), (signal.SIGINT, 0)):
        with subprocess.Popen(
                [TOOL, "--root", traced.top, "report", "--seconds", "60", "-o",
                 tmp_path / "ended.html"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                preexec_fn=lambda: traced.instance(os.getpid(), trace_of(0))) as process:
            enabled = "events/apple_dma/doorbell/enable"
            deadline = time.monotonic() + 30
            while not any((i / enabled).read_text() == "1" for i in traced.instances()
                          if (i / enabled).exists()):
                assert time.monotonic() < deadline
                time.sleep(0.02)
            time.sleep(0.2)
            process.send_signal(number)
            out = process.communicate(timeout=30)[0].decode()
        assert process.returncode == status, out
        assert not traced.instances()
    assert "stopped early" in (tmp_path / "ended.html").read_text()


def test_report_is_well_formed_and_alone(traced, report):
    html, _ = report(lines=trace_of)
    page = Page(html)
    assert not page.bad and not page.open and not page.links
    assert "http" not in html.replace('xmlns="http://www.w3.org/2000/svg"', "")
    pictures = re.findall(r"<svg .*?</svg>", html, re.S)
    assert len(pictures) == 14      # seven plots, for a wide and for a narrow page
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        width, height = map(float, root.get("viewBox").split()[2:])
        check_inside(root, width, height)
        check_labels(root)
    text = " ".join(page.text)
    assert "nan" not in text.lower().split() and "None" not in text
    for unit in ("time in seconds", "time in the host", "size, up to", "MiB", "µs",
                 "mappings per second", "doorbells per second"):
        assert unit in text, unit


def check_inside(root, width, height):
    """Nothing is drawn outside of a picture."""
    for part in root.iter():
        for name, most in (("x", width), ("x1", width), ("x2", width), ("y", height),
                           ("y1", height), ("y2", height)):
            if part.get(name):
                assert -0.5 <= float(part.get(name)) <= most + 0.5, part.attrib
        if part.get("width"):
            assert float(part.get("width")) >= 0 and float(part.get("height")) >= 0
            assert float(part.get("x")) + float(part.get("width")) <= width + 0.5


def check_labels(root):
    """No two texts of a picture overlap, by their estimated lengths."""
    boxes = []
    for part in root.iter("{http://www.w3.org/2000/svg}text"):
        width, x, y = len(part.text) * 7, float(part.get("x")), float(part.get("y"))
        left = x - {"start": 0, "middle": width / 2, "end": width}[part.get("text-anchor")]
        assert left > -4, part.text
        boxes.append((left, left + width, y - 10, y, part.text))
    for i, (a, b, c, d, one) in enumerate(boxes):
        for e, f, g, h, two in boxes[i + 1:]:
            assert b <= e or f <= a or d <= g or h <= c, (one, two)


def test_report_with_counters_alone(tree, report):
    """An older module has no tracepoints and no listing."""
    tree.companion(**{name: None for name in NEWER})
    tree.tracing()
    tree.remove("sys/kernel/tracing/events/apple_dma")
    html, out = report(seconds=0.2)
    assert "Only counters were recorded: this apple_dma has no tracepoints" in out
    assert "Only counters were recorded" in html
    assert not Page(html).bad


def test_report_of_a_driver_that_does_nothing(traced, report):
    html, out = report(lines=lambda start: ["nothing"], seconds=0.2)
    assert "The driver mapped nothing in this time." in out
    assert "Not shown: How long a doorbell takes (none in this time; since the companion" in html


def test_a_plot_without_data_gets_no_card(tree, report):
    tree.companion(**{name: None for name in NEWER})
    html, _ = report(seconds=0.2)
    for title in ("How long a doorbell takes", "How large mappings are",
                  "Guest memory with its windows"):
        assert f"<h3>{title}</h3>" not in html
        assert title in re.search(r"Not shown: (.*?)</p>", html)[1]
    assert all("<svg" in card for card in html.split("<figure>")[1:])


def test_counts_are_texts(traced, report):
    """They can be read on paper, and without a pointer."""
    html, _ = report(lines=trace_of)
    for title, numbers in (("How large mappings are", ["90", "10", "7"]),
                           ("How long a doorbell takes", ["50", "48", "2"])):
        card = next(card for card in html.split("<figure>") if f"<h3>{title}</h3>" in card)
        for number in numbers:
            assert card.count(f'class="count">{number}</text>') == 2, (title, number)


def test_doorbells_have_their_own_scale(traced, tmp_path):
    """Ten doorbells beside 100,000 mappings are still a line that can be seen."""
    made = record.DeviceRecord(COMPANION)
    for second in range(5):
        made.samples.append(devices.Device(COMPANION, taken=float(second), values={
            "hits": 100000 * second, "misses": 0, "doorbells": 10 * (second // 2)}))
    card = report_module.rate_figure(made, 4.0)
    line = re.search(r'<polyline points="([^"]*)" class="line bell"', card)[1]
    heights = [float(point.split(",")[1]) for point in line.split()]
    assert max(heights) - min(heights) > 50
    assert "400,000 mappings, at most 100k/s. 20 doorbells, at most 10/s." in card


@pytest.mark.parametrize("change, colour, text", [
    (lambda tree: None, "green", "All is well."),
    (lambda tree: tree.pci("0000:00:09.0", "0x1af4", "0x1045", "0x00ff00"), "yellow", "It works."),
    (lambda tree: tree.counter("broken", 1), "red", "1 problem must be fixed."),
    (lambda tree: tree.remove("dev/kmsg"), "dim", "No problem was found, but 1 check")])
def test_the_verdict_is_at_the_top(traced, report, change, colour, text):
    change(traced)
    html, out = report(seconds=0.1)
    before = html.split("<h2>NVMe disk")[0]
    assert f'class="verdict {colour}"><h2>{text}' in before
    assert out.startswith(text)


def test_report_says_when_limits_were_reached(traced, report):
    traced.counter("mapped_bytes", 1428 * MIB)
    traced.counter("idle_bytes", 0)
    html, out = report(lines=trace_of, seconds=0.2)
    assert "The host's limits were reached: at most 1.39 GiB of 1.39 GiB" in out
    assert numbers_of(html)["share_of_limit"] == 1


@pytest.mark.parametrize("seconds", [0.3, 1, 4, 7, 60, 3600])
def test_marks_of_an_axis_are_right(seconds):
    """Half seconds are not rounded."""
    values = charts.Axis(0, seconds, 0, 400).ticks(8)
    marks = [float(charts.seconds_text(value).replace(",", "")) for value in values]
    assert len(marks) > 2 and marks == pytest.approx(values)


def test_report_has_what_a_bug_report_needs(traced, report):
    """What the doctor finds, the module's lines and those of the device, the parameters."""
    traced.companion("0000:00:05.0", None)
    traced.log("nvme 0000:00:1e.0: a line <of> the device", "usb 1-1: somebody's keyboard",
               "apple_dma: mode=fast is not known; it must be cached or strict")
    html, _ = report(lines=trace_of, seconds=0.2)
    text = "\n".join(Page(html).text)
    assert "waits for its device, which is not on the bus" in text
    assert "is the card powered" in text and "max_bytes=1497366528" in text
    assert "a line <of> the device" in text and "mode=fast is not known" in text
    assert "apple_dma 0000:00:04.0: ready: wide layout" in text and "keyboard" not in text
    assert not Page(html).bad


def test_report_is_utf8_whatever_the_locale_is(traced):
    out = subprocess.run([TOOL, "--root", traced.top, "report", "--seconds", "0", "-o", "-"],
                         capture_output=True, check=True, timeout=60,
                         env={**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0",
                              "PYTHONCOERCECLOCALE": "0"}).stdout
    assert not out.isascii() and out.decode().startswith("<!DOCTYPE html>")


def test_report_shows_progress_on_a_terminal_only(traced, report):
    shown = on_a_terminal(traced, "report", "--seconds", "2.5", "-o",
                          traced.path("report.html"))
    assert re.findall(r"(\d+) s left", shown) == ["3", "2", "1"]
    assert "left" not in report(seconds=1.2)[1]


def test_report_escapes_what_it_did_not_write(traced, report):
    traced.write("proc/sys/kernel/hostname", "<script>x</script>&")
    html, _ = report(lines=lambda s: [event(s, "host_error", 'address=0x1 what="<b>&"')])
    assert "<script>x" not in html and "&lt;script&gt;x" in html and "<b>&" not in html


def test_report_of_two_devices(traced, report):
    traced.companion("0000:00:05.0", "0000:02:00.0", "amdgpu", map_failures=None)
    html, out = report(lines=trace_of, seconds=0.2)
    assert html.count("<section>") == 2 and "0000:02:00.0:" in out
    assert numbers_of(html)["companion"] == COMPANION


def test_report_without_root(traced, report):
    traced.path("sys/kernel/tracing/instances").chmod(0o500)
    _, out = report(seconds=0.2, argv=without_override(TOOL))
    assert "no permission for /sys/kernel/tracing" in out and "sudo" in out


@pytest.mark.parametrize("where, word", [("/nonexistent/a.html", "is not there"),
                                         ("/proc", "is a folder")])
def test_report_says_at_once_that_it_cannot_be_written(tree, tool, where, word):
    tree.companion()
    out = tool("report", "--seconds", "100", "-o", where, expect=2)
    assert word in out and "-o FILE" in out


def test_report_without_the_module(tree, tool):
    assert "no companion" in tool("report", expect=2)
    tree.companion()
    tree.without_module()
    assert "apple-dma doctor" in tool("report", expect=2)


# ---- top

def test_top_once(tree, tool):
    tree.companion()
    out = tool("top", "--once", "--interval", "0.05", width=80)
    assert line_with(out, "doorbells").split()[:2] == ["doorbells", "0/s"]
    assert "500 MiB of 1.39 GiB" in out and max(map(len, out.splitlines())) <= 80


def test_top_shows_what_changes(tree):
    """The rates are of the time between two pictures, not since the boot."""
    tree.companion(hits=0, misses=0, doorbells=0, doorbell_ns_mean=0)
    with subprocess.Popen([TOOL, "--root", tree.top, "top", "--batch", "2", "--interval", "1"],
                          stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "LC_ALL": "C.UTF-8"}) as process:
        out = process.stdout.readline()
        for name, value in (("hits", 750), ("misses", 250), ("doorbells", 100),
                            ("doorbell_ns_mean", 8000)):
            tree.counter(name, value)
        out += process.communicate(timeout=30)[0]
    second = out.split("apple-dma 0")[2]
    assert re.search(r"hits +75\.0 %", second) and re.search(r"each +8 µs", second)
    assert re.search(r"doorbells +(9\d\.\d|100|[89]\d)/s", second), second


def test_top_needs_a_terminal(tree, tool):
    tree.companion()
    assert "--once" in tool("top", expect=2)


def test_top_on_a_terminal_ends_with_q(tree):
    tree.companion()
    shown = on_a_terminal(tree, "top", "--interval", "0.1", keys=b"q")
    assert shown.startswith("\033[?1049h") and shown.rstrip().endswith("\033[?1049l")
    assert "nvme" in shown and "q: leave" in shown


def test_top_fits_a_terminal_that_does_not_know_its_size(tree):
    """As a serial console does not. The last lines are there, and long ones are cut."""
    tree.companion(driver=None)
    shown = on_a_terminal(tree, "top", "--interval", "0.1", keys=b"q", until=b"q: leave", COLUMNS="")
    assert "no driver: " in shown and "\033[?7l" in shown and "\033[?7h" in shown


# ---- documentation, manual, completion, installation

@pytest.mark.parametrize("block", [pytest.param(b, id=str(b)) for b in docs.blocks(TOP)
                                   if b.kind == "tools"])
def test_commands_of_the_documentation(tree, tmp_path, block):
    """On a tree without problems, and without the wait."""
    tree.companion()
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "apple-dma").symlink_to(TOOL)
    (binaries / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (binaries / "sudo").chmod(0o755)
    script = re.sub(r"--seconds \d+", "--seconds 0.1", block.text)
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, check=True,
                   stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
                   env={**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}",
                        "APPLE_DMA_ROOT": str(tree.top)})


def test_the_documentation_shows_what_is_printed(tree, tool):
    """The examples of tools.md are the command's present output."""
    status, premapped, top, doctor = [
        b.text for b in docs.blocks(TOP) if b.file.endswith("/tools.md") and not b.language][:4]
    tree.companion(**PREMAPPED)
    assert tool("status", "--interval", "0").splitlines()[-1:] == premapped.splitlines()
    for name in PREMAPPED:
        tree.counter(name, DEFAULTS[name])
    assert tool("status", "--interval", "0.05") == status
    assert top in tool("top", "--once", "--interval", "0.05", width=80)
    tree.remove("sys/devices/pci0000:00/0000:00:1e.0/driver")
    assert tool("doctor", expect=1) == doctor


# ---- the manual

@pytest.mark.parametrize("page", ["apple-dma.8", "apple_dma.4"])
def test_manual_names_its_section_and_system(page):
    """In its head and its foot, by mandoc and by groff, whatever machine shows it."""
    name, section = page.split(".")
    for argv in (["mandoc", "-T", "utf8"], ["groff", "-t", "-mdoc", "-T", "utf8", "-P-c"]):
        done = subprocess.run([*argv, TOP / "tools/man" / page], capture_output=True, text=True,
                              check=True)
        shown = [re.sub(".\b", "", line) for line in done.stdout.splitlines() if line.strip()]
        assert shown[0].startswith(f"{name.upper()}({section})")
        assert re.fullmatch(r"Linux +\w+ \d+, 2026 +Linux", shown[-1]), (argv, shown[-1])


@pytest.mark.parametrize("page", ["apple-dma.8", "apple_dma.4"])
def test_manual_quotes_what_is_copied(page):
    """groff prints a bare - or ' as another character, which no shell takes."""
    for line in (TOP / "tools/man" / page).read_text().splitlines():
        if line.startswith((".Dl ", ".Li ", ".Nm ", ".Xr ")):
            assert not re.search(r"(?<!\\)-|'", line), line


@pytest.mark.parametrize("page", ["apple-dma.8", "apple_dma.4"])
def test_manual_is_well_formed(page):
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", TOP / "tools/man" / page],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stdout, done.stdout
    done = subprocess.run(["man", "--warnings", "-l", TOP / "tools/man" / page],
                          capture_output=True, text=True, check=False,
                          env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"})
    warned = [line for line in done.stderr.splitlines() if page in line]
    assert done.returncode == 0 and not warned, done.stderr


def test_manual_has_every_file_and_parameter():
    text = (TOP / "tools/man/apple_dma.4").read_text()
    abi = (TOP / "Documentation/ABI/testing/sysfs-driver-apple-dma").read_text()
    files = set(re.findall(r"^What:.*/apple_dma/(\w+)$", abi, re.M)) | set(NEWER)
    assert not {name for name in files if not re.search(rf"^\.It Pa .*\b{name}\b", text, re.M)}
    parameters = re.findall(r"^module_param\((\w+),", (TOP / "driver/main.c").read_text(), re.M)
    assert len(parameters) >= 5
    assert not {name for name in parameters if f".It Cm {name}\n" not in text}


def test_every_cause_of_an_eviction_has_words():
    """In the module's comment, its manual and the report."""
    source = (TOP / "driver/trace.h").read_text()
    said = re.search(r"A window is gone from the host\. @cause: (.*?)\n \*/", source, re.S)[1]
    causes = set(re.findall(r"\b(\w+)(?=,| \(|\.$)", re.sub(r"\([^)]*\)", "(", said)))
    assert causes == set(figures.CAUSES) - {"unknown"}
    manual = (TOP / "tools/man/apple_dma.4").read_text()
    listed = re.search(r"^\.Va cause :\n(.*?)^\.It", manual, re.M | re.S)[1]
    assert set(re.findall(r"\w+", listed)) - {"Li", "or"} == causes


def options_of(tool, *command):
    """The options that --help shows."""
    return set(re.findall(r"(?<![\w-])--[a-z]+", tool(*command, "--help")))


def test_manual_has_every_option(tool):
    text = (TOP / "tools/man/apple-dma.8").read_text()
    for command in ("status", "top", "doctor", "report"):
        assert f".Cm {command}\n" in text
        for option in options_of(tool, command) - {"--help", "--output"}:
            assert f"Fl {option[1:]}" in text, option


def completions(*words):
    """What bash offers after WORDS, the last of which is begun."""
    script = """
. "$0"
COMP_WORDS=("$@")
COMP_CWORD=$(($# - 1))
_apple_dma
printf '%s\\n' "${COMPREPLY[@]}"
"""
    done = subprocess.run(["bash", "--norc", "-c", script, TOP / "tools/completion/bash/apple-dma",
                           *words], capture_output=True, text=True, check=True, cwd=TOP)
    assert not done.stderr
    return set(done.stdout.split())


def test_completion(tool):
    assert completions("apple-dma", "") >= {"status", "top", "doctor", "report"}
    assert completions("apple-dma", "do") == {"doctor"}
    for command in ("status", "top", "doctor", "report"):
        assert completions("apple-dma", command, "--") == options_of(tool, command), command
    assert completions("apple-dma", "report", "-o", "dkms") == {"dkms.conf"}
    assert completions("apple-dma", "report", "--seconds", "6") == {"60"}
    done = subprocess.run(["bash", "--norc", "-c", '. "$0" && complete -p apple-dma',
                           TOP / "tools/completion/bash/apple-dma"],
                          capture_output=True, text=True, check=True)
    assert done.stdout == "complete -F _apple_dma apple-dma\n"


COMMANDS = ("status", "top", "doctor", "report")


def needs(shell):
    """A mark: the test runs that shell, which scripts/setup check installs."""
    return pytest.mark.skipif(not shutil.which(shell), reason=f"{shell} is not installed")


@needs("fish")
def test_completion_of_fish(tool):
    def offered(words):
        done = subprocess.run(["fish", "--no-config", "-c", "source $argv[1]; complete -C $argv[2]",
                               TOP / "tools/completion/fish/apple-dma.fish", f"apple-dma {words}"],
                              capture_output=True, text=True, check=True, cwd=TOP)
        assert not done.stderr
        return {line.split("\t")[0] for line in done.stdout.splitlines()}
    assert offered("") == set(COMMANDS) and offered("do") == {"doctor"}
    for command in COMMANDS:
        assert offered(f"{command} --") == options_of(tool, command), command
    assert offered("report -o dkms") == {"dkms.conf"} and offered("status dkms") == set()
    assert offered("report --seconds 6") == {"60"}


def zsh_offers(words):
    """What a zsh on a terminal prints when TAB is pressed after WORDS."""
    master, slave = os.openpty()
    with subprocess.Popen(["zsh", "-f", "-i"], stdin=slave, stdout=slave, stderr=slave, cwd=TOP,
                          env={**os.environ, "TERM": "dumb", "LC_ALL": "C.UTF-8"}) as process:
        os.close(slave)

        def until(word):
            out = b""
            while word not in out:
                assert select.select([master], [], [], 60)[0], out
                out += os.read(master, 65536)
            return out.decode()
        os.write(master, b"fpath=($PWD/tools/completion/zsh $fpath); autoload -Uz compinit; "
                 b"compinit -D -u; unset zle_bracketed_paste; PS1=REA''DY\n")
        until(b"READY")     # the prompt; a TAB before it is only a character
        os.write(master, f"apple-dma {words}\t\x15echo DO''NE\n".encode())
        out = until(b"DONE")
        process.kill()
    os.close(master)
    return out


@needs("zsh")
def test_completion_of_zsh(tool):
    shown = zsh_offers("")
    for command in COMMANDS:
        assert re.search(rf"\b{command} +-- ", shown), command
        assert set(re.findall(r"(?<![\w-])--[a-z]+", zsh_offers(f"{command} --"))) == \
            options_of(tool, command), command
    assert "dkms.conf" in zsh_offers("report -o dkms")
    assert "apple-dma report --seconds 60" in zsh_offers("report --seconds 6")


def test_completions_have_every_option(tool):
    """By their text, as not every machine has these shells."""
    fish = (TOP / "tools/completion/fish/apple-dma.fish").read_text()
    zsh = (TOP / "tools/completion/zsh/_apple-dma").read_text()
    options = set().union(*(options_of(tool, command) for command in COMMANDS)) | {"--version"}
    assert set(re.findall(r"(?<!\w)--[a-z]+", zsh)) == options
    assert {f"--{name}" for name in re.findall(r"^\$complete .*-l ([a-z]+)", fish, re.M)} == options
    for command in COMMANDS:
        assert f"'{command}:" in zsh and f" -a {command} " in fish


def test_installed_it_runs(tree, tmp_path):
    """From another folder, and without writing to it."""
    for _ in range(2):
        subprocess.run(["make", "-s", "install-tools", f"DESTDIR={tmp_path}/d", "PREFIX=/usr"],
                       cwd=TOP, check=True, capture_output=True)
    top = tmp_path / "d/usr"
    before = sorted(top.rglob("*"))
    tree.companion()
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run([top / "bin/apple-dma", "--root", tree.top, "status", "--interval", "0"],
                          capture_output=True, text=True, check=True, env=env)
    assert "nvme" in done.stdout
    said = subprocess.run([top / "bin/apple-dma", "--version"], capture_output=True, text=True,
                          check=True, env=env).stdout
    version = re.search(r'PACKAGE_VERSION="(.*)"', (TOP / "dkms.conf").read_text())[1]
    assert said == f"apple-dma {version}\n"
    assert sorted(top.rglob("*")) == before
    assert (top / "share/man/man8/apple-dma.8").exists()
    subprocess.run(["make", "-s", "uninstall-tools", f"DESTDIR={tmp_path}/d", "PREFIX=/usr"],
                   cwd=TOP, check=True, capture_output=True)
    assert not [file for file in top.rglob("*") if not file.is_dir()]
    subprocess.run(["make", "-s", "install-tools", f"DESTDIR={tmp_path}/d", "PREFIX=/usr"],
                   cwd=TOP, check=True, capture_output=True)
    shutil.rmtree(top / "share/apple-dma")
    done = subprocess.run([top / "bin/apple-dma", "--version"], capture_output=True, text=True,
                          check=False)
    assert done.returncode and "modules are missing" in done.stderr


def test_it_needs_no_newer_python():
    """Python 3.9: no syntax of later versions."""
    for file in (TOP / "tools/apple_dma").glob("*.py"):
        ast.parse(file.read_text(), feature_version=(3, 9))
