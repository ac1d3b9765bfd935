"""Accounts and notifications: who a pipeline runs as, and who hears of it."""

from __future__ import annotations

from collections.abc import Iterator

from backend.spec.model import Pipeline
from backend.spec.rules.registry import WARNING, Remark, Surroundings, meant, rule


@rule(
    unknown_account="A service account that is not there.",
    **{"missing-secret": "A secret that the service account declares and that is not there: its stages cannot start."},
    wide_network="Hosts by name, which Kubernetes' network does not know: there every public address is open.",
)
def account(pipeline: Pipeline, around: Surroundings) -> Iterator[Remark]:
    """The service account exists."""
    name = pipeline.service_account
    if around.accounts is not None and name not in ("none", *around.accounts):
        message = f"there is no service account {name!r}"
        yield Remark("unknown-account", ("service_account",), message, meant(name, ["none", *around.accounts]))
    for secret in around.missing_secrets.get(name, ()):
        message = f"the service account {name} declares the secret {secret!r}, which is not there"
        hint = f"khantui secrets set {secret}"
        yield Remark("missing-secret", ("service_account",), message, hint, severity=WARNING)
    hosts = around.named_hosts.get(name, ())
    if hosts and around.executor == "kubernetes":
        some = ", ".join(hosts[:3]) + (", …" if len(hosts) > 3 else "")
        message = (
            f"the service account {name} declares hosts by name ({some}): on Kubernetes every public address is open"
        )
        hint = "declare addresses and networks where it matters: 192.0.2.0/24:443"
        yield Remark("wide-network", ("service_account",), message, hint, severity=WARNING)


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
