"""Secrets in logs: hidden wherever one reads, whatever shape they were printed in, and overwritten where they lie."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.accounts.grant import GivenSecret, SecretRef
from backend.accounts.masking import Masker
from backend.clock import FakeClock
from backend.errors import VaultError
from backend.layout import Layout
from backend.logs import LogStore
from backend.logs.expression import pattern
from backend.logs.masked import Masked, Scrubber
from backend.logs.search import search
from backend.logs.source import Live

KEY = ("01m85n6fsm-k8mv3h", "clean", 1)
SECRET = b"hunter2&more/than that"
REF = SecretRef("token", "v1")


@pytest.mark.parametrize(
    "shape",
    [
        SECRET,
        quote(SECRET.decode(), safe="").encode(),
        base64.b64encode(SECRET),
        base64.urlsafe_b64encode(SECRET),
        json.dumps('a "quoted" secret\\').encode()[1:-1],
    ],
)
def test_whatever_programs_make_of_it_is_hidden(shape: bytes) -> None:
    masked = Masker([SECRET, b'a "quoted" secret\\']).mask(b"before " + shape + b" after")
    assert masked.startswith(b"before *")
    assert len(masked) == len(shape) + 13
    assert not set(masked[7:-6]) - set(b"*=")


def test_each_line_of_a_key_and_each_long_value_of_a_json() -> None:
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n"
    document = json.dumps({"type": "service_account", "private_key": key, "uri": "https://oauth2.example.org/token"})
    masker = Masker([document.encode()])
    assert masker.mask(b"line MIIEvQIBADANBgkq") == b"line " + b"*" * 16
    assert masker.mask(b"type service_account at https://oauth2.example.org/token").count(b"*") == 0
    assert masker.mask(document.encode()).count(b"M") == 0


def test_secrets_that_overlap_are_hidden_both() -> None:
    assert Masker([b"abcdef", b"defghi"]).mask(b"xabcdefghix") == b"x*********x"


@given(
    st.lists(st.sampled_from([b"tok\xc3\xa9n-1", b"tok", b"\xc3\xa9n", b"-1", b"\n", b"x"]), max_size=40),
    st.lists(st.integers(0, 60), max_size=30),
)
def test_it_does_not_matter_where_a_piece_that_is_read_begins_and_ends(parts: list[bytes], cuts: list[int]) -> None:
    data, masker = b"".join(parts), Masker([b"tok\xc3\xa9n-1"])

    class Bytes:
        archived, first_error, marks, size = False, None, (), len(data)

        def read(self, offset: int, size: int) -> bytes:
            return data[offset : offset + size]

    source = Masked(Bytes(), masker, growing=False)  # type: ignore[arg-type]
    places = sorted({0, len(data), *(min(cut, len(data)) for cut in cuts)})
    pieces = [source.read(a, b - a) for a, b in pairwise(places)]
    assert b"".join(pieces) == masker.mask(data)


def test_the_end_of_a_log_that_grows_may_be_the_beginning_of_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"it is hunter2&mo")
    source = Masked(Live(log, tmp_path / "log.idx"), Masker([SECRET]), growing=True)
    assert source.read(0, 100) == b"it is **********"
    log.write_bytes(b"it is hunter3")
    assert source.read(0, 100) == b"it is hunter3"
    source.close()


def test_where_it_lies_it_is_overwritten_bit_by_bit(tmp_path: Path) -> None:
    log = tmp_path / "log"
    whole = (b"x" * 1000 + SECRET + b"\n") * 3000
    scrubber = Scrubber(log, Masker([SECRET]))
    with log.open("ab", buffering=0) as file:
        for begin in range(0, len(whole), 777_777):
            file.write(whole[begin : begin + 777_777])
            scrubber.scrub()
    assert log.read_bytes() == whole.replace(SECRET, b"*" * len(SECRET))


class Keeper:
    """Knows one secret, as long as it is to."""

    def __init__(self) -> None:
        self.known = True

    def masker(self, refs: Sequence[SecretRef]) -> Masker:
        if not self.known:
            raise VaultError("the log may hold the secret token, which is not known here")
        assert list(refs) == [REF]
        return Masker([SECRET])


async def test_a_log_from_its_first_byte_to_its_archive(tmp_path: Path) -> None:
    layout, keeper = Layout(tmp_path), Keeper()
    logs = LogStore(layout, FakeClock(datetime(2026, 3, 2, tzinfo=UTC)), masker_of=keeper.masker)
    logs.track(*KEY, [REF])
    live = layout.live_log(*KEY)
    with live.open("ab", buffering=0) as file:
        file.write(b"one\nit is " + SECRET + b", ERROR\nhun")
        followed: list[str] = []

        async def follow() -> None:
            async for lines in logs.follow(*KEY):
                followed.extend(line.text for line in lines)

        following = asyncio.create_task(follow())
        with logs.reader(*KEY) as reader:
            assert [line.text for line in reader.lines(1, 9)] == ["one", "it is " + "*" * 22 + ", ERROR", "***"]
            assert reader.raw(12, 6) == b"******"
            assert not search(reader, pattern("hunter2", is_regex=False, ignore_case=False)).matches
            assert len(search(reader, pattern("ERROR", is_regex=False, ignore_case=False)).matches) == 1
        keeper.known = False
        with pytest.raises(VaultError):
            logs.reader(*KEY)
        keeper.known = True
        while not followed:
            await asyncio.sleep(0.01)
        file.write(b"ter2&more/than that\n")
    await logs.finish(*KEY)
    await following
    assert followed == ["one", "it is " + "*" * 22 + ", ERROR", "*" * 22]
    keeper.known = False  # its archive holds nothing that would have to be known
    with logs.reader(*KEY) as reader:
        assert [line.text for line in reader.lines(1, 9)] == followed
    assert not layout.hidden_in_log(*KEY).exists()
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and SECRET in p.read_bytes()]


async def test_a_log_that_cannot_be_masked_is_kept_back_and_not_archived(tmp_path: Path) -> None:
    layout, keeper = Layout(tmp_path), Keeper()
    logs = LogStore(layout, FakeClock(datetime(2026, 3, 2, tzinfo=UTC)), masker_of=keeper.masker)
    logs.track(*KEY, [REF])
    layout.live_log(*KEY).write_bytes(SECRET)
    keeper.known = False
    with pytest.raises(VaultError):
        await logs.finish(*KEY)
    with pytest.raises(VaultError):
        logs.reader(*KEY)
    layout.hidden_in_log(*KEY).write_bytes(b"{")
    keeper.known = True
    with pytest.raises(VaultError, match="cannot be read"):
        logs.reader(*KEY)


def test_an_attempt_that_is_printed_shows_none() -> None:
    assert "hunter" not in repr(GivenSecret("token", "v1", SECRET, env="TOKEN"))
