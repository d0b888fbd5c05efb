# SPDX-License-Identifier: GPL-2.0
"""The benchmark: its guest module builds, its figures are right, its arguments are checked."""

import json
import os
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

from conftest import TOP
from bench import (chunks, cli, config, guest, hold, mapbench, pairs, plot, table, targets, ttm,
                   wall)
from testbed.errors import UsageError

GUEST = TOP / "scripts" / "lib" / "bench" / "guest"


def bench(*args):
    """Run scripts/bench; no test here starts a guest."""
    return subprocess.run([TOP / "scripts" / "bench", *args], capture_output=True, text=True,
                          check=False)


@pytest.mark.parametrize("kernel", ["6.1", "newest", "6.1-arm64"])
def test_guest_module_builds_without_a_warning(kernel):
    arch, kernel = config.platform(kernel)
    done = subprocess.run([TOP / "scripts" / "build-module", "--src", GUEST, "--kernel", kernel,
                           "--arch", arch.name, "--w1"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_guest_module_passes_checkpatch():
    done = subprocess.run(["scripts/checkpatch", *sorted(GUEST.glob("*.[ch]"))], cwd=TOP,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stdout, done.stdout + done.stderr


def test_guest_module_compares_no_version():
    for path in GUEST.glob("*.[ch]"):
        assert "VERSION_CODE" not in path.read_text()


@pytest.mark.parametrize("args, said", [
    (["--only", "nonsense"], "unknown part 'nonsense'; allowed: pairs"),
    (["--config", "none,nonsense"], "unknown configuration 'nonsense'; allowed: none"),
])
def test_a_wrong_word_names_those_there_are(args, said):
    done = bench(*args)
    assert done.returncode == 2
    assert said in done.stderr


def test_configurations_keep_their_order():
    assert [each.name for each in config.choose("strict,none")] == ["none", "strict"]
    with pytest.raises(UsageError):
        config.choose("")


def test_one_guest_that_fails_does_not_take_the_others_along(capsys):
    def measure(_bench, each, name):
        if each.name == "swiotlb":
            raise guest.BenchError("no such luck")
        return f"{each.name} {name}"

    made = cli.Bench(cli.arguments(["--config", "none,swiotlb,virtio-lazy",
                                    "--kernel", "6.1", "--kernel", "newest"]))
    assert made.each_guest("it", measure) == {
        "6.1": {"none": "none 6.1"},
        "newest": {"none": "none newest", "virtio-lazy": "virtio-lazy newest"}}
    assert sorted(made.failed) == ["it: swiotlb, Linux 6.1", "it: swiotlb, Linux newest"]
    assert "no such luck" in capsys.readouterr().err


def test_parts_can_be_measured_one_by_one(tmp_path, monkeypatch, capsys):
    """Results of another part that were kept are in the files and tables again."""
    class Part:
        """A part that measures nothing."""
        run = staticmethod(lambda bench: {"n": 1 + len(bench.results)})
        tables = staticmethod(lambda found: [table.Table(f"T{found['n']}", ["", "a"], [], "")])

    monkeypatch.setattr(cli, "PARTS", {"one": Part, "two": Part})
    for args in (["--only", "one"], ["--only", "two", "--keep"]):
        assert cli.main([*args, "--output", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "bench.json").read_text())
    assert found["one"] == {"n": 1} and "two" in found
    assert set(found["commits"]) == {"one", "two"}
    assert "T1" in capsys.readouterr().out.rpartition("T3")[2]
    (tmp_path / "bench.json").write_text("{")
    with pytest.raises(SystemExit):
        cli.main(["--keep", "--output", str(tmp_path)])


def test_a_program_is_whole_while_it_is_built_again(monkeypatch):
    """The compiler does not touch what a guest that starts meanwhile reads."""
    program = guest.compiled("sweep", "-static")
    before = os.stat(program)
    compiler, ran = guest.cache.run, []

    def run(command, what):
        compiler(command, what)
        ran.append(os.stat(program))

    monkeypatch.setattr(guest.cache, "run", run)
    assert guest.compiled("sweep", "-static") == program
    assert ran == [before] and os.stat(program) != before
    assert os.access(program, os.X_OK)


@pytest.mark.parametrize("name, arch, kernel", [
    ("6.1", "x86_64", "6.1"), ("newest-arm64", "arm64", "newest"),
    ("newest-16k-arm64", "arm64", "newest-16k"), ("bench", "x86_64", "bench")])
def test_a_kernels_name_has_its_architecture(name, arch, kernel, monkeypatch):
    monkeypatch.setattr(guest, "bench_module", lambda name: "module.ko")
    assert (config.platform(name)[0].name, config.platform(name)[1]) == (arch, kernel)
    words = guest.command_line(config.choose("none")[0], name, ["true"])
    assert words[words.index("--arch") + 1] == arch
    assert words[words.index("--kernel") + 1] == kernel
    assert ("-erms" in " ".join(words)) == (arch == "x86_64")


def test_arm64_is_measured_beside_x86_64():
    """What only one of them has is left out of the other."""
    made = cli.Bench(cli.arguments(["--config", "none,intel-lazy,smmu-lazy,cached"]))
    found = made.each_guest("it", lambda _bench, each, name: f"{each.name} {name}")
    assert list(found) == ["6.1-arm64", "newest-arm64", "6.1", "newest"]
    assert list(found["6.1-arm64"]) == ["none", "smmu-lazy", "cached"]
    assert list(found["6.1"]) == ["none", "intel-lazy", "cached"]
    assert [each.name for each in made.configs_on("newest")] == list(found["newest"])


def test_pairs_of_all_kernels_are_in_one_table():
    """Each beside dma-direct on the same kernel."""
    def configs(none, cached):
        return {name: {case: {"instructions": value, "spread": 0.0,
                              "doorbells_per_operation": None}
                       for case, _ in pairs.CASES}
                for name, value in (("none", none), ("cached", cached))}

    made, = pairs.tables({"6.1-arm64": configs(100, 250), "6.1": configs(200, 300)})
    assert [(row[0], row[2]) for row in made.rows] == [
        ("arm64, Linux 6.1: no IOMMU (dma-direct)", "1.00×"),
        ("arm64, Linux 6.1: apple_dma, cached", "2.50×"),
        ("x86_64, Linux 6.1: no IOMMU (dma-direct)", "1.00×"),
        ("x86_64, Linux 6.1: apple_dma, cached", "1.50×")]


def test_the_kernels_benchmark_is_a_ratio_within_a_run():
    def times(mapped, unmapped):
        return {str(threads): {"map": mapped, "unmap": unmapped} for threads in mapbench.THREADS}

    made, = mapbench.tables({"none": times(64, 128), "cached": times(128, 256)})
    assert made.rows[1][1:4] == ["200", "400", "2.00×"]
    assert len(made.rows[0]) == len(made.head)
    assert next(mapbench.tables({"cached": times(5, 5)})).rows[0][3] == "–"


def trace(**values):
    """The result of a GPU-like trace."""
    return {"buffers": 1000, "maps": 1000, "failures": 0, "peak": 10, "peak_bytes": 1 << 20,
            "peak_entries": 10, "peak_registered": 1 << 20, "doorbells": 1100,
            "map_entries": 2000, "unmap_entries": 500, **values}


@pytest.mark.parametrize("values, met", [({}, True), ({"doorbells": 1101}, False),
                                         ({"failures": 1}, False)])
def test_the_worst_placement_of_the_host_decides(values, met):
    results = {"traces": {"cached": {"mix": {
        "lists-high": trace(), "lists-random": trace(**values),
        "singles-high": trace(doorbells=targets.SINGLES)}}}}
    judged = {what.partition(":")[0]: met for what, _, _, met in targets.judge(results)}
    assert judged["GPU-like trace, lists"] is met
    assert judged["GPU-like trace, pages one by one"] is True


def test_sections_of_a_script():
    sections = guest.parse('@@ a.before\nhost [{"doorbells": 5}]\n@@ a\nn 10\n'
                           'rounds 30 20 25\nempty 10\nfailed 0\nhost [{"doorbells": 9}]\n'
                           "sysfs doorbells=9 mode=cached \n")
    assert guest.delta(sections, "a", "doorbells") == 4
    assert guest.delta(sections, "a", "doorbells", "module") is None
    assert sections["a"].module("doorbells") == 9
    assert sections["a"].module("mode") is None
    assert pairs.per_operation(sections["a"]) == (1.5, 1 / 1.5)


def test_a_counter_that_is_not_there_is_a_dash():
    assert table.number(None) == table.decimal(None) == table.percent(None) == "–"
    assert table.ratio(None, 3) == table.ratio(3, None) == "–"
    made = table.Table("T", ["", "a"], [["x", table.number(None)]], "why")
    assert "| x | – |" in made.markdown()
    assert made.text().splitlines()[-1] == "  (why)"


def test_ratios_are_within_a_round():
    """A round in which the machine is half as fast changes no ratio."""
    def rounds(*rates):
        return [{"case": {"rate": rate, "doorbells": 0}} for rate in rates]

    cell = wall.summary(rounds(90, 45, 180), rounds(100, 50, 200))["case"]
    assert cell["ratio"] == pytest.approx(0.9)
    assert cell["rate"] == 90 and cell["doorbells"] == 0


def test_targets_are_judged_by_what_was_measured():
    judged = {what: (measured, met) for what, _, measured, met in targets.judge({
        "pairs": {"6.1": {"cached": {"page": {"instructions": 400.4}}},
                  "6.1-arm64": {
                      "none": {"page": {"instructions": 100}, "list": {"instructions": 1000}},
                      "cached": {"page": {"instructions": 200}, "list": {"instructions": 2001}}}},
        "steady": {"cached": {"list": {"doorbells": 1}, "direct": {"doorbells": 0, "ios": 10000}},
                   "strict": {"list": {"doorbells": 2}}}})}
    assert judged["instructions per pair on a hit, 6.1"] == ("400", False)
    assert judged["instructions per pair on a hit, newest"] == ("not measured", None)
    assert judged["instructions, pair; list of 32, against none, arm64, Linux 6.1"] == (
        "2.00×; 2.00×", False)
    assert judged["instructions, pair; list of 32, against none, x86_64, Linux 6.1"] == (
        "not measured", None)
    assert judged["doorbells, 32-page list that misses (cached; strict)"] == ("1; 2", True)
    assert judged["doorbells per 10,000 NVMe 4k I/Os, RAM within the budget"] == ("0", True)


@pytest.mark.parametrize("instructions, status", [(400, 0), (401, 1)])
def test_a_target_that_is_missed_is_the_exit_status(tmp_path, monkeypatch, capsys, instructions,
                                                    status):
    """It is named; so are those that nothing was measured for."""
    class Pairs:
        """A part that measures one figure."""
        run = staticmethod(lambda bench: {
            "6.1": {"cached": {"page": {"instructions": instructions}}}})
        tables = staticmethod(lambda found: [])

    monkeypatch.setattr(cli, "PARTS", {"pairs": Pairs})
    assert cli.main(["--output", str(tmp_path)]) == status
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "missed" in line] == [
        "bench: target missed: instructions per pair on a hit, 6.1: 401, and the target is "
        "≤ 400"] * status
    unmeasured = next(line for line in said if "not measured" in line)
    assert unmeasured.startswith(f"bench: {len(targets.ROWS) - 1} of {len(targets.ROWS)} "
                                 "targets were not measured: doorbells per 10,000")
    assert "instructions per pair on a hit, newest" in unmeasured
    assert "instructions per pair on a hit, 6.1" not in unmeasured


def test_the_plot_is_a_picture():
    cell = {"page": {"instructions": 145.0}}
    picture = plot.svg({"pairs": {"6.1": {"none": cell, "cached": cell}}})
    root = ElementTree.fromstring(picture)
    assert len(root.findall("{http://www.w3.org/2000/svg}rect")) == 3
    assert plot.svg({}) is None


def test_holds_are_read():
    found = hold.parse("[ 1.0] apple_dma_stress: hold strict shuffled map 1 unmap 2 again 3 "
                       "flush 4\napple_dma_stress: ok 1 - hold\n")
    assert found == {"strict shuffled": {"map": 1, "unmap": 2, "again": 3, "flush": 4}}
    assert [each.rows for each in hold.tables({"6.1": {"none": found}})] == [
        [["strict shuffled", "1", "2", "3", "4"]]]


def test_chunks_are_read():
    """Of the hosts of a guest, that of the device; doorbells of map and unmap."""
    def told(*doorbells, live=0):
        return json.dumps([{"doorbells": each, "live": live, "live_bytes": live << 20, "faults": 0,
                            "failed_entries": 0} for each in doorbells])

    text = "\n".join(["@@ begin 1 strict list of 2 MiB", told(1, 5), "bytes=2097152", "chunks=1",
                      "aligned_chunks=1", told(1, 7, live=3), told(1, 8), "map_failures=0",
                      "@@ end ok 1 strict list of 2 MiB"])
    cell = chunks.parse(text, ("high", "random"))["random"]["strict"]["list of 2 MiB"]
    assert (cell["ok"], cell["doorbells"], cell["map_doorbells"]) == (True, 3, 2)
    assert (cell["entries"], cell["registered"], cell["left"]) == (3, 3 << 20, 0)
    assert cell["bytes"] == 2 << 20 and cell["map_failures"] == 0
    found = {"random": {mode: dict.fromkeys(chunks.CASES, cell) for mode in chunks.MODES}}
    made, _ = chunks.tables({"cached": found})
    assert made.rows[0] == ["random: chunks of 4 KiB", "1.50", "1.50", "3", "1 of 1"]


def buffers(mapped, **parts):
    """What a guest with two waves of TTM's buffers prints; PARTS are of the second."""
    def part(name, **values):
        return f"@ list {name}\n" + "".join(f"{key}={value}\n" for key, value in values.items())

    wave = {"bytes": 100, "exact_bytes": 100, "made": 2, "segments": 3, "failures": 0,
            "doorbells": 7, "registered": 120, "idle": 15, "pooled": 50,
            "blocks_64k": 4, "aligned_64k": 3, "blocks_2m": 2, "aligned_2m": 1}
    return (part("begin", doorbells=5) + part("1", **wave) + part("2", **{**wave, **parts}) +
            part("freed", live_mappings=mapped) + part("shrunk", live_mappings=0) + "@ end\n")


@pytest.mark.parametrize("mapped, registered, used", [(0, 1.3, 1.15), (9, 130 / 150, 115 / 150)])
def test_what_ttm_keeps_is_mapped_only_if_it_was_allocated_so(mapped, registered, used):
    cell = ttm.summary(ttm.parse(buffers(mapped, registered=130, made=4))["list"])
    assert cell["registered"] == pytest.approx(registered)
    assert cell["used"] == pytest.approx(used)
    assert (cell["buffers"], cell["doorbells"], cell["blocks_64k"]) == (4, 2, 8)
    made, = ttm.tables({"6.1": {"high": {"list": cell}}})
    assert made.rows[0][:6] == ["list, high", "4", "3", "0", "2", "0.50"]
    assert made.rows[0][-2:] == ["6 of 8", "2 of 4"] and len(made.rows[0]) == len(made.head)


@pytest.mark.parametrize("values, met", [({}, True), ({"failures": 1}, False),
                                         ({"idle": 0}, False)])
def test_one_way_to_map_the_buffers_of_ttm_decides(values, met):
    good = ttm.summary(ttm.parse(buffers(0))["list"])
    bad = ttm.summary(ttm.parse(buffers(0, **values))["list"])
    judged = {what: met for what, _, _, met in targets.judge(
        {"ttm": {"6.1": {"high": {"list": good, "pages": good}, "random": {"list": bad}}}})}
    assert judged[f"TTM, {ttm.MIB} MiB: registered for mapped, Linux 6.1"] is met
    assert judged[f"TTM, {ttm.MIB} MiB: registered for mapped, Linux newest"] is None
