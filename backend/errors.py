"""What can go wrong, as one small tree.

    KhanError                      says what happened, why, and what to do about it
    ├── InvalidDocument            a pipeline document that cannot be stored (its findings are attached)
    ├── InvalidRequest             a request that makes no sense (bad filter, bad date, bad cursor)
    ├── NotFound                   no such pipeline, run, stage, artifact, schedule
    ├── Conflict                   the thing changed meanwhile, or is in a state that forbids this
    ├── NotAllowed                 this identity may not do this
    ├── NotAuthenticated           it is not known who asks
    ├── IdentityUnavailable        nor can it be, at the moment: an issuer's keys cannot be fetched
    ├── ReasonRequired             this must say why
    ├── TooMany                    this caller asks too often
    ├── TooSlow                    the request did not arrive in time
    ├── StoreError
    │   ├── StoreUnavailable       the store cannot be reached: surely not applied; may be tried again
    │   │   └── StoreUntrusted     TLS keeps the connection from coming about: a certificate is wrong or too old
    │   ├── StoreCompacted         a revision that the store no longer has: list again
    │   ├── StoreRewound           the store lost revisions we have seen (a restored backup): list again
    │   ├── StoreFull              the store's quota is used up: reads and deletes work, writes do not
    │   ├── ValueTooLarge
    │   └── LeaseLost
    ├── ClusterError               Kubernetes refused or failed
    │   ├── ClusterUnavailable     it cannot be reached, or not now: may or may not have been done; may be tried again
    │   ├── ClusterForbidden       we may not do this there, or are not known
    │   ├── ClusterRefused         what was sent is not accepted: a mistake in it, a quota, an admission policy
    │   ├── ClusterConflict        the object changed meanwhile, or is another one by now
    │   ├── ObjectExists           there is one of this name already
    │   ├── ObjectMissing          there is none of this name
    │   └── VersionGone            a version that the cluster does not keep any more: list again
    ├── VaultError                 a secret cannot be encrypted or decrypted: its key is not here, or it was changed
    ├── ExecutorError              an attempt cannot be started here (no bubblewrap, no such image)
    └── ArtifactError              an input that cannot be read, an output that is missing or unsafe
        └── ObjectStoreError       an object store refused: credentials, bucket, rights
            └── ObjectStoreUnavailable  it cannot be reached; may be tried again

`code` is stable: clients and documentation refer to it.
"""

from __future__ import annotations


class KhanError(Exception):
    """What happened, and what to do about it (`hint`, may be empty)."""

    code = "internal"
    status = 500  # the HTTP status that the API answers with

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def said(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, KhanError) and error.hint:
        return f"{error.message} ({error.hint})"
    return str(error) or type(error).__name__


class InvalidDocument(KhanError):
    """The pipeline document has errors; it was not stored."""

    code, status = "invalid-document", 422

    def __init__(self, message: str, findings: tuple[object, ...] = (), *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.findings = findings  # of backend.spec.finding.Finding; object here, because errors import nothing


class InvalidRequest(KhanError):
    """The request makes no sense as it is."""

    code, status = "invalid-request", 400


class NotFound(KhanError):
    """There is no such thing."""

    code, status = "not-found", 404


class Conflict(KhanError):
    """The thing changed meanwhile, or its state forbids this."""

    code, status = "conflict", 409


class NotAllowed(KhanError):
    """This identity may not do this."""

    code, status = "not-allowed", 403


class NotAuthenticated(KhanError):
    """It is not known who asks."""

    code, status = "not-authenticated", 401


class IdentityUnavailable(KhanError):
    """Who asks cannot be told at the moment."""

    code, status = "identity-unavailable", 503


class ReasonRequired(KhanError):
    """This must say why."""

    code, status = "reason-required", 400


class TooMany(KhanError):
    """This caller asks too often; `wait` is in seconds."""

    code, status = "too-many", 429

    def __init__(self, message: str, *, wait: int) -> None:
        super().__init__(message, hint=f"try again in {wait} s")
        self.wait = wait


class TooSlow(KhanError):
    """The request did not arrive in time."""

    code, status = "too-slow", 408


class StoreError(KhanError):
    """The store refused or failed."""

    code, status = "store", 503


class StoreUnavailable(StoreError):
    """The store cannot be reached; nothing was applied."""

    code = "store-unavailable"


class StoreUntrusted(StoreUnavailable):
    """TLS keeps the connection to the store from coming about."""

    code = "store-untrusted"


class StoreCompacted(StoreError):
    """That revision is gone from the store's history: list again, then watch from there."""

    code, status = "revision-compacted", 410


class StoreRewound(StoreError):
    """The store has lost revisions that were seen before: list again."""

    code, status = "store-rewound", 410


class StoreFull(StoreError):
    """The store's quota is used up; it is read-only until it is compacted and defragmented."""

    code, status = "store-full", 507


class ValueTooLarge(StoreError):
    """A value or transaction larger than the store takes."""

    code, status = "value-too-large", 413


class LeaseLost(StoreError):
    """The lease has expired or was revoked."""

    code = "lease-lost"


class ClusterError(KhanError):
    """Kubernetes refused or failed."""

    code, status = "cluster", 503


class ClusterUnavailable(ClusterError):
    """The cluster cannot be reached, or cannot do this now."""

    code = "cluster-unavailable"
    retry_after = 0.0  # seconds that it asks us to wait before the next try


class ClusterForbidden(ClusterError):
    """We may not do this in the cluster."""

    code, status = "cluster-forbidden", 502


class ClusterRefused(ClusterError):
    """The cluster does not accept what was sent."""

    code, status = "cluster-refused", 502


class ClusterConflict(ClusterError):
    """The object changed meanwhile, or is another one by now."""

    code, status = "cluster-conflict", 409


class ObjectExists(ClusterError):
    """There is an object of this name already."""

    code, status = "object-exists", 409


class ObjectMissing(ClusterError):
    """There is no object of this name."""

    code, status = "object-missing", 404


class VersionGone(ClusterError):
    """The cluster does not keep that version any more: list again."""

    code, status = "version-gone", 410


class VaultError(KhanError):
    """A secret cannot be encrypted or decrypted here."""

    code, status = "vault", 500


class ExecutorError(KhanError):
    """An attempt cannot be started here."""

    code, status = "executor", 500


class ArtifactError(KhanError):
    """An input cannot be read, or an output is missing or unsafe."""

    code, status = "artifact", 500


class DamagedLog(ArtifactError):
    """An archived log is not what was written: its file was cut off or changed."""

    code, status = "log-damaged", 410


class ObjectStoreError(ArtifactError):
    """The object store refused: its bucket, credentials or rights are not what they should be."""

    code, status = "object-store", 502


class ObjectStoreUnavailable(ObjectStoreError):
    """The object store could not be reached, for as long as it was tried."""

    code, status = "object-store-unavailable", 503
