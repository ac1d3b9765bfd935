"""Several logs as one: in the order of time, with numbers that stay; searched in both directions."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.clock import FakeClock
from backend.errors import InvalidRequest
from backend.layout import Layout
from backend.logs import LogStore
from backend.logs.expression import ERRORS, pattern
from backend.logs.index import Mark, micros
from backend.logs.merge import Merge, Outline
from backend.logs.merged import LogKey, MergedLog
from backend.logs.reader import LogReader
from backend.logs.search import search, search_back
from tests.unit.logs.test_logs import NOON, RUN, Logs

KEYS = [LogKey(RUN, stage, 1) for stage in ("clean", "load", "plot")]


class Run:
    """A run whose stages write as they are told; times are told by the store's own looks."""

    def __init__(self, folder: Path) -> None:
        self.layout, self.clock = Layout(folder), FakeClock(NOON)
        self.store = LogStore(self.layout, self.clock)

    def write(self, key: LogKey, text: str) -> None:
        path = self.layout.live_log(*key)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write(text)

    def look(self) -> None:
        """What the store does four times a second."""
        now = micros(self.clock.now())
        for key in KEYS:
            self.store.track(*key)
            self.store._look(key, now)

    @property
    def merged(self) -> MergedLog:
        return self.store.merged.get("all")

    def texts(self, start: int = 1, count: int = 10_000) -> list[str]:
        return [f"{m.key.stage} {m.line.text}" for m in self.merged.lines(start, count)]


STEPS = st.lists(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 5)), max_size=4),  # in one second: (which, how many lines)
    max_size=12,
)


@settings(max_examples=60, derandomize=True)
@given(STEPS, st.integers(1, 40), st.integers(0, 40), st.sets(st.integers(0, 11)), st.integers(1, 5))
def test_lines_come_in_the_order_of_time_and_keep_their_numbers(
    tmp_path_factory: pytest.TempPathFactory, steps: list[list[tuple[int, int]]], start: int, count: int,
    looked: set[int], nth: int,
) -> None:  # fmt: skip
    run, written, seen = Run(tmp_path_factory.mktemp("run")), list[str](), list[str]()

    async def live() -> None:
        number = 0
        for second, step in enumerate(steps):
            fresh: dict[int, list[str]] = {}
            for which, many in step:
                for _ in range(many):
                    number += 1
                    text = f"line {number}{' hit' if number % nth == 0 else ''}"
                    run.write(KEYS[which], text + "\n")
                    fresh.setdefault(which, []).append(f"{KEYS[which].stage} {text}")
            run.look()
            if second in looked:  # somebody reads meanwhile: what was told stays as it was told
                run.merged.update(dict.fromkeys(KEYS, False))
                assert run.texts()[: len(seen)] == seen
                seen[:] = run.texts()
            written.extend(line for which in sorted(fresh) for line in fresh[which])
            await run.clock.advance(1)
        for key in KEYS:
            await run.store.finish(*key)
        run.merged.update(dict.fromkeys(KEYS, True))

    asyncio.run(live())
    assert run.texts() == written
    assert run.merged.total == len(written)
    assert run.merged.complete
    assert run.texts(start, count) == written[start - 1 : start - 1 + count]
    for m in run.merged.lines(1, 1000):
        assert run.merged.number_of(m.key, m.line.number) == m.number
    wanted = pattern("hit", is_regex=False, ignore_case=False)
    hits = [n for n, text in enumerate(written, 1) if "hit" in text]
    found = run.merged.search(wanted, start=start, limit=1000, context=0, seconds=5)
    assert ([m.number for m in found.matches], found.next_number) == ([n for n in hits if n >= start], None)
    back = run.merged.search(wanted, start=start, limit=1000, context=0, seconds=5, back=True)
    assert [m.number for m in back.matches] == [n for n in reversed(hits) if n < start]
    # and in steps of one
    at, singly = 1, []
    while at:
        one = run.merged.search(wanted, start=at, limit=1, context=0, seconds=5)
        singly += [m.number for m in one.matches]
        at = one.next_number or 0
    assert singly == hits


