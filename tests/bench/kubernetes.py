"""One stage on a cluster against a bare Job of the same image, made and waited for with kubectl; and what it asks for.

Needs KUBECONFIG, kubectl, the image `shell` on the nodes, and a volume that is a folder of this machine.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from backend.clock import SystemClock
from backend.cluster_access import REGISTRY
from backend.executors.base import AttemptKey
from backend.executors.kubernetes import KubernetesExecutor, Settings, SharedVolume
from backend.executors.kubernetes.names import labels
from backend.executors.kubernetes.objects import Job, Pod
from backend.kube import JOBS, PODS, Connection, Informer, connect
from backend.layout import Layout
from tests.e2e.daemon import Daemon
from tests.kubernetes.bench import CLAIM, NoLogs, images_missing, volume
from tests.kubernetes.cluster import Cluster, namespace, version

IMAGE = f"{REGISTRY}/khantui-shell:{version()}"
FINISHED = 5000


class Stopwatch:
    """When Jobs came and pods ended in a namespace, by this process's clock."""

    def __init__(self, name: str) -> None:
        self.made: dict[str, float] = {}  # Job -> when it was heard of
        self.over: dict[str, float] = {}  # Job -> when its pod was heard to have ended
        self._name = name
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._watch(),), daemon=True)
        self._thread.start()
        self._ready.wait(30)

    async def _watch(self) -> None:
        kube = await connect(Connection(namespace=self._name))
        jobs, pods = Informer(kube, JOBS, Job), Informer(kube, PODS, Pod)
        following = [asyncio.create_task(work) for work in (jobs.run(), pods.run())]
        await jobs.synced.wait()
        await pods.synced.wait()
        self._ready.set()
        await asyncio.gather(self._jobs(jobs), self._pods(pods), *following)

    async def _jobs(self, informer: Informer[Job]) -> None:
        async for changes in informer.changes():
            for change in changes:
                self.made.setdefault(change.object.metadata.name, time.perf_counter())

    async def _pods(self, informer: Informer[Pod]) -> None:
        async for changes in informer.changes():
            for change in changes:
                if change.object.container("stage").terminated is not None:
                    name = change.object.metadata.labels.get("job-name", "")
                    self.over.setdefault(name, time.perf_counter())


def bare(cluster: Cluster, watch: Stopwatch) -> tuple[float, float]:
    """A bare Job, from kubectl's start to its word that it is complete; and until its pod was heard to have ended."""
    name = f"bare-{secrets.token_hex(4)}"
    container = {"name": "stage", "image": IMAGE, "command": ["true"], "imagePullPolicy": "IfNotPresent"}
    pod = {"restartPolicy": "Never", "containers": [container]}
    job = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}}
    began = time.perf_counter()
    cluster.kubectl("create", "-f", "-", stdin=json.dumps({**job, "spec": {"template": {"spec": pod}}}))
    cluster.kubectl("wait", "--for=condition=complete", f"job/{name}", "--timeout=60s")
    ended = time.perf_counter()
    over = watch.over[name]
    cluster.kubectl("delete", "job", name)
    return ended - began, over - began


def stage(daemon: Daemon, watch: Stopwatch) -> tuple[float, float]:
    """A run of one stage, from the request to its end; and what of that is neither the cluster's nor the pod's."""
    known = set(watch.made)
    began = time.perf_counter()
    run = daemon.http.post("/pipelines/one/runs", json={}).raise_for_status().json()
    run_id = run["id"]
    with daemon.http.stream("GET", "/events", params={"since": run["revision"]}, timeout=120) as events:
        for line in events.iter_lines():
            if line.startswith("data:") and run_id in line:
                event = json.loads(line[5:])
                if event["kind"] == "run" and event["object"] and event["object"]["ended"]:
                    break
    ended = time.perf_counter()
    assert daemon.status(run_id)["state"] == "succeeded"
    (name,) = set(watch.made) - known
    return ended - began, (watch.made[name] - began) + (ended - watch.over[name])


