"""Every way a pod fails, made to happen on a real cluster: what is said while it waits, and when it has failed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from backend.executors.kubernetes import ObjectStorage, SharedVolume
from backend.executors.kubernetes.names import job_name
from backend.run.state import Reason
from backend.spec.model import Placement, Resources
from tests.kubernetes.bench import Bench
from tests.kubernetes.cluster import CONTROL, Cluster
from tests.kubernetes.registry import registry

pytestmark = pytest.mark.kubernetes

here = pytest.mark.skipif(not CONTROL.exists(), reason="the nodes must be this machine, to reach a registry on it")


@contextlib.asynccontextmanager
async def told(bench: Bench, **settings: Any) -> AsyncIterator[Bench]:
    """The executor with other settings."""
    await bench.close()
    other = Bench(bench.cluster, bench.layout.root.parent, **settings)
    await other.open()
    try:
        yield other
    finally:
        await other.clean()
        await bench.open()


@contextlib.contextmanager
def made(cluster: Cluster, kind: str, name: str, **more: Any) -> Iterator[None]:
    """An object of the namespace for as long as this lasts."""
    cluster.apply({"apiVersion": "v1", "kind": kind, "metadata": {"name": name}, **more})
    try:
        yield
    finally:
        cluster.kubectl("delete", kind, name)


async def test_a_cluster_that_is_away(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.executors.kubernetes.executor.PATIENCE", 0.2)
    await bench.again()
    there, configuration = bench.kube.server, bench.kube._api.configuration
    configuration.host = "https://127.0.0.1:1"  # before anything was asked
    spec = bench.spec("true")
    starting = asyncio.create_task(bench.executor.ensure(spec))
    seen = await bench.until(spec.key, "waiting")
    assert re.match("waits for the cluster: the cluster at .* cannot be reached", seen.message)
    configuration.host = there
    await starting
    assert (await bench.ended(spec.key)).exit_code == 0


# no room


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"resources": Resources(cpu=5000.0)},
         r"waits for a node with room: not enough cpu: it needs 5000, and the largest node has (\d+): \d+ too little"),
        ({"resources": Resources(memory=1 << 50)},
         r"waits for a node with room: not enough memory: it needs .*Gi, and the largest node has [\d.]+Gi: .* too"),
        ({"kubernetes": Placement(devices={"example.com/gpu": 2})},
         r"waits for a node with room: not enough example.com/gpu: it needs 2, and no node has any: 2 too little"),
        ({"kubernetes": Placement(node_selector={"disktype": "none-has-this"})},
         r"waits for a node with room: no node that is free has the labels of its node_selector"),
    ],
    ids=["cpu", "memory", "device", "selector"],
)  # fmt: skip
async def test_no_node_has_room(bench: Bench, more: dict[str, Any], words: str) -> None:
    key = await bench.start("true", **more)
    async with asyncio.timeout(30):
        while not any(re.fullmatch(f"{words}.*", s.message) for s in bench.said if s.key == key):
            await asyncio.sleep(0.05)
    async with told(bench, room_wait=0.5) as hasty:
        seen = await hasty.run("true", **more)
        assert (seen.state, seen.reason) == ("exited", Reason.UNSCHEDULABLE)
        assert seen.message.endswith("(given up after 500ms)")
        assert not hasty.cluster.items("jobs", "-l", f"khantui.dev/run={seen.key.run}")


async def test_a_claim_that_is_not_there(bench: Bench) -> None:
    async with told(bench, storage=SharedVolume("nowhere"), room_wait=0.0) as bad:
        seen = await bad.run("true")
        assert (seen.reason, seen.message) == (
            Reason.UNSCHEDULABLE, "it cannot be placed: there is no PersistentVolumeClaim nowhere",
        )  # fmt: skip


async def test_a_quota_that_is_used_up(bench: Bench) -> None:
    with made(bench.cluster, "ResourceQuota", "team", spec={"hard": {"requests.memory": "32Mi"}}):
        key = await bench.start("true", resources=Resources(memory=64 << 20))
        seen = await bench.until(key, "waiting")
        assert re.fullmatch(
            r"waits for room in the quota team \(requests.memory: \w+ of 32Mi in use, 64Mi more asked for\)",
            seen.message,
        )
        async with told(bench, room_wait=0.0) as hasty:
            assert (await hasty.run("true", resources=Resources(memory=64 << 20))).reason is Reason.QUOTA


async def test_a_quota_for_jobs_is_waited_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.executors.kubernetes.acting.FULL", 0.2)
    with made(bench.cluster, "ResourceQuota", "jobs", spec={"hard": {"count/jobs.batch": "0"}}):
        spec = bench.spec("true")
        starting = asyncio.create_task(bench.executor.ensure(spec))
        await bench.until(spec.key, "waiting", words="waits for room in the quota jobs (count/jobs.batch: ")
    await starting
    assert (await bench.ended(spec.key)).exit_code == 0


# not allowed


async def test_a_limit_range_forbids_it(bench: Bench) -> None:
    limits = {"limits": [{"type": "Container", "max": {"memory": "100Mi"}}]}
    with made(bench.cluster, "LimitRange", "small", spec=limits):
        seen = await bench.run("true", resources=Resources(memory=512 << 20))
        assert (seen.reason, seen.message) == (
            Reason.REFUSED,
            "the namespace's LimitRange forbids it: maximum memory usage per Container is 100Mi, but limit is 512Mi",
        )


async def test_pod_security_forbids_it(bench: Bench) -> None:
    async with told(bench, user=0) as rooted:
        seen = await rooted.run("true")
        assert seen.reason is Reason.REFUSED
        assert seen.message.startswith("the namespace's pod security (restricted:latest) forbids it: runAsUser=0")


async def test_a_priority_and_an_account_that_are_not_there(bench: Bench) -> None:
    async with told(bench, start_wait=0.0, accounts={"a": "nobody"}) as hasty:
        seen = await hasty.run("true", kubernetes=Placement(priority_class="urgent"))
        assert (seen.reason, seen.message) == (
            Reason.REFUSED, "its pod cannot be made: there is no PriorityClass urgent",
        )  # fmt: skip
        seen = await hasty.run("true", account="a")
        assert (seen.reason, seen.message) == (
            Reason.REFUSED, "its pod cannot be made: there is no ServiceAccount nobody",
        )  # fmt: skip


# no image


async def test_a_registry_that_is_away(bench: Bench) -> None:
    key = await bench.start("true", "localhost:1/x:1")
    seen = await bench.until(key, "waiting")
    assert seen.message.startswith("the image localhost:1/x:1 cannot be pulled: its registry is not reached (")
    async with told(bench, image_wait=1.0) as hasty:
        seen = await hasty.run("true", "localhost:1/x:1")
        assert (seen.reason, seen.message.endswith("(given up after 1s)")) == (Reason.IMAGE, True)


@here
async def test_an_image_that_does_not_exist(bench: Bench) -> None:
    with registry(404, "MANIFEST_UNKNOWN", "manifest unknown") as address:
        key = await bench.start("true", f"{address}/x:1")
        seen = await bench.until(key, "waiting")
        assert seen.message.startswith(f"the image {address}/x:1 does not exist: ")


@here
async def test_a_registry_that_wants_credentials(bench: Bench) -> None:
    with registry(401, "UNAUTHORIZED", "authentication required") as address:
        key = await bench.start("true", f"{address}/x:1")
        seen = await bench.until(key, "waiting")
        assert seen.message.startswith(
            f"the image {address}/x:1 is not given to us: its registry wants credentials (image_pull_secrets)"
        )


async def test_an_image_that_must_not_be_pulled(bench: Bench) -> None:
    async with told(bench, image_wait=0.0) as hasty:
        seen = await hasty.run("true", "nowhere/x:1", kubernetes=Placement(image_pull_policy="Never"))
        assert (seen.reason, seen.message) == (
            Reason.IMAGE,
            "the image nowhere/x:1 is not on the node, and must not be pulled (image_pull_policy: Never)",
        )


# cannot start


async def test_a_secret_that_is_not_there(bench: Bench) -> None:
    stager = f"{bench.settings.registry}/khantui-stager:{bench.settings.version}"
    async with told(bench, storage=ObjectStorage("s3://b", stager, "nothing")) as bad:
        spec = bad.spec("true", code="c0de")
        await bad.executor.ensure(spec)
        seen = await bad.until(spec.key, "waiting")
        assert seen.message == "its container cannot be made: there is no Secret nothing"
    async with told(bench, storage=ObjectStorage("s3://b", stager, "nothing"), start_wait=0.0) as bad:
        assert (await bad.run("true", code="c0de")).reason is Reason.START


# from outside


async def test_a_pod_deleted_by_hand(bench: Bench) -> None:
    key = await bench.start("sleep 60")
    await bench.until(key, "running")
    await asyncio.to_thread(bench.cluster.kubectl, "delete", "pod", "-l", f"job-name={job_name(key)}", "--wait=false")
    seen = await bench.ended(key)
    assert (seen.state, seen.reason, seen.message) == ("exited", Reason.DELETED, "somebody deleted its pod")
    assert len(bench.pods(key)) <= 1  # none was made in its place


async def test_a_pod_deleted_by_force(bench: Bench) -> None:
    key = await bench.start("sleep 60")
    await bench.until(key, "running")
    words = ("delete", "pod", "-l", f"job-name={job_name(key)}", "--force", "--grace-period=0")
    await asyncio.to_thread(bench.cluster.kubectl, *words)
    assert (await bench.ended(key)).reason is Reason.DELETED
    assert not bench.pods(key)


@pytest.mark.parametrize("cascade", ["background", "foreground"])
async def test_a_job_deleted_by_hand(bench: Bench, cascade: str) -> None:
    key = await bench.start("sleep 60")
    await bench.until(key, "running")
    await asyncio.to_thread(bench.cluster.kubectl, "delete", "job", job_name(key), f"--cascade={cascade}")
    seen = await bench.ended(key)
    assert (seen.state, seen.reason) == ("exited", Reason.DELETED)
    assert re.fullmatch("somebody deleted its (pod|Job)", seen.message)
    assert not bench.cluster.items("jobs", "-l", f"khantui.dev/run={key.run}")


async def test_a_job_deleted_before_it_started(bench: Bench) -> None:
    key = await bench.start("true", resources=Resources(cpu=5000.0))
    await bench.until(key, "waiting")
    await asyncio.to_thread(bench.cluster.kubectl, "delete", "job", job_name(key))
    seen = await bench.ended(key)
    assert (seen.reason, seen.message) == (Reason.DELETED, "somebody deleted its Job")


async def test_an_eviction(bench: Bench) -> None:
    key = await bench.start("sleep 60")
    await bench.until(key, "running")
    (pod,) = bench.pods(key)
    name, namespace = pod["metadata"]["name"], bench.cluster.namespace
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    bench.cluster.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    seen = await bench.ended(key)
    assert (seen.reason, seen.message) == (Reason.EVICTED, "evicted: its node is being emptied")


@pytest.mark.slow
async def test_more_disk_than_it_may_use(bench: Bench) -> None:
    placement = Placement(ephemeral_storage=10 << 20)
    key = await bench.start("head -c 80M /dev/zero > /tmp/x; sleep 110", kubernetes=placement)
    seen = await bench.ended(key, limit=100)
    assert seen.reason is Reason.EVICTED
    assert seen.message.startswith("evicted: Pod ephemeral local storage usage exceeds the total limit")


@pytest.mark.long
@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_a_node_that_is_lost(bench: Bench) -> None:
    async with told(bench, node_wait=2.0) as hasty:
        key = await hasty.start("sleep 200")
        await hasty.until(key, "running")
        with hasty.cluster.faults() as faults:
            await asyncio.to_thread(faults.kill, "kubelet")
            seen = await hasty.ended(key, limit=150)
        assert (seen.state, seen.reason) == ("exited", Reason.NODE_LOST)
        assert seen.message.startswith("its node was lost, or its pods were told to go (")
