"""The graph and the Gantt, walked about in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widget import Widget

from khantui.render.gantt import Bar, Span
from khantui.render.graph import Node
from khantui.theme import defaults
from khantui.widgets.gantt_view import GanttView
from khantui.widgets.graph_view import GraphView, nearest
from khantui.widgets.stage_picture import StagePicture

START = datetime(2026, 11, 23, 6, tzinfo=UTC)


class Views(App[None]):
    """One graph, one Gantt, and what they have said."""

    CSS = "GraphView { height: 6; width: 40; } GanttView { height: 5; width: 50; }"

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return defaults(dark=True)

    def compose(self) -> ComposeResult:
        yield GraphView()
        yield GanttView()

    def on_stage_picture_selected(self, message: StagePicture.Selected) -> None:
        self.said.append(f"at {message.name}")

    def on_stage_picture_opened(self, message: StagePicture.Opened) -> None:
        self.said.append(f"into {message.name}")


def node(name: str, level: int, *needs: str, state: str = "succeeded") -> Node:
    return Node(name, name, state, needs, level, False, name.split(".")[0])


def bars(count: int) -> list[Bar]:
    spans = [
        Span(START + timedelta(seconds=10 * i), START + timedelta(seconds=10 * i + 10), "succeeded")
        for i in range(count)
    ]
    return [Bar(f"s{i}", f"s{i}", "succeeded", s.start, (s,), s.end) for i, s in enumerate(spans)]


RUN = [
    node("clean", 0),
    node("by_region", 1, "clean", state="failed"),
    node("totals", 1, "clean"),
    node("plot", 2, "by_region"),
]
NOW = START + timedelta(seconds=100)


def seen(view: Widget) -> list[str]:
    return [view.render_line(y).text.rstrip() for y in range(view.size.height)]


def cursor(view: Widget) -> list[str]:
    """The text whose background is not the view's."""
    lines = [view.render_line(y) for y in range(view.size.height)]
    ground = view.background_colors[1].rich_color
    lit = [[s.text for s in strip if s.style and s.style.bgcolor != ground] for strip in lines]
    return ["".join(texts) for texts in lit if texts]


async def graph(pilot: Pilot[None], nodes: list[Node]) -> GraphView:
    view = pilot.app.query_one(GraphView)
    view.focus()
    view.show(nodes)
    await pilot.pause()
    return view


async def gantt(pilot: Pilot[None], shown: list[Bar]) -> GanttView:
    view = pilot.app.query_one(GanttView)
    view.focus()
    view.show(shown, NOW)
    await pilot.pause()
    return view


async def test_the_graph_is_drawn_with_the_cursor_at_its_first_node() -> None:
    async with Views().run_test() as pilot:
        view = await graph(pilot, RUN[:3])
        assert seen(view)[:2] == ["✔ clean ─┬─▶ ✖ by_region", "         ╰─▶ ✔ totals"]
        assert (view.selected, cursor(view)) == ("clean", ["✔ clean"])


async def test_keys_go_to_the_nearest_node_and_into_it() -> None:
    app = Views()
    async with app.run_test() as pilot:
        await graph(pilot, RUN)
        await pilot.press("l", "j", "right", "l", "k", "h", "h", "up", "enter")
        assert app.said == [
            "at by_region",
            "at totals",
            "at plot",
            "at by_region",
            "at clean",
            "into clean",
        ]


async def test_a_click_selects_and_another_opens() -> None:
    app = Views()
    async with app.run_test() as pilot:
        view = await graph(pilot, RUN)
        await pilot.click(GraphView, offset=(15, 1))
        await pilot.click(GraphView, offset=(10, 1))  # a connector
        assert (view.selected, app.said) == ("totals", ["at totals"])
        await pilot.click(GraphView, offset=(15, 1))
        assert app.said == ["at totals", "into totals"]


async def test_the_selected_node_is_scrolled_to_both_ways() -> None:
    async with Views().run_test() as pilot:
        wide = [node(f"level-{i}", i, *([f"level-{i - 1}"] if i else [])) for i in range(8)]
        tall = [node(f"t{i}", 0) for i in range(20)]
        view = await graph(pilot, [*wide, *tall])
        view.selected = "level-7"
        await pilot.pause()
        assert cursor(view) == ["✔ level-7"]
        view.selected = "t19"
        await pilot.pause()
        assert cursor(view) == ["✔ t19"]
        assert view.scroll_offset.y > 0


