"""How two versions of a pipeline differ."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from typing import TYPE_CHECKING

from khantui.render.text import visible

if TYPE_CHECKING:
    from backend.api.wire import VersionView


def differing_lines(old: VersionView, new: VersionView) -> Iterator[str]:
    """A unified diff of the documents."""
    before = old.document.splitlines() if isinstance(old.document, str) else []
    after = new.document.splitlines() if isinstance(new.document, str) else []
    names = (f"{old.pipeline} v{old.version}", f"{new.pipeline} v{new.version}")
    return (visible(line) for line in unified_diff(before, after, *names, lineterm=""))


def differing_code(old: VersionView, new: VersionView) -> Iterator[str]:
    """Which files of the code came, went, or changed in size; that it changed at all, where sizes are equal."""
    if old.bundle == new.bundle:
        return
    before = old.code if isinstance(old.code, dict) else {}
    after = new.code if isinstance(new.code, dict) else {}
    told = False
    for name in sorted(before.keys() | after.keys()):
        if name not in before:
            yield f"+ code {visible(name)} ({after[name]} bytes)"
        elif name not in after:
            yield f"- code {visible(name)}"
        elif before[name] != after[name]:
            yield f"! code {visible(name)}: {before[name]} bytes, now {after[name]}"
        else:
            continue
        told = True
    if not told:
        yield f"! code: {old.bundle[:12] or 'none'}, now {new.bundle[:12] or 'none'}"
