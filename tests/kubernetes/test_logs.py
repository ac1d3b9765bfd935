"""Logs of containers, copied through a real API server and kubelet, whatever is killed meanwhile."""

from __future__ import annotations

import asyncio
import random
import secrets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from backend.clock import SystemClock
from backend.executors.base import AttemptKey
from backend.executors.kubernetes.logs import ContainerLogs
from backend.kube import Kube
from backend.layout import Layout
from backend.logs import LogStore
from tests.kubernetes.cluster import Cluster
from tests.kubernetes.follower import KEY, ended
from tests.kubernetes.images import SHELL

pytestmark = [pytest.mark.kubernetes, pytest.mark.slow, pytest.mark.timeout(300)]


def pod(script: str, *, first: str = "", last: str = "") -> dict[str, Any]:
    """A pod like an attempt's: up to three containers, one after the other."""
    name = f"log-{secrets.token_hex(3)}"
    containers = [
        {"name": container, "image": SHELL, "command": ["bash", "-c", text], "imagePullPolicy": "IfNotPresent"}
        for container, text in (("fetch", first or "true"), ("stage", script), ("publish", last or "true"))
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "initContainers": containers[:2],
            "containers": containers[2:],
        },
    }


def begin(cluster: Cluster, script: str, **more: str) -> str:
    """The name of a pod whose stage runs `script`."""
    manifest = pod(script, **more)
    cluster.apply(manifest)
    return str(manifest["metadata"]["name"])