async def test_a_log_of_a_thousand_stages_opens_few_files_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path)
    keys = [LogKey(RUN, f"s{n}", 1) for n in range(1000)]
    for n, key in enumerate(keys):
        run.write(key, f"from {n}\nand more\n" if n % 2 else f"from {n}")
        await run.store.finish(*key)
    opened, most = 0, 0
    from backend.logs.reader import LogReader

    init, close = LogReader.__init__, LogReader.close

    def counted(self: LogReader, *given: object, **named: object) -> None:
        nonlocal opened, most
        init(self, *given, **named)  # type: ignore[arg-type]
        opened += 1
        most = max(most, opened)

    def closed(self: LogReader) -> None:
        nonlocal opened
        close(self)
        opened -= 1

    monkeypatch.setattr(LogReader, "__init__", counted)
    monkeypatch.setattr(LogReader, "close", closed)
    run.merged.update(dict.fromkeys(keys, True))
    assert run.merged.total == 1500
    assert len(run.texts(1, 1500)) == 1500
    found = run.merged.search(
        pattern("from", is_regex=False, ignore_case=False), start=1, limit=1000, context=1, seconds=30
    )
    assert len(found.matches) == 1000
    assert (opened, most <= 17) == (0, True)


async def test_an_attempt_that_never_wrote_keeps_nothing_open(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write(KEYS[0], "one\n")
    run.merged.update({KEYS[0]: False, KEYS[1]: True})
    assert not run.merged.complete
    await run.store.finish(*KEYS[0])
    run.merged.update({KEYS[0]: True, KEYS[1]: True})
    assert (run.merged.complete, run.texts()) == (True, ["clean one"])


def test_times_are_taken_less_exactly_where_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.logs.merge.MOST_SEGMENTS", 10)
    marks = [[Mark(n * 10, n, 1_000_000 * n + part) for n in range(101)] for part in range(2)]
    merge = Merge()
    merge.extend([Outline(1000, 100, True, True, m) for m in marks])
    assert len(merge.segments) <= 10
    assert merge.total == 200
    lines = [(s.part, s.line + i) for s in merge.spans(1, 500) for i in range(s.lines)]
    assert sorted(lines) == sorted((p, n + 1) for p in range(2) for n in range(100))
    for part in range(2):
        own = [n for p, n in lines if p == part]
        assert own == sorted(own)


async def test_from_a_time_on(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for minute in range(3):
        for key in KEYS:
            run.write(key, f"minute {minute}\n")
        run.look()
        await run.clock.advance(60)
    run.merged.update(dict.fromkeys(KEYS, False))
    assert run.merged.since(NOON + timedelta(seconds=30)) == 4
    assert run.merged.since(NOON + timedelta(hours=1)) == 10
    for key in KEYS:
        run.store.untrack(*key)


async def test_searching_back(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    logs.write("".join(f"{'ERROR' if n % 1000 == 0 else 'info'} {n} {'x' * 300}\n" for n in range(1, 10_001)))
    for _ in range(2):
        with logs.reader() as reader:
            found = search_back(reader, ERRORS, before=5000, limit=2)
            assert [m.line.number for m in found.matches] == [4000, 3000]
            assert found.next_line == 3000
            rest = search_back(reader, ERRORS, before=3000, context=1)
            assert [m.line.number for m in rest.matches] == [2000, 1000]
            assert rest.next_line is None
            every = search_back(reader, ERRORS, before=1 << 40)
            assert [m.line.number for m in every.matches] == [*range(10_000, 0, -1000)]
            slow = pattern(r"(?<!b)(x|xx)+$(?!\n)z", is_regex=True, ignore_case=False)
            with pytest.raises(InvalidRequest, match="needs more than"):
                search_back(reader, slow, before=5000, seconds=0.2)
        await logs.finish()


TRACEBACK = """starting
Traceback (most recent call last):
  File "a.py", line 3, in f
    raise ValueError("no")
ValueError: no

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 5, in <module>
    raise pkg.Boom("x") from error
pkg.Boom: x
exit 1
"""


async def test_one_definition_of_an_error_line(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    logs.write(TRACEBACK + '{"level":"error","message":"x"}\n{"level":"info","message":"no error"}\nERROR a\n')
    with logs.reader() as reader:
        found = [m.line.number for m in search(reader, ERRORS).matches]
        marked = [line.number for line in reader.lines(1, 100) if line.error]
        assert found == marked == [5, 12, 14, 16]
        assert [m.line.number for m in reversed(search_back(reader, ERRORS, before=100).matches)] == found
        assert reader.find_error(0, reader.source.size)[0] == 5
        assert [line.number for line in reader.lines(9, 4) if line.error] == [12]  # from the middle of it


@pytest.mark.parametrize(
    "steps",
    [
        [("fine\n" * 1000, None), ("fine\nERR", None), ("OR\nERROR\n", 1002), ("ERROR\n", 1002)],
        [("fine\n" * 300_000, None), ("", None), ("ERROR\n", 300_001)],  # more than one look goes through
        [("x" * 3_000_000 + "\n", None), ("ERROR\n", None), ("", 2)],  # a line that is longer than a look
        [("a\nTraceback (most recent call last):\n", None), ("  File 1\n", None), ("pkg.Boom: x\n", 4)],
        [("Traceback (most recent call last):\n", None), ("  File 1\n", None), ("pkg.Boom: x\n", 3)],
    ],
)
async def test_the_first_error_of_a_log_is_found_as_it_grows_and_kept(
    tmp_path: Path, steps: list[tuple[str, int | None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = Logs(tmp_path)
    key = LogKey(RUN, "clean", 1)
    logs.store.track(*key)
    for text, wanted in steps:
        logs.write(text)
        logs.store._look(key, 1)
        with logs.reader() as reader:
            assert reader.source.first_error == wanted
    await logs.finish()
    with logs.reader() as reader:
        assert reader.source.first_error == wanted
    monkeypatch.setattr(LogReader, "find_error", None)  # nobody who asks for it searches
    merged = logs.store.merged.get("all")
    merged.update({key: True})
    assert merged.first_error == wanted


async def test_an_error_that_was_not_found_while_a_log_grew_is_found_when_it_is_archived(tmp_path: Path) -> None:
    logs = Logs(tmp_path)
    logs.write("fine\n" * 1_000_000 + "Traceback (most recent call last):\n" + "  File 1\n" * 30_000 + "pkg.Boom: x\n")
    await logs.finish()
    with logs.reader() as reader:
        assert reader.source.first_error == 1_030_002


async def test_the_first_error_of_several_logs(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for key, text in ((KEYS[0], "a\n"), (KEYS[1], "b\nERROR b\n"), (KEYS[0], "ERROR a\n")):
        await run.clock.advance(1)
        run.write(key, text)
        run.look()
        run.merged.update(dict.fromkeys(KEYS, False))
    assert run.texts() == ["clean a", "load b", "load ERROR b", "clean ERROR a"]
    assert run.merged.first_error == 3
    for key in KEYS:
        run.store.untrack(*key)


async def test_a_damaged_archive_is_told_of_and_the_rest_is_shown(tmp_path: Path) -> None:
    run = Run(tmp_path)
    for key in KEYS:
        run.write(key, f"one of {key.stage}\ntwo of {key.stage}\n")
        await run.store.finish(*key)
    path = run.layout.archived_log(*KEYS[1])
    path.write_bytes(path.read_bytes()[:-7])  # cut off
    run.merged.update(dict.fromkeys(KEYS, True))
    said = f"load [khantui] the archived log {path} is damaged: it has no end"
    assert sorted(run.texts()) == sorted(
        [said, *(f"{k.stage} {n} of {k.stage}" for k in KEYS[::2] for n in ("one", "two"))]
    )
    assert run.merged.complete
    found = run.merged.search(pattern("two", is_regex=False, ignore_case=False), start=1, limit=9, context=1, seconds=5)
    assert [m.key for m in found.matches] == [KEYS[0], KEYS[2]]
    assert found.damaged == (said.removeprefix("load [khantui] "),)


async def test_a_damaged_block_of_an_archive_is_told_of_where_it_is(tmp_path: Path) -> None:
    run = Run(tmp_path)
    lines = 60_000
    run.write(KEYS[0], "".join(f"line {n} of it\n" for n in range(lines)))
    run.write(KEYS[1], "whole\n")
    for key in KEYS[:2]:
        await run.store.finish(*key)
    path = run.layout.archived_log(*KEYS[0])
    data = bytearray(path.read_bytes())
    data[100:200] = bytes(100)  # in the first block
    path.write_bytes(data)
    run.merged.update(dict.fromkeys(KEYS[:2], True))
    texts = run.texts(1, lines + 1)
    assert "load whole" in texts
    assert all(
        text.startswith(f"clean [khantui] the archived log {path} is damaged") for text in texts if "clean" in text
    )
    assert run.texts(lines - 9, 5) == [f"clean line {n} of it" for n in range(lines - 10, lines - 5)]


@pytest.mark.parametrize("text", ["a.c", "[x](y)", "a+b?", "^$", "é数", "tab\there", "back\\slash", "a-b#c&d~e"])
async def test_plain_text_is_found_as_it_stands(tmp_path: Path, text: str) -> None:
    logs = Logs(tmp_path)
    logs.write(f"one\n before {text} behind\nlast\n")
    with logs.reader() as reader:
        (found,) = search(reader, pattern(text, is_regex=False, ignore_case=True)).matches
    assert found.line.number == 2
