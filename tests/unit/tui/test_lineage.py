"""Who reads what, and the graph of a pipeline that has not run."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khantui.state.lineage import Tie, nodes, parse, pinned, reach, rows_of, stage_named, ties_of, unread

DOCUMENTS: dict[str, dict[str, Any]] = {
    "raw": {"outputs": {"events": {}, "people": {}}, "stages": {"load": {"outputs": ["events", "people"]}}},
    "clean": {
        "inputs": {"events": {"from": "raw/events"}, "more": {"uri": "s3://x/y"}},
        "outputs": {"table": {}},
        "stages": {"tidy": {"inputs": ["events"], "outputs": ["table"]}},
    },
    "report": {
        "inputs": {"t": {"from": "clean/table"}},
        "stages": {"draw": {"uses": "plots/draw", "inputs": {"x": "t"}}},
    },
    "plots": {"stages": {"draw": {}}},
}
TIES = [tie for name, document in DOCUMENTS.items() for tie in ties_of(name, document)]
AFTER = Tie("follows", "report", "weekly", "clean", "")


def test_ties_are_what_documents_take_of_others() -> None:
    assert [
        Tie("reads", "clean", "events", "raw", "events"),
        Tie("reads", "report", "t", "clean", "table"),
        Tie("uses", "report", "draw", "plots", "draw"),
    ] == TIES


def test_each_end_sees_a_tie_from_its_side() -> None:
    seen = [(r.mine, r.words, r.other, r.theirs) for r in rows_of("clean", [*TIES, AFTER])]
    assert seen == [
        ("events", "reads", "raw", "events"),
        ("table", "is read by", "report", "t"),
        ("", "starts", "report", "weekly"),
    ]
    assert [r.words for r in rows_of("report", [*TIES, AFTER])] == ["reads", "uses a stage of", "starts after"]
    assert [r.words for r in rows_of("plots", TIES)] == ["has a stage used by"]


def test_what_depends_on_a_pipeline_in_all() -> None:
    assert reach("raw", TIES, "down") == {"clean", "report"}
    assert reach("report", TIES, "up") == {"clean", "raw", "plots"}
    assert reach("plots", TIES, "up") == set()


def test_pipelines_that_read_of_each_other_in_a_circle() -> None:
    circle = [Tie("reads", a, "x", b, "y") for a, b in ("ab", "bc", "ca")]
    assert reach("a", circle, "down") == {"b", "c"}


def test_outputs_that_nobody_reads() -> None:
    assert unread("raw", DOCUMENTS["raw"], TIES) == ["people"]


# the graph


DIAMOND = {
    "stages": {
        "clean": {"outputs": ["clean"]},
        "left": {"inputs": ["clean"], "outputs": {"out": "l"}, "each": {"Y": ["1", "2"]}},
        "right": {"after": ["clean"]},
        "plot": {"inputs": {"a": "l"}, "after": "right"},
    }
}
PLAN = {"levels": [["clean"], ["left.1", "left.2", "right"], ["plot"]], "critical_path": ["clean", "left.1", "plot"]}


def test_the_graph_before_it_ever_ran() -> None:
    found = {n.name: n for n in nodes(DIAMOND, PLAN)}
    assert {n: node.needs for n, node in found.items()} == {
        "clean": (),
        "left.1": ("clean",),
        "left.2": ("clean",),
        "right": ("clean",),
        "plot": ("left.1", "left.2", "right"),
    }
    assert {node.state for node in found.values()} == {"waiting"}
    assert [n for n, node in found.items() if node.critical] == ["clean", "left.1", "plot"]
    assert (found["left.2"].stage, found["left.2"].level) == ("left", 1)


def test_a_stage_that_is_anothers_reads_what_that_one_reads() -> None:
    document = {"stages": {"fetch": {"outputs": ["series"]}, "trend": {"uses": "temperature/trend"}}}
    plan = {"levels": [["fetch"], ["trend"]]}
    used = {"temperature/trend": {"inputs": ["series"], "outputs": ["trend"]}}
    assert nodes(document, plan, used)[1].needs == ("fetch",)
    assert nodes(document, plan)[1].needs == ()


def test_the_stage_of_an_instance() -> None:
    assert stage_named(DIAMOND, "left.1")[0] == "left"
    assert stage_named(DIAMOND, "nothing") == ("nothing", None)


def test_pins_name_a_version() -> None:
    pins = {"a": "temperature/trend@3", "b": "broken", "c": "x/y@latest", "d": "none@3"}
    assert pinned(pins) == [("temperature/trend", "temperature", "trend", 3)]


@pytest.mark.parametrize("text", [None, "", "{", "[1]", "[" * 100_000, '{"a": 1}'])
def test_any_text_is_parsed_as_far_as_it_is_a_document(text: str | None) -> None:
    assert parse(text) == ({"a": 1} if text == '{"a": 1}' else {})


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "from", "uses"]), inner),
    max_leaves=10,
)
FIELDS = st.sampled_from(["stages", "inputs", "outputs", "after", "levels", "critical_path"])


@given(st.dictionaries(FIELDS, VALUES), st.dictionaries(FIELDS, VALUES))
def test_documents_of_any_shape_raise_nothing(document: dict[str, Any], plan: dict[str, Any]) -> None:
    document = parse(json.dumps(document))
    ties = ties_of("x", document)
    rows_of("x", ties)
    reach("x", ties, "up")
    unread("x", document, ties)
    nodes(document, plan)
    stage_named(document, "a.b")
