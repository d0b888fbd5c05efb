# SPDX-License-Identifier: GPL-2.0
"""apple-dma status --prometheus: the text that Prometheus and node_exporter take."""

import json
import re

import pytest
from test_tools import COMPANION, tool, tree
from tools_tree import DEFAULTS, NEWER

from apple_dma import devices, prometheus

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")
NUMBER = re.compile(r"[+-]?(\d+(\.\d+)?([eE][+-]?\d+)?|Inf)|NaN")


class Wrong(AssertionError):
    """Text that is not in the format."""


def need(condition, line):
    """Fail with the line that is wrong."""
    if not condition:
        raise Wrong(line)


def parse(text):
    """{name: (type, {labels: value})} of text in format 0.0.4, as strict as promtool.

    Every metric has a HELP line, then a TYPE line, then its samples, all in one group. No
    sample is there twice, and none has a time, as node_exporter refuses those.
    """
    need(text.endswith("\n") and "\r" not in text, "the end of the text")
    found, helped, current = {}, set(), None
    for line in text[:-1].split("\n"):
        comment = re.fullmatch(rf"# (HELP|TYPE) ({NAME}) (.+)", line)
        if comment and comment[1] == "HELP":
            need(comment[2] not in helped, line)
            need(not re.search(r"\\(?![\\n])", comment[3]), line)
            helped.add(comment[2])
            current = None
        elif comment:
            need(comment[2] in helped and comment[2] not in found, line)
            need(comment[3] in ("counter", "gauge"), line)
            need((comment[3] == "counter") == comment[2].endswith("_total"), line)
            current = comment[2]
            found[current] = (comment[3], {})
        else:
            sample = SAMPLE.fullmatch(line)
            need(sample and sample[1] == current and NUMBER.fullmatch(sample[7]), line)
            pairs = re.findall(LABEL, sample[2] or "")
            need(len(dict(pairs)) == len(pairs), line)
            labels = frozenset(pairs)
            need(labels not in found[current][1], line)
            need(found[current][0] == "gauge" or float(sample[7]) >= 0, line)
            found[current][1][labels] = float(sample[7])
    need(helped == set(found) and all(samples for _, samples in found.values()), "a lone comment")
    return found


GOOD = '# HELP a_total x\n# TYPE a_total counter\na_total{b="c"} 1\na_total{b="d\\""} 2e3\n'


def test_the_parser_takes_the_format():
    assert parse(GOOD) == {"a_total": ("counter", {frozenset({("b", "c")}): 1,
                                                   frozenset({("b", 'd\\"')}): 2000})}


@pytest.mark.parametrize("old, new", [
    ("2e3\n", "2e3"), ("# HELP a_total x\n", ""), ("# TYPE a_total counter\n", ""),
    ("counter", "count"), ("counter", "gauge"), ('"d\\""', '"c"'), ('"c"', "'c'"),
    ('"c"', '"c\\x"'),
    ("} 1", "} 1 1700000000"), ("} 1", "} one"), ("} 1", "}  1"), ("} 1", "} -1"),
    ('b="c"', 'b="c",b="d"'), ('b="c"', 'b-b="c"'), ('a_total{b="c"}', 'b_total{b="c"}'),
    ("} 1\n", "} 1\n\n"), ("} 1\n", "} 1\n# HELP z_total x\n")])
def test_the_parser_refuses_other_text(old, new):
    assert GOOD.count(old) and GOOD.replace(old, new, 1) != GOOD
    with pytest.raises(Wrong):
        parse(GOOD.replace(old, new, 1))


def value(found, name, **labels):
    """The one value of a metric that has all LABELS."""
    values = [v for have, v in found[f"apple_dma_{name}"][1].items()
              if set(labels.items()) <= have]
    assert len(values) == 1, (name, labels)
    return values[0]


def test_every_number_of_sysfs_is_a_metric(tree, tool):
    assert set(prometheus.METRICS) | set(prometheus.SETTINGS) == set(devices.COUNTERS)
    numbers = {name: 1001 + i for i, name in enumerate(devices.COUNTERS)
               if name in DEFAULTS and name != "broken"}
    tree.companion(**{**numbers, "broken": 1})
    found = parse(tool("status", "--prometheus", "--interval", "0", ))
    assert all(name.startswith("apple_dma_") for name in found)
    assert {name for name in found if name.endswith("_seconds")} == {
        f"apple_dma_{name}_seconds" for name in (
            "doorbell_min", "doorbell_mean", "doorbell_max", "map_entry", "unmap_entry")}
    for file, (kind, _) in prometheus.METRICS.items():
        name, factor = prometheus.unit_of(file, kind)
        assert found[f"apple_dma_{name}"][0] == kind
        assert value(found, name, companion=COMPANION, device="0000:00:1e.0") == pytest.approx(
            numbers.get(file, 1) * factor), file


def test_a_large_counter_has_all_its_digits(tree, tool):
    tree.companion(hits=123456789012345)
    assert "} 123456789012345\n" in tool("status", "--prometheus", "--interval", "0")


def test_labels_and_states(tree, tool):
    tree.companion(map_failures=3, failures_bytes=2, failures_host=1)
    tree.companion("0000:00:05.0", None)
    found = parse(tool("status", "--prometheus", "--interval", "0", ))
    assert value(found, "module_loaded") == 1
    assert value(found, "info", companion=COMPANION, driver="nvme", mode="cached") == 1
    for word in devices.STATES:
        assert value(found, "state", companion=COMPANION, state=word) == (word == "failing")
        assert value(found, "state", device="", state=word) == (word == "no device")
    assert value(found, "problem", companion=COMPANION) == 0
    assert value(found, "problem", companion="0000:00:05.0") == 1
    assert value(found, "failures_total", companion=COMPANION, cause="bytes") == 2
    assert len(found["apple_dma_failures_total"][1]) == 2 * len(devices.FAILURES)


def test_an_older_module_lacks_metrics(tree, tool):
    tree.companion(**{name: None for name in NEWER})
    found = parse(tool("status", "--prometheus", "--interval", "0"))
    assert "apple_dma_hits_total" in found
    assert not {"apple_dma_failures_total", "apple_dma_requests_total"} & set(found)


def test_without_a_companion_it_is_a_file_too(tree, tool):
    assert parse(tool("status", "--prometheus")) == {
        "apple_dma_module_loaded": ("gauge", {frozenset(): 1})}


def test_a_label_is_quoted(tree, tool):
    tree.companion(mode='a"b\\c')
    found = parse(tool("status", "--prometheus", "--interval", "0"))
    assert value(found, "info", mode='a\\"b\\\\c') == 1


def test_one_format_at_a_time(tree, tool):
    tree.companion()
    assert "not allowed with" in tool("status", "--prometheus", "--json", expect=2)
    json.loads(tool("status", "--json", "--interval", "0"))
