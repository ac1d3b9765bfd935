"""Logs: lines, ranges and searches in what grows and in what is archived; nothing lost on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.clock import FakeClock
from backend.errors import InvalidRequest, NotFound
from backend.layout import Layout
from backend.logs import LogStore
from backend.logs.expression import pattern
from backend.logs.reader import LogReader
from backend.logs.search import search

RUN, STAGE = "01m85n6fsm-k8mv3h", "clean"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Logs:
    """A store of logs, and a stage that writes one."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder)
        self.clock = FakeClock(NOON)
        self.store = LogStore(self.layout, self.clock)
        self.live = self.layout.live_log(RUN, STAGE, 1)
        self.live.parent.mkdir(parents=True, exist_ok=True)

    def write(self, data: bytes | str) -> None:
        with self.live.open("ab") as file:
            file.write(data.encode() if isinstance(data, str) else data)

    async def finish(self) -> None:
        await self.store.finish(RUN, STAGE, 1)

    @contextmanager
    def reader(self) -> Iterator[LogReader]:
        with self.store.reader(RUN, STAGE, 1) as reader:
            yield reader

    def texts(self, start: int = 1, count: int = 1000) -> list[str]:
        with self.reader() as reader:
            return [line.text for line in reader.lines(start, count)]


@pytest.fixture(params=["live", "archived"])
def archived(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "archived")


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    return Logs(tmp_path)


async def test_lines_and_ranges(logs: Logs, archived: bool) -> None:
    logs.write("".join(f"line {n}\n" for n in range(1, 5001)) + "no end")
    if archived:
        await logs.finish()
        assert not logs.live.exists()
    assert logs.texts(1, 2) == ["line 1", "line 2"]
    assert logs.texts(4999) == ["line 4999", "line 5000", "no end"]
    assert logs.texts(6000) == []
    with logs.reader() as reader:
        assert [line.text for line in reader.tail(2)] == ["line 5000", "no end"]
        assert (reader.count(), reader.complete) == (5001, archived)
        (line,) = reader.lines(3000, 1)
        assert reader.raw(line.offset, 9) == b"line 3000"
        assert reader.number_at(line.offset) == reader.number_at(line.offset + 5) == 3000
        whole = [line.text for line in reader.lines(5000, 5, whole=True)]
        assert whole == (["line 5000", "no end"] if archived else ["line 5000"])


async def test_an_empty_log(logs: Logs, archived: bool) -> None:
    logs.write("")
    if archived:
        await logs.finish()
    with logs.reader() as reader:
        assert (reader.lines(1, 10), reader.tail(3), reader.count(), reader.find_error(0, 0)[0]) == ([], [], 0, None)
        assert search(reader, pattern("x", is_regex=False, ignore_case=False)).matches == ()


async def test_a_log_that_is_not_there(logs: Logs) -> None:
    with pytest.raises(NotFound, match="has no log"):
        logs.store.reader(RUN, STAGE, 2)
    await logs.store.finish(RUN, STAGE, 2)


async def test_bytes_that_are_no_text(logs: Logs, archived: bool) -> None:
    data = b"\xff\xfe bad\nnul \0 here\nprogress 1%\rprogress 2%\r\n\x1b[31mred\x1b[0m\n" + "é数".encode() + b"\n"
    logs.write(data)
    if archived:
        await logs.finish()
    with logs.reader() as reader:
        assert reader.raw(0, 1000) == data
        assert reader.count() == 5
        assert reader.lines(5, 1)[0].text == "é数"


async def test_a_line_of_megabytes_is_cut_and_the_next_is_found(logs: Logs, archived: bool) -> None:
    logs.write("x" * (3 << 20) + "\nnext\n")
    if archived:
        await logs.finish()
    with logs.reader() as reader:
        long, following = reader.lines(1, 2)
        assert (long.length, following.text) == (3 << 20, "next")
        assert len(long.text) < 1 << 20


@settings(max_examples=40, derandomize=True)
@given(st.lists(st.binary(max_size=40), max_size=60), st.integers(1, 60), st.integers(0, 60))
def test_any_bytes_are_read_as_they_were_written(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes],
                                                 start: int, count: int) -> None:  # fmt: skip
    data = b"\n".join(parts)
    logs = Logs(tmp_path_factory.mktemp("logs"))
    logs.write(data)
    lines = data.split(b"\n")[: -1 if data.endswith(b"\n") or not data else None]
    wanted = [line.rstrip(b"\r").decode(errors="backslashreplace") for line in lines]
    for end in (False, True):
        if end:
            asyncio.run(logs.finish())
        with logs.reader() as reader:
            assert reader.raw(0, len(data) + 10) == data
            assert reader.count() == len(lines)
            found = [line.text.rstrip("\r") for line in reader.lines(start, count)]
            assert found == wanted[start - 1 : start - 1 + count]


async def test_finishing_twice_changes_nothing(logs: Logs) -> None:
    logs.write("one\n")
    await logs.finish()
    await logs.finish()
    assert logs.texts() == ["one"]


async def test_it_is_followed_while_it_grows_and_until_it_ends(logs: Logs) -> None:
    found: list[str] = []

    async def follow() -> None:
        async for lines in logs.store.follow(RUN, STAGE, 1):
            found.extend(line.text for line in lines)

    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        following = tasks.create_task(follow())
        logs.write("one\ntwo\nhal")
        while len(found) < 2:
            await asyncio.sleep(0.01)
        assert found == ["one", "two"]
        logs.write("f\nlast")
        await logs.finish()
        await following
    assert found == ["one", "two", "half", "last"]