def measure(repeats: int = 3) -> Iterator[dict[str, Any]]:
    """Results, where there is a cluster."""
    if not os.environ.get("KUBECONFIG") or images_missing("shell"):
        print("kubernetes: KUBECONFIG names no cluster whose nodes have the image shell", file=sys.stderr)
        return
    with namespace(f"khantui-bench-{secrets.token_hex(3)}") as cluster, cluster.calm():
        data = volume(cluster) / "bench"
        data.mkdir()
        daemon = Daemon(data)
        try:
            daemon.start("--executor", "kubernetes", "--namespace", cluster.namespace, "--volume", f"{CLAIM}/bench")
            daemon.apply("one", stages={"a": {"image": IMAGE, "run": ["true"]}})
            watch = Stopwatch(cluster.namespace)
            yield _one(cluster, daemon, watch, 2 * repeats + 1)
        finally:
            daemon.close()
            shutil.rmtree(data)
        yield asyncio.run(_finished(cluster.namespace, data))


def _one(cluster: Cluster, daemon: Daemon, watch: Stopwatch, repeats: int) -> dict[str, Any]:
    bare(cluster, watch), stage(daemon, watch)  # everything is there once
    before = _requests(daemon)
    bares, stages = [], []
    for _ in range(repeats):  # by turns: what else the machine does hits both
        bares.append(bare(cluster, watch))
        stages.append(stage(daemon, watch))
    sent = _requests(daemon) - before
    floor, wall = statistics.median(b[0] for b in bares), statistics.median(s[0] for s in stages)
    return {
        "workload": "kubernetes-one",
        "wall_s": wall,
        "per_stage_ms": wall * 1000,
        "floor_s": floor,
        "floor_ratio": wall / floor,
        "floor_pod_ended_s": statistics.median(b[1] for b in bares),
        "own_ms": statistics.median(s[1] for s in stages) * 1000,
        "requests_per_stage": sent / repeats,
    }


async def _finished(name: str, folder: Path) -> dict[str, Any]:
    """What the executor's memory grows by while Jobs of so many finished runs come and go."""
    kube = await connect(Connection(namespace=name))
    settings = Settings("bench", SharedVolume(CLAIM), REGISTRY, version())
    executor = KubernetesExecutor(kube, settings, Layout(folder), SystemClock(), NoLogs())

    async def listen() -> None:
        async for _ in executor.observe():
            pass

    listening = asyncio.create_task(listen())
    await executor.sweep(())
    began, grown = time.perf_counter(), 0
    for start in range(0, FINISHED, 50):
        await asyncio.gather(*(_pass(executor, number) for number in range(start, start + 50)))
        if start == 450:
            grown = _resident()  # by now everything is loaded
    grown = _resident() - grown
    wall = time.perf_counter() - began
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await executor.close()
    return {
        "workload": "kubernetes-finished",
        "wall_s": wall,
        "per_stage_ms": wall * 1000 / FINISHED,
        "floor_s": 1.0,
        "floor_ratio": 0.0,
        "grown_mib": grown / (1 << 20),
    }


async def _pass(executor: KubernetesExecutor, number: int) -> None:
    key = AttemptKey("run", f"s{number}", 1)
    pod = {"restartPolicy": "Never", "containers": [{"name": "stage", "image": IMAGE}]}
    meta = {"name": f"finished-{number}", "labels": labels(key, "bench", "bench"), "annotations": {"x": "y" * 2000}}
    await executor.kube.create(JOBS, {"metadata": meta, "spec": {"suspend": True, "template": {"spec": pod}}}, Job)
    await executor.kube.delete(JOBS, f"finished-{number}")


def _resident() -> int:
    """Bytes that this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _requests(daemon: Daemon) -> float:
    lines = daemon.http.get("http://khantui/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith("khantui_cluster_requests{"))
