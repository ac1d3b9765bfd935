"""From what the API server answers, or does not, to errors that say what happened and what to do."""

from __future__ import annotations

import asyncio
import re
import ssl

import aiohttp
import msgspec

from backend.errors import (
    ClusterConflict,
    ClusterError,
    ClusterForbidden,
    ClusterRefused,
    ClusterUnavailable,
    ObjectExists,
    ObjectMissing,
    VersionGone,
)
from backend.kube.objects import Status

_RIGHTS = re.compile(r'User "(?P<who>[^"]*)" cannot (?P<verb>\S+) resource "(?P<what>[^"]*)"')


def from_status(code: int, body: bytes, doing: str) -> ClusterError:
    """The error that an answer with this HTTP status stands for. `doing`: "create jobs/x in namespace y"."""
    try:
        status = msgspec.json.decode(body, type=Status)
    except msgspec.DecodeError:
        status = Status(message=body[:200].decode("utf-8", "replace").strip(), code=code)
    said = status.message or f"HTTP {code}"
    if code == 401:
        return ClusterForbidden(
            f"the cluster does not know who we are ({doing}): {said}",
            hint="log in again, and see whether `kubectl get pods` works with the same context",
        )
    if code == 403:
        return _forbidden(said, doing)
    if code == 404:
        return ObjectMissing(f"cannot {doing}: {said}")
    if code == 409:
        kind = ObjectExists if status.reason == "AlreadyExists" else ClusterConflict
        return kind(f"cannot {doing}: {said}")
    if code == 410:
        return VersionGone(f"cannot {doing}: {said}")
    if code == 429 or code >= 500:
        unavailable = ClusterUnavailable(f"the cluster cannot {doing} now: {said}")
        unavailable.retry_after = float(status.details.retry_after_seconds)
        return unavailable
    causes = "; ".join(f"{c.field}: {c.message}".strip(": ") for c in status.details.causes)
    return ClusterRefused(f"the cluster refused to {doing}: {causes or said}")


def _forbidden(said: str, doing: str) -> ClusterError:
    """Rights, quotas and admission policies all answer 403; the words tell them apart."""
    if found := _RIGHTS.search(said):
        return ClusterForbidden(
            f"not allowed to {doing}: {found['who']} may not {found['verb']} {found['what']}",
            hint=f"grant it with a Role: resources [{found['what']}], verbs [{found['verb']}]",
        )
    return ClusterRefused(f"the cluster refused to {doing}: {said}")


def from_failure(error: BaseException, doing: str, server: str) -> ClusterError:
    """The error that a request without an answer stands for."""
    if isinstance(error, asyncio.TimeoutError):
        return ClusterUnavailable(f"the cluster at {server} did not answer in time ({doing})")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return ClusterError(
            f"the certificate of {server} cannot be trusted: {error}",
            hint="see `certificate-authority-data` of the cluster in the kubeconfig",
        )
    return ClusterUnavailable(
        f"the cluster at {server} cannot be reached ({doing}): {str(error) or type(error).__name__}",
        hint="see whether `kubectl get pods` works with the same context",
    )
