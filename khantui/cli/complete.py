"""What a shell completes: names and ids from the daemon. Quick, and silent where there is none."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import click

    from khantui.api.client import Client

_PATIENCE = 0.7  # seconds that a person at a prompt is made to wait


def _ask(ctx: click.Context, question: Callable[[Client], Iterable[str]], start: str) -> list[str]:
    """The answers that begin with `start`; none if anything at all goes wrong."""
    try:
        from khantui.api.address import resolve
        from khantui.api.client import Client

        given = _given(ctx)
        address = resolve(given.get("address"), given.get("data"), os.environ)
        if address.socket is not None and not address.socket.exists():
            return []
        client = Client(address, timeout=_PATIENCE, patience=0.0)
        try:
            return [text for text in dict.fromkeys(question(client)) if text.startswith(start)]
        finally:
            client.close()
    except Exception:  # a prompt is no place for an error
        return []


def _given(ctx: click.Context) -> dict[str, str]:
    """--address and --data as far as they were typed, on the command or before it."""
    found: dict[str, str] = {}
    each: click.Context | None = ctx
    while each is not None:
        for name in ("address", "data"):
            value = each.params.get(name) or getattr(each.obj, name, None)
            if value and name not in found:
                found[name] = str(value)
        each = each.parent
    return found


def pipeline_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Pipelines."""
    return _ask(ctx, lambda client: (p.name for p in client.pipelines()), incomplete)


def schedule_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Schedules."""
    return _ask(ctx, lambda client: (s.name for s in client.schedules()), incomplete)


def backfill_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Backfills that have not ended."""
    return _ask(ctx, lambda client: (b.id for b in client.backfills() if b.ended is None), incomplete)


def run_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """The newest runs by what people call them, and pipelines."""

    def question(client: Client) -> Iterable[str]:
        for run in client.runs(limit=50):
            yield run.id[-6:]
            yield run.pipeline
            if incomplete and run.id.startswith(incomplete):
                yield run.id

    return _ask(ctx, question, incomplete)


def image_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Images."""
    return _ask(ctx, lambda client: (i.name for i in client.images()), incomplete)


def channel_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Channels for notifications."""
    return _ask(ctx, lambda client: (c.name for c in client.channels()), incomplete)


def calendar_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Calendars."""
    return _ask(ctx, lambda client: (c.name for c in client.calendars()), incomplete)


def account_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Service accounts."""
    return _ask(ctx, lambda client: (a.name for a in client.accounts()), incomplete)


def secret_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Secrets."""
    return _ask(ctx, lambda client: (s.name for s in client.secrets()), incomplete)


def stage_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Stages of the run that was typed before."""
    named = ctx.params.get("named")
    if not named:
        return []

    def question(client: Client) -> Iterable[str]:
        stages = client.find_run(str(named)).stages
        return [stage.name for stage in stages] if isinstance(stages, tuple) else []

    return _ask(ctx, question, incomplete)