async def test_new_states_leave_the_cursor_and_the_scrolling_alone() -> None:
    async with Views().run_test() as pilot:
        tall = [node(f"t{i}", 0, state="waiting") for i in range(20)]
        view = await graph(pilot, tall)
        view.scroll_to(y=7, animate=False)
        await pilot.pause()
        await graph(pilot, [n._replace(state="running") for n in tall])
        assert (view.selected, view.scroll_offset.y) == ("t0", 7)
        assert seen(view)[0] == "● t7"


async def test_many_instances_are_one_node_that_knows_them() -> None:
    async with Views().run_test() as pilot:
        quakes = [node(f"quakes.{i}", 1, "clean") for i in range(60)]
        view = await graph(pilot, [node("clean", 0), *quakes])
        assert seen(view)[0] == "✔ clean ──▶ ✔ quakes ×60"
        view.selected = "quakes.33"
        assert view.selected == "quakes.0"
        assert view.members("quakes.0") == tuple(n.name for n in quakes)
        assert cursor(view) == ["✔ quakes ×60"]


async def test_a_node_that_has_gone_gives_the_cursor_to_the_first() -> None:
    async with Views().run_test() as pilot:
        view = await graph(pilot, RUN)
        view.selected = "plot"
        await graph(pilot, RUN[:2])
        assert view.selected == "clean"
        await graph(pilot, [])
        assert view.selected == ""
        await pilot.press("l", "enter")
        assert pilot.app.is_running


@pytest.mark.parametrize(("way", "name"), [("left", "a"), ("right", "far"), ("up", "c"), ("down", "e")])
def test_the_nearest(way: str, name: str) -> None:
    places = {"a": (0, 0, 3), "d": (2, 9, 3), "c": (1, 9, 3), "e": (5, 9, 3), "far": (2, 18, 3), "b": (0, 18, 3)}
    assert nearest(places, "d", way) == name


def test_nothing_is_next_at_the_edge() -> None:
    assert nearest({"a": (0, 0, 3)}, "a", "up") == ""


# the Gantt


async def test_the_gantt_is_under_its_axis() -> None:
    async with Views().run_test() as pilot:
        view = await gantt(pilot, bars(2))
        assert seen(view)[:3] == [
            "     0s        5s        10s       15s",
            "✔ s0 ████████████████████ 10s",
            "✔ s1                     █████████████████████ 10s",
        ]


async def test_the_axis_stays_while_bars_scroll() -> None:
    app = Views()
    async with app.run_test() as pilot:
        view = await gantt(pilot, bars(9))
        axis = seen(view)[0]
        await pilot.press("G", "enter", "k", "k")
        assert app.said == ["at s8", "into s8", "at s7", "at s6"]
        assert [line[:4] for line in seen(view)] == [axis[:4], "✔ s5", "✔ s6", "✔ s7", "✔ s8"]
        assert [text[:4] for text in cursor(view)] == ["✔ s6"]


async def test_a_click_on_a_bar() -> None:
    app = Views()
    async with app.run_test() as pilot:
        view = await gantt(pilot, bars(9))
        await pilot.click(GanttView, offset=(9, 3))
        await pilot.click(GanttView, offset=(9, 0))  # the axis
        assert (view.selected, app.said) == ("s2", ["at s2"])


async def test_the_gantt_is_drawn_anew_when_it_has_other_room() -> None:
    async with Views().run_test() as pilot:
        view = await gantt(pilot, bars(2))
        before = seen(view)[1]
        view.styles.width = 30
        await pilot.pause()
        assert len(seen(view)[1]) < len(before)
        assert max(map(len, seen(view))) <= 30


async def test_new_bars_leave_the_cursor_where_it_was() -> None:
    async with Views().run_test() as pilot:
        view = await gantt(pilot, bars(3))
        view.selected = "s2"
        await gantt(pilot, bars(9)[1:])
        assert view.selected == "s2"
        await gantt(pilot, [])
        assert view.selected == ""
