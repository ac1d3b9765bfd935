"""Which cluster, as whom, in which namespace: from a kubeconfig, or from what a pod knows of its own cluster."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

from kubernetes.aio import client, config
from kubernetes.aio.config import ConfigException
from msgspec import Struct

from backend.errors import ClusterError
from backend.kube.client import Kube

LOGIN = 30.0  # seconds that a kubeconfig's command for credentials may take
_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class Connection(Struct, frozen=True):
    """How to reach a cluster; what is empty is found out.

    Without a kubeconfig: the one that KUBECONFIG names, a pod's own cluster, or ~/.kube/config. Without a namespace:
    the context's or the pod's own, or `default`.
    """

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""


async def connect(wanted: Connection) -> Kube:
    """A client of the cluster. Nothing is sent yet. Raises ClusterError where the configuration is of no use."""
    configuration, namespace = await _load(wanted)

    async def again() -> client.Configuration:
        return (await _load(wanted))[0]

    return Kube(configuration, wanted.namespace or namespace, again)


async def context_of(kubeconfig: str, context: str) -> str:
    """The name of the context that is used; empty for a pod's own cluster. Raises ClusterError."""
    if context or (not kubeconfig and not os.environ.get("KUBECONFIG") and (_POD / "token").exists()):
        return context
    _, current = await asyncio.to_thread(config.list_kube_config_contexts, kubeconfig or os.environ.get("KUBECONFIG"))
    return str(current["name"])


async def _load(wanted: Connection) -> tuple[client.Configuration, str]:
    """The client library's configuration, and the namespace that goes with it."""
    loaded = client.Configuration()
    loaded.connection_pool_maxsize = 0  # no limit: every log that is followed holds a connection
    logging.getLogger("kubernetes.aio.client.rest").setLevel(logging.INFO)  # at DEBUG it logs every answer whole
    inside = not wanted.kubeconfig and not os.environ.get("KUBECONFIG") and (_POD / "token").exists()
    try:
        if inside and not wanted.context:
            config.load_incluster_config(loaded)
            return loaded, (_POD / "namespace").read_text().strip()
        return loaded, await _from_file(wanted, loaded)
    except (ConfigException, OSError) as error:
        hint = "name a kubeconfig (--kubeconfig FILE), or make one that `kubectl get pods` works with"
        raise ClusterError(f"no cluster to connect to: {error}", hint=hint) from error


async def _from_file(wanted: Connection, loaded: client.Configuration) -> str:
    path = wanted.kubeconfig or os.environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    if not any(Path(each).expanduser().is_file() for each in path.split(os.pathsep)):
        raise ConfigException(f"there is no kubeconfig {path}")
    contexts, current = await asyncio.to_thread(config.list_kube_config_contexts, path)
    if wanted.context:
        found = [c for c in contexts if c["name"] == wanted.context]
        if not found:
            names = ", ".join(sorted(c["name"] for c in contexts))
            raise ClusterError(f"{path} has no context {wanted.context!r}", hint=f"there are: {names}")
        current = found[0]
    try:
        async with asyncio.timeout(LOGIN):
            await config.load_kube_config(path, wanted.context or None, loaded)
    except TimeoutError:
        raise ConfigException(f"the command for credentials in {path} took more than {LOGIN:.0f} s") from None
    return str(current["context"].get("namespace") or "default")
