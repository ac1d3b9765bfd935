"""What an object store answered, as an error that says what, where, and what to do."""

from __future__ import annotations

import re

from backend.errors import ArtifactError, ObjectStoreError, ObjectStoreUnavailable

CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or a role of this machine or pod)",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS (or this machine's or pod's service account)",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY (or a managed identity)",
}
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound", "InvalidBucketName"}
_REFUSED = {
    "AccessDenied",
    "AuthenticationFailed",
    "AuthorizationFailure",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "XAdminUserNotFound",
}


def explained(error: Exception, url: str) -> ArtifactError:
    """What obstore raised about `url` (scheme://bucket/key), as an error of ours.

    An ArtifactError says that the object is not there or was changed meanwhile, an ObjectStoreUnavailable that the
    store could not be reached in time, and any other ObjectStoreError that trying again would not help.
    """
    said, (scheme, _, rest) = str(error), url.partition("://")
    kind, code = type(error).__name__, _found(r"<Code>([^<]+)</Code>", said)
    bucket = f"{scheme}://{rest.partition('/')[0]}"
    if code in _NO_BUCKET:
        return ObjectStoreError(f"there is no bucket {bucket}{_at(said)}", hint="create it, or correct the address")
    if "169.254.169.254" in said or "metadata.google.internal" in said or (kind == "UnauthenticatedError" and not code):
        return ObjectStoreError(f"there are no credentials for {bucket}", hint=_set(scheme))
    if code in _REFUSED or kind in ("PermissionDeniedError", "UnauthenticatedError"):
        why = _found(r"<Message>([^<]+)</Message>", said).rstrip(".") or "permission denied"
        return ObjectStoreError(f"{url}: refused{_at(said)}: {why}{f' ({code})' if code else ''}", hint=_set(scheme))
    if isinstance(error, FileNotFoundError) and re.search(r"Error performing (PUT|POST)", said):
        return ObjectStoreError(f"there is no bucket {bucket}{_at(said)}", hint="create it, or correct the address")
    if isinstance(error, FileNotFoundError):
        return ArtifactError(f"{url} is not there")
    if code == "InvalidRange":
        return ArtifactError(f"{url} is shorter than it was")
    if kind == "PreconditionError":
        return ArtifactError(f"{url} changed while it was read", hint="write it under a new name, then start again")
    if why := _unreachable(said):
        return ObjectStoreUnavailable(f"{bucket} cannot be reached{_at(said)}: {why}", hint=_endpoint(scheme))
    first = said.partition("\n\nDebug source")[0].strip().replace("\n", " ")
    return ObjectStoreError(f"{url}: {first[:400]}")


def _unreachable(said: str) -> str:
    """Why the store was not reached, if that is what it was."""
    status = _found(r"status code: ((?:5\d\d|429)[^:]*)", said)
    if status:
        return f"it answers {status.strip()}"
    if "HTTP error" not in said and "error decoding response body" not in said:
        return ""
    if causes := re.findall(r'(?:message|error): "([^"]+)"', said):
        return str(causes[-1]).removeprefix("failed to lookup address information: ")
    if "TimedOut" in said or "Timeout" in said:
        return "no answer in time"
    return "the connection was cut off"


def _at(said: str) -> str:
    endpoint = _found(r"Error performing \w+ (https?://[^/\s]+)", said)
    return f" at {endpoint}" if endpoint else ""


def _found(pattern: str, said: str) -> str:
    found = re.search(pattern, said)
    return found[1] if found else ""


def _set(scheme: str) -> str:
    wanted = CREDENTIALS.get(scheme)
    return f"set {wanted} in the daemon's environment" if wanted else ""


def _endpoint(scheme: str) -> str:
    return "the endpoint is AWS_ENDPOINT_URL" if scheme == "s3" else ""
