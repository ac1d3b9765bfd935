"""From what the daemon was told to an executor on a cluster."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec.structs import replace

from backend.accounts.destination import parse
from backend.clock import Clock
from backend.cluster_access import ClusterAccess
from backend.errors import ExecutorError
from backend.executors.base import AttemptKey
from backend.executors.kubernetes.executor import KubernetesExecutor
from backend.executors.kubernetes.logs import ContainerLogs
from backend.executors.kubernetes.settings import ObjectStorage, Settings, SharedVolume
from backend.kube import Connection, connect
from backend.layout import Layout
from backend.spec import quantity
from backend.spec.images import Image

_WAITS = ("image", "start", "room", "node")


async def open_executor(
    access: ClusterAccess,
    artifacts: str,
    instance: str,
    layout: Layout,
    clock: Clock,
    grew: Callable[[AttemptKey, int, int], None],
    images: Mapping[str, Image],
) -> KubernetesExecutor:
    """The executor. `artifacts` is the artifact store's URL, if it is not the data folder; `grew` hears of logs.

    Raises ExecutorError for settings that make no sense, ClusterError where there is no cluster to connect to. That
    the cluster answers is not waited for.
    """
    settings = settings_of(access, artifacts, instance)
    kube = await connect(Connection(access.kubeconfig, access.context, access.namespace))
    return KubernetesExecutor(kube, settings, layout, clock, ContainerLogs(kube, layout, grew), images)


def settings_of(access: ClusterAccess, artifacts: str, instance: str) -> Settings:
    """What an administrator has decided. Raises ExecutorError."""
    settings = Settings(
        instance=instance,
        storage=_storage(access, artifacts),
        registry=access.registry,
        version=access.image_version,
        accounts=dict(account.split("=", 1) for account in access.accounts),
        store_network=_destinations(access.store_network),
        pull_policy=access.pull_policy,
        pull_secrets=access.pull_secrets,
    )
    for given in access.waits:
        name, _, text = given.partition("=")
        if name not in _WAITS:
            raise ExecutorError(f"nothing waits for {name!r}", hint=f"--wait NAME=TIME, with {', '.join(_WAITS)}")
        settings = replace(settings, **{f"{name}_wait": _time(given, text, name)})
    return settings


def _destinations(given: tuple[str, ...]) -> tuple[str, ...]:
    for text in given:
        try:
            parse(text)
        except ValueError as error:
            raise ExecutorError(f"--store-network: {error}", hint="--store-network 10.1.0.0/16:9000") from None
    return given


def _storage(access: ClusterAccess, artifacts: str) -> SharedVolume | ObjectStorage:
    if artifacts:
        stager = access.stager_image or f"{access.registry}/khantui-stager:{access.image_version}"
        return ObjectStorage(artifacts, stager, access.artifacts_secret)
    if not access.volume:
        raise ExecutorError(
            "stages on Kubernetes need a place for artifacts that they and this daemon reach",
            hint="--artifacts s3://BUCKET/PREFIX, or --volume CLAIM for a volume that holds this daemon's data folder",
        )
    claim, _, folder = access.volume.partition("/")
    return SharedVolume(claim, folder)


def _time(given: str, text: str, name: str) -> float | None:
    if text == "never" and name != "node":
        return None
    try:
        return quantity.duration(text)
    except ValueError as error:
        raise ExecutorError(f"--wait {given}: {error}", hint="or never, to wait for ever") from None
