"""The work: graphs of stages that do nothing, so that what is measured is the engine."""

from __future__ import annotations

from typing import Any

Graph = list[tuple[str, list[str]]]

NOTHING = ["true"]


def chain(length: int = 20) -> Graph:
    """Each stage waits for the one before it."""
    return [(f"s{i}", [f"s{i - 1}"] if i else []) for i in range(length)]


def fan(width: int = 100) -> Graph:
    """One stage, then many side by side, then one."""
    middle = [f"m{i}" for i in range(width)]
    return [("a", []), *((m, ["a"]) for m in middle), ("z", middle)]


def layers(depth: int = 10, width: int = 10) -> Graph:
    """Layers; each stage waits for the whole layer before it."""
    names = [[f"l{d}x{w}" for w in range(width)] for d in range(depth)]
    return [(name, names[d - 1] if d else []) for d in range(depth) for name in names[d]]


def document(name: str, graph: Graph, argv: list[str] | None = None) -> dict[str, Any]:
    """A pipeline of that graph."""
    stages = {
        stage: {"image": "shell", "run": argv or NOTHING, **({"after": needs} if needs else {})}
        for stage, needs in graph
    }
    return {"name": name, "stages": stages}


def waves(graph: Graph) -> list[int]:
    """How many stages become ready together, one number a wave: what the floor runs one after another."""
    level: dict[str, int] = {}
    for stage, needs in graph:
        level[stage] = 1 + max((level[n] for n in needs), default=-1)
    counts: dict[int, int] = {}
    for depth in level.values():
        counts[depth] = counts.get(depth, 0) + 1
    return [counts[depth] for depth in sorted(counts)]
