"""Archived logs in an object store: found afterwards by whoever has the store, read in parts."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from backend.clock import SystemClock
from backend.errors import NotFound, ObjectStoreUnavailable
from backend.layout import Layout
from backend.logs import LogStore
from backend.logs.expression import pattern
from backend.logs.search import search
from backend.objects import Bucket, open_bucket
from tests.objects.conftest import RUN
from tests.s3_fixture import S3Server

pytestmark = pytest.mark.s3


class Counting(Bucket):
    """Knows how much was fetched."""

    fetched: list[int]

    def part(self, key: str, start: int, size: int) -> bytes:
        self.fetched.append(size)
        return super().part(key, start, size)


def counting(url: str) -> Counting:
    opened: Any = open_bucket(url, patience=0.3)
    opened.__class__, opened.fetched = Counting, []
    return opened  # type: ignore[no-any-return]


def written(layout: Layout, lines: int, width: int = 40) -> bytes:
    """A log that a stage has written."""
    path = layout.live_log(RUN, "s", 1)
    path.parent.mkdir(parents=True)
    path.write_bytes(b"".join(b"line %d %s\n" % (i, os.urandom(width).hex().encode()) for i in range(1, lines + 1)))
    return path.read_bytes()


async def test_a_log_is_found_elsewhere_when_it_is_archived(bucket: str, tmp_path: Path) -> None:
    here, there = Layout(tmp_path / "here"), Layout(tmp_path / "there")
    logs = LogStore(here, SystemClock(), open_bucket(bucket))
    replica = LogStore(there, SystemClock(), open_bucket(bucket))
    with pytest.raises(NotFound):
        replica.reader(RUN, "s", 2)
    data = written(here, 3000)
    await logs.finish(RUN, "s", 1)
    await logs.finish(RUN, "s", 1)
    assert not [p for p in here.root.rglob("*") if p.is_file()]  # nothing is left on the disk
    for store in (logs, replica):
        with store.reader(RUN, "s", 1) as reader:
            info = reader.info()
            assert (info.lines, info.bytes, info.complete, info.archived) == (3000, len(data), True, True)
            assert reader.raw(100, 5000) == data[100:5100]
            assert [line.text.split()[1] for line in reader.lines(1500, 2)] == ["1500", "1501"]
    assert [line.number async for some in replica.follow(RUN, "s", 1, 2999) for line in some] == [2999, 3000]


async def test_the_logs_of_a_run_go_and_those_of_others_stay(bucket: str, tmp_path: Path) -> None:
    here = Layout(tmp_path)
    logs = LogStore(here, SystemClock(), open_bucket(bucket))
    written(here, 30)
    other = here.live_log("01m85n6fsm-k8mv3j", "s", 1)
    other.parent.mkdir(parents=True)
    other.write_bytes(b"another\n")
    await logs.finish(RUN, "s", 1)
    await logs.finish("01m85n6fsm-k8mv3j", "s", 1)
    with logs.reader(RUN, "s", 1):
        pass  # it is remembered now
    await logs.remove(RUN)
    await logs.remove(RUN)
    with pytest.raises(NotFound):
        logs.reader(RUN, "s", 1)
    with logs.reader("01m85n6fsm-k8mv3j", "s", 1) as reader:
        assert [line.text for line in reader.lines(1, 10)] == ["another"]


async def test_of_a_large_log_only_what_is_looked_at_is_fetched_and_that_once(bucket: str, tmp_path: Path) -> None:
    layout, counted = Layout(tmp_path / "data"), counting(bucket)
    logs = LogStore(layout, SystemClock(), counted)
    data = written(layout, 200_000)
    await logs.finish(RUN, "s", 1)
    stored = counted.size(f"logs/{RUN}/s/1.log.zst")
    assert stored is not None
    assert stored > 8 << 20
    for _ in range(3):
        with logs.reader(RUN, "s", 1) as reader:
            assert [line.text.split()[1] for line in reader.lines(100_000, 1)] == ["100000"]
            assert reader.raw(len(data) - 10, 100) == data[-10:]
    assert sum(counted.fetched) < 1 << 20
    with logs.reader(RUN, "s", 1) as reader:
        found = search(reader, pattern("line 199999 ", is_regex=False, ignore_case=False), seconds=60)
        assert [match.line.number for match in found.matches] == [199_999]


async def test_a_log_stays_where_it_is_until_the_store_takes_it(
    bucket: str, s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path / "data")
    data = written(layout, 100)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    cut_off = LogStore(layout, SystemClock(), open_bucket(bucket, patience=0.3))
    with pytest.raises(ObjectStoreUnavailable):
        await cut_off.finish(RUN, "s", 1)
    with cut_off.reader(RUN, "s", 1) as reader:
        assert reader.complete
        assert reader.raw(0, 1 << 20) == data
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    logs = LogStore(layout, SystemClock(), open_bucket(bucket))
    await logs.sweep([])  # the next daemon
    assert not layout.live_log(RUN, "s", 1).exists()
    with LogStore(Layout(tmp_path / "other"), SystemClock(), open_bucket(bucket)).reader(RUN, "s", 1) as reader:
        assert reader.raw(0, 1 << 20) == data
