"""Which stage waits for which, as a picture: one column a level, from left to right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from khantui.render.gutter import Gutter, route
from khantui.render.status import symbol
from khantui.render.text import crop, visible, width

Piece = tuple[str, str]  # text, and the state whose colour it has
LABEL = 24  # columns that a label has at most, without its symbol
EDGE, CRITICAL = "edge", "critical"
_WORST = ("failed", "retrying", "running", "queued", "waiting", "cancelled", "skipped", "succeeded", "reused")


class Node(NamedTuple):
    """A stage instance. `needs` has names of nodes of lower levels; any other is not drawn."""

    name: str
    label: str
    state: str
    needs: tuple[str, ...]
    level: int
    critical: bool = False
    stage: str = ""  # whose instance it is


class Picture(NamedTuple):
    """Lines of (text, state) pieces, and where the names are: (line, first column, columns) of the label.

    A piece's state is a stage's, "" for ordinary text, "edge" for a connector, or "critical" for one on the
    critical path.
    """

    lines: list[list[Piece]]
    places: dict[str, tuple[int, int, int]]
    width: int


def collapse(nodes: Sequence[Node], most: int) -> tuple[list[Node], dict[str, str]]:
    """Stages of more than `most` instances as one node for all instances that need the same: `quakes ×24`.

    Such a node has the name of its first instance and the worst state of all. Returns also, for each instance,
    the name of the node that shows it.
    """
    sizes = Counter(node.stage for node in nodes)
    shown: dict[str, str] = {}
    groups: dict[tuple[object, ...], list[Node]] = {}
    for node in sorted(nodes, key=lambda n: n.level):
        needs = tuple(dict.fromkeys(shown.get(need, need) for need in node.needs))
        many = bool(node.stage) and sizes[node.stage] > most
        key: tuple[object, ...] = (node.stage, node.level, frozenset(needs)) if many else (node.name,)
        group = groups.setdefault(key, [])
        group.append(node._replace(needs=needs))
        shown.setdefault(node.name, group[0].name)
    return [_joint(group) if len(group) > 1 else group[0] for group in groups.values()], shown


def _joint(group: list[Node]) -> Node:
    worst = min((n.state for n in group), key=lambda s: _WORST.index(s) if s in _WORST else len(_WORST))
    label = f"{group[0].stage} ×{len(group)}"
    return group[0]._replace(label=label, state=worst, critical=any(n.critical for n in group))


def draw(nodes: Iterable[Node]) -> Picture:
    """The picture. A need that is met through another need is left out."""
    layers = _layers(nodes)
    _order(layers)
    height = _rows(layers)
    gutters = []
    for layer in layers[:-1]:
        targets = {item.row: {t.row for t in item.after} for item in layer if item.after}
        critical = {(i.row, t.row) for i in layer if i.critical for t in i.after if t.critical}
        gutters.append(route(targets, critical, height))
    height = max((height, *(gutter.height for gutter in gutters)))
    return _paint(layers, gutters, height)


class _Item:
    """A node, or a place in a column that a connector to a later one passes through."""

    __slots__ = ("after", "before", "critical", "label", "layer", "name", "number", "row", "state", "width")

    def __init__(self, layer: int, number: int, node: Node | None = None) -> None:
        self.layer = layer
        self.number = number  # of a node, in the order given
        self.name = node.name if node else ""
        self.state = node.state if node else ""
        self.label = f"{symbol(node.state)} {crop(visible(node.label), LABEL)}".rstrip(" ") if node else ""
        self.width = width(self.label)
        self.critical = node.critical if node else False
        self.row = 0
        self.before: list[_Item] = []
        self.after: list[_Item] = []

    def join(self, other: _Item) -> None:
        self.after.append(other)
        other.before.append(self)


def _layers(nodes: Iterable[Node]) -> list[list[_Item]]:
    """Columns of items, each joined only to some of the next."""
    unique: dict[str, Node] = {}
    for node in nodes:
        unique.setdefault(node.name, node)
    ranks = {level: rank for rank, level in enumerate(sorted({n.level for n in unique.values()}))}
    items = {n.name: _Item(ranks[n.level], i, n) for i, n in enumerate(unique.values())}
    layers: list[list[_Item]] = [[] for _ in ranks]
    for item in items.values():
        layers[item.layer].append(item)
    targets = _reduced(unique, items)
    beyond = [(item, targets[item.number]) for item in layers[0]] if layers else []
    for rank, layer in enumerate(layers[1:], 1):
        following = [(item, targets[item.number]) for item in layer]
        passing: dict[frozenset[int], _Item] = {}
        for item, ends in beyond:
            for end in ends:
                if end.layer == rank:
                    item.join(end)
            far = [end for end in ends if end.layer > rank]
            if not far:
                continue
            key = frozenset(end.number for end in far)
            if key not in passing:
                passing[key] = _Item(rank, -1)
                following.append((passing[key], far))
                layer.append(passing[key])
            item.join(passing[key])
            passing[key].critical |= item.critical and any(end.critical for end in far)
        beyond = following
    return layers


def _reduced(nodes: dict[str, Node], items: dict[str, _Item]) -> list[list[_Item]]:
    """For each node by number, what waits for it and for nothing in between."""
    targets: list[list[_Item]] = [[] for _ in items]
    reached = [0] * len(items)  # for each, itself and all that it waits for, as bits
    for item in sorted(items.values(), key=lambda i: i.layer):
        needs = {n.number: n for name in nodes[item.name].needs if (n := items.get(name)) and n.layer < item.layer}
        seen = 0
        for need in sorted(needs.values(), key=lambda n: (-n.layer, n.number)):
            if not seen & (1 << need.number):
                seen |= reached[need.number]
                targets[need.number].append(item)
        reached[item.number] = seen | 1 << item.number
    return targets


def _order(layers: list[list[_Item]]) -> None:
    """Fewer crossings: each item where its neighbours are on average, there and back and there again."""
    for layer in layers:
        _number(layer)
    for forward in (True, False, True):
        for layer in layers if forward else reversed(layers):
            layer.sort(key=lambda i: _mean(i.before if forward else i.after, i.row))
            _number(layer)


def _number(layer: list[_Item]) -> None:
    for row, item in enumerate(layer):
        item.row = row


def _mean(neighbours: list[_Item], otherwise: float) -> float:
    return sum([n.row for n in neighbours]) / len(neighbours) if neighbours else otherwise


def _rows(layers: list[list[_Item]]) -> int:
    """Straighten the connectors, in no more rows than the longest column needs. Returns how many rows."""
    height = max(map(len, layers), default=0)
    for layer in layers:
        row = -1
        for left, item in zip(range(len(layer), 0, -1), layer, strict=True):
            wanted = min((n.row for n in item.before), default=0)
            row = item.row = min(max(row + 1, wanted), height - left)
    for layer in reversed(layers):
        lowest = height
        for item in reversed(layer):
            wanted = min((n.row for n in item.after), default=0)
            lowest = item.row = max(item.row, min(wanted, lowest - 1))
    return height


def _paint(layers: list[list[_Item]], gutters: list[Gutter], height: int) -> Picture:
    lines: list[list[Piece]] = [[] for _ in range(height)]
    places: dict[str, tuple[int, int, int]] = {}
    column = 0
    for rank, layer in enumerate(layers):
        columns = max(item.width for item in layer)
        gutter = gutters[rank] if rank < len(gutters) else Gutter(0, 0, {})
        here = {item.row: item for item in layer}
        there = {item.row: item for item in layers[rank + 1]} if rank < len(gutters) else {}
        for row, line in enumerate(lines):
            item = here.get(row)
            if item and item.name:
                places[item.name] = (row, column, item.width)
            _leave(line, item, columns)
            _cross(line, gutter, row, there.get(row))
        column += columns + 2 + gutter.tracks + 3
    return Picture(lines, places, max((column - _strip(line) for line in lines), default=0))


def _leave(line: list[Piece], item: _Item | None, columns: int) -> None:
    """An item, and the beginning of what leaves it."""
    if item is None:
        _push(line, " " * (columns + 2), "")
        return
    hot = item.critical and any(t.critical for t in item.after)
    state = CRITICAL if hot else EDGE
    if not item.name:
        _push(line, "─" * (columns + 2), state)
        return
    _push(line, item.label, item.state)
    rest = columns - item.width + 1
    _push(line, " ", "")
    _push(line, "─" * rest if item.after else " " * rest, state if item.after else "")


def _cross(line: list[Piece], gutter: Gutter, row: int, target: _Item | None) -> None:
    """The tracks, and the end of what comes to an item."""
    cells = gutter.rows.get(row)
    if cells is None:
        _push(line, " " * gutter.tracks, "")
    else:
        for text, hot in cells:
            _push(line, text, CRITICAL if hot else EDGE)
    if target is None or not target.before:
        _push(line, "   ", "")
        return
    hot = target.critical and any(source.critical for source in target.before)
    _push(line, "─▶" if target.name else "───", CRITICAL if hot else EDGE)
    if target.name:
        _push(line, " ", "")


def _push(line: list[Piece], text: str, state: str) -> None:
    if line and line[-1][1] == state:
        line[-1] = (line[-1][0] + text, state)
    elif text:
        line.append((text, state))


def _strip(line: list[Piece]) -> int:
    """Drop the spaces at the end. Returns how many there were."""
    dropped = 0
    while line and (kept := line[-1][0].rstrip(" ")) != line[-1][0]:
        text, state = line.pop()
        dropped += len(text) - len(kept)
        if kept:
            line.append((kept, state))
    return dropped
