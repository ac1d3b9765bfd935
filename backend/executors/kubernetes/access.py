"""What a service account means on a cluster: Secrets, a ServiceAccount and a NetworkPolicy. Pure.

Names are derived, and so is all that is in these objects: to make one twice changes nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from typing import Any

from backend.accounts.account import NONE
from backend.accounts.destination import Destination, Destinations, parse
from backend.accounts.grant import GivenSecret, Grant, SecretRef
from backend.errors import ExecutorError
from backend.executors.kubernetes import names
from backend.executors.kubernetes.settings import ObjectStorage, Settings

KEY = "value"  # of a secret's value, in its Secret
# what is not the internet; of IPv6, that is all but the addresses that are given out (2000::/3)
_PRIVATE = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
    "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/3",
)  # fmt: skip
_INTERNET: list[dict[str, Any]] = [
    {"ipBlock": {"cidr": "0.0.0.0/0", "except": list(_PRIVATE)}},
    {"ipBlock": {"cidr": "2000::/3"}},
]
_DNS = {"to": [{"namespaceSelector": {}}], "ports": [{"port": 53, "protocol": p} for p in ("UDP", "TCP")]}


def secret_name(settings: Settings, ref: SecretRef) -> str:
    """The Secret that holds one value of a secret."""
    return f"khantui-{settings.instance}-{ref.name.replace('_', '-')}-{ref.version}"


def secret(settings: Settings, given: GivenSecret) -> dict[str, Any]:
    """The Secret, which never changes."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": secret_name(settings, given.ref),
            "labels": {**_ours(settings), names.SECRET: names.label(given.name)},
        },
        "type": "Opaque",
        "immutable": True,
        "data": {KEY: base64.b64encode(given.value).decode()},
    }


def service_account_name(account: str, grant: Grant, settings: Settings) -> str:
    """The ServiceAccount of its pods; empty: the namespace's default, without a token. Raises ExecutorError."""
    if account == NONE:
        return ""
    if grant.declared:
        identity = grant.kubernetes
        made = f"khantui-{settings.instance}-{account.replace('_', '-')}" if identity.annotations else ""
        return identity.service_account or made
    mapped = settings.accounts.get(account)
    if mapped is None:
        raise ExecutorError(
            f"the service account {account!r} stands for none of the cluster's",
            hint=f"declare it: khantui accounts set {account} FILE; or start the daemon with --account {account}=NAME",
        )
    return mapped


def has_token(account: str, grant: Grant) -> bool:
    """Whether its pods have a token of the API server."""
    return grant.kubernetes.token if grant.declared else account != NONE


def service_account(account: str, grant: Grant, settings: Settings) -> dict[str, Any] | None:
    """The ServiceAccount to be made, if it is ours to make."""
    if not grant.kubernetes.annotations:
        return None
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {
            "name": service_account_name(account, grant, settings),
            "labels": _of(account, settings),
            "annotations": dict(grant.kubernetes.annotations),
        },
        "automountServiceAccountToken": False,
    }


def policy(account: str, grant: Grant, settings: Settings) -> dict[str, Any] | None:
    """The NetworkPolicy of its pods; None where whoever runs the cluster sees to it.

    Of an account that only a flag knows nothing is declared here. Where artifacts are in an object store and it is not
    said where that is, pods need a way out that nobody could tell from others.
    """
    if account != NONE and not grant.declared:
        return None
    if isinstance(settings.storage, ObjectStorage) and not settings.store_network:
        return None
    destinations = Destinations(grant.network).all
    egress = [rule for each in destinations for rule in (_rule(each),)]
    store = [parse(text) for text in settings.store_network] if isinstance(settings.storage, ObjectStorage) else []
    egress += [_rule(each) for each in store]
    if any(each.host for each in (*destinations, *store)):
        egress.append(_DNS)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": f"khantui-{settings.instance}-{account.replace('_', '-')}-{_hash(account)}",
            "labels": _of(account, settings),
        },
        "spec": {
            "podSelector": {"matchLabels": _of(account, settings)},
            "policyTypes": ["Ingress", "Egress"],
            "egress": egress,
        },
    }


def _rule(destination: Destination) -> dict[str, Any]:
    """Addresses as they are; what is a name can be anywhere in the internet."""
    to = [{"ipBlock": {"cidr": str(destination.network)}}] if destination.network else _INTERNET
    if destination.ports is None:
        return {"to": to}
    return {"to": to, "ports": [{"port": port, "protocol": "TCP"} for port in destination.ports]}


def selector(account: str, settings: Settings) -> str:
    """The labels of all that was made for an account, its pods among it, as one asks for them."""
    return ",".join(f"{key}={value}" for key, value in _of(account, settings).items())


def environment(grant: Grant, settings: Settings, folder: str) -> list[dict[str, Any]]:
    """Variables that are secrets, by reference."""
    found: list[dict[str, Any]] = []
    for each in grant.secrets:
        if each.env and each.file:
            found.append({"name": each.env, "value": f"{folder}/{each.file}"})
        elif each.env:
            reference = {"name": secret_name(settings, each.ref), "key": KEY}
            found.append({"name": each.env, "valueFrom": {"secretKeyRef": reference}})
    return found


def files(grant: Grant, settings: Settings) -> dict[str, Any] | None:
    """A volume, which a node keeps in memory, with the secrets that are files."""
    sources = [
        {"secret": {"name": secret_name(settings, each.ref), "items": [{"key": KEY, "path": each.file}]}}
        for each in grant.secrets
        if each.file
    ]
    # the container has one user, and no other container mounts it
    return {"name": "secrets", "projected": {"sources": sources, "defaultMode": 0o444}} if sources else None


def digest(manifests: Iterable[dict[str, Any]]) -> str:
    """Changes when anything in them does."""
    return hashlib.sha256(json.dumps(list(manifests), sort_keys=True).encode()).hexdigest()


def _ours(settings: Settings) -> dict[str, str]:
    return {names.MANAGED_BY: "khantui", names.INSTANCE: settings.instance}


def _of(account: str, settings: Settings) -> dict[str, str]:
    return {**_ours(settings), names.ACCOUNT: names.label(account)}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:6]
