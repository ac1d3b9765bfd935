"""What an administrator decides about stages on Kubernetes."""

from __future__ import annotations

from msgspec import Struct


class SharedVolume(Struct, frozen=True):
    """Artifacts are on a volume that holds the daemon's data folder, and stages mount parts of it."""

    claim: str  # a PersistentVolumeClaim that any node may mount, or the only node
    folder: str = ""  # where the data folder is in it; empty: at its root


class ObjectStorage(Struct, frozen=True):
    """Artifacts are in an object store: containers before and after the stage's move them."""

    url: str  # s3://bucket/prefix
    stager: str  # the image of those containers
    secret: str = ""  # a Secret whose keys are variables with the store's credentials


class Settings(Struct, frozen=True):
    """All of it. Times in seconds; None waits for ever."""

    instance: str  # tells this Khantui's objects from those of others in the namespace
    storage: SharedVolume | ObjectStorage
    registry: str  # before the names of the project's own images: "ghcr.io/khantui"
    version: str  # their tag
    accounts: dict[str, str] = {}  # a pipeline's service account -> the namespace's ServiceAccount
    store_network: tuple[str, ...] = ()  # destinations of the object store, for NetworkPolicies; empty: not known
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()
    user: int = 1000  # whom stages run as
    grace: int = 10  # seconds between asking a stage to end and making it
    image_wait: float | None = 600.0  # how long an image may not be had
    start_wait: float | None = 600.0  # how long something else may stand in a pod's way: a missing Secret, a volume
    room_wait: float | None = None  # how long a pod may wait for room: a node with what it needs, a quota
    node_wait: float = 300.0  # how long a node may be away until its pods are given up
