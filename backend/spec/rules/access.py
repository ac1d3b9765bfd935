"""Accounts and notifications: who a pipeline runs as, and who hears of it."""

from __future__ import annotations

from collections.abc import Iterator

from backend.spec.model import Pipeline
from backend.spec.rules.registry import Remark, Surroundings, meant, rule


@rule(unknown_account="A service account that is not there.")
def account(pipeline: Pipeline, around: Surroundings) -> Iterator[Remark]:
    """The service account exists."""
    name = pipeline.service_account
    if around.accounts is not None and name not in ("none", *around.accounts):
        message = f"there is no service account {name!r}"
        yield Remark("unknown-account", ("service_account",), message, meant(name, ["none", *around.accounts]))
