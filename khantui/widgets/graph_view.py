"""The graph of a run or a plan, to walk about in. Only what is in view is drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size, Spacing
from textual.strip import Strip

from khantui.render.graph import CRITICAL, EDGE, Node, Picture, collapse, draw
from khantui.widgets.stage_picture import StagePicture

_MANY = 40  # nodes; more than that, and instances of one stage are drawn as one
_MOST = 3  # instances of a stage that are still drawn one by one


class GraphView(StagePicture):
    """Stages with a cursor. `selected` is the name of a node, or of an instance that a node stands for."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "open", "open"),
        Binding("h,left", "move('left')", "left", show=False),
        Binding("j,down", "move('down')", "down", show=False),
        Binding("k,up", "move('up')", "up", show=False),
        Binding("l,right", "move('right')", "right", show=False),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._drawn: tuple[Node, ...] = ()
        self._picture = Picture([], {}, 0)
        self._shown_as: dict[str, str] = {}  # each instance -> the node that shows it

    def show(self, nodes: Sequence[Node]) -> None:
        """Show these. The cursor stays at its node; if that has gone, it is at the first."""
        if tuple(nodes) == self._drawn:
            return
        self._drawn = tuple(nodes)
        before = self._picture.places.get(self.selected)
        shown, self._shown_as = collapse(nodes, _MOST if len(nodes) > _MANY else len(nodes))
        self._picture = draw(shown)
        self.virtual_size = Size(self._picture.width, len(self._picture.lines))
        self.selected = self._shown_as.get(self.selected) or self._first()
        self.refresh()
        if self._picture.places.get(self.selected) != before:  # else leave it where somebody has scrolled it
            self.call_after_refresh(self._into_view)

    def _first(self) -> str:
        places = self._picture.places
        return min(places, key=lambda name: (places[name][1], places[name][0]), default="")

    def members(self, name: str) -> tuple[str, ...]:
        """The instances that a node stands for: itself alone, where it stands for no others."""
        return tuple(member for member, shown in self._shown_as.items() if shown == name)

    def validate_selected(self, name: str) -> str:
        """A node for an instance that has none of its own."""
        return self._shown_as.get(name, name)

    def watch_selected(self) -> None:
        self._into_view()

    def on_resize(self) -> None:
        self._into_view()

    def _into_view(self) -> None:
        place = self._picture.places.get(self.selected)
        if place and self.size:
            line, column, columns = place
            # something of what leads there is seen too
            self.scroll_to_region(
                Region(column, line, columns, 1), spacing=Spacing(0, 4, 0, 4), animate=False, force=True
            )

    # drawing

    def draw_line(self, y: int) -> Strip:
        left, columns = self.scroll_offset.x, self.size.width
        index = self.scroll_offset.y + y
        if index >= len(self._picture.lines):
            return Strip.blank(columns)
        strip = Strip([Segment(text, self._style(state)) for text, state in self._picture.lines[index]])
        place = self._picture.places.get(self.selected)
        if place and place[0] == index:
            strip = self._marked(strip, place[1], place[1] + place[2])
        return strip.crop(left, left + columns).adjust_cell_length(columns)

    def _style(self, state: str) -> Style:
        if state == EDGE:
            return self.palette.faint
        return self.palette.accent if state == CRITICAL else self.palette.state(state)

    def _marked(self, strip: Strip, start: int, end: int) -> Strip:
        style = self.palette.cursor if self.has_focus else self.palette.dim_cursor
        label = strip.crop(start, end).apply_style(style)
        return Strip.join([strip.crop(0, start), label, strip.crop(end, strip.cell_length)])

    def on_focus(self) -> None:
        self.refresh()

    def on_blur(self) -> None:
        self.refresh()

    # keys and mouse

    def action_move(self, way: str) -> None:
        """To the nearest node `left`, `right`, `up` or `down` of here."""
        places = self._picture.places
        if name := nearest(places, self.selected, way) if self.selected in places else self._first():
            self._select(name)

    def action_open(self) -> None:
        """Into the node."""
        if self.selected in self._picture.places:
            self.post_message(self.Opened(self.selected))

    def _select(self, name: str) -> None:
        self.selected = name
        self.post_message(self.Selected(name))

    def on_click(self, event: events.Click) -> None:
        offset = event.get_content_offset(self)
        if offset is None:
            return
        at = offset + self.scroll_offset
        for name, (line, column, columns) in self._picture.places.items():
            if line == at.y and column <= at.x < column + columns:
                again = name == self.selected
                if not again:
                    self._select(name)
                if again or event.chain > 1:
                    self.action_open()
                return


def nearest(places: dict[str, tuple[int, int, int]], name: str, way: str) -> str:
    """The name of the place that is next in a direction from one of them; "" if there is none.

    Sideways it is in the next column that has any, on the nearest line; up and down it is in the same column
    if there is any, or else on the nearest line.
    """
    line, column, _ = places[name]
    sign = 1 if way in ("right", "down") else -1
    if way in ("left", "right"):
        found = [
            (sign * (c - column), abs(y - line), y, n) for n, (y, c, _) in places.items() if sign * (c - column) > 0
        ]
    else:
        found = [
            (int(c != column), sign * (y - line), abs(c - column), n)
            for n, (y, c, _) in places.items()
            if sign * (y - line) > 0
        ]
    return min(found)[-1] if found else ""
