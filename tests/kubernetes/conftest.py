"""A namespace for all tests of a session. Without KUBECONFIG they are skipped."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.kubernetes.bench import Bench, images_missing, volume
from tests.kubernetes.cluster import Cluster, namespace
from tests.s3_fixture import pytest_collection_finish, pytest_sessionfinish, s3_binary

__all__ = ["pytest_collection_finish", "pytest_sessionfinish", "s3_binary"]

WAITING = 600  # seconds that a test may wait for those that kill parts of the cluster, or until it may


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = ""
    if not os.environ.get("KUBECONFIG"):
        missing = "KUBECONFIG names no cluster to test on"
    elif shutil.which("kubectl") is None:
        missing = "kubectl is not installed"
    for item in items:
        if not item.get_closest_marker("kubernetes"):
            continue
        if missing:
            item.add_marker(pytest.mark.skip(reason=missing))
        own = item.get_closest_marker("timeout")
        limit = own.args[0] if own else 120
        item.add_marker(pytest.mark.timeout(limit + WAITING), append=False)


@pytest.fixture(autouse=True)
def peace(request: pytest.FixtureRequest) -> Iterator[None]:
    """No part of the cluster is killed during a test, but by those whose purpose that is: they wait for all others."""
    if request.node.get_closest_marker("faults"):
        yield
    else:
        with Cluster("").calm():
            yield


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with namespace(f"khantui-test-{secrets.token_hex(3)}") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def confined() -> Iterator[Cluster]:
    """A namespace that enforces the strictest pod security: stages pass it."""
    with namespace(f"khantui-test-{secrets.token_hex(3)}", {"pod-security.kubernetes.io/enforce": "restricted"}) as it:
        yield it


@pytest.fixture
async def kube(cluster: Cluster) -> AsyncIterator[object]:
    from backend.kube import Connection, connect

    kube = await connect(Connection(namespace=cluster.namespace))
    yield kube
    await kube.close()


@pytest.fixture(scope="session")
def folder(confined: Cluster) -> Path:
    """The shared volume of that namespace, as a folder of this machine."""
    if missing := images_missing("shell", "python"):
        pytest.skip(f"the cluster has no {missing}: `make images` builds the images and loads them")
    return volume(confined)


@pytest.fixture
async def bench(confined: Cluster, folder: Path) -> AsyncIterator[Bench]:
    bench = Bench(confined, folder)
    await bench.open()
    yield bench
    await bench.clean()
