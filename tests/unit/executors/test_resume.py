"""The copy of a container's log against a kubelet that is played here: its files, stamps, pieces and rotation."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from backend.executors.kubernetes.resume import SLOT, WHOLE, Answer, Position, nanoseconds, pack, unpack

SECOND = 1_000_000_000
EIGHT = 1_795_593_600 * SECOND  # 2026-11-25 08:00 UTC
START = 1_795_000_000 * SECOND


class Entry(Struct, frozen=True):
    """A line of a container runtime's file: a line that was written, or a piece of one."""

    stamp: int
    content: bytes
    partial: bool = False


def words(stamp: int) -> bytes:
    moment = datetime.fromtimestamp(stamp // SECOND, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{stamp % SECOND:09d}Z ".encode()


def answer(entries: list[Entry], since: int = 0) -> bytes:
    """What the kubelet says when it is asked for a file's lines with stamps, since a second."""
    said, fresh = bytearray(), True
    for entry in entries:
        if entry.stamp >= since * SECOND:
            said += (words(entry.stamp) if fresh else b"") + entry.content + (b"" if entry.partial else b"\n")
        fresh = not entry.partial
    return bytes(said)


def written(entries: list[Entry]) -> bytes:
    return b"".join(e.content + (b"" if e.partial else b"\n") for e in entries)


class Copier:
    """A log file and its sidecar; a crash leaves them as they were written, one of them older than the other."""

    def __init__(self) -> None:
        self.log = b""
        self.position = Position()

    def read(self, said: bytes, piece: int, crash: bool) -> Answer:
        """Copy an answer in pieces; at the end the last position may not have been written."""
        taken = Answer(self.position)
        for at in range(0, len(said), piece):
            before = self.position
            self.log += taken.feed(said[at : at + piece])
            self.position = taken.position
            assert self.position.size == len(self.log)
            if crash and at + piece >= len(said):
                self.position = before
        self.log = self.log[: self.position.size]
        return taken


contents = st.binary(max_size=12).map(lambda b: b.replace(b"\n", b"\r"))


@st.composite
def files(draw: st.DrawFn, steps: st.SearchStrategy[int]) -> list[Entry]:
    """A file as a runtime writes it: two streams, each in order, so that stamps are almost so."""
    now, entries, within = START, [], False
    for _ in range(draw(st.integers(0, 40))):
        now += draw(steps)
        late = 0 if within else draw(st.sampled_from([0, 0, 0, 1, 1000, SECOND // 2]))
        content = draw(contents)
        within = bool(content) and draw(st.sampled_from([False, False, True]))
        entries.append(Entry(now - late, content, within))
    return entries


FORWARD = st.sampled_from([0, 0, 1, 1000, SECOND // 3, SECOND, 5 * SECOND, 100 * SECOND])
cuts = st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 60), st.booleans()), max_size=8)


@given(files(FORWARD), cuts)
def test_wherever_answers_break_off_and_copiers_crash_every_byte_comes_once(
    entries: list[Entry], cuts: list[tuple[int, int, bool]]
) -> None:
    copier = Copier()
    for length, piece, crash in cuts:
        said = answer(entries, copier.position.asked)
        copier.read(said[: length % (len(said) + 1)], piece, crash)
        assert written(entries).startswith(copier.log)
    copier.read(answer(entries, copier.position.asked), 7, False)
    assert copier.log == written(entries)
    again = copier.read(answer(entries, copier.position.asked), 7, False)
    assert copier.log == written(entries)
    assert not again.seeking or not entries


@given(files(FORWARD), st.data())
def test_a_file_that_grows_while_it_is_copied(entries: list[Entry], data: st.DataObject) -> None:
    copier, there = Copier(), 0
    while there < len(entries):
        there = data.draw(st.integers(there + 1, len(entries)))
        said = answer(entries[:there], copier.position.asked)
        copier.read(said[: data.draw(st.integers(0, len(said)))], 11, data.draw(st.booleans()))
    copier.read(answer(entries, copier.position.asked), 11, False)
    assert copier.log == written(entries)


@given(files(st.sampled_from([0, 1, SECOND, 10 * SECOND, -100 * SECOND, -3 * SECOND])), cuts)
def test_clocks_that_are_set_back_lose_nothing(entries: list[Entry], cuts: list[tuple[int, int, bool]]) -> None:
    # without ties and pieces, and in one go until the clock stays: what happens to it unseen cannot be told
    found = {e.stamp: Entry(e.stamp, e.content) for e in entries}
    entries = list(found.values())
    back = max((i for i in range(1, len(entries)) if entries[i].stamp < entries[i - 1].stamp - SECOND), default=-1)
    copier = Copier()
    copier.read(answer(entries[: back + 1]), 1, False)
    for length, piece, crash in cuts:
        said = answer(entries, copier.position.asked)
        copier.read(said[: length % (len(said) + 1)], piece, crash)
    copier.read(answer(entries, copier.position.asked), 7, False)
    assert copier.log == written(entries)


def lines(first: int, last: int, step: int = SECOND // 10) -> list[Entry]:
    return [Entry(START + n * step, b"line %d" % n) for n in range(first, last)]


def test_a_file_put_aside_while_it_was_followed_costs_nothing() -> None:
    copier = Copier()
    copier.read(answer(lines(0, 100)), 64, False)  # the kubelet goes over to the next file by itself
    newer = lines(90, 150)
    copier.read(answer(newer, copier.position.asked), 64, False)
    copier.read(answer(newer, copier.position.asked), 64, False)
    assert copier.log == written(lines(0, 150))


def test_a_file_put_aside_unread_is_said() -> None:
    copier = Copier()
    copier.read(answer(lines(0, 100)), 64, False)
    copier.read(answer(lines(130, 150), copier.position.asked), 64, False)
    before, after = written(lines(0, 100)), written(lines(130, 150))
    assert copier.log.startswith(before)
    assert copier.log.endswith(after)
    between = copier.log.removeprefix(before).removesuffix(after).decode()
    assert between.startswith("[khantui] lines may be missing here, from ")
    assert between.count("\n") == 1


def test_a_line_that_was_cut_short_by_a_lost_file_is_ended_before_it_is_said() -> None:
    copier = Copier()
    copier.read(answer([Entry(START, b"half a li", partial=True)]), 64, False)
    copier.read(answer(lines(100, 101), copier.position.asked), 64, False)
    assert copier.log.split(b"\n")[0] == b"half a li"
    assert copier.log.split(b"\n")[1].startswith(b"[khantui] lines may be missing")
    assert copier.log.endswith(b"line 100\n")


def test_equal_stamps_are_counted() -> None:
    same = [Entry(START, b"same")] * 5
    copier = Copier()
    copier.read(answer(same[:3]), 64, False)
    copier.read(answer(same, copier.position.asked), 64, False)
    assert copier.log == b"same\n" * 5


def test_a_long_line_is_kept_in_pieces_and_resumed_within() -> None:
    pieces = [Entry(START + n * 10 * SECOND, b"x" * 16384, partial=n < 63) for n in range(64)]
    said = answer(pieces)
    copier = Copier()
    copier.read(said[:500_000], 65536, False)
    assert copier.position.open == 500_000 - len(words(START))
    copier.read(answer(pieces, copier.position.asked), 65536, False)
    assert copier.log == b"x" * (64 * 16384) + b"\n"
    assert copier.position.open == WHOLE


def test_what_the_kubelet_says_of_itself_is_no_line_of_the_log() -> None:
    taken = Answer(Position())
    assert taken.feed(b"unable to retrieve container logs for containerd://abc\n") == b""
    assert "unable to retrieve" in taken.trouble


@pytest.mark.parametrize(
    ("stamp", "expected"),
    [
        (b"2026-11-25T08:00:00.000000001Z", EIGHT + 1),
        (b"2026-11-25T09:00:00.5+01:00", EIGHT + SECOND // 2),
        (b"2026-11-25T08:00:00Z", EIGHT),
        (b"2026-13-25T08:00:00Z", None),
        (b"yesterday", None),
    ],
)
def test_stamps(stamp: bytes, expected: int | None) -> None:
    assert nanoseconds(stamp) == expected


positions = st.builds(Position, st.integers(0, 3), st.booleans(), *[st.integers(-1, 1 << 62)] * 7)


@given(positions, positions, st.integers(0, SLOT))
def test_of_two_slots_the_newest_that_is_whole_counts(old: Position, new: Position, torn: int) -> None:
    assert unpack(pack(old, 7) + pack(new, 8)) == (new, 8)
    assert unpack(pack(new, 8) + pack(old, 7)) == (new, 8)
    half = pack(new, 8)[:torn] + bytes(b ^ 0xFF for b in pack(old, 6)[torn:])
    assert unpack(pack(old, 7) + half) in ((old, 7), (new, 8))
    assert unpack(b"") == (Position(), 0)