async def test_times_are_about_when_lines_were_written(logs: Logs) -> None:
    running = asyncio.create_task(logs.store.run())
    logs.store.track(RUN, STAGE, 1)
    for minute in range(3):
        logs.write(f"minute {minute}\n" * 100)
        async with asyncio.timeout(20):
            index = logs.live.with_name("log.idx")
            before = index.stat().st_size if index.exists() else 0
            while not index.exists() or index.stat().st_size <= before:
                await asyncio.sleep(0.01)
        await logs.clock.advance(60)
    for _ in range(2):
        with logs.reader() as reader:
            begin = reader.since(NOON + timedelta(seconds=90))
            assert 101 <= begin <= 201
            assert reader.lines(begin, 1)[0].text in ("minute 1", "minute 2")
            assert reader.since(NOON - timedelta(hours=1)) == 1
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await logs.finish()


@pytest.mark.parametrize("keep", [0, 7, 30])
async def test_an_index_that_was_cut_off_is_made_anew(logs: Logs, keep: int) -> None:
    logs.write("".join(f"line {n}\n" for n in range(1, 200_001)))
    with logs.reader() as reader:
        assert reader.count() == 200_000
    index = logs.live.with_name("log.idx")
    index.write_bytes((index.read_bytes() if index.exists() else b"x" * 64)[:keep])
    assert logs.texts(150_000, 1) == ["line 150000"]


async def test_an_archive_that_was_not_finished_is_not_taken_for_one(logs: Logs) -> None:
    logs.write("one\n")
    archive = logs.layout.archived_log(RUN, STAGE, 1)
    archive.parent.mkdir(parents=True)
    archive.with_name(f".{archive.name}.new").write_bytes(b"half")
    assert logs.texts() == ["one"]
    await logs.finish()
    assert logs.texts() == ["one"]


async def test_what_an_earlier_daemon_left_is_archived_but_not_what_runs(logs: Logs) -> None:
    logs.write("left\n")
    other = logs.layout.live_log("01m85n6fsm-000000", "s", 1)
    other.parent.mkdir(parents=True)
    other.write_text("runs\n")
    await logs.store.sweep({"01m85n6fsm-000000"})
    assert not logs.live.exists()
    assert other.exists()
    assert logs.texts() == ["left"]


async def test_searching(logs: Logs, archived: bool) -> None:
    logs.write("".join(f"{'ERROR' if n % 1000 == 0 else 'info'} {n}\n" for n in range(1, 10_001)))
    if archived:
        await logs.finish()
    with logs.reader() as reader:
        wanted = pattern("error", is_regex=False, ignore_case=True)
        found = search(reader, wanted, limit=3, context=1)
        assert [m.line.number for m in found.matches] == [1000, 2000, 3000]
        assert [m.before[0].text for m in found.matches] == ["info 999", "info 1999", "info 2999"]
        assert found.next_line == 3001
        rest = search(reader, wanted, start=3001)
        assert [m.line.number for m in rest.matches] == [*range(4000, 10_001, 1000)]
        assert rest.next_line is None
        assert not search(reader, pattern("error", is_regex=False, ignore_case=False)).matches
        (found_one,) = search(reader, pattern(r"^info 1\d{2}9$", is_regex=True, ignore_case=False), limit=1).matches
        assert found_one.line.text == "info 1009"


async def test_context_ends_where_the_log_does(logs: Logs) -> None:
    logs.write("hit\na\nb\nc\nd\nhit")
    with logs.reader() as reader:
        first, last = search(reader, pattern("hit", is_regex=False, ignore_case=False), context=2).matches
    assert [line.text for line in first.after] == ["a", "b"]
    assert (first.before, last.after) == ((), ())
    assert [line.text for line in last.before] == ["c", "d"]


async def test_signs_of_expressions_are_plain_text_unless_asked_for(logs: Logs) -> None:
    logs.write("a.c\nabc\n")
    with logs.reader() as reader:
        assert len(search(reader, pattern("a.c", is_regex=False, ignore_case=False)).matches) == 1
        assert len(search(reader, pattern("a.c", is_regex=True, ignore_case=False)).matches) == 2
    with pytest.raises(InvalidRequest, match="no regular expression"):
        pattern("(", is_regex=True, ignore_case=False)


async def test_an_expression_that_gets_nowhere_is_given_up(logs: Logs) -> None:
    logs.write("a" * 5000 + "!\n")
    with logs.reader() as reader, pytest.raises(InvalidRequest, match="needs more than"):
        search(reader, pattern(r"(?<!b)(a|aa)+$", is_regex=True, ignore_case=False), seconds=0.2)


async def test_nested_repetitions_take_no_longer_than_others(logs: Logs) -> None:
    logs.write("a" * 5000 + "!\n" + "aaa\n")
    with logs.reader() as reader:
        (found,) = search(reader, pattern(r"^(a|aa)+$", is_regex=True, ignore_case=False)).matches
        assert found.line.number == 2


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("fine\nERROR: no table\n", 2),
        ("2026-03-02 12:00:00 ERROR x\n", 1),
        ("[ERROR] x\n", 1),
        ("one\nTraceback (most recent call last):\n  File x\n    f()\nValueError: no\n", 5),
        ("thread 'main' panicked at src\n", 1),
        ("sh: 1: foo: not found\n", 1),
        ("3 passed, 0 failed\n", None),
        ("no errors here\nterror\n", None),
        ("3 tests failed\n", 1),
    ],
)
async def test_the_first_error_is_found(logs: Logs, text: str, line: int | None) -> None:
    logs.write(text)
    with logs.reader() as reader:
        assert reader.find_error(0, reader.source.size)[0] == line
