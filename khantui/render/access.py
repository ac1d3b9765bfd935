"""Roles, bindings and tokens as rows, and as lines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from backend.api.wire import BindingView, CanView, ExplainView, SessionView, TokenMade, TokenView, WhoView
from khantui.render.moments import stamp
from khantui.render.table import Cell, Column
from khantui.render.text import visible


class Scoped(Protocol):
    """What is for some pipelines, or for all."""

    @property
    def pipelines(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...


def where(scoped: Scoped) -> str:
    """For which pipelines, in words."""
    parts = [scoped.pipelines] if scoped.pipelines else []
    parts += [f"{key}={value}" for key, value in sorted(scoped.labels.items())]
    return " ".join(parts) or "all pipelines"


def binding_columns() -> list[Column[BindingView]]:
    """Who has which role on what."""
    return [
        Column("BINDING", lambda b: b.id),
        Column("SUBJECT", lambda b: b.subject, flexible=True),
        Column("ROLE", lambda b: b.role),
        Column("ON", where, flexible=True),
        Column("GIVEN", lambda b: stamp(b.created), rank=2),
        Column("BY", lambda b: b.created_by, rank=2, flexible=True),
    ]


def token_columns() -> list[Column[TokenView]]:
    """Tokens of machines."""
    return [
        Column("TOKEN", lambda t: t.name),
        Column("ROLE", lambda t: t.role),
        Column("ON", where, flexible=True),
        Column("EXPIRES", lambda t: Cell("expired", "failed") if t.expired else Cell(stamp(t.expires))),
        Column("MADE", lambda t: stamp(t.created), rank=2),
        Column("BY", lambda t: t.created_by, rank=2, flexible=True),
    ]


def session_columns() -> list[Column[SessionView]]:
    """Who is signed in."""
    return [
        Column("SESSION", lambda s: s.id),
        Column("USER", lambda s: s.user, flexible=True),
        Column("GROUPS", lambda s: ", ".join(s.groups) or "none", flexible=True, rank=1),
        Column("EXPIRES", lambda s: stamp(s.expires)),
    ]


def binding_lines(view: BindingView) -> Iterator[str]:
    """A binding, for people."""
    yield visible(f"{view.subject} is {view.role} of {_of(view)} (binding {view.id})")


def token_lines(made: TokenMade) -> Iterator[str]:
    """A token that was made: its text, for a program's stdin."""
    yield made.token


def can_lines(view: CanView) -> Iterator[str]:
    """Whether somebody may do something, for people."""
    yield visible(f"{'yes' if view.allowed else 'no'}: {view.reason}")


def who_lines(view: WhoView) -> Iterator[str]:
    """Who we are, for people."""
    yield visible(f"{view.name}, from {view.origin}")
    for role in view.roles:
        yield visible(f"  {role.role} of {_of(role)}, as {role.through}")
    if not view.roles:
        yield "  no role: an administrator gives one (khantui auth bind)"


def explain_lines(view: ExplainView) -> Iterator[str]:
    """What somebody may do, and why, for people."""
    yield visible(f"{view.subject}{f', in {chr(44).join(view.groups)}' if view.groups else ''}")
    on = f"on {view.pipeline}" if view.pipeline else "on all pipelines"
    yield visible(f"  {on}: {view.role if view.role != 'anyone' else 'no role'}")
    for may, words in ((True, "may"), (False, "may not")):
        verbs = [verb for verb, allowed in view.verbs.items() if allowed is may]
        if verbs:
            yield f"  {words:<8} {', '.join(verbs)}"
    yield "  because:" if view.reasons else "  because nothing is bound to them"
    for reason in view.reasons:
        yield visible(f"    {reason}")


def _of(scoped: Scoped) -> str:
    return where(scoped) if not scoped.pipelines and not scoped.labels else f"pipelines {where(scoped)}"
