"""The journal, for people."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from khantui.render.moments import ago, stamp
from khantui.render.table import Cell, Column
from khantui.render.text import visible

if TYPE_CHECKING:
    from backend.api.wire import AuditView, ChangedView

_STATES = {"denied": "failed"}


def audit_columns(now: datetime) -> list[Column[AuditView]]:
    """Entries of the journal."""
    return [
        Column("WHEN", lambda e: ago(e.at, now), right=True),
        Column("WHO", lambda e: e.who or "unknown", flexible=True),
        Column("WHAT", lambda e: Cell(e.what, _STATES.get(e.outcome, ""))),
        Column("OUTCOME", lambda e: Cell(e.outcome, _STATES.get(e.outcome, "")), rank=1),
        Column("TARGET", lambda e: e.target or "–", flexible=True),
        Column("FROM", lambda e: e.origin or "–", rank=2),
        Column("PROOF", lambda e: e.proof or "–", rank=3),
        Column("REASON", lambda e: e.reason or "–", rank=1, flexible=True),
    ]


def entry_lines(entry: AuditView) -> Iterator[str]:
    """All that is known of one."""
    facts = [
        ("when", stamp(entry.at)),
        ("who", entry.who or "nobody who could be made out"),
        ("proven by", entry.proof),
        ("from", entry.origin),
        ("client", entry.client),
        ("what", entry.what),
        ("target", entry.target),
        ("outcome", entry.outcome),
        ("reason", entry.reason),
        ("request", entry.request),
        *((name, _said(value)) for name, value in entry.detail.items()),
    ]
    for label, value in facts:
        if value:
            yield f"{visible(label):<16}{visible(value)}"
    for change in entry.changes:
        yield ""
        yield visible(change.key)
        yield from _differences(change)


def _differences(change: ChangedView) -> Iterator[str]:
    """What an object had and has; of one that was there before and is there after only what differs."""
    before, after = change.before, change.after
    for name in sorted({*(before or {}), *(after or {})}):
        old, new = (before or {}).get(name), (after or {}).get(name)
        if before is not None and after is not None and old == new:
            continue
        if before is not None and name in before:
            yield f"  - {visible(f'{name}: {_said(old)}')}"
        if after is not None and name in after:
            yield f"  + {visible(f'{name}: {_said(new)}')}"


def _said(value: Any) -> str:
    import msgspec

    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