def follower(cluster: Cluster, folder: Path, name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", "tests.kubernetes.follower", str(folder), cluster.namespace, name])


def size(folder: Path) -> int:
    log = Layout(folder).live_log(*KEY)
    return log.stat().st_size if log.exists() else 0


def grows(folder: Path, more: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until the log has grown by so many bytes, or the process has ended."""
    wanted, end = size(folder) + more, time.monotonic() + 60
    while size(folder) < wanted and process.poll() is None:
        assert time.monotonic() < end, "the log does not grow"
        time.sleep(0.02)


def numbered(folder: Path) -> list[int]:
    """The numbers of the lines of a log that holds nothing else."""
    return [int(line) for line in Layout(folder).live_log(*KEY).read_bytes().splitlines()]


COUNT = "i=0; while [ $i -lt {n} ]; do i=$((i+1)); echo $i; {pause}; done"


async def test_odd_content_arrives_byte_for_byte(cluster: Cluster, kube: Kube, tmp_path: Path) -> None:
    script = r"""
        printf 'plain\n\n'; printf '10%%\r20%%\r30%%\n'; printf '\x00\x01\xff\xfe binary\n'
        head -c 1000000 /dev/zero | tr '\0' x; echo
        head -c 40000 /dev/zero | tr '\0' y; sleep 1; printf 'an end without a line break'
    """
    name = begin(cluster, script)
    logs = ContainerLogs(kube, Layout(tmp_path))
    await ended_waiting(logs, kube, name)
    expected = b"plain\n\n10%\r20%\r30%\n\x00\x01\xff\xfe binary\n" + b"x" * 1_000_000 + b"\n"
    expected += b"y" * 40_000 + b"an end without a line break"
    assert Layout(tmp_path).live_log(*KEY).read_bytes() == expected


async def ended_waiting(logs: ContainerLogs, kube: Kube, name: str, *containers: str) -> None:
    logs.follow(KEY, name)
    await ended(kube, name)
    await logs.finish(KEY, name, containers or ["stage"])
    await logs.close()


async def test_helpers_that_failed_are_heard_too(cluster: Cluster, kube: Kube, tmp_path: Path) -> None:
    name = begin(cluster, "printf done", last="echo 'the bucket is gone'; exit 1")
    logs = ContainerLogs(kube, Layout(tmp_path))
    await ended_waiting(logs, kube, name, "stage", "publish")
    assert Layout(tmp_path).live_log(*KEY).read_text() == "done\n[khantui] publish said:\nthe bucket is gone\n"


async def test_a_stage_that_never_began(cluster: Cluster, kube: Kube, tmp_path: Path) -> None:
    name = begin(cluster, "echo never", first="echo 'no such object'; exit 1")
    logs = ContainerLogs(kube, Layout(tmp_path))
    await ended(kube, name)
    await logs.finish(KEY, name, ["fetch"])
    assert Layout(tmp_path).live_log(*KEY).read_text() == "[khantui] fetch said:\nno such object\n"


async def test_a_log_that_is_whole_is_not_asked_for_again(cluster: Cluster, kube: Kube, tmp_path: Path) -> None:
    name = begin(cluster, "echo short")
    await ended(kube, name)
    with cluster.calm():
        before = kube.requests.total
        for _ in range(3):
            logs = ContainerLogs(kube, Layout(tmp_path))
            await logs.finish(KEY, name, ["stage"])
    assert kube.requests.total - before == 2  # the last entry, and the log
    assert Layout(tmp_path).live_log(*KEY).read_text() == "short\n"


async def test_a_deleted_pod_is_said(cluster: Cluster, kube: Kube, tmp_path: Path) -> None:
    logs = ContainerLogs(kube, Layout(tmp_path))
    await logs.finish(KEY, "there-is-no-such-pod", ["stage"])
    assert "its pod was deleted before all was read" in Layout(tmp_path).live_log(*KEY).read_text()


async def test_a_pod_deleted_by_force_is_heard_to_its_end(cluster: Cluster, kube: Kube, tmp_path: Path) -> None:
    name = begin(cluster, "trap 'echo bye; exit 3' TERM; echo hello; sleep 60 & wait $!")
    logs = ContainerLogs(kube, Layout(tmp_path))
    logs.follow(KEY, name)
    await grown(tmp_path)
    await asyncio.to_thread(cluster.kubectl, "delete", "pod", name, "--force", "--grace-period=0")
    await logs.finish(KEY, name, ["stage"])
    assert Layout(tmp_path).live_log(*KEY).read_text() == "hello\nbye\n"


async def grown(folder: Path) -> None:
    """Wait until there is anything in the log."""
    async with asyncio.timeout(60):
        while not size(folder):
            await asyncio.sleep(0.05)


@pytest.mark.long  # and a quiet machine: what is written must be read before it is put aside twice
async def test_logs_that_the_node_puts_aside(cluster: Cluster, kube: Kube, tmp_path: Path) -> None:
    """The kubelet looks every ten seconds for logs of more than 10 MiB, and begins new files for them."""
    text = "x" * 1000
    more = "; ".join(f"sleep 12; seq -f '%.0f {text}' {n}001 {n}999" for n in (20, 21))
    name = begin(cluster, f"echo 0; sleep 3; seq -f '%.0f {text}' 1 14000; {more}")
    there, away = ContainerLogs(kube, Layout(tmp_path / "there")), ContainerLogs(kube, Layout(tmp_path / "away"))
    there.follow(KEY, name)
    away.follow(KEY, name)
    await grown(tmp_path / "away")
    await away.close()
    await ended_waiting(there, kube, name)
    await away.finish(KEY, name, ["stage"])
    found = Layout(tmp_path / "there").live_log(*KEY).read_text().splitlines()
    assert [int(line.split()[0]) for line in found] == [*range(14001), *range(20001, 21000), *range(21001, 22000)]
    found = Layout(tmp_path / "away").live_log(*KEY).read_text().splitlines()
    (gap,) = [n for n, line in enumerate(found) if line.startswith("[khantui] lines may be missing here")]
    numbers = [int(line.split()[0]) for line in found if not line.startswith("[khantui]")]
    assert gap == 1
    assert numbers == sorted(set(numbers))
    assert numbers[-999:] == list(range(21001, 22000))


async def test_times_are_those_of_the_container(cluster: Cluster, kube: Kube, tmp_path: Path) -> None:
    name = begin(cluster, "echo first; sleep 1.5; echo second; sleep 1.5; date +%s.%N")
    store = LogStore(Layout(tmp_path), SystemClock())
    store.track(*KEY)
    indexing = asyncio.create_task(store.run())
    logs = ContainerLogs(kube, Layout(tmp_path), lambda key, size, micros: store.grew(*key, size, micros))
    await ended_waiting(logs, kube, name)
    await store.finish(*KEY)
    indexing.cancel()
    with store.reader(*KEY) as reader:
        assert reader.complete
        lines = reader.lines(1, 10)
    times = [line.time for line in lines]
    assert [line.text for line in lines[:2]] == ["first", "second"]
    assert all(times)
    wrote = float(lines[2].text)
    last = times[2].timestamp()  # type: ignore[union-attr]
    assert 0 <= last - wrote < 2
    assert (times[2] - times[0]).total_seconds() > 2.5  # type: ignore[operator]


def test_a_follower_that_is_killed_again_and_again(cluster: Cluster, tmp_path: Path) -> None:
    name = begin(cluster, COUNT.format(n=6000, pause="[ $((i % 50)) != 0 ] || sleep 0.25"))
    chance = random.Random(7)
    kills = 0
    process = follower(cluster, tmp_path, name)
    while process.poll() is None and kills < 8:
        grows(tmp_path, 1, process)
        time.sleep(chance.random() * 0.4)
        if process.poll() is None:
            process.kill()
            process.wait()
            kills += 1
            process = follower(cluster, tmp_path, name)
    assert process.wait(120) == 0
    assert kills > 1
    assert numbered(tmp_path) == list(range(1, 6001))


@pytest.mark.faults
@pytest.mark.parametrize("part", ["kube-apiserver", "kubelet"])
def test_parts_of_the_cluster_that_are_killed(cluster: Cluster, tmp_path: Path, part: str) -> None:
    with cluster.faults() as faults:
        name = begin(cluster, COUNT.format(n=4000, pause="[ $((i % 20)) != 0 ] || sleep 0.1"))
        process = follower(cluster, tmp_path, name)
        for _ in range(2):
            grows(tmp_path, 1000, process)
            faults.kill(part)
            faults.up()
        assert process.wait(180) == 0
    assert numbered(tmp_path) == list(range(1, 4001))


async def test_ten_thousand_lines_a_second(cluster: Cluster, kube: Kube, tmp_path: Path) -> None:
    name = begin(cluster, "seq -f 'a line of a busy stage that says a number of words: %.0f' 1 100000")
    logs = ContainerLogs(kube, Layout(tmp_path))
    await ended_waiting(logs, kube, name)
    found = Layout(tmp_path).live_log(*KEY).read_bytes().splitlines()
    assert [int(line.rsplit(b" ", 1)[1]) for line in found] == list(range(1, 100_001))


async def test_many_at_once(cluster: Cluster, kube: Kube, tmp_path: Path) -> None:
    names = [begin(cluster, COUNT.format(n=50, pause="sleep 0.02")) for _ in range(6)]
    logs = ContainerLogs(kube, Layout(tmp_path))
    keys = [AttemptKey("run", f"stage-{n}", 1) for n in range(len(names))]
    for key, name in zip(keys, names, strict=True):
        logs.follow(key, name)

    async def finish(key: AttemptKey, name: str) -> None:
        await ended(kube, name)
        await logs.finish(key, name, ["stage"])

    await asyncio.gather(*map(finish, keys, names))
    for key in keys:
        found = Layout(tmp_path).live_log(*key).read_bytes()
        assert found == b"".join(b"%d\n" % n for n in range(1, 51))
