"""Graphs as text: what is connected to what can be read from the lines alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from khantui.render.graph import LABEL, Node, Picture, collapse, draw
from khantui.render.text import width

_LEFT, _RIGHT, _UP, _DOWN = (0, -1), (0, 1), (-1, 0), (1, 0)


def node(name: str, level: int = 0, needs: str = "", state: str = "succeeded", critical: bool = False) -> Node:
    return Node(name, name, state, tuple(needs.split()), level, critical, name.split(".")[0])


def text(picture: Picture) -> str:
    return "\n".join("".join(piece for piece, _ in line) for line in picture.lines)


def drawn(*nodes: Node) -> str:
    return "\n" + text(draw(nodes)) + "\n"


def test_nothing_is_an_empty_picture() -> None:
    assert draw([]) == Picture([], {}, 0)


def test_a_line_runs_on_to_the_longest_chain() -> None:
    assert drawn(
        node("clean"),
        node("by_region", 1, "clean", "failed"),
        node("totals", 1, "clean"),
        node("plot", 2, "by_region clean", "skipped"),
        node("report", 3, "totals plot", "waiting"),
    ) == (
        """
✔ clean ─┬─▶ ✖ by_region ──▶ ⊘ plot ─┬─▶ ◌ report
         ╰─▶ ✔ totals ───────────────╯
"""
    )


def test_a_stage_for_each_of_many() -> None:
    many = [node(f"q.{i}", 1, "start") for i in range(4)]
    assert drawn(node("start"), *many, node("merge", 2, " ".join(n.name for n in many))) == (
        """
✔ start ─┬─▶ ✔ q.0 ─┬─▶ ✔ merge
         ├─▶ ✔ q.1 ─┤
         ├─▶ ✔ q.2 ─┤
         ╰─▶ ✔ q.3 ─╯
"""
    )


def test_all_of_these_need_all_of_those() -> None:
    assert drawn(node("a"), node("b"), node("c", 1, "a b"), node("d", 1, "a b"), node("e", 1, "a b")) == (
        """
✔ a ─┬─▶ ✔ c
✔ b ─┼─▶ ✔ d
     ╰─▶ ✔ e
"""
    )


def test_an_arrow_says_which_way_a_line_joins_that_could_be_taken_for_a_branch() -> None:
    assert drawn(node("a"), node("b"), node("c", 1, "a b"), node("d", 1, "b")) == (
        """
✔ a ─▲─▶ ✔ c
✔ b ─┴─▶ ✔ d
"""
    )


def test_lines_from_above_and_from_below_join_another() -> None:
    assert drawn(node("a"), node("b"), node("c"), node("d", 1, "a c"), node("e", 1, "a b c"), node("f", 1, "a c")) == (
        """
✔ a ─┬─▶ ✔ d
✔ b ─▶─▶ ✔ e
✔ c ─┴─▶ ✔ f
"""
    )


def test_a_knot_is_led_round_by_a_row_of_its_own() -> None:
    ring = [node("a"), node("b"), node("x"), node("c", 1, "a b"), node("d", 1, "b x"), node("e", 1, "x a")]
    assert drawn(*ring) == (
        """
✔ a ──┬─▲─▶ ✔ c
✔ b ─╮╰▲│─▶ ✔ e
✔ x ─│─┴▲─▶ ✔ d
     ╰──╯
