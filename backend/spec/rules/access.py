"""Accounts and notifications: who a pipeline runs as, and who hears of it."""

from __future__ import annotations

from collections.abc import Iterator

from backend.spec.model import Pipeline
from backend.spec.rules.registry import WARNING, Remark, Surroundings, meant, rule


@rule(unknown_account="A service account that is not there.")
def account(pipeline: Pipeline, around: Surroundings) -> Iterator[Remark]:
    """The service account exists."""
    name = pipeline.service_account
    if around.accounts is not None and name not in ("none", *around.accounts):
        message = f"there is no service account {name!r}"
        yield Remark("unknown-account", ("service_account",), message, meant(name, ["none", *around.accounts]))


@rule(unknown_channel="A channel for notifications that is not there: nobody hears of it.")
def channels(pipeline: Pipeline, around: Surroundings) -> Iterator[Remark]:
    """The channels that are to hear of something exist."""
    if around.channels is None:
        return
    for event, names in pipeline.notify.items():
        for index, name in enumerate(names):
            if name not in around.channels:
                message = f"there is no channel {name!r}: nobody hears of it"
                hint = meant(name, around.channels) or f"make it: khantui channels add {name} URL"
                yield Remark("unknown-channel", ("notify", event, index), message, hint, severity=WARNING)
