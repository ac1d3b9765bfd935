"""A plan drawn small: what can run at once, and which chain takes longest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from khantui.render.text import crop, visible


def plan_lines(plan: Mapping[str, Any], *, columns: int = 100) -> Iterator[str]:
    """Levels from top to bottom, those on the critical path marked. `plan` has levels, width and critical_path."""
    levels: Sequence[Sequence[str]] = plan.get("levels", ())
    path: Sequence[str] = plan.get("critical_path", ())
    stages = sum(len(level) for level in levels)
    yield f"  {stages} stage{'s' * (stages != 1)} in {len(levels)} level{'s' * (len(levels) != 1)}, " + (
        f"up to {plan.get('width', 1)} at once" if plan.get("width", 1) > 1 else "one after another"
    )
    for number, level in enumerate(levels):
        mark = "└" if number == len(levels) - 1 else "├"
        if len(levels) == 1:
            mark = "─"
        names = "  ".join(f"{visible(name)}{'*' if name in path else ''}" for name in level)
        yield crop(f"  {mark}─ {number + 1}: {names}", columns)
    if len(path) > 1:
        yield "  * critical path: " + crop(" → ".join(visible(name) for name in path), columns - 19)
