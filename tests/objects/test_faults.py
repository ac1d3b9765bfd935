"""Killed publishers, servers that die, credentials and buckets that are not what they should be."""

from __future__ import annotations

import os
import re
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from backend.artifacts import FolderStore, ObjectStore
from backend.errors import ArtifactError, ObjectStoreError, ObjectStoreUnavailable
from backend.layout import Layout
from backend.objects import Bucket, open_bucket
from backend.objects.plan import Fetched, Plan
from tests.objects.conftest import RUN, Pod, attempt_of
from tests.s3_fixture import S3Server

pytestmark = pytest.mark.s3


@pytest.fixture
def server(s3_binary: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """A server of the test's own, which may be hurt."""
    server = S3Server(s3_binary, tmp_path / "server")
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    yield server
    server.kill()


def until(what: Callable[[], bool]) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.002)


async def test_a_publisher_killed_in_the_middle_has_published_nothing(server: S3Server, tmp_path: Path) -> None:
    url = server.bucket("bucket")
    pod = Pod(tmp_path / "pod", server.environment)
    pod.write({f"tree/{i}": os.urandom(1 << 20) for i in range(40)} | {"other": "x"})
    plan = Plan(url, attempt_of(1), outputs=("tree", "other"))
    store = ObjectStore(open_bucket(url), Layout(tmp_path / "data"))

    process = pod.start("publish", plan)
    until(lambda: len(server.objects(url)) >= 5)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert 5 <= len(server.objects(url)) < 42
    with pytest.raises(ArtifactError, match="its outputs were not published"):
        await store.publish(RUN, "s", 1, ["tree", "other"])

    assert pod.run("publish", plan) is None  # once more
    records = await store.publish(RUN, "s", 1, ["tree", "other"])
    assert (records["tree"].files, records["tree"].bytes) == (40, 40 << 20)


def test_a_server_that_dies_for_a_while_costs_time_alone(server: S3Server, tmp_path: Path) -> None:
    url = server.bucket("bucket")
    pod, other = Pod(tmp_path / "pod", server.environment), Pod(tmp_path / "other", server.environment)
    content = {f"tree/{i}": os.urandom(1 << 20) for i in range(30)} | {"large": os.urandom(48 << 20)}
    pod.write(content)
    process = pod.start("publish", Plan(url, attempt_of(1), outputs=("tree", "large")))
    until(lambda: len(server.objects(url)) >= 5)
    server.kill()
    server.start()
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors

    inputs = tuple(Fetched(n, f"{attempt_of(1)}/out/{n}", k) for n, k in (("tree", "folder"), ("large", "file")))  # type: ignore[arg-type]
    process = other.start("fetch", Plan(url, attempt_of(2), inputs=inputs))
    until(lambda: (other.root / "in" / "large").exists())
    server.kill()
    server.start()
    _, errors = process.communicate(timeout=90)
    assert process.returncode == 0, errors
    assert all((other.root / "in" / name).read_bytes() == data for name, data in content.items())


def test_a_server_that_stays_away_is_said(server: S3Server, tmp_path: Path) -> None:
    url = server.bucket("bucket")
    pod = Pod(tmp_path / "pod", server.environment)
    pod.write({"large": os.urandom(64 << 20)})
    process = pod.start("publish", Plan(url, attempt_of(1), outputs=("large",)), KHAN_PATIENCE="1")
    until(lambda: any((tmp_path / "server" / "buckets" / "bucket").rglob("*")))
    server.kill()
    process.communicate(timeout=60)
    assert process.returncode == 1
    said = pod.said.read_text()
    assert '"publish-failed"' in said
    assert re.search(rf"s3://bucket cannot be reached at {server.endpoint}: (Connection refused|the connection)", said)


WRONG = [
    ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "there", "refused", "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    ({"AWS_ACCESS_KEY_ID": "nobody"}, "there", "refused", "set AWS_ACCESS_KEY_ID"),
    ({}, "nowhere", "there is no bucket s3://nowhere", "create it, or correct the address"),
    ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "there", "Connection refused", "the endpoint is AWS_ENDPOINT_URL"),
    ({"AWS_ENDPOINT_URL": "http://no.such.host.invalid"}, "there", "not known", "the endpoint is AWS_ENDPOINT_URL"),
]


@pytest.mark.parametrize(("changed", "bucket", "words", "hint"), WRONG)
async def test_settings_that_are_wrong_are_named(
    s3: S3Server, pod: Pod, monkeypatch: pytest.MonkeyPatch, changed: dict[str, str], bucket: str, words: str, hint: str
) -> None:
    name = f"khan-{secrets.token_hex(4)}" if bucket == "there" else bucket
    url = s3.bucket(name) if bucket == "there" else f"s3://{name}"
    pod.write({"out": "x", "large": b"x" * (9 << 20)})
    patience = 0.3 if "AWS_ENDPOINT_URL" in changed else 60
    for output in ("out", "large"):
        plan = Plan(url, attempt_of(1), outputs=(output,))
        said = pod.run("publish", plan, KHAN_PATIENCE=str(patience), **changed)
        assert said is not None
        assert said["reason"] == "publish-failed"
        assert words in said["message"]
        assert hint in said["message"]
    for variable, value in changed.items():
        monkeypatch.setenv(variable, value)
    store = open_bucket(url, patience=patience)
    for ask in (store.put("x", b"y"), store.get("x"), _listed(store)):
        with pytest.raises(ObjectStoreError, match=re.escape(words)) as caught:
            await ask
        assert isinstance(caught.value, ObjectStoreUnavailable) == ("AWS_ENDPOINT_URL" in changed)


async def _listed(bucket: Bucket) -> list[str]:
    return [head.key async for head in bucket.below("x")]


async def test_credentials_that_are_not_set_are_asked_for(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    # where a machine of Amazon's would be asked; here nobody answers
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ObjectStoreError):
        await open_bucket(server.bucket("bucket"), patience=0.3).get("x")


async def test_an_object_that_changes_while_it_is_read_is_not_mixed(s3: S3Server, bucket: str) -> None:
    opened = open_bucket(bucket)
    await opened.upload("x", _blocks(b"a", 40), 40 << 20)
    head = await opened.head("x")
    assert head is not None
    reading = opened.read(head)
    assert (await anext(reading))[:3] == b"aaa"
    await opened.upload("x", _blocks(b"b", 40), 40 << 20)
    with pytest.raises(ArtifactError, match="changed while it was read"):
        [block async for block in reading]


async def _blocks(letter: bytes, count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield letter * (1 << 20)


async def test_an_input_from_a_bucket_that_is_down_fails_and_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("backend.objects.bucket.PATIENCE", 0.3)
    with pytest.raises(ObjectStoreError) as caught:
        await FolderStore(Layout(tmp_path)).bring("s3://bucket/x")
    assert not isinstance(caught.value, ObjectStoreUnavailable)
