"""What others answer never: a server takes the connection and says nothing, and each kind of call ends by itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest
from kubernetes.aio import client

from backend.artifacts import outside, reach
from backend.errors import ClusterError, ClusterUnavailable, KhanError, ObjectStoreUnavailable, StoreError
from backend.issuers import keys as issuer_keys
from backend.kube import Kube, configuration
from backend.kube import client as kube_client
from backend.kube.objects import Object
from backend.kube.resources import PODS
from backend.objects import bucket
from backend.store.base import Put
from backend.store.etcd import EtcdStore
from khantui.api import address, http
from khantui.errors import Failure

SHORT = 0.3  # seconds, instead of the real limits
pytestmark = pytest.mark.timeout(60)  # what hangs all the same


@pytest.fixture
def hung() -> Iterator[str]:
    """Where connections are taken (by the kernel), and nobody reads or answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: tuple[tuple[ModuleType, str], ...] = (
        (issuer_keys, "TIMEOUT"),
        (kube_client, "TIMEOUT"),
        (kube_client, "CONNECT"),
        (bucket, "SILENCE"),
        (bucket, "PATIENCE"),
        (reach, "SILENCE"),
    )
    for module, name in limits:
        assert getattr(module, name) > SHORT
        monkeypatch.setattr(module, name, SHORT)


STORE: dict[str, Callable[[EtcdStore], Awaitable[object]]] = {
    "a read": lambda store: store.get("a"),
    "a write": lambda store: store.commit([], [Put("a", b"1")]),
    "a lease": lambda store: store.grant(5),
    "a lease kept alive": lambda store: store.keep_alive(7),
    "its health": lambda store: store.health(),
    "a compaction": lambda store: store.compact(7),
}


@pytest.mark.parametrize("what", STORE)
async def test_etcd(hung: str, what: str) -> None:
    store = EtcdStore([hung], timeout=SHORT)
    try:
        with pytest.raises(StoreError):
            await STORE[what](store)
    finally:
        await store.close()


async def _follow(kube: Kube) -> bytes:
    async with kube.stream("get", PODS, "p", "log", silence=SHORT) as content:
        return await content.read()


KUBE: dict[str, Callable[[Kube], Awaitable[object]]] = {
    "a call": lambda kube: kube.get(PODS, "p", Object),
    "a stream": _follow,
}


@pytest.mark.parametrize("what", KUBE)
async def test_kubernetes(hung: str, short: None, what: str) -> None:
    kube = Kube(client.Configuration(host=f"http://{hung}"), "n")
    try:
        with pytest.raises(ClusterUnavailable):
            await KUBE[what](kube)
    finally:
        await kube.close()


async def test_the_command_for_a_clusters_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "LOGIN", 2.0)  # until it has begun
    script = f"echo $$ > {tmp_path}/pid; exec sleep 600"
    command = {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh", "args": ["-c", script]}
    kubeconfig = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
        "users": [{"name": "u", "user": {"exec": {**command, "interactiveMode": "Never"}}}],
    }
    path = tmp_path / "config"
    path.write_text(json.dumps(kubeconfig))  # which is YAML, too
    with pytest.raises(ClusterError, match="the command for credentials"):
        await configuration.connect(configuration.Connection(str(path)))
    pid = int((tmp_path / "pid").read_text())
    os.kill(pid, signal.SIGKILL)  # the library's process is out of our reach
    while Path(f"/proc/{pid}").exists():
        await asyncio.sleep(0.01)
    for _ in range(10):  # turns in which its pipes are closed
        await asyncio.sleep(0.01)


async def test_an_object_store(hung: str, short: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"ENDPOINT_URL": f"http://{hung}", "ACCESS_KEY_ID": "k", "SECRET_ACCESS_KEY": "s"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(ObjectStoreUnavailable):
        await bucket.open_bucket("s3://b/p").get("k")


async def test_an_issuer(hung: str, short: None) -> None:
    with pytest.raises(issuer_keys.Unavailable):
        await issuer_keys.KeySet("https://issuer", f"https://{hung}/keys").key("k", "RS256")


async def test_an_input_from_the_web(hung: str, short: None, tmp_path: Path) -> None:
    with pytest.raises(KhanError, match="cannot be read"):
        await outside.download(f"http://{hung}/x", tmp_path / "x", reach.Reach(["127.0.0.1"]))


async def test_the_daemon_for_its_clients(hung: str) -> None:
    asking = http.Http(address.parse(f"http://{hung}"), timeout=SHORT, patience=SHORT)
    with pytest.raises(Failure):
        await asyncio.to_thread(asking.get, "/runs", object)
    asking.close()