"""
    )


def test_the_critical_path_is_apart() -> None:
    picture = draw(
        [
            node("a", critical=True),
            node("b", 1, "a", "running"),
            node("c", 1, "a", "queued", critical=True),
            node("d", 2, "b c", "waiting", critical=True),
        ]
    )
    assert text(picture) == "✔ a ─┬─▶ ● b ─┬─▶ ◌ d\n     ╰─▶ ◌ c ─╯"
    assert picture.lines == [
        [("✔ a", "succeeded"), (" ", ""), ("─┬", "critical"), ("─▶", "edge"), (" ", ""), ("● b", "running"),
         (" ", ""), ("─", "edge"), ("┬─▶", "critical"), (" ", ""), ("◌ d", "waiting")],
        [("     ", ""), ("╰─▶", "critical"), (" ", ""), ("◌ c", "queued"), (" ", ""), ("─╯", "critical")],
    ]  # fmt: skip


def test_places_are_where_the_labels_are() -> None:
    picture = draw([node("clean"), node("a", 1, "clean"), node("b", 1, "clean")])
    assert picture.places == {"clean": (0, 0, 7), "a": (0, 13, 3), "b": (1, 13, 3)}
    assert picture.width == 16


def test_labels_are_cropped_safe_and_measured() -> None:
    picture = draw(
        [
            Node("x", "x" * 40, "failed", (), 0),
            Node("y", "\x1b[31m地震", "running", (), 0),
            node("z", 1, "x"),
        ]
    )
    assert text(picture) == f"✖ {'x' * 23}… ──▶ ✔ z\n● ␛[31m地震"
    assert picture.places["y"] == (1, 0, 11)


@pytest.mark.parametrize("needs", ["b", "a", "nobody", "c"])
def test_what_is_not_before_it_is_not_drawn(needs: str) -> None:
    assert drawn(node("a", 0, needs), node("c", 0)) == "\n✔ a\n✔ c\n"


# collapse


def test_few_instances_stay_as_they_are() -> None:
    nodes = [node("s"), node("q.1", 1, "s"), node("q.2", 1, "s")]
    assert collapse(nodes, 2) == (nodes, {"s": "s", "q.1": "q.1", "q.2": "q.2"})


def test_many_instances_are_one_with_the_worst_state() -> None:
    states = ["succeeded", "failed", "running", "retrying"]
    nodes = [node("s"), *(node(f"q.{i}", 1, "s", state) for i, state in enumerate(states))]
    shown, names = collapse([*nodes, node("m", 2, "q.0 q.1 q.2 q.3")], 3)
    assert drawn(*shown) == "\n✔ s ──▶ ✖ q ×4 ──▶ ✔ m\n"
    assert names == {"s": "s", "q.0": "q.0", "q.1": "q.0", "q.2": "q.0", "q.3": "q.0", "m": "m"}


def test_instances_that_each_need_one_are_one_after_another() -> None:
    nodes = [node(f"a.{i}") for i in range(4)] + [node(f"b.{i}", 1, f"a.{i}", "waiting") for i in range(4)]
    assert drawn(*collapse(nodes, 3)[0]) == "\n✔ a ×4 ──▶ ◌ b ×4\n"


# whatever it is given


@st.composite
def graphs(draw_: st.DrawFn) -> list[Node]:
    names = [f"n{i}" for i in range(draw_(st.integers(0, 18)))]
    levels = {name: draw_(st.integers(0, 4)) for name in names}
    return [
        Node(
            name,
            draw_(st.text(max_size=30)),
            draw_(st.sampled_from(["succeeded", "failed", "waiting", "", "unheard-of"])),
            tuple(draw_(st.lists(st.sampled_from(names), max_size=5))),
            levels[name],
            draw_(st.booleans()),
            draw_(st.sampled_from(["", "s", "t"])),
        )
        for name in names
    ]


@given(graphs())
def test_every_node_is_in_one_place_of_its_own(nodes: list[Node]) -> None:
    picture = draw(nodes)
    assert set(picture.places) == {n.name for n in nodes}
    cells = [(line, c) for line, column, columns in picture.places.values() for c in range(column, column + columns)]
    assert len(cells) == len(set(cells))
    widths = [sum(width(piece) for piece, _ in line) for line in picture.lines]
    assert max(widths, default=0) == picture.width
    assert all(columns <= LABEL + 2 for _, _, columns in picture.places.values())
    assert all(line and line[-1][0].strip(" ") for line in picture.lines)
    assert draw(list(nodes)) == picture


@given(graphs(), st.integers(0, 5))
def test_collapsing_shows_every_instance_somewhere(nodes: list[Node], most: int) -> None:
    shown, names = collapse(nodes, most)
    assert set(names) == {n.name for n in nodes}
    assert set(names.values()) == {n.name for n in shown} == set(draw(shown).places)


@given(graphs())
def test_who_needs_whom_can_be_read_from_the_lines(nodes: list[Node]) -> None:
    plain = [n._replace(label=n.name, state="succeeded") for n in nodes]
    levels = {n.name: n.level for n in plain}
    needs = {n.name: {m for m in n.needs if levels[m] < n.level} for n in plain}
    picture = draw(plain)
    assert {n: _closure(_followed(picture, n), picture) for n in levels} == {
        n: {m for m in levels if n in _all_needs(m, needs)} for n in levels
    }


def _all_needs(name: str, needs: dict[str, set[str]]) -> set[str]:
    return needs[name] | {further for need in needs[name] for further in _all_needs(need, needs)}


def _closure(names: set[str], picture: Picture) -> set[str]:
    return names | {further for name in names for further in _closure(_followed(picture, name), picture)}


_OPEN = {
    "─": {_LEFT, _RIGHT}, "│": {_UP, _DOWN}, "╭": {_RIGHT, _DOWN}, "╮": {_LEFT, _DOWN}, "╰": {_RIGHT, _UP},
    "╯": {_LEFT, _UP}, "├": {_UP, _DOWN, _RIGHT}, "┤": {_UP, _DOWN, _LEFT}, "┬": {_LEFT, _RIGHT, _DOWN},
    "┴": {_LEFT, _RIGHT, _UP}, "┼": {_LEFT, _RIGHT, _UP, _DOWN},
}  # fmt: skip


def _followed(picture: Picture, name: str) -> set[str]:
    """Walk the lines from a node, never to the left, to the nodes where an arrow ends."""
    grid = [line.ljust(picture.width + 1) for line in text(picture).split("\n")]
    ends = {(line, column): other for other, (line, column, _) in picture.places.items()}
    line, column, columns = picture.places[name]
    seen, found = set(), set()
    walk = [((line, column + columns + 1), _RIGHT)]
    while walk:
        (y, x), way = walk.pop()
        if x > picture.width or ((y, x), way) in seen:
            continue
        seen.add(((y, x), way))
        if grid[y][x] == "▶" and (y, x + 2) in ends:
            found.add(ends[y, x + 2])
        else:
            walk += [((y + dy, x + dx), (dy, dx)) for dy, dx in _ways(grid, y, x, way)]
    return found


def _ways(grid: list[str], y: int, x: int, way: tuple[int, int]) -> Iterator[tuple[int, int]]:
    mark = grid[y][x]
    back = (-way[0], -way[1])
    if mark in "▲▼▶":  # a line from the left only goes on; one from above or below may go on and turns right too
        yield _RIGHT
        if way != _RIGHT and y + way[0] in range(len(grid)) and back in _openings(grid[y + way[0]][x]):
            yield way
    elif mark in _OPEN and back not in _OPEN[mark]:  # behind a line that it crosses
        yield way
    elif mark in _OPEN:
        yield from (other for other in _OPEN[mark] if other not in (back, _LEFT))


def _openings(mark: str) -> set[tuple[int, int]]:
    return {_UP, _DOWN} if mark in "▲▼▶" else _OPEN.get(mark, set())
